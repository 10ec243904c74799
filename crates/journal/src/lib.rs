//! Append-only, checksummed, group-committed log on local disk.
//!
//! What must not be lost is put here and acknowledged only once it is durable. Records are opaque octets with a
//! one-octet kind; each gets a [`Position`], counted from 1 without holes (but for [`Journal::advance_beyond`]).
//!
//! # How to read it
//!
//! * [`Journal`] is the front: [`Journal::append`] queues, [`Hooks::committed`] tells when a whole batch is durable,
//!   [`Reader`] reads it back, [`Journal::release`] and [`Journal::sweep`] let go of it.
//! * `queue` is the bounded queue and the thread behind it, `writer` makes a batch durable, `retention` removes.
//! * `recovery` opens what a crash left, `salvage` what rot left.
//! * `record` and `segment` are the format, `disk` is all there is of files, `sim` is the disk for tests.
//!
//! In a data folder `D` it owns `D/journal/` (`LOCK`, `id`, `00000000000000000001.seg`, …) and [`node_id`] owns
//! `D/node`.
//!
//! # What holds
//!
//! * A record reported to [`Hooks::committed`] is there after any crash, at its position.
//! * A record that was once read keeps its position and its octets for ever.
//! * A record reported to [`Hooks::failed`] was not acknowledged; it may turn up after a crash, or never.
//! * Damage is an error that names file and offset. Nothing damaged is skipped unless the operator asks for a salvage.
//!
//! # Never
//!
//! It knows no SQL, no RADIUS, no async runtime; it reads no clock and makes no randomness (both are given); it does
//! not retry, and it does not decide what a full or failing disk means for an answer.

mod checksum;
mod disk;
mod error;
mod node;
mod options;
mod queue;
mod reader;
mod record;
mod recovery;
mod retention;
mod salvage;
mod segment;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod state;
mod writer;

#[cfg(test)]
mod battery;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

pub use disk::{Disk, DiskFile, DiskLock, RealDisk};
pub use error::{
    AdvanceError, AppendError, CommitError, Corrupt, OpenError, ReadError, Refused, Step,
};
pub use node::{BadId, JournalId, NodeId, node_id};
pub use options::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS, Options, UnixClock, Verify};
pub use queue::{Committed, Failed, Hooks};
pub use reader::{Reader, Record};
pub use record::{Flaw, MAX_RECORD_BYTES};
pub use recovery::Recovered;
pub use retention::Swept;
pub use salvage::Lost;

use queue::Queue;
use state::Shared;

/// Where a record stands: 1 for the first one, 0 for before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The position after this one.
    pub fn next(self) -> Position {
        Position(self.0.saturating_add(1))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// The state of a journal at one moment; counts are since opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// The oldest position kept.
    pub oldest: Position,
    /// The last durable position.
    pub durable: Position,
    /// The last released position.
    pub released: Position,
    /// Records that wait for the writer.
    pub queued_records: usize,
    /// Octets that wait or are being written.
    pub queued_bytes: u64,
    /// Octets on disk.
    pub bytes_on_disk: u64,
    /// The limit of that.
    pub max_bytes: u64,
    /// Segments on disk.
    pub segments: usize,
    /// Syncs: one for each batch and each new segment.
    pub syncs: u64,
    /// Records made durable.
    pub records: u64,
    /// Batches that failed, and removals that failed.
    pub errors: u64,
    /// Whether the last batch failed.
    pub failing: bool,
    /// Records refused because the journal was full.
    pub refused_full: u64,
    /// Records refused because the queue was full.
    pub refused_busy: u64,
    /// Segments removed before their time for want of room.
    pub shortened: u64,
}

/// An open journal. `T` is what the caller gets back when a record is durable.
///
/// Dropping it writes what is queued and waits for that.
pub struct Journal<T> {
    queue: Arc<Queue<T>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Let go of last, when the thread has ended.
    _lock: Box<dyn DiskLock>,
}

impl<T> fmt::Debug for Journal<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "Journal({}, {})",
            self.shared.id,
            self.shared.folder.display()
        )
    }
}

impl<T: Send + 'static> Journal<T> {
    /// Opens the journal in `data_folder`, or makes one, and starts its thread.
    pub fn open(
        disk: Arc<dyn Disk>,
        data_folder: &Path,
        options: Options,
        hooks: Hooks<T>,
    ) -> Result<(Journal<T>, Recovered), OpenError> {
        let opened = recovery::open(disk, data_folder, options)?;
        let queue = Arc::new(Queue::new(opened.shared.clone()));
        let thread = queue::start(queue.clone(), opened.writer, hooks)
            .map_err(OpenError::io("start the thread of", &opened.shared.folder))?;
        let journal = Journal {
            queue,
            shared: opened.shared,
            thread: Some(thread),
            _lock: opened.lock,
        };
        Ok((journal, opened.recovered))
    }

    /// Queues a record; waits while the queue is full. `done` comes back through one of the [`Hooks`], or here at once.
    pub fn append(&self, kind: u8, bytes: Vec<u8>, done: T) -> Result<(), Refused<T>> {
        self.queue.push(kind, bytes, done, true)
    }

    /// Queues a record without ever waiting: a full queue is [`AppendError::Busy`].
    pub fn try_append(&self, kind: u8, bytes: Vec<u8>, done: T) -> Result<(), Refused<T>> {
        self.queue.push(kind, bytes, done, false)
    }
}

impl<T> Journal<T> {
    /// Which journal this is.
    pub fn id(&self) -> JournalId {
        self.shared.id
    }

    /// The last durable position; 0 for none.
    pub fn durable(&self) -> Position {
        Position(self.shared.state().durable)
    }

    /// A reader whose next record is the one at `from` (the one after a checkpoint).
    pub fn reader(&self, from: Position) -> Reader {
        Reader::new(self.shared.clone(), from)
    }

    /// Waits until a record beyond `position` is durable and gives the last durable position; `None` after `timeout`
    /// and when the journal closes.
    pub fn wait_beyond(&self, position: Position, timeout: Duration) -> Option<Position> {
        self.shared.wait_beyond(position, timeout)
    }

    /// How many durable records stand behind `position`: a gap that was left on purpose counts as none.
    pub fn records_beyond(&self, position: Position) -> u64 {
        self.shared.state().records_beyond(position.0)
    }

    /// Lets the next record stand behind `position`, and waits until that is durable. Does nothing when it does so
    /// already.
    ///
    /// For a journal older than what was applied from it (its folder was put back): a record at a position that counts as
    /// applied would never be. Call it before the first record is taken; the positions left out are a known gap.
    pub fn advance_beyond(&self, position: Position) -> Result<(), AdvanceError> {
        self.queue.advance(position.0)
    }

    /// Says that everything up to `up_to` is durably applied elsewhere. May remove segments, if room is wanted. A position
    /// before the last one takes that back: what was put back must be able to read again what it has lost.
    pub fn release(&self, up_to: Position) {
        self.shared
            .change(|state| state.released = up_to.0.min(state.durable));
        retention::relieve(&self.shared);
    }

    /// Removes released segments that are older than `keep_seconds`. Call it now and then.
    pub fn sweep(&self, now_unix_seconds: u64) -> io::Result<Swept> {
        retention::sweep(&self.shared, Some(now_unix_seconds))
    }

    /// The state at this moment.
    pub fn stats(&self) -> Stats {
        let (queued_records, queued_bytes) = self.queue.depth();
        let counters = &self.shared.counters;
        let state = self.shared.state();
        Stats {
            oldest: Position(state.oldest()),
            durable: Position(state.durable),
            released: Position(state.released),
            queued_records,
            queued_bytes,
            bytes_on_disk: state.bytes,
            max_bytes: self.shared.options.max_bytes,
            segments: state.segments.len(),
            syncs: counters.syncs.load(Ordering::Relaxed),
            records: counters.records.load(Ordering::Relaxed),
            errors: counters.errors.load(Ordering::Relaxed),
            failing: counters.failing.load(Ordering::Relaxed),
            refused_full: counters.refused_full.load(Ordering::Relaxed),
            refused_busy: counters.refused_busy.load(Ordering::Relaxed),
            shortened: counters.shortened.load(Ordering::Relaxed),
        }
    }

    /// Takes no more records, writes those that are queued, and waits for that. Also through a shared reference, so
    /// that a server can close the journal while others still hold it; the lock is let go when it is dropped.
    pub fn close(&self) {
        self.queue.close();
        self.shared.wait_while(|state| !state.closed);
    }

    /// Ends like a killed process: what is queued and not yet being written is forgotten. For tests.
    #[cfg(any(test, feature = "sim"))]
    pub fn abandon(self) {
        self.queue.abandon();
    }
}

impl<T> Drop for Journal<T> {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("journal: a hook panicked; records queued behind it were not written");
        }
    }
}
