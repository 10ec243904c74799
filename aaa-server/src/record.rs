//! What is kept of every request, on its way to the database: attempts, locks, and what each NAS was seen to do.
//!
//! Receive threads only put things into bounded queues and small maps here; a task writes them in batches. When the
//! database is away attempts pile up to a limit and then the newest are counted and lost: an attempt is a diagnosis,
//! accounting is what must not be lost and has its journal. Beside the database a ring on this node's disk
//! ([`usage::attempt::ring`]) holds them, and more accepts, written by a thread of its own.

use crate::door::Shared;
use crate::socket::Peer;
use access::decide::{Decision, Trace};
use access::facts::Facts;
use access::limiter::NewLock;
use access::nas::NasId;
use access::nas_match::NasEntry;
use access::question::Question;
use access::word::Dropped;
use kernel::{Kernel, Time};
use proof::mac::Mac;
use radius_wire::{Packet, attrs};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use usage::attempt::ring::RingWriter;
use usage::attempt::{Attempt, Verdict};

/// Attempts that wait for the database.
pub const MAX_QUEUED: usize = 65_536;
/// Attempts that wait for this node's disk.
const MAX_LOGGED: usize = 16_384;
/// Attempts that are written to it at once.
const LOGGED_AT_ONCE: usize = 1_000;
/// How long the ring on disk keeps anything.
const LOGGED_DAYS: i64 = 7;
/// How often it is looked for what is older.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);
/// Attempts in one transaction.
const BATCH: usize = 500;
/// How long they are gathered: a thread that woke for each would take a lane's core for each.
const GATHERED: Duration = Duration::from_millis(20);
/// How often batches are written: an operator who asks "why was he refused" should not have to wait.
const EVERY: Duration = Duration::from_millis(100);
/// Drops kept per second of one NAS, and of all strangers together: a flood of rubbish must not fill the table, and
/// one sender's flood must not hide what happens to the others.
const KEPT_DROPS_PER_SECOND: u32 = 20;
/// Log lines per second for one word of one NAS; the counters have them all.
const LINES_PER_SECOND: u32 = 2;
/// Locks that wait for the database.
const MAX_LOCKS: usize = 10_000;
/// Batches of attempts in one flush, so that locks have their turn.
const MAX_BATCHES: usize = 20;
/// Rates kept; all begin anew when there are more.
const MAX_RATES: usize = 100_000;
/// Senders without NAS that are logged by name, until the next minute.
const MAX_STRANGERS: usize = 256;

/// So many a second, the rest is counted elsewhere.
#[derive(Default)]
struct Rate {
    second: i64,
    used: u32,
}

impl Rate {
    fn take(&mut self, now: Time, limit: u32) -> bool {
        let second = now.unix_seconds();
        if second != self.second {
            (self.second, self.used) = (second, 0);
        }
        self.used = self.used.saturating_add(1);
        self.used <= limit
    }
}

/// In microseconds.
const SECOND: u64 = 1_000_000;

/// So many a second, shared by all receive threads: a second's worth at once after a quiet time, and then one at a time,
/// evenly. Were they taken from the start of each second, everything that they cost would come at once, too.
#[derive(Default)]
struct SharedRate {
    /// When the next one would be due if they came evenly, in Unix microseconds.
    due: AtomicU64,
}

impl SharedRate {
    /// When the one after this is due; none if this has no room.
    fn next(due: u64, now: Time, limit: u32) -> Option<u64> {
        let now = now.unix_micros().unsigned_abs();
        // A clock that was set back does not keep anybody waiting.
        let due = match due > now + SECOND {
            true => now,
            false => due.max(now),
        };
        let next = due + SECOND.checked_div(limit.into())?.max(1);
        (next <= now + SECOND).then_some(next)
    }

    fn has_room(&self, now: Time, limit: u32) -> bool {
        Self::next(self.due.load(Ordering::Relaxed), now, limit).is_some()
    }

    fn take(&self, now: Time, limit: u32) -> bool {
        self.due
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
                Self::next(due, now, limit)
            })
            .is_ok()
    }
}

struct Strangers {
    minute: i64,
    seen: HashMap<std::net::IpAddr, u64>,
}

/// The queues.
pub struct Recorder {
    node: OnceLock<String>,
    kept_accepts_per_second: u32,
    logged_accepts_per_second: u32,
    /// On their way to this node's disk.
    logged: crossbeam_channel::Sender<Attempt>,
    to_log: crossbeam_channel::Receiver<Attempt>,
    logged_accepts: SharedRate,
    sender: crossbeam_channel::Sender<Attempt>,
    receiver: crossbeam_channel::Receiver<Attempt>,
    locks: Mutex<Vec<NewLock>>,
    accepts: SharedRate,
    drops: Mutex<HashMap<Option<NasId>, Rate>>,
    lines: Mutex<HashMap<(NasId, Dropped), Rate>>,
    strangers: Mutex<Strangers>,
    lost: AtomicU64,
}

impl Recorder {
    /// Empty queues. So many accepts are kept in the database a second, and so many on disk.
    pub fn new(kept_accepts_per_second: u32, logged_accepts_per_second: u32) -> Self {
        let (sender, receiver) = crossbeam_channel::bounded(MAX_QUEUED);
        let (logged, to_log) = crossbeam_channel::bounded(MAX_LOGGED);
        Self {
            node: OnceLock::new(),
            kept_accepts_per_second,
            logged_accepts_per_second,
            logged,
            to_log,
            logged_accepts: SharedRate::default(),
            sender,
            receiver,
            locks: Mutex::default(),
            accepts: SharedRate::default(),
            drops: Mutex::default(),
            lines: Mutex::default(),
            strangers: Mutex::new(Strangers {
                minute: 0,
                seen: HashMap::new(),
            }),
            lost: AtomicU64::new(0),
        }
    }

    /// Says on which node this is, once that is known.
    pub fn set_node(&self, node: &str) {
        let _ = self.node.set(node.to_owned());
    }

    /// On which node this is; nothing until that is known.
    pub fn node(&self) -> &str {
        self.node.get().map_or("", String::as_str)
    }

    /// Attempts that wait for the database.
    pub fn waiting(&self) -> usize {
        self.receiver.len()
    }

    /// Attempts that were not kept because the queue was full.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether an accept of this second would be kept: only then its trace is worth writing.
    pub fn keeps_accepts(&self, now: Time) -> bool {
        self.accepts.has_room(now, self.kept_accepts_per_second)
            || self
                .logged_accepts
                .has_room(now, self.logged_accepts_per_second)
    }

    /// A decision was made.
    #[allow(clippy::too_many_arguments)]
    pub fn decided(
        &self,
        shared: &Shared,
        now: Time,
        question: &Question<'_>,
        facts: &Facts,
        nas: &NasEntry,
        peer: Peer,
        decision: &Decision,
        trace: Trace,
        locks: Vec<NewLock>,
    ) {
        let (verdict, word) = match decision {
            Decision::Accept(_) => (Verdict::Accept, None),
            Decision::Refuse(refused) => (Verdict::Refuse, Some(refused.word.word())),
        };
        match decision {
            Decision::Accept(_) => {
                tracing::debug!(user = ?question.name(), nas = %nas.nas.name, method = question.method(), "accepted");
            }
            Decision::Refuse(refused) => {
                tracing::info!(
                    user = ?question.name(),
                    nas = %nas.nas.name,
                    method = question.method(),
                    word = refused.word.word(),
                    "refused: {}",
                    refused.word.sentence()
                );
            }
        }
        for lock in &locks {
            tracing::warn!(
                kind = lock.key.kind().word(),
                until = %lock.until,
                "locked after {} wrong passwords",
                lock.failures
            );
        }
        if !locks.is_empty() {
            let mut waiting = guard(&self.locks);
            let room = MAX_LOCKS.saturating_sub(waiting.len());
            waiting.extend(locks.into_iter().take(room));
        }
        let is_logged = word.is_some()
            || self
                .logged_accepts
                .take(now, self.logged_accepts_per_second);
        let is_kept = word.is_some() || self.accepts.take(now, self.kept_accepts_per_second);
        if !is_logged && !is_kept {
            return;
        }
        let mut attempt = self.attempt(
            shared,
            now,
            &question.packet,
            Some(nas),
            peer,
            verdict,
            word,
        );
        attempt.organisation = facts
            .organisation
            .as_ref()
            .map(|organisation| organisation.id);
        attempt.membership = facts.member().map(|(_, member)| member.id.0);
        attempt.method = Some(question.method().to_owned());
        attempt.trace = trace.to_json();
        match is_kept {
            true => self.keep(attempt),
            false => self.log(attempt),
        }
    }

    /// A request was left unanswered.
    pub fn dropped(
        &self,
        shared: &Shared,
        now: Time,
        word: Dropped,
        packet: &Packet<'_>,
        nas: Option<&NasEntry>,
        peer: Peer,
    ) {
        shared.counts.dropped(word);
        match nas {
            Some(nas) if self.is_worth_a_line(now, nas, word) => tracing::info!(
                nas = %nas.nas.name,
                from = %peer.address,
                code = %packet.code(),
                word = word.word(),
                "dropped: {}",
                word.sentence()
            ),
            Some(_) => {}
            None if self.is_new_stranger(now, peer.address.ip()) => tracing::warn!(
                from = %peer.address,
                nas_identifier = ?packet.get(attrs::NAS_IDENTIFIER).map(String::from_utf8_lossy),
                word = word.word(),
                "dropped: {} {}",
                word.sentence(),
                word.remedy()
            ),
            None => {}
        }
        if !self.is_kept(now, nas) {
            return;
        }
        let mut attempt = self.attempt(
            shared,
            now,
            packet,
            nas,
            peer,
            Verdict::Drop,
            Some(word.word()),
        );
        attempt.trace = serde_json::json!([{
            "check": "packet",
            "input": packet.code().to_string(),
            "verdict": "drop",
            "word": word.word(),
            "sentence": word.sentence(),
            "remedy": word.remedy(),
        }]);
        self.keep(attempt);
    }

    #[allow(clippy::too_many_arguments)]
    fn attempt(
        &self,
        shared: &Shared,
        now: Time,
        packet: &Packet<'_>,
        nas: Option<&NasEntry>,
        peer: Peer,
        verdict: Verdict,
        word: Option<&str>,
    ) -> Attempt {
        let text = |octets: Option<&[u8]>| {
            octets.map(|octets| {
                String::from_utf8_lossy(octets)
                    .trim_end_matches('\0')
                    .to_owned()
            })
        };
        let calling = packet.get(attrs::CALLING_STATION_ID);
        Attempt {
            id: kernel::id::new_uuid(now, &*shared.kernel.rng),
            at: now,
            node: self.node.get().cloned().unwrap_or_default(),
            organisation: nas.map(|nas| nas.nas.organisation),
            nas: nas.map(|nas| nas.nas.id.0),
            nas_address: peer.address.ip().to_canonical().to_string(),
            membership: None,
            username: text(packet.get(attrs::USER_NAME)),
            mac: calling
                .and_then(|octets| Mac::parse(octets).ok())
                .map(|mac| mac.to_string()),
            called_station_id: text(packet.get(attrs::CALLED_STATION_ID)),
            calling_station_id: text(calling),
            acct_session_id: text(packet.get(attrs::ACCT_SESSION_ID)),
            method: None,
            verdict,
            word: word.map(str::to_owned),
            trace: serde_json::Value::Null,
        }
    }

    /// In the database and on disk.
    fn keep(&self, attempt: Attempt) {
        self.log(attempt.clone());
        self.queue(attempt);
    }

    /// On disk. What finds no room there is in the database or counted.
    fn log(&self, attempt: Attempt) {
        let _ = self.logged.try_send(attempt);
    }

    fn queue(&self, attempt: Attempt) {
        if self.sender.try_send(attempt).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_worth_a_line(&self, now: Time, nas: &NasEntry, word: Dropped) -> bool {
        let mut lines = guard(&self.lines);
        if lines.len() >= MAX_RATES {
            lines.clear();
        }
        lines
            .entry((nas.nas.id, word))
            .or_default()
            .take(now, LINES_PER_SECOND)
    }

    fn is_kept(&self, now: Time, nas: Option<&NasEntry>) -> bool {
        let mut drops = guard(&self.drops);
        if drops.len() >= MAX_RATES {
            drops.clear();
        }
        drops
            .entry(nas.map(|nas| nas.nas.id))
            .or_default()
            .take(now, KEPT_DROPS_PER_SECOND)
    }

    fn is_new_stranger(&self, now: Time, address: std::net::IpAddr) -> bool {
        let mut strangers = guard(&self.strangers);
        let minute = now.unix_seconds() / 60;
        if strangers.minute != minute {
            strangers.minute = minute;
            strangers.seen.clear();
        }
        if strangers.seen.len() >= MAX_STRANGERS && !strangers.seen.contains_key(&address) {
            return false;
        }
        let count = strangers.seen.entry(address).or_default();
        *count += 1;
        *count == 1
    }

    /// Writes everything that waits. What the database does not take is kept for the next time.
    ///
    /// # Errors
    /// The database's.
    pub async fn flush(
        &self,
        kernel: &Kernel,
        is_held: impl Fn(&NewLock) -> bool,
    ) -> Result<(), kernel::Error> {
        let mut locks = std::mem::take(&mut *guard(&self.locks));
        // One that was lifted meanwhile must not come back.
        locks.retain(is_held);
        if !locks.is_empty()
            && let Err(e) = access::lock::store(kernel, &locks).await
        {
            guard(&self.locks).extend(locks);
            return Err(e);
        }
        for _ in 0..MAX_BATCHES {
            let batch: Vec<Attempt> = self.receiver.try_iter().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            if let Err(e) = usage::attempt::record(kernel, &batch).await {
                batch.into_iter().for_each(|attempt| self.queue(attempt));
                return Err(e);
            }
        }
        Ok(())
    }
}

/// Writes attempts into the ring of a data folder until told to stop, then what is left.
pub fn run_log(shared: &Shared, data: &Path, closed: &AtomicBool) {
    let max_octets = shared.config.attempts_log_mib.saturating_mul(1024 * 1024);
    let mut ring = match RingWriter::open(data, max_octets) {
        Ok(ring) => Some(ring),
        Err(e) => {
            tracing::warn!("attempts are not logged on this node: {e}");
            None
        }
    };
    let waiting = &shared.recorder.to_log;
    let mut forgot: Option<Instant> = None;
    let mut is_failing = false;
    loop {
        let is_last = closed.load(Ordering::Acquire);
        let first = waiting.recv_timeout(EVERY).ok();
        let attempts: Vec<Attempt> = first
            .into_iter()
            .chain(waiting.try_iter())
            .take(LOGGED_AT_ONCE)
            .collect();
        let is_due = forgot.is_none_or(|at| at.elapsed() >= FORGET_EVERY);
        if let Some(ring) = &mut ring {
            let mut done = match attempts.is_empty() {
                true => Ok(()),
                false => ring.put(&attempts),
            };
            if is_due && done.is_ok() {
                forgot = Some(Instant::now());
                let before = shared.kernel.now().plus_seconds(-LOGGED_DAYS * 86_400);
                done = ring.forget(before);
            }
            match done {
                Ok(()) => is_failing = false,
                Err(e) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!("attempts are not logged on this node: {e}");
                    }
                }
            }
        }
        match (is_last, attempts.is_empty()) {
            (true, true) => return,
            (true, false) | (false, true) => {}
            (false, false) => std::thread::sleep(GATHERED),
        }
    }
}

/// Writes what the recorder holds every tenth of a second, until told to stop; then once more.
pub async fn run(shared: std::sync::Arc<Shared>, mut stop: tokio::sync::watch::Receiver<bool>) {
    let mut is_failing = false;
    loop {
        let stopping = tokio::select! {
            () = tokio::time::sleep(EVERY) => false,
            _ = stop.wait_for(|stop| *stop) => true,
        };
        let now = shared.kernel.now();
        let is_held = |lock: &NewLock| shared.register.is_locked(now, lock.key);
        match shared.recorder.flush(&shared.kernel, is_held).await {
            Ok(()) => is_failing = false,
            Err(e) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::error!("attempts wait for the database: {e}");
                }
            }
        }
        if stopping {
            return;
        }
    }
}

fn guard<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_begins_anew_each_second() {
        let mut rate = Rate::default();
        let at = |second| Time::from_unix_seconds(second);
        let taken = (0..10).filter(|_| rate.take(at(5), 3)).count();
        assert_eq!(taken, 3);
        assert!(rate.take(at(6), 3));
    }

    #[test]
    fn a_shared_rate_gives_a_second_at_once_and_then_evenly() {
        let rate = SharedRate::default();
        let at = |micros: i64| Time::from_unix_micros(1_000_000_000 + micros);
        let taken = |micros, times: usize| {
            let taken = |_: &usize| rate.take(at(micros), 100);
            (0..times).filter(taken).count()
        };
        assert_eq!(taken(0, 1_000), 100, "a second's worth");
        assert!(!rate.has_room(at(9_999), 100));
        assert!(rate.has_room(at(10_000), 100));
        let later: usize = (0..1_000)
            .map(|millisecond| taken(millisecond * 1_000, 45))
            .sum();
        assert_eq!(later, 99, "one each ten milliseconds, from the tenth");
        assert_eq!(taken(100_000_000, 1_000), 100, "no more after a long time");
        assert_eq!(taken(0, 1_000), 100, "the clock was set back");
        assert!(!rate.take(at(200_000_000), 0), "none are wanted");
    }

    #[test]
    fn a_stranger_is_logged_once_a_minute_and_strangers_are_bounded() {
        let recorder = Recorder::new(1, 1);
        let now = Time::from_unix_seconds(60);
        let address = |n: u32| std::net::IpAddr::V4(n.into());
        assert!(recorder.is_new_stranger(now, address(1)));
        assert!(!recorder.is_new_stranger(now, address(1)));
        assert!(recorder.is_new_stranger(now.plus_seconds(60), address(1)));
        let logged = (0..10_000)
            .filter(|n| recorder.is_new_stranger(now, address(*n)))
            .count();
        assert_eq!(logged, MAX_STRANGERS);
    }
}
