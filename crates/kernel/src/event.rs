//! Events: what became true, told upward.
//!
//! An event is stored in the transaction that made it true, and read back in an order that no later commit can slip
//! into: on PostgreSQL readers take only rows below the oldest running transaction, on SQLite there is one writer.
//! Reading one twice must be harmless to whoever applies it.

use crate::{
    db::{Db, Engine, Error, Tx},
    id::OrganisationId,
    time::Time,
};
use uuid::Uuid;

/// How many events one read takes at most: a node that was away catches up in steps.
pub const BATCH: i64 = 1_000;

/// A place in the stream: everything up to it is known.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Position {
    /// PostgreSQL's transaction id; 0 on SQLite.
    pub major: i64,
    /// The sequence.
    pub minor: i64,
}

/// Something that is about to be true. The kind is a constant of the room that says it, such as `person.changed`.
#[derive(Debug, Clone)]
pub struct News {
    /// `room.word`.
    pub kind: &'static str,
    /// Whose it is, where it is somebody's.
    pub organisation: Option<OrganisationId>,
    /// The id of what it is about.
    pub subject: Uuid,
    /// More, where the kind says so.
    pub detail: Option<serde_json::Value>,
}

impl News {
    /// News without detail.
    pub fn new(kind: &'static str, organisation: Option<OrganisationId>, subject: Uuid) -> Self {
        Self {
            kind,
            organisation,
            subject,
            detail: None,
        }
    }

    /// The same with detail.
    pub fn with_detail(mut self, detail: serde_json::Value) -> Self {
        self.detail = Some(detail);
        self
    }
}

/// Something that is true.
#[derive(Debug, Clone)]
pub struct Event {
    /// Where it stands in the stream.
    pub position: Position,
    /// `room.word`.
    pub kind: String,
    /// Whose it is.
    pub organisation: Option<OrganisationId>,
    /// The id of what it is about.
    pub subject: Uuid,
    /// More, where the kind says so.
    pub detail: Option<serde_json::Value>,
    /// When it was said.
    pub at: Time,
}

#[derive(sqlx::FromRow)]
struct EventRow {
    major: i64,
    minor: i64,
    kind: String,
    organisation_id: Option<Uuid>,
    subject: Uuid,
    detail: Option<String>,
    at: Time,
}

#[derive(sqlx::FromRow)]
struct PositionRow {
    major: i64,
    minor: i64,
}

crate::many! {
    /// Many news at once, in the order of the rows.
    pub RECORD_MANY = event (kind text, organisation_id uuid, subject uuid, detail text, at time);
}
crate::statements! {
    /// Statements that both engines run.
    pub STATEMENTS;
    RECORD = "INSERT INTO event (kind, organisation_id, subject, detail, at) VALUES ($1, $2, $3, $4, $5)";
    AT = "SELECT major, minor, kind, organisation_id, subject, detail, at FROM event WHERE major = $1 AND minor = $2";
}

// The two engines differ in what "no earlier event can still appear" means, and in what the order of events is: on SQLite
// the sequence alone, which is the table's own order, while comparing pairs there would read the whole table.
crate::statements! {
    /// SQLite's own.
    pub SQLITE_STATEMENTS;
    SQLITE_AFTER = "SELECT major, minor, kind, organisation_id, subject, detail, at FROM event
        WHERE major >= $1 AND minor > $2 ORDER BY minor LIMIT $3";
    SQLITE_LAST_UP_TO = "SELECT major, minor, kind, organisation_id, subject, detail, at FROM event
        WHERE major <= $1 AND minor <= $2 ORDER BY minor DESC LIMIT 1";
    SQLITE_FORGET = "DELETE FROM event WHERE minor IN
        (SELECT minor FROM event WHERE at < $1 ORDER BY minor LIMIT $2)";
    SQLITE_LATEST = "SELECT CAST(0 AS BIGINT) AS major, COALESCE(MAX(minor), 0) AS minor FROM event";
}
crate::statements! {
    /// PostgreSQL's own.
    pub POSTGRES_STATEMENTS;
    POSTGRES_AFTER = "SELECT major, minor, kind, organisation_id, subject, detail, at FROM event
        WHERE (major, minor) > ($1, $2)
          AND major < CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)
        ORDER BY major, minor LIMIT $3";
    POSTGRES_LAST_UP_TO = "SELECT major, minor, kind, organisation_id, subject, detail, at FROM event
        WHERE (major, minor) <= ($1, $2) ORDER BY major DESC, minor DESC LIMIT 1";
    POSTGRES_FORGET = "DELETE FROM event WHERE (major, minor) IN
        (SELECT major, minor FROM event WHERE at < $1 ORDER BY major, minor LIMIT $2)";
    POSTGRES_LATEST = "SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT) - 1 AS major,
        9223372036854775807 AS minor";
}

impl Tx {
    /// Stores news with the change that makes it true.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn tell(&mut self, now: Time, news: News) -> Result<(), Error> {
        self.run(
            RECORD,
            crate::values![
                news.kind,
                news.organisation,
                news.subject,
                news.detail.map(|d| d.to_string()),
                now
            ],
        )
        .await
        .map(|_| ())
    }
}

impl Tx {
    /// Stores much news with the changes that make it true, in one statement.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn tell_many(&mut self, now: Time, news: &[News]) -> Result<(), Error> {
        let values = |news: &News| {
            crate::values![
                news.kind,
                news.organisation,
                news.subject,
                news.detail.as_ref().map(ToString::to_string),
                now
            ]
        };
        let rows: Vec<_> = news.iter().map(values).collect();
        self.insert_many(RECORD_MANY, rows).await
    }
}

impl Db {
    /// The next events after a place, at most [`BATCH`].
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn events_after(&self, position: Position) -> Result<Vec<Event>, Error> {
        let sql = match self.engine() {
            Engine::Sqlite => SQLITE_AFTER,
            Engine::Postgres => POSTGRES_AFTER,
        };
        let rows: Vec<EventRow> = self
            .all(sql, crate::values![position.major, position.minor, BATCH])
            .await?;
        Ok(rows.into_iter().map(EventRow::into_event).collect())
    }

    /// The place from which a reader sees everything that is not yet visible now: take it *before* loading rows.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn latest_position(&self) -> Result<Position, Error> {
        let sql = match self.engine() {
            Engine::Sqlite => SQLITE_LATEST,
            Engine::Postgres => POSTGRES_LATEST,
        };
        let row: Option<PositionRow> = self.first(sql, Vec::new()).await?;
        Ok(row.map_or_else(Position::default, |row| Position {
            major: row.major,
            minor: row.minor,
        }))
    }

    /// The event at a place; none where it was forgotten, or where this is not the database that the place is of.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn event_at(&self, position: Position) -> Result<Option<Event>, Error> {
        let values = crate::values![position.major, position.minor];
        let row: Option<EventRow> = self.first(AT, values).await?;
        Ok(row.map(EventRow::into_event))
    }

    /// The last event up to a place.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn last_event_up_to(&self, position: Position) -> Result<Option<Event>, Error> {
        let sql = match self.engine() {
            Engine::Sqlite => SQLITE_LAST_UP_TO,
            Engine::Postgres => POSTGRES_LAST_UP_TO,
        };
        let values = crate::values![position.major, position.minor];
        let row: Option<EventRow> = self.first(sql, values).await?;
        Ok(row.map(EventRow::into_event))
    }

    /// Deletes events older than `before`, in short transactions: every node has long read them.
    ///
    /// # Errors
    /// [`Error::Engine`]; what was committed stays deleted.
    pub async fn forget_events(&self, before: Time) -> Result<u64, Error> {
        /// Events of one transaction.
        const CHUNK: u32 = 2_000;
        /// Chunks of one run: the rest waits for the next.
        const MAX_CHUNKS: usize = 2_000;
        let sql = match self.engine() {
            Engine::Sqlite => SQLITE_FORGET,
            Engine::Postgres => POSTGRES_FORGET,
        };
        let mut gone = 0;
        for _ in 0..MAX_CHUNKS {
            let mut tx = self.begin().await?;
            let chunk = tx.run(sql, crate::values![before, CHUNK]).await?;
            tx.commit().await?;
            gone += chunk;
            if chunk < u64::from(CHUNK) {
                break;
            }
        }
        Ok(gone)
    }
}

impl EventRow {
    fn into_event(self) -> Event {
        Event {
            position: Position {
                major: self.major,
                minor: self.minor,
            },
            kind: self.kind,
            organisation: self.organisation_id.map(OrganisationId),
            subject: self.subject,
            detail: self
                .detail
                .and_then(|text| serde_json::from_str(&text).ok()),
            at: self.at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{Location, Value};

    #[derive(sqlx::FromRow)]
    struct PlanRow {
        detail: String,
    }

    #[tokio::test]
    async fn whoever_follows_reads_only_what_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().join("e.db"));
        let db = location.open().await.unwrap();
        for sql in [SQLITE_AFTER, SQLITE_LAST_UP_TO, AT] {
            let explain: &'static str =
                Box::leak(format!("EXPLAIN QUERY PLAN {sql}").into_boxed_str());
            let numbers = sql.matches('$').count();
            let values = [0i64, 7, 10].into_iter().take(numbers).map(Value::from);
            let plan: Vec<PlanRow> = db.all(explain, values.collect()).await.unwrap();
            let plan: Vec<String> = plan.into_iter().map(|row| row.detail).collect();
            assert!(
                plan.iter().all(|step| step.starts_with("SEARCH event")),
                "{sql}\n{plan:?}"
            );
        }
    }
}
