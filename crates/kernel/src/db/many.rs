//! Many rows of one table at a time.
//!
//! A table's columns are declared once with [`many!`](crate::many), which makes the texts of it. PostgreSQL takes each
//! column as one array. SQLite takes statements of [`GROUP`] rows each, whose values are bound as they are, and the few
//! that are left over in one parameter, as JSON. What is not declared gets the table's default.
//!
//! PostgreSQL's COPY would be cheaper by a little, but its last message waits on a TCP connection until the one before it
//! was acknowledged, which takes 40 ms.

use super::{Db, Engine, Error, Tx, Value};
use serde_json::Map;

/// Rows of one of SQLite's statements, as [`many!`](crate::many) writes them.
const GROUP: usize = 64;
/// Most rows of one of PostgreSQL's statements: its parameters stay below a megabyte.
const MAX_ROWS: usize = 2_000;

/// An INSERT of any number of rows. Declare it with [`many!`](crate::many).
#[derive(Debug)]
pub struct Many {
    /// Name of the constant.
    pub name: &'static str,
    /// The columns in the order of the values.
    pub columns: &'static [&'static str],
    /// Few rows as JSON, for SQLite.
    pub sqlite: &'static str,
    /// [`GROUP`] rows, for SQLite.
    pub sqlite_group: &'static str,
    /// Arrays, for PostgreSQL.
    pub postgres: &'static str,
    /// An empty array of each column's kind.
    pub arrays: fn() -> Vec<Value>,
}

impl Many {
    /// Names and texts for one engine, so that a test can prepare them.
    pub fn statements(&self, engine: Engine) -> Vec<(&'static str, &'static str)> {
        match engine {
            Engine::Sqlite => vec![(self.name, self.sqlite), (self.name, self.sqlite_group)],
            Engine::Postgres => vec![(self.name, self.postgres)],
        }
    }

    fn parameter(&self, rows: Vec<Vec<Value>>) -> String {
        let row = |row: Vec<Value>| {
            let fields = self.columns.iter().zip(row);
            let fields = fields.map(|(column, value)| ((*column).to_owned(), value.into_json()));
            serde_json::Value::Object(fields.collect::<Map<_, _>>())
        };
        serde_json::Value::Array(rows.into_iter().map(row).collect()).to_string()
    }

    /// One array for each column.
    fn turned(&self, rows: impl Iterator<Item = Vec<Value>>) -> Result<Vec<Value>, Error> {
        let mut arrays = (self.arrays)();
        for row in rows {
            for (array, value) in arrays.iter_mut().zip(row) {
                match (array, value) {
                    (Value::Uuids(array), Value::Uuid(value)) => array.push(value),
                    (Value::Texts(array), Value::Text(value)) => array.push(value),
                    (Value::Ints(array), Value::Int(value)) => array.push(value),
                    (Value::Bools(array), Value::Bool(value)) => array.push(value),
                    (Value::Times(array), Value::Time(value)) => array.push(value),
                    _ => {
                        let reason = format!("{}: a value of another kind", self.name);
                        return Err(Error::Invalid(reason));
                    }
                }
            }
        }
        Ok(arrays)
    }
}

crate::statements! {
    /// SQLite's own.
    pub SQLITE_STATEMENTS;
    // Rows go to random places of the indexes by name: those are to be found in memory.
    SQLITE_LARGE_CACHE = "PRAGMA cache_size = -65536";
    SQLITE_USUAL_CACHE = "PRAGMA cache_size = -16384";
    // What a statement of many rows would undo outgrows the 64 kB that are kept of it in memory otherwise.
    SQLITE_UNDO_IN_MEMORY = "PRAGMA temp_store = MEMORY";
    SQLITE_UNDO_AS_USUAL = "PRAGMA temp_store = DEFAULT";
    // A page that is written ten times before the log is folded goes into the file once.
    SQLITE_FOLD_SELDOM = "PRAGMA wal_autocheckpoint = 8000";
    SQLITE_FOLD_AS_USUAL = "PRAGMA wal_autocheckpoint = 4000";
}
crate::statements! {
    /// PostgreSQL's own.
    pub POSTGRES_STATEMENTS;
    // Without the walks a plan may seem so dear that it is compiled first, which takes longer than the rows.
    POSTGRES_USE_INDEXES = "SELECT set_config('enable_seqscan', 'off', TRUE), set_config('jit', 'off', TRUE)";
}

impl Db {
    /// Says that much is about to be written, or that it has been: SQLite's writer gets room for it, and gives it back.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn fills_tables(&self, does: bool) -> Result<(), Error> {
        let Db::Lite { writer, .. } = self else {
            return Ok(());
        };
        let settings = match does {
            true => [
                SQLITE_LARGE_CACHE,
                SQLITE_UNDO_IN_MEMORY,
                SQLITE_FOLD_SELDOM,
            ],
            false => [
                SQLITE_USUAL_CACHE,
                SQLITE_UNDO_AS_USUAL,
                SQLITE_FOLD_AS_USUAL,
            ],
        };
        let mut connection = writer.acquire().await?;
        for setting in settings {
            sqlx::query(setting).execute(&mut *connection).await?;
        }
        Ok(())
    }
}

impl Tx {
    /// Says that this transaction is one of many that fill tables. PostgreSQL keeps the plan that it made of a
    /// statement, and of its own checks of foreign keys: one that was made while a table was nearly empty reads the
    /// whole of it for each row, also when it has become a large one.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn fills_tables(&mut self) -> Result<(), Error> {
        if self.engine() == Engine::Postgres {
            self.run(POSTGRES_USE_INDEXES, Vec::new()).await?;
        }
        Ok(())
    }

    /// Makes rows, their values in the order of the declared columns.
    ///
    /// # Errors
    /// [`Error::Engine`]; then the transaction is to be given up.
    pub async fn insert_many(
        &mut self,
        many: &'static Many,
        mut rows: Vec<Vec<Value>>,
    ) -> Result<(), Error> {
        if self.engine() == Engine::Postgres {
            let mut rows = rows.into_iter().peekable();
            while rows.peek().is_some() {
                let arrays = many.turned(rows.by_ref().take(MAX_ROWS))?;
                self.run(many.postgres, arrays).await?;
            }
            return Ok(());
        }
        let rest = rows.split_off(rows.len() - rows.len() % GROUP);
        let mut values = rows.into_iter().flatten();
        let group = GROUP * many.columns.len();
        loop {
            let values: Vec<Value> = values.by_ref().take(group).collect();
            if values.is_empty() {
                break;
            }
            self.run(many.sqlite_group, values).await?;
        }
        if !rest.is_empty() {
            self.run(many.sqlite, crate::values![many.parameter(rest)])
                .await?;
        }
        Ok(())
    }
}

/// Declares an INSERT of many rows: `many! { NAME = table (column kind, …); }`, where the kind is one of `uuid`,
/// `text`, `int`, `bool` and `time`. With `or nothing` behind the columns a row that is there already stays as it is.
#[macro_export]
macro_rules! many {
    ($($(#[$meta:meta])* $vis:vis $name:ident = $table:ident ($first:ident $kind:ident $(, $column:ident $more:ident)* $(,)?) $(or $end:ident)?;)+) => {$(
        $(#[$meta])* $vis const $name: &$crate::db::Many = &$crate::db::Many {
            name: stringify!($name),
            columns: &[stringify!($first) $(, stringify!($column))*],
            sqlite: concat!(
                "INSERT INTO ", stringify!($table), " (", stringify!($first) $(, ", ", stringify!($column))*, ") SELECT ",
                $crate::many!(@lite $first $kind) $(, ", ", $crate::many!(@lite $column $more))*,
                " FROM json_each($1)" $(, $crate::many!(@lite_end $end))?
            ),
            sqlite_group: concat!(
                "INSERT INTO ", stringify!($table), " (", stringify!($first) $(, ", ", stringify!($column))*, ") VALUES ",
                $crate::many!(@eight ", " $crate::many!(@eight ", " concat!("(?" $(, $crate::many!(@mark $column))*, ")")))
                $(, $crate::many!(@end $end))?
            ),
            postgres: concat!(
                "INSERT INTO ", stringify!($table), " (", stringify!($first) $(, ", ", stringify!($column))*, ") SELECT * ",
                "FROM UNNEST(", $crate::many!(@arrays 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; $kind $($more)*), ")"
                $(, $crate::many!(@end $end))?
            ),
            arrays: || vec![$crate::many!(@array $kind) $(, $crate::many!(@array $more))*],
        };
    )+};
    (@eight $comma:literal $text:expr) => {
        concat!($text, $comma, $text, $comma, $text, $comma, $text, $comma, $text, $comma, $text, $comma, $text, $comma, $text)
    };
    (@mark $column:ident) => { ", ?" };
    // Without WHERE the engine would take ON for the beginning of a join.
    (@lite_end nothing) => { " WHERE true ON CONFLICT DO NOTHING" };
    (@end nothing) => { " ON CONFLICT DO NOTHING" };
    (@lite $column:ident uuid) => { concat!("unhex(value ->> '", stringify!($column), "')") };
    (@lite $column:ident $kind:ident) => { concat!("value ->> '", stringify!($column), "'") };
    (@arrays $number:literal $($numbers:literal)*; $kind:ident) => {
        concat!("CAST($", $number, " AS ", $crate::many!(@pg $kind), "[])")
    };
    (@arrays $number:literal $($numbers:literal)*; $kind:ident $($kinds:ident)+) => {
        concat!("CAST($", $number, " AS ", $crate::many!(@pg $kind), "[]), ", $crate::many!(@arrays $($numbers)*; $($kinds)+))
    };
    (@pg uuid) => { "UUID" };
    (@pg text) => { "TEXT" };
    (@pg int) => { "BIGINT" };
    (@pg bool) => { "BOOLEAN" };
    (@pg time) => { "TIMESTAMPTZ" };
    (@array uuid) => { $crate::db::Value::Uuids(Vec::new()) };
    (@array text) => { $crate::db::Value::Texts(Vec::new()) };
    (@array int) => { $crate::db::Value::Ints(Vec::new()) };
    (@array bool) => { $crate::db::Value::Bools(Vec::new()) };
    (@array time) => { $crate::db::Value::Times(Vec::new()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Time;
    use crate::db::Location;
    use uuid::Uuid;

    crate::many! {
        /// All kinds of columns but a flag.
        VERSIONS = history (id uuid, kind text, row_id uuid, person_id uuid, valid_from time, fields text);
    }
    crate::statements! {
        STATEMENTS;
        MADE = "SELECT id, kind, row_id, person_id, valid_from, fields FROM history ORDER BY id";
        SINGLE = "INSERT INTO history (id, kind, row_id, person_id, valid_from, fields) VALUES ($1, $2, $3, $4, $5, $6)";
        DIFFERENT = "SELECT COUNT(DISTINCT typeof(id) || typeof(kind) || typeof(row_id) || typeof(valid_from) || valid_from || typeof(fields)) AS number
            FROM history";
    }

    #[derive(Debug, PartialEq, sqlx::FromRow)]
    struct Row {
        id: Uuid,
        kind: String,
        row_id: Uuid,
        person_id: Option<Uuid>,
        valid_from: Time,
        fields: String,
    }

    #[derive(sqlx::FromRow)]
    struct NumberRow {
        number: i64,
    }

    #[tokio::test]
    async fn many_rows_are_kept_as_single_ones_are() {
        let folder = tempfile::tempdir().unwrap();
        let db = Location::Sqlite(folder.path().join("m.db")).open().await;
        let db = db.unwrap();
        let now = Time::from_unix_micros(1_800_000_000_123_456);
        let row = |at: u128| Row {
            id: Uuid::from_u128(at),
            kind: "it's \"quoted\" \\ ü".into(),
            row_id: Uuid::from_u128(at + 10_000),
            person_id: at.is_multiple_of(2).then(|| Uuid::from_u128(7)),
            valid_from: now,
            fields: r#"{"a": "0123", "b": null}"#.into(),
        };
        let values = |row: &Row| {
            crate::values![
                row.id,
                &row.kind,
                row.row_id,
                row.person_id,
                row.valid_from,
                &row.fields
            ]
        };
        let rows: Vec<Row> = (0..2 * GROUP as u128 + 6).map(row).collect();
        let (single, many) = rows.split_first().unwrap();
        let many: Vec<Vec<Value>> = many.iter().map(values).collect();
        let mut tx = db.begin().await.unwrap();
        tx.run(SINGLE, values(single)).await.unwrap();
        tx.insert_many(VERSIONS, many).await.unwrap();
        tx.insert_many(VERSIONS, Vec::new()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(db.all::<Row>(MADE, Vec::new()).await.unwrap(), rows);
        let kinds: Option<NumberRow> = db.first(DIFFERENT, Vec::new()).await.unwrap();
        assert_eq!(
            kinds.map(|row| row.number),
            Some(1),
            "one way to keep a value"
        );
        assert_eq!(STATEMENTS.len(), 3);
    }
}
