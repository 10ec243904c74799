//! The pieces that stored forms are made of: bounded numbers, salts and hashes.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::UnknownForm;
use crate::bounds::{MAX_HASH_OCTETS, MAX_SALT_OCTETS, MIN_HASH_OCTETS};
use crate::stored::Form;

/// Standard alphabet; padding may be there or not, since writers differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Names the form once for all errors of one text.
#[derive(Clone, Copy)]
pub(super) struct Reader(pub(super) Form);

impl Reader {
    pub(super) fn damaged(self, part: &'static str) -> UnknownForm {
        UnknownForm::Damaged { form: self.0, part }
    }

    pub(super) fn too_costly(self, parameter: &'static str, limit: u64) -> UnknownForm {
        UnknownForm::TooCostly {
            form: self.0,
            parameter,
            limit,
        }
    }

    /// A plain decimal number: digits only, no sign, no spaces. Numbers that do not fit saturate,
    /// so that they meet the limit of their parameter instead of looking malformed.
    pub(super) fn number(self, text: &str, part: &'static str) -> Result<u32, UnknownForm> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(self.damaged(part));
        }
        Ok(text.parse().unwrap_or(u32::MAX))
    }

    /// A salt or hash in base64, padded or not.
    pub(super) fn base64(self, text: &str, part: &'static str) -> Result<Box<[u8]>, UnknownForm> {
        BASE64
            .decode(text)
            .map(Vec::into_boxed_slice)
            .map_err(|_| self.damaged(part))
    }

    /// As [`Reader::base64`], with `.` where the standard alphabet has `+`.
    pub(super) fn dotted_base64(
        self,
        text: &str,
        part: &'static str,
    ) -> Result<Box<[u8]>, UnknownForm> {
        self.base64(&text.replace('.', "+"), part)
    }

    /// Hexadecimal if it can be, else base64. `at_least` is the shortest decoded length that makes
    /// sense: a base64 text of that length with nothing but an even number of hexadecimal digits
    /// does not happen.
    pub(super) fn hex_or_base64(
        self,
        text: &str,
        at_least: usize,
    ) -> Result<Box<[u8]>, UnknownForm> {
        if text.len() >= 2 * at_least
            && let Ok(octets) = hex::decode(text)
        {
            return Ok(octets.into_boxed_slice());
        }
        self.base64(text, "hash")
    }

    /// Checks a salt that was read: not empty, not too long.
    pub(super) fn salt(self, salt: Box<[u8]>) -> Result<Box<[u8]>, UnknownForm> {
        if salt.is_empty() || salt.len() > MAX_SALT_OCTETS {
            return Err(self.damaged("salt"));
        }
        Ok(salt)
    }

    /// Checks a hash of free length that was read.
    pub(super) fn hash(self, hash: Box<[u8]>) -> Result<Box<[u8]>, UnknownForm> {
        if !(MIN_HASH_OCTETS..=MAX_HASH_OCTETS).contains(&hash.len()) {
            return Err(self.damaged("hash"));
        }
        Ok(hash)
    }
}
