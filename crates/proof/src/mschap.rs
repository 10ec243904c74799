//! MS-CHAP version 1 (RFC 2433) and 2 (RFC 2759), and the keys they yield (RFC 2548, RFC 3079), for
//! both halves of the exchange.
//!
//! LM responses and LM hashes are not supported: DES over seven upper-case characters protects
//! nothing. Clients that can send an NT response always do.
//!
//! The algorithms (MD4, DES) are long broken; run them inside a tunnel only.

use des::Des;
use des::cipher::{Block, BlockCipherEncrypt as _, Key, KeyInit as _};
use md4::{Digest as _, Md4};
use sha1::Sha1;
use zeroize::{Zeroize as _, Zeroizing};

use crate::keys::{MsChapKeys, MsChapV2Keys};

/// RFC 2759 section 8.7.
const SIGNING: &[u8] = b"Magic server to client signing constant";
/// RFC 2759 section 8.7.
const ITERATION_PAD: &[u8] = b"Pad to make it do more than one iteration";
/// RFC 3079 section 3.4.
const MASTER_KEY: &[u8] = b"This is the MPPE Master Key";
/// RFC 3079 section 3.4: client to server.
const TOWARDS_SERVER: &[u8] =
    b"On the client side, this is the send key; on the server side, it is the receive key.";
/// RFC 3079 section 3.4: server to client.
const TOWARDS_CLIENT: &[u8] =
    b"On the client side, this is the receive key; on the server side, it is the send key.";
/// RFC 3079 section 3.4.
const SHA_PAD_1: [u8; 40] = [0x00; 40];
/// RFC 3079 section 3.4.
const SHA_PAD_2: [u8; 40] = [0xf2; 40];

/// Longest text of an MS-CHAP-Error, in octets: what fits one vendor attribute (RFC 2865 section
/// 5.26) behind the identifier.
const MAX_ERROR_TEXT_OCTETS: usize = 246;

/// MD4 over the password in UTF-16LE (RFC 2759 section 8.3). As good as the password for MS-CHAP:
/// store and erase it as such.
pub fn nt_hash(password: &str) -> [u8; 16] {
    let mut md4 = Md4::new();
    for unit in password.encode_utf16() {
        md4.update(unit.to_le_bytes());
    }
    md4.finalize().into()
}

/// MD4 over the NT hash (RFC 2759 section 8.4).
pub fn nt_hash_hash(nt_hash: &[u8; 16]) -> [u8; 16] {
    Md4::digest(nt_hash).into()
}

/// The 24 octets that answer an eight-octet challenge: DES with three parts of the NT hash
/// (RFC 2433 appendix A, RFC 2759 section 8.5).
pub fn challenge_response(challenge: &[u8; 8], nt_hash: &[u8; 16]) -> [u8; 24] {
    let mut padded = Zeroizing::new([0u8; 21]);
    padded[..16].copy_from_slice(nt_hash);
    let mut response = [0; 24];
    for (part, out) in padded.chunks_exact(7).zip(response.chunks_exact_mut(8)) {
        let mut key = spread(part);
        let mut block = Block::<Des>::from(*challenge);
        Des::new(&key).encrypt_block(&mut block);
        key.as_mut_slice().zeroize();
        out.copy_from_slice(&block);
    }
    response
}

/// Seven octets as a DES key: seven bits in each of eight octets, parity bit last. Parity is left
/// zero, since DES never looks at it.
fn spread(seven: &[u8]) -> Key<Des> {
    let bits = seven
        .iter()
        .fold(0u64, |bits, octet| bits << 8 | u64::from(*octet));
    let mut key = Key::<Des>::default();
    for (at, octet) in key.iter_mut().enumerate() {
        *octet = ((bits >> (49 - 7 * at)) as u8 & 0x7f) << 1;
    }
    key
}

/// NT-Response of version 1: the client's half of RFC 2433.
pub fn nt_response(challenge: &[u8; 8], password: &str) -> [u8; 24] {
    challenge_response(challenge, &Zeroizing::new(nt_hash(password)))
}

/// The eight octets that version 2 puts in the place of the challenge (RFC 2759 section 8.2).
/// `user_name` is hashed as given; see [`without_domain`].
pub fn challenge_hash(
    peer_challenge: &[u8; 16],
    authenticator_challenge: &[u8; 16],
    user_name: &[u8],
) -> [u8; 8] {
    let digest = Sha1::new()
        .chain_update(peer_challenge)
        .chain_update(authenticator_challenge)
        .chain_update(user_name)
        .finalize();
    let mut hash = [0; 8];
    hash.copy_from_slice(&digest[..8]);
    hash
}

/// NT-Response of version 2: the client's half of RFC 2759 section 8.1. A `DOMAIN\` before the user
/// name is left out of the hash, as the RFC wants.
pub fn nt_response_v2(
    authenticator_challenge: &[u8; 16],
    peer_challenge: &[u8; 16],
    user_name: &[u8],
    password: &str,
) -> [u8; 24] {
    let challenge = challenge_hash(
        peer_challenge,
        authenticator_challenge,
        without_domain(user_name),
    );
    nt_response(&challenge, password)
}

/// The user name without `DOMAIN\` (RFC 2759 section 4).
pub fn without_domain(user_name: &[u8]) -> &[u8] {
    match user_name.iter().position(|octet| *octet == b'\\') {
        Some(at) => &user_name[at + 1..],
        None => user_name,
    }
}

/// `S=` and forty hexadecimal digits: the server's proof that it knows the password too (RFC 2759
/// section 8.7). `challenge` is the [`challenge_hash`] of the exchange. A client computes the same
/// and compares.
pub fn authenticator_response(
    nt_hash: &[u8; 16],
    nt_response: &[u8; 24],
    challenge: &[u8; 8],
) -> String {
    let octets = authenticator_response_octets(nt_hash, nt_response, challenge);
    String::from_utf8_lossy(&octets).into_owned()
}

/// The same as the octets it is made of.
pub fn authenticator_response_octets(
    nt_hash: &[u8; 16],
    nt_response: &[u8; 24],
    challenge: &[u8; 8],
) -> [u8; 42] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let inner = Sha1::new()
        .chain_update(Zeroizing::new(nt_hash_hash(nt_hash)).as_slice())
        .chain_update(nt_response)
        .chain_update(SIGNING)
        .finalize();
    let outer = Sha1::new()
        .chain_update(inner)
        .chain_update(challenge)
        .chain_update(ITERATION_PAD);
    let mut response = *b"S=0000000000000000000000000000000000000000";
    for (octet, digits) in outer
        .finalize()
        .iter()
        .zip(response[2..].chunks_exact_mut(2))
    {
        digits[0] = DIGITS[usize::from(octet >> 4)];
        digits[1] = DIGITS[usize::from(octet & 15)];
    }
    response
}

/// The master key both directions come from (RFC 3079 section 3.4, GetMasterKey).
pub fn master_key(nt_hash: &[u8; 16], nt_response: &[u8; 24]) -> Zeroizing<[u8; 16]> {
    let digest = Sha1::new()
        .chain_update(Zeroizing::new(nt_hash_hash(nt_hash)).as_slice())
        .chain_update(nt_response)
        .chain_update(MASTER_KEY)
        .finalize();
    first_sixteen(&digest)
}

/// Which end of the link holds the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that asked: RADIUS server and NAS.
    Server,
    /// The one that answered.
    Client,
}

/// The 16-octet send and receive keys of one end (RFC 3079 section 3.4, GetAsymmetricStartKey):
/// `(send, receive)`. The server's go into MS-MPPE-Send-Key and MS-MPPE-Recv-Key.
pub fn mppe_keys(
    nt_hash: &[u8; 16],
    nt_response: &[u8; 24],
    side: Side,
) -> (Zeroizing<[u8; 16]>, Zeroizing<[u8; 16]>) {
    mppe_keys_of(&master_key(nt_hash, nt_response), side)
}

fn mppe_keys_of(master: &[u8; 16], side: Side) -> (Zeroizing<[u8; 16]>, Zeroizing<[u8; 16]>) {
    let towards_client = start_key(master, TOWARDS_CLIENT);
    let towards_server = start_key(master, TOWARDS_SERVER);
    match side {
        Side::Server => (towards_client, towards_server),
        Side::Client => (towards_server, towards_client),
    }
}

fn start_key(master: &[u8; 16], direction: &[u8]) -> Zeroizing<[u8; 16]> {
    let digest = Sha1::new()
        .chain_update(master)
        .chain_update(SHA_PAD_1)
        .chain_update(direction)
        .chain_update(SHA_PAD_2)
        .finalize();
    first_sixteen(&digest)
}

fn first_sixteen(digest: &[u8]) -> Zeroizing<[u8; 16]> {
    let mut key = Zeroizing::new([0; 16]);
    key.copy_from_slice(&digest[..16]);
    key
}

/// What version 1 yields: the content of MS-CHAP-MPPE-Keys (RFC 2548 section 2.4.1) before it is
/// hidden. Eight zero octets stand where the LM key would be, so 128-bit encryption works and 40-
/// and 56-bit, which need the LM hash, do not. The second part is the hash of the NT hash, which is
/// what NASes expect, whatever the RFC's text says.
pub(crate) fn keys_v1(nt_hash: &[u8; 16]) -> MsChapKeys {
    let mut content = [0; 24];
    content[8..].copy_from_slice(Zeroizing::new(nt_hash_hash(nt_hash)).as_slice());
    MsChapKeys { content }
}

/// Checks a version 1 response. `None` when it does not fit this NT hash.
pub(crate) fn check_v1(
    nt_hash: &[u8; 16],
    challenge: &[u8],
    response: &[u8; 24],
) -> Option<MsChapKeys> {
    let challenge = challenge.first_chunk()?;
    crate::pap::same(&challenge_response(challenge, nt_hash), response).then(|| keys_v1(nt_hash))
}

/// Checks a version 2 response: with the user name stripped of its domain, then as given, since
/// clients and NASes disagree. `None` when neither fits this NT hash.
pub(crate) fn check_v2(
    nt_hash: &[u8; 16],
    authenticator_challenge: &[u8; 16],
    peer_challenge: &[u8; 16],
    response: &[u8; 24],
    user_name: &[u8],
) -> Option<MsChapV2Keys> {
    let stripped = without_domain(user_name);
    let as_given = (stripped.len() != user_name.len()).then_some(user_name);
    for name in [Some(stripped), as_given].into_iter().flatten() {
        let challenge = challenge_hash(peer_challenge, authenticator_challenge, name);
        if crate::pap::same(&challenge_response(&challenge, nt_hash), response) {
            let master = master_key(nt_hash, response);
            let (send, receive) = mppe_keys_of(&master, Side::Server);
            return Some(MsChapV2Keys {
                authenticator_response: authenticator_response_octets(
                    nt_hash, response, &challenge,
                ),
                master: *master,
                send: *send,
                receive: *receive,
            });
        }
    }
    None
}

/// Why an MS-CHAP login failed, in the numbers clients know (RFC 2759 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 646: outside the hours allowed.
    RestrictedHours,
    /// 647: the account is disabled.
    AccountDisabled,
    /// 648: the password has expired; a version 2 client may offer to change it.
    PasswordExpired,
    /// 649: this person may not come in this way.
    NoDialInPermission,
    /// 691: wrong name or password.
    AuthenticationFailure,
    /// 709: the password could not be changed.
    ChangeFailed,
}

impl Failure {
    /// The number after `E=`.
    pub fn code(self) -> u16 {
        match self {
            Failure::RestrictedHours => 646,
            Failure::AccountDisabled => 647,
            Failure::PasswordExpired => 648,
            Failure::NoDialInPermission => 649,
            Failure::AuthenticationFailure => 691,
            Failure::ChangeFailed => 709,
        }
    }
}

/// The text of MS-CHAP-Error for version 2 (RFC 2759 section 6):
/// `E=691 R=0 C=<32 hexadecimal digits> V=3 M=<message>`. `challenge` is the one to use if the
/// client may retry. The message is cut where the attribute would overflow, and its control
/// characters become spaces.
pub fn error_text(failure: Failure, retry: bool, challenge: &[u8; 16], message: &str) -> String {
    let mut text = format!(
        "E={} R={} C={} V=3 M=",
        failure.code(),
        u8::from(retry),
        hex::encode_upper(challenge)
    );
    for character in message.chars() {
        let character = if character.is_control() {
            ' '
        } else {
            character
        };
        if text.len() + character.len_utf8() > MAX_ERROR_TEXT_OCTETS {
            break;
        }
        text.push(character);
    }
    text
}

/// The text of MS-CHAP-Error for version 1 (RFC 2433, failure packet), which has an eight-octet challenge
/// and no message. `V=2` is the version of the change-password packet such clients know.
pub fn error_text_v1(failure: Failure, retry: bool, challenge: &[u8; 8]) -> String {
    format!(
        "E={} R={} C={} V=2",
        failure.code(),
        u8::from(retry),
        hex::encode_upper(challenge)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    #[test]
    fn nt_hashes_are_md4_of_utf_16() {
        fn check(password: &str, expect: &str) {
            assert_eq!(hex::encode(nt_hash(password)), expect);
        }
        check("MyPw", "fc156af7edcd6c0edde3337d427f4eac"); // RFC 2433 appendix B
        check("clientPass", "44ebba8d5312b8d611474411f56989ae"); // RFC 2759 section 9.2
        check("", "31d6cfe0d16ae931b73c59d7e0c089c0");
        check("correct horse", "cfc43211ba8dc470832267827cac1407");
        check("пароль", "507e3ee80df7db7c1fdd8d50ae8db606");
    }

    #[test]
    fn version_1_response_of_rfc_2433_is_reproduced() {
        assert_eq!(
            hex::encode(nt_response(&octets("102db5df085d3041"), "MyPw")),
            "4e9d3c8f9cfd385d5bf4d3246791956ca4c351ab409a3d61"
        );
    }

    #[test]
    fn a_v1_challenge_shorter_than_eight_octets_fits_nothing_and_longer_ones_are_cut() {
        let hash = nt_hash("MyPw");
        let long = octets::<16>("102db5df085d3041ffffffffffffffff");
        let response = octets("4e9d3c8f9cfd385d5bf4d3246791956ca4c351ab409a3d61");
        assert!(check_v1(&hash, &long[..7], &response).is_none());
        assert!(check_v1(&hash, &long[..8], &response).is_some());
        assert!(check_v1(&hash, &long, &response).is_some());
        assert!(check_v1(&hash, &long[1..], &response).is_none());
    }

    #[test]
    fn version_1_keys_are_a_zero_lm_key_and_the_hash_of_the_nt_hash() {
        let keys = keys_v1(&nt_hash("clientPass"));
        assert_eq!(
            hex::encode(keys.content()),
            "000000000000000041c00c584bd2d91c4017a2a12fa59f3f"
        );
    }

    const AUTHENTICATOR: &str = "5b5d7c7d7b3f2f3e3c2c602132262628";
    const PEER: &str = "21402324255e262a28295f2b3a337c7e";
    const RESPONSE: &str = "82309ecd8d708b5ea08faa3981cd83544233114a3d85d6df";

    #[test]
    fn version_2_exchange_of_rfc_2759_is_reproduced() {
        let (authenticator, peer) = (octets(AUTHENTICATOR), octets(PEER));
        let challenge = challenge_hash(&peer, &authenticator, b"User");
        assert_eq!(hex::encode(challenge), "d02e4386bce91226");
        let response = nt_response_v2(&authenticator, &peer, b"User", "clientPass");
        assert_eq!(hex::encode(response), RESPONSE);
        let hash = nt_hash("clientPass");
        assert_eq!(
            hex::encode(nt_hash_hash(&hash)),
            "41c00c584bd2d91c4017a2a12fa59f3f"
        );
        assert_eq!(
            authenticator_response(&hash, &response, &challenge),
            "S=407A5589115FD0D6209F510FE9C04566932CDA56"
        );
    }

    #[test]
    fn keys_of_rfc_3079_are_reproduced_and_mirror_on_the_client() {
        let (hash, response) = (nt_hash("clientPass"), octets(RESPONSE));
        assert_eq!(
            hex::encode(*master_key(&hash, &response)),
            "fdece3717a8c838cb388e527ae3cdd31"
        );
        let (send, receive) = mppe_keys(&hash, &response, Side::Server);
        assert_eq!(hex::encode(*send), "8b7cdc149b993a1ba118cb153f56dccb");
        assert_eq!(hex::encode(*receive), "d5f0e9521e3ea9589645e86051c82226");
        assert!(mppe_keys(&hash, &response, Side::Client) == (receive, send));
    }

    #[test]
    fn the_domain_may_be_hashed_or_not() {
        let (authenticator, peer) = (octets(AUTHENTICATOR), octets(PEER));
        let hash = nt_hash("clientPass");
        let fits = |sent: &[u8], hashed: &[u8]| {
            let challenge = challenge_hash(&peer, &authenticator, hashed);
            let response = challenge_response(&challenge, &hash);
            check_v2(&hash, &authenticator, &peer, &response, sent)
                .map(|keys| keys.authenticator_response().to_owned())
                .inspect(|answer| {
                    assert_eq!(
                        *answer,
                        authenticator_response(&hash, &response, &challenge)
                    );
                })
                .is_some()
        };
        assert!(fits(b"User", b"User"));
        assert!(fits(b"DOMAIN\\User", b"User"));
        assert!(fits(b"DOMAIN\\User", b"DOMAIN\\User"));
        assert!(!fits(b"User", b"DOMAIN\\User"));
        assert!(!fits(b"user", b"User"));
        assert!(fits(b"DOMAIN\\", b""));
    }

    #[test]
    fn only_the_first_backslash_ends_a_domain() {
        assert_eq!(without_domain(b"A\\b\\c"), b"b\\c");
        assert_eq!(without_domain(b"user@realm"), b"user@realm");
    }

    #[test]
    fn error_texts_have_the_shape_clients_parse() {
        let challenge = [0xab; 16];
        assert_eq!(
            error_text(
                Failure::PasswordExpired,
                false,
                &challenge,
                "Password\r\nexpired"
            ),
            "E=648 R=0 C=ABABABABABABABABABABABABABABABAB V=3 M=Password  expired"
        );
        assert_eq!(
            error_text_v1(Failure::AuthenticationFailure, true, &[0x0f; 8]),
            "E=691 R=1 C=0F0F0F0F0F0F0F0F V=2"
        );
    }

    #[test]
    fn error_texts_fit_one_attribute_and_stay_text() {
        let text = error_text(Failure::AccountDisabled, false, &[0; 16], &"ж".repeat(300));
        assert!((MAX_ERROR_TEXT_OCTETS - 1..=MAX_ERROR_TEXT_OCTETS).contains(&text.len()));
        assert!(text.ends_with('ж'));
    }
}
