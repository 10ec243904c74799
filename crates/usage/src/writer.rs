//! A batch of the journal becomes rows: one transaction, exactly once.
//!
//! The transaction holds everything: the sessions, the counters, restarts, what could not be read, the news, and how
//! far the journal is applied. Whatever is killed in between, the batch is applied as a whole or not at all, and one
//! that is applied already is recognised by the checkpoint. Two nodes that report about one session meet in its row:
//! what is applied is applied to what is stored, whether it was read and locked or is remembered ([`memory`]) and found
//! unchanged by the statement that writes it.
//!
//! A database may be put back under a running process: a standby that lagged takes over, a backup is restored. Its
//! checkpoint then lies before the batch at hand; the batch is refused, and the journal is read from there again.

pub mod memory;
mod same_key;

use crate::applied::{AppliedSession, Settlement};
use crate::entry::{BadEntry, Entry};
use crate::forget::Run;
use crate::report::Report;
use crate::restart;
use crate::session::store::{self, Key};
use crate::session::{Restart, Session};
use chrono_tz::Tz;
use journal::Position;
use kernel::id::Uuid;
use kernel::{Engine, Error, Kernel, News, OrganisationId, Time, Tx};
use memory::Memory;
use same_key::SameKey;
use std::collections::BTreeMap;

/// News: a batch of reports was applied. Subject: the batch; detail: node, journal, the last position, how many.
pub const REPORTS_APPLIED: &str = "reports.applied";

kernel::statements! {
    /// Statements that both engines run.
    pub STATEMENTS;
    SET_CHECKPOINT = "INSERT INTO journal_checkpoint (node, journal, position, modified, latest)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (node, journal) DO UPDATE
        SET position = excluded.position, modified = excluded.modified, latest = excluded.latest";
    CHECKPOINT = "SELECT position, latest FROM journal_checkpoint WHERE node = $1 AND journal = $2";
    KEEP_UNREADABLE = "INSERT INTO report_unreadable (node, journal, position, reason, octets, at)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (node, journal, position) DO NOTHING";
    FORGET_UNREADABLE = "DELETE FROM report_unreadable WHERE (node, journal, position) IN
        (SELECT node, journal, position FROM report_unreadable WHERE at < $1 LIMIT $2)";
}

// SQLite's one writer is alone in its transaction; PostgreSQL locks the checkpoint's row.
kernel::statements! {
    /// SQLite's own.
    pub SQLITE_STATEMENTS;
    SQLITE_LOCK_CHECKPOINT = "SELECT position, latest FROM journal_checkpoint WHERE node = $1 AND journal = $2";
}
kernel::statements! {
    /// PostgreSQL's own.
    pub POSTGRES_STATEMENTS;
    POSTGRES_LOCK_CHECKPOINT =
        "SELECT position, latest FROM journal_checkpoint WHERE node = $1 AND journal = $2 FOR UPDATE";
}

/// Whose journal a batch comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The node's id.
    pub node: String,
    /// The journal's id.
    pub journal: String,
}

/// One journalled report, or what cannot be read as one.
pub type Item = (Position, Result<Entry, BadEntry>);

/// Which part of the journal a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Everything up to here is in SQL as far as the caller knows, or the journal no longer has it.
    pub after: Position,
    /// The last position that the batch accounts for, records of other kinds included.
    pub upto: Position,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is in SQL.
    Applied(Applied),
    /// It is not: SQL is applied to this position only, which is before the stretch. The records behind it come first.
    Behind(Position),
}

/// What a batch came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The batch's id, the subject of its news.
    pub batch: Uuid,
    /// Every session it changed, as it is now.
    pub sessions: Vec<AppliedSession>,
    /// Restarts it reported.
    pub restarts: Vec<Restart>,
    /// How many records were kept unread.
    pub unreadable: usize,
    /// How many had been applied before.
    pub repeated: usize,
}

#[derive(Default, sqlx::FromRow)]
struct CheckpointRow {
    position: i64,
    latest: Option<Time>,
}

/// How far a journal is applied; 0 for not at all.
///
/// # Errors
/// [`Error::Engine`].
pub async fn checkpoint(db: &kernel::Db, origin: &Origin) -> Result<Position, Error> {
    let row: Option<CheckpointRow> = db
        .first(CHECKPOINT, kernel::values![&origin.node, &origin.journal])
        .await?;
    Ok(row.unwrap_or_default().position())
}

impl CheckpointRow {
    fn position(&self) -> Position {
        Position(u64::try_from(self.position).unwrap_or(0))
    }
}

/// Applies a batch; `zone_of` is an organisation's time zone.
///
/// # Errors
/// [`Error::Engine`]; then nothing of it is applied, and it may be handed over again. An error that
/// [`Error::is_duplicate`], and [`Error::Conflict`], mean that another node made the same session or brought it back from
/// history meanwhile: the next try finds its row.
pub async fn apply_batch(
    kernel: &Kernel,
    origin: &Origin,
    stretch: Stretch,
    items: &[Item],
    zone_of: impl Fn(Uuid) -> Tz,
) -> Result<Outcome, Error> {
    apply_with(
        kernel,
        origin,
        stretch,
        items,
        zone_of,
        &mut Memory::default(),
    )
    .await
}

/// The same with a memory of open sessions, kept from batch to batch.
///
/// # Errors
/// As [`apply_batch`]; what was remembered wrongly is forgotten and the batch applied to what is stored.
pub async fn apply_with(
    kernel: &Kernel,
    origin: &Origin,
    stretch: Stretch,
    items: &[Item],
    zone_of: impl Fn(Uuid) -> Tz,
    memory: &mut Memory,
) -> Result<Outcome, Error> {
    let remembered = memory.len();
    match apply_once(kernel, origin, stretch, items, &zone_of, memory).await {
        // The sessions of this batch were taken out of memory: the second time they are read.
        Err(error)
            if memory.len() < remembered
                && (error.is_duplicate() || matches!(error, Error::Conflict(_))) =>
        {
            apply_once(kernel, origin, stretch, items, &zone_of, memory).await
        }
        Ok(Outcome::Behind(position)) => {
            memory.clear();
            Ok(Outcome::Behind(position))
        }
        outcome => outcome,
    }
}

async fn apply_once(
    kernel: &Kernel,
    origin: &Origin,
    stretch: Stretch,
    items: &[Item],
    zone_of: &impl Fn(Uuid) -> Tz,
    memory: &mut Memory,
) -> Result<Outcome, Error> {
    let now = kernel.now();
    let mut tx = kernel.db.begin().await?;
    store::plan(&mut tx).await?;
    let checkpoint = lock_checkpoint(&mut tx, origin).await?;
    let applied_to = checkpoint.position();
    if applied_to < stretch.after {
        tx.rollback().await?;
        return Ok(Outcome::Behind(applied_to));
    }
    let upto = stretch.upto;
    let mut applied = Applied {
        batch: kernel.new_uuid(),
        sessions: Vec::new(),
        restarts: Vec::new(),
        unreadable: 0,
        repeated: 0,
    };
    let mut latest = checkpoint.latest;
    let mut reports = Vec::new();
    for (position, item) in items {
        if *position <= applied_to {
            applied.repeated += 1;
            continue;
        }
        match read(item) {
            Ok(mut report) => {
                report.latest =
                    latest.map_or(report.received, |latest| latest.max(report.received));
                latest = Some(report.latest);
                reports.push(report);
            }
            Err((reason, octets)) => {
                keep_unreadable(&mut tx, origin, *position, &reason, &octets, now).await?;
                applied.unreadable += 1;
            }
        }
    }
    if upto <= applied_to {
        tx.rollback().await?;
        return Ok(Outcome::Applied(applied));
    }
    apply_reports(
        kernel,
        &mut tx,
        now,
        &reports,
        &mut applied,
        zone_of,
        memory,
    )
    .await?;
    let position = i64::try_from(upto.0).unwrap_or(i64::MAX);
    tx.run(
        SET_CHECKPOINT,
        kernel::values![&origin.node, &origin.journal, position, now, latest],
    )
    .await?;
    if !reports.is_empty() {
        let detail = serde_json::json!({
            "node": origin.node,
            "journal": origin.journal,
            "position": position,
            "reports": reports.len(),
            "sessions": applied.sessions.len(),
        });
        tx.tell(
            now,
            News::new(REPORTS_APPLIED, None, applied.batch).with_detail(detail),
        )
        .await?;
    }
    tx.commit().await?;
    let alone = applied.sessions.iter().filter(|applied| applied.is_alone);
    for applied in alone.filter(|applied| applied.session.is_open()) {
        memory.put(&applied.session);
    }
    Ok(Outcome::Applied(applied))
}

fn read(item: &Result<Entry, BadEntry>) -> Result<Report, (String, Vec<u8>)> {
    match item {
        Ok(entry) => Report::read(entry).map_err(|e| (e.to_string(), entry.encode())),
        Err(bad) => Err((bad.to_string(), bad.octets.clone())),
    }
}

async fn lock_checkpoint(tx: &mut Tx, origin: &Origin) -> Result<CheckpointRow, Error> {
    let sql = match tx.engine() {
        Engine::Sqlite => SQLITE_LOCK_CHECKPOINT,
        Engine::Postgres => POSTGRES_LOCK_CHECKPOINT,
    };
    let row: Option<CheckpointRow> = tx
        .first(sql, kernel::values![&origin.node, &origin.journal])
        .await?;
    Ok(row.unwrap_or_default())
}

/// Keeps whole what was acknowledged and cannot become a session.
pub(crate) async fn keep_unreadable(
    tx: &mut Tx,
    origin: &Origin,
    position: Position,
    reason: &str,
    octets: &[u8],
    now: Time,
) -> Result<(), Error> {
    tracing::warn!(
        position = position.0,
        reason,
        "an accounting report was kept unread"
    );
    let position = i64::try_from(position.0).unwrap_or(i64::MAX);
    let reason = reason.replace('\0', "\u{fffd}");
    let values = kernel::values![
        &origin.node,
        &origin.journal,
        position,
        reason,
        hex::encode(octets),
        now
    ];
    tx.run(KEEP_UNREADABLE, values).await?;
    Ok(())
}

/// Of [`forget_unreadable`]: each row may have some KiB.
const UNREADABLE_RUN: Run = Run {
    rows: 500,
    chunks: 500,
};

/// Deletes what was kept unread before `before`, in chunks; how many that were.
///
/// # Errors
/// [`Error::Engine`]; chunks that were committed stay deleted.
pub async fn forget_unreadable(kernel: &Kernel, before: Time) -> Result<u64, Error> {
    UNREADABLE_RUN
        .forget(kernel, FORGET_UNREADABLE, before)
        .await
}

async fn apply_reports(
    kernel: &Kernel,
    tx: &mut Tx,
    now: Time,
    reports: &[Report],
    applied: &mut Applied,
    zone_of: &impl Fn(Uuid) -> Tz,
    memory: &mut Memory,
) -> Result<(), Error> {
    let mut by_key: BTreeMap<Key, Vec<&Report>> = BTreeMap::new();
    let mut restarts: Vec<(OrganisationId, Restart)> = Vec::new();
    for report in reports {
        match Restart::of(report) {
            Some(restart) => restarts.push((report.organisation, restart)),
            None => by_key.entry(key_of(report)).or_default().push(report),
        }
    }
    // In one order for all nodes, and the latest of each box last.
    restarts.sort_by(|(_, a), (_, b)| order_of(a).cmp(&order_of(b)));
    for (organisation, restart) in &restarts {
        restart::record(tx, now, *organisation, restart).await?;
    }
    let known = restart::of_nases(tx, by_key.keys().map(|key| key.nas)).await?;
    let of_nas = |nas: &Uuid| known.get(nas).map_or(&[][..], Vec::as_slice);
    let mut settlement = Settlement::default();
    let mut unread: Vec<(&Key, &[&Report])> = Vec::new();
    let mut ready: Vec<(SameKey<'_>, &[&Report])> = Vec::with_capacity(by_key.len());
    for (key, reports) in &by_key {
        let restarts = of_nas(&key.nas);
        let is_about = |session: &Session| {
            reports
                .iter()
                .all(|report| same_key::is_surely_about(session, report, restarts))
        };
        match memory.take(key).filter(is_about) {
            Some(session) => ready.push((SameKey::new(key, vec![session], None), reports)),
            None => unread.push((key, reports)),
        }
    }
    let keys: Vec<&Key> = unread.iter().map(|(key, _)| *key).collect();
    let mut current = store::lock(tx, &keys).await?;
    // What is new here is mostly new altogether, but history must say so.
    let new: Vec<&Key> = keys
        .into_iter()
        .filter(|key| !current.contains_key(*key))
        .collect();
    let mut past = store::history(tx, &new).await?;
    for (key, reports) in unread {
        let sessions = match current.remove(key) {
            Some(current) => SameKey::new(key, current, None),
            None => SameKey::new(key, Vec::new(), Some(past.remove(key).unwrap_or_default())),
        };
        ready.push((sessions, reports));
    }
    for (mut sessions, reports) in ready {
        for report in reports {
            let zone = zone_of(report.organisation.0);
            sessions
                .apply(kernel, tx, report, of_nas(&report.nas), zone)
                .await?;
        }
        sessions.settle(&mut settlement);
    }
    applied.restarts = restarts.into_iter().map(|(_, restart)| restart).collect();
    applied.sessions = settlement.write(tx).await?;
    Ok(())
}

fn key_of(report: &Report) -> Key {
    Key {
        nas: report.nas,
        session_id: report.session_id.clone(),
        identity: report.identity.clone(),
    }
}

fn order_of(restart: &Restart) -> (Uuid, &str, &str, &str, Time) {
    (
        restart.nas_id,
        &restart.nas_ip_address,
        &restart.nas_identifier,
        &restart.called_station_id,
        restart.at,
    )
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wrong_clock;
