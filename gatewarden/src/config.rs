//! `gatewarden config`: the annotated defaults, or a check of the file that is in use.

use crate::failure::Failure;
use crate::output::Output;
use crate::place::PlaceArgs;

/// Options of `config`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  gatewarden config --defaults > gatewarden.toml
  gatewarden --config gatewarden.toml config")]
pub struct ConfigArgs {
    /// Print every setting with its default and its meaning
    #[arg(long)]
    defaults: bool,
}

/// Runs the command.
///
/// # Errors
/// The file's first fault, with its line.
pub fn run(args: &ConfigArgs, places: &PlaceArgs) -> Result<(), Failure> {
    let mut output = Output::default();
    if args.defaults {
        output.line(crate::settings::Settings::defaults().trim_end())?;
        return output.flush();
    }
    let place = places.settle()?;
    match &place.config {
        Some(file) => output.line(format!("{}: every line is understood", file.display()))?,
        None => output
            .line("no configuration file; everything is at its default (see config --defaults)")?,
    }
    output.line(format!("data folder: {}", place.data.display()))?;
    output.line(format!("database:    {}", place.database))?;
    output.flush()
}
