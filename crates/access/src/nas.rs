//! NASes: the devices that ask.
//!
//! This file is what a NAS is; `nas/examine.rs` says what it may be; `nas/store.rs` adds, changes, lists and loads them;
//! `nas/secret.rs` is the rules of shared secrets and their change without an outage. Secrets lie sealed in the database
//! and are opened only for the server that needs them: a listing must **never** carry one.

mod examine;
mod row;
mod secret;
mod store;

pub use secret::{
    MAX_SECRET_OCTETS, NasSecrets, begin_secret_change, cancel_secret_change, finish_secret_change,
};
pub use store::{
    Added, NasLine, Outcome, STATEMENTS, add, by_id, change, find, list, load_all, load_one,
    note_restart, page, remove, set_routes,
};

use crate::network::Network;
use kernel::{OrganisationId, Time};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

kernel::define_id! {
    /// A NAS.
    NasId
}

/// Told when a NAS is added or anything about it changes. The subject is the NAS.
pub const CHANGED: &str = "nas.changed";
/// Told when a NAS reported to have started or to go down. The subject is the NAS. Nothing that a decision looks at is
/// different then, so the Register has nothing to read again.
pub const STARTED: &str = "nas.started";
/// Told when a NAS is removed. The subject is the NAS.
pub const REMOVED: &str = "nas.removed";

/// Where NASes listen for Disconnect and CoA requests (RFC 5176 section 2.1).
pub const COA_PORT: u16 = 3799;
/// Greatest delay of a refusal: a NAS gives up waiting soon after.
pub const MAX_REJECT_DELAY_MS: u16 = 5_000;
/// Delay of a refusal unless said otherwise: slows guessing and costs an honest person little.
pub const REJECT_DELAY_MS: u16 = 1_000;
/// Routes of one NAS: an SSID each, and no access point announces more than 16 or so.
pub const MAX_ROUTES: usize = 64;
/// Longest name in characters, as OpenWISP has it.
pub const MAX_NAME_CHARS: usize = 128;
/// Longest identifier in octets: the value of one attribute.
pub const MAX_IDENTIFIER_OCTETS: usize = 253;

/// What is done about Message-Authenticator in this NAS's Access-Requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaPolicy {
    /// Verified when it is there, counted when it is not.
    #[default]
    Observe,
    /// Requests without it are dropped.
    Require,
    /// Verified when it is there; that it is missing is of no interest.
    Off,
}

impl MaPolicy {
    /// As stored.
    pub fn word(self) -> &'static str {
        match self {
            MaPolicy::Observe => "observe",
            MaPolicy::Require => "require",
            MaPolicy::Off => "off",
        }
    }

    /// The policy of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "observe" => Some(MaPolicy::Observe),
            "require" => Some(MaPolicy::Require),
            "off" => Some(MaPolicy::Off),
            _ => None,
        }
    }
}

/// What a route looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteKind {
    /// The SSID in Called-Station-Id.
    Ssid,
    /// The realm of the user name.
    Realm,
    /// NAS-Identifier.
    Identifier,
}

impl RouteKind {
    /// As stored.
    pub fn word(self) -> &'static str {
        match self {
            RouteKind::Ssid => "ssid",
            RouteKind::Realm => "realm",
            RouteKind::Identifier => "identifier",
        }
    }

    /// The kind of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "ssid" => Some(RouteKind::Ssid),
            "realm" => Some(RouteKind::Realm),
            "identifier" => Some(RouteKind::Identifier),
            _ => None,
        }
    }
}

/// Requests of this kind through the NAS belong to another organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// What is looked at.
    pub kind: RouteKind,
    /// What it must be: SSIDs and identifiers exactly, realms in small letters.
    pub value: String,
    /// Whose request it then is.
    pub organisation: OrganisationId,
}

/// A NAS, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nas {
    /// Its id.
    pub id: NasId,
    /// Its owner.
    pub organisation: OrganisationId,
    /// For people.
    pub name: String,
    /// For tables and graphs; may be empty.
    pub short_name: String,
    /// What kind of port it offers, in OpenWISP's words ("other", "Wireless - Other", …).
    #[serde(rename = "type")]
    pub port_type: String,
    /// Which vendor's dialect it speaks ("generic", "mikrotik", …).
    pub family: String,
    /// Where its requests come from; `None` when it is known by its identifier alone.
    pub network: Option<Network>,
    /// NAS-Identifier or Called-Station-Id, for NASes that share an address.
    pub identifier: Option<String>,
    /// What is done about Message-Authenticator in its requests.
    pub message_authenticator: MaPolicy,
    /// Whether replies carry Message-Authenticator; off only for devices that break on it.
    pub signs_replies: bool,
    /// Whether Proxy-State without Message-Authenticator is dropped.
    pub limits_proxy_state: bool,
    /// How long a refusal is held back, 0 to [`MAX_REJECT_DELAY_MS`].
    pub reject_delay_ms: u16,
    /// Whether it counts Input as what the device downloads, against RFC 2866.
    pub flips_octets: bool,
    /// A disabled NAS gets no answer.
    pub is_enabled: bool,
    /// How many ports it has, for the record.
    pub ports: Option<u32>,
    /// FreeRADIUS's virtual server, for the record.
    pub server: Option<String>,
    /// SNMP community, for the record; not a secret of this server.
    pub community: Option<String>,
    /// For people.
    pub description: String,
    /// UDP port of its Disconnect and CoA listener.
    pub coa_port: u16,
    /// When it last reported to have started: older sessions are over.
    pub restarted_at: Option<Time>,
    /// Requests that belong to other organisations.
    pub routes: Vec<Route>,
    /// When it was added.
    pub created: Time,
    /// When it was last changed.
    pub modified: Time,
}

/// A NAS that is to be added. Begin with [`NewNas::new`].
pub struct NewNas {
    /// Its owner.
    pub organisation: OrganisationId,
    /// For people; empty means the network or the identifier.
    pub name: String,
    /// See [`Nas::short_name`].
    pub short_name: String,
    /// See [`Nas::port_type`].
    pub port_type: String,
    /// See [`Nas::family`].
    pub family: String,
    /// See [`Nas::network`].
    pub network: Option<Network>,
    /// See [`Nas::identifier`].
    pub identifier: Option<String>,
    /// The shared secret.
    pub secret: Zeroizing<String>,
    /// See [`Nas::message_authenticator`].
    pub message_authenticator: MaPolicy,
    /// See [`Nas::signs_replies`].
    pub signs_replies: bool,
    /// See [`Nas::limits_proxy_state`].
    pub limits_proxy_state: bool,
    /// See [`Nas::reject_delay_ms`].
    pub reject_delay_ms: u16,
    /// See [`Nas::flips_octets`].
    pub flips_octets: bool,
    /// See [`Nas::ports`].
    pub ports: Option<u32>,
    /// See [`Nas::server`].
    pub server: Option<String>,
    /// See [`Nas::community`].
    pub community: Option<String>,
    /// See [`Nas::description`].
    pub description: String,
    /// See [`Nas::coa_port`].
    pub coa_port: u16,
    /// See [`Nas::routes`].
    pub routes: Vec<Route>,
}

impl NewNas {
    /// A NAS with everything else at its default.
    pub fn new(
        organisation: OrganisationId,
        network: Option<Network>,
        secret: Zeroizing<String>,
    ) -> Self {
        Self {
            organisation,
            name: String::new(),
            short_name: String::new(),
            port_type: "other".to_owned(),
            family: "generic".to_owned(),
            network,
            identifier: None,
            secret,
            message_authenticator: MaPolicy::default(),
            signs_replies: true,
            limits_proxy_state: false,
            reject_delay_ms: REJECT_DELAY_MS,
            flips_octets: false,
            ports: None,
            server: None,
            community: None,
            description: String::new(),
            coa_port: COA_PORT,
            routes: Vec::new(),
        }
    }
}

/// What is to become different; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NasChange {
    /// See [`Nas::name`].
    pub name: Option<String>,
    /// See [`Nas::short_name`].
    pub short_name: Option<String>,
    /// See [`Nas::port_type`].
    pub port_type: Option<String>,
    /// See [`Nas::family`].
    pub family: Option<String>,
    /// See [`Nas::network`]; `Some(None)` takes it away.
    pub network: Option<Option<Network>>,
    /// See [`Nas::identifier`]; `Some(None)` takes it away.
    pub identifier: Option<Option<String>>,
    /// See [`Nas::message_authenticator`].
    pub message_authenticator: Option<MaPolicy>,
    /// See [`Nas::signs_replies`].
    pub signs_replies: Option<bool>,
    /// See [`Nas::limits_proxy_state`].
    pub limits_proxy_state: Option<bool>,
    /// See [`Nas::reject_delay_ms`].
    pub reject_delay_ms: Option<u16>,
    /// See [`Nas::flips_octets`].
    pub flips_octets: Option<bool>,
    /// See [`Nas::is_enabled`].
    pub is_enabled: Option<bool>,
    /// See [`Nas::description`].
    pub description: Option<String>,
    /// See [`Nas::coa_port`].
    pub coa_port: Option<u16>,
}
