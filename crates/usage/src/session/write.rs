//! Sessions into SQL, many at once: new ones, changed ones, and which of them are open.
//!
//! A changed row is written only where it still has the version that was read or remembered; what another has changed
//! meanwhile refuses the whole transaction. An interim report changes [`Part::Progress`] only, none of it in an index.
//! Every value of a column here must come from [`Session::apply`] or one of its kin.

use super::{BadLedger, Session};
use kernel::id::Uuid;
use kernel::{Engine, Error, Time, Tx, Value};

macro_rules! columns {
    () => {
        "id, organisation_id, nas_id, membership_id, generation, started, updated, stopped, interval_seconds,
         session_seconds, input_octets, output_octets, input_packets, output_packets, wraps, reported, reports, version,
         acct_session_id, identity, unique_id, group_name, nas_ip_address, connection_info_start, connection_info_stop,
         terminate_cause, other, ledger, username, realm, nas_identifier, nas_port_id, nas_port_type, service_type,
         framed_protocol, authentication, called_station_id, calling_station_id, framed_ip_address,
         framed_ipv6_address, framed_ipv6_prefix, delegated_ipv6_prefix, framed_interface_id, multi_session_id, class"
    };
}
/// How many they are.
const COLUMNS: usize = 45;

// PostgreSQL takes values as arrays, one for each column: COPY would cost its server a little less, but over TCP its last
// message waits 40 ms for the acknowledgement of the one before. SQLite takes all rows in one parameter, [[value, …], …],
// ids as hex digits.
kernel::statements! {
    /// SQLite's own.
    pub SQLITE_STATEMENTS;
    SQLITE_INSERT = concat!("INSERT INTO session (", columns!(), ") SELECT unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), unhex(value ->> 3), value ->> 4, value ->> 5,
            value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12,
            value ->> 13, value ->> 14, value ->> 15, value ->> 16, value ->> 17, value ->> 18, value ->> 19,
            value ->> 20, value ->> 21, value ->> 22, value ->> 23, value ->> 24, value ->> 25, value ->> 26,
            value ->> 27, value ->> 28, value ->> 29, value ->> 30, value ->> 31, value ->> 32, value ->> 33,
            value ->> 34, value ->> 35, value ->> 36, value ->> 37, value ->> 38, value ->> 39, value ->> 40,
            value ->> 41, value ->> 42, value ->> 43, value ->> 44
        FROM json_each($1)");
    SQLITE_PROGRESS = "UPDATE session SET version = version + 1, updated = u.value ->> 2, stopped = u.value ->> 3, interval_seconds = u.value ->> 4,
            session_seconds = u.value ->> 5, input_octets = u.value ->> 6, output_octets = u.value ->> 7,
            input_packets = u.value ->> 8, output_packets = u.value ->> 9, wraps = u.value ->> 10,
            reported = u.value ->> 11, reports = u.value ->> 12, connection_info_stop = u.value ->> 13,
            terminate_cause = u.value ->> 14, other = u.value ->> 15, ledger = u.value ->> 16
        FROM json_each($1) AS u WHERE session.id = unhex(u.value ->> 0) AND session.version = u.value ->> 1";
    SQLITE_WHOLE = "UPDATE session SET version = version + 1, updated = u.value ->> 2, stopped = u.value ->> 3, interval_seconds = u.value ->> 4,
            session_seconds = u.value ->> 5, input_octets = u.value ->> 6, output_octets = u.value ->> 7,
            input_packets = u.value ->> 8, output_packets = u.value ->> 9, wraps = u.value ->> 10,
            reported = u.value ->> 11, reports = u.value ->> 12, connection_info_stop = u.value ->> 13,
            terminate_cause = u.value ->> 14, other = u.value ->> 15, ledger = u.value ->> 16,
            membership_id = unhex(u.value ->> 17), started = u.value ->> 18, group_name = u.value ->> 19,
            nas_ip_address = u.value ->> 20, connection_info_start = u.value ->> 21, username = u.value ->> 22,
            realm = u.value ->> 23, nas_identifier = u.value ->> 24, nas_port_id = u.value ->> 25,
            nas_port_type = u.value ->> 26, service_type = u.value ->> 27, framed_protocol = u.value ->> 28,
            authentication = u.value ->> 29, called_station_id = u.value ->> 30, calling_station_id = u.value ->> 31,
            framed_ip_address = u.value ->> 32, framed_ipv6_address = u.value ->> 33,
            framed_ipv6_prefix = u.value ->> 34, delegated_ipv6_prefix = u.value ->> 35,
            framed_interface_id = u.value ->> 36, multi_session_id = u.value ->> 37, class = u.value ->> 38
        FROM json_each($1) AS u WHERE session.id = unhex(u.value ->> 0) AND session.version = u.value ->> 1";
    SQLITE_OPEN = "INSERT INTO session_open (id, organisation_id, nas_id, started, nas_ip_address)
        SELECT unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), value ->> 3, value ->> 4
        FROM json_each($1) WHERE TRUE
        ON CONFLICT (id) DO UPDATE SET started = excluded.started, nas_ip_address = excluded.nas_ip_address";
    SQLITE_CLOSE = "DELETE FROM session_open WHERE id IN (SELECT unhex(value) FROM json_each($1))";
}
kernel::statements! {
    /// PostgreSQL's own.
    pub POSTGRES_STATEMENTS;
    POSTGRES_INSERT = concat!("INSERT INTO session (", columns!(), ") SELECT * FROM UNNEST(
            CAST($1 AS UUID[]), CAST($2 AS UUID[]), CAST($3 AS UUID[]), CAST($4 AS UUID[]), CAST($5 AS BIGINT[]),
            CAST($6 AS TIMESTAMPTZ[]), CAST($7 AS TIMESTAMPTZ[]), CAST($8 AS TIMESTAMPTZ[]), CAST($9 AS BIGINT[]),
            CAST($10 AS BIGINT[]), CAST($11 AS BIGINT[]), CAST($12 AS BIGINT[]), CAST($13 AS BIGINT[]),
            CAST($14 AS BIGINT[]), CAST($15 AS BIGINT[]), CAST($16 AS TIMESTAMPTZ[]), CAST($17 AS BIGINT[]),
            CAST($18 AS BIGINT[]), CAST($19 AS TEXT[]), CAST($20 AS TEXT[]), CAST($21 AS TEXT[]),
            CAST($22 AS TEXT[]), CAST($23 AS TEXT[]), CAST($24 AS TEXT[]), CAST($25 AS TEXT[]), CAST($26 AS TEXT[]),
            CAST($27 AS TEXT[]), CAST($28 AS TEXT[]), CAST($29 AS TEXT[]), CAST($30 AS TEXT[]), CAST($31 AS TEXT[]),
            CAST($32 AS TEXT[]), CAST($33 AS TEXT[]), CAST($34 AS TEXT[]), CAST($35 AS TEXT[]), CAST($36 AS TEXT[]),
            CAST($37 AS TEXT[]), CAST($38 AS TEXT[]), CAST($39 AS TEXT[]), CAST($40 AS TEXT[]), CAST($41 AS TEXT[]),
            CAST($42 AS TEXT[]), CAST($43 AS TEXT[]), CAST($44 AS TEXT[]), CAST($45 AS TEXT[]))");
    POSTGRES_PROGRESS = "UPDATE session AS s SET version = s.version + 1, updated = u.updated, stopped = u.stopped,
            interval_seconds = u.interval_seconds, session_seconds = u.session_seconds,
            input_octets = u.input_octets, output_octets = u.output_octets, input_packets = u.input_packets,
            output_packets = u.output_packets, wraps = u.wraps, reported = u.reported, reports = u.reports,
            connection_info_stop = u.connection_info_stop, terminate_cause = u.terminate_cause, other = u.other,
            ledger = u.ledger
        FROM UNNEST(CAST($1 AS UUID[]), CAST($2 AS BIGINT[]), CAST($3 AS TIMESTAMPTZ[]), CAST($4 AS TIMESTAMPTZ[]),
            CAST($5 AS BIGINT[]), CAST($6 AS BIGINT[]), CAST($7 AS BIGINT[]), CAST($8 AS BIGINT[]),
            CAST($9 AS BIGINT[]), CAST($10 AS BIGINT[]), CAST($11 AS BIGINT[]), CAST($12 AS TIMESTAMPTZ[]),
            CAST($13 AS BIGINT[]), CAST($14 AS TEXT[]), CAST($15 AS TEXT[]), CAST($16 AS TEXT[]), CAST($17 AS TEXT[]))
            AS u(id, version, updated, stopped, interval_seconds, session_seconds, input_octets, output_octets,
                input_packets, output_packets, wraps, reported, reports, connection_info_stop, terminate_cause, other,
                ledger)
        WHERE s.id = u.id AND s.version = u.version";
    POSTGRES_WHOLE = "UPDATE session AS s SET version = s.version + 1, updated = u.updated, stopped = u.stopped,
            interval_seconds = u.interval_seconds, session_seconds = u.session_seconds,
            input_octets = u.input_octets, output_octets = u.output_octets, input_packets = u.input_packets,
            output_packets = u.output_packets, wraps = u.wraps, reported = u.reported, reports = u.reports,
            connection_info_stop = u.connection_info_stop, terminate_cause = u.terminate_cause, other = u.other,
            ledger = u.ledger, membership_id = u.membership_id, started = u.started, group_name = u.group_name,
            nas_ip_address = u.nas_ip_address, connection_info_start = u.connection_info_start,
            username = u.username, realm = u.realm, nas_identifier = u.nas_identifier, nas_port_id = u.nas_port_id,
            nas_port_type = u.nas_port_type, service_type = u.service_type, framed_protocol = u.framed_protocol,
            authentication = u.authentication, called_station_id = u.called_station_id,
            calling_station_id = u.calling_station_id, framed_ip_address = u.framed_ip_address,
            framed_ipv6_address = u.framed_ipv6_address, framed_ipv6_prefix = u.framed_ipv6_prefix,
            delegated_ipv6_prefix = u.delegated_ipv6_prefix, framed_interface_id = u.framed_interface_id,
            multi_session_id = u.multi_session_id, class = u.class
        FROM UNNEST(CAST($1 AS UUID[]), CAST($2 AS BIGINT[]), CAST($3 AS TIMESTAMPTZ[]), CAST($4 AS TIMESTAMPTZ[]),
            CAST($5 AS BIGINT[]), CAST($6 AS BIGINT[]), CAST($7 AS BIGINT[]), CAST($8 AS BIGINT[]),
            CAST($9 AS BIGINT[]), CAST($10 AS BIGINT[]), CAST($11 AS BIGINT[]), CAST($12 AS TIMESTAMPTZ[]),
            CAST($13 AS BIGINT[]), CAST($14 AS TEXT[]), CAST($15 AS TEXT[]), CAST($16 AS TEXT[]), CAST($17 AS TEXT[]),
            CAST($18 AS UUID[]), CAST($19 AS TIMESTAMPTZ[]), CAST($20 AS TEXT[]), CAST($21 AS TEXT[]),
            CAST($22 AS TEXT[]), CAST($23 AS TEXT[]), CAST($24 AS TEXT[]), CAST($25 AS TEXT[]), CAST($26 AS TEXT[]),
            CAST($27 AS TEXT[]), CAST($28 AS TEXT[]), CAST($29 AS TEXT[]), CAST($30 AS TEXT[]), CAST($31 AS TEXT[]),
            CAST($32 AS TEXT[]), CAST($33 AS TEXT[]), CAST($34 AS TEXT[]), CAST($35 AS TEXT[]), CAST($36 AS TEXT[]),
            CAST($37 AS TEXT[]), CAST($38 AS TEXT[]), CAST($39 AS TEXT[]))
            AS u(id, version, updated, stopped, interval_seconds, session_seconds, input_octets, output_octets,
                input_packets, output_packets, wraps, reported, reports, connection_info_stop, terminate_cause, other,
                ledger, membership_id, started, group_name, nas_ip_address, connection_info_start, username, realm,
                nas_identifier, nas_port_id, nas_port_type, service_type, framed_protocol, authentication,
                called_station_id, calling_station_id, framed_ip_address, framed_ipv6_address, framed_ipv6_prefix,
                delegated_ipv6_prefix, framed_interface_id, multi_session_id, class)
        WHERE s.id = u.id AND s.version = u.version";
    POSTGRES_OPEN = "INSERT INTO session_open (id, organisation_id, nas_id, started, nas_ip_address)
        SELECT * FROM UNNEST(CAST($1 AS UUID[]), CAST($2 AS UUID[]), CAST($3 AS UUID[]), CAST($4 AS TIMESTAMPTZ[]),
            CAST($5 AS TEXT[]))
        ON CONFLICT (id) DO UPDATE SET started = excluded.started, nas_ip_address = excluded.nas_ip_address";
    POSTGRES_CLOSE = "DELETE FROM session_open WHERE id = ANY(CAST($1 AS UUID[]))";
}

/// Which columns of a known session are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What every report changes.
    Progress,
    /// What describes it and its begin as well.
    Whole,
}

/// Adds sessions; their version is 1 then.
///
/// # Errors
/// [`Error::Engine`]; a duplicate when another node made the same generation meanwhile.
pub async fn insert(tx: &mut Tx, sessions: &[&Session]) -> Result<(), Error> {
    if sessions.is_empty() {
        return Ok(());
    }
    if tx.engine() == Engine::Postgres {
        let mut arrays: Vec<Value> = Vec::with_capacity(COLUMNS);
        for session in sessions {
            let mut number = 0;
            each_column(session, |column| {
                if arrays.len() == number {
                    arrays.push(column.array(sessions.len()));
                }
                column.put_into(&mut arrays[number]);
                number += 1;
            })?;
        }
        tx.run(POSTGRES_INSERT, arrays).await?;
        return Ok(());
    }
    let mut rows = Vec::with_capacity(sessions.len());
    for session in sessions {
        let mut values = Vec::with_capacity(COLUMNS);
        each_column(session, |column| {
            values.push(match column {
                Column::Uuid(value) => Value::Uuid(value).into_json(),
                Column::Text(value) => value.into(),
                Column::Int(value) => value.into(),
                Column::Time(value) => Value::Time(value).into_json(),
            });
        })?;
        rows.push(serde_json::Value::Array(values));
    }
    tx.run(SQLITE_INSERT, in_one(rows)).await?;
    Ok(())
}

/// All rows as SQLite's one parameter.
fn in_one(rows: Vec<serde_json::Value>) -> Vec<Value> {
    vec![Value::from(serde_json::Value::Array(rows).to_string())]
}

/// Writes known sessions over the version they have; one more then. They must be in the order of ids.
///
/// # Errors
/// [`Error::Engine`]; [`Error::Conflict`] when one is not what it was, or not there: roll back and read again.
pub async fn update(tx: &mut Tx, part: Part, sessions: &[&Session]) -> Result<(), Error> {
    if sessions.is_empty() {
        return Ok(());
    }
    let (sql, values) = match (tx.engine(), part) {
        (Engine::Postgres, Part::Progress) => (POSTGRES_PROGRESS, arrays(part, sessions)?),
        (Engine::Postgres, Part::Whole) => (POSTGRES_WHOLE, arrays(part, sessions)?),
        (Engine::Sqlite, Part::Progress) => (SQLITE_PROGRESS, turned(arrays(part, sessions)?)),
        (Engine::Sqlite, Part::Whole) => (SQLITE_WHOLE, turned(arrays(part, sessions)?)),
    };
    let written = tx.run(sql, values).await?;
    match written == sessions.len() as u64 {
        true => Ok(()),
        false => Err(Error::Conflict(
            "a session was changed by another process meanwhile".into(),
        )),
    }
}

/// Notes which sessions are open, and what of them is asked where.
///
/// # Errors
/// [`Error::Engine`].
pub async fn note_open(tx: &mut Tx, sessions: &[&Session]) -> Result<(), Error> {
    if sessions.is_empty() {
        return Ok(());
    }
    let values = vec![
        uuids(sessions, |s| Some(s.id)),
        uuids(sessions, |s| Some(s.organisation_id)),
        uuids(sessions, |s| Some(s.nas_id)),
        times(sessions, |s| Some(s.started)),
        texts(sessions, |s| Some(&s.nas_ip_address)),
    ];
    match tx.engine() {
        Engine::Postgres => tx.run(POSTGRES_OPEN, values).await?,
        Engine::Sqlite => tx.run(SQLITE_OPEN, turned(values)).await?,
    };
    Ok(())
}

/// Notes which are open no more.
///
/// # Errors
/// [`Error::Engine`].
pub async fn note_closed(tx: &mut Tx, ids: Vec<Uuid>) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let sql = match tx.engine() {
        Engine::Sqlite => SQLITE_CLOSE,
        Engine::Postgres => POSTGRES_CLOSE,
    };
    let ids = ids.into_iter().map(Some).collect();
    tx.run(sql, vec![Value::Uuids(ids)]).await?;
    Ok(())
}

enum Column<'a> {
    Uuid(Option<Uuid>),
    Text(Option<&'a str>),
    Int(Option<i64>),
    Time(Option<Time>),
}

impl Column<'_> {
    /// An empty array of its kind.
    fn array(&self, rows: usize) -> Value {
        match self {
            Column::Uuid(_) => Value::Uuids(Vec::with_capacity(rows)),
            Column::Text(_) => Value::Texts(Vec::with_capacity(rows)),
            Column::Int(_) => Value::Ints(Vec::with_capacity(rows)),
            Column::Time(_) => Value::Times(Vec::with_capacity(rows)),
        }
    }

    fn put_into(self, array: &mut Value) {
        match (self, array) {
            (Column::Uuid(value), Value::Uuids(array)) => array.push(value),
            (Column::Text(value), Value::Texts(array)) => array.push(value.map(str::to_owned)),
            (Column::Int(value), Value::Ints(array)) => array.push(value),
            (Column::Time(value), Value::Times(array)) => array.push(value),
            // A column is of one kind; an array that came out short is refused by the engine.
            _ => {}
        }
    }
}

/// The values of a new row, in the order of the columns.
fn each_column(s: &Session, mut put: impl FnMut(Column<'_>)) -> Result<(), Error> {
    use Column as C;
    for id in [
        Some(s.id),
        Some(s.organisation_id),
        Some(s.nas_id),
        s.membership_id,
    ] {
        put(C::Uuid(id));
    }
    put(C::Int(Some(s.generation)));
    put(C::Time(Some(s.started)));
    put(C::Time(Some(s.updated)));
    put(C::Time(s.stopped));
    put(C::Int(s.interval_seconds));
    for count in [
        s.session_seconds,
        s.input_octets,
        s.output_octets,
        s.input_packets,
        s.output_packets,
        s.wraps,
    ] {
        put(C::Int(Some(count)));
    }
    put(C::Time(Some(s.reported)));
    put(C::Int(Some(s.reports)));
    put(C::Int(Some(s.version + 1)));
    let ledger = ledger_text(s)?;
    for text in [
        Some(&s.acct_session_id),
        Some(&s.identity),
        s.unique_id.as_ref(),
        s.group_name.as_ref(),
        Some(&s.nas_ip_address),
        s.connection_info_start.as_ref(),
        s.connection_info_stop.as_ref(),
        s.terminate_cause.as_ref(),
        s.other.as_ref(),
        Some(&ledger),
    ] {
        put(C::Text(text.map(String::as_str)));
    }
    for text in s.details.texts() {
        put(C::Text(text.as_deref()));
    }
    Ok(())
}

pub(crate) fn ledger_text(session: &Session) -> Result<String, Error> {
    serde_json::to_string(&session.ledger)
        .map_err(|e| Error::Invalid(BadLedger(e.to_string()).to_string()))
}

/// The values of changed rows, an array for each parameter.
fn arrays(part: Part, sessions: &[&Session]) -> Result<Vec<Value>, Error> {
    let ledgers: Result<Vec<_>, Error> =
        sessions.iter().map(|s| ledger_text(s).map(Some)).collect();
    let mut values = vec![
        uuids(sessions, |s| Some(s.id)),
        ints(sessions, |s| Some(s.version)),
        times(sessions, |s| Some(s.updated)),
        times(sessions, |s| s.stopped),
        ints(sessions, |s| s.interval_seconds),
        ints(sessions, |s| Some(s.session_seconds)),
        ints(sessions, |s| Some(s.input_octets)),
        ints(sessions, |s| Some(s.output_octets)),
        ints(sessions, |s| Some(s.input_packets)),
        ints(sessions, |s| Some(s.output_packets)),
        ints(sessions, |s| Some(s.wraps)),
        times(sessions, |s| Some(s.reported)),
        ints(sessions, |s| Some(s.reports)),
        texts(sessions, |s| s.connection_info_stop.as_ref()),
        texts(sessions, |s| s.terminate_cause.as_ref()),
        texts(sessions, |s| s.other.as_ref()),
        Value::Texts(ledgers?),
    ];
    if part == Part::Whole {
        values.extend([
            uuids(sessions, |s| s.membership_id),
            times(sessions, |s| Some(s.started)),
            texts(sessions, |s| s.group_name.as_ref()),
            texts(sessions, |s| Some(&s.nas_ip_address)),
            texts(sessions, |s| s.connection_info_start.as_ref()),
        ]);
        let details = sessions.first().map_or(0, |s| s.details.texts().len());
        values.extend((0..details).map(|n| texts(sessions, |s| s.details.texts()[n].as_ref())));
    }
    Ok(values)
}

fn uuids(sessions: &[&Session], of: impl Fn(&Session) -> Option<Uuid>) -> Value {
    Value::Uuids(sessions.iter().map(|s| of(s)).collect())
}

fn ints(sessions: &[&Session], of: impl Fn(&Session) -> Option<i64>) -> Value {
    Value::Ints(sessions.iter().map(|s| of(s)).collect())
}

fn times(sessions: &[&Session], of: impl Fn(&Session) -> Option<Time>) -> Value {
    Value::Times(sessions.iter().map(|s| of(s)).collect())
}

fn texts(sessions: &[&Session], of: impl Fn(&Session) -> Option<&String>) -> Value {
    Value::Texts(sessions.iter().map(|s| of(s).cloned()).collect())
}

/// Arrays of columns as SQLite's one parameter of rows.
fn turned(columns: Vec<Value>) -> Vec<Value> {
    let mut rows: Vec<Vec<serde_json::Value>> = Vec::new();
    for column in columns {
        let serde_json::Value::Array(values) = column.into_json() else {
            continue;
        };
        rows.resize_with(values.len(), Vec::new);
        rows.iter_mut()
            .zip(values)
            .for_each(|(row, value)| row.push(value));
    }
    in_one(rows.into_iter().map(serde_json::Value::Array).collect())
}
