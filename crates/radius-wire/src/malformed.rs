//! Why a datagram is no packet.
//!
//! Every reason names its place, so that a capture can be opened at the right
//! octet. It must never show content.

use std::fmt;

use crate::packet::{HEADER_OCTETS, MAX_OCTETS};

/// Why a datagram is no RADIUS packet. Offsets count octets from the start of
/// the datagram.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Malformed {
    /// Not even a header.
    TooShort {
        /// Octets received.
        octets: usize,
    },
    /// The Length field is below the size of a header.
    LengthField {
        /// What the field says.
        length: usize,
    },
    /// The Length field promises more octets than came.
    LengthBeyondDatagram {
        /// What the field says.
        length: usize,
        /// Octets received.
        octets: usize,
    },
    /// The Length field is above [`MAX_OCTETS`].
    TooLong {
        /// What the field says.
        length: usize,
    },
    /// An attribute of the reserved type 0.
    AttributeTypeZero {
        /// Where the attribute begins.
        offset: usize,
    },
    /// An attribute shorter than its own header.
    AttributeLength {
        /// Where the attribute begins.
        offset: usize,
        /// Its length octet.
        length: u8,
    },
    /// An attribute that reaches beyond the packet's end.
    AttributeBeyondEnd {
        /// Where the attribute begins.
        offset: usize,
    },
    /// More attributes than the caller accepts.
    TooManyAttributes {
        /// The limit.
        limit: usize,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::TooShort { octets } => write!(
                f,
                "datagram of {octets} octets is shorter than a header ({HEADER_OCTETS})"
            ),
            Malformed::LengthField { length } => write!(
                f,
                "octet 2: length {length} is below a header ({HEADER_OCTETS})"
            ),
            Malformed::LengthBeyondDatagram { length, octets } => write!(
                f,
                "octet 2: length {length}, but the datagram has {octets} octets"
            ),
            Malformed::TooLong { length } => {
                write!(f, "octet 2: length {length} is above {MAX_OCTETS}")
            }
            Malformed::AttributeTypeZero { offset } => {
                write!(f, "octet {offset}: attribute type 0")
            }
            Malformed::AttributeLength { offset, length } => write!(
                f,
                "octet {offset}: attribute length {length} is below its own header"
            ),
            Malformed::AttributeBeyondEnd { offset } => write!(
                f,
                "octet {offset}: attribute reaches beyond the end of the packet"
            ),
            Malformed::TooManyAttributes { limit } => write!(f, "more than {limit} attributes"),
        }
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_texts_name_the_octet() {
        let text = Malformed::AttributeBeyondEnd { offset: 23 }.to_string();
        assert!(text.starts_with("octet 23:"), "{text}");
    }
}
