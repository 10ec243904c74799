//! `gatewarden user import`: a file of users.
//!
//! The file is checked whole before anything of it is imported. Passwords that the import makes up are shown once and
//! then forgotten.

use super::StoreWord;
use crate::failure::{Failure, USAGE};
use crate::house::House;
use crate::output::{Output, Table, clean, moment};
use crate::progress::Bar;
use clap::Args;
use enrol::batch::{self, Batch, BatchId, passwords};
use enrol::import::{
    self, ImportOptions, MAX_FILE_OCTETS, MAX_LISTED, Outcome, Problems, Progress, Source,
};
use identity::{Organisation, Store, setting};
use kernel::Scope;
use kernel::id::Uuid;
use radius_wire::dictionary::Dictionary;
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Problems shown on a screen; --json shows [`MAX_LISTED`].
const MAX_SHOWN: usize = 50;

/// Options of `user import`.
#[derive(Args)]
#[command(after_help = "\
With a header row the columns are: username, password, email, first_name, last_name, phone_number, group, expires, mac,
and any RADIUS attribute. Without one: username, password, e-mail, first name, last name.
A password is plain text, a hash of a known form, nt:HEX, or cleartext$...; where it is empty one is made up and shown.

Any bad line and nothing is imported; each is shown with its line, column and reason: the first 50 on
a screen, the first 10000 with --json. Those beyond are counted.

Examples:
  gatewarden --data D user import users.csv --org default --store recoverable
  gatewarden --data D user import users.csv --org default --resume
  gatewarden --data D user import --take-back users.csv")]
pub struct ImportArgs {
    /// The file; '-' is standard input
    #[arg(value_name = "FILE", required_unless_present_any = ["take_back", "batches"])]
    file: Option<PathBuf>,
    /// Where the people become members [default: the only organisation]
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    /// What is kept of the passwords [default: the organisation's setting]
    #[arg(long, value_enum)]
    store: Option<StoreWord>,
    /// The group of those whose row names none
    #[arg(long)]
    group: Option<String>,
    /// The last day of those whose row names none, or a moment
    #[arg(long, value_name = "DATE")]
    expires: Option<String>,
    /// Leave bad rows out instead of importing nothing
    #[arg(long)]
    skip_bad: bool,
    /// The name of the batch [default: the file's name]
    #[arg(long)]
    name: Option<String>,
    /// Check the file and import nothing
    #[arg(long, conflicts_with_all = ["resume", "take_back"])]
    check: bool,
    /// Go on with an import of this file that was cut short
    #[arg(long, conflicts_with = "take_back")]
    resume: bool,
    /// Remove what a batch made: its name or id
    #[arg(long, value_name = "BATCH", conflicts_with = "file")]
    take_back: Option<String>,
    /// List the batches there are
    #[arg(long, conflicts_with_all = ["file", "take_back"])]
    batches: bool,
    /// What came of it as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &ImportArgs, house: &House) -> Result<(), Failure> {
    if args.batches {
        return batches(args, house).await;
    }
    if let Some(which) = &args.take_back {
        return take_back(args, which, house).await;
    }
    let Some(file) = &args.file else {
        return Err(Failure::usage(
            "which file? say its name, or '-' for standard input",
        ));
    };
    let kernel = &house.kernel;
    let source = source(file)?;
    let options = options(args, house).await?;
    let dictionary = Dictionary::builtin();
    let checked = import::check(kernel, dictionary, &source, &options).await?;
    let mut bar = Bar::new();
    let progress = |at: Progress| bar.set(at.done, at.total);
    let outcome = match (&checked.unfinished, args.resume) {
        (Some(unfinished), true) => {
            let skip_bad = args.skip_bad.then_some(true);
            import::resume(
                kernel,
                dictionary,
                &source,
                unfinished.id,
                skip_bad,
                progress,
            )
            .await
        }
        (None, true) => {
            return Err(Failure::usage(format!(
                "there is no import of '{}' to go on with; import it without --resume",
                source.name()
            )));
        }
        (Some(unfinished), false) => {
            return Err(Failure::failed(format!(
                "this file is batch '{}', which stopped after {} of {} rows; go on with --resume, or remove it with --take-back {}",
                unfinished.name, unfinished.rows_done, unfinished.rows_total, unfinished.id
            )));
        }
        (None, false) => {
            let refused = checked.may_run().is_err();
            if refused || args.check {
                return report_check(args, &checked, refused);
            }
            import::run(kernel, dictionary, &source, &checked, progress).await
        }
    };
    bar.clear();
    let outcome = outcome.map_err(|e| match e {
        kernel::Error::Invalid(_) | kernel::Error::NotFound(_) => e.into(),
        e => Failure::failed(format!(
            "{e}; what is in stays: go on with --resume, or remove it with --take-back"
        )),
    })?;
    report(args, &outcome)?;
    if !outcome.generated_passwords.is_empty() {
        // Shown above, and standard output has taken it.
        passwords::forget(kernel, outcome.batch.id).await?;
    }
    Ok(())
}

fn source(file: &Path) -> Result<Source, Failure> {
    if file.as_os_str() != "-" {
        return Ok(Source::File(file.to_owned()));
    }
    let mut octets = Vec::new();
    std::io::stdin()
        .lock()
        .take(MAX_FILE_OCTETS + 1)
        .read_to_end(&mut octets)
        .map_err(|e| Failure::failed(format!("cannot read standard input: {e}")))?;
    Ok(Source::bytes(octets, "standard input"))
}

async fn options(args: &ImportArgs, house: &House) -> Result<ImportOptions, Failure> {
    let owner = house.organisation(args.org.as_deref()).await?;
    let store: Store = match args.store {
        Some(word) => word.into(),
        None => setting::password_store(&house.kernel.db, Some(owner.id)).await?,
    };
    let expires = match &args.expires {
        Some(text) => Some(super::change::expiry(&owner, text)?),
        None => None,
    };
    Ok(ImportOptions {
        store,
        group: args.group.clone(),
        expires,
        skip_bad: args.skip_bad,
        name: args.name.clone(),
        ..ImportOptions::into_organisation(owner)
    })
}

/// The file's faults, or that it has none.
fn report_check(
    args: &ImportArgs,
    checked: &import::Checked,
    refused: bool,
) -> Result<(), Failure> {
    let mut output = Output::default();
    if args.json {
        output.json(&json!({
            "result": if refused { "refused" } else { "good" },
            "rows": checked.rows,
            "bad_rows": checked.bad_rows,
            "known": checked.known,
            "header": checked.header,
            "problems": checked.problems,
        }))?;
        output.flush()?;
    } else if !refused {
        output.line(format!(
            "{} rows can be imported{}",
            checked.rows - checked.bad_rows,
            match checked.bad_rows {
                0 => String::new(),
                bad => format!(", {bad} would be left out"),
            }
        ))?;
        output.flush()?;
    }
    if !args.json {
        show_problems(&checked.problems);
    }
    match refused {
        false => Ok(()),
        true if args.json => Err(Failure::silent(USAGE)),
        true => Err(Failure::usage(format!(
            "nothing was imported: {} of {} rows are bad; correct them, or leave them out with --skip-bad",
            checked.bad_rows, checked.rows
        ))),
    }
}

fn show_problems(problems: &Problems) {
    for problem in problems.listed.iter().take(MAX_SHOWN) {
        eprintln!("{}", clean(&problem.to_string()));
    }
    if let Some(sentence) = hidden(problems.total) {
        eprintln!("{sentence}");
    }
}

/// What to say of problems that are not on the screen.
fn hidden(total: u64) -> Option<String> {
    let hidden = total.saturating_sub(MAX_SHOWN as u64);
    let listed = MAX_LISTED as u64;
    match (hidden, total > listed) {
        (0, _) => None,
        (hidden, false) => Some(format!("... and {hidden} more; --json shows them")),
        (hidden, true) => Some(format!(
            "... and {hidden} more; --json shows the first {listed}, and those beyond are only counted"
        )),
    }
}

fn report(args: &ImportArgs, outcome: &Outcome) -> Result<(), Failure> {
    let mut output = Output::default();
    if args.json {
        let generated: Vec<_> = outcome
            .generated_passwords
            .iter()
            .map(|made| json!({"line": made.line, "username": made.username, "password": made.password.as_str()}))
            .collect();
        output.json(&json!({
            "result": outcome.batch.status.word(),
            "batch": outcome.batch,
            "created": outcome.created,
            "joined": outcome.joined,
            "matched": outcome.matched,
            "skipped": outcome.skipped,
            "problems": outcome.problems,
            "warnings": outcome.warnings,
            "generated_passwords": generated,
        }))?;
        return output.flush();
    }
    show_problems(&outcome.problems);
    for warning in outcome.warnings.listed.iter().take(MAX_SHOWN) {
        eprintln!("warning: {}", clean(&warning.to_string()));
    }
    let mut parts = vec![format!("{} users made", outcome.created)];
    for (count, what) in [
        (outcome.joined, "who were known joined"),
        (outcome.matched, "were members already"),
        (outcome.skipped, "rows left out"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    output.line(format!(
        "{} (batch '{}', {})",
        parts.join(", "),
        clean(&outcome.batch.name),
        outcome.batch.id
    ))?;
    if !outcome.generated_passwords.is_empty() {
        output.line("\nThese passwords were made up, and are shown this once:\n")?;
        let mut table = Table::new(&["USER", "PASSWORD"]);
        for made in &outcome.generated_passwords {
            table.row([made.username.as_str(), made.password.as_str()]);
        }
        output.table(&table, "")?;
    }
    output.flush()
}

async fn take_back(args: &ImportArgs, which: &str, house: &House) -> Result<(), Failure> {
    let scope = house.scope(args.org.as_deref()).await?;
    let batch = find(house, scope, which).await?;
    let gone = import::take_back(&house.kernel, batch.id).await?;
    let mut output = Output::default();
    match args.json {
        true => output
            .json(&json!({ "result": "taken_back", "batch": batch.id.0, "taken_back": gone }))?,
        false => output.line(format!(
            "batch '{}' taken back: {} users deleted, {} memberships ended, {} left as they were",
            clean(&batch.name),
            gone.people,
            gone.memberships,
            gone.kept
        ))?,
    }
    output.flush()
}

async fn find(house: &House, scope: Scope, which: &str) -> Result<Batch, Failure> {
    let db = &house.kernel.db;
    if let Ok(id) = which.parse::<Uuid>()
        && let Some(batch) = batch::by_id(db, scope, BatchId(id)).await?
    {
        return Ok(batch);
    }
    let owners: Vec<Organisation> = identity::organisation::list(db, scope).await?;
    let mut found = Vec::new();
    for owner in owners {
        found.extend(batch::by_name(db, owner.id, which).await?);
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Failure::usage(format!(
            "there is no batch '{which}'; 'gatewarden user import --batches' shows those there are"
        ))),
        _ => Err(Failure::usage(format!(
            "several organisations have a batch '{which}'; say which with --org"
        ))),
    }
}

async fn batches(args: &ImportArgs, house: &House) -> Result<(), Failure> {
    let scope = house.scope(args.org.as_deref()).await?;
    let batches = batch::list(&house.kernel.db, scope).await?;
    let mut output = Output::default();
    if args.json {
        return output.json_list(&batches);
    }
    let slugs = house.slugs().await?;
    let mut table = Table::new(&[
        "BATCH",
        "ORG",
        "STATUS",
        ">ROWS",
        ">OF",
        ">LEFT OUT",
        "BEGUN",
        "ID",
    ]);
    for batch in &batches {
        table.row([
            batch.name.clone(),
            slugs.get(&batch.organisation).cloned().unwrap_or_default(),
            batch.status.word().to_owned(),
            batch.rows_done.to_string(),
            batch.rows_total.to_string(),
            batch.rows_skipped.to_string(),
            moment(Some(batch.created)),
            batch.id.to_string(),
        ]);
    }
    output.table(&table, "no batch yet")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_how_many_problems_are_shown() {
        assert_eq!(hidden(50), None);
        assert_eq!(
            hidden(51).as_deref(),
            Some("... and 1 more; --json shows them")
        );
        let many = hidden(MAX_LISTED as u64 + 50).unwrap_or_default();
        assert!(
            many.contains("10000 more; --json shows the first 10000"),
            "{many}"
        );
        let mut command = ImportArgs::augment_args(clap::Command::new("import"));
        let help = command.render_long_help().to_string();
        assert!(help.contains(&format!("first {MAX_SHOWN}")), "{help}");
        assert!(help.contains(&format!("first {MAX_LISTED}")), "{help}");
    }
}
