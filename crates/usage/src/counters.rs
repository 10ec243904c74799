//! Running totals: what a membership used on each local day, so that no login has to sum up history.
//!
//! They grow in the transaction that writes the session, by what the session's days changed.

use crate::forget::Run;
use crate::session::{DayUsage, Totals};
use kernel::id::Uuid;
use kernel::{Db, Engine, Error, Kernel, Time, Tx, Value};
use std::collections::{BTreeMap, HashMap};

/// How many rows one page holds.
pub const PAGE: i64 = 2_000;
/// Of [`forget_usage`]: days of everybody.
const USAGE_RUN: Run = Run {
    rows: PAGE,
    chunks: 2_000,
};

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    PAGE_SINCE = "SELECT membership_id, period, seconds, input_octets, output_octets FROM usage
        WHERE period >= $1 AND (membership_id, period) > ($2, $3) ORDER BY membership_id, period LIMIT $4";
    OF_MEMBERSHIP = "SELECT membership_id, period, seconds, input_octets, output_octets FROM usage
        WHERE membership_id = $1 AND period >= $2 AND period <= $3 ORDER BY period";
    TOTAL = "SELECT CAST(COALESCE(SUM(seconds), 0) AS BIGINT) AS seconds,
            CAST(COALESCE(SUM(input_octets), 0) AS BIGINT) AS input_octets,
            CAST(COALESCE(SUM(output_octets), 0) AS BIGINT) AS output_octets
        FROM usage WHERE membership_id = $1 AND period >= $2 AND period <= $3";
    FORGET = "DELETE FROM usage WHERE (membership_id, period) IN
        (SELECT membership_id, period FROM usage WHERE period < $1 ORDER BY period LIMIT $2)";
}

// All that a batch adds, in the order of the rows: an array for each column, and for SQLite one parameter,
// [[membership, period, seconds, input, output], …].
kernel::statements! {
    /// SQLite's own.
    pub SQLITE_STATEMENTS;
    SQLITE_GROW = "INSERT INTO usage (membership_id, period, seconds, input_octets, output_octets)
        SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each($1) WHERE TRUE
        ON CONFLICT (membership_id, period) DO UPDATE SET seconds = usage.seconds + excluded.seconds,
            input_octets = usage.input_octets + excluded.input_octets,
            output_octets = usage.output_octets + excluded.output_octets
        RETURNING membership_id, period, seconds, input_octets, output_octets";
}
kernel::statements! {
    /// PostgreSQL's own.
    pub POSTGRES_STATEMENTS;
    POSTGRES_GROW = "INSERT INTO usage (membership_id, period, seconds, input_octets, output_octets)
        SELECT * FROM UNNEST(CAST($1 AS UUID[]), CAST($2 AS TEXT[]), CAST($3 AS BIGINT[]), CAST($4 AS BIGINT[]),
            CAST($5 AS BIGINT[]))
        ON CONFLICT (membership_id, period) DO UPDATE SET seconds = usage.seconds + excluded.seconds,
            input_octets = usage.input_octets + excluded.input_octets,
            output_octets = usage.output_octets + excluded.output_octets
        RETURNING membership_id, period, seconds, input_octets, output_octets";
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

/// What a membership used on one day.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct UsageRow {
    /// Whose.
    pub membership_id: Uuid,
    /// The local day, `2027-01-31`.
    pub period: String,
    /// Seconds online.
    pub seconds: i64,
    /// Octets from the client.
    pub input_octets: i64,
    /// Octets to the client.
    pub output_octets: i64,
}

/// What a membership has used on a local day, all sessions together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaySum {
    /// The organisation's local day, counted from 1 January of year 1.
    pub day: i32,
    /// What it has come to.
    pub sum: Totals,
}

impl UsageRow {
    /// The same, with the day as a number.
    pub fn sum(&self) -> DaySum {
        let day = chrono::NaiveDate::parse_from_str(&self.period, "%Y-%m-%d").unwrap_or_default();
        DaySum {
            day: chrono::Datelike::num_days_from_ce(&day),
            sum: Totals {
                seconds: self.seconds,
                input: self.input_octets,
                output: self.output_octets,
            },
        }
    }

    /// One counter's value.
    pub fn of(&self, counter: Counter) -> i64 {
        match counter {
            Counter::Seconds => self.seconds,
            Counter::InputOctets => self.input_octets,
            Counter::OutputOctets => self.output_octets,
        }
    }
}

/// What a transaction adds to the running totals, gathered so that each row is touched once and in one order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Growth(BTreeMap<(Uuid, i32), Totals>);

impl Growth {
    /// Gathers what changed.
    pub fn add(&mut self, membership: Uuid, usage: &[DayUsage]) {
        for DayUsage { day, delta } in usage {
            let sum = self.0.entry((membership, *day)).or_default();
            *sum = sum.plus(*delta);
        }
    }

    /// Writes it; what each day has come to.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn write(mut self, tx: &mut Tx) -> Result<Sums, Error> {
        self.0.retain(|_, delta| !delta.is_zero());
        if self.0.is_empty() {
            return Ok(Sums::default());
        }
        let period = |day: i32| {
            let delta = Totals::default();
            DayUsage { day, delta }.period()
        };
        if tx.engine() == Engine::Sqlite {
            let more = self.0.iter().map(|((membership, day), delta)| {
                serde_json::json!([
                    membership.simple().to_string(),
                    period(*day),
                    delta.seconds,
                    delta.input,
                    delta.output
                ])
            });
            let more = serde_json::Value::from_iter(more).to_string();
            let rows: Vec<UsageRow> = tx.all(SQLITE_GROW, kernel::values![more]).await?;
            return Ok(Sums::of(&rows));
        }
        let counts =
            |of: fn(&Totals) -> i64| Value::Ints(self.0.values().map(|t| Some(of(t))).collect());
        let values = vec![
            Value::Uuids(
                self.0
                    .keys()
                    .map(|(membership, _)| Some(*membership))
                    .collect(),
            ),
            Value::Texts(self.0.keys().map(|(_, day)| Some(period(*day))).collect()),
            counts(|delta| delta.seconds),
            counts(|delta| delta.input),
            counts(|delta| delta.output),
        ];
        let rows: Vec<UsageRow> = tx.all(POSTGRES_GROW, values).await?;
        Ok(Sums::of(&rows))
    }
}

/// What days have come to, by membership and day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums(HashMap<(Uuid, i32), Totals>);

impl Sums {
    fn of(rows: &[UsageRow]) -> Sums {
        let sums = rows.iter().map(|row| {
            let DaySum { day, sum } = row.sum();
            ((row.membership_id, day), sum)
        });
        Sums(sums.collect())
    }

    /// Of these days of a membership.
    pub fn of_days(&self, membership: Uuid, days: &[DayUsage]) -> Vec<DaySum> {
        let sum = |usage: &DayUsage| {
            let sum = *self.0.get(&(membership, usage.day))?;
            Some(DaySum {
                day: usage.day,
                sum,
            })
        };
        days.iter().filter_map(sum).collect()
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
    let (membership, day) = after.map_or((Uuid::nil(), ""), |row| {
        (row.membership_id, row.period.as_str())
    });
    db.all(PAGE_SINCE, kernel::values![period, membership, day, PAGE])
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

/// Deletes what was used on days before the one of `before` (in UTC: a day more or less matters to nobody here), in
/// chunks; how many rows that were.
///
/// # Errors
/// [`Error::Engine`]; chunks that were committed stay deleted.
pub async fn forget_usage(kernel: &Kernel, before: Time) -> Result<u64, Error> {
    let day = before.to_chrono().date_naive().to_string();
    USAGE_RUN.forget(kernel, FORGET, &day).await
}

#[derive(sqlx::FromRow)]
struct TotalRow {
    seconds: i64,
    input_octets: i64,
    output_octets: i64,
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
        .first(TOTAL, kernel::values![membership, from, to])
        .await?;
    Ok(row.map_or(0, |row| match counter {
        Counter::Seconds => row.seconds,
        Counter::InputOctets => row.input_octets,
        Counter::OutputOctets => row.output_octets,
    }))
}
