//! Opening a database by its address.

use super::patience::{self, ACQUIRE_TIMEOUT};
use super::{Db, Error};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqlitePool};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Another process (an operator's command) may hold SQLite's write lock for a chunk of an import.
const BUSY_TIMEOUT: Duration = Duration::from_secs(15);
/// What SQLite's writer keeps of the file in memory, negative for KiB: the pages of some ten thousand open sessions and
/// their indexes, which every batch of reports goes to. SQLite's own 2 MB are read and written over and over.
const WRITER_CACHE: &str = "-16384";
/// Pages of the log at which it is folded into the file: a page that was written often meanwhile goes there once.
const WRITER_FOLDS_AT: &str = "4000";
/// Readers of SQLite: more than the cores that could use them only costs file handles.
const SQLITE_READERS: u32 = 4;
/// Looks at a file that another process is just making, and the wait between them.
const FRESH_TRIES: u32 = 100;
const FRESH_WAIT: Duration = Duration::from_millis(20);

/// Where a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A file.
    Sqlite(PathBuf),
    /// `postgres://user@host/name`.
    Postgres(String),
}

impl Location {
    /// Reads `postgres://…`, `postgresql://…`, `sqlite:PATH` or a path.
    ///
    /// # Errors
    /// [`Error::Location`] for any other scheme.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Location::Postgres(text.to_owned()));
        }
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return Ok(Location::Sqlite(PathBuf::from(path)));
        }
        match text.split_once("://") {
            Some((scheme, _)) => Err(Error::Location {
                location: format!("{scheme}://…"),
                reason: format!(
                    "'{scheme}' is not a database; write postgres://user@host/name or sqlite:PATH"
                ),
            }),
            None if text.is_empty() => Err(Error::Location {
                location: String::new(),
                reason: "it is empty; write postgres://user@host/name or sqlite:PATH".into(),
            }),
            None => Ok(Location::Sqlite(PathBuf::from(text))),
        }
    }

    /// Opens it and brings its schema up to date.
    ///
    /// # Errors
    /// [`Error::Location`] when it cannot be reached or read, [`Error::Migration`] when its schema is not ours.
    pub async fn open(&self) -> Result<Db, Error> {
        let db = self.connect().await?;
        db.migrate().await?;
        Ok(db)
    }

    /// Opens it as it is.
    ///
    /// # Errors
    /// [`Error::Location`].
    pub async fn connect(&self) -> Result<Db, Error> {
        match self {
            Location::Sqlite(path) => open_sqlite(path).await,
            Location::Postgres(url) => open_postgres(url).await,
        }
    }

    /// A database on a server that is not asked yet: every use of it tries to reach it. A file is opened as it is.
    ///
    /// # Errors
    /// [`Error::Location`] when the address makes no sense, or the file cannot be opened.
    pub async fn connect_lazily(&self) -> Result<Db, Error> {
        match self {
            Location::Sqlite(path) => open_sqlite(path).await,
            Location::Postgres(url) => {
                let options = postgres_options(url)?;
                Ok(Db::Pg(patience::pool_later(options)))
            }
        }
    }
}

/// Without user and password: for error texts.
impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Location::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Location::Postgres(url) => {
                let rest = url.split_once("://").map_or("", |(_, rest)| rest);
                let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
                write!(f, "postgres://{}", rest.split('?').next().unwrap_or(rest))
            }
        }
    }
}

async fn open_sqlite(path: &Path) -> Result<Db, Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // The journal's segments are released once SQL holds them: that must mean the disk, not a cache.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT);
    let named = |e: sqlx::Error| Error::Location {
        location: format!("sqlite:{}", path.display()),
        reason: e.to_string(),
    };
    let writing = options
        .clone()
        .pragma("cache_size", WRITER_CACHE)
        .pragma("wal_autocheckpoint", WRITER_FOLDS_AT);
    let writer = open_writer(&writing).await.map_err(named)?;
    let readers = SqlitePoolOptions::new()
        .max_connections(SQLITE_READERS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options.create_if_missing(false))
        .await
        .map_err(named)?;
    Ok(Db::Lite { writer, readers })
}

/// The one connection that writes. A fresh file becomes one with a log when it is first opened: SQLite does not wait for
/// another process that is just about to do so, but says at once that the file is locked.
async fn open_writer(options: &SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    let mut tries = FRESH_TRIES;
    loop {
        let opened = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.clone())
            .await;
        match opened {
            Err(sqlx::Error::Database(e)) if tries > 0 && e.message().contains("locked") => {
                tries -= 1;
                tokio::time::sleep(FRESH_WAIT).await;
            }
            opened => return opened,
        }
    }
}

/// An error with the address, but without what is secret in it.
fn named_postgres(url: &str, e: &sqlx::Error) -> Error {
    Error::Location {
        location: Location::Postgres(url.to_owned()).to_string(),
        reason: e.to_string(),
    }
}

fn postgres_options(url: &str) -> Result<PgConnectOptions, Error> {
    let options = PgConnectOptions::from_str(url).map_err(|e| named_postgres(url, &e))?;
    Ok(options.application_name("gatewarden"))
}

async fn open_postgres(url: &str) -> Result<Db, Error> {
    let named = |e: sqlx::Error| named_postgres(url, &e);
    let options = postgres_options(url)?;
    // A pool tries for as long as it may wait and then says only that: one connection tells the reason at once.
    let first = tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(&options));
    match first.await {
        Ok(connection) => {
            let _ = connection.map_err(named)?.close().await;
        }
        Err(_) => {
            return Err(Error::Location {
                location: Location::Postgres(url.to_owned()).to_string(),
                reason: "it does not answer".into(),
            });
        }
    }
    let pool = patience::pool(options).await.map_err(named)?;
    Ok(Db::Pg(pool))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_file_or_postgres() {
        assert_eq!(
            Location::parse("sqlite:/a/b.db").ok(),
            Some(Location::Sqlite("/a/b.db".into()))
        );
        assert_eq!(
            Location::parse("postgres://u@h/d").ok(),
            Some(Location::Postgres("postgres://u@h/d".into()))
        );
        assert!(Location::parse("mysql://u:secret@h/d").is_err());
        assert!(Location::parse("").is_err());
    }

    #[test]
    fn a_password_is_never_shown() {
        let location = Location::Postgres("postgres://u:secret@h:5432/d?sslmode=require".into());
        assert_eq!(location.to_string(), "postgres://h:5432/d");
        let refused = Location::parse("mysql://u:secret@h/d")
            .err()
            .map(|e| e.to_string());
        assert!(refused.is_some_and(|text| !text.contains("secret")));
    }
}
