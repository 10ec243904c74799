//! Whose data a reader may see. An argument of every read.

use crate::{db::Value, id::OrganisationId};

/// Whose data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The server's own operator: every organisation.
    Everything,
    /// One organisation.
    Organisation(OrganisationId),
}

impl Scope {
    /// The parameter for `(CAST($n AS UUID) IS NULL OR organisation_id = $n)`.
    pub fn parameter(self) -> Value {
        Value::Uuid(match self {
            Scope::Everything => None,
            Scope::Organisation(id) => Some(id.0),
        })
    }

    /// Whether rows of this organisation may be seen.
    pub fn covers(self, organisation: OrganisationId) -> bool {
        match self {
            Scope::Everything => true,
            Scope::Organisation(id) => id == organisation,
        }
    }
}
