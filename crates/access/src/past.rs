//! Time travel: what a decision would have seen at a moment, from the versions that deciding rows have left.
//!
//! A version holds no secret, so no proof can be made again: the caller says what it came to. What was used is reckoned from
//! sessions. This is for people who ask why; it must **never** decide about anybody who is at the door.

use crate::activity::{Activity, Going};
use crate::decide::{Decision, Trace, decide};
use crate::facts::{
    ClientFacts, Evidence, Facts, GroupCondition, GroupFacts, MembershipFacts, OrganisationFacts,
    PersonFacts, Standing, StoredFacts, Subject, Walk,
};
use crate::group::GroupId;
use crate::limit::{Limit, midnight};
use crate::plan::{self, PlanFacts, PlanId, StoredPlan};
use crate::question::Question;
use crate::register::Names;
use crate::rule::{Compiler, Op, Row, Rows, Side};
use identity::{Kind, MembershipId, PersonId};
use kernel::history::Stored;
use kernel::id::Uuid;
use kernel::{Db, Error, OrganisationId, Time};
use proof::keys::Keys;
use radius_wire::dictionary::Dictionary;
use radius_wire::{Code, Packet, Question as Asking, Request, Rules, Secret, attrs};
use serde_json::Value;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use usage::Totals;

/// A secret for requests that never leave this process.
const NO_SECRET: &[u8] = b"not sent";

/// What an organisation had decided at a moment.
pub struct PolicyThen {
    organisation: Arc<OrganisationFacts>,
    groups: HashMap<GroupId, Arc<GroupFacts>>,
}

/// A member as he was at a moment.
pub struct MemberThen {
    policy: Arc<PolicyThen>,
    person: Arc<PersonFacts>,
    membership: MembershipId,
}

/// What is asked, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// User-Name.
    pub name: String,
    /// Calling-Station-Id.
    pub device: Option<String>,
    /// Called-Station-Id.
    pub place: Option<String>,
    /// NAS-Identifier.
    pub identifier: Option<String>,
    /// The NAS's name, as rules may compare it.
    pub nas_name: String,
    /// Where the request came from.
    pub nas_address: Option<IpAddr>,
}

/// What would have been said.
pub struct Said {
    /// The decision.
    pub decision: Decision,
    /// How it came to that.
    pub trace: Trace,
}

fn uuid(value: &Value) -> Option<Uuid> {
    value.as_str().and_then(|text| text.parse().ok())
}

fn time(value: &Value) -> Option<Time> {
    value.as_str().and_then(|text| Time::parse(text).ok())
}

impl PolicyThen {
    /// Reads what an organisation had decided; none if there was none.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn read(
        db: &Db,
        organisation: OrganisationId,
        at: Time,
    ) -> Result<Option<Self>, Error> {
        let own = db.policy_at(Some(organisation), at).await?;
        let all = db.policy_at(None, at).await?;
        let Some(row) = own.iter().find(|row| row.kind == "organisation") else {
            return Ok(None);
        };
        let setting = |name: &str| {
            let of = |rows: &[Stored]| {
                rows.iter()
                    .filter(|row| row.kind == "setting")
                    .find(|row| row.field("name") == name)
                    .map(|row| row.field("value"))
            };
            of(&own).or_else(|| of(&all))
        };
        let number = |name: &str| setting(name).as_ref().and_then(Value::as_u64);
        let is_set = |name: &str| setting(name).as_ref().and_then(Value::as_bool) == Some(true);
        let zone = row.field("time_zone");
        let facts = OrganisationFacts {
            id: organisation,
            slug: row.field("slug").as_str().unwrap_or_default().to_owned(),
            is_active: row.field("is_active") == true,
            has_own_names: row.field("namespace") == "own",
            needs_verification: is_set("needs_identity_verification"),
            password_days: number("password_expiration_days")
                .and_then(|days| u32::try_from(days).ok())
                .unwrap_or(0),
            zone: zone
                .as_str()
                .and_then(|zone| zone.parse().ok())
                .unwrap_or_default(),
            most_sessions: number("max_sessions").filter(|most| *most > 0),
            lets_devices_roam: is_set("mac_addr_roaming_enabled"),
        };
        let plans = plans(&own);
        let rules = |id: Uuid| rows_of(&own, "group", id);
        let mut compiler = Compiler::new(Dictionary::builtin());
        let groups = own.iter().filter(|row| row.kind == "group").map(|row| {
            let rows = rules(row.row_id);
            let name = row.field("name").as_str().unwrap_or_default().to_owned();
            let facts = GroupFacts {
                id: GroupId(row.row_id),
                rules: compiler.compile(&rows).0,
                rows,
                plan: uuid(&row.field("plan")).and_then(|id| plans.get(&PlanId(id)).cloned()),
                condition: row
                    .field("condition")
                    .as_str()
                    .map(|text| GroupCondition::new(text.to_owned(), &name)),
                name,
            };
            (facts.id, Arc::new(facts))
        });
        Ok(Some(Self {
            groups: groups.collect(),
            organisation: Arc::new(facts),
        }))
    }

    /// Its short name.
    pub fn slug(&self) -> &str {
        &self.organisation.slug
    }
}

fn plans(rows: &[Stored]) -> HashMap<PlanId, Arc<PlanFacts>> {
    let stored: Vec<StoredPlan> = rows
        .iter()
        .filter(|row| row.kind == "plan")
        .map(|row| StoredPlan {
            id: PlanId(row.row_id),
            name: row.field("name").as_str().unwrap_or_default().to_owned(),
            terms: row.field("terms").to_string(),
            when_spent: uuid(&row.field("when_spent")).map(PlanId),
        })
        .collect();
    plan::prepare(&stored)
}

/// The rules of a group or a membership. A secret value is not kept: such a reply is shown and has none.
fn rows_of(versions: &[Stored], owner: &str, id: Uuid) -> Rows {
    let mut found: Vec<(Side, i64, Row)> = versions
        .iter()
        .filter_map(|version| {
            let side = match version.kind.as_str() {
                "check" => Side::Check,
                "reply" => Side::Reply,
                _ => return None,
            };
            if uuid(&version.field(owner)) != Some(id) {
                return None;
            }
            let text = |name| version.field(name).as_str().map(str::to_owned);
            let op = Op::parse(&text("op")?).ok()?;
            let value = text("value");
            let is_hidden = value.is_none();
            let value = value.unwrap_or_else(|| "hidden".to_owned());
            let row = Row::stored(text("attribute")?, op, value, is_hidden);
            Some((side, version.field("position").as_i64().unwrap_or(0), row))
        })
        .collect();
    found.sort_by_key(|(_, position, _)| *position);
    let mut rows = Rows::default();
    for (side, _, row) in found {
        rows.side_mut(side).push(row);
    }
    rows
}

/// Whoever had this name at a moment: those who have it now first.
///
/// # Errors
/// [`Error::Engine`].
pub async fn people_called(db: &Db, name: &str, at: Time) -> Result<Vec<PersonId>, Error> {
    let mut people = Vec::new();
    for person in db.people_with(name, at).await? {
        let versions = db.person_at(person, at).await?;
        let names = versions
            .iter()
            .filter(|row| row.kind == "person")
            .map(|row| row.field("identifiers"));
        let has_it = |names: Value| {
            let names = names.as_array().into_iter().flatten();
            names
                .filter_map(|name| name.get("value")?.as_str())
                .any(|known| known == name)
        };
        if names.into_iter().any(has_it) {
            people.push(PersonId(person));
        }
    }
    Ok(people)
}

/// Each membership that a person had at a moment.
///
/// # Errors
/// [`Error::Engine`].
pub async fn memberships(
    db: &Db,
    person: PersonId,
    at: Time,
    policies: &mut HashMap<OrganisationId, Option<Arc<PolicyThen>>>,
) -> Result<Vec<MemberThen>, Error> {
    let versions = db.person_at(person.0, at).await?;
    let Some(own) = versions.iter().find(|row| row.kind == "person") else {
        return Ok(Vec::new());
    };
    let identifiers = own.field("identifiers");
    let names: Vec<(Option<OrganisationId>, Kind, String)> = identifiers
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|name| {
            let kind = Kind::from_word(name.get("kind")?.as_str()?)?;
            let realm = name.get("realm").and_then(uuid).map(OrganisationId);
            let value = name.get("value")?.as_str()?.to_owned();
            Some((realm, kind, value))
        })
        .collect();
    let username = names
        .iter()
        .find(|(_, kind, _)| *kind == Kind::Username)
        .map_or("", |(_, _, value)| value)
        .to_owned();
    let mut members = Vec::new();
    for row in versions.iter().filter(|row| row.kind == "membership") {
        let Some(organisation) = row.organisation_id.map(OrganisationId) else {
            continue;
        };
        let policy = match policies.get(&organisation) {
            Some(policy) => policy.clone(),
            None => {
                let read = PolicyThen::read(db, organisation, at).await?.map(Arc::new);
                policies.insert(organisation, read.clone());
                read
            }
        };
        let Some(policy) = policy else { continue };
        let mut places: Vec<(i64, GroupId)> = versions
            .iter()
            .filter(|place| place.kind == "group_member")
            .filter(|place| uuid(&place.field("membership")) == Some(row.row_id))
            .filter_map(|place| {
                let group = uuid(&place.field("group"))?;
                Some((
                    place.field("priority").as_i64().unwrap_or(0),
                    GroupId(group),
                ))
            })
            .collect();
        places.sort_unstable_by_key(|(priority, _)| *priority);
        let rows = rows_of(&versions, "membership", row.row_id);
        let begun = db.begun(row.row_id).await?.unwrap_or(row.valid_from);
        let membership = MembershipFacts {
            id: MembershipId(row.row_id),
            organisation,
            is_enabled: row.field("is_enabled") == true,
            expires: time(&row.field("expires")),
            is_verified: row.field("is_verified") == true,
            since_seconds: MembershipFacts::since_seconds(begun),
            password_updated: None,
            standing: Arc::new(Standing {
                rules: Compiler::new(Dictionary::builtin()).compile(&rows).0,
                groups: places.into_iter().map(|(_, group)| group).collect(),
            }),
        };
        members.push(MemberThen {
            policy,
            membership: membership.id,
            person: Arc::new(PersonFacts {
                id: person,
                is_active: own.field("is_active") == true,
                names: Names::new(&username, &names),
                stored: StoredFacts::Nothing,
                memberships: [membership].into_iter().collect(),
            }),
        });
    }
    Ok(members)
}

impl MemberThen {
    /// The organisation.
    pub fn organisation(&self) -> OrganisationId {
        self.policy.organisation.id
    }

    /// Its short name.
    pub fn slug(&self) -> &str {
        self.policy.slug()
    }

    /// The membership.
    pub fn membership(&self) -> MembershipId {
        self.membership
    }

    fn facts(&self, asked: &Asked) -> Facts {
        let groups = self.person.memberships.iter().flat_map(|member| {
            let groups = member.standing.groups.iter();
            groups.filter_map(|id| self.policy.groups.get(id).cloned())
        });
        let address = asked
            .nas_address
            .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Facts {
            client: ClientFacts::new(&asked.nas_name, address),
            organisation: Some(self.policy.organisation.clone()),
            subject: Subject::Member(self.person.clone(), 0),
            by_mac: false,
            lock: None,
            groups: groups.collect(),
        }
    }

    /// What would have been said to this at a moment, had the proof come to that.
    ///
    /// # Errors
    /// [`Error::Engine`]; [`Error::Invalid`] when what is asked does not fit a request.
    pub async fn ask(
        &self,
        db: &Db,
        asked: &Asked,
        at: Time,
        evidence: &Evidence,
    ) -> Result<Said, Error> {
        let octets = request(asked)?;
        let secret = Secret::new(NO_SECRET);
        let request = Packet::parse(&octets)
            .ok()
            .and_then(|packet| Request::verify(packet, &secret, &Rules::default()).ok());
        let request = request.ok_or_else(|| Error::Invalid("a request cannot be made".into()))?;
        let question = Question::from(&request);
        let facts = self.facts(asked);
        let mut walk = facts.walk(at, &question);
        if walk.needs_activity() {
            walk.activity = activity(db, at, asked, &facts, &walk).await?;
        }
        let mut trace = Trace::default();
        let decision = decide(at, &question, &facts, &walk, evidence, &mut trace);
        Ok(Said { decision, trace })
    }
}

/// The proof was right.
pub fn proved() -> Evidence {
    Evidence::Right(Keys::None)
}

fn request(asked: &Asked) -> Result<Vec<u8>, Error> {
    let secret = Secret::new(NO_SECRET);
    let mut asking = Asking::new(Code::ACCESS_REQUEST, 0, [7; 16], secret);
    asking.put_text(attrs::USER_NAME, &asked.name);
    let texts = [
        (attrs::CALLING_STATION_ID, &asked.device),
        (attrs::CALLED_STATION_ID, &asked.place),
        (attrs::NAS_IDENTIFIER, &asked.identifier),
    ];
    for (attr, text) in texts {
        if let Some(text) = text {
            asking.put_text(attr, text);
        }
    }
    if let Some(IpAddr::V4(address)) = asked.nas_address {
        asking.put(attrs::NAS_IP_ADDRESS, address);
    }
    let sealed = asking
        .seal(true)
        .map_err(|e| Error::Invalid(format!("what is asked does not fit a request: {e}")))?;
    Ok(sealed.octets().to_vec())
}

/// What the member was doing, reckoned.
async fn activity(
    db: &Db,
    at: Time,
    asked: &Asked,
    facts: &Facts,
    walk: &Walk<'_>,
) -> Result<Activity, Error> {
    let (Some((_, member)), Some(organisation)) = (facts.member(), &facts.organisation) else {
        return Ok(Activity::default());
    };
    let zone = organisation.zone;
    let today = at.to_chrono().with_timezone(&zone).date_naive();
    let since = member.since(zone);
    let mut periods: Vec<(crate::limit::Period, Time)> = Vec::new();
    walk.each_limit(|limit: &Limit| {
        if periods.iter().all(|(known, _)| *known != limit.period) {
            let begin = limit.period.first_day(today, since);
            let begin = begin.map_or(Time::from_unix_micros(0), |day| midnight(day, zone));
            periods.push((limit.period, begin));
        }
    });
    let first = periods.iter().map(|(_, begin)| *begin).min().unwrap_or(at);
    let sessions = usage::then::sessions(db, member.id.0, first, at).await?;
    let asker = asked
        .device
        .as_deref()
        .map(|device| usage::report::words::identity(Some(device.as_bytes()), None));
    let used: Vec<_> = periods
        .into_iter()
        .map(|(period, begin)| {
            let sum = sessions.iter().fold(Totals::default(), |sum, session| {
                sum.plus(session.used(begin, at))
            });
            (period, sum)
        })
        .collect();
    let mut devices: SmallVec<[&str; 8]> = SmallVec::new();
    let going: Vec<Going> = sessions
        .iter()
        .filter(|session| session.was_open)
        .map(|session| {
            let identity = session.identity.as_str();
            let known = devices.iter().position(|known| *known == identity);
            let device = known.unwrap_or_else(|| {
                devices.push(identity);
                devices.len() - 1
            });
            Going {
                device: device as u64,
                is_asker: asker.as_deref() == Some(identity),
                is_stale: session.was_stale(at),
            }
        })
        .collect();
    let mut activity = Activity::of(&used, &going);
    if organisation.most_sessions.is_some() {
        activity.of_organisation = usage::then::open_in(db, organisation.id, at).await?;
    }
    Ok(activity)
}
