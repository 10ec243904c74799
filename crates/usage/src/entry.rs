//! What the journal keeps of an accounting report: the packet as it came, and what was known when it came.
//!
//! The packet was verified before it was journalled; here it is octets. The form is versioned, because a journal
//! outlives the program that wrote it. Never put a secret here: the journal is not sealed.

use kernel::id::Uuid;
use kernel::{OrganisationId, Time};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The journal's kind of an accounting report.
pub const ACCOUNTING_REPORT: u8 = 1;

const VERSION: u8 = 1;
const FLIPS_OCTETS: u8 = 1;
const HAS_MEMBERSHIP: u8 = 2;
const IS_IPV6: u8 = 4;
const HAS_GROUP: u8 = 8;
const KNOWN_FLAGS: u8 = FLIPS_OCTETS | HAS_MEMBERSHIP | IS_IPV6 | HAS_GROUP;
/// Octets of a group's name that are kept: its length is one octet.
const MAX_GROUP_OCTETS: usize = 255;
/// Version, flags, time, NAS, organisation.
const FIXED_OCTETS: usize = 1 + 1 + 8 + 16 + 16;

/// One accounting report as it is journalled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it reached us.
    pub received: Time,
    /// The NAS that it was verified for.
    pub nas: Uuid,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// Whose usage it is, where the person is known.
    pub membership: Option<Uuid>,
    /// The member's first group, by name.
    pub group: Option<String>,
    /// Where it came from.
    pub source: IpAddr,
    /// Whether this NAS means download when it says Input.
    pub flips_octets: bool,
    /// The whole packet, cut to its Length.
    pub packet: Vec<u8>,
}

/// A journalled payload that cannot be read; its octets are kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("journalled report: {reason}")]
pub struct BadEntry {
    /// Why not.
    pub reason: String,
    /// The payload.
    pub octets: Vec<u8>,
}

impl Entry {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut flags = 0;
        if self.flips_octets {
            flags |= FLIPS_OCTETS;
        }
        if self.membership.is_some() {
            flags |= HAS_MEMBERSHIP;
        }
        if self.source.is_ipv6() {
            flags |= IS_IPV6;
        }
        let group = self
            .group
            .as_deref()
            .filter(|name| name.len() <= MAX_GROUP_OCTETS);
        if group.is_some() {
            flags |= HAS_GROUP;
        }
        let mut out = Vec::with_capacity(FIXED_OCTETS + 32 + self.packet.len());
        out.extend_from_slice(&[VERSION, flags]);
        out.extend_from_slice(&self.received.unix_micros().to_be_bytes());
        out.extend_from_slice(self.nas.as_bytes());
        out.extend_from_slice(self.organisation.0.as_bytes());
        if let Some(membership) = self.membership {
            out.extend_from_slice(membership.as_bytes());
        }
        match self.source {
            IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
        }
        if let Some(group) = group {
            out.push(group.len() as u8);
            out.extend_from_slice(group.as_bytes());
        }
        out.extend_from_slice(&self.packet);
        out
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`BadEntry`] for a version or a flag this program does not know, and for one that is cut short.
    pub fn decode(octets: &[u8]) -> Result<Entry, BadEntry> {
        read(octets).map_err(|reason| BadEntry {
            reason,
            octets: octets.to_vec(),
        })
    }
}

fn read(octets: &[u8]) -> Result<Entry, String> {
    let mut rest = octets;
    let [version, flags] = take(&mut rest)?;
    if version != VERSION {
        return Err(format!(
            "its form has version {version}, this program reads version {VERSION}"
        ));
    }
    if flags & !KNOWN_FLAGS != 0 {
        return Err(format!(
            "it has flags {flags:#04x} that this program does not know"
        ));
    }
    let received = Time::from_unix_micros(i64::from_be_bytes(take(&mut rest)?));
    let nas = Uuid::from_bytes(take(&mut rest)?);
    let organisation = OrganisationId(Uuid::from_bytes(take(&mut rest)?));
    let membership = match flags & HAS_MEMBERSHIP {
        0 => None,
        _ => Some(Uuid::from_bytes(take(&mut rest)?)),
    };
    let source = match flags & IS_IPV6 {
        0 => IpAddr::V4(Ipv4Addr::from(take::<4>(&mut rest)?)),
        _ => IpAddr::V6(Ipv6Addr::from(take::<16>(&mut rest)?)),
    };
    let group = match flags & HAS_GROUP {
        0 => None,
        _ => {
            let [length] = take(&mut rest)?;
            let (name, tail) = rest
                .split_at_checked(usize::from(length))
                .ok_or("it is cut short")?;
            rest = tail;
            Some(String::from_utf8_lossy(name).into_owned())
        }
    };
    let flips_octets = flags & FLIPS_OCTETS != 0;
    Ok(Entry {
        group,
        received,
        nas,
        organisation,
        membership,
        source,
        flips_octets,
        packet: rest.to_vec(),
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or("it is cut short")?;
    *rest = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(membership: Option<Uuid>, source: &str, flips_octets: bool) -> Entry {
        Entry {
            received: Time::from_unix_micros(1_800_000_000_123_456),
            nas: Uuid::from_u128(1),
            organisation: OrganisationId(Uuid::from_u128(2)),
            membership,
            group: membership.map(|_| "default-users".to_owned()),
            source: source.parse().unwrap(),
            flips_octets,
            packet: vec![4, 1, 0, 20],
        }
    }

    #[test]
    fn an_entry_comes_back_as_it_was_put() {
        for membership in [None, Some(Uuid::from_u128(3))] {
            for source in ["192.0.2.1", "2001:db8::1"] {
                for flips_octets in [false, true] {
                    let entry = entry(membership, source, flips_octets);
                    assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
                }
            }
        }
    }

    #[test]
    fn every_cut_before_the_packet_is_refused() {
        let whole = entry(Some(Uuid::from_u128(3)), "2001:db8::1", false).encode();
        for length in 0..whole.len() - 4 {
            assert!(Entry::decode(&whole[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn another_version_or_flag_is_refused_with_its_octets() {
        let mut octets = entry(None, "192.0.2.1", false).encode();
        octets[1] = 0x80;
        assert_eq!(
            Entry::decode(&octets).map_err(|e| e.octets),
            Err(octets.clone())
        );
        octets[0] = 9;
        let refused = Entry::decode(&octets).map_err(|e| e.to_string());
        assert!(refused.is_err_and(|text| text.contains("version 9")));
    }
}
