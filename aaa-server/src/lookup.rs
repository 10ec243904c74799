//! Names that the register does not know: looked up in the database outside the fast lane, once each, and the request is
//! then decided as if the person had been known.
//!
//! The queue is bounded and sheds nothing silently: what finds no room is left unanswered and comes again. Whoever the
//! database does not know is refused; while it does not answer, only a register that is complete may refuse.

use crate::door::{Pass, Shared};
use crate::lane::Job;
use access::register::{Answer, Lookup, RegisterState, Wanted};
use access::word::Dropped;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Semaphore, watch};

/// Requests that wait for the database: at a millisecond a read, what one second of it can bring.
pub const MAX_WAITING: usize = 1_024;
/// Reads at the same time: fewer than the connections of a node, so that the rest of it has some left.
const AT_ONCE: usize = 4;

/// A read that takes longer counts as no answer: most NASes ask again after three seconds.
const LONGEST: Duration = Duration::from_secs(2);

/// A request and the names in it.
type Asked = (Job, Wanted);

/// The queue.
pub struct Lookups {
    sender: Sender<Asked>,
    receiver: Mutex<Option<Receiver<Asked>>>,
}

impl Default for Lookups {
    fn default() -> Self {
        let (sender, receiver) = channel(MAX_WAITING);
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
        }
    }
}

impl Lookups {
    /// Queues a request; given back where there is no room.
    pub fn push(&self, job: Job, wanted: Wanted) -> Option<Job> {
        let refused = self.sender.try_send((job, wanted)).err()?;
        Some(refused.into_inner().0)
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        MAX_WAITING - self.sender.capacity()
    }
}

/// Looks up what is asked for until told to stop; what waits then is asked again by its NAS.
pub async fn run(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let taken = shared
        .lookups
        .receiver
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some(mut receiver) = taken else { return };
    let lookup = Arc::new(Lookup::new(shared.kernel.clone(), shared.register.clone()));
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let asked = tokio::select! {
            asked = receiver.recv() => asked,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let (Some((job, wanted)), Ok(place)) = (asked, places.clone().acquire_owned().await) else {
            return;
        };
        let (shared, lookup) = (shared.clone(), lookup.clone());
        tokio::spawn(async move {
            // A database that is known to be away is not waited for, and one that is slow not longer than a NAS waits.
            let answer = match shared.register.state() {
                RegisterState::Stale { .. } => Answer::Unknown,
                _ => tokio::time::timeout(LONGEST, lookup.run(&wanted))
                    .await
                    .unwrap_or(Answer::Unknown),
            };
            drop(place);
            match answer {
                Answer::Unknown if !shared.register.is_complete() => {
                    shared.give_up_job(&job, Dropped::DatabaseAway);
                }
                _ => shared.resume(job, Pass::LookedUp),
            }
        });
    }
}
