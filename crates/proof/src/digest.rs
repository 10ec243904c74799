//! The plain digests that directories and old databases store, chosen at run time.

use md5::Md5;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

/// A digest algorithm named by a stored hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// MD5, 16 octets.
    Md5,
    /// SHA-1, 20 octets.
    Sha1,
    /// SHA-224, 28 octets.
    Sha224,
    /// SHA-256, 32 octets.
    Sha256,
    /// SHA-384, 48 octets.
    Sha384,
    /// SHA-512, 64 octets.
    Sha512,
}

impl Digest {
    /// Length of the result, in octets.
    pub fn octets(self) -> usize {
        match self {
            Digest::Md5 => 16,
            Digest::Sha1 => 20,
            Digest::Sha224 => 28,
            Digest::Sha256 => 32,
            Digest::Sha384 => 48,
            Digest::Sha512 => 64,
        }
    }

    /// The SHA-2 digest with results of this length.
    pub(crate) fn sha2_of_length(octets: usize) -> Option<Digest> {
        [
            Digest::Sha224,
            Digest::Sha256,
            Digest::Sha384,
            Digest::Sha512,
        ]
        .into_iter()
        .find(|d| d.octets() == octets)
    }

    /// The digest of two parts joined.
    pub(crate) fn of(self, first: &[u8], second: &[u8]) -> Vec<u8> {
        fn run<D: sha2::Digest>(first: &[u8], second: &[u8]) -> Vec<u8> {
            D::new()
                .chain_update(first)
                .chain_update(second)
                .finalize()
                .to_vec()
        }
        match self {
            Digest::Md5 => run::<Md5>(first, second),
            Digest::Sha1 => run::<Sha1>(first, second),
            Digest::Sha224 => run::<Sha224>(first, second),
            Digest::Sha256 => run::<Sha256>(first, second),
            Digest::Sha384 => run::<Sha384>(first, second),
            Digest::Sha512 => run::<Sha512>(first, second),
        }
    }

    /// PBKDF2-HMAC (RFC 8018 section 5.2) with this digest, filling `out`.
    pub(crate) fn pbkdf2(self, password: &[u8], salt: &[u8], iterations: u32, out: &mut [u8]) {
        match self {
            Digest::Md5 => pbkdf2::pbkdf2_hmac::<Md5>(password, salt, iterations, out),
            Digest::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, iterations, out),
            Digest::Sha224 => pbkdf2::pbkdf2_hmac::<Sha224>(password, salt, iterations, out),
            Digest::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, out),
            Digest::Sha384 => pbkdf2::pbkdf2_hmac::<Sha384>(password, salt, iterations, out),
            Digest::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, out),
        }
    }
}
