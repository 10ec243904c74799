//! A value read from the wire, in the form its type gives it.

use std::fmt;
use std::net::IpAddr;

use super::date;

/// A value. Its `Display` is the text that [`super::Attribute::encode_value`] reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text; octets that are not UTF-8 became replacement characters.
    Text(String),
    /// Octets, shown as `0x` and hex digits.
    Octets(Vec<u8>),
    /// A number without a name.
    Number(u64),
    /// A number with a name.
    Name(String),
    /// A signed number.
    Signed(i32),
    /// Yes or no.
    Bool(bool),
    /// An address.
    Address(IpAddr),
    /// A network and the bits of it that count.
    Prefix(IpAddr, u8),
    /// An interface identifier.
    InterfaceId([u8; 8]),
    /// An Ethernet address.
    Ether([u8; 6]),
    /// Seconds since 1970.
    Date(u32),
    /// Several values of a fixed size in one attribute, shown with commas between.
    Many(Vec<Value>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) | Value::Name(text) => f.write_str(text),
            Value::Octets(octets) => write!(f, "0x{}", hex::encode(octets)),
            Value::Number(number) => write!(f, "{number}"),
            Value::Signed(number) => write!(f, "{number}"),
            Value::Bool(yes) => f.write_str(if *yes { "yes" } else { "no" }),
            Value::Address(address) => write!(f, "{address}"),
            Value::Prefix(address, bits) => write!(f, "{address}/{bits}"),
            Value::InterfaceId(octets) => {
                let [a, b, c, d, e, g, h, i] = octets;
                write!(
                    f,
                    "{a:02x}{b:02x}:{c:02x}{d:02x}:{e:02x}{g:02x}:{h:02x}{i:02x}"
                )
            }
            Value::Ether(octets) => {
                let [a, b, c, d, e, g] = octets;
                write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
            }
            Value::Date(seconds) => f.write_str(&date::format(*seconds)),
            Value::Many(values) => {
                for (at, value) in values.iter().enumerate() {
                    if at > 0 {
                        f.write_str(",")?;
                    }
                    write!(f, "{value}")?;
                }
                Ok(())
            }
        }
    }
}
