//! Captures of network traffic: what tcpdump and Wireshark write.
//!
//! `pcap.rs` and `pcapng.rs` give frames, `frame.rs` finds the UDP datagram in one. IP fragments are not put together:
//! they are reported in their place. This module must **never** hold more than one frame in memory.

mod frame;
mod pcap;
mod pcapng;

pub use frame::{Content, Datagram, content};

use std::io::{BufRead, Read};

/// Largest frame. Capture programs cut at 262,144 octets; a larger number is damage.
const MAX_FRAME_OCTETS: usize = 262_144;

/// How the octets of a number are ordered in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Big,
    Little,
}

impl Order {
    fn u16(self, octets: &[u8], at: usize) -> Option<u16> {
        let octets = octets.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(match self {
            Order::Big => u16::from_be_bytes(octets),
            Order::Little => u16::from_le_bytes(octets),
        })
    }

    fn u32(self, octets: &[u8], at: usize) -> Option<u32> {
        let octets = octets.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(match self {
            Order::Big => u32::from_be_bytes(octets),
            Order::Little => u32::from_le_bytes(octets),
        })
    }
}

/// One captured frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Counted from 1, as Wireshark does.
    pub number: u64,
    /// When it was captured; some files do not say.
    pub time: Option<kernel::Time>,
    /// What the first octets are (the number of tcpdump's LINKTYPE list).
    pub link: u32,
    /// What was captured of it.
    pub octets: Vec<u8>,
    /// Whether the capture cut it short.
    pub is_cut: bool,
}

/// Why a capture cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// It ends within a frame.
    #[error("the capture ends in the middle of frame {frame}")]
    Ends {
        /// The frame that is cut off.
        frame: u64,
    },
    /// A number in it makes no sense.
    #[error("the capture is damaged at frame {frame}: {reason}")]
    Damaged {
        /// The frame at which it is.
        frame: u64,
        /// What was found.
        reason: String,
    },
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

/// Whether a file that begins with these octets is a capture.
pub fn is_capture(start: &[u8]) -> bool {
    start
        .first_chunk::<4>()
        .is_some_and(|magic| pcap::order(magic).is_some() || *magic == pcapng::MAGIC)
}

/// The frames of a capture, one after the other.
pub enum Capture<R> {
    /// The older form.
    Pcap(pcap::Reader<R>),
    /// The newer form.
    Pcapng(pcapng::Reader<R>),
}

impl<R: BufRead> Capture<R> {
    /// Begins to read; the form is told by the first octets.
    ///
    /// # Errors
    /// The file's head is damaged.
    pub fn open(mut reader: R) -> Result<Self, CaptureError> {
        let start = reader.fill_buf().map_err(unreadable)?;
        if start.starts_with(&pcapng::MAGIC) {
            Ok(Capture::Pcapng(pcapng::Reader::new(reader)))
        } else {
            pcap::Reader::open(reader).map(Capture::Pcap)
        }
    }

    /// The next frame, or `None` at the end.
    ///
    /// # Errors
    /// Where it cannot be read on.
    pub fn next(&mut self) -> Result<Option<Frame>, CaptureError> {
        match self {
            Capture::Pcap(reader) => reader.next(),
            Capture::Pcapng(reader) => reader.next(),
        }
    }
}

fn unreadable(error: std::io::Error) -> CaptureError {
    CaptureError::Unreadable(error.to_string())
}

/// So many octets, or `None` when the file ends before the first of them.
fn take<R: Read>(
    reader: &mut R,
    count: usize,
    frame: u64,
) -> Result<Option<Vec<u8>>, CaptureError> {
    let mut octets = Vec::new();
    reader
        .by_ref()
        .take(count as u64)
        .read_to_end(&mut octets)
        .map_err(unreadable)?;
    match octets.len() {
        length if length == count => Ok(Some(octets)),
        0 => Ok(None),
        _ => Err(CaptureError::Ends { frame }),
    }
}

fn damaged(frame: u64, reason: impl Into<String>) -> CaptureError {
    CaptureError::Damaged {
        frame,
        reason: reason.into(),
    }
}
