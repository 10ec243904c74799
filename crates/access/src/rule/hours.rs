//! Login-Time: the hours of the week at which access is allowed.
//!
//! The text is UUCP's: `Wk0900-1700,Sa1000-1400`, `Al`, `Mo-Th0800-1800|Fr0800-1300`. Days are Su Mo Tu We Th Fr Sa, Wk
//! (Monday to Friday), and Al or Any (all). A range that ends before it begins goes over midnight. Which hour it is
//! where the person is, the caller must know: there is no time zone here.

/// Minutes of a day.
const DAY: u16 = 24 * 60;
/// Minutes of a week, from Sunday midnight.
const WEEK: u16 = 7 * DAY;
/// Parts of one text; a week has 168 hours.
const MAX_PARTS: usize = 168;
/// Days as they are written; the number is the days they mean, Sunday the lowest bit.
const DAYS: [(&str, u8); 10] = [
    ("su", 1),
    ("mo", 2),
    ("tu", 4),
    ("we", 8),
    ("th", 16),
    ("fr", 32),
    ("sa", 64),
    ("wk", 62),
    ("any", 127),
    ("al", 127),
];

/// Allowed hours of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginHours {
    /// Minutes of the week, end excluded, sorted, apart from each other.
    ranges: Vec<(u16, u16)>,
}

/// Whether a moment is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// It is not.
    No,
    /// It is, for so many seconds more.
    ForSeconds(u32),
    /// All the week is.
    Always,
}

impl LoginHours {
    /// Reads the text.
    ///
    /// # Errors
    /// A sentence that names the wrong part.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split([',', '|']).map(str::trim).collect();
        if parts.len() > MAX_PARTS {
            return Err(format!("it has more than {MAX_PARTS} parts"));
        }
        let mut ranges = Vec::new();
        for part in parts {
            let (days, hours) = read_days(part)?;
            let (start, end) = read_hours(part, hours)?;
            for day in (0..7u16).filter(|day| days & (1 << day) != 0) {
                let begins = day * DAY + start;
                // A range that ends where it begins is a whole day.
                let length = if end > start {
                    end - start
                } else {
                    DAY - start + end
                };
                if begins + length > WEEK {
                    ranges.push((begins, WEEK));
                    ranges.push((0, begins + length - WEEK));
                } else {
                    ranges.push((begins, begins + length));
                }
            }
        }
        ranges.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::with_capacity(ranges.len());
        for (start, end) in ranges {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        Ok(Self { ranges: merged })
    }

    /// Whether a moment is allowed: days from Sunday (0), seconds since local midnight.
    pub fn at(&self, days_from_sunday: u32, second_of_day: u32) -> Allowed {
        let second = (days_from_sunday % 7) * u32::from(DAY) * 60 + second_of_day.min(86_399);
        let minute = second / 60;
        let Some((start, end)) = self
            .ranges
            .iter()
            .find(|(start, end)| (u32::from(*start)..u32::from(*end)).contains(&minute))
        else {
            return Allowed::No;
        };
        if (*start, *end) == (0, WEEK) {
            return Allowed::Always;
        }
        let over_the_week = match self.ranges.first() {
            Some((0, first_end)) if *end == WEEK => u32::from(*first_end),
            _ => 0,
        };
        Allowed::ForSeconds((u32::from(*end) + over_the_week) * 60 - second)
    }
}

/// The days at the beginning of a part, and what follows.
fn read_days(part: &str) -> Result<(u8, &str), String> {
    let mut days = 0;
    let mut rest = part;
    while let Some((bits, after)) = read_day(rest) {
        rest = after;
        // "Mo-Fr", over the end of the week too
        match rest.strip_prefix('-').and_then(read_day) {
            Some((last, after)) if bits.is_power_of_two() && last.is_power_of_two() => {
                let mut day = bits;
                while day != last {
                    days |= day;
                    day = if day == 64 { 1 } else { day << 1 };
                }
                days |= last;
                rest = after;
            }
            _ => days |= bits,
        }
    }
    if days == 0 {
        return Err(format!(
            "'{part}' names no day; write Su Mo Tu We Th Fr Sa, Wk or Al"
        ));
    }
    Ok((days, rest))
}

fn read_day(text: &str) -> Option<(u8, &str)> {
    DAYS.iter().find_map(|(name, bits)| {
        let head = text.get(..name.len())?;
        head.eq_ignore_ascii_case(name)
            .then(|| (*bits, &text[name.len()..]))
    })
}

fn read_hours(part: &str, hours: &str) -> Result<(u16, u16), String> {
    let wrong = || format!("'{part}': hours are written 0900-1700");
    if hours.is_empty() {
        return Ok((0, DAY));
    }
    let (start, end) = hours.split_once('-').ok_or_else(wrong)?;
    let minute = |text: &str| -> Option<u16> {
        let (hour, minute) = text.trim().split_at_checked(2)?;
        let digits = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| text.parse().ok())?
        };
        let (hour, minute): (u16, u16) = (
            digits(hour)?,
            digits(minute.strip_prefix(':').unwrap_or(minute))?,
        );
        (minute < 60 && hour * 60 + minute <= DAY).then_some(hour * 60 + minute)
    };
    let (start, end) = (
        minute(start).ok_or_else(wrong)?,
        minute(end).ok_or_else(wrong)?,
    );
    // 2400 is the end of a day, never its beginning.
    if start == DAY {
        Err(wrong())
    } else {
        Ok((start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sunday is 0.
    const MO: u32 = 1;
    const FR: u32 = 5;
    const SA: u32 = 6;
    const SU: u32 = 0;

    #[test]
    fn hours_are_allowed_to_the_minute() {
        fn check(text: &str, day: u32, hour: u32, minute: u32, expect: Allowed) {
            let hours = LoginHours::parse(text).unwrap();
            assert_eq!(
                hours.at(day, hour * 3600 + minute * 60),
                expect,
                "{text} {day} {hour}:{minute}"
            );
        }
        let minutes = |minutes: u32| Allowed::ForSeconds(minutes * 60);
        check("Wk0900-1700", MO, 8, 59, Allowed::No);
        check("Wk0900-1700", MO, 9, 0, minutes(480));
        check("Wk0900-1700", FR, 16, 59, minutes(1));
        check("Wk0900-1700", FR, 17, 0, Allowed::No);
        check("Wk0900-1700", SA, 12, 0, Allowed::No);
        check("wk09:00-17:00", MO, 9, 0, minutes(480));
        check("Wk0900-1700,Sa1000-1400", SA, 13, 0, minutes(60));
        check("Wk0900-1700|Sa1000-1400", SA, 13, 0, minutes(60));
        check("SaSu", SA, 0, 0, minutes(2 * 1440));
        check("Fr2200-0600", SA, 5, 0, minutes(60));
        check("Fr2200-0600", FR, 5, 0, Allowed::No);
        check("Sa2200-0600", SU, 5, 0, minutes(60));
        check("Sa2200-0600", SA, 23, 0, minutes(7 * 60));
        check("Mo-Fr0800-1800", FR, 17, 0, minutes(60));
        check("Fr-Mo", SU, 12, 0, minutes(36 * 60));
        check("Mo1200-2400,Tu0000-0600", MO, 12, 0, minutes(18 * 60));
        check("Mo0800-0800", MO, 8, 0, minutes(1440));
        check("Al", MO, 3, 0, Allowed::Always);
        check("Any0800-1800", SU, 8, 0, minutes(600));
    }

    #[test]
    fn a_moment_within_a_minute_counts_its_seconds() {
        let hours = LoginHours::parse("Mo0900-1000").unwrap();
        assert_eq!(hours.at(MO, 10 * 3600 - 1), Allowed::ForSeconds(1));
        assert_eq!(hours.at(MO, 10 * 3600), Allowed::No);
    }

    #[test]
    fn a_wrong_part_is_named() {
        for (text, part) in [
            ("", "names no day"),
            ("Xx0900-1700", "'Xx0900-1700' names no day"),
            ("Mo,Tu0900", "'Tu0900': hours"),
            ("Mo0960-1000", "hours"),
            ("Mo2500-2600", "hours"),
            ("Mo2400-0100", "hours"),
            ("Mo09-17", "hours"),
            ("Mo0900-1700x", "hours"),
            ("Mo+900-1700", "hours"),
            ("M\u{f6}0900-1700", "names no day"),
        ] {
            let read = LoginHours::parse(text);
            assert!(
                matches!(&read, Err(reason) if reason.contains(part)),
                "{text}: {read:?}"
            );
        }
    }
}
