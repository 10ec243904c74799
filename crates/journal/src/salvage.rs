//! Keeping what is readable of a damaged journal, when the operator asks for it.
//!
//! Each damaged segment is copied aside (`….seg.damaged`), then split at its bad places into segments that are good.
//! The gap between two of them is written into the later one's header, so that from then on it is a known gap and
//! not damage. The work may be interrupted anywhere and done again.
//!
//! Never: runs unasked, invents a position twice, touches a segment of another journal or a later version.

use std::path::{Path, PathBuf};

use crate::Position;
use crate::disk::Disk;
use crate::error::{Corrupt, OpenError};
use crate::node::JournalId;
use crate::record::{self, FRAME_BYTES, Flaw, Link};
use crate::recovery::{is_torn, read_header, read_segment};
use crate::segment::{self, HEADER_BYTES, Header};

/// Each piece becomes a file; a segment in more pieces than this is not worth it.
const MAX_PIECES: usize = 1000;

/// Records a salvage could not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The damaged file (its copy ends in `.damaged`).
    pub file: PathBuf,
    /// The offset in octets of the damage.
    pub offset: u64,
    /// The first lost position.
    pub from: Position,
    /// The first position behind the loss; at the end of a journal an upper bound.
    pub to: Position,
}

/// A good stretch of a segment.
struct Piece {
    start: usize,
    end: usize,
    /// The chain before its first record.
    before: Link,
    /// The chain behind its last record.
    after: Link,
}

/// What is readable of one segment.
struct Survey {
    pieces: Vec<Piece>,
    lost: Vec<Lost>,
    /// Where the journal must go on if this was its last segment and an unknown number of records are lost at its end.
    resume: Option<u64>,
}

/// Repairs all segments, oldest first, and says what is lost.
pub(crate) fn repair(
    disk: &dyn Disk,
    folder: &Path,
    id: JournalId,
    firsts: &[u64],
    now_unix_seconds: u64,
) -> Result<Vec<Lost>, OpenError> {
    let mut lost = Vec::new();
    let mut tail: Option<Link> = None;
    for (index, first) in firsts.iter().copied().enumerate() {
        let file = segment::path(folder, first);
        let refuse = |flaw| Corrupt {
            file: file.clone(),
            offset: 0,
            flaw,
        };
        let bytes = read_segment(disk, folder, first)?;
        let header = match Header::decode(&bytes, first) {
            Err(flaw @ Flaw::Version(_)) => return Err(refuse(flaw).into()),
            Ok(header) if header.journal != id.0 => return Err(refuse(Flaw::Foreign).into()),
            header => header.ok(),
        };
        let until = match firsts.get(index + 1) {
            Some(next) => {
                Some(read_header(disk, folder, *next)?.map_or(*next, |header| header.follows))
            }
            None => None,
        };
        let survey = survey(
            &file,
            &bytes,
            first,
            header.as_ref(),
            record::seed(&id.0),
            until,
        )
        .ok_or_else(|| refuse(Flaw::Header))?;
        let repair = Repair {
            disk,
            folder,
            id,
            first,
            header,
            bytes: &bytes,
            created_unix_seconds: header
                .map_or(now_unix_seconds, |header| header.created_unix_seconds),
        };
        tail = repair.write(&survey, tail)?;
        lost.extend(survey.lost);
    }
    Ok(lost)
}

/// Finds the good pieces of a segment; `None` if there are too many.
fn survey(
    file: &Path,
    bytes: &[u8],
    first: u64,
    header: Option<&Header>,
    seed: u32,
    until: Option<u64>,
) -> Option<Survey> {
    let mut survey = Survey {
        pieces: Vec::new(),
        lost: Vec::new(),
        resume: None,
    };
    let mut lose = |offset: usize, from: u64, to: u64| {
        if from < to {
            survey.lost.push(Lost {
                file: file.to_owned(),
                offset: offset as u64,
                from: Position(from),
                to: Position(to),
            });
        }
    };
    let mut at = HEADER_BYTES.min(bytes.len());
    let mut start = header.map(Header::link);
    let mut expected = first;
    loop {
        if let Some(before) = start {
            let walk = segment::walk(bytes, at, before, seed, until);
            survey.pieces.push(Piece {
                start: at,
                end: walk.end,
                before,
                after: walk.link,
            });
            if survey.pieces.len() > MAX_PIECES {
                return None;
            }
            at = walk.end;
            expected = walk.link.next;
            let whole = until.map_or(at == bytes.len(), |until| expected >= until);
            if whole || (until.is_none() && is_torn(bytes, &walk, seed)) {
                break;
            }
        }
        let found = record::search(bytes, at, seed, expected)
            .find(|(_, frame)| until.is_none_or(|until| frame.position < until));
        match found {
            Some((offset, frame)) => {
                lose(at, expected, frame.position);
                at = offset;
                start = Some(Link {
                    next: frame.position,
                    previous: frame.previous,
                });
            }
            None => {
                let rest = (bytes.len() - at) / FRAME_BYTES;
                let end = until.unwrap_or(expected + rest as u64 + 1);
                lose(at, expected, end);
                survey.resume = until.is_none().then_some(end);
                break;
            }
        }
    }
    Some(survey)
}

/// One segment being repaired.
struct Repair<'a> {
    disk: &'a dyn Disk,
    folder: &'a Path,
    id: JournalId,
    first: u64,
    header: Option<Header>,
    bytes: &'a [u8],
    created_unix_seconds: u64,
}

impl Repair<'_> {
    /// Writes the pieces so that they follow `tail`; returns the chain behind the last of them.
    fn write(&self, survey: &Survey, tail: Option<Link>) -> Result<Option<Link>, OpenError> {
        let pieces = &survey.pieces;
        let joint = |index: usize| match index {
            0 => tail.unwrap_or_else(|| {
                self.header
                    .map_or(pieces[0].before, |header| header.joint())
            }),
            _ => pieces[index - 1].after,
        };
        let intact = self
            .header
            .is_some_and(|header| !pieces.is_empty() && header.joint() == joint(0));
        if !survey.lost.is_empty() || !intact {
            self.keep_copy()?;
        }
        // Later pieces first: until the first one is cut, everything is still in the old file.
        for (index, piece) in pieces.iter().enumerate().skip(usize::from(intact)).rev() {
            self.create(
                piece.before,
                joint(index),
                &self.bytes[piece.start..piece.end],
            )?;
        }
        let tail = pieces.last().map(|piece| piece.after).or(tail);
        if let Some(resume) = survey.resume {
            // Records were lost whose number is unknown: go on behind all positions they can have had.
            let joint = tail.unwrap_or(Link {
                next: self.first,
                previous: 0,
            });
            let beyond = Link {
                next: resume,
                previous: joint.previous,
            };
            self.create(beyond, joint, &[])?;
        }
        if !pieces.iter().any(|piece| piece.before.next == self.first) {
            self.remove()?;
        }
        Ok(tail)
    }

    fn create(&self, before: Link, joint: Link, records: &[u8]) -> Result<(), OpenError> {
        let header = Header {
            follows: joint.next,
            closing: joint.previous,
            ..Header::continuing(self.id.0, before, self.created_unix_seconds)
        };
        let file = segment::path(self.folder, header.first);
        segment::create(self.disk, self.folder, &header, records)
            .map(drop)
            .map_err(OpenError::io("write", &file))
    }

    fn remove(&self) -> Result<(), OpenError> {
        let file = segment::path(self.folder, self.first);
        self.disk
            .remove(&file)
            .and_then(|()| self.disk.sync_folder(self.folder))
            .map_err(OpenError::io("remove", &file))
    }

    fn keep_copy(&self) -> Result<(), OpenError> {
        let name = format!("{:020}.seg.damaged", self.first);
        let file = self.folder.join(name);
        if self.disk.length(&file).is_ok() {
            // An interrupted salvage kept it already; the file of now may hold less.
            return Ok(());
        }
        segment::write_whole(self.disk, &file, &[self.bytes])
            .map(drop)
            .map_err(OpenError::io("write", &file))
    }
}
