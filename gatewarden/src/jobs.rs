//! What a running server does beside answering: hash what imports left sealed, move old sessions to the history, forget
//! what is kept for a while only. Every round is bounded, and one that fails is tried again at its next time.

use crate::retention::{self, RetentionConfig};
use kernel::{Error, Kernel};
use std::future::Future;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passwords hashed in one round: with argon2 some seconds of one core, so that stopping does not wait long.
const HASHED_IN_A_ROUND: usize = 32;
/// Pause between rounds while there is nothing to hash.
const HASH_EVERY: Duration = Duration::from_secs(2);
/// Sessions that ended move to the history this often.
const AGE_OUT_EVERY: Duration = Duration::from_secs(300);
/// What is old is looked for this often.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);
/// The first round waits until the server has loaded.
const FIRST_AFTER: Duration = Duration::from_secs(5);

/// Running jobs.
pub struct Jobs {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Jobs {
    /// Starts them all.
    pub fn start(kernel: &Kernel, kept: &RetentionConfig) -> Self {
        let (stop, stopped) = watch::channel(false);
        let kept = kept.clone();
        let forget = move |kernel: Kernel| {
            let kept = kept.clone();
            async move { retention::forget(&kernel, &kept).await }
        };
        let tasks = vec![
            tokio::spawn(hash(kernel.clone(), stopped.clone())),
            tokio::spawn(every(
                AGE_OUT_EVERY,
                stopped.clone(),
                kernel.clone(),
                "moving old sessions",
                age_out,
            )),
            tokio::spawn(every(
                FORGET_EVERY,
                stopped,
                kernel.clone(),
                "forgetting what is old",
                forget,
            )),
        ];
        Self { stop, tasks }
    }

    /// Ends them; a round that has begun is finished.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

/// Waits; whether it is time to stop.
async fn pause(wait: Duration, stopped: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        () = tokio::time::sleep(wait) => false,
        _ = stopped.wait_for(|stop| *stop) => true,
    }
}

async fn hash(kernel: Kernel, mut stopped: watch::Receiver<bool>) {
    let mut wait = HASH_EVERY;
    while !pause(wait, &mut stopped).await {
        wait = match identity::pending::hash_pending(&kernel, HASHED_IN_A_ROUND).await {
            // There is probably more; a short pause leaves logins their share of the machine.
            Ok(hashed) if hashed > 0 => Duration::from_millis(50),
            Ok(_) => HASH_EVERY,
            Err(e) => {
                tracing::warn!("hashing imported passwords: {e}");
                HASH_EVERY
            }
        };
    }
}

async fn every<F>(
    interval: Duration,
    mut stopped: watch::Receiver<bool>,
    kernel: Kernel,
    what: &'static str,
    round: impl Fn(Kernel) -> F,
) where
    F: Future<Output = Result<(), Error>>,
{
    let mut wait = FIRST_AFTER;
    while !pause(wait, &mut stopped).await {
        if let Err(e) = round(kernel.clone()).await {
            tracing::warn!("{what}: {e}");
        }
        wait = interval;
    }
}

async fn age_out(kernel: Kernel) -> Result<(), Error> {
    let moved = usage::age_out(&kernel).await?;
    if moved > 0 {
        tracing::debug!("{moved} sessions moved to the history");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use access::admit::found_organisation;
    use enrol::batch::passwords;
    use enrol::import::{self, ImportOptions, Source};
    use identity::NewOrganisation;
    use kernel::db::Location;
    use kernel::{FixedClock, Keyring, SeededRng, Time};
    use radius_wire::dictionary::Dictionary;
    use std::sync::Arc;

    #[tokio::test]
    async fn made_up_passwords_are_forgotten_after_a_day_without_another_import() {
        let folder = tempfile::tempdir().unwrap();
        let db = Location::Sqlite(folder.path().join("jobs.db")).open().await;
        let clock = Arc::new(FixedClock::new(Time::from_unix_seconds(1_800_014_400)));
        let kernel = Kernel {
            db: db.unwrap(),
            clock: clock.clone(),
            rng: Arc::new(SeededRng::new(3)),
            keys: Arc::new(Keyring::parse(&Keyring::fresh_text(&SeededRng::new(7))).unwrap()),
        };
        let acme = found_organisation(&kernel, NewOrganisation::named("acme")).await;
        let options = ImportOptions::into_organisation(acme.unwrap());
        let source = Source::bytes("username\nanna\n".as_bytes(), "users.csv");
        let dictionary = Dictionary::builtin();
        let checked = import::check(&kernel, dictionary, &source, &options).await;
        let checked = checked.unwrap();
        let outcome = import::run(&kernel, dictionary, &source, &checked, |_| {}).await;
        let batch = outcome.unwrap().batch.id;
        let kept = async || passwords::generated(&kernel, batch).await.unwrap().len();
        retention::forget(&kernel, &RetentionConfig::default())
            .await
            .unwrap();
        assert_eq!(kept().await, 1);
        clock.advance_seconds(passwords::KEPT_SECONDS + 1);
        retention::forget(&kernel, &RetentionConfig::default())
            .await
            .unwrap();
        assert_eq!(kept().await, 0);
    }
}
