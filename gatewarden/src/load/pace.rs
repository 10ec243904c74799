//! How many questions may leave now: a closed loop keeps so many without an answer, an open loop keeps its rate.
//!
//! In an open loop every question has its moment, and its latency counts from there: a server that stops for a second
//! makes a second's questions late, not one (no coordinated omission).

const NANOS_PER_SECOND: f64 = 1e9;
/// A question of an open loop that leaves later than this after its moment is counted as delayed.
pub(super) const DELAYED_NANOS: u64 = 1_000_000;

/// The kind of loop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pace {
    /// So many questions of each thread wait for an answer at once.
    Closed {
        /// How many.
        outstanding: u32,
    },
    /// So many questions a second leave each thread.
    Open {
        /// A second.
        rate: f64,
    },
}

impl Pace {
    /// The moment of question `number` (from 0), in nanoseconds since the start; none in a closed loop.
    pub(super) fn moment(self, number: u64) -> Option<u64> {
        match self {
            Pace::Closed { .. } => None,
            Pace::Open { rate } => Some((number as f64 * NANOS_PER_SECOND / rate) as u64),
        }
    }

    /// How many questions have had their moment by `now`.
    pub(super) fn due(self, now: u64) -> u64 {
        match self {
            Pace::Closed { .. } => u64::MAX,
            // The first has its moment at 0.
            Pace::Open { rate } => (now as f64 * rate / NANOS_PER_SECOND) as u64 + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_due_from_its_moment_on() {
        let pace = Pace::Open { rate: 1_000.0 };
        for (now, due) in [(0, 1), (999_999, 1), (1_000_000, 2), (1_000_000_000, 1_001)] {
            assert_eq!(pace.due(now), due, "{now}");
        }
        assert_eq!(pace.moment(0), Some(0));
        assert_eq!(pace.moment(1_000), Some(1_000_000_000));
        assert_eq!(Pace::Closed { outstanding: 1 }.moment(5), None);
    }
}
