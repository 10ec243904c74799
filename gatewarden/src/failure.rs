//! How a command ends when it does not end well: one clear sentence and an exit code.
//!
//! Exit code 2 says "correct what you typed or what you gave", 1 says "it was right, but it did not work". A sentence
//! must **never** hold a secret.

use std::fmt::Display;
use std::process::ExitCode;

/// Exit code of a command that was told something it cannot use.
pub const USAGE: u8 = 2;
/// Exit code of a command that could not do what it was told.
pub const FAILED: u8 = 1;

/// Why a command ends early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    code: u8,
    sentence: Option<String>,
}

impl Failure {
    /// What was given is wrong: the sentence says what and where, and what would be right.
    pub fn usage(sentence: impl Display) -> Self {
        Self {
            code: USAGE,
            sentence: Some(sentence.to_string()),
        }
    }

    /// It did not work.
    pub fn failed(sentence: impl Display) -> Self {
        Self {
            code: FAILED,
            sentence: Some(sentence.to_string()),
        }
    }

    /// Everything has been said already; only the exit code is left.
    pub fn silent(code: u8) -> Self {
        Self {
            code,
            sentence: None,
        }
    }

    /// The sentence, where there is one to say.
    pub fn sentence(&self) -> Option<&str> {
        self.sentence.as_deref()
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// Says the sentence on standard error.
    pub fn report(&self) -> ExitCode {
        if let Some(sentence) = &self.sentence {
            eprintln!("error: {sentence}");
        }
        ExitCode::from(self.code)
    }
}

/// Writing to a reader that has gone away (`gatewarden session list | head`) is no failure worth a sentence.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::silent(0),
            _ => Failure::failed(format!("cannot write the output: {error}")),
        }
    }
}

impl From<kernel::Error> for Failure {
    fn from(error: kernel::Error) -> Self {
        match error {
            kernel::Error::NotFound(_) | kernel::Error::Invalid(_) => Failure::usage(error),
            _ => Failure::failed(error),
        }
    }
}

impl From<kernel::config::ConfigError> for Failure {
    fn from(error: kernel::config::ConfigError) -> Self {
        Failure::usage(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_wrongly_and_what_did_not_work_have_codes_of_their_own() {
        let check = |error: kernel::Error, code: u8| {
            let failure = Failure::from(error);
            assert_eq!(
                (failure.code(), failure.sentence()),
                (code, Some("a sentence"))
            );
        };
        check(kernel::Error::NotFound("a sentence".into()), USAGE);
        check(kernel::Error::Invalid("a sentence".into()), USAGE);
        check(kernel::Error::Conflict("a sentence".into()), FAILED);
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!((failure.code(), failure.sentence()), (0, None));
    }
}
