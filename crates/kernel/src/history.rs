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

crate::many! {
    /// First versions of many rows.
    pub RECORD_MANY = history (id uuid, kind text, row_id uuid, organisation_id uuid, person_id uuid, valid_from time, fields text);
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
    /// Ends the row's current version and begins this one. A row has one current version: whoever records one for a
    /// row that others may be changing at the same time changes or locks the row itself first, so that they wait.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn record_version(&mut self, now: Time, version: Version) -> Result<(), Error> {
        self.end_version(now, version.row).await?;
        self.begin_version(now, version).await
    }

    /// Begins the first version of a row that was just made, or of one whose last version has ended.
    ///
    /// # Errors
    /// [`Error::Engine`], also when the row has a current version.
    pub async fn begin_version(&mut self, now: Time, version: Version) -> Result<(), Error> {
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

    /// Begins the first versions of many rows that were just made, in one statement.
    ///
    /// # Errors
    /// As [`Tx::begin_version`].
    pub async fn begin_versions(&mut self, now: Time, versions: &[Version]) -> Result<(), Error> {
        let values = |version: &Version| {
            crate::values![
                version.id,
                version.kind,
                version.row,
                version.organisation,
                version.person,
                now,
                version.fields.to_string()
            ]
        };
        let rows: Vec<_> = versions.iter().map(values).collect();
        self.insert_many(RECORD_MANY, rows).await
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Location;

    fn version(id: u128, row: u128) -> Version {
        Version {
            id: Uuid::from_u128(id),
            kind: "nas",
            row: Uuid::from_u128(row),
            organisation: None,
            person: None,
            fields: serde_json::json!({ "version": id.to_string() }),
        }
    }

    #[tokio::test]
    async fn a_row_has_one_current_version() {
        let folder = tempfile::tempdir().unwrap();
        let db = Location::Sqlite(folder.path().join("h.db"))
            .open()
            .await
            .unwrap();
        let now = Time::from_unix_seconds(1_800_000_000);
        let mut tx = db.begin().await.unwrap();
        tx.begin_version(now, version(1, 7)).await.unwrap();
        tx.begin_version(now, version(2, 8)).await.unwrap();
        let second = tx.begin_version(now, version(3, 7)).await;
        assert!(second.is_err_and(|e| e.is_duplicate()));
        tx.record_version(now, version(4, 7)).await.unwrap();
        tx.end_version(now, Uuid::from_u128(7)).await.unwrap();
        tx.begin_version(now, version(5, 7)).await.unwrap();
        tx.commit().await.unwrap();
    }
}
