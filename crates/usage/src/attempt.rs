//! Attempts to get in: what was asked, what was said, and why.
//!
//! They arrive in batches, are found by user name, device or session id, and are forgotten after a while. A trace
//! holds each check with its input and its verdict, and **never** a password, a hash or a secret.

pub mod ring;

use crate::forget::Run;
use crate::report::words;
use kernel::id::Uuid;
use kernel::{Db, Error, Kernel, OrganisationId, Scope, Time, Value};

/// Attempts of one transaction; more are split.
const CHUNK: usize = 200;
/// The most that one look returns.
pub const MAX_EXPLAINED: u32 = 1_000;
/// Rows of one page.
const PAGE: i64 = 2_000;

kernel::many! {
    /// Together: over a line of 50 ms, 200 statements would hold back every reader of events for ten seconds.
    pub RECORD = attempt (id uuid, at time, node text, organisation_id uuid, nas_id uuid, nas_address text,
        membership_id uuid, username text, mac text, called_station_id text, calling_station_id text,
        acct_session_id text, method text, verdict text, word text, trace text) or nothing;
}

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    EXPLAIN = "SELECT id, at, node, organisation_id, nas_id, nas_address, membership_id, username, mac,
            called_station_id, calling_station_id, acct_session_id, method, verdict, word, trace
        FROM attempt
        WHERE (username = $1 OR mac = $2 OR acct_session_id = $1)
          AND (CAST($3 AS UUID) IS NULL OR organisation_id = $3)
        ORDER BY at DESC, id DESC LIMIT $4";
    BETWEEN = "SELECT id, at, node, organisation_id, nas_id, nas_address, membership_id, username, mac,
            called_station_id, calling_station_id, acct_session_id, method, verdict, word, trace
        FROM attempt
        WHERE at >= $1 AND at < $2 AND (at, id) < ($3, $4) AND (CAST($5 AS UUID) IS NULL OR organisation_id = $5)
        ORDER BY at DESC, id DESC LIMIT $6";
    FORGET = "DELETE FROM attempt WHERE id IN (SELECT id FROM attempt WHERE at < $1 ORDER BY at LIMIT $2)";
}

/// What was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Come in.
    Accept,
    /// Say more.
    Challenge,
    /// No.
    Refuse,
    /// Nothing.
    Drop,
}

impl Verdict {
    /// The word in the table.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Accept => "accept",
            Verdict::Challenge => "challenge",
            Verdict::Refuse => "refuse",
            Verdict::Drop => "drop",
        }
    }

    /// The verdict of a word.
    pub fn from_word(word: &str) -> Option<Verdict> {
        [
            Verdict::Accept,
            Verdict::Challenge,
            Verdict::Refuse,
            Verdict::Drop,
        ]
        .into_iter()
        .find(|verdict| verdict.word() == word)
    }
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Attempt {
    /// Its id.
    pub id: Uuid,
    /// When.
    pub at: Time,
    /// The node that was asked.
    pub node: String,
    /// Whose it is, once that is settled.
    pub organisation: Option<OrganisationId>,
    /// The NAS, once it is known.
    pub nas: Option<Uuid>,
    /// Where the question came from.
    pub nas_address: String,
    /// Who, once that is known.
    pub membership: Option<Uuid>,
    /// User-Name as sent.
    pub username: Option<String>,
    /// The device, `AA-BB-CC-DD-EE-FF`.
    pub mac: Option<String>,
    /// Called-Station-Id.
    pub called_station_id: Option<String>,
    /// Calling-Station-Id.
    pub calling_station_id: Option<String>,
    /// Acct-Session-Id.
    pub acct_session_id: Option<String>,
    /// How the password was proved.
    pub method: Option<String>,
    /// What was said.
    pub verdict: Verdict,
    /// The word for why.
    pub word: Option<String>,
    /// Each check, its input, its verdict.
    pub trace: serde_json::Value,
}

#[derive(sqlx::FromRow)]
struct AttemptRow {
    id: Uuid,
    at: Time,
    node: String,
    organisation_id: Option<Uuid>,
    nas_id: Option<Uuid>,
    nas_address: String,
    membership_id: Option<Uuid>,
    username: Option<String>,
    mac: Option<String>,
    called_station_id: Option<String>,
    calling_station_id: Option<String>,
    acct_session_id: Option<String>,
    method: Option<String>,
    verdict: String,
    word: Option<String>,
    trace: String,
}

impl AttemptRow {
    fn into_attempt(self) -> Attempt {
        Attempt {
            id: self.id,
            at: self.at,
            node: self.node,
            organisation: self.organisation_id.map(OrganisationId),
            nas: self.nas_id,
            nas_address: self.nas_address,
            membership: self.membership_id,
            username: self.username,
            mac: self.mac,
            called_station_id: self.called_station_id,
            calling_station_id: self.calling_station_id,
            acct_session_id: self.acct_session_id,
            method: self.method,
            // The table's CHECK allows no other word.
            verdict: Verdict::from_word(&self.verdict).unwrap_or(Verdict::Drop),
            word: self.word,
            trace: serde_json::from_str(&self.trace).unwrap_or(serde_json::Value::Null),
        }
    }
}

/// Stores attempts; one that is stored already is left as it is.
///
/// # Errors
/// [`Error::Engine`]; chunks of 200 that were committed stay.
pub async fn record(kernel: &Kernel, attempts: &[Attempt]) -> Result<(), Error> {
    for chunk in attempts.chunks(CHUNK) {
        let rows: Vec<Vec<Value>> = chunk.iter().map(values).collect();
        let mut tx = kernel.db.begin().await?;
        tx.insert_many(RECORD, rows).await?;
        tx.commit().await?;
    }
    Ok(())
}

fn values(a: &Attempt) -> Vec<Value> {
    // PostgreSQL takes no NUL in text, and names come as devices send them.
    let text = |value: &Option<String>| {
        Value::Text(value.as_ref().map(|text| text.replace('\0', "\u{fffd}")))
    };
    kernel::values![
        a.id,
        a.at,
        &a.node,
        a.organisation,
        a.nas,
        &a.nas_address,
        a.membership,
        text(&a.username),
        text(&a.mac),
        text(&a.called_station_id),
        text(&a.calling_station_id),
        text(&a.acct_session_id),
        text(&a.method),
        a.verdict.word(),
        text(&a.word),
        a.trace.to_string(),
    ]
}

/// The newest attempts of a subject: a user name, a device's MAC in any spelling, or a session id.
///
/// # Errors
/// [`Error::Engine`].
pub async fn explain(
    db: &Db,
    scope: Scope,
    subject: &str,
    limit: u32,
) -> Result<Vec<Attempt>, Error> {
    let subject = subject.trim();
    // A NUL is in no stored text, and PostgreSQL would refuse the question.
    if subject.is_empty() || subject.contains('\0') {
        return Ok(Vec::new());
    }
    let mac = words::mac(subject.as_bytes()).map(|mac| mac.to_string());
    let limit = i64::from(limit.min(MAX_EXPLAINED));
    let values = kernel::values![subject, mac, scope.parameter(), limit];
    let rows: Vec<AttemptRow> = db.all(EXPLAIN, values).await?;
    Ok(rows.into_iter().map(AttemptRow::into_attempt).collect())
}

/// A page of the attempts between two moments, the newest first: hand over the last one to get the next page; an empty page
/// is the end.
///
/// # Errors
/// [`Error::Engine`].
pub async fn between(
    db: &Db,
    scope: Scope,
    since: Time,
    until: Time,
    after: Option<&Attempt>,
) -> Result<Vec<Attempt>, Error> {
    let (at, id) = after.map_or((until, Uuid::nil()), |last| (last.at, last.id));
    let values = kernel::values![since, until, at, id, scope.parameter(), PAGE];
    let rows: Vec<AttemptRow> = db.all(BETWEEN, values).await?;
    Ok(rows.into_iter().map(AttemptRow::into_attempt).collect())
}

/// Deletes attempts from before `before`, in chunks; how many that were.
///
/// # Errors
/// [`Error::Engine`]; chunks that were committed stay deleted.
pub async fn forget_attempts(kernel: &Kernel, before: Time) -> Result<u64, Error> {
    Run::USUAL.forget(kernel, FORGET, before).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, house};

    fn attempt(id: u128, seconds: i64, username: &str) -> Attempt {
        Attempt {
            id: Uuid::from_u128(id),
            at: at(seconds),
            node: "n1".into(),
            organisation: Some(OrganisationId(Uuid::from_u128(1))),
            nas: None,
            nas_address: "192.0.2.1".into(),
            membership: None,
            username: Some(username.into()),
            mac: Some("02-00-00-00-00-01".into()),
            called_station_id: None,
            calling_station_id: Some("0200.0000.0001".into()),
            acct_session_id: Some("s1".into()),
            method: Some("pap".into()),
            verdict: Verdict::Refuse,
            word: Some("wrong_password".into()),
            trace: serde_json::json!([{ "check": "password", "verdict": "refuse" }]),
        }
    }

    #[tokio::test]
    async fn attempts_are_explained_by_user_device_or_session_newest_first() {
        let house = house().await;
        let both = [attempt(1, 0, "bob"), attempt(2, 5, "alice")];
        record(&house.kernel, &both).await.unwrap();
        record(&house.kernel, &both).await.unwrap();
        let foreign = Scope::Organisation(OrganisationId(Uuid::nil()));
        let newest_first = [both[1].clone(), both[0].clone()];
        let table: [(&str, Scope, u32, &[Attempt]); 8] = [
            ("bob", Scope::Everything, 10, &both[..1]),
            ("Bob", Scope::Everything, 10, &[]),
            ("s1", Scope::Everything, 10, &newest_first),
            ("02:00:00:00:00:01", Scope::Everything, 10, &newest_first),
            ("020000000001", Scope::Everything, 1, &both[1..]),
            ("bob", foreign, 10, &[]),
            ("b\0b", Scope::Everything, 10, &[]),
            ("", Scope::Everything, 10, &[]),
        ];
        for (subject, scope, limit, expect) in table {
            let found = explain(&house.kernel.db, scope, subject, limit)
                .await
                .unwrap();
            assert_eq!(found, expect, "{subject}");
        }
    }

    #[tokio::test]
    async fn old_attempts_are_forgotten() {
        let house = house().await;
        record(&house.kernel, &[attempt(1, 0, "bob"), attempt(2, 5, "bob")])
            .await
            .unwrap();
        assert_eq!(forget_attempts(&house.kernel, at(5)).await.ok(), Some(1));
        let left = explain(&house.kernel.db, Scope::Everything, "bob", 10)
            .await
            .unwrap();
        assert_eq!(
            left.iter().map(|attempt| attempt.at).collect::<Vec<_>>(),
            [at(5)]
        );
    }
}
