//! `gatewarden journal`: the accounting journal while no server has it open.
//!
//! `check` reads every record and changes nothing but a torn end, which a start would cut off as well. `salvage` keeps every
//! record that is whole, wherever it lies, and says which are lost and whether the database has them already. It must
//! **never** remove a damaged file without leaving a copy beside it.

use crate::failure::{FAILED, Failure};
use crate::output::Output;
use crate::place::{Place, PlaceArgs};
use crate::status;
use clap::{Args, Subcommand};
use journal::{Hooks, Journal, Lost, OpenError, Options, Position, RealDisk, Recovered, Verify};
use kernel::{Clock, Rng, SystemClock, SystemRng};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use usage::writer::Origin;

/// The database is asked for its checkpoint no longer than this.
const PATIENCE: Duration = Duration::from_secs(5);

/// Options of `journal`.
#[derive(Args)]
#[command(
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands",
    disable_help_subcommand = true
)]
pub struct JournalArgs {
    #[command(subcommand)]
    command: JournalCommand,
}

#[derive(Subcommand)]
enum JournalCommand {
    /// Reads every record; exit code 1 when one is damaged
    #[command(after_help = "Example:\n  gatewarden --data D journal check")]
    Check {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Keeps every record that is whole, and says which are lost
    #[command(after_help = "\
The server must be stopped. A copy of each damaged file stays beside it, its name ending in .damaged.
Exit code 0 when the journal can be used again, whether or not records are lost.

Example:
  gatewarden --data D journal salvage")]
    Salvage {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// What a journal holds.
#[derive(Debug, Serialize)]
struct Told {
    journal: String,
    oldest: u64,
    durable: u64,
    segments: usize,
    bytes: u64,
    torn_bytes: u64,
    /// What the database has of it; none when it was not reached.
    applied: Option<u64>,
    lost: Vec<Gap>,
}

/// Records that are lost.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Gap {
    file: PathBuf,
    offset: u64,
    from: u64,
    to: u64,
    /// The database has all of them.
    is_applied: Option<bool>,
}

impl Gap {
    fn of(lost: Lost, applied: Option<u64>) -> Self {
        let to = lost.to.0.saturating_sub(1);
        Self {
            file: lost.file,
            offset: lost.offset,
            from: lost.from.0,
            to,
            is_applied: applied.map(|applied| applied >= to),
        }
    }

    fn sentence(&self) -> String {
        let what = match (self.from, self.to) {
            (from, to) if from == to => format!("record {from}"),
            (from, to) => format!("records {from} to {to}"),
        };
        let known = match self.is_applied {
            Some(true) => "; the database has them already, nothing is missing",
            Some(false) => "; the database does not have all of them",
            None => "",
        };
        format!(
            "lost: {what}, damaged at byte {} of {}{known}",
            self.offset,
            self.file.display()
        )
    }
}

/// Runs the command.
///
/// # Errors
/// There is no journal, a server has it open, or it is damaged.
pub async fn run(args: &JournalArgs, places: &PlaceArgs) -> Result<(), Failure> {
    let place = places.settle()?;
    let (is_salvage, as_json) = match args.command {
        JournalCommand::Check { json } => (false, json),
        JournalCommand::Salvage { json } => (true, json),
    };
    let recovered = open(&place, is_salvage)?;
    let applied = applied(&place, &recovered).await;
    let told = Told {
        journal: recovered.journal_id.to_string(),
        oldest: recovered.oldest.0,
        durable: recovered.durable.0,
        segments: recovered.segments,
        bytes: recovered.bytes,
        torn_bytes: recovered.torn_bytes,
        applied,
        lost: recovered
            .lost
            .into_iter()
            .map(|lost| Gap::of(lost, applied))
            .collect(),
    };
    let mut output = Output::default();
    match as_json {
        true => output.json(&told)?,
        false => {
            for line in lines(&told) {
                output.line(line)?;
            }
        }
    }
    output.flush()
}

fn lines(told: &Told) -> Vec<String> {
    let mut lines: Vec<String> = told.lost.iter().map(Gap::sentence).collect();
    lines.push(match told.durable.checked_sub(told.oldest) {
        Some(_) => format!(
            "whole: records {} to {} in {} files",
            told.oldest, told.durable, told.segments
        ),
        None => "there are no records in it".to_owned(),
    });
    if told.torn_bytes > 0 {
        lines.push(format!(
            "{} octets of an unfinished write were cut off; nothing of it was acknowledged",
            told.torn_bytes
        ));
    }
    lines.push(match told.applied {
        Some(applied) if applied >= told.durable => "the database has all of them".to_owned(),
        Some(applied) => format!(
            "the database has them up to {applied}; the rest is applied when the server is started"
        ),
        None => "the database does not answer; what it lacks is applied when the server is started"
            .to_owned(),
    });
    if !told.lost.is_empty() {
        lines.push(
            "A copy of each damaged file lies beside it, its name ending in .damaged.".to_owned(),
        );
    }
    lines
}

/// Opens it, which checks or repairs it, and closes it again.
fn open(place: &Place, is_salvage: bool) -> Result<Recovered, Failure> {
    let folder = place.data.join("journal");
    if !folder.is_dir() {
        return Err(Failure::usage(format!(
            "there is no journal in {}",
            place.data.display()
        )));
    }
    let mut fresh = [0; 16];
    SystemRng::new().fill(&mut fresh);
    let now = || u64::try_from(SystemClock.now().unix_seconds()).unwrap_or(0);
    let mut options = Options::new(fresh, Arc::new(now));
    options.max_bytes = place
        .settings
        .radius
        .journal_mib
        .saturating_mul(1024 * 1024);
    options.verify = Verify::All;
    options.salvage = is_salvage;
    let hooks: Hooks<()> = Hooks {
        committed: Box::new(|_| {}),
        failed: Box::new(|_, _| {}),
    };
    match Journal::open(Arc::new(RealDisk), &place.data, options, hooks) {
        Ok((_, recovered)) => Ok(recovered),
        Err(e) => Err(refusal(&e, &place.data)),
    }
}

fn refusal(error: &OpenError, data: &Path) -> Failure {
    let data = data.display();
    match error {
        OpenError::Corrupt(corrupt) => {
            eprintln!("error: {corrupt}");
            eprintln!(
                "'gatewarden --data {data} journal salvage' keeps every record that is whole, and says which are lost"
            );
            Failure::silent(FAILED)
        }
        OpenError::Locked(_) => Failure::failed(format!("{error}: stop the server first")),
        _ => Failure::failed(error),
    }
}

/// What the database has of this journal.
async fn applied(place: &Place, recovered: &Recovered) -> Option<u64> {
    // Without one nothing was ever applied, and asking would make one.
    if !place.data.join("node").is_file() {
        return None;
    }
    let node = journal::node_id(&RealDisk, &place.data, || [0; 16]).ok()?;
    let origin = Origin {
        node: node.to_string(),
        journal: recovered.journal_id.to_string(),
    };
    let db = status::reach(&place.database).await.ok()?;
    let asked = tokio::time::timeout(PATIENCE, usage::checkpoint(&db, &origin)).await;
    db.close().await;
    let Position(applied) = asked.ok()?.ok()?;
    Some(applied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_said_and_whether_the_database_has_it() {
        let lost = |from, to| Lost {
            file: "/d/journal/1.seg".into(),
            offset: 64,
            from: Position(from),
            to: Position(to),
        };
        let check = |lost, applied, expect: &str| {
            let sentence = Gap::of(lost, applied).sentence();
            assert!(sentence.contains(expect), "{sentence}");
        };
        check(lost(3, 4), None, "record 3, damaged at byte 64");
        check(lost(3, 9), Some(8), "records 3 to 8");
        check(lost(3, 9), Some(8), "has them already");
        check(lost(3, 9), Some(7), "does not have all");
    }
}
