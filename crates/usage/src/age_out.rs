//! Sessions that ended long ago leave the table of the present.
//!
//! They move in chunks to `session_history`; a late report brings its row back, and it leaves again later.

use crate::forget::Run;
use kernel::id::Uuid;
use kernel::{Engine, Error, Kernel, Time, Value};

/// How long a closed session stays in the table of the present.
pub const PRESENT_SECONDS: i64 = 48 * 3_600;
/// Rows of one transaction.
const CHUNK: i64 = 500;
/// Chunks of one run: the rest waits for the next.
const MAX_CHUNKS: usize = 200;

kernel::statements! {
    /// Statements that both engines run.
    pub STATEMENTS;
    FORGET = "DELETE FROM session_history WHERE id IN
        (SELECT id FROM session_history WHERE stopped < $1 ORDER BY stopped LIMIT $2)";
}

// No index knows when a session ended (see the migration): the walk goes by begin. It passes over what is old and goes on,
// once a run. PostgreSQL also passes over rows that a report is being applied to.
macro_rules! ended_before {
    ($lock:literal) => {
        concat!(
            "SELECT id, started FROM session
            WHERE (started, id) > ($1, $2) AND started < $3 AND stopped < $3 ORDER BY started, id LIMIT $4",
            $lock
        )
    };
}
kernel::statements! {
    /// SQLite's own.
    pub SQLITE_STATEMENTS;
    SQLITE_ENDED = ended_before!("");
    SQLITE_MOVE = "INSERT INTO session_history
        SELECT * FROM session WHERE id IN (SELECT unhex(value) FROM json_each($1))";
    SQLITE_REMOVE = "DELETE FROM session WHERE id IN (SELECT unhex(value) FROM json_each($1))";
}
kernel::statements! {
    /// PostgreSQL's own.
    pub POSTGRES_STATEMENTS;
    POSTGRES_ENDED = ended_before!(" FOR UPDATE SKIP LOCKED");
    POSTGRES_MOVE = "WITH gone AS (DELETE FROM session WHERE id = ANY(CAST($1 AS UUID[])) RETURNING *)
        INSERT INTO session_history SELECT * FROM gone";
}

#[derive(sqlx::FromRow)]
struct Ended {
    id: Uuid,
    started: Time,
}

/// Moves what ended more than [`PRESENT_SECONDS`] ago; how many sessions that were. Run it every few minutes.
///
/// # Errors
/// [`Error::Engine`]; chunks that were committed stay moved.
pub async fn age_out(kernel: &Kernel) -> Result<u64, Error> {
    let before = kernel.now().plus_seconds(-PRESENT_SECONDS);
    let mut moved = 0;
    let mut place = (Time::from_unix_micros(0), Uuid::nil());
    for _ in 0..MAX_CHUNKS {
        let chunk = move_chunk(kernel, before, &mut place).await?;
        moved += chunk;
        if chunk == 0 {
            break;
        }
    }
    Ok(moved)
}

async fn move_chunk(kernel: &Kernel, before: Time, place: &mut (Time, Uuid)) -> Result<u64, Error> {
    let mut tx = kernel.db.begin().await?;
    let values = kernel::values![place.0, place.1, before, CHUNK];
    let ended: Vec<Ended> = match tx.engine() {
        Engine::Sqlite => tx.all(SQLITE_ENDED, values).await?,
        Engine::Postgres => tx.all(POSTGRES_ENDED, values).await?,
    };
    let Some(last) = ended.last() else {
        tx.rollback().await?;
        return Ok(0);
    };
    *place = (last.started, last.id);
    let ids = || vec![Value::Uuids(ended.iter().map(|row| Some(row.id)).collect())];
    let moved = match tx.engine() {
        Engine::Sqlite => {
            tx.run(SQLITE_MOVE, ids()).await?;
            tx.run(SQLITE_REMOVE, ids()).await?
        }
        Engine::Postgres => tx.run(POSTGRES_MOVE, ids()).await?,
    };
    tx.commit().await?;
    Ok(moved)
}

/// Deletes history that ended before `before`, in short transactions: the retention an operator has set.
///
/// # Errors
/// [`Error::Engine`]; what was committed stays deleted.
pub async fn forget_sessions(kernel: &Kernel, before: Time) -> Result<u64, Error> {
    let run = Run {
        rows: CHUNK,
        chunks: MAX_CHUNKS,
    };
    run.forget(kernel, FORGET, before).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{INTERIM, START, STOP, Sent, at, house};

    #[tokio::test]
    async fn history_that_fills_several_transactions_moves_and_is_forgotten_whole() {
        let house = house().await;
        let count = 2 * CHUNK.unsigned_abs() + 1;
        let ended = |n| Sent::bare(STOP, 0).put(44, format!("s{n}").as_bytes());
        let all: Vec<Sent> = (0..count).map(ended).collect();
        for batch in all.chunks(300) {
            house.apply(batch).await;
        }
        house.apply(&[Sent::new(STOP, 60)]).await;
        house.clock.advance_seconds(PRESENT_SECONDS + 100);
        assert_eq!(age_out(&house.kernel).await.ok(), Some(count + 1));
        assert_eq!(
            forget_sessions(&house.kernel, at(60)).await.ok(),
            Some(count)
        );
        let left = house.past().await;
        assert_eq!(
            left.iter().map(|row| row.stopped).collect::<Vec<_>>(),
            [Some(at(60))]
        );
    }

    #[tokio::test]
    async fn usage_and_unread_reports_are_forgotten_by_their_age() {
        let house = house().await;
        let late = Sent::new(INTERIM, 2 * 86_400)
            .counts(90, 9, 9)
            .put(44, b"s2");
        house
            .apply(&[
                Sent::new(INTERIM, 60).counts(60, 5, 5),
                Sent::bare(START, 0),
            ])
            .await;
        house.apply(&[late]).await;
        let days = async || {
            let rows = house.usage().await;
            rows.into_iter()
                .map(|row| row.1)
                .collect::<std::collections::BTreeSet<_>>()
                .len()
        };
        // What was used between the two reports belongs to the day between them, too.
        assert_eq!((days().await, house.unreadable().await), (3, 1));
        let (kernel, before) = (&house.kernel, at(86_400));
        assert_eq!(
            crate::counters::forget_usage(kernel, before).await.ok(),
            Some(1)
        );
        assert_eq!(crate::forget_unreadable(kernel, at(0)).await.ok(), Some(0));
        assert_eq!(crate::forget_unreadable(kernel, before).await.ok(), Some(1));
        assert_eq!((days().await, house.unreadable().await), (2, 0));
    }
}
