//! How a journal is set up, with every limit and its reason.

use std::sync::Arc;

use crate::error::OpenError;

/// Records in one batch at most: keeps the wait of the first one short, and fits the record's `place` field.
pub const MAX_BATCH_RECORDS: usize = 4096;
/// Octets in one batch at most, frames included. Also the most that can be written and not synced, on which the
/// recovery relies to tell a torn tail from damage: a later version may raise it but never lower it.
pub const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Below this a segment is mostly header.
const MIN_SEGMENT_BYTES: u64 = 4096;
/// A segment is read into memory whole when it is recovered.
const MAX_SEGMENT_BYTES: u64 = 256 * 1024 * 1024;
/// Segments that must fit below `max_bytes`: the one in use and some to let go of.
const MIN_SEGMENTS: u64 = 4;

/// Tells the time, in seconds since 1970. The journal reads no clock of its own.
pub type UnixClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How much is checked at opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// All headers and the last two segments: all that a crash can have touched. A [`crate::Reader`] checks the
    /// others as it reads them.
    Tail,
    /// Every record.
    All,
}

/// How a journal is set up.
#[derive(Clone)]
pub struct Options {
    /// Sixteen random octets: the journal's id if it is made now, unused if it is there already.
    pub fresh_id: [u8; 16],
    /// Stamps new segments.
    pub clock: UnixClock,
    /// A segment that would grow beyond this many octets is closed (default 64 MiB; 4 KiB to 256 MiB).
    pub segment_bytes: u64,
    /// A segment older than this many seconds is closed, so that a quiet site lets go of old records too (default 24 h).
    pub segment_seconds: u64,
    /// The journal refuses records rather than exceed this many octets on disk (default 8 GiB).
    pub max_bytes: u64,
    /// Released records are kept this many seconds, so that a restored database catches up (default 24 h). Room for
    /// new records goes before this: under `max_bytes` released segments leave early.
    pub keep_seconds: u64,
    /// Records that may wait for the disk (default 65,536).
    pub queue_records: usize,
    /// Octets that may wait for the disk or be on their way (default 64 MiB).
    pub queue_bytes: u64,
    /// How much is checked at opening (default [`Verify::Tail`]).
    pub verify: Verify,
    /// Keep what is readable of damaged segments instead of refusing to open; a copy of each damaged file stays
    /// beside it, ending in `.damaged`. Checks every record.
    pub salvage: bool,
}

impl Options {
    /// The defaults.
    pub fn new(fresh_id: [u8; 16], clock: UnixClock) -> Options {
        Options {
            fresh_id,
            clock,
            segment_bytes: 64 * 1024 * 1024,
            segment_seconds: 24 * 3600,
            max_bytes: 8 * 1024 * 1024 * 1024,
            keep_seconds: 24 * 3600,
            queue_records: 65_536,
            queue_bytes: 64 * 1024 * 1024,
            verify: Verify::Tail,
            salvage: false,
        }
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let refuse = |name, reason| Err(OpenError::Options { name, reason });
        if !(MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&self.segment_bytes) {
            return refuse("segment_bytes", "must be between 4 KiB and 256 MiB");
        }
        if self.max_bytes / MIN_SEGMENTS < self.segment_bytes {
            return refuse("max_bytes", "must hold at least four segments");
        }
        if self.queue_records == 0 {
            return refuse("queue_records", "must be at least 1");
        }
        if self.queue_bytes < 2 * crate::record::MAX_RECORD_BYTES as u64 {
            return refuse("queue_bytes", "must be at least 128 KiB");
        }
        if self.segment_seconds == 0 {
            return refuse("segment_seconds", "must be at least 1");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_outside_their_limits_are_named() {
        let check = |change: fn(&mut Options), expect: Option<&str>| {
            let mut options = Options::new([0; 16], Arc::new(|| 0));
            change(&mut options);
            let named = match options.check() {
                Err(OpenError::Options { name, .. }) => Some(name),
                _ => None,
            };
            assert_eq!(named, expect);
        };
        check(|_| {}, None);
        check(
            |options| options.segment_bytes = 4095,
            Some("segment_bytes"),
        );
        check(
            |options| options.segment_bytes = 1 << 40,
            Some("segment_bytes"),
        );
        check(
            |options| options.max_bytes = 4 * (64 << 20) - 1,
            Some("max_bytes"),
        );
        check(|options| options.queue_records = 0, Some("queue_records"));
        check(|options| options.queue_bytes = 1000, Some("queue_bytes"));
        check(
            |options| options.segment_seconds = 0,
            Some("segment_seconds"),
        );
    }
}
