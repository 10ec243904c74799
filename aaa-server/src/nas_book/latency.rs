//! How long answers took: a histogram with four buckets to each doubling, so that a percentile is right within an eighth.

use serde::{Deserialize, Serialize};

/// Times below this share the first bucket: nobody tells them apart.
const FIRST_OCTAVE: u32 = 3;
/// From 8 µs to 8.4 s in doublings of four buckets each, and one before them.
pub const BUCKETS: usize = 81;

/// Counts by length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency([u32; BUCKETS]);

impl Default for Latency {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

/// What a histogram says in two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half of the answers took no longer.
    pub p50_micros: u64,
    /// 99 of 100 took no longer.
    pub p99_micros: u64,
}

impl Latency {
    /// One answer.
    pub fn add(&mut self, micros: u64) {
        let counter = &mut self.0[bucket(micros)];
        *counter = counter.saturating_add(1);
    }

    /// All of another.
    pub fn merge(&mut self, other: &Latency) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    /// How many answers were counted.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|count| u64::from(*count)).sum()
    }

    /// Nothing counted.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|count| *count == 0)
    }

    /// The length that so many of 1,000 answers did not exceed.
    pub fn per_mille(&self, share: u64) -> Option<u64> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        let wanted = (total * share).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (index, count) in self.0.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return Some(upper(index));
            }
        }
        None
    }

    /// The two numbers; `None` without an answer.
    pub fn percentiles(&self) -> Option<Percentiles> {
        Some(Percentiles {
            p50_micros: self.per_mille(500)?,
            p99_micros: self.per_mille(990)?,
        })
    }
}

fn bucket(micros: u64) -> usize {
    if micros < 1 << FIRST_OCTAVE {
        return 0;
    }
    let octave = micros.ilog2();
    let quarter = (micros >> (octave - 2)) & 3;
    let index = 1 + (octave - FIRST_OCTAVE) as usize * 4 + quarter as usize;
    index.min(BUCKETS - 1)
}

/// The longest time that falls into a bucket.
fn upper(index: usize) -> u64 {
    if index == 0 {
        return (1 << FIRST_OCTAVE) - 1;
    }
    let octave = FIRST_OCTAVE + ((index - 1) / 4) as u32;
    let quarter = ((index - 1) % 4) as u64;
    ((5 + quarter) << (octave - 2)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_lies_in_a_bucket_that_ends_within_a_quarter_above_it() {
        for micros in (0..200_000).chain([1 << 20, (1 << 23) - 1]) {
            let end = upper(bucket(micros));
            assert!(end >= micros, "{micros}: {end}");
            assert!(micros < 8 || end - micros <= micros / 4, "{micros}: {end}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_what_was_added() {
        let mut latency = Latency::default();
        assert_eq!(latency.percentiles(), None);
        (0..98).for_each(|_| latency.add(100));
        latency.add(50_000);
        latency.add(50_000);
        let told = latency.percentiles().expect("answers");
        assert!((100..125).contains(&told.p50_micros), "{told:?}");
        assert!((50_000..62_500).contains(&told.p99_micros), "{told:?}");
        let mut twice = latency.clone();
        twice.merge(&latency);
        assert_eq!((twice.count(), twice.percentiles()), (200, Some(told)));
    }
}
