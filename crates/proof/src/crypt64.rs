//! The base64 of crypt(3): its own alphabet, least significant bits first, and digests shuffled
//! before they are written.

const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Order in which MD5-crypt writes its digest: groups of high, middle and low octet.
const MD5_ORDER: [usize; 15] = [0, 6, 12, 1, 7, 13, 2, 8, 14, 3, 9, 15, 4, 10, 5];
/// The octet left over, written alone.
const MD5_LAST: &[usize] = &[11];

const SHA256_ORDER: [usize; 30] = [
    0, 10, 20, 21, 1, 11, 12, 22, 2, 3, 13, 23, 24, 4, 14, 15, 25, 5, 6, 16, 26, 27, 7, 17, 18, 28,
    8, 9, 19, 29,
];
const SHA256_LAST: &[usize] = &[31, 30];

const SHA512_ORDER: [usize; 63] = [
    0, 21, 42, 22, 43, 1, 44, 2, 23, 3, 24, 45, 25, 46, 4, 47, 5, 26, 6, 27, 48, 28, 49, 7, 50, 8,
    29, 9, 30, 51, 31, 52, 10, 53, 11, 32, 12, 33, 54, 34, 55, 13, 56, 14, 35, 15, 36, 57, 37, 58,
    16, 59, 17, 38, 18, 39, 60, 40, 61, 19, 62, 20, 41,
];
const SHA512_LAST: &[usize] = &[63];

/// Writes an MD5-crypt digest as its 22 characters.
pub(crate) fn md5(digest: &[u8; 16]) -> Vec<u8> {
    encode(digest, &MD5_ORDER, MD5_LAST)
}

/// Writes a SHA-256-crypt digest as its 43 characters.
pub(crate) fn sha256(digest: &[u8; 32]) -> Vec<u8> {
    encode(digest, &SHA256_ORDER, SHA256_LAST)
}

/// Writes a SHA-512-crypt digest as its 86 characters.
pub(crate) fn sha512(digest: &[u8; 64]) -> Vec<u8> {
    encode(digest, &SHA512_ORDER, SHA512_LAST)
}

/// Whether this could be the written form of a digest of so many octets.
pub(crate) fn is_encoding_of(text: &[u8], octets: usize) -> bool {
    text.len() == (octets * 8).div_ceil(6) && text.iter().all(|c| ALPHABET.contains(c))
}

fn encode(digest: &[u8], order: &[usize], last: &[usize]) -> Vec<u8> {
    let mut out = Vec::with_capacity((digest.len() * 8).div_ceil(6));
    for group in order.chunks(3).chain([last]) {
        let mut bits = group
            .iter()
            .fold(0u32, |bits, &at| bits << 8 | u32::from(digest[at]));
        for _ in 0..(group.len() * 8).div_ceil(6) {
            out.push(ALPHABET[(bits & 63) as usize]);
            bits >>= 6;
        }
    }
    out
}
