//! Passwords from the command line or from standard input; nothing is ever asked at a prompt.

use crate::failure::Failure;
use std::io::BufRead;
use zeroize::Zeroizing;

/// Longest line read as a password; hashes of every known form are shorter.
const MAX_PASSWORD_OCTETS: u64 = 4_096;

/// The first line of standard input.
///
/// # Errors
/// It is empty, not UTF-8, or cannot be read.
pub fn from_stdin() -> Result<Zeroizing<String>, Failure> {
    first_line(std::io::stdin().lock())
}

fn first_line(reader: impl BufRead) -> Result<Zeroizing<String>, Failure> {
    let mut octets = Zeroizing::new(Vec::new());
    reader
        .take(MAX_PASSWORD_OCTETS)
        .read_until(b'\n', &mut octets)
        .map_err(|e| {
            Failure::failed(format!("cannot read the password from standard input: {e}"))
        })?;
    let line = std::str::from_utf8(&octets)
        .map_err(|_| Failure::usage("the password on standard input is not UTF-8"))?
        .trim_end_matches(['\r', '\n']);
    match line.is_empty() {
        true => Err(Failure::usage("the password on standard input is empty")),
        false => Ok(Zeroizing::new(line.to_owned())),
    }
}

/// The options of a command that takes a password.
#[derive(clap::Args)]
pub struct PasswordArgs {
    /// The password: plain text, a recognised hash, nt:HEX or cleartext$…
    #[arg(long, value_name = "TEXT", conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from standard input: its first line
    #[arg(long)]
    password_stdin: bool,
}

impl PasswordArgs {
    /// What was given.
    ///
    /// # Errors
    /// Standard input holds none.
    pub fn read(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        if self.password_stdin {
            return from_stdin().map(Some);
        }
        Ok(self.password.clone().map(Zeroizing::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_counts() {
        let check = |input: &[u8], expect: Option<&str>| {
            assert_eq!(first_line(input).ok().as_ref().map(|p| p.as_str()), expect);
        };
        check(b"wonder land \nmore", Some("wonder land "));
        check(b"x\r\n", Some("x"));
        check(b"x", Some("x"));
        check(b"", None);
        check(b"\n", None);
        check(b"\xff\n", None);
    }
}
