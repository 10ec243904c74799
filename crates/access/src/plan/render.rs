//! A plan in each family's attributes.
//!
//! What never changes is made once for each family ([`fixed`]); what is left of a quota is put in for each login
//! ([`quota`]). A vendor's attributes go to that vendor only. WISPr's belong to none: families without rates of their own
//! get those. A NAS of no known family is told its quota in CoovaChilli's words, as OpenWISP does.
//!
//! Up is from the client. RFC 2866 counts as the NAS does, so Input is up.

use super::Terms;
use crate::family::Family;
use crate::rule::ReplyList;
use radius_wire::attrs::{
    self, aerohive, airespace, aruba, cambium, chillispot, cisco, extreme, fortinet, h3c, huawei,
    mikrotik, nomadix, pfsense, ruckus, tplink, ubnt, wispr,
};
use radius_wire::{Attr, attr::Integer};
use smallvec::SmallVec;

/// Tunnel-Type VLAN (RFC 3580 §3.31).
const TUNNEL_TYPE_VLAN: u32 = 13;
/// Tunnel-Medium-Type IEEE-802 (RFC 2868 §3.2).
const TUNNEL_MEDIUM_802: u32 = 6;
/// Mikrotik-Wireless-VLANID-Type: 802.1Q.
const MIKROTIK_VLAN_8021Q: u32 = 0;

/// What a family is told of a plan at every login.
pub fn fixed(terms: &Terms, family: Family) -> ReplyList {
    let mut list = ReplyList::default();
    if let Some(seconds) = terms.idle_seconds {
        list.put(attrs::IDLE_TIMEOUT, seconds);
    }
    if let Some(seconds) = terms.interim_seconds {
        list.put(attrs::ACCT_INTERIM_INTERVAL, seconds);
    }
    rates(terms, family, &mut list);
    vlan(terms, family, &mut list);
    role(terms, family, &mut list);
    redirect(terms, family, &mut list);
    list
}

/// As much as 32 bits hold.
fn capped(rate: u64) -> u32 {
    u32::try_from(rate).unwrap_or(u32::MAX)
}

/// In kbit/s, and not 0, which means no limit.
fn kilo(rate: u64) -> u32 {
    capped((rate / 1_000).max(1))
}

fn rates(terms: &Terms, family: Family, list: &mut ReplyList) {
    if family == Family::Mikrotik {
        if let Some(text) = mikrotik_rate(terms) {
            list.put(mikrotik::RATE_LIMIT, text.as_bytes());
        }
        return;
    }
    if family == Family::Unifi {
        let rates = [
            (ubnt::DATA_RATE_DL, terms.rate_down),
            (ubnt::DATA_RATE_DL_BURST, terms.burst_down),
            (ubnt::DATA_RATE_UL, terms.rate_up),
            (ubnt::DATA_RATE_UL_BURST, terms.burst_up),
        ];
        for (attr, rate) in rates {
            if let Some(rate) = rate {
                list.put(attr, rate);
            }
        }
        return;
    }
    let (up, down) = (terms.rate_up, terms.rate_down);
    let (burst_up, burst_down) = (terms.burst_up, terms.burst_down);
    let mut put = |attr: Attr<Integer>, value: Option<u32>| {
        if let Some(value) = value {
            list.put(attr, value);
        }
    };
    match family {
        Family::Coova | Family::Uspot => {
            put(chillispot::BANDWIDTH_MAX_UP, up.map(kilo));
            put(chillispot::BANDWIDTH_MAX_DOWN, down.map(kilo));
        }
        Family::Pfsense => {
            put(pfsense::BANDWIDTH_MAX_UP, up.map(capped));
            put(pfsense::BANDWIDTH_MAX_DOWN, down.map(capped));
        }
        Family::Cisco => {
            put(airespace::DATA_BANDWIDTH_AVERAGE_CONTRACT, down.map(kilo));
            put(
                airespace::DATA_BANDWIDTH_AVERAGE_CONTRACT_UPSTREAM,
                up.map(kilo),
            );
            put(
                airespace::DATA_BANDWIDTH_BURST_CONTRACT,
                burst_down.map(kilo),
            );
            put(
                airespace::DATA_BANDWIDTH_BURST_CONTRACT_UPSTREAM,
                burst_up.map(kilo),
            );
        }
        Family::Huawei => {
            put(huawei::INPUT_AVERAGE_RATE, up.map(capped));
            put(huawei::INPUT_PEAK_RATE, burst_up.map(capped));
            put(huawei::OUTPUT_AVERAGE_RATE, down.map(capped));
            put(huawei::OUTPUT_PEAK_RATE, burst_down.map(capped));
        }
        Family::H3c => {
            put(h3c::INPUT_AVERAGE_RATE, up.map(capped));
            put(h3c::INPUT_PEAK_RATE, burst_up.map(capped));
            put(h3c::OUTPUT_AVERAGE_RATE, down.map(capped));
            put(h3c::OUTPUT_PEAK_RATE, burst_down.map(capped));
        }
        Family::Nomadix => {
            put(nomadix::BW_UP, up.map(kilo));
            put(nomadix::BW_DOWN, down.map(kilo));
        }
        // By role, filter or service on the device: there is no attribute for a rate.
        Family::Aruba | Family::Meraki | Family::Extreme | Family::Juniper | Family::Aerohive => {}
        _ => {
            put(wispr::BANDWIDTH_MAX_UP, up.map(capped));
            put(wispr::BANDWIDTH_MAX_DOWN, down.map(capped));
        }
    }
}

/// `rx/tx [burst-rx/burst-tx [threshold/threshold [time/time]]]`, where rx is what the client sends.
fn mikrotik_rate(terms: &Terms) -> Option<String> {
    if terms.rate_up.is_none() && terms.rate_down.is_none() {
        return None;
    }
    let text = |rate: Option<u64>| match rate {
        // 0 is how RouterOS writes "no limit".
        None => "0".to_owned(),
        Some(rate) if rate.is_multiple_of(1_000_000) => format!("{}M", rate / 1_000_000),
        Some(rate) if rate.is_multiple_of(1_000) => format!("{}k", rate / 1_000),
        Some(rate) => rate.to_string(),
    };
    let pair = |up, down| format!("{}/{}", text(up), text(down));
    let rate = pair(terms.rate_up, terms.rate_down);
    if terms.burst_up.is_none() && terms.burst_down.is_none() {
        return Some(rate);
    }
    let burst = pair(
        terms.burst_up.or(terms.rate_up),
        terms.burst_down.or(terms.rate_down),
    );
    let seconds = terms.burst_seconds.unwrap_or(1);
    // A burst begins while the average is below the rate itself.
    Some(format!("{rate} {burst} {rate} {seconds}/{seconds}"))
}

fn vlan(terms: &Terms, family: Family, list: &mut ReplyList) {
    let Some(vlan) = terms.vlan else { return };
    let number = u32::from(vlan);
    match family {
        Family::Coova | Family::Uspot => return list.put(chillispot::VLAN_ID, number),
        Family::Nomadix => return list.put(nomadix::NET_VLAN, number),
        Family::Mikrotik => {
            list.put(mikrotik::WIRELESS_VLANID, number);
            list.put(mikrotik::WIRELESS_VLANID_TYPE, MIKROTIK_VLAN_8021Q);
        }
        _ => {}
    }
    // Tag 0 on all three is what every device understands.
    list.put(attrs::TUNNEL_TYPE, TUNNEL_TYPE_VLAN);
    list.put(attrs::TUNNEL_MEDIUM_TYPE, TUNNEL_MEDIUM_802);
    list.put(attrs::TUNNEL_PRIVATE_GROUP_ID, vlan.to_string().as_bytes());
}

fn role(terms: &Terms, family: Family, list: &mut ReplyList) {
    if let Some(filter) = &terms.filter {
        list.put(attrs::FILTER_ID, filter.as_bytes());
    }
    let Some(role) = terms.role.as_deref().map(str::as_bytes) else {
        return;
    };
    match family {
        Family::Aruba => list.put(aruba::USER_ROLE, role),
        Family::Mikrotik => list.put(mikrotik::GROUP, role),
        Family::Ruckus => list.put(ruckus::USER_GROUPS, role),
        Family::H3c => list.put(h3c::USER_GROUP, role),
        Family::Fortigate => list.put(fortinet::GROUP_NAME, role),
        Family::Cisco => list.put(airespace::GUEST_ROLE_NAME, role),
        _ if terms.filter.is_none() => list.put(attrs::FILTER_ID, role),
        _ => {}
    }
}

fn redirect(terms: &Terms, family: Family, list: &mut ReplyList) {
    let Some(address) = &terms.redirect_url else {
        return;
    };
    let url = address.as_bytes();
    match family {
        Family::Cisco | Family::Meraki => {
            list.put(cisco::AVPAIR, format!("url-redirect={address}").as_bytes());
            if let Some(acl) = &terms.redirect_acl {
                list.put(cisco::AVPAIR, format!("url-redirect-acl={acl}").as_bytes());
            }
        }
        Family::Aruba => list.put(aruba::CAPTIVE_PORTAL_URL, url),
        Family::Huawei => list.put(huawei::PORTALURL, url),
        Family::H3c => list.put(h3c::PORTAL_URL, url),
        Family::Nomadix => list.put(nomadix::URL_REDIRECTION, url),
        Family::Omada => list.put(tplink::REDIRECT_URL, url),
        Family::Extreme => list.put(extreme::NETLOGIN_URL, url),
        Family::Aerohive => list.put(aerohive::EXTREME_IDM_REDIRECT_URL, url),
        // The policy is the device's own; it knows the address.
        Family::Ruckus if terms.redirect_acl.is_some() => {
            let policy = terms.redirect_acl.as_deref().unwrap_or_default();
            list.put(ruckus::WISPR_REDIRECT_POLICY, policy.as_bytes());
        }
        _ => list.put(wispr::REDIRECTION_URL, url),
    }
}

/// Octets that may still be used; none where there is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Octets {
    /// From the client.
    pub up: Option<u64>,
    /// To the client.
    pub down: Option<u64>,
    /// Both ways.
    pub total: Option<u64>,
}

impl Octets {
    /// Whether there is no limit.
    pub fn is_unlimited(&self) -> bool {
        *self == Octets::default()
    }

    /// What may go one way: a device that cannot count both together is told no more than all of it.
    fn one_way(&self, way: Option<u64>) -> Option<u64> {
        match (way, self.total) {
            (Some(way), Some(total)) => Some(way.min(total)),
            (way, total) => way.or(total),
        }
    }
}

/// Attributes and their values: at most two of each way, and two of both.
pub type Quota = SmallVec<[(Attr<Integer>, u32); 6]>;

/// An attribute of the low 32 bits, and the one of the high ones where the family has it.
type Pair = (Attr<Integer>, Option<Attr<Integer>>);

/// How a family is told what is left.
struct Meters {
    up: Pair,
    down: Pair,
    total: Option<Pair>,
}

fn meters(family: Family) -> Option<Meters> {
    Some(match family {
        Family::Mikrotik => Meters {
            up: (mikrotik::RECV_LIMIT, Some(mikrotik::RECV_LIMIT_GIGAWORDS)),
            down: (mikrotik::XMIT_LIMIT, Some(mikrotik::XMIT_LIMIT_GIGAWORDS)),
            total: Some((mikrotik::TOTAL_LIMIT, Some(mikrotik::TOTAL_LIMIT_GIGAWORDS))),
        },
        // Whoever comes from OpenWISP has been told in these, whatever the NAS.
        Family::Coova | Family::Uspot | Family::Generic => Meters {
            up: (
                chillispot::MAX_INPUT_OCTETS,
                Some(chillispot::MAX_INPUT_GIGAWORDS),
            ),
            down: (
                chillispot::MAX_OUTPUT_OCTETS,
                Some(chillispot::MAX_OUTPUT_GIGAWORDS),
            ),
            total: Some((
                chillispot::MAX_TOTAL_OCTETS,
                Some(chillispot::MAX_TOTAL_GIGAWORDS),
            )),
        },
        Family::Cambium => Meters {
            up: (
                cambium::TRAFFIC_QUOTA_LIMIT_UP,
                Some(cambium::TRAFFIC_QUOTA_LIMIT_UP_GIGWORDS),
            ),
            down: (
                cambium::TRAFFIC_QUOTA_LIMIT_DOWN,
                Some(cambium::TRAFFIC_QUOTA_LIMIT_DOWN_GIGWORDS),
            ),
            total: Some((
                cambium::TRAFFIC_QUOTA_LIMIT_TOTAL,
                Some(cambium::TRAFFIC_QUOTA_LIMIT_TOTAL_GIGWORDS),
            )),
        },
        Family::Omada => Meters {
            up: (tplink::RECV_LIMIT, None),
            down: (tplink::XMIT_LIMIT, None),
            total: None,
        },
        Family::Nomadix => Meters {
            up: (nomadix::MAXBYTESUP, None),
            down: (nomadix::MAXBYTESDOWN, None),
            total: None,
        },
        _ => return None,
    })
}

/// Whether a family ends a session by itself when its octets are spent.
pub fn counts_octets(family: Family) -> bool {
    family == Family::Pfsense || meters(family).is_some()
}

/// What is left of a quota, in a family's attributes.
///
/// 64 bits are split. A family without the high half is told at most 4 GiB less one octet, and no family ever 0, which
/// means no limit to many.
pub fn quota(left: Octets, family: Family) -> Quota {
    let mut told = Quota::new();
    if left.is_unlimited() {
        return told;
    }
    let mut put = |(low, high): Pair, octets: Option<u64>| {
        let Some(octets) = octets.map(|octets| octets.max(1)) else {
            return;
        };
        match high {
            Some(high) => {
                let gigawords = capped(octets >> 32);
                if gigawords > 0 {
                    told.push((high, gigawords));
                }
                told.push((low, (octets & u64::from(u32::MAX)) as u32));
            }
            None => told.push((low, capped(octets))),
        }
    };
    if family == Family::Pfsense {
        put((pfsense::MAX_TOTAL_OCTETS, None), left.total);
        return told;
    }
    let Some(meters) = meters(family) else {
        return told;
    };
    match meters.total {
        Some(total) => {
            put(meters.up, left.up);
            put(meters.down, left.down);
            put(total, left.total);
        }
        None => {
            put(meters.up, left.one_way(left.up));
            put(meters.down, left.one_way(left.down));
        }
    }
    told
}

#[cfg(test)]
mod tests;
