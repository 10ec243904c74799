//! The Register: facts at wire speed. Everything a decision needs is in memory; SQL is the truth and feeds it by events.
//!
//! NASes, groups and organisations lie in one [`Policy`] that is replaced whole; people lie in shards. Reading never
//! waits for a database: what is not here is not known. It must **never** write to SQL.

mod age;
mod follow;
mod load;
mod lookup;
pub mod misses;
mod names;
mod people;
mod snapshot;

pub use age::RegisterState;
pub use follow::{Follower, Touched};
pub use lookup::{Answer, Lookup};
pub use misses::{Miss, Wanted};
pub use names::{Name, Names};
pub use people::{Generation, People};
pub use snapshot::{Keeper, SNAPSHOT_FILE, SnapshotPlace};

use crate::decide::{Decision, Refused};
use crate::facts::{ClientFacts, Facts, GroupFacts, LockFacts, OrganisationFacts, Subject};
use crate::group::GroupId;
use crate::limiter::{Key, LimiterConfig, Limits, NewLock};
use crate::nas::{Nas, RouteKind};
use crate::nas_match::{NasEntry, NasIndex};
use crate::plan::StoredPlan;
use crate::question::{Asker, Question, ssid_of};
use crate::word::Refusal;
use age::Age;
use arc_swap::{ArcSwap, Guard};
use foldhash::fast::RandomState;
use identity::{Kind, MembershipId, PersonId};
use kernel::{OrganisationId, Position, Time};
use misses::Misses;
use proof::mac::Mac;
use radius_wire::{Packet, attrs};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

/// What changes seldom, as one value.
#[derive(Default)]
pub struct Policy {
    /// NASes.
    pub nases: NasIndex,
    /// Groups.
    pub groups: HashMap<GroupId, Arc<GroupFacts>, RandomState>,
    /// Plans as they are stored: groups have them ready.
    pub plans: Vec<StoredPlan>,
    /// Organisations.
    pub organisations: HashMap<OrganisationId, Arc<OrganisationFacts>, RandomState>,
}

/// Facts in memory.
pub struct Register {
    policy: ArcSwap<Policy>,
    people: People,
    limiter: Limits,
    /// What stands in for the policy until one was loaded.
    unloaded: Arc<Policy>,
    age: Age,
    misses: Misses,
}

/// Whose an accounting report is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportOwner {
    /// The organisation.
    pub organisation: OrganisationId,
    /// The member, where the name is known.
    pub membership: Option<MembershipId>,
    /// The name of his first group.
    pub group: Option<String>,
}

impl Register {
    /// An empty register: not ready until it was loaded.
    pub fn new(limits: LimiterConfig) -> Self {
        let unloaded = Arc::new(Policy::default());
        Self {
            policy: ArcSwap::new(unloaded.clone()),
            unloaded,
            people: People::default(),
            limiter: Limits::new(limits),
            age: Age::default(),
            misses: Misses::default(),
        }
    }

    /// Whether everything was loaded once, and the database was heard of since or not too long ago.
    pub fn is_ready(&self) -> bool {
        self.age.is_complete() && !self.age.is_silent()
    }

    /// Whether everything was loaded once: then a name that is not here is nobody's, as far as anybody can tell without
    /// the database.
    pub fn is_complete(&self) -> bool {
        self.age.is_complete()
    }

    /// Whether logins may be decided: NASes, groups, organisations and locks are here. People may still be loading:
    /// those who are missing are looked up one by one, see [`Register::miss`], and must not be refused unasked.
    pub fn can_serve(&self) -> bool {
        self.age.can_serve()
    }

    /// Whether the database does not answer: then what only it knows is not waited for.
    pub fn is_cut_off(&self) -> bool {
        matches!(self.state(), RegisterState::Stale { .. })
    }

    /// How right all this is.
    pub fn state(&self) -> RegisterState {
        self.age.state()
    }

    /// The database did not answer. After so many seconds without a word of it the register is not ready any more.
    pub fn missed(&self, now: Time, serve_stale_for_seconds: i64) {
        self.age.missed(now, serve_stale_for_seconds);
    }

    fn begin_to_serve(&self) {
        self.age.begin_to_serve();
    }

    /// Everything is here as it was when the database was last heard of.
    fn restored(&self, heard: Time, position: Position) {
        self.age.restore(heard, position);
    }

    fn loaded(&self, now: Time, position: Position) {
        self.age.complete(now, position);
    }

    fn followed(&self, now: Time, position: Position) {
        self.age.heard(now, position);
    }

    /// What is to be done before these facts are decided upon: whether somebody who is not known here is to be looked up
    /// with [`Lookup::run`], and the facts gathered again. A new person's first login may come before the news of him.
    pub fn miss(&self, now: Time, nas: &NasEntry, question: &Question<'_>, facts: &Facts) -> Miss {
        let Some(organisation) = &facts.organisation else {
            return Miss::Settled;
        };
        // Somebody known is somebody the news is followed for.
        if !matches!(facts.subject, Subject::Nobody) {
            return Miss::Settled;
        }
        let asked = &question.asker;
        let routed = route(&nas.nas, asked, &question.packet);
        let mut names = Vec::new();
        if let Some(mac) = asked.mac_login {
            names.push((Kind::Mac, mac.to_string()));
        }
        let name = std::str::from_utf8(asked.user_name).unwrap_or_default();
        let stripped = asked.stripped_name().filter(|_| routed.by_realm);
        for name in [Some(name), stripped].into_iter().flatten() {
            names.extend(NAME_KINDS.into_iter().filter_map(|kind| {
                let folded = identity::identifier::fold(kind, name).ok()?;
                Some((kind, folded))
            }));
        }
        let wanted = Wanted {
            realm: organisation.has_own_names.then_some(organisation.id),
            names,
        };
        self.misses.ask(now, nas.nas.id.0, wanted)
    }

    /// Whether NASes were loaded once: before that everybody looks like a stranger.
    pub fn knows_nases(&self) -> bool {
        !Arc::ptr_eq(&self.policy.load(), &self.unloaded)
    }

    /// NASes, groups and organisations as they are now.
    pub fn policy(&self) -> Guard<Arc<Policy>> {
        self.policy.load()
    }

    /// Everybody.
    pub fn people(&self) -> &People {
        &self.people
    }

    /// Everything known about a question that came through a NAS.
    pub fn facts(
        &self,
        now: Time,
        nas: &NasEntry,
        source: IpAddr,
        question: &Question<'_>,
    ) -> Facts {
        let policy = self.policy.load();
        let routed = route(&nas.nas, &question.asker, &question.packet);
        let organisation = policy.organisations.get(&routed.organisation).cloned();
        let found = organisation
            .as_ref()
            .map_or(Found::default(), |organisation| {
                self.find(organisation, &question.asker, routed.by_realm)
            });
        let groups = match &found.subject {
            Subject::Member(person, index) => person
                .memberships
                .get(*index)
                .into_iter()
                .flat_map(|member| member.standing.groups.iter())
                .filter_map(|id| policy.groups.get(id).cloned())
                .collect(),
            _ => SmallVec::new(),
        };
        let lock = self.lock_on(now, nas, question, &found.subject);
        let name = if nas.nas.short_name.is_empty() {
            &nas.nas.name
        } else {
            &nas.nas.short_name
        };
        Facts {
            client: ClientFacts::new(name, source),
            organisation,
            subject: found.subject,
            by_mac: found.by_mac,
            lock,
            groups,
        }
    }

    /// What is known of a member without a question; none where he is not one.
    pub fn facts_of(&self, person: PersonId, membership: MembershipId) -> Option<Facts> {
        let person = self.people.by_id(person)?;
        let index = person
            .memberships
            .iter()
            .position(|known| known.id == membership)?;
        let member = &person.memberships[index];
        let policy = self.policy.load();
        let groups = member
            .standing
            .groups
            .iter()
            .filter_map(|id| policy.groups.get(id).cloned())
            .collect();
        Some(Facts {
            client: ClientFacts::new("", IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)),
            organisation: policy.organisations.get(&member.organisation).cloned(),
            subject: Subject::Member(person.clone(), index),
            by_mac: false,
            lock: None,
            groups,
        })
    }

    /// Whose report this is: the organisation by the NAS's routes, the member by User-Name or device.
    pub fn owner_of_report(&self, nas: &NasEntry, packet: &Packet<'_>) -> ReportOwner {
        let asked = Asker::of(packet);
        let routed = route(&nas.nas, &asked, packet);
        let policy = self.policy.load();
        let subject = policy
            .organisations
            .get(&routed.organisation)
            .map_or(Subject::Nobody, |organisation| {
                self.find(organisation, &asked, routed.by_realm).subject
            });
        let group = match &subject {
            Subject::Member(person, index) => person
                .memberships
                .get(*index)
                .and_then(|member| member.standing.groups.first())
                .and_then(|id| policy.groups.get(id))
                .map(|group| group.name.clone()),
            _ => None,
        };
        ReportOwner {
            organisation: routed.organisation,
            membership: subject.membership(),
            group,
        }
    }

    /// Counts what a decision says about guessing; the locks that begin with it.
    pub fn note_outcome(
        &self,
        now: Time,
        nas: &NasEntry,
        question: &Question<'_>,
        facts: &Facts,
        decision: &Decision,
    ) -> Vec<NewLock> {
        let user = facts.member().map(|(_, member)| Key::User(member.id.0));
        let device = question.asker.mac.map(Key::Device);
        // "Is this device known?" is what hotspots ask before they show their page: no is no guess.
        let is_unknown_device = question.asker.mac_login.is_some() && user.is_none();
        match decision {
            Decision::Accept(_) => {
                // The device's count runs out by itself: one good account must not pay for guesses at others.
                if let Some(user) = user {
                    self.limiter().succeeded(user);
                }
                Vec::new()
            }
            Decision::Refuse(Refused {
                word: Refusal::WrongPassword | Refusal::UnknownUser,
                ..
            }) if !question.is_self_test() && !is_unknown_device => {
                let limiter = self.limiter();
                [user, device, Some(Key::Nas(nas.nas.id.0))]
                    .into_iter()
                    .flatten()
                    .filter_map(|key| limiter.failed(now, key))
                    .collect()
            }
            Decision::Refuse(_) => Vec::new(),
        }
    }

    /// Whether a lock holds.
    pub fn is_locked(&self, now: Time, key: Key) -> bool {
        self.limiter().check(now, key).is_some()
    }

    fn limiter(&self) -> &Limits {
        &self.limiter
    }

    fn lock_on(
        &self,
        now: Time,
        nas: &NasEntry,
        question: &Question<'_>,
        subject: &Subject,
    ) -> Option<LockFacts> {
        let limiter = self.limiter();
        [
            question.asker.mac.map(Key::Device),
            subject.membership().map(|id| Key::User(id.0)),
            Some(Key::Nas(nas.nas.id.0)),
        ]
        .into_iter()
        .flatten()
        .find_map(|key| {
            limiter.check(now, key).map(|until| LockFacts {
                kind: key.kind(),
                until,
            })
        })
    }

    fn find(&self, organisation: &OrganisationFacts, asked: &Asker<'_>, by_realm: bool) -> Found {
        if let Some(mac) = asked.mac_login {
            let subject = self.by_mac(organisation, mac);
            if !matches!(subject, Subject::Nobody) {
                return Found {
                    subject,
                    by_mac: true,
                };
            }
        }
        let name = std::str::from_utf8(asked.user_name).unwrap_or_default();
        let stripped = asked.stripped_name().filter(|_| by_realm);
        Found {
            subject: self.by_name(organisation, name, stripped),
            by_mac: false,
        }
    }

    /// By user name as it was sent, else without the realm that led here, else as e-mail address or phone number.
    fn by_name(
        &self,
        organisation: &OrganisationFacts,
        name: &str,
        stripped: Option<&str>,
    ) -> Subject {
        for name in [Some(name), stripped].into_iter().flatten() {
            if name.is_empty() {
                continue;
            }
            for kind in NAME_KINDS {
                let Ok(folded) = identity::identifier::folded(kind, name) else {
                    continue;
                };
                match self.lookup(organisation, kind, &folded) {
                    Subject::Nobody => {}
                    subject => return subject,
                }
            }
        }
        Subject::Nobody
    }

    fn by_mac(&self, organisation: &OrganisationFacts, mac: Mac) -> Subject {
        // Written where it lies, since every device login asks.
        let mut text = [0u8; MAC_OCTETS];
        let _ = write!(&mut text[..], "{mac}");
        let folded = std::str::from_utf8(&text).unwrap_or_default();
        self.lookup(organisation, Kind::Mac, folded)
    }

    fn lookup(&self, organisation: &OrganisationFacts, kind: Kind, folded: &str) -> Subject {
        let realm = organisation.has_own_names.then_some(organisation.id);
        match self.people.find(realm, kind, folded) {
            None => Subject::Nobody,
            Some(person) => person
                .memberships
                .iter()
                .position(|member| member.organisation == organisation.id)
                .map_or(Subject::Stranger, |index| Subject::Member(person, index)),
        }
    }
}

/// What a user name may be, in the order in which it is tried.
const NAME_KINDS: [Kind; 3] = [Kind::Username, Kind::Email, Kind::Phone];
/// Octets of a device's address as it is folded.
const MAC_OCTETS: usize = "AA-BB-CC-DD-EE-FF".len();

#[derive(Default)]
struct Found {
    subject: Subject,
    by_mac: bool,
}

/// Where a NAS's request leads.
struct Routed {
    organisation: OrganisationId,
    by_realm: bool,
}

/// SSID before realm before NAS-Identifier, else the NAS's owner.
fn route(nas: &Nas, asked: &Asker<'_>, packet: &Packet<'_>) -> Routed {
    let find = |kind: RouteKind, fits: &dyn Fn(&str) -> bool| {
        nas.routes
            .iter()
            .find(|route| route.kind == kind && fits(&route.value))
            .map(|route| route.organisation)
    };
    if !nas.routes.is_empty() {
        let by_ssid = ssid_of(packet)
            .and_then(|ssid| find(RouteKind::Ssid, &|value| value.as_bytes() == ssid));
        if let Some(organisation) = by_ssid {
            return Routed {
                organisation,
                by_realm: false,
            };
        }
        let by_realm = asked.realm().and_then(|realm| {
            find(RouteKind::Realm, &|value| {
                value.eq_ignore_ascii_case(&realm)
            })
        });
        if let Some(organisation) = by_realm {
            return Routed {
                organisation,
                by_realm: true,
            };
        }
        let by_identifier = packet
            .get(attrs::NAS_IDENTIFIER)
            .and_then(|name| find(RouteKind::Identifier, &|value| value.as_bytes() == name));
        if let Some(organisation) = by_identifier {
            return Routed {
                organisation,
                by_realm: false,
            };
        }
    }
    Routed {
        organisation: nas.organisation,
        by_realm: false,
    }
}
