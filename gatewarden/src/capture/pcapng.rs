//! The newer capture form: blocks, among them interfaces and frames.

use super::{CaptureError, Frame, MAX_FRAME_OCTETS, Order, damaged, take};
use std::io::BufRead;

/// A section's first octets; the same in either order of octets.
pub(super) const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const PACKET: u32 = 6;
/// Largest block: a frame, its head and its comments.
const MAX_BLOCK_OCTETS: usize = MAX_FRAME_OCTETS + 65_536;
/// Interfaces of one section; a router with more does not capture them all at once.
const MAX_INTERFACES: usize = 1_024;
/// Option of an interface: how fine its clock is.
const CLOCK_OPTION: u16 = 9;

struct Interface {
    link: u32,
    /// Most octets captured of a frame; 0 is all.
    most: u32,
    /// Ticks in a second.
    ticks: u64,
}

/// Frames of a file.
pub struct Reader<R> {
    reader: R,
    order: Order,
    interfaces: Vec<Interface>,
    frame: u64,
}

impl<R: BufRead> Reader<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            order: Order::Little,
            interfaces: Vec::new(),
            frame: 0,
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Frame>, CaptureError> {
        loop {
            let Some((kind, body)) = self.block()? else {
                return Ok(None);
            };
            match kind {
                SECTION => self.interfaces.clear(),
                INTERFACE => self.interface(&body)?,
                PACKET | OLD_PACKET | SIMPLE_PACKET => return self.packet(kind, &body).map(Some),
                // Names, statistics, secrets of other protocols: nothing that is needed here.
                _ => {}
            }
        }
    }

    /// The next block without its head and tail.
    fn block(&mut self) -> Result<Option<(u32, Vec<u8>)>, CaptureError> {
        let frame = self.frame + 1;
        let Some(mut head) = take(&mut self.reader, 8, frame)? else {
            return Ok(None);
        };
        if head.starts_with(&MAGIC) {
            let order = take(&mut self.reader, 4, frame)?.ok_or(CaptureError::Ends { frame })?;
            self.order = match order.as_slice() {
                [0x1a, 0x2b, 0x3c, 0x4d] => Order::Big,
                [0x4d, 0x3c, 0x2b, 0x1a] => Order::Little,
                _ => return Err(damaged(frame, "a section without its mark")),
            };
            head.extend_from_slice(&order);
        }
        let kind = self.order.u32(&head, 0).unwrap_or(0);
        let length = self.order.u32(&head, 4).unwrap_or(0) as usize;
        let rest = length.checked_sub(head.len()).filter(|rest| *rest >= 4);
        let Some(rest) = rest.filter(|_| length.is_multiple_of(4) && length <= MAX_BLOCK_OCTETS)
        else {
            return Err(damaged(frame, format!("a block of {length} octets")));
        };
        let mut body = take(&mut self.reader, rest, frame)?.ok_or(CaptureError::Ends { frame })?;
        body.truncate(rest - 4);
        Ok(Some((kind, body)))
    }

    fn interface(&mut self, body: &[u8]) -> Result<(), CaptureError> {
        let frame = self.frame + 1;
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(damaged(
                frame,
                format!("more than {MAX_INTERFACES} interfaces"),
            ));
        }
        let (Some(link), Some(most)) = (self.order.u16(body, 0), self.order.u32(body, 4)) else {
            return Err(damaged(frame, "an interface without a type"));
        };
        self.interfaces.push(Interface {
            link: u32::from(link),
            most,
            ticks: self.ticks(body.get(8..).unwrap_or_default()),
        });
        Ok(())
    }

    fn ticks(&self, mut options: &[u8]) -> u64 {
        while let (Some(code), Some(length)) =
            (self.order.u16(options, 0), self.order.u16(options, 2))
        {
            let length = usize::from(length);
            match (code, options.get(4)) {
                (0, _) => break,
                (CLOCK_OPTION, Some(power)) if length >= 1 => {
                    let (base, power) = match power & 0x80 {
                        0 => (10u64, u32::from(*power)),
                        _ => (2u64, u32::from(power & 0x7f)),
                    };
                    return base.checked_pow(power).unwrap_or(1_000_000);
                }
                _ => {}
            }
            options = options
                .get(4 + length.next_multiple_of(4)..)
                .unwrap_or_default();
        }
        1_000_000
    }

    fn packet(&mut self, kind: u32, body: &[u8]) -> Result<Frame, CaptureError> {
        let number = self.frame + 1;
        self.frame = number;
        let short = || damaged(number, "a frame without a head");
        let u32_at = |at| self.order.u32(body, at).ok_or_else(short);
        let interface = match kind {
            PACKET => u32_at(0)? as usize,
            OLD_PACKET => usize::from(self.order.u16(body, 0).ok_or_else(short)?),
            _ => 0,
        };
        let interface = self
            .interfaces
            .get(interface)
            .ok_or_else(|| damaged(number, format!("interface {interface} is not described")))?;
        let (time, captured, original, start) = match kind {
            SIMPLE_PACKET => {
                let original = u32_at(0)?;
                let most = if interface.most == 0 {
                    original
                } else {
                    interface.most
                };
                (None, original.min(most), original, 4)
            }
            _ => {
                let ticks = u64::from(u32_at(4)?) << 32 | u64::from(u32_at(8)?);
                let micros = u128::from(ticks) * 1_000_000 / u128::from(interface.ticks.max(1));
                let time = i64::try_from(micros)
                    .ok()
                    .map(kernel::Time::from_unix_micros);
                (time, u32_at(12)?, u32_at(16)?, 20)
            }
        };
        let octets = body
            .get(start..)
            .and_then(|rest| rest.get(..captured as usize))
            .ok_or_else(|| damaged(number, format!("{captured} octets do not fit its block")))?;
        Ok(Frame {
            number,
            time,
            link: interface.link,
            octets: octets.to_vec(),
            is_cut: original as usize > octets.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Capture, is_capture};
    use super::*;

    /// A block in little-endian order, padded and closed.
    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let length = (padded as u32 + 12).to_le_bytes();
        let mut block = kind.to_le_bytes().to_vec();
        block.extend(length);
        block.extend_from_slice(body);
        block.resize(8 + padded, 0);
        block.extend(length);
        block
    }

    fn section() -> Vec<u8> {
        block(
            SECTION,
            &[
                0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255,
            ],
        )
    }

    fn interface(link: u16, clock: Option<u8>) -> Vec<u8> {
        let mut body = link.to_le_bytes().to_vec();
        body.extend([0, 0, 0, 0, 4, 0]);
        if let Some(clock) = clock {
            body.extend([9, 0, 1, 0, clock, 0, 0, 0, 0, 0, 0, 0]);
        }
        block(INTERFACE, &body)
    }

    fn packet(interface: u32, ticks: u64, octets: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        for value in [
            interface,
            (ticks >> 32) as u32,
            ticks as u32,
            octets.len() as u32,
            octets.len() as u32,
        ] {
            body.extend(value.to_le_bytes());
        }
        body.extend_from_slice(octets);
        block(PACKET, &body)
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
    fn interfaces_tell_link_and_clock() {
        let file = [
            section(),
            interface(1, None),
            interface(101, Some(9)),
            block(5, &[1, 2, 3, 4]),
            packet(0, 1_700_000_000_000_001, b"abc"),
            packet(1, 1_700_000_000_000_001_000, b"defgh"),
            block(SIMPLE_PACKET, &[3, 0, 0, 0, b'x', b'y', b'z']),
        ]
        .concat();
        assert!(is_capture(&file));
        let frames = frames(&file).expect("frames");
        let seen: Vec<_> = frames
            .iter()
            .map(|f| {
                (
                    f.number,
                    f.link,
                    f.octets.as_slice(),
                    f.time.map(|t| t.unix_micros()),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                (1, 1, &b"abc"[..], Some(1_700_000_000_000_001)),
                (2, 101, &b"defgh"[..], Some(1_700_000_000_000_001)),
                (3, 1, &b"xyz"[..], None),
            ]
        );
    }

    #[test]
    fn damage_is_named_with_its_frame() {
        let whole = [section(), interface(1, None), packet(0, 1, b"abcd")].concat();
        assert_eq!(
            frames(&whole[..whole.len() - 6]),
            Err(CaptureError::Ends { frame: 1 })
        );
        let foreign = [section(), packet(3, 1, b"abcd")].concat();
        assert!(matches!(
            frames(&foreign),
            Err(CaptureError::Damaged { frame: 1, .. })
        ));
        let mut huge = section();
        huge[4..8].copy_from_slice(&0x7fff_fff0u32.to_le_bytes());
        assert!(matches!(frames(&huge), Err(CaptureError::Damaged { .. })));
    }
}
