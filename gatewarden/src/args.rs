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
  gatewarden dev                         a server with demo content; its data are gone afterwards
  gatewarden --data D serve              the real thing
  gatewarden --data D nas add 192.0.2.1 --org default --secret ...
  gatewarden --data D user add alice --org default --password ...
  gatewarden --data D explain alice      why was she refused?

Every command has its own page: gatewarden COMMAND --help"
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
    Ping(crate::ping::PingArgs),
    Decode(crate::decode::DecodeArgs),
    Encode(crate::encode::EncodeArgs),
    Config(crate::config::ConfigArgs),
    Completions(crate::completions::CompletionsArgs),
    /// Prints the man page (troff): gatewarden man | man -l -
    Man,
}
