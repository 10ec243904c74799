//! Clocks are passed down: nothing below a door reads the time by itself.

use crate::time::Time;
use std::sync::atomic::{AtomicI64, Ordering};

/// Where the present comes from.
pub trait Clock: Send + Sync {
    /// The present, cut to microseconds.
    fn now(&self) -> Time;
}

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        chrono::Utc::now().into()
    }
}

/// A clock that stands still until it is told to move.
pub struct FixedClock(AtomicI64);

impl FixedClock {
    /// A clock that shows `now`.
    pub fn new(now: Time) -> Self {
        Self(AtomicI64::new(now.unix_micros()))
    }

    /// Moves the clock on by so many seconds.
    pub fn advance_seconds(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Time {
        Time::from_unix_micros(self.0.load(Ordering::SeqCst))
    }
}
