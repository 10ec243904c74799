//! How long PostgreSQL is waited for. A line may fall silent without an end: the other machine lost its power, a firewall
//! forgot the connection. Whoever waits for an answer on it waits for ever, and so does the pool that tests it.
//!
//! A statement that is not answered in time is an error like any other, and its connection is never used again. SQLite is
//! a file: nothing here is about it.

use super::Error;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection, Executor};
use std::io::{self, ErrorKind};
use std::time::Duration;
use tokio::time::timeout;

/// PostgreSQL connections of one process; its own default limit is 100 for everybody.
const CONNECTIONS: u32 = 10;
/// How long a free connection is waited for.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);
/// No statement of ours takes this long while all is well: transactions are kept under 250 ms, chunks under seconds.
const STATEMENT: Duration = Duration::from_secs(60);
/// A connection that says nothing to a ping for so long is dead. Less than [`ACQUIRE_TIMEOUT`], so that whoever waits for
/// one gets past several dead ones.
const PING: Duration = Duration::from_secs(3);
/// One that was used more recently is taken as it is.
const FRESH: Duration = Duration::from_secs(1);
/// A server process whose client is gone notices it while it waits for a lock, and lets go of its place: else each new
/// try would leave one more behind. PostgreSQL 14 has this, on Linux; elsewhere the word means nothing.
const LET_GO: &str = "SET client_connection_check_interval = '10s'";

/// Waits for a statement's answer.
pub(super) async fn answer<T>(
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Error> {
    match timeout(STATEMENT, work).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(silent(STATEMENT).into()),
    }
}

fn silent(waited: Duration) -> sqlx::Error {
    let text = format!("it has not answered for {} s", waited.as_secs());
    io::Error::new(ErrorKind::TimedOut, text).into()
}

async fn ping(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match timeout(PING, connection.ping()).await {
        Ok(answer) => answer.map(|()| true),
        Err(_) => Err(silent(PING)),
    }
}

/// A pool that lets nothing dead in and waits for nothing dead.
pub(super) async fn pool(options: PgConnectOptions) -> Result<PgPool, sqlx::Error> {
    settings().connect_with(options).await
}

/// The same, of a server that is not asked yet.
pub(super) fn pool_later(options: PgConnectOptions) -> PgPool {
    settings().connect_lazy_with(options)
}

fn settings() -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // The pool's own test would wait for ever.
        .test_before_acquire(false)
        .after_connect(|connection, _| {
            Box::pin(async move {
                let _ = timeout(PING, connection.execute(LET_GO)).await;
                Ok(())
            })
        })
        .before_acquire(|connection, about| {
            Box::pin(async move {
                match about.idle_for < FRESH {
                    true => Ok(true),
                    false => ping(connection).await,
                }
            })
        })
        // A connection that was given up in the middle of a statement comes back here, and is closed if it stays silent.
        .after_release(|connection, _| Box::pin(ping(connection)))
}
