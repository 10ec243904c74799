//! What was true when: each deciding row leaves a version in the transaction that changed it.
//!
//! The fields are those that decide, as JSON, and **never** a secret: a password's form may stand there, not its value.

use crate::{
    db::{Db, Error, Tx},
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
    OF_PERSON_AT = "SELECT kind, row_id, organisation_id, person_id, valid_from, valid_to, fields FROM history
        WHERE person_id = $1 AND valid_from <= $2 AND (valid_to IS NULL OR valid_to > $2) ORDER BY kind, row_id LIMIT $3";
    OF_ORGANISATION_AT = "SELECT kind, row_id, organisation_id, person_id, valid_from, valid_to, fields FROM history
        WHERE organisation_id = $1 AND person_id IS NULL AND valid_from <= $2 AND (valid_to IS NULL OR valid_to > $2)
        ORDER BY kind, row_id LIMIT $3";
    OF_ALL_AT = "SELECT kind, row_id, organisation_id, person_id, valid_from, valid_to, fields FROM history
        WHERE organisation_id IS NULL AND person_id IS NULL AND valid_from <= $1 AND (valid_to IS NULL OR valid_to > $1)
        ORDER BY kind, row_id LIMIT $2";
    PEOPLE_WITH = "SELECT DISTINCT person_id AS id FROM history
        WHERE kind = 'person' AND valid_from <= $1 AND (valid_to IS NULL OR valid_to > $1) AND LOWER(fields) LIKE $2
        ORDER BY person_id LIMIT $3";
    BEGUN = "SELECT MIN(valid_from) AS at FROM history WHERE row_id = $1";
    ERASE = "UPDATE history SET fields = '{}' WHERE person_id = $1";
}

/// A version as it was stored.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Stored {
    /// The kind of row.
    pub kind: String,
    /// The row.
    pub row_id: Uuid,
    /// Whose it is.
    pub organisation_id: Option<Uuid>,
    /// The person it is about.
    pub person_id: Option<Uuid>,
    /// From when on it held.
    pub valid_from: Time,
    /// Until when; none while it holds.
    pub valid_to: Option<Time>,
    /// The deciding fields, as JSON.
    pub fields: String,
}

impl Stored {
    /// One of its fields; null where it has none.
    pub fn field(&self, name: &str) -> serde_json::Value {
        let fields: serde_json::Value = serde_json::from_str(&self.fields).unwrap_or_default();
        fields.get(name).cloned().unwrap_or_default()
    }
}

/// Versions of one look: a person has a few dozen, an organisation with thousands of NASes some thousands.
const MAX_VERSIONS: i64 = 200_000;
/// People whose names once were alike.
const MAX_PEOPLE: i64 = 1_000;

#[derive(sqlx::FromRow)]
struct IdRow {
    id: Option<Uuid>,
}

#[derive(sqlx::FromRow)]
struct MomentRow {
    at: Option<Time>,
}

impl Db {
    /// What held of a person at a moment: the person's own row, memberships, places in groups, rules.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn person_at(&self, person: Uuid, at: Time) -> Result<Vec<Stored>, Error> {
        self.all(OF_PERSON_AT, crate::values![person, at, MAX_VERSIONS])
            .await
    }

    /// What an organisation had decided at a moment, or, without one, what held for all: nothing about people.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn policy_at(
        &self,
        organisation: Option<OrganisationId>,
        at: Time,
    ) -> Result<Vec<Stored>, Error> {
        match organisation {
            Some(organisation) => {
                self.all(
                    OF_ORGANISATION_AT,
                    crate::values![organisation, at, MAX_VERSIONS],
                )
                .await
            }
            None => self.all(OF_ALL_AT, crate::values![at, MAX_VERSIONS]).await,
        }
    }

    /// Whose row had this text at a moment, or one like it: the caller compares exactly. Looks at every person: for people
    /// who ask, not for a login.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn people_with(&self, text: &str, at: Time) -> Result<Vec<Uuid>, Error> {
        let quoted = serde_json::Value::from(text).to_string();
        // What an engine takes for more than itself, and what only one of them folds, stands for any one character.
        let wild = |c: char| matches!(c, '%' | '_' | '\\') || !c.is_ascii();
        let pattern = format!("%{}%", quoted.to_ascii_lowercase().replace(wild, "_"));
        let rows: Vec<IdRow> = self
            .all(PEOPLE_WITH, crate::values![at, pattern, MAX_PEOPLE])
            .await?;
        Ok(rows.into_iter().filter_map(|row| row.id).collect())
    }

    /// When a row was made.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn begun(&self, row: Uuid) -> Result<Option<Time>, Error> {
        let row: Option<MomentRow> = self.first(BEGUN, crate::values![row]).await?;
        Ok(row.and_then(|row| row.at))
    }
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
