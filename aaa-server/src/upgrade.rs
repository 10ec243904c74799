//! Imported hashes on their way to argon2id: whoever proves a password has it hashed anew, a few at a time, in the
//! background. What finds no room is hashed after another login.
//!
//! Passwords lie here for the moments until they are hashed, in memory that is erased. It must **never** hold up an answer.

use crate::door::Shared;
use access::facts::{Facts, StoredFacts};
use access::question::{Offer, Question};
use identity::PersonId;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
use zeroize::Zeroizing;

/// Passwords that wait: at some 20 ms each, a second or so of work.
const MAX_WAITING: usize = 64;

type Proven = (PersonId, Zeroizing<Vec<u8>>);

/// The queue.
pub struct Upgrades {
    sender: Sender<Proven>,
    receiver: Mutex<Option<Receiver<Proven>>>,
}

impl Default for Upgrades {
    fn default() -> Self {
        let (sender, receiver) = channel(MAX_WAITING);
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
        }
    }
}

impl Upgrades {
    /// A proof was right: where it was made against a hash from elsewhere, it is hashed anew.
    pub fn offer(&self, facts: &Facts, question: &Question<'_>) {
        if let Some((person, _)) = facts.member()
            && let (StoredFacts::Password(stored), Offer::Pap(password)) =
                (&person.stored, &question.offer)
            && identity::upgrade::is_wanted(stored)
        {
            let _ = self
                .sender
                .try_send((person.id, Zeroizing::new(password.to_vec())));
        }
    }
}

/// Hashes what was offered, one after the other, until told to stop.
pub async fn run(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let taken = shared
        .upgrades
        .receiver
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some(mut receiver) = taken else { return };
    loop {
        let proven = tokio::select! {
            proven = receiver.recv() => proven,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Some((person, password)) = proven else {
            return;
        };
        match identity::upgrade::upgrade(&shared.kernel, person, password).await {
            Ok(true) => {
                tracing::info!(%person, "an imported password hash was replaced by argon2id")
            }
            Ok(false) => {}
            Err(e) => tracing::debug!(%person, "an imported password hash stays as it is: {e}"),
        }
    }
}
