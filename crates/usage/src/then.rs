//! What a membership was doing at a moment in the past, reckoned from its sessions.
//!
//! A session's totals are known for the whole of it: what it had used by a moment is reckoned evenly. Good enough to say why
//! somebody was refused; it must **never** be charged for.

use crate::session::Totals;
use kernel::id::Uuid;
use kernel::{Db, Error, OrganisationId, Time};

/// Sessions that are looked at: of more, the newest.
const MAX_SESSIONS: i64 = 20_000;

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    OVERLAPPING = "SELECT identity, started, updated, stopped, interval_seconds, session_seconds, input_octets, output_octets
        FROM session_all WHERE membership_id = $1 AND started <= $2 AND (stopped IS NULL OR stopped > $3)
        ORDER BY started DESC LIMIT $4";
    OPEN_IN = "SELECT COUNT(*) AS number FROM session_all
        WHERE organisation_id = $1 AND started <= $2 AND (stopped IS NULL OR stopped > $2)";
}

#[derive(sqlx::FromRow)]
struct Row {
    identity: String,
    started: Time,
    updated: Time,
    stopped: Option<Time>,
    interval_seconds: Option<i64>,
    session_seconds: i64,
    input_octets: i64,
    output_octets: i64,
}

/// A session as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastSession {
    /// Whose device: its address, else what the NAS called it.
    pub identity: String,
    /// When it began.
    pub started: Time,
    /// Whether it was going on.
    pub was_open: bool,
    /// How far apart its reports were.
    interval_seconds: u32,
    end: Time,
    totals: Totals,
}

impl PastSession {
    /// Whether it was silent for too long by then, as far as that can be told: of one that went on, it cannot.
    pub fn was_stale(&self, at: Time) -> bool {
        crate::live::is_stale(self.end, self.interval_seconds, None, at)
    }

    /// What it used from one moment to another.
    pub fn used(&self, since: Time, until: Time) -> Totals {
        let micros = |at: Time| i128::from(at.unix_micros());
        let whole = micros(self.end) - micros(self.started);
        let from = micros(since.max(self.started));
        let part = micros(until.min(self.end)) - from;
        if part <= 0 {
            return Totals::default();
        }
        let share = |amount: i64| {
            let share = i128::from(amount) * part / whole.max(1);
            i64::try_from(share).unwrap_or(amount).min(amount)
        };
        Totals {
            seconds: share(self.totals.seconds),
            input: share(self.totals.input),
            output: share(self.totals.output),
        }
    }
}

#[derive(sqlx::FromRow)]
struct NumberRow {
    number: i64,
}

/// How many sessions of an organisation went on at a moment.
///
/// # Errors
/// [`Error::Engine`].
pub async fn open_in(db: &Db, organisation: OrganisationId, at: Time) -> Result<u64, Error> {
    let row: Option<NumberRow> = db.first(OPEN_IN, kernel::values![organisation, at]).await?;
    Ok(row.map_or(0, |row| row.number.max(0).unsigned_abs()))
}

/// The sessions of a membership that went on at some time between two moments.
///
/// # Errors
/// [`Error::Engine`].
pub async fn sessions(
    db: &Db,
    membership: Uuid,
    since: Time,
    at: Time,
) -> Result<Vec<PastSession>, Error> {
    let rows: Vec<Row> = db
        .all(
            OVERLAPPING,
            kernel::values![membership, at, since, MAX_SESSIONS],
        )
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| PastSession {
            identity: row.identity,
            started: row.started,
            was_open: row.stopped.is_none_or(|stopped| stopped > at),
            interval_seconds: u32::try_from(row.interval_seconds.unwrap_or(0)).unwrap_or(0),
            // One that goes on has used what it last said.
            end: row.stopped.unwrap_or(row.updated).max(row.started),
            totals: Totals {
                seconds: row.session_seconds,
                input: row.input_octets,
                output: row.output_octets,
            },
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_used_its_part_by_a_moment() {
        let at = |seconds: i64| Time::from_unix_seconds(1_800_000_000 + seconds);
        let session = PastSession {
            identity: String::new(),
            started: at(100),
            was_open: false,
            interval_seconds: 0,
            end: at(300),
            totals: Totals {
                seconds: 200,
                input: 1_000,
                output: 2_000,
            },
        };
        for (since, until, seconds, output) in [
            (0, 1_000, 200, 2_000),
            (0, 200, 100, 1_000),
            (250, 1_000, 50, 500),
            (150, 250, 100, 1_000),
            (0, 100, 0, 0),
            (300, 400, 0, 0),
        ] {
            let used = session.used(at(since), at(until));
            assert_eq!(
                (used.seconds, used.output),
                (seconds, output),
                "{since} to {until}"
            );
        }
    }
}
