//! Draining the journal into SQL, on a thread of its own: `usage::Writer` does the work, this gives it its ends, keeps
//! at it while the database is away, and sees to what recurs: restarts that close sessions, and old segments.

use crate::door::{Acknowledgement, Shared};
use chrono_tz::Tz;
use access::nas::NasId;
use journal::Journal;
use kernel::{OrganisationId, Time};
use kernel::id::Uuid;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use usage::drain::{Ends, Step, Writer};
use usage::writer::Origin;

/// How long it waits for the journal before it looks whether it should stop.
const WAIT: Duration = Duration::from_millis(200);
/// The first wait while the database is away.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest wait while the database is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often restarts are followed up that another node reported, or that failed.
const SETTLE_EVERY: Duration = Duration::from_secs(20);
/// How often old segments are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Tries for what is left when the server stops; the rest is applied at the next start.
const LAST_TRIES: u32 = 3;

/// Runs until the journal is closed, and then until everything durable is applied or the database does not answer.
pub fn run(
    shared: &Arc<Shared>,
    journal: &Arc<Journal<Acknowledgement>>,
    node: &str,
    runtime: &Handle,
    closed: &AtomicBool,
) {
    let mut pause = FIRST_PAUSE;
    let mut tries_left = LAST_TRIES;
    // Until the checkpoint is known nothing can be applied.
    let mut writer = loop {
        let origin = Origin {
            node: node.to_owned(),
            journal: journal.id().to_string(),
        };
        let writer = Writer::new(shared.kernel.clone(), origin, ends(shared, journal));
        match runtime.block_on(writer) {
            Ok(writer) => break writer,
            Err(_) if closed.load(Ordering::Acquire) => return,
            Err(e) => {
                tracing::error!("accounting waits in the journal: {e}");
                std::thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    };
    pause = FIRST_PAUSE;
    let progress = writer.progress();
    let (mut settled, mut swept) = (Instant::now(), Instant::now());
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
        match runtime.block_on(writer.step()) {
            Step::Applied => pause = FIRST_PAUSE,
            Step::Idle if closed.load(Ordering::Acquire) => return,
            Step::Idle => {
                pause = FIRST_PAUSE;
                journal.wait_beyond(progress.applied(), WAIT);
            }
            Step::Failed => {
                if closed.load(Ordering::Acquire) {
                    tries_left -= 1;
                    if tries_left == 0 {
                        tracing::warn!("what the journal still holds is applied at the next start");
                        return;
                    }
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

fn ends(shared: &Arc<Shared>, journal: &Arc<Journal<Acknowledgement>>) -> Ends {
    let (reading, releasing) = (journal.clone(), journal.clone());
    let (zones, applied) = (shared.clone(), shared.clone());
    Ends {
        reader_at: Box::new(move |position| reading.reader(position)),
        release: Box::new(move |position| releasing.release(position)),
        zone_of: Box::new(move |organisation| zone_of(&zones, organisation)),
        on_applied: Box::new(move |batch| {
            if !batch.restarts.is_empty() {
                let runtime = Handle::current();
                for restart in &batch.restarts {
                    note_restart(&applied, &runtime, NasId(restart.nas_id), restart.at);
                }
                settle_restarts(&applied, &runtime);
            }
        }),
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

/// The NAS's own row tells when it was last started.
fn note_restart(shared: &Arc<Shared>, runtime: &Handle, nas: NasId, at: Time) {
    let shared = shared.clone();
    runtime.spawn(async move {
        let kernel = &shared.kernel;
        let noted = async {
            let mut tx = kernel.db.begin().await?;
            access::nas::note_restart(&mut tx, kernel.now(), nas, at).await?;
            tx.commit().await
        };
        if let Err(e) = noted.await {
            tracing::warn!(%nas, "its restart is not noted: {e}");
        }
    });
}

/// Sessions that a restart has closed get their rows closed too. What fails is tried again a little later.
fn settle_restarts(shared: &Arc<Shared>, runtime: &Handle) {
    let shared = shared.clone();
    // Not waited for: reports go on meanwhile, and readers of rows hold restarts against them.
    runtime.spawn(async move {
        let zone = |organisation| zone_of(&shared, organisation);
        match usage::restart::close_restarted(&shared.kernel, zone, |_| {}).await {
            Ok(0) => {}
            Ok(sessions) => tracing::info!(sessions, "closed after a restart of their NAS"),
            Err(e) => tracing::warn!("sessions of a restarted NAS are not closed yet: {e}"),
        }
    });
}
