//! One record as bytes: how it is framed, chained and checked.
//!
//! ```text
//!  0  checksum  u32  CRC-32C over all that follows, seeded with the journal's id
//!  4  previous  u32  the checksum of the record before: the chain
//!  8  length    u32  octets of the body
//! 12  position  u64
//! 20  kind      u8   the caller's word, opaque here
//! 21  zero      u8
//! 22  place     u16  how many records stand before it in the batch it was synced with
//! 24  body
//! ```
//! All integers are little-endian. The chain makes a stale tail worthless: its records are whole, but they do not
//! follow. The place says where a batch began: a record of a later batch behind a bad one proves that the bad one
//! had been synced, so that damage is told from a torn tail. The seed keeps a body, which strangers write, from
//! passing for a record.
//!
//! Never: reads files, knows what a body means.

use std::fmt;

use crate::checksum;

/// The largest body of one record, in octets: sixteen of the largest RADIUS packets (4096 octets, RFC 2865
/// section 3), so that a report with everything known about it always fits.
pub const MAX_RECORD_BYTES: usize = 65_536;

/// Octets in front of every body.
pub(crate) const FRAME_BYTES: usize = 24;

/// Where the chain stands: what the next record must say to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The position of the next record.
    pub next: u64,
    /// The checksum of the last one.
    pub previous: u32,
}

/// A record found in bytes, whole and with a right checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub checksum: u32,
    pub previous: u32,
    pub position: u64,
    pub kind: u8,
    pub place: u16,
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// Octets the record takes in its file.
    pub fn len(&self) -> usize {
        FRAME_BYTES + self.body.len()
    }

    /// The chain after this record, if it follows `link`.
    pub fn follow(&self, link: Link) -> Result<Link, Flaw> {
        if self.position != link.next {
            return Err(Flaw::Position {
                found: self.position,
                expected: link.next,
            });
        }
        if self.previous != link.previous {
            return Err(Flaw::Chain);
        }
        Ok(Link {
            next: link.next + 1,
            previous: self.checksum,
        })
    }

    /// The position at which the batch of this record began.
    pub fn batch_start(&self) -> u64 {
        self.position.saturating_sub(u64::from(self.place))
    }
}

/// What is wrong with bytes of the journal. A closed list, so that an error always says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The record is cut off by the end of the file.
    Cut,
    /// The length field is above [`MAX_RECORD_BYTES`].
    Length,
    /// The record's checksum is wrong.
    Checksum,
    /// The record is whole but stands at the wrong position.
    Position {
        /// The position the record claims.
        found: u64,
        /// The position that belongs here.
        expected: u64,
    },
    /// The record is whole but does not follow the one before it.
    Chain,
    /// Records between this file and the one before it are missing.
    Missing {
        /// The first missing position.
        from: u64,
        /// The first position that is there again.
        to: u64,
    },
    /// The segment's header is damaged.
    Header,
    /// The segment was written by a version this program does not know.
    Version(u32),
    /// The segment belongs to another journal.
    Foreign,
    /// The segment's header and the file's name say different positions.
    Name,
    /// The file `id` is missing or unreadable although there are segments.
    Id,
}

impl fmt::Display for Flaw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Cut => out.write_str("the record is cut off"),
            Flaw::Length => out.write_str("the record's length is impossible"),
            Flaw::Checksum => out.write_str("the record's checksum is wrong"),
            Flaw::Position { found, expected } => {
                write!(out, "record {found} stands where {expected} belongs")
            }
            Flaw::Chain => out.write_str("the record does not follow the one before it"),
            Flaw::Missing { from, to } => {
                write!(
                    out,
                    "records {from} to {} are missing",
                    to.saturating_sub(1)
                )
            }
            Flaw::Header => out.write_str("the segment's header is damaged"),
            Flaw::Version(version) => write!(out, "format version {version} is not known here"),
            Flaw::Foreign => out.write_str("the segment belongs to another journal"),
            Flaw::Name => out.write_str("the segment's header contradicts its name"),
            Flaw::Id => out.write_str("the journal's id is missing or unreadable"),
        }
    }
}

/// The seed of a journal's checksums.
pub(crate) fn seed(journal_id: &[u8; 16]) -> u32 {
    checksum::extend(0, journal_id)
}

/// Appends one framed record to `out` and moves the chain on. The body must be at most [`MAX_RECORD_BYTES`]
/// (the queue sees to it).
pub(crate) fn encode(
    out: &mut Vec<u8>,
    seed: u32,
    link: &mut Link,
    place: u16,
    kind: u8,
    body: &[u8],
) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&link.previous.to_le_bytes());
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&link.next.to_le_bytes());
    out.push(kind);
    out.push(0);
    out.extend_from_slice(&place.to_le_bytes());
    out.extend_from_slice(body);
    let checksum = checksum::extend(seed, &out[start + 4..]);
    out[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
    *link = Link {
        next: link.next + 1,
        previous: checksum,
    };
}

fn octets<const N: usize>(input: &[u8], at: usize) -> Option<[u8; N]> {
    input.get(at..)?.first_chunk::<N>().copied()
}

/// Reads the record `input` begins with; what follows it is left alone.
pub(crate) fn decode(input: &[u8], seed: u32) -> Result<Frame<'_>, Flaw> {
    let field = |at| {
        octets::<4>(input, at)
            .map(u32::from_le_bytes)
            .ok_or(Flaw::Cut)
    };
    let checksum = field(0)?;
    let previous = field(4)?;
    let length = field(8)? as usize;
    let position = octets::<8>(input, 12)
        .map(u64::from_le_bytes)
        .ok_or(Flaw::Cut)?;
    let [kind, zero, low, high] = octets::<4>(input, 20).ok_or(Flaw::Cut)?;
    if length > MAX_RECORD_BYTES {
        return Err(Flaw::Length);
    }
    let whole = input.get(..FRAME_BYTES + length).ok_or(Flaw::Cut)?;
    if zero != 0 || checksum::extend(seed, &whole[4..]) != checksum {
        return Err(Flaw::Checksum);
    }
    Ok(Frame {
        checksum,
        previous,
        position,
        kind,
        place: u16::from_le_bytes([low, high]),
        body: &whole[FRAME_BYTES..],
    })
}

/// Looks for whole records from `from` on, at any offset, whose position is at least `lowest`. For damaged files only.
pub(crate) fn search(
    bytes: &[u8],
    from: usize,
    seed: u32,
    lowest: u64,
) -> impl Iterator<Item = (usize, Frame<'_>)> {
    // No more records fit than this, so a higher position is chance: a cheap sieve before the checksum.
    let highest =
        lowest.saturating_add((bytes.len().saturating_sub(from) / FRAME_BYTES) as u64 + 1);
    (from..bytes.len()).filter_map(move |at| {
        let position = u64::from_le_bytes(octets::<8>(bytes, at + 12)?);
        if position < lowest || position > highest {
            return None;
        }
        decode(&bytes[at..], seed).ok().map(|frame| (at, frame))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link = Link {
        next: 7,
        previous: 99,
    };

    fn one(body: &[u8]) -> Vec<u8> {
        let (mut out, mut link) = (Vec::new(), LINK);
        encode(&mut out, 5, &mut link, 3, 9, body);
        out
    }

    #[test]
    fn a_record_reads_back_as_written() {
        for body in [&b""[..], b"x", &[7; MAX_RECORD_BYTES]] {
            let bytes = one(body);
            let frame = decode(&bytes, 5).expect("whole");
            assert_eq!((frame.position, frame.kind, frame.place), (7, 9, 3));
            assert_eq!(frame.body, body);
            assert_eq!(frame.len(), bytes.len());
            assert_eq!(frame.follow(LINK).expect("follows").next, 8);
        }
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_seen() {
        let bytes = one(b"a body of some length");
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut], 5).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bad, 5).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_record_of_another_journal_or_place_does_not_follow() {
        let bytes = one(b"x");
        assert_eq!(decode(&bytes, 6), Err(Flaw::Checksum));
        let frame = decode(&bytes, 5).expect("whole");
        assert_eq!(
            frame.follow(Link {
                previous: 98,
                ..LINK
            }),
            Err(Flaw::Chain)
        );
        assert!(matches!(
            frame.follow(Link { next: 8, ..LINK }),
            Err(Flaw::Position { .. })
        ));
    }

    #[test]
    fn zeros_are_no_record() {
        assert_eq!(decode(&[0; 64], 5), Err(Flaw::Checksum));
    }

    #[test]
    fn search_finds_the_record_behind_garbage() {
        let mut bytes = vec![0xA5; 31];
        bytes.extend(one(b"found"));
        let found: Vec<_> = search(&bytes, 0, 5, 7)
            .map(|(at, frame)| (at, frame.position))
            .collect();
        assert_eq!(found, [(31, 7)]);
        assert_eq!(search(&bytes, 0, 5, 8).count(), 0);
    }
}
