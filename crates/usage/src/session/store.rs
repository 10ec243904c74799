//! Sessions in SQL: how a row is found, locked, brought back from history and written.

use super::{BadLedger, Restart, Session};
use kernel::id::Uuid;
use kernel::{Engine, Error, Tx};
use std::collections::BTreeMap;

/// A NAS that uses one id for ever makes as many generations; the newest of them are looked at.
const MAX_GENERATIONS: i64 = 16;

kernel::statements! {
    /// Statements that both engines run.
    pub STATEMENTS;
    RESTORE = "INSERT INTO session SELECT * FROM session_history WHERE id = $1";
    FORGET_RESTORED = "DELETE FROM session_history WHERE id = $1";
    WRITE = "INSERT INTO session (id, organisation_id, nas_id, membership_id, acct_session_id, identity, generation,
            unique_id, username, realm, group_name, nas_ip_address, nas_identifier, nas_port_id, nas_port_type,
            service_type, framed_protocol, authentication, called_station_id, calling_station_id,
            connection_info_start, connection_info_stop, framed_ip_address, framed_ipv6_address, framed_ipv6_prefix,
            delegated_ipv6_prefix, framed_interface_id, multi_session_id, class, started, updated, stopped,
            interval_seconds, session_seconds, input_octets, output_octets, input_packets, output_packets, wraps,
            terminate_cause, reported, reports, other, ledger)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
            $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43,
            $44)
        ON CONFLICT (id) DO UPDATE SET membership_id = excluded.membership_id, username = excluded.username,
            realm = excluded.realm, group_name = excluded.group_name, nas_ip_address = excluded.nas_ip_address,
            nas_identifier = excluded.nas_identifier, nas_port_id = excluded.nas_port_id,
            nas_port_type = excluded.nas_port_type, service_type = excluded.service_type,
            framed_protocol = excluded.framed_protocol, authentication = excluded.authentication,
            called_station_id = excluded.called_station_id, calling_station_id = excluded.calling_station_id,
            connection_info_start = excluded.connection_info_start,
            connection_info_stop = excluded.connection_info_stop, framed_ip_address = excluded.framed_ip_address,
            framed_ipv6_address = excluded.framed_ipv6_address, framed_ipv6_prefix = excluded.framed_ipv6_prefix,
            delegated_ipv6_prefix = excluded.delegated_ipv6_prefix,
            framed_interface_id = excluded.framed_interface_id, multi_session_id = excluded.multi_session_id,
            class = excluded.class, started = excluded.started, updated = excluded.updated,
            stopped = excluded.stopped, interval_seconds = excluded.interval_seconds,
            session_seconds = excluded.session_seconds, input_octets = excluded.input_octets,
            output_octets = excluded.output_octets, input_packets = excluded.input_packets,
            output_packets = excluded.output_packets, wraps = excluded.wraps,
            terminate_cause = excluded.terminate_cause, reported = excluded.reported, reports = excluded.reports,
            other = excluded.other, ledger = excluded.ledger";
}

/// Open sessions that began before a restart, as far as SQL can tell which box they were on: never too few.
/// `Restart::covers` decides. $5 to $7 are what the restart says about its box, $8 is a pattern for its radio.
macro_rules! open_before {
    ($box:literal, $lock:literal) => {
        concat!(
            "SELECT * FROM session WHERE stopped IS NULL AND nas_id = $1 AND started < $2 AND id > $3 AND ",
            $box,
            " AND ($6 = '' OR nas_identifier IS NULL OR nas_identifier = $6)
              AND ($7 = '' OR called_station_id IS NULL OR UPPER(called_station_id) = UPPER($7)
                   OR UPPER(called_station_id) LIKE $8)
            ORDER BY id LIMIT $4",
            $lock
        )
    };
}

kernel::statements! {
    /// What a restart has ended, read without a lock.
    pub RESTART_STATEMENTS;
    OPEN_OF_NAS = open_before!("$5 = ''", "");
    OPEN_OF_BOX = open_before!("nas_ip_address = $5", "");
}

// SQLite has one writer, whose transaction is the lock; PostgreSQL locks the rows it reads. A batch names its keys in
// one parameter, [[NAS, id, identity], …], which each engine takes apart in its own way. Keys are in order and so are
// the locks: two writers never wait for each other.
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
    POSTGRES_LOCK_BY_KEYS = "SELECT s.* FROM json_array_elements(CAST($1 AS JSON)) AS k(key) CROSS JOIN LATERAL
        (SELECT * FROM session AS c WHERE c.nas_id = CAST(k.key ->> 0 AS UUID) AND c.acct_session_id = k.key ->> 1
           AND c.identity = k.key ->> 2 ORDER BY c.generation DESC LIMIT $2 FOR UPDATE) AS s";
    POSTGRES_HISTORY_BY_KEYS = "SELECT s.* FROM json_array_elements(CAST($1 AS JSON)) AS k(key) CROSS JOIN LATERAL
        (SELECT * FROM session_history AS c WHERE c.nas_id = CAST(k.key ->> 0 AS UUID)
           AND c.acct_session_id = k.key ->> 1 AND c.identity = k.key ->> 2
         ORDER BY c.generation DESC LIMIT $2) AS s";
    POSTGRES_LOCK = "SELECT * FROM session WHERE id = $1 FOR UPDATE";
    POSTGRES_LOCK_OPEN_OF_NAS = open_before!("$5 = ''", " FOR UPDATE SKIP LOCKED");
    POSTGRES_LOCK_OPEN_OF_BOX = open_before!("nas_ip_address = $5", " FOR UPDATE SKIP LOCKED");
}

/// What reports name a session by. Writers lock in the order of keys, so that two never wait for each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The NAS.
    pub nas: Uuid,
    /// Its id for the session.
    pub session_id: String,
    /// Whose.
    pub identity: String,
}

impl Key {
    fn of(session: &Session) -> Key {
        Key {
            nas: session.nas_id,
            session_id: session.acct_session_id.clone(),
            identity: session.identity.clone(),
        }
    }
}

/// Sessions by key, the newest generations of each; a key that has none is not among them.
pub type ByKey = BTreeMap<Key, Vec<Session>>;

/// Reads and locks the sessions of keys in the table of the present, in the order of the keys.
///
/// # Errors
/// [`Error::Engine`].
pub async fn lock<'a>(
    tx: &mut Tx,
    keys: impl IntoIterator<Item = &'a Key>,
) -> Result<ByKey, Error> {
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
pub async fn history<'a>(
    tx: &mut Tx,
    keys: impl IntoIterator<Item = &'a Key>,
) -> Result<ByKey, Error> {
    let sql = match tx.engine() {
        Engine::Sqlite => SQLITE_HISTORY_BY_KEYS,
        Engine::Postgres => POSTGRES_HISTORY_BY_KEYS,
    };
    by_key(tx, sql, keys).await
}

async fn by_key<'a>(
    tx: &mut Tx,
    sql: &'static str,
    keys: impl IntoIterator<Item = &'a Key>,
) -> Result<ByKey, Error> {
    let keys: Vec<serde_json::Value> = keys
        .into_iter()
        .map(|key| serde_json::json!([key.nas.simple().to_string(), key.session_id, key.identity]))
        .collect();
    let mut found = ByKey::new();
    if keys.is_empty() {
        return Ok(found);
    }
    let keys = serde_json::Value::Array(keys).to_string();
    let rows: Vec<Session> = tx.all(sql, kernel::values![keys, MAX_GENERATIONS]).await?;
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

/// Reads open sessions that a restart may have ended, in the order of ids: those behind `after`. Ask
/// [`Restart::covers`] about each.
///
/// # Errors
/// [`Error::Engine`].
pub async fn open_before(
    tx: &mut Tx,
    restart: &Restart,
    held: Held,
    after: Uuid,
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
        after,
        limit,
        &restart.nas_ip_address,
        &restart.nas_identifier,
        &restart.called_station_id,
        radio_pattern(&restart.called_station_id),
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

/// Writes a session, new or known.
///
/// # Errors
/// [`Error::Engine`]; a duplicate when another node made the same generation meanwhile.
pub async fn write(tx: &mut Tx, session: &Session) -> Result<(), Error> {
    let s = session;
    let d = &s.details;
    let ledger = serde_json::to_string(&s.ledger)
        .map_err(|e| Error::Invalid(BadLedger(e.to_string()).to_string()))?;
    let text = |value: &Option<String>| kernel::Value::Text(value.clone());
    let values = kernel::values![
        s.id,
        s.organisation_id,
        s.nas_id,
        s.membership_id,
        &s.acct_session_id,
        &s.identity,
        s.generation,
        text(&s.unique_id),
        text(&d.username),
        text(&d.realm),
        text(&s.group_name),
        &s.nas_ip_address,
        text(&d.nas_identifier),
        text(&d.nas_port_id),
        text(&d.nas_port_type),
        text(&d.service_type),
        text(&d.framed_protocol),
        text(&d.authentication),
        text(&d.called_station_id),
        text(&d.calling_station_id),
        text(&s.connection_info_start),
        text(&s.connection_info_stop),
        text(&d.framed_ip_address),
        text(&d.framed_ipv6_address),
        text(&d.framed_ipv6_prefix),
        text(&d.delegated_ipv6_prefix),
        text(&d.framed_interface_id),
        text(&d.multi_session_id),
        text(&d.class),
        s.started,
        s.updated,
        s.stopped,
        s.interval_seconds,
        s.session_seconds,
        s.input_octets,
        s.output_octets,
        s.input_packets,
        s.output_packets,
        s.wraps,
        text(&s.terminate_cause),
        s.reported,
        s.reports,
        text(&s.other),
        ledger,
    ];
    tx.run(WRITE, values).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
