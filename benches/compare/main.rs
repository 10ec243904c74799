//! Gatewarden beside Debian's FreeRADIUS and beside the null responder, in one run on one machine.
//!
//!     cargo bench -p gatewarden-benches --bench compare -- --list
//!     cargo bench -p gatewarden-benches --bench compare -- --quick pap accounting
//!     cargo bench -p gatewarden-benches --bench compare
//!
//! The server, and everything it needs (PostgreSQL), has core 0; the generator has core 1. Contenders take turns, and
//! the median of the rounds counts. What counts are the ratios: the figures belong to one machine and one hour. A
//! whole run writes `docs/benchmarks.md`.
//!
//! How to read it: `works` is what is measured, `claims` what is to be reached; `freeradius`, `gatewarden` and `null`
//! start the contenders over `process` and `postgres`; `generator` asks; `machine` says where; `page` writes it down.
//! It must **never** listen or ask anywhere but on this machine, and leaves nothing running.

mod contender;
mod freeradius;
mod gatewarden;
mod generator;
mod machine;
mod million;
mod page;
mod people;
mod postgres;
mod process;
mod result;
mod special;
mod stage;
mod works;

use result::Section;
use stage::{Pattern, Stage};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(sentence) => {
            eprintln!("error: {sentence}");
            ExitCode::from(2)
        }
    }
}

const HELP: &str = "\
Usage: cargo bench -p gatewarden-benches --bench compare -- [OPTIONS] [WORK ...]
  WORK             only these works; --list names them
  --list           list the works and what is to be reached
  --quick          one round, shorter: to see that it works, not to believe
  --medium         three rounds of 5 s
  --runs COUNT     rounds [default: 5]; stands after --medium or --quick
  --write          write docs/benchmarks.md, even if only some works ran
  --gatewarden BIN the binary to measure [default: built with the release profile]";

/// Whether everything that was promised was reached.
fn run() -> Result<bool, String> {
    let mut pattern = Pattern::default();
    let (mut names, mut write, mut binary) = (Vec::new(), false, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // What cargo itself says.
            "--bench" => {}
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(true);
            }
            "--list" => {
                for work in &works::ALL {
                    println!("{:<16} {}", work.name, work.what);
                }
                return Ok(true);
            }
            "--quick" => pattern = Pattern::quick(),
            "--medium" => pattern = Pattern::medium(),
            "--write" => write = true,
            "--runs" => {
                let count = arguments.next().and_then(|count| count.parse().ok());
                pattern.runs = count
                    .filter(|count| (1..=25).contains(count))
                    .ok_or("--runs: write a number from 1 to 25")?;
            }
            "--gatewarden" => binary = arguments.next(),
            name => match works::ALL.iter().find(|work| work.name == name) {
                Some(work) => names.push(work.name),
                None => return Err(format!("'{name}' is no work; --list names them\n{HELP}")),
            },
        }
    }
    let is_whole = names.is_empty();
    let mut stage = Stage::set(pattern, binary)?;
    println!("{}", machine::describe(&stage.gatewarden_binary).join("\n"));
    let mut sections = Vec::new();
    for work in &works::ALL {
        if !is_whole && !names.contains(&work.name) {
            continue;
        }
        println!("\n== {}: {}", work.name, work.what);
        let section = match (work.measure)(&mut stage) {
            Ok(section) => section,
            // The other works may still say something.
            Err(sentence) => Section::broken(sentence),
        };
        println!("{}", section.text());
        sections.push((work, section));
    }
    let is_reached = sections.iter().all(|(_, section)| section.is_reached());
    if write || (is_whole && !stage.pattern.is_quick) {
        let path = page::write(&stage, &sections)?;
        println!("\nWritten: {}", path.display());
    }
    Ok(is_reached)
}
