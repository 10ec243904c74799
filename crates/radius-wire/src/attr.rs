//! What a typed attribute constant is: a name, a number and a data type.
//!
//! The constants themselves are in [`crate::attrs`]. Reading is
//! `packet.get(attrs::NAS_PORT)`, writing is `reply.put(attrs::SESSION_TIMEOUT, 3600)`;
//! the type parameter decides what goes in and out. A value of the wrong size
//! is "not there", never an error: devices send anything.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How an attribute's value is protected on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Hide {
    /// In clear.
    #[default]
    No,
    /// As User-Password (RFC 2865 §5.2).
    Password,
    /// As Tunnel-Password (RFC 2868 §3.5), with a salt of its own.
    Salted,
    /// As Ascend-Send-Secret: one block, no chaining.
    Ascend,
}

/// A typed attribute: `T` is one of the marker types of this module.
///
/// Covers attributes with one number below their vendor; extended (RFC 6929)
/// and nested attributes are reached through the dictionary instead.
pub struct Attr<T> {
    /// The dictionary's name ("User-Name").
    pub name: &'static str,
    /// The vendor's enterprise number, 0 for standard attributes.
    pub vendor: u32,
    /// The attribute's number, within its vendor.
    pub number: u32,
    /// Whether the value can begin with a tag (RFC 2868 §3).
    pub tagged: bool,
    /// How the value is hidden on the wire.
    pub hide: Hide,
    kind: PhantomData<fn() -> T>,
}

impl<T> Attr<T> {
    /// An attribute without tag, sent in clear. `vendor` is 0 for standard
    /// attributes.
    pub const fn new(name: &'static str, vendor: u32, number: u32) -> Attr<T> {
        Attr {
            name,
            vendor,
            number,
            tagged: false,
            hide: Hide::No,
            kind: PhantomData,
        }
    }

    /// The same attribute, with a tag (RFC 2868 §3).
    pub const fn with_tag(mut self) -> Attr<T> {
        self.tagged = true;
        self
    }

    /// The same attribute, hidden on the wire.
    pub const fn with_hide(mut self, hide: Hide) -> Attr<T> {
        self.hide = hide;
        self
    }
}

// Derives would ask the marker type for the same trait.
impl<T> Clone for Attr<T> {
    fn clone(&self) -> Attr<T> {
        *self
    }
}
impl<T> Copy for Attr<T> {}

impl<T> std::fmt::Debug for Attr<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl<T> std::fmt::Display for Attr<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name)
    }
}

/// Highest octet that counts as a tag (RFC 2868 §3.1).
pub const MAX_TAG: u8 = 0x1f;

/// A data type: what its values are in Rust, and how they lie on the wire
/// (RFC 8044).
pub trait Kind {
    /// The value read from, or written to, a packet.
    type Value<'a>: Copy;

    /// Reads a whole attribute value; `None` when the size or form is wrong.
    fn decode(octets: &[u8]) -> Option<Self::Value<'_>>;

    /// Appends the wire form of `value`.
    fn encode(value: Self::Value<'_>, out: &mut Vec<u8>);

    /// Reads a value that can begin with a tag. Text-like rule: a first octet
    /// up to [`MAX_TAG`] is the tag (0 = untagged), any other is data.
    fn decode_tagged(octets: &[u8]) -> Option<(u8, Self::Value<'_>)> {
        match octets.split_first() {
            Some((&tag, rest)) if tag <= MAX_TAG => Self::decode(rest).map(|value| (tag, value)),
            _ => Self::decode(octets).map(|value| (0, value)),
        }
    }

    /// Appends the wire form of `value` with its tag (0 = untagged). Text-like
    /// rule: an untagged value gets a zero octet only where its first octet
    /// would otherwise be taken for a tag.
    fn encode_tagged(tag: u8, value: Self::Value<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(tag);
        Self::encode(value, out);
        if tag == 0 && out.get(start + 1).is_none_or(|first| *first > MAX_TAG) {
            out.remove(start);
        }
    }
}

/// Text. Held as octets, because devices send Latin-1, GBK and binary; see
/// [`text_lossy`].
pub enum Text {}
/// Octets without further meaning.
pub enum Octets {}
/// Unsigned, one octet.
pub enum Byte {}
/// Unsigned, two octets.
pub enum Short {}
/// Unsigned, four octets.
pub enum Integer {}
/// Signed, four octets.
pub enum Signed {}
/// Unsigned, eight octets.
pub enum Integer64 {}
/// Seconds since 1970-01-01 00:00 UTC, unsigned, four octets.
pub enum Date {}
/// An IPv4 address.
pub enum Ipv4 {}
/// An IPv6 address.
pub enum Ipv6 {}
/// An IPv4 or an IPv6 address, told apart by length.
pub enum ComboIp {}
/// An IPv4 prefix: reserved octet, prefix length, address.
pub enum Ipv4Prefix {}
/// An IPv6 prefix (RFC 3162 §2.3): reserved octet, prefix length, 0..16
/// octets of address.
pub enum Ipv6Prefix {}
/// An interface identifier, eight octets (RFC 3162 §2.2).
pub enum InterfaceId {}
/// A MAC address, six octets.
pub enum Ether {}

impl Kind for Text {
    type Value<'a> = &'a [u8];
    fn decode(octets: &[u8]) -> Option<&[u8]> {
        Some(octets)
    }
    fn encode(value: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(value);
    }
}

impl Kind for Octets {
    type Value<'a> = &'a [u8];
    fn decode(octets: &[u8]) -> Option<&[u8]> {
        Some(octets)
    }
    fn encode(value: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(value);
    }
}

/// Numbers are one big-endian array each.
macro_rules! number {
    ($($kind:ident: $number:ty;)*) => {$(
        impl Kind for $kind {
            type Value<'a> = $number;
            fn decode(octets: &[u8]) -> Option<$number> {
                octets.try_into().ok().map(<$number>::from_be_bytes)
            }
            fn encode(value: $number, out: &mut Vec<u8>) {
                out.extend_from_slice(&value.to_be_bytes());
            }
        }
    )*};
}
number! {
    Byte: u8;
    Short: u16;
    Signed: i32;
    Integer64: u64;
    Date: u32;
}

impl Kind for Integer {
    type Value<'a> = u32;
    fn decode(octets: &[u8]) -> Option<u32> {
        octets.try_into().ok().map(u32::from_be_bytes)
    }
    fn encode(value: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&value.to_be_bytes());
    }
    // A tagged integer gives its top octet to the tag (RFC 2868 §3.1).
    fn decode_tagged(octets: &[u8]) -> Option<(u8, u32)> {
        let [tag, a, b, c] = octets.try_into().ok()?;
        (tag <= MAX_TAG).then(|| (tag, u32::from_be_bytes([0, a, b, c])))
    }
    fn encode_tagged(tag: u8, value: u32, out: &mut Vec<u8>) {
        let [_, a, b, c] = value.to_be_bytes();
        out.extend_from_slice(&[tag, a, b, c]);
    }
}

impl Kind for Ipv4 {
    type Value<'a> = Ipv4Addr;
    fn decode(octets: &[u8]) -> Option<Ipv4Addr> {
        <[u8; 4]>::try_from(octets).ok().map(Ipv4Addr::from)
    }
    fn encode(value: Ipv4Addr, out: &mut Vec<u8>) {
        out.extend_from_slice(&value.octets());
    }
}

impl Kind for Ipv6 {
    type Value<'a> = Ipv6Addr;
    fn decode(octets: &[u8]) -> Option<Ipv6Addr> {
        <[u8; 16]>::try_from(octets).ok().map(Ipv6Addr::from)
    }
    fn encode(value: Ipv6Addr, out: &mut Vec<u8>) {
        out.extend_from_slice(&value.octets());
    }
}

impl Kind for ComboIp {
    type Value<'a> = IpAddr;
    fn decode(octets: &[u8]) -> Option<IpAddr> {
        Ipv4::decode(octets)
            .map(IpAddr::V4)
            .or_else(|| Ipv6::decode(octets).map(IpAddr::V6))
    }
    fn encode(value: IpAddr, out: &mut Vec<u8>) {
        match value {
            IpAddr::V4(address) => Ipv4::encode(address, out),
            IpAddr::V6(address) => Ipv6::encode(address, out),
        }
    }
}

impl Kind for Ipv4Prefix {
    type Value<'a> = (Ipv4Addr, u8);
    fn decode(octets: &[u8]) -> Option<(Ipv4Addr, u8)> {
        let [_, bits, address @ ..]: [u8; 6] = octets.try_into().ok()?;
        (bits <= 32).then(|| (Ipv4Addr::from(address), bits))
    }
    /// Bits beyond the prefix are sent as zero.
    fn encode((address, bits): (Ipv4Addr, u8), out: &mut Vec<u8>) {
        let bits = bits.min(32);
        let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
        out.extend_from_slice(&[0, bits]);
        out.extend_from_slice(&(u32::from(address) & mask).to_be_bytes());
    }
}

impl Kind for Ipv6Prefix {
    type Value<'a> = (Ipv6Addr, u8);
    fn decode(octets: &[u8]) -> Option<(Ipv6Addr, u8)> {
        let (&[_, bits], address) = octets.split_first_chunk::<2>()?;
        let needed = usize::from(bits).div_ceil(8);
        if bits > 128 || address.len() > 16 || address.len() < needed {
            return None;
        }
        let mut whole = [0; 16];
        whole[..address.len()].copy_from_slice(address);
        Some((Ipv6Addr::from(whole), bits))
    }
    /// Bits beyond the prefix are sent as zero, whole octets beyond it not at
    /// all.
    fn encode((address, bits): (Ipv6Addr, u8), out: &mut Vec<u8>) {
        let bits = bits.min(128);
        let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
        out.extend_from_slice(&[0, bits]);
        let whole = (u128::from(address) & mask).to_be_bytes();
        out.extend_from_slice(&whole[..usize::from(bits).div_ceil(8)]);
    }
}

impl Kind for InterfaceId {
    type Value<'a> = [u8; 8];
    fn decode(octets: &[u8]) -> Option<[u8; 8]> {
        octets.try_into().ok()
    }
    fn encode(value: [u8; 8], out: &mut Vec<u8>) {
        out.extend_from_slice(&value);
    }
}

impl Kind for Ether {
    type Value<'a> = [u8; 6];
    fn decode(octets: &[u8]) -> Option<[u8; 6]> {
        octets.try_into().ok()
    }
    fn encode(value: [u8; 6], out: &mut Vec<u8>) {
        out.extend_from_slice(&value);
    }
}

/// Shows text octets: UTF-8 as it is, anything else with replacement
/// characters. For people, never for comparing.
pub fn text_lossy(octets: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<'a, T: Kind>(octets: &'a [u8], expect: Option<T::Value<'a>>)
    where
        T::Value<'a>: PartialEq + std::fmt::Debug,
    {
        let value = T::decode(octets);
        assert_eq!(value, expect, "{octets:02x?}");
        if let Some(value) = value {
            let mut again = Vec::new();
            T::encode(value, &mut again);
            assert_eq!(again, octets, "canonical input must come back");
        }
    }

    #[test]
    fn values_of_the_right_size_round_trip_and_others_are_absent() {
        check::<Text>(b"caf\xe9", Some(b"caf\xe9"));
        check::<Octets>(b"", Some(b""));
        check::<Byte>(&[7], Some(7));
        check::<Byte>(&[], None);
        check::<Short>(&[1, 2], Some(258));
        check::<Integer>(&[0, 0, 14, 16], Some(3600));
        check::<Integer>(&[0, 14, 16], None);
        check::<Integer>(&[0, 0, 0, 14, 16], None);
        check::<Signed>(&[255, 255, 255, 254], Some(-2));
        check::<Integer64>(&[0, 0, 0, 1, 0, 0, 0, 0], Some(1 << 32));
        check::<Date>(&[0x80, 0, 0, 0], Some(1 << 31));
        check::<Ipv4>(&[10, 0, 0, 1], Some(Ipv4Addr::new(10, 0, 0, 1)));
        check::<Ipv6>(&[0; 15], None);
        check::<Ipv6>(&[0; 16], Some(Ipv6Addr::UNSPECIFIED));
        check::<ComboIp>(&[10, 0, 0, 1], Some("10.0.0.1".parse().unwrap()));
        check::<ComboIp>(&[0; 16], Some("::".parse().unwrap()));
        check::<ComboIp>(&[0; 5], None);
        check::<InterfaceId>(&[1; 8], Some([1; 8]));
        check::<Ether>(&[2; 6], Some([2; 6]));
        check::<Ether>(&[2; 7], None);
    }

    #[test]
    fn prefixes_are_bounded_and_may_be_shortened() {
        let net = "2001:db8::".parse().unwrap();
        check::<Ipv6Prefix>(&[0, 32, 0x20, 1, 0x0d, 0xb8], Some((net, 32)));
        check::<Ipv6Prefix>(&[0, 0], Some((Ipv6Addr::UNSPECIFIED, 0)));
        check::<Ipv6Prefix>(&[0, 33, 0x20, 1, 0x0d, 0xb8], None);
        check::<Ipv6Prefix>(&[0, 129, 0x20], None);
        check::<Ipv6Prefix>(&[0; 19], None);
        check::<Ipv6Prefix>(&[0], None);
        check::<Ipv4Prefix>(&[0, 8, 10, 0, 0, 0], Some((Ipv4Addr::new(10, 0, 0, 0), 8)));
        check::<Ipv4Prefix>(&[0, 33, 10, 0, 0, 0], None);
        check::<Ipv4Prefix>(&[0, 0, 0, 0, 0, 0], Some((Ipv4Addr::UNSPECIFIED, 0)));
    }

    #[test]
    fn unused_prefix_bits_are_sent_as_zero() {
        let mut out = Vec::new();
        Ipv6Prefix::encode(("2001:db8:ffff::1".parse().unwrap(), 33), &mut out);
        assert_eq!(out, [0, 33, 0x20, 1, 0x0d, 0xb8, 0x80]);
        out.clear();
        Ipv4Prefix::encode((Ipv4Addr::new(10, 255, 1, 1), 9), &mut out);
        assert_eq!(out, [0, 9, 10, 128, 0, 0]);
    }

    #[test]
    fn tags_follow_the_rule_of_their_type() {
        fn tagged<T: Kind>(tag: u8, value: T::Value<'_>) -> Vec<u8> {
            let mut out = Vec::new();
            T::encode_tagged(tag, value, &mut out);
            out
        }
        assert_eq!(tagged::<Integer>(1, 13), [1, 0, 0, 13]);
        assert_eq!(Integer::decode_tagged(&[1, 0, 0, 13]), Some((1, 13)));
        assert_eq!(Integer::decode_tagged(&[0x20, 0, 0, 13]), None);
        assert_eq!(tagged::<Text>(0, b"100"), b"100");
        assert_eq!(tagged::<Text>(3, b"100"), b"\x03100");
        assert_eq!(tagged::<Text>(0, b"\x05x"), b"\x00\x05x");
        assert_eq!(Text::decode_tagged(b"\x03100"), Some((3, &b"100"[..])));
        assert_eq!(Text::decode_tagged(b"100"), Some((0, &b"100"[..])));
        assert_eq!(Text::decode_tagged(b"\x00\x05x"), Some((0, &b"\x05x"[..])));
        assert_eq!(Text::decode_tagged(b""), Some((0, &b""[..])));
    }

    #[test]
    fn constants_carry_tag_and_hiding() {
        const TUNNEL_PASSWORD: Attr<Text> = Attr::new("Tunnel-Password", 0, 69)
            .with_tag()
            .with_hide(Hide::Salted);
        let Attr {
            vendor,
            number,
            tagged,
            hide,
            ..
        } = TUNNEL_PASSWORD;
        assert_eq!((vendor, number, tagged, hide), (0, 69, true, Hide::Salted));
        assert_eq!(TUNNEL_PASSWORD.to_string(), "Tunnel-Password");
    }
}
