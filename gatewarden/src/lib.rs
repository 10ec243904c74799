//! The one binary: commands over the rooms and doors below it, and a server that runs them.
//!
//! How to read it: [`args`] lists every command; a command is one module of the same name (`nas`, `user`, `decode`, …)
//! with its options and its `run`. `place` and `settings` find configuration, data folder and database, `house` opens
//! them; `running` is a server in this process, `jobs` what it does beside answering. `output` and `failure` are how
//! commands speak. It is a library so that tests can read the definitions.
//!
//! Here lies no rule and no SQL: rooms decide and store, doors speak protocols, this crate asks them and prints what
//! they say.

pub mod args;
mod capture;
mod completions;
mod config;
mod decode;
mod demo;
mod dev;
mod dictionaries;
mod doctor;
mod encode;
mod explain;
mod failure;
mod group;
mod house;
mod jobs;
mod journal;
mod lines;
mod load;
mod log;
mod migrate;
mod moments;
mod nas;
mod org;
mod output;
mod packet_text;
mod password;
mod ping;
mod place;
mod plan;
mod progress;
mod replay;
mod retention;
mod running;
mod sample;
mod scratch;
mod serve;
mod session;
mod settings;
mod status;
mod user;

pub use settings::Settings;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use failure::Failure;
use house::House;
use place::PlaceArgs;
use settings::LogConfig;
use std::process::ExitCode;
use tokio::runtime::{Builder, Runtime};

/// The command line's definitions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Does what the process's arguments say.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn dispatch(cli: &Cli) -> Result<(), Failure> {
    let places = &cli.places;
    match &cli.command {
        Command::Ping(args) => ping::run(args),
        Command::Load(args) => load::run(args),
        Command::Decode(args) => decode::run(args),
        Command::Encode(args) => encode::run(args),
        Command::Config(args) => config::run(args, places),
        Command::Completions(args) => completions::completions(args),
        Command::Man => completions::man(),
        Command::Serve(args) => server_runtime()?.block_on(serve::run(args, places)),
        Command::Dev(args) => server_runtime()?.block_on(dev::run(args, places)),
        Command::Demo(args) => server_runtime()?.block_on(demo::run(args, places)),
        Command::Doctor(args) => operate()?.block_on(doctor::run(args, places)),
        Command::Status(args) => operate()?.block_on(status::run(args, places)),
        Command::Journal(args) => operate()?.block_on(journal::run(args, places)),
        Command::Migrate(_) => operate()?.block_on(migrate::run(places)),
        Command::Org(args) => with_house(places, async |house| org::run(args, house).await),
        Command::Nas(args) => with_house(places, async |house| nas::run(args, house).await),
        Command::User(args) => {
            let threads = if args.is_import() {
                Threads::Two
            } else {
                Threads::One
            };
            with_house_on(threads, places, async |house| user::run(args, house).await)
        }
        Command::Group(args) => with_house(places, async |house| group::run(args, house).await),
        Command::Plan(args) => with_house(places, async |house| plan::run(args, house).await),
        Command::Session(args) => with_house(places, async |house| session::run(args, house).await),
        Command::Replay(args) => with_house(places, async |house| replay::run(args, house).await),
        Command::Explain(args) => operate()?.block_on(explain::run(args, places)),
    }
}

/// An operator's command: opens the installation, works, closes it.
fn with_house(
    places: &PlaceArgs,
    work: impl AsyncFnOnce(&House) -> Result<(), Failure>,
) -> Result<(), Failure> {
    with_house_on(Threads::One, places, work)
}

/// How many threads a command gets.
enum Threads {
    /// Enough for nearly all.
    One,
    /// One makes what the other writes.
    Two,
}

fn with_house_on(
    threads: Threads,
    places: &PlaceArgs,
    work: impl AsyncFnOnce(&House) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let runtime = match threads {
        Threads::One => operate()?,
        Threads::Two => {
            warn_plainly()?;
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(1);
            runtime(builder)?
        }
    };
    runtime.block_on(async {
        let house = House::open(places).await?;
        let done = work(&house).await;
        house.close().await;
        done
    })
}

fn runtime(mut builder: Builder) -> Result<Runtime, Failure> {
    builder
        .enable_all()
        .build()
        .map_err(|e| Failure::failed(format!("the system gives no threads: {e}")))
}

fn server_runtime() -> Result<Runtime, Failure> {
    runtime(Builder::new_multi_thread())
}

/// One thread is enough for a command.
fn operate() -> Result<Runtime, Failure> {
    warn_plainly()?;
    runtime(Builder::new_current_thread())
}

/// What rooms have to warn of goes to standard error.
fn warn_plainly() -> Result<(), Failure> {
    log::start_plain(&LogConfig {
        level: "warn".to_owned(),
        ..LogConfig::default()
    })
    .map(|_| ())
}
