//! How old the Register is: what it was loaded from, how far it followed the news, and when it last heard of the database.
//!
//! A register that has not heard of the database for too long must **never** decide: who was shut out meanwhile would
//! get in.

use kernel::{Position, Time};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How right what the register knows is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterState {
    /// Not everything was loaded yet.
    Loading,
    /// Everything up to this place in the news, as of a moment ago.
    Current {
        /// The place.
        position: Position,
        /// Since when it is so without a break.
        since: Time,
    },
    /// The database does not answer.
    Stale {
        /// When it last did.
        since: Time,
    },
}

impl RegisterState {
    /// The word in JSON and in metrics.
    pub fn word(self) -> &'static str {
        match self {
            RegisterState::Loading => "loading",
            RegisterState::Current { .. } => "current",
            RegisterState::Stale { .. } => "stale",
        }
    }

    /// For `status` and health pages: the word, and since when it holds.
    pub fn to_json(self) -> serde_json::Value {
        let since = match self {
            RegisterState::Loading => None,
            RegisterState::Current { since, .. } | RegisterState::Stale { since } => Some(since),
        };
        serde_json::json!({ "state": self.word(), "since": since })
    }
}

#[derive(Default, Clone, Copy)]
struct Times {
    position: Position,
    /// When the database last answered.
    heard: Option<Time>,
    /// Since when it answers.
    since: Option<Time>,
}

/// The age of a register.
#[derive(Default)]
pub(super) struct Age {
    can_serve: AtomicBool,
    is_complete: AtomicBool,
    is_silent: AtomicBool,
    times: Mutex<Times>,
}

impl Age {
    /// Policy and locks are there; people may be looked up one by one.
    pub(super) fn begin_to_serve(&self) {
        self.can_serve.store(true, Ordering::Release);
    }

    pub(super) fn complete(&self, now: Time, position: Position) {
        self.begin_to_serve();
        self.is_complete.store(true, Ordering::Release);
        self.heard(now, position);
    }

    /// Everything up to a place is known, as of the moment when the database was last heard of: by another process. Silent
    /// until it is said with [`Age::missed`] or [`Age::heard`] what time it is.
    pub(super) fn restore(&self, heard: Time, position: Position) {
        let mut times = self.times();
        times.position = position;
        times.heard = Some(heard);
        times.since = None;
        drop(times);
        self.is_silent.store(true, Ordering::Release);
        self.begin_to_serve();
        self.is_complete.store(true, Ordering::Release);
    }

    /// The database answered, and everything up to a place is known.
    pub(super) fn heard(&self, now: Time, position: Position) {
        let mut times = self.times();
        times.position = position;
        times.heard = Some(now);
        times.since.get_or_insert(now);
        self.is_silent.store(false, Ordering::Release);
    }

    /// The database did not answer.
    pub(super) fn missed(&self, now: Time, serve_stale_for_seconds: i64) {
        let mut times = self.times();
        times.since = None;
        let is_too_old = times
            .heard
            .is_some_and(|heard| now > heard.plus_seconds(serve_stale_for_seconds));
        self.is_silent.store(is_too_old, Ordering::Release);
    }

    pub(super) fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Acquire)
    }

    pub(super) fn is_silent(&self) -> bool {
        self.is_silent.load(Ordering::Acquire)
    }

    pub(super) fn can_serve(&self) -> bool {
        self.can_serve.load(Ordering::Acquire) && !self.is_silent()
    }

    pub(super) fn state(&self) -> RegisterState {
        if !self.is_complete() {
            return RegisterState::Loading;
        }
        let times = *self.times();
        match (times.since, times.heard) {
            (Some(since), _) => RegisterState::Current {
                position: times.position,
                since,
            },
            (None, Some(since)) => RegisterState::Stale { since },
            (None, None) => RegisterState::Loading,
        }
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_tells_its_age_and_falls_silent_when_it_is_too_old() {
        let at = |seconds: i64| Time::from_unix_seconds(1_800_000_000 + seconds);
        let place = Position::default();
        let age = Age::default();
        assert!(age.state() == RegisterState::Loading && !age.can_serve());
        age.begin_to_serve();
        age.missed(at(0), 60);
        assert!(age.state() == RegisterState::Loading && age.can_serve());
        age.complete(at(1), place);
        age.heard(at(2), place);
        let current = |since| RegisterState::Current {
            position: place,
            since: at(since),
        };
        assert_eq!(age.state(), current(1));
        for (now, can_serve) in [(3, true), (62, true), (63, false), (90, false)] {
            age.missed(at(now), 60);
            assert_eq!(age.state(), RegisterState::Stale { since: at(2) });
            assert_eq!(age.can_serve(), can_serve, "{now}");
        }
        age.heard(at(91), place);
        assert!(age.state() == current(91) && age.can_serve());
    }

    #[test]
    fn what_was_restored_is_as_old_as_when_the_database_was_heard_of() {
        let at = |seconds: i64| Time::from_unix_seconds(1_800_000_000 + seconds);
        let age = Age::default();
        age.restore(at(0), Position::default());
        assert!(!age.can_serve());
        age.missed(at(59), 60);
        assert!(age.is_complete() && age.can_serve());
        assert_eq!(age.state(), RegisterState::Stale { since: at(0) });
        age.missed(at(61), 60);
        assert!(!age.can_serve());
    }
}
