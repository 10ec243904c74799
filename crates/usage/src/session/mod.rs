//! A connection in time.
//!
//! [`Session`] is a row; [`Session::apply`] is the only thing that changes it. [`ledger`] is why the order of reports
//! does not matter, [`generation`] tells a re-used session id from a late report, [`restart`] is what Accounting-On
//! does, [`store`] and [`write`] are the SQL. Everything but these two is pure: no clock, no database.
//!
//! It must never open again a session whose end is newer than the report, and never lower a total, save where a late
//! report shows that the wrap of a counter was inferred in error.

mod apply;
pub mod generation;
pub mod ledger;
pub mod restart;
pub mod store;
pub mod write;

pub use apply::{Change, DayUsage, Turn};
pub use ledger::{Ledger, Totals};
pub use restart::Restart;

use crate::report::Details;
use kernel::Time;
use kernel::id::Uuid;

/// The cause of what ended with its NAS (RFC 2866 §5.10, value 11).
pub const NAS_REBOOT: &str = "NAS-Reboot";
/// The cause of what a NAS replaced under the same id without saying that it ended (RFC 2866 §5.10, value 2).
pub const LOST_CARRIER: &str = "Lost-Carrier";

/// One session, as stored.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Session {
    /// Its id; the 32 hex digits are its unique id unless a client gave one.
    pub id: Uuid,
    /// Whose it is.
    pub organisation_id: Uuid,
    /// The NAS.
    pub nas_id: Uuid,
    /// Whose usage it is. Once known it stays.
    pub membership_id: Option<Uuid>,
    /// The NAS's id for it.
    pub acct_session_id: String,
    /// The device's MAC, else Calling-Station-Id, else User-Name.
    pub identity: String,
    /// Tells sessions apart to which the NAS gave the same id.
    pub generation: i64,
    /// A client's own unique id.
    pub unique_id: Option<String>,
    /// The group that decided.
    pub group_name: Option<String>,
    /// What the NAS says its address is, else where its reports come from.
    pub nas_ip_address: String,
    /// What describes it.
    #[sqlx(flatten)]
    pub details: Details,
    /// Connect-Info of the begin.
    pub connection_info_start: Option<String>,
    /// Connect-Info of the end.
    pub connection_info_stop: Option<String>,
    /// When it began.
    pub started: Time,
    /// When a report last reached us.
    pub updated: Time,
    /// When it ended; none while it is open.
    pub stopped: Option<Time>,
    /// Between its two newest reports.
    pub interval_seconds: Option<i64>,
    /// How long it lasted so far.
    pub session_seconds: i64,
    /// From the client.
    pub input_octets: i64,
    /// To the client.
    pub output_octets: i64,
    /// From the client.
    pub input_packets: i64,
    /// To the client.
    pub output_packets: i64,
    /// Wraps of 32-bit counters that were inferred: then the octets are a conclusion, not a reading.
    pub wraps: i64,
    /// Why it ended.
    pub terminate_cause: Option<String>,
    /// Event time of the newest report.
    pub reported: Time,
    /// How many reports were applied.
    pub reports: i64,
    /// Grows with every write of the row; 0 while there is none.
    pub version: i64,
    /// Attributes without a column, JSON by name.
    pub other: Option<String>,
    /// The reports that all this follows from.
    #[sqlx(try_from = "String")]
    pub ledger: Ledger,
}

/// A stored ledger that cannot be read: the row was altered by something else.
#[derive(Debug, thiserror::Error)]
#[error("column session.ledger: {0}")]
pub struct BadLedger(String);

impl TryFrom<String> for Ledger {
    type Error = BadLedger;

    fn try_from(text: String) -> Result<Self, BadLedger> {
        serde_json::from_str(&text).map_err(|e| BadLedger(e.to_string()))
    }
}

impl Session {
    /// Whether it is going on.
    pub fn is_open(&self) -> bool {
        self.stopped.is_none()
    }

    /// The id that clients know it by.
    pub fn unique_id(&self) -> String {
        self.unique_id
            .clone()
            .unwrap_or_else(|| self.id.simple().to_string())
    }

    /// What it used.
    pub fn totals(&self) -> Totals {
        Totals {
            seconds: self.session_seconds,
            input: self.input_octets,
            output: self.output_octets,
        }
    }
}
