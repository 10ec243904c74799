//! Who sent this: from a packet and its source to a NAS and a verified request, or to a word that says why not.
//!
//! Pure. The candidates' secrets are tried in order; a signed packet tells by itself which of them it was made with.
//! One without signature is believed to be the first candidate's, as RADIUS over UDP always did.

use crate::config::RadiusConfig;
use access::nas::{MaPolicy, Nas};
use access::nas_match::NasEntry;
use access::question::looks_like_noise;
use access::register::Policy;
use access::word::Dropped;
use radius_wire::{MessageAuthenticatorRule, Packet, Request, Rules, Secret, Unverified, attrs};
use std::net::IpAddr;
use std::sync::Arc;

/// A verified request and its sender.
pub struct Identified<'a> {
    /// The request.
    pub request: Request<'a>,
    /// Who sent it.
    pub nas: Arc<NasEntry>,
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

/// Finds the sender and verifies.
///
/// # Errors
/// The word of the likeliest candidate.
pub fn identify<'a>(
    policy: &'a Policy,
    config: &RadiusConfig,
    packet: &Packet<'a>,
    source: IpAddr,
) -> Result<Identified<'a>, Unknown> {
    let candidates = policy.nases.find(
        source,
        packet.get(attrs::NAS_IDENTIFIER),
        packet.get(attrs::CALLED_STATION_ID),
    );
    let mut first_fault = None;
    for entry in candidates.iter() {
        if !entry.nas.is_enabled {
            first_fault.get_or_insert((Dropped::NasDisabled, entry));
            continue;
        }
        let rules = rules(&entry.nas, config);
        match Request::verify(*packet, &entry.secrets.current, &rules) {
            Ok(request) => {
                return Ok(choose_secret(request, packet, entry, &rules));
            }
            Err(fault) => {
                if let Some(next) = &entry.secrets.next
                    && let Ok(request) = Request::verify(*packet, next, &rules)
                {
                    return Ok(Identified {
                        request,
                        nas: entry.clone(),
                        with_next_secret: true,
                    });
                }
                first_fault.get_or_insert((word(&fault, packet, &entry.secrets.current), entry));
            }
        }
    }
    Err(match first_fault {
        Some((word, entry)) => Unknown {
            word,
            nas: Some(entry.clone()),
        },
        None => Unknown {
            word: Dropped::UnknownNas,
            nas: None,
        },
    })
}

/// During a change of secrets an unsigned password tells which one it was hidden with: with the other it is noise.
fn choose_secret<'a>(
    request: Request<'a>,
    packet: &Packet<'a>,
    entry: &'a Arc<NasEntry>,
    rules: &Rules,
) -> Identified<'a> {
    if let Some(next) = &entry.secrets.next
        && !request.signed()
        && is_noise(&request)
        && let Ok(other) = Request::verify(*packet, next, rules)
        && !is_noise(&other)
    {
        return Identified {
            request: other,
            nas: entry.clone(),
            with_next_secret: true,
        };
    }
    Identified {
        request,
        nas: entry.clone(),
        with_next_secret: false,
    }
}

fn is_noise(request: &Request<'_>) -> bool {
    matches!(request.password(), Some(Ok(password)) if looks_like_noise(&password))
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
