//! Loading the register and keeping it right, for as long as the server runs. What fails is tried again: it must
//! **never** end before it is told to.

use crate::door::Shared;
use access::register::Follower;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often the events are read; an operator's change is seen within a second.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);
/// How often a failed first load is tried again.
const LOAD_AGAIN: Duration = Duration::from_secs(1);

/// Loads the register and keeps it right.
pub async fn run(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut follower = Follower::new(shared.kernel.clone(), shared.register.clone());
    let mut is_failing = false;
    loop {
        let mut is_behind = false;
        let result = if shared.register.is_complete() {
            follower.catch_up().await.map(|events| {
                is_behind =
                    i64::try_from(events).is_ok_and(|events| events >= kernel::event::BATCH);
            })
        } else {
            let begun = Instant::now();
            follower.load().await.inspect(|()| {
                tracing::info!(
                    people = shared.register.people().len(),
                    nases = shared.register.policy().nases.entries().len(),
                    milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
                    "register loaded: logins are decided from memory"
                );
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
