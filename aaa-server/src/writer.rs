//! Draining the journal into SQL, on a thread of its own: `usage::Writer` does the work, this gives it its ends, keeps
//! at it while the database is away, and sees to what recurs: restarts that close sessions, and old segments. It hands the
//! journal to the door, once it knows that what is put there will be applied.

use crate::applied_note::{Note, Noted};
use crate::door::{Acknowledgement, Shared};
use access::nas::NasId;
use chrono_tz::Tz;
use journal::{Journal, Position};
use kernel::id::Uuid;
use kernel::{OrganisationId, Time};
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
/// How often it is noted how far everything is.
const NOTE_EVERY: Duration = Duration::from_secs(5);
/// Tries for what is left when the server stops; the rest is applied at the next start.
const LAST_TRIES: u32 = 3;

/// Records between what the journal held and what is taken before the database was asked: at fifty thousand a second, what
/// a day brings.
const GAP_RECORDS: u64 = 1 << 32;

/// Runs until the journal is closed, and then until everything durable is applied or the database does not answer.
pub fn run(
    shared: &Arc<Shared>,
    journal: &Arc<Journal<Acknowledgement>>,
    node: &str,
    note: &Note,
    runtime: &Handle,
    closed: &AtomicBool,
) {
    let mut pause = FIRST_PAUSE;
    let mut tries_left = LAST_TRIES;
    let origin = Origin {
        node: node.to_owned(),
        journal: journal.id().to_string(),
    };
    // Until the checkpoint is known nothing can be applied.
    let mut is_said = false;
    let mut writer = loop {
        match runtime.block_on(begin(shared, journal, &origin)) {
            Ok(writer) => break writer,
            Err(_) if closed.load(Ordering::Acquire) || shared.evicted.load(Ordering::Acquire) => {
                return;
            }
            Err(e) => {
                if !std::mem::replace(&mut is_said, true) {
                    tracing::error!("accounting is kept here and not applied yet: {e}");
                }
                take_reports_meanwhile(shared, journal, note);
                std::thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    };
    if is_said {
        tracing::info!("accounting is applied again");
    }
    let progress = writer.progress();
    tell(journal, note, progress.applied());
    let _ = shared.progress.set(progress.clone());
    load_usage(shared, runtime);
    let _ = shared.journal.set(journal.clone());
    pause = FIRST_PAUSE;
    let (mut settled, mut swept) = (Instant::now(), Instant::now());
    let mut noted = Noting::new(journal, note, &progress);
    loop {
        noted.now_and_then();
        if shared.evicted.load(Ordering::Acquire) {
            return;
        }
        if settled.elapsed() > SETTLE_EVERY {
            settled = Instant::now();
            settle_restarts(shared, runtime);
            shared.usage.live.sweep(shared.kernel.now());
        }
        if swept.elapsed() > SWEEP_EVERY {
            swept = Instant::now();
            let now = u64::try_from(shared.kernel.now().unix_seconds()).unwrap_or(0);
            if let Err(e) = journal.sweep(now) {
                tracing::warn!("old journal segments could not be removed: {e}");
            }
        }
        match runtime.block_on(writer.step()) {
            Step::Applied => {
                shared.is_applying.store(true, Ordering::Relaxed);
                pause = FIRST_PAUSE;
                if !closed.load(Ordering::Acquire) {
                    std::thread::sleep(writer.linger());
                }
            }
            Step::Idle if closed.load(Ordering::Acquire) => return,
            Step::Idle => {
                pause = FIRST_PAUSE;
                journal.wait_beyond(progress.applied(), WAIT);
            }
            Step::Failed => {
                shared.is_applying.store(false, Ordering::Relaxed);
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

/// Writes the note every now and then, and when the writer ends.
struct Noting<'a> {
    journal: &'a Journal<Acknowledgement>,
    note: &'a Note,
    progress: &'a usage::Progress,
    at: Instant,
}

impl<'a> Noting<'a> {
    fn new(
        journal: &'a Journal<Acknowledgement>,
        note: &'a Note,
        progress: &'a usage::Progress,
    ) -> Self {
        let at = Instant::now();
        Self {
            journal,
            note,
            progress,
            at,
        }
    }

    fn now_and_then(&mut self) {
        if self.at.elapsed() > NOTE_EVERY {
            self.at = Instant::now();
            self.write();
        }
    }

    fn write(&self) {
        self.note.write(&Noted {
            journal: self.journal.id().to_string(),
            durable: self.journal.durable(),
            applied: self.progress.applied(),
        });
    }
}

impl Drop for Noting<'_> {
    fn drop(&mut self) {
        self.write();
    }
}

/// Says where the database stands, and what is strange about it.
fn tell(journal: &Journal<Acknowledgement>, note: &Note, applied: Position) {
    let durable = journal.durable();
    let before = note.read(&journal.id().to_string());
    for line in crate::applied_note::compare(before.as_ref(), durable, applied) {
        tracing::warn!("{line}");
    }
    let reports = journal.records_beyond(applied);
    if reports > 0 {
        tracing::info!(
            reports,
            "accounting reports that the database lacks are applied now"
        );
    }
}

/// A writer that goes on where the database says the journal is applied to, once the journal is not behind that.
async fn begin(
    shared: &Arc<Shared>,
    journal: &Arc<Journal<Acknowledgement>>,
    origin: &Origin,
) -> Result<Writer, String> {
    let kernel = &shared.kernel;
    if !shared.has_claimed.load(Ordering::Acquire) {
        return Err("the database is away".to_owned());
    }
    let checkpoint = usage::checkpoint(&kernel.db, origin)
        .await
        .map_err(|e| e.to_string())?;
    go_on_behind(journal, checkpoint)?;
    Writer::new(kernel.clone(), origin.clone(), ends(shared, journal))
        .await
        .map_err(|e| e.to_string())
}

/// Takes reports although the database has not said up to where the journal is applied. If this data folder was put back,
/// the database may have more of it than lies here: so that no new record takes the place of one that counts as applied,
/// they stand behind a gap that is wider than anything that can have been written meanwhile.
fn take_reports_meanwhile(shared: &Shared, journal: &Arc<Journal<Acknowledgement>>, note: &Note) {
    if shared.journal.get().is_some() {
        return;
    }
    if let Some(noted) = note.read(&journal.id().to_string()) {
        let _ = shared.noted_applied.set(noted.applied);
    }
    let beyond = Position(journal.durable().0.saturating_add(GAP_RECORDS));
    match journal.advance_beyond(beyond) {
        Ok(()) => {
            let _ = shared.journal.set(journal.clone());
        }
        Err(e) => tracing::error!("accounting waits: {e}"),
    }
}

/// A data folder that was put back is older than the database: what it journals next must not take the places of records
/// that the database has already, or it would count as applied.
fn go_on_behind<T>(journal: &Journal<T>, checkpoint: Position) -> Result<(), String> {
    let durable = journal.durable();
    if checkpoint <= durable {
        return Ok(());
    }
    tracing::warn!(
        durable = durable.0,
        applied = checkpoint.0,
        "the accounting journal is older than the database; it goes on behind what the database has"
    );
    journal
        .advance_beyond(checkpoint)
        .map_err(|e| e.to_string())
}

fn ends(shared: &Arc<Shared>, journal: &Arc<Journal<Acknowledgement>>) -> Ends {
    let (reading, releasing) = (journal.clone(), journal.clone());
    let (zones, applied) = (shared.clone(), shared.clone());
    Ends {
        reader_at: Box::new(move |position| reading.reader(position)),
        release: Box::new(move |position| releasing.release(position)),
        zone_of: Box::new(move |organisation| zone_of(&zones, organisation)),
        on_applied: Box::new(move |batch| {
            batch.sessions.iter().for_each(|s| applied.usage.applied(s));
            batch
                .restarts
                .iter()
                .for_each(|r| applied.usage.live.restarted(r));
            if !batch.restarts.is_empty() {
                applied.usage.live.sweep(applied.kernel.now());
                let runtime = Handle::current();
                for restart in &batch.restarts {
                    note_restart(&applied, &runtime, NasId(restart.nas_id), restart.at);
                }
                settle_restarts(&applied, &runtime);
            }
        }),
    }
}

/// Reads the sessions that are open and what everybody has used, beside everything else.
fn load_usage(shared: &Arc<Shared>, runtime: &Handle) {
    let shared = shared.clone();
    runtime.spawn(async move {
        while let Err(e) = shared.usage.load(&shared.kernel.db).await {
            tracing::warn!("open sessions and usage are not loaded yet: {e}");
            tokio::time::sleep(LONGEST_PAUSE).await;
            if shared.evicted.load(Ordering::Acquire) {
                return;
            }
        }
    });
}

pub fn zone_of(shared: &Shared, organisation: Uuid) -> Tz {
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
        match usage::restart::close_restarted(&shared.kernel, zone, |s| shared.usage.applied(&s))
            .await
        {
            Ok(0) => {}
            Ok(sessions) => tracing::info!(sessions, "closed after a restart of their NAS"),
            Err(e) => tracing::warn!("sessions of a restarted NAS are not closed yet: {e}"),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::{Hooks, Options, RealDisk};
    use std::sync::mpsc;

    #[test]
    fn a_journal_older_than_the_database_goes_on_behind_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (done, durable) = mpsc::channel();
        let hooks = Hooks {
            committed: Box::new(move |batch: &mut Vec<(Position, ())>| {
                for (position, ()) in batch.drain(..) {
                    let _ = done.send(position);
                }
            }),
            failed: Box::new(|_, error| panic!("{error}")),
        };
        let options = Options::new([7; 16], Arc::new(|| 1_800_000_000));
        let (journal, _) =
            Journal::open(Arc::new(RealDisk), folder.path(), options, hooks).expect("a journal");
        let append = || {
            journal.append(1, vec![1], ()).expect("taken");
            durable.recv().expect("durable")
        };
        assert_eq!(append(), Position(1));
        for (checkpoint, expect) in [(0, 2), (2, 3), (80, 81), (81, 82)] {
            go_on_behind(&journal, Position(checkpoint)).expect("it goes on");
            assert_eq!(append(), Position(expect), "{checkpoint}");
        }
    }
}
