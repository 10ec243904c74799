//! `gatewarden explain`: the last decisions about somebody, check by check; with `--at`, what would have been decided.

pub mod at;

use crate::failure::Failure;
use crate::house::House;
use crate::output::{Output, clean, moment};
use crate::place::PlaceArgs;
use access::word::{Dropped, Refusal};
use clap::Args;
use identity::find;
use kernel::id::Uuid;
use kernel::{OrganisationId, Scope, Time};
use serde::Serialize;
use std::collections::HashMap;
use usage::attempt::ring::{self, RING_FOLDER};
use usage::attempt::{Attempt, Verdict};

/// Names of one person that are looked up; nobody has more.
const MAX_NAMES: usize = 32;

/// How often a decision is looked for that is not there yet.
const LOOKS: u32 = 6;
/// The wait before the next look.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(150);

/// Options of `explain`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  gatewarden --data D explain alice
  gatewarden --data D explain AA:BB:CC:DD:EE:FF --limit 1
  gatewarden --data D explain alice --json
  gatewarden --data D explain alice --at '2027-01-31 20:00' --nas lobby   (by what held then)")]
pub struct ExplainArgs {
    /// A username or another name of a user, a MAC address, or a session id
    #[arg(value_name = "USER|MAC|SESSION")]
    subject: String,
    /// So many decisions, the newest first
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Of this organisation only
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    /// One JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: at::AtArgs,
}

/// A decision as it is shown.
#[derive(Serialize)]
struct Decision {
    id: Uuid,
    time: Time,
    verdict: &'static str,
    word: Option<String>,
    sentence: Option<&'static str>,
    remedy: Option<&'static str>,
    username: Option<String>,
    mac: Option<String>,
    method: Option<String>,
    organisation: Option<String>,
    nas: Option<String>,
    nas_address: String,
    called_station_id: Option<String>,
    calling_station_id: Option<String>,
    session_id: Option<String>,
    node: String,
    checks: serde_json::Value,
}

/// How long a database is waited for when this node's own log may answer too.
const SOON: std::time::Duration = std::time::Duration::from_secs(3);

/// Runs the command. While the database is away, what this node logged is shown.
///
/// # Errors
/// One sentence.
pub async fn run(args: &ExplainArgs, places: &PlaceArgs) -> Result<(), Failure> {
    let place = places.settle()?;
    if args.at.at.is_some() {
        let house = House::open_at(place).await?;
        let (subject, org) = (args.subject.trim(), args.org.as_deref());
        let done = at::run(subject, org, args.json, &args.at, &house).await;
        house.kernel.db.close().await;
        return done;
    }
    let has_log = place.data.join(RING_FOLDER).is_dir();
    if !has_log || args.org.is_some() {
        return with_house(args, &House::open_at(place).await?).await;
    }
    let data = place.data.clone();
    let away = match tokio::time::timeout(SOON, House::open_at(place)).await {
        Ok(Ok(house)) => return with_house(args, &house).await,
        Ok(Err(failure)) => failure.sentence().unwrap_or_default().to_owned(),
        Err(_) => "the database does not answer".to_owned(),
    };
    let attempts = ring::explain(&data, Scope::Everything, &args.subject, args.limit);
    let attempts = attempts.map_err(|e| logged_badly(&data, &e))?;
    if attempts.is_empty() {
        return Err(Failure::failed(format!(
            "{away}; and this node has logged nothing about '{}'",
            args.subject
        )));
    }
    eprintln!("{away}; this is what this node has logged:");
    let slugs = HashMap::new();
    let decisions = attempts.into_iter().map(|a| decision(a, None, &slugs));
    show(args, &decisions.collect::<Vec<_>>())
}

fn logged_badly(data: &std::path::Path, e: &std::io::Error) -> Failure {
    let folder = data.join(RING_FOLDER);
    Failure::failed(format!("the log of attempts in {}: {e}", folder.display()))
}

async fn with_house(args: &ExplainArgs, house: &House) -> Result<(), Failure> {
    let done = explain(args, house).await;
    house.kernel.db.close().await;
    done
}

async fn explain(args: &ExplainArgs, house: &House) -> Result<(), Failure> {
    let scope = house.scope(args.org.as_deref()).await?;
    let mut found = attempts(house, scope, args).await?;
    // A server writes decisions a moment after it made them: whoever asks right after a login waits for that.
    for _ in 0..LOOKS {
        if !found.is_empty() {
            break;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        found = attempts(house, scope, args).await?;
    }
    let attempts = found;
    let slugs = house.slugs().await?;
    let mut names = HashMap::new();
    let mut decisions = Vec::with_capacity(attempts.len());
    for attempt in attempts {
        let nas = nas_name(house, &mut names, attempt.nas).await?;
        decisions.push(decision(attempt, nas, &slugs));
    }
    if decisions.is_empty() && !args.json {
        return Err(nothing(house, scope, &args.subject).await?);
    }
    show(args, &decisions)
}

fn show(args: &ExplainArgs, decisions: &[Decision]) -> Result<(), Failure> {
    let mut output = Output::default();
    if args.json {
        return output.json_list(decisions);
    }
    for (at, decision) in decisions.iter().enumerate() {
        if at > 0 {
            output.line("")?;
        }
        for line in lines(decision) {
            output.line(line)?;
        }
    }
    output.flush()
}

/// Attempts under every name that the text can mean.
async fn attempts(
    house: &House,
    scope: Scope,
    args: &ExplainArgs,
) -> Result<Vec<Attempt>, Failure> {
    let db = &house.kernel.db;
    let subject = args.subject.trim();
    let mut names = vec![subject.to_owned()];
    for found in find::find(db, scope, subject).await? {
        names.extend(
            found
                .identifiers
                .into_iter()
                .map(|identifier| identifier.value),
        );
    }
    for session in usage::find(db, scope, subject).await? {
        // The decision comes before the session and mostly does not know its id.
        names.extend(session.details.username.clone());
        names.push(session.acct_session_id);
    }
    names.sort();
    names.dedup();
    names.truncate(MAX_NAMES);
    let mut attempts: Vec<Attempt> = Vec::new();
    for name in &names {
        attempts.extend(usage::explain(db, scope, name, args.limit).await?);
        // This node's own log has accepts that the database was not given.
        let data = &house.place.data;
        let logged = ring::explain(data, scope, name, args.limit);
        attempts.extend(logged.map_err(|e| logged_badly(data, &e))?);
    }
    attempts.sort_by_key(|attempt| std::cmp::Reverse((attempt.at, attempt.id)));
    attempts.dedup_by_key(|attempt| attempt.id);
    attempts.truncate(args.limit as usize);
    Ok(attempts)
}

async fn nas_name(
    house: &House,
    names: &mut HashMap<Uuid, Option<String>>,
    id: Option<Uuid>,
) -> Result<Option<String>, Failure> {
    let Some(id) = id else { return Ok(None) };
    if let Some(name) = names.get(&id) {
        return Ok(name.clone());
    }
    let nas =
        access::nas::by_id(&house.kernel.db, Scope::Everything, access::nas::NasId(id)).await?;
    let name = nas.map(|nas| nas.name);
    names.insert(id, name.clone());
    Ok(name)
}

fn decision(
    attempt: Attempt,
    nas: Option<String>,
    slugs: &HashMap<OrganisationId, String>,
) -> Decision {
    let (sentence, remedy) = meaning(attempt.word.as_deref());
    Decision {
        id: attempt.id,
        time: attempt.at,
        verdict: attempt.verdict.word(),
        sentence,
        remedy,
        word: attempt.word,
        username: attempt.username,
        mac: attempt.mac,
        method: attempt.method,
        organisation: attempt.organisation.and_then(|id| slugs.get(&id).cloned()),
        nas,
        nas_address: attempt.nas_address,
        called_station_id: attempt.called_station_id,
        calling_station_id: attempt.calling_station_id,
        session_id: attempt.acct_session_id,
        node: attempt.node,
        checks: attempt.trace,
    }
}

/// Sentence and remedy of a word; both come from the one table of words.
fn meaning(word: Option<&str>) -> (Option<&'static str>, Option<&'static str>) {
    let Some(word) = word else {
        return (None, None);
    };
    if let Some(refusal) = Refusal::from_word(word) {
        return (Some(refusal.sentence()), Some(refusal.remedy()));
    }
    match Dropped::from_word(word) {
        Some(dropped) => (Some(dropped.sentence()), Some(dropped.remedy())),
        None => (None, None),
    }
}

fn lines(decision: &Decision) -> Vec<String> {
    let verdict = match Verdict::from_word(decision.verdict) {
        Some(Verdict::Accept) => "ACCEPTED".to_owned(),
        Some(Verdict::Challenge) => "CHALLENGED".to_owned(),
        Some(Verdict::Refuse) => {
            format!("REFUSED {}", decision.word.as_deref().unwrap_or_default())
        }
        _ => format!(
            "NOT ANSWERED {}",
            decision.word.as_deref().unwrap_or_default()
        ),
    };
    let said = |text: &Option<String>| text.as_deref().map(|text| clean(text).into_owned());
    let who = said(&decision.username)
        .or_else(|| said(&decision.mac))
        .unwrap_or_else(|| "-".to_owned());
    let through = match said(&decision.nas) {
        Some(nas) => format!("'{nas}' ({})", decision.nas_address),
        None => decision.nas_address.clone(),
    };
    let mut heading = format!(
        "{}  {verdict}  {who} through {through}",
        moment(Some(decision.time))
    );
    if let Some(method) = &decision.method {
        heading.push_str(&format!(", {method}"));
    }
    if let Some(device) = said(&decision.calling_station_id) {
        heading.push_str(&format!(", device {device}"));
    }
    let mut lines = vec![heading];
    lines.extend(check_lines(&decision.checks));
    if let Some(sentence) = decision.sentence {
        lines.push(format!("  {sentence}"));
    }
    if let Some(remedy) = decision.remedy {
        lines.push(format!("  → {remedy}"));
    }
    lines
}

fn check_lines(checks: &serde_json::Value) -> Vec<String> {
    let empty = Vec::new();
    let checks = checks.as_array().unwrap_or(&empty);
    let text = |check: &serde_json::Value, key: &str| {
        clean(
            check
                .get(key)
                .and_then(|value| value.as_str())
                .unwrap_or_default(),
        )
        .into_owned()
    };
    let width = checks
        .iter()
        .map(|check| text(check, "check").chars().count())
        .max()
        .unwrap_or(0);
    checks
        .iter()
        .map(|check| {
            let mark = match text(check, "verdict").as_str() {
                "pass" => "✓",
                "skip" => "–",
                _ => "✗",
            };
            let name = text(check, "check");
            format!("    {mark} {name:<width$}  {}", text(check, "input"))
                .trim_end()
                .to_owned()
        })
        .collect()
}

/// What to say when there is nothing to show.
async fn nothing(house: &House, scope: Scope, subject: &str) -> Result<Failure, Failure> {
    let is_known = !find::find(&house.kernel.db, scope, subject)
        .await?
        .is_empty();
    Ok(match is_known {
        true => Failure::failed(format!(
            "no decision about '{subject}' is kept: nobody has asked, or the NAS asks elsewhere or is not known ('gatewarden nas list')"
        )),
        false => Failure::usage(format!(
            "no decision about '{subject}' is kept, and there is no such user"
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_check_has_a_line_and_the_decider_its_remedy() {
        let decision = Decision {
            id: Uuid::nil(),
            time: Time::from_unix_seconds(1_700_000_000),
            verdict: "refuse",
            word: Some("unknown_user".to_owned()),
            sentence: meaning(Some("unknown_user")).0,
            remedy: meaning(Some("unknown_user")).1,
            username: Some("eve\u{7}".to_owned()),
            mac: None,
            method: Some("pap".to_owned()),
            organisation: None,
            nas: Some("lobby".to_owned()),
            nas_address: "10.0.0.1".to_owned(),
            called_station_id: None,
            calling_station_id: None,
            session_id: None,
            node: String::new(),
            checks: json!([
                {"check": "organisation", "input": "default", "verdict": "pass"},
                {"check": "person", "input": "'eve'", "verdict": "fail"},
            ]),
        };
        let lines = lines(&decision);
        assert_eq!(
            lines[..3],
            [
                "2023-11-14T22:13:20Z  REFUSED unknown_user  eve\\u{7} through 'lobby' (10.0.0.1), pap",
                "    ✓ organisation  default",
                "    ✗ person        'eve'",
            ]
        );
        assert!(lines[3].contains("known by this name") && lines[4].starts_with("  → "));
        assert_eq!(lines.len(), 5);
    }
}
