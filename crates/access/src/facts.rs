//! Facts: what is known about a question, as plain data gathered once. What the proof said is [`Evidence`].

mod walk;

pub use walk::Walk;

use crate::condition::{Condition, Inputs};
use crate::group::GroupId;
use crate::limiter::KeyKind;
use crate::plan::PlanFacts;
use crate::question::{Offer, Question};
use crate::register::Names;
use crate::rule::{AuthType, Check, CheckOutcome, Lookup, Rows, RuleSet, internal, matches};
use chrono::{DateTime, Datelike, NaiveDate, Timelike};
use identity::{MembershipId, PersonId};
use kernel::{OrganisationId, Time};
use proof::keys::Keys;
use proof::stored::{Cost, Stored};
use proof::verify::{Needs, Outcome};
use radius_wire::dictionary::Dictionary;
use smallvec::SmallVec;
use std::cell::OnceCell;
use std::sync::Arc;

/// An organisation as decisions need it.
#[derive(Debug, Clone)]
pub struct OrganisationFacts {
    /// Its id.
    pub id: OrganisationId,
    /// Its short name.
    pub slug: String,
    /// False: nobody gets in.
    pub is_active: bool,
    /// Its names are its own, not those shared by the server.
    pub has_own_names: bool,
    /// Members must be verified.
    pub needs_verification: bool,
    /// The days a password lasts; 0 is for ever.
    pub password_days: u32,
    /// Where its days begin.
    pub zone: chrono_tz::Tz,
    /// Sessions of all its people together, at most.
    pub most_sessions: Option<u64>,
    /// A device that is online may go on at another access point by its address alone.
    pub lets_devices_roam: bool,
}

/// A person as decisions need him. No Debug: it holds what is stored of his password.
pub struct PersonFacts {
    /// Who.
    pub id: PersonId,
    /// False: shut out everywhere.
    pub is_active: bool,
    /// How he is called and by what names he is found.
    pub names: Names,
    /// What is stored of his password.
    pub stored: StoredFacts,
    /// Where he is a member: nearly everybody in one organisation.
    pub memberships: SmallVec<[MembershipFacts; 1]>,
}

impl PersonFacts {
    /// His user name as he gave it.
    pub fn username(&self) -> &str {
        self.names.username()
    }
}

/// What is stored of a password.
pub enum StoredFacts {
    /// Nothing.
    Nothing,
    /// This.
    Password(Stored),
    /// Something that does not open with this server's keys.
    Unreadable,
}

/// A membership as decisions need it.
pub struct MembershipFacts {
    /// Its id.
    pub id: MembershipId,
    /// Where.
    pub organisation: OrganisationId,
    /// False: not through this organisation.
    pub is_enabled: bool,
    /// From when on no more.
    pub expires: Option<Time>,
    /// Whether it is settled who he is.
    pub is_verified: bool,
    /// When it began, in seconds since 1970.
    pub since_seconds: u32,
    /// When the password was set, where that is known.
    pub password_updated: Option<Time>,
    /// Under what rules. Those who have none of their own and are in the same groups share one.
    pub standing: Arc<Standing>,
}

impl MembershipFacts {
    /// When it began, as it is kept here; a moment before 1970 or after 2105 is as near as that allows.
    pub fn since_seconds(created: Time) -> u32 {
        u32::try_from(created.unix_seconds().max(0)).unwrap_or(u32::MAX)
    }

    /// The local day on which it began.
    pub fn since(&self, zone: chrono_tz::Tz) -> NaiveDate {
        let at = DateTime::from_timestamp(self.since_seconds.into(), 0).unwrap_or_default();
        at.with_timezone(&zone).date_naive()
    }
}

/// The rules that hold for a membership.
#[derive(Default)]
pub struct Standing {
    /// The person's own checks and replies here.
    pub rules: RuleSet,
    /// Groups, those looked at first first.
    pub groups: Box<[GroupId]>,
}

/// A group as decisions need it.
pub struct GroupFacts {
    /// Its id.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// Its checks and replies.
    pub rules: RuleSet,
    /// What those were made of.
    pub rows: Rows,
    /// What its people get.
    pub plan: Option<Arc<PlanFacts>>,
    /// What has to hold of a request.
    pub condition: Option<GroupCondition>,
}

impl GroupFacts {
    /// Whether its rules hold for some requests and not for others.
    pub fn compares(&self) -> bool {
        self.condition.is_some() || self.rules.checks.iter().any(|check| !check.is_control())
    }
}

/// A group's condition.
pub struct GroupCondition {
    text: String,
    /// None where it cannot be understood: then it never holds.
    compiled: Option<Condition>,
}

impl GroupCondition {
    /// Of what is stored. One that is not understood is logged.
    pub fn new(text: String, group: &str) -> Self {
        let compiled = Condition::compile(Dictionary::builtin(), &text)
            .inspect_err(|reason| {
                tracing::error!(%group, "its rules hold for nobody: {reason}");
            })
            .ok();
        Self { text, compiled }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Why a group's rules do not hold.
#[derive(Debug)]
pub enum Unfit<'f> {
    /// A check does not match.
    Check(&'f Check),
    /// Its condition does not hold, or cannot be decided.
    Condition(String),
}

impl std::fmt::Display for Unfit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unfit::Check(check) => write!(f, "{check} does not match"),
            Unfit::Condition(why) => f.write_str(why),
        }
    }
}

/// A lock that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockFacts {
    /// Who is locked.
    pub kind: KeyKind,
    /// Until when.
    pub until: Time,
}

/// Who the question is about.
#[derive(Default)]
pub enum Subject {
    /// Nobody is known by the name.
    #[default]
    Nobody,
    /// Somebody is, but not in this organisation.
    Stranger,
    /// A member: the person, and which of his memberships.
    Member(Arc<PersonFacts>, usize),
}

/// Where a question came through, as rules may compare it.
#[derive(Debug, Clone)]
pub struct ClientFacts {
    /// The NAS's short name, or its name where it has none.
    name: SmallVec<[u8; SHORT_NAME_OCTETS]>,
    address: SmallVec<[u8; 16]>,
}

/// Octets of a NAS's name that are kept without an allocation: longer than names that people give.
const SHORT_NAME_OCTETS: usize = 40;

impl ClientFacts {
    /// The NAS of this name, whose packet came from this address.
    pub fn new(name: &str, address: std::net::IpAddr) -> Self {
        Self {
            name: SmallVec::from_slice(name.as_bytes()),
            address: match address.to_canonical() {
                std::net::IpAddr::V4(v4) => SmallVec::from_slice(&v4.octets()),
                std::net::IpAddr::V6(v6) => SmallVec::from_slice(&v6.octets()),
            },
        }
    }
}

impl ClientFacts {
    fn address(&self) -> String {
        match <[u8; 4]>::try_from(self.address.as_slice()) {
            Ok(v4) => std::net::Ipv4Addr::from(v4).to_string(),
            Err(_) => <[u8; 16]>::try_from(self.address.as_slice())
                .map(|v6| std::net::Ipv6Addr::from(v6).to_string())
                .unwrap_or_default(),
        }
    }
}

/// Everything known about one question.
pub struct Facts {
    /// Where it came through.
    pub client: ClientFacts,
    /// The organisation, settled before the user is looked up; `None` when it is gone.
    pub organisation: Option<Arc<OrganisationFacts>>,
    /// Who asks.
    pub subject: Subject,
    /// He was found by his device's address.
    pub by_mac: bool,
    /// What forbids even trying.
    pub lock: Option<LockFacts>,
    /// The member's groups, lowest priority number first.
    pub groups: SmallVec<[Arc<GroupFacts>; 2]>,
}

/// What the proof said.
pub enum Evidence {
    /// None was made: a check before it decides, or none is needed.
    NotMade,
    /// Right.
    Right(Keys),
    /// Wrong.
    Wrong,
    /// The request offers none.
    NothingOffered,
    /// Of a size or form that its RFC does not have.
    Malformed(&'static str),
    /// The stored form cannot serve the method.
    Impossible(Needs),
    /// There is no password stored.
    NothingStored,
    /// What is stored does not open: a fault of ours.
    Unreadable,
    /// EAP, which is not offered.
    Eap,
}

impl Subject {
    /// The member's membership.
    pub fn membership(&self) -> Option<MembershipId> {
        match self {
            Subject::Member(person, index) => person.memberships.get(*index).map(|found| found.id),
            _ => None,
        }
    }
}

/// A request as rules see it: its attributes, and what was made of them.
struct Asked<'q, 'a> {
    question: &'q Question<'a>,
    client: &'q ClientFacts,
    /// Made when a rule first asks for it.
    realm: OnceCell<Option<String>>,
}

impl Lookup for Asked<'_, '_> {
    fn values(&self, vendor: u32, number: u32) -> impl Iterator<Item = &[u8]> {
        let made = match (vendor, number) {
            (0, internal::REALM | internal::STRIPPED_USER_DOMAIN) => {
                let realm = self.realm.get_or_init(|| self.question.asker.realm());
                realm.as_deref().map(str::as_bytes)
            }
            (0, internal::STRIPPED_USER_NAME) => {
                self.question.asker.stripped_name().map(str::as_bytes)
            }
            (0, internal::CALLED_STATION_SSID) => self.question.ssid(),
            (0, internal::CLIENT_SHORTNAME) => Some(&*self.client.name),
            (0, internal::CLIENT_IP_ADDRESS | internal::PACKET_SRC_IP_ADDRESS) => {
                Some(&*self.client.address).filter(|octets| octets.len() == 4)
            }
            (0, internal::PACKET_SRC_IPV6_ADDRESS) => {
                Some(&*self.client.address).filter(|octets| octets.len() == 16)
            }
            _ => None,
        };
        let sent = self.question.packet.values(vendor, number);
        made.into_iter().chain(sent)
    }
}

impl Facts {
    /// The member, where there is one.
    pub fn member(&self) -> Option<(&Arc<PersonFacts>, &MembershipFacts)> {
        match &self.subject {
            Subject::Member(person, index) => {
                person.memberships.get(*index).map(|found| (person, found))
            }
            _ => None,
        }
    }

    /// Walks the member's rules for this question.
    pub fn walk(&self, now: Time, question: &Question<'_>) -> Walk<'_> {
        let mut walk = Walk::default();
        let Some((_, member)) = self.member() else {
            return walk;
        };
        walk.counts_organisation = self.counts_organisation();
        let asked = Asked {
            question,
            client: &self.client,
            realm: OnceCell::new(),
        };
        if let CheckOutcome::Fails(check) = matches(&member.standing.rules.checks, &asked) {
            walk.failed = Some(check);
            return walk;
        }
        walk.take(&member.standing.rules);
        for group in &self.groups {
            if let CheckOutcome::Fails(check) = matches(&group.rules.checks, &asked) {
                walk.groups.push((group, Some(Unfit::Check(check))));
                continue;
            }
            if let Some(condition) = &group.condition
                && let Err(why) = self.condition_holds(now, condition, &asked)
            {
                walk.groups.push((group, Some(Unfit::Condition(why))));
                continue;
            }
            walk.take_group(group);
            if !group.rules.falls_through {
                break;
            }
        }
        walk
    }

    /// Whether a group's condition holds; why not, where it does not.
    fn condition_holds(
        &self,
        now: Time,
        condition: &GroupCondition,
        asked: &Asked<'_, '_>,
    ) -> Result<(), String> {
        let Some(compiled) = &condition.compiled else {
            return Err(format!("'{}' is not understood", condition.text));
        };
        let question = asked.question;
        let text = |octets: Option<&[u8]>| {
            String::from_utf8_lossy(octets.unwrap_or_default()).into_owned()
        };
        let zone = self
            .organisation
            .as_ref()
            .map_or(chrono_tz::Tz::UTC, |o| o.zone);
        let local = now.to_chrono().with_timezone(&zone);
        let packet = &question.packet;
        let inputs = Inputs {
            user: question.name().into_owned(),
            realm: question.asker.realm().unwrap_or_default(),
            device: match question.asker.mac {
                Some(mac) => mac.to_string(),
                None => text(packet.get(radius_wire::attrs::CALLING_STATION_ID)),
            },
            ssid: text(question.ssid()),
            place: text(packet.get(radius_wire::attrs::CALLED_STATION_ID)),
            nas: text(Some(&self.client.name)),
            nas_address: self.client.address(),
            date: local.format("%Y-%m-%d").to_string(),
            weekday: i64::from(local.weekday().number_from_monday()),
            hour: i64::from(local.hour()),
            minute: i64::from(local.minute()),
        };
        match compiled.holds(&inputs, asked) {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("'{}' does not hold", condition.text)),
            Err(why) => Err(format!("'{}' cannot be decided: {why}", condition.text)),
        }
    }

    fn counts_organisation(&self) -> bool {
        self.organisation
            .as_ref()
            .is_some_and(|organisation| organisation.most_sessions.is_some())
    }

    /// Walks the rules of somebody who is online: his own, and those of his groups. One that compares something with a
    /// request holds if it held when he came in.
    pub fn walk_groups(&self, held: &[GroupId]) -> Walk<'_> {
        let mut walk = Walk::default();
        let Some((_, member)) = self.member() else {
            return walk;
        };
        walk.take(&member.standing.rules);
        for group in &self.groups {
            if group.compares() && !held.contains(&group.id) {
                continue;
            }
            walk.take_group(group);
            if !group.rules.falls_through {
                break;
            }
        }
        walk
    }

    /// Whether a proof has to be made at all: somebody is known and nothing decides before it.
    fn needs_proof(&self, walk: &Walk<'_>) -> bool {
        self.lock.is_none()
            && self.organisation.as_ref().is_some_and(|o| o.is_active)
            && self.member().is_some()
            && !matches!(
                walk.controls.auth_type(),
                Some(AuthType::Accept | AuthType::Reject)
            )
    }

    /// Whether the proof takes longer than a receive thread may.
    pub fn needs_slow_proof(&self, walk: &Walk<'_>, question: &Question<'_>) -> bool {
        matches!(question.offer, Offer::Pap(_))
            && self.needs_proof(walk)
            && !self.is_proved_by_address(question)
            && self.member().is_some_and(|(person, _)| {
                matches!(&person.stored, StoredFacts::Password(stored) if stored.cost() == Cost::Slow)
            })
    }

    /// Found by its address, with the address as password: that takes no hash.
    fn is_proved_by_address(&self, question: &Question<'_>) -> bool {
        match (self.by_mac, question.asker.mac_login, question.attempt()) {
            (true, Some(mac), Some(attempt)) => proof::mac::verify_mab(&mac, &attempt),
            _ => false,
        }
    }

    /// Makes the proof. Takes as long as the stored form asks for.
    pub fn prove(&self, walk: &Walk<'_>, question: &Question<'_>) -> Evidence {
        if !self.needs_proof(walk) {
            return Evidence::NotMade;
        }
        let Some((person, _)) = self.member() else {
            return Evidence::NotMade;
        };
        if self.by_mac
            && let Some(mac) = question.asker.mac_login
        {
            match question.attempt() {
                // Found by its address, and the NAS vouches for that: there is nothing else to prove.
                None if matches!(question.offer, Offer::Nothing) => {
                    return Evidence::Right(Keys::None);
                }
                Some(attempt) => {
                    if let Outcome::Right(keys) = proof::mac::answer_mab(&mac, &attempt) {
                        return Evidence::Right(keys);
                    }
                }
                None => {}
            }
        }
        let attempt = match (&question.offer, question.attempt()) {
            (_, Some(attempt)) => attempt,
            (Offer::Eap, None) => return Evidence::Eap,
            (Offer::Malformed(why), None) => return Evidence::Malformed(why),
            (_, None) => return Evidence::NothingOffered,
        };
        match &person.stored {
            StoredFacts::Nothing if self.by_mac => Evidence::Wrong,
            StoredFacts::Nothing => Evidence::NothingStored,
            StoredFacts::Unreadable => Evidence::Unreadable,
            StoredFacts::Password(stored) => match proof::verify::verify(stored, &attempt) {
                Outcome::Right(keys) => Evidence::Right(keys),
                Outcome::Wrong => Evidence::Wrong,
                Outcome::Impossible(needs) => Evidence::Impossible(needs),
            },
        }
    }
}
