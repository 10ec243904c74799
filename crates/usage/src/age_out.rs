//! Sessions that ended long ago leave the table of the present.
//!
//! They move in chunks to `session_history`; a late report brings its row back, and it leaves again later.

use kernel::{Engine, Error, Kernel, Time};

/// How long a closed session stays in the table of the present.
pub const PRESENT_SECONDS: i64 = 48 * 3_600;
/// Rows of one transaction.
const CHUNK: i64 = 500;
/// Chunks of one run: the rest waits for the next.
const MAX_CHUNKS: usize = 200;

kernel::statements! {
    /// Statements that both engines run.
    pub STATEMENTS;
    FORGET = "DELETE FROM session_history WHERE stopped < $1";
}

// SQLite's one writer needs no locks but cannot delete inside a CTE; PostgreSQL passes over rows that a report is
// being applied to.
kernel::statements! {
    /// SQLite's own.
    pub SQLITE_STATEMENTS;
    SQLITE_MOVE = "INSERT INTO session_history
        SELECT * FROM session WHERE stopped IS NOT NULL AND stopped < $1 ORDER BY stopped, id LIMIT $2";
    SQLITE_REMOVE = "DELETE FROM session WHERE id IN
        (SELECT id FROM session WHERE stopped IS NOT NULL AND stopped < $1 ORDER BY stopped, id LIMIT $2)";
}
kernel::statements! {
    /// PostgreSQL's own.
    pub POSTGRES_STATEMENTS;
    POSTGRES_MOVE = "WITH gone AS (DELETE FROM session WHERE id IN
            (SELECT id FROM session WHERE stopped IS NOT NULL AND stopped < $1 ORDER BY stopped, id LIMIT $2
             FOR UPDATE SKIP LOCKED) RETURNING *)
        INSERT INTO session_history SELECT * FROM gone";
}

/// Moves what ended more than [`PRESENT_SECONDS`] ago; how many sessions that were. Run it every few minutes.
///
/// # Errors
/// [`Error::Engine`]; chunks that were committed stay moved.
pub async fn age_out(kernel: &Kernel) -> Result<u64, Error> {
    let before = kernel.now().plus_seconds(-PRESENT_SECONDS);
    let mut moved = 0;
    for _ in 0..MAX_CHUNKS {
        let chunk = move_chunk(kernel, before).await?;
        moved += chunk;
        if chunk == 0 {
            break;
        }
    }
    Ok(moved)
}

async fn move_chunk(kernel: &Kernel, before: Time) -> Result<u64, Error> {
    let values = || kernel::values![before, CHUNK];
    let mut tx = kernel.db.begin().await?;
    let moved = match tx.engine() {
        Engine::Sqlite => {
            tx.run(SQLITE_MOVE, values()).await?;
            tx.run(SQLITE_REMOVE, values()).await?
        }
        Engine::Postgres => tx.run(POSTGRES_MOVE, values()).await?,
    };
    tx.commit().await?;
    Ok(moved)
}

/// Deletes history that ended before `before`: the retention an operator has set.
///
/// # Errors
/// [`Error::Engine`].
pub async fn forget_sessions(kernel: &Kernel, before: Time) -> Result<u64, Error> {
    let mut tx = kernel.db.begin().await?;
    let gone = tx.run(FORGET, kernel::values![before]).await?;
    tx.commit().await?;
    Ok(gone)
}
