//! An open session as readers see it, and when it counts no more.

use crate::session::Totals;
use kernel::id::Uuid;
use kernel::{OrganisationId, Time};

/// An open session as readers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveSession {
    /// Its row; nil while it is not yet written.
    pub id: Uuid,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// Its NAS.
    pub nas: Uuid,
    /// Whose usage it is.
    pub membership: Option<Uuid>,
    /// When it began.
    pub started: Time,
    /// Event time of the newest report.
    pub reported: Time,
    /// When that report came.
    pub heard: Time,
    /// How far apart its last reports were; 0 before there were two.
    pub interval_seconds: u32,
    /// Whose device: see [`Live::device`].
    pub device: u64,
    /// What it used so far.
    pub totals: Totals,
    /// What of that SQL has counted, in its membership's running totals.
    pub counted: Totals,
    /// Event time of the newest report that SQL has counted; when it began, if none was.
    pub counted_until: Time,
}

/// A session is over, whatever its NAS forgot to say, when it missed so many reports in a row.
const MISSED_REPORTS: i64 = 3;
/// But not before so many seconds: reports come late, and a restart of this server takes a moment.
const LEAST_STALE_SECONDS: i64 = 600;
/// Where a NAS was never heard to report in between: a day.
const UNREPORTED_STALE_SECONDS: i64 = 86_400;

/// Whether a NAS has been silent about a session for longer than it would be: since `heard`, with reports so far apart, or
/// asked for so far apart.
pub fn is_stale(heard: Time, interval_seconds: u32, asked_for: Option<u32>, now: Time) -> bool {
    let interval = match interval_seconds {
        0 => asked_for.map(i64::from),
        seconds => Some(i64::from(seconds)),
    };
    let most = interval.map_or(UNREPORTED_STALE_SECONDS, |seconds| {
        (seconds * MISSED_REPORTS).max(LEAST_STALE_SECONDS)
    });
    now.seconds_since(heard) > most
}

impl LiveSession {
    /// Whether its NAS has been silent for longer than it would be; `asked_for`: how far apart its reports were asked for,
    /// in seconds.
    pub fn is_stale(&self, now: Time, asked_for: Option<u32>) -> bool {
        is_stale(self.heard, self.interval_seconds, asked_for, now)
    }

    /// What it used that no running total has.
    pub fn uncounted(&self) -> Totals {
        let more = self.totals.minus(self.counted);
        Totals {
            seconds: more.seconds.max(0),
            input: more.input.max(0),
            output: more.output.max(0),
        }
    }
}
