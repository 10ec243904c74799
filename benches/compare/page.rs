//! `docs/benchmarks.md`, made from a run.

use crate::machine;
use crate::result::Section;
use crate::stage::{Stage, page};
use crate::works::Work;
use std::path::PathBuf;

const HEAD: &str = "\
# Benchmarks

This page is written by `cargo bench -p gatewarden-benches --bench compare`; nothing in it is typed by hand.

A server, and everything it needs (PostgreSQL too), runs on core 0, the generator on core 1. The contenders take turns;
the median of the rounds counts. **Only the ratios mean anything elsewhere**: the figures belong to this machine and
this hour. The *null responder* parses, verifies, signs and answers, and keeps nothing: it says what the machine's
network and the generator allow.

FreeRADIUS is Debian's, with what a site that cares for speed would set: nothing logged for each login, no reject
delay, only the modules that take part, five threads for files, and with PostgreSQL 32 threads with a connection each
over the packaged schema, indexes and queries, without a row in radpostauth for each login. PostgreSQL has its default
settings: what is committed is flushed. Gatewarden has its default settings. 100,000 users.
";

/// Writes it and says where.
pub fn write(stage: &Stage, sections: &[(&Work, Section)]) -> Result<PathBuf, String> {
    let path = page("benchmarks.md");
    let mut text = HEAD.to_owned();
    text.push_str("\n## The machine\n\n");
    for line in machine::describe(&stage.gatewarden_binary) {
        text.push_str(&format!("- {line}\n"));
    }
    let rounds = match stage.pattern.is_quick {
        true => {
            "One short round: this run shows that the benchmark works, not how fast anything is."
        }
        false => "",
    };
    text.push_str(&format!(
        "- Rounds: {}, {} s each after {} s of warm-up. {rounds}\n",
        stage.pattern.runs, stage.pattern.seconds, stage.pattern.warm_up
    ));
    for (work, section) in sections {
        text.push_str(&format!(
            "\n## {}\n\n{}.\n\n{}",
            work.name,
            work.what,
            section.markdown()
        ));
    }
    text.push_str("\n## Commands\n\n`$W` is the run's temporary folder.\n\n```\n");
    for command in stage.commands() {
        text.push_str(command);
        text.push('\n');
    }
    text.push_str("```\n");
    // Tables and lists end with one empty line each.
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}
