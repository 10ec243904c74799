//! Parameters and rows that both engines understand.

use crate::time::Time;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::{Query, QueryAs};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{FromRow, Postgres, Sqlite};
use uuid::Uuid;

/// A struct that can be read from a row of either engine: derive `sqlx::FromRow`.
pub trait Row:
    for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin + 'static
{
}
impl<T> Row for T where
    T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin + 'static
{
}

/// One parameter; `None` is NULL of that type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// UUID, or BLOB of 16 octets.
    Uuid(Option<Uuid>),
    /// TEXT.
    Text(Option<String>),
    /// BIGINT.
    Int(Option<i64>),
    /// BOOLEAN.
    Bool(Option<bool>),
    /// TIMESTAMPTZ.
    Time(Option<Time>),
    /// UUID[]; as in all arrays, JSON text for SQLite's `json_each`: here hex digits.
    Uuids(Vec<Option<Uuid>>),
    /// TEXT[].
    Texts(Vec<Option<String>>),
    /// BIGINT[].
    Ints(Vec<Option<i64>>),
    /// BOOLEAN[].
    Bools(Vec<Option<bool>>),
    /// TIMESTAMPTZ[]; text of SQLite's form in its JSON.
    Times(Vec<Option<Time>>),
}

macro_rules! value_from {
    ($($type:ty => $variant:ident, $to:expr;)*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self { Value::$variant(Some($to(value))) }
        }
        impl From<Option<$type>> for Value {
            fn from(value: Option<$type>) -> Self { Value::$variant(value.map($to)) }
        }
    )*};
}
value_from! {
    Uuid => Uuid, |v| v;
    String => Text, |v| v;
    &str => Text, str::to_owned;
    &String => Text, String::clone;
    i64 => Int, |v| v;
    i32 => Int, i64::from;
    u32 => Int, i64::from;
    u16 => Int, i64::from;
    bool => Bool, |v| v;
    Time => Time, |v| v;
}

/// A time as the driver writes it for SQLite: rows made in either way compare alike.
fn lite_text(time: Time) -> String {
    time.to_chrono()
        .to_rfc3339_opts(chrono::SecondsFormat::AutoSi, false)
}

macro_rules! bind_all {
    ($query:expr, $values:expr, $array:ident) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                Value::Uuid(v) => query.bind(v),
                Value::Text(v) => query.bind(v),
                Value::Int(v) => query.bind(v),
                Value::Bool(v) => query.bind(v),
                Value::Time(v) => query.bind(v.map(Time::to_chrono)),
                array => $array!(query, array),
            };
        }
        query
    }};
}

/// PostgreSQL takes arrays.
macro_rules! as_it_is {
    ($query:expr, $array:expr) => {
        match $array {
            Value::Uuids(v) => $query.bind(v),
            Value::Texts(v) => $query.bind(v),
            Value::Ints(v) => $query.bind(v),
            Value::Bools(v) => $query.bind(v),
            Value::Times(v) => {
                let times = v.into_iter().map(|at| at.map(Time::to_chrono));
                $query.bind(times.collect::<Vec<_>>())
            }
            // All others were bound before.
            _ => $query,
        }
    };
}

/// SQLite takes them as text.
macro_rules! json_array {
    ($query:expr, $array:expr) => {
        $query.bind($array.into_json().to_string())
    };
}

impl Value {
    /// As `json_each` and `->>` give it back to SQLite: ids as hex digits (`unhex` them), times in the form that its driver
    /// writes.
    pub fn into_json(self) -> serde_json::Value {
        use serde_json::Value as Json;
        fn list<T>(values: Vec<Option<T>>, form: impl Fn(T) -> Json) -> Json {
            let form = |value: Option<T>| value.map_or(Json::Null, &form);
            values.into_iter().map(form).collect()
        }
        let id = |id: Uuid| Json::from(id.simple().to_string());
        let time = |at: Time| Json::from(lite_text(at));
        match self {
            Value::Uuid(v) => v.map_or(Json::Null, id),
            Value::Text(v) => v.into(),
            Value::Int(v) => v.into(),
            Value::Bool(v) => v.into(),
            Value::Time(v) => v.map_or(Json::Null, time),
            Value::Uuids(v) => list(v, id),
            Value::Texts(v) => list(v, Json::from),
            Value::Ints(v) => list(v, Json::from),
            Value::Bools(v) => list(v, Json::from),
            Value::Times(v) => list(v, time),
        }
    }
}

pub(super) fn lite(
    sql: &'static str,
    values: Vec<Value>,
) -> Query<'static, Sqlite, SqliteArguments> {
    bind_all!(sqlx::query(sql), values, json_array)
}

pub(super) fn pg(sql: &'static str, values: Vec<Value>) -> Query<'static, Postgres, PgArguments> {
    bind_all!(sqlx::query(sql), values, as_it_is)
}

pub(super) fn lite_as<T: Row>(
    sql: &'static str,
    values: Vec<Value>,
) -> QueryAs<'static, Sqlite, T, SqliteArguments> {
    bind_all!(sqlx::query_as(sql), values, json_array)
}

pub(super) fn pg_as<T: Row>(
    sql: &'static str,
    values: Vec<Value>,
) -> QueryAs<'static, Postgres, T, PgArguments> {
    bind_all!(sqlx::query_as(sql), values, as_it_is)
}
