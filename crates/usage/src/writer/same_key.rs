//! The sessions of one key while a batch is applied to them.
//!
//! Most reports are about a session in the table of the present, so history is asked only when one is not: when no
//! session fits, when the report's session began well before the one that does, and when an ended one goes on.

use crate::applied::{Settlement, Touched};
use crate::report::Report;
use crate::session::store::{self, Key};
use crate::session::{Change, Restart, Session, Turn, generation};
use chrono_tz::Tz;
use kernel::{Error, Kernel, Tx};

/// A begin this much earlier than that of the session that fits may be that of one in history.
const EARLIER_SECONDS: i64 = 60;

struct Row {
    session: Session,
    /// In history.
    is_past: bool,
    /// What became of it, once something did.
    touched: Option<Touched>,
}

impl Row {
    fn new(session: Session, is_past: bool) -> Row {
        Row {
            session,
            is_past,
            touched: None,
        }
    }

    fn touch(&mut self, change: Change) {
        match &mut self.touched {
            Some(touched) => touched.add(change),
            None => self.touched = Some(Touched::first(&self.session, change)),
        }
    }
}

/// The sessions of one key.
pub(super) struct SameKey<'a> {
    key: &'a Key,
    rows: Vec<Row>,
    has_history: bool,
}

/// Whether a report is about this session for sure, whatever else has its key: then nothing has to be read.
pub(super) fn is_surely_about(session: &Session, report: &Report, restarts: &[Restart]) -> bool {
    generation::choose([session], report, restarts).is_some() && !is_earlier(report, session)
}

fn is_earlier(report: &Report, session: &Session) -> bool {
    report
        .begin()
        .is_some_and(|begin| session.started.seconds_since(begin) > EARLIER_SECONDS)
}

impl<'a> SameKey<'a> {
    /// From the rows of the present, locked or remembered, and those of history where they were read.
    pub fn new(key: &'a Key, current: Vec<Session>, past: Option<Vec<Session>>) -> SameKey<'a> {
        let has_history = past.is_some();
        let past = past.into_iter().flatten();
        let current = current.into_iter().map(|session| Row::new(session, false));
        SameKey {
            key,
            rows: current
                .chain(past.map(|session| Row::new(session, true)))
                .collect(),
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
    ) -> Result<(), Error> {
        let mut place = self.choose(report, restarts);
        if !self.has_history
            && place.is_none_or(|place| is_earlier(report, &self.rows[place].session))
        {
            self.read_history(tx).await?;
            place = self.choose(report, restarts);
        }
        let place = place.unwrap_or_else(|| {
            let newest = self.rows.iter().map(|row| row.session.generation).max();
            let generation = newest.map_or(0, |newest| newest.saturating_add(1));
            let session = Session::new(kernel.new_uuid(), generation, report);
            self.rows.push(Row::new(session, false));
            self.rows.len() - 1
        });
        let row = &mut self.rows[place];
        if std::mem::take(&mut row.is_past) {
            store::restore(tx, row.session.id).await?;
        }
        let change = row.session.apply(report, zone);
        let turn = change.turn;
        row.touch(change);
        // A later session that has its id may have moved to history.
        if turn == Turn::Reopened && !self.has_history {
            self.read_history(tx).await?;
        }
        self.close_what_is_over(restarts, zone);
        Ok(())
    }

    /// Hands over what has changed.
    pub fn settle(self, settlement: &mut Settlement) {
        let is_alone = self.rows.iter().filter(|row| !row.is_past).count() == 1;
        for row in self.rows {
            if let Some(touched) = row.touched {
                settlement.take(row.session, touched, is_alone);
            }
        }
    }

    fn choose(&self, report: &Report, restarts: &[Restart]) -> Option<usize> {
        generation::choose(self.sessions(), report, restarts)
    }

    fn sessions(&self) -> impl Iterator<Item = &Session> + Clone {
        self.rows.iter().map(|row| &row.session)
    }

    async fn read_history(&mut self, tx: &mut Tx) -> Result<(), Error> {
        let found = store::history(tx, &[self.key]).await?;
        let past = found.into_values().flatten();
        self.rows
            .extend(past.map(|session| Row::new(session, true)));
        self.has_history = true;
        Ok(())
    }

    /// Closes what a restart or a later session with the same id has ended. Rows in history are closed already.
    fn close_what_is_over(&mut self, restarts: &[Restart], zone: Tz) {
        for row in self.rows.iter_mut().filter(|row| !row.is_past) {
            let first = restarts
                .iter()
                .filter(|restart| restart.covers(&row.session))
                .min_by_key(|restart| restart.at);
            let stopped = row.session.stopped;
            if let Some(restart) =
                first.filter(|restart| stopped.is_none_or(|stopped| stopped > restart.at))
            {
                let change = row.session.close_for_restart(restart, zone);
                row.touch(change);
            }
        }
        if self.rows.len() < 2 {
            return;
        }
        for (place, begin) in generation::replaced(self.sessions()) {
            let change = self.rows[place].session.close_as_replaced(begin, zone);
            self.rows[place].touch(change);
        }
    }
}
