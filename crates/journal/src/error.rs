//! What can go wrong: at opening, appending, committing, reading. Closed lists, each naming place and reason.

use std::io;
use std::path::{Path, PathBuf};

use crate::Position;
use crate::record::{Flaw, MAX_RECORD_BYTES};

/// A place in the journal's files that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("journal file {} is damaged at byte {offset}: {flaw}", file.display())]
pub struct Corrupt {
    /// The damaged file.
    pub file: PathBuf,
    /// The offset in octets of the first bad record; 0 for the file as a whole.
    pub offset: u64,
    /// What is wrong there.
    pub flaw: Flaw,
}

/// Why a journal was not opened. Nothing was lost by not opening it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// An option is outside its limits.
    #[error("journal option {name}: {reason}")]
    Options {
        /// The option's name.
        name: &'static str,
        /// What it must be.
        reason: &'static str,
    },
    /// Another live process uses the folder.
    #[error("the journal is in use by another process (it holds {})", .0.display())]
    Locked(PathBuf),
    /// Acknowledged records are damaged; opening with `salvage` keeps what is readable.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The disk refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
        let path = path.to_owned();
        move |source| OpenError::Io {
            doing,
            path,
            source,
        }
    }
}

/// Why a record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The journal has reached `max_bytes`; it takes records again when enough are released.
    #[error("the journal is full")]
    Full,
    /// The queue to the disk is full; the disk is slower than the records come.
    #[error("the journal's queue is full")]
    Busy,
    /// The record is longer than [`MAX_RECORD_BYTES`].
    #[error("a record is at most {MAX_RECORD_BYTES} octets")]
    TooLong,
    /// The journal is closed.
    #[error("the journal is closed")]
    Closed,
}

/// A record that was not taken, with what the caller gave.
#[derive(Debug)]
pub struct Refused<T> {
    /// Why.
    pub reason: AppendError,
    /// The caller's token.
    pub token: T,
    /// The caller's bytes.
    pub bytes: Vec<u8>,
}

/// What the writer was doing when the disk refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Beginning a new segment.
    Begin,
    /// Writing the batch.
    Write,
    /// Syncing the batch.
    Sync,
}

/// Why a batch is not durable. None of its records may be acknowledged.
#[derive(Debug, thiserror::Error)]
#[error("cannot {} {}: {source}", match step { Step::Begin => "begin", Step::Write => "write", Step::Sync => "sync" }, file.display())]
pub struct CommitError {
    /// What was being done.
    pub step: Step,
    /// The segment.
    pub file: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Why a journal does not go on behind a position.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// The journal is closed.
    #[error("the journal is closed")]
    Closed,
    /// The disk refused; the journal goes on where it was.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why records could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The position is older than what is kept.
    #[error("the journal begins at record {oldest}, older ones are gone")]
    Gone {
        /// The oldest position there is.
        oldest: Position,
    },
    /// The position is newer than what will be written next: the reader knows of records this journal never had.
    #[error("the journal ends before record {next}, the reader is ahead of it")]
    Ahead {
        /// The position the next record will get.
        next: Position,
    },
    /// The records there are damaged.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The disk refused.
    #[error("cannot read {}: {source}", file.display())]
    Io {
        /// The segment.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
