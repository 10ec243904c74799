//! Values as text, both ways: what people write in rows like `Session-Timeout := 3600`
//! becomes octets, and octets become what people read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::date;
use super::table::{Attribute, nearest};
use super::types::DataType;
use super::value::Value;
use super::wire::ValueError;
use crate::attr::{self, Kind};

/// Longest text of a value: hex digits of all octets a packet can hold.
const MAX_TEXT_OCTETS: usize = 2 * crate::packet::MAX_OCTETS + 2;

impl Attribute {
    /// Reads a value from text: a number, one of the attribute's named values, an
    /// address, a date, `0x` and hex digits, as the type wants.
    ///
    /// The result is the bare value: without tag, not hidden.
    pub fn encode_value(&self, text: &str) -> Result<Vec<u8>, ValueError> {
        if text.len() > MAX_TEXT_OCTETS {
            return Err(self.too_long_text(text.len()));
        }
        if self.flags().array && self.fixed_octets().is_some() && text.contains(',') {
            let mut octets = Vec::new();
            for part in text.split(',') {
                octets.extend(self.encode_one(part.trim())?);
            }
            return Ok(octets);
        }
        self.encode_one(text)
    }

    fn encode_one(&self, text: &str) -> Result<Vec<u8>, ValueError> {
        let kind = self.data_type();
        let syntax = |expected| ValueError::Syntax {
            attribute: self.name().to_owned(),
            expected,
        };
        match kind {
            DataType::Text => Ok(text.as_bytes().to_vec()),
            DataType::Octets | DataType::FixedOctets(_) => {
                let octets = match hex_digits(text) {
                    Some(digits) => {
                        hex::decode(digits).map_err(|_| syntax("hex digits after 0x"))?
                    }
                    None => text.as_bytes().to_vec(),
                };
                match kind {
                    DataType::FixedOctets(count) if octets.len() != usize::from(count) => {
                        Err(syntax("octets of the exact length the dictionary states"))
                    }
                    _ => Ok(octets),
                }
            }
            DataType::Integer => self
                .read_number(text)
                .map(|n| n.to_be_bytes()[4..].to_vec()),
            DataType::Short => self
                .read_number(text)
                .map(|n| n.to_be_bytes()[6..].to_vec()),
            DataType::Byte => self
                .read_number(text)
                .map(|n| n.to_be_bytes()[7..].to_vec()),
            DataType::Integer64 => self.read_number(text).map(|n| n.to_be_bytes().to_vec()),
            DataType::Signed => match text.trim().parse::<i32>() {
                Ok(number) => Ok(number.to_be_bytes().to_vec()),
                Err(_) => self
                    .read_number(text)
                    .map(|n| n.to_be_bytes()[4..].to_vec()),
            },
            DataType::Bool => match text.trim().to_ascii_lowercase().as_str() {
                "yes" | "true" | "1" => Ok(vec![1]),
                "no" | "false" | "0" => Ok(vec![0]),
                _ => self
                    .read_number(text)
                    .map_err(|_| syntax("yes or no"))
                    .map(|n| n.to_be_bytes()[7..].to_vec()),
            },
            DataType::Date => match date::parse(text) {
                Some(seconds) => Ok(seconds.to_be_bytes().to_vec()),
                None => Err(syntax(
                    "a date (2026-01-31T23:59:59Z) or seconds since 1970",
                )),
            },
            DataType::Ipv4 => text
                .trim()
                .parse::<Ipv4Addr>()
                .map(|a| a.octets().to_vec())
                .map_err(|_| syntax("an IPv4 address")),
            DataType::Ipv6 => text
                .trim()
                .parse::<Ipv6Addr>()
                .map(|a| a.octets().to_vec())
                .map_err(|_| syntax("an IPv6 address")),
            DataType::ComboIp => match text.trim().parse::<IpAddr>() {
                Ok(IpAddr::V4(address)) => Ok(address.octets().to_vec()),
                Ok(IpAddr::V6(address)) => Ok(address.octets().to_vec()),
                Err(_) => Err(syntax("an IPv4 or IPv6 address")),
            },
            DataType::Ipv4Prefix => {
                let expected = "an IPv4 network (10.0.0.0/8)";
                let value = prefix::<Ipv4Addr>(text, 32).ok_or_else(|| syntax(expected))?;
                Ok(octets_of::<attr::Ipv4Prefix>(value))
            }
            DataType::Ipv6Prefix => {
                let expected = "an IPv6 network (2001:db8::/32)";
                let value = prefix::<Ipv6Addr>(text, 128).ok_or_else(|| syntax(expected))?;
                Ok(octets_of::<attr::Ipv6Prefix>(value))
            }
            DataType::InterfaceId => {
                groups::<8>(text, 4).ok_or_else(|| syntax("an interface id (0000:0000:0000:0001)"))
            }
            DataType::Ether => groups::<6>(text, 2)
                .ok_or_else(|| syntax("an Ethernet address (02:00:00:00:00:01)")),
            DataType::Abinary
            | DataType::Tlv
            | DataType::Extended
            | DataType::LongExtended
            | DataType::Evs
            | DataType::Vsa => {
                let octets = hex_digits(text).and_then(|digits| hex::decode(digits).ok());
                octets.ok_or_else(|| ValueError::OctetsOnly {
                    attribute: self.name().to_owned(),
                })
            }
        }
    }

    /// Reads a bare value; `None` when its size or form is not the type's. Tag and
    /// hiding must be off already.
    pub fn decode_value(&self, octets: &[u8]) -> Option<Value> {
        if self.flags().array
            && let Some(size) = self.fixed_octets()
            && octets.len() > size
        {
            let (chunks, rest) = (octets.chunks_exact(size), octets.len() % size);
            let values: Option<Vec<Value>> = chunks.map(|chunk| self.decode_one(chunk)).collect();
            return values.filter(|_| rest == 0).map(Value::Many);
        }
        self.decode_one(octets)
    }

    fn decode_one(&self, octets: &[u8]) -> Option<Value> {
        let named = |number: u64| match self.values().name(number) {
            Some(name) => Value::Name(name.to_owned()),
            None => Value::Number(number),
        };
        match self.data_type() {
            DataType::Text => Some(Value::Text(String::from_utf8_lossy(octets).into_owned())),
            DataType::FixedOctets(count) if octets.len() != usize::from(count) => None,
            DataType::Octets | DataType::FixedOctets(_) | DataType::Abinary => {
                Some(Value::Octets(octets.to_vec()))
            }
            DataType::Ipv4 => attr::Ipv4::decode(octets).map(|a| Value::Address(a.into())),
            DataType::Ipv6 => attr::Ipv6::decode(octets).map(|a| Value::Address(a.into())),
            DataType::ComboIp => attr::ComboIp::decode(octets).map(Value::Address),
            DataType::Ipv4Prefix => {
                attr::Ipv4Prefix::decode(octets).map(|(a, bits)| Value::Prefix(a.into(), bits))
            }
            DataType::Ipv6Prefix => {
                attr::Ipv6Prefix::decode(octets).map(|(a, bits)| Value::Prefix(a.into(), bits))
            }
            DataType::InterfaceId => attr::InterfaceId::decode(octets).map(Value::InterfaceId),
            DataType::Ether => attr::Ether::decode(octets).map(Value::Ether),
            DataType::Date => attr::Date::decode(octets).map(Value::Date),
            DataType::Integer => attr::Integer::decode(octets).map(|n| named(n.into())),
            DataType::Byte => attr::Byte::decode(octets).map(|n| named(n.into())),
            DataType::Short => attr::Short::decode(octets).map(|n| named(n.into())),
            DataType::Integer64 => attr::Integer64::decode(octets).map(named),
            DataType::Signed => attr::Signed::decode(octets).map(|n| {
                let name = u64::try_from(n).ok().and_then(|n| self.values().name(n));
                name.map_or(Value::Signed(n), |name| Value::Name(name.to_owned()))
            }),
            DataType::Bool => match octets {
                [0] => Some(Value::Bool(false)),
                [1] => Some(Value::Bool(true)),
                _ => None,
            },
            DataType::Tlv
            | DataType::Extended
            | DataType::LongExtended
            | DataType::Evs
            | DataType::Vsa => None,
        }
    }

    /// A bare value as text; octets that are no value of the type are shown as hex.
    pub fn format_value(&self, octets: &[u8]) -> String {
        self.decode_value(octets)
            .unwrap_or_else(|| Value::Octets(octets.to_vec()))
            .to_string()
    }

    /// Octets of one value of a type of fixed size.
    fn fixed_octets(&self) -> Option<usize> {
        match self.data_type() {
            DataType::Ipv4 | DataType::Integer | DataType::Date => Some(4),
            DataType::Ipv6 => Some(16),
            DataType::Short => Some(2),
            DataType::Byte => Some(1),
            _ => None,
        }
    }

    fn read_number(&self, text: &str) -> Result<u64, ValueError> {
        if let Some(number) = self.values().number(text) {
            return Ok(number);
        }
        let text = text.trim();
        let number = match hex_digits(text) {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
                u64::from_str_radix(digits, 16).ok()
            }
            Some(_) => None,
            None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
            None => None,
        };
        match number {
            Some(number) if number <= self.data_type().greatest() => Ok(number),
            Some(_) => Err(ValueError::TooLarge {
                attribute: self.name().to_owned(),
            }),
            None if self.values().is_empty() => Err(ValueError::Syntax {
                attribute: self.name().to_owned(),
                expected: "a number",
            }),
            None => Err(ValueError::UnknownName {
                attribute: self.name().to_owned(),
                name: text.chars().take(MAX_REPEATED_CHARS).collect(),
                nearest: nearest(text, self.values().iter().map(|(name, _)| name))
                    .map(str::to_owned),
            }),
        }
    }

    fn too_long_text(&self, octets: usize) -> ValueError {
        ValueError::TooLong {
            attribute: self.name().to_owned(),
            octets,
            limit: MAX_TEXT_OCTETS,
        }
    }
}

/// Characters of a wrong value that an error repeats; longer ones are no names.
const MAX_REPEATED_CHARS: usize = 32;

fn octets_of<T: Kind>(value: T::Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    T::encode(value, &mut out);
    out
}

fn hex_digits(text: &str) -> Option<&str> {
    text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))
}

/// An address and the bits after a slash; without a slash all of them.
fn prefix<A: std::str::FromStr>(text: &str, most: u8) -> Option<(A, u8)> {
    let text = text.trim();
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) if bits.bytes().all(|b| b.is_ascii_digit()) => {
            (address, bits.parse().ok()?)
        }
        Some(_) => return None,
        None => (text, most),
    };
    Some((address.parse().ok()?, bits)).filter(|_| bits <= most)
}

/// Hex digits in groups of at most `width`, with `:` or `-` between, as `N` octets.
fn groups<const N: usize>(text: &str, width: usize) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(N);
    for group in text.trim().split([':', '-']) {
        if group.is_empty() || group.len() > width || octets.len() >= N {
            return None;
        }
        octets.extend(hex::decode(format!("{group:0>width$}")).ok()?);
    }
    (octets.len() == N).then_some(octets)
}
