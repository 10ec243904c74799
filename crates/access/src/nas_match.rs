//! Which NAS sent this: a pure index over all of them.
//!
//! The longest network that contains the source comes first. NASes that share an address (behind NAT) are told apart
//! by NAS-Identifier, else by Called-Station-Id; a NAS without network is found by those alone. What is left is a
//! short list in order of likelihood, whose secrets the caller tries where the packet is signed. The index must
//! **never** decide by anything else in the packet: NAS-IP-Address is a claim.

use crate::nas::{Nas, NasId, NasSecrets};
use crate::network::masked;
use foldhash::fast::RandomState;
use proof::mac::Mac;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

/// NASes whose secrets are tried for one packet: each costs an HMAC, and a flood of unsigned packets must stay cheap.
pub const MAX_CANDIDATES: usize = 8;

/// A NAS with its opened secrets. Has no Debug.
pub struct NasEntry {
    /// The NAS.
    pub nas: Nas,
    /// Its secrets.
    pub secrets: NasSecrets,
}

/// The NASes that may have sent a packet, the likeliest first; at most [`MAX_CANDIDATES`].
#[derive(Clone, Copy, Default)]
pub struct Candidates<'a> {
    entries: [Option<&'a Arc<NasEntry>>; MAX_CANDIDATES],
    length: usize,
}

impl<'a> Candidates<'a> {
    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &'a Arc<NasEntry>> + '_ {
        self.entries.iter().copied().flatten()
    }

    /// The likeliest.
    pub fn first(&self) -> Option<&'a Arc<NasEntry>> {
        self.entries.first().copied().flatten()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether the packet's sender is unknown.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn push(&mut self, entry: &'a Arc<NasEntry>) {
        let is_there = self.iter().any(|known| known.nas.id == entry.nas.id);
        if !is_there && let Some(place) = self.entries.get_mut(self.length) {
            *place = Some(entry);
            self.length += 1;
        }
    }

    fn is_full(&self) -> bool {
        self.length == MAX_CANDIDATES
    }
}

/// NASes of one network, or those without any.
#[derive(Default)]
struct Bucket {
    /// Without identifier: every request from the network may be theirs.
    plain: Vec<usize>,
    /// By the octets of their identifier.
    named: HashMap<Box<[u8]>, Vec<usize>, RandomState>,
    /// By their identifier where that is a MAC address, in whatever spelling.
    by_mac: HashMap<Mac, Vec<usize>, RandomState>,
    /// All with an identifier: for a request that names nobody.
    with_name: Vec<usize>,
}

/// All NASes, arranged for finding. Built whole, replaced whole.
#[derive(Default)]
pub struct NasIndex {
    entries: Vec<Arc<NasEntry>>,
    by_id: HashMap<NasId, usize, RandomState>,
    networks: HashMap<(IpAddr, u8), Bucket, RandomState>,
    /// Lengths that occur, the longest first.
    v4_lengths: Vec<u8>,
    v6_lengths: Vec<u8>,
    anywhere: Bucket,
    /// Whether any NAS has an identifier.
    has_names: bool,
}

impl NasIndex {
    /// Arranges the entries. Of several that fit a packet equally well the one added first comes first.
    pub fn build(mut entries: Vec<Arc<NasEntry>>) -> Self {
        entries.sort_by_key(|entry| entry.nas.id);
        let mut index = Self::default();
        let mut lengths: BTreeSet<(bool, Reverse<u8>)> = BTreeSet::new();
        for (at, entry) in entries.iter().enumerate() {
            index.by_id.insert(entry.nas.id, at);
            let bucket = match entry.nas.network {
                None => &mut index.anywhere,
                Some(network) => {
                    lengths.insert((network.address().is_ipv4(), Reverse(network.length())));
                    index
                        .networks
                        .entry((network.address(), network.length()))
                        .or_default()
                }
            };
            match entry.nas.identifier.as_deref().map(str::as_bytes) {
                // Without network and identifier it would fit everything; the table forbids it.
                None if entry.nas.network.is_some() => bucket.plain.push(at),
                None => {}
                Some(name) => {
                    index.has_names = true;
                    bucket.named.entry(name.into()).or_default().push(at);
                    if let Ok(mac) = Mac::parse(name) {
                        bucket.by_mac.entry(mac).or_default().push(at);
                    }
                    bucket.with_name.push(at);
                }
            }
        }
        for (is_v4, Reverse(length)) in lengths {
            if is_v4 {
                &mut index.v4_lengths
            } else {
                &mut index.v6_lengths
            }
            .push(length);
        }
        index.entries = entries;
        index
    }

    /// Who may have sent a packet from `source` with this NAS-Identifier and Called-Station-Id.
    pub fn find(
        &self,
        source: IpAddr,
        identifier: Option<&[u8]>,
        called_station: Option<&[u8]>,
    ) -> Candidates<'_> {
        let source = source.to_canonical();
        let mut found = Candidates::default();
        // Nearly everywhere NASes are known by their addresses alone, and nobody's name is looked at.
        let names = match self.has_names {
            false => Names::default(),
            true => Names {
                identifier,
                identifier_mac: identifier.and_then(|name| Mac::parse(name).ok()),
                called_station,
                called_mac: called_station.and_then(|name| Mac::split(name).map(|(mac, _)| mac)),
            },
        };
        let lengths = if source.is_ipv4() {
            &self.v4_lengths
        } else {
            &self.v6_lengths
        };
        let buckets = || {
            lengths
                .iter()
                .filter_map(|length| self.networks.get(&(masked(source, *length), *length)))
        };
        for bucket in buckets().chain([&self.anywhere]) {
            self.collect(bucket, &names, &mut found);
        }
        // A request that bears no NAS-Identifier, as many Status-Server and Accounting-On do, may come from any of those
        // that are expected to name themselves.
        if identifier.is_none() {
            for bucket in buckets() {
                self.take(&bucket.with_name, &mut found);
            }
        }
        found
    }

    /// The NAS with this id.
    pub fn by_id(&self, id: NasId) -> Option<&Arc<NasEntry>> {
        self.by_id.get(&id).and_then(|at| self.entries.get(*at))
    }

    /// Whether other NASes are known at the same network: then only its secret tells this one from them.
    pub fn shares_its_network(&self, entry: &NasEntry) -> bool {
        entry
            .nas
            .network
            .and_then(|network| self.networks.get(&(network.address(), network.length())))
            .is_some_and(|bucket| bucket.plain.len() + bucket.with_name.len() > 1)
    }

    /// Every NAS, in the order they were added.
    pub fn entries(&self) -> &[Arc<NasEntry>] {
        &self.entries
    }

    /// Those with the right name first, then those without any.
    fn collect<'a>(&'a self, bucket: &'a Bucket, names: &Names<'_>, found: &mut Candidates<'a>) {
        let places = [
            names.identifier.and_then(|name| bucket.named.get(name)),
            names.identifier_mac.and_then(|mac| bucket.by_mac.get(&mac)),
            names.called_station.and_then(|name| bucket.named.get(name)),
            names.called_mac.and_then(|mac| bucket.by_mac.get(&mac)),
            Some(&bucket.plain),
        ];
        for places in places.into_iter().flatten() {
            self.take(places, found);
        }
    }

    fn take<'a>(&'a self, places: &[usize], found: &mut Candidates<'a>) {
        for at in places {
            if found.is_full() {
                return;
            }
            if let Some(entry) = self.entries.get(*at) {
                found.push(entry);
            }
        }
    }
}

#[derive(Default)]
struct Names<'a> {
    identifier: Option<&'a [u8]>,
    identifier_mac: Option<Mac>,
    called_station: Option<&'a [u8]>,
    called_mac: Option<Mac>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nas::MaPolicy;
    use kernel::{OrganisationId, Time, id::Uuid};
    use radius_wire::Secret;

    fn entry(number: u128, network: Option<&str>, identifier: Option<&str>) -> Arc<NasEntry> {
        let epoch = Time::from_unix_seconds(0);
        Arc::new(NasEntry {
            nas: Nas {
                id: NasId(Uuid::from_u128(number)),
                organisation: OrganisationId(Uuid::from_u128(1)),
                name: number.to_string(),
                short_name: String::new(),
                port_type: "other".into(),
                family: "generic".into(),
                network: network.map(|text| text.parse().unwrap()),
                identifier: identifier.map(str::to_owned),
                message_authenticator: MaPolicy::Observe,
                signs_replies: true,
                limits_proxy_state: true,
                reject_delay_ms: 0,
                flips_octets: false,
                is_enabled: true,
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
                current: Secret::new("x"),
                next: None,
            },
        })
    }

    fn index() -> NasIndex {
        NasIndex::build(vec![
            entry(1, Some("10.0.0.0/8"), None),
            entry(2, Some("10.1.0.0/16"), None),
            entry(3, Some("10.1.2.3"), None),
            entry(4, Some("203.0.113.5"), Some("ap-hall")),
            entry(5, Some("203.0.113.5"), Some("aa-bb-cc-dd-ee-ff")),
            entry(6, Some("2001:db8::/32"), None),
            entry(7, None, Some("roaming-ap")),
            entry(8, None, Some("02:00:00:00:00:07")),
            entry(9, Some("10.0.0.0/8"), Some("ap-yard")),
            entry(10, Some("0.0.0.0/0"), Some("office")),
        ])
    }

    #[test]
    fn the_longest_network_comes_first_and_names_tell_neighbours_apart() {
        let index = index();
        let check =
            |source: &str, identifier: Option<&str>, called: Option<&str>, expect: &[u128]| {
                let found = index.find(
                    source.parse().unwrap(),
                    identifier.map(str::as_bytes),
                    called.map(str::as_bytes),
                );
                let ids: Vec<u128> = found.iter().map(|entry| entry.nas.id.0.as_u128()).collect();
                assert_eq!(ids, expect, "{source} {identifier:?} {called:?}");
                assert_eq!(found.len(), expect.len());
                assert_eq!(found.is_empty(), expect.is_empty());
                assert_eq!(
                    found.first().map(|entry| entry.nas.id.0.as_u128()),
                    expect.first().copied()
                );
            };
        // by source
        check("10.1.2.3", Some("x"), None, &[3, 2, 1]);
        check("::ffff:10.1.2.3", Some("x"), None, &[3, 2, 1]);
        check("10.1.9.9", Some("x"), None, &[2, 1]);
        check("10.9.9.9", Some("x"), None, &[1]);
        check("2001:db8:1::1", None, None, &[6]);
        check("2001:db9::1", None, None, &[]);
        check("192.0.2.1", Some("x"), None, &[]);
        // behind NAT
        check("203.0.113.5", Some("ap-hall"), None, &[4]);
        check("203.0.113.5", Some("AP-hall"), None, &[]);
        check("203.0.113.5", Some("AABB.CCDD.EEFF"), None, &[5]);
        check(
            "203.0.113.5",
            Some("x"),
            Some("AA-BB-CC-DD-EE-FF:Guest"),
            &[5],
        );
        check(
            "203.0.113.5",
            Some("ap-hall"),
            Some("AA-BB-CC-DD-EE-FF:Guest"),
            &[4, 5],
        );
        check("203.0.113.5", None, Some("ap-hall"), &[4, 5, 10]);
        // a named NAS goes before its unnamed neighbour of the same network
        check("10.9.9.9", Some("ap-yard"), None, &[9, 1]);
        check("10.1.9.9", Some("ap-yard"), None, &[2, 9, 1]);
        // named nobody: everybody at this address, those that need no name first
        check("10.9.9.9", None, None, &[1, 9, 10]);
        check("203.0.113.5", None, None, &[4, 5, 10]);
        // without network
        check("192.0.2.1", Some("roaming-ap"), None, &[7]);
        check("2001:db9::1", Some("roaming-ap"), None, &[7]);
        check("192.0.2.1", None, Some("02-00-00-00-00-07:Guest"), &[8, 10]);
        check(
            "192.0.2.1",
            Some("office"),
            Some("02-00-00-00-00-07"),
            &[10, 8],
        );
        check("10.1.2.3", Some("roaming-ap"), None, &[3, 2, 1, 7]);
        check("192.0.2.1", None, None, &[10]);
    }

    #[test]
    fn candidates_are_few_and_the_right_one_among_many_is_found() {
        let index = NasIndex::build(
            (1..=500)
                .map(|number| entry(number, Some("198.51.100.1"), Some(&format!("ap-{number}"))))
                .collect(),
        );
        let source = "198.51.100.1".parse().unwrap();
        assert_eq!(index.find(source, None, None).len(), MAX_CANDIDATES);
        let found = index.find(source, Some(b"ap-417"), None);
        assert_eq!(
            found
                .iter()
                .map(|e| e.nas.id.0.as_u128())
                .collect::<Vec<_>>(),
            [417]
        );
        assert!(
            index
                .by_id(NasId(Uuid::from_u128(417)))
                .is_some_and(|e| e.nas.name == "417")
        );
        assert_eq!(index.entries().len(), 500);
    }

    #[test]
    fn an_empty_index_knows_nobody() {
        assert!(
            NasIndex::default()
                .find("10.0.0.1".parse().unwrap(), Some(b"x"), None)
                .is_empty()
        );
    }
}
