//! A password in hand against each stored form.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::argon_memory;
use crate::digest::Digest;
use crate::stored::{Argon2Hash, BcryptHash, DigestHash, ShaCryptHash, Stored};
use crate::{bounds, crypt64, md5crypt, mschap};

/// Whether this password belongs to what is stored. Lengths not examined are wrong.
pub(crate) fn matches(stored: &Stored, password: &[u8]) -> bool {
    if !bounds::is_examined(password) {
        return false;
    }
    match stored {
        Stored::Argon2(argon2) => matches_argon2(argon2, password),
        Stored::Pbkdf2(pbkdf2) => {
            let mut hash = vec![0; pbkdf2.hash.len()];
            pbkdf2
                .digest
                .pbkdf2(password, &pbkdf2.salt, pbkdf2.iterations, &mut hash);
            same(&hash, &pbkdf2.hash)
        }
        Stored::Scrypt(scrypt) => {
            let mut hash = vec![0; scrypt.hash.len()];
            scrypt::scrypt(password, &scrypt.salt, &scrypt.params, &mut hash).is_ok()
                && same(&hash, &scrypt.hash)
        }
        Stored::Bcrypt(bcrypt) => matches_bcrypt(bcrypt, password),
        Stored::ShaCrypt(sha_crypt) => matches_sha_crypt(sha_crypt, password),
        Stored::Md5Crypt(md5) => same(&md5crypt::hash(password, md5.magic, &md5.salt), &md5.hash),
        Stored::Digest(digest) => matches_digest(digest, password),
        Stored::NtHash(hash) => std::str::from_utf8(password)
            .is_ok_and(|password| same(&mschap::nt_hash(password), hash.as_slice())),
        Stored::Clear(clear) => same_password(password, clear),
        Stored::Unusable => false,
    }
}

fn matches_argon2(stored: &Argon2Hash, password: &[u8]) -> bool {
    let Ok(params) = argon2::Params::new(
        stored.memory_kib,
        stored.passes,
        stored.lanes,
        Some(stored.hash.len()),
    ) else {
        return false;
    };
    let mut hash = vec![0; stored.hash.len()];
    let argon2 = argon2::Argon2::new(stored.algorithm, stored.version, params);
    argon_memory::hash_into(&argon2, password, &stored.salt, &mut hash).is_ok()
        && same(&hash, &stored.hash)
}

fn matches_bcrypt(stored: &BcryptHash, password: &[u8]) -> bool {
    // bcrypt sees 72 octets and no more; writers of plain bcrypt hashes live with it, and the
    // prehashed form exists because of it. The comparison inside is in constant time.
    if stored.prehashed {
        let prehash = Zeroizing::new(hex::encode(Sha256::digest(password)));
        bcrypt::verify(prehash.as_bytes(), &stored.text).unwrap_or(false)
    } else {
        bcrypt::verify(password, &stored.text).unwrap_or(false)
    }
}

fn matches_sha_crypt(stored: &ShaCryptHash, password: &[u8]) -> bool {
    let hash = if stored.digest == Digest::Sha512 {
        crypt64::sha512(&sha_crypt::sha512_crypt(
            password,
            &stored.salt,
            stored.params,
        ))
    } else {
        crypt64::sha256(&sha_crypt::sha256_crypt(
            password,
            &stored.salt,
            stored.params,
        ))
    };
    same(&hash, &stored.hash)
}

fn matches_digest(stored: &DigestHash, password: &[u8]) -> bool {
    let (first, second) = if stored.salt_first {
        (stored.salt(), password)
    } else {
        (password, stored.salt())
    };
    same(&stored.digest.of(first, second), stored.hash())
}

/// Compares hashes in constant time.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// Compares two passwords. Short ones, which nearly all are, in places of one size, so that not even their lengths show in
/// the time taken; longer ones through a digest, to the same end.
fn same_password(one: &[u8], other: &[u8]) -> bool {
    if one.len() > PLACE_OCTETS || other.len() > PLACE_OCTETS {
        return same(&Sha256::digest(one), &Sha256::digest(other));
    }
    let place = |password: &[u8]| {
        let mut place = Zeroizing::new([0u64; PLACE_OCTETS / 8]);
        for (word, octets) in place.iter_mut().zip(password.chunks(8)) {
            let mut whole = [0u8; 8];
            whole[..octets.len()].copy_from_slice(octets);
            *word = u64::from_le_bytes(whole);
        }
        place
    };
    let (first, second) = (place(one), place(other));
    let differs = first
        .iter()
        .zip(second.iter())
        .fold((one.len() ^ other.len()) as u64, |sum, (a, b)| {
            sum | (a ^ b)
        });
    std::hint::black_box(differs) == 0
}

/// Octets of a password that are compared in place: more than people type.
const PLACE_OCTETS: usize = 64;
