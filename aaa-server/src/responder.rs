//! The duplicate table of one receive thread (RFC 5080 §2.2.2): the same question gets the same octets, and is worked on once.
//!
//! Pure: time comes in, verdicts go out. A request is known by its sender and its identifier (each socket has a table of
//! its own); it is the *same* request when length and Request Authenticator agree, and a newer one otherwise. Packets that
//! fail verification must never come here, or anybody could push entries out.
//!
//! Requests lie in a ring in the order they came, answers in a ring of octets: nothing is allocated for a packet once the
//! rings are as large as they get, and what is oldest makes room by being written over.

use crate::socket::Peer;
use foldhash::quality::RandomState;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::net::SocketAddr;

/// How long an answer is kept; RFC 5080 §2.2.2 asks for 5 to 30 seconds.
pub const KEEP_MICROS: i64 = 5_000_000;
/// How far duplicates can stretch that.
pub const KEEP_AT_MOST_MICROS: i64 = 30_000_000;
/// Requests of one thread. Beyond it the oldest are forgotten: 32,768 requests in 5 s are 6,500 a second of one thread
/// with every answer still held.
pub const MAX_ENTRIES: usize = 32_768;
/// Octets of answers of one thread: 128 for each request. Beyond it the oldest are forgotten, and worked out again.
pub const MAX_ANSWER_OCTETS: usize = 4 * 1024 * 1024;
/// The ring of octets grows by this, so that a quiet port costs little.
const GROW_OCTETS: usize = 64 * 1024;

/// What tells one request's place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// The sender.
    pub source: SocketAddr,
    /// The packet's identifier.
    pub identifier: u8,
}

/// The right to answer one request; stale once the sender has moved on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Counted from 1.
    number: u64,
    is_repeated: bool,
    peer: Peer,
}

impl Slot {
    /// Whether the same question came before and was left unanswered.
    pub fn is_repeated(&self) -> bool {
        self.is_repeated
    }

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
    /// The answer was given before, and was put among those that leave.
    Again,
    /// It is being worked on, or its refusal is being delayed: say nothing.
    InWork,
}

#[derive(Clone, Copy)]
enum State {
    InWork,
    /// Where its octets begin, counted from the first ever written, and how many they are.
    Answered(u64, u16),
    /// It was given up, or its sender has moved on.
    Gone,
}

struct Request {
    key: Key,
    /// What the key is found by.
    hash: u64,
    number: u64,
    authenticator: [u8; 16],
    length: u16,
    state: State,
    expires: i64,
    keep: i64,
}

/// Keys are hashed before they are looked up: the table holds twelve octets a request instead of sixty, and stays where the
/// processor has it at hand.
#[derive(Default, Clone, Copy)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = self.0.rotate_left(8) ^ u64::from(*octet);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Octets of answers; the oldest are written over.
#[derive(Default)]
struct Octets {
    ring: Vec<u8>,
    /// Octets ever written, those left out at the end of a round included.
    written: u64,
}

impl Octets {
    fn put(&mut self, octets: &[u8]) -> u64 {
        let mut at = (self.written % MAX_ANSWER_OCTETS as u64) as usize;
        if at + octets.len() > MAX_ANSWER_OCTETS {
            // One answer lies in one piece: the rest of the round is left out.
            self.written += (MAX_ANSWER_OCTETS - at) as u64;
            at = 0;
        }
        let end = at + octets.len();
        if self.ring.len() < end {
            let grown = end.next_multiple_of(GROW_OCTETS).min(MAX_ANSWER_OCTETS);
            self.ring.resize(grown, 0);
        }
        self.ring[at..end].copy_from_slice(octets);
        let begin = self.written;
        self.written += octets.len() as u64;
        begin
    }

    /// What was put there, unless it was written over.
    fn get(&self, begin: u64, length: usize) -> Option<&[u8]> {
        if self.written - begin > MAX_ANSWER_OCTETS as u64 {
            return None;
        }
        let at = (begin % MAX_ANSWER_OCTETS as u64) as usize;
        self.ring.get(at..at + length)
    }
}

/// The table.
#[derive(Default)]
pub struct Responder {
    /// Seeded for each process, so that no sender can choose ports that meet in one place.
    hashing: RandomState,
    /// The place of the newest request of each sender and identifier, by the hash of both.
    newest: HashMap<u64, u32, BuildHasherDefault<Hashed>>,
    /// Number n lies at n modulo [`MAX_ENTRIES`].
    requests: Vec<Request>,
    last: u64,
    octets: Octets,
}

impl Responder {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks a verified request up and notes it. `now` in microseconds, from any fixed point. An answer that was given
    /// before is handed to `again`.
    pub fn receive(
        &mut self,
        now: i64,
        key: Key,
        peer: Peer,
        authenticator: &[u8; 16],
        length: usize,
        again: impl FnOnce(&[u8]),
    ) -> Verdict {
        let number = self.last + 1;
        let here = place(number);
        let hash = self.hashing.hash_one(key);
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        let mut is_repeated = false;
        match self.newest.entry(hash) {
            Entry::Vacant(entry) => {
                entry.insert(here as u32);
            }
            Entry::Occupied(mut entry) => {
                let known = &mut self.requests[*entry.get() as usize];
                let is_same = known.expires > now
                    && known.length == length
                    && known.authenticator == *authenticator
                    && known.key == key;
                match known.state {
                    State::InWork if is_same => return Verdict::InWork,
                    // What was written over is worked out again.
                    State::Answered(begin, octets) if is_same => {
                        // A sender that repeats itself has a lossy path: the answer is worth keeping longer.
                        known.keep = (known.keep * 2).min(KEEP_AT_MOST_MICROS);
                        known.expires = now + known.keep;
                        if let Some(octets) = self.octets.get(begin, octets.into()) {
                            again(octets);
                            return Verdict::Again;
                        }
                    }
                    _ => {}
                }
                is_repeated = is_same;
                known.state = State::Gone;
                entry.insert(here as u32);
            }
        }
        self.last = number;
        let request = Request {
            key,
            hash,
            number,
            authenticator: *authenticator,
            length,
            state: State::InWork,
            // Work that is never answered (shed, dropped) must not block the identifier for longer than this.
            expires: now + KEEP_AT_MOST_MICROS,
            keep: KEEP_MICROS,
        };
        if here < self.requests.len() {
            let oldest = std::mem::replace(&mut self.requests[here], request);
            // Unless its sender has asked again since, and is found at another place or, just now, at this one.
            if oldest.hash != hash
                && let Entry::Occupied(entry) = self.newest.entry(oldest.hash)
                && *entry.get() == here as u32
            {
                entry.remove();
            }
        } else {
            self.requests.push(request);
        }
        Verdict::Work(Slot {
            number,
            is_repeated,
            peer,
        })
    }

    /// Keeps the answer for duplicates. `false` when the sender has meanwhile asked something else with the same
    /// identifier: the answer must then not be sent.
    pub fn answer(&mut self, now: i64, slot: &Slot, octets: &[u8]) -> bool {
        let Some(request) = self
            .requests
            .get_mut(place(slot.number))
            .filter(|request| request.number == slot.number)
        else {
            // So many came meanwhile that it is forgotten: the sender may wait for it still.
            return true;
        };
        if matches!(request.state, State::Gone) {
            return false;
        }
        request.expires = now + request.keep;
        request.state = State::Answered(
            self.octets.put(octets),
            u16::try_from(octets.len()).unwrap_or(u16::MAX),
        );
        true
    }

    /// Forgets a request that will not be answered, so that its retransmission is worked on.
    pub fn abandon(&mut self, slot: &Slot) {
        if let Some(request) = self
            .requests
            .get_mut(place(slot.number))
            .filter(|request| request.number == slot.number)
        {
            request.state = State::Gone;
        }
    }

    /// How many requests are held.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.newest.len()
    }
}

fn place(number: u64) -> usize {
    ((number - 1) % MAX_ENTRIES as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u16, identifier: u8) -> (Key, Peer) {
        let source = SocketAddr::from(([127, 0, 0, 1], port));
        (
            Key { source, identifier },
            Peer {
                address: source,
                local: None,
            },
        )
    }

    fn work(responder: &mut Responder, now: i64, id: u8, authenticator: u8) -> Slot {
        match ask(responder, now, id, authenticator) {
            (Verdict::Work(slot), _) => slot,
            other => panic!("{other:?}"),
        }
    }

    /// The verdict, and the answer that was given again.
    fn ask(responder: &mut Responder, now: i64, id: u8, authenticator: u8) -> (Verdict, Vec<u8>) {
        let (key, peer) = key(1000, id);
        let mut again = Vec::new();
        let verdict = responder.receive(now, key, peer, &[authenticator; 16], 40, |octets| {
            again.extend_from_slice(octets);
        });
        (verdict, again)
    }

    #[test]
    fn the_same_question_gets_the_same_octets() {
        let mut responder = Responder::new();
        let slot = work(&mut responder, 0, 1, 7);
        assert_eq!(ask(&mut responder, 1, 1, 7).0, Verdict::InWork);
        let octets = b"answer";
        assert!(responder.answer(2, &slot, octets));
        assert_eq!(
            ask(&mut responder, 3, 1, 7),
            (Verdict::Again, octets.to_vec())
        );
    }

    #[test]
    fn another_authenticator_is_a_new_question_and_the_old_answer_is_not_sent() {
        let mut responder = Responder::new();
        let old = work(&mut responder, 0, 1, 7);
        let new = work(&mut responder, 1, 1, 8);
        let octets = b"answer";
        assert!(!responder.answer(2, &old, octets));
        assert!(responder.answer(2, &new, octets));
    }

    #[test]
    fn an_answer_is_kept_for_five_seconds_and_longer_when_repeated() {
        let mut responder = Responder::new();
        let slot = work(&mut responder, 0, 1, 7);
        let octets = b"answer";
        assert!(responder.answer(0, &slot, octets));
        assert!(matches!(
            ask(&mut responder, 4_000_000, 1, 7),
            (Verdict::Again, _)
        ));
        assert!(matches!(
            ask(&mut responder, 13_000_000, 1, 7),
            (Verdict::Again, _)
        ));
        assert!(matches!(
            ask(&mut responder, 60_000_000, 1, 7),
            (Verdict::Work(_), _)
        ));
    }

    #[test]
    fn what_is_abandoned_is_worked_on_again() {
        let mut responder = Responder::new();
        let slot = work(&mut responder, 0, 1, 7);
        assert!(!slot.is_repeated());
        responder.abandon(&slot);
        let again = ask(&mut responder, 1, 1, 7).0;
        assert!(matches!(again, Verdict::Work(slot) if slot.is_repeated()));
    }

    #[test]
    fn memory_is_bounded_by_count_and_by_octets() {
        let mut responder = Responder::new();
        let octets = vec![0u8; 4096];
        for n in 0..200_000u32 {
            let (key, peer) = key((n % 50_000) as u16, (n / 50_000) as u8);
            if let Verdict::Work(slot) =
                responder.receive(i64::from(n), key, peer, &[n as u8; 16], 40, |_| {})
            {
                responder.answer(i64::from(n), &slot, &octets);
            }
            assert!(responder.len() <= MAX_ENTRIES);
            assert!(responder.requests.len() <= MAX_ENTRIES);
            assert!(responder.octets.ring.len() <= MAX_ANSWER_OCTETS);
        }
    }

    #[test]
    fn an_answer_that_was_written_over_is_worked_out_again_and_never_mixed_up() {
        let mut responder = Responder::new();
        let first = work(&mut responder, 0, 1, 7);
        assert!(responder.answer(0, &first, b"first"));
        let large = vec![1u8; 4096];
        for n in 0..(MAX_ANSWER_OCTETS / large.len()) as u32 {
            let (key, peer) = key(2000, 0);
            let Verdict::Work(slot) = responder.receive(1, key, peer, &[9; 16], n as usize, |_| {})
            else {
                panic!("each is another question");
            };
            responder.answer(1, &slot, &large);
        }
        assert!(matches!(ask(&mut responder, 2, 1, 7).0, Verdict::Work(_)));
    }

    #[test]
    fn so_many_requests_forget_the_oldest_whose_late_answer_still_leaves() {
        let mut responder = Responder::new();
        let old = work(&mut responder, 0, 1, 7);
        for n in 0..MAX_ENTRIES {
            let (key, peer) = key(2000 + (n / 256) as u16, (n % 256) as u8);
            assert!(matches!(
                responder.receive(1, key, peer, &[9; 16], 40, |_| {}),
                Verdict::Work(_)
            ));
        }
        assert!(responder.answer(2, &old, b"late"));
        assert_eq!(responder.len(), MAX_ENTRIES);
        assert!(matches!(ask(&mut responder, 3, 1, 7).0, Verdict::Work(_)));
    }
}
