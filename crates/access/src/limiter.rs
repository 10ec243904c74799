//! Counts wrong passwords and says who must wait.
//!
//! Pure: time is handed in, nothing is stored. Time may be set back: neither a lock nor a window then lasts longer than
//! it would from the present moment. One table per kind of key, each bounded, so that somebody who invents
//! MAC addresses cannot push the counters of people out. A lock that begins is handed to the caller, who stores it.
//! It must **never** count what was not a guess: only a wrong proof is a failure, not an expired account.

mod shards;

pub use shards::Limits;

use kernel::Time;
use kernel::id::Uuid;
use proof::mac::Mac;
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};

/// Keys remembered per kind: a busy city's people failing within one window; about 10 MB for each kind when full.
pub const MAX_TRACKED: usize = 100_000;
/// Locked keys that are spared when the table is full, before one has to go anyway.
const MAX_SPARED: usize = 8;
/// How far ahead a window may have begun: packets are stamped before they wait for each other, and clocks are slewed.
const MAX_SKEW_SECONDS: i64 = 2;

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// A membership.
    User(Uuid),
    /// A device.
    Device(Mac),
    /// A NAS.
    Nas(Uuid),
}

/// The kind of a [`Key`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// A membership.
    User,
    /// A device.
    Device,
    /// A NAS.
    Nas,
}

impl KeyKind {
    /// As stored.
    pub fn word(self) -> &'static str {
        match self {
            KeyKind::User => "user",
            KeyKind::Device => "device",
            KeyKind::Nas => "nas",
        }
    }

    /// The kind of a stored word.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "user" => Some(KeyKind::User),
            "device" => Some(KeyKind::Device),
            "nas" => Some(KeyKind::Nas),
            _ => None,
        }
    }
}

impl Key {
    /// Which kind.
    pub fn kind(self) -> KeyKind {
        match self {
            Key::User(_) => KeyKind::User,
            Key::Device(_) => KeyKind::Device,
            Key::Nas(_) => KeyKind::Nas,
        }
    }

    /// The id, or the MAC address as `AA-BB-CC-DD-EE-FF`.
    pub fn subject(self) -> String {
        match self {
            Key::User(id) | Key::Nas(id) => id.to_string(),
            Key::Device(mac) => mac.to_string(),
        }
    }

    /// The key of a stored kind and subject.
    pub fn from_stored(kind: KeyKind, subject: &str) -> Option<Self> {
        match kind {
            KeyKind::User => subject.parse().ok().map(Key::User),
            KeyKind::Nas => subject.parse().ok().map(Key::Nas),
            KeyKind::Device => subject.parse().ok().map(Key::Device),
        }
    }
}

/// How many failures within which time lock for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// So many failures lock; 0 never does.
    pub failures: u32,
    /// Counted from the first failure on.
    pub window_seconds: u32,
    /// How long the lock lasts.
    pub lock_seconds: u32,
}

impl Limit {
    /// When a lock that begins now ends.
    fn lock_end(&self, now: Time) -> Time {
        now.plus_seconds(self.lock_seconds.into())
    }
}

/// The limits of the three kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimiterConfig {
    /// Of a person. Guessing 10 in 5 minutes makes 3,000 a day: too few for any decent password.
    pub user: Limit,
    /// Of a device, over all names it tries.
    pub device: Limit,
    /// Of a NAS, over everybody behind it. Off unless wanted: one guesser would lock out all of them.
    pub nas: Limit,
}

impl Default for LimiterConfig {
    fn default() -> Self {
        Self {
            user: Limit {
                failures: 10,
                window_seconds: 300,
                lock_seconds: 300,
            },
            device: Limit {
                failures: 20,
                window_seconds: 300,
                lock_seconds: 300,
            },
            nas: Limit {
                failures: 0,
                window_seconds: 60,
                lock_seconds: 60,
            },
        }
    }
}

/// A lock that has just begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewLock {
    /// Who.
    pub key: Key,
    /// After so many failures.
    pub failures: u32,
    /// When it ends.
    pub until: Time,
}

struct Count {
    failures: u32,
    first: Time,
    // Checking shortens it when the clock was set back.
    until: Cell<Option<Time>>,
    turn: u64,
}

impl Count {
    /// Whether nothing of it matters any more.
    fn is_over(&self, now: Time, limit: &Limit) -> bool {
        if self.until.get().is_some() {
            return self.locked_until(now, limit).is_none();
        }
        let is_ahead = self.first > now.plus_seconds(MAX_SKEW_SECONDS);
        is_ahead || self.first.plus_seconds(limit.window_seconds.into()) <= now
    }

    /// When its lock ends, if it is locked now. A lock with more than a whole one left began in what is now the future:
    /// what is left of it becomes a whole one.
    fn locked_until(&self, now: Time, limit: &Limit) -> Option<Time> {
        let until = self.until.get()?.min(limit.lock_end(now));
        self.until.set(Some(until));
        (until > now).then_some(until)
    }
}

/// One kind's counters, and the order in which they began.
struct Table {
    limit: Limit,
    capacity: usize,
    counts: HashMap<Key, Count>,
    order: VecDeque<(u64, Key)>,
    turn: u64,
}

impl Table {
    fn new(limit: Limit, capacity: usize) -> Self {
        Self {
            limit,
            capacity,
            counts: HashMap::new(),
            order: VecDeque::new(),
            turn: 0,
        }
    }

    fn insert(&mut self, now: Time, key: Key, failures: u32, until: Option<Time>) {
        let mut spared = 0;
        while self.counts.len() >= self.capacity {
            let Some((turn, oldest)) = self.order.pop_front() else {
                self.counts.clear();
                break;
            };
            match self.counts.get(&oldest) {
                Some(count) if count.turn == turn => {
                    let is_locked = count.locked_until(now, &self.limit).is_some();
                    if is_locked && spared < MAX_SPARED {
                        spared += 1;
                        self.order.push_back((turn, oldest));
                    } else {
                        self.counts.remove(&oldest);
                    }
                }
                _ => {}
            }
        }
        self.turn += 1;
        let count = Count {
            failures,
            first: now,
            until: Cell::new(until),
            turn: self.turn,
        };
        self.counts.insert(key, count);
        self.order.push_back((self.turn, key));
        // Keys that succeeded leave their turn behind: swept before the order grows past the table twice.
        if self.order.len() > self.capacity.saturating_mul(2) {
            let counts = &self.counts;
            self.order
                .retain(|(turn, key)| counts.get(key).is_some_and(|count| count.turn == *turn));
        }
    }

    fn failed(&mut self, now: Time, key: Key) -> Option<NewLock> {
        if self.limit.failures == 0 {
            return None;
        }
        if self
            .counts
            .get(&key)
            .is_none_or(|count| count.is_over(now, &self.limit))
        {
            self.counts.remove(&key);
            self.insert(now, key, 0, None);
        }
        let count = self.counts.get_mut(&key)?;
        count.failures = count.failures.saturating_add(1);
        if count.until.get().is_some() || count.failures < self.limit.failures {
            return None;
        }
        let until = self.limit.lock_end(now);
        count.until.set(Some(until));
        Some(NewLock {
            key,
            failures: count.failures,
            until,
        })
    }
}

/// The counters. Not shared by itself: put it behind a lock.
pub struct Limiter {
    user: Table,
    device: Table,
    nas: Table,
}

impl Limiter {
    /// An empty limiter.
    pub fn new(config: LimiterConfig) -> Self {
        Self::with_capacity(config, MAX_TRACKED)
    }

    /// An empty limiter that remembers at most so many keys of each kind (at least one): for shards and tests.
    pub fn with_capacity(config: LimiterConfig, capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            user: Table::new(config.user, capacity),
            device: Table::new(config.device, capacity),
            nas: Table::new(config.nas, capacity),
        }
    }

    /// Other limits from now on; what was counted stays.
    pub fn configure(&mut self, config: LimiterConfig) {
        self.user.limit = config.user;
        self.device.limit = config.device;
        self.nas.limit = config.nas;
    }

    /// When the key's lock ends, if it is locked now.
    pub fn check(&self, now: Time, key: Key) -> Option<Time> {
        let table = self.table(key);
        table.counts.get(&key)?.locked_until(now, &table.limit)
    }

    /// Counts a wrong proof. The lock is given once, when it begins.
    pub fn failed(&mut self, now: Time, key: Key) -> Option<NewLock> {
        self.table_mut(key).failed(now, key)
    }

    /// A right proof ends the counting; a lock stays until its time.
    pub fn succeeded(&mut self, key: Key) {
        let table = self.table_mut(key);
        if table
            .counts
            .get(&key)
            .is_some_and(|count| count.until.get().is_none())
        {
            table.counts.remove(&key);
        }
    }

    /// Forgets the key, its lock included. Whether it was known.
    pub fn unlock(&mut self, key: Key) -> bool {
        self.table_mut(key).counts.remove(&key).is_some()
    }

    /// Takes a stored lock over, such as after a start or from another node. It holds no longer than one that begins now.
    pub fn restore(&mut self, now: Time, lock: NewLock) {
        if lock.until > now {
            let table = self.table_mut(lock.key);
            table.counts.remove(&lock.key);
            let until = lock.until.min(table.limit.lock_end(now));
            table.insert(now, lock.key, lock.failures, Some(until));
        }
    }

    /// How many keys are remembered, over all kinds.
    pub fn tracked(&self) -> usize {
        self.user.counts.len() + self.device.counts.len() + self.nas.counts.len()
    }

    fn table(&self, key: Key) -> &Table {
        match key.kind() {
            KeyKind::User => &self.user,
            KeyKind::Device => &self.device,
            KeyKind::Nas => &self.nas,
        }
    }

    fn table_mut(&mut self, key: Key) -> &mut Table {
        match key.kind() {
            KeyKind::User => &mut self.user,
            KeyKind::Device => &mut self.device,
            KeyKind::Nas => &mut self.nas,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_unix_seconds(1_000_000 + seconds)
    }

    fn user(number: u128) -> Key {
        Key::User(Uuid::from_u128(number))
    }

    fn limiter(capacity: usize) -> Limiter {
        let limit = |failures| Limit {
            failures,
            window_seconds: 60,
            lock_seconds: 100,
        };
        let config = LimiterConfig {
            user: limit(3),
            device: limit(3),
            nas: limit(0),
        };
        Limiter::with_capacity(config, capacity)
    }

    /// Failures at these seconds; when a lock began, if one did.
    fn check(failures: &[i64], expect: Option<i64>) {
        let mut limiter = limiter(10);
        let locked = failures
            .iter()
            .filter_map(|second| {
                limiter
                    .failed(at(*second), user(1))
                    .map(|lock| (*second, lock))
            })
            .collect::<Vec<_>>();
        assert!(locked.len() <= 1, "{failures:?}: a lock is told once");
        assert_eq!(
            locked.first().map(|(second, _)| *second),
            expect,
            "{failures:?}"
        );
        if let Some((second, lock)) = locked.first() {
            assert_eq!(lock.until, at(second + 100));
            assert_eq!(limiter.check(at(second + 99), user(1)), Some(lock.until));
            assert_eq!(limiter.check(at(second + 100), user(1)), None);
            assert_eq!(limiter.check(at(second + 1), user(2)), None);
        }
    }

    #[test]
    fn so_many_failures_in_the_window_lock() {
        check(&[0, 1], None);
        check(&[0, 1, 2], Some(2));
        check(&[0, 1, 2, 3, 4], Some(2));
        check(&[0, 1, 60, 61], None);
        check(&[0, 1, 60, 61, 62], Some(62));
    }

    /// Locks at second 1,000,000 + 2 for 100 seconds, sets the clock to `to` and checks then and `later` seconds later.
    fn check_set_back(to: i64, later: i64, expect: Option<i64>) {
        let mut limiter = limiter(10);
        for second in [0, 1, 2] {
            limiter.failed(at(second), user(1));
        }
        limiter.check(at(to), user(1));
        let held = limiter.check(at(to + later), user(1));
        assert_eq!(held, expect.map(at), "{to} + {later}");
    }

    #[test]
    fn a_clock_set_back_does_not_lengthen_a_lock() {
        check_set_back(52, 49, Some(102));
        check_set_back(52, 50, None);
        check_set_back(2, 99, Some(102));
        check_set_back(-3_600, 0, Some(-3_500));
        check_set_back(-3_600, 99, Some(-3_500));
        check_set_back(-3_600, 100, None);
    }

    #[test]
    fn a_lock_restored_by_a_clock_that_is_behind_lasts_no_longer_than_one() {
        let mut limiter = limiter(10);
        let lock = NewLock {
            key: user(1),
            failures: 3,
            until: at(3_700),
        };
        limiter.restore(at(0), lock);
        assert_eq!(limiter.check(at(99), user(1)), Some(at(100)));
        assert_eq!(limiter.check(at(100), user(1)), None);
    }

    #[test]
    fn a_window_that_began_in_the_future_is_over() {
        fn check(to: i64, is_locked: bool) {
            let mut limiter = limiter(10);
            limiter.failed(at(0), user(1));
            limiter.failed(at(1), user(1));
            assert_eq!(limiter.failed(at(to), user(1)).is_some(), is_locked, "{to}");
            assert_eq!(limiter.check(at(to), user(1)).is_some(), is_locked, "{to}");
            limiter.failed(at(to), user(1));
            limiter.failed(at(to), user(1));
            assert!(
                limiter.check(at(to), user(1)).is_some(),
                "{to}: counted anew"
            );
        }
        // Two packets whose stamps crossed are still of one window.
        check(-1, true);
        check(-MAX_SKEW_SECONDS, true);
        check(-MAX_SKEW_SECONDS - 1, false);
        check(-3_600, false);
    }

    #[test]
    fn a_lock_that_ended_counts_anew() {
        let mut limiter = limiter(10);
        for second in [0, 1, 2] {
            limiter.failed(at(second), user(1));
        }
        assert_eq!(limiter.failed(at(102), user(1)), None);
        assert_eq!(limiter.check(at(102), user(1)), None);
        assert_eq!(limiter.failed(at(103), user(1)), None);
        assert!(limiter.failed(at(104), user(1)).is_some());
    }

    #[test]
    fn success_ends_counting_but_not_a_lock() {
        let mut limiter = limiter(10);
        limiter.failed(at(0), user(1));
        limiter.failed(at(1), user(1));
        limiter.succeeded(user(1));
        assert_eq!(limiter.failed(at(2), user(1)), None);
        limiter.failed(at(3), user(1));
        assert!(limiter.failed(at(4), user(1)).is_some());
        limiter.succeeded(user(1));
        assert!(limiter.check(at(5), user(1)).is_some());
        assert!(limiter.unlock(user(1)));
        assert_eq!(limiter.check(at(5), user(1)), None);
        assert!(!limiter.unlock(user(1)));
    }

    #[test]
    fn a_limit_of_zero_never_locks() {
        let mut limiter = limiter(10);
        let nas = Key::Nas(Uuid::from_u128(1));
        assert!((0..1000).all(|_| limiter.failed(at(0), nas).is_none()));
        assert_eq!(limiter.tracked(), 0);
    }

    #[test]
    fn a_flood_of_devices_neither_grows_the_table_nor_frees_people() {
        let mut limiter = limiter(4);
        for _ in 0..3 {
            limiter.failed(at(0), user(1));
        }
        for number in 0..1000u32 {
            let [a, b, c, d] = number.to_be_bytes();
            limiter.failed(at(1), Key::Device(Mac([2, 0, a, b, c, d])));
            limiter.succeeded(Key::Device(Mac([2, 0, a, b, c, d.wrapping_sub(2)])));
            assert!(limiter.tracked() <= 5 && limiter.device.order.len() <= 9);
        }
        assert!(limiter.check(at(2), user(1)).is_some());
    }

    #[test]
    fn a_lock_is_spared_when_others_can_go() {
        let mut limiter = limiter(4);
        for _ in 0..3 {
            limiter.failed(at(0), user(1));
        }
        for number in 2..100 {
            limiter.failed(at(1), user(number));
        }
        assert!(limiter.check(at(2), user(1)).is_some());
    }

    #[test]
    fn a_stored_lock_is_restored_until_its_end() {
        let mut limiter = limiter(4);
        let lock = NewLock {
            key: Key::Device(Mac([0xAA, 0xBB, 0xCC, 0, 1, 2])),
            failures: 9,
            until: at(50),
        };
        limiter.restore(at(50), lock);
        assert_eq!(limiter.tracked(), 0);
        limiter.restore(at(10), lock);
        assert_eq!(limiter.check(at(49), lock.key), Some(at(50)));
    }

    #[test]
    fn keys_are_stored_and_read_back() {
        for key in [
            user(7),
            Key::Nas(Uuid::from_u128(9)),
            Key::Device(Mac([0xAA, 0xBB, 0xCC, 0, 1, 2])),
        ] {
            assert_eq!(Key::from_stored(key.kind(), &key.subject()), Some(key));
            assert_eq!(KeyKind::from_word(key.kind().word()), Some(key.kind()));
        }
        assert_eq!(Key::from_stored(KeyKind::Device, "AA-BB-CC-00-01"), None);
        assert_eq!(
            Key::from_stored(KeyKind::Device, "AA-BB-CC-00-01-02-03"),
            None
        );
        assert_eq!(Key::from_stored(KeyKind::User, "bob"), None);
    }
}
