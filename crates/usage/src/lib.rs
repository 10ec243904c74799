//! Sessions, reports, counters, attempts.
//!
//! The way of a report: an [`Entry`] in the journal, read as a [`Report`], applied to a [`Session`], written by
//! [`apply_batch`] in one transaction with the [`counters`] and the checkpoint. [`Writer`] does that for as long as
//! the process lives. [`list`], [`live`], [`tally`] and [`attempt`] are what readers ask; [`order`] is what is wanted of a session; [`restart`] and [`age_out`] are chores.
//!
//! Read [`report`], then [`session`] (above all its `ledger`: why the order of reports does not matter), then
//! [`writer`]. This room must **never** answer a NAS, decide whether somebody may come in, or lose a report that was
//! acknowledged: what cannot become a session is kept whole.

pub mod age_out;
mod applied;
pub mod attempt;
pub mod counters;
pub mod drain;
pub mod entry;
mod forget;
pub mod list;
pub mod live;
pub mod order;
pub mod report;
pub mod restart;
pub mod session;
pub mod tally;
#[cfg(test)]
mod testing;
pub mod then;
pub mod writer;

pub use age_out::{age_out, forget_sessions};
pub use applied::{AppliedSession, Was};
pub use attempt::{Attempt, Verdict, explain, forget_attempts};
pub use counters::{Counter, UsageRow};
pub use drain::{Ends, Missing, Progress, Writer};
pub use entry::{ACCOUNTING_REPORT, BadEntry, Entry};
pub use kernel::db::Error;
pub use list::{
    Cursor, ListFilter, Page, SESSION_CLOSED, SessionView, find, mark_closed, open_sessions,
};
pub use live::{Live, LiveSession};
pub use report::{Report, Status, Unreadable};
pub use restart::{NAS_RESTARTED, close_restarted, forget_restarts};
pub use session::{Change, DayUsage, Restart, Session, Totals, Turn};
pub use tally::Tally;
pub use writer::{
    Applied, Item, Origin, Outcome, REPORTS_APPLIED, Stretch, apply_batch, apply_with, checkpoint,
    forget_unreadable,
};

/// Every statement of this room as an engine runs it, so that a test can prepare them all.
pub fn statements(engine: kernel::Engine) -> Vec<(&'static str, &'static str)> {
    let shared = [
        session::store::STATEMENTS,
        session::store::RESTART_STATEMENTS,
        counters::STATEMENTS,
        restart::STATEMENTS,
        writer::STATEMENTS,
        age_out::STATEMENTS,
        list::STATEMENTS,
        live::STATEMENTS,
        order::STATEMENTS,
        then::STATEMENTS,
        attempt::STATEMENTS,
    ];
    let own = match engine {
        kernel::Engine::Sqlite => [
            session::store::SQLITE_STATEMENTS,
            session::write::SQLITE_STATEMENTS,
            restart::SQLITE_STATEMENTS,
            counters::SQLITE_STATEMENTS,
            writer::SQLITE_STATEMENTS,
            age_out::SQLITE_STATEMENTS,
        ],
        kernel::Engine::Postgres => [
            session::store::POSTGRES_STATEMENTS,
            session::write::POSTGRES_STATEMENTS,
            restart::POSTGRES_STATEMENTS,
            counters::POSTGRES_STATEMENTS,
            writer::POSTGRES_STATEMENTS,
            age_out::POSTGRES_STATEMENTS,
        ],
    };
    let many = attempt::RECORD.statements(engine);
    [shared.concat(), own.concat(), many].concat()
}
