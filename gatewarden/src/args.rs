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
    /// Runs a server with demo content
    Dev(crate::dev::DevArgs),
    /// Shows it at work
    Demo(crate::demo::DemoArgs),
    /// Organisations
    Org(crate::org::OrgArgs),
    /// NASes
    Nas(crate::nas::NasArgs),
    /// Users
    User(crate::user::UserArgs),
    /// Groups
    Group(crate::group::GroupArgs),
    /// Sessions
    Session(crate::session::SessionArgs),
    /// Why
    Explain(crate::explain::ExplainArgs),
    /// Asks a server
    Ping(crate::ping::PingArgs),
    /// Packets to text
    Decode(crate::decode::DecodeArgs),
    /// Text to packets
    Encode(crate::encode::EncodeArgs),
    /// The configuration
    Config(crate::config::ConfigArgs),
    /// The schema
    Migrate(crate::migrate::MigrateArgs),
    /// Completions
    Completions(crate::completions::CompletionsArgs),
    /// Prints the man page (troff): gatewarden man | man -l -
    Man,
}
