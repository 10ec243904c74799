//! Slow proofs that were right a little while ago: a login again within minutes (the next access point, the next room)
//! does not pay for argon2 again.
//!
//! What is kept is a digest of who, what is stored of his password, and what was offered, under a key made anew for each
//! process: it cannot be turned back into a password, and means nothing elsewhere. Another password stored, or another
//! offered, is another digest, so a changed password is never let in by memory. Only the proof is remembered, never a
//! decision: whoever is disabled, expired or locked meanwhile is refused as ever. It must **never** remember a wrong proof.

use crate::facts::{Facts, StoredFacts};
use crate::question::{Offer, Question};
use foldhash::quality::RandomState;
use kernel::Rng;
use ring::hmac;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shards, so that receive threads do not wait for each other.
const SHARDS: usize = 64;
/// Proofs remembered: about 13 MiB when full. Beyond it a shard forgets what has run out, else everything.
pub const MAX_REMEMBERED: usize = 262_144;
/// Octets of a digest that are kept: nobody finds a second password for it within a process's life.
const DIGEST_OCTETS: usize = 16;

type Digest = [u8; DIGEST_OCTETS];
type Shard = HashMap<Digest, Instant, RandomState>;

/// The memory.
pub struct ProofMemory {
    key: hmac::Key,
    lasts: Duration,
    /// Until when each is remembered.
    shards: Vec<Mutex<Shard>>,
}

impl ProofMemory {
    /// An empty memory under a fresh key, in which a proof lasts so long; zero remembers nothing.
    pub fn new(rng: &dyn Rng, lasts: Duration) -> Self {
        let mut key = zeroize::Zeroizing::new([0u8; 32]);
        rng.fill(&mut key[..]);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key[..]),
            lasts,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Whether the very proof that is offered was right a little while ago.
    pub fn remembers(&self, now: Instant, facts: &Facts, question: &Question<'_>) -> bool {
        let Some(digest) = self.digest(facts, question) else {
            return false;
        };
        self.shard(&digest)
            .get(&digest)
            .is_some_and(|until| *until > now)
    }

    /// The proof that is offered was right.
    pub fn remember(&self, now: Instant, facts: &Facts, question: &Question<'_>) {
        let Some(digest) = self.digest(facts, question) else {
            return;
        };
        let mut shard = self.shard(&digest);
        if shard.len() >= MAX_REMEMBERED / SHARDS {
            shard.retain(|_, until| *until > now);
            if shard.len() >= MAX_REMEMBERED / SHARDS {
                shard.clear();
            }
        }
        shard.insert(digest, now + self.lasts);
    }

    /// How many proofs are remembered, those that have run out included.
    pub fn len(&self) -> usize {
        let len = |shard: &Mutex<Shard>| shard.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.shards.iter().map(len).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn digest(&self, facts: &Facts, question: &Question<'_>) -> Option<Digest> {
        let (person, _) = facts.member()?;
        let (StoredFacts::Password(stored), Offer::Pap(password)) =
            (&person.stored, &question.offer)
        else {
            return None;
        };
        if self.lasts.is_zero() {
            return None;
        }
        let mut mac = hmac::Context::with_key(&self.key);
        mac.update(person.id.0.as_bytes());
        // The length first: no two pairs of password and hash run together alike.
        mac.update(&(password.len() as u64).to_be_bytes());
        mac.update(password);
        stored
            .tell_hash(&mut |octets| mac.update(octets))
            .then_some(())?;
        mac.sign().as_ref().first_chunk().copied()
    }

    fn shard(&self, digest: &Digest) -> MutexGuard<'_, Shard> {
        // A keyed digest is spread evenly already.
        self.shards[usize::from(digest[0]) % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
