//! A request that is known to come from somebody who has the shared secret,
//! as far as RADIUS can know.
//!
//! A [`Request`] exists only when every rule held; there is no way to make one
//! otherwise. A packet that fails is answered with silence, so every reason is
//! for logs and counters only.

use std::fmt;
use std::ops::Deref;

use crate::attr::Attr;
use crate::authenticator::{
    MessageAuthenticatorFault, check_request_message_authenticator, request_authenticator_holds,
};
use crate::code::Code;
use crate::hide::{HideError, PlainPassword, Revealed};
use crate::packet::{Packet, kind};
use crate::secret::Secret;

/// Proxy-State attributes accepted by default: as many of the longest as fit
/// in a packet. More is a loop between proxies.
pub const DEFAULT_MAX_PROXY_STATES: usize = 16;
/// Octets of a CHAP-Password: identifier and response (RFC 2865 §5.3).
const CHAP_PASSWORD_OCTETS: usize = 17;

/// What is asked of Message-Authenticator in Access-Requests. Status-Server
/// and EAP always need it (RFC 5997 §3, RFC 3579 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MessageAuthenticatorRule {
    /// Every Access-Request must have one.
    #[default]
    Require,
    /// It may be missing; where it is, it must be right.
    Observe,
    /// Where the protocol does not demand it, a wrong one counts as none, for
    /// devices that send such.
    Off,
}

/// The rules a NAS's requests are held to. The default is the strict one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// What is asked of Message-Authenticator.
    pub message_authenticator: MessageAuthenticatorRule,
    /// Whether an Access-Request with Proxy-State but without a right
    /// Message-Authenticator is refused (CVE-2024-3596).
    pub refuse_unsigned_proxy_state: bool,
    /// The most Proxy-State attributes a request may have.
    pub max_proxy_states: usize,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            message_authenticator: MessageAuthenticatorRule::Require,
            refuse_unsigned_proxy_state: true,
            max_proxy_states: DEFAULT_MAX_PROXY_STATES,
        }
    }
}

/// Why a packet is not believed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Unverified {
    /// A reply, where a request was expected.
    NotARequest(Code),
    /// A code nobody here understands.
    UnknownCode(Code),
    /// The Authenticator of a keyed request is wrong.
    BadAuthenticator,
    /// Message-Authenticator is needed and missing.
    MissingMessageAuthenticator,
    /// Message-Authenticator is wrong.
    BadMessageAuthenticator,
    /// More than one Message-Authenticator.
    RepeatedMessageAuthenticator,
    /// A Message-Authenticator that is not 16 octets.
    MessageAuthenticatorLength,
    /// Proxy-State without Message-Authenticator, where the rules refuse it.
    ProxyStateUnsigned,
    /// More Proxy-States than the rules allow.
    TooManyProxyStates,
    /// EAP-Message together with another way to prove a password (RFC 3579
    /// §3.3).
    EapWithPassword,
}

impl fmt::Display for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Unverified::NotARequest(code) => return write!(f, "{code} is not a request"),
            Unverified::UnknownCode(code) => return write!(f, "{code} is not served"),
            Unverified::BadAuthenticator => {
                "wrong Authenticator; is the shared secret the same on both sides?"
            }
            Unverified::MissingMessageAuthenticator => "Message-Authenticator is missing",
            Unverified::BadMessageAuthenticator => {
                "wrong Message-Authenticator; is the shared secret the same on both sides?"
            }
            Unverified::RepeatedMessageAuthenticator => "more than one Message-Authenticator",
            Unverified::MessageAuthenticatorLength => "Message-Authenticator is not 16 octets",
            Unverified::ProxyStateUnsigned => "Proxy-State without Message-Authenticator",
            Unverified::TooManyProxyStates => "too many Proxy-States",
            Unverified::EapWithPassword => "EAP-Message together with a password",
        };
        f.write_str(text)
    }
}

impl std::error::Error for Unverified {}

impl From<MessageAuthenticatorFault> for Unverified {
    fn from(fault: MessageAuthenticatorFault) -> Unverified {
        match fault {
            MessageAuthenticatorFault::Repeated => Unverified::RepeatedMessageAuthenticator,
            MessageAuthenticatorFault::Length => Unverified::MessageAuthenticatorLength,
            MessageAuthenticatorFault::Wrong => Unverified::BadMessageAuthenticator,
        }
    }
}

/// A verified request. Reads like the [`Packet`] it is.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    packet: Packet<'a>,
    secret: &'a Secret,
    signed: bool,
}

/// What a CHAP login brings (RFC 2865 §2.2).
#[derive(Clone, Copy)]
pub struct Chap<'a> {
    /// The CHAP identifier.
    pub identifier: u8,
    /// MD5 over identifier, password and challenge.
    pub response: &'a [u8; 16],
    /// CHAP-Challenge, or the packet's authenticator where there is none.
    pub challenge: &'a [u8],
}

impl<'a> Request<'a> {
    /// Holds a packet to the rules.
    pub fn verify(
        packet: Packet<'a>,
        secret: &'a Secret,
        rules: &Rules,
    ) -> Result<Request<'a>, Unverified> {
        let code = packet.code();
        if !code.is_request() {
            return Err(match code.is_response() {
                true => Unverified::NotARequest(code),
                false => Unverified::UnknownCode(code),
            });
        }
        if code.has_keyed_authenticator() && !request_authenticator_holds(packet, secret) {
            return Err(Unverified::BadAuthenticator);
        }
        let access = code == Code::ACCESS_REQUEST;
        let eap = access && packet.contains(kind::EAP_MESSAGE);
        let demanded = eap || code == Code::STATUS_SERVER;
        let rule = rules.message_authenticator;
        let signed = match check_request_message_authenticator(packet, secret) {
            Err(_) if !demanded && rule == MessageAuthenticatorRule::Off => false,
            checked => checked?,
        };
        let required = demanded || (access && rule == MessageAuthenticatorRule::Require);
        if required && !signed {
            return Err(Unverified::MissingMessageAuthenticator);
        }
        let proxy_states = packet.all(kind::PROXY_STATE).count();
        if access && proxy_states > 0 && !signed && rules.refuse_unsigned_proxy_state {
            return Err(Unverified::ProxyStateUnsigned);
        }
        if proxy_states > rules.max_proxy_states {
            return Err(Unverified::TooManyProxyStates);
        }
        if eap && has_password(packet) {
            return Err(Unverified::EapWithPassword);
        }
        Ok(Request {
            packet,
            secret,
            signed,
        })
    }

    /// The packet.
    pub fn packet(&self) -> Packet<'a> {
        self.packet
    }

    /// The secret it was verified with.
    pub fn secret(&self) -> &'a Secret {
        self.secret
    }

    /// Whether it had a right Message-Authenticator.
    pub fn signed(&self) -> bool {
        self.signed
    }

    /// Whether it has passed through a proxy.
    pub fn has_proxy_state(&self) -> bool {
        self.packet.contains(kind::PROXY_STATE)
    }

    /// User-Password in clear; `None` when there is none. A wrong secret gives
    /// garbage, see [`crate::hide::looks_garbled`].
    pub fn password(&self) -> Option<Result<PlainPassword, HideError>> {
        let value = self.packet.first(kind::USER_PASSWORD)?;
        Some(PlainPassword::unhide(
            value,
            self.secret,
            self.packet.authenticator(),
        ))
    }

    /// The CHAP login; `None` when there is none or it has the wrong size.
    pub fn chap(&self) -> Option<Chap<'a>> {
        let value = self.packet.first(kind::CHAP_PASSWORD)?;
        let (&identifier, rest) = value.split_first()?;
        let response = rest.first_chunk::<16>()?;
        let challenge = self.packet.first(kind::CHAP_CHALLENGE);
        (value.len() == CHAP_PASSWORD_OCTETS).then(|| Chap {
            identifier,
            response,
            challenge: challenge.unwrap_or(self.packet.authenticator()),
        })
    }

    /// The EAP packet, joined from its pieces; `None` when there is none.
    pub fn eap(&self) -> Option<Vec<u8>> {
        self.packet.joined(kind::EAP_MESSAGE)
    }

    /// The first value of a hidden attribute in clear.
    pub fn reveal<T>(&self, attr: Attr<T>) -> Option<Result<Revealed, HideError>> {
        self.packet
            .reveal(attr, self.secret, self.packet.authenticator())
    }
}

impl<'a> Deref for Request<'a> {
    type Target = Packet<'a>;

    fn deref(&self) -> &Packet<'a> {
        &self.packet
    }
}

// Shows the packet's outline only; a request holds a secret.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.packet.fmt(f)
    }
}

fn has_password(packet: Packet<'_>) -> bool {
    [
        kind::USER_PASSWORD,
        kind::CHAP_PASSWORD,
        kind::ARAP_PASSWORD,
    ]
    .into_iter()
    .any(|kind| packet.contains(kind))
}

#[cfg(test)]
mod tests {
    use md5::{Digest, Md5};

    use super::*;
    use crate::writer::PacketWriter;

    const AUTHENTICATOR: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    const STRICT: Rules = Rules {
        message_authenticator: MessageAuthenticatorRule::Require,
        refuse_unsigned_proxy_state: true,
        max_proxy_states: 3,
    };
    const LENIENT: Rules = Rules {
        message_authenticator: MessageAuthenticatorRule::Observe,
        refuse_unsigned_proxy_state: false,
        max_proxy_states: 3,
    };

    fn secret() -> Secret {
        Secret::new("testing123")
    }

    /// A request of these attributes; a value of `None` is the place of the
    /// Message-Authenticator.
    fn request(code: Code, attributes: &[(u8, Option<&[u8]>)]) -> Vec<u8> {
        let mut writer = PacketWriter::new(code, 1, &AUTHENTICATOR);
        for (kind, value) in attributes {
            match value {
                Some(value) => writer.attribute(*kind, value).unwrap(),
                None => writer.message_authenticator().unwrap(),
            }
        }
        writer.finish_request(&secret()).unwrap()
    }

    fn verdict(octets: &[u8], rules: &Rules) -> Result<bool, Unverified> {
        let packet = Packet::parse(octets).unwrap();
        Request::verify(packet, &secret(), rules).map(|request| request.signed())
    }

    const USER: (u8, Option<&[u8]>) = (1, Some(b"bob"));
    const MA: (u8, Option<&[u8]>) = (80, None);
    const EAP: (u8, Option<&[u8]>) = (79, Some(&[2, 1, 0, 8, 1, b'b', b'o', b'b']));
    const PROXY: (u8, Option<&[u8]>) = (33, Some(b"hop"));

    #[test]
    fn rules_decide_which_requests_are_believed() {
        use Unverified::*;
        type Attributes<'a> = &'a [(u8, Option<&'a [u8]>)];
        fn check(
            code: Code,
            attributes: Attributes,
            strict: Result<bool, Unverified>,
            lenient: Result<bool, Unverified>,
        ) {
            let octets = request(code, attributes);
            assert_eq!(verdict(&octets, &STRICT), strict, "strict {attributes:?}");
            assert_eq!(
                verdict(&octets, &LENIENT),
                lenient,
                "lenient {attributes:?}"
            );
        }
        let access = Code::ACCESS_REQUEST;
        check(access, &[USER], Err(MissingMessageAuthenticator), Ok(false));
        check(access, &[MA, USER], Ok(true), Ok(true));
        check(
            access,
            &[USER, MA, (6, Some(&[0, 0, 0, 2]))],
            Ok(true),
            Ok(true),
        );
        check(access, &[USER, MA], Ok(true), Ok(true));
        let missing = Err(MissingMessageAuthenticator);
        check(access, &[USER, EAP], missing, missing);
        check(access, &[USER, EAP, MA], Ok(true), Ok(true));
        let mixed = Err(EapWithPassword);
        check(access, &[MA, EAP, (2, Some(&[0; 16]))], mixed, mixed);
        check(access, &[MA, EAP, (3, Some(&[0; 17]))], mixed, mixed);
        check(access, &[MA, EAP, (70, Some(&[0; 16]))], mixed, mixed);
        let repeated = Err(RepeatedMessageAuthenticator);
        check(access, &[MA, USER, MA], repeated, repeated);
        let length = Err(MessageAuthenticatorLength);
        check(access, &[USER, (80, Some(&[0; 15]))], length, length);
        check(access, &[USER, (80, Some(&[0; 17]))], length, length);
        let bad = Err(BadMessageAuthenticator);
        check(Code::STATUS_SERVER, &[], missing, missing);
        check(Code::STATUS_SERVER, &[MA], Ok(true), Ok(true));
        check(access, &[MA, PROXY, PROXY, PROXY], Ok(true), Ok(true));
        let loops = Err(TooManyProxyStates);
        check(access, &[MA, PROXY, PROXY, PROXY, PROXY], loops, loops);
        for code in [
            Code::ACCOUNTING_REQUEST,
            Code::DISCONNECT_REQUEST,
            Code::COA_REQUEST,
        ] {
            check(code, &[USER], Ok(false), Ok(false));
            check(code, &[USER, MA], Ok(true), Ok(true));
            check(code, &[USER, PROXY], Ok(false), Ok(false));
            check(code, &[MA, MA], repeated, repeated);
        }
        let mut octets = request(access, &[MA, USER]);
        octets[25] ^= 1;
        assert_eq!(verdict(&octets, &STRICT), bad);
        assert_eq!(verdict(&octets, &LENIENT), bad);
    }

    #[test]
    fn unsigned_proxy_state_is_refused_only_where_the_rules_say_so() {
        let limiting = Rules {
            refuse_unsigned_proxy_state: true,
            ..LENIENT
        };
        let unsigned = request(Code::ACCESS_REQUEST, &[USER, PROXY]);
        assert_eq!(
            verdict(&unsigned, &limiting),
            Err(Unverified::ProxyStateUnsigned)
        );
        assert_eq!(verdict(&unsigned, &LENIENT), Ok(false));
        let signed = request(Code::ACCESS_REQUEST, &[USER, PROXY, MA]);
        assert_eq!(verdict(&signed, &limiting), Ok(true));
        let plain = request(Code::ACCESS_REQUEST, &[USER]);
        assert_eq!(verdict(&plain, &limiting), Ok(false));
    }

    #[test]
    fn switched_off_wrong_ones_pass_except_where_the_protocol_demands_them() {
        let off = Rules {
            message_authenticator: MessageAuthenticatorRule::Off,
            ..LENIENT
        };
        let wrong = (80, Some(&[7; 16][..]));
        // Written by hand, because signing would put it right.
        let by_hand = |attributes: &[(u8, Option<&[u8]>)], code| {
            let mut writer = PacketWriter::new(code, 1, &AUTHENTICATOR);
            for (kind, value) in attributes {
                writer.attribute(*kind, value.unwrap_or_default()).unwrap();
            }
            writer.finish()
        };
        let octets = request(Code::ACCESS_REQUEST, &[USER, MA]);
        assert_eq!(verdict(&octets, &off), Ok(true));
        let octets = by_hand(&[USER, wrong], Code::ACCESS_REQUEST);
        assert_eq!(verdict(&octets, &off), Ok(false));
        assert_eq!(
            verdict(&octets, &LENIENT),
            Err(Unverified::BadMessageAuthenticator)
        );
        let octets = by_hand(&[EAP, wrong], Code::ACCESS_REQUEST);
        assert_eq!(
            verdict(&octets, &off),
            Err(Unverified::BadMessageAuthenticator)
        );
        let octets = by_hand(&[wrong], Code::STATUS_SERVER);
        assert_eq!(
            verdict(&octets, &off),
            Err(Unverified::BadMessageAuthenticator)
        );
    }

    #[test]
    fn keyed_requests_with_a_wrong_authenticator_are_refused() {
        for code in [
            Code::ACCOUNTING_REQUEST,
            Code::DISCONNECT_REQUEST,
            Code::COA_REQUEST,
        ] {
            let mut octets = request(code, &[USER]);
            octets[4] ^= 1;
            assert_eq!(
                verdict(&octets, &LENIENT),
                Err(Unverified::BadAuthenticator)
            );
        }
        // A right Authenticator over a wrong Message-Authenticator.
        let mut octets = request(Code::ACCOUNTING_REQUEST, &[USER, MA]);
        octets[30] ^= 1;
        let packet = Packet::parse(&octets).unwrap();
        let field = crate::authenticator::request_authenticator(packet, &secret());
        octets[4..20].copy_from_slice(&field);
        assert_eq!(
            verdict(&octets, &LENIENT),
            Err(Unverified::BadMessageAuthenticator)
        );
    }

    #[test]
    fn only_five_codes_are_requests() {
        for number in 0..=u8::MAX {
            let code = Code(number);
            let octets = request(code, &[MA]);
            let expect = match number {
                1 | 4 | 12 | 40 | 43 => Ok(true),
                2 | 3 | 5 | 11 | 41 | 42 | 44 | 45 | 52 => Err(Unverified::NotARequest(code)),
                _ => Err(Unverified::UnknownCode(code)),
            };
            assert_eq!(verdict(&octets, &STRICT), expect, "{code}");
        }
    }

    #[test]
    fn known_requests_are_verified_and_read() {
        let octets = hex::decode("0101003d000102030405060708090a0b0c0d0e0f5012ba88b26874e27ed3839d58754b5a7d2d0105626f620212f4816bca74fd7a1a104607240014828b").unwrap();
        let packet = Packet::parse(&octets).unwrap();
        let secret = secret();
        let request = Request::verify(packet, &secret, &Rules::default()).unwrap();
        assert!(request.signed());
        assert!(!request.has_proxy_state());
        assert_eq!(&*request.password().unwrap().unwrap(), b"bob");
        // Reads like a packet, and what is read outlives the request.
        let name = { request }.first(1);
        assert_eq!(name, Some(&b"bob"[..]));
        assert!(request.chap().is_none() && request.eap().is_none());
        let other = Secret::new("other");
        assert_eq!(
            Request::verify(packet, &other, &Rules::default()).unwrap_err(),
            Unverified::BadMessageAuthenticator
        );
    }

    #[test]
    fn impossible_passwords_are_errors_and_missing_ones_absent() {
        let octets = request(Code::ACCESS_REQUEST, &[MA, (2, Some(&[1, 2, 3]))]);
        let secret = secret();
        let packet = Packet::parse(&octets).unwrap();
        let request = Request::verify(packet, &secret, &STRICT).unwrap();
        assert_eq!(
            request.password().unwrap().err().unwrap(),
            HideError::Length { octets: 3 }
        );
    }

    #[test]
    fn chap_takes_its_challenge_from_the_attribute_or_the_authenticator() {
        fn check(attributes: &[(u8, Option<&[u8]>)], password: &[u8], right: bool) {
            let octets = request(Code::ACCESS_REQUEST, attributes);
            let secret = secret();
            let packet = Packet::parse(&octets).unwrap();
            let request = Request::verify(packet, &secret, &STRICT).unwrap();
            let chap = request.chap().unwrap();
            let expect: [u8; 16] = Md5::new()
                .chain_update([chap.identifier])
                .chain_update(password)
                .chain_update(chap.challenge)
                .finalize()
                .into();
            assert_eq!(chap.response == &expect, right);
        }
        let bob = hex::decode("071e1b2c90d1513f724eb387085cd1bbc9").unwrap();
        check(&[MA, (3, Some(&bob))], b"bob", true);
        check(&[MA, (3, Some(&bob))], b"eve", false);
        check(
            &[MA, (3, Some(&bob)), (60, Some(&AUTHENTICATOR))],
            b"bob",
            true,
        );
        check(&[MA, (3, Some(&bob)), (60, Some(&[9; 16]))], b"bob", false);
        let rfc = hex::decode("16e97557c316185895f293ff6344077275").unwrap();
        let challenge = hex::decode("2aee86f08d0d55969ca5978e0d3367a2").unwrap();
        check(
            &[MA, (3, Some(&rfc)), (60, Some(&challenge))],
            b"arctangent",
            true,
        );
    }

    #[test]
    fn chap_of_the_wrong_size_is_absent() {
        for size in [0, 16, 18] {
            let value = vec![0; size];
            let octets = request(Code::ACCESS_REQUEST, &[MA, (3, Some(&value))]);
            let secret = secret();
            let packet = Packet::parse(&octets).unwrap();
            assert!(
                Request::verify(packet, &secret, &STRICT)
                    .unwrap()
                    .chap()
                    .is_none()
            );
        }
    }
}
