//! The proof, or the report, that a question carries.

use super::{Method, Status};
use crate::failure::Failure;
use kernel::{Rng, Time};
use proof::mschap;
use radius_wire::{Code, Question, attrs};
use zeroize::Zeroizing;

/// Longest password that User-Password can hide (RFC 2865 section 5.2).
const MAX_PASSWORD_OCTETS: usize = 128;
/// Microsoft's number.
const MICROSOFT: u32 = 311;
const MS_CHAP_RESPONSE: u32 = 1;
const MS_CHAP_CHALLENGE: u32 = 11;
const MS_CHAP2_RESPONSE: u32 = 25;
/// The identifier of our CHAP exchanges; there is only one at a time.
const IDENT: u8 = 1;

/// Who asks, and for what.
pub(super) struct Subject<'a> {
    pub method: Method,
    pub status: Status,
    pub user: Option<&'a str>,
    pub password: Option<&'a str>,
    pub session: Option<&'a str>,
    /// Whether an attribute was given by name; then it is not put a second time.
    pub has: &'a dyn Fn(&str) -> bool,
    pub now: Time,
}

/// What the answer must prove.
pub(super) enum Expected {
    /// Nothing beyond its authenticators.
    Nothing,
    /// MS-CHAP2-Success with this text (RFC 2759 section 5).
    ServerProof {
        /// `S=` and forty digits.
        text: String,
    },
}

/// The code of the question.
pub(super) fn code(method: Method) -> Code {
    match method {
        Method::Status => Code::STATUS_SERVER,
        Method::Accounting => Code::ACCOUNTING_REQUEST,
        _ => Code::ACCESS_REQUEST,
    }
}

/// Puts user, proof or report into the question.
pub(super) fn put(
    question: &mut Question,
    subject: &Subject<'_>,
    rng: &dyn Rng,
) -> Result<Expected, Failure> {
    match subject.method {
        Method::Status => Ok(Expected::Nothing),
        Method::Accounting => put_report(question, subject, rng).map(|()| Expected::Nothing),
        method => {
            let user = match subject.user {
                Some(user) => user,
                None => {
                    return Err(Failure::usage(
                        "who? say --user NAME (or --method status, which needs none)",
                    ));
                }
            };
            let password = match subject.password {
                Some(password) => password,
                None => {
                    return Err(Failure::usage(
                        "no password: say --password TEXT, or --password-stdin and pipe it in",
                    ));
                }
            };
            if !(subject.has)("User-Name") {
                question.put_text(attrs::USER_NAME, user);
            }
            put_proof(question, method, user, password, rng)
        }
    }
}

fn put_proof(
    question: &mut Question,
    method: Method,
    user: &str,
    password: &str,
    rng: &dyn Rng,
) -> Result<Expected, Failure> {
    let mut challenge = [0; 16];
    rng.fill(&mut challenge);
    match method {
        Method::Chap => {
            let response = proof::chap::response(IDENT, password.as_bytes(), &challenge);
            question
                .put(attrs::CHAP_PASSWORD, &[&[IDENT][..], &response].concat())
                .put(attrs::CHAP_CHALLENGE, &challenge);
        }
        Method::Mschap => {
            let mut challenge = [0; 8];
            rng.fill(&mut challenge);
            let response = mschap::nt_response(&challenge, password);
            // Identifier, flags (1: use the NT response), no LM response, NT response (RFC 2548 section 2.1.3).
            let value = [&[IDENT, 1][..], &[0; 24], &response].concat();
            question
                .put_vendor(MICROSOFT, MS_CHAP_CHALLENGE, &challenge)
                .put_vendor(MICROSOFT, MS_CHAP_RESPONSE, &value);
        }
        Method::Mschapv2 => {
            let mut peer = [0; 16];
            rng.fill(&mut peer);
            let response = mschap::nt_response_v2(&challenge, &peer, user.as_bytes(), password);
            // Identifier, flags, peer challenge, reserved, NT response (RFC 2548 section 2.3.2).
            let value = [&[IDENT, 0][..], &peer, &[0; 8], &response].concat();
            question
                .put_vendor(MICROSOFT, MS_CHAP_CHALLENGE, &challenge)
                .put_vendor(MICROSOFT, MS_CHAP2_RESPONSE, &value);
            let hash = Zeroizing::new(proof::nt_hash(password));
            let digest =
                mschap::challenge_hash(&peer, &challenge, mschap::without_domain(user.as_bytes()));
            return Ok(Expected::ServerProof {
                text: mschap::authenticator_response(&hash, &response, &digest),
            });
        }
        _ => {
            if password.len() > MAX_PASSWORD_OCTETS {
                return Err(Failure::usage(format!(
                    "the password has {} octets; PAP carries at most {MAX_PASSWORD_OCTETS}",
                    password.len()
                )));
            }
            question.put_user_password(password.as_bytes());
        }
    }
    Ok(Expected::Nothing)
}

fn put_report(
    question: &mut Question,
    subject: &Subject<'_>,
    rng: &dyn Rng,
) -> Result<(), Failure> {
    use attrs::acct_status_type as kind;
    let (value, is_about_session) = match subject.status {
        Status::Start => (kind::START, true),
        Status::Interim => (kind::INTERIM_UPDATE, true),
        Status::Stop => (kind::STOP, true),
        Status::On => (kind::ACCOUNTING_ON, false),
        Status::Off => (kind::ACCOUNTING_OFF, false),
    };
    let has = subject.has;
    if !has("Acct-Status-Type") {
        question.put(attrs::ACCT_STATUS_TYPE, value);
    }
    if let Some(user) = subject.user.filter(|_| !has("User-Name")) {
        question.put_text(attrs::USER_NAME, user);
    }
    if !has("Acct-Session-Id") {
        let session = match subject.session {
            Some(session) => session.to_owned(),
            None => {
                let mut random = [0; 4];
                rng.fill(&mut random);
                format!("ping-{}", hex::encode(random))
            }
        };
        question.put_text(attrs::ACCT_SESSION_ID, &session);
    }
    if is_about_session && subject.status != Status::Start && !has("Acct-Session-Time") {
        question.put(attrs::ACCT_SESSION_TIME, 0);
    }
    if subject.status == Status::Stop && !has("Acct-Terminate-Cause") {
        question.put(
            attrs::ACCT_TERMINATE_CAUSE,
            attrs::acct_terminate_cause::USER_REQUEST,
        );
    }
    if !has("Event-Timestamp") {
        question.put(
            attrs::EVENT_TIMESTAMP,
            u32::try_from(subject.now.unix_seconds()).unwrap_or(0),
        );
    }
    Ok(())
}
