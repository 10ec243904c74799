//! One SQL text, two engines.
//!
//! A room declares its statements with [`statements!`](crate::statements) and runs them through [`Db`] (reads) or
//! [`Tx`] (everything that writes). Parameters are [`Value`]s; rows are structs with `#[derive(sqlx::FromRow)]`.
//!
//! Rules of the shared text: `$1` parameters; `ON CONFLICT`, `RETURNING`, CTEs and window functions as both engines
//! speak them; no `now()`, no date arithmetic, no arrays, no `ILIKE`; `CAST(SUM(x) AS BIGINT)`; nullable parameters
//! are cast where PostgreSQL cannot infer them. Statements that must differ lie beside each other in one file of the
//! room that owns the table and are chosen by [`Db::engine`].

mod connect;
mod look;
mod many;
mod migrate;
mod patience;
mod value;

pub use connect::Location;
pub use look::{
    About, Holder, POSTGRES_STATEMENTS as POSTGRES_LOOK_STATEMENTS,
    SQLITE_STATEMENTS as SQLITE_LOOK_STATEMENTS, STATEMENTS as LOOK_STATEMENTS,
};
pub use many::{Many, POSTGRES_STATEMENTS, SQLITE_STATEMENTS};
pub use value::{Row, Value};

use sqlx::{PgPool, Postgres, Sqlite, SqlitePool, Transaction};

/// What can go wrong between a room and its rows.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of the database cannot be read.
    #[error("database '{location}': {reason}")]
    Location {
        /// As given, without its password.
        location: String,
        /// Why not.
        reason: String,
    },
    /// The engine refused or could not be reached.
    #[error("database: {0}")]
    Engine(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("database schema: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A row that was asked for is not there.
    #[error("{0}")]
    NotFound(String),
    /// A row that is to be made is there already, or a rule forbids the change.
    #[error("{0}")]
    Conflict(String),
    /// What was given cannot be stored as it is.
    #[error("{0}")]
    Invalid(String),
    /// A sealed value cannot be opened.
    #[error(transparent)]
    Seal(#[from] crate::seal::SealError),
}

impl Error {
    /// Whether a unique index refused the row.
    pub fn is_duplicate(&self) -> bool {
        matches!(self, Error::Engine(sqlx::Error::Database(e)) if e.is_unique_violation())
    }

    /// Whether the database is there, and its schema is not one that this program can work with: waiting does not help.
    pub fn is_foreign_schema(&self) -> bool {
        use sqlx::migrate::MigrateError;
        match self {
            Error::Migration(MigrateError::Execute(_)) => false,
            Error::Migration(_) => true,
            _ => false,
        }
    }
}

/// Which engine is behind a [`Db`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Embedded SQLite, in WAL mode.
    Sqlite,
    /// PostgreSQL 14 or later.
    Postgres,
}

/// The database: cheap to clone.
#[derive(Clone)]
pub enum Db {
    /// One writer connection, several readers.
    Lite {
        /// The one connection that writes.
        writer: SqlitePool,
        /// Connections that only read.
        readers: SqlitePool,
    },
    /// A pool.
    Pg(PgPool),
}

/// A transaction. Nothing is kept unless [`Tx::commit`] is called. Keep it under 250 ms: a long one holds back every
/// reader of events.
pub enum Tx {
    /// SQLite, begun IMMEDIATE.
    Lite(Transaction<'static, Sqlite>),
    /// PostgreSQL.
    Pg(Transaction<'static, Postgres>),
}

impl Db {
    /// Which engine this is.
    pub fn engine(&self) -> Engine {
        match self {
            Db::Lite { .. } => Engine::Sqlite,
            Db::Pg(_) => Engine::Postgres,
        }
    }

    /// All rows.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn all<T: Row>(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<T>, Error> {
        Ok(match self {
            Db::Lite { readers, .. } => value::lite_as(sql, values).fetch_all(readers).await?,
            Db::Pg(pool) => patience::answer(value::pg_as(sql, values).fetch_all(pool)).await?,
        })
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn first<T: Row>(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Option<T>, Error> {
        Ok(match self {
            Db::Lite { readers, .. } => value::lite_as(sql, values).fetch_optional(readers).await?,
            Db::Pg(pool) => {
                patience::answer(value::pg_as(sql, values).fetch_optional(pool)).await?
            }
        })
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn begin(&self) -> Result<Tx, Error> {
        Ok(match self {
            Db::Lite { writer, .. } => Tx::Lite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Db::Pg(pool) => Tx::Pg(patience::answer(pool.begin()).await?),
        })
    }

    /// Asks both engines to parse a statement, without running it.
    ///
    /// # Errors
    /// What the engine says is wrong with it.
    pub async fn prepare(&self, sql: &'static str) -> Result<(), Error> {
        use sqlx::{Executor, SqlSafeStr};
        match self {
            Db::Lite { readers, .. } => {
                readers.prepare(sql.into_sql_str()).await?;
            }
            Db::Pg(pool) => {
                pool.prepare(sql.into_sql_str()).await?;
            }
        }
        Ok(())
    }

    /// Closes every connection; SQLite's log is folded into its file.
    pub async fn close(&self) {
        match self {
            Db::Lite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Db::Pg(pool) => pool.close().await,
        }
    }
}

impl Tx {
    /// Which engine this is.
    pub fn engine(&self) -> Engine {
        match self {
            Tx::Lite(_) => Engine::Sqlite,
            Tx::Pg(_) => Engine::Postgres,
        }
    }

    /// Runs a statement; how many rows it touched.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn run(&mut self, sql: &'static str, values: Vec<Value>) -> Result<u64, Error> {
        Ok(match self {
            Tx::Lite(tx) => value::lite(sql, values)
                .execute(&mut **tx)
                .await?
                .rows_affected(),
            Tx::Pg(tx) => patience::answer(value::pg(sql, values).execute(&mut **tx))
                .await?
                .rows_affected(),
        })
    }

    /// All rows of a query or of a statement with RETURNING.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn all<T: Row>(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<T>, Error> {
        Ok(match self {
            Tx::Lite(tx) => value::lite_as(sql, values).fetch_all(&mut **tx).await?,
            Tx::Pg(tx) => patience::answer(value::pg_as(sql, values).fetch_all(&mut **tx)).await?,
        })
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn first<T: Row>(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Option<T>, Error> {
        Ok(match self {
            Tx::Lite(tx) => {
                value::lite_as(sql, values)
                    .fetch_optional(&mut **tx)
                    .await?
            }
            Tx::Pg(tx) => {
                patience::answer(value::pg_as(sql, values).fetch_optional(&mut **tx)).await?
            }
        })
    }

    /// Makes it all true at once.
    ///
    /// # Errors
    /// [`Error::Engine`]; then nothing is.
    pub async fn commit(self) -> Result<(), Error> {
        match self {
            Tx::Lite(tx) => tx.commit().await?,
            Tx::Pg(tx) => patience::answer(tx.commit()).await?,
        }
        Ok(())
    }

    /// Makes none of it true.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn rollback(self) -> Result<(), Error> {
        match self {
            Tx::Lite(tx) => tx.rollback().await?,
            Tx::Pg(tx) => patience::answer(tx.rollback()).await?,
        }
        Ok(())
    }
}

/// Declares a file's statements and a list of them all, which a test prepares on both engines.
///
/// ```
/// kernel::statements! {
///     /// Name of the list.
///     pub ALL;
///     /// One organisation by its slug.
///     ORGANISATION_BY_SLUG = "SELECT id FROM organisation WHERE slug = $1";
/// }
/// ```
#[macro_export]
macro_rules! statements {
    ($(#[$list_meta:meta])* $vis:vis $list:ident; $($(#[$meta:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$meta])* #[allow(missing_docs)] $vis const $name: &str = $sql;)*
        $(#[$list_meta])*
        $vis const $list: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

/// A parameter list from anything a [`Value`] can be made of.
#[macro_export]
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::Value::from($value)),*] };
}
