//! Appending attributes to a growing packet, with every limit checked.
//!
//! The low level under replies and questions, also for tests and tools that
//! must write odd packets. It must never decide what belongs in a packet.

use std::fmt;

use crate::authenticator::{AUTHENTICATOR_OCTETS, sign_request, sign_response};
use crate::code::Code;
use crate::hide::HideError;
use crate::packet::{ATTRIBUTE_HEADER_OCTETS, HEADER_OCTETS, MAX_OCTETS, MAX_VALUE_OCTETS, kind};
use crate::secret::Secret;
use crate::vsa::{MAX_VENDOR, VENDOR_OCTETS, vendor_format};

/// Says, in formats with a continuation octet, that the value goes on.
const CONTINUES: u8 = 0x80;

/// Why a packet cannot be made of what was put into it. `vendor` is 0 for
/// standard attributes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SealFault {
    /// The packet would be longer than 4096 octets.
    PacketTooLong {
        /// Octets it would need, as far as known.
        octets: usize,
    },
    /// One value is longer than an attribute.
    ValueTooLong {
        /// The attribute's vendor.
        vendor: u32,
        /// The attribute's number.
        number: u32,
        /// Octets of the value.
        octets: usize,
        /// Octets there is room for.
        limit: usize,
    },
    /// The number cannot be sent: 0, or too large for its format.
    Number {
        /// The attribute's vendor.
        vendor: u32,
        /// The attribute's number.
        number: u32,
    },
    /// The tag is above 31 (RFC 2868 §3.1), or the attribute takes none.
    Tag {
        /// The attribute's vendor.
        vendor: u32,
        /// The attribute's number.
        number: u32,
        /// The tag.
        tag: u8,
    },
    /// The value cannot be hidden.
    Hide {
        /// The attribute's vendor.
        vendor: u32,
        /// The attribute's number.
        number: u32,
        /// Why.
        reason: HideError,
    },
    /// Octets given as finished attributes are none.
    NotAttributes {
        /// Where, in octets from their start.
        offset: usize,
    },
    /// The reply's code does not answer the request's.
    NotAnAnswer {
        /// The reply's code.
        reply: Code,
        /// The request's code.
        request: Code,
    },
}

/// Shows vendor and number as `26.9.1` or `18`.
struct Place(u32, u32);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place(0, number) => write!(f, "attribute {number}"),
            Place(vendor, number) => write!(f, "attribute 26.{vendor}.{number}"),
        }
    }
}

impl fmt::Display for SealFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            SealFault::PacketTooLong { octets } => write!(
                f,
                "packet needs at least {octets} octets, the limit is {MAX_OCTETS}"
            ),
            SealFault::ValueTooLong {
                vendor,
                number,
                octets,
                limit,
            } => write!(
                f,
                "{}: value of {octets} octets, the limit is {limit}",
                Place(vendor, number)
            ),
            SealFault::Number { vendor, number } => {
                write!(f, "{}: no such number can be sent", Place(vendor, number))
            }
            SealFault::Tag {
                vendor,
                number,
                tag,
            } => {
                write!(f, "{}: tag {tag} is not possible", Place(vendor, number))
            }
            SealFault::Hide {
                vendor,
                number,
                reason,
            } => {
                write!(f, "{}: {reason}", Place(vendor, number))
            }
            SealFault::NotAttributes { offset } => {
                write!(f, "octet {offset} of the given attributes: no attribute")
            }
            SealFault::NotAnAnswer { reply, request } => {
                write!(f, "{reply} does not answer {request}")
            }
        }
    }
}

impl std::error::Error for SealFault {}

/// Appends one standard attribute.
pub fn append_attribute(kind: u8, value: &[u8], out: &mut Vec<u8>) -> Result<(), SealFault> {
    let number = u32::from(kind);
    if kind == 0 {
        return Err(SealFault::Number { vendor: 0, number });
    }
    let too_long = SealFault::ValueTooLong {
        vendor: 0,
        number,
        octets: value.len(),
        limit: MAX_VALUE_OCTETS,
    };
    let length = u8::try_from(ATTRIBUTE_HEADER_OCTETS + value.len()).map_err(|_| too_long)?;
    out.extend_from_slice(&[kind, length]);
    out.extend_from_slice(value);
    Ok(())
}

/// Appends one vendor attribute in a Vendor-Specific attribute of its own, in
/// the vendor's format; several, where the format lets long values go on.
pub fn append_vendor_attribute(
    vendor: u32,
    number: u32,
    value: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), SealFault> {
    let format = vendor_format(vendor);
    if vendor == 0 || vendor > MAX_VENDOR || number > format.greatest_kind() {
        return Err(SealFault::Number { vendor, number });
    }
    let header = format.header_octets();
    let limit = MAX_VALUE_OCTETS - VENDOR_OCTETS - header;
    if value.len() > limit && !format.continuation {
        return Err(SealFault::ValueTooLong {
            vendor,
            number,
            octets: value.len(),
            limit,
        });
    }
    let mut rest = value;
    loop {
        let (piece, after) = rest.split_at(rest.len().min(limit));
        // Below 256 by the limit above.
        let octets = ATTRIBUTE_HEADER_OCTETS + VENDOR_OCTETS + header + piece.len();
        out.extend_from_slice(&[kind::VENDOR_SPECIFIC, octets as u8]);
        out.extend_from_slice(&vendor.to_be_bytes());
        push_number(number, format.type_octets, out);
        push_number((header + piece.len()) as u32, format.length_octets, out);
        if format.continuation {
            out.push(if after.is_empty() { 0 } else { CONTINUES });
        }
        out.extend_from_slice(piece);
        if after.is_empty() {
            return Ok(());
        }
        rest = after;
    }
}

/// Appends an attribute whose value `fill` writes, standard for vendor 0. Nothing is left of one that fails.
pub(crate) fn append_made(
    vendor: u32,
    number: u32,
    out: &mut Vec<u8>,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), SealFault>,
) -> Result<(), SealFault> {
    let start = out.len();
    let done = fill(out).and_then(|()| enclose(vendor, number, start, out));
    if done.is_err() {
        out.truncate(start);
    }
    done
}

/// Makes the octets from `start` on the value of an attribute.
fn enclose(vendor: u32, number: u32, start: usize, out: &mut Vec<u8>) -> Result<(), SealFault> {
    /// Room for the largest head: attribute, vendor, four-octet type, length, continuation.
    const HEAD_OCTETS: usize = 16;
    let length = out.len() - start;
    let mut head = [0u8; HEAD_OCTETS];
    let used = match (vendor, u8::try_from(number)) {
        (0, Ok(1..)) => {
            check_room(vendor, number, length, MAX_VALUE_OCTETS)?;
            head[0] = number as u8;
            ATTRIBUTE_HEADER_OCTETS
        }
        (0, _) => return Err(SealFault::Number { vendor, number }),
        _ => {
            let format = vendor_format(vendor);
            if vendor > MAX_VENDOR || number > format.greatest_kind() {
                return Err(SealFault::Number { vendor, number });
            }
            let inner = format.header_octets();
            if format.continuation && length > MAX_VALUE_OCTETS - VENDOR_OCTETS - inner {
                let value = out.split_off(start);
                return append_vendor_attribute(vendor, number, &value, out);
            }
            check_room(
                vendor,
                number,
                length,
                MAX_VALUE_OCTETS - VENDOR_OCTETS - inner,
            )?;
            head[0] = kind::VENDOR_SPECIFIC;
            head[2..6].copy_from_slice(&vendor.to_be_bytes());
            let mut at = 6;
            for (value, octets) in [
                (number, format.type_octets),
                ((inner + length) as u32, format.length_octets),
            ] {
                let octets = usize::from(octets);
                let all = value.to_be_bytes();
                head[at..at + octets].copy_from_slice(&all[all.len().saturating_sub(octets)..]);
                at += octets;
            }
            ATTRIBUTE_HEADER_OCTETS + VENDOR_OCTETS + inner
        }
    };
    head[1] = (used + length) as u8;
    out.resize(out.len() + used, 0);
    out.copy_within(start..start + length, start + used);
    out[start..start + used].copy_from_slice(&head[..used]);
    Ok(())
}

fn check_room(vendor: u32, number: u32, octets: usize, limit: usize) -> Result<(), SealFault> {
    match octets <= limit {
        true => Ok(()),
        false => Err(SealFault::ValueTooLong {
            vendor,
            number,
            octets,
            limit,
        }),
    }
}

/// The lowest `octets` octets of a number, highest first.
fn push_number(number: u32, octets: u8, out: &mut Vec<u8>) {
    let all = number.to_be_bytes();
    out.extend_from_slice(&all[all.len().saturating_sub(usize::from(octets))..]);
}

/// A packet being written.
pub struct PacketWriter {
    octets: Vec<u8>,
}

impl PacketWriter {
    /// A packet without attributes. For replies and keyed requests any
    /// `authenticator` will do; finishing replaces it.
    pub fn new(code: Code, identifier: u8, authenticator: &[u8; 16]) -> PacketWriter {
        PacketWriter::over(Vec::with_capacity(256), code, identifier, authenticator)
    }

    /// The same in the place of what `octets` held.
    pub(crate) fn over(
        mut octets: Vec<u8>,
        code: Code,
        identifier: u8,
        authenticator: &[u8; 16],
    ) -> PacketWriter {
        octets.clear();
        octets.extend_from_slice(&[code.0, identifier, 0, 0]);
        octets.extend_from_slice(authenticator);
        PacketWriter { octets }
    }

    /// Appends an attribute whose value `fill` writes, standard for vendor 0.
    pub(crate) fn made(
        &mut self,
        vendor: u32,
        number: u32,
        fill: impl FnOnce(&mut Vec<u8>) -> Result<(), SealFault>,
    ) -> Result<(), SealFault> {
        let start = self.octets.len();
        let done = append_made(vendor, number, &mut self.octets, fill);
        self.keep(start, done)
    }

    /// Octets so far, header included.
    pub fn length(&self) -> usize {
        self.octets.len()
    }

    /// Appends a standard attribute, of any type but 0.
    pub fn attribute(&mut self, kind: u8, value: &[u8]) -> Result<(), SealFault> {
        let start = self.octets.len();
        let done = append_attribute(kind, value, &mut self.octets);
        self.keep(start, done)
    }

    /// Appends a vendor's attribute.
    pub fn vendor_attribute(
        &mut self,
        vendor: u32,
        number: u32,
        value: &[u8],
    ) -> Result<(), SealFault> {
        let start = self.octets.len();
        let done = append_vendor_attribute(vendor, number, value, &mut self.octets);
        self.keep(start, done)
    }

    /// Appends finished attributes as they are, unchecked but for the
    /// packet's length; finishing checks them.
    pub fn attributes(&mut self, octets: &[u8]) -> Result<(), SealFault> {
        let start = self.octets.len();
        self.octets.extend_from_slice(octets);
        self.keep(start, Ok(()))
    }

    /// Appends room for a Message-Authenticator, which finishing fills in.
    pub fn message_authenticator(&mut self) -> Result<(), SealFault> {
        self.attribute(kind::MESSAGE_AUTHENTICATOR, &[0; AUTHENTICATOR_OCTETS])
    }

    /// Undoes a step that failed or went beyond the limit.
    fn keep(&mut self, start: usize, done: Result<(), SealFault>) -> Result<(), SealFault> {
        let octets = self.octets.len();
        let done = match octets > MAX_OCTETS {
            true => Err(SealFault::PacketTooLong { octets }),
            false => done,
        };
        if done.is_err() {
            self.octets.truncate(start);
        }
        done
    }

    /// The packet as written, with its length and nothing signed.
    pub fn finish(mut self) -> Vec<u8> {
        // At most MAX_OCTETS, so it fits.
        let length = self.octets.len() as u16;
        self.octets[2..4].copy_from_slice(&length.to_be_bytes());
        self.octets
    }

    /// The finished request, see [`sign_request`].
    pub fn finish_request(self, secret: &Secret) -> Result<Vec<u8>, SealFault> {
        let mut octets = self.finish();
        sign_request(&mut octets, secret)
            .map(|()| octets)
            .map_err(not_attributes)
    }

    /// The finished reply, see [`sign_response`].
    pub fn finish_response(
        self,
        secret: &Secret,
        request_authenticator: &[u8; 16],
    ) -> Result<Vec<u8>, SealFault> {
        let mut octets = self.finish();
        sign_response(&mut octets, secret, request_authenticator)
            .map(|()| octets)
            .map_err(not_attributes)
    }
}

/// Only octets given to [`PacketWriter::attributes`] can be malformed here.
pub(crate) fn not_attributes(malformed: crate::packet::Malformed) -> SealFault {
    use crate::packet::Malformed;
    let offset = match malformed {
        Malformed::AttributeTypeZero { offset }
        | Malformed::AttributeLength { offset, .. }
        | Malformed::AttributeBeyondEnd { offset } => offset.saturating_sub(HEADER_OCTETS),
        _ => 0,
    };
    SealFault::NotAttributes { offset }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Packet;

    fn writer() -> PacketWriter {
        PacketWriter::new(Code::ACCESS_REQUEST, 1, &[7; 16])
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut writer = writer();
        writer.attribute(1, b"bob").unwrap();
        writer.vendor_attribute(14988, 8, b"5M/5M").unwrap();
        writer.attributes(&[25, 3, 9]).unwrap();
        assert_eq!(writer.length(), 20 + 5 + 13 + 3);
        let octets = writer.finish();
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!(packet.first(1), Some(&b"bob"[..]));
        assert_eq!(packet.vendor(14988, 8), Some(&b"5M/5M"[..]));
        assert_eq!(packet.first(25), Some(&[9][..]));
    }

    #[test]
    fn every_vendor_format_is_written_as_it_is_read() {
        for vendor in [9, 429, 4846, 8164, 24757] {
            let mut writer = writer();
            writer.vendor_attribute(vendor, 200, b"value").unwrap();
            let octets = writer.finish();
            let packet = Packet::parse(&octets).unwrap();
            assert_eq!(packet.vendor(vendor, 200), Some(&b"value"[..]), "{vendor}");
        }
    }

    #[test]
    fn long_values_go_on_only_where_the_vendor_format_allows() {
        let value = [5; 300];
        let mut wimax = writer();
        wimax.vendor_attribute(24757, 1, &value).unwrap();
        let octets = wimax.finish();
        let pieces: Vec<_> = Packet::parse(&octets)
            .unwrap()
            .vendor_attributes()
            .collect();
        assert_eq!(pieces.len(), 2);
        assert!(pieces[0].continues && !pieces[1].continues);
        assert_eq!(pieces[0].value.len() + pieces[1].value.len(), 300);
        assert_eq!(
            writer().vendor_attribute(9, 1, &value),
            Err(SealFault::ValueTooLong {
                vendor: 9,
                number: 1,
                octets: 300,
                limit: 247
            })
        );
    }

    #[test]
    fn what_cannot_be_sent_is_refused_and_leaves_nothing_behind() {
        fn check(step: impl Fn(&mut PacketWriter) -> Result<(), SealFault>, expect: SealFault) {
            let mut writer = writer();
            assert_eq!(step(&mut writer), Err(expect));
            assert_eq!(writer.length(), HEADER_OCTETS);
        }
        check(
            |w| w.attribute(0, b""),
            SealFault::Number {
                vendor: 0,
                number: 0,
            },
        );
        check(
            |w| w.attribute(1, &[0; 254]),
            SealFault::ValueTooLong {
                vendor: 0,
                number: 1,
                octets: 254,
                limit: 253,
            },
        );
        check(
            |w| w.vendor_attribute(0, 1, b""),
            SealFault::Number {
                vendor: 0,
                number: 1,
            },
        );
        check(
            |w| w.vendor_attribute(1 << 24, 1, b""),
            SealFault::Number {
                vendor: 1 << 24,
                number: 1,
            },
        );
        check(
            |w| w.vendor_attribute(9, 256, b""),
            SealFault::Number {
                vendor: 9,
                number: 256,
            },
        );
        check(
            |w| w.attributes(&[1; 4077]),
            SealFault::PacketTooLong { octets: 4097 },
        );
    }

    #[test]
    fn a_packet_can_be_exactly_as_long_as_the_limit() {
        let mut writer = writer();
        for _ in 0..15 {
            writer.attribute(18, &[b'x'; 253]).unwrap();
        }
        writer.attribute(18, &[b'x'; 249]).unwrap();
        assert_eq!(writer.length(), MAX_OCTETS);
        assert_eq!(
            writer.attribute(1, b""),
            Err(SealFault::PacketTooLong { octets: 4098 })
        );
        assert!(Packet::parse(&writer.finish()).is_ok());
    }

    #[test]
    fn malformed_octets_are_found_when_finishing() {
        let mut writer = writer();
        writer.attributes(&[1, 3, 65, 1, 9]).unwrap();
        assert_eq!(
            writer.finish_request(&Secret::new("s")),
            Err(SealFault::NotAttributes { offset: 3 })
        );
    }
}
