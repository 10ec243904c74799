//! Draining the journal into SQL: what is durable here becomes rows there, in batches, exactly once.
//!
//! The checkpoint lies in the same transaction as the rows, so whatever is killed in between, nothing is lost and
//! nothing is counted twice. While the database is away the journal grows, and this waits.

use crate::door::{Acknowledgement, Shared};
use chrono_tz::Tz;
use journal::{Journal, Position, Record};
use kernel::OrganisationId;
use kernel::id::Uuid;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use usage::entry::{ACCOUNTING_REPORT, Entry};
use usage::writer::{Item, Origin, apply_batch, checkpoint};

/// Reports of one transaction: at some 20 µs each well under the 250 ms a write transaction may last.
const BATCH_RECORDS: usize = 500;
/// Octets of one batch.
const BATCH_OCTETS: usize = 1024 * 1024;
/// How long it waits for the journal before it looks whether it should stop.
const WAIT: Duration = Duration::from_millis(200);
/// The longest wait between tries while the database is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often old segments are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How often restarts are followed up that another node reported, or that failed.
const SETTLE_EVERY: Duration = Duration::from_secs(20);
/// Tries for what is left when the server stops; the rest is applied at the next start.
const LAST_TRIES: u32 = 3;

/// Runs until the journal is closed, and then until everything durable is applied or the database does not answer.
pub fn run(
    shared: &Shared,
    journal: &Journal<Acknowledgement>,
    node: &str,
    runtime: &tokio::runtime::Handle,
    closed: &AtomicBool,
) {
    let origin = Origin {
        node: node.to_owned(),
        journal: journal.id().to_string(),
    };
    let mut pause = Pause::default();
    let mut tries_left = LAST_TRIES;
    // Until the checkpoint is known nothing can be applied.
    let mut position = loop {
        match runtime.block_on(checkpoint(&shared.kernel.db, &origin)) {
            Ok(position) => break position,
            Err(e) => {
                if closed.load(Ordering::Acquire) {
                    return;
                }
                pause.after(&e);
            }
        }
    };
    let mut reader = journal.reader(position.next());
    journal.release(position);
    let mut swept = Instant::now();
    let mut settled = Instant::now();
    loop {
        if settled.elapsed() > SETTLE_EVERY {
            settled = Instant::now();
            settle_restarts(shared, runtime);
        }
        if swept.elapsed() > SWEEP_EVERY {
            swept = Instant::now();
            let now = u64::try_from(shared.kernel.now().unix_seconds()).unwrap_or(0);
            if let Err(e) = journal.sweep(now) {
                tracing::warn!("old journal segments could not be removed: {e}");
            }
        }
        let records = match reader.next_batch(BATCH_RECORDS, BATCH_OCTETS) {
            Ok(records) => records,
            Err(e) => {
                pause.after(&e);
                if closed.load(Ordering::Acquire) {
                    return;
                }
                reader = journal.reader(position.next());
                continue;
            }
        };
        let Some(last) = records.last().map(|record| record.position) else {
            if closed.load(Ordering::Acquire) && journal.durable() <= position {
                return;
            }
            journal.wait_beyond(position, WAIT);
            continue;
        };
        let items: Vec<Item> = records.into_iter().filter_map(item).collect();
        loop {
            let zone = |organisation| zone_of(shared, organisation);
            let applied =
                runtime.block_on(apply_batch(&shared.kernel, &origin, last, &items, zone));
            match applied {
                Ok(applied) => {
                    pause.reset();
                    if !applied.restarts.is_empty() {
                        settle_restarts(shared, runtime);
                    }
                    break;
                }
                // Another node made the same session meanwhile: the next try finds its row.
                Err(e) if e.is_duplicate() => {}
                Err(e) => {
                    if closed.load(Ordering::Acquire) {
                        tries_left -= 1;
                        if tries_left == 0 {
                            tracing::warn!(
                                "the database does not answer: what the journal holds is applied at the next start"
                            );
                            return;
                        }
                    }
                    pause.after(&e);
                }
            }
        }
        position = last;
        journal.release(position);
    }
}

fn zone_of(shared: &Shared, organisation: Uuid) -> Tz {
    shared
        .register
        .policy()
        .organisations
        .get(&OrganisationId(organisation))
        .map_or(Tz::UTC, |known| known.zone)
}

/// Sessions that a restart has closed get their rows closed too. What fails is tried again a little later.
fn settle_restarts(shared: &Shared, runtime: &tokio::runtime::Handle) {
    let zone = |organisation| zone_of(shared, organisation);
    let closed = usage::restart::close_restarted(&shared.kernel, zone, |_| {});
    match runtime.block_on(closed) {
        Ok(0) => {}
        Ok(sessions) => tracing::info!(sessions, "closed after a restart of their NAS"),
        Err(e) => tracing::warn!("sessions of a restarted NAS are not closed yet: {e}"),
    }
}

fn item(record: Record) -> Option<(Position, Result<Entry, usage::entry::BadEntry>)> {
    (record.kind == ACCOUNTING_REPORT).then(|| (record.position, Entry::decode(&record.bytes)))
}

/// Waits that grow while something fails, and one line in the log when it begins.
#[derive(Default)]
struct Pause {
    next: Option<Duration>,
}

impl Pause {
    fn after(&mut self, error: &dyn std::fmt::Display) {
        let wait = self.next.unwrap_or(Duration::from_millis(100));
        if self.next.is_none() {
            tracing::error!("accounting waits in the journal: {error}");
        }
        std::thread::sleep(wait);
        self.next = Some((wait * 2).min(LONGEST_PAUSE));
    }

    fn reset(&mut self) {
        if self.next.take().is_some() {
            tracing::info!("accounting reaches the database again");
        }
    }
}
