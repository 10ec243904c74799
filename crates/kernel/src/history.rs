//! What was true when: each deciding row leaves a version in the transaction that changed it.
//!
//! The fields are those that decide, as JSON, and **never** a secret: a password's form may stand there, not its value.

use crate::{
    db::{Error, Tx},
    id::OrganisationId,
    time::Time,
};
use uuid::Uuid;

/// One version of a deciding row.
#[derive(Debug, Clone)]
pub struct Version {
    /// The version's own id (made by the caller: rooms have the generator).
    pub id: Uuid,
    /// The kind of row: `person`, `nas`, `group`, …
    pub kind: &'static str,
    /// The row.
    pub row: Uuid,
    /// Whose it is.
    pub organisation: Option<OrganisationId>,
    /// The person it is about, so that erasing a person can rewrite it.
    pub person: Option<Uuid>,
    /// The deciding fields, without secrets.
    pub fields: serde_json::Value,
}

crate::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    CLOSE = "UPDATE history SET valid_to = $2 WHERE row_id = $1 AND valid_to IS NULL";
    RECORD = "INSERT INTO history (id, kind, row_id, organisation_id, person_id, valid_from, fields)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    ERASE = "UPDATE history SET fields = '{}' WHERE person_id = $1";
}

impl Tx {
    /// Ends the row's current version and begins this one.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn record_version(&mut self, now: Time, version: Version) -> Result<(), Error> {
        self.end_version(now, version.row).await?;
        self.run(
            RECORD,
            crate::values![
                version.id,
                version.kind,
                version.row,
                version.organisation,
                version.person,
                now,
                version.fields.to_string()
            ],
        )
        .await
        .map(|_| ())
    }

    /// Ends the current version of a row that is deleted.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn end_version(&mut self, now: Time, row: Uuid) -> Result<(), Error> {
        self.run(CLOSE, crate::values![row, now]).await.map(|_| ())
    }

    /// Empties every version about a person who is erased.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn erase_versions(&mut self, person: Uuid) -> Result<u64, Error> {
        self.run(ERASE, crate::values![person]).await
    }
}
