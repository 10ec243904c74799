//! What a report does to a session.
//!
//! - Totals, start, end and cause are functions of the set of reports: their order, repetition and delay change nothing.
//! - A report after the end is ignored, unless its counters have grown: then the NAS was wrong about the end, and
//!   the session is open again. An event before the end never opens it.
//! - A retransmission is known by its octets and is no report more.
//! - A repeated Stop ends it when the first one did; a Stop without counters keeps those that are known.
//! - A NAS that restarted has no session from before: such an end is for good, though late counters still count.
//! - Descriptions come from the newest report that has them; older ones fill gaps.

use super::ledger::{Ending, Ledger, Mark, Totals};
use super::{LOST_CARRIER, NAS_REBOOT, Restart, Session};
use crate::report::{Details, Report, other};
use chrono::Datelike;
use chrono_tz::Tz;
use kernel::Time;
use kernel::id::Uuid;
use std::collections::BTreeMap;

/// What one local day gained (or, when a late report moves the line between days, lost).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayUsage {
    /// The organisation's local day, counted from 1 January of year 1.
    pub day: i32,
    /// By how much it changed.
    pub delta: Totals,
}

impl DayUsage {
    /// The day as `2027-01-31`.
    pub fn period(&self) -> String {
        chrono::NaiveDate::from_num_days_from_ce_opt(self.day)
            .unwrap_or_default()
            .to_string()
    }
}

/// Whether a session opened or closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Turn {
    /// Neither.
    #[default]
    None,
    /// It ended.
    Stopped,
    /// It had ended, and goes on.
    Reopened,
}

/// What a report changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// What the membership's counters grow by, day by day; empty while the person is unknown.
    pub usage: Vec<DayUsage>,
    /// Whether the session opened or closed.
    pub turn: Turn,
    /// Whether what describes it or its begin changed: more than what every report changes.
    pub is_described: bool,
}

/// A local day as a number that sorts.
pub(crate) fn local_day(at: Time, zone: Tz) -> i32 {
    at.to_chrono()
        .with_timezone(&zone)
        .date_naive()
        .num_days_from_ce()
}

struct Before {
    membership: Option<Uuid>,
    by_day: BTreeMap<i32, Totals>,
    is_open: bool,
    started: Time,
}

impl Session {
    /// A session nothing is known of but its key: apply the report to it.
    pub fn new(id: Uuid, generation: i64, report: &Report) -> Session {
        Session {
            id,
            organisation_id: report.organisation.0,
            nas_id: report.nas,
            membership_id: None,
            acct_session_id: report.session_id.clone(),
            identity: report.identity.clone(),
            generation,
            unique_id: None,
            group_name: None,
            nas_ip_address: report.nas_ip_address(),
            details: Details::default(),
            connection_info_start: None,
            connection_info_stop: None,
            started: report.event_time,
            updated: report.received,
            stopped: None,
            interval_seconds: None,
            session_seconds: 0,
            input_octets: 0,
            output_octets: 0,
            input_packets: 0,
            output_packets: 0,
            wraps: 0,
            terminate_cause: None,
            reported: report.event_time,
            reports: 0,
            version: 0,
            other: None,
            ledger: Ledger::default(),
        }
    }

    /// Applies a report. `zone` is the organisation's: growth belongs to the local day of the event.
    pub fn apply(&mut self, report: &Report, zone: Tz) -> Change {
        // The same packet once more, from another moment: what follows from it is the same, but it is no report more.
        let is_another = self.ledger.hear(report.digest);
        let before = self.before(zone);
        let day = local_day(report.event_time, zone);
        self.ledger
            .begin(report.event_time, report.begin(), report.status.begins());
        if report.session_seconds.is_some() || report.input.is_some() || report.output.is_some() {
            self.ledger.enter(Mark {
                at: report.event_time.unix_micros(),
                seconds: report.session_seconds,
                input: report.input,
                output: report.output,
                day,
            });
        }
        if report.status.ends() {
            self.ledger.end(Ending {
                at: report.event_time.unix_micros(),
                is_final: false,
                cause: report.terminate_cause.clone(),
                day,
            });
        }
        let is_described = self.describe(report, is_another);
        self.refresh();
        let mut change = self.change_since(&before, zone);
        change.is_described |= is_described;
        change
    }

    /// Ends it because its NAS restarted.
    pub fn close_for_restart(&mut self, restart: &Restart, zone: Tz) -> Change {
        self.close(restart.at, NAS_REBOOT, true, zone)
    }

    /// Ends it because the NAS gave its id to another.
    pub fn close_as_replaced(&mut self, at: Time, zone: Tz) -> Change {
        self.close(at, LOST_CARRIER, false, zone)
    }

    /// Ends it by our own decision; a NAS that goes on counting opens it again.
    pub fn close_by_hand(&mut self, at: Time, cause: &str, zone: Tz) -> Change {
        self.close(at, cause, false, zone)
    }

    fn close(&mut self, at: Time, cause: &str, is_final: bool, zone: Tz) -> Change {
        let before = self.before(zone);
        // The NAS's clock may be ahead of ours: what it said so far does not contradict the end.
        let at = match self.ledger.last_growth() {
            Some(grew) if !is_final => at.max(grew),
            _ => at,
        };
        self.ledger.end(Ending {
            at: at.unix_micros(),
            is_final,
            cause: Some(cause.to_owned()),
            day: local_day(at, zone),
        });
        self.refresh();
        self.change_since(&before, zone)
    }

    /// Takes over what describes it; whether that changed anything but what every report changes.
    fn describe(&mut self, report: &Report, is_another: bool) -> bool {
        let is_newest = self.reports == 0 || report.event_time >= self.reported;
        if is_newest && is_another && self.reports > 0 {
            let interval = report.event_time.seconds_since(self.reported);
            // A repetition is no interval.
            if interval > 0 {
                self.interval_seconds = Some(interval);
            }
        }
        let mut changed = self.membership_id.is_none() && report.membership.is_some();
        self.membership_id = self.membership_id.or(report.membership);
        if is_newest {
            let address = report.nas_ip_address();
            changed |= address != self.nas_ip_address;
            self.nas_ip_address = address;
        }
        changed |= fill(&mut self.group_name, &report.group, is_newest);
        changed |= self.details.merge(&report.details, is_newest);
        if report.status.ends() {
            fill(
                &mut self.connection_info_stop,
                &report.connect_info,
                is_newest,
            );
        } else {
            changed |= fill(
                &mut self.connection_info_start,
                &report.connect_info,
                report.status.begins(),
            );
        }
        self.input_packets = self.input_packets.max(report.input_packets.unwrap_or(0));
        self.output_packets = self.output_packets.max(report.output_packets.unwrap_or(0));
        if !report.other.is_empty() {
            let known = self
                .other
                .as_deref()
                .and_then(|text| serde_json::from_str(text).ok());
            let mut known: serde_json::Map<_, _> = known.unwrap_or_default();
            other::merge(&mut known, &report.other, is_newest);
            self.other = serde_json::to_string(&known)
                .ok()
                .filter(|_| !known.is_empty());
        }
        self.reported = self.reported.max(report.event_time);
        self.updated = self.updated.max(report.received);
        self.reports = self.reports.saturating_add(is_another.into());
        changed
    }

    /// Everything that follows from the ledger.
    fn refresh(&mut self) {
        if let Some(started) = self.ledger.started() {
            self.started = started;
        }
        let ending = self.ledger.ending();
        self.stopped = ending.map(|ending| Time::from_unix_micros(ending.at).max(self.started));
        self.terminate_cause = ending.and_then(|ending| ending.cause.clone());
        let (totals, wraps) = self.ledger.totals();
        self.session_seconds = totals.seconds;
        self.input_octets = totals.input;
        self.output_octets = totals.output;
        self.wraps = wraps;
    }

    fn before(&self, zone: Tz) -> Before {
        Before {
            membership: self.membership_id,
            by_day: self.ledger.by_day(zone),
            is_open: self.is_open(),
            started: self.started,
        }
    }

    fn change_since(&mut self, before: &Before, zone: Tz) -> Change {
        let usage = match (self.membership_id, before.membership) {
            (None, _) => Vec::new(),
            // What was used before the person was known is theirs too.
            (Some(_), None) => {
                difference(&BTreeMap::new(), &self.ledger.by_day_from_the_first(zone))
            }
            (Some(_), Some(_)) => difference(&before.by_day, &self.ledger.by_day(zone)),
        };
        // What settling takes out of the days was counted just now, if there is somebody whose it is.
        self.ledger.settle(self.membership_id.is_some(), zone);
        let turn = match (before.is_open, self.is_open()) {
            (true, false) => Turn::Stopped,
            (false, true) => Turn::Reopened,
            _ => Turn::None,
        };
        Change {
            usage,
            turn,
            is_described: self.started != before.started,
        }
    }
}

fn fill(known: &mut Option<String>, said: &Option<String>, wins: bool) -> bool {
    let changes = said.is_some() && (wins || known.is_none()) && known != said;
    if changes {
        known.clone_from(said);
    }
    changes
}

fn difference(before: &BTreeMap<i32, Totals>, after: &BTreeMap<i32, Totals>) -> Vec<DayUsage> {
    let days: std::collections::BTreeSet<i32> =
        before.keys().chain(after.keys()).copied().collect();
    let of = |map: &BTreeMap<i32, Totals>, day| map.get(&day).copied().unwrap_or_default();
    days.into_iter()
        .map(|day| DayUsage {
            day,
            delta: of(after, day).minus(of(before, day)),
        })
        .filter(|usage| !usage.delta.is_zero())
        .collect()
}

#[cfg(test)]
mod tests;
