//! A received packet as a checked view over its octets.
//!
//! [`Packet::parse`] looks at every attribute header once; after it, reading
//! cannot fail and nothing is copied. A packet says nothing about who sent it:
//! only [`crate::Request`] and [`crate::Sealed::verify`] do.

use std::fmt;

use zeroize::Zeroizing;

use crate::attr::{Attr, Hide, Kind};
use crate::code::Code;
use crate::hide::{self, HideError, Revealed};
pub use crate::malformed::Malformed;
use crate::secret::Secret;
use crate::vsa;

/// Octets of code, identifier, length and authenticator (RFC 2865 §3).
pub const HEADER_OCTETS: usize = 20;
/// Longest packet (RFC 2865 §3).
pub const MAX_OCTETS: usize = 4096;
/// Attributes a packet may have by default. Real requests hold fewer than 60;
/// the limit keeps the work one datagram can cause small.
pub const DEFAULT_MAX_ATTRIBUTES: usize = 200;
/// Octets of an attribute's type and length.
pub const ATTRIBUTE_HEADER_OCTETS: usize = 2;
/// Longest value of one attribute.
pub const MAX_VALUE_OCTETS: usize = 253;

/// Numbers of the standard attributes the protocol itself works with.
pub mod kind {
    /// User-Password.
    pub const USER_PASSWORD: u8 = 2;
    /// CHAP-Password.
    pub const CHAP_PASSWORD: u8 = 3;
    /// Reply-Message.
    pub const REPLY_MESSAGE: u8 = 18;
    /// Vendor-Specific.
    pub const VENDOR_SPECIFIC: u8 = 26;
    /// Proxy-State.
    pub const PROXY_STATE: u8 = 33;
    /// CHAP-Challenge.
    pub const CHAP_CHALLENGE: u8 = 60;
    /// ARAP-Password.
    pub const ARAP_PASSWORD: u8 = 70;
    /// EAP-Message.
    pub const EAP_MESSAGE: u8 = 79;
    /// Message-Authenticator.
    pub const MESSAGE_AUTHENTICATOR: u8 = 80;
    /// NAS-Filter-Rule.
    pub const NAS_FILTER_RULE: u8 = 92;
}

/// Code, identifier and authenticator of anything that has the room for them,
/// for logging datagrams that are no packets.
pub fn header(datagram: &[u8]) -> Option<(Code, u8, [u8; 16])> {
    let header = datagram.first_chunk::<HEADER_OCTETS>()?;
    let authenticator = header.last_chunk::<16>()?;
    Some((Code(header[0]), header[1], *authenticator))
}

/// A well-formed packet, borrowed from the datagram. Exactly Length octets;
/// padding after them is cut.
#[derive(Clone, Copy)]
pub struct Packet<'a> {
    octets: &'a [u8],
    authenticator: &'a [u8; 16],
    kinds: Kinds,
}

/// Which standard attributes are there: most questions are about attributes that are not.
#[derive(Clone, Copy, Default)]
struct Kinds([u64; 4]);

impl Kinds {
    fn note(&mut self, kind: u8) {
        self.0[usize::from(kind >> 6)] |= 1 << (kind & 63);
    }

    fn has(self, kind: u8) -> bool {
        self.0[usize::from(kind >> 6)] & (1 << (kind & 63)) != 0
    }
}

impl<'a> Packet<'a> {
    /// Checks a datagram, with [`DEFAULT_MAX_ATTRIBUTES`].
    pub fn parse(datagram: &'a [u8]) -> Result<Packet<'a>, Malformed> {
        Packet::parse_with(datagram, DEFAULT_MAX_ATTRIBUTES)
    }

    /// Checks a datagram that may hold up to `max_attributes` attributes.
    pub fn parse_with(datagram: &'a [u8], max_attributes: usize) -> Result<Packet<'a>, Malformed> {
        let octets = datagram.len();
        let too_short = Malformed::TooShort { octets };
        let (start, rest) = datagram.split_first_chunk::<4>().ok_or(too_short)?;
        let authenticator = rest.first_chunk::<16>().ok_or(too_short)?;
        let length = usize::from(u16::from_be_bytes([start[2], start[3]]));
        if length < HEADER_OCTETS {
            return Err(Malformed::LengthField { length });
        }
        if length > MAX_OCTETS {
            return Err(Malformed::TooLong { length });
        }
        let octets = datagram
            .get(..length)
            .ok_or(Malformed::LengthBeyondDatagram { length, octets })?;
        let kinds = check_attributes(octets, max_attributes)?;
        Ok(Packet {
            octets,
            authenticator,
            kinds,
        })
    }

    /// What kind of packet it is.
    pub fn code(self) -> Code {
        Code(self.octets[0])
    }

    /// The number that pairs requests and replies.
    pub fn identifier(self) -> u8 {
        self.octets[1]
    }

    /// The Authenticator field as it was sent.
    pub fn authenticator(self) -> &'a [u8; 16] {
        self.authenticator
    }

    /// The whole packet.
    pub fn octets(self) -> &'a [u8] {
        self.octets
    }

    /// Length in octets, header included.
    pub fn length(self) -> usize {
        self.octets.len()
    }

    /// Every attribute in the order sent.
    pub fn attributes(self) -> Attributes<'a> {
        Attributes {
            octets: self.octets,
            offset: HEADER_OCTETS,
        }
    }

    /// The first value of a standard attribute.
    pub fn first(self, kind: u8) -> Option<&'a [u8]> {
        self.all(kind).next()
    }

    /// Every value of a standard attribute, in order.
    pub fn all(self, kind: u8) -> impl Iterator<Item = &'a [u8]> {
        let offset = match self.kinds.has(kind) {
            true => HEADER_OCTETS,
            false => self.octets.len(),
        };
        Attributes {
            offset,
            ..self.attributes()
        }
        .filter(move |attribute| attribute.kind == kind)
        .map(|attribute| attribute.value)
    }

    /// Whether a standard attribute is there.
    pub fn contains(self, kind: u8) -> bool {
        self.kinds.has(kind)
    }

    /// The values of a standard attribute joined, for those that are sent in
    /// pieces (EAP-Message, RFC 3579 §3.1). `None` when there is none.
    pub fn joined(self, kind: u8) -> Option<Vec<u8>> {
        let mut values = self.all(kind);
        let mut whole = values.next()?.to_vec();
        for value in values {
            whole.extend_from_slice(value);
        }
        Some(whole)
    }

    /// Every attribute inside well-formed Vendor-Specific attributes, in order.
    /// A Vendor-Specific whose inside does not fit its vendor's format is
    /// skipped whole; it stays visible in [`Packet::attributes`].
    pub fn vendor_attributes(self) -> impl Iterator<Item = VendorAttribute<'a>> {
        self.all(kind::VENDOR_SPECIFIC)
            .filter_map(|value| {
                let (vendor, inside) = vsa::split_vendor(value)?;
                let found = vsa::sub_attributes(inside, vsa::vendor_format(vendor))?;
                Some(found.map(move |sub| VendorAttribute {
                    vendor,
                    kind: sub.kind,
                    value: sub.value,
                    continues: sub.more,
                }))
            })
            .flatten()
    }

    /// The first value of a vendor's attribute.
    pub fn vendor(self, vendor: u32, kind: u32) -> Option<&'a [u8]> {
        self.values(vendor, kind).next()
    }

    /// Every value of the attribute `number` of `vendor` (0 = standard), in
    /// order, with tags and hiding as sent.
    pub fn values(self, vendor: u32, number: u32) -> impl Iterator<Item = &'a [u8]> {
        let standard = u8::try_from(number).ok().filter(|_| vendor == 0);
        let within_vendor = (vendor != 0).then(|| self.vendor_attributes());
        standard
            .into_iter()
            .flat_map(move |kind| self.all(kind))
            .chain(
                within_vendor
                    .into_iter()
                    .flatten()
                    .filter(move |found| found.vendor == vendor && found.kind == number)
                    .map(|found| found.value),
            )
    }

    /// Whether the attribute is there, whatever its value.
    pub fn has<T>(self, attr: Attr<T>) -> bool {
        self.values(attr.vendor, attr.number).next().is_some()
    }

    /// The first value of `attr` that has its type's form, without its tag.
    /// Hidden attributes are never given out here: see [`Packet::reveal`].
    pub fn get<T: Kind>(self, attr: Attr<T>) -> Option<T::Value<'a>> {
        self.get_all(attr).next()
    }

    /// Like [`Packet::get`], with the tag; 0 when there is none.
    pub fn get_tagged<T: Kind>(self, attr: Attr<T>) -> Option<(u8, T::Value<'a>)> {
        self.get_all_tagged(attr).next()
    }

    /// Every value of `attr` that has its type's form, without tags.
    pub fn get_all<T: Kind>(self, attr: Attr<T>) -> impl Iterator<Item = T::Value<'a>> {
        self.get_all_tagged(attr).map(|(_, value)| value)
    }

    /// Like [`Packet::get_all`], with the tags; 0 where there is none.
    pub fn get_all_tagged<T: Kind>(
        self,
        attr: Attr<T>,
    ) -> impl Iterator<Item = (u8, T::Value<'a>)> {
        self.values(attr.vendor, attr.number)
            .filter(move |_| attr.hide == Hide::No)
            .filter_map(move |value| match attr.tagged {
                true => T::decode_tagged(value),
                false => T::decode(value).map(|value| (0, value)),
            })
    }

    /// The first value of a hidden attribute in clear. Needs the
    /// secret and the authenticator of the request, also for replies. A wrong
    /// secret gives garbage or an error.
    pub fn reveal<T>(
        self,
        attr: Attr<T>,
        secret: &Secret,
        request_authenticator: &[u8; 16],
    ) -> Option<Result<Revealed, HideError>> {
        let value = self.values(attr.vendor, attr.number).next()?;
        let (tag, value) = match value.split_first() {
            Some((&tag, rest)) if attr.tagged && attr.hide == Hide::Salted => (tag, rest),
            _ => (0, value),
        };
        let plain = hide::reveal(attr.hide, value, secret, request_authenticator);
        Some(plain.map(|plain| Revealed {
            tag,
            plain: Zeroizing::new(plain),
        }))
    }
}

// Packets hold hidden passwords and digests of them; logs get the outline.
impl fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} id {}, {} octets",
            self.code(),
            self.identifier(),
            self.length()
        )
    }
}

fn check_attributes(octets: &[u8], max_attributes: usize) -> Result<Kinds, Malformed> {
    let mut offset = HEADER_OCTETS;
    let mut count = 0;
    let mut kinds = Kinds::default();
    while offset < octets.len() {
        if octets[offset] == 0 {
            return Err(Malformed::AttributeTypeZero { offset });
        }
        let Some(&length) = octets.get(offset + 1) else {
            return Err(Malformed::AttributeBeyondEnd { offset });
        };
        if usize::from(length) < ATTRIBUTE_HEADER_OCTETS {
            return Err(Malformed::AttributeLength { offset, length });
        }
        let end = offset + usize::from(length);
        if end > octets.len() {
            return Err(Malformed::AttributeBeyondEnd { offset });
        }
        count += 1;
        if count > max_attributes {
            return Err(Malformed::TooManyAttributes {
                limit: max_attributes,
            });
        }
        kinds.note(octets[offset]);
        offset = end;
    }
    Ok(kinds)
}

/// One attribute as it lies in the packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawAttribute<'a> {
    /// Its type octet.
    pub kind: u8,
    /// Its value, 0 to 253 octets.
    pub value: &'a [u8],
    /// Where its type octet lies, in octets from the start of the packet.
    pub offset: usize,
}

/// One attribute inside a Vendor-Specific attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VendorAttribute<'a> {
    /// The vendor's enterprise number.
    pub vendor: u32,
    /// The attribute's number within the vendor.
    pub kind: u32,
    /// Its value.
    pub value: &'a [u8],
    /// Whether the value goes on in the next attribute of the same number
    /// (WiMAX only).
    pub continues: bool,
}

/// The attributes of a packet, in order.
#[derive(Clone)]
pub struct Attributes<'a> {
    octets: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = RawAttribute<'a>;

    fn next(&mut self) -> Option<RawAttribute<'a>> {
        let offset = self.offset;
        let &[kind, length] = self.octets.get(offset..)?.first_chunk::<2>()?;
        let end = offset + usize::from(length);
        let value = self.octets.get(offset + ATTRIBUTE_HEADER_OCTETS..end)?;
        self.offset = end;
        Some(RawAttribute {
            kind,
            value,
            offset,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::{Integer, Ipv4, Octets, Text};

    const USER_NAME: Attr<Text> = Attr::new("User-Name", 0, 1);
    const SESSION_TIMEOUT: Attr<Integer> = Attr::new("Session-Timeout", 0, 27);
    const TUNNEL_TYPE: Attr<Integer> = Attr::new("Tunnel-Type", 0, 64).with_tag();
    const GROUP_ID: Attr<Text> = Attr::new("Tunnel-Private-Group-Id", 0, 81).with_tag();
    const RATE_LIMIT: Attr<Text> = Attr::new("Mikrotik-Rate-Limit", 14988, 8);
    const USER_PASSWORD: Attr<Text> = Attr::new("User-Password", 0, 2).with_hide(Hide::Password);

    /// A packet with these attribute octets and a right Length field.
    fn with(attributes: &[u8]) -> Vec<u8> {
        let length = (HEADER_OCTETS + attributes.len()) as u16;
        let mut octets = vec![1, 7];
        octets.extend_from_slice(&length.to_be_bytes());
        octets.extend_from_slice(&[9; 16]);
        octets.extend_from_slice(attributes);
        octets
    }

    #[test]
    fn malformed_datagrams_are_named_with_their_place() {
        fn check(datagram: &[u8], expect: Malformed) {
            assert_eq!(Packet::parse(datagram).unwrap_err(), expect);
        }
        let set_length = |mut octets: Vec<u8>, length: u16| {
            octets[2..4].copy_from_slice(&length.to_be_bytes());
            octets
        };
        check(&[], Malformed::TooShort { octets: 0 });
        check(&with(&[])[..19], Malformed::TooShort { octets: 19 });
        check(
            &set_length(with(&[]), 0),
            Malformed::LengthField { length: 0 },
        );
        check(
            &set_length(with(&[]), 19),
            Malformed::LengthField { length: 19 },
        );
        check(
            &set_length(with(&[]), 21),
            Malformed::LengthBeyondDatagram {
                length: 21,
                octets: 20,
            },
        );
        check(
            &set_length(with(&[1; 4400]), 4097),
            Malformed::TooLong { length: 4097 },
        );
        check(
            &with(&[1, 3, 65, 0, 2]),
            Malformed::AttributeTypeZero { offset: 23 },
        );
        check(
            &with(&[1, 1]),
            Malformed::AttributeLength {
                offset: 20,
                length: 1,
            },
        );
        check(
            &with(&[1, 0]),
            Malformed::AttributeLength {
                offset: 20,
                length: 0,
            },
        );
        check(
            &with(&[1, 4, 65]),
            Malformed::AttributeBeyondEnd { offset: 20 },
        );
        check(
            &with(&[1, 3, 65, 1]),
            Malformed::AttributeBeyondEnd { offset: 23 },
        );
        check(
            &with(&[1, 2].repeat(201)),
            Malformed::TooManyAttributes { limit: 200 },
        );
    }

    #[test]
    fn the_attribute_limit_is_the_callers() {
        let octets = with(&[1, 2].repeat(201));
        assert_eq!(
            Packet::parse_with(&octets, 201)
                .unwrap()
                .attributes()
                .count(),
            201
        );
        let octets = with(&[1, 2].repeat(200));
        assert_eq!(Packet::parse(&octets).unwrap().attributes().count(), 200);
    }

    #[test]
    fn the_longest_packet_is_accepted() {
        let mut attributes = [[18, 255].as_slice(), &[b'x'; 253]].concat().repeat(15);
        attributes.extend([18, 251]);
        attributes.extend([b'x'; 249]);
        let octets = with(&attributes);
        assert_eq!(octets.len(), MAX_OCTETS);
        assert_eq!(Packet::parse(&octets).unwrap().length(), MAX_OCTETS);
    }

    #[test]
    fn padding_is_cut() {
        let mut octets = with(&[1, 5, b'b', b'o', b'b']);
        octets.extend_from_slice(b"padding");
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!(packet.length(), 25);
        assert_eq!(packet.octets(), &octets[..25]);
        assert_eq!(packet.attributes().count(), 1);
    }

    #[test]
    fn attributes_are_read_in_order_with_their_offsets() {
        let octets = with(&[33, 3, 1, 1, 2, 33, 3, 2]);
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!(packet.code(), Code::ACCESS_REQUEST);
        assert_eq!(packet.identifier(), 7);
        assert_eq!(packet.authenticator(), &[9; 16]);
        let got: Vec<_> = packet
            .attributes()
            .map(|a| (a.kind, a.value.to_vec(), a.offset))
            .collect();
        let expect = [(33, vec![1], 20), (1, vec![], 23), (33, vec![2], 25)];
        assert_eq!(got, expect);
        assert_eq!(packet.all(33).collect::<Vec<_>>(), [&[1], &[2]]);
        assert_eq!(packet.first(1), Some(&b""[..]));
        assert!(packet.contains(33) && !packet.contains(80));
        assert_eq!(packet.joined(33), Some(vec![1, 2]));
        assert_eq!(packet.joined(79), None);
    }

    #[test]
    fn typed_reading_skips_values_of_the_wrong_size() {
        let octets = with(&[27, 3, 1, 27, 6, 0, 0, 14, 16, 1, 5, b'b', b'o', b'b']);
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!(packet.get(SESSION_TIMEOUT), Some(3600));
        assert_eq!(packet.get(USER_NAME), Some(&b"bob"[..]));
        assert_eq!(packet.get(Attr::<Ipv4>::new("NAS-IP-Address", 0, 4)), None);
        assert!(packet.has(SESSION_TIMEOUT));
        assert_eq!(packet.get(Attr::<Octets>::new("Beyond", 0, 257)), None);
    }

    #[test]
    fn tags_are_cut_or_given() {
        let octets = with(&[64, 6, 1, 0, 0, 13, 81, 5, b'1', b'0', b'0', 81, 4, 2, b'7']);
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!(packet.get(TUNNEL_TYPE), Some(13));
        assert_eq!(packet.get_tagged(TUNNEL_TYPE), Some((1, 13)));
        let groups: Vec<_> = packet.get_all_tagged(GROUP_ID).collect();
        assert_eq!(groups, [(0, &b"100"[..]), (2, &b"7"[..])]);
    }

    #[test]
    fn vendor_attributes_are_found_and_malformed_ones_skipped() {
        let mut attributes = Vec::new();
        // Its inside claims more octets than there are.
        attributes.extend_from_slice(&[26, 10, 0, 0, 0x3a, 0x8c, 8, 9, b'x', b'x']);
        attributes.extend_from_slice(&[26, 12, 0, 0, 0x3a, 0x8c, 8, 4, b'5', b'M', 9, 2]);
        let octets = with(&attributes);
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!(packet.get(RATE_LIMIT), Some(&b"5M"[..]));
        assert_eq!(packet.vendor(14988, 9), Some(&b""[..]));
        assert_eq!(packet.vendor(14989, 8), None);
        assert_eq!(packet.vendor_attributes().count(), 2);
        assert_eq!(packet.attributes().count(), 2);
    }

    #[test]
    fn hidden_attributes_are_only_revealed() {
        let octets = hex::decode("010000380f403f9473978057bd83d5cb98f4227a01066e656d6f02120dbe708d93d413ce3196e43f782a0aee0406c0a80110050600000003").unwrap();
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!(packet.get(USER_PASSWORD), None);
        let secret = Secret::new("xyzzy5461");
        let revealed = packet
            .reveal(USER_PASSWORD, &secret, packet.authenticator())
            .unwrap()
            .unwrap();
        assert_eq!(revealed.tag, 0);
        assert_eq!(revealed.plain.as_slice(), b"arctangent");
    }

    #[test]
    fn debug_output_shows_no_content() {
        let octets = with(b"\x01\x05bob");
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!(format!("{packet:?}"), "Access-Request id 7, 25 octets");
    }

    #[test]
    fn headers_of_malformed_datagrams_can_be_logged() {
        assert_eq!(
            header(&with(&[1, 1])),
            Some((Code::ACCESS_REQUEST, 7, [9; 16]))
        );
        assert_eq!(header(&[1; 19]), None);
    }
}
