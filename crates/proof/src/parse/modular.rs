//! The modular crypt family: `$id$parameters$salt$hash`.

use std::str::FromStr as _;

use super::UnknownForm;
use super::field::Reader;
use crate::bounds::{
    MAX_ARGON2_LANES, MAX_BCRYPT_COST, MAX_MEMORY_KIB, MAX_PBKDF2_ITERATIONS, MAX_SHA_CRYPT_ROUNDS,
    MAX_WORK_KIB, MIN_ARGON2_SALT_OCTETS, MIN_BCRYPT_COST, MIN_SHA_CRYPT_ROUNDS,
};
use crate::crypt64;
use crate::digest::Digest;
use crate::md5crypt;
use crate::stored::{
    Argon2Hash, BcryptHash, Form, Md5CryptHash, Pbkdf2Hash, ScryptHash, ShaCryptHash, Stored,
};

/// Most characters of a sha-crypt salt that count.
const SHA_CRYPT_SALT_OCTETS: usize = 16;

/// Most characters of an MD5-crypt salt that count.
const MD5_CRYPT_SALT_OCTETS: usize = 8;

/// Reads a text that begins with `$`.
pub(super) fn parse(text: &str) -> Result<Stored, UnknownForm> {
    let Some((id, rest)) = text.strip_prefix('$').and_then(|t| t.split_once('$')) else {
        return Err(UnknownForm::Unmarked);
    };
    match id {
        "argon2id" => argon2(argon2::Algorithm::Argon2id, rest),
        "argon2i" => argon2(argon2::Algorithm::Argon2i, rest),
        "argon2d" => argon2(argon2::Algorithm::Argon2d, rest),
        "scrypt" => scrypt(rest),
        "pbkdf2" | "pbkdf2-sha1" => dotted_pbkdf2(Digest::Sha1, rest),
        "pbkdf2-sha256" => dotted_pbkdf2(Digest::Sha256, rest),
        "pbkdf2-sha512" => dotted_pbkdf2(Digest::Sha512, rest),
        "2a" | "2b" | "2y" => bcrypt(text, false),
        "2x" => Err(UnknownForm::Unsupported(
            "bcrypt as $2x$, made by a faulty program",
        )),
        "1" => md5_crypt("$1$", rest),
        "apr1" => md5_crypt("$apr1$", rest),
        "5" => sha_crypt(Digest::Sha256, rest),
        "6" => sha_crypt(Digest::Sha512, rest),
        "y" | "gy" => Err(UnknownForm::Unsupported("yescrypt")),
        "7" => Err(UnknownForm::Unsupported("scrypt as $7$")),
        _ => Err(UnknownForm::Unmarked),
    }
}

fn argon2(algorithm: argon2::Algorithm, rest: &str) -> Result<Stored, UnknownForm> {
    let read = Reader(Form::Argon2);
    // Hashes older than version 1.3 carry no version field.
    let (version, rest) = match rest.strip_prefix("v=") {
        None => (argon2::Version::V0x10, rest),
        Some(rest) => {
            let (version, rest) = rest.split_once('$').ok_or(read.damaged("version"))?;
            match version {
                "16" => (argon2::Version::V0x10, rest),
                "19" => (argon2::Version::V0x13, rest),
                _ => return Err(read.damaged("version")),
            }
        }
    };
    let (parameters, rest) = rest.split_once('$').ok_or(read.damaged("salt"))?;
    let (salt, hash) = rest.split_once('$').ok_or(read.damaged("hash"))?;

    let (mut memory_kib, mut passes, mut lanes) = (None, None, None);
    for parameter in parameters.split(',') {
        let (name, value) = parameter
            .split_once('=')
            .ok_or(read.damaged("parameters"))?;
        let slot = match name {
            "m" => &mut memory_kib,
            "t" => &mut passes,
            "p" => &mut lanes,
            _ => return Err(read.damaged("parameters")),
        };
        if slot.replace(read.number(value, "parameters")?).is_some() {
            return Err(read.damaged("parameters"));
        }
    }
    let (Some(memory_kib), Some(passes), Some(lanes)) = (memory_kib, passes, lanes) else {
        return Err(read.damaged("parameters"));
    };
    if memory_kib > MAX_MEMORY_KIB {
        return Err(read.too_costly("memory in KiB", MAX_MEMORY_KIB.into()));
    }
    if lanes > MAX_ARGON2_LANES {
        return Err(read.too_costly("lanes", MAX_ARGON2_LANES.into()));
    }
    if u64::from(memory_kib) * u64::from(passes) > MAX_WORK_KIB {
        return Err(read.too_costly("memory times passes in KiB", MAX_WORK_KIB));
    }
    let salt = read.salt(read.base64(salt, "salt")?)?;
    if salt.len() < MIN_ARGON2_SALT_OCTETS {
        return Err(read.damaged("salt"));
    }
    let hash = read.hash(read.base64(hash, "hash")?)?;
    // Ask the algorithm itself now, so that a login never meets parameters it refuses.
    argon2::Params::new(memory_kib, passes, lanes, Some(hash.len()))
        .map_err(|_| read.damaged("parameters"))?;
    Ok(Stored::Argon2(Argon2Hash {
        algorithm,
        version,
        memory_kib,
        passes,
        lanes,
        salt,
        hash,
    }))
}

/// PHC form: `ln=16,r=8,p=1$salt$hash`.
fn scrypt(rest: &str) -> Result<Stored, UnknownForm> {
    let read = Reader(Form::Scrypt);
    let mut parts = rest.split('$');
    let (Some(parameters), Some(salt), Some(hash), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(read.damaged("hash"));
    };
    let mut values = parameters.split(',');
    let mut value = |name: &str| {
        let text = values.next().and_then(|p| p.strip_prefix(name));
        read.number(text.ok_or(read.damaged("parameters"))?, "parameters")
    };
    let (log_n, r, p) = (value("ln=")?, value("r=")?, value("p=")?);
    if values.next().is_some() {
        return Err(read.damaged("parameters"));
    }
    scrypt_hash(
        log_n,
        r,
        p,
        read.base64(salt, "salt")?,
        read.base64(hash, "hash")?,
    )
}

/// An scrypt hash whose parts were read, its cost checked.
pub(super) fn scrypt_hash(
    log_n: u32,
    r: u32,
    p: u32,
    salt: Octets,
    hash: Octets,
) -> Result<Stored, UnknownForm> {
    let read = Reader(Form::Scrypt);
    if log_n == 0 || r == 0 || p == 0 {
        return Err(read.damaged("parameters"));
    }
    // Memory is 128 octets × r × N; the work is that p times. Both fit u128 whatever came in once
    // the exponent is bounded.
    let too_much_memory = read.too_costly("memory in KiB", MAX_MEMORY_KIB.into());
    if log_n >= u64::BITS {
        return Err(too_much_memory);
    }
    let memory_octets = (128 * u128::from(r)) << log_n;
    if memory_octets > u128::from(MAX_MEMORY_KIB) * 1024 {
        return Err(too_much_memory);
    }
    if memory_octets * u128::from(p) > u128::from(MAX_WORK_KIB) * 1024 {
        return Err(read.too_costly("memory times p in KiB", MAX_WORK_KIB));
    }
    let params = u8::try_from(log_n)
        .ok()
        .and_then(|log_n| scrypt::Params::new(log_n, r, p).ok())
        .ok_or(read.damaged("parameters"))?;
    Ok(Stored::Scrypt(ScryptHash {
        params,
        salt: read.salt(salt)?,
        hash: read.hash(hash)?,
    }))
}

/// `iterations$salt$hash` with `.` for `+` and no padding.
pub(super) fn dotted_pbkdf2(digest: Digest, rest: &str) -> Result<Stored, UnknownForm> {
    let read = Reader(Form::Pbkdf2);
    let mut parts = rest.split('$');
    let (Some(iterations), Some(salt), Some(hash), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(read.damaged("hash"));
    };
    let iterations = read.number(iterations, "iterations")?;
    let (salt, hash) = (
        read.dotted_base64(salt, "salt")?,
        read.dotted_base64(hash, "hash")?,
    );
    pbkdf2_hash(digest, iterations, salt, hash)
}

/// A PBKDF2 hash whose parts were read, its cost checked.
pub(super) fn pbkdf2_hash(
    digest: Digest,
    iterations: u32,
    salt: Octets,
    hash: Octets,
) -> Result<Stored, UnknownForm> {
    let read = Reader(Form::Pbkdf2);
    let (salt, hash) = (read.salt(salt)?, read.hash(hash)?);
    if iterations == 0 {
        return Err(read.damaged("iterations"));
    }
    // Every block of the result costs all iterations again.
    let blocks = hash.len().div_ceil(digest.octets()) as u64;
    if u64::from(iterations) * blocks > u64::from(MAX_PBKDF2_ITERATIONS) {
        return Err(read.too_costly("iterations", MAX_PBKDF2_ITERATIONS.into()));
    }
    Ok(Stored::Pbkdf2(Pbkdf2Hash {
        digest,
        iterations,
        salt,
        hash,
    }))
}

/// The whole text, `$2b$` included.
pub(super) fn bcrypt(text: &str, prehashed: bool) -> Result<Stored, UnknownForm> {
    let read = Reader(Form::Bcrypt);
    let parts = bcrypt::HashParts::from_str(text).map_err(|_| read.damaged("salt or hash"))?;
    if parts.get_cost() < MIN_BCRYPT_COST {
        return Err(read.damaged("cost"));
    }
    if parts.get_cost() > MAX_BCRYPT_COST {
        return Err(read.too_costly("cost", MAX_BCRYPT_COST.into()));
    }
    Ok(Stored::Bcrypt(BcryptHash {
        text: text.into(),
        prehashed,
    }))
}

/// `[rounds=N$]salt$hash`.
fn sha_crypt(digest: Digest, rest: &str) -> Result<Stored, UnknownForm> {
    let read = Reader(Form::ShaCrypt);
    let (params, rest) = match rest.strip_prefix("rounds=") {
        None => (sha_crypt::Params::default(), rest),
        Some(rest) => {
            let (rounds, rest) = rest.split_once('$').ok_or(read.damaged("rounds"))?;
            let rounds = read.number(rounds, "rounds")?;
            if rounds > MAX_SHA_CRYPT_ROUNDS {
                return Err(read.too_costly("rounds", MAX_SHA_CRYPT_ROUNDS.into()));
            }
            // The hashing side writes the number it really used, never a smaller one.
            if rounds < MIN_SHA_CRYPT_ROUNDS {
                return Err(read.damaged("rounds"));
            }
            (
                sha_crypt::Params::new(rounds).map_err(|_| read.damaged("rounds"))?,
                rest,
            )
        }
    };
    let (salt, hash) = crypt_tail(read, rest, SHA_CRYPT_SALT_OCTETS, digest.octets())?;
    Ok(Stored::ShaCrypt(ShaCryptHash {
        digest,
        params,
        salt,
        hash,
    }))
}

/// `salt$hash`.
fn md5_crypt(magic: &'static str, rest: &str) -> Result<Stored, UnknownForm> {
    let read = Reader(Form::Md5Crypt);
    let (salt, hash) = crypt_tail(read, rest, MD5_CRYPT_SALT_OCTETS, md5crypt::OCTETS)?;
    Ok(Stored::Md5Crypt(Md5CryptHash { magic, salt, hash }))
}

/// Octets of a salt or a hash.
type Octets = Box<[u8]>;

/// A salt and a hash as text: the salt's characters are the salt.
fn crypt_tail(
    read: Reader,
    rest: &str,
    salt_octets: usize,
    hash_octets: usize,
) -> Result<(Octets, Octets), UnknownForm> {
    let (salt, hash) = rest.split_once('$').ok_or(read.damaged("hash"))?;
    if salt.len() > salt_octets {
        return Err(read.damaged("salt"));
    }
    if !crypt64::is_encoding_of(hash.as_bytes(), hash_octets) {
        return Err(read.damaged("hash"));
    }
    Ok((salt.as_bytes().into(), hash.as_bytes().into()))
}
