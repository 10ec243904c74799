//! Restarts of NASes in SQL, and the rows that follow them.
//!
//! A restart is one row, written with the batch that reported it; from then on its sessions count as closed. This
//! file closes the rows themselves, in chunks, so that a NAS with a hundred thousand sessions holds up nobody.

use crate::applied::{AppliedSession, Settlement};
use crate::forget::Run;
use crate::session::store::{self, Held};
use crate::session::{Restart, Session};
use chrono_tz::Tz;
use kernel::id::Uuid;
use kernel::{Db, Engine, Error, Kernel, News, OrganisationId, Time, Tx, Value};
use std::collections::{BTreeMap, BTreeSet};

/// News: a NAS, or a box behind it, has restarted. Subject: the NAS; detail: when and which box.
pub const NAS_RESTARTED: &str = "nas.restarted";
/// Rows closed in one transaction: it stays well under the 250 ms that readers of events can wait.
const CHUNK: i64 = 200;
/// Boxes behind the NASes of one batch of which the last restart is looked at: the latest.
const MAX_RESTARTS: i64 = 20_000;
/// A restart is settled so long after it at the earliest: a transaction that began without knowing of it has ended.
const SETTLE_AFTER_SECONDS: i64 = 60;
/// Restarts looked at in one run.
const MAX_UNSETTLED: i64 = 1_000;

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    UNSETTLED = "SELECT nas_id, nas_ip_address, nas_identifier, called_station_id, at FROM nas_restart
        WHERE NOT settled ORDER BY at LIMIT $1";
    RECORD = "INSERT INTO nas_restart (nas_id, nas_ip_address, nas_identifier, called_station_id, at, settled)
        VALUES ($1, $2, $3, $4, $5, FALSE)
        ON CONFLICT (nas_id, nas_ip_address, nas_identifier, called_station_id)
        DO UPDATE SET at = excluded.at, settled = FALSE WHERE nas_restart.at < excluded.at";
    SETTLE = "UPDATE nas_restart SET settled = TRUE WHERE nas_id = $1 AND nas_ip_address = $2
        AND nas_identifier = $3 AND called_station_id = $4 AND at = $5";
    FORGET = "DELETE FROM nas_restart WHERE (nas_id, nas_ip_address, nas_identifier, called_station_id) IN
        (SELECT nas_id, nas_ip_address, nas_identifier, called_station_id FROM nas_restart
         WHERE settled AND at < $1 LIMIT $2)";
}

kernel::statements! {
    /// SQLite's own.
    pub SQLITE_STATEMENTS;
    SQLITE_OF_NASES = "SELECT nas_id, nas_ip_address, nas_identifier, called_station_id, at FROM nas_restart
        WHERE nas_id IN (SELECT unhex(value) FROM json_each($1)) ORDER BY at DESC LIMIT $2";
}
kernel::statements! {
    /// PostgreSQL's own.
    pub POSTGRES_STATEMENTS;
    POSTGRES_OF_NASES = "SELECT nas_id, nas_ip_address, nas_identifier, called_station_id, at FROM nas_restart
        WHERE nas_id = ANY(CAST($1 AS UUID[])) ORDER BY at DESC LIMIT $2";
}

/// The last restart of each box behind some NASes, by NAS.
///
/// # Errors
/// [`Error::Engine`].
pub(crate) async fn of_nases(
    tx: &mut Tx,
    nases: impl Iterator<Item = Uuid>,
) -> Result<BTreeMap<Uuid, Vec<Restart>>, Error> {
    let nases: BTreeSet<Uuid> = nases.collect();
    let mut found: BTreeMap<Uuid, Vec<Restart>> = BTreeMap::new();
    if nases.is_empty() {
        return Ok(found);
    }
    let sql = match tx.engine() {
        Engine::Sqlite => SQLITE_OF_NASES,
        Engine::Postgres => POSTGRES_OF_NASES,
    };
    let values = vec![
        Value::Uuids(nases.into_iter().map(Some).collect()),
        Value::from(MAX_RESTARTS),
    ];
    let restarts: Vec<Restart> = tx.all(sql, values).await?;
    for restart in restarts {
        found.entry(restart.nas_id).or_default().push(restart);
    }
    Ok(found)
}

/// Restarts whose sessions' rows may still look open: readers of rows hold them against what they read.
///
/// # Errors
/// [`Error::Engine`].
pub async fn unsettled(db: &Db) -> Result<Vec<Restart>, Error> {
    db.all(UNSETTLED, kernel::values![MAX_UNSETTLED]).await
}

/// Stores a restart and says so; an older one than is known changes nothing.
///
/// # Errors
/// [`Error::Engine`].
pub(crate) async fn record(
    tx: &mut Tx,
    now: Time,
    organisation: OrganisationId,
    restart: &Restart,
) -> Result<(), Error> {
    let r = restart;
    let values = kernel::values![
        r.nas_id,
        &r.nas_ip_address,
        &r.nas_identifier,
        &r.called_station_id,
        r.at
    ];
    if tx.run(RECORD, values).await? > 0 {
        let detail = serde_json::json!({
            "at": r.at,
            "nas_ip_address": r.nas_ip_address,
            "nas_identifier": r.nas_identifier,
            "called_station_id": r.called_station_id,
        });
        tx.tell(
            now,
            News::new(NAS_RESTARTED, Some(organisation), r.nas_id).with_detail(detail),
        )
        .await?;
    }
    Ok(())
}

/// Closes the rows of every restart that has some open, in chunks; run it every few seconds. `on_closed` is given each
/// session after its row is committed.
///
/// # Errors
/// [`Error::Engine`]; what was committed stays.
pub async fn close_restarted(
    kernel: &Kernel,
    zone_of: impl Fn(Uuid) -> Tz,
    mut on_closed: impl FnMut(AppliedSession),
) -> Result<usize, Error> {
    let mut closed = 0;
    for restart in unsettled(&kernel.db).await? {
        let mut after = store::Place::default();
        loop {
            let mut tx = kernel.db.begin().await?;
            store::plan(&mut tx).await?;
            let rows = store::open_before(&mut tx, &restart, Held::Skipped, &after, CHUNK).await?;
            let Some(last) = rows.last().map(place_of) else {
                settle(&mut tx, kernel.now(), &restart).await?;
                tx.commit().await?;
                break;
            };
            after = last;
            let done = close_rows(&mut tx, rows, &restart, &zone_of).await?;
            tx.commit().await?;
            closed += done.len();
            done.into_iter().for_each(&mut on_closed);
        }
    }
    Ok(closed)
}

fn place_of(row: &Session) -> store::Place {
    (row.nas_ip_address.clone(), row.id)
}

async fn close_rows(
    tx: &mut Tx,
    rows: Vec<Session>,
    restart: &Restart,
    zone_of: &impl Fn(Uuid) -> Tz,
) -> Result<Vec<AppliedSession>, Error> {
    let mut settlement = Settlement::default();
    for mut row in rows.into_iter().filter(|row| restart.covers(row)) {
        let change = row.close_for_restart(restart, zone_of(row.organisation_id));
        settlement.note(row, change);
    }
    settlement.write(tx).await
}

/// Settles a restart unless a row is open still: one that another writer held was passed over, and that writer may not
/// know of the restart.
async fn settle(tx: &mut Tx, now: Time, restart: &Restart) -> Result<(), Error> {
    if now.seconds_since(restart.at) < SETTLE_AFTER_SECONDS {
        return Ok(());
    }
    let mut after = store::Place::default();
    loop {
        let rows = store::open_before(tx, restart, Held::Included, &after, CHUNK).await?;
        match rows.last() {
            Some(_) if rows.iter().any(|row| restart.covers(row)) => return Ok(()),
            Some(last) => after = place_of(last),
            None => break,
        }
    }
    let r = restart;
    let values = kernel::values![
        r.nas_id,
        &r.nas_ip_address,
        &r.nas_identifier,
        &r.called_station_id,
        r.at
    ];
    tx.run(SETTLE, values).await?;
    Ok(())
}

/// Deletes restarts from before `before` whose rows have followed: no report from before them comes any more.
///
/// # Errors
/// [`Error::Engine`].
pub async fn forget_restarts(kernel: &Kernel, before: Time) -> Result<u64, Error> {
    Run::USUAL.forget(kernel, FORGET, before).await
}
