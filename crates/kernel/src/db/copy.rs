//! Rows on their way into PostgreSQL by COPY, in its binary form: the cheapest way to add many.
//!
//! The statement names the columns; every row must give as many values, in that order. It must never be used where a
//! row may be there already: a duplicate refuses them all.

use super::{Error, Tx};
use crate::time::Time;
use uuid::Uuid;

/// "PGCOPY", no flags, no extension.
const HEAD: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Stands where the next row would begin.
const TAIL: [u8; 2] = (-1_i16).to_be_bytes();
/// Stands for the length of NULL.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// PostgreSQL counts microseconds from 1 January 2000.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Rows in the binary form of COPY.
#[derive(Debug, Clone)]
pub struct CopyRows {
    octets: Vec<u8>,
    columns: i16,
    rows: u64,
}

impl CopyRows {
    /// None yet; each will have `columns` values.
    pub fn new(columns: i16) -> CopyRows {
        CopyRows {
            octets: HEAD.to_vec(),
            columns,
            rows: 0,
        }
    }

    /// How many rows were begun.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Begins a row.
    pub fn row(&mut self) {
        self.octets.extend_from_slice(&self.columns.to_be_bytes());
        self.rows += 1;
    }

    /// A UUID.
    pub fn uuid(&mut self, value: Option<Uuid>) {
        self.field(value.as_ref().map(|id| &id.as_bytes()[..]));
    }

    /// A TEXT.
    pub fn text(&mut self, value: Option<&str>) {
        self.field(value.map(str::as_bytes));
    }

    /// A BIGINT.
    pub fn int(&mut self, value: Option<i64>) {
        self.field(
            value
                .map(i64::to_be_bytes)
                .as_ref()
                .map(|octets| &octets[..]),
        );
    }

    /// A TIMESTAMPTZ.
    pub fn time(&mut self, value: Option<Time>) {
        self.int(value.map(|at| at.unix_micros().saturating_sub(EPOCH_MICROS)));
    }

    fn field(&mut self, value: Option<&[u8]>) {
        let Some(value) = value else {
            return self.octets.extend_from_slice(&NULL);
        };
        // No value of ours is near 2 GiB, and the engine refuses one that is.
        let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
        self.octets.extend_from_slice(&length.to_be_bytes());
        self.octets.extend_from_slice(value);
    }
}

impl Tx {
    /// Adds rows with a `COPY … FROM STDIN (FORMAT binary)`. PostgreSQL only.
    ///
    /// # Errors
    /// [`Error::Engine`]; a duplicate as for an INSERT.
    pub async fn copy(&mut self, sql: &'static str, rows: CopyRows) -> Result<u64, Error> {
        let Tx::Pg(tx) = self else {
            return Err(Error::Invalid("SQLite has no COPY".into()));
        };
        let mut octets = rows.octets;
        octets.extend_from_slice(&TAIL);
        let work = async {
            let mut copy = tx.copy_in_raw(sql).await?;
            match copy.send(octets).await {
                Ok(_) => copy.finish().await,
                Err(error) => {
                    copy.abort("it could not be sent").await?;
                    Err(error)
                }
            }
        };
        super::patience::answer(work).await
    }
}
