//! `gatewarden doctor`: examines this machine and this installation, with or without a running server, and says of
//! everything it finds what to do about it.
//!
//! `machine` looks at ports, clock, disk and limits of the system; `installation` at configuration, keys, database,
//! secrets and transactions. It changes nothing but one small file that it writes to time the disk and removes again.

mod installation;
mod machine;

use crate::failure::{FAILED, Failure};
use crate::output::{Output, clean};
use crate::place::PlaceArgs;
use crate::status::control;
use serde::Serialize;
use std::io::IsTerminal;

/// Options of `doctor`.
#[derive(clap::Args)]
#[command(after_help = "\
Exit code 0 when nothing fails (warnings may remain), 1 when something does.

Examples:
  gatewarden --data D doctor
  gatewarden --data D doctor --json")]
pub struct DoctorArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and could be better.
    Warn,
    /// It does not work, or will not.
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, in a word or two.
    pub check: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it; nothing where nothing is to be done.
    pub remedy: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    /// It could be better.
    pub fn warn(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Warn,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// It does not work.
    pub fn fail(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warn(check, found, remedy)
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Something fails; it has been said then.
pub async fn run(args: &DoctorArgs, places: &PlaceArgs) -> Result<(), Failure> {
    // A configuration that cannot be read ends this here: its sentence names the line.
    let place = places.settle()?;
    let mut findings = vec![Finding::ok(
        "configuration",
        place.config.as_ref().map_or_else(
            || "no file; the defaults and the environment".to_owned(),
            |file| format!("{} is right", file.display()),
        ),
    )];
    let vitals = match control::ask(&place.data).await {
        Ok(vitals) => vitals,
        Err(sentence) => {
            findings.push(Finding::warn(
                "server",
                sentence,
                "Run this as the user that the server runs as.",
            ));
            None
        }
    };
    match &vitals {
        Some(vitals) => {
            findings.push(Finding::ok(
                "server",
                format!("runs as process {}, version {}", vitals.pid, vitals.version),
            ));
            findings.extend(
                aaa_server::vitals::troubles(vitals)
                    .into_iter()
                    .map(|trouble| match trouble.kind.is_grave() {
                        true => Finding::fail("server", trouble.sentence, trouble.remedy),
                        false => Finding::warn("server", trouble.sentence, trouble.remedy),
                    }),
            );
        }
        None => findings.push(Finding::ok("server", "none runs on this data folder")),
    }
    findings.extend(machine::examine(&place, vitals.as_ref()));
    findings.extend(installation::examine(&place).await);
    show(args.json, &findings)?;
    match findings
        .iter()
        .any(|finding| finding.verdict == Verdict::Fail)
    {
        true => Err(Failure::silent(FAILED)),
        false => Ok(()),
    }
}

fn show(as_json: bool, findings: &[Finding]) -> Result<(), Failure> {
    let mut output = Output::default();
    if as_json {
        return output.json_list(findings);
    }
    let is_coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let width = findings
        .iter()
        .map(|finding| finding.check.len())
        .max()
        .unwrap_or(0);
    for finding in findings {
        let (word, code) = match finding.verdict {
            Verdict::Ok => ("ok  ", "32"),
            Verdict::Warn => ("warn", "33"),
            Verdict::Fail => ("FAIL", "1;31"),
        };
        let word = match is_coloured {
            true => format!("\u{1b}[{code}m{word}\u{1b}[0m"),
            false => word.to_owned(),
        };
        output.line(format!(
            "{word}  {:<width$}  {}",
            finding.check,
            clean(&finding.found)
        ))?;
        if let Some(remedy) = &finding.remedy {
            output.line(format!(
                "{:width$}      → {}",
                "",
                clean(remedy),
                width = width + 2
            ))?;
        }
    }
    let count = |verdict| {
        findings
            .iter()
            .filter(|finding| finding.verdict == verdict)
            .count()
    };
    output.line(match (count(Verdict::Fail), count(Verdict::Warn)) {
        (0, 0) => "\nNothing to do.".to_owned(),
        (fails, warns) => format!("\n{fails} fail, {warns} could be better."),
    })?;
    output.flush()
}
