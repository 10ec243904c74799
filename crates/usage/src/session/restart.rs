//! A NAS that has restarted, or is about to stop, has no session from before (RFC 2866 §5.1, Accounting-On and -Off).
//!
//! One row says so at once for all its sessions: every reader holds a session that began before for closed, and the
//! rows follow within a minute. Behind one NAS there may be several boxes (a network of access points, several
//! networks of one radio): a restart covers only what does not contradict what the report said about itself.

use super::Session;
use crate::report::Report;
use kernel::Time;
use kernel::id::Uuid;
use proof::Mac;

/// A restart of a NAS or of one box behind it. An empty text means that the report did not say.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Restart {
    /// The NAS.
    pub nas_id: Uuid,
    /// NAS-IP-Address of the box.
    pub nas_ip_address: String,
    /// NAS-Identifier of the box.
    pub nas_identifier: String,
    /// Called-Station-Id of the network that restarted.
    pub called_station_id: String,
    /// When.
    pub at: Time,
}

impl Restart {
    /// The restart that an Accounting-On or -Off reports; none for every other report.
    pub fn of(report: &Report) -> Option<Restart> {
        report.status.is_about_nas().then(|| Restart {
            nas_id: report.nas,
            nas_ip_address: report
                .said_address
                .map(|ip| ip.to_canonical().to_string())
                .unwrap_or_default(),
            nas_identifier: report.details.nas_identifier.clone().unwrap_or_default(),
            called_station_id: report.details.called_station_id.clone().unwrap_or_default(),
            at: report.event_time,
        })
    }

    /// Whether both are about the same box: then the later one stands.
    pub fn is_of_same_box(&self, other: &Restart) -> bool {
        self.nas_id == other.nas_id
            && self.nas_ip_address == other.nas_ip_address
            && self.nas_identifier == other.nas_identifier
            && self.called_station_id == other.called_station_id
    }

    /// Whether the session was on this box, as far as both say.
    pub fn is_box_of(&self, session: &Session) -> bool {
        self.nas_id == session.nas_id
            && self.is_box(
                &session.nas_ip_address,
                session.details.nas_identifier.as_deref(),
                session.details.called_station_id.as_deref(),
            )
    }

    /// Whether something of this NAS that says so about itself is the box.
    pub fn is_box(&self, address: &str, identifier: Option<&str>, called: Option<&str>) -> bool {
        let agrees = |said: &str, known: Option<&str>| {
            said.is_empty() || known.is_none_or(|known| known == said)
        };
        agrees(&self.nas_ip_address, Some(address))
            && agrees(&self.nas_identifier, identifier)
            && (self.called_station_id.is_empty()
                || called.is_none_or(|called| self.is_network(called)))
    }

    /// Whether the session is over because of it: it began before.
    pub fn covers(&self, session: &Session) -> bool {
        session.started < self.at && self.is_box_of(session)
    }

    /// The same Called-Station-Id, or the same radio when the restart names no network.
    fn is_network(&self, called: &str) -> bool {
        if self.called_station_id.eq_ignore_ascii_case(called) {
            return true;
        }
        let radio = Mac::split(self.called_station_id.as_bytes());
        let known = Mac::split(called.as_bytes());
        matches!((radio, known), (Some((radio, [])), Some((known, _))) if radio == known)
    }
}
