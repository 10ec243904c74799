//! What a run does, settled before the first packet.

use super::acknowledged::Acknowledged;
use super::pace::Pace;
use super::people::Person;
use super::question::Stationery;
use super::work::{Mix, Work};
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Everything the threads share; none of it changes while they run but for `is_interrupted`.
pub(super) struct Plan {
    /// Where logins and Status-Server go, and where accounting goes: one pair a server.
    pub servers: Vec<(SocketAddr, SocketAddr)>,
    pub mix: Mix,
    pub people: Vec<Person>,
    pub stationery: Stationery,
    /// Whether users are drawn at random, or one after the other.
    pub is_random: bool,
    /// Of a million logins, so many with a wrong password.
    pub wrong_per_million: u32,
    /// Whether an answer to a login may lack Message-Authenticator.
    pub is_unsigned_accepted: bool,
    /// Interim-Updates of a session.
    pub interims: u32,
    pub acknowledged: Option<Acknowledged>,
    /// How long an answer is waited for before the question is sent again or given up, in nanoseconds.
    pub timeout: u64,
    /// How often a question is sent at most.
    pub tries: u32,
    /// Nanoseconds before anything is counted.
    pub warm_up: u64,
    /// Nanoseconds after which nothing more is asked, warm-up included.
    pub end: u64,
    /// When the first packet may leave: once every thread has its sockets.
    pub started: OnceLock<Instant>,
    /// The operator wants to see what there is so far.
    pub is_interrupted: Arc<AtomicBool>,
}

impl Plan {
    /// Whether an answer to this kind of work must carry Message-Authenticator.
    pub(super) fn needs_signature(&self, work: Work) -> bool {
        (self.stationery.is_signed || work == Work::Status) && !self.is_unsigned_accepted
    }

    /// Nanoseconds since the start.
    pub(super) fn now(&self) -> u64 {
        let started = self.started.get_or_init(Instant::now);
        u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// What each thread has of its own.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Share {
    /// Which thread, from 0.
    pub thread: u32,
    pub threads: u32,
    pub pace: Pace,
    /// Questions to put at most, those of the warm-up included.
    pub count: u64,
    /// Flights at once.
    pub flights: u32,
    /// Sockets to each server's ports.
    pub sockets: u32,
    /// Sessions open at once.
    pub sessions: u32,
}

/// What thread `index` gets of `whole`: the first ones take what does not divide.
pub(super) fn part(whole: u64, index: u32, threads: u32) -> u64 {
    let threads = u64::from(threads.max(1));
    whole / threads + u64::from(u64::from(index) < whole % threads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_the_whole() {
        for (whole, threads) in [(10, 3), (2, 4), (0, 1), (100_000, 7)] {
            let sum: u64 = (0..threads).map(|index| part(whole, index, threads)).sum();
            assert_eq!(sum, whole);
        }
    }
}
