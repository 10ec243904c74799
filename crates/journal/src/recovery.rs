//! Opening: what is there, how much of it is good, where writing goes on.
//!
//! Only the last segment can have a torn tail, and only in its last batch: everything before was synced. So a bad
//! record counts as torn only if nothing behind it proves that it had been synced; otherwise it is damage, and
//! opening fails rather than lose acknowledged records in silence.
//!
//! What a process killed after a failed sync left behind can look good in memory and be missing on the disk. The
//! end of the last segment is therefore written out again, with the same bytes, before anybody may read it: a
//! position, once read, must never mean another record.
//!
//! Never: changes a file before the lock is held, removes a good record.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::Position;
use crate::disk::{Disk, DiskLock};
use crate::error::{Corrupt, OpenError};
use crate::node::{self, JournalId};
use crate::options::{MAX_BATCH_BYTES, Options, Verify};
use crate::record::{self, Flaw, Link};
use crate::salvage::{self, Lost};
use crate::segment::{self, HEADER_BYTES, Header, Walk};
use crate::state::{Segment, Shared};
use crate::writer::{Active, Writer};

/// The most that can be written and not synced.
const TAIL_BYTES: usize = MAX_BATCH_BYTES;

/// What was found at opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Which journal this is; with the node's id the key of a checkpoint.
    pub journal_id: JournalId,
    /// Whether it was made just now.
    pub fresh: bool,
    /// The oldest position kept (the next one, if there are no records).
    pub oldest: Position,
    /// The last durable position; 0 for none.
    pub durable: Position,
    /// Segments found.
    pub segments: usize,
    /// Octets on disk.
    pub bytes: u64,
    /// Octets of a torn tail that were cut off; none of it had been acknowledged.
    pub torn_bytes: u64,
    /// What a salvage could not keep.
    pub lost: Vec<Lost>,
}

/// An open journal, before its thread runs.
pub(crate) struct Opened {
    pub shared: Arc<Shared>,
    pub writer: Writer,
    pub lock: Box<dyn DiskLock>,
    pub recovered: Recovered,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.recovered.fmt(out)
    }
}

pub(crate) fn open(
    disk: Arc<dyn Disk>,
    data_folder: &Path,
    options: Options,
) -> Result<Opened, OpenError> {
    options.check()?;
    let folder = data_folder.join("journal");
    disk.create_folder(&folder)
        .map_err(OpenError::io("create", &folder))?;
    let lock = lock(&*disk, &folder)?;
    let mut firsts = tidy(&*disk, &folder)?;
    let (id, fresh) = identify(&*disk, &folder, &firsts, &options)?;
    let seed = record::seed(&id.0);
    let mut lost = Vec::new();
    if options.salvage {
        lost = salvage::repair(&*disk, &folder, id, &firsts, (options.clock)())?;
        firsts = tidy(&*disk, &folder)?;
    }
    let headers = headers(&*disk, &folder, id, &firsts)?;
    let all = options.verify == Verify::All || options.salvage;
    let checker = Checker {
        disk: &*disk,
        folder: &folder,
        seed,
    };
    let unread = if all {
        0
    } else {
        headers.len().saturating_sub(2)
    };
    for pair in headers[unread..].windows(2) {
        checker.check_closed(&pair[0], &pair[1])?;
    }
    let tail = headers
        .last()
        .map(|header| checker.restore_last(header))
        .transpose()?;
    disk.sync_folder(&folder)
        .map_err(OpenError::io("sync", &folder))?;

    let shared = Arc::new(Shared::new(disk.clone(), &folder, id, seed, options));
    for header in &headers {
        let file = shared.file(header.first);
        let bytes = disk
            .length(&file)
            .map_err(OpenError::io("measure", &file))?;
        shared.change(|state| {
            state.put(Segment {
                header: *header,
                bytes,
            })
        });
    }
    let link = tail.as_ref().map_or(
        Link {
            next: 1,
            previous: 0,
        },
        |tail| tail.link,
    );
    shared.change(|state| state.durable = link.next - 1);
    let active = match (&tail, headers.last()) {
        (Some(tail), Some(header)) => {
            let file = shared.file(header.first);
            Some(Active {
                file: disk
                    .open_append(&file)
                    .map_err(OpenError::io("open", &file))?,
                header: *header,
                bytes: tail.end as u64,
            })
        }
        _ => {
            // The first segment is made now, so that a folder that takes no files is noticed now.
            let unstarted = Writer::new(shared.clone(), None, link);
            Some(
                unstarted
                    .begin()
                    .map_err(OpenError::io("create", &shared.file(link.next)))?,
            )
        }
    };
    let recovered = {
        let state = shared.state();
        Recovered {
            journal_id: id,
            fresh,
            oldest: Position(state.oldest()),
            durable: Position(state.durable),
            segments: state.segments.len(),
            bytes: state.bytes,
            torn_bytes: tail.map_or(0, |tail| tail.torn_bytes),
            lost,
        }
    };
    let writer = Writer::new(shared.clone(), active, link);
    Ok(Opened {
        shared,
        writer,
        lock,
        recovered,
    })
}

fn lock(disk: &dyn Disk, folder: &Path) -> Result<Box<dyn DiskLock>, OpenError> {
    let file = folder.join("LOCK");
    disk.lock(&file).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked(file),
        _ => OpenError::io("lock", &file)(source),
    })
}

/// Removes what a crash left unfinished and lists the segments by first position.
fn tidy(disk: &dyn Disk, folder: &Path) -> Result<Vec<u64>, OpenError> {
    let mut firsts = Vec::new();
    for name in disk.list(folder).map_err(OpenError::io("list", folder))? {
        if segment::is_unfinished(&name) {
            let file = folder.join(name);
            disk.remove(&file).map_err(OpenError::io("remove", &file))?;
        } else {
            firsts.extend(segment::first_of(&name));
        }
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// The journal's id, and whether it was made now.
fn identify(
    disk: &dyn Disk,
    folder: &Path,
    firsts: &[u64],
    options: &Options,
) -> Result<(JournalId, bool), OpenError> {
    let file = folder.join("id");
    let id = match node::read_id(disk, &file) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
        Err(error) => return Err(OpenError::io("read", &file)(error)),
        Ok(Some(id)) => return Ok((id, false)),
        // Nothing at all yet: the id is written before the first segment.
        Ok(None) if firsts.is_empty() => Some(JournalId(options.fresh_id)),
        Ok(None) => None,
    };
    let fresh = id.is_some();
    let id = match id {
        Some(id) => id,
        None if options.salvage => firsts
            .iter()
            .find_map(|first| read_header(disk, folder, *first).ok()?.ok())
            .map(|header| JournalId(header.journal))
            .ok_or_else(|| damaged_id(&file))?,
        None => return Err(damaged_id(&file)),
    };
    node::write_id(disk, &file, &id).map_err(OpenError::io("write", &file))?;
    Ok((id, fresh))
}

fn damaged_id(file: &Path) -> OpenError {
    Corrupt {
        file: file.to_owned(),
        offset: 0,
        flaw: Flaw::Id,
    }
    .into()
}

/// The header of the segment named by `first`, or what is wrong with it.
pub(crate) fn read_header(
    disk: &dyn Disk,
    folder: &Path,
    first: u64,
) -> Result<Result<Header, Flaw>, OpenError> {
    let file = segment::path(folder, first);
    let bytes = disk
        .read_at(&file, 0, HEADER_BYTES)
        .map_err(OpenError::io("read", &file))?;
    Ok(Header::decode(&bytes, first))
}

fn headers(
    disk: &dyn Disk,
    folder: &Path,
    id: JournalId,
    firsts: &[u64],
) -> Result<Vec<Header>, OpenError> {
    let mut headers: Vec<Header> = Vec::with_capacity(firsts.len());
    for first in firsts {
        let corrupt = |flaw| Corrupt {
            file: segment::path(folder, *first),
            offset: 0,
            flaw,
        };
        let header = read_header(disk, folder, *first)?.map_err(corrupt)?;
        if header.journal != id.0 {
            return Err(corrupt(Flaw::Foreign).into());
        }
        if headers
            .last()
            .is_some_and(|before| header.follows < before.first)
        {
            return Err(corrupt(Flaw::Header).into());
        }
        headers.push(header);
    }
    Ok(headers)
}

/// Reads a segment whole.
pub(crate) fn read_segment(
    disk: &dyn Disk,
    folder: &Path,
    first: u64,
) -> Result<Vec<u8>, OpenError> {
    let file = segment::path(folder, first);
    let length = disk
        .length(&file)
        .map_err(OpenError::io("measure", &file))?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    disk.read_at(&file, 0, length)
        .map_err(OpenError::io("read", &file))
}

/// Whether the bad record where `walk` ended is the torn tail of a batch that was never synced.
pub(crate) fn is_torn(bytes: &[u8], walk: &Walk, seed: u32) -> bool {
    let expected = walk.link.next;
    bytes.len() - walk.end <= TAIL_BYTES
        && !record::search(bytes, walk.end, seed, expected)
            .any(|(_, frame)| frame.batch_start() > expected)
}

/// The end of the last segment.
struct Tail {
    end: usize,
    link: Link,
    torn_bytes: u64,
}

struct Checker<'a> {
    disk: &'a dyn Disk,
    folder: &'a Path,
    seed: u32,
}

impl Checker<'_> {
    fn corrupt(&self, first: u64, offset: usize, flaw: Flaw) -> OpenError {
        Corrupt {
            file: segment::path(self.folder, first),
            offset: offset as u64,
            flaw,
        }
        .into()
    }

    /// Checks a segment that has another behind it: it must be good up to where that one follows.
    fn check_closed(&self, header: &Header, next: &Header) -> Result<(), OpenError> {
        let bytes = read_segment(self.disk, self.folder, header.first)?;
        let walk = segment::walk(
            &bytes,
            HEADER_BYTES,
            header.link(),
            self.seed,
            Some(next.follows),
        );
        if let Some(flaw) = walk.flaw {
            return Err(self.corrupt(header.first, walk.end, flaw));
        }
        if walk.link.next < next.follows {
            let flaw = Flaw::Missing {
                from: walk.link.next,
                to: next.follows,
            };
            return Err(self.corrupt(next.first, 0, flaw));
        }
        if walk.link != next.joint() {
            return Err(self.corrupt(next.first, 0, Flaw::Chain));
        }
        if walk.end < bytes.len() {
            // Superseded: this only gives back the room.
            let file = segment::path(self.folder, header.first);
            if let Err(error) = self.disk.truncate(&file, walk.end as u64) {
                tracing::warn!(file = %file.display(), %error, "journal: cannot cut off what is superseded");
            }
        }
        Ok(())
    }

    /// Finds the end of the last segment, cuts off a torn tail and makes the rest durable for certain.
    fn restore_last(&self, header: &Header) -> Result<Tail, OpenError> {
        let bytes = read_segment(self.disk, self.folder, header.first)?;
        let walk = segment::walk(&bytes, HEADER_BYTES, header.link(), self.seed, None);
        if let Some(flaw) = walk.flaw
            && !is_torn(&bytes, &walk, self.seed)
        {
            return Err(self.corrupt(header.first, walk.end, flaw));
        }
        let file = segment::path(self.folder, header.first);
        let from = walk.end.saturating_sub(TAIL_BYTES);
        self.disk
            .rewrite(&file, from as u64, &bytes[from..walk.end])
            .map_err(OpenError::io("rewrite", &file))?;
        Ok(Tail {
            end: walk.end,
            link: walk.link,
            torn_bytes: (bytes.len() - walk.end) as u64,
        })
    }
}
