//! What was done, but perhaps not as meant.

/// Something worth telling whoever gave the data; the change was made all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// Another username differs in its capital letters only: people will mix them up.
    CaseTwin {
        /// The name that was made.
        username: String,
        /// The name that was there.
        twin: String,
    },
    /// A hash was given where something else was to be kept: a hash cannot be turned back.
    KeptAsHash {
        /// The form that was asked for.
        asked: crate::Store,
    },
    /// An NT hash was given where something else was to be kept.
    KeptAsNt {
        /// The form that was asked for.
        asked: crate::Store,
    },
    /// A text begins like a hash, cannot be used as one, and was taken as the password itself. Holds the reason.
    TakenAsPlain(String),
    /// The given hash marks that no password works.
    NoPasswordWorks,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Warning::CaseTwin { username, twin } => write!(
                f,
                "username '{username}' differs from '{twin}' in capital letters only; they are two people"
            ),
            Warning::KeptAsHash { asked } => write!(
                f,
                "password: a hash was given, so it is kept as a hash and not as '{}'",
                asked.word()
            ),
            Warning::KeptAsNt { asked } => write!(
                f,
                "password: an NT hash was given, so it is kept as 'nt' and not as '{}'",
                asked.word()
            ),
            Warning::TakenAsPlain(reason) => {
                write!(
                    f,
                    "password: taken as plain text although it looks like a hash: {reason}"
                )
            }
            Warning::NoPasswordWorks => {
                f.write_str("password: the given hash is a mark that no password works")
            }
        }
    }
}
