//! The reports that a session's totals follow from, so that their order does not matter.
//!
//! Totals are not kept as numbers that grow: they are a fold over *marks* (what a report said its counters were, and
//! when), sorted by the time of the event. A late report takes its place in between, a repeated one finds itself
//! there already. The fold infers the wraps of 32-bit counters, never lowers a total, and says what each local day
//! added. Marks that can no longer matter are dropped: with Gigawords, the first and the last of each day remain. Without them, which of
//! two numbers came first may decide about 4 GiB: there the last [`RECENT_MARKS`] remain, and the last [`MAX_MARKS`]
//! once a counter has been in the upper half of 32 bits. A report that comes later than that many others is the only
//! one whose delay could show.
//!
//! Beginnings and endings are kept beside the marks, for the same reason. Nothing here knows SQL or a clock.

use super::apply::local_day;
use chrono::TimeZone;
use chrono_tz::Tz;
use kernel::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Enough for half a day of reports every quarter of an hour to arrive in any order, small enough for one row (4 KiB).
/// Older marks are settled into one: a report from before it changes no total.
pub const MAX_MARKS: usize = 48;
/// A NAS that repeats or reorders does so with a few reports, not with more than this.
pub const RECENT_MARKS: usize = 16;
/// Days of which the usage is remembered until somebody is known whose it is. Of more, the oldest are told as one.
pub const MAX_UNOWNED_DAYS: usize = 62;
/// Retransmissions are of the last reports: a NAS sends a few at most before it waits for an answer.
pub const RECENT_REPORTS: usize = 3;
/// A session ends once; NASes that stop and go on do it a few times. Of more, the oldest are forgotten.
pub const MAX_ENDINGS: usize = 8;

/// From here on the next smaller value means that 32 bits were full; below, that the device lost count. RFC 1982 draws
/// the line in the same place.
const UPPER_HALF: u32 = 1 << 31;
const WRAP: u64 = 1 << 32;

/// A counter as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    /// The octets attribute.
    pub low: u32,
    /// Gigawords, where they were sent: then the value is exact.
    pub high: Option<u32>,
}

impl Count {
    fn exact(self) -> Option<u64> {
        self.high
            .map(|high| (u64::from(high) << 32) | u64::from(self.low))
    }
}

/// What one report said the counters were. The order is that of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "MarkText", into = "MarkText")]
pub struct Mark {
    /// Event time, microseconds since 1970.
    pub at: i64,
    /// Session time.
    pub seconds: Option<i64>,
    /// From the client.
    pub input: Option<Count>,
    /// To the client.
    pub output: Option<Count>,
    /// The organisation's local day, counted from 1 January of year 1.
    pub day: i32,
}

/// A mark as stored, without names: there are many. Event time, day, session time, then low and high of each counter.
type MarkText = (
    i64,
    i32,
    Option<i64>,
    Option<u32>,
    Option<u32>,
    Option<u32>,
    Option<u32>,
);

impl From<MarkText> for Mark {
    fn from((at, day, seconds, input, input_high, output, output_high): MarkText) -> Mark {
        let count = |low: Option<u32>, high| low.map(|low| Count { low, high });
        Mark {
            at,
            seconds,
            input: count(input, input_high),
            output: count(output, output_high),
            day,
        }
    }
}

impl From<Mark> for MarkText {
    fn from(mark: Mark) -> MarkText {
        let low = |count: Option<Count>| count.map(|count| count.low);
        let high = |count: Option<Count>| count.and_then(|count| count.high);
        let (input, output) = (mark.input, mark.output);
        (
            mark.at,
            mark.day,
            mark.seconds,
            low(input),
            high(input),
            low(output),
            high(output),
        )
    }
}

/// A reported end of the session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ending {
    /// Event time, microseconds since 1970.
    #[serde(rename = "t")]
    pub at: i64,
    /// Whether nothing that is heard later opens the session again (the NAS has restarted).
    #[serde(rename = "f", default, skip_serializing_if = "is_false")]
    pub is_final: bool,
    /// Why it ended.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The organisation's local day.
    #[serde(rename = "d")]
    pub day: i32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for the reference
fn is_false(value: &bool) -> bool {
    !*value
}

/// What a session has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Session time.
    pub seconds: i64,
    /// Octets from the client.
    pub input: i64,
    /// Octets to the client.
    pub output: i64,
}

impl Totals {
    /// This less what was there before.
    pub fn minus(self, before: Totals) -> Totals {
        Totals {
            seconds: self.seconds.saturating_sub(before.seconds),
            input: self.input.saturating_sub(before.input),
            output: self.output.saturating_sub(before.output),
        }
    }

    /// Both together.
    pub fn plus(self, more: Totals) -> Totals {
        Totals {
            seconds: self.seconds.saturating_add(more.seconds),
            input: self.input.saturating_add(more.input),
            output: self.output.saturating_add(more.output),
        }
    }

    /// Whether nothing was used.
    pub fn is_zero(self) -> bool {
        self == Totals::default()
    }
}

/// The state of the fold after some marks; stored as the base once those are settled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Event time of the newest mark in it.
    #[serde(rename = "t")]
    at: i64,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    seconds: Option<i64>,
    #[serde(rename = "i")]
    input: u64,
    #[serde(rename = "o")]
    output: u64,
    #[serde(rename = "w")]
    wraps: i64,
    /// Event time of the last mark that added something.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    grew: Option<i64>,
}

impl Tally {
    fn totals(&self) -> Totals {
        Totals {
            seconds: self.seconds.unwrap_or(0),
            input: i64::try_from(self.input).unwrap_or(i64::MAX),
            output: i64::try_from(self.output).unwrap_or(i64::MAX),
        }
    }

    /// Takes the next mark in; whether it added something.
    fn take(&mut self, mark: &Mark) -> bool {
        let before = self.totals();
        // A session time that has not moved on marks a report from before: lower counters then mean nothing.
        let moves_on = match (self.seconds, mark.seconds) {
            (Some(known), Some(said)) => said > known || (said == 0 && known == 0),
            _ => true,
        };
        let mut wraps = 0;
        self.input = next_count(self.input, mark.input, moves_on, &mut wraps);
        self.output = next_count(self.output, mark.output, moves_on, &mut wraps);
        self.wraps = self.wraps.saturating_add(wraps);
        self.seconds = self.seconds.max(mark.seconds);
        self.at = self.at.max(mark.at);
        let grew = self.totals() != before;
        if grew {
            self.grew = Some(mark.at);
        }
        grew
    }
}

/// The counter's total after a report: never lower than before.
fn next_count(total: u64, said: Option<Count>, moves_on: bool, wraps: &mut i64) -> u64 {
    let Some(said) = said else { return total };
    if let Some(exact) = said.exact() {
        return total.max(exact);
    }
    let below = (total & !(WRAP - 1)) | u64::from(said.low);
    if below >= total {
        return below;
    }
    // Zero is what devices send that have forgotten: after a wrap it stands there once in four thousand million.
    let was_high = total & (WRAP - 1) >= u64::from(UPPER_HALF);
    if moves_on && was_high && said.low > 0 {
        *wraps += 1;
        return below + WRAP;
    }
    total
}

/// A local day and what it added, as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct UnownedDay(i32, i64, i64, i64);

impl UnownedDay {
    fn totals(self) -> Totals {
        Totals {
            seconds: self.1,
            input: self.2,
            output: self.3,
        }
    }
}

/// Everything that totals, days, start and end follow from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// What settled marks came to.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    base: Option<Tally>,
    /// Sorted.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    marks: Vec<Mark>,
    /// Sorted.
    #[serde(rename = "e", default, skip_serializing_if = "Vec::is_empty")]
    endings: Vec<Ending>,
    /// What settled marks added on each local day, while nobody is known whose usage it is. Sorted.
    #[serde(rename = "u", default, skip_serializing_if = "Vec::is_empty")]
    unowned: Vec<UnownedDay>,
    /// Earliest begin that a report of a begin gave.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    said_begin: Option<i64>,
    /// Earliest begin that follows from a session time.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    reckoned_begin: Option<i64>,
    /// Earliest event.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    first_event: Option<i64>,
    /// Digests of the last reports, by which a retransmission is known.
    #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
    recent: Vec<u64>,
}

impl Ledger {
    /// Enters that a report was heard; whether it is another than the last ones.
    pub fn hear(&mut self, digest: u64) -> bool {
        if self.recent.contains(&digest) {
            return false;
        }
        if self.recent.len() == RECENT_REPORTS {
            self.recent.remove(0);
        }
        self.recent.push(digest);
        true
    }

    /// Enters what a report said its counters were.
    pub fn enter(&mut self, mark: Mark) {
        if self.base.is_some_and(|base| mark.at <= base.at) {
            return;
        }
        if let Err(place) = self.marks.binary_search(&mark) {
            self.marks.insert(place, mark);
            self.tidy();
        }
    }

    /// Enters that the session ended.
    pub fn end(&mut self, ending: Ending) {
        let Err(place) = self.endings.binary_search(&ending) else {
            return;
        };
        self.endings.insert(place, ending);
        if self.endings.len() > MAX_ENDINGS {
            let oldest = self
                .endings
                .iter()
                .position(|ending| !ending.is_final)
                .unwrap_or(0);
            self.endings.remove(oldest);
        }
    }

    /// Enters when an event was and which begin follows from it.
    pub fn begin(&mut self, event: Time, begin: Option<Time>, is_said: bool) {
        let earliest =
            |known: Option<i64>, new: i64| Some(known.map_or(new, |known| known.min(new)));
        self.first_event = earliest(self.first_event, event.unix_micros());
        if let Some(begin) = begin.map(Time::unix_micros) {
            if is_said {
                self.said_begin = earliest(self.said_begin, begin);
            } else {
                self.reckoned_begin = earliest(self.reckoned_begin, begin);
            }
        }
    }

    /// When the session began: what its Start said, else what follows from its session time, else its first event.
    pub fn started(&self) -> Option<Time> {
        let begin = self.said_begin.or(self.reckoned_begin).or(self.first_event);
        begin.map(Time::from_unix_micros)
    }

    /// Whether [`Ledger::started`] is more than the first that was heard.
    pub fn knows_begin(&self) -> bool {
        self.said_begin.is_some() || self.reckoned_begin.is_some()
    }

    /// The end in force, if there is one: the earliest after which no counter grew. What ends for good ends also what
    /// still grows.
    pub fn ending(&self) -> Option<&Ending> {
        let grew = self.tally().grew.unwrap_or(i64::MIN);
        let quiet = self
            .endings
            .iter()
            .find(|ending| !ending.is_final && ending.at >= grew);
        let last = self.endings.iter().find(|ending| ending.is_final);
        match (quiet, last) {
            (Some(quiet), Some(last)) if last.at < quiet.at => Some(last),
            (quiet, last) => quiet.or(last),
        }
    }

    /// When a counter last grew.
    pub fn last_growth(&self) -> Option<Time> {
        self.tally().grew.map(Time::from_unix_micros)
    }

    /// What was used, and how many wraps that includes.
    pub fn totals(&self) -> (Totals, i64) {
        let tally = self.tally();
        let mut totals = tally.totals();
        if let Some((_, _, seconds)) = self.reckoned_seconds(&tally) {
            totals.seconds = seconds;
        }
        (totals, tally.wraps)
    }

    /// What each local day added, settled marks apart. What was used between two reports on different days belongs to
    /// both, and to those between, evenly.
    pub fn by_day(&self, zone: Tz) -> BTreeMap<i32, Totals> {
        let mut days = BTreeMap::new();
        let mut tally = self.base.unwrap_or_default();
        let mut since = self.begin_of_marks();
        for mark in &self.marks {
            let before = tally.totals();
            if tally.take(mark) {
                let more = tally.totals().minus(before);
                spread(&mut days, since, mark.at, mark.day, more, zone);
            }
            since = mark.at;
        }
        if let Some((at, day, seconds)) = self.reckoned_seconds(&tally) {
            let more = Totals {
                seconds,
                ..Totals::default()
            };
            let begin = self.started().map_or(at, Time::unix_micros);
            spread(&mut days, begin, at, day, more, zone);
        }
        days
    }

    /// From when on the first mark counts: the settled ones, else the begin.
    fn begin_of_marks(&self) -> i64 {
        let settled = self.base.map(|base| base.at);
        let begin = || self.started().map(Time::unix_micros);
        settled.or_else(begin).unwrap_or(i64::MAX)
    }

    /// What each local day added, settled marks that were never counted included.
    pub fn by_day_from_the_first(&self, zone: Tz) -> BTreeMap<i32, Totals> {
        let mut days = self.by_day(zone);
        for unowned in &self.unowned {
            let sum = days.entry(unowned.0).or_default();
            *sum = sum.plus(unowned.totals());
        }
        days
    }

    /// Settles the oldest marks when there are too many. What they added was counted (`is_owned`: call it after that), or
    /// is remembered until somebody is known whose it is.
    pub fn settle(&mut self, is_owned: bool, zone: Tz) {
        if is_owned {
            self.unowned.clear();
        }
        while self.marks.len() > MAX_MARKS {
            let since = self.begin_of_marks();
            let oldest = self.marks.remove(0);
            let base = self.base.get_or_insert_default();
            let before = base.totals();
            base.take(&oldest);
            let more = base.totals().minus(before);
            if !is_owned {
                let mut days = BTreeMap::new();
                spread(&mut days, since, oldest.at, oldest.day, more, zone);
                for (day, more) in days {
                    self.remember(day, more);
                }
            }
        }
    }

    fn remember(&mut self, day: i32, more: Totals) {
        let place = match self.unowned.binary_search_by_key(&day, |known| known.0) {
            Ok(place) => place,
            Err(place) => {
                self.unowned.insert(place, UnownedDay(day, 0, 0, 0));
                place
            }
        };
        let sum = self.unowned[place].totals().plus(more);
        self.unowned[place] = UnownedDay(day, sum.seconds, sum.input, sum.output);
        if self.unowned.len() > MAX_UNOWNED_DAYS {
            let oldest = self.unowned.remove(0).totals();
            let sum = self.unowned[0].totals().plus(oldest);
            self.unowned[0] = UnownedDay(self.unowned[0].0, sum.seconds, sum.input, sum.output);
        }
    }

    /// A session that has ended without any report of its time lasted from its begin to its end.
    fn reckoned_seconds(&self, tally: &Tally) -> Option<(i64, i32, i64)> {
        let ending = self.ending().filter(|_| tally.seconds.is_none())?;
        let seconds = Time::from_unix_micros(ending.at).seconds_since(self.started()?);
        (seconds > 0).then_some((ending.at, ending.day, seconds))
    }

    fn tally(&self) -> Tally {
        let mut tally = self.base.unwrap_or_default();
        for mark in &self.marks {
            tally.take(mark);
        }
        tally
    }

    /// Drops marks that add nothing and never will, and those that a later one of the same day stands for.
    fn tidy(&mut self) {
        let mut tally = self.base.unwrap_or_default();
        let mut kept: Vec<Mark> = Vec::with_capacity(self.marks.len());
        let recent = self.marks.len().saturating_sub(RECENT_MARKS);
        for (place, mark) in std::mem::take(&mut self.marks).into_iter().enumerate() {
            let before = tally;
            let grew = tally.take(&mark);
            if !grew && is_spent(&before, &mark) {
                tally = before;
                continue;
            }
            let is_recent = place >= recent;
            // The first of its day says what was used before it began.
            let is_first = match kept.len().checked_sub(2).map(|before| &kept[before]) {
                Some(before) => kept.last().is_some_and(|last| last.day != before.day),
                None => true,
            };
            if grew
                && !is_first
                && kept
                    .last()
                    .is_some_and(|earlier| stands_for(&mark, earlier, &before, is_recent))
            {
                kept.pop();
            }
            kept.push(mark);
        }
        self.marks = kept;
    }
}

/// Adds what was used from one moment to another, on the last of these local days, to each day its part.
fn spread(
    days: &mut BTreeMap<i32, Totals>,
    since: i64,
    at: i64,
    last_day: i32,
    more: Totals,
    zone: Tz,
) {
    if more.is_zero() {
        return;
    }
    let mut add = |day: i32, more: Totals| {
        if !more.is_zero() {
            let sum = days.entry(day).or_default();
            *sum = sum.plus(more);
        }
    };
    // One that was silent for longer is told in this many days.
    let earliest = last_day.saturating_sub(i32::try_from(MAX_UNOWNED_DAYS).unwrap_or(i32::MAX));
    let first_day = match since < at {
        true => local_day(Time::from_unix_micros(since), zone).max(earliest),
        false => last_day,
    };
    let part = |amount: i64, until: i64| {
        let (until, whole) = (i128::from(until - since), i128::from(at - since));
        i64::try_from(i128::from(amount) * until / whole).unwrap_or(amount)
    };
    let mut told = Totals::default();
    for day in first_day..last_day {
        // Clocks that are set over midnight move it, and a day that does not end before the report is its last.
        let Some(until) = end_of(day, zone).filter(|until| *until > since && *until < at) else {
            continue;
        };
        let so_far = Totals {
            seconds: part(more.seconds, until),
            input: part(more.input, until),
            output: part(more.output, until),
        };
        add(day, so_far.minus(told));
        told = so_far;
    }
    add(last_day, more.minus(told));
}

/// When a local day ends, in microseconds since 1970.
fn end_of(day: i32, zone: Tz) -> Option<i64> {
    let next = chrono::NaiveDate::from_num_days_from_ce_opt(day.checked_add(1)?)?;
    // Where clocks are set forward over midnight, the day begins with the first hour that there is.
    (0..4).find_map(|hour| {
        let local = zone.from_local_datetime(&next.and_hms_opt(hour, 0, 0)?);
        Some(local.earliest()?.timestamp_micros())
    })
}

/// Whether a mark that added nothing can never add anything, whatever comes in before it.
fn is_spent(before: &Tally, mark: &Mark) -> bool {
    let is_stale =
        before.seconds.is_some() && mark.seconds.is_some() && mark.seconds <= before.seconds;
    let says_nothing =
        |said: Option<Count>| said.is_none_or(|said| said.high.is_some() || said.low == 0);
    is_stale || (says_nothing(mark.input) && says_nothing(mark.output))
}

/// Whether `later` alone gives the same totals and days as `earlier` and `later`, also with marks between them.
fn stands_for(later: &Mark, earlier: &Mark, after_earlier: &Tally, is_recent: bool) -> bool {
    let seconds = match (earlier.seconds, later.seconds) {
        (None, None) => true,
        (_, Some(later)) => Some(later) >= after_earlier.seconds,
        (Some(_), None) => false,
    };
    later.day == earlier.day
        && seconds
        && replaces(later.input, earlier.input, after_earlier.input, is_recent)
        && replaces(
            later.output,
            earlier.output,
            after_earlier.output,
            is_recent,
        )
}

fn replaces(later: Option<Count>, earlier: Option<Count>, total: u64, is_recent: bool) -> bool {
    let Some(earlier) = earlier else { return true };
    let Some(later) = later else { return false };
    match (later.exact(), earlier.high) {
        (Some(exact), _) => exact >= total,
        (None, Some(_)) => false,
        // Two late reports from the upper half may still part them.
        (None, None) if is_recent => false,
        (None, None) => total <= u64::from(later.low) && later.low < UPPER_HALF,
    }
}

#[cfg(test)]
mod tests;
