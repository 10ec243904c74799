//! When a segment may go: all of it released, and old enough, or its room needed.
//!
//! A segment is as old as its newest record, which is older than the segment behind it: that one's creation time
//! counts. Segments go oldest first, one by one, each removal synced before the next, so that a crash never leaves a
//! hole.
//!
//! Never: removes the last segment, or one that holds a record not released.

use std::io;

use crate::state::{Counters, Shared, State, locked};

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Segments removed.
    pub segments: u64,
    /// Octets they took.
    pub bytes: u64,
}

/// A segment that may go.
struct Leaving {
    first: u64,
    bytes: u64,
    /// It would have been kept longer, were there room.
    early: bool,
}

fn oldest_leaving(
    shared: &Shared,
    state: &State,
    now_unix_seconds: Option<u64>,
) -> Option<Leaving> {
    let mut segments = state.segments.values();
    let oldest = segments.next()?;
    let next = segments.next()?;
    if next.header.follows > state.released.saturating_add(1) {
        return None;
    }
    let keep = shared.options.keep_seconds;
    let aged = now_unix_seconds
        .is_some_and(|now| now.saturating_sub(next.header.created_unix_seconds) >= keep);
    (aged || pressed(shared, state)).then_some(Leaving {
        first: oldest.header.first,
        bytes: oldest.bytes,
        early: !aged,
    })
}

/// Whether a whole new segment would exceed the limit.
fn pressed(shared: &Shared, state: &State) -> bool {
    state.bytes + shared.options.segment_bytes > shared.options.max_bytes
}

/// Removes what may go. Without a time only for want of room.
pub(crate) fn sweep(shared: &Shared, now_unix_seconds: Option<u64>) -> io::Result<Swept> {
    let _one_at_a_time = locked(&shared.sweeping);
    let mut swept = Swept::default();
    loop {
        let Some(leaving) = oldest_leaving(shared, &shared.state(), now_unix_seconds) else {
            return Ok(swept);
        };
        if swept.segments == 0 {
            // A removal of last time that could not be synced must be durable before the next one.
            shared.disk.sync_folder(&shared.folder)?;
        }
        match shared.disk.remove(&shared.file(leaving.first)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => shared.change(|state| state.remove(leaving.first)),
        }
        swept.segments += 1;
        swept.bytes += leaving.bytes;
        if leaving.early {
            Counters::add(&shared.counters.shortened, 1);
        }
        shared.disk.sync_folder(&shared.folder)?;
    }
}

/// Makes room if there is too little; a failure is counted and logged, since whoever causes it is busy with other things.
pub(crate) fn relieve(shared: &Shared) {
    if !pressed(shared, &shared.state()) {
        return;
    }
    if let Err(error) = sweep(shared, None) {
        Counters::add(&shared.counters.errors, 1);
        tracing::warn!(folder = %shared.folder.display(), %error, "journal: cannot remove released segments");
    }
}
