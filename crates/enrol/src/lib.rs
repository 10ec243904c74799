//! How people come in: bulk import.
//!
//! Read [`import`] first: how a file is read, checked and imported. [`batch`] is what remains of an import, so that it
//! can be resumed, looked up and taken back. This room must **never** decide who may come in, and never keep a password
//! other than sealed.

pub mod batch;
pub mod import;

pub use batch::{Batch, BatchId, Status};
pub use import::{
    Checked, ImportOptions, Outcome, Problem, Problems, Progress, Source, check, resume, run,
    take_back,
};

/// News: an import went on, came to its end or was taken back. Subject: the batch's id; detail: its status and rows.
pub const BATCH_CHANGED: &str = "batch.changed";

/// Every statement of this room, so that a test can prepare them all.
pub fn statements(engine: kernel::Engine) -> Vec<(&'static str, &'static str)> {
    [
        batch::STATEMENTS,
        batch::passwords::STATEMENTS,
        &batch::PEOPLE.statements(engine),
        import::TAKE_BACK_STATEMENTS,
    ]
    .concat()
}
