//! Locks that outlive the process: who may not even try at the moment.
//!
//! The limiter notices them in memory; here they are stored, so that a restart or a second node knows them, listed and
//! lifted. A lock ends by itself; a stored one whose time is over means nothing.

use crate::limiter::{Key, KeyKind, NewLock};
use kernel::id::Uuid;
use kernel::{Db, Error, Kernel, News, OrganisationId, Scope, Time, Tx};
use serde::Serialize;

/// Told when a lock is stored. The detail has `kind`, `subject`, `failures` and `until`.
pub const SET: &str = "lock.set";
/// Told when a lock is lifted before its time. The detail has `kind` and `subject`.
pub const LIFTED: &str = "lock.lifted";

/// Locks stored in one transaction: it must stay short.
const MAX_BATCH: usize = 500;
/// Locks that one read gives. More at once are an attack, and the limiter of each node knows its own anyway.
const MAX_ACTIVE: i64 = 100_000;
/// Locks deleted in one transaction.
const FORGET_BATCH: i64 = 1_000;

/// A stored lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lock {
    /// Whose member or NAS it is, where that is known; a device is nobody's.
    pub organisation: Option<OrganisationId>,
    /// What is locked.
    pub kind: KeyKind,
    /// A membership's id, a MAC address as `AA-BB-CC-DD-EE-FF`, or a NAS's id.
    pub subject: String,
    /// After so many failures.
    pub failures: i64,
    /// When it ends.
    pub until: Time,
    /// When it began.
    pub created: Time,
}

impl Lock {
    /// For the limiter. `None` when the subject is not one of its kind.
    pub fn to_new(&self) -> Option<NewLock> {
        Some(NewLock {
            key: Key::from_stored(self.kind, &self.subject)?,
            failures: u32::try_from(self.failures).unwrap_or(u32::MAX),
            until: self.until,
        })
    }

    /// The lock that an event's detail tells of.
    pub fn from_detail(detail: &serde_json::Value) -> Option<NewLock> {
        Some(NewLock {
            key: key_of_detail(detail)?,
            failures: u32::try_from(detail.get("failures")?.as_u64()?).unwrap_or(u32::MAX),
            until: Time::parse(detail.get("until")?.as_str()?).ok()?,
        })
    }
}

/// The key that the detail of [`SET`] or [`LIFTED`] tells of.
pub fn key_of_detail(detail: &serde_json::Value) -> Option<Key> {
    let kind = KeyKind::from_word(detail.get("kind")?.as_str()?)?;
    Key::from_stored(kind, detail.get("subject")?.as_str()?)
}

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    STORE = "INSERT INTO access_lock (id, organisation_id, kind, subject, failures, until, created)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (kind, subject) DO UPDATE SET organisation_id = excluded.organisation_id,
            failures = excluded.failures, until = excluded.until, created = excluded.created
        RETURNING id";
    ACTIVE = "SELECT organisation_id, kind, subject, failures, until, created FROM access_lock
        WHERE until > $1 AND (CAST($2 AS UUID) IS NULL OR organisation_id = $2) ORDER BY until DESC LIMIT $3";
    OWNER_OF_NAS = "SELECT organisation_id AS id FROM nas WHERE id = $1";
    OWNER_OF_MEMBERSHIP = "SELECT g.organisation_id AS id FROM group_member m JOIN access_group g ON g.id = m.group_id
        WHERE m.membership_id = $1 LIMIT 1";
    LIFT = "DELETE FROM access_lock WHERE kind = $1 AND subject = $2 RETURNING id, organisation_id";
    FORGET = "DELETE FROM access_lock WHERE id IN (SELECT id FROM access_lock WHERE until <= $1 ORDER BY until LIMIT $2)";
}

#[derive(sqlx::FromRow)]
struct LockRow {
    organisation_id: Option<Uuid>,
    kind: String,
    subject: String,
    failures: i64,
    until: Time,
    created: Time,
}

#[derive(sqlx::FromRow)]
struct IdRow {
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct LiftedRow {
    id: Uuid,
    organisation_id: Option<Uuid>,
}

/// Stores locks that began.
///
/// # Errors
/// [`Error::Engine`]; then the batches before the failing one are stored.
pub async fn store(kernel: &Kernel, locks: &[NewLock]) -> Result<(), Error> {
    let now = kernel.now();
    for batch in locks.chunks(MAX_BATCH) {
        let mut tx = kernel.db.begin().await?;
        for lock in batch {
            let organisation = owner_of(&mut tx, lock.key).await?;
            let (kind, subject) = (lock.key.kind().word(), lock.key.subject());
            let values = kernel::values![
                kernel.new_uuid(),
                organisation,
                kind,
                &subject,
                lock.failures,
                lock.until,
                now
            ];
            let Some(row): Option<IdRow> = tx.first(STORE, values).await? else {
                continue;
            };
            let detail = serde_json::json!({
                "kind": kind, "subject": subject, "failures": lock.failures, "until": lock.until,
            });
            tx.tell(
                now,
                News::new(SET, organisation, row.id).with_detail(detail),
            )
            .await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Whose member or NAS is locked, as far as it is known here.
async fn owner_of(tx: &mut Tx, key: Key) -> Result<Option<OrganisationId>, Error> {
    let (sql, id) = match key {
        Key::User(id) => (OWNER_OF_MEMBERSHIP, id),
        Key::Nas(id) => (OWNER_OF_NAS, id),
        Key::Device(_) => return Ok(None),
    };
    let row: Option<IdRow> = tx.first(sql, kernel::values![id]).await?;
    Ok(row.map(|row| OrganisationId(row.id)))
}

/// Every lock that holds at this moment, for the limiter; the longest first.
///
/// # Errors
/// [`Error::Engine`].
pub async fn active(db: &Db, now: Time) -> Result<Vec<Lock>, Error> {
    list(db, Scope::Everything, now).await
}

/// The locks of a scope that hold at this moment; the longest first.
///
/// # Errors
/// [`Error::Engine`].
pub async fn list(db: &Db, scope: Scope, now: Time) -> Result<Vec<Lock>, Error> {
    let rows: Vec<LockRow> = db
        .all(ACTIVE, kernel::values![now, scope.parameter(), MAX_ACTIVE])
        .await?;
    // The table's CHECK leaves no other kind.
    Ok(rows.into_iter().filter_map(LockRow::into_lock).collect())
}

impl LockRow {
    fn into_lock(self) -> Option<Lock> {
        Some(Lock {
            organisation: self.organisation_id.map(OrganisationId),
            kind: KeyKind::from_word(&self.kind)?,
            subject: self.subject,
            failures: self.failures,
            until: self.until,
            created: self.created,
        })
    }
}

/// Lifts a lock; whether one was stored. It is told in any case: a node may hold one that is not stored yet.
///
/// # Errors
/// [`Error::Engine`].
pub async fn lift(kernel: &Kernel, key: Key) -> Result<bool, Error> {
    let now = kernel.now();
    let (kind, subject) = (key.kind().word(), key.subject());
    let mut tx = kernel.db.begin().await?;
    let row: Option<LiftedRow> = tx.first(LIFT, kernel::values![kind, &subject]).await?;
    let organisation = row
        .as_ref()
        .and_then(|row| row.organisation_id)
        .map(OrganisationId);
    let id = row.as_ref().map_or_else(|| kernel.new_uuid(), |row| row.id);
    let detail = serde_json::json!({ "kind": kind, "subject": subject });
    tx.tell(now, News::new(LIFTED, organisation, id).with_detail(detail))
        .await?;
    tx.commit().await?;
    Ok(row.is_some())
}

/// Deletes locks that ended before this moment; how many. One short transaction: call it again while it finds 1000.
///
/// # Errors
/// [`Error::Engine`].
pub async fn forget_ended(kernel: &Kernel, before: Time) -> Result<u64, Error> {
    let mut tx = kernel.db.begin().await?;
    let gone = tx
        .run(FORGET, kernel::values![before, FORGET_BATCH])
        .await?;
    tx.commit().await?;
    Ok(gone)
}

#[cfg(test)]
mod tests;
