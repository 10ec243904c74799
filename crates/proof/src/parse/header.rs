//! The directory family: `{SCHEME}value` (RFC 2307 section 5.3 and its many children). Schemes are
//! compared without regard to case; values are base64 or hexadecimal, guessed by length, as
//! FreeRADIUS does.

use zeroize::Zeroizing;

use super::field::Reader;
use super::{UnknownForm, clear, modular};
use crate::bounds::MAX_SALT_OCTETS;
use crate::digest::Digest;
use crate::stored::{DigestHash, Form, Stored};

/// Longest scheme name, in octets: enough for every known one.
const MAX_SCHEME_OCTETS: usize = 24;

/// Reads what follows the opening brace.
pub(super) fn parse(rest: &str) -> Result<Stored, UnknownForm> {
    let Some((scheme, value)) = rest.split_once('}') else {
        return Err(UnknownForm::Unmarked);
    };
    if scheme.len() > MAX_SCHEME_OCTETS {
        return Err(UnknownForm::Unmarked);
    }
    match scheme.to_ascii_lowercase().as_str() {
        "clear" | "cleartext" | "plain" => clear(value),
        "nt" | "nthash" | "x-nthash" | "md4" => nt_hash(value),
        "md5" | "base64_md5" => unsalted(Digest::Md5, value),
        "sha" => unsalted(Digest::Sha1, value),
        "sha224" => unsalted(Digest::Sha224, value),
        "sha256" => unsalted(Digest::Sha256, value),
        "sha384" => unsalted(Digest::Sha384, value),
        "sha512" => unsalted(Digest::Sha512, value),
        "sha2" => sha2(value),
        "smd5" => salted(Digest::Md5, value),
        "ssha" => salted(Digest::Sha1, value),
        "ssha224" => salted(Digest::Sha224, value),
        "ssha256" => salted(Digest::Sha256, value),
        "ssha384" => salted(Digest::Sha384, value),
        "ssha512" => salted(Digest::Sha512, value),
        "pbkdf2" | "pbkdf2-sha1" => modular::dotted_pbkdf2(Digest::Sha1, value),
        "pbkdf2-sha256" => modular::dotted_pbkdf2(Digest::Sha256, value),
        "pbkdf2-sha512" => modular::dotted_pbkdf2(Digest::Sha512, value),
        "crypt" | "argon2" | "argon2i" | "argon2id" | "bcrypt" | "blf-crypt" | "md5-crypt"
        | "sha256-crypt" | "sha512-crypt" => crypt(value),
        "lm" | "lanman" | "x- orcllmv" => Err(UnknownForm::Unsupported("LM hash")),
        "x-pbkdf2" | "pbkdf2_sha256" => Err(UnknownForm::Unsupported(
            "PBKDF2 in a binary directory encoding",
        )),
        "ns-mta-md5" => Err(UnknownForm::Unsupported("Netscape MTA MD5")),
        _ => Err(UnknownForm::Unmarked),
    }
}

fn crypt(value: &str) -> Result<Stored, UnknownForm> {
    if !value.starts_with('$') {
        return Err(UnknownForm::Unsupported("traditional DES crypt"));
    }
    match modular::parse(value) {
        Err(UnknownForm::Unmarked) => Err(UnknownForm::Unsupported("an unknown crypt scheme")),
        result => result,
    }
}

fn nt_hash(value: &str) -> Result<Stored, UnknownForm> {
    let read = Reader(Form::NtHash);
    let octets = Zeroizing::new(read.hex_or_base64(value, 16)?.into_vec());
    let hash: [u8; 16] = octets
        .as_slice()
        .try_into()
        .map_err(|_| read.damaged("hash"))?;
    Ok(Stored::NtHash(Zeroizing::new(hash)))
}

fn unsalted(digest: Digest, value: &str) -> Result<Stored, UnknownForm> {
    let read = Reader(if digest == Digest::Md5 {
        Form::Md5
    } else {
        Form::Sha
    });
    let hash = read.hex_or_base64(value, digest.octets())?;
    if hash.len() != digest.octets() {
        return Err(read.damaged("hash"));
    }
    Ok(Stored::Digest(DigestHash::new(digest, &hash, &[], false)))
}

/// The scheme that leaves the digest to the length.
fn sha2(value: &str) -> Result<Stored, UnknownForm> {
    let read = Reader(Form::Sha);
    let hash = read.hex_or_base64(value, Digest::Sha224.octets())?;
    let digest = Digest::sha2_of_length(hash.len()).ok_or(read.damaged("hash"))?;
    Ok(Stored::Digest(DigestHash::new(digest, &hash, &[], false)))
}

/// Hash, then salt, in one value.
fn salted(digest: Digest, value: &str) -> Result<Stored, UnknownForm> {
    let read = Reader(if digest == Digest::Md5 {
        Form::SaltedMd5
    } else {
        Form::SaltedSha
    });
    let octets = read.hex_or_base64(value, digest.octets() + 1)?;
    let Some((hash, salt)) = octets.split_at_checked(digest.octets()) else {
        return Err(read.damaged("hash"));
    };
    if salt.is_empty() || salt.len() > MAX_SALT_OCTETS {
        return Err(read.damaged("salt"));
    }
    Ok(Stored::Digest(DigestHash::new(digest, hash, salt, false)))
}
