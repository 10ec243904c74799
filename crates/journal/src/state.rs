//! What the writer, the readers and the retention all look at: which segments there are and how far they are durable.
//!
//! Never: holds its lock over a disk operation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Position;
use crate::disk::Disk;
use crate::node::JournalId;
use crate::options::Options;
use crate::segment::{self, Header};

/// One segment on disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub header: Header,
    /// Octets it takes on disk.
    pub bytes: u64,
}

/// The part that changes, behind one lock.
pub(crate) struct State {
    /// By first position; the last one is never removed, it holds the place of the next record.
    pub segments: BTreeMap<u64, Segment>,
    /// Octets of all segments.
    pub bytes: u64,
    /// The last durable position; 0 for none.
    pub durable: u64,
    /// Up to here the records are applied elsewhere.
    pub released: u64,
    /// No record will come any more.
    pub closed: bool,
}

impl State {
    /// The first position that is still kept.
    pub fn oldest(&self) -> u64 {
        self.segments.keys().next().copied().unwrap_or(1)
    }

    /// How many durable records stand behind a position; what was left out on purpose is none.
    pub fn records_beyond(&self, position: u64) -> u64 {
        let left_out: u64 = self
            .segments
            .range(position.saturating_add(1)..)
            .filter(|(first, _)| **first <= self.durable.saturating_add(1))
            .map(|(first, segment)| first - segment.header.follows.max(position + 1).min(*first))
            .sum();
        self.durable
            .saturating_sub(position)
            .saturating_sub(left_out)
    }

    /// Enters a segment, in place of one with the same first position.
    pub fn put(&mut self, segment: Segment) {
        self.bytes += segment.bytes;
        if let Some(old) = self.segments.insert(segment.header.first, segment) {
            self.bytes = self.bytes.saturating_sub(old.bytes);
        }
    }

    /// Notes the length of a segment.
    pub fn resize(&mut self, first: u64, bytes: u64) {
        if let Some(segment) = self.segments.get_mut(&first) {
            self.bytes = self.bytes.saturating_sub(segment.bytes) + bytes;
            segment.bytes = bytes;
        }
    }

    /// Forgets a segment.
    pub fn remove(&mut self, first: u64) {
        if let Some(old) = self.segments.remove(&first) {
            self.bytes = self.bytes.saturating_sub(old.bytes);
        }
    }
}

/// Counted since opening.
#[derive(Default)]
pub(crate) struct Counters {
    pub records: AtomicU64,
    pub syncs: AtomicU64,
    pub errors: AtomicU64,
    pub refused_full: AtomicU64,
    pub refused_busy: AtomicU64,
    pub shortened: AtomicU64,
    pub failing: AtomicBool,
}

impl Counters {
    pub fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

/// Shared by everything that belongs to one open journal.
pub(crate) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub folder: PathBuf,
    pub id: JournalId,
    pub seed: u32,
    pub options: Options,
    pub counters: Counters,
    state: Mutex<State>,
    /// A copy of [`State::bytes`] for the queue, which must not wait for the state's lock.
    bytes: AtomicU64,
    advanced: Condvar,
    /// Held by whoever is removing segments, so that they go oldest first.
    pub sweeping: Mutex<()>,
}

impl Shared {
    pub fn new(
        disk: Arc<dyn Disk>,
        folder: &Path,
        id: JournalId,
        seed: u32,
        options: Options,
    ) -> Shared {
        Shared {
            disk,
            folder: folder.to_owned(),
            id,
            seed,
            options,
            counters: Counters::default(),
            state: Mutex::new(State {
                segments: BTreeMap::new(),
                bytes: 0,
                durable: 0,
                released: 0,
                closed: false,
            }),
            bytes: AtomicU64::new(0),
            advanced: Condvar::new(),
            sweeping: Mutex::new(()),
        }
    }

    /// Looks at the state.
    pub fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// Changes the state and wakes whoever waits for it.
    pub fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state();
        let result = change(&mut state);
        self.bytes.store(state.bytes, Ordering::Relaxed);
        drop(state);
        self.advanced.notify_all();
        result
    }

    /// Octets on disk.
    pub fn bytes_on_disk(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The file of the segment that begins at `first`.
    pub fn file(&self, first: u64) -> PathBuf {
        segment::path(&self.folder, first)
    }

    /// Waits as long as `waiting` says so.
    pub fn wait_while(&self, waiting: impl Fn(&State) -> bool) {
        let state = self
            .advanced
            .wait_while(self.state(), |state| waiting(state));
        drop(state.unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until a record beyond `position` is durable; `None` after `timeout` and when the journal closes.
    pub fn wait_beyond(&self, position: Position, timeout: Duration) -> Option<Position> {
        let waiting = |state: &mut State| state.durable <= position.0 && !state.closed;
        let (state, _) = self
            .advanced
            .wait_timeout_while(self.state(), timeout, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        (state.durable > position.0).then_some(Position(state.durable))
    }
}

/// Locks `mutex`. A holder that panicked left whole values: every change here is a few assignments.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
