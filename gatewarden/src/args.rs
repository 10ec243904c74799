//! The command line: every command, once. Help, completions and the man page are made from it.

use crate::place::PlaceArgs;
use clap::{Parser, Subcommand};

/// Everything that can be typed.
#[derive(Parser)]
#[command(
    name = "gatewarden",
    version,
    about = "Lets people and devices onto networks: a RADIUS server with its own users, groups and sessions",
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands",
    after_help = "\
First steps:
  gatewarden dev                     a server with demo content, and what to try on it
  gatewarden --data D serve          the real thing
  gatewarden --data D nas add 192.0.2.1 --org default --secret ...
  gatewarden --data D user add alice --org default --password ...
  gatewarden --data D explain alice  why was she refused?
  gatewarden --data D status         how is the server?

Every command has its own page: gatewarden COMMAND --help
Exit codes: 0 done, 1 it did not work, 2 what was typed or given is wrong."
)]
pub struct Cli {
    /// Where things are.
    #[command(flatten)]
    pub places: PlaceArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Runs the server
    Serve(crate::serve::ServeArgs),
    /// Runs a server with demo content, on this machine only; its data are temporary
    Dev(crate::dev::DevArgs),
    /// Shows Gatewarden at work: simulated NASes and users, live for a while
    Demo(crate::demo::DemoArgs),
    /// Organisations: whose users, groups and NASes these are
    Org(crate::org::OrgArgs),
    /// NASes: access points, gateways and switches that may ask
    Nas(crate::nas::NasArgs),
    /// Users: people, and devices known by their MAC address
    User(crate::user::UserArgs),
    /// Groups: what is checked before their people come in, and what the NAS is told
    Group(crate::group::GroupArgs),
    /// Plans: rates, quotas and what else a group's people get, in the words of every vendor
    Plan(Box<crate::plan::PlanArgs>),
    /// Sessions: who is online and who was
    Session(crate::session::SessionArgs),
    /// Shows the last decisions about a user, a device or a session, and the remedy
    Explain(crate::explain::ExplainArgs),
    /// Decides recorded requests again, by other rules: who would be treated differently?
    Replay(crate::replay::ReplayArgs),
    /// Examines this machine and this installation, and says what to do about what it finds
    Doctor(crate::doctor::DoctorArgs),
    /// The accounting journal of a server that is stopped: is it whole, and what can be kept of a damaged one
    Journal(crate::journal::JournalArgs),
    /// Shows how the server on this machine is: problems first, each with its remedy
    Status(crate::status::StatusArgs),
    /// Asks a RADIUS server and shows what it answers
    Ping(crate::ping::PingArgs),
    /// Puts a RADIUS server under load, verifies every answer and says how fast they came
    Load(crate::load::LoadArgs),
    /// Shows packets by attribute name: hex, one packet a line, or a capture (pcap, pcapng)
    Decode(crate::decode::DecodeArgs),
    /// Makes packets of decoded objects: the reverse of decode
    Encode(crate::encode::EncodeArgs),
    /// Prints the annotated default configuration, or checks the one in use
    Config(crate::config::ConfigArgs),
    /// Brings the database's schema up to date (every other command does so, too)
    Migrate(crate::migrate::MigrateArgs),
    /// Prints completions for a shell
    Completions(crate::completions::CompletionsArgs),
    /// Prints the man page (troff): gatewarden man | man -l -
    Man,
}
