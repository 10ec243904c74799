//! The command line as a library, so that tests can read its definitions.
#![allow(missing_docs)]
pub mod args;
mod asking;
mod capture;
mod completions;
mod config;
mod decode;
mod dictionaries;
mod encode;
mod failure;
mod lines;
mod output;
mod packet_text;
mod password;
mod ping;
mod place;
mod settings;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use std::process::ExitCode;

pub fn command() -> clap::Command {
    Cli::command()
}

pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Ping(args) => ping::run(args),
        Command::Decode(args) => decode::run(args),
        Command::Encode(args) => encode::run(args),
        Command::Config(args) => config::run(args, &cli.places),
        Command::Completions(args) => completions::completions(args),
        Command::Man => completions::man(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
mod aaa_server { #[path = "/work/main/aaa-server/src/config.rs"] mod config; pub use config::RadiusConfig; }
