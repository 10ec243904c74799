//! Sessions on their way into a transaction, and what the caller is told about them afterwards.

use crate::counters::Growth;
use crate::session::{Change, DayUsage, Session, Totals, store};
use kernel::id::Uuid;
use kernel::{Error, Tx};
use std::collections::BTreeMap;

/// What a session was before the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Was {
    /// Not there.
    Unknown,
    /// Going on.
    Open,
    /// Over.
    Stopped,
}

/// A session that a batch has changed: what live views, limits and hooks are fed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedSession {
    /// As it is now.
    pub session: Session,
    /// What it was before.
    pub was: Was,
    /// What its membership's counters grew by, by local day.
    pub usage: Vec<DayUsage>,
}

impl AppliedSession {
    /// Whether it is new and going on.
    pub fn has_started(&self) -> bool {
        self.was == Was::Unknown && self.session.is_open()
    }

    /// Whether it ended with this batch: told exactly once for each end.
    pub fn has_stopped(&self) -> bool {
        self.was != Was::Stopped && !self.session.is_open()
    }

    /// Whether it had ended and goes on.
    pub fn has_reopened(&self) -> bool {
        self.was == Was::Stopped && self.session.is_open()
    }
}

/// Changed sessions and what they add to the counters, written together.
#[derive(Debug, Default)]
pub(crate) struct Settlement {
    rows: BTreeMap<Uuid, Pending>,
}

#[derive(Debug)]
struct Pending {
    session: Session,
    was: Was,
    usage: BTreeMap<i32, Totals>,
}

impl Settlement {
    /// Notes a changed row. `is_new` says that it is in no table yet.
    pub fn note(&mut self, session: Session, is_new: bool, change: &Change) {
        use crate::session::Turn;
        let was = match (is_new, change.turn, session.is_open()) {
            (true, ..) => Was::Unknown,
            (_, Turn::Stopped, _) | (_, Turn::None, true) => Was::Open,
            (_, Turn::Reopened, _) | (_, Turn::None, false) => Was::Stopped,
        };
        let pending = self.rows.entry(session.id).or_insert_with(|| Pending {
            session: session.clone(),
            was,
            usage: BTreeMap::new(),
        });
        pending.session = session;
        for usage in &change.usage {
            let sum = pending.usage.entry(usage.day).or_default();
            *sum = sum.plus(usage.delta);
        }
    }

    /// Writes rows in the order of their ids, then the counters.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub async fn write(self, tx: &mut Tx) -> Result<Vec<AppliedSession>, Error> {
        let mut growth = Growth::default();
        let mut applied = Vec::with_capacity(self.rows.len());
        for pending in self.rows.into_values() {
            store::write(tx, &pending.session).await?;
            let usage: Vec<DayUsage> = pending
                .usage
                .into_iter()
                .map(|(day, delta)| DayUsage { day, delta })
                .filter(|usage| !usage.delta.is_zero())
                .collect();
            if let Some(membership) = pending.session.membership_id {
                growth.add(membership, &usage);
            }
            applied.push(AppliedSession {
                session: pending.session,
                was: pending.was,
                usage,
            });
        }
        growth.write(tx).await?;
        Ok(applied)
    }
}
