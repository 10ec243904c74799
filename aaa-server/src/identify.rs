//! Who sent this: from a packet and its source to a NAS and a verified request, or to a word that says why not.
//!
//! Pure. A packet that proves its secret (signed, or accounting) is tried against every candidate's secrets, and only
//! a wrong signature leads on to the next. One that proves nothing is judged by the NAS of the narrowest network
//! alone: a wider network must **never** take over what a narrower one requires or forbids. A NAS that is told from
//! its neighbours by a name must sign, because anybody can say a name.

use crate::config::{Purpose, RadiusConfig};
use access::nas::{MaPolicy, Nas};
use access::nas_match::{Candidates, NasEntry};
use access::question::looks_like_noise;
use access::register::Policy;
use access::word::Dropped;
use radius_wire::packet::kind;
use radius_wire::{
    Code, Malformed, MessageAuthenticatorRule, Packet, Request, Rules, Secret, Unverified, attrs,
};
use std::net::IpAddr;
use std::sync::Arc;

/// A verified request and its sender.
pub struct Identified<'a> {
    /// The request.
    pub request: Request<'a>,
    /// Who sent it.
    pub nas: &'a Arc<NasEntry>,
    /// It was made with the secret that is to come.
    pub with_next_secret: bool,
}

/// Why there is none.
pub struct Unknown {
    /// The word.
    pub word: Dropped,
    /// The likeliest sender, where there is one.
    pub nas: Option<Arc<NasEntry>>,
}

impl Unknown {
    fn of(word: Dropped, nas: &Arc<NasEntry>) -> Self {
        Self {
            word,
            nas: Some(nas.clone()),
        }
    }
}

/// The rules for a NAS's packets.
pub fn rules(nas: &Nas, config: &RadiusConfig) -> Rules {
    Rules {
        message_authenticator: match nas.message_authenticator {
            MaPolicy::Observe => MessageAuthenticatorRule::Observe,
            MaPolicy::Require => MessageAuthenticatorRule::Require,
            MaPolicy::Off => MessageAuthenticatorRule::Off,
        },
        refuse_unsigned_proxy_state: nas.limits_proxy_state,
        max_proxy_states: config.max_proxy_states,
    }
}

/// Finds the sender and verifies. `uses_next` says, of a NAS whose secret is being changed, which secret its last
/// telling packet from this source was made with.
///
/// # Errors
/// The word of the likeliest candidate.
pub fn identify<'a>(
    policy: &'a Policy,
    config: &RadiusConfig,
    packet: &Packet<'a>,
    source: IpAddr,
    uses_next: impl Fn(&NasEntry) -> bool,
) -> Result<Identified<'a>, Unknown> {
    let candidates = policy.nases.find(
        source,
        packet.get(attrs::NAS_IDENTIFIER),
        packet.get(attrs::CALLED_STATION_ID),
    );
    let proves_itself =
        packet.code() != Code::ACCESS_REQUEST || packet.contains(kind::MESSAGE_AUTHENTICATOR);
    if proves_itself {
        by_proof(&candidates, config, packet)
    } else {
        by_address(policy, &candidates, config, packet, uses_next)
    }
}

/// Whoever's secret fits.
fn by_proof<'a>(
    candidates: &Candidates<'a>,
    config: &RadiusConfig,
    packet: &Packet<'a>,
) -> Result<Identified<'a>, Unknown> {
    let mut first_fault = None;
    let mut unproven = None;
    for entry in candidates.iter() {
        let rules = rules(&entry.nas, config);
        let next = entry.secrets.next.as_ref().map(|secret| (secret, true));
        let mut fault = None;
        for (secret, with_next_secret) in [Some((&entry.secrets.current, false)), next]
            .into_iter()
            .flatten()
        {
            match Request::verify(*packet, secret, &rules) {
                Ok(_) if !entry.nas.is_enabled => {
                    return Err(Unknown::of(Dropped::NasDisabled, entry));
                }
                Ok(request) => {
                    let identified = Identified {
                        request,
                        nas: entry,
                        with_next_secret,
                    };
                    // A NAS whose signatures are of no interest takes wrong ones too: only if nobody's secret fits.
                    if request.signed() || packet.code() != Code::ACCESS_REQUEST {
                        return Ok(identified);
                    }
                    if entry.nas.network.is_some() {
                        unproven.get_or_insert(identified);
                    }
                }
                Err(reason) => {
                    fault.get_or_insert(reason);
                }
            }
        }
        let Some(reason) = fault else { continue };
        let is_another_secret = matches!(
            reason,
            Unverified::BadMessageAuthenticator | Unverified::BadAuthenticator
        );
        let found = Unknown::of(word(&reason, packet, &entry.secrets.current), entry);
        if !is_another_secret {
            return Err(found);
        }
        first_fault.get_or_insert(found);
    }
    unproven.ok_or_else(|| first_fault.unwrap_or_else(stranger))
}

/// The NAS of the narrowest network; the packet proves nothing.
fn by_address<'a>(
    policy: &'a Policy,
    candidates: &Candidates<'a>,
    config: &RadiusConfig,
    packet: &Packet<'a>,
    uses_next: impl Fn(&NasEntry) -> bool,
) -> Result<Identified<'a>, Unknown> {
    let narrowest = candidates
        .iter()
        .filter_map(|entry| entry.nas.network.map(|network| (network.length(), entry)))
        .reduce(|best, entry| if entry.0 > best.0 { entry } else { best });
    let Some((_, entry)) = narrowest else {
        return Err(match candidates.first() {
            Some(named) => Unknown::of(Dropped::MissingMessageAuthenticator, named),
            None => stranger(),
        });
    };
    if !entry.nas.is_enabled {
        return Err(Unknown::of(Dropped::NasDisabled, entry));
    }
    if entry.nas.identifier.is_some() && policy.nases.shares_its_network(entry) {
        return Err(Unknown::of(Dropped::MissingMessageAuthenticator, entry));
    }
    let rules = rules(&entry.nas, config);
    let current = &entry.secrets.current;
    let request = Request::verify(*packet, current, &rules)
        .map_err(|fault| Unknown::of(word(&fault, packet, current), entry))?;
    let identified = |request, with_next_secret| Identified {
        request,
        nas: entry,
        with_next_secret,
    };
    if let Some(next) = &entry.secrets.next
        && let Ok(other) = Request::verify(*packet, next, &rules)
    {
        // During a change of secrets a password tells which one it was hidden with: with the other it is noise.
        // What tells nothing is taken for what the same sender used last.
        let is_next = match (is_noise(&request), is_noise(&other)) {
            (Some(true), Some(false)) => true,
            (Some(false), Some(true)) => false,
            _ => uses_next(entry),
        };
        if is_next {
            return Ok(identified(other, true));
        }
    }
    Ok(identified(request, false))
}

/// Why a datagram is no packet.
pub fn malformed(malformed: &Malformed) -> Dropped {
    match malformed {
        Malformed::AttributeTypeZero { .. }
        | Malformed::AttributeLength { .. }
        | Malformed::AttributeBeyondEnd { .. } => Dropped::MalformedAttribute,
        Malformed::TooManyAttributes { .. } => Dropped::TooManyAttributes,
        _ => Dropped::BadLength,
    }
}

/// Whether a port is asked for what it does not do.
pub fn misdirected(purpose: Purpose, code: Code) -> Option<Dropped> {
    match (code, purpose) {
        (Code::STATUS_SERVER, _)
        | (Code::ACCESS_REQUEST, Purpose::Authentication)
        | (Code::ACCOUNTING_REQUEST, Purpose::Accounting) => None,
        (Code::ACCESS_REQUEST | Code::ACCOUNTING_REQUEST, _) => Some(Dropped::WrongPort),
        (Code::COA_REQUEST | Code::DISCONNECT_REQUEST, _) => Some(Dropped::NotForUs),
        _ => Some(Dropped::UnknownCode),
    }
}

fn stranger() -> Unknown {
    Unknown {
        word: Dropped::UnknownNas,
        nas: None,
    }
}

/// Whether the password is noise; `None` without one.
fn is_noise(request: &Request<'_>) -> Option<bool> {
    request
        .password()
        .map(|password| password.is_ok_and(|password| looks_like_noise(&password)))
}

fn word(fault: &Unverified, packet: &Packet<'_>, secret: &Secret) -> Dropped {
    match fault {
        Unverified::NotARequest(_) | Unverified::UnknownCode(_) => Dropped::UnknownCode,
        Unverified::BadAuthenticator => Dropped::BadAuthenticator,
        Unverified::MissingMessageAuthenticator => Dropped::MissingMessageAuthenticator,
        Unverified::BadMessageAuthenticator => {
            // A wrong signature over a password that makes no sense either: not tampering, another secret.
            let is_noise = packet
                .reveal(attrs::USER_PASSWORD, secret, packet.authenticator())
                .is_some_and(|revealed| {
                    revealed.is_ok_and(|password| looks_like_noise(&password.plain))
                });
            if is_noise {
                Dropped::SharedSecretMismatch
            } else {
                Dropped::BadMessageAuthenticator
            }
        }
        Unverified::RepeatedMessageAuthenticator => Dropped::RepeatedMessageAuthenticator,
        Unverified::MessageAuthenticatorLength => Dropped::MalformedMessageAuthenticator,
        Unverified::ProxyStateUnsigned => Dropped::ProxyStateUnsigned,
        Unverified::TooManyProxyStates => Dropped::TooManyProxyStates,
        Unverified::EapWithPassword => Dropped::EapWithPassword,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use access::nas::{NasId, NasSecrets};
    use access::nas_match::NasIndex;
    use kernel::id::Uuid;
    use kernel::{OrganisationId, Time};
    use radius_wire::Question;

    const SOURCE: &str = "192.0.2.50";

    struct Box {
        number: u128,
        network: Option<&'static str>,
        identifier: Option<&'static str>,
        secret: &'static str,
        next: Option<&'static str>,
        policy: MaPolicy,
        is_enabled: bool,
    }

    fn a_box(number: u128, network: Option<&'static str>, secret: &'static str) -> Box {
        Box {
            number,
            network,
            identifier: None,
            secret,
            next: None,
            policy: MaPolicy::Observe,
            is_enabled: true,
        }
    }

    fn policy(boxes: Vec<Box>) -> Policy {
        let epoch = Time::from_unix_seconds(0);
        let entries = boxes.into_iter().map(|b| {
            Arc::new(NasEntry {
                nas: Nas {
                    id: NasId(Uuid::from_u128(b.number)),
                    organisation: OrganisationId(Uuid::from_u128(1)),
                    name: b.number.to_string(),
                    short_name: String::new(),
                    port_type: "other".into(),
                    family: "generic".into(),
                    network: b.network.map(|text| text.parse().expect("network")),
                    identifier: b.identifier.map(str::to_owned),
                    message_authenticator: b.policy,
                    signs_replies: true,
                    limits_proxy_state: true,
                    reject_delay_ms: 0,
                    flips_octets: false,
                    is_enabled: b.is_enabled,
                    ports: None,
                    server: None,
                    community: None,
                    description: String::new(),
                    coa_port: 3799,
                    restarted_at: None,
                    routes: Vec::new(),
                    created: epoch,
                    modified: epoch,
                },
                secrets: NasSecrets {
                    current: Secret::new(b.secret),
                    next: b.next.map(Secret::new),
                },
            })
        });
        Policy {
            nases: NasIndex::build(entries.collect()),
            ..Policy::default()
        }
    }

    struct Asked {
        secret: &'static str,
        identifier: Option<&'static str>,
        password: Option<&'static str>,
        is_signed: bool,
        uses_next: bool,
    }

    fn asked(secret: &'static str) -> Asked {
        Asked {
            secret,
            identifier: None,
            password: None,
            is_signed: false,
            uses_next: false,
        }
    }

    /// The number of the NAS and whether its next secret fits, or the word.
    fn check(boxes: Vec<Box>, asked: Asked, expect: Result<(u128, bool), Dropped>) {
        let mut question =
            Question::new(Code::ACCESS_REQUEST, 1, [9; 16], Secret::new(asked.secret));
        question.put_text(attrs::USER_NAME, "alice");
        if let Some(identifier) = asked.identifier {
            question.put_text(attrs::NAS_IDENTIFIER, identifier);
        }
        if let Some(password) = asked.password {
            question.put_user_password(password.as_bytes());
        }
        let sealed = question.seal(asked.is_signed).expect("a small packet");
        let packet = Packet::parse(sealed.octets()).expect("a packet");
        let policy = policy(boxes);
        let source = SOURCE.parse().expect("address");
        let got = identify(&policy, &RadiusConfig::default(), &packet, source, |_| {
            asked.uses_next
        })
        .map(|found| (found.nas.nas.id.0.as_u128(), found.with_next_secret))
        .map_err(|unknown| unknown.word);
        assert_eq!(got, expect);
    }

    #[test]
    fn a_wider_network_never_takes_over_what_a_narrower_one_requires_or_forbids() {
        let narrow = |policy, is_enabled| Box {
            policy,
            is_enabled,
            ..a_box(1, Some(SOURCE), "one")
        };
        let wide = || a_box(2, Some("192.0.2.0/24"), "two");
        check(
            vec![narrow(MaPolicy::Require, true), wide()],
            asked("two"),
            Err(Dropped::MissingMessageAuthenticator),
        );
        check(
            vec![narrow(MaPolicy::Observe, false), wide()],
            asked("two"),
            Err(Dropped::NasDisabled),
        );
        check(
            vec![narrow(MaPolicy::Observe, true), wide()],
            asked("one"),
            Ok((1, false)),
        );
        // Whoever proves the wider network's secret is the wider network.
        let signed = Asked {
            is_signed: true,
            ..asked("two")
        };
        check(
            vec![narrow(MaPolicy::Require, true), wide()],
            signed,
            Ok((2, false)),
        );
    }

    #[test]
    fn a_nas_that_is_told_by_its_name_must_sign() {
        let roaming = || Box {
            identifier: Some("ap"),
            ..a_box(1, None, "one")
        };
        let named = |is_signed| Asked {
            identifier: Some("ap"),
            is_signed,
            ..asked("one")
        };
        check(
            vec![roaming()],
            named(false),
            Err(Dropped::MissingMessageAuthenticator),
        );
        check(vec![roaming()], named(true), Ok((1, false)));
        let forged = Asked {
            identifier: Some("ap"),
            is_signed: true,
            ..asked("guess")
        };
        check(
            vec![roaming()],
            forged,
            Err(Dropped::BadMessageAuthenticator),
        );
        // Two behind one address: the name alone tells nothing. Alone at an address, it is that address.
        let here = |number, name, secret| Box {
            identifier: Some(name),
            ..a_box(number, Some(SOURCE), secret)
        };
        check(
            vec![here(1, "ap", "one"), here(2, "bp", "two")],
            named(false),
            Err(Dropped::MissingMessageAuthenticator),
        );
        check(
            vec![here(1, "ap", "one"), here(2, "bp", "two")],
            named(true),
            Ok((1, false)),
        );
        check(vec![here(1, "ap", "one")], named(false), Ok((1, false)));
    }

    #[test]
    fn a_stranger_is_unknown() {
        check(
            vec![a_box(1, Some("198.51.100.0/24"), "one")],
            asked("one"),
            Err(Dropped::UnknownNas),
        );
    }

    #[test]
    fn during_a_change_both_secrets_fit_and_what_tells_nothing_goes_by_the_last_that_told() {
        let changing = || Box {
            next: Some("new"),
            ..a_box(1, Some(SOURCE), "old")
        };
        let with = |secret, password, is_signed, uses_next| Asked {
            password,
            is_signed,
            uses_next,
            ..asked(secret)
        };
        check(
            vec![changing()],
            with("old", Some("wonderland"), false, true),
            Ok((1, false)),
        );
        check(
            vec![changing()],
            with("new", Some("wonderland"), false, false),
            Ok((1, true)),
        );
        check(
            vec![changing()],
            with("new", None, true, false),
            Ok((1, true)),
        );
        check(
            vec![changing()],
            with("old", None, true, true),
            Ok((1, false)),
        );
        check(
            vec![changing()],
            with("new", None, false, true),
            Ok((1, true)),
        );
        check(
            vec![changing()],
            with("old", None, false, false),
            Ok((1, false)),
        );
    }

    #[test]
    fn a_nas_whose_signatures_are_of_no_interest_yields_to_one_whose_secret_fits() {
        let careless = || Box {
            policy: MaPolicy::Off,
            ..a_box(1, Some(SOURCE), "one")
        };
        let wide = || a_box(2, Some("192.0.2.0/24"), "two");
        let signed = |secret| Asked {
            is_signed: true,
            ..asked(secret)
        };
        check(vec![careless(), wide()], signed("two"), Ok((2, false)));
        check(vec![careless(), wide()], signed("neither"), Ok((1, false)));
    }
}
