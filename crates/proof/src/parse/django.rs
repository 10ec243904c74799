//! The Django family: `algorithm$…`, each with its own order of fields. The salt's characters are
//! the salt.

use super::field::Reader;
use super::{UnknownForm, modular};
use crate::digest::Digest;
use crate::stored::{DigestHash, Form, Stored};

/// Reads what follows `algorithm$`.
pub(super) fn parse(algorithm: &str, rest: &str) -> Result<Stored, UnknownForm> {
    match algorithm {
        "pbkdf2_sha256" => pbkdf2(Digest::Sha256, rest),
        "pbkdf2_sha1" => pbkdf2(Digest::Sha1, rest),
        "argon2" => match modular::parse(&format!("${rest}")) {
            Ok(stored @ Stored::Argon2(_)) => Ok(stored),
            Err(reason @ (UnknownForm::Damaged { .. } | UnknownForm::TooCostly { .. })) => {
                Err(reason)
            }
            _ => Err(Reader(Form::Argon2).damaged("variant")),
        },
        "bcrypt" => modular::bcrypt(rest, false),
        "bcrypt_sha256" => modular::bcrypt(rest, true),
        "scrypt" => scrypt(rest),
        "sha1" => digest(Digest::Sha1, rest),
        "md5" => digest(Digest::Md5, rest),
        _ => Err(UnknownForm::Unmarked),
    }
}

/// `iterations$salt$base64`.
fn pbkdf2(digest: Digest, rest: &str) -> Result<Stored, UnknownForm> {
    let read = Reader(Form::Pbkdf2);
    let mut parts = rest.split('$');
    let (Some(iterations), Some(salt), Some(hash), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(read.damaged("hash"));
    };
    let iterations = read.number(iterations, "iterations")?;
    let hash = read.base64(hash, "hash")?;
    modular::pbkdf2_hash(digest, iterations, salt.as_bytes().into(), hash)
}

/// `N$salt$r$p$base64`, N written out.
fn scrypt(rest: &str) -> Result<Stored, UnknownForm> {
    let read = Reader(Form::Scrypt);
    let mut parts = rest.split('$');
    let mut next = |part| parts.next().ok_or(read.damaged(part));
    let n = read.number(next("work factor")?, "work factor")?;
    let salt = next("salt")?;
    let r = read.number(next("block size")?, "block size")?;
    let p = read.number(next("parallelism")?, "parallelism")?;
    let hash = read.base64(next("hash")?, "hash")?;
    if parts.next().is_some() {
        return Err(read.damaged("hash"));
    }
    // u32::MAX stands for "did not fit" and must meet the limit, not this check.
    if !n.is_power_of_two() && n != u32::MAX {
        return Err(read.damaged("work factor"));
    }
    let log_n = if n == u32::MAX {
        u32::BITS
    } else {
        n.trailing_zeros()
    };
    modular::scrypt_hash(log_n, r, p, salt.as_bytes().into(), hash)
}

/// `salt$hex`, salt before password; the salt may be empty.
fn digest(digest: Digest, rest: &str) -> Result<Stored, UnknownForm> {
    let read = Reader(if digest == Digest::Md5 {
        Form::SaltedMd5
    } else {
        Form::SaltedSha
    });
    let (salt, hash) = rest.split_once('$').ok_or(read.damaged("hash"))?;
    let salt: Box<[u8]> = if salt.is_empty() {
        Box::default()
    } else {
        read.salt(salt.as_bytes().into())?
    };
    let hash = hex::decode(hash).map_err(|_| read.damaged("hash"))?;
    if hash.len() != digest.octets() {
        return Err(read.damaged("hash"));
    }
    Ok(Stored::Digest(DigestHash::new(digest, &hash, &salt, true)))
}
