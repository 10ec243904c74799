//! Importing people from a CSV file.
//!
//! [`check`] reads the whole file and compares it with the database, and says everything that is wrong: line, column,
//! reason. [`run`] then imports it in chunks under one batch. Killed, [`resume`] goes on after the last row that is in;
//! [`take_back`] removes what the batch made. Nothing here keeps the rows of a file in memory.
//!
//! # The file
//!
//! UTF-8 or UTF-16, separated by commas (or by semicolons or tabs, where the first line holds no comma). With a header
//! row, columns are known by their names, in any order; every RADIUS attribute may stand beside them and becomes a rule
//! of that person's own:
//!
#![doc = "```csv"]
#![doc = include_str!("../../sample.csv")]
#![doc = "```"]
//!
//! | column | empty | otherwise |
//! |---|---|---|
//! | `username` | made from the e-mail address; 1, 2, … after it where taken | as it is; it must not exist |
//! | `password` | one is made up | plain text, `cleartext$…`, a hash of a known form, `nt:` and an NT hash |
//! | `email` | none | whoever has it becomes a member and keeps names and password |
//! | `first_name`, `last_name` | none | at most 150 characters |
//! | `phone_number` | none | with + and the country code |
//! | `group` | that of the import, else the organisation's default | its name, with or without the slug before it |
//! | `expires` | that of the import, else never | a date (that day is the last) or a moment |
//! | `mac` | none | a device's address, in any spelling |
//! | an attribute | no rule | its value; `Name` sets it, `Name ==` checks it, twice the same column says it twice |
//!
//! Without a header row there are OpenWISP's five columns: username, password, e-mail, first and last name. Every row
//! has an e-mail address, a username that is taken gets a number, and an address that is known is the same person.
//!
//! # What must never happen
//!
//! A row is never imported twice or left out unsaid, a person who was there before is never deleted or given another
//! password, and no password is kept, logged or quoted in the clear.

mod admission;
mod check;
mod chunk;
mod decide;
mod desk;
mod gap;
mod holders;
mod layout;
mod lines;
mod meet;
mod problem;
mod reading;
mod record;
mod row;
mod rows;
mod run;
mod scan;
mod source;
mod take_back;
#[cfg(test)]
mod tests;

pub use check::{Checked, check};
pub use layout::COLUMNS;
pub use problem::{MAX_LISTED, Problem, Problems};
pub use run::{Outcome, Progress, resume, run};
pub use source::{MAX_FILE_OCTETS, Source};
pub use take_back::{STATEMENTS as TAKE_BACK_STATEMENTS, TakenBack, take_back};

use identity::{Organisation, Store};
use kernel::Time;

/// Most rows of one file: what is remembered of each name, see [`scan`], then stays below 200 MB.
pub const MAX_ROWS: u64 = 1_000_000;
/// Rows of the first transaction; how long it takes says how many the next one gets.
const FIRST_ROWS: usize = 256;
/// Fewest rows of a transaction: with fewer, most of its time goes into beginning and ending it.
const MIN_ROWS: usize = 256;
/// Most rows of one transaction, and rows that are compared with the database at a time.
const CHUNK_ROWS: usize = 1_024;

/// How a file is imported.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Where people become members.
    pub organisation: Organisation,
    /// What is kept of their passwords.
    pub store: Store,
    /// The group of those whose row names none.
    pub group: Option<String>,
    /// Until when memberships last whose row says nothing.
    pub expires: Option<Time>,
    /// Whether bad rows are left out, rather than nothing imported.
    pub skip_bad: bool,
    /// The batch's name; made from the file's where none is given.
    pub name: Option<String>,
}

impl ImportOptions {
    /// Into an organisation, with passwords hashed and everything else as the rows say.
    pub fn into_organisation(organisation: Organisation) -> Self {
        Self {
            organisation,
            store: Store::default(),
            group: None,
            expires: None,
            skip_bad: false,
            name: None,
        }
    }
}
