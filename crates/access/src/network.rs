//! A network: an address and how many of its bits count.
//!
//! It is always canonical: no bits beyond its length, and an IPv4 network written in IPv6's mapped form is IPv4.
//! It must never look anything up: names are not addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An IPv4 or IPv6 network, or one single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// One address.
    pub fn host(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self {
            address,
            length: bits(address),
        }
    }

    /// An address and the number of bits that count.
    ///
    /// # Errors
    /// A sentence when the length is too large or the address has bits beyond it.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, String> {
        if length > bits(address) {
            return Err(format!(
                "'{address}/{length}' is not a network: the length is at most {}",
                bits(address)
            ));
        }
        let cut = masked(address, length);
        if cut != address {
            return Err(format!(
                "'{address}/{length}' has bits beyond its length; write {address} for the one address or {cut}/{length} for the network"
            ));
        }
        Ok(match (address, address.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(mapped)) if length >= 96 => Self {
                address: IpAddr::V4(mapped),
                length: length - 96,
            },
            _ => Self { address, length },
        })
    }

    /// The first address.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits count.
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether it is one single address.
    pub fn is_host(self) -> bool {
        self.length == bits(self.address)
    }

    /// Whether an address lies in it; an IPv4 address in IPv6's mapped form counts as IPv4.
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.length) == self.address
    }

    /// `address/length`, as it is stored; [`fmt::Display`] leaves the length of a single address out.
    pub fn canonical(self) -> String {
        format!("{}/{}", self.address, self.length)
    }
}

/// The network part of an address; a length beyond the address counts as all of it.
pub(crate) fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX
                .checked_shl(32u32.saturating_sub(length.into()))
                .unwrap_or(0);
            Ipv4Addr::from(u32::from(v4) & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX
                .checked_shl(128u32.saturating_sub(length.into()))
                .unwrap_or(0);
            Ipv6Addr::from(u128::from(v6) & mask).into()
        }
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Network {
    type Err = String;

    /// Reads `10.0.0.1`, `10.0.0.0/8`, `2001:db8::1` or `2001:db8::/32`.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || {
            format!(
                "'{text}' is not an address or a network; write 10.0.0.1, 10.0.0.0/8, 2001:db8::1 or 2001:db8::/32"
            )
        };
        match text.split_once('/') {
            None => text.parse().map(Network::host).map_err(|_| wrong()),
            Some((address, length)) => {
                if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(wrong());
                }
                let address: IpAddr = address.parse().map_err(|_| wrong())?;
                Network::new(address, length.parse().map_err(|_| wrong())?)
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() {
            self.address.fmt(f)
        } else {
            f.pad(&self.canonical())
        }
    }
}

impl serde::Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_become_canonical() {
        fn check(text: &str, expect: Result<(&str, &str), &str>) {
            let read = text.parse::<Network>();
            match (&read, expect) {
                (Ok(network), Ok((shown, stored))) => {
                    assert_eq!(
                        (network.to_string(), network.canonical()),
                        (shown.to_owned(), stored.to_owned())
                    );
                    assert_eq!(stored.parse::<Network>().as_ref(), Ok(network));
                }
                (Err(reason), Err(part)) => assert!(reason.contains(part), "{text}: {reason}"),
                _ => panic!("{text}: {read:?}"),
            }
        }
        check("10.0.0.1", Ok(("10.0.0.1", "10.0.0.1/32")));
        check(" 10.0.0.0/8 ", Ok(("10.0.0.0/8", "10.0.0.0/8")));
        check("10.0.0.1/32", Ok(("10.0.0.1", "10.0.0.1/32")));
        check("0.0.0.0/0", Ok(("0.0.0.0/0", "0.0.0.0/0")));
        check("2001:DB8::/32", Ok(("2001:db8::/32", "2001:db8::/32")));
        check("::/0", Ok(("::/0", "::/0")));
        check("::ffff:10.0.0.1", Ok(("10.0.0.1", "10.0.0.1/32")));
        check("::ffff:10.0.0.0/104", Ok(("10.0.0.0/8", "10.0.0.0/8")));
        check(
            "10.0.0.1/8",
            Err("write 10.0.0.1 for the one address or 10.0.0.0/8 for the network"),
        );
        check("10.0.0.0/33", Err("at most 32"));
        check("::/129", Err("at most 128"));
        check("10.0.0.0/+8", Err("is not an address"));
        check("10.0.0.0/", Err("is not an address"));
        check("10.0.0.0/300", Err("is not an address"));
        check("nas.example", Err("is not an address"));
        check("", Err("is not an address"));
    }

    #[test]
    fn a_network_contains_its_addresses_in_every_spelling() {
        fn check(network: &str, address: &str, expect: bool) {
            let network: Network = network.parse().unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                expect,
                "{network} {address}"
            );
        }
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "::ffff:10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("10.0.0.1", "10.0.0.2", false);
        check("0.0.0.0/0", "192.0.2.1", true);
        check("0.0.0.0/0", "2001:db8::1", false);
        check("::/0", "2001:db8::1", true);
        check("::/0", "192.0.2.1", false);
        check("2001:db8::/33", "2001:db8:7fff::1", true);
        check("2001:db8::/33", "2001:db8:8000::1", false);
    }
}
