//! The asking half: requests we send, and which answers to believe.
//!
//! For Disconnect and CoA to a NAS, for checks of a running server, and for
//! load tests. Sockets, retries and random numbers are the caller's.

use std::fmt;

use crate::attr::{Attr, Hide};
use crate::authenticator::{check_response_message_authenticator, response_authenticator_holds};
use crate::code::Code;
use crate::draft::{Draft, put_methods};
use crate::hide::{HideError, Revealed};
use crate::packet::{Malformed, Packet, kind};
use crate::secret::Secret;
use crate::writer::{PacketWriter, SealFault};

/// A request being put together. Putting never fails; the first thing that
/// cannot be sent is reported by [`Question::seal`].
pub struct Question {
    code: Code,
    identifier: u8,
    authenticator: [u8; 16],
    secret: Secret,
    draft: Draft,
}

impl Question {
    /// An empty request. `authenticator` is sixteen random octets; they go on
    /// the wire in Access-Request and Status-Server, elsewhere sealing puts a
    /// digest in their place. Either way they seed the salts of hidden values.
    pub fn new(code: Code, identifier: u8, authenticator: [u8; 16], secret: Secret) -> Question {
        Question {
            code,
            identifier,
            authenticator,
            secret,
            draft: Draft::new(&[kind::MESSAGE_AUTHENTICATOR]),
        }
    }

    put_methods!();

    /// Puts User-Password, to be hidden when sealing.
    pub fn put_user_password(&mut self, plain: &[u8]) -> &mut Question {
        let number = u32::from(kind::USER_PASSWORD);
        self.put_hidden(0, number, None, Hide::Password, plain)
    }

    /// The finished request, with Message-Authenticator as its first attribute
    /// or without one. Nothing is added against the caller's word: checks of a
    /// server must be able to leave it out where it is demanded.
    pub fn seal(self, with_message_authenticator: bool) -> Result<Sealed, SealFault> {
        // Values in keyed requests are hidden with what the field holds while
        // they are written, and that is zeros.
        let field = match self.code.has_keyed_authenticator() {
            true => [0; 16],
            false => self.authenticator,
        };
        let mut writer = PacketWriter::new(self.code, self.identifier, &field);
        if with_message_authenticator {
            writer.message_authenticator()?;
        }
        let salt_seed = u16::from_be_bytes([self.authenticator[0], self.authenticator[1]]);
        self.draft
            .write(&mut writer, &self.secret, &field, salt_seed)?;
        let octets = writer.finish_request(&self.secret)?;
        let mut authenticator = [0; 16];
        authenticator.copy_from_slice(&octets[4..20]);
        Ok(Sealed {
            octets,
            code: self.code,
            identifier: self.identifier,
            authenticator,
            secret: self.secret,
            require_message_authenticator: false,
        })
    }
}

/// Why a datagram is not the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnswerFault {
    /// It is no RADIUS packet.
    Malformed(Malformed),
    /// It answers another request.
    WrongIdentifier {
        /// The identifier it has.
        identifier: u8,
    },
    /// Its code does not answer this kind of request.
    UnexpectedCode(Code),
    /// Its Authenticator is wrong.
    BadAuthenticator,
    /// Its Message-Authenticator is wrong, repeated or mis-sized.
    BadMessageAuthenticator,
    /// It has no Message-Authenticator, and must.
    MissingMessageAuthenticator,
}

impl fmt::Display for AnswerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnswerFault::Malformed(fault) => write!(f, "malformed answer: {fault}"),
            AnswerFault::WrongIdentifier { identifier } => {
                write!(f, "answer to another request (identifier {identifier})")
            }
            AnswerFault::UnexpectedCode(code) => write!(f, "{code} is no answer to this request"),
            AnswerFault::BadAuthenticator => f.write_str(
                "answer with a wrong Authenticator; is the shared secret the same on both sides?",
            ),
            AnswerFault::BadMessageAuthenticator => {
                f.write_str("answer with a wrong Message-Authenticator")
            }
            AnswerFault::MissingMessageAuthenticator => {
                f.write_str("answer without Message-Authenticator")
            }
        }
    }
}

impl std::error::Error for AnswerFault {}

/// A request ready to send, which knows its answers.
pub struct Sealed {
    octets: Vec<u8>,
    code: Code,
    identifier: u8,
    authenticator: [u8; 16],
    secret: Secret,
    require_message_authenticator: bool,
}

impl Sealed {
    /// From now on, answers without Message-Authenticator are not believed.
    /// EAP answers never are.
    pub fn require_message_authenticator(mut self) -> Sealed {
        self.require_message_authenticator = true;
        self
    }

    /// What goes on the wire, unchanged for every retry.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The request's code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The request's identifier.
    pub fn identifier(&self) -> u8 {
        self.identifier
    }

    /// The Authenticator field as it is sent.
    pub fn authenticator(&self) -> &[u8; 16] {
        &self.authenticator
    }

    /// Checks a datagram; the packet it is, when it is the answer.
    pub fn verify<'d>(&self, datagram: &'d [u8]) -> Result<Packet<'d>, AnswerFault> {
        let packet = Packet::parse(datagram).map_err(AnswerFault::Malformed)?;
        let identifier = packet.identifier();
        if identifier != self.identifier {
            return Err(AnswerFault::WrongIdentifier { identifier });
        }
        if !packet.code().answers(self.code) {
            return Err(AnswerFault::UnexpectedCode(packet.code()));
        }
        if !response_authenticator_holds(packet, &self.secret, &self.authenticator) {
            return Err(AnswerFault::BadAuthenticator);
        }
        let signed =
            check_response_message_authenticator(packet, &self.secret, &self.authenticator)
                .map_err(|_| AnswerFault::BadMessageAuthenticator)?;
        let required = self.require_message_authenticator || packet.contains(kind::EAP_MESSAGE);
        if required && !signed {
            return Err(AnswerFault::MissingMessageAuthenticator);
        }
        Ok(packet)
    }

    /// The first value of a hidden attribute of an answer in clear.
    pub fn reveal<T>(
        &self,
        answer: Packet<'_>,
        attr: Attr<T>,
    ) -> Option<Result<Revealed, HideError>> {
        answer.reveal(attr, &self.secret, &self.authenticator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::{Date, Integer, Text};
    use crate::reply::{Reply, SealOptions};
    use crate::request::{Request, Rules};

    const USER_NAME: Attr<Text> = Attr::new("User-Name", 0, 1);
    const ACCT_STATUS_TYPE: Attr<Integer> = Attr::new("Acct-Status-Type", 0, 40);
    const ACCT_SESSION_ID: Attr<Text> = Attr::new("Acct-Session-Id", 0, 44);
    const EVENT_TIMESTAMP: Attr<Date> = Attr::new("Event-Timestamp", 0, 55);
    const TUNNEL_PASSWORD: Attr<Text> = Attr::new("Tunnel-Password", 0, 69)
        .with_tag()
        .with_hide(Hide::Salted);
    const AUTHENTICATOR: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    fn question(code: Code, identifier: u8) -> Question {
        Question::new(code, identifier, AUTHENTICATOR, Secret::new("testing123"))
    }

    fn check(question: Question, expect: &str) -> Sealed {
        let sealed = question.seal(true).unwrap();
        assert_eq!(hex::encode(sealed.octets()), expect);
        sealed
    }

    #[test]
    fn known_requests_are_made_octet_for_octet() {
        let mut login = question(Code::ACCESS_REQUEST, 1);
        login.put_text(USER_NAME, "bob").put_user_password(b"bob");
        let login = check(
            login,
            "0101003d000102030405060708090a0b0c0d0e0f5012ba88b26874e27ed3839d58754b5a7d2d0105626f620212f4816bca74fd7a1a104607240014828b",
        );
        let accept = hex::decode("0201003274a40f1368452b4a2daa585f6bd199f05012cc6044e17aa614a84e3e9afc87b7c6e4120c48656c6c6f2c20626f62").unwrap();
        let login = login.require_message_authenticator();
        assert_eq!(
            login.verify(&accept).unwrap().first(18),
            Some(&b"Hello, bob"[..])
        );
        check(
            question(Code::STATUS_SERVER, 3),
            "0c030026000102030405060708090a0b0c0d0e0f5012733e3188a468534b0aa8e3d36413320c",
        );
    }

    #[test]
    fn known_keyed_requests_are_made_octet_for_octet() {
        // They have their Message-Authenticator last, so they are written by
        // hand.
        let mut writer = PacketWriter::new(Code::ACCOUNTING_REQUEST, 2, &AUTHENTICATOR);
        writer.attribute(40, &[0, 0, 0, 1]).unwrap();
        writer.attribute(44, b"S1").unwrap();
        writer.attribute(1, b"bob").unwrap();
        writer.message_authenticator().unwrap();
        let octets = writer.finish_request(&Secret::new("testing123")).unwrap();
        assert_eq!(
            hex::encode(&octets),
            "040200350fe5edc2f44b68b7da105d18decf4c1c2806000000012c0453310105626f6250128120def3ec947ac86eeabf7f2f1c7e84"
        );
        let mut writer = PacketWriter::new(Code::DISCONNECT_REQUEST, 4, &AUTHENTICATOR);
        writer.attribute(1, b"bob").unwrap();
        writer.attribute(44, b"S1").unwrap();
        writer
            .attribute(55, &1_700_000_000u32.to_be_bytes())
            .unwrap();
        writer.message_authenticator().unwrap();
        let octets = writer.finish_request(&Secret::new("testing123")).unwrap();
        assert_eq!(
            hex::encode(&octets),
            "28040035cd77712a6522253f238a13c874a26ec00105626f622c04533137066553f100501228115f37544042838ff3379c5b429754"
        );
    }

    #[test]
    fn what_we_ask_we_would_believe_ourselves() {
        let secret = Secret::new("testing123");
        for code in [
            Code::ACCESS_REQUEST,
            Code::ACCOUNTING_REQUEST,
            Code::STATUS_SERVER,
            Code::DISCONNECT_REQUEST,
            Code::COA_REQUEST,
        ] {
            let mut question = question(code, 9);
            question
                .put_text(USER_NAME, "bob")
                .put(ACCT_STATUS_TYPE, 1)
                .put_text(ACCT_SESSION_ID, "S1")
                .put(EVENT_TIMESTAMP, 1_700_000_000);
            let sealed = question.seal(true).unwrap();
            assert_eq!(sealed.octets()[20..22], [80, 18], "{code}");
            let packet = Packet::parse(sealed.octets()).unwrap();
            let request = Request::verify(packet, &secret, &Rules::default()).unwrap();
            assert!(request.signed());
            assert_eq!(request.get(EVENT_TIMESTAMP), Some(1_700_000_000));
            assert_eq!(packet.authenticator(), sealed.authenticator());
        }
    }

    #[test]
    fn without_message_authenticator_there_is_none() {
        let sealed = question(Code::STATUS_SERVER, 3).seal(false).unwrap();
        assert_eq!(sealed.octets().len(), 20);
    }

    /// A login and the answer a server gives it.
    fn exchange(code: Code, options: SealOptions) -> (Sealed, Vec<u8>) {
        let mut login = question(Code::ACCESS_REQUEST, 1);
        login.put_text(USER_NAME, "bob");
        let sealed = login.seal(true).unwrap();
        let secret = Secret::new("testing123");
        let packet = Packet::parse(sealed.octets()).unwrap();
        let request = Request::verify(packet, &secret, &Rules::default()).unwrap();
        let mut reply = Reply::new(code);
        reply.put_tagged(TUNNEL_PASSWORD, 2, b"psk");
        let answer = reply.seal(&request, options).unwrap();
        (sealed, answer)
    }

    const UNSIGNED: SealOptions = SealOptions {
        message_authenticator: false,
        salt_seed: 1,
    };

    #[test]
    fn right_answers_are_believed_and_revealed() {
        for code in [
            Code::ACCESS_ACCEPT,
            Code::ACCESS_REJECT,
            Code::PROTOCOL_ERROR,
        ] {
            let (sealed, mut answer) = exchange(code, SealOptions::signed(1));
            answer.extend_from_slice(b"padding");
            let packet = sealed.verify(&answer).unwrap();
            let revealed = sealed.reveal(packet, TUNNEL_PASSWORD).unwrap().unwrap();
            assert_eq!(revealed.tag, 2);
            assert_eq!(revealed.plain.as_slice(), b"psk");
        }
    }

    #[test]
    fn wrong_answers_are_named() {
        let (sealed, answer) = exchange(Code::ACCESS_ACCEPT, SealOptions::signed(1));
        let fault = |answer: &[u8]| sealed.verify(answer).unwrap_err();
        assert_eq!(
            fault(&answer[..10]),
            AnswerFault::Malformed(Malformed::TooShort { octets: 10 })
        );
        let change = |place: usize, value: u8| {
            let mut changed = answer.clone();
            changed[place] = value;
            changed
        };
        assert_eq!(
            fault(&change(1, 2)),
            AnswerFault::WrongIdentifier { identifier: 2 }
        );
        assert_eq!(
            fault(&change(0, 5)),
            AnswerFault::UnexpectedCode(Code::ACCOUNTING_RESPONSE)
        );
        assert_eq!(fault(&change(0, 3)), AnswerFault::BadAuthenticator);
        assert_eq!(
            fault(&change(30, answer[30] ^ 1)),
            AnswerFault::BadAuthenticator
        );
    }

    #[test]
    fn a_wrong_message_authenticator_is_not_saved_by_a_right_authenticator() {
        let (sealed, mut answer) = exchange(Code::ACCESS_ACCEPT, SealOptions::signed(1));
        answer[22] ^= 1;
        let packet = Packet::parse(&answer).unwrap();
        let field = crate::authenticator::response_authenticator(
            packet,
            &Secret::new("testing123"),
            sealed.authenticator(),
        );
        answer[4..20].copy_from_slice(&field);
        assert_eq!(
            sealed.verify(&answer).unwrap_err(),
            AnswerFault::BadMessageAuthenticator
        );
    }

    #[test]
    fn a_missing_message_authenticator_is_a_fault_only_where_required() {
        let (sealed, answer) = exchange(Code::ACCESS_ACCEPT, UNSIGNED);
        assert!(sealed.verify(&answer).is_ok());
        let strict = sealed.require_message_authenticator();
        assert_eq!(
            strict.verify(&answer).unwrap_err(),
            AnswerFault::MissingMessageAuthenticator
        );
    }
}
