//! The two digests that tie packets to the shared secret: the Authenticator
//! field (RFC 2865 §3, RFC 2866 §3) and Message-Authenticator (RFC 3579 §3.2).
//!
//! Every comparison is in constant time. Must never say more about a failed
//! check than that it failed.

use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use crate::packet::{ATTRIBUTE_HEADER_OCTETS, HEADER_OCTETS, MAX_OCTETS, Malformed, Packet, kind};
use crate::secret::Secret;

/// Octets of an authenticator and of a Message-Authenticator's value.
pub const AUTHENTICATOR_OCTETS: usize = 16;
/// Where the Authenticator field begins.
pub const AUTHENTICATOR_OFFSET: usize = 4;

const ZEROS: [u8; AUTHENTICATOR_OCTETS] = [0; AUTHENTICATOR_OCTETS];

/// What is wrong with a Message-Authenticator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessageAuthenticatorFault {
    /// There is more than one.
    Repeated,
    /// Its value is not 16 octets.
    Length,
    /// It does not belong to this packet and secret.
    Wrong,
}

/// MD5 over the packet with `field` in place of its Authenticator, then the
/// secret.
fn keyed_digest(packet: Packet<'_>, field: &[u8; 16], secret: &Secret) -> [u8; 16] {
    let octets = packet.octets();
    Md5::new()
        .chain_update(&octets[..AUTHENTICATOR_OFFSET])
        .chain_update(field)
        .chain_update(&octets[HEADER_OCTETS..])
        .chain_update(secret.as_bytes())
        .finalize()
        .into()
}

/// The Authenticator that Accounting-Request, Disconnect-Request and
/// CoA-Request must carry (RFC 2866 §3, RFC 5176 §2.3).
pub fn request_authenticator(packet: Packet<'_>, secret: &Secret) -> [u8; 16] {
    keyed_digest(packet, &ZEROS, secret)
}

/// The Authenticator that a reply to a request with `request_authenticator`
/// must carry (RFC 2865 §3).
pub fn response_authenticator(
    packet: Packet<'_>,
    secret: &Secret,
    request_authenticator: &[u8; 16],
) -> [u8; 16] {
    keyed_digest(packet, request_authenticator, secret)
}

/// Whether a keyed request carries the right Authenticator.
pub fn request_authenticator_holds(packet: Packet<'_>, secret: &Secret) -> bool {
    let right = request_authenticator(packet, secret);
    bool::from(right.ct_eq(packet.authenticator()))
}

/// Whether a reply carries the right Authenticator.
pub fn response_authenticator_holds(
    packet: Packet<'_>,
    secret: &Secret,
    request_authenticator: &[u8; 16],
) -> bool {
    let right = response_authenticator(packet, secret, request_authenticator);
    bool::from(right.ct_eq(packet.authenticator()))
}

/// Where the value of the packet's Message-Authenticator begins, in octets
/// from the start; `None` when it has none.
pub fn find_message_authenticator(
    packet: Packet<'_>,
) -> Result<Option<usize>, MessageAuthenticatorFault> {
    let mut found = None;
    for attribute in packet.attributes() {
        if attribute.kind != kind::MESSAGE_AUTHENTICATOR {
            continue;
        }
        if attribute.value.len() != AUTHENTICATOR_OCTETS {
            return Err(MessageAuthenticatorFault::Length);
        }
        if found.is_some() {
            return Err(MessageAuthenticatorFault::Repeated);
        }
        found = Some(attribute.offset + ATTRIBUTE_HEADER_OCTETS);
    }
    Ok(found)
}

/// The Message-Authenticator of a packet whose value begins at `value_offset`,
/// with `field` in place of the Authenticator.
fn message_authenticator(
    octets: &[u8],
    value_offset: usize,
    field: &[u8; 16],
    secret: &Secret,
) -> Hmac<Md5> {
    let value_end = value_offset + AUTHENTICATOR_OCTETS;
    let before = octets.get(HEADER_OCTETS..value_offset).unwrap_or_default();
    let after = octets.get(value_end..).unwrap_or_default();
    let mut mac = secret.keyed();
    mac.update(&octets[..AUTHENTICATOR_OFFSET]);
    mac.update(field);
    mac.update(before);
    mac.update(&ZEROS);
    mac.update(after);
    mac
}

fn check(
    packet: Packet<'_>,
    field: &[u8; 16],
    secret: &Secret,
) -> Result<bool, MessageAuthenticatorFault> {
    let Some(offset) = find_message_authenticator(packet)? else {
        return Ok(false);
    };
    let value = packet
        .octets()
        .get(offset..offset + AUTHENTICATOR_OCTETS)
        .unwrap_or_default();
    message_authenticator(packet.octets(), offset, field, secret)
        .verify_slice(value)
        .map(|()| true)
        .map_err(|_| MessageAuthenticatorFault::Wrong)
}

/// The Authenticator that a request's Message-Authenticator is computed with:
/// its own where it is random, zeros where it is itself a digest.
fn request_field<'a>(packet: Packet<'a>) -> &'a [u8; 16] {
    match packet.code().has_keyed_authenticator() {
        true => &ZEROS,
        false => packet.authenticator(),
    }
}

/// Checks the Message-Authenticator of a request: `true` when there is one and
/// it is right, `false` when there is none.
pub fn check_request_message_authenticator(
    packet: Packet<'_>,
    secret: &Secret,
) -> Result<bool, MessageAuthenticatorFault> {
    check(packet, request_field(packet), secret)
}

/// Checks the Message-Authenticator of a reply: `true` when there is one and
/// it is right, `false` when there is none.
pub fn check_response_message_authenticator(
    packet: Packet<'_>,
    secret: &Secret,
    request_authenticator: &[u8; 16],
) -> Result<bool, MessageAuthenticatorFault> {
    check(packet, request_authenticator, secret)
}

/// Fills in the Message-Authenticator of a finished request, where it has room
/// for one, then its Authenticator, where that is a digest.
pub fn sign_request(octets: &mut [u8], secret: &Secret) -> Result<(), Malformed> {
    let packet = parse_own(octets)?;
    let field = *request_field(packet);
    fill_message_authenticator(octets, &field, secret)?;
    let packet = parse_own(octets)?;
    if packet.code().has_keyed_authenticator() {
        let field = request_authenticator(packet, secret);
        fill(octets, AUTHENTICATOR_OFFSET, &field);
    }
    Ok(())
}

/// Fills in the Message-Authenticator of a finished reply, where it has room
/// for one, then its Authenticator.
pub fn sign_response(
    octets: &mut [u8],
    secret: &Secret,
    request_authenticator: &[u8; 16],
) -> Result<(), Malformed> {
    fill_message_authenticator(octets, request_authenticator, secret)?;
    let field = response_authenticator(parse_own(octets)?, secret, request_authenticator);
    fill(octets, AUTHENTICATOR_OFFSET, &field);
    Ok(())
}

/// Like [`sign_response`], for a reply whose place for Message-Authenticator is
/// known: where its value begins, or `None` for one without. Looks at no
/// attribute.
pub(crate) fn sign_response_at(
    octets: &mut [u8],
    value_offset: Option<usize>,
    secret: &Secret,
    request_authenticator: &[u8; 16],
) {
    if let Some(offset) = value_offset {
        let value: [u8; 16] = message_authenticator(octets, offset, request_authenticator, secret)
            .finalize()
            .into_bytes()
            .into();
        fill(octets, offset, &value);
    }
    let field: [u8; 16] = Md5::new()
        .chain_update(&octets[..AUTHENTICATOR_OFFSET])
        .chain_update(request_authenticator)
        .chain_update(&octets[HEADER_OCTETS..])
        .chain_update(secret.as_bytes())
        .finalize()
        .into();
    fill(octets, AUTHENTICATOR_OFFSET, &field);
}

/// What we write ourselves is bounded by its length alone.
fn parse_own(octets: &[u8]) -> Result<Packet<'_>, Malformed> {
    Packet::parse_with(octets, MAX_OCTETS)
}

/// A repeated or mis-sized Message-Authenticator is left alone: it can never
/// be right, and only tests write one.
fn fill_message_authenticator(
    octets: &mut [u8],
    field: &[u8; 16],
    secret: &Secret,
) -> Result<(), Malformed> {
    let packet = parse_own(octets)?;
    if let Ok(Some(offset)) = find_message_authenticator(packet) {
        let value: [u8; 16] = message_authenticator(packet.octets(), offset, field, secret)
            .finalize()
            .into_bytes()
            .into();
        fill(octets, offset, &value);
    }
    Ok(())
}

fn fill(octets: &mut [u8], offset: usize, value: &[u8; 16]) {
    if let Some(place) = octets.get_mut(offset..offset + value.len()) {
        place.copy_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::KEY_BLOCK_OCTETS;
    use hmac::KeyInit;

    const ACCESS_REQUEST: &str = "0101003d000102030405060708090a0b0c0d0e0f5012ba88b26874e27ed3839d58754b5a7d2d0105626f620212f4816bca74fd7a1a104607240014828b";
    const ACCESS_ACCEPT: &str = "0201003274a40f1368452b4a2daa585f6bd199f05012cc6044e17aa614a84e3e9afc87b7c6e4120c48656c6c6f2c20626f62";
    const ACCOUNTING_REQUEST: &str = "040200350fe5edc2f44b68b7da105d18decf4c1c2806000000012c0453310105626f6250128120def3ec947ac86eeabf7f2f1c7e84";
    const ACCOUNTING_RESPONSE: &str = "05020014daff870fdfba349f3434fd0ec1791edd";
    const DISCONNECT_REQUEST: &str = "28040035cd77712a6522253f238a13c874a26ec00105626f622c04533137066553f100501228115f37544042838ff3379c5b429754";
    const STATUS_SERVER: &str =
        "0c030026000102030405060708090a0b0c0d0e0f5012733e3188a468534b0aa8e3d36413320c";
    const RFC_2865_RESPONSE: &str =
        "0200002686fe220e7624ba2a1005f6bf9b55e0b20606000000010f06000000000e06c0a80103";

    fn octets(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    fn secret() -> Secret {
        Secret::new("testing123")
    }

    #[test]
    fn known_requests_carry_a_right_message_authenticator() {
        for text in [
            ACCESS_REQUEST,
            ACCOUNTING_REQUEST,
            DISCONNECT_REQUEST,
            STATUS_SERVER,
        ] {
            let octets = octets(text);
            let packet = Packet::parse(&octets).unwrap();
            assert_eq!(
                check_request_message_authenticator(packet, &secret()),
                Ok(true)
            );
            let wrong = check_request_message_authenticator(packet, &Secret::new("other"));
            assert_eq!(wrong, Err(MessageAuthenticatorFault::Wrong));
            if packet.code().has_keyed_authenticator() {
                assert!(request_authenticator_holds(packet, &secret()));
                assert!(!request_authenticator_holds(packet, &Secret::new("other")));
            }
        }
    }

    #[test]
    fn any_changed_octet_breaks_the_message_authenticator() {
        let good = octets(ACCESS_REQUEST);
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 1;
            let Ok(packet) = Packet::parse(&bad) else {
                continue;
            };
            let result = check_request_message_authenticator(packet, &secret());
            assert_ne!(result, Ok(true), "octet {place}");
        }
    }

    #[test]
    fn known_replies_verify_against_their_requests() {
        fn check(request: &str, response: &str, secret: &Secret, signed: bool) {
            let request = octets(request);
            let request = Packet::parse(&request).unwrap();
            let octets = octets(response);
            let packet = Packet::parse(&octets).unwrap();
            let field = request.authenticator();
            assert!(response_authenticator_holds(packet, secret, field));
            assert!(!response_authenticator_holds(packet, secret, &[0; 16]));
            let got = check_response_message_authenticator(packet, secret, field);
            assert_eq!(got, Ok(signed));
        }
        check(ACCESS_REQUEST, ACCESS_ACCEPT, &secret(), true);
        check(ACCOUNTING_REQUEST, ACCOUNTING_RESPONSE, &secret(), false);
        let rfc_request = "010000380f403f9473978057bd83d5cb98f4227a01066e656d6f02120dbe708d93d413ce3196e43f782a0aee0406c0a80110050600000003";
        check(
            rfc_request,
            RFC_2865_RESPONSE,
            &Secret::new("xyzzy5461"),
            false,
        );
    }

    #[test]
    fn signing_restores_the_known_octets() {
        for text in [
            ACCESS_REQUEST,
            ACCOUNTING_REQUEST,
            DISCONNECT_REQUEST,
            STATUS_SERVER,
        ] {
            let good = octets(text);
            let mut made = good.clone();
            let offset = find_message_authenticator(Packet::parse(&good).unwrap());
            fill(&mut made, offset.unwrap().unwrap(), &[0xaa; 16]);
            if Packet::parse(&good)
                .unwrap()
                .code()
                .has_keyed_authenticator()
            {
                fill(&mut made, AUTHENTICATOR_OFFSET, &[0xaa; 16]);
            }
            assert_ne!(made, good);
            sign_request(&mut made, &secret()).unwrap();
            assert_eq!(made, good);
        }
        let request = octets(ACCESS_REQUEST);
        let field = *Packet::parse(&request).unwrap().authenticator();
        let good = octets(ACCESS_ACCEPT);
        let mut made = good.clone();
        fill(&mut made, 22, &[0xaa; 16]);
        fill(&mut made, AUTHENTICATOR_OFFSET, &[0xaa; 16]);
        sign_response(&mut made, &secret(), &field).unwrap();
        assert_eq!(made, good);
    }

    #[test]
    fn two_or_mis_sized_message_authenticators_are_faults() {
        fn check(attributes: &[u8], expect: Result<Option<usize>, MessageAuthenticatorFault>) {
            let mut octets = vec![1, 1, 0, (HEADER_OCTETS + attributes.len()) as u8];
            octets.extend_from_slice(&[0; 16]);
            octets.extend_from_slice(attributes);
            let packet = Packet::parse(&octets).unwrap();
            assert_eq!(find_message_authenticator(packet), expect);
        }
        let one = [[80, 18].as_slice(), &[0; 16]].concat();
        check(&[], Ok(None));
        check(&one, Ok(Some(22)));
        check(&[&[1, 3, 65], one.as_slice()].concat(), Ok(Some(25)));
        check(&one.repeat(2), Err(MessageAuthenticatorFault::Repeated));
        check(
            &[[80, 17].as_slice(), &[0; 15]].concat(),
            Err(MessageAuthenticatorFault::Length),
        );
        check(&[80, 2], Err(MessageAuthenticatorFault::Length));
        check(
            &[one.as_slice(), &[80, 3, 0]].concat(),
            Err(MessageAuthenticatorFault::Length),
        );
    }

    #[test]
    fn secrets_longer_than_a_key_block_work() {
        let secret = Secret::new(vec![b's'; KEY_BLOCK_OCTETS + 1]);
        let mut octets = octets(ACCESS_REQUEST);
        sign_request(&mut octets, &secret).unwrap();
        let packet = Packet::parse(&octets).unwrap();
        assert_eq!(
            check_request_message_authenticator(packet, &secret),
            Ok(true)
        );
        // What the hash crate makes of the same long key must be the same.
        let mut mac = Hmac::<Md5>::new_from_slice(secret.as_bytes()).unwrap();
        let mut zeroed = octets.clone();
        fill(&mut zeroed, 22, &[0; 16]);
        mac.update(&zeroed);
        assert!(mac.verify_slice(&octets[22..38]).is_ok());
    }
}
