//! From stored text to [`Stored`]: tells the families of forms apart by how they begin.
//!
//! `$…` is the modular crypt family ([`modular`]), `{…}` the directory family ([`header`]),
//! `name$…` the Django family ([`django`]), `nt:` and `cleartext$` our own marks. Shared pieces
//! (numbers, base64) are in [`field`].

mod django;
mod field;
mod header;
mod modular;
#[cfg(test)]
mod tests;

use zeroize::Zeroizing;

use crate::bounds::{MAX_STORED_OCTETS, is_examined};
use crate::stored::{Form, Stored};

/// Mark of a clear password, as OpenWISP's user import has it.
pub(crate) const CLEAR_MARK: &str = "cleartext$";

/// Mark of an NT hash in hexadecimal.
pub(crate) const NT_MARK: &str = "nt:";

/// Length of what Django writes after `!` in an unusable password, in characters.
const DJANGO_UNUSABLE_SUFFIX: usize = 40;

/// Why a stored text cannot be used. Never quotes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownForm {
    /// Nothing there.
    #[error("the stored password is empty")]
    Empty,
    /// More than [`MAX_STORED_OCTETS`].
    #[error("the stored password is longer than {MAX_STORED_OCTETS} octets")]
    TooLong,
    /// No known mark: plain text, or a form not known here.
    #[error("the stored password carries no known mark, such as $argon2id$, {{SSHA}} or nt:")]
    Unmarked,
    /// A form that is known and deliberately not supported.
    #[error("the stored password is of an unsupported form: {0}")]
    Unsupported(&'static str),
    /// A known form with a part missing or malformed.
    #[error("{} is stored, but its {part} is missing or malformed", form.title())]
    Damaged {
        /// The form it begins as.
        form: Form,
        /// The part that is wrong.
        part: &'static str,
    },
    /// A cost parameter above the limit.
    #[error("{} is stored, but its {parameter} is above the limit of {limit}", form.title())]
    TooCostly {
        /// The form.
        form: Form,
        /// The parameter, with its unit.
        parameter: &'static str,
        /// The highest value accepted.
        limit: u64,
    },
}

/// Reads any supported form.
pub(crate) fn parse(text: &str) -> Result<Stored, UnknownForm> {
    if text.is_empty() {
        return Err(UnknownForm::Empty);
    }
    if text.len() > MAX_STORED_OCTETS {
        return Err(UnknownForm::TooLong);
    }
    if text.starts_with('!') {
        return Ok(Stored::Unusable);
    }
    if text.starts_with('$') {
        return modular::parse(text);
    }
    if let Some(rest) = text.strip_prefix('{') {
        return header::parse(rest);
    }
    if let Some(password) = text.strip_prefix(CLEAR_MARK) {
        return clear(password);
    }
    if let Some(mark) = text.get(..NT_MARK.len())
        && mark.eq_ignore_ascii_case(NT_MARK)
    {
        return nt_hex(&text[NT_MARK.len()..]);
    }
    match text.split_once('$') {
        Some((algorithm, rest)) => django::parse(algorithm, rest),
        None => Err(UnknownForm::Unmarked),
    }
}

/// Whether this is Django's unusable password in full.
pub(crate) fn is_django_unusable(text: &str) -> bool {
    text.strip_prefix('!').is_some_and(|rest| {
        rest.len() == DJANGO_UNUSABLE_SUFFIX && rest.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

/// A clear password after its mark.
fn clear(password: &str) -> Result<Stored, UnknownForm> {
    if !is_examined(password.as_bytes()) {
        return Err(UnknownForm::Damaged {
            form: Form::Clear,
            part: "password",
        });
    }
    Ok(Stored::Clear(Zeroizing::new(password.as_bytes().to_vec())))
}

/// An NT hash of 32 hexadecimal digits.
fn nt_hex(text: &str) -> Result<Stored, UnknownForm> {
    let mut hash = Zeroizing::new([0u8; 16]);
    hex::decode_to_slice(text, hash.as_mut_slice()).map_err(|_| UnknownForm::Damaged {
        form: Form::NtHash,
        part: "hash",
    })?;
    Ok(Stored::NtHash(hash))
}
