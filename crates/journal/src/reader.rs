//! Reading back, in order, what is durable.
//!
//! A [`Reader`] checks every record and the chain again as it goes. It is a cursor of its own: any number of them
//! read while records are written.
//!
//! Never: shows a record before it is durable, skips a damaged one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::Position;
use crate::error::{Corrupt, ReadError};
use crate::record::{self, Flaw, Link};
use crate::segment::{HEADER_BYTES, Header};
use crate::state::Shared;

/// Read at once: a few hundred records, and more than the largest one.
const READ_BYTES: usize = 256 * 1024;

/// A record read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub position: Position,
    /// The caller's word for what it is.
    pub kind: u8,
    /// The body.
    pub bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Place {
    /// The segment, by its first position.
    first: u64,
    offset: u64,
    link: Link,
}

impl Place {
    fn start(header: &Header) -> Place {
        Place {
            first: header.first,
            offset: HEADER_BYTES as u64,
            link: header.link(),
        }
    }
}

/// What the reader's segment holds for it right now.
struct Outlook {
    /// The first position that is not to be read from this segment (or not yet).
    end: u64,
    next: Option<Header>,
}

/// A cursor over the durable records.
pub struct Reader {
    shared: Arc<Shared>,
    /// The next position to give out.
    wanted: u64,
    place: Option<Place>,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, from: Position) -> Reader {
        Reader {
            shared,
            wanted: from.0.max(1),
            place: None,
        }
    }

    /// The position that comes next.
    pub fn position(&self) -> Position {
        Position(self.wanted)
    }

    /// Waits until there is a record to read; `None` after `timeout` and when the journal closes without one.
    pub fn wait(&self, timeout: Duration) -> Option<Position> {
        self.shared.wait_beyond(Position(self.wanted - 1), timeout)
    }

    /// The next durable records, at most `max_records` (at least one is allowed), and no more once their bodies
    /// together reach `max_bytes`. Empty means that all that is durable has been read.
    pub fn next_batch(
        &mut self,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>, ReadError> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while records.len() < max_records.max(1) && (records.is_empty() || bytes < max_bytes) {
            let room = max_records.max(1) - records.len();
            let more = match self.advance(&mut records, &mut bytes, room, max_bytes) {
                // What was read before the bad place is good, and the error comes again at the next call.
                Err(_) if !records.is_empty() => false,
                more => more?,
            };
            if !more {
                break;
            }
        }
        Ok(records)
    }

    /// Reads one chunk or moves to the next segment; `false` at the end of what is durable.
    fn advance(
        &mut self,
        records: &mut Vec<Record>,
        bytes: &mut usize,
        room: usize,
        max_bytes: usize,
    ) -> Result<bool, ReadError> {
        let Some((mut place, outlook)) = self.look()? else {
            return Ok(false);
        };
        if place.link.next >= outlook.end {
            let Some(next) = outlook.next else {
                return Ok(false);
            };
            if place.link != next.joint() {
                return Err(self.corrupt(next.first, 0, Flaw::Chain));
            }
            self.wanted = self.wanted.max(next.first);
            self.place = Some(Place::start(&next));
            return Ok(true);
        }
        let chunk = self
            .shared
            .disk
            .read_at(&self.shared.file(place.first), place.offset, READ_BYTES)
            .map_err(|source| self.unreadable(place.first, source))?;
        let mut at = 0;
        let most = records.len() + room;
        while place.link.next < outlook.end
            && records.len() < most
            && (records.is_empty() || *bytes < max_bytes)
        {
            let step = record::decode(&chunk[at..], self.shared.seed)
                .and_then(|frame| Ok((frame, frame.follow(place.link)?)));
            let (frame, link) = match step {
                Ok(step) => step,
                // The record goes on in the next chunk.
                Err(Flaw::Cut) if at > 0 => break,
                Err(flaw) => {
                    let flaw = match flaw {
                        Flaw::Cut if chunk.is_empty() => Flaw::Missing {
                            from: place.link.next,
                            to: outlook.end,
                        },
                        flaw => flaw,
                    };
                    return Err(self.corrupt(place.first, place.offset, flaw));
                }
            };
            if frame.position >= self.wanted {
                *bytes += frame.body.len();
                self.wanted = frame.position + 1;
                records.push(Record {
                    position: Position(frame.position),
                    kind: frame.kind,
                    bytes: frame.body.to_vec(),
                });
            }
            at += frame.len();
            place.offset += frame.len() as u64;
            place.link = link;
            self.place = Some(place);
        }
        Ok(true)
    }

    /// Where the reader stands, and what is to be read there; `None` if all that is durable has been read.
    fn look(&self) -> Result<Option<(Place, Outlook)>, ReadError> {
        let state = self.shared.state();
        let durable = state.durable;
        if self.wanted > durable + 1 {
            return Err(ReadError::Ahead {
                next: Position(durable + 1),
            });
        }
        if self.wanted > durable {
            return Ok(None);
        }
        let place = match self.place {
            Some(place) if state.segments.contains_key(&place.first) => place,
            _ => match state.segments.range(..=self.wanted).next_back() {
                Some((_, segment)) => Place::start(&segment.header),
                None => {
                    return Err(ReadError::Gone {
                        oldest: Position(state.oldest()),
                    });
                }
            },
        };
        let next = state
            .segments
            .range(place.first + 1..)
            .next()
            .map(|(_, segment)| segment.header);
        let end = next.map_or(durable + 1, |next| next.follows.min(durable + 1));
        Ok(Some((place, Outlook { end, next })))
    }

    fn unreadable(&self, first: u64, source: io::Error) -> ReadError {
        if source.kind() == io::ErrorKind::NotFound {
            // Removed between the look and the read.
            let state = self.shared.state();
            let oldest = state
                .segments
                .range(first + 1..)
                .next()
                .map_or(state.durable + 1, |(first, _)| *first);
            return ReadError::Gone {
                oldest: Position(oldest),
            };
        }
        ReadError::Io {
            file: self.shared.file(first),
            source,
        }
    }

    fn corrupt(&self, first: u64, offset: u64, flaw: Flaw) -> ReadError {
        let file = self.shared.file(first);
        Corrupt { file, offset, flaw }.into()
    }
}
