//! Lines of hex become objects, and replies find the requests they answer.

use std::fmt;

use serde_json::{Value as Json, json};

use crate::authenticator::{
    MessageAuthenticatorFault, check_request_message_authenticator,
    check_response_message_authenticator, request_authenticator_holds,
    response_authenticator_holds,
};
use crate::code::Code;
use crate::dictionary::Dictionary;
use crate::packet::Packet;
use crate::secret::Secret;

/// Most octets of one datagram; UDP carries no more.
const MAX_DATAGRAM_OCTETS: usize = 65_535;

/// What the secret says about one authenticator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It belongs to packet and secret.
    Valid,
    /// It does not; or the Message-Authenticator is there twice, or of a wrong size.
    Wrong,
    /// There is none.
    Absent,
    /// It is random by design, or the request is not known.
    Unverifiable,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Finding::Valid => "valid",
            Finding::Wrong => "wrong",
            Finding::Absent => "absent",
            Finding::Unverifiable => "unverifiable",
        })
    }
}

/// What the shared secret says about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// About the Authenticator field.
    pub authenticator: Finding,
    /// About Message-Authenticator.
    pub message_authenticator: Finding,
    /// The request's authenticator, of a reply whose request is known.
    pub request_authenticator: Option<[u8; 16]>,
}

impl Checks {
    pub(super) fn of(packet: Packet<'_>, secret: &Secret, request: Option<&[u8; 16]>) -> Checks {
        let code = packet.code();
        let valid = |holds: bool| {
            if holds {
                Finding::Valid
            } else {
                Finding::Wrong
            }
        };
        let found = |result: Result<bool, MessageAuthenticatorFault>| match result {
            Ok(true) => Finding::Valid,
            Ok(false) => Finding::Absent,
            Err(_) => Finding::Wrong,
        };
        let (authenticator, message_authenticator) = match (code.is_response(), request) {
            (true, Some(request)) => (
                valid(response_authenticator_holds(packet, secret, request)),
                found(check_response_message_authenticator(
                    packet, secret, request,
                )),
            ),
            (true, None) => (
                Finding::Unverifiable,
                match packet.contains(crate::packet::kind::MESSAGE_AUTHENTICATOR) {
                    true => Finding::Unverifiable,
                    false => Finding::Absent,
                },
            ),
            (false, _) => (
                match code.has_keyed_authenticator() {
                    true => valid(request_authenticator_holds(packet, secret)),
                    false => Finding::Unverifiable,
                },
                found(check_request_message_authenticator(packet, secret)),
            ),
        };
        Checks {
            authenticator,
            message_authenticator,
            request_authenticator: request.copied().filter(|_| code.is_response()),
        }
    }
}

/// Decodes datagrams one after the other and remembers the requests among them, so that
/// a reply after its request is verified and revealed.
pub struct Decoder<'d> {
    dictionary: &'d Dictionary,
    secret: Option<&'d Secret>,
    /// The latest request of each identifier.
    requests: [Option<(Code, [u8; 16])>; 256],
}

impl<'d> Decoder<'d> {
    /// A decoder that knows no request yet.
    pub fn new(dictionary: &'d Dictionary, secret: Option<&'d Secret>) -> Decoder<'d> {
        Decoder {
            dictionary,
            secret,
            requests: [None; 256],
        }
    }

    /// Decodes one datagram to its object; a datagram that is no packet gives
    /// `{"error": reason}`.
    pub fn decode(&mut self, datagram: &[u8]) -> Json {
        let request = crate::packet::header(datagram).and_then(|(code, identifier, _)| {
            let (asked, authenticator) = self
                .requests
                .get(usize::from(identifier))
                .copied()
                .flatten()?;
            code.answers(asked).then_some(authenticator)
        });
        match super::dissect(datagram, self.dictionary, self.secret, request.as_ref()) {
            Ok(dissection) => {
                if dissection.code.is_request()
                    && let Some(slot) = self.requests.get_mut(usize::from(dissection.identifier))
                {
                    *slot = Some((dissection.code, dissection.authenticator));
                }
                dissection.to_json()
            }
            Err(malformed) => json!({ "error": malformed.to_string() }),
        }
    }

    /// Decodes one line of hex digits. A line that is no packet gives an object with
    /// `error` and the `line` itself, so that its place is kept.
    pub fn decode_line(&mut self, line: &str) -> Json {
        let text = line.trim();
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let result = match digits.len() / 2 {
            octets if octets > MAX_DATAGRAM_OCTETS => {
                Err(format!("{octets} octets are more than a datagram holds"))
            }
            _ => hex::decode(digits).map_err(|e| format!("not hex: {e}")),
        };
        let mut object = match result {
            Ok(datagram) => self.decode(&datagram),
            Err(reason) => json!({ "error": reason }),
        };
        if let Some(fields) = object
            .as_object_mut()
            .filter(|fields| fields.contains_key("error"))
        {
            fields.insert("line".to_owned(), Json::from(line));
        }
        object
    }
}

/// Decodes one line of hex digits by itself; see [`Decoder`] for replies.
pub fn decode_line(line: &str, dictionary: &Dictionary, secret: Option<&Secret>) -> Json {
    Decoder::new(dictionary, secret).decode_line(line)
}
