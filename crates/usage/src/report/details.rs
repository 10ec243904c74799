//! What describes a session and decides nothing: the texts that reports carry.

use super::{number, words};
use radius_wire::{Packet, attr::Ipv4, attr::Ipv6, attr::Kind};
use std::net::IpAddr;

/// Declares the fields once: the struct, and how newer values take the place of older ones.
macro_rules! details {
    ($($(#[doc = $doc:literal])+ $field:ident,)*) => {
        /// What describes a session. A field is empty until some report has filled it.
        #[derive(Debug, Clone, Default, PartialEq, Eq, sqlx::FromRow)]
        pub struct Details {
            $($(#[doc = $doc])+ pub $field: Option<String>,)*
        }

        impl Details {
            /// Takes over what a report says; whether that changed anything. What an older report says only fills gaps.
            pub fn merge(&mut self, said: &Details, is_newest: bool) -> bool {
                let mut changed = false;
                $(if said.$field.is_some()
                    && (is_newest || self.$field.is_none())
                    && self.$field != said.$field
                {
                    self.$field.clone_from(&said.$field);
                    changed = true;
                })*
                changed
            }

            /// The fields, one after the other.
            pub(crate) fn texts(&self) -> [&Option<String>; [$(stringify!($field)),*].len()] {
                [$(&self.$field),*]
            }

            /// From the fields, one after the other; none when one is missing.
            pub(crate) fn from_texts(
                mut next: impl FnMut() -> Option<Option<String>>,
            ) -> Option<Details> {
                Some(Details { $($field: next()?,)* })
            }
        }
    };
}

details! {
    /// User-Name as sent.
    username,
    /// What follows the last `@` of the name, folded.
    realm,
    /// NAS-Identifier.
    nas_identifier,
    /// NAS-Port-Id, else NAS-Port.
    nas_port_id,
    /// NAS-Port-Type, as its name.
    nas_port_type,
    /// Service-Type, as its name.
    service_type,
    /// Framed-Protocol, as its name.
    framed_protocol,
    /// Acct-Authentic, as its name.
    authentication,
    /// Called-Station-Id as sent.
    called_station_id,
    /// Calling-Station-Id as sent.
    calling_station_id,
    /// Framed-IP-Address.
    framed_ip_address,
    /// Framed-IPv6-Address.
    framed_ipv6_address,
    /// Framed-IPv6-Prefix.
    framed_ipv6_prefix,
    /// Delegated-IPv6-Prefix.
    delegated_ipv6_prefix,
    /// Framed-Interface-Id.
    framed_interface_id,
    /// Acct-Multi-Session-Id.
    multi_session_id,
    /// Class, hex.
    class,
}

impl Details {
    /// Reads them from a packet.
    pub fn read(packet: Packet<'_>) -> Details {
        let text = |kind| words::first_text(packet, kind);
        let named = |kind| words::named(packet, kind);
        let username = text(number::USER_NAME);
        Details {
            realm: username.as_deref().and_then(words::realm),
            username,
            nas_identifier: text(number::NAS_IDENTIFIER),
            nas_port_id: text(number::NAS_PORT_ID).or_else(|| named(number::NAS_PORT)),
            nas_port_type: named(number::NAS_PORT_TYPE),
            service_type: named(number::SERVICE_TYPE),
            framed_protocol: named(number::FRAMED_PROTOCOL),
            authentication: named(number::ACCT_AUTHENTIC),
            called_station_id: text(number::CALLED_STATION_ID),
            calling_station_id: calling_station_id(packet),
            framed_ip_address: address(packet, number::FRAMED_IP_ADDRESS),
            framed_ipv6_address: address(packet, number::FRAMED_IPV6_ADDRESS),
            framed_ipv6_prefix: named(number::FRAMED_IPV6_PREFIX),
            delegated_ipv6_prefix: named(number::DELEGATED_IPV6_PREFIX),
            framed_interface_id: named(number::FRAMED_INTERFACE_ID),
            multi_session_id: packet
                .all(number::ACCT_MULTI_SESSION_ID)
                .find_map(words::session_id),
            class: words::class(packet),
        }
    }
}

/// Six raw octets are shown as the address they are.
fn calling_station_id(packet: Packet<'_>) -> Option<String> {
    let octets = packet.first(number::CALLING_STATION_ID)?;
    match (octets.len(), words::mac(octets)) {
        (6, Some(mac)) => Some(mac.to_string()),
        _ => words::text(octets),
    }
}

/// What the NAS says its address is; unspecified addresses say nothing.
pub fn said_address(packet: Packet<'_>) -> Option<IpAddr> {
    let v4 = packet
        .all(number::NAS_IP_ADDRESS)
        .find_map(Ipv4::decode)
        .map(IpAddr::V4);
    let v6 = || {
        packet
            .all(number::NAS_IPV6_ADDRESS)
            .find_map(Ipv6::decode)
            .map(IpAddr::V6)
    };
    v4.filter(|address| !address.is_unspecified())
        .or_else(v6)
        .filter(|address| !address.is_unspecified())
}

/// An address; one that is all zeros means none.
fn address(packet: Packet<'_>, kind: u8) -> Option<String> {
    let octets = packet.first(kind)?;
    Ipv4::decode(octets)
        .map(IpAddr::V4)
        .or_else(|| Ipv6::decode(octets).map(IpAddr::V6))
        .filter(|address| !address.is_unspecified())
        .map(|address| address.to_string())
}
