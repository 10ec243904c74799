//! Limits: how much time or traffic somebody may use in a period, and how much of it is left.
//!
//! Periods begin at midnight of the organisation's zone, because usage is kept by local day. Pure: what was used is
//! handed in. A limit is written as people say it: `2 h/day`, `5 GB/month`, `up 1 GB/30 days`, `100 GB`.

use chrono::{Datelike, Days, Months, NaiveDate, TimeZone};
use chrono_tz::Tz;
use kernel::Time;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;
use usage::Totals;

/// Limits of one plan.
pub const MAX_LIMITS: usize = 16;
/// Longest rolling period: days that are told apart in memory, less the two that a zone may shift.
pub const MAX_ROLLING_DAYS: u16 = 62;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Meter {
    /// Seconds online.
    Time,
    /// Octets from the client.
    Up,
    /// Octets to the client.
    Down,
    /// Octets both ways.
    Total,
}

impl Meter {
    /// This one's part of what was used.
    pub fn of(self, used: Totals) -> u64 {
        let amount = match self {
            Meter::Time => used.seconds,
            Meter::Up => used.input,
            Meter::Down => used.output,
            Meter::Total => used.input.saturating_add(used.output),
        };
        amount.max(0).unsigned_abs()
    }

    /// An amount for people.
    pub fn text(self, amount: u64) -> String {
        match self {
            Meter::Time => format!(
                "{}:{:02}:{:02} h",
                amount / 3_600,
                amount / 60 % 60,
                amount % 60
            ),
            _ => about(amount),
        }
    }
}

/// Octets for people, to three digits.
fn about(octets: u64) -> String {
    for (unit, size) in [
        ("TB", 1_000_000_000_000u64),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1_000),
    ] {
        if octets >= size {
            let hundredths = octets / (size / 100);
            return format!("{}.{:02} {unit}", hundredths / 100, hundredths % 100);
        }
    }
    format!("{octets} B")
}

/// From when on it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// Since midnight.
    Day,
    /// Since Monday.
    Week,
    /// Since the first of the month.
    Month,
    /// Since the day of the month on which the membership began; in a shorter month, since its last day.
    Subscription,
    /// Today and the days before, so many together.
    Rolling(u16),
    /// Since the membership, or the voucher, was made.
    Lifetime,
    /// Everything that is known to have been used.
    Ever,
}

impl Period {
    /// The first local day that counts. None: all of them.
    pub fn first_day(self, today: NaiveDate, member_since: NaiveDate) -> Option<NaiveDate> {
        match self {
            Period::Day => Some(today),
            Period::Week => {
                today.checked_sub_days(Days::new(u64::from(today.weekday().num_days_from_monday())))
            }
            Period::Month => today.with_day(1),
            Period::Subscription => Some(subscription_day(today, member_since)),
            Period::Rolling(days) => {
                today.checked_sub_days(Days::new(u64::from(days.saturating_sub(1))))
            }
            Period::Lifetime => Some(member_since),
            Period::Ever => None,
        }
    }

    /// The first day of the period after this one. None where there is none, or, for a rolling one, where it moves on by
    /// a day each day.
    pub fn next_day(self, today: NaiveDate, member_since: NaiveDate) -> Option<NaiveDate> {
        let first = self.first_day(today, member_since)?;
        match self {
            Period::Day => first.checked_add_days(Days::new(1)),
            Period::Week => first.checked_add_days(Days::new(7)),
            Period::Month => first.checked_add_months(Months::new(1)),
            Period::Subscription => {
                let later = first.with_day(1)?.checked_add_months(Months::new(1))?;
                Some(in_month(later, member_since.day()))
            }
            Period::Rolling(_) | Period::Lifetime | Period::Ever => None,
        }
    }
}

/// This day of the month, or the last one in a shorter month.
fn in_month(month: NaiveDate, day: u32) -> NaiveDate {
    (1..=day)
        .rev()
        .find_map(|day| month.with_day(day))
        .unwrap_or(month)
}

/// The last day before or on `today` on which the subscription began anew.
fn subscription_day(today: NaiveDate, member_since: NaiveDate) -> NaiveDate {
    let this = in_month(today, member_since.day());
    if this <= today {
        return this;
    }
    let before = today
        .with_day(1)
        .and_then(|first| first.checked_sub_months(Months::new(1)));
    before.map_or(this, |month| in_month(month, member_since.day()))
}

/// Zones whose present day is remembered by each thread: more organisations in more zones are reckoned anew.
const REMEMBERED: usize = 16;

/// A day of a zone, from its begin to the next one's.
#[derive(Clone, Copy)]
struct Today {
    zone: Tz,
    day: NaiveDate,
    begin: Time,
    end: Time,
}

thread_local! {
    static TODAY: RefCell<Vec<Today>> = const { RefCell::new(Vec::new()) };
}

/// The local day of a moment, and when it ends. Zones take longer to reckon with than all the rest of a decision, so each
/// thread remembers the days at hand.
pub fn local_day(now: Time, zone: Tz) -> (NaiveDate, Time) {
    let is_it = |known: &&Today| known.zone == zone && known.begin <= now && now < known.end;
    TODAY.with_borrow_mut(|days| {
        if let Some(known) = days.iter().find(is_it) {
            return (known.day, known.end);
        }
        let day = now.to_chrono().with_timezone(&zone).date_naive();
        let today = Today {
            zone,
            day,
            begin: midnight(day, zone),
            end: midnight(day.succ_opt().unwrap_or(day), zone),
        };
        days.retain(|known| known.zone != zone);
        if days.len() >= REMEMBERED {
            days.remove(0);
        }
        days.push(today);
        (day, today.end)
    })
}

/// Midnight, or the first moment after it where clocks are set forward over it.
pub fn midnight(day: NaiveDate, zone: Tz) -> Time {
    let at = |hour| {
        let local = day.and_hms_opt(hour, 0, 0)?;
        zone.from_local_datetime(&local).earliest()
    };
    let micros = (0..4)
        .find_map(at)
        .map_or(0, |local| local.timestamp_micros());
    Time::from_unix_micros(micros)
}

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limit {
    /// What is counted.
    pub meter: Meter,
    /// From when on.
    pub period: Period,
    /// Seconds or octets.
    pub amount: u64,
}

impl Limit {
    /// What is left of it.
    pub fn left(&self, used: Totals) -> u64 {
        self.amount.saturating_sub(self.meter.of(used))
    }

    /// For how many seconds somebody may stay who begins now: what is left, and where the period ends before that, what
    /// the next one gives, too. None for a limit of traffic.
    pub fn seconds_from_now(
        &self,
        used: Totals,
        now: Time,
        zone: Tz,
        member_since: NaiveDate,
    ) -> Option<u64> {
        if self.meter != Meter::Time {
            return None;
        }
        let left = self.left(used);
        let (today, tomorrow) = local_day(now, zone);
        let Some(next) = self.period.next_day(today, member_since) else {
            return Some(left);
        };
        // Days have 23 hours at least: what is far off need not be reckoned.
        let days = next.signed_duration_since(today).num_days();
        let least = u64::try_from(days - 1).unwrap_or(0) * 23 * 3_600;
        if least > left {
            return Some(left);
        }
        let at = match days {
            1 => tomorrow,
            _ => midnight(next, zone),
        };
        match u64::try_from(at.seconds_since(now)) {
            Ok(seconds) if seconds < left => Some(seconds.saturating_add(self.amount)),
            _ => Some(left),
        }
    }
}

/// What a number of seconds is called, the largest first.
const TIMES: [(&str, u64); 5] = [
    ("weeks", 604_800),
    ("days", 86_400),
    ("h", 3_600),
    ("min", 60),
    ("s", 1),
];
/// What a number of octets is called, the largest first.
const SIZES: [(&str, u64); 9] = [
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// A number with its largest unit that leaves nothing over.
fn with_unit(amount: u64, units: &[(&str, u64)]) -> String {
    let fits = |(_, size): &&(&str, u64)| amount >= *size && amount.is_multiple_of(*size);
    match units.iter().find(fits) {
        Some((unit, size)) => format!("{} {unit}", amount / size),
        None => format!("{amount} {}", units.last().map_or("", |(unit, _)| unit)),
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.meter {
            Meter::Time => f.write_str(&with_unit(self.amount, &TIMES))?,
            Meter::Up => write!(f, "up {}", with_unit(self.amount, &SIZES))?,
            Meter::Down => write!(f, "down {}", with_unit(self.amount, &SIZES))?,
            Meter::Total => f.write_str(&with_unit(self.amount, &SIZES))?,
        }
        match self.period {
            Period::Day => f.write_str("/day"),
            Period::Week => f.write_str("/week"),
            Period::Month => f.write_str("/month"),
            Period::Subscription => f.write_str("/subscription month"),
            Period::Rolling(1) => f.write_str("/1 day"),
            Period::Rolling(days) => write!(f, "/{days} days"),
            Period::Lifetime => f.write_str("/lifetime"),
            Period::Ever => Ok(()),
        }
    }
}

impl FromStr for Limit {
    type Err = String;

    /// # Errors
    /// A sentence that says which part is not understood.
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| Err(format!("limit '{}': {why}", text.escape_debug()));
        let (amount, period) = text.split_once('/').unwrap_or((text, "ever"));
        let amount = amount.trim();
        let (meter, amount) = match amount.split_once(char::is_whitespace) {
            Some(("up", rest)) => (Some(Meter::Up), rest),
            Some(("down", rest)) => (Some(Meter::Down), rest),
            Some(("total", rest)) => (Some(Meter::Total), rest),
            _ => (None, amount),
        };
        let (amount, is_time) = match parse_amount(amount) {
            Ok(parsed) => parsed,
            Err(why) => return refuse(why),
        };
        let meter = match (meter, is_time) {
            (None, true) => Meter::Time,
            (None, false) => Meter::Total,
            (Some(meter), false) => meter,
            (Some(_), true) => return refuse("up, down and total are of octets, not of time"),
        };
        let Some(period) = parse_period(period.trim()) else {
            return refuse(
                "a period is day, week, month, subscription month, lifetime, ever, or '1 day' to '62 days' for rolling ones",
            );
        };
        Ok(Limit {
            meter,
            period,
            amount,
        })
    }
}

/// Seconds or octets, and whether they are seconds.
fn parse_amount(text: &str) -> Result<(u64, bool), &'static str> {
    const HINT: &str = "write a number with a unit: 90 min, 2 h, 3 days, 500 MB, 1.5 GB, 2 GiB";
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim();
    let (size, is_time) = unit_of(unit).ok_or(HINT)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || part.len() > 6 || part.contains('.') {
        return Err(HINT);
    }
    let whole: u64 = whole.parse().map_err(|_| HINT)?;
    let too_much = "it is too large: at most 8 EB and 100 years";
    let mut amount = whole.checked_mul(size).ok_or(too_much)?;
    let mut place = size;
    for digit in part.bytes() {
        place /= 10;
        amount = amount
            .checked_add(place * u64::from(digit - b'0'))
            .ok_or(too_much)?;
    }
    let most = if is_time {
        100 * 366 * 86_400
    } else {
        8_000_000_000_000_000_000
    };
    match amount {
        0 => Err("nothing at all is no limit: disable the person instead"),
        amount if amount > most => Err(too_much),
        amount => Ok((amount, is_time)),
    }
}

fn unit_of(unit: &str) -> Option<(u64, bool)> {
    let same = |(name, size): &(&str, u64)| (*name == unit).then_some(*size);
    if let Some(size) = TIMES.iter().find_map(same) {
        return Some((size, true));
    }
    if let Some(size) = SIZES.iter().find_map(same) {
        return Some((size, false));
    }
    let also = [
        ("sec", 1),
        ("second", 1),
        ("seconds", 1),
        ("m", 60),
        ("minute", 60),
        ("minutes", 60),
        ("hour", 3_600),
        ("hours", 3_600),
        ("d", 86_400),
        ("day", 86_400),
        ("week", 604_800),
    ];
    if let Some(size) = also.iter().find_map(same) {
        return Some((size, true));
    }
    // "10G", "500mb": what people type.
    let lower = unit.to_ascii_lowercase();
    let size = match lower.strip_suffix('b').unwrap_or(&lower) {
        "k" => 1_000,
        "m" if lower != "m" || unit == "M" => 1_000_000,
        "g" => 1_000_000_000,
        "t" => 1_000_000_000_000,
        "ki" => 1 << 10,
        "mi" => 1 << 20,
        "gi" => 1 << 30,
        "ti" => 1 << 40,
        _ => return None,
    };
    Some((size, false))
}

fn parse_period(text: &str) -> Option<Period> {
    Some(match text {
        "day" => Period::Day,
        "week" => Period::Week,
        "month" => Period::Month,
        "subscription month" | "subscription-month" | "subscription" => Period::Subscription,
        "lifetime" => Period::Lifetime,
        "ever" | "never" => Period::Ever,
        _ => {
            let days = text
                .strip_suffix("days")
                .or_else(|| text.strip_suffix("day"))
                .or_else(|| text.strip_suffix('d'))?;
            let days: u16 = days.trim().parse().ok()?;
            (1..=MAX_ROLLING_DAYS)
                .contains(&days)
                .then_some(Period::Rolling(days))?
        }
    })
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
