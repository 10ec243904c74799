//! The duplicate table of one receive thread (RFC 5080 §2.2.2): the same question gets the same octets, and is worked on once.
//!
//! Pure: time comes in, verdicts go out. A request is known by its sender, the socket it came to and its identifier;
//! it is the *same* request when length and Request Authenticator agree, and a newer one otherwise. Packets that fail
//! verification must never come here, or anybody could push entries out.

use crate::socket::Peer;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

/// How long an answer is kept; RFC 5080 §2.2.2 asks for 5 to 30 seconds.
pub const KEEP_MICROS: i64 = 5_000_000;
/// How far duplicates can stretch that.
pub const KEEP_AT_MOST_MICROS: i64 = 30_000_000;
/// Entries of one thread. Beyond it the oldest are forgotten: 32,768 requests in 5 s are 6,500 a second of one thread
/// with every answer still held.
pub const MAX_ENTRIES: usize = 32_768;
/// Octets of answers of one thread.
pub const MAX_ANSWER_OCTETS: usize = 16 * 1024 * 1024;

/// What tells one request's place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// The sender.
    pub source: SocketAddr,
    /// The port it was sent to.
    pub port: u16,
    /// The packet's identifier.
    pub identifier: u8,
}

/// The right to answer one request; stale once the sender has moved on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    key: Key,
    generation: u64,
    peer: Peer,
}

impl Slot {
    /// Where the answer goes.
    pub fn peer(&self) -> Peer {
        self.peer
    }
}

/// What to do with a verified request.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Work on it, then [`Responder::answer`] with this slot.
    Work(Slot),
    /// The answer was given before: send these octets again.
    Again(Arc<[u8]>),
    /// It is being worked on, or its refusal is being delayed: say nothing.
    InWork,
}

enum State {
    InWork,
    Answered(Arc<[u8]>),
}

struct Entry {
    authenticator: [u8; 16],
    length: usize,
    generation: u64,
    state: State,
    expires: i64,
    keep: i64,
}

/// The table.
#[derive(Default)]
pub struct Responder {
    entries: HashMap<Key, Entry>,
    order: VecDeque<(Key, u64)>,
    next_generation: u64,
    answer_octets: usize,
}

impl Responder {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks a verified request up and notes it. `now` in microseconds, from any fixed point.
    pub fn receive(
        &mut self,
        now: i64,
        key: Key,
        peer: Peer,
        authenticator: &[u8; 16],
        length: usize,
    ) -> Verdict {
        self.forget(now);
        if let Some(entry) = self.entries.get_mut(&key)
            && entry.expires > now
            && entry.length == length
            && entry.authenticator == *authenticator
        {
            return match &entry.state {
                State::InWork => Verdict::InWork,
                State::Answered(octets) => {
                    // A sender that repeats itself has a lossy path: the answer is worth keeping longer.
                    entry.keep = (entry.keep * 2).min(KEEP_AT_MOST_MICROS);
                    entry.expires = now + entry.keep;
                    Verdict::Again(octets.clone())
                }
            };
        }
        self.next_generation += 1;
        let generation = self.next_generation;
        self.remove(&key);
        self.entries.insert(
            key,
            Entry {
                authenticator: *authenticator,
                length,
                generation,
                state: State::InWork,
                // Work that is never answered (shed, dropped) must not block the identifier for longer than this.
                expires: now + KEEP_AT_MOST_MICROS,
                keep: KEEP_MICROS,
            },
        );
        self.order.push_back((key, generation));
        Verdict::Work(Slot {
            key,
            generation,
            peer,
        })
    }

    /// Keeps the answer for duplicates. `false` when the sender has meanwhile asked something else with the same
    /// identifier: the answer must then not be sent.
    pub fn answer(&mut self, now: i64, slot: &Slot, octets: &Arc<[u8]>) -> bool {
        let Some(entry) = self
            .entries
            .get_mut(&slot.key)
            .filter(|entry| entry.generation == slot.generation)
        else {
            return false;
        };
        entry.expires = now + entry.keep;
        entry.state = State::Answered(octets.clone());
        self.answer_octets += octets.len();
        true
    }

    /// Forgets a request that will not be answered, so that its retransmission is worked on.
    pub fn abandon(&mut self, slot: &Slot) {
        if self
            .entries
            .get(&slot.key)
            .is_some_and(|entry| entry.generation == slot.generation)
        {
            self.remove(&slot.key);
        }
    }

    /// How many requests are held.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn remove(&mut self, key: &Key) {
        if let Some(Entry {
            state: State::Answered(octets),
            ..
        }) = self.entries.remove(key)
        {
            self.answer_octets = self.answer_octets.saturating_sub(octets.len());
        }
    }

    /// Drops what has expired, and the oldest while a limit is exceeded. The order is that of arrival, so an entry
    /// that duplicates keep alive can let expired ones behind it wait; each call looks at a few at most.
    fn forget(&mut self, now: i64) {
        const STEPS: usize = 16;
        for _ in 0..STEPS {
            let Some((key, generation)) = self.order.front().copied() else {
                return;
            };
            let full = self.entries.len() >= MAX_ENTRIES
                || self.answer_octets >= MAX_ANSWER_OCTETS
                || self.order.len() >= 2 * MAX_ENTRIES;
            match self.entries.get(&key) {
                Some(entry) if entry.generation == generation => {
                    if entry.expires > now && !full {
                        if entry.keep == KEEP_MICROS {
                            return;
                        }
                        self.order.rotate_left(1);
                        continue;
                    }
                    self.remove(&key);
                }
                _ => {}
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u16, identifier: u8) -> (Key, Peer) {
        let source = SocketAddr::from(([127, 0, 0, 1], port));
        (
            Key {
                source,
                port: 1812,
                identifier,
            },
            Peer {
                address: source,
                local: None,
            },
        )
    }

    fn work(responder: &mut Responder, now: i64, id: u8, authenticator: u8) -> Slot {
        let (key, peer) = key(1000, id);
        match responder.receive(now, key, peer, &[authenticator; 16], 40) {
            Verdict::Work(slot) => slot,
            other => panic!("{other:?}"),
        }
    }

    fn ask(responder: &mut Responder, now: i64, id: u8, authenticator: u8) -> Verdict {
        let (key, peer) = key(1000, id);
        responder.receive(now, key, peer, &[authenticator; 16], 40)
    }

    #[test]
    fn the_same_question_gets_the_same_octets() {
        let mut responder = Responder::new();
        let slot = work(&mut responder, 0, 1, 7);
        assert_eq!(ask(&mut responder, 1, 1, 7), Verdict::InWork);
        let octets: Arc<[u8]> = Arc::from(&b"answer"[..]);
        assert!(responder.answer(2, &slot, &octets));
        assert_eq!(ask(&mut responder, 3, 1, 7), Verdict::Again(octets));
    }

    #[test]
    fn another_authenticator_is_a_new_question_and_the_old_answer_is_not_sent() {
        let mut responder = Responder::new();
        let old = work(&mut responder, 0, 1, 7);
        let new = work(&mut responder, 1, 1, 8);
        let octets: Arc<[u8]> = Arc::from(&b"answer"[..]);
        assert!(!responder.answer(2, &old, &octets));
        assert!(responder.answer(2, &new, &octets));
    }

    #[test]
    fn an_answer_is_kept_for_five_seconds_and_longer_when_repeated() {
        let mut responder = Responder::new();
        let slot = work(&mut responder, 0, 1, 7);
        let octets: Arc<[u8]> = Arc::from(&b"answer"[..]);
        assert!(responder.answer(0, &slot, &octets));
        assert!(matches!(
            ask(&mut responder, 4_000_000, 1, 7),
            Verdict::Again(_)
        ));
        assert!(matches!(
            ask(&mut responder, 13_000_000, 1, 7),
            Verdict::Again(_)
        ));
        assert!(matches!(
            ask(&mut responder, 60_000_000, 1, 7),
            Verdict::Work(_)
        ));
    }

    #[test]
    fn what_is_abandoned_is_worked_on_again() {
        let mut responder = Responder::new();
        let slot = work(&mut responder, 0, 1, 7);
        responder.abandon(&slot);
        assert!(matches!(ask(&mut responder, 1, 1, 7), Verdict::Work(_)));
    }

    #[test]
    fn memory_is_bounded_by_count_and_by_octets() {
        let mut responder = Responder::new();
        let octets: Arc<[u8]> = Arc::from(vec![0u8; 4096]);
        for n in 0..200_000u32 {
            let (key, peer) = key((n % 50_000) as u16, (n / 50_000) as u8);
            if let Verdict::Work(slot) =
                responder.receive(i64::from(n), key, peer, &[n as u8; 16], 40)
            {
                responder.answer(i64::from(n), &slot, &octets);
            }
            assert!(responder.len() <= MAX_ENTRIES);
            assert!(responder.answer_octets <= MAX_ANSWER_OCTETS + 4096);
            assert!(responder.order.len() <= 2 * MAX_ENTRIES);
        }
    }
}
