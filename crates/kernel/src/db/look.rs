//! A look at the database itself, for `status` and `doctor`: whether it answers, what it is, how its clock goes, and who
//! keeps a transaction open.
//!
//! What others ask of the database is none of our business: the text of a query must **never** be read here.

use super::{Db, Engine, Error};
use crate::Time;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Transactions named: whoever holds events back is among the oldest.
const MAX_HOLDERS: i64 = 8;

crate::statements! {
    /// Statements of this file that both engines have.
    pub STATEMENTS;
    ANSWERS = "SELECT CAST(1 AS BIGINT) AS number";
    SCHEMA = "SELECT CAST(MAX(version) AS BIGINT) AS number FROM _sqlx_migrations WHERE success = $1";
}

crate::statements! {
    /// Statements of this file that only SQLite has.
    pub SQLITE_STATEMENTS;
    SQLITE_ABOUT = "SELECT sqlite_version() AS version, CAST(NULL AS BIGINT) AS micros, CAST(NULL AS TEXT) AS tls";
}

crate::statements! {
    /// Statements of this file that only PostgreSQL has.
    pub POSTGRES_STATEMENTS;
    POSTGRES_ABOUT = "SELECT CAST(current_setting('server_version') AS TEXT) AS version,
            CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) AS micros,
            (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls";
    // Transaction numbers are one sequence for the whole server: another database's transaction holds events back, too.
    POSTGRES_HOLDERS = "SELECT CAST(pid AS BIGINT) AS pid, CAST(usename AS TEXT) AS usename, application_name,
            CAST(datname AS TEXT) AS datname, CAST(client_addr AS TEXT) AS client, state,
            CAST(EXTRACT(EPOCH FROM clock_timestamp() - xact_start) AS BIGINT) AS seconds
        FROM pg_stat_activity
        WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
        ORDER BY xact_start LIMIT $1";
    POSTGRES_PREPARED = "SELECT CAST(NULL AS BIGINT) AS pid, CAST(owner AS TEXT) AS usename, gid AS application_name,
            CAST(database AS TEXT) AS datname, CAST(NULL AS TEXT) AS client, 'prepared' AS state,
            CAST(EXTRACT(EPOCH FROM clock_timestamp() - prepared) AS BIGINT) AS seconds
        FROM pg_prepared_xacts ORDER BY prepared LIMIT $1";
}

#[derive(sqlx::FromRow)]
struct NumberRow {
    number: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct AboutRow {
    version: String,
    micros: Option<i64>,
    tls: Option<String>,
}

#[derive(sqlx::FromRow)]
struct HolderRow {
    pid: Option<i64>,
    usename: Option<String>,
    application_name: Option<String>,
    datname: Option<String>,
    client: Option<String>,
    state: Option<String>,
    seconds: Option<i64>,
}

/// What a database says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its version.
    pub version: String,
    /// Its clock, where it has one of its own.
    pub clock: Option<Time>,
    /// The version of TLS that this connection is protected with.
    pub tls: Option<String>,
    /// How long it took to answer.
    pub round_trip_micros: u64,
}

/// An open transaction that has written: events after it are told only when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The server process that runs it; `None` for a prepared transaction.
    pub pid: Option<i64>,
    /// The role that began it.
    pub user: String,
    /// The program's name for itself, or the name of a prepared transaction.
    pub application: String,
    /// In which database.
    pub database: String,
    /// From which address.
    pub client: Option<String>,
    /// What it is doing: `active`, `idle in transaction`, `prepared`.
    pub state: String,
    /// For how long it has been open.
    pub seconds: i64,
}

impl Db {
    /// Whether it answers, and how long that takes.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn ping(&self) -> Result<Duration, Error> {
        let asked = Instant::now();
        self.first::<NumberRow>(ANSWERS, Vec::new()).await?;
        Ok(asked.elapsed())
    }

    /// The number of the newest migration that it has.
    ///
    /// # Errors
    /// [`Error::Engine`]; a database that was never opened with a schema has none.
    pub async fn schema_version(&self) -> Result<Option<i64>, Error> {
        let row: Option<NumberRow> = self.first(SCHEMA, crate::values![true]).await?;
        Ok(row.and_then(|row| row.number))
    }

    /// What it says about itself.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn about(&self) -> Result<About, Error> {
        let sql = match self.engine() {
            Engine::Sqlite => SQLITE_ABOUT,
            Engine::Postgres => POSTGRES_ABOUT,
        };
        // The first question on a new connection has to be prepared; the round trip is measured by another.
        let row: Option<AboutRow> = self.first(sql, Vec::new()).await?;
        let round_trip = self.ping().await?;
        let row = row.ok_or_else(|| Error::NotFound("the database says nothing".into()))?;
        Ok(About {
            version: row.version,
            clock: row.micros.map(Time::from_unix_micros),
            tls: row.tls,
            round_trip_micros: u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX),
        })
    }

    /// Open transactions that have written, the oldest first. SQLite has one writer, which every reader waits for by
    /// itself: nothing holds events back there.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn holders(&self) -> Result<Vec<Holder>, Error> {
        if self.engine() == Engine::Sqlite {
            return Ok(Vec::new());
        }
        let mut rows: Vec<HolderRow> = self
            .all(POSTGRES_HOLDERS, crate::values![MAX_HOLDERS])
            .await?;
        rows.extend(
            self.all::<HolderRow>(POSTGRES_PREPARED, crate::values![MAX_HOLDERS])
                .await?,
        );
        let text = |text: Option<String>| text.unwrap_or_default();
        let mut holders: Vec<Holder> = rows
            .into_iter()
            .map(|row| Holder {
                pid: row.pid,
                user: text(row.usename),
                application: text(row.application_name),
                database: text(row.datname),
                client: row.client,
                state: text(row.state),
                seconds: row.seconds.unwrap_or(0).max(0),
            })
            .collect();
        holders.sort_by_key(|holder| -holder.seconds);
        Ok(holders)
    }
}
