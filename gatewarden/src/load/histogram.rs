//! Latencies counted in buckets whose width grows with the value: any percentile to within one part in 128, in 60 KiB.
//!
//! The values are nanoseconds. The greatest is kept as it is.

/// Steps within a power of two, as a power of two: one step is below 0.8 % of the value.
const STEP_BITS: u32 = 7;
const STEPS: usize = 1 << STEP_BITS;
/// Values up to 2⁶⁴ have a place.
const BUCKETS: usize = (64 - STEP_BITS as usize + 1) * STEPS;

/// Counts of values.
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    greatest: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
            greatest: 0,
        }
    }
}

fn bucket(value: u64) -> usize {
    let bits = 64 - value.leading_zeros();
    let shift = bits.saturating_sub(STEP_BITS + 1);
    // Below 2 × STEPS the value is its own bucket; above, `shift` low bits are dropped.
    shift as usize * STEPS + (value >> shift) as usize
}

/// The greatest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let shift = (bucket / STEPS).saturating_sub(1) as u32;
    let high = (bucket - shift as usize * STEPS) as u64;
    (u128::from(high + 1) << shift).saturating_sub(1) as u64
}

impl Histogram {
    pub(super) fn record(&mut self, value: u64) {
        if let Some(count) = self.counts.get_mut(bucket(value)) {
            *count += 1;
        }
        self.total += 1;
        self.greatest = self.greatest.max(value);
    }

    pub(super) fn add(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.greatest = self.greatest.max(other.greatest);
    }

    pub(super) fn greatest(&self) -> u64 {
        self.greatest
    }

    /// How many values were counted.
    #[cfg(test)]
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The value that `share` (0 to 1) of all values do not exceed; 0 where there are none.
    pub(super) fn percentile(&self, share: f64) -> u64 {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && *count > 0 {
                return upper(index).min(self.greatest);
            }
        }
        self.greatest
    }

    /// How many values do not exceed `limit`, to within a bucket.
    pub(super) fn within(&self, limit: u64) -> u64 {
        self.counts.iter().take(bucket(limit) + 1).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket() {
        let mut value = 0u64;
        while value < u64::MAX / 3 {
            let index = bucket(value);
            assert!(index < BUCKETS, "{value}");
            assert!(upper(index) >= value, "{value}");
            assert!(index == 0 || upper(index - 1) < value, "{value}");
            value = value * 3 / 2 + 1;
        }
        assert!(bucket(u64::MAX) < BUCKETS);
        assert_eq!(upper(bucket(u64::MAX)), u64::MAX);
    }

    #[test]
    fn percentiles_are_right_to_one_part_in_a_hundred() {
        let mut histogram = Histogram::default();
        for value in 1..=100_000u64 {
            histogram.record(value);
        }
        for (share, right) in [(0.5, 50_000.0), (0.99, 99_000.0), (0.999, 99_900.0)] {
            let got = histogram.percentile(share) as f64;
            assert!((got - right).abs() / right < 0.01, "{share}: {got}");
        }
        assert_eq!(histogram.percentile(1.0), 100_000);
        assert_eq!(histogram.greatest(), 100_000);
        let within = histogram.within(10_000) as f64;
        assert!((within - 10_000.0).abs() < 100.0, "{within}");
        assert_eq!(Histogram::default().percentile(0.99), 0);
    }

    #[test]
    fn the_sum_of_two_is_the_whole() {
        let (mut one, mut other) = (Histogram::default(), Histogram::default());
        one.record(5);
        other.record(7_000_000);
        one.add(&other);
        assert_eq!((one.total(), one.greatest()), (2, 7_000_000));
        assert_eq!(one.percentile(0.5), 5);
    }
}
