//! The older capture form: one head, then frames.

use super::{CaptureError, Frame, MAX_FRAME_OCTETS, Order, damaged, take};
use std::io::BufRead;

const HEAD_OCTETS: usize = 24;
const RECORD_OCTETS: usize = 16;

/// The order of octets that the magic number tells, and whether fractions are nanoseconds.
pub(super) fn order(magic: &[u8; 4]) -> Option<(Order, bool)> {
    match magic {
        [0xa1, 0xb2, 0xc3, 0xd4] => Some((Order::Big, false)),
        [0xd4, 0xc3, 0xb2, 0xa1] => Some((Order::Little, false)),
        [0xa1, 0xb2, 0x3c, 0x4d] => Some((Order::Big, true)),
        [0x4d, 0x3c, 0xb2, 0xa1] => Some((Order::Little, true)),
        _ => None,
    }
}

/// Frames of a file.
pub struct Reader<R> {
    reader: R,
    order: Order,
    nanoseconds: bool,
    link: u32,
    frame: u64,
}

impl<R: BufRead> Reader<R> {
    pub(super) fn open(mut reader: R) -> Result<Self, CaptureError> {
        let head = take(&mut reader, HEAD_OCTETS, 0)?.ok_or(CaptureError::Ends { frame: 0 })?;
        let (order, nanoseconds) = head
            .first_chunk::<4>()
            .and_then(order)
            .ok_or_else(|| damaged(0, "it does not begin like a capture"))?;
        // The upper bits tell about checksums at the end of frames, which lie after what is read here.
        let link = order.u32(&head, 20).unwrap_or(0) & 0x0fff_ffff;
        Ok(Self {
            reader,
            order,
            nanoseconds,
            link,
            frame: 0,
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<Frame>, CaptureError> {
        let number = self.frame + 1;
        let Some(record) = take(&mut self.reader, RECORD_OCTETS, number)? else {
            return Ok(None);
        };
        let field = |at| self.order.u32(&record, at).unwrap_or(0);
        let captured = usize::try_from(field(8)).unwrap_or(usize::MAX);
        if captured > MAX_FRAME_OCTETS {
            return Err(damaged(number, format!("a length of {captured} octets")));
        }
        let octets = match captured {
            0 => Vec::new(),
            _ => take(&mut self.reader, captured, number)?
                .ok_or(CaptureError::Ends { frame: number })?,
        };
        let fraction = match self.nanoseconds {
            true => field(4) / 1_000,
            false => field(4),
        };
        self.frame = number;
        Ok(Some(Frame {
            number,
            time: Some(kernel::Time::from_unix_micros(
                i64::from(field(0)) * 1_000_000 + i64::from(fraction),
            )),
            link: self.link,
            is_cut: field(12) as usize > octets.len(),
            octets,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Capture, is_capture};
    use super::*;

    fn file(magic: u32, big: bool, link: u32, frames: &[&[u8]]) -> Vec<u8> {
        let number = |value: u32| match big {
            true => value.to_be_bytes(),
            false => value.to_le_bytes(),
        };
        let mut file = Vec::new();
        for value in [magic, 0x0002_0004, 0, 0, 65_535, link] {
            file.extend(number(value));
        }
        for frame in frames {
            for value in [
                1_700_000_000,
                500_000,
                frame.len() as u32,
                frame.len() as u32 + 1,
            ] {
                file.extend(number(value));
            }
            file.extend_from_slice(frame);
        }
        file
    }

    fn frames(file: &[u8]) -> Result<Vec<Frame>, CaptureError> {
        let mut capture = Capture::open(file)?;
        let mut frames = Vec::new();
        while let Some(frame) = capture.next()? {
            frames.push(frame);
        }
        Ok(frames)
    }

    #[test]
    fn either_order_of_octets_and_either_clock_is_read() {
        for (magic, big, micros) in [
            (0xa1b2_c3d4, true, 500_000),
            (0xa1b2_c3d4, false, 500_000),
            (0xa1b2_3c4d, true, 500),
            (0xa1b2_3c4d, false, 500),
        ] {
            let file = file(magic, big, 113, &[b"one", b""]);
            assert!(is_capture(&file));
            let frames = frames(&file).expect("frames");
            assert_eq!(frames.len(), 2);
            assert_eq!(
                (
                    frames[0].number,
                    frames[0].octets.as_slice(),
                    frames[0].link
                ),
                (1, &b"one"[..], 113)
            );
            assert_eq!(
                frames[0].time.map(|t| t.unix_micros()),
                Some(1_700_000_000_000_000 + micros)
            );
            assert!(frames[0].is_cut);
        }
    }

    #[test]
    fn damage_is_named_with_its_frame() {
        let whole = file(0xa1b2_c3d4, true, 1, &[b"frame"]);
        assert_eq!(
            frames(&whole[..whole.len() - 1]),
            Err(CaptureError::Ends { frame: 1 })
        );
        assert_eq!(frames(&whole[..10]), Err(CaptureError::Ends { frame: 0 }));
        let mut huge = whole.clone();
        huge[32..36].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(matches!(
            frames(&huge),
            Err(CaptureError::Damaged { frame: 1, .. })
        ));
        assert!(!is_capture(b"0101"));
    }
}
