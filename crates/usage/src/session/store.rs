//! Sessions in SQL: how a row is found, locked and brought back from history.

use super::{Restart, Session};
use kernel::id::Uuid;
use kernel::{Engine, Error, Tx, Value};
use std::collections::BTreeMap;

/// A NAS that uses one id for ever makes as many generations; the newest of them are looked at.
const MAX_GENERATIONS: i64 = 16;

kernel::statements! {
    /// Statements that both engines run.
    pub STATEMENTS;
    RESTORE = "INSERT INTO session SELECT * FROM session_history WHERE id = $1";
    FORGET_RESTORED = "DELETE FROM session_history WHERE id = $1";
}

/// Open sessions that began before a restart, as far as SQL can tell which box they were on: never too few.
/// `Restart::covers` decides. $5 to $7 are what the restart says about its box, $8 is a pattern for its radio, ($9, $3)
/// the place it goes on behind.
macro_rules! open_before {
    ($box:literal, $lock:literal) => {
        concat!(
            "SELECT s.* FROM session_open AS o CROSS JOIN session AS s
            WHERE s.id = o.id AND o.nas_id = $1 AND (o.nas_ip_address, o.id) > ($9, $3) AND s.started < $2 AND ",
            $box,
            " AND ($6 = '' OR s.nas_identifier IS NULL OR s.nas_identifier = $6)
              AND ($7 = '' OR s.called_station_id IS NULL OR UPPER(s.called_station_id) = UPPER($7)
                   OR UPPER(s.called_station_id) LIKE $8)
            ORDER BY o.nas_ip_address, o.id LIMIT $4",
            $lock
        )
    };
}

kernel::statements! {
    /// What a restart has ended, read without a lock.
    pub RESTART_STATEMENTS;
    OPEN_OF_NAS = open_before!("$5 = ''", "");
    OPEN_OF_BOX = open_before!("o.nas_ip_address = $5", "");
}

// SQLite has one writer, whose transaction is the lock; PostgreSQL locks the rows it reads. A batch names its keys as
// [[NAS, id, identity], …] to SQLite and as three arrays to PostgreSQL. They are in order, and so are the locks.
kernel::statements! {
    /// SQLite's own.
    pub SQLITE_STATEMENTS;
    SQLITE_LOCK_BY_KEYS = "SELECT s.* FROM json_each($1) AS k CROSS JOIN session AS s WHERE s.id IN
        (SELECT c.id FROM session AS c WHERE c.nas_id = unhex(k.value ->> 0) AND c.acct_session_id = k.value ->> 1
           AND c.identity = k.value ->> 2 ORDER BY c.generation DESC LIMIT $2)";
    SQLITE_HISTORY_BY_KEYS = "SELECT s.* FROM json_each($1) AS k CROSS JOIN session_history AS s WHERE s.id IN
        (SELECT c.id FROM session_history AS c WHERE c.nas_id = unhex(k.value ->> 0)
           AND c.acct_session_id = k.value ->> 1 AND c.identity = k.value ->> 2
         ORDER BY c.generation DESC LIMIT $2)";
    SQLITE_LOCK = "SELECT * FROM session WHERE id = $1";
}
kernel::statements! {
    /// PostgreSQL's own.
    pub POSTGRES_STATEMENTS;
    POSTGRES_LOCK_BY_KEYS = "SELECT s.* FROM UNNEST(CAST($1 AS UUID[]), CAST($2 AS TEXT[]), CAST($3 AS TEXT[]))
            AS k(nas, session_id, identity) CROSS JOIN LATERAL
        (SELECT * FROM session AS c WHERE c.nas_id = k.nas AND c.acct_session_id = k.session_id
           AND c.identity = k.identity ORDER BY c.generation DESC LIMIT $4 FOR UPDATE) AS s";
    POSTGRES_HISTORY_BY_KEYS = "SELECT s.* FROM UNNEST(CAST($1 AS UUID[]), CAST($2 AS TEXT[]), CAST($3 AS TEXT[]))
            AS k(nas, session_id, identity) CROSS JOIN LATERAL
        (SELECT * FROM session_history AS c WHERE c.nas_id = k.nas AND c.acct_session_id = k.session_id
           AND c.identity = k.identity ORDER BY c.generation DESC LIMIT $4) AS s";
    POSTGRES_LOCK = "SELECT * FROM session WHERE id = $1 FOR UPDATE";
    POSTGRES_LOCK_OPEN_OF_NAS = open_before!("$5 = ''", " FOR UPDATE OF s SKIP LOCKED");
    POSTGRES_LOCK_OPEN_OF_BOX = open_before!("o.nas_ip_address = $5", " FOR UPDATE OF s SKIP LOCKED");
    // Batches find rows by index one by one. Statistics that are not there yet, or a plan made while the table was
    // small, must not make that a walk through the whole table.
    POSTGRES_PLAN = "SELECT set_config('enable_hashjoin', 'off', TRUE), set_config('enable_mergejoin', 'off', TRUE),
        set_config('enable_seqscan', 'off', TRUE), set_config('enable_bitmapscan', 'off', TRUE),
        set_config('jit', 'off', TRUE), set_config('plan_cache_mode', 'force_generic_plan', TRUE)";
}

/// What reports name a session by. Writers lock in the order of keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The NAS.
    pub nas: Uuid,
    /// Its id for the session.
    pub session_id: String,
    /// Whose.
    pub identity: String,
}

impl Key {
    /// The key of a session.
    pub fn of(session: &Session) -> Key {
        Key {
            nas: session.nas_id,
            session_id: session.acct_session_id.clone(),
            identity: session.identity.clone(),
        }
    }
}

/// Sessions by key, the newest generations of each; a key that has none is not among them.
pub type ByKey = BTreeMap<Key, Vec<Session>>;

/// Lets PostgreSQL plan the transaction's statements for batches.
///
/// # Errors
/// [`Error::Engine`].
pub async fn plan(tx: &mut Tx) -> Result<(), Error> {
    if tx.engine() == Engine::Postgres {
        tx.run(POSTGRES_PLAN, Vec::new()).await?;
    }
    Ok(())
}

/// Reads and locks the sessions of keys in the table of the present, in the order of the keys.
///
/// # Errors
/// [`Error::Engine`].
pub async fn lock(tx: &mut Tx, keys: &[&Key]) -> Result<ByKey, Error> {
    let sql = match tx.engine() {
        Engine::Sqlite => SQLITE_LOCK_BY_KEYS,
        Engine::Postgres => POSTGRES_LOCK_BY_KEYS,
    };
    by_key(tx, sql, keys).await
}

/// Reads the sessions of keys that have moved to history.
///
/// # Errors
/// [`Error::Engine`].
pub async fn history(tx: &mut Tx, keys: &[&Key]) -> Result<ByKey, Error> {
    let sql = match tx.engine() {
        Engine::Sqlite => SQLITE_HISTORY_BY_KEYS,
        Engine::Postgres => POSTGRES_HISTORY_BY_KEYS,
    };
    by_key(tx, sql, keys).await
}

async fn by_key(tx: &mut Tx, sql: &'static str, keys: &[&Key]) -> Result<ByKey, Error> {
    let mut found = ByKey::new();
    if keys.is_empty() {
        return Ok(found);
    }
    let values = match tx.engine() {
        Engine::Postgres => vec![
            Value::Uuids(keys.iter().map(|key| Some(key.nas)).collect()),
            Value::Texts(
                keys.iter()
                    .map(|key| Some(key.session_id.clone()))
                    .collect(),
            ),
            Value::Texts(keys.iter().map(|key| Some(key.identity.clone())).collect()),
            Value::from(MAX_GENERATIONS),
        ],
        Engine::Sqlite => {
            let keys = keys.iter().map(|key| {
                serde_json::json!([key.nas.simple().to_string(), key.session_id, key.identity])
            });
            kernel::values![
                serde_json::Value::from_iter(keys).to_string(),
                MAX_GENERATIONS
            ]
        }
    };
    let rows: Vec<Session> = tx.all(sql, values).await?;
    for row in rows {
        found.entry(Key::of(&row)).or_default().push(row);
    }
    Ok(found)
}

/// Reads and locks one session by its id; history is not looked at.
///
/// # Errors
/// [`Error::Engine`].
pub async fn lock_one(tx: &mut Tx, id: Uuid) -> Result<Option<Session>, Error> {
    let sql = match tx.engine() {
        Engine::Sqlite => SQLITE_LOCK,
        Engine::Postgres => POSTGRES_LOCK,
    };
    tx.first(sql, kernel::values![id]).await
}

/// How [`open_before`] treats rows that another writer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// They are passed over, and what is given is locked: the caller comes again.
    Skipped,
    /// They are given as they were last committed, and nothing is locked.
    Included,
}

/// Where a walk through the open sessions of a NAS stands: behind this address and id.
pub type Place = (String, Uuid);

/// Reads open sessions that a restart may have ended, in the order of addresses and ids: those behind `after`. Ask
/// [`Restart::covers`] about each.
///
/// # Errors
/// [`Error::Engine`].
pub async fn open_before(
    tx: &mut Tx,
    restart: &Restart,
    held: Held,
    after: &Place,
    limit: i64,
) -> Result<Vec<Session>, Error> {
    let knows_address = !restart.nas_ip_address.is_empty();
    let sql = match (tx.engine(), held, knows_address) {
        (Engine::Postgres, Held::Skipped, true) => POSTGRES_LOCK_OPEN_OF_BOX,
        (Engine::Postgres, Held::Skipped, false) => POSTGRES_LOCK_OPEN_OF_NAS,
        (_, _, true) => OPEN_OF_BOX,
        (_, _, false) => OPEN_OF_NAS,
    };
    let values = kernel::values![
        restart.nas_id,
        restart.at,
        after.1,
        limit,
        &restart.nas_ip_address,
        &restart.nas_identifier,
        &restart.called_station_id,
        radio_pattern(&restart.called_station_id),
        &after.0,
    ];
    tx.all(sql, values).await
}

/// Every Called-Station-Id of a radio, whatever stands between the octets; nothing for what names no radio.
fn radio_pattern(called_station_id: &str) -> String {
    match proof::Mac::split(called_station_id.as_bytes()) {
        Some((radio, [])) => radio
            .octets()
            .iter()
            .map(|octet| format!("{octet:02X}%"))
            .collect(),
        _ => String::new(),
    }
}

/// Brings a session back from history.
///
/// # Errors
/// [`Error::Engine`]; [`Error::Conflict`] when another node has brought it back meanwhile: the next try finds it in the
/// table of the present.
pub async fn restore(tx: &mut Tx, id: Uuid) -> Result<(), Error> {
    let moved = tx.run(RESTORE, kernel::values![id]).await?;
    let gone = tx.run(FORGET_RESTORED, kernel::values![id]).await?;
    if (moved, gone) == (1, 1) {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "session {id} was brought back from history by another node meanwhile"
    )))
}

#[cfg(test)]
mod tests;
