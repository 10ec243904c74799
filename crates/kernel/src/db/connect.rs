//! Opening a database by its address.

use super::patience::{self, ACQUIRE_TIMEOUT};
use super::{Db, Error};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Another process (an operator's command) may hold SQLite's write lock for a chunk of an import.
const BUSY_TIMEOUT: Duration = Duration::from_secs(15);
/// Readers of SQLite: more than the cores that could use them only costs file handles.
const SQLITE_READERS: u32 = 4;

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
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options.clone())
        .await
        .map_err(named)?;
    let readers = SqlitePoolOptions::new()
        .max_connections(SQLITE_READERS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options.create_if_missing(false))
        .await
        .map_err(named)?;
    Ok(Db::Lite { writer, readers })
}

async fn open_postgres(url: &str) -> Result<Db, Error> {
    let location = Location::Postgres(url.to_owned());
    let named = |e: sqlx::Error| Error::Location {
        location: location.to_string(),
        reason: e.to_string(),
    };
    let options = PgConnectOptions::from_str(url)
        .map_err(named)?
        .application_name("gatewarden");
    // A pool tries for as long as it may wait and then says only that: one connection tells the reason at once.
    let first = tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(&options));
    match first.await {
        Ok(connection) => {
            let _ = connection.map_err(named)?.close().await;
        }
        Err(_) => {
            return Err(Error::Location {
                location: location.to_string(),
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
