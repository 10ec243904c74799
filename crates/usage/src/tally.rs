//! What each membership used, day by day, in memory: limits are counted from here and cost no question to SQL.
//!
//! [`Tally::load`] reads the running totals once; from then on each batch that was applied tells what its days have come
//! to ([`Tally::applied`]). Those are sums and not steps, so hearing one twice, or before it is loaded, changes nothing.
//! What was heard and is not in SQL yet lies in [`crate::live::Live`]; a reader adds both.
//!
//! It must **never** be written to SQL, and no lock is held over SQL.

use crate::applied::AppliedSession;
use crate::counters::{self, DaySum};
use crate::session::Totals;
use kernel::id::Uuid;
use kernel::{Db, Error};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// Locks: so many that threads rarely meet.
const SHARDS: usize = 64;
/// Days that are told apart: a month of any length, the one before it, and some. Older ones are one sum.
pub const MAX_DAYS: usize = 70;
/// Memberships that are counted at most. Of more nothing is known here, and [`Tally::is_complete`] says so.
const MAX_MEMBERSHIPS: usize = 2_000_000;

/// A day, in 24 octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Day {
    day: i32,
    seconds: u32,
    input: u64,
    output: u64,
}

impl Day {
    fn new(sum: &DaySum) -> Day {
        Day {
            day: sum.day,
            seconds: u32::try_from(sum.sum.seconds.max(0)).unwrap_or(u32::MAX),
            input: sum.sum.input.max(0).unsigned_abs(),
            output: sum.sum.output.max(0).unsigned_abs(),
        }
    }

    fn totals(self) -> Totals {
        Totals {
            seconds: self.seconds.into(),
            input: i64::try_from(self.input).unwrap_or(i64::MAX),
            output: i64::try_from(self.output).unwrap_or(i64::MAX),
        }
    }
}

#[derive(Debug, Default)]
struct Days {
    /// Of all days up to this one.
    older: Totals,
    until: Option<i32>,
    /// Sorted.
    days: Vec<Day>,
}

impl Days {
    /// Takes over what a day has come to; `delta` is what it grew by, for a day that is not told apart any more.
    fn set(&mut self, sum: &DaySum, delta: Totals, replaces: bool) {
        if self.until.is_some_and(|until| sum.day <= until) {
            self.older = self.older.plus(delta);
            return;
        }
        match self.days.binary_search_by_key(&sum.day, |day| day.day) {
            Ok(place) if replaces => self.days[place] = Day::new(sum),
            Ok(_) => {}
            Err(place) => self.days.insert(place, Day::new(sum)),
        }
        if self.days.len() > MAX_DAYS {
            let oldest = self.days.remove(0);
            self.older = self.older.plus(oldest.totals());
            self.until = Some(oldest.day);
        }
    }

    fn since(&self, day: i32) -> Totals {
        let first = self.days.partition_point(|known| known.day < day);
        let all_older = match self.until {
            Some(until) if day <= until => self.older,
            _ => Totals::default(),
        };
        self.days[first..]
            .iter()
            .fold(all_older, |sum, day| sum.plus(day.totals()))
    }
}

/// The table.
#[derive(Debug)]
pub struct Tally {
    hashes: RandomState,
    shards: Vec<RwLock<HashMap<Uuid, Days>>>,
    is_complete: AtomicBool,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            hashes: RandomState::new(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            is_complete: AtomicBool::new(false),
        }
    }
}

impl Tally {
    /// Reads every running total, page by page. What was applied meanwhile stays as it was told.
    ///
    /// # Errors
    /// [`Error::Engine`]; it may be called again.
    pub async fn load(&self, db: &Db) -> Result<(), Error> {
        // What an earlier try added up is added up anew.
        for shard in &self.shards {
            shard
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .clear();
        }
        let mut last = None;
        let mut is_whole = true;
        loop {
            let rows = counters::page_since(db, "", last.as_ref()).await?;
            for row in &rows {
                let sum = row.sum();
                // A day that fell out while it was loaded is known by its sum alone.
                is_whole &= self.put(row.membership_id, &sum, sum.sum, false);
            }
            match rows.into_iter().last() {
                Some(row) => last = Some(row),
                None => break,
            }
        }
        self.is_complete.store(is_whole, Ordering::Release);
        Ok(())
    }

    /// Reads what was used since a day again: another node has counted it. What this node counts at this moment is right
    /// again with its next report.
    ///
    /// # Errors
    /// [`Error::Engine`]; it may be called again.
    pub async fn refresh(&self, db: &Db, since: &str) -> Result<(), Error> {
        let mut last = None;
        loop {
            let rows = counters::page_since(db, since, last.as_ref()).await?;
            for row in &rows {
                self.put(row.membership_id, &row.sum(), Totals::default(), true);
            }
            match rows.into_iter().last() {
                Some(row) => last = Some(row),
                None => return Ok(()),
            }
        }
    }

    /// Whether everything that SQL knows was loaded once.
    pub fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Acquire)
    }

    /// Takes over what a session's days have come to.
    pub fn applied(&self, applied: &AppliedSession) {
        let Some(membership) = applied.session.membership_id else {
            return;
        };
        for sum in &applied.sums {
            let delta = applied.usage.iter().find(|usage| usage.day == sum.day);
            let delta = delta.map(|usage| usage.delta).unwrap_or_default();
            if !self.put(membership, sum, delta, true) {
                self.is_complete.store(false, Ordering::Release);
            }
        }
    }

    /// What a membership used since a local day (counted from 1 January of year 1), that day included; `i32::MIN` for
    /// everything it ever used.
    pub fn since(&self, membership: Uuid, day: i32) -> Totals {
        let shard = self.shard(membership);
        let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
        shard
            .get(&membership)
            .map_or_else(Totals::default, |days| days.since(day))
    }

    /// The same since each of some days.
    pub fn since_each(&self, membership: Uuid, days: &[i32]) -> SmallVec<[Totals; 4]> {
        let shard = self.shard(membership);
        let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
        let known = shard.get(&membership);
        let of = |day: &i32| known.map_or_else(Totals::default, |known| known.since(*day));
        days.iter().map(of).collect()
    }

    /// How many memberships have used something.
    pub fn len(&self) -> usize {
        let len = |shard: &RwLock<HashMap<Uuid, Days>>| {
            shard.read().unwrap_or_else(PoisonError::into_inner).len()
        };
        self.shards.iter().map(len).sum()
    }

    /// Whether nobody has used anything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there was room.
    fn put(&self, membership: Uuid, sum: &DaySum, delta: Totals, replaces: bool) -> bool {
        let mut shard = self
            .shard(membership)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= MAX_MEMBERSHIPS / SHARDS && !shard.contains_key(&membership) {
            return false;
        }
        shard
            .entry(membership)
            .or_default()
            .set(sum, delta, replaces);
        true
    }

    fn shard(&self, membership: Uuid) -> &RwLock<HashMap<Uuid, Days>> {
        &self.shards[self.hashes.hash_one(membership) as usize % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: Uuid = Uuid::from_u128(7);

    fn sum(day: i32, seconds: i64, input: i64) -> DaySum {
        DaySum {
            day,
            sum: Totals {
                seconds,
                input,
                output: 0,
            },
        }
    }

    fn set(tally: &Tally, sum: &DaySum) {
        tally.put(WHO, sum, Totals::default(), true);
    }

    #[test]
    fn a_day_is_what_was_said_last_and_loading_does_not_take_it_back() {
        let tally = Tally::default();
        set(&tally, &sum(10, 60, 1));
        set(&tally, &sum(10, 90, 2));
        set(&tally, &sum(11, 5, 0));
        // A page that was read before.
        tally.put(WHO, &sum(10, 60, 1), Totals::default(), false);
        tally.put(WHO, &sum(9, 1_000, 0), Totals::default(), false);
        for (since, seconds) in [(i32::MIN, 1_095), (9, 1_095), (10, 95), (11, 5), (12, 0)] {
            assert_eq!(tally.since(WHO, since).seconds, seconds, "since {since}");
        }
        assert_eq!(tally.since(Uuid::nil(), 0), Totals::default());
        assert_eq!(tally.len(), 1);
    }

    #[test]
    fn old_days_are_one_sum_and_a_late_report_still_adds_to_it() {
        let tally = Tally::default();
        let days = i32::try_from(MAX_DAYS).expect("few");
        for day in 0..days + 10 {
            set(&tally, &sum(day, 1, 1 << 33));
        }
        let all = tally.since(WHO, i32::MIN);
        assert_eq!((all.seconds, all.input), (80, 80 << 33));
        assert_eq!(tally.since(WHO, 10).seconds, 70);
        assert_eq!(tally.since(WHO, 70).seconds, 10);
        let delta = Totals {
            seconds: 5,
            ..Totals::default()
        };
        tally.put(WHO, &sum(3, 6, 0), delta, true);
        assert_eq!(tally.since(WHO, i32::MIN).seconds, 85);
        assert_eq!(tally.since(WHO, 10).seconds, 70);
    }
}
