//! `gatewarden replay`: recorded requests, decided again by another policy: who would be treated differently?
//!
//! What is decided again is what the rules say. What a proof came to is taken from the record: a login that was refused for
//! its password would be refused again, and is only counted.

use crate::failure::Failure;
use crate::house::House;
use crate::moments;
use crate::output::{Output, Table, clean, moment};
use access::decide::Decision;
use access::nas::NasId;
use access::past::{self, Asked, MemberThen, PolicyThen};
use access::word::Refusal;
use clap::Args;
use identity::{MembershipId, PersonId, find};
use kernel::db::Location;
use kernel::id::Uuid;
use kernel::{Db, OrganisationId, Scope, Time};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use usage::attempt::{self, Attempt, Verdict, ring};

/// Records of one run: a minute's work. Of more, the newest.
const MAX_RECORDS: usize = 200_000;

/// Options of `replay`.
#[derive(Args)]
#[command(after_help = "\
Without --policy-at and --candidate it is today's rules that decide. To try rules before they hold: copy the database,
change the copy ('gatewarden --database COPY group set ...'), and replay against it.
Each request is decided as of its own moment: its hour, and what had been used by then.
Exit code: 0 when everybody would be treated alike, 1 when somebody would not.

Examples:
  gatewarden --data D replay                                 yesterday and today, by today's rules
  gatewarden --data D replay --since '7 days ago' --policy-at '8 days ago'
  gatewarden --data D replay --candidate sqlite:/tmp/copy.db")]
pub struct ReplayArgs {
    /// Requests from then on: yesterday, '2 h ago', '2027-01-31 20:00'
    #[arg(long, value_name = "TIME", default_value = "yesterday")]
    since: String,
    /// Requests before then
    #[arg(long, value_name = "TIME", default_value = "now")]
    until: String,
    /// By the rules that held at this moment
    #[arg(long, value_name = "TIME", default_value = "now")]
    policy_at: String,
    /// By the rules of this database, a changed copy of this one
    #[arg(long, value_name = "URL")]
    candidate: Option<String>,
    /// Of this organisation only
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// What was counted.
#[derive(Default)]
struct Tally {
    records: u64,
    alike: u64,
    /// Refused for their proof: the rules were not asked.
    unproved: u64,
    /// Left unanswered: nothing was decided.
    unanswered: u64,
    /// Whoever asked is nobody that can be told.
    unknown: u64,
}

/// One kind of difference.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    organisation: String,
    name: String,
    then: String,
    now: String,
}

struct Difference {
    times: u64,
    first: Time,
    last: Time,
    device: Option<String>,
    why: String,
}

/// Runs the command.
///
/// # Errors
/// One sentence; silently when somebody would be treated differently.
pub async fn run(args: &ReplayArgs, house: &House) -> Result<(), Failure> {
    let scope = house.scope(args.org.as_deref()).await?;
    let zone = match house.organisation(args.org.as_deref()).await {
        Ok(one) => one.zone(),
        Err(_) => chrono_tz::Tz::UTC,
    };
    let now = house.kernel.now();
    let read = |text: &str| moments::parse(text, now, zone).map_err(Failure::usage);
    let (since, until, policy_at) = (
        read(&args.since)?,
        read(&args.until)?,
        read(&args.policy_at)?,
    );
    if since >= until {
        return Err(Failure::usage(format!(
            "--since {} is not before --until {}",
            args.since, args.until
        )));
    }
    let candidate = match &args.candidate {
        None => None,
        Some(url) => {
            let location = Location::parse(url).map_err(Failure::usage)?;
            if let Location::Sqlite(path) = &location
                && !path.exists()
            {
                return Err(Failure::usage(format!(
                    "there is no database at {}",
                    path.display()
                )));
            }
            Some(location.open().await.map_err(Failure::failed)?)
        }
    };
    let policy = candidate.as_ref().unwrap_or(&house.kernel.db);
    let records = records(house, scope, since, until).await?;
    let mut judge = Judge {
        records: &house.kernel.db,
        policy,
        policy_at,
        policies: HashMap::new(),
        members: HashMap::new(),
        nases: nases(house).await?,
        slugs: house.slugs().await?,
        tally: Tally::default(),
        differences: BTreeMap::new(),
    };
    for record in &records {
        judge.take(record).await?;
    }
    let is_cut = records.len() >= MAX_RECORDS;
    let done = tell(args, &judge, since, until, is_cut);
    let is_alike = judge.differences.is_empty();
    if let Some(candidate) = candidate {
        candidate.close().await;
    }
    done?;
    match is_alike {
        true => Ok(()),
        false => Err(Failure::silent(crate::failure::FAILED)),
    }
}

/// What the database has, and what this node's own log has beside it.
async fn records(
    house: &House,
    scope: Scope,
    since: Time,
    until: Time,
) -> Result<Vec<Attempt>, Failure> {
    let mut records: Vec<Attempt> = Vec::new();
    loop {
        let page = attempt::between(&house.kernel.db, scope, since, until, records.last()).await?;
        if page.is_empty() || records.len() >= MAX_RECORDS {
            break;
        }
        records.extend(page);
    }
    let data = &house.place.data;
    let logged = ring::between(data, scope, since, until, MAX_RECORDS);
    records.extend(logged.map_err(|e| Failure::failed(format!("the log of attempts: {e}")))?);
    records.sort_by_key(|record| (record.at, record.id));
    records.dedup_by_key(|record| record.id);
    let beyond = records.len().saturating_sub(MAX_RECORDS);
    records.drain(..beyond);
    Ok(records)
}

/// NASes by id: name, identifier.
async fn nases(house: &House) -> Result<HashMap<Uuid, (String, Option<String>)>, Failure> {
    let mut nases = HashMap::new();
    let mut after: Option<NasId> = None;
    loop {
        let page = access::nas::page(&house.kernel.db, Scope::Everything, after, 1_000).await?;
        let Some(last) = page.last() else {
            return Ok(nases);
        };
        after = Some(last.nas.id);
        for line in page {
            let nas = line.nas;
            let name = match nas.short_name.as_str() {
                "" => nas.name,
                short => short.to_owned(),
            };
            nases.insert(nas.id.0, (name, nas.identifier));
        }
    }
}

struct Judge<'a> {
    /// Where sessions lie.
    records: &'a Db,
    /// Whose rules decide.
    policy: &'a Db,
    policy_at: Time,
    policies: HashMap<OrganisationId, Option<Arc<PolicyThen>>>,
    members: HashMap<Uuid, Option<Arc<MemberThen>>>,
    nases: HashMap<Uuid, (String, Option<String>)>,
    slugs: HashMap<OrganisationId, String>,
    tally: Tally,
    differences: BTreeMap<Kind, Difference>,
}

/// Refusals that a proof led to, or that come before one.
fn is_about_proof(word: Option<&str>) -> bool {
    let Some(word) = word.and_then(Refusal::from_word) else {
        return true;
    };
    matches!(
        word,
        Refusal::WrongPassword
            | Refusal::NoPassword
            | Refusal::NoProof
            | Refusal::MalformedProof
            | Refusal::NeedsOtherProof
            | Refusal::EapNotOffered
            | Refusal::Locked
            | Refusal::DeviceLocked
            | Refusal::NasLocked
            | Refusal::AmbiguousUser
            | Refusal::PasswordExpired
    )
}

impl Judge<'_> {
    async fn take(&mut self, record: &Attempt) -> Result<(), Failure> {
        self.tally.records += 1;
        let then = match record.verdict {
            Verdict::Accept => "accepted".to_owned(),
            Verdict::Refuse if is_about_proof(record.word.as_deref()) => {
                self.tally.unproved += 1;
                return Ok(());
            }
            Verdict::Refuse => format!("refused {}", record.word.as_deref().unwrap_or("-")),
            Verdict::Challenge | Verdict::Drop => {
                self.tally.unanswered += 1;
                return Ok(());
            }
        };
        let name = record.username.clone().or_else(|| record.mac.clone());
        let Some(name) = name else {
            self.tally.unknown += 1;
            return Ok(());
        };
        let member = self.member(record, &name).await?;
        let (now, plan, why) = match member {
            None if record.membership.is_none() => {
                // Nobody then, and nobody now.
                self.tally.alike += 1;
                return Ok(());
            }
            None => (
                format!("refused {}", Refusal::UnknownUser),
                None,
                "the person, or the membership, is gone".to_owned(),
            ),
            Some(_) if record.membership.is_none() => (
                "asked for a password".to_owned(),
                None,
                "the name is somebody's now".to_owned(),
            ),
            Some(member) => {
                let nas = record.nas.and_then(|nas| self.nases.get(&nas));
                let asked = Asked {
                    name: name.clone(),
                    device: record.calling_station_id.clone(),
                    place: record.called_station_id.clone(),
                    identifier: nas.and_then(|(_, identifier)| identifier.clone()),
                    nas_name: nas.map(|(name, _)| name.clone()).unwrap_or_default(),
                    nas_address: record.nas_address.parse().ok(),
                };
                let said = member
                    .ask(self.records, &asked, record.at, &past::proved())
                    .await?;
                let steps = said.trace.to_json();
                match said.decision {
                    Decision::Accept(grant) => (
                        "accepted".to_owned(),
                        grant.plan.map(|plan| plan.name.clone()),
                        String::new(),
                    ),
                    Decision::Refuse(refused) => {
                        (format!("refused {}", refused.word), None, deciding(&steps))
                    }
                }
            }
        };
        let (then, now, why) = if then == now && then == "accepted" {
            let before = step(&record.trace, "plan");
            match (before, plan) {
                (Some(before), Some(plan)) if before != plan => (
                    format!("accepted, plan {before}"),
                    format!("accepted, plan {plan}"),
                    "another plan".to_owned(),
                ),
                _ => (then, now, why),
            }
        } else {
            (then, now, why)
        };
        if then == now {
            self.tally.alike += 1;
            return Ok(());
        }
        let organisation = record
            .organisation
            .and_then(|id| self.slugs.get(&id).cloned());
        let kind = Kind {
            organisation: organisation.unwrap_or_else(|| "-".to_owned()),
            name,
            then,
            now,
        };
        let difference = self.differences.entry(kind).or_insert_with(|| Difference {
            times: 0,
            first: record.at,
            last: record.at,
            device: record.calling_station_id.clone(),
            why,
        });
        difference.times += 1;
        difference.last = difference.last.max(record.at);
        Ok(())
    }

    /// Whoever asked, as the other policy knows him.
    async fn member(
        &mut self,
        record: &Attempt,
        name: &str,
    ) -> Result<Option<Arc<MemberThen>>, Failure> {
        let key = match (record.membership, record.organisation) {
            (Some(membership), _) => membership,
            // A name that was nobody's: each is looked up once for an organisation.
            (None, organisation) => {
                let organisation = organisation.map_or(Uuid::nil(), |id| id.0);
                uuid_of(organisation, name)
            }
        };
        if let Some(known) = self.members.get(&key) {
            return Ok(known.clone());
        }
        let person = match record.membership {
            Some(membership) => {
                let membership = MembershipId(membership);
                let holders = identity::known::holders(self.policy, &[membership]).await?;
                holders.get(&membership).copied()
            }
            None => self.called(record.organisation, name).await?,
        };
        let mut found = None;
        if let Some(person) = person {
            let members =
                past::memberships(self.policy, person, self.policy_at, &mut self.policies).await?;
            found = members.into_iter().find(|member| match record.membership {
                Some(membership) => member.membership().0 == membership,
                None => Some(member.organisation()) == record.organisation,
            });
        }
        let found = found.map(Arc::new);
        self.members.insert(key, found.clone());
        Ok(found)
    }

    async fn called(
        &self,
        organisation: Option<OrganisationId>,
        name: &str,
    ) -> Result<Option<PersonId>, Failure> {
        let Some(organisation) = organisation else {
            return Ok(None);
        };
        let scope = Scope::Organisation(organisation);
        let found = find::find(self.policy, scope, name).await?;
        Ok(found.first().map(|found| found.person.id))
    }
}

/// A key for a name of an organisation.
fn uuid_of(organisation: Uuid, name: &str) -> Uuid {
    use std::hash::{BuildHasher, RandomState};
    thread_local! {
        static HASHES: RandomState = RandomState::new();
    }
    HASHES.with(|hashes| {
        let low = hashes.hash_one((organisation, name));
        let high = hashes.hash_one((name, organisation, low));
        Uuid::from_u64_pair(high, low)
    })
}

/// What a check of a trace looked at.
fn step(trace: &Value, check: &str) -> Option<String> {
    trace
        .as_array()?
        .iter()
        .rfind(|step| step["check"] == check && step["verdict"] == "pass")
        .and_then(|step| step["input"].as_str())
        .map(str::to_owned)
}

/// The check that decided.
fn deciding(trace: &Value) -> String {
    let steps = trace.as_array().map_or(&[][..], Vec::as_slice).iter();
    let decider = steps.rev().find(|step| step["verdict"] == "fail");
    decider.map_or_else(String::new, |step| {
        format!(
            "{}: {}",
            step["check"].as_str().unwrap_or_default(),
            step["input"].as_str().unwrap_or_default()
        )
    })
}

fn tell(
    args: &ReplayArgs,
    judge: &Judge<'_>,
    since: Time,
    until: Time,
    is_cut: bool,
) -> Result<(), Failure> {
    let tally = &judge.tally;
    let mut output = Output::default();
    if args.json {
        let differences: Vec<Value> = judge
            .differences
            .iter()
            .map(|(kind, found)| {
                json!({
                    "organisation": kind.organisation,
                    "name": kind.name,
                    "then": kind.then,
                    "now": kind.now,
                    "why": found.why,
                    "times": found.times,
                    "first": found.first,
                    "last": found.last,
                    "device": found.device,
                })
            })
            .collect();
        output.json(&json!({
            "since": since,
            "until": until,
            "policy_at": judge.policy_at,
            "records": tally.records,
            "alike": tally.alike,
            "refused_for_their_proof": tally.unproved,
            "unanswered": tally.unanswered,
            "nameless": tally.unknown,
            "is_cut": is_cut,
            "differences": differences,
        }))?;
        return output.flush();
    }
    let by = match &args.candidate {
        Some(candidate) => format!(
            "the rules of {}",
            Location::parse(candidate).map_or_else(
                |_| "the candidate".to_owned(),
                |location| location.to_string()
            )
        ),
        None => format!("the rules of {}", moment(Some(judge.policy_at))),
    };
    output.line(format!(
        "{} recorded requests from {} to {}, decided again by {by}",
        tally.records,
        moment(Some(since)),
        moment(Some(until)),
    ))?;
    if is_cut {
        output.line(format!(
            "  these are the newest {MAX_RECORDS}; there were more"
        ))?;
    }
    output.line(format!(
        "  {} alike, {} refused for their password or proof, {} unanswered then",
        tally.alike, tally.unproved, tally.unanswered
    ))?;
    output.line("")?;
    let mut table = Table::new(&[
        "USER", "ORG", "THEN", "WOULD BE", ">TIMES", "LAST", "DEVICE", "WHY",
    ]);
    for (kind, found) in &judge.differences {
        table.row([
            &*clean(&kind.name),
            kind.organisation.as_str(),
            kind.then.as_str(),
            kind.now.as_str(),
            found.times.to_string().as_str(),
            moment(Some(found.last)).as_str(),
            &*clean(found.device.as_deref().unwrap_or("-")),
            &*clean(&found.why),
        ]);
    }
    output.table(&table, "nobody would be treated differently")
}
