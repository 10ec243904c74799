//! The one that writes: a batch becomes one append and one sync, or nothing.
//!
//! After a failed write or sync nobody knows what is on the disk, and a second sync of the same file would lie (the
//! kernel forgets pages it could not write). So the segment is left for good: it is cut back to what is known to be
//! durable, as far as that works, and the next batch begins a new segment that supersedes the rest.
//!
//! Never: reports a batch durable that was not synced, appends to a file whose sync failed.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::disk::DiskFile;
use crate::error::{CommitError, Step};
use crate::options::MAX_BATCH_BYTES;
use crate::record::{self, Link};
use crate::retention;
use crate::segment::{self, HEADER_BYTES, Header};
use crate::state::{Counters, Segment, Shared};

/// The segment that takes records.
pub(crate) struct Active {
    pub file: Box<dyn DiskFile>,
    pub header: Header,
    /// Octets known to be durable.
    pub bytes: u64,
}

/// Writes batches. There is one for each journal.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    /// `None` after a failure, until a new segment is begun.
    active: Option<Active>,
    /// The chain behind the last durable record.
    link: Link,
    buffer: Vec<u8>,
}

impl Writer {
    pub fn new(shared: Arc<Shared>, active: Option<Active>, link: Link) -> Writer {
        Writer {
            shared,
            active,
            link,
            buffer: Vec::new(),
        }
    }

    /// Octets a batch may have: within the limit, and within a segment unless it is a single record.
    pub fn batch_bytes(&self) -> u64 {
        (MAX_BATCH_BYTES as u64).min(self.shared.options.segment_bytes - HEADER_BYTES as u64)
    }

    /// Makes one batch durable and says which positions it got. At most [`crate::MAX_BATCH_RECORDS`] records.
    pub fn commit<'a>(
        &mut self,
        records: impl IntoIterator<Item = (u8, &'a [u8])>,
    ) -> Result<Range<u64>, CommitError> {
        let result = self.write(records);
        let failing = result.is_err();
        let counters = &self.shared.counters;
        if counters.failing.swap(failing, Ordering::Relaxed) != failing {
            match &result {
                // Once, not with every batch of a bad hour.
                Err(error) => tracing::error!(%error, "journal: records are not being stored"),
                Ok(_) => tracing::info!("journal: records are being stored again"),
            }
        }
        match &result {
            Ok(positions) => Counters::add(&counters.records, positions.end - positions.start),
            Err(_) => Counters::add(&counters.errors, 1),
        }
        result
    }

    fn write<'a>(
        &mut self,
        records: impl IntoIterator<Item = (u8, &'a [u8])>,
    ) -> Result<Range<u64>, CommitError> {
        let mut link = self.link;
        self.buffer.clear();
        for (place, (kind, body)) in (0u16..).zip(records) {
            record::encode(
                &mut self.buffer,
                self.shared.seed,
                &mut link,
                place,
                kind,
                body,
            );
        }
        let mut active = match self.active.take().filter(|active| self.has_room(active)) {
            Some(active) => active,
            None => self
                .begin()
                .map_err(self.failed(Step::Begin, self.link.next))?,
        };
        if let Err(source) = active.file.append(&self.buffer) {
            return Err(self.abandon(active, Step::Write, source));
        }
        if let Err(source) = active.file.sync_data() {
            return Err(self.abandon(active, Step::Sync, source));
        }
        Counters::add(&self.shared.counters.syncs, 1);
        let positions = self.link.next..link.next;
        self.link = link;
        active.bytes += self.buffer.len() as u64;
        self.shared.change(|state| {
            state.resize(active.header.first, active.bytes);
            state.durable = link.next - 1;
        });
        self.active = Some(active);
        Ok(positions)
    }

    fn has_room(&self, active: &Active) -> bool {
        let options = &self.shared.options;
        let age = (options.clock)().saturating_sub(active.header.created_unix_seconds);
        // A segment without records cannot be followed by another: both would have the same name.
        active.bytes == HEADER_BYTES as u64
            || (active.bytes + self.buffer.len() as u64 <= options.segment_bytes
                && age < options.segment_seconds)
    }

    /// Lets the next record stand behind `beyond`: a new segment says which positions are left out. Nothing is left out
    /// when the next one stands there anyway.
    pub fn advance(&mut self, beyond: u64) -> Result<(), CommitError> {
        if beyond < self.link.next {
            return Ok(());
        }
        let link = Link {
            next: beyond.saturating_add(1),
            previous: self.link.previous,
        };
        let header = Header {
            follows: self.link.next,
            closing: self.link.previous,
            ..Header::continuing(self.shared.id.0, link, (self.shared.options.clock)())
        };
        let active = self
            .begin_with(header)
            .map_err(self.failed(Step::Begin, link.next))?;
        self.active = Some(active);
        self.link = link;
        self.shared.change(|state| state.durable = link.next - 1);
        Ok(())
    }

    /// Begins a new segment at the end of what is durable.
    pub fn begin(&self) -> io::Result<Active> {
        let shared = &self.shared;
        let mut header = Header::continuing(shared.id.0, self.link, (shared.options.clock)());
        // In place of a segment without records: a gap before that one is a gap before this one.
        if let Some(same) = shared.state().segments.get(&header.first) {
            (header.follows, header.closing) = (same.header.follows, same.header.closing);
        }
        self.begin_with(header)
    }

    fn begin_with(&self, header: Header) -> io::Result<Active> {
        let shared = &self.shared;
        let file = segment::create(&*shared.disk, &shared.folder, &header, &[])?;
        Counters::add(&shared.counters.syncs, 1);
        let bytes = HEADER_BYTES as u64;
        shared.change(|state| state.put(Segment { header, bytes }));
        retention::relieve(shared);
        Ok(Active {
            file,
            header,
            bytes,
        })
    }

    fn abandon(&self, active: Active, step: Step, source: io::Error) -> CommitError {
        let Active {
            file,
            header,
            bytes,
        } = active;
        drop(file);
        let path = self.shared.file(header.first);
        // Whether or not this works, the next segment supersedes what is behind; cutting only gives back the room.
        let there = match self.shared.disk.truncate(&path, bytes) {
            Ok(()) => bytes,
            Err(_) => self.shared.disk.length(&path).unwrap_or(bytes).max(bytes),
        };
        self.shared
            .change(|state| state.resize(header.first, there));
        self.failed(step, header.first)(source)
    }

    fn failed(&self, step: Step, first: u64) -> impl FnOnce(io::Error) -> CommitError + use<> {
        let file = self.shared.file(first);
        move |source| CommitError { step, file, source }
    }
}
