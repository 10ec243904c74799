//! The limiter as all receive threads share it: in shards by key, so that no two of them wait for each other but for the
//! same sender's sake, and without a lock where nothing is counted, which is nearly everywhere nearly always.

use super::{Key, Limiter, LimiterConfig, MAX_TRACKED, NewLock};
use foldhash::quality::RandomState;
use kernel::Time;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shards: enough that threads of a large machine seldom meet at one.
const SHARDS: usize = 64;

struct Shard {
    limiter: Mutex<Limiter>,
    /// How many keys it remembers: 0 answers every question without the lock.
    tracked: AtomicUsize,
}

/// The counters of all.
pub struct Limits {
    shards: Vec<Shard>,
    /// Seeded anew for each process: nobody can choose addresses that meet in one shard.
    hasher: RandomState,
}

impl Limits {
    /// Empty counters.
    pub fn new(config: LimiterConfig) -> Self {
        let shard = |_| Shard {
            limiter: Mutex::new(Limiter::with_capacity(config, MAX_TRACKED / SHARDS)),
            tracked: AtomicUsize::new(0),
        };
        Self {
            shards: (0..SHARDS).map(shard).collect(),
            hasher: RandomState::default(),
        }
    }

    /// When the key's lock ends, if it is locked now.
    pub fn check(&self, now: Time, key: Key) -> Option<Time> {
        let shard = self.shard(&key);
        match shard.tracked.load(Ordering::Acquire) {
            0 => None,
            _ => shard.lock().check(now, key),
        }
    }

    /// Counts a wrong proof. The lock is given once, when it begins.
    pub fn failed(&self, now: Time, key: Key) -> Option<NewLock> {
        self.shard(&key).change(|limiter| limiter.failed(now, key))
    }

    /// A right proof ends the counting; a lock stays until its time.
    pub fn succeeded(&self, key: Key) {
        let shard = self.shard(&key);
        if shard.tracked.load(Ordering::Acquire) > 0 {
            shard.change(|limiter| limiter.succeeded(key));
        }
    }

    /// Forgets the key, its lock included. Whether it was known.
    pub fn unlock(&self, key: Key) -> bool {
        self.shard(&key).change(|limiter| limiter.unlock(key))
    }

    /// Takes a stored lock over, such as after a start or from another node. It holds no longer than one that begins now.
    pub fn restore(&self, now: Time, lock: NewLock) {
        self.shard(&lock.key)
            .change(|limiter| limiter.restore(now, lock));
    }

    /// How many keys are remembered.
    pub fn tracked(&self) -> usize {
        let tracked = |shard: &Shard| shard.tracked.load(Ordering::Relaxed);
        self.shards.iter().map(tracked).sum()
    }

    fn shard(&self, key: &Key) -> &Shard {
        let hash = self.hasher.hash_one(key);
        &self.shards[(hash % SHARDS as u64) as usize]
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(&self, change: impl FnOnce(&mut Limiter) -> R) -> R {
        let mut limiter = self.lock();
        let result = change(&mut limiter);
        self.tracked.store(limiter.tracked(), Ordering::Release);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::id::Uuid;

    #[test]
    fn keys_of_many_shards_are_counted_each_for_itself() {
        let limits = Limits::new(LimiterConfig::default());
        let now = Time::from_unix_seconds(1_000_000);
        let user = |n| Key::User(Uuid::from_u128(n));
        let failures = LimiterConfig::default().user.failures;
        for n in 0..200 {
            let locks = (0..failures).filter_map(|_| limits.failed(now, user(n)));
            assert_eq!(locks.count(), usize::from(failures > 0));
            assert!(limits.check(now, user(n)).is_some());
            assert!(limits.check(now, user(n + 1_000)).is_none());
        }
        assert_eq!(limits.tracked(), 200);
        assert!(limits.unlock(user(7)) && limits.check(now, user(7)).is_none());
        limits.failed(now, user(500));
        limits.succeeded(user(500));
        assert_eq!(limits.tracked(), 199);
        limits.restore(
            now,
            NewLock {
                key: user(900),
                failures: 3,
                until: now.plus_seconds(10),
            },
        );
        assert!(limits.check(now, user(900)).is_some());
    }
}
