//! Orders: what is wanted of a session that is going on, and what came of it (RFC 5176).
//!
//! Whoever wants something writes a row; a node takes it, asks the NAS, and finishes it. A row that a node took and never
//! finished, because it was killed, is taken again. Orders say what is wanted, never how: that is the door's.

use crate::forget::Run;
use crate::live::LiveSession;
use crate::session::Session;
use kernel::id::Uuid;
use kernel::{Db, Error, Kernel, News, OrganisationId, Scope, Time, Tx};
use serde::Serialize;
use std::fmt;

/// News: an order was finished. Subject: the order; detail: session, kind, reason, outcome, Error-Cause.
pub const ORDER_FINISHED: &str = "session.order_finished";

/// After so long without an end an order is taken again: longer than a NAS is asked for.
const TAKEN_FOR_SECONDS: i64 = 180;
/// Rows of one listing.
const MAX_LISTED: i64 = 1_000;

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// That it ends.
    Disconnect,
    /// That it goes on under another plan.
    Change,
    /// Whether it goes on at all.
    Query,
}

impl Kind {
    /// The word in the table.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Disconnect => "disconnect",
            Kind::Change => "change",
            Kind::Query => "query",
        }
    }

    fn from_word(word: &str) -> Kind {
        match word {
            "change" => Kind::Change,
            "query" => Kind::Query,
            _ => Kind::Disconnect,
        }
    }
}

/// Why it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// An operator said so.
    Operator,
    /// The person, the membership or the organisation was disabled.
    Disabled,
    /// The person was removed, or left the organisation.
    Removed,
    /// The time until which the person may use the network is over.
    Expired,
    /// A limit is spent.
    Quota,
    /// Another plan holds now.
    Plan,
    /// The person logged out at the portal.
    Logout,
    /// It keeps somebody out, and was not heard of lately.
    Doubt,
}

impl Reason {
    const ALL: [Reason; 8] = [
        Reason::Operator,
        Reason::Disabled,
        Reason::Removed,
        Reason::Expired,
        Reason::Quota,
        Reason::Plan,
        Reason::Logout,
        Reason::Doubt,
    ];

    /// The word in the table.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Operator => "operator",
            Reason::Disabled => "disabled",
            Reason::Removed => "removed",
            Reason::Expired => "expired",
            Reason::Quota => "quota",
            Reason::Plan => "plan",
            Reason::Logout => "logout",
            Reason::Doubt => "doubt",
        }
    }

    fn from_word(word: &str) -> Reason {
        let same = |reason: &Reason| reason.word() == word;
        Reason::ALL
            .into_iter()
            .find(same)
            .unwrap_or(Reason::Operator)
    }

    /// What a session is said to have ended of (RFC 2866 §5.10).
    pub fn cause(self) -> &'static str {
        match self {
            Reason::Logout => "User-Request",
            Reason::Doubt => "Lost-Carrier",
            Reason::Expired | Reason::Quota => "Session-Timeout",
            _ => "Admin-Reset",
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The NAS did it.
    Ack,
    /// The NAS refused, with this Error-Cause where it gave one.
    Nak,
    /// The NAS has no such session: it is over.
    Gone,
    /// The NAS does not answer.
    Silence,
    /// The session had ended before the NAS was asked.
    Ended,
    /// The NAS was removed, or is disabled.
    NoNas,
    /// Nobody knows where the NAS listens.
    NoAddress,
}

impl Outcome {
    /// The word in the table.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Ack => "ack",
            Outcome::Nak => "nak",
            Outcome::Gone => "gone",
            Outcome::Silence => "silence",
            Outcome::Ended => "ended",
            Outcome::NoNas => "no_nas",
            Outcome::NoAddress => "no_address",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// How an order ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// What came of it.
    pub outcome: Outcome,
    /// Error-Cause of the last answer (RFC 5176 §3.5).
    pub error_cause: Option<u32>,
    /// The attributes that named the session in the last question.
    pub named_by: Option<String>,
    /// Datagrams that were sent.
    pub tries: u32,
    /// From the last datagram to the answer.
    pub round_trip_micros: Option<u64>,
}

impl Finish {
    /// One without a question.
    pub fn unasked(outcome: Outcome) -> Self {
        Self {
            outcome,
            error_cause: None,
            named_by: None,
            tries: 0,
            round_trip_micros: None,
        }
    }
}

/// The session that something is wanted of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Whose it is.
    pub organisation: OrganisationId,
    /// Its row.
    pub id: Uuid,
    /// Its NAS.
    pub nas: Uuid,
}

impl Target {
    /// One that is online.
    pub fn of_live(session: &LiveSession) -> Self {
        Self {
            organisation: session.organisation,
            id: session.id,
            nas: session.nas,
        }
    }

    /// One of a row.
    pub fn of(session: &Session) -> Self {
        Self {
            organisation: OrganisationId(session.organisation_id),
            id: session.id,
            nas: session.nas_id,
        }
    }
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Order {
    /// Its id.
    pub id: Uuid,
    /// Whose session it is about.
    pub organisation: OrganisationId,
    /// The session.
    pub session: Uuid,
    /// Its NAS.
    pub nas: Uuid,
    /// What is wanted.
    pub kind: Kind,
    /// Why.
    pub reason: Reason,
    /// Of a change: the plan.
    pub plan: Option<Uuid>,
    /// When it was wanted.
    pub created: Time,
    /// When it was finished.
    pub finished: Option<Time>,
    /// What came of it.
    pub outcome: Option<String>,
    /// Error-Cause of the last answer.
    pub error_cause: Option<i64>,
    /// The attributes that named the session.
    pub named_by: Option<String>,
    /// Datagrams that were sent.
    pub tries: i64,
    /// From the last datagram to the answer.
    pub round_trip_micros: Option<i64>,
}

macro_rules! columns {
    () => {
        "id, organisation_id, session_id, nas_id, kind, reason, plan_id, created, finished, outcome, error_cause, named_by, \
         tries, round_trip_micros"
    };
}

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    INSERT = "INSERT INTO session_order (id, organisation_id, session_id, nas_id, kind, reason, plan_id, created, tries)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)
        ON CONFLICT (session_id, kind) WHERE finished IS NULL DO UPDATE SET reason = excluded.reason,
            plan_id = excluded.plan_id RETURNING id";
    TAKE = concat!("UPDATE session_order SET node = $1, taken = $2 WHERE finished IS NULL
            AND (taken IS NULL OR taken < $3) AND id IN (SELECT id FROM session_order
                WHERE finished IS NULL AND (taken IS NULL OR taken < $3) ORDER BY created, id LIMIT $4)
        RETURNING ", columns!());
    BEGIN = "UPDATE session_order SET taken = $3 WHERE id = $1 AND node = $2 AND finished IS NULL";
    FINISH = "UPDATE session_order SET finished = $2, outcome = $3, error_cause = $4, named_by = $5, tries = $6,
            round_trip_micros = $7 WHERE id = $1 AND finished IS NULL";
    WAITING = "SELECT id FROM session_order WHERE finished IS NULL AND (taken IS NULL OR taken < $1) LIMIT 1";
    OF_ID = concat!("SELECT ", columns!(), " FROM session_order WHERE id = $1");
    NEWEST = concat!("SELECT ", columns!(), " FROM session_order
        WHERE CAST($1 AS UUID) IS NULL OR organisation_id = $1 ORDER BY created DESC, id DESC LIMIT $2");
    FORGET = "DELETE FROM session_order WHERE id IN
        (SELECT id FROM session_order WHERE created < $1 AND finished IS NOT NULL ORDER BY created LIMIT $2)";
}

#[derive(sqlx::FromRow)]
struct IdRow {
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct OrderRow {
    id: Uuid,
    organisation_id: Uuid,
    session_id: Uuid,
    nas_id: Uuid,
    kind: String,
    reason: String,
    plan_id: Option<Uuid>,
    created: Time,
    finished: Option<Time>,
    outcome: Option<String>,
    error_cause: Option<i64>,
    named_by: Option<String>,
    tries: i64,
    round_trip_micros: Option<i64>,
}

impl OrderRow {
    fn into_order(self) -> Order {
        Order {
            id: self.id,
            organisation: OrganisationId(self.organisation_id),
            session: self.session_id,
            nas: self.nas_id,
            kind: Kind::from_word(&self.kind),
            reason: Reason::from_word(&self.reason),
            plan: self.plan_id,
            created: self.created,
            finished: self.finished,
            outcome: self.outcome,
            error_cause: self.error_cause,
            named_by: self.named_by,
            tries: self.tries,
            round_trip_micros: self.round_trip_micros,
        }
    }
}

/// Wants something of a session; the order's id. One that waits for the same already is the same.
///
/// # Errors
/// [`Error::Engine`].
pub async fn want(
    kernel: &Kernel,
    session: &Target,
    kind: Kind,
    reason: Reason,
    plan: Option<Uuid>,
) -> Result<Uuid, Error> {
    let mut tx = kernel.db.begin().await?;
    let id = insert(&mut tx, kernel, session, kind, reason, plan).await?;
    tx.commit().await?;
    Ok(id)
}

async fn insert(
    tx: &mut Tx,
    kernel: &Kernel,
    session: &Target,
    kind: Kind,
    reason: Reason,
    plan: Option<Uuid>,
) -> Result<Uuid, Error> {
    let id = kernel.new_uuid();
    let values = kernel::values![
        id,
        session.organisation,
        session.id,
        session.nas,
        kind.word(),
        reason.word(),
        plan,
        kernel.now()
    ];
    let row: Option<IdRow> = tx.first(INSERT, values).await?;
    Ok(row.map_or(id, |row| row.id))
}

/// Whether an order waits that no node has taken.
///
/// # Errors
/// [`Error::Engine`].
pub async fn is_any_waiting(kernel: &Kernel) -> Result<bool, Error> {
    let before = kernel.now().plus_seconds(-TAKEN_FOR_SECONDS);
    let row: Option<IdRow> = kernel.db.first(WAITING, kernel::values![before]).await?;
    Ok(row.is_some())
}

/// Takes the oldest orders that wait, at most so many, for a node that will see to them.
///
/// # Errors
/// [`Error::Engine`].
pub async fn take(kernel: &Kernel, node: &str, count: usize) -> Result<Vec<Order>, Error> {
    let now = kernel.now();
    let before = now.plus_seconds(-TAKEN_FOR_SECONDS);
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let mut tx = kernel.db.begin().await?;
    let rows: Vec<OrderRow> = tx
        .all(TAKE, kernel::values![node, now, before, count])
        .await?;
    tx.commit().await?;
    Ok(rows.into_iter().map(OrderRow::into_order).collect())
}

/// Says that a node begins to see to an order that it took; false when another has taken it since, or it is finished.
///
/// # Errors
/// [`Error::Engine`].
pub async fn begin(kernel: &Kernel, node: &str, order: Uuid) -> Result<bool, Error> {
    let mut tx = kernel.db.begin().await?;
    let begun = tx
        .run(BEGIN, kernel::values![order, node, kernel.now()])
        .await?;
    tx.commit().await?;
    Ok(begun > 0)
}

/// Finishes an order, and says so.
///
/// # Errors
/// [`Error::Engine`].
pub async fn finish(kernel: &Kernel, order: &Order, finish: &Finish) -> Result<(), Error> {
    let now = kernel.now();
    let mut tx = kernel.db.begin().await?;
    let values = kernel::values![
        order.id,
        now,
        finish.outcome.word(),
        finish.error_cause.map(i64::from),
        finish.named_by.as_deref(),
        i64::from(finish.tries),
        finish
            .round_trip_micros
            .map(|micros| i64::try_from(micros).unwrap_or(i64::MAX))
    ];
    tx.run(FINISH, values).await?;
    let detail = serde_json::json!({
        "session": order.session,
        "kind": order.kind.word(),
        "reason": order.reason.word(),
        "outcome": finish.outcome.word(),
        "error_cause": finish.error_cause,
    });
    let news = News::new(ORDER_FINISHED, Some(order.organisation), order.id);
    tx.tell(now, news.with_detail(detail)).await?;
    tx.commit().await
}

/// One order.
///
/// # Errors
/// [`Error::Engine`].
pub async fn by_id(db: &Db, id: Uuid) -> Result<Option<Order>, Error> {
    let row: Option<OrderRow> = db.first(OF_ID, kernel::values![id]).await?;
    Ok(row.map(OrderRow::into_order))
}

/// The newest orders of a scope, at most [`MAX_LISTED`].
///
/// # Errors
/// [`Error::Engine`].
pub async fn newest(db: &Db, scope: Scope, count: u32) -> Result<Vec<Order>, Error> {
    let count = i64::from(count).min(MAX_LISTED);
    let rows: Vec<OrderRow> = db
        .all(NEWEST, kernel::values![scope.parameter(), count])
        .await?;
    Ok(rows.into_iter().map(OrderRow::into_order).collect())
}

/// Deletes what was finished before a moment, in chunks; how many.
///
/// # Errors
/// [`Error::Engine`]; chunks that were committed stay deleted.
pub async fn forget_orders(kernel: &Kernel, before: Time) -> Result<u64, Error> {
    Run::USUAL.forget(kernel, FORGET, before).await
}
