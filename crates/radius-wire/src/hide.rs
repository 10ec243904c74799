//! Hiding values with the shared secret: User-Password, Tunnel-Password and
//! their kin.
//!
//! All three forms XOR the value with MD5 keyed by the secret. They hide, they
//! do not protect: a changed or wrong secret gives garbage, not an error, so
//! callers must not take a successful call for proof of anything.

use md5::{Digest, Md5};
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

use crate::attr::Hide;
use crate::secret::Secret;

/// Octets of one MD5 block of key stream.
pub const BLOCK_OCTETS: usize = 16;
/// Longest password that can be hidden (RFC 2865 §5.2).
pub const MAX_PASSWORD_OCTETS: usize = 128;
/// Longest value that can be hidden with a salt: fifteen whole blocks, less
/// the length octet; sixteen would not fit an attribute (RFC 2868 §3.5).
pub const MAX_SALTED_OCTETS: usize = 239;

/// Why a value cannot be hidden or revealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HideError {
    /// The plain value is longer than its form allows.
    TooLong {
        /// Length of the plain value in octets.
        octets: usize,
        /// The longest that is possible.
        limit: usize,
    },
    /// The hidden value is empty, too long, or not in whole blocks.
    Length {
        /// Length of the hidden value in octets.
        octets: usize,
    },
    /// The revealed length octet points beyond the value; nearly always the
    /// shared secret is wrong.
    InnerLength {
        /// What the length octet says.
        announced: usize,
        /// Octets there are after it.
        available: usize,
    },
}

impl fmt::Display for HideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HideError::TooLong { octets, limit } => {
                write!(
                    f,
                    "value of {octets} octets cannot be hidden, the limit is {limit}"
                )
            }
            HideError::Length { octets } => {
                write!(
                    f,
                    "hidden value has an impossible length of {octets} octets"
                )
            }
            HideError::InnerLength {
                announced,
                available,
            } => write!(
                f,
                "hidden value announces {announced} octets but holds {available}; is the shared secret right?"
            ),
        }
    }
}

impl std::error::Error for HideError {}

/// A hidden value in clear. Erased when dropped, and never printed.
pub struct Revealed {
    /// The attribute's tag, 0 when it has none.
    pub tag: u8,
    /// The value.
    pub plain: Zeroizing<Vec<u8>>,
}

fn key_block(parts: [&[u8]; 3]) -> [u8; BLOCK_OCTETS] {
    let mut digest = Md5::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().into()
}

fn xor(block: &mut [u8], key: &[u8]) {
    for (octet, key) in block.iter_mut().zip(key) {
        *octet ^= key;
    }
}

/// Hides whole blocks in place; each block's key depends on the hidden block
/// before it.
fn chain_hide(blocks: &mut [u8], first_key: [u8; BLOCK_OCTETS], secret: &Secret) {
    let mut key = first_key;
    for block in blocks.chunks_mut(BLOCK_OCTETS) {
        xor(block, &key);
        key = key_block([secret.as_bytes(), block, &[]]);
    }
}

fn chain_reveal(blocks: &mut [u8], first_key: [u8; BLOCK_OCTETS], secret: &Secret) {
    let mut key = first_key;
    for block in blocks.chunks_mut(BLOCK_OCTETS) {
        let next = key_block([secret.as_bytes(), block, &[]]);
        xor(block, &key);
        key = next;
    }
}

/// Hides a password (RFC 2865 §5.2) behind what is in `out`. `authenticator` is the request's.
pub(crate) fn hide_password_into(
    plain: &[u8],
    secret: &Secret,
    authenticator: &[u8; 16],
    out: &mut Vec<u8>,
) -> Result<(), HideError> {
    if plain.len() > MAX_PASSWORD_OCTETS {
        return Err(HideError::TooLong {
            octets: plain.len(),
            limit: MAX_PASSWORD_OCTETS,
        });
    }
    // An empty password is still one block.
    let whole = plain.len().next_multiple_of(BLOCK_OCTETS).max(BLOCK_OCTETS);
    let start = out.len();
    out.extend_from_slice(plain);
    out.resize(start + whole, 0);
    let key = key_block([secret.as_bytes(), authenticator, &[]]);
    chain_hide(&mut out[start..], key, secret);
    Ok(())
}

/// Hides a password (RFC 2865 §5.2) where it stands, padded with zeros to whole
/// blocks of sixteen octets already. `authenticator` is the request's.
pub fn hide_password_in_place(padded: &mut [u8], secret: &Secret, authenticator: &[u8; 16]) {
    let key = key_block([secret.as_bytes(), authenticator, &[]]);
    chain_hide(padded, key, secret);
}

/// Hides a password (RFC 2865 §5.2). `authenticator` is the request's.
pub fn hide_password(
    plain: &[u8],
    secret: &Secret,
    authenticator: &[u8; 16],
) -> Result<Vec<u8>, HideError> {
    let mut value = Vec::new();
    hide_password_into(plain, secret, authenticator, &mut value)?;
    Ok(value)
}

/// A password in clear, in a place of its own: revealing it costs no allocation. Erased when dropped, never printed.
pub struct PlainPassword {
    octets: [u8; MAX_PASSWORD_OCTETS],
    length: u8,
}

impl PlainPassword {
    /// Reveals a hidden password. Trailing zeros are padding and are cut.
    ///
    /// # Errors
    /// [`HideError::Length`] where the value is empty, too long, or not in whole blocks.
    pub fn unhide(
        value: &[u8],
        secret: &Secret,
        authenticator: &[u8; 16],
    ) -> Result<PlainPassword, HideError> {
        let whole_blocks = value.len().is_multiple_of(BLOCK_OCTETS);
        if value.is_empty() || value.len() > MAX_PASSWORD_OCTETS || !whole_blocks {
            return Err(HideError::Length {
                octets: value.len(),
            });
        }
        let mut plain = PlainPassword {
            octets: [0; MAX_PASSWORD_OCTETS],
            length: value.len() as u8,
        };
        let place = &mut plain.octets[..value.len()];
        place.copy_from_slice(value);
        let key = key_block([secret.as_bytes(), authenticator, &[]]);
        chain_reveal(place, key, secret);
        let end = place.iter().rposition(|octet| *octet != 0);
        plain.length = end.map_or(0, |last| last + 1) as u8;
        Ok(plain)
    }
}

impl std::ops::Deref for PlainPassword {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.octets[..usize::from(self.length)]
    }
}

impl Drop for PlainPassword {
    fn drop(&mut self) {
        // Behind the password lie zeros only.
        self.octets[..usize::from(self.length)].zeroize();
    }
}

/// Reveals a hidden password. Trailing zeros are padding and are cut.
pub fn unhide_password(
    value: &[u8],
    secret: &Secret,
    authenticator: &[u8; 16],
) -> Result<Vec<u8>, HideError> {
    PlainPassword::unhide(value, secret, authenticator).map(|plain| plain.to_vec())
}

/// Hides a value with a salt (RFC 2868 §3.5) and returns the salt followed by
/// the hidden blocks. The salt's top bit is always set; each salt may be used
/// only once in a packet. `authenticator` is the request's, also in replies.
pub fn hide_salted(
    plain: &[u8],
    salt: [u8; 2],
    secret: &Secret,
    authenticator: &[u8; 16],
) -> Result<Vec<u8>, HideError> {
    let mut value = Vec::new();
    hide_salted_into(plain, salt, secret, authenticator, &mut value)?;
    Ok(value)
}

/// Like [`hide_salted`], behind what is in `out`.
pub(crate) fn hide_salted_into(
    plain: &[u8],
    salt: [u8; 2],
    secret: &Secret,
    authenticator: &[u8; 16],
    out: &mut Vec<u8>,
) -> Result<(), HideError> {
    let length = match u8::try_from(plain.len()) {
        Ok(length) if plain.len() <= MAX_SALTED_OCTETS => length,
        _ => {
            return Err(HideError::TooLong {
                octets: plain.len(),
                limit: MAX_SALTED_OCTETS,
            });
        }
    };
    let salt = [salt[0] | 0x80, salt[1]];
    let whole = (1 + plain.len()).next_multiple_of(BLOCK_OCTETS);
    out.extend_from_slice(&salt);
    let start = out.len();
    out.push(length);
    out.extend_from_slice(plain);
    out.resize(start + whole, 0);
    let key = key_block([secret.as_bytes(), authenticator, &salt]);
    chain_hide(&mut out[start..], key, secret);
    Ok(())
}

/// Reveals a value hidden with a salt; `value` is the salt followed by the
/// hidden blocks, without the tag.
pub fn unhide_salted(
    value: &[u8],
    secret: &Secret,
    authenticator: &[u8; 16],
) -> Result<Vec<u8>, HideError> {
    let fault = HideError::Length {
        octets: value.len(),
    };
    let (salt, blocks) = value.split_first_chunk::<2>().ok_or(fault)?;
    if blocks.is_empty() || !blocks.len().is_multiple_of(BLOCK_OCTETS) {
        return Err(fault);
    }
    let mut plain = Zeroizing::new(blocks.to_vec());
    let key = key_block([secret.as_bytes(), authenticator, salt]);
    chain_reveal(&mut plain, key, secret);
    let (length, data) = plain.split_first().ok_or(fault)?;
    let announced = usize::from(*length);
    match data.get(..announced) {
        Some(data) => Ok(data.to_vec()),
        None => Err(HideError::InnerLength {
            announced,
            available: data.len(),
        }),
    }
}

/// Hides or reveals Ascend's secrets: one block, XORed with the digest of
/// authenticator and secret (in that order). Octets beyond the sixteenth stay
/// as they are; shorter values keep their length.
pub fn xor_ascend(value: &[u8], secret: &Secret, authenticator: &[u8; 16]) -> Vec<u8> {
    let key = key_block([authenticator, secret.as_bytes(), &[]]);
    let mut out = value.to_vec();
    xor(&mut out, &key);
    out
}

/// Reveals `value` by the form `hide` names; a value in clear comes back as it
/// is. The tag, where there is one, must be cut before.
pub fn reveal(
    hide: Hide,
    value: &[u8],
    secret: &Secret,
    authenticator: &[u8; 16],
) -> Result<Vec<u8>, HideError> {
    match hide {
        Hide::No => Ok(value.to_vec()),
        Hide::Password => unhide_password(value, secret, authenticator),
        Hide::Salted => unhide_salted(value, secret, authenticator),
        Hide::Ascend => Ok(xor_ascend(value, secret, authenticator)),
    }
}

/// Whether a revealed password looks like the product of a wrong shared
/// secret: not UTF-8, or holding control characters. A hint for people and
/// counters; a password may truly look like this.
pub fn looks_garbled(plain: &[u8]) -> bool {
    match std::str::from_utf8(plain) {
        Ok(text) => text.chars().any(char::is_control),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHENTICATOR: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    fn secret() -> Secret {
        Secret::new("testing123")
    }

    fn octets(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    #[test]
    fn password_bob_hides_to_the_known_octets() {
        let hidden = hide_password(b"bob", &secret(), &AUTHENTICATOR).unwrap();
        assert_eq!(hidden, octets("f4816bca74fd7a1a104607240014828b"));
        let plain = unhide_password(&hidden, &secret(), &AUTHENTICATOR).unwrap();
        assert_eq!(plain, b"bob");
    }

    #[test]
    fn rfc_2865_example_reveals_arctangent() {
        let authenticator = octets("0f403f9473978057bd83d5cb98f4227a")
            .try_into()
            .unwrap();
        let hidden = octets("0dbe708d93d413ce3196e43f782a0aee");
        let plain = unhide_password(&hidden, &Secret::new("xyzzy5461"), &authenticator);
        assert_eq!(plain.unwrap(), b"arctangent");
    }

    #[test]
    fn passwords_of_every_possible_length_come_back() {
        for length in 0..=MAX_PASSWORD_OCTETS {
            let plain: Vec<u8> = (0..length).map(|i| (i % 255 + 1) as u8).collect();
            let hidden = hide_password(&plain, &secret(), &AUTHENTICATOR).unwrap();
            assert_eq!(hidden.len(), length.div_ceil(16).max(1) * 16);
            let again = unhide_password(&hidden, &secret(), &AUTHENTICATOR).unwrap();
            assert_eq!(again, plain, "length {length}");
        }
        let too_long = [b'x'; MAX_PASSWORD_OCTETS + 1];
        assert_eq!(
            hide_password(&too_long, &secret(), &AUTHENTICATOR),
            Err(HideError::TooLong {
                octets: 129,
                limit: 128
            })
        );
    }

    #[test]
    fn a_hidden_password_of_impossible_length_is_refused() {
        for length in [0, 1, 3, 15, 17, 129, 144, 253] {
            assert_eq!(
                unhide_password(&vec![0; length], &secret(), &AUTHENTICATOR),
                Err(HideError::Length { octets: length })
            );
        }
    }

    #[test]
    fn only_trailing_zeros_are_cut_from_a_password() {
        let hidden = hide_password(b"\0a\0b\0\0", &secret(), &AUTHENTICATOR).unwrap();
        let plain = unhide_password(&hidden, &secret(), &AUTHENTICATOR).unwrap();
        assert_eq!(plain, b"\0a\0b");
    }

    #[test]
    fn salted_values_match_the_known_octets() {
        fn check(hidden: &str, salt: &str, plain: &[u8]) {
            let salt: [u8; 2] = octets(salt).try_into().unwrap();
            let hidden = octets(hidden);
            let made = hide_salted(plain, salt, &secret(), &AUTHENTICATOR).unwrap();
            assert_eq!(made, hidden);
            let back = unhide_salted(&hidden, &secret(), &AUTHENTICATOR).unwrap();
            assert_eq!(back, plain);
        }
        check(
            "800138d7612e787f5115bf54db6bb2ba15f3",
            "8001",
            b"secret-psk",
        );
        let key: Vec<u8> = (0x20..=0x3f).collect();
        check(
            "80011284256f293e001ee80f9941999638dd6282a8d84c9f77c0ea5227ef36ed840cf1df2a6c451199e118495daa69f34419",
            "8001",
            &key,
        );
    }

    #[test]
    fn octets_after_the_announced_length_are_padding_whatever_they_are() {
        let hidden = octets("9973051de6c557307dacd5daa599f4e26e7e");
        let plain = unhide_salted(&hidden, &secret(), &AUTHENTICATOR).unwrap();
        assert_eq!(plain, b"foo");
        // The same value with zero padding differs in the padding only.
        let ours = hide_salted(b"foo", [0x99, 0x73], &secret(), &AUTHENTICATOR).unwrap();
        assert_eq!(ours[..6], hidden[..6]);
        assert_ne!(ours, hidden);
    }

    #[test]
    fn the_top_bit_of_a_salt_is_always_set() {
        let hidden = hide_salted(b"x", [0x01, 0x02], &secret(), &AUTHENTICATOR).unwrap();
        assert_eq!(&hidden[..2], &[0x81, 0x02]);
    }

    #[test]
    fn salted_values_of_every_possible_length_come_back() {
        for length in 0..=MAX_SALTED_OCTETS {
            let plain: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let hidden = hide_salted(&plain, [0x80, 0], &secret(), &AUTHENTICATOR).unwrap();
            assert!(hidden.len() <= 242);
            let again = unhide_salted(&hidden, &secret(), &AUTHENTICATOR).unwrap();
            assert_eq!(again, plain, "length {length}");
        }
        assert_eq!(
            hide_salted(&[0; 240], [0x80, 0], &secret(), &AUTHENTICATOR),
            Err(HideError::TooLong {
                octets: 240,
                limit: 239
            })
        );
    }

    #[test]
    fn a_salted_value_of_impossible_length_is_refused() {
        for length in [0, 1, 2, 3, 17, 19, 33] {
            assert_eq!(
                unhide_salted(&vec![0; length], &secret(), &AUTHENTICATOR),
                Err(HideError::Length { octets: length })
            );
        }
    }

    #[test]
    fn a_salted_length_beyond_the_value_is_refused() {
        // One block whose first octet reveals to 16: one more than follows it.
        let mut hidden = hide_salted(&[7; 15], [0x80, 0], &secret(), &AUTHENTICATOR).unwrap();
        hidden[2] ^= 15 ^ 16;
        assert_eq!(
            unhide_salted(&hidden, &secret(), &AUTHENTICATOR),
            Err(HideError::InnerLength {
                announced: 16,
                available: 15
            })
        );
    }

    #[test]
    fn ascend_hiding_is_its_own_inverse_and_keeps_the_length() {
        for length in [0, 3, 16, 20] {
            let plain: Vec<u8> = (0..length).collect();
            let hidden = xor_ascend(&plain, &secret(), &AUTHENTICATOR);
            assert_eq!(hidden.len(), plain.len());
            assert_eq!(hidden == plain, plain.is_empty());
            assert_eq!(xor_ascend(&hidden, &secret(), &AUTHENTICATOR), plain);
        }
    }

    #[test]
    fn a_wrong_secret_shows_as_garbled_text() {
        let hidden = hide_password(b"bob", &secret(), &AUTHENTICATOR).unwrap();
        let plain = unhide_password(&hidden, &Secret::new("other"), &AUTHENTICATOR).unwrap();
        assert!(looks_garbled(&plain));
        assert!(!looks_garbled("pässwörd 1".as_bytes()));
        assert!(!looks_garbled(b""));
    }
}
