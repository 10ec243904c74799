//! One segment file: its name, its header, and the walk over its records.
//!
//! A segment is named by the position of its first record and begins with 64 octets:
//! ```text
//!  0  magic     8    "GWJRNL" CR LF: a transfer that mends line ends is noticed
//!  8  version   u32
//! 12  checksum  u32  CRC-32C over the other 60 octets
//! 16  journal   16   the journal's id
//! 32  first     u64  position of the first record, also in the name
//! 40  follows   u64  where the segment before must end; less than `first` only where a salvage lost records, or
//!                    where positions were left out on purpose
//! 48  created   u64  seconds since 1970, by the caller's clock
//! 56  previous  u32  the chain before the first record
//! 60  closing   u32  the chain at the end of the segment before: the same, unless a salvage lost records between
//! ```
//! A segment appears under its name only when it is whole and synced (written beside, renamed), so a bad header is
//! damage, never a crash. Whatever the segment before holds at or behind `follows` is superseded: it was never
//! acknowledged.

use std::io;
use std::path::{Path, PathBuf};

use crate::checksum;
use crate::disk::{Disk, DiskFile};
use crate::record::{self, Flaw, Link};

/// Octets of a segment's header.
pub(crate) const HEADER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"GWJRNL\r\n";
const VERSION: u32 = 1;
/// The ending of a segment that is still being written; such a file holds nothing acknowledged.
const UNFINISHED: &str = ".new";

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub journal: [u8; 16],
    pub first: u64,
    pub follows: u64,
    pub created_unix_seconds: u64,
    pub previous: u32,
    pub closing: u32,
}

impl Header {
    /// The header of a segment that continues at `link`, nothing lost in between.
    pub fn continuing(journal: [u8; 16], link: Link, created_unix_seconds: u64) -> Header {
        Header {
            journal,
            first: link.next,
            follows: link.next,
            created_unix_seconds,
            previous: link.previous,
            closing: link.previous,
        }
    }

    /// Where the chain of the segment before must stand at its end.
    pub fn joint(&self) -> Link {
        Link {
            next: self.follows,
            previous: self.closing,
        }
    }

    /// The chain at the segment's start.
    pub fn link(&self) -> Link {
        Link {
            next: self.first,
            previous: self.previous,
        }
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[16..32].copy_from_slice(&self.journal);
        out[32..40].copy_from_slice(&self.first.to_le_bytes());
        out[40..48].copy_from_slice(&self.follows.to_le_bytes());
        out[48..56].copy_from_slice(&self.created_unix_seconds.to_le_bytes());
        out[56..60].copy_from_slice(&self.previous.to_le_bytes());
        out[60..].copy_from_slice(&self.closing.to_le_bytes());
        let checksum = header_checksum(&out);
        out[12..16].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads the header of a segment whose name says `named`, without asking which journal it belongs to.
    pub fn decode(bytes: &[u8], named: u64) -> Result<Header, Flaw> {
        let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(Flaw::Header);
        };
        let word =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if word(12) != header_checksum(head) || head[..8] != MAGIC {
            return Err(Flaw::Header);
        }
        if word(8) != VERSION {
            return Err(Flaw::Version(word(8)));
        }
        let mut journal = [0; 16];
        journal.copy_from_slice(&head[16..32]);
        let header = Header {
            journal,
            first: long(32),
            follows: long(40),
            created_unix_seconds: long(48),
            previous: word(56),
            closing: word(60),
        };
        if header.first != named {
            return Err(Flaw::Name);
        }
        if header.follows > header.first {
            return Err(Flaw::Header);
        }
        Ok(header)
    }
}

fn header_checksum(head: &[u8; HEADER_BYTES]) -> u32 {
    checksum::extend(checksum::extend(0, &head[..12]), &head[16..])
}

/// The file of the segment that begins at `first`.
pub(crate) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.seg"))
}

/// The first position of the segment called `name`, if it is a segment's name.
pub(crate) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain
        .then(|| digits.parse().ok())
        .flatten()
        .filter(|first| *first > 0)
}

/// Whether `name` is a file whose writing a crash cut short.
pub(crate) fn is_unfinished(name: &str) -> bool {
    name.ends_with(UNFINISHED)
}

/// Writes `parts` to `file` so that it is there whole or not at all, whatever happens in between.
pub(crate) fn write_whole(
    disk: &dyn Disk,
    file: &Path,
    parts: &[&[u8]],
) -> io::Result<Box<dyn DiskFile>> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(UNFINISHED);
    let beside = PathBuf::from(beside);
    let mut handle = disk.create(&beside)?;
    for part in parts {
        handle.append(part)?;
    }
    handle.sync_data()?;
    disk.rename(&beside, file)?;
    disk.sync_folder(file.parent().unwrap_or(Path::new("/")))?;
    Ok(handle)
}

/// Creates the segment `header` describes, holding `records` (framed and chained already).
pub(crate) fn create(
    disk: &dyn Disk,
    folder: &Path,
    header: &Header,
    records: &[u8],
) -> io::Result<Box<dyn DiskFile>> {
    write_whole(
        disk,
        &path(folder, header.first),
        &[&header.encode(), records],
    )
}

/// Where a walk over records ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    /// The offset behind the last good record.
    pub end: usize,
    /// The chain there.
    pub link: Link,
    /// Why the record at `end` is not good; `None` at the end of the bytes and at `until`.
    pub flaw: Option<Flaw>,
}

/// Walks the records of a segment from offset `start`, where the chain stands at `link`, up to the position `until`
/// or the end.
pub(crate) fn walk(bytes: &[u8], start: usize, link: Link, seed: u32, until: Option<u64>) -> Walk {
    let mut walk = Walk {
        end: start,
        link,
        flaw: None,
    };
    while walk.end < bytes.len() && until.is_none_or(|until| walk.link.next < until) {
        let step = record::decode(&bytes[walk.end..], seed)
            .and_then(|frame| Ok((frame.len(), frame.follow(walk.link)?)));
        match step {
            Ok((length, link)) => {
                walk.end += length;
                walk.link = link;
            }
            Err(flaw) => {
                walk.flaw = Some(flaw);
                break;
            }
        }
    }
    walk
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        journal: [4; 16],
        first: 12,
        follows: 10,
        created_unix_seconds: 1_700_000_000,
        previous: 77,
        closing: 78,
    };

    #[test]
    fn a_header_reads_back_and_any_flipped_bit_is_seen() {
        let bytes = HEADER.encode();
        assert_eq!(Header::decode(&bytes, 12), Ok(HEADER));
        assert_eq!(Header::decode(&bytes, 13), Err(Flaw::Name));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bad, 12), Err(Flaw::Header), "bit {bit}");
        }
    }

    #[test]
    fn only_twenty_digits_and_the_ending_name_a_segment() {
        let check = |name: &str, expect: Option<u64>| assert_eq!(first_of(name), expect, "{name}");
        check("00000000000000000001.seg", Some(1));
        check("18446744073709551615.seg", Some(u64::MAX));
        check("18446744073709551616.seg", None);
        check("00000000000000000000.seg", None);
        check("1.seg", None);
        check("+0000000000000000001.seg", None);
        check("00000000000000000001.seg.new", None);
        check("LOCK", None);
    }

    #[test]
    fn a_walk_stops_at_until_and_at_the_first_flaw() {
        let mut bytes = Vec::new();
        let mut link = HEADER.link();
        for place in 0..4 {
            record::encode(&mut bytes, 1, &mut link, place, 0, b"abc");
        }
        let whole = walk(&bytes, 0, HEADER.link(), 1, None);
        assert_eq!(
            (whole.end, whole.link, whole.flaw),
            (bytes.len(), link, None)
        );
        assert_eq!(walk(&bytes, 0, HEADER.link(), 1, Some(14)).link.next, 14);
        bytes[2 * 27 + 25] ^= 1;
        let broken = walk(&bytes, 0, HEADER.link(), 1, None);
        assert_eq!((broken.end, broken.flaw), (2 * 27, Some(Flaw::Checksum)));
    }
}
