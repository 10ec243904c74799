//! Many rows of one table in one statement.
//!
//! A table's columns are declared once with [`many!`](crate::many), which makes the text of either engine of them: all
//! rows go in one parameter, as JSON. What is not declared there gets the table's default.

use super::{Engine, Error, Tx, Value};
use serde_json::Map;

/// Most rows of one statement: its parameter stays below a few hundred kilobytes.
const MAX_ROWS: usize = 1_000;

/// An INSERT of any number of rows. Declare it with [`many!`](crate::many).
#[derive(Debug)]
pub struct Many {
    /// Name of the constant.
    pub name: &'static str,
    /// The columns in the order of the values.
    pub columns: &'static [&'static str],
    /// The text for SQLite.
    pub sqlite: &'static str,
    /// The text for PostgreSQL.
    pub postgres: &'static str,
}

impl Many {
    /// Name and text for one engine, so that a test can prepare it.
    pub const fn statement(&self, engine: Engine) -> (&'static str, &'static str) {
        match engine {
            Engine::Sqlite => (self.name, self.sqlite),
            Engine::Postgres => (self.name, self.postgres),
        }
    }

    fn parameter(&self, rows: &[Vec<Value>]) -> String {
        let row = |row: &Vec<Value>| {
            let fields = self.columns.iter().zip(row);
            let fields =
                fields.map(|(column, value)| ((*column).to_owned(), value.clone().into_json()));
            serde_json::Value::Object(fields.collect::<Map<_, _>>())
        };
        serde_json::Value::Array(rows.iter().map(row).collect()).to_string()
    }
}

crate::statements! {
    /// PostgreSQL's own.
    pub POSTGRES_STATEMENTS;
    POSTGRES_USE_INDEXES = "SET LOCAL enable_seqscan = off";
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
        rows: &[Vec<Value>],
    ) -> Result<(), Error> {
        let (_, sql) = many.statement(self.engine());
        for rows in rows.chunks(MAX_ROWS) {
            let parameter = many.parameter(rows);
            self.run(sql, crate::values![parameter]).await?;
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
            postgres: concat!(
                "INSERT INTO ", stringify!($table), " (", stringify!($first) $(, ", ", stringify!($column))*, ") SELECT * ",
                "FROM json_to_recordset(CAST($1 AS JSON)) AS r(",
                $crate::many!(@pg $first $kind) $(, ", ", $crate::many!(@pg $column $more))*, ")"
                $(, $crate::many!(@pg_end $end))?
            ),
        };
    )+};
    // Without WHERE the engine would take ON for the beginning of a join.
    (@lite_end nothing) => { " WHERE true ON CONFLICT DO NOTHING" };
    (@pg_end nothing) => { " ON CONFLICT DO NOTHING" };
    (@lite $column:ident uuid) => { concat!("unhex(value ->> '", stringify!($column), "')") };
    (@lite $column:ident $kind:ident) => { concat!("value ->> '", stringify!($column), "'") };
    (@pg $column:ident uuid) => { concat!(stringify!($column), " UUID") };
    (@pg $column:ident text) => { concat!(stringify!($column), " TEXT") };
    (@pg $column:ident int) => { concat!(stringify!($column), " BIGINT") };
    (@pg $column:ident bool) => { concat!(stringify!($column), " BOOLEAN") };
    (@pg $column:ident time) => { concat!(stringify!($column), " TIMESTAMPTZ") };
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
        let rows: Vec<Row> = (0..MAX_ROWS as u128 + 5).map(row).collect();
        let (single, many) = rows.split_first().unwrap();
        let many: Vec<Vec<Value>> = many.iter().map(values).collect();
        let mut tx = db.begin().await.unwrap();
        tx.run(SINGLE, values(single)).await.unwrap();
        tx.insert_many(VERSIONS, &many).await.unwrap();
        tx.insert_many(VERSIONS, &[]).await.unwrap();
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
