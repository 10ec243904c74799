//! Looking up in the database whom the Register does not know: outside the fast lane, once for a name.

use super::Register;
use super::load::Loader;
use super::misses::Wanted;
use kernel::{Error, Kernel};
use std::sync::Arc;

/// Reads of one person while news keeps arriving about people. News comes five times a second, so a second read is
/// rarely overtaken too.
const TRIES: u32 = 5;

/// What the database says about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Somebody has it, and is in the register now.
    Found,
    /// Nobody has it.
    No,
    /// The database did not say.
    Unknown,
}

/// Who looks people up.
pub struct Lookup {
    loader: Loader,
}

impl Lookup {
    /// For a register and the database that feeds it.
    pub fn new(kernel: Kernel, register: Arc<Register>) -> Self {
        Self {
            loader: Loader::new(kernel, register, None),
        }
    }

    /// Looks for whoever has one of these names, and takes him into the register. A "no" is remembered for a while.
    pub async fn run(&self, wanted: &Wanted) -> Answer {
        match self.find(wanted).await {
            Ok(answer) => answer,
            Err(e) => {
                tracing::debug!("a name cannot be looked up: {e}");
                Answer::Unknown
            }
        }
    }

    async fn find(&self, wanted: &Wanted) -> Result<Answer, Error> {
        let Loader {
            kernel, register, ..
        } = &self.loader;
        for _ in 0..TRIES {
            let read_at = register.people.generation();
            let named = identity::known::named(&kernel.db, wanted.realm, &wanted.names).await?;
            let found = match named {
                Some(person) => self.loader.read(&[person]).await?.pop(),
                None => None,
            };
            let Some(found) = found else {
                register.misses.remember_no(kernel.now(), wanted);
                return Ok(Answer::No);
            };
            if register.people.put_unless_changed(read_at, found) {
                return Ok(Answer::Found);
            }
        }
        Ok(Answer::Unknown)
    }
}

#[cfg(test)]
mod tests;
