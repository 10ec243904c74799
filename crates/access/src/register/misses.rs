//! Names that the Register does not know: which of them are worth a read of the database.
//!
//! Pure bookkeeping over a clock that is handed in. A "no" of the database is remembered for a short while, and each NAS
//! has a limit, so that guessing names costs the database little. Memory is bounded. Nobody must **ever** be refused
//! because a limit was reached: that is [`Miss::Limited`], which is silence.

use foldhash::quality::RandomState;
use identity::Kind;
use kernel::id::Uuid;
use kernel::{OrganisationId, Time};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How long a "no" is remembered: a person who was just made is looked for again soon, and a device that tries every
/// second costs a read every other time.
pub const NO_IS_REMEMBERED_MICROS: i64 = 2_000_000;
/// Reads that the names of one NAS may cause in a second: far more than people who were made since the last news, and
/// little enough for a database.
pub const MISSES_PER_NAS_PER_SECOND: u32 = 200;
/// Names whose "no" is remembered; more than two seconds of the limits of a hundred NASes. What is beyond is asked again.
const MAX_NOES: usize = 1 << 16;
/// NASes that are counted at a time; more do not ask within one second.
const MAX_NASES: usize = 1 << 14;

/// What is to be done about a name that is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// The answer stands: somebody is known, or the database said no just now, or the name cannot be one.
    Settled,
    /// The database is to be asked.
    Ask(Wanted),
    /// Too many unknown names came through this NAS within a second: no answer.
    Limited,
}

/// Names that one login can mean, those that count first first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub(super) realm: Option<OrganisationId>,
    pub(super) names: Vec<(Kind, String)>,
}

#[derive(Default)]
struct State {
    /// Until when a "no" holds, by the hash of what was asked.
    noes: HashMap<u64, i64, RandomState>,
    /// Reads in one second, by NAS.
    reads: HashMap<Uuid, u32, RandomState>,
    /// Which second that is.
    second: i64,
}

/// What is remembered about names that nobody has.
#[derive(Default)]
pub struct Misses {
    hashing: RandomState,
    state: Mutex<State>,
}

impl Misses {
    /// What is to be done about names that are not in the register.
    pub fn ask(&self, now: Time, nas: Uuid, wanted: Wanted) -> Miss {
        if wanted.names.is_empty() {
            return Miss::Settled;
        }
        let hash = self.hash(&wanted);
        let mut state = self.state();
        if state
            .noes
            .get(&hash)
            .is_some_and(|until| now.unix_micros() < *until)
        {
            return Miss::Settled;
        }
        // A clock that was put back begins a new second too.
        if state.second != now.unix_seconds() || state.reads.len() >= MAX_NASES {
            state.second = now.unix_seconds();
            state.reads.clear();
        }
        let reads = state.reads.entry(nas).or_default();
        if *reads >= MISSES_PER_NAS_PER_SECOND {
            return Miss::Limited;
        }
        *reads += 1;
        Miss::Ask(wanted)
    }

    /// The database said that nobody has any of these names.
    pub fn remember_no(&self, now: Time, wanted: &Wanted) {
        let hash = self.hash(wanted);
        let now = now.unix_micros();
        let mut state = self.state();
        if state.noes.len() >= MAX_NOES {
            // What a clock that was put back left for later goes too.
            let holds = now..=now.saturating_add(NO_IS_REMEMBERED_MICROS);
            state.noes.retain(|_, until| holds.contains(until));
        }
        if state.noes.len() < MAX_NOES {
            state
                .noes
                .insert(hash, now.saturating_add(NO_IS_REMEMBERED_MICROS));
        }
    }

    fn hash(&self, wanted: &Wanted) -> u64 {
        self.hashing.hash_one((&wanted.realm, &wanted.names))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_unix_seconds(1_800_000_000 + seconds)
    }

    fn wanted(name: &str) -> Wanted {
        Wanted {
            realm: None,
            names: vec![(Kind::Username, name.to_owned())],
        }
    }

    const NAS: Uuid = Uuid::from_u128(1);

    #[test]
    fn a_no_is_remembered_for_two_seconds() {
        let misses = Misses::default();
        assert_eq!(
            misses.ask(at(0), NAS, wanted("mallory")),
            Miss::Ask(wanted("mallory"))
        );
        misses.remember_no(at(0), &wanted("mallory"));
        for (seconds, expect) in [
            (0, Miss::Settled),
            (1, Miss::Settled),
            (2, Miss::Ask(wanted("mallory"))),
        ] {
            assert_eq!(misses.ask(at(seconds), NAS, wanted("mallory")), expect);
        }
        assert_eq!(
            misses.ask(at(1), NAS, wanted("alice")),
            Miss::Ask(wanted("alice"))
        );
        let other = Wanted {
            realm: Some(OrganisationId(NAS)),
            ..wanted("mallory")
        };
        assert_eq!(misses.ask(at(1), NAS, other.clone()), Miss::Ask(other));
    }

    #[test]
    fn nobody_is_asked_for_by_no_name() {
        let nothing = Wanted {
            realm: None,
            names: Vec::new(),
        };
        assert_eq!(Misses::default().ask(at(0), NAS, nothing), Miss::Settled);
    }

    #[test]
    fn a_nas_that_guesses_names_falls_silent_and_no_other() {
        let misses = Misses::default();
        let ask = |seconds, nas: u128, number: u32| {
            let name = wanted(&format!("user-{number}"));
            let miss = misses.ask(at(seconds), Uuid::from_u128(nas), name);
            matches!(miss, Miss::Ask(_))
        };
        let asked = (0..MISSES_PER_NAS_PER_SECOND * 2).filter(|number| ask(0, 1, *number));
        assert_eq!(asked.count(), MISSES_PER_NAS_PER_SECOND as usize);
        assert!(ask(0, 2, 0));
        assert!(ask(1, 1, 0));
    }

    #[test]
    fn memory_is_bounded() {
        let misses = Misses::default();
        for number in 0..MAX_NOES + 1_000 {
            misses.remember_no(at(0), &wanted(&number.to_string()));
        }
        assert_eq!(misses.state().noes.len(), MAX_NOES);
        misses.remember_no(at(3), &wanted("later"));
        assert_eq!(misses.state().noes.len(), 1);
        for number in 0..MAX_NASES as u128 + 1_000 {
            misses.ask(at(0), Uuid::from_u128(number), wanted("x"));
        }
        assert!(misses.state().reads.len() <= MAX_NASES);
    }
}
