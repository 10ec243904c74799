//! Completions and the man page: made from the same definitions as the command line itself.

use crate::failure::Failure;
use crate::output::Output;
use clap_complete::Shell;

/// Options of `completions`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  gatewarden completions bash > /etc/bash_completion.d/gatewarden
  gatewarden completions zsh > \"${fpath[1]}/_gatewarden\"
  gatewarden completions fish > ~/.config/fish/completions/gatewarden.fish")]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints completions.
///
/// # Errors
/// Standard output is closed.
pub fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut octets = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command(), "gatewarden", &mut octets);
    write(&octets)
}

/// Prints the man page: one page with every command.
///
/// # Errors
/// Standard output is closed.
pub fn man() -> Result<(), Failure> {
    let mut octets = Vec::new();
    let mut command = crate::command();
    // Makes the names of commands below commands whole ("gatewarden nas add").
    command.build();
    let whole = clap_mangen::Man::new(command.clone());
    whole.render(&mut octets)?;
    for below in command
        .get_subcommands()
        .filter(|below| !below.is_hide_set() && below.get_name() != "help")
    {
        section(below, &mut octets)?;
        for deeper in below
            .get_subcommands()
            .filter(|deeper| deeper.get_name() != "help")
        {
            section(deeper, &mut octets)?;
        }
    }
    write(&octets)
}

/// One command's part of the page.
fn section(command: &clap::Command, octets: &mut Vec<u8>) -> Result<(), Failure> {
    let title = command
        .get_bin_name()
        .unwrap_or_else(|| command.get_name())
        .to_uppercase();
    octets.extend_from_slice(format!(".SH \"{title}\"\n").as_bytes());
    let man = clap_mangen::Man::new(command.clone());
    man.render_description_section(octets)?;
    man.render_synopsis_section(octets)?;
    if command
        .get_arguments()
        .any(|argument| !argument.is_hide_set() && !argument.is_global_set())
    {
        man.render_options_section(octets)?;
    }
    Ok(())
}

fn write(octets: &[u8]) -> Result<(), Failure> {
    let mut output = Output::default();
    output.line(String::from_utf8_lossy(octets).trim_end())?;
    output.flush()
}
