//! Sessions on their way into a transaction, and what the caller is told about them afterwards.

use crate::counters::{DaySum, Growth};
use crate::session::write::{self, Part};
use crate::session::{Change, DayUsage, Session, Totals, Turn};
use kernel::{Error, Tx};

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
    /// What those days have come to, its membership's other sessions included.
    pub sums: Vec<DaySum>,
    /// Whether it is the only one of its key in the table of the present, as far as the batch had to look.
    pub(crate) is_alone: bool,
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

/// What became of one session so far.
#[derive(Debug)]
pub(crate) struct Touched {
    was: Was,
    is_described: bool,
    /// By day.
    usage: Vec<DayUsage>,
}

impl Touched {
    /// After its first change.
    pub fn first(session: &Session, change: Change) -> Touched {
        let was = match (session.version == 0, change.turn, session.is_open()) {
            (true, ..) => Was::Unknown,
            (_, Turn::Stopped, _) | (_, Turn::None, true) => Was::Open,
            (_, Turn::Reopened, _) | (_, Turn::None, false) => Was::Stopped,
        };
        Touched {
            was,
            is_described: change.is_described,
            usage: change.usage,
        }
    }

    /// After another.
    pub fn add(&mut self, change: Change) {
        self.is_described |= change.is_described;
        for more in change.usage {
            match self
                .usage
                .binary_search_by_key(&more.day, |known| known.day)
            {
                Ok(place) => {
                    let sum = &mut self.usage[place].delta;
                    *sum = sum.plus(more.delta);
                }
                Err(place) => self.usage.insert(place, more),
            }
        }
    }
}

/// Changed sessions and what they add to the counters, written together.
#[derive(Debug, Default)]
pub(crate) struct Settlement {
    rows: Vec<Pending>,
}

#[derive(Debug)]
struct Pending {
    session: Session,
    touched: Touched,
    is_alone: bool,
}

impl Settlement {
    /// Takes a session that was changed once.
    pub fn note(&mut self, session: Session, change: Change) {
        let touched = Touched::first(&session, change);
        self.take(session, touched, false);
    }

    /// Takes a changed session; each only once.
    pub fn take(&mut self, session: Session, touched: Touched, is_alone: bool) {
        self.rows.push(Pending {
            session,
            touched,
            is_alone,
        });
    }

    /// Writes rows in the order of their ids, then the counters.
    ///
    /// # Errors
    /// [`Error::Engine`]; [`Error::Conflict`] when a row is not what it was when it was read.
    pub async fn write(mut self, tx: &mut Tx) -> Result<Vec<AppliedSession>, Error> {
        self.rows.sort_unstable_by_key(|row| row.session.id);
        let of = |wanted: &dyn Fn(&Pending) -> bool| -> Vec<&Session> {
            let rows = self.rows.iter().filter(|row| wanted(row));
            rows.map(|row| &row.session).collect()
        };
        let is_new = |row: &Pending| row.session.version == 0;
        let is_described = |row: &Pending| row.touched.is_described;
        write::insert(tx, &of(&is_new)).await?;
        let progress = of(&|row| !is_new(row) && !is_described(row));
        write::update(tx, Part::Progress, &progress).await?;
        let whole = of(&|row| !is_new(row) && is_described(row));
        write::update(tx, Part::Whole, &whole).await?;
        let open =
            of(&|row| row.session.is_open() && (row.touched.was != Was::Open || is_described(row)));
        write::note_open(tx, &open).await?;
        let closed = of(&|row| !row.session.is_open() && row.touched.was == Was::Open);
        write::note_closed(tx, closed.iter().map(|session| session.id).collect()).await?;
        let mut growth = Growth::default();
        let mut applied = Vec::with_capacity(self.rows.len());
        for mut row in self.rows {
            let mut usage = row.touched.usage;
            usage.retain(|usage| usage.delta != Totals::default());
            if let Some(membership) = row.session.membership_id {
                growth.add(membership, &usage);
            }
            row.session.version += 1;
            applied.push(AppliedSession {
                session: row.session,
                was: row.touched.was,
                usage,
                sums: Vec::new(),
                is_alone: row.is_alone,
            });
        }
        let sums = growth.write(tx).await?;
        for row in &mut applied {
            if let Some(membership) = row.session.membership_id {
                row.sums = sums.of_days(membership, &row.usage);
            }
        }
        Ok(applied)
    }
}
