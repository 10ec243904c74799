//! One exchange with a NAS about one session: named in one way after another, until the NAS takes it or there is no other.

use crate::ask::{Timing, ask};
use access::dynauth::{self, Change, Set, error_cause};
use access::family::Family;
use access::nas::Nas;
use access::network::Network;
use kernel::{Rng, Time};
use radius_wire::{Code, Packet, Question, SealFault, Sealed, Secret, attrs};
use std::net::{IpAddr, SocketAddr};
use usage::order::{Finish, Outcome};
use usage::session::Session;

/// What is asked.
pub enum Asking<'a> {
    /// That the session ends.
    Disconnect,
    /// That it goes on like this.
    Change(Change<'a>),
    /// Whether it goes on: a CoA-Request that names it and changes nothing.
    Query,
}

impl Asking<'_> {
    fn code(&self) -> Code {
        match self {
            Asking::Disconnect => Code::DISCONNECT_REQUEST,
            Asking::Change(_) | Asking::Query => Code::COA_REQUEST,
        }
    }
}

/// Whom, and how.
pub struct Peer<'a> {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whose dialect it speaks.
    pub family: Family,
    /// The shared secret.
    pub secret: Secret,
    /// The way of naming a session that it took last, by its place in [`dynauth::sets`].
    pub first_set: usize,
    /// When it is asked again.
    pub timing: Timing,
    /// Random octets.
    pub rng: &'a dyn Rng,
    /// The present.
    pub now: Time,
}

/// What came of it, and the way of naming that the NAS took.
pub struct Exchanged {
    /// What came of it.
    pub finish: Finish,
    /// The place of the set in [`dynauth::sets`].
    pub set: usize,
}

/// Where a NAS listens for Disconnect and CoA: the one address it asks from, else the address that its reports name, as
/// long as that lies in its network. None where that is not known: a NAS must not have questions sent to anybody else.
pub fn address_of(nas: &Nas, session: &Session) -> Option<SocketAddr> {
    listens_at(nas.network, &session.nas_ip_address, nas.coa_port)
}

fn listens_at(network: Option<Network>, reported: &str, port: u16) -> Option<SocketAddr> {
    let own = network
        .filter(|network| network.is_host())
        .map(|network| network.address());
    let named = reported.parse::<IpAddr>().ok();
    let is_its = |address: &IpAddr| network.is_none_or(|network| network.contains(*address));
    let address = own.or(named.filter(is_its))?;
    Some(SocketAddr::new(address, port))
}

/// Asks. Blocks the thread for as long as the NAS is silent.
///
/// # Errors
/// [`SealFault`] when what is asked does not fit one packet.
pub fn exchange(
    peer: &Peer<'_>,
    session: &Session,
    asking: &Asking<'_>,
) -> Result<Exchanged, SealFault> {
    let sets = dynauth::sets(peer.family);
    let ends = matches!(asking, Asking::Disconnect);
    let mut tries = 0;
    // What is told when no way was taken: that the session is not there, else the first refusal.
    let (mut gone, mut refused): (Option<Exchanged>, Option<Exchanged>) = (None, None);
    // What took a device's name last may name another session today.
    let first = match sets.get(peer.first_set) {
        Some(set) if dynauth::is_exact(set) => peer.first_set,
        _ => 0,
    };
    for at in 0..sets.len() {
        let place = (first + at) % sets.len();
        let is_exact = dynauth::is_exact(sets[place]);
        // A device may have another session by now.
        if !is_exact && (!ends || gone.is_some()) {
            continue;
        }
        let Some(question) = question(peer, session, asking, sets[place])? else {
            continue;
        };
        let answer = match ask(peer.address, &question, peer.timing) {
            Ok(answer) => answer,
            Err(_) => {
                // Whoever is silent once will not answer another question, either.
                return Ok(Exchanged {
                    finish: Finish {
                        named_by: Some(named(sets[place])),
                        tries: tries + peer.timing.tries,
                        ..Finish::unasked(Outcome::Silence)
                    },
                    set: peer.first_set,
                });
            }
        };
        tries += answer.tries;
        // Verified, so it parses.
        let packet = Packet::parse(&answer.octets).ok();
        let is_ack = packet
            .is_some_and(|packet| matches!(packet.code(), Code::DISCONNECT_ACK | Code::COA_ACK));
        let cause = packet.and_then(|packet| packet.get(attrs::ERROR_CAUSE));
        let is_gone = cause == Some(error_cause::SESSION_CONTEXT_NOT_FOUND);
        let exchanged = Exchanged {
            finish: Finish {
                outcome: match (is_ack, is_gone && is_exact) {
                    (true, _) => Outcome::Ack,
                    (false, true) => Outcome::Gone,
                    (false, false) => Outcome::Nak,
                },
                error_cause: cause,
                named_by: Some(named(sets[place])),
                tries,
                round_trip_micros: u64::try_from(answer.took.as_micros()).ok(),
            },
            set: place,
        };
        match exchanged.finish.outcome {
            Outcome::Ack => return Ok(exchanged),
            Outcome::Gone => gone = gone.or(Some(exchanged)),
            _ => refused = refused.or(Some(exchanged)),
        }
        if !is_about_naming(cause) {
            break;
        }
    }
    // A change that was refused for what it says is no sign that there is nothing to change.
    let told = match (ends, gone, refused) {
        (true, gone, refused) => gone.or(refused),
        (false, Some(gone), None) => Some(gone),
        (false, _, refused) => refused,
    };
    Ok(told.unwrap_or(Exchanged {
        finish: Finish {
            tries,
            ..Finish::unasked(Outcome::Nak)
        },
        set: peer.first_set,
    }))
}

/// Whether another way of naming the session may be taken. A session that is not found may be one that was named badly.
fn is_about_naming(cause: Option<u32>) -> bool {
    matches!(
        cause,
        None | Some(
            error_cause::UNSUPPORTED_ATTRIBUTE
                | error_cause::MISSING_ATTRIBUTE
                | error_cause::NAS_IDENTIFICATION_MISMATCH
                | error_cause::INVALID_REQUEST
                | error_cause::INVALID_ATTRIBUTE_VALUE
                | error_cause::SESSION_CONTEXT_NOT_FOUND
        )
    )
}

fn named(set: Set) -> String {
    let words: Vec<String> = set.iter().map(|naming| format!("{naming:?}")).collect();
    words.join(" ")
}

fn question(
    peer: &Peer<'_>,
    session: &Session,
    asking: &Asking<'_>,
    set: Set,
) -> Result<Option<Sealed>, SealFault> {
    let mut random = [0; 17];
    peer.rng.fill(&mut random);
    let mut authenticator = [0; 16];
    authenticator.copy_from_slice(&random[1..]);
    let secret = Secret::new(peer.secret.as_bytes());
    let mut question = Question::new(asking.code(), random[0], authenticator, secret);
    if !dynauth::name_session(&mut question, set, session) {
        return Ok(None);
    }
    if let Asking::Change(change) = asking {
        dynauth::tell(&mut question, peer.family, change);
    }
    // Against replay (RFC 5176 §3.3, 6.3).
    let now = u32::try_from(peer.now.unix_seconds()).unwrap_or(u32::MAX);
    question.put(attrs::EVENT_TIMESTAMP, now);
    question.seal(true).map(Some)
}

#[cfg(test)]
mod tests;
