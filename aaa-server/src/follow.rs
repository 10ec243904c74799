//! Loading the register and keeping it right, for as long as the server runs. What fails is tried again: it must
//! **never** end before it is told to.

use crate::door::Shared;
use access::register::{Follower, Keeper, SnapshotPlace};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often the events are read; an operator's change is seen within a second.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);
/// How often a failed first load is tried again.
const LOAD_AGAIN: Duration = Duration::from_secs(1);

/// Loads the register and keeps it right, and a snapshot of it.
pub async fn run(
    shared: Arc<Shared>,
    snapshot: SnapshotPlace,
    is_open: watch::Receiver<bool>,
    mut stop: watch::Receiver<bool>,
) {
    let kernel = &shared.kernel;
    let keeper = Keeper::new(snapshot, kernel.keys.clone(), kernel.rng.clone());
    let follower = Follower::new(kernel.clone(), shared.register.clone()).with_snapshot(keeper);
    let Some(mut follower) = restored(&shared, follower).await else {
        return;
    };
    let mut is_failing = false;
    loop {
        let mut is_behind = false;
        let result = if !*is_open.borrow() {
            Err(kernel::Error::Invalid(
                "the database was away at the start and is not open yet".to_owned(),
            ))
        } else {
            step(&shared, &mut follower).await.map(|is_more| {
                is_behind = is_more;
            })
        };
        match result {
            Ok(()) if is_failing => {
                is_failing = false;
                tracing::info!("the database answers again");
            }
            Ok(()) => {}
            Err(e) => {
                let register = &shared.register;
                let was_ready = register.is_ready();
                register.missed(
                    shared.kernel.now(),
                    i64::from(shared.config.serve_stale_for_seconds),
                );
                if was_ready && !register.is_ready() {
                    tracing::error!(
                        seconds = shared.config.serve_stale_for_seconds,
                        "the database was not heard of for too long: logins are not answered any more"
                    );
                }
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::error!("the register cannot be kept right: {e}");
                }
            }
        }
        let wait = match shared.register.is_complete() {
            true if is_behind => Duration::ZERO,
            true => FOLLOW_EVERY,
            false => LOAD_AGAIN,
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// The follower after it has looked for a snapshot; none if that failed, which it does only when it panics.
async fn restored(shared: &Arc<Shared>, mut follower: Follower) -> Option<Follower> {
    let (begun, shared) = (Instant::now(), shared.clone());
    let restoring = tokio::task::spawn_blocking(move || {
        let heard = follower.restore();
        (follower, heard)
    });
    let (follower, heard) = match restoring.await {
        Ok(restored) => restored,
        Err(e) => {
            tracing::error!("the register's snapshot cannot be read: {e}");
            return None;
        }
    };
    if let Some(heard) = heard {
        let limit = i64::from(shared.config.serve_stale_for_seconds);
        shared.register.missed(shared.kernel.now(), limit);
        tracing::info!(
            people = shared.register.people().len(),
            nases = shared.register.policy().nases.entries().len(),
            milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            %heard,
            "register restored from its snapshot"
        );
    }
    Some(follower)
}

/// Loads everything, or what is new; whether more is waiting.
async fn step(shared: &Shared, follower: &mut Follower) -> Result<bool, kernel::Error> {
    if follower.is_following().await? {
        let events = follower.catch_up().await?;
        let touched = follower.take_touched();
        for session in &touched.closed {
            let id = session.simple().to_string();
            let found = usage::find(&shared.kernel.db, kernel::Scope::Everything, &id).await?;
            let over = found
                .iter()
                .filter(|found| found.id == *session && !found.is_open());
            over.for_each(|over| shared.usage.live.closed(over));
        }
        shared.watched.touch(shared.recorder.node(), touched);
        return Ok(i64::try_from(events).is_ok_and(|events| events >= kernel::event::BATCH));
    }
    let begun = Instant::now();
    follower.load().await?;
    tracing::info!(
        people = shared.register.people().len(),
        nases = shared.register.policy().nases.entries().len(),
        milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        "register loaded: logins are decided from memory"
    );
    Ok(false)
}
