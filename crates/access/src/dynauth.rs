//! Disconnect and CoA (RFC 5176): what names a session to each family of NASes, and what it may be told while it lasts.
//!
//! Pure. A family has several ways of naming a session; a NAS that refuses one with Unsupported-Attribute,
//! Missing-Attribute or Invalid-Request is asked in the next. Most name one session ([`is_exact`]); those that name a device
//! come last, are for ending it only, and are left out once the NAS has said that it has no such session. A NAS must **never**
//! be asked by a bare user name, which some take for all of that user's sessions.

use crate::family::Family;
use crate::plan::PlanFacts;
use crate::plan::render::{Octets, quota};
use crate::rule::ReplyItem;
use radius_wire::{Question, attrs};
use std::net::IpAddr;
use usage::session::Session;

/// Error-Cause (RFC 5176 §3.5).
pub mod error_cause {
    /// An attribute that the NAS does not take.
    pub const UNSUPPORTED_ATTRIBUTE: u32 = 401;
    /// An attribute that it needs.
    pub const MISSING_ATTRIBUTE: u32 = 402;
    /// It is not the NAS that is meant.
    pub const NAS_IDENTIFICATION_MISMATCH: u32 = 403;
    /// Something in it is wrong.
    pub const INVALID_REQUEST: u32 = 404;
    /// It does not do this.
    pub const UNSUPPORTED_SERVICE: u32 = 405;
    /// It does not do this, either.
    pub const UNSUPPORTED_EXTENSION: u32 = 406;
    /// A value has the wrong length or form.
    pub const INVALID_ATTRIBUTE_VALUE: u32 = 407;
    /// The NAS has no such session.
    pub const SESSION_CONTEXT_NOT_FOUND: u32 = 503;
}

/// One attribute that names a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// User-Name as the NAS reported it.
    UserName,
    /// User-Name = the device's address, `AA:BB:CC:DD:EE:FF`.
    DeviceAsUserName,
    /// Acct-Session-Id.
    SessionId,
    /// Calling-Station-Id as the NAS reported it.
    Device,
    /// Framed-IP-Address.
    FramedIp,
    /// NAS-IP-Address or NAS-IPv6-Address.
    NasAddress,
    /// NAS-Identifier.
    NasIdentifier,
    /// Cisco-AVPair audit-session-id.
    AuditSessionId,
    /// NAS-Port-Id or NAS-Port.
    Port,
}

use Naming::{
    AuditSessionId, Device, DeviceAsUserName, FramedIp, NasAddress, NasIdentifier, Port, SessionId,
    UserName,
};

/// What names one session, all together.
pub type Set = &'static [Naming];

/// The ways in which a family's sessions are named, the likeliest first.
pub fn sets(family: Family) -> &'static [Set] {
    match family {
        // User-Name is mandatory, and without Acct-Session-Id every session of the user is hit.
        Family::Coova => &[&[UserName, SessionId]],
        Family::Uspot => &[&[UserName, SessionId], &[SessionId]],
        Family::Mikrotik => &[
            &[UserName, FramedIp, SessionId],
            &[UserName, FramedIp],
            &[SessionId],
            &[DeviceAsUserName],
        ],
        // Anything but these is refused.
        Family::Hostapd => &[
            &[UserName, NasAddress, NasIdentifier, Device, SessionId],
            &[Device, SessionId],
            &[SessionId],
            &[Device],
        ],
        Family::Aruba => &[&[Device, NasAddress, SessionId], &[UserName, SessionId]],
        Family::Cisco | Family::Meraki => &[
            &[Device, AuditSessionId],
            &[Device, SessionId],
            &[UserName, SessionId],
        ],
        Family::Ruckus => &[&[Device, SessionId], &[Device]],
        Family::Cambium => &[&[UserName, Device, SessionId], &[UserName, Device]],
        Family::Fortigate => &[&[FramedIp, UserName, SessionId]],
        Family::Extreme => &[&[Port, Device, SessionId], &[Device, SessionId]],
        Family::Juniper => &[&[SessionId], &[UserName, SessionId]],
        _ => &[
            &[UserName, SessionId, Device, NasAddress, NasIdentifier],
            &[UserName, SessionId],
            &[SessionId],
        ],
    }
}

/// Whether a set names one session and no other, whatever the device does next.
pub fn is_exact(set: Set) -> bool {
    set.iter()
        .any(|naming| matches!(naming, SessionId | AuditSessionId))
}

/// Whether a family's sessions can be told another rate while they last. The others are ended, and come in again.
pub fn takes_changes(family: Family) -> bool {
    !matches!(
        family,
        Family::Hostapd | Family::Omada | Family::Unifi | Family::Cambium | Family::Pfsense
    )
}

/// Puts what names a session; false where the session has not got all of it.
pub fn name_session(question: &mut Question, set: Set, session: &Session) -> bool {
    let details = &session.details;
    for naming in set {
        match naming {
            UserName => {
                let Some(name) = &details.username else {
                    return false;
                };
                question.put_text(attrs::USER_NAME, name);
            }
            DeviceAsUserName => {
                let Ok(mac) = session.identity.parse::<proof::Mac>() else {
                    return false;
                };
                question.put_text(attrs::USER_NAME, &mac.to_string().replace('-', ":"));
            }
            SessionId => {
                question.put_text(attrs::ACCT_SESSION_ID, &session.acct_session_id);
            }
            Device => {
                let Some(device) = &details.calling_station_id else {
                    return false;
                };
                question.put_text(attrs::CALLING_STATION_ID, device);
            }
            FramedIp => {
                let address = details.framed_ip_address.as_deref();
                let Some(address) = address.and_then(|text| text.parse().ok()) else {
                    return false;
                };
                question.put(attrs::FRAMED_IP_ADDRESS, address);
            }
            NasAddress => match session.nas_ip_address.parse::<IpAddr>() {
                Ok(IpAddr::V4(address)) => {
                    question.put(attrs::NAS_IP_ADDRESS, address);
                }
                Ok(IpAddr::V6(address)) => {
                    question.put(attrs::NAS_IPV6_ADDRESS, address);
                }
                // It helps, and no more.
                Err(_) => {}
            },
            NasIdentifier => {
                if let Some(identifier) = &details.nas_identifier {
                    question.put_text(attrs::NAS_IDENTIFIER, identifier);
                }
            }
            AuditSessionId => {
                let Some(pair) = audit_session_id(session) else {
                    return false;
                };
                question.put_text(attrs::cisco::AVPAIR, &pair);
            }
            Port => {
                let Some(port) = &details.nas_port_id else {
                    return false;
                };
                match port.parse::<u32>() {
                    Ok(number) => question.put(attrs::NAS_PORT, number),
                    Err(_) => question.put_text(attrs::NAS_PORT_ID, port),
                };
            }
        }
    }
    true
}

/// `audit-session-id=…` among the pairs that the NAS reported.
fn audit_session_id(session: &Session) -> Option<String> {
    let other: serde_json::Value = serde_json::from_str(session.other.as_deref()?).ok()?;
    let pairs = other.get("Cisco-AVPair")?;
    let is_it = |pair: &serde_json::Value| {
        let pair = pair.as_str()?;
        pair.starts_with("audit-session-id=")
            .then(|| pair.to_owned())
    };
    match pairs {
        serde_json::Value::Array(pairs) => pairs.iter().find_map(is_it),
        pair => is_it(pair),
    }
}

/// What a session is told when its plan changes.
pub struct Change<'a> {
    /// The plan that holds now.
    pub plan: &'a PlanFacts,
    /// What is left of quotas.
    pub octets: Octets,
    /// How long it may last from now on, in seconds.
    pub session_seconds: Option<u32>,
}

/// Tunnel attributes and VLANs belong to the begin of a session: no NAS moves a client while it is online.
fn can_change(item: &ReplyItem) -> bool {
    let fixed = [
        (0, 64),
        (0, 65),
        (0, 81),
        (14_988, 26),
        (14_988, 27),
        (14_559, 24),
        (3_309, 11),
    ];
    !fixed
        .iter()
        .any(|(vendor, number)| item.is(*vendor, *number))
}

/// Puts what a session is told.
pub fn tell(question: &mut Question, family: Family, change: &Change<'_>) {
    for item in change
        .plan
        .replies(family)
        .iter()
        .filter(|item| can_change(item))
    {
        if let Some((vendor, number, payload)) = item.plain() {
            match u8::try_from(number) {
                Ok(kind) if vendor == 0 => question.put_raw(kind, payload),
                _ => question.put_vendor(vendor, number, payload),
            };
        }
    }
    for (attr, value) in quota(change.octets, family) {
        question.put(attr, value);
    }
    if let Some(seconds) = change.session_seconds {
        question.put(attrs::SESSION_TIMEOUT, seconds.max(1));
    }
}
