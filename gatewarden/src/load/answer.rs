//! What an answer is worth. Every one is verified: a server that signs wrongly is not faster, it is broken.

use super::question::{PROOF_OCTETS, Question};
use super::work::Work;
use radius_wire::authenticator::{
    check_response_message_authenticator, response_authenticator_holds,
};
use radius_wire::{Code, Packet, Secret};

const MICROSOFT: u32 = 311;
const MS_CHAP2_SUCCESS: u32 = 26;

/// Why an answer cannot be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is no RADIUS packet, or its code answers another kind of question.
    Malformed,
    /// The Response Authenticator is wrong: not our question, or not our secret.
    Authenticator,
    /// Message-Authenticator is wrong.
    MessageAuthenticator,
    /// Message-Authenticator is missing.
    Unsigned,
    /// MS-CHAP2-Success is missing or wrong: the server does not know the password.
    ServerProof,
}

/// How many faults there are.
pub(super) const FAULTS: usize = 5;

/// The names of the faults, in the order of their numbers.
pub(super) const FAULT_NAMES: [&str; FAULTS] = [
    "malformed",
    "authenticator",
    "message_authenticator",
    "unsigned",
    "server_proof",
];

/// The judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Access-Accept, or Accounting-Response.
    Accepted,
    /// Access-Reject.
    Rejected,
    /// Access-Challenge.
    Challenged,
    /// It cannot be believed.
    Bad(Fault),
}

/// Judges an answer to `question`.
pub(super) fn judge(
    packet: Packet<'_>,
    work: Work,
    question: &Question,
    secret: &Secret,
    needs_signature: bool,
) -> Verdict {
    let authenticator = question.authenticator();
    if !response_authenticator_holds(packet, secret, &authenticator) {
        return Verdict::Bad(Fault::Authenticator);
    }
    let is_login_code = packet.code() != Code::ACCOUNTING_RESPONSE;
    match check_response_message_authenticator(packet, secret, &authenticator) {
        Ok(true) => {}
        // RFC 3579 section 3.2 asks it of answers to Access-Request; an Accounting-Response needs none.
        Ok(false) if is_login_code && needs_signature => return Verdict::Bad(Fault::Unsigned),
        Ok(false) => {}
        Err(_) => return Verdict::Bad(Fault::MessageAuthenticator),
    }
    match (work, packet.code()) {
        (Work::Accounting, Code::ACCOUNTING_RESPONSE) => Verdict::Accepted,
        (Work::Accounting, _) | (_, Code::ACCOUNTING_RESPONSE) => Verdict::Bad(Fault::Malformed),
        (Work::Mschapv2, Code::ACCESS_ACCEPT) if !has_proof(packet, &question.proof) => {
            Verdict::Bad(Fault::ServerProof)
        }
        (_, Code::ACCESS_ACCEPT) => Verdict::Accepted,
        (_, Code::ACCESS_REJECT) => Verdict::Rejected,
        (_, Code::ACCESS_CHALLENGE) => Verdict::Challenged,
        _ => Verdict::Bad(Fault::Malformed),
    }
}

fn has_proof(packet: Packet<'_>, proof: &[u8; PROOF_OCTETS]) -> bool {
    // One octet of identifier, then the text (RFC 2548 section 2.3.3).
    packet
        .vendor(MICROSOFT, MS_CHAP2_SUCCESS)
        .and_then(|value| value.get(1..=PROOF_OCTETS))
        .is_some_and(|text| text == proof)
}

#[cfg(test)]
mod tests {
    use super::super::question::Stationery;
    use super::super::random::Random;
    use super::*;
    use radius_wire::authenticator::sign_response;

    /// The verdict on an answer with these attributes, signed with `secret` after `change`.
    fn check(work: Work, code: u8, attributes: &[u8], secret: &str, expect: Verdict) {
        let (question, right) = question();
        let mut octets = vec![code, 1, 0, (20 + attributes.len()) as u8];
        octets.extend([0; 16]);
        octets.extend_from_slice(attributes);
        sign_response(&mut octets, &Secret::new(secret), &question.authenticator())
            .expect("a packet");
        let packet = Packet::parse(&octets).expect("a packet");
        let verdict = judge(packet, work, &question, &right, true);
        assert_eq!(verdict, expect, "{work:?} {code} {attributes:?}");
    }

    fn question() -> (Question, Secret) {
        let mut question = Question::default();
        let stationery = Stationery {
            secret: Secret::new("right"),
            nas_identifier: b"load".as_slice().into(),
            is_signed: true,
        };
        let mut random = Random::new(&kernel::SystemRng::new());
        question.status(1, &stationery, &mut random);
        question.proof = *b"S=0123456789012345678901234567890123456789";
        (question, stationery.secret)
    }

    fn signed(more: &[u8]) -> Vec<u8> {
        [&[80, 18][..], &[0; 16], more].concat()
    }

    #[test]
    fn each_answer_has_its_verdict() {
        use Verdict::{Accepted, Bad, Challenged, Rejected};
        let check = |work, code, attributes: &[u8], expect| {
            check(work, code, attributes, "right", expect);
        };
        check(Work::Pap, 2, &signed(&[]), Accepted);
        check(Work::Pap, 3, &signed(&[]), Rejected);
        check(Work::Pap, 11, &signed(&[]), Challenged);
        check(Work::Pap, 2, &[], Bad(Fault::Unsigned));
        check(Work::Pap, 5, &[], Bad(Fault::Malformed));
        check(Work::Accounting, 5, &[], Accepted);
        check(Work::Accounting, 5, &signed(&[]), Accepted);
        check(Work::Accounting, 2, &signed(&[]), Bad(Fault::Malformed));
        check(Work::Mschapv2, 2, &signed(&[]), Bad(Fault::ServerProof));
        let mut proof = vec![26, 51, 0, 0, 1, 55, 26, 45, 1];
        proof.extend(b"S=0123456789012345678901234567890123456789");
        check(Work::Mschapv2, 2, &signed(&proof), Accepted);
        proof[20] ^= 1;
        check(Work::Mschapv2, 2, &signed(&proof), Bad(Fault::ServerProof));
    }

    #[test]
    fn what_another_secret_signed_is_not_believed() {
        let bad = Verdict::Bad(Fault::Authenticator);
        check(Work::Pap, 2, &signed(&[]), "other", bad);
        check(Work::Accounting, 5, &[], "other", bad);
    }

    #[test]
    fn a_wrong_message_authenticator_is_told_from_a_wrong_authenticator() {
        let (question, secret) = question();
        let mut octets = vec![2, 1, 0, 38];
        octets.extend([0; 16]);
        octets.extend(signed(&[]));
        octets[30] = 0xff;
        // The Response Authenticator covers the wrong Message-Authenticator, and is right.
        let packet = Packet::parse(&octets).expect("a packet");
        let right = radius_wire::authenticator::response_authenticator(
            packet,
            &secret,
            &question.authenticator(),
        );
        octets[4..20].copy_from_slice(&right);
        let packet = Packet::parse(&octets).expect("a packet");
        assert_eq!(
            judge(packet, Work::Pap, &question, &secret, true),
            Verdict::Bad(Fault::MessageAuthenticator)
        );
    }
}
