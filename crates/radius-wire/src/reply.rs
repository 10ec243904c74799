//! The answer to a verified request.
//!
//! A [`Reply`] collects attributes; sealing it against its [`Request`] puts
//! Message-Authenticator first (CVE-2024-3596), hides what must be hidden,
//! echoes Proxy-State last (RFC 2865 §5.33) and signs the whole. It must never
//! decide what a user gets.

use crate::authenticator::sign_response_at;
use crate::code::Code;
use crate::draft::{Draft, put_methods};
use crate::packet::{ATTRIBUTE_HEADER_OCTETS, HEADER_OCTETS, kind};
use crate::request::Request;
use crate::writer::{PacketWriter, SealFault};

/// A reply being put together. Putting never fails; the first thing that
/// cannot be sent is reported by [`Reply::seal`].
///
/// Message-Authenticator and Proxy-State are the protocol's own: putting them
/// has no effect.
pub struct Reply {
    code: Code,
    draft: Draft,
}

/// How a reply is sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SealOptions {
    /// Whether the reply carries a Message-Authenticator where it should. Off
    /// only for NASes that drop replies with one. EAP replies carry it in any
    /// case (RFC 3579 §3.2).
    pub message_authenticator: bool,
    /// Where the salts of hidden values start; must be random for every reply.
    pub salt_seed: u16,
}

impl SealOptions {
    /// With Message-Authenticator, and salts from a random start.
    pub const fn signed(salt_seed: u16) -> SealOptions {
        SealOptions {
            message_authenticator: true,
            salt_seed,
        }
    }
}

impl Reply {
    /// An empty reply.
    pub fn new(code: Code) -> Reply {
        Reply {
            code,
            draft: Draft::new(&[kind::MESSAGE_AUTHENTICATOR, kind::PROXY_STATE]),
        }
    }

    /// What kind of reply it is.
    pub fn code(&self) -> Code {
        self.code
    }

    put_methods!();

    /// Empties it for another answer: a reply that is used again allocates nothing once it has grown.
    pub fn reset(&mut self, code: Code) -> &mut Reply {
        self.code = code;
        self.draft.reset();
        self
    }

    /// The reply's octets, ready to send.
    pub fn seal(&self, request: &Request<'_>, options: SealOptions) -> Result<Vec<u8>, SealFault> {
        let mut octets = Vec::with_capacity(256);
        self.seal_into(request, options, &mut octets)?;
        Ok(octets)
    }

    /// Writes the reply's octets, ready to send, in the place of what `octets` held. Allocates nothing when that has
    /// the room.
    ///
    /// # Errors
    /// [`SealFault`]; `octets` is then empty.
    pub fn seal_into(
        &self,
        request: &Request<'_>,
        options: SealOptions,
        octets: &mut Vec<u8>,
    ) -> Result<(), SealFault> {
        let room = std::mem::take(octets);
        if !self.code.answers(request.code()) {
            return Err(SealFault::NotAnAnswer {
                reply: self.code,
                request: request.code(),
            });
        }
        let authenticator = request.authenticator();
        let mut writer = PacketWriter::over(room, self.code, request.identifier(), authenticator);
        let is_signed = self.carries_message_authenticator(request, options);
        if is_signed {
            writer.message_authenticator()?;
        }
        self.draft.write(
            &mut writer,
            request.secret(),
            authenticator,
            options.salt_seed,
        )?;
        for state in request.packet().all(kind::PROXY_STATE) {
            writer.attribute(kind::PROXY_STATE, state)?;
        }
        *octets = writer.finish();
        let value_offset = is_signed.then_some(HEADER_OCTETS + ATTRIBUTE_HEADER_OCTETS);
        sign_response_at(octets, value_offset, request.secret(), authenticator);
        Ok(())
    }

    fn carries_message_authenticator(&self, request: &Request<'_>, options: SealOptions) -> bool {
        let access = matches!(
            self.code,
            Code::ACCESS_ACCEPT | Code::ACCESS_REJECT | Code::ACCESS_CHALLENGE
        );
        if access && self.draft.contains(kind::EAP_MESSAGE) {
            return true;
        }
        // Accounting, Disconnect and CoA are not open to forged replies;
        // there it is only given to those who show that they know it.
        let due = access
            || self.code == Code::PROTOCOL_ERROR
            || request.code() == Code::STATUS_SERVER
            || request.signed();
        due && options.message_authenticator
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::{Attr, Hide, Integer, Text};
    use crate::authenticator::{
        check_response_message_authenticator, find_message_authenticator,
        response_authenticator_holds,
    };
    use crate::packet::Packet;
    use crate::request::{MessageAuthenticatorRule, Rules};
    use crate::secret::Secret;

    const REPLY_MESSAGE: Attr<Text> = Attr::new("Reply-Message", 0, 18);
    const SESSION_TIMEOUT: Attr<Integer> = Attr::new("Session-Timeout", 0, 27);
    const TUNNEL_TYPE: Attr<Integer> = Attr::new("Tunnel-Type", 0, 64).with_tag();
    const TUNNEL_PASSWORD: Attr<Text> = Attr::new("Tunnel-Password", 0, 69)
        .with_tag()
        .with_hide(Hide::Salted);
    const SEND_KEY: Attr<Text> = Attr::new("MS-MPPE-Send-Key", 311, 16).with_hide(Hide::Salted);
    const AUTHENTICATOR: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    const RULES: Rules = Rules {
        message_authenticator: MessageAuthenticatorRule::Observe,
        refuse_unsigned_proxy_state: false,
        max_proxy_states: 100,
    };
    const UNSIGNED: SealOptions = SealOptions {
        message_authenticator: false,
        salt_seed: 0x8001,
    };
    const SIGNED: SealOptions = SealOptions::signed(0x8001);

    fn secret() -> Secret {
        Secret::new("testing123")
    }

    fn octets(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    /// Seals `reply` against a request given as octets.
    fn seal_against(
        request: &[u8],
        secret: &Secret,
        reply: &Reply,
        options: SealOptions,
    ) -> Result<Vec<u8>, SealFault> {
        let packet = Packet::parse(request).unwrap();
        let request = Request::verify(packet, secret, &RULES).unwrap();
        let sealed = reply.seal(&request, options)?;
        let packet = Packet::parse(&sealed).unwrap();
        assert!(response_authenticator_holds(
            packet,
            secret,
            request.authenticator()
        ));
        let signed = check_response_message_authenticator(packet, secret, request.authenticator());
        assert_eq!(signed, Ok(packet.contains(80)));
        Ok(sealed)
    }

    fn request(code: Code, signed: bool, attributes: &[(u8, &[u8])]) -> Vec<u8> {
        let mut writer = PacketWriter::new(code, 1, &AUTHENTICATOR);
        for (kind, value) in attributes {
            writer.attribute(*kind, value).unwrap();
        }
        if signed {
            writer.message_authenticator().unwrap();
        }
        writer.finish_request(&secret()).unwrap()
    }

    #[test]
    fn known_replies_are_made_octet_for_octet() {
        fn check(request: &str, secret: &str, reply: &Reply, options: SealOptions, expect: &str) {
            let made = seal_against(&octets(request), &Secret::new(secret), reply, options);
            assert_eq!(hex::encode(made.unwrap()), expect);
        }
        let mut reply = Reply::new(Code::ACCESS_ACCEPT);
        reply.put_text(REPLY_MESSAGE, "Hello, bob");
        check(
            "0101003d000102030405060708090a0b0c0d0e0f5012ba88b26874e27ed3839d58754b5a7d2d0105626f620212f4816bca74fd7a1a104607240014828b",
            "testing123",
            &reply,
            SIGNED,
            "0201003274a40f1368452b4a2daa585f6bd199f05012cc6044e17aa614a84e3e9afc87b7c6e4120c48656c6c6f2c20626f62",
        );
        check(
            "040200350fe5edc2f44b68b7da105d18decf4c1c2806000000012c0453310105626f6250128120def3ec947ac86eeabf7f2f1c7e84",
            "testing123",
            &Reply::new(Code::ACCOUNTING_RESPONSE),
            UNSIGNED,
            "05020014daff870fdfba349f3434fd0ec1791edd",
        );
        let mut reply = Reply::new(Code::ACCESS_ACCEPT);
        reply
            .put_raw(6, &[0, 0, 0, 1])
            .put_raw(15, &[0, 0, 0, 0])
            .put_raw(14, &[192, 168, 1, 3]);
        check(
            "010000380f403f9473978057bd83d5cb98f4227a01066e656d6f02120dbe708d93d413ce3196e43f782a0aee0406c0a80110050600000003",
            "xyzzy5461",
            &reply,
            UNSIGNED,
            "0200002686fe220e7624ba2a1005f6bf9b55e0b20606000000010f06000000000e06c0a80103",
        );
    }

    #[test]
    fn known_hidden_attributes_are_made_octet_for_octet() {
        fn check(fill: impl Fn(&mut Reply), salt_seed: u16, expect: &str) {
            let mut reply = Reply::new(Code::ACCESS_ACCEPT);
            fill(&mut reply);
            let options = SealOptions {
                salt_seed,
                ..UNSIGNED
            };
            let request = request(Code::ACCESS_REQUEST, false, &[]);
            let made = seal_against(&request, &secret(), &reply, options).unwrap();
            assert_eq!(hex::encode(&made[20..]), expect);
        }
        check(
            |reply| {
                reply.put_tagged(TUNNEL_PASSWORD, 1, b"secret-psk");
            },
            0x8001,
            "451501800138d7612e787f5115bf54db6bb2ba15f3",
        );
        let key: Vec<u8> = (0x20..=0x3f).collect();
        check(
            |reply| {
                reply.put(SEND_KEY, &key);
            },
            0x8001,
            "1a3a00000137103480011284256f293e001ee80f9941999638dd6282a8d84c9f77c0ea5227ef36ed840cf1df2a6c451199e118495daa69f34419",
        );
    }

    #[test]
    fn message_authenticator_is_first_wherever_it_is_due() {
        fn check(request_code: Code, signed: bool, code: Code, expect: bool) {
            let request = request(request_code, signed, &[(1, b"bob")]);
            let mut reply = Reply::new(code);
            reply.put_text(REPLY_MESSAGE, "text");
            let made = seal_against(&request, &secret(), &reply, SIGNED).unwrap();
            let found = find_message_authenticator(Packet::parse(&made).unwrap()).unwrap();
            assert_eq!(found, expect.then_some(22), "{code} to {request_code}");
            let made = seal_against(&request, &secret(), &reply, UNSIGNED).unwrap();
            assert!(!Packet::parse(&made).unwrap().contains(80));
        }
        for signed in [false, true] {
            for code in [
                Code::ACCESS_ACCEPT,
                Code::ACCESS_REJECT,
                Code::ACCESS_CHALLENGE,
                Code::PROTOCOL_ERROR,
            ] {
                check(Code::ACCESS_REQUEST, signed, code, true);
            }
            check(
                Code::ACCOUNTING_REQUEST,
                signed,
                Code::ACCOUNTING_RESPONSE,
                signed,
            );
            check(Code::ACCOUNTING_REQUEST, signed, Code::PROTOCOL_ERROR, true);
            check(
                Code::DISCONNECT_REQUEST,
                signed,
                Code::DISCONNECT_NAK,
                signed,
            );
            check(Code::COA_REQUEST, signed, Code::COA_ACK, signed);
        }
        check(Code::STATUS_SERVER, true, Code::ACCESS_ACCEPT, true);
        check(Code::STATUS_SERVER, true, Code::ACCOUNTING_RESPONSE, true);
    }

    #[test]
    fn eap_replies_carry_message_authenticator_even_when_switched_off() {
        let request = request(Code::ACCESS_REQUEST, true, &[(79, &[2, 1, 0, 4])]);
        let mut reply = Reply::new(Code::ACCESS_CHALLENGE);
        reply.put_raw(79, &[1, 2, 0, 5, 4]);
        let made = seal_against(&request, &secret(), &reply, UNSIGNED).unwrap();
        assert_eq!(made[20..22], [80, 18]);
    }

    #[test]
    fn proxy_states_come_back_last_in_order_and_unchanged() {
        let request = request(
            Code::ACCESS_REQUEST,
            true,
            &[
                (33, b"first"),
                (1, b"bob"),
                (33, b""),
                (6, &[0; 4]),
                (33, &[0, 255]),
            ],
        );
        let mut reply = Reply::new(Code::ACCESS_ACCEPT);
        reply
            .put_raw(33, b"forged")
            .put_raw(80, &[0; 16])
            .put(SESSION_TIMEOUT, 3600);
        let made = seal_against(&request, &secret(), &reply, SIGNED).unwrap();
        let packet = Packet::parse(&made).unwrap();
        let kinds: Vec<_> = packet.attributes().map(|a| a.kind).collect();
        assert_eq!(kinds, [80, 27, 33, 33, 33]);
        let states: Vec<_> = packet.all(33).collect();
        assert_eq!(states, [&b"first"[..], b"", &[0, 255]]);
    }

    #[test]
    fn tags_and_empty_text_follow_the_rules() {
        let request = request(Code::ACCESS_REQUEST, true, &[]);
        let mut reply = Reply::new(Code::ACCESS_ACCEPT);
        reply
            .put_tagged(TUNNEL_TYPE, 1, 13)
            .put(TUNNEL_TYPE, 13)
            .put_text(REPLY_MESSAGE, "");
        let made = seal_against(&request, &secret(), &reply, UNSIGNED).unwrap();
        assert_eq!(made[20..], [64, 6, 1, 0, 0, 13, 64, 6, 0, 0, 0, 13]);
    }

    #[test]
    fn replies_that_cannot_be_sent_are_refused() {
        let access = request(Code::ACCESS_REQUEST, true, &[(33, &[1; 200])]);
        let refusal = |reply: &Reply| seal_against(&access, &secret(), reply, SIGNED).unwrap_err();
        assert_eq!(
            refusal(&Reply::new(Code::ACCOUNTING_RESPONSE)),
            SealFault::NotAnAnswer {
                reply: Code::ACCOUNTING_RESPONSE,
                request: Code::ACCESS_REQUEST
            }
        );
        let mut reply = Reply::new(Code::ACCESS_ACCEPT);
        for _ in 0..15 {
            reply.put_raw(25, &[1; 253]);
        }
        // 20 + 18 + 3825 fit, with 202 of Proxy-State still; another 100 do not.
        assert!(seal_against(&access, &secret(), &reply, SIGNED).is_ok());
        reply.put_raw(25, &[1; 98]);
        assert_eq!(refusal(&reply), SealFault::PacketTooLong { octets: 4165 });
    }
}
