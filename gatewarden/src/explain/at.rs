//! `gatewarden explain --at`: what would have been decided at a moment, from what held then.

use super::check_lines;
use crate::failure::Failure;
use crate::house::House;
use crate::moments;
use crate::output::{Output, clean, moment};
use access::decide::{Decision, Grant};
use access::family::Family;
use access::nas::Nas;
use access::past::{self, Asked, Said};
use access::plan::render;
use clap::Args;
use identity::{PersonId, find};
use kernel::{Scope, Time};
use serde_json::{Value, json};
use std::collections::HashMap;

/// What was asked, as far as the decision looks at it.
#[derive(Args)]
pub(super) struct AtArgs {
    /// What would have been decided at this moment: now, yesterday, '2 h ago', '2027-01-31 20:00'. The password is taken
    /// as right
    #[arg(long, value_name = "TIME")]
    pub(super) at: Option<String>,
    /// With --at: through this NAS (name, address or id)
    #[arg(long, value_name = "NAS", requires = "at")]
    nas: Option<String>,
    /// With --at: from this device (Calling-Station-Id)
    #[arg(long, value_name = "MAC", requires = "at")]
    device: Option<String>,
    /// With --at: at this place (Called-Station-Id, such as AA-BB-CC-DD-EE-FF:SSID)
    #[arg(long, value_name = "ID", requires = "at")]
    place: Option<String>,
}

pub(super) async fn run(
    subject: &str,
    org: Option<&str>,
    is_json: bool,
    args: &AtArgs,
    house: &House,
) -> Result<(), Failure> {
    let db = &house.kernel.db;
    let scope = house.scope(org).await?;
    let zone = match org {
        Some(_) => house.organisation(org).await?.zone(),
        // The only organisation's, if there is but one.
        None => match house.organisation(None).await {
            Ok(only) => only.zone(),
            Err(_) => chrono_tz::Tz::UTC,
        },
    };
    let text = args.at.as_deref().unwrap_or("now");
    let at = moments::parse(text, house.kernel.now(), zone).map_err(Failure::usage)?;
    if at > house.kernel.now() {
        return Err(Failure::usage(format!("{text}: that is still to come")));
    }
    let nas = match &args.nas {
        Some(name) => Some(crate::nas::one(house, name, org).await?),
        None => None,
    };
    let asked = Asked {
        name: subject.to_owned(),
        device: args.device.clone(),
        place: args.place.clone(),
        identifier: nas.as_ref().and_then(|nas| nas.identifier.clone()),
        nas_name: nas
            .as_ref()
            .map_or_else(String::new, |nas| match nas.short_name.as_str() {
                "" => nas.name.clone(),
                short => short.to_owned(),
            }),
        nas_address: nas
            .as_ref()
            .and_then(|nas| nas.network)
            .map(|network| network.address()),
    };
    let people = people(house, scope, subject, at).await?;
    let mut policies = HashMap::new();
    let mut output = Output::default();
    let mut objects = Vec::new();
    let mut is_first = true;
    for person in people {
        for member in past::memberships(db, person, at, &mut policies).await? {
            if !scope.covers(member.organisation()) {
                continue;
            }
            let said = member.ask(db, &asked, at, &past::proved()).await?;
            if is_json {
                objects.push(object(member.slug(), at, &said, nas.as_ref()));
                continue;
            }
            if !std::mem::take(&mut is_first) {
                output.line("")?;
            }
            for line in lines(subject, member.slug(), at, &said, nas.as_ref()) {
                output.line(line)?;
            }
        }
    }
    if is_first && objects.is_empty() {
        return Err(Failure::usage(format!(
            "nobody was known as '{}' on {}{}",
            subject.escape_debug(),
            moment(Some(at)),
            org.map_or_else(String::new, |org| format!(" in '{org}'"))
        )));
    }
    if is_json {
        return output.json_list(&objects);
    }
    output.flush()
}

/// Who is, or then was, known by a name.
pub async fn people(
    house: &House,
    scope: Scope,
    name: &str,
    at: Time,
) -> Result<Vec<PersonId>, Failure> {
    let db = &house.kernel.db;
    let found = find::find(db, scope, name).await?;
    let mut people: Vec<PersonId> = found.into_iter().map(|found| found.person.id).collect();
    if people.is_empty() {
        // Renamed or removed since: every version of that moment is looked at.
        people = past::people_called(db, name, at).await?;
    }
    Ok(people)
}

fn verdict(decision: &Decision) -> String {
    match decision {
        Decision::Accept(_) => "would be ACCEPTED".to_owned(),
        Decision::Refuse(refused) => format!("would be REFUSED {}", refused.word),
    }
}

/// What a NAS of this family would be told.
fn told(grant: &Grant, nas: Option<&Nas>) -> Vec<(String, String)> {
    let family = nas.map_or(Family::Generic, |nas| Family::of_word(&nas.family));
    let mut told: Vec<(String, String)> = grant
        .replies
        .iter()
        .map(|item| (item.name(), item.shown_value()))
        .collect();
    if let Some(plan) = &grant.plan {
        for item in plan.replies(family).iter() {
            if told.iter().all(|(name, _)| *name != item.name()) {
                told.push((item.name(), item.shown_value()));
            }
        }
    }
    for (attr, value) in render::quota(grant.octets, family) {
        told.push((attr.name.to_owned(), value.to_string()));
    }
    if let Some(seconds) = grant.session_timeout_seconds {
        told.push(("Session-Timeout".to_owned(), seconds.to_string()));
    }
    told
}

fn lines(subject: &str, slug: &str, at: Time, said: &Said, nas: Option<&Nas>) -> Vec<String> {
    let through = nas.map_or_else(String::new, |nas| {
        format!(" through '{}'", clean(&nas.name))
    });
    let mut lines = vec![format!(
        "{}  {} {}{through}, with the right password, by what held then in '{slug}'",
        moment(Some(at)),
        clean(subject),
        verdict(&said.decision),
    )];
    lines.extend(check_lines(&said.trace.to_json()));
    match &said.decision {
        Decision::Accept(grant) => {
            for (name, value) in told(grant, nas) {
                lines.push(format!("    = {name} = {}", clean(&value)));
            }
        }
        Decision::Refuse(refused) => {
            lines.push(format!("  {}", refused.word.sentence()));
            lines.push(format!("  → {}", refused.word.remedy()));
        }
    }
    lines
}

fn object(slug: &str, at: Time, said: &Said, nas: Option<&Nas>) -> Value {
    let (word, replies) = match &said.decision {
        Decision::Accept(grant) => (None, told(grant, nas)),
        Decision::Refuse(refused) => (Some(refused.word.word()), Vec::new()),
    };
    json!({
        "at": at,
        "organisation": slug,
        "verdict": if word.is_none() { "accept" } else { "refuse" },
        "word": word,
        "checks": said.trace.to_json(),
        "replies": replies.into_iter().map(|(name, value)| json!({"attribute": name, "value": value})).collect::<Vec<_>>(),
    })
}
