//! The bounded queue in front of the writer, and the thread that empties it.
//!
//! One lock counts entries and octets together, which two separate counters could not do exactly: what waits, what is
//! on its way and what is on disk never exceed their limits. Whatever came while a batch was being synced is the next
//! batch, so the slower the disk, the larger the batches.
//!
//! Never: touches the disk under the lock, calls back before the sync.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::Position;
use crate::error::{AdvanceError, AppendError, CommitError, Refused};
use crate::options::MAX_BATCH_RECORDS;
use crate::record::{FRAME_BYTES, MAX_RECORD_BYTES};
use crate::state::{Counters, Shared, locked};
use crate::writer::Writer;

/// Hears of a durable batch.
pub type Committed<T> = Box<dyn FnMut(&mut Vec<(Position, T)>) + Send>;
/// Hears of a batch that is not durable, and why.
pub type Failed<T> = Box<dyn FnMut(&mut Vec<T>, &CommitError) + Send>;

/// What the writer thread calls after each batch. Both run on that thread: they must be quick, and must not append.
/// What they leave in the vector is dropped.
pub struct Hooks<T> {
    /// The batch is durable, in this order.
    pub committed: Committed<T>,
    /// The batch is not durable and must not be acknowledged; after a crash some of it may turn up all the same.
    pub failed: Failed<T>,
}

struct Entry<T> {
    kind: u8,
    bytes: Vec<u8>,
    token: T,
}

impl<T> Entry<T> {
    fn framed_bytes(&self) -> u64 {
        (FRAME_BYTES + self.bytes.len()) as u64
    }

    fn refuse(self, reason: AppendError) -> Refused<T> {
        Refused {
            reason,
            token: self.token,
            bytes: self.bytes,
        }
    }
}

/// A wish that the next record stands behind a position.
struct Advance {
    beyond: u64,
    done: Sender<Result<(), CommitError>>,
}

/// What the writer does next.
enum Work {
    /// The batch it was given.
    Write,
    Advance(Advance),
    /// Nothing ever.
    End,
}

struct Waiting<T> {
    entries: VecDeque<Entry<T>>,
    /// Comes before the entries. One at a time: who comes second waits.
    advance: Option<Advance>,
    /// Octets of the entries and of the batch being written.
    bytes: u64,
    open: bool,
    /// The writer sleeps: without this every append would pay for waking it.
    idle: bool,
    /// Appenders waiting for room.
    blocked: usize,
}

/// The queue.
pub(crate) struct Queue<T> {
    shared: Arc<Shared>,
    waiting: Mutex<Waiting<T>>,
    filled: Condvar,
    emptied: Condvar,
}

impl<T> Queue<T> {
    pub fn new(shared: Arc<Shared>) -> Queue<T> {
        Queue {
            shared,
            waiting: Mutex::new(Waiting {
                entries: VecDeque::new(),
                advance: None,
                bytes: 0,
                open: true,
                idle: false,
                blocked: 0,
            }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        }
    }

    /// Enters a record; with `patient` it waits for a place in the queue, but never for room on the disk.
    pub fn push(
        &self,
        kind: u8,
        bytes: Vec<u8>,
        token: T,
        patient: bool,
    ) -> Result<(), Refused<T>> {
        let entry = Entry { kind, bytes, token };
        if entry.bytes.len() > MAX_RECORD_BYTES {
            return Err(entry.refuse(AppendError::TooLong));
        }
        let (options, counters) = (&self.shared.options, &self.shared.counters);
        let size = entry.framed_bytes();
        let mut waiting = locked(&self.waiting);
        loop {
            if !waiting.open {
                return Err(entry.refuse(AppendError::Closed));
            }
            if self.shared.bytes_on_disk() + waiting.bytes + size > options.max_bytes {
                Counters::add(&counters.refused_full, 1);
                return Err(entry.refuse(AppendError::Full));
            }
            if waiting.entries.len() < options.queue_records
                && waiting.bytes + size <= options.queue_bytes
            {
                break;
            }
            if !patient {
                Counters::add(&counters.refused_busy, 1);
                return Err(entry.refuse(AppendError::Busy));
            }
            waiting.blocked += 1;
            waiting = self
                .emptied
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
            waiting.blocked -= 1;
        }
        waiting.bytes += size;
        waiting.entries.push_back(entry);
        if waiting.idle {
            waiting.idle = false;
            drop(waiting);
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Records and octets that wait or are on their way.
    pub fn depth(&self) -> (usize, u64) {
        let waiting = locked(&self.waiting);
        (waiting.entries.len(), waiting.bytes)
    }

    /// Takes no more records; those that wait are still written.
    pub fn close(&self) {
        locked(&self.waiting).open = false;
        self.filled.notify_all();
        self.emptied.notify_all();
    }

    /// Takes no more records and forgets those that wait.
    #[cfg(any(test, feature = "sim"))]
    pub fn abandon(&self) {
        let mut waiting = locked(&self.waiting);
        waiting.open = false;
        let forgotten = std::mem::take(&mut waiting.entries);
        drop(waiting);
        drop(forgotten);
        self.close();
    }

    /// Lets the next record stand behind `beyond`; waits until that is durable.
    pub fn advance(&self, beyond: u64) -> Result<(), AdvanceError> {
        let (done, outcome) = mpsc::channel();
        let mut waiting = locked(&self.waiting);
        while waiting.open && waiting.advance.is_some() {
            waiting.blocked += 1;
            waiting = self
                .emptied
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
            waiting.blocked -= 1;
        }
        if !waiting.open {
            return Err(AdvanceError::Closed);
        }
        waiting.advance = Some(Advance { beyond, done });
        waiting.idle = false;
        drop(waiting);
        self.filled.notify_one();
        match outcome.recv() {
            Ok(outcome) => Ok(outcome?),
            // The writer has ended without looking at it.
            Err(mpsc::RecvError) => Err(AdvanceError::Closed),
        }
    }

    /// Moves the next batch out; waits for one, or for something else to do.
    fn take(&self, batch: &mut Vec<Entry<T>>, limit_bytes: u64) -> Work {
        let mut waiting = locked(&self.waiting);
        loop {
            if let Some(advance) = waiting.advance.take() {
                waiting.idle = false;
                if waiting.blocked > 0 {
                    self.emptied.notify_all();
                }
                return Work::Advance(advance);
            }
            if !waiting.entries.is_empty() {
                break;
            }
            if !waiting.open {
                return Work::End;
            }
            waiting.idle = true;
            waiting = self
                .filled
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        waiting.idle = false;
        let mut bytes = 0;
        while let Some(entry) = waiting.entries.front() {
            bytes += entry.framed_bytes();
            if batch.len() == MAX_BATCH_RECORDS || (!batch.is_empty() && bytes > limit_bytes) {
                break;
            }
            batch.extend(waiting.entries.pop_front());
        }
        if waiting.blocked > 0 {
            self.emptied.notify_all();
        }
        Work::Write
    }

    /// The batch of `bytes` octets is over.
    fn finish(&self, bytes: u64) {
        let mut waiting = locked(&self.waiting);
        waiting.bytes = waiting.bytes.saturating_sub(bytes);
        if waiting.blocked > 0 {
            self.emptied.notify_all();
        }
    }
}

/// Closes everything when the thread ends, also if a hook panics: an appender must never wait for a dead writer.
struct LastWord<'a, T>(&'a Queue<T>);

impl<T> Drop for LastWord<'_, T> {
    fn drop(&mut self) {
        self.0.close();
        locked(&self.0.waiting).advance = None;
        self.0.shared.change(|state| state.closed = true);
    }
}

/// Starts the thread that writes what is queued.
pub(crate) fn start<T: Send + 'static>(
    queue: Arc<Queue<T>>,
    writer: Writer,
    hooks: Hooks<T>,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("journal".into())
        .spawn(move || run(&queue, writer, hooks))
}

fn run<T>(queue: &Queue<T>, mut writer: Writer, mut hooks: Hooks<T>) {
    let _last_word = LastWord(queue);
    let mut batch: Vec<Entry<T>> = Vec::new();
    let mut done: Vec<(Position, T)> = Vec::new();
    let mut undone: Vec<T> = Vec::new();
    loop {
        match queue.take(&mut batch, writer.batch_bytes()) {
            Work::Write => {}
            Work::Advance(advance) => {
                // Who asked may have gone.
                let _ = advance.done.send(writer.advance(advance.beyond));
                continue;
            }
            Work::End => return,
        }
        let bytes = batch.iter().map(Entry::framed_bytes).sum();
        let result = writer.commit(batch.iter().map(|entry| (entry.kind, &entry.bytes[..])));
        let tokens = batch.drain(..).map(|entry| entry.token);
        match result {
            Ok(positions) => {
                done.extend(positions.map(Position).zip(tokens));
                // Before the hook: whoever it tells may append at once, and must not find these octets counted twice.
                queue.finish(bytes);
                (hooks.committed)(&mut done);
                done.clear();
            }
            Err(error) => {
                undone.extend(tokens);
                queue.finish(bytes);
                (hooks.failed)(&mut undone, &error);
                undone.clear();
            }
        }
    }
}
