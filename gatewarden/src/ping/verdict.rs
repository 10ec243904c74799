//! What an answer is worth.

use super::Method;
use super::method::Expected;
use radius_wire::{Code, Packet};
use subtle::ConstantTimeEq;

const MICROSOFT: u32 = 311;
const MS_CHAP2_SUCCESS: u32 = 26;
const MESSAGE_AUTHENTICATOR: u8 = 80;

/// The judgement.
pub(super) struct Verdict {
    code: Code,
    /// What was verified, by name. The answer would not be here if its Authenticator were wrong.
    pub verified: Vec<&'static str>,
    /// What ought to be there and is not, or is wrong.
    pub doubts: Vec<String>,
    is_believed: bool,
}

impl Verdict {
    pub(super) fn of(answer: Packet<'_>, expected: &Expected, was_signed: bool) -> Self {
        let mut verdict = Self {
            code: answer.code(),
            verified: vec!["Response Authenticator"],
            doubts: Vec::new(),
            is_believed: true,
        };
        if answer.contains(MESSAGE_AUTHENTICATOR) {
            verdict.verified.push("Message-Authenticator");
            let is_first = answer
                .attributes()
                .next()
                .is_some_and(|attribute| attribute.kind == MESSAGE_AUTHENTICATOR);
            if !is_first {
                verdict
                    .doubts
                    .push("Message-Authenticator is not the first attribute".to_owned());
            }
        } else if was_signed && answer.code() != Code::ACCOUNTING_RESPONSE {
            verdict.doubts.push(
                "the answer has no Message-Authenticator: whoever can alter packets on the way could have forged it (BlastRADIUS)"
                    .to_owned(),
            );
        }
        if let (Expected::ServerProof { text }, Code::ACCESS_ACCEPT) = (expected, answer.code()) {
            // One octet of identifier, then the text (RFC 2548 section 2.3.3).
            let proof = answer
                .vendor(MICROSOFT, MS_CHAP2_SUCCESS)
                .and_then(|value| value.get(1..));
            match proof {
                Some(proof)
                    if bool::from(
                        proof
                            .get(..text.len())
                            .unwrap_or_default()
                            .ct_eq(text.as_bytes()),
                    ) =>
                {
                    verdict.verified.push("MS-CHAPv2 server proof");
                }
                found => {
                    verdict.is_believed = false;
                    verdict.doubts.push(match found {
                        Some(_) => {
                            "the server's MS-CHAPv2 proof is wrong: it does not know the password"
                                .to_owned()
                        }
                        None => {
                            "the server gave no MS-CHAPv2 proof; a client would hang up".to_owned()
                        }
                    });
                }
            }
        }
        verdict
    }

    /// For programs.
    pub(super) fn word(&self) -> &'static str {
        match (self.is_believed, self.code) {
            (false, _) => "unbelievable",
            (_, Code::ACCESS_ACCEPT) => "accept",
            (_, Code::ACCESS_REJECT) => "reject",
            (_, Code::ACCESS_CHALLENGE) => "challenge",
            (_, Code::ACCOUNTING_RESPONSE) => "stored",
            (_, Code::PROTOCOL_ERROR) => "protocol_error",
            _ => "answer",
        }
    }

    pub(super) fn sentence(&self, method: Method) -> &'static str {
        match self.word() {
            "accept" if method == Method::Status => "The server is alive.",
            "unbelievable" => "The answer cannot be believed.",
            "accept" => "Accepted.",
            "reject" => "Rejected. 'gatewarden explain' on the server says why.",
            "challenge" => "The server wants another round.",
            "stored" => "The report is stored.",
            "protocol_error" => "The server cannot work on this kind of packet.",
            _ => "The server answered.",
        }
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self.word() {
            "unbelievable" | "protocol_error" => 2,
            "reject" | "challenge" => 1,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: u8, attributes: &[u8], expected: Expected, word: &str, exit: u8, doubts: usize) {
        let length = 20 + attributes.len();
        let mut octets = vec![code, 1, 0, length as u8];
        octets.extend([0; 16]);
        octets.extend_from_slice(attributes);
        let packet = Packet::parse(&octets).expect("packet");
        let verdict = Verdict::of(packet, &expected, true);
        assert_eq!(
            (verdict.word(), verdict.exit_code(), verdict.doubts.len()),
            (word, exit, doubts)
        );
    }

    fn signed(more: &[u8]) -> Vec<u8> {
        [&[80, 18][..], &[0; 16], more].concat()
    }

    #[test]
    fn each_answer_has_its_exit_code() {
        check(2, &signed(&[]), Expected::Nothing, "accept", 0, 0);
        check(2, &[], Expected::Nothing, "accept", 0, 1);
        check(
            2,
            &[&[18, 3, b'x'][..], &signed(&[])].concat(),
            Expected::Nothing,
            "accept",
            0,
            1,
        );
        check(3, &signed(&[]), Expected::Nothing, "reject", 1, 0);
        check(11, &signed(&[]), Expected::Nothing, "challenge", 1, 0);
        check(5, &[], Expected::Nothing, "stored", 0, 0);
        check(52, &signed(&[]), Expected::Nothing, "protocol_error", 2, 0);
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_not_believed() {
        let proof = |text: &str| {
            let mut value = vec![
                26,
                text.len() as u8 + 9,
                0,
                0,
                1,
                55,
                26,
                text.len() as u8 + 3,
                1,
            ];
            value.extend_from_slice(text.as_bytes());
            signed(&value)
        };
        let expected = || Expected::ServerProof {
            text: "S=0011".to_owned(),
        };
        check(2, &proof("S=0011"), expected(), "accept", 0, 0);
        check(2, &proof("S=0012"), expected(), "unbelievable", 2, 1);
        check(2, &proof("S="), expected(), "unbelievable", 2, 1);
        check(2, &signed(&[]), expected(), "unbelievable", 2, 1);
        check(3, &signed(&[]), expected(), "reject", 1, 0);
    }
}
