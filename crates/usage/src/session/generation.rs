//! Which of several sessions with one id a report is about.
//!
//! A NAS may use an Acct-Session-Id again: after a restart, or because it makes them from the device's address. The
//! key (NAS, id, device) then has several generations. A report tells which one it means by the time it covers: from
//! the begin that follows from its session time, to its event. A session covers the time from its begin to its end.
//! Where the two do not touch, the report is about another session:
//!
//! - *after it*: the report's session began when this one was over. For a session whose end was not reported, a Start
//!   says so, or a session time that has gone back.
//! - *after a restart* of its NAS.
//! - *before it*: the report's event was before this session began, and that is not our own clock's fault.
//!
//! Among those that remain, the one that began nearest is meant. A session whose id went to a later one is over.

use super::{Restart, Session};
use crate::report::{Report, moment};
use kernel::Time;

/// A Start this soon after the last begin is the same one said again: a retransmission without Acct-Delay-Time.
const SAME_BEGIN_SECONDS: i64 = 10;
/// The same where the session is open: NASes send a second Start when the device has got its address.
const SECOND_START_SECONDS: i64 = 60;
/// Time stamps have whole seconds, and two clocks may round differently.
const ROUNDING_SECONDS: i64 = 1;
/// Without a Start it takes more to believe in another session: reports without time stamps come late and seem new.
const LATE_SECONDS: i64 = 60;

/// How a report stands to a session of the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// It can be about it.
    Same,
    /// It is about a later one.
    After,
    /// It is about an earlier one.
    Before,
}

/// The session the report is about, by its place in `rows`; none when it is about one that is not among them.
pub fn choose<'a>(
    rows: impl IntoIterator<Item = &'a Session>,
    report: &Report,
    restarts: &[Restart],
) -> Option<usize> {
    let begin = report.begin();
    let candidates = rows
        .into_iter()
        .enumerate()
        .filter(|(_, row)| relation(row, report, restarts) == Relation::Same);
    match begin {
        Some(begin) => candidates
            .min_by_key(|(_, row)| {
                (
                    row.started.unix_micros().abs_diff(begin.unix_micros()),
                    row.id,
                )
            })
            .map(|(place, _)| place),
        // Without a begin: the newest that had begun by then, else the oldest.
        None => {
            let event = report.event_time.plus_seconds(ROUNDING_SECONDS);
            let (had_begun, later): (Vec<_>, Vec<_>) =
                candidates.partition(|(_, row)| row.started <= event);
            let newest = had_begun
                .into_iter()
                .max_by_key(|(_, row)| (row.started, row.id));
            newest
                .or_else(|| {
                    later
                        .into_iter()
                        .min_by_key(|(_, row)| (row.started, row.id))
                })
                .map(|(place, _)| place)
        }
    }
}

/// Sessions that are open although a later one has their id: their places, and when that one began.
pub fn replaced<'a>(rows: impl Iterator<Item = &'a Session> + Clone) -> Vec<(usize, Time)> {
    let all = rows.clone();
    let next_begin = |row: &Session| {
        all.clone()
            .map(|other| other.started)
            .filter(|started| *started > row.started)
            .min()
    };
    rows.enumerate()
        .filter(|(_, row)| row.is_open())
        .filter_map(|(place, row)| Some((place, next_begin(row)?)))
        .collect()
}

fn relation(row: &Session, report: &Report, restarts: &[Restart]) -> Relation {
    let event = report.event_time;
    let begin = report.begin();
    let is_start = report.status.begins();
    if restarts
        .iter()
        .any(|restart| restart.is_box_of(row) && is_after_restart(row, report, restart))
    {
        return Relation::After;
    }
    let begins_after = |row_end: Time, apart: i64, late: i64| {
        begin.is_some_and(|begin| {
            begin.seconds_since(row.started) > apart && begin.seconds_since(row_end) >= late
        })
    };
    let went_back = report
        .session_seconds
        .is_some_and(|seconds| seconds < row.session_seconds);
    let is_after = match (row.stopped, is_start) {
        (Some(stopped), true) => begins_after(stopped, SAME_BEGIN_SECONDS, -ROUNDING_SECONDS),
        (Some(stopped), false) => {
            went_back && begins_after(stopped, SAME_BEGIN_SECONDS, LATE_SECONDS)
        }
        (None, true) => begins_after(row.reported, SECOND_START_SECONDS, -ROUNDING_SECONDS),
        (None, false) => {
            went_back && begins_after(row.reported, SECOND_START_SECONDS, -ROUNDING_SECONDS)
        }
    };
    if is_after {
        return Relation::After;
    }
    // A NAS's clock that was set between two reports moves events by as much as is believed of it. Ours was set back if
    // the session began after this report came in, and this node had been as far by then: that says nothing about before
    // and after. Another node's report, which waited in its journal, does.
    let was_clock_set_back = row.started.seconds_since(report.received) > moment::TRUST_SECONDS
        && row.started <= report.latest;
    let is_before = row.started.seconds_since(event) > moment::TRUST_SECONDS;
    if row.ledger.knows_begin() && is_before && !was_clock_set_back {
        return Relation::Before;
    }
    Relation::Same
}

/// Whether the report's session began after a restart that ended the row's.
fn is_after_restart(row: &Session, report: &Report, restart: &Restart) -> bool {
    let Some(begin) = report.begin() else {
        // Without a begin a Stop may be the late one of the session that ended.
        return restart.at.seconds_since(row.started) > ROUNDING_SECONDS
            && !report.status.ends()
            && report.event_time > restart.at;
    };
    // Our own clock has microseconds and puts the three in order: a NAS may use an id again in the same second. A
    // NAS's time stamp or session time has whole seconds.
    let is_ours = |time: &Time| time.unix_micros() % 1_000_000 != 0;
    if report.status.begins() && [row.started, restart.at, begin].iter().all(is_ours) {
        return row.started < restart.at && restart.at <= begin;
    }
    restart.at.seconds_since(row.started) > ROUNDING_SECONDS
        && begin.seconds_since(restart.at) >= -ROUNDING_SECONDS
}

#[cfg(test)]
mod tests;
