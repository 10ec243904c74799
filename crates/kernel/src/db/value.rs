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
pub(super) fn lite_text(time: Time) -> String {
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
                Value::Uuids(v) => query.bind($array!(v, |id: Uuid| id.simple().to_string())),
                Value::Texts(v) => query.bind($array!(v, |text: String| text)),
                Value::Ints(v) => query.bind($array!(v, |number: i64| number)),
                Value::Times(v) => {
                    let times: Vec<_> = v.into_iter().map(|at| at.map(Time::to_chrono)).collect();
                    query.bind($array!(times, lite_time))
                }
            };
        }
        query
    }};
}

/// PostgreSQL takes arrays.
macro_rules! as_it_is {
    ($values:expr, $form:expr) => {
        $values
    };
}

/// SQLite takes them as text.
macro_rules! json_array {
    ($values:expr, $form:expr) => {{
        let values = $values.into_iter().map(|value| value.map($form));
        serde_json::Value::from_iter(values.map(serde_json::Value::from)).to_string()
    }};
}

/// The text that SQLite's driver writes for a time.
fn lite_time(at: chrono::DateTime<chrono::Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, false)
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
