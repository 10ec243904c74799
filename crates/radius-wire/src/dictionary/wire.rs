//! A dictionary attribute's octets put on the wire, with every header they need.
//!
//! The payload comes ready (see `text.rs`, and `hide.rs` for hidden ones); here are
//! only tags, TLV nesting, vendor headers, extended headers and splitting.

use std::fmt;

use super::table::{Attribute, Carrier};
use super::types::{DataType, Encryption, VendorFormat};
use crate::attr::{Hide, MAX_TAG};

/// Most octets in the value of one attribute: its length octet counts two more.
pub const MAX_VALUE_OCTETS: usize = 253;
/// Octets of type, length and vendor number of a Vendor-Specific attribute.
const VENDOR_HEADER_OCTETS: usize = 6;
/// Octets of type, length and extended type.
const EXTENDED_HEADER_OCTETS: usize = 3;
/// Flag of long extended attributes and of continued vendor attributes: more follows.
const MORE: u8 = 0x80;
/// Octets that one value may be split over: a packet cannot hold more.
const MAX_SPLIT_OCTETS: usize = crate::packet::MAX_OCTETS;

/// Why a value cannot be written for an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueError {
    /// The text is not a value of the attribute's type.
    Syntax {
        /// Attribute.
        attribute: String,
        /// What the type wants.
        expected: &'static str,
    },
    /// The text names no value of the attribute.
    UnknownName {
        /// Attribute.
        attribute: String,
        /// The name that is not there.
        name: String,
        /// A name that is, when one is near.
        nearest: Option<String>,
    },
    /// The value does not fit the attribute.
    TooLong {
        /// Attribute.
        attribute: String,
        /// Octets of the value with its inner headers.
        octets: usize,
        /// Most octets possible.
        limit: usize,
    },
    /// The number does not fit the type, or the three octets a tag leaves.
    TooLarge {
        /// Attribute.
        attribute: String,
    },
    /// A tag above 31, or a tag on an attribute that has none.
    Tag {
        /// Attribute.
        attribute: String,
        /// The tag.
        tag: u8,
    },
    /// The attribute exists inside a server only.
    Internal {
        /// Attribute.
        attribute: String,
    },
    /// The type's text form is not supported; octets (`0x…`) are.
    OctetsOnly {
        /// Attribute.
        attribute: String,
    },
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueError::Syntax {
                attribute,
                expected,
            } => write!(f, "{attribute} needs {expected}"),
            ValueError::UnknownName {
                attribute,
                name,
                nearest,
            } => {
                write!(f, "{attribute} has no value \"{name}\"")?;
                match nearest {
                    Some(near) => write!(f, "; did you mean \"{near}\"?"),
                    None => Ok(()),
                }
            }
            ValueError::TooLong {
                attribute,
                octets,
                limit,
            } => {
                write!(f, "{attribute} has {octets} octets, at most {limit} fit")
            }
            ValueError::TooLarge { attribute } => {
                write!(f, "the number is too large for {attribute}")
            }
            ValueError::Tag { attribute, tag } => {
                write!(f, "{attribute} cannot have the tag {tag}")
            }
            ValueError::Internal { attribute } => {
                write!(f, "{attribute} is never sent on the wire")
            }
            ValueError::OctetsOnly { attribute } => {
                write!(
                    f,
                    "{attribute} can be given as octets (0x and hex digits) only"
                )
            }
        }
    }
}

impl std::error::Error for ValueError {}

impl Attribute {
    /// How the value is hidden, in the words of the typed constants.
    pub fn hide(&self) -> Hide {
        match self.flags.encryption {
            Encryption::None => Hide::No,
            Encryption::Password => Hide::Password,
            Encryption::Salted => Hide::Salted,
            Encryption::Ascend => Hide::Ascend,
        }
    }

    /// Appends the whole attribute to a packet's attributes: headers, tag, and as many
    /// attributes as a long value needs.
    ///
    /// `value` is what [`Attribute::encode_value`] gives, hidden first where
    /// [`Attribute::hide`] says so. Nothing is appended when an error is returned.
    pub fn append(
        &self,
        tag: Option<u8>,
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ValueError> {
        self.append_raw(&self.tag_value(tag, value)?, out)
    }

    /// Puts the tag to the value (RFC 2868 section 3.1).
    ///
    /// Without a tag, a text that begins like one gets a zero octet; a salted value
    /// always has the octet.
    pub fn tag_value(&self, tag: Option<u8>, value: &[u8]) -> Result<Vec<u8>, ValueError> {
        if let Some(tag) = tag
            && (tag > MAX_TAG || !self.flags.tagged)
        {
            return Err(ValueError::Tag {
                attribute: self.name.clone(),
                tag,
            });
        }
        if !self.flags.tagged {
            return Ok(value.to_vec());
        }
        if self.data_type == DataType::Integer && self.flags.encryption == Encryption::None {
            return match value {
                [0, rest @ ..] if rest.len() == 3 => Ok([&[tag.unwrap_or(0)], rest].concat()),
                [_, rest @ ..] if rest.len() == 3 => Err(ValueError::TooLarge {
                    attribute: self.name.clone(),
                }),
                _ => Err(ValueError::Syntax {
                    attribute: self.name.clone(),
                    expected: "4 octets",
                }),
            };
        }
        let begins_like_tag = value.first().is_some_and(|first| *first <= MAX_TAG);
        let tag = match tag {
            Some(tag) => Some(tag),
            None if begins_like_tag || self.flags.encryption == Encryption::Salted => Some(0),
            None => None,
        };
        Ok(tag.into_iter().chain(value.iter().copied()).collect())
    }

    /// Appends the whole attribute around a payload that has its tag already.
    pub fn append_raw(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
        let mut payload = payload.to_vec();
        for number in self.inner.iter().rev() {
            let length = self.octet_length(payload.len() + 2)?;
            payload.splice(0..0, [*number, length]);
        }
        match self.carrier {
            Carrier::Internal => Err(ValueError::Internal {
                attribute: self.name.clone(),
            }),
            Carrier::Standard { kind } => self.append_standard(kind, &payload, out),
            Carrier::Vendor {
                vendor,
                format,
                kind,
            } => self.append_vendor(vendor, format, kind, &payload, out),
            Carrier::Extended { kind, sub, long } => {
                self.append_extended(kind, sub, long, &payload, out)
            }
            Carrier::ExtendedVendor {
                kind,
                sub,
                vendor,
                vendor_kind,
                long,
            } => {
                let mut whole = vendor.to_be_bytes().to_vec();
                whole.push(vendor_kind);
                whole.extend_from_slice(&payload);
                self.append_extended(kind, sub, long, &whole, out)
            }
        }
    }

    fn octet_length(&self, octets: usize) -> Result<u8, ValueError> {
        u8::try_from(octets).map_err(|_| self.too_long(octets, u8::MAX.into()))
    }

    fn too_long(&self, octets: usize, limit: usize) -> ValueError {
        ValueError::TooLong {
            attribute: self.name.clone(),
            octets,
            limit,
        }
    }

    fn append_standard(
        &self,
        kind: u8,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ValueError> {
        let limit = if self.flags.concat {
            MAX_SPLIT_OCTETS
        } else {
            MAX_VALUE_OCTETS
        };
        if payload.len() > limit {
            return Err(self.too_long(payload.len(), limit));
        }
        for part in parts(payload, MAX_VALUE_OCTETS) {
            out.push(kind);
            out.push(self.octet_length(part.len() + 2)?);
            out.extend_from_slice(part);
        }
        Ok(())
    }

    fn append_vendor(
        &self,
        vendor: u32,
        format: VendorFormat,
        kind: u32,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ValueError> {
        let header = format.header_octets();
        let room = usize::from(u8::MAX) - VENDOR_HEADER_OCTETS - header;
        let splits = format.continuation || self.flags.concat;
        let limit = if splits { MAX_SPLIT_OCTETS } else { room };
        if payload.len() > limit {
            return Err(self.too_long(payload.len(), limit));
        }
        let mut left = payload.len();
        for part in parts(payload, room) {
            left -= part.len();
            out.push(26);
            out.push(self.octet_length(VENDOR_HEADER_OCTETS + header + part.len())?);
            out.extend_from_slice(&vendor.to_be_bytes());
            let kind = kind.to_be_bytes();
            out.extend_from_slice(
                kind.get(4 - usize::from(format.type_octets).min(4)..)
                    .unwrap_or(&kind),
            );
            let length = self.octet_length(header + part.len())?;
            match format.length_octets {
                0 => {}
                1 => out.push(length),
                _ => out.extend_from_slice(&[0, length]),
            }
            if format.continuation {
                out.push(if left > 0 { MORE } else { 0 });
            }
            out.extend_from_slice(part);
        }
        Ok(())
    }

    fn append_extended(
        &self,
        kind: u8,
        sub: u8,
        long: bool,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ValueError> {
        let room = usize::from(u8::MAX) - EXTENDED_HEADER_OCTETS - usize::from(long);
        let limit = if long { MAX_SPLIT_OCTETS } else { room };
        if payload.len() > limit {
            return Err(self.too_long(payload.len(), limit));
        }
        let mut left = payload.len();
        for part in parts(payload, room) {
            left -= part.len();
            out.push(kind);
            out.push(self.octet_length(usize::from(u8::MAX) - room + part.len())?);
            out.push(sub);
            if long {
                out.push(if left > 0 { MORE } else { 0 });
            }
            out.extend_from_slice(part);
        }
        Ok(())
    }
}

/// Cuts a payload in parts of at most `room`; an empty payload is one empty part.
fn parts(payload: &[u8], room: usize) -> impl Iterator<Item = &[u8]> {
    let empty = payload.is_empty().then_some(payload);
    empty.into_iter().chain(payload.chunks(room.max(1)))
}
