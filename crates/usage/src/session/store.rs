//! Sessions in SQL: how a row is found, locked, brought back from history and written.

use super::{BadLedger, Session};
use kernel::id::Uuid;
use kernel::{Engine, Error, Tx};

/// A NAS that uses one id for ever makes as many generations; the newest of them are looked at.
const MAX_GENERATIONS: i64 = 16;

kernel::statements! {
    /// Statements that both engines run.
    pub STATEMENTS;
    /// Earlier sessions with this key that have moved to history.
    HISTORY_BY_KEY = "SELECT * FROM session_history
        WHERE nas_id = $1 AND acct_session_id = $2 AND identity = $3 ORDER BY generation DESC LIMIT $4";
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

// SQLite has one writer, whose transaction is the lock; PostgreSQL locks the rows it reads.
kernel::statements! {
    /// SQLite's own.
    pub SQLITE_STATEMENTS;
    SQLITE_LOCK_BY_KEY = "SELECT * FROM session
        WHERE nas_id = $1 AND acct_session_id = $2 AND identity = $3 ORDER BY generation DESC LIMIT $4";
    SQLITE_LOCK = "SELECT * FROM session WHERE id = $1";
    SQLITE_LOCK_OPEN_BEFORE = "SELECT * FROM session
        WHERE stopped IS NULL AND nas_id = $1 AND started < $2 AND id > $3 ORDER BY id LIMIT $4";
}
kernel::statements! {
    /// PostgreSQL's own.
    pub POSTGRES_STATEMENTS;
    POSTGRES_LOCK_BY_KEY = "SELECT * FROM session
        WHERE nas_id = $1 AND acct_session_id = $2 AND identity = $3 ORDER BY generation DESC LIMIT $4
        FOR UPDATE";
    POSTGRES_LOCK = "SELECT * FROM session WHERE id = $1 FOR UPDATE";
    POSTGRES_LOCK_OPEN_BEFORE = "SELECT * FROM session
        WHERE stopped IS NULL AND nas_id = $1 AND started < $2 AND id > $3 ORDER BY id LIMIT $4
        FOR UPDATE SKIP LOCKED";
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

/// The sessions of one key.
#[derive(Debug)]
pub struct Generations {
    /// In the table of the present, locked.
    pub current: Vec<Session>,
    /// In history.
    pub past: Vec<Session>,
}

/// Reads and locks the sessions of a key.
///
/// # Errors
/// [`Error::Engine`].
pub async fn lock(tx: &mut Tx, key: &Key) -> Result<Generations, Error> {
    let sql = match tx.engine() {
        Engine::Sqlite => SQLITE_LOCK_BY_KEY,
        Engine::Postgres => POSTGRES_LOCK_BY_KEY,
    };
    let values = || kernel::values![key.nas, &key.session_id, &key.identity, MAX_GENERATIONS];
    Ok(Generations {
        current: tx.all(sql, values()).await?,
        past: tx.all(HISTORY_BY_KEY, values()).await?,
    })
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

/// Reads and locks open sessions of a NAS that began before `at`, in the order of ids. Rows that another writer holds
/// are passed over: the caller comes again.
///
/// # Errors
/// [`Error::Engine`].
pub async fn lock_open_before(
    tx: &mut Tx,
    nas: Uuid,
    at: kernel::Time,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Session>, Error> {
    let sql = match tx.engine() {
        Engine::Sqlite => SQLITE_LOCK_OPEN_BEFORE,
        Engine::Postgres => POSTGRES_LOCK_OPEN_BEFORE,
    };
    tx.all(sql, kernel::values![nas, at, after, limit]).await
}

/// Brings a session back from history.
///
/// # Errors
/// [`Error::Engine`].
pub async fn restore(tx: &mut Tx, id: Uuid) -> Result<(), Error> {
    tx.run(RESTORE, kernel::values![id]).await?;
    tx.run(FORGET_RESTORED, kernel::values![id]).await?;
    Ok(())
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
