//! `gatewarden status`: how the server on this machine is, on one screen.
//!
//! It asks the running process through its control socket, so it works while the database is away, and asks the
//! database itself only for what the process does not know: who holds events back. It changes nothing, and it must
//! **never** make a data folder or a database that is not there.

pub mod control;
pub mod numbers;
mod screen;

use crate::failure::Failure;
use crate::output::Output;
use crate::place::{Place, PlaceArgs};
use aaa_server::Vitals;
use aaa_server::vitals::{Trouble, troubles};
use kernel::Scope;
use kernel::db::{Db, Holder, Location};
use std::io::IsTerminal;
use std::time::Duration;

/// A database that takes longer than this is told to be away.
const PATIENCE: Duration = Duration::from_secs(3);
/// A transaction that is open for as long holds events back noticeably.
pub const LONG_SECONDS: i64 = 5;
/// NASes that the database is asked about while no server runs.
const SEEN_NASES: i64 = 20;
/// Between two looks of `--watch`.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// Options of `status`.
#[derive(clap::Args)]
#[command(after_help = "\
Problems come first, each with its remedy. Exit code 0 when a server runs and answers, 1 when none runs or
it does not answer yet.

Examples:
  gatewarden --data D status
  gatewarden --data D status --watch
  gatewarden --data D status --json")]
pub struct StatusArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Again every two seconds, until interrupted
    #[arg(long)]
    watch: bool,
}

/// What the database knows that the process does not.
#[derive(Debug, serde::Serialize)]
pub struct FromDatabase {
    /// Why there is nothing.
    pub error: Option<String>,
    /// Transactions that hold events back, the oldest first.
    pub holders: Vec<Holder>,
    /// What it knows of NASes; asked only where no server tells more.
    pub nases: Vec<SeenNas>,
}

/// What the database knows of one NAS.
#[derive(Debug, serde::Serialize)]
pub struct SeenNas {
    /// Its name.
    pub name: String,
    /// When its last packet came.
    pub last_seen: kernel::Time,
    /// Packets that its secret did not fit, ever.
    pub secret_mismatches: i64,
}

/// Everything that is shown.
#[derive(Debug, serde::Serialize)]
struct Shown {
    running: bool,
    troubles: Vec<Trouble>,
    server: Option<Vitals>,
    database: FromDatabase,
}

/// Runs the command.
///
/// # Errors
/// No server runs here, or it does not answer yet.
pub async fn run(args: &StatusArgs, places: &PlaceArgs) -> Result<(), Failure> {
    let place = places.settle()?;
    let is_live = args.watch && std::io::stdout().is_terminal() && !args.json;
    loop {
        let shown = look(&place).await?;
        let mut output = Output::default();
        if args.json {
            output.json(&shown)?;
        } else {
            if is_live {
                // Home, and what is left of the screen cleared line by line: it does not flicker.
                output.line("\u{1b}[H\u{1b}[J")?;
            }
            let lines = match &shown.server {
                Some(vitals) => screen::lines(
                    vitals,
                    &shown.troubles,
                    &shown.database,
                    screen::Ink::choose(),
                ),
                None => screen::nobody(&place.data, &shown.database),
            };
            for line in lines {
                output.line(line)?;
            }
        }
        output.flush()?;
        if !args.watch {
            let is_well = shown
                .server
                .is_some_and(|vitals| vitals.waits_for.is_none());
            return match is_well {
                true => Ok(()),
                false => Err(Failure::silent(crate::failure::FAILED)),
            };
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

async fn look(place: &Place) -> Result<Shown, Failure> {
    let server = control::ask(&place.data).await.map_err(Failure::failed)?;
    let database = ask_database(&place.database, server.is_none()).await;
    let troubles = server.as_ref().map(troubles).unwrap_or_default();
    Ok(Shown {
        running: server.is_some(),
        troubles,
        server,
        database,
    })
}

/// Opens a database that is there, as it is, for a moment.
///
/// # Errors
/// One sentence.
pub async fn reach(location: &Location) -> Result<Db, String> {
    if let Location::Sqlite(path) = location
        && !path.exists()
    {
        return Err(format!("there is no database at {}", path.display()));
    }
    match tokio::time::timeout(PATIENCE, location.connect()).await {
        Ok(opened) => opened.map_err(|e| e.to_string()),
        Err(_) => Err(format!("{location} does not answer")),
    }
}

async fn ask_database(location: &Location, with_nases: bool) -> FromDatabase {
    let mut told = FromDatabase {
        error: None,
        holders: Vec::new(),
        nases: Vec::new(),
    };
    if matches!(location, Location::Sqlite(_)) && !with_nases {
        // Nobody holds events back there, and its file is busy enough with the server.
        return told;
    }
    let db = match reach(location).await {
        Ok(db) => db,
        Err(error) => {
            told.error = Some(error);
            return told;
        }
    };
    let asked = async {
        told.holders = db.holders().await?;
        told.holders.retain(|holder| holder.seconds >= LONG_SECONDS);
        if with_nases {
            let lines = access::nas::page(&db, Scope::Everything, None, SEEN_NASES).await?;
            told.nases = lines.into_iter().filter_map(seen).collect();
        }
        Ok::<(), kernel::Error>(())
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => told.error = Some(e.to_string()),
        Err(_) => told.error = Some(format!("{location} does not answer")),
    }
    let _ = tokio::time::timeout(PATIENCE, db.close()).await;
    told
}

fn seen(line: access::nas::NasLine) -> Option<SeenNas> {
    let seen = line.seen?;
    Some(SeenNas {
        name: line.nas.name,
        last_seen: seen.last_seen,
        secret_mismatches: seen.secret_mismatches,
    })
}

/// One sentence about a transaction that holds events back.
pub fn holder_sentence(holder: &Holder) -> String {
    let who = match holder.application.as_str() {
        "" => holder.user.clone(),
        application => format!("{application} ({})", holder.user),
    };
    let from = holder.client.as_deref().unwrap_or("this machine");
    format!(
        "A transaction of {who} from {from}, {}, has been open in {} for {} s: changes made since then are not seen yet.",
        holder.state, holder.database, holder.seconds
    )
}

/// What to do about it.
pub fn holder_remedy(holder: &Holder) -> String {
    match holder.pid {
        Some(pid) => format!("Let it end, or end it: SELECT pg_terminate_backend({pid});"),
        None => format!(
            "Commit it or roll it back: ROLLBACK PREPARED '{}';",
            holder.application
        ),
    }
}
