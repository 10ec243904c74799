//! Answers: from a decision to a sealed reply. Pure but for the random octets it is handed.
//!
//! A reject carries Reply-Message and what MS-CHAP and EAP demand, nothing else: whatever a group's rows say is for
//! those who get in. The words for guests tell nobody whether a name exists.

use crate::lane::Desk;
use access::decide::{Decision, Grant, Refused};
use access::family::Family;
use access::nas_match::NasEntry;
use access::question::{Offer, Question};
use access::word::Refusal;
use kernel::Rng;
use proof::keys::Keys;
use proof::mschap::{self, Failure};
use radius_wire::attrs::{self, microsoft};
use radius_wire::{Code, Reply, Request, SealFault, SealOptions};
use smallvec::SmallVec;

/// EAP-Message and its Failure (RFC 3748 §4.2).
const EAP_MESSAGE: u8 = 79;
const EAP_FAILURE: u8 = 4;
/// MS-MPPE-Encryption-Policy: allowed, not required (RFC 2548 §2.4.4).
const ENCRYPTION_ALLOWED: u32 = 1;
/// MS-MPPE-Encryption-Types: 128 bit, and 40 bit as well (RFC 2548 §2.4.5).
const TYPES_128: u32 = 4;
const TYPES_40_AND_128: u32 = 6;
/// Response-Length and Original-Packet-Code below Extended-Attribute-1 (RFC 7930 §6).
const EXTENDED_ATTRIBUTE_1: u8 = 241;
const RESPONSE_LENGTH: u8 = 3;
const ORIGINAL_PACKET_CODE: u8 = 4;
/// Error-Cause "Response Too Big" (RFC 7930 §6).
const RESPONSE_TOO_BIG: u32 = 601;

/// Makes the reply to a decision, in the place of what `reply` held.
pub fn build(
    rng: &dyn Rng,
    question: &Question<'_>,
    nas: &NasEntry,
    decision: &Decision,
    reply: &mut Reply,
) {
    match decision {
        Decision::Accept(grant) => accept(question, nas, grant, reply),
        Decision::Refuse(refused) => refuse(rng, question, refused, reply),
    }
}

fn accept(question: &Question<'_>, nas: &NasEntry, grant: &Grant, reply: &mut Reply) {
    reply.reset(Code::ACCESS_ACCEPT);
    if let Err(fault) = grant.replies.render(reply) {
        // Rows are checked when they are saved: only a dictionary that changed since can bring this.
        tracing::warn!(nas = %nas.nas.name, "a reply row was left out: {fault}");
    }
    let family = Family::of_word(&nas.nas.family);
    if let Some(plan) = &grant.plan
        && let Err(fault) = plan.replies(family).render_beside(&grant.replies, reply)
    {
        tracing::warn!(nas = %nas.nas.name, plan = %plan.name, "a part of a plan was left out: {fault}");
    }
    for (attr, value) in access::plan::render::quota(grant.octets, family) {
        // What the operator wrote himself stays.
        if grant.replies.find(attr.vendor, attr.number).is_none() {
            reply.put(attr, value);
        }
    }
    if let Some(seconds) = grant.session_timeout_seconds {
        reply.put(attrs::SESSION_TIMEOUT, seconds);
    }
    match (&grant.keys, &question.offer) {
        (Keys::MsChapV2(keys), Offer::MsChapV2 { ident, .. }) => {
            let mut success = SmallVec::<[u8; 64]>::from_slice(&[*ident]);
            success.extend_from_slice(keys.authenticator_response().as_bytes());
            reply.put(microsoft::MS_CHAP2_SUCCESS, &success[..]);
            reply.put(microsoft::MS_MPPE_ENCRYPTION_POLICY, ENCRYPTION_ALLOWED);
            reply.put(microsoft::MS_MPPE_ENCRYPTION_TYPES, TYPES_40_AND_128);
            reply.put(microsoft::MS_MPPE_SEND_KEY, &keys.send_key()[..]);
            reply.put(microsoft::MS_MPPE_RECV_KEY, &keys.receive_key()[..]);
        }
        (Keys::MsChap(keys), _) => {
            reply.put(microsoft::MS_MPPE_ENCRYPTION_POLICY, ENCRYPTION_ALLOWED);
            reply.put(microsoft::MS_MPPE_ENCRYPTION_TYPES, TYPES_128);
            reply.put(microsoft::MS_CHAP_MPPE_KEYS, &keys.content()[..]);
        }
        _ => {}
    }
}

fn refuse(rng: &dyn Rng, question: &Question<'_>, refused: &Refused, reply: &mut Reply) {
    reply.reset(Code::ACCESS_REJECT);
    match &question.offer {
        // Reply-Message beside EAP confuses NASes (RFC 3579 §2.6.5): Failure is the whole answer.
        Offer::Eap => {
            let identifier = question
                .packet
                .first(EAP_MESSAGE)
                .and_then(|eap| eap.get(1).copied())
                .unwrap_or(0);
            reply.put_raw(EAP_MESSAGE, &[EAP_FAILURE, identifier, 0, 4]);
            return;
        }
        Offer::MsChapV2 { ident, .. } => {
            let mut challenge = [0u8; 16];
            rng.fill(&mut challenge);
            let text = mschap::error_text(
                failure(refused.word),
                false,
                &challenge,
                guest_text(refused.word),
            );
            put_error(reply, *ident, &text);
        }
        Offer::MsChap { ident, .. } => {
            let mut challenge = [0u8; 8];
            rng.fill(&mut challenge);
            let text = mschap::error_text_v1(failure(refused.word), false, &challenge);
            put_error(reply, *ident, &text);
        }
        _ => {}
    }
    reply.put_text(attrs::REPLY_MESSAGE, guest_text(refused.word));
}

fn put_error(reply: &mut Reply, ident: u8, text: &str) {
    let mut value = vec![ident];
    value.extend_from_slice(text.as_bytes());
    reply.put(microsoft::MS_CHAP_ERROR, &value);
}

/// The error a MS-CHAP client understands (RFC 2433 §8, RFC 2759 §6).
fn failure(word: Refusal) -> Failure {
    match word {
        Refusal::PasswordExpired => Failure::PasswordExpired,
        Refusal::Disabled | Refusal::OrganisationDisabled | Refusal::Expired => {
            Failure::AccountDisabled
        }
        Refusal::OutsideHours => Failure::RestrictedHours,
        Refusal::CheckFailed
        | Refusal::WrongNas
        | Refusal::WrongDevice
        | Refusal::NotVerified
        | Refusal::QuotaSpent
        | Refusal::TooManySessions
        | Refusal::AuthTypeReject => Failure::NoDialInPermission,
        _ => Failure::AuthenticationFailure,
    }
}

/// What the guest reads. Everything that could tell whether a name exists reads alike.
fn guest_text(word: Refusal) -> &'static str {
    match word {
        // A locked name would be a known name; a locked device or NAS tells about no name.
        Refusal::DeviceLocked | Refusal::NasLocked => {
            "Too many failed attempts. Please try again later."
        }
        Refusal::Disabled | Refusal::OrganisationDisabled => "This account is disabled.",
        Refusal::Expired => "This account has expired.",
        Refusal::PasswordExpired => "Your password has expired. Please choose a new one.",
        Refusal::NotVerified => "Please complete your registration first.",
        Refusal::QuotaSpent => "Your time or traffic for this period is used up.",
        Refusal::TooManySessions => "You are connected with too many devices already.",
        Refusal::OutsideHours => "Access is not allowed at this time.",
        Refusal::WrongNas
        | Refusal::WrongDevice
        | Refusal::CheckFailed
        | Refusal::AuthTypeReject => "Access is not allowed here.",
        _ => "User name or password is wrong.",
    }
}

/// Seals the desk's reply as its NAS wants it.
///
/// # Errors
/// [`SealFault`] when it does not fit.
pub fn seal(desk: &mut Desk, request: &Request<'_>, nas: &NasEntry) -> Result<(), SealFault> {
    let options = SealOptions {
        message_authenticator: nas.nas.signs_replies,
        salt_seed: desk.next_salt(),
    };
    desk.reply.seal_into(request, options, &mut desk.octets)
}

/// Makes a Protocol-Error for a reply that does not fit, where the client said that it understands (RFC 7930 §4).
pub fn too_big(desk: &mut Desk, request: &Request<'_>, nas: &NasEntry) -> bool {
    let understands = request
        .packet()
        .all(EXTENDED_ATTRIBUTE_1)
        .any(|value| value.first() == Some(&RESPONSE_LENGTH));
    if !understands {
        return false;
    }
    let reply = desk.reply.reset(Code::PROTOCOL_ERROR);
    reply.put(attrs::ERROR_CAUSE, RESPONSE_TOO_BIG);
    let [a, b, c, d] = u32::from(request.code().0).to_be_bytes();
    reply.put_raw(EXTENDED_ATTRIBUTE_1, &[ORIGINAL_PACKET_CODE, a, b, c, d]);
    seal(desk, request, nas).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_cannot_tell_a_wrong_name_from_a_wrong_password() {
        let table = [
            Refusal::UnknownUser,
            Refusal::WrongPassword,
            Refusal::Locked,
            Refusal::NoPassword,
            Refusal::AmbiguousUser,
            Refusal::NeedsOtherProof,
        ];
        for word in table {
            assert_eq!(
                guest_text(word),
                guest_text(Refusal::WrongPassword),
                "{word}"
            );
            assert_eq!(failure(word).code(), 691, "{word}");
        }
    }

    #[test]
    fn every_text_for_guests_fits_one_attribute() {
        for word in Refusal::all() {
            assert!(guest_text(*word).len() <= 253, "{word}");
        }
    }
}
