//! Payloads become the attributes of a packet again.

use std::fmt;

use crate::dictionary::{Attribute, Carrier, ValueError};

/// Octets of type, length and vendor number of a Vendor-Specific attribute.
const VENDOR_HEADER_OCTETS: usize = 6;

/// Attributes put together so far.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    octets: Vec<u8>,
    /// Where the last attribute starts.
    last: Option<usize>,
}

/// Why an attribute cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssembleError {
    /// The value does not fit the attribute.
    Value(ValueError),
    /// "joined" on an attribute that the one before has no place for.
    CannotJoin,
}

impl fmt::Display for AssembleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AssembleError::Value(error) => error.fmt(f),
            AssembleError::CannotJoin => f.write_str(
                "cannot join the attribute before: that needs the same vendor, and room for both in 255 octets",
            ),
        }
    }
}

impl std::error::Error for AssembleError {}

impl From<ValueError> for AssembleError {
    fn from(error: ValueError) -> AssembleError {
        AssembleError::Value(error)
    }
}

impl Assembly {
    /// Appends a payload (tagged and hidden as it shall be) with all its headers.
    /// A `joined` one goes into the Vendor-Specific attribute before it.
    pub fn push(
        &mut self,
        attribute: &Attribute,
        payload: &[u8],
        joined: bool,
    ) -> Result<(), AssembleError> {
        let mut made = Vec::new();
        attribute.append_raw(payload, &mut made)?;
        if joined {
            return self.join(attribute, &made).ok_or(AssembleError::CannotJoin);
        }
        let mut at = 0;
        while let Some(length) = made.get(at + 1).filter(|length| **length >= 2) {
            self.last = Some(self.octets.len() + at);
            at += usize::from(*length);
        }
        self.octets.extend_from_slice(&made);
        Ok(())
    }

    fn join(&mut self, attribute: &Attribute, made: &[u8]) -> Option<()> {
        if !matches!(attribute.carrier(), Carrier::Vendor { .. }) {
            return None;
        }
        let single = made
            .get(1)
            .is_some_and(|length| usize::from(*length) == made.len());
        let last = self.last.filter(|_| single)?;
        let before = self.octets.get(last..last + VENDOR_HEADER_OCTETS)?;
        let (header, inside) = made.split_at_checked(VENDOR_HEADER_OCTETS)?;
        // Type and vendor number; the length octet between them differs.
        if before.first() != header.first() || before.get(2..) != header.get(2..) {
            return None;
        }
        let length = self.octets.get_mut(last + 1)?;
        *length = u8::try_from(usize::from(*length) + inside.len()).ok()?;
        self.octets.extend_from_slice(inside);
        Some(())
    }

    /// The attributes so far.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}
