//! An accounting report as typed values (RFC 2866, 2867, 2869).
//!
//! Reading is tolerant of what devices send (text that is not UTF-8, NULs at the end, binary session ids, wrong
//! clocks, counters of impossible size) and strict about what makes a report a report: a status and a session id.
//! [`details`] holds what describes a session, [`moment`] says when something happened, [`words`] turns octets into
//! text, [`other`] keeps what has no field. It must never know a database, nor decide what a report changes.

pub mod details;
pub mod moment;
pub mod other;
pub mod words;

pub use details::Details;

use crate::entry::Entry;
use crate::session::ledger::Count;
use kernel::id::Uuid;
use kernel::{OrganisationId, Time};
use radius_wire::Packet;
use std::net::IpAddr;

/// The standard attributes that are read here (RFC 2865, 2866, 2869, 3162, 4818, 6911).
pub(crate) mod number {
    pub const USER_NAME: u8 = 1;
    pub const NAS_IP_ADDRESS: u8 = 4;
    pub const NAS_PORT: u8 = 5;
    pub const SERVICE_TYPE: u8 = 6;
    pub const FRAMED_PROTOCOL: u8 = 7;
    pub const FRAMED_IP_ADDRESS: u8 = 8;
    pub const CLASS: u8 = 25;
    pub const VENDOR_SPECIFIC: u8 = 26;
    pub const CALLED_STATION_ID: u8 = 30;
    pub const CALLING_STATION_ID: u8 = 31;
    pub const NAS_IDENTIFIER: u8 = 32;
    pub const PROXY_STATE: u8 = 33;
    pub const ACCT_STATUS_TYPE: u8 = 40;
    pub const ACCT_DELAY_TIME: u8 = 41;
    pub const ACCT_INPUT_OCTETS: u8 = 42;
    pub const ACCT_OUTPUT_OCTETS: u8 = 43;
    pub const ACCT_SESSION_ID: u8 = 44;
    pub const ACCT_AUTHENTIC: u8 = 45;
    pub const ACCT_SESSION_TIME: u8 = 46;
    pub const ACCT_INPUT_PACKETS: u8 = 47;
    pub const ACCT_OUTPUT_PACKETS: u8 = 48;
    pub const ACCT_TERMINATE_CAUSE: u8 = 49;
    pub const ACCT_MULTI_SESSION_ID: u8 = 50;
    pub const ACCT_INPUT_GIGAWORDS: u8 = 52;
    pub const ACCT_OUTPUT_GIGAWORDS: u8 = 53;
    pub const EVENT_TIMESTAMP: u8 = 55;
    pub const NAS_PORT_TYPE: u8 = 61;
    pub const CONNECT_INFO: u8 = 77;
    pub const MESSAGE_AUTHENTICATOR: u8 = 80;
    pub const NAS_PORT_ID: u8 = 87;
    pub const NAS_IPV6_ADDRESS: u8 = 95;
    pub const FRAMED_INTERFACE_ID: u8 = 96;
    pub const FRAMED_IPV6_PREFIX: u8 = 97;
    pub const DELEGATED_IPV6_PREFIX: u8 = 123;
    pub const FRAMED_IPV6_ADDRESS: u8 = 168;
}

/// Four pebioctets in one session: more than a saturated 100 Gbit/s link carries in four days. A larger value is
/// a device's mistake, and totals are never lowered again.
const MAX_GIGAWORDS: u32 = 1 << 20;
/// Ten years. A larger session time is a device's mistake.
const MAX_SESSION_SECONDS: u32 = 10 * 366 * 86_400;

/// What a report says has happened (RFC 2866 §5.1, RFC 2867 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// A session begins.
    Start,
    /// A session goes on.
    Interim,
    /// A session ends.
    Stop,
    /// The NAS has started.
    On,
    /// The NAS is about to stop.
    Off,
    /// A tunnel begins.
    TunnelStart,
    /// A tunnel ends.
    TunnelStop,
    /// A tunnel was refused.
    TunnelReject,
    /// A link in a tunnel begins.
    TunnelLinkStart,
    /// A link in a tunnel ends.
    TunnelLinkStop,
    /// A link in a tunnel was refused.
    TunnelLinkReject,
    /// Anything else: kept, and taken for a sign of life.
    Other(u32),
}

impl Status {
    /// From the value of Acct-Status-Type.
    pub fn from_number(number: u32) -> Status {
        match number {
            1 => Status::Start,
            2 => Status::Stop,
            3 => Status::Interim,
            7 => Status::On,
            8 => Status::Off,
            9 => Status::TunnelStart,
            10 => Status::TunnelStop,
            11 => Status::TunnelReject,
            12 => Status::TunnelLinkStart,
            13 => Status::TunnelLinkStop,
            14 => Status::TunnelLinkReject,
            other => Status::Other(other),
        }
    }

    /// Whether it says that a session begins.
    pub fn begins(self) -> bool {
        matches!(
            self,
            Status::Start | Status::TunnelStart | Status::TunnelLinkStart
        )
    }

    /// Whether it says that a session is over.
    pub fn ends(self) -> bool {
        matches!(
            self,
            Status::Stop
                | Status::TunnelStop
                | Status::TunnelReject
                | Status::TunnelLinkStop
                | Status::TunnelLinkReject
        )
    }

    /// Whether it is about the NAS and not about one session.
    pub fn is_about_nas(self) -> bool {
        matches!(self, Status::On | Status::Off)
    }
}

/// Why a verified packet is no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no packet.
    #[error("packet: {0}")]
    Packet(String),
    /// Nothing says what happened.
    #[error("attribute Acct-Status-Type (40) is missing or has not 4 octets")]
    NoStatus,
    /// Nothing says which session it is about.
    #[error("attribute Acct-Session-Id (44) is missing or empty")]
    NoSessionId,
}

/// One accounting report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// When it reached us.
    pub received: Time,
    /// When this or a report before it reached this node, whichever is later: beyond `received` where the node's clock
    /// was set back in between.
    pub latest: Time,
    /// When what it reports happened, as far as that can be believed (see [`moment`]).
    pub event_time: Time,
    /// The NAS.
    pub nas: Uuid,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// Whose usage it is, where the person is known.
    pub membership: Option<Uuid>,
    /// The member's first group, by name.
    pub group: Option<String>,
    /// Where it came from.
    pub source: IpAddr,
    /// What happened.
    pub status: Status,
    /// Acct-Session-Id: text, or hex digits where it is not. Empty only when the report is about the NAS.
    pub session_id: String,
    /// What tells re-used session ids apart: the device's MAC, else Calling-Station-Id, else User-Name.
    pub identity: String,
    /// NAS-IP-Address or NAS-IPv6-Address as the NAS gave it.
    pub said_address: Option<IpAddr>,
    /// What describes the session.
    pub details: Details,
    /// Connect-Info.
    pub connect_info: Option<String>,
    /// Acct-Session-Time, seconds.
    pub session_seconds: Option<i64>,
    /// Octets from the client, whatever the device calls them.
    pub input: Option<Count>,
    /// Octets to the client.
    pub output: Option<Count>,
    /// Packets from the client.
    pub input_packets: Option<i64>,
    /// Packets to the client.
    pub output_packets: Option<i64>,
    /// Acct-Terminate-Cause, as its name.
    pub terminate_cause: Option<String>,
    /// Attributes without a field, by name.
    pub other: serde_json::Map<String, serde_json::Value>,
    /// Of the whole packet: the same for a retransmission, which has the same identifier and authenticator (RFC 2866 §3).
    pub digest: u64,
}

impl Report {
    /// Reads a journalled report.
    ///
    /// # Errors
    /// [`Unreadable`]; the entry is to be kept whole then, because it was acknowledged.
    pub fn read(entry: &Entry) -> Result<Report, Unreadable> {
        // Whatever was let in is to be read again: the door's limit on attributes may have been lowered since.
        let packet = Packet::parse_with(&entry.packet, radius_wire::packet::MAX_OCTETS)
            .map_err(|e| Unreadable::Packet(e.to_string()))?;
        let status = integer(packet, number::ACCT_STATUS_TYPE)
            .map(Status::from_number)
            .ok_or(Unreadable::NoStatus)?;
        let session_id = packet
            .all(number::ACCT_SESSION_ID)
            .find_map(words::session_id)
            .or_else(|| status.is_about_nas().then(String::new))
            .ok_or(Unreadable::NoSessionId)?;
        let details = Details::read(packet);
        let said_address = details::said_address(packet);
        let identity = words::identity(
            packet.first(number::CALLING_STATION_ID),
            details.username.as_deref(),
        );
        let device_input = counter(
            packet,
            number::ACCT_INPUT_OCTETS,
            number::ACCT_INPUT_GIGAWORDS,
        );
        let device_output = counter(
            packet,
            number::ACCT_OUTPUT_OCTETS,
            number::ACCT_OUTPUT_GIGAWORDS,
        );
        let packets = |kind| integer(packet, kind).map(i64::from);
        let (mut input, mut output) = (device_input, device_output);
        let (mut input_packets, mut output_packets) = (
            packets(number::ACCT_INPUT_PACKETS),
            packets(number::ACCT_OUTPUT_PACKETS),
        );
        if entry.flips_octets {
            std::mem::swap(&mut input, &mut output);
            std::mem::swap(&mut input_packets, &mut output_packets);
        }
        Ok(Report {
            received: entry.received,
            latest: entry.received,
            event_time: moment::of_event(
                entry.received,
                integer(packet, number::ACCT_DELAY_TIME),
                integer(packet, number::EVENT_TIMESTAMP),
            ),
            nas: entry.nas,
            organisation: entry.organisation,
            membership: entry.membership,
            group: entry.group.clone(),
            source: entry.source,
            status,
            session_id,
            identity,
            said_address,
            details,
            connect_info: words::first_text(packet, number::CONNECT_INFO),
            session_seconds: integer(packet, number::ACCT_SESSION_TIME)
                .filter(|seconds| *seconds <= MAX_SESSION_SECONDS)
                .map(i64::from),
            input,
            output,
            input_packets,
            output_packets,
            terminate_cause: words::named(packet, number::ACCT_TERMINATE_CAUSE),
            other: other::read(packet),
            digest: digest(packet.octets()),
        })
    }

    /// What a packet reports, if it can be read as a report: all that a door must know before it journals one.
    ///
    /// # Errors
    /// [`Unreadable`], as [`Report::read`] would say.
    pub fn check(packet: Packet<'_>) -> Result<Status, Unreadable> {
        let status = integer(packet, number::ACCT_STATUS_TYPE)
            .map(Status::from_number)
            .ok_or(Unreadable::NoStatus)?;
        let is_named = || {
            let mut ids = packet.all(number::ACCT_SESSION_ID);
            ids.any(|octets| octets.iter().any(|octet| *octet != 0))
        };
        match status.is_about_nas() || is_named() {
            true => Ok(status),
            false => Err(Unreadable::NoSessionId),
        }
    }

    /// When the session it is about began, as far as the report says.
    pub fn begin(&self) -> Option<Time> {
        match self.session_seconds {
            Some(seconds) => Some(self.event_time.plus_seconds(-seconds)),
            None => self.status.begins().then_some(self.event_time),
        }
    }

    /// The address of the NAS: what it says, else where the report came from.
    pub fn nas_ip_address(&self) -> String {
        self.said_address
            .unwrap_or(self.source)
            .to_canonical()
            .to_string()
    }
}

/// Tells packets apart. No defence against who makes two alike on purpose: he would only count one report less, his own.
fn digest(octets: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |sum: u64, word: u64| (sum.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    let (words, rest) = octets.as_chunks::<8>();
    let sum = words.iter().fold(octets.len() as u64, |sum, word| {
        mix(sum, u64::from_le_bytes(*word))
    });
    let sum = rest
        .iter()
        .fold(sum, |sum, octet| mix(sum, (*octet).into()));
    sum ^ sum >> 29
}

fn integer(packet: Packet<'_>, kind: u8) -> Option<u32> {
    packet
        .all(kind)
        .find_map(|value| Some(u32::from_be_bytes(value.try_into().ok()?)))
}

/// A counter with its Gigawords (RFC 2869 §5.1, 5.2); none when there is no counter or its size is impossible.
fn counter(packet: Packet<'_>, octets: u8, gigawords: u8) -> Option<Count> {
    let high = integer(packet, gigawords);
    let low = integer(packet, octets);
    match (low, high) {
        (_, Some(high)) if high > MAX_GIGAWORDS => None,
        // Gigawords alone would lower nothing and say little: the low part is unknown, but not negative.
        (None, Some(high)) if high > 0 => Some(Count {
            low: 0,
            high: Some(high),
        }),
        (low, high) => low.map(|low| Count { low, high }),
    }
}

#[cfg(test)]
mod tests;
