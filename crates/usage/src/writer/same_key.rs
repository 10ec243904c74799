//! The sessions of one key while a batch is applied to them.
//!
//! Most reports are about a session in the table of the present, so history is asked only when one is not: when no
//! session fits, when the report's session began well before the one that does, and when an ended one goes on.

use crate::applied::Settlement;
use crate::report::Report;
use crate::session::store::{self, Key};
use crate::session::{Change, Restart, Session, Turn, generation};
use chrono_tz::Tz;
use kernel::{Error, Kernel, Tx};

/// A begin this much earlier than that of the session that fits may be that of one in history.
const EARLIER_SECONDS: i64 = 60;

struct Row {
    session: Session,
    /// In no table yet.
    is_new: bool,
    /// In history.
    is_past: bool,
}

/// The sessions of one key.
pub(super) struct SameKey<'a> {
    key: &'a Key,
    rows: Vec<Row>,
    has_history: bool,
}

impl<'a> SameKey<'a> {
    /// From the rows of the present, locked, and those of history where they were read.
    pub fn new(key: &'a Key, current: Vec<Session>, past: Option<Vec<Session>>) -> SameKey<'a> {
        let has_history = past.is_some();
        let row = |is_past| {
            move |session| Row {
                session,
                is_new: false,
                is_past,
            }
        };
        let past = past.into_iter().flatten().map(row(true));
        SameKey {
            key,
            rows: current.into_iter().map(row(false)).chain(past).collect(),
            has_history,
        }
    }

    /// Applies a report to the session it is about, and closes what is over by then.
    ///
    /// # Errors
    /// [`Error::Engine`]; [`Error::Conflict`] where another node was faster.
    pub async fn apply(
        &mut self,
        kernel: &Kernel,
        tx: &mut Tx,
        report: &Report,
        restarts: &[Restart],
        zone: Tz,
        settlement: &mut Settlement,
    ) -> Result<(), Error> {
        let mut place = self.choose(report, restarts);
        if !self.has_history && place.is_none_or(|place| self.is_earlier(report, place)) {
            self.read_history(tx).await?;
            place = self.choose(report, restarts);
        }
        let place = place.unwrap_or_else(|| {
            let newest = self.rows.iter().map(|row| row.session.generation).max();
            let generation = newest.map_or(0, |newest| newest.saturating_add(1));
            self.rows.push(Row {
                session: Session::new(kernel.new_uuid(), generation, report),
                is_new: true,
                is_past: false,
            });
            self.rows.len() - 1
        });
        let row = &mut self.rows[place];
        if std::mem::take(&mut row.is_past) {
            store::restore(tx, row.session.id).await?;
        }
        let change = row.session.apply(report, zone);
        settlement.note(
            row.session.clone(),
            std::mem::take(&mut row.is_new),
            &change,
        );
        // A later session that has its id may have moved to history.
        if change.turn == Turn::Reopened && !self.has_history {
            self.read_history(tx).await?;
        }
        self.close_what_is_over(restarts, zone, settlement);
        Ok(())
    }

    fn choose(&self, report: &Report, restarts: &[Restart]) -> Option<usize> {
        generation::choose(self.sessions(), report, restarts)
    }

    fn sessions(&self) -> impl Iterator<Item = &Session> + Clone {
        self.rows.iter().map(|row| &row.session)
    }

    fn is_earlier(&self, report: &Report, place: usize) -> bool {
        let started = self.rows[place].session.started;
        report
            .begin()
            .is_some_and(|begin| started.seconds_since(begin) > EARLIER_SECONDS)
    }

    async fn read_history(&mut self, tx: &mut Tx) -> Result<(), Error> {
        let found = store::history(tx, [self.key]).await?;
        let past = found.into_values().flatten().map(|session| Row {
            session,
            is_new: false,
            is_past: true,
        });
        self.rows.extend(past);
        self.has_history = true;
        Ok(())
    }

    /// Closes what a restart or a later session with the same id has ended. Rows in history are closed already.
    fn close_what_is_over(&mut self, restarts: &[Restart], zone: Tz, settlement: &mut Settlement) {
        let mut note = |row: &Session, change: &Change| settlement.note(row.clone(), false, change);
        for row in self.rows.iter_mut().filter(|row| !row.is_past) {
            let row = &mut row.session;
            let first = restarts
                .iter()
                .filter(|restart| restart.covers(row))
                .min_by_key(|restart| restart.at);
            if let Some(restart) =
                first.filter(|restart| row.stopped.is_none_or(|stopped| stopped > restart.at))
            {
                let change = row.close_for_restart(restart, zone);
                note(row, &change);
            }
        }
        for (place, begin) in generation::replaced(self.sessions()) {
            let row = &mut self.rows[place].session;
            let change = row.close_as_replaced(begin, zone);
            note(row, &change);
        }
    }
}
