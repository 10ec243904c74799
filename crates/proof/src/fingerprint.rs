//! What tells one stored slow hash from another, for memories of proofs: its salt and its digest.

use crate::stored::Stored;

impl Stored {
    /// Hands salt and digest of a slow hash to `sink`; `false` for every other form, of which nothing is told. Both
    /// change whenever the password is set again.
    pub fn tell_hash(&self, sink: &mut dyn FnMut(&[u8])) -> bool {
        let mut both = |salt: &[u8], hash: &[u8]| {
            sink(&(salt.len() as u64).to_be_bytes());
            sink(salt);
            sink(hash);
            true
        };
        match self {
            Stored::Argon2(argon2) => both(&argon2.salt, &argon2.hash),
            Stored::Pbkdf2(pbkdf2) => both(&pbkdf2.salt, &pbkdf2.hash),
            Stored::Scrypt(scrypt) => both(&scrypt.salt, &scrypt.hash),
            Stored::Bcrypt(bcrypt) => both(&[], bcrypt.text.as_bytes()),
            Stored::ShaCrypt(sha_crypt) => both(&sha_crypt.salt, &sha_crypt.hash),
            Stored::Md5Crypt(md5) => both(&md5.salt, &md5.hash),
            Stored::Digest(_) | Stored::NtHash(_) | Stored::Clear(_) | Stored::Unusable => false,
        }
    }
}
