//! `gatewarden session kill`: a Disconnect-Request (RFC 5176) for each session that is meant.

use crate::failure::{FAILED, Failure};
use crate::house::House;
use crate::output::{Output, clean};
use aaa_server::ask::Timing;
use aaa_server::control::exchange::{Asking, Peer, address_of, exchange};
use access::family::Family;
use clap::Args;
use identity::organisation;
use kernel::{OrganisationId, Scope};
use radius_wire::Secret;
use radius_wire::dictionary::Dictionary;
use serde_json::json;
use std::net::SocketAddr;
use usage::order;
use usage::session::Session;

/// Sessions of one user that are ended at once; more are no person's.
const MAX_KILLED: usize = 100;
/// What an ended session is said to have ended of (RFC 2866 section 5.10).
const CAUSE: &str = "Admin-Reset";

#[derive(Args)]
#[command(after_help = "\
The session is named as the NAS's family wants it (see 'nas set --family'); a NAS that does not take one way is asked in
the next. The question is repeated after 2, 4, 8 and 16 seconds. Exit code: 0 when every NAS said that it ended the
session, 1 when one did not.

Example:
  gatewarden --data D session kill alice")]
pub(super) struct KillArgs {
    /// A session (id, unique id, Acct-Session-Id), a user name, or a device's MAC address
    #[arg(value_name = "SESSION|USER|MAC")]
    subject: String,
    /// Ask here instead of the NAS's address and CoA port
    #[arg(long, value_name = "ADDRESS:PORT")]
    address: Option<String>,
    /// Of this organisation only
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    /// Ask no NAS: only note that the session ended (the NAS is gone)
    #[arg(long)]
    forget: bool,
    /// What came of it as one JSON array
    #[arg(long)]
    json: bool,
}

/// What came of one session.
struct Outcome {
    session: Session,
    nas: Option<SocketAddr>,
    word: &'static str,
    cause: Option<String>,
    sentence: String,
    is_ended: bool,
}

pub(super) async fn run(args: &KillArgs, house: &House) -> Result<(), Failure> {
    let scope = house.scope(args.org.as_deref()).await?;
    let sessions = find_open(house, scope, args.subject.trim()).await?;
    let mut results = Vec::new();
    for session in sessions {
        let result = match args.forget {
            true => forgotten(session),
            false => disconnect(house, session, args.address.as_deref()).await?,
        };
        if result.is_ended {
            close(house, &result.session).await?;
        }
        if !args.json {
            let mut output = Output::default();
            output.line(&result.sentence)?;
            output.flush()?;
        }
        results.push(result);
    }
    if args.json {
        let mut output = Output::default();
        output.json_list(results.iter().map(|result| {
            json!({
                "unique_id": result.session.unique_id(),
                "session_id": result.session.acct_session_id,
                "username": result.session.details.username,
                "nas": result.nas.map(|nas| nas.to_string()),
                "result": result.word,
                "error_cause": result.cause,
            })
        }))?;
    }
    match results.iter().all(|result| result.is_ended) {
        true => Ok(()),
        false => Err(Failure::silent(FAILED)),
    }
}

/// The open sessions that are meant.
async fn find_open(house: &House, scope: Scope, subject: &str) -> Result<Vec<Session>, Failure> {
    let db = &house.kernel.db;
    let by_id = usage::find(db, scope, subject).await?;
    let was_found = !by_id.is_empty();
    let mut found: Vec<Session> = by_id.into_iter().filter(Session::is_open).collect();
    if found.is_empty() {
        let mac = subject
            .parse::<proof::Mac>()
            .ok()
            .map(|mac| mac.to_string());
        let mut after = None;
        // Pages go on by id, so this ends.
        while found.len() < MAX_KILLED {
            let page = usage::open_sessions(db, scope, after).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            found.extend(page.into_iter().filter(|session| {
                let is_user = session.details.username.as_deref() == Some(subject);
                session.is_open() && (is_user || mac.as_deref() == Some(session.identity.as_str()))
            }));
        }
        found.truncate(MAX_KILLED);
    }
    match (found.is_empty(), was_found) {
        (false, _) => Ok(found),
        (true, true) => Err(Failure::usage(format!(
            "session '{subject}' has ended already"
        ))),
        (true, false) => Err(Failure::usage(format!(
            "there is no open session of '{subject}'; 'gatewarden session list' shows those there are"
        ))),
    }
}

fn name(session: &Session) -> String {
    let user = session.details.username.as_deref().unwrap_or("-");
    format!("{} ({})", clean(user), clean(&session.acct_session_id))
}

fn forgotten(session: Session) -> Outcome {
    Outcome {
        sentence: format!("{}: noted as ended; no NAS was asked", name(&session)),
        session,
        nas: None,
        word: "forgotten",
        cause: None,
        is_ended: true,
    }
}

async fn disconnect(
    house: &House,
    session: Session,
    address: Option<&str>,
) -> Result<Outcome, Failure> {
    let who = name(&session);
    let failed = |session, nas, word, sentence| Outcome {
        session,
        nas,
        word,
        cause: None,
        sentence,
        is_ended: false,
    };
    let Some((nas, secrets)) = crate::nas::with_secrets(house, session.nas_id).await? else {
        let sentence = format!(
            "{who}: its NAS was removed, so nobody can be asked; --forget notes the session as ended"
        );
        return Ok(failed(session, None, "no_nas", sentence));
    };
    let to = match address {
        Some(text) => crate::ping::resolve(text, nas.coa_port).map_err(Failure::usage)?,
        None => match address_of(&nas, &session) {
            Some(to) => to,
            None => {
                let sentence = format!(
                    "{who}: the address of NAS '{}' is not known; say it with --address",
                    clean(&nas.name)
                );
                return Ok(failed(session, None, "no_address", sentence));
            }
        },
    };
    let mut silence = String::new();
    for secret in secrets.iter() {
        let (session_asked, secret) = (session.clone(), Secret::new(secret.as_bytes()));
        let (kernel, family) = (house.kernel.clone(), Family::of_word(&nas.family));
        let asked = tokio::task::spawn_blocking(move || {
            let peer = Peer {
                address: to,
                family,
                secret,
                first_set: 0,
                timing: Timing::for_sessions(),
                rng: &*kernel.rng,
                now: kernel.now(),
            };
            exchange(&peer, &session_asked, &Asking::Disconnect)
        })
        .await
        .map_err(|e| Failure::failed(format!("asking the NAS was cut short: {e}")))?;
        let finish = asked
            .map_err(|e| Failure::failed(format!("{who}: the request cannot be made: {e}")))?
            .finish;
        match finish.outcome {
            order::Outcome::Silence => {
                silence = format!("no answer from {to} after {} tries", finish.tries);
            }
            _ => return Ok(answered(session, &who, to, &finish)),
        }
    }
    let sentence = format!(
        "{who}: {silence}; does NAS '{}' listen for Disconnect on this port?",
        clean(&nas.name)
    );
    Ok(failed(session, Some(to), "no_answer", sentence))
}

fn answered(session: Session, who: &str, to: SocketAddr, finish: &order::Finish) -> Outcome {
    let number = finish.error_cause;
    let cause = number.map(|number| {
        Dictionary::builtin()
            .attribute("Error-Cause")
            .and_then(|attribute| attribute.values().name(u64::from(number)))
            .map_or_else(|| number.to_string(), str::to_owned)
    });
    let told = cause
        .as_ref()
        .map(|cause| format!(", Error-Cause = {cause}"))
        .unwrap_or_default();
    let is_ack = finish.outcome == order::Outcome::Ack;
    let is_unknown = finish.outcome == order::Outcome::Gone;
    let sentence = match (is_ack, is_unknown) {
        (true, _) => format!("{who}: ACK from {to}{told}: the session is ended"),
        (false, true) => {
            format!("{who}: NAK from {to}{told}: the NAS has no such session; it is noted as ended")
        }
        (false, false) => format!("{who}: NAK from {to}{told}: the session goes on"),
    };
    Outcome {
        session,
        nas: Some(to),
        word: if is_ack { "ack" } else { "nak" },
        cause,
        sentence,
        is_ended: is_ack || is_unknown,
    }
}

async fn close(house: &House, session: &Session) -> Result<(), Failure> {
    let owner =
        organisation::by_id(&house.kernel.db, OrganisationId(session.organisation_id)).await?;
    let zone = owner.map(|owner| owner.zone()).unwrap_or_default();
    usage::mark_closed(&house.kernel, session.id, CAUSE, |_| zone).await?;
    Ok(())
}
