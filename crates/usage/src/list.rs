//! Sessions for readers: lists in pages, one by any of its ids, the open ones, and an end by hand.
//!
//! A reader never sees a session open that a restart of its NAS has ended, even before the row says so.

use crate::applied::{AppliedSession, Settlement};
use crate::restart;
use crate::session::{NAS_REBOOT, Restart, Session, store};
use chrono_tz::Tz;
use kernel::id::Uuid;
use kernel::{Db, Error, Kernel, News, OrganisationId, Scope, Time};
use serde::Serialize;

/// The largest page.
pub const MAX_PAGE: u32 = 1_000;
/// How many sessions one id may name: ids of NASes are not unique.
const MAX_FOUND: i64 = 20;

/// A page: `$8` and `$9` are the place it begins behind. Every filter is in every statement; the one named in
/// `narrowed` stands there bare, so that its index is used. The order is the index's, whichever it is; `order` is where
/// that index is.
macro_rules! page_of {
    ($from:literal, $order:literal, $narrowed:literal) => {
        concat!(
            "SELECT s.* FROM ",
            $from,
            " WHERE (",
            $order,
            ".started, ",
            $order,
            ".id) < ($8, $9) AND ",
            $narrowed,
            " AND (CAST($1 AS UUID) IS NULL OR ",
            $order,
            ".organisation_id = $1)
              AND (CAST($6 AS TIMESTAMPTZ) IS NULL OR ",
            $order,
            ".started >= $6)
              AND (NOT $2 OR s.stopped IS NULL)
              AND (CAST($3 AS TEXT) IS NULL OR s.username = $3)
              AND (CAST($4 AS TEXT) IS NULL OR s.called_station_id = $4)
              AND (CAST($5 AS TEXT) IS NULL OR s.calling_station_id = $5)
              AND (CAST($7 AS TIMESTAMPTZ) IS NULL OR s.stopped <= $7)
              AND (NOT $10 OR s.stopped IS NOT NULL)
              AND (CAST($11 AS UUID) IS NULL OR s.nas_id = $11)
              AND (CAST($12 AS UUID) IS NULL OR s.membership_id = $12)
            ORDER BY ",
            $order,
            ".started DESC, ",
            $order,
            ".id DESC LIMIT $13"
        )
    };
    ($narrowed:literal) => {
        page_of!("session_all AS s", "s", $narrowed)
    };
}

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    LIST = page_of!("TRUE");
    LIST_OF_ORGANISATION = page_of!("s.organisation_id = $1");
    LIST_OF_USERNAME = page_of!("s.username = $3");
    LIST_OF_DEVICE = page_of!("s.calling_station_id = $5");
    LIST_OF_MEMBERSHIP = page_of!("s.membership_id = $12");
    LIST_OPEN = page_of!("session_open AS o CROSS JOIN session AS s", "o", "s.id = o.id");
    BY_ID = "SELECT * FROM session_all
        WHERE (id = $1 OR unique_id = $2) AND (CAST($3 AS UUID) IS NULL OR organisation_id = $3)";
    BY_NAS_ID = "SELECT * FROM session_all
        WHERE (acct_session_id = $1 OR unique_id = $1) AND (CAST($2 AS UUID) IS NULL OR organisation_id = $2)
        ORDER BY started DESC, id DESC LIMIT $3";
    OPEN = "SELECT s.* FROM session_open AS o CROSS JOIN session AS s
        WHERE s.id = o.id AND (CAST($1 AS UUID) IS NULL OR o.organisation_id = $1) AND o.id > $2
        ORDER BY o.id LIMIT $3";
}

/// News: a session was ended by hand. Subject: the session; detail: the cause.
pub const SESSION_CLOSED: &str = "session.closed";
/// Later than any session: 31 December 9999. A list without a cursor begins behind it.
const LAST_SECOND: i64 = 253_402_300_799;

/// Where the next page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The last session's begin.
    pub started: Time,
    /// Its id.
    pub id: Uuid,
}

/// Which sessions. The default is all, newest first.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Only open ones (`Some(true)`), only closed ones (`Some(false)`).
    pub is_open: Option<bool>,
    /// User-Name, exactly.
    pub username: Option<String>,
    /// Called-Station-Id, exactly.
    pub called_station_id: Option<String>,
    /// Calling-Station-Id, exactly.
    pub calling_station_id: Option<String>,
    /// Begun then or later.
    pub started_from: Option<Time>,
    /// Ended then or earlier.
    pub stopped_to: Option<Time>,
    /// On this NAS.
    pub nas: Option<Uuid>,
    /// Of this membership.
    pub membership: Option<Uuid>,
    /// Behind this place.
    pub after: Option<Cursor>,
    /// At most so many, up to [`MAX_PAGE`]; 0 means that.
    pub limit: u32,
}

/// One page.
#[derive(Debug, Clone)]
pub struct Page {
    /// Newest first.
    pub sessions: Vec<Session>,
    /// Where the next page begins; none on the last one.
    pub next: Option<Cursor>,
}

/// A page of sessions, history included.
///
/// # Errors
/// [`Error::Engine`].
pub async fn list(db: &Db, scope: Scope, filter: &ListFilter) -> Result<Page, Error> {
    let limit = match filter.limit {
        0 => MAX_PAGE,
        limit => limit.min(MAX_PAGE),
    };
    let after = filter.after.unwrap_or(Cursor {
        started: Time::from_unix_seconds(LAST_SECOND),
        id: Uuid::max(),
    });
    let text = |value: &Option<String>| kernel::Value::Text(value.clone());
    // Restarts first: a row that follows one in between is then closed either way.
    let restarts = restart::unsettled(db).await?;
    let values = kernel::values![
        scope.parameter(),
        filter.is_open == Some(true),
        text(&filter.username),
        text(&filter.called_station_id),
        text(&filter.calling_station_id),
        filter.started_from,
        filter.stopped_to,
        after.started,
        after.id,
        filter.is_open == Some(false) && restarts.is_empty(),
        filter.nas,
        filter.membership,
        i64::from(limit),
    ];
    let mut sessions: Vec<Session> = db.all(statement_for(scope, filter), values).await?;
    let next = sessions
        .last()
        .filter(|_| sessions.len() >= limit as usize)
        .map(|last| Cursor {
            started: last.started,
            id: last.id,
        });
    close_by_definition(&mut sessions, &restarts);
    sessions.retain(|session| filter.is_open.is_none_or(|open| session.is_open() == open));
    Ok(Page { sessions, next })
}

/// The statement whose index leaves the least to be looked through.
fn statement_for(scope: Scope, filter: &ListFilter) -> &'static str {
    let is_scoped = matches!(scope, Scope::Organisation(_));
    if filter.membership.is_some() {
        LIST_OF_MEMBERSHIP
    } else if filter.calling_station_id.is_some() {
        LIST_OF_DEVICE
    } else if filter.username.is_some() {
        LIST_OF_USERNAME
    } else if filter.is_open == Some(true) {
        LIST_OPEN
    } else if is_scoped {
        LIST_OF_ORGANISATION
    } else {
        LIST
    }
}

/// Sessions by id, unique id or the NAS's own id; the newest first, since a NAS's id may name several.
///
/// # Errors
/// [`Error::Engine`].
pub async fn find(db: &Db, scope: Scope, text: &str) -> Result<Vec<Session>, Error> {
    let text = text.trim();
    let restarts = restart::unsettled(db).await?;
    let mut found: Vec<Session> = match Uuid::try_parse(text) {
        Ok(id) => {
            db.all(BY_ID, kernel::values![id, text, scope.parameter()])
                .await?
        }
        Err(_) => Vec::new(),
    };
    if found.is_empty() {
        found = db
            .all(
                BY_NAS_ID,
                kernel::values![text, scope.parameter(), MAX_FOUND],
            )
            .await?;
    }
    close_by_definition(&mut found, &restarts);
    Ok(found)
}

/// A page of open sessions in the order of ids, for loading them all: hand over the last id to get the next page; an
/// empty page is the end. What a restart has ended is marked as ended.
///
/// # Errors
/// [`Error::Engine`].
pub async fn open_sessions(
    db: &Db,
    scope: Scope,
    after: Option<Uuid>,
) -> Result<Vec<Session>, Error> {
    let restarts = restart::unsettled(db).await?;
    let after = after.unwrap_or(Uuid::nil());
    let mut rows: Vec<Session> = db
        .all(
            OPEN,
            kernel::values![scope.parameter(), after, i64::from(MAX_PAGE)],
        )
        .await?;
    close_by_definition(&mut rows, &restarts);
    Ok(rows)
}

/// Ends a session by our own decision (its NAS is gone, a disconnect was acknowledged) and says so. None if there is no
/// such open session. A NAS that goes on counting opens it again.
///
/// # Errors
/// [`Error::Engine`].
pub async fn mark_closed(
    kernel: &Kernel,
    id: Uuid,
    cause: &str,
    zone_of: impl Fn(Uuid) -> Tz,
) -> Result<Option<AppliedSession>, Error> {
    let mut tx = kernel.db.begin().await?;
    let Some(mut row) = store::lock_one(&mut tx, id).await?.filter(Session::is_open) else {
        tx.rollback().await?;
        return Ok(None);
    };
    let zone = zone_of(row.organisation_id);
    let now = kernel.now();
    let change = row.close_by_hand(now, cause, zone);
    let news = News::new(
        SESSION_CLOSED,
        Some(OrganisationId(row.organisation_id)),
        row.id,
    );
    let mut settlement = Settlement::default();
    settlement.note(row, change);
    let applied = settlement.write(&mut tx).await?;
    let detail = serde_json::json!({ "cause": cause });
    tx.tell(now, news.with_detail(detail)).await?;
    tx.commit().await?;
    Ok(applied.into_iter().next())
}

fn close_by_definition(sessions: &mut [Session], restarts: &[Restart]) {
    for session in sessions.iter_mut().filter(|session| session.is_open()) {
        let first = restarts
            .iter()
            .filter(|restart| restart.covers(session))
            .map(|restart| restart.at)
            .min();
        if let Some(at) = first {
            session.stopped = Some(at);
            session.terminate_cause = Some(NAS_REBOOT.to_owned());
        }
    }
}

/// A session as clients see it; the names are those that OpenWISP's API has.
#[derive(Debug, Clone, Serialize)]
pub struct SessionView {
    /// 32 hex digits, or what a client gave.
    pub unique_id: String,
    /// The NAS's id.
    pub session_id: String,
    /// User-Name.
    pub username: Option<String>,
    /// The group that decided.
    pub groupname: Option<String>,
    /// The user's realm.
    pub realm: Option<String>,
    /// The NAS's address.
    pub nas_ip_address: String,
    /// NAS-Port-Id or NAS-Port.
    pub nas_port_id: Option<String>,
    /// NAS-Port-Type.
    pub nas_port_type: Option<String>,
    /// When it began.
    pub start_time: Time,
    /// When it was last reported.
    pub update_time: Time,
    /// When it ended; null while open.
    pub stop_time: Option<Time>,
    /// Seconds between its two newest reports.
    pub interval: Option<i64>,
    /// Seconds it lasted so far.
    pub session_time: i64,
    /// Acct-Authentic.
    pub authentication: Option<String>,
    /// Connect-Info of the begin.
    pub connection_info_start: Option<String>,
    /// Connect-Info of the end.
    pub connection_info_stop: Option<String>,
    /// From the client.
    pub input_octets: i64,
    /// To the client.
    pub output_octets: i64,
    /// Called-Station-Id.
    pub called_station_id: Option<String>,
    /// Calling-Station-Id.
    pub calling_station_id: Option<String>,
    /// Why it ended.
    pub terminate_cause: Option<String>,
    /// Service-Type.
    pub service_type: Option<String>,
    /// Framed-Protocol.
    pub framed_protocol: Option<String>,
    /// Framed-IP-Address.
    pub framed_ip_address: Option<String>,
    /// Framed-IPv6-Address.
    pub framed_ipv6_address: Option<String>,
    /// Framed-IPv6-Prefix.
    pub framed_ipv6_prefix: Option<String>,
    /// Delegated-IPv6-Prefix.
    pub delegated_ipv6_prefix: Option<String>,
    /// Framed-Interface-Id.
    pub framed_interface_id: Option<String>,
    /// Whose it is.
    pub organization: Uuid,
    /// Its id.
    pub id: Uuid,
    /// Its NAS.
    pub nas: Uuid,
    /// NAS-Identifier.
    pub nas_identifier: Option<String>,
    /// Whose usage it is.
    pub membership: Option<Uuid>,
    /// Acct-Multi-Session-Id.
    pub multi_session_id: Option<String>,
    /// Class, hex.
    pub class: Option<String>,
    /// From the client.
    pub input_packets: i64,
    /// To the client.
    pub output_packets: i64,
    /// How many wraps of 32-bit counters were inferred.
    pub inferred_wraps: i64,
    /// Whether it is going on.
    pub is_open: bool,
    /// Attributes without a name above.
    pub other: Option<serde_json::Value>,
}

impl From<&Session> for SessionView {
    fn from(session: &Session) -> Self {
        let s = session.clone();
        let unique_id = s.unique_id();
        let is_open = s.is_open();
        let d = s.details;
        SessionView {
            unique_id,
            session_id: s.acct_session_id,
            username: d.username,
            groupname: s.group_name,
            realm: d.realm,
            nas_ip_address: s.nas_ip_address,
            nas_port_id: d.nas_port_id,
            nas_port_type: d.nas_port_type,
            start_time: s.started,
            update_time: s.updated,
            stop_time: s.stopped,
            interval: s.interval_seconds,
            session_time: s.session_seconds,
            authentication: d.authentication,
            connection_info_start: s.connection_info_start,
            connection_info_stop: s.connection_info_stop,
            input_octets: s.input_octets,
            output_octets: s.output_octets,
            called_station_id: d.called_station_id,
            calling_station_id: d.calling_station_id,
            terminate_cause: s.terminate_cause,
            service_type: d.service_type,
            framed_protocol: d.framed_protocol,
            framed_ip_address: d.framed_ip_address,
            framed_ipv6_address: d.framed_ipv6_address,
            framed_ipv6_prefix: d.framed_ipv6_prefix,
            delegated_ipv6_prefix: d.delegated_ipv6_prefix,
            framed_interface_id: d.framed_interface_id,
            organization: s.organisation_id,
            id: s.id,
            nas: s.nas_id,
            nas_identifier: d.nas_identifier,
            membership: s.membership_id,
            multi_session_id: d.multi_session_id,
            class: d.class,
            input_packets: s.input_packets,
            output_packets: s.output_packets,
            inferred_wraps: s.wraps,
            is_open,
            other: s.other.and_then(|text| serde_json::from_str(&text).ok()),
        }
    }
}

#[cfg(test)]
mod tests;
