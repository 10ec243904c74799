//! `gatewarden encode`: the objects of `gatewarden decode --json` become packets again, one hex line each.
//!
//! An object that cannot be a packet becomes a line `# error: …`, so that every line keeps its place.

use crate::dictionaries;
use crate::failure::Failure;
use crate::lines::{Line, Lines, MAX_LINE_OCTETS};
use crate::output::Output;
use kernel::{Rng, SystemRng};
use radius_wire::Secret;
use radius_wire::dictionary::Dictionary;
use radius_wire::dissect::{EncodeError, encode_object};
use serde_json::Value as Json;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::PathBuf;

/// Options of `encode`.
#[derive(clap::Args)]
#[command(after_help = "\
What an object states is taken as it is. What you remove from it is computed: length, authenticator,
Message-Authenticator, and the hidden form of values whose 'raw' you removed (these need --secret).
A line that is no packet becomes '# error: …' in its place, and the exit code is 1 if there was one.

Example:
  gatewarden encode --json --secret testing123 < decoded.jsonl")]
pub struct EncodeArgs {
    /// What to read; standard input when none is named, or for '-'
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The input is JSON, one object a line (it always is; the option mirrors decode's)
    #[arg(long)]
    json: bool,
    /// The shared secret: hides values and computes authenticators where the object leaves them out
    #[arg(long, env = "GATEWARDEN_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// A folder of FreeRADIUS dictionary files, over the built-in ones
    #[arg(long, value_name = "FOLDER")]
    dictionary: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// A file or dictionary that cannot be read; exit code 1 when a line could not be encoded.
pub fn run(args: &EncodeArgs) -> Result<(), Failure> {
    let dictionary = dictionaries::load(args.dictionary.as_deref())?;
    let secret = args
        .secret
        .as_deref()
        .map(|text| Secret::new(text.as_bytes()));
    let mut work = Work {
        output: Output::default(),
        dictionary: &dictionary,
        secret: secret.as_ref(),
        rng: SystemRng::new(),
        line: 0,
        faults: 0,
    };
    if args.files.is_empty() {
        work.read("standard input", std::io::stdin().lock())?;
    }
    for file in &args.files {
        let name = file.display().to_string();
        if name == "-" {
            work.read("standard input", std::io::stdin().lock())?;
        } else {
            let file =
                File::open(file).map_err(|e| Failure::usage(format!("cannot read {name}: {e}")))?;
            work.read(&name, file)?;
        }
    }
    work.output.flush()?;
    match work.faults {
        0 => Ok(()),
        _ => Err(Failure::silent(crate::failure::FAILED)),
    }
}

struct Work<'d> {
    output: Output,
    dictionary: &'d Dictionary,
    secret: Option<&'d Secret>,
    rng: SystemRng,
    line: u64,
    faults: u64,
}

impl Work<'_> {
    fn read(&mut self, name: &str, source: impl Read) -> Result<(), Failure> {
        let mut lines = Lines::new(BufReader::new(source));
        self.line = 0;
        while let Some(line) = lines
            .next()
            .map_err(|e| Failure::failed(format!("cannot read {name}: {e}")))?
        {
            self.line += 1;
            let encoded = match line {
                Line::TooLong => Err(format!("the line is longer than {MAX_LINE_OCTETS} octets")),
                Line::Text(text) => self.encode(&text),
            };
            match encoded {
                Ok(hex) => self.output.line(hex)?,
                Err(reason) => {
                    self.faults += 1;
                    let reason = reason.replace(['\r', '\n'], " ");
                    self.output.line(format!("# error: {reason}"))?;
                }
            }
        }
        Ok(())
    }

    fn encode(&mut self, text: &str) -> Result<String, String> {
        let mut object: Json = serde_json::from_str(text)
            .map_err(|e| EncodeError::Syntax(e.to_string()).to_string())?;
        if let Some(fields) = object.as_object_mut() {
            // Where a capture had it: no part of the packet.
            fields.shift_remove("capture");
        }
        let mut random = [0; 16];
        self.rng.fill(&mut random);
        encode_object(&object, self.dictionary, self.secret, random)
            .map(hex::encode)
            .map_err(|e| e.to_string())
    }
}
