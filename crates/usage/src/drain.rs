//! The journal drains into SQL: batch after batch, for as long as the process lives.
//!
//! While SQL is away the journal grows and nothing is lost; the writer tries again, more and more slowly. A report that
//! SQL itself refuses (and not the line to it) must not hold up all others: its batch is halved until it stands alone,
//! then it is kept unread. Batches are as large as SQL takes in a short transaction. When SQL was put back under the
//! running process, the journal, which keeps what is applied for a day, is read again from where SQL stands. The writer has a thread of its own, because it waits for the journal without a runtime.

use crate::entry::{ACCOUNTING_REPORT, BadEntry, Entry};
use crate::writer::memory::Memory;
use crate::writer::{Applied, Item, Origin, Outcome, Stretch, apply_with};
use chrono_tz::Tz;
use journal::{Position, ReadError, Reader, Record};
use kernel::id::Uuid;
use kernel::{Error, Kernel};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most reports in one transaction; how many it is follows from how long they take.
pub const BATCH_REPORTS: usize = 4_096;
/// How many are tried first, while it is not known how long they take.
const FIRST_BATCH: usize = 256;
/// A transaction that takes longer is too large: readers of events wait for it, 250 ms at most.
const LONG_BATCH: Duration = Duration::from_millis(150);
/// Times that a transaction waits for an answer: eighteen, a few more while its statements are new to a connection.
const ROUND_TRIPS: u32 = 24;
/// A database that answers more slowly than this allows for is busy, not far away.
const LONGEST_ON_THE_LINE: Duration = Duration::from_secs(6);
/// A batch that was smaller than this waits a little for company: each transaction costs as much as some fifty reports.
const LARGE_BATCH: usize = 1_000;
/// So long after the last one it begins at any rate.
const LINGER: Duration = Duration::from_millis(40);
/// A report has at most 4 KiB: this bounds memory, not batches.
const BATCH_BYTES: usize = 4 << 20;
/// How long one look at an idle journal takes; also how soon a stop is noticed.
const IDLE: Duration = Duration::from_millis(250);
/// A fault of data that comes back this often is no coincidence of two nodes.
const DATA_FAULTS: u32 = 3;

/// How far the writer is, for `status` and for stopping it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_stopping: AtomicBool,
    applied: AtomicU64,
    fault: Mutex<Option<String>>,
    unread: Mutex<Option<String>>,
    missing: Mutex<Option<Missing>>,
}

/// Reports that neither SQL nor the journal has: SQL was put back to a state older than the journal's oldest record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// The first of them.
    pub from: Position,
    /// The last.
    pub to: Position,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Missing { from, to } = self;
        let count = to.0.saturating_sub(from.0).saturating_add(1);
        write!(f, "{count} (numbers {from} to {to})")
    }
}

impl Progress {
    /// Asks the writer to end after the batch at hand.
    pub fn stop(&self) {
        self.0.is_stopping.store(true, Ordering::SeqCst);
    }

    /// The last position that is in SQL.
    pub fn applied(&self) -> Position {
        Position(self.0.applied.load(Ordering::SeqCst))
    }

    /// Why the writer cannot go on at the moment.
    pub fn fault(&self) -> Option<String> {
        guard(&self.0.fault).clone()
    }

    /// Why the journal cannot be read on from where the writer is; what is behind that place waits until it is mended.
    pub fn unread(&self) -> Option<String> {
        guard(&self.0.unread).clone()
    }

    /// Reports that are in neither SQL nor the journal, found since the start.
    pub fn missing(&self) -> Option<Missing> {
        *guard(&self.0.missing)
    }

    fn is_stopping(&self) -> bool {
        self.0.is_stopping.load(Ordering::SeqCst)
    }

    fn set_applied(&self, position: Position) {
        self.0.applied.store(position.0, Ordering::SeqCst);
    }

    fn set_fault(&self, fault: Option<String>) {
        *guard(&self.0.fault) = fault;
    }

    fn set_unread(&self, unread: Option<String>) {
        *guard(&self.0.unread) = unread;
    }

    fn add_missing(&self, more: Missing) {
        let mut missing = guard(&self.0.missing);
        let from = missing.map_or(more.from, |known| known.from.min(more.from));
        *missing = Some(Missing { from, to: more.to });
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many reports the next transaction takes.
#[derive(Debug, Clone, Copy)]
struct Pace(usize);

impl Pace {
    /// After a transaction that took so long: half as many if it was long, else a few more.
    fn took(&mut self, elapsed: Duration) {
        self.0 = match elapsed > LONG_BATCH {
            true => (self.0 / 2).max(1),
            false => (self.0 + self.0 / 8 + 1).min(BATCH_REPORTS),
        };
    }

    /// After so many were refused together.
    fn refused(&mut self, reports: usize) {
        self.0 = reports.div_ceil(2);
    }
}

/// How long to wait after failures in a row.
#[derive(Debug, Clone, Copy, Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(10);

    fn next(&mut self) -> Duration {
        let wait = Self::FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        wait.min(Self::LONGEST)
    }
}

/// Where the writer reads, and what it tells.
pub struct Ends {
    /// A reader from a position.
    pub reader_at: Box<dyn Fn(Position) -> Reader + Send>,
    /// Says that records up to a position are in SQL: the journal may let go of them.
    pub release: Box<dyn Fn(Position) + Send>,
    /// An organisation's time zone.
    pub zone_of: Box<dyn Fn(Uuid) -> Tz + Send + Sync>,
    /// What a batch came to, after its commit.
    pub on_applied: Box<dyn FnMut(Applied) + Send>,
}

/// Drains a journal into SQL.
pub struct Writer {
    kernel: Kernel,
    origin: Origin,
    ends: Ends,
    progress: Progress,
    reader: Reader,
    /// Read, not yet applied; at most one read's worth.
    waiting: Vec<Record>,
    pace: Pace,
    memory: Memory,
    /// When the last small batch began.
    begun: Option<Instant>,
    /// Everything up to here is in SQL as far as is known here, or the journal no longer has it.
    applied: Position,
    data_faults: u32,
}

/// What one step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A batch is in SQL.
    Applied,
    /// All that is durable is in SQL.
    Idle,
    /// It did not go; try again later.
    Failed,
}

impl Writer {
    /// A writer that goes on where SQL says the journal is applied to.
    ///
    /// # Errors
    /// [`Error::Engine`] when SQL cannot say.
    pub async fn new(kernel: Kernel, origin: Origin, ends: Ends) -> Result<Writer, Error> {
        let applied = crate::writer::checkpoint(&kernel.db, &origin).await?;
        let progress = Progress::default();
        progress.set_applied(applied);
        (ends.release)(applied);
        let reader = (ends.reader_at)(applied.next());
        Ok(Writer {
            kernel,
            origin,
            ends,
            progress,
            reader,
            waiting: Vec::new(),
            pace: Pace(FIRST_BATCH),
            memory: Memory::default(),
            begun: None,
            applied,
            data_faults: 0,
        })
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Drains until [`Progress::stop`]. Blocks: give it a thread. `runtime` runs the database's futures.
    pub fn run(mut self, runtime: &tokio::runtime::Handle) {
        let mut backoff = Backoff::default();
        while !self.progress.is_stopping() {
            match runtime.block_on(self.step()) {
                Step::Applied => {
                    backoff = Backoff::default();
                    std::thread::sleep(self.linger());
                }
                Step::Idle => {
                    backoff = Backoff::default();
                    self.reader.wait(IDLE);
                }
                Step::Failed => self.pause(backoff.next()),
            }
        }
    }

    fn pause(&self, length: Duration) {
        let mut left = length;
        while !left.is_zero() && !self.progress.is_stopping() {
            let nap = left.min(IDLE);
            std::thread::sleep(nap);
            left = left.saturating_sub(nap);
        }
    }

    /// How long to wait before the next step, so that small batches become larger ones.
    pub fn linger(&self) -> Duration {
        let waited = self.begun.map_or(LINGER, |begun| begun.elapsed());
        match self.waiting.is_empty() {
            true => LINGER.saturating_sub(waited),
            false => Duration::ZERO,
        }
    }

    /// Applies the next batch, if there is one.
    pub async fn step(&mut self) -> Step {
        if self.waiting.is_empty() {
            match self.reader.next_batch(BATCH_REPORTS, BATCH_BYTES) {
                Ok(records) => {
                    self.progress.set_unread(None);
                    self.waiting = records;
                }
                Err(error) => return self.read_failed(&error),
            }
        }
        let taken = self.pace.0.min(self.waiting.len());
        let Some(upto) = self
            .waiting
            .get(..taken)
            .and_then(<[Record]>::last)
            .map(|record| record.position)
        else {
            return Step::Idle;
        };
        let mut items: Vec<Item> = self
            .waiting
            .iter()
            .take(taken)
            .filter_map(item_of)
            .collect();
        if taken == 1 && self.data_faults >= DATA_FAULTS {
            self.give_up_on(&mut items);
        }
        let stretch = Stretch {
            after: self.applied,
            upto,
        };
        let begun = Instant::now();
        self.begun = (taken < LARGE_BATCH).then_some(begun);
        let zone_of = &self.ends.zone_of;
        let (kernel, origin) = (&self.kernel, &self.origin);
        let outcome = apply_with(kernel, origin, stretch, &items, zone_of, &mut self.memory).await;
        match outcome {
            Ok(Outcome::Applied(applied)) => {
                self.waiting.drain(..taken);
                let took = begun.elapsed();
                self.data_faults = 0;
                self.progress.set_fault(None);
                self.set_applied(upto);
                (self.ends.release)(upto);
                (self.ends.on_applied)(applied);
                let waited = match took > LONG_BATCH {
                    true => self.spent_on_the_line().await,
                    false => Duration::ZERO,
                };
                self.pace.took(took.saturating_sub(waited));
                Step::Applied
            }
            Ok(Outcome::Behind(position)) => self.go_back(position),
            Err(error) => self.apply_failed(&error, taken),
        }
    }

    /// What of a transaction is going to and fro. Fewer reports do not make that shorter: counted against the batch, it
    /// would shrink to a single report, and a database far away would never catch up.
    async fn spent_on_the_line(&self) -> Duration {
        let there_and_back = self.kernel.db.ping().await.unwrap_or_default();
        there_and_back
            .saturating_mul(ROUND_TRIPS)
            .min(LONGEST_ON_THE_LINE)
    }

    fn set_applied(&mut self, position: Position) {
        self.applied = position;
        self.progress.set_applied(position);
    }

    /// SQL was put back: what it has lost is read again.
    fn go_back(&mut self, position: Position) -> Step {
        let fault = format!(
            "the database has accounting reports up to {position} and had them up to {}: they are applied again",
            self.applied
        );
        tracing::warn!("{fault}");
        self.progress.set_fault(Some(fault));
        self.set_applied(position);
        (self.ends.release)(position);
        self.waiting.clear();
        self.reader = (self.ends.reader_at)(position.next());
        Step::Failed
    }

    fn apply_failed(&mut self, error: &Error, taken: usize) -> Step {
        tracing::warn!(%error, reports = taken, "accounting reports wait in the journal");
        self.progress.set_fault(Some(error.to_string()));
        if is_fault_of_data(error) {
            self.data_faults = self.data_faults.saturating_add(1);
            if self.data_faults >= DATA_FAULTS && taken > 1 {
                self.pace.refused(taken);
                self.data_faults = 0;
            }
        }
        Step::Failed
    }

    /// The one report that SQL refuses time and again is kept unread.
    fn give_up_on(&self, items: &mut [Item]) {
        let fault = self.progress.fault().unwrap_or_default();
        for (_, item) in items {
            if let Ok(entry) = item {
                let reason = format!("the database refuses it: {fault}");
                *item = Err(BadEntry {
                    reason,
                    octets: entry.encode(),
                });
            }
        }
    }

    fn read_failed(&mut self, error: &ReadError) -> Step {
        let sentence = error.to_string();
        if let ReadError::Gone { oldest } = error {
            // Only a restored backup older than the journal gets here: what is still there must not wait for what is
            // not. What SQL is known to have stays as it is, so that the next batch is let in.
            let missing = Missing {
                from: self.reader.position(),
                to: Position(oldest.0.saturating_sub(1)),
            };
            tracing::error!(
                "the database was put back to a state before accounting report {}, and the journal begins at report {oldest}: \
                 {missing} reports are in neither of them and are missing; what the journal has is applied",
                missing.from
            );
            self.progress.add_missing(missing);
            self.reader = (self.ends.reader_at)(*oldest);
        } else if self.progress.unread().as_ref() != Some(&sentence) {
            // Once, not with every try.
            tracing::error!(
                "accounting reports wait in a journal that cannot be read on: {sentence}"
            );
            self.progress.set_unread(Some(sentence.clone()));
        }
        self.progress.set_fault(Some(sentence));
        Step::Failed
    }
}

fn item_of(record: &Record) -> Option<Item> {
    (record.kind == ACCOUNTING_REPORT).then(|| (record.position, Entry::decode(&record.bytes)))
}

/// Whether SQL refuses what it is given, and not the line, the disk or the server that does.
fn is_fault_of_data(error: &Error) -> bool {
    /// SQLite: constraint, too big, mismatch.
    const SQLITE_DATA: [u32; 3] = [19, 18, 20];
    match error {
        Error::Invalid(_) => true,
        Error::Engine(
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_),
        ) => true,
        Error::Engine(sqlx::Error::Database(e)) => e.code().is_some_and(|code| match code.len() {
            // PostgreSQL: classes "data exception" and "integrity constraint violation".
            5 => code.starts_with("22") || code.starts_with("23"),
            _ => code
                .parse::<u32>()
                .is_ok_and(|code| SQLITE_DATA.contains(&(code & 0xff))),
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
