//! Running totals: what a membership used on each local day, so that no login has to sum up history.
//!
//! They grow in the transaction that writes the session, by what the session's days changed.

use crate::session::DayUsage;
use kernel::id::Uuid;
use kernel::{Db, Engine, Error, Tx};
use std::collections::BTreeMap;

/// How many rows one page holds.
pub const PAGE: i64 = 2_000;

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    PAGE_SINCE = "SELECT membership_id, counter, period, value FROM usage
        WHERE period >= $1 AND (membership_id, counter, period) > ($2, $3, $4)
        ORDER BY membership_id, counter, period LIMIT $5";
    OF_MEMBERSHIP = "SELECT membership_id, counter, period, value FROM usage
        WHERE membership_id = $1 AND period >= $2 AND period <= $3 ORDER BY counter, period";
    TOTAL = "SELECT CAST(COALESCE(SUM(value), 0) AS BIGINT) AS value FROM usage
        WHERE membership_id = $1 AND counter = $2 AND period >= $3 AND period <= $4";
}

// All that a batch adds comes in one parameter, [[membership, counter, period, value], …], in the order of the rows.
kernel::statements! {
    /// SQLite's own.
    pub SQLITE_STATEMENTS;
    SQLITE_GROW = "INSERT INTO usage (membership_id, counter, period, value)
        SELECT unhex(value ->> 0), value ->> 1, value ->> 2, CAST(value ->> 3 AS BIGINT) FROM json_each($1) WHERE TRUE
        ON CONFLICT (membership_id, counter, period) DO UPDATE SET value = usage.value + excluded.value";
}
kernel::statements! {
    /// PostgreSQL's own.
    pub POSTGRES_STATEMENTS;
    POSTGRES_GROW = "INSERT INTO usage (membership_id, counter, period, value)
        SELECT CAST(g.more ->> 0 AS UUID), g.more ->> 1, g.more ->> 2, CAST(g.more ->> 3 AS BIGINT)
        FROM json_array_elements(CAST($1 AS JSON)) AS g(more)
        ON CONFLICT (membership_id, counter, period) DO UPDATE SET value = usage.value + excluded.value";
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counter {
    /// Seconds online.
    Seconds,
    /// Octets from the client.
    InputOctets,
    /// Octets to the client.
    OutputOctets,
}

impl Counter {
    /// All of them.
    pub const ALL: [Counter; 3] = [
        Counter::Seconds,
        Counter::InputOctets,
        Counter::OutputOctets,
    ];

    /// The word in the table.
    pub fn word(self) -> &'static str {
        match self {
            Counter::Seconds => "seconds",
            Counter::InputOctets => "input_octets",
            Counter::OutputOctets => "output_octets",
        }
    }

    /// The counter of a word.
    pub fn from_word(word: &str) -> Option<Counter> {
        Counter::ALL
            .into_iter()
            .find(|counter| counter.word() == word)
    }
}

/// One running total.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct UsageRow {
    /// Whose.
    pub membership_id: Uuid,
    /// A [`Counter`]'s word.
    pub counter: String,
    /// The local day, `2027-01-31`.
    pub period: String,
    /// Seconds or octets.
    pub value: i64,
}

/// What a transaction adds to the running totals, gathered so that each row is touched once and in one order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Growth(BTreeMap<(Uuid, Counter, i32), i64>);

impl Growth {
    /// Gathers what changed.
    pub fn add(&mut self, membership: Uuid, usage: &[DayUsage]) {
        for DayUsage { day, delta } in usage {
            let each = [
                (Counter::Seconds, delta.seconds),
                (Counter::InputOctets, delta.input),
                (Counter::OutputOctets, delta.output),
            ];
            for (counter, value) in each {
                let sum = self.0.entry((membership, counter, *day)).or_default();
                *sum = sum.saturating_add(value);
            }
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn write(&self, tx: &mut Tx) -> Result<(), Error> {
        let more: Vec<serde_json::Value> = self
            .0
            .iter()
            .filter(|(_, value)| **value != 0)
            .map(|((membership, counter, day), value)| {
                let period = DayUsage {
                    day: *day,
                    delta: Default::default(),
                }
                .period();
                serde_json::json!([
                    membership.simple().to_string(),
                    counter.word(),
                    period,
                    value
                ])
            })
            .collect();
        if more.is_empty() {
            return Ok(());
        }
        let sql = match tx.engine() {
            Engine::Sqlite => SQLITE_GROW,
            Engine::Postgres => POSTGRES_GROW,
        };
        let more = serde_json::Value::Array(more).to_string();
        tx.run(sql, kernel::values![more]).await?;
        Ok(())
    }
}

/// Every running total since a day, page by page: hand over the last row to get the next page.
///
/// # Errors
/// [`Error::Engine`].
pub async fn page_since(
    db: &Db,
    period: &str,
    after: Option<&UsageRow>,
) -> Result<Vec<UsageRow>, Error> {
    let (membership, counter, day) = after.map_or((Uuid::nil(), "", ""), |row| {
        (row.membership_id, row.counter.as_str(), row.period.as_str())
    });
    db.all(
        PAGE_SINCE,
        kernel::values![period, membership, counter, day, PAGE],
    )
    .await
}

/// A membership's running totals from one day to another, both included.
///
/// # Errors
/// [`Error::Engine`].
pub async fn of_membership(
    db: &Db,
    membership: Uuid,
    from: &str,
    to: &str,
) -> Result<Vec<UsageRow>, Error> {
    db.all(OF_MEMBERSHIP, kernel::values![membership, from, to])
        .await
}

#[derive(sqlx::FromRow)]
struct TotalRow {
    value: i64,
}

/// One counter's sum from one day to another, both included.
///
/// # Errors
/// [`Error::Engine`].
pub async fn total(
    db: &Db,
    membership: Uuid,
    counter: Counter,
    from: &str,
    to: &str,
) -> Result<i64, Error> {
    let row: Option<TotalRow> = db
        .first(TOTAL, kernel::values![membership, counter.word(), from, to])
        .await?;
    Ok(row.map_or(0, |row| row.value))
}
