//! Gaps between an import's transactions on SQLite, so that other processes get to write as well.
//!
//! One process writes at a time, and whoever waits looks again only now and then, at most [`LOOK`] later. Within this
//! process writers stand in a queue and need no gap.

use kernel::{Engine, Error, Kernel, node};
use std::time::Duration;

/// How long after its last look a process that waits looks again.
const LOOK: Duration = Duration::from_millis(100);
/// A gap in which everybody who waits looks once.
const LONG: Duration = LOOK.saturating_add(Duration::from_millis(10));
/// How much work there is between two long gaps: far less than a command waits before it gives up.
const WORK: Duration = Duration::from_secs(3);
/// The part of the work that a server beside the import gets: it has reports to store all the time.
const SHARE: u32 = 4;

/// When the next gap is due, and how long it is.
pub(super) struct Gaps {
    is_needed: bool,
    has_server: bool,
    worked: Duration,
}

impl Gaps {
    /// For an import that begins.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub(super) async fn new(kernel: &Kernel) -> Result<Self, Error> {
        let is_needed = kernel.db.engine() == Engine::Sqlite;
        Ok(Self {
            is_needed,
            has_server: is_needed && node::is_any_running(kernel).await?,
            worked: Duration::ZERO,
        })
    }

    /// Leaves the gap that is due after a transaction.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub(super) async fn leave(&mut self, kernel: &Kernel, took: Duration) -> Result<(), Error> {
        if let Some(gap) = self.due(took) {
            tokio::time::sleep(gap).await;
        }
        if self.is_needed && self.worked.is_zero() {
            self.has_server = node::is_any_running(kernel).await?;
        }
        Ok(())
    }

    fn due(&mut self, took: Duration) -> Option<Duration> {
        if !self.is_needed {
            return None;
        }
        self.worked += took;
        if self.worked >= WORK {
            self.worked = Duration::ZERO;
            return Some(LONG);
        }
        self.has_server.then_some(took / SHARE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_gets_its_share_and_everybody_else_a_gap_now_and_then() {
        let took = Duration::from_millis(120);
        let gaps = |is_needed, has_server| Gaps {
            is_needed,
            has_server,
            worked: Duration::ZERO,
        };
        let dues =
            |mut gaps: Gaps| -> Vec<Option<Duration>> { (0..50).map(|_| gaps.due(took)).collect() };
        assert!(dues(gaps(false, false)).iter().all(Option::is_none));
        let alone = dues(gaps(true, false));
        assert_eq!(alone.iter().flatten().count(), 2);
        assert!(alone.iter().flatten().all(|gap| *gap > LOOK));
        let beside = dues(gaps(true, true));
        assert!(beside.iter().flatten().all(|gap| *gap >= took / SHARE));
        assert_eq!(beside.iter().flatten().count(), 50);
    }
}
