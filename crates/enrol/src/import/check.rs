//! Checking a whole file before anything of it is imported.

use super::admission;
use super::decide::{Decision, decide};
use super::holders::Holders;
use super::problem::Problems;
use super::reading::Reading;
use super::row::Row;
use super::rows::{Item, Opened, Rows};
use super::scan::{Claims, Scan, names, scan};
use super::source::Source;
use super::{CHUNK_ROWS, ImportOptions};
use crate::batch::{self, Batch};
use identity::Kind;
use identity::holders::Asked;
use kernel::{Error, Kernel, Time};
use radius_wire::dictionary::Dictionary;
use std::collections::BTreeSet;

/// Longest name of a batch, in characters: what clients of the REST API have always been held to.
const MAX_BATCH_NAME_CHARACTERS: usize = 128;

/// What a file holds and what is wrong with it; [`super::run`] imports it.
pub struct Checked {
    /// Rows, without the header row.
    pub rows: u64,
    /// How many of them have a problem.
    pub bad_rows: u64,
    /// Everything that is wrong, in the order of the file.
    pub problems: Problems,
    /// Whether the first row names the columns.
    pub header: bool,
    /// How many good rows belong to somebody who is known by their e-mail address: they keep their names and password.
    pub known: u64,
    /// An earlier import of this very file that has not come to its end: resume it or take it back. The file was then
    /// not compared with the database, which holds a part of it.
    pub unfinished: Option<Batch>,
    pub(super) scan: Scan,
    pub(super) options: ImportOptions,
    pub(super) at: Time,
}

impl Checked {
    /// Whether [`super::run`] may begin.
    ///
    /// # Errors
    /// [`Error::Invalid`] or [`Error::Conflict`]: why not.
    pub fn may_run(&self) -> Result<(), Error> {
        if self.scan.is_unreadable || (!self.problems.is_empty() && !self.options.skip_bad) {
            let first = self
                .problems
                .listed
                .first()
                .map(ToString::to_string)
                .unwrap_or_default();
            let count = self.problems.total;
            let noun = if count == 1 { "problem" } else { "problems" };
            return Err(Error::Invalid(format!(
                "nothing was imported: {count} {noun}, the first on {first}"
            )));
        }
        match &self.unfinished {
            Some(batch) => Err(Error::Conflict(format!(
                "this file is batch '{}' ({}), which stopped after {} of {} rows; resume it or take it back",
                batch.name, batch.id, batch.rows_done, batch.rows_total
            ))),
            None => Ok(()),
        }
    }
}

/// Reads a whole file and compares it with the database. Nothing is written.
///
/// # Errors
/// [`Error::Invalid`] for options that cannot be and for a file that cannot be read at all; what is wrong with lines
/// is in the answer.
pub async fn check(
    kernel: &Kernel,
    dictionary: &Dictionary,
    source: &Source,
    options: &ImportOptions,
) -> Result<Checked, Error> {
    let at = kernel.now();
    let mut options = options.clone();
    let organisation = options.organisation.clone();
    let reading = reading(kernel, dictionary, &organisation, at).await?;
    check_options(kernel, &mut options, &reading, at).await?;
    let scan = scan(source, &reading)?;
    let unfinished = match scan.is_unreadable {
        true => None,
        false => batch::unfinished(&kernel.db, organisation.id, &scan.digest).await?,
    };
    let mut checked = Checked {
        rows: scan.rows,
        bad_rows: scan.bad_rows,
        problems: scan.problems.clone(),
        header: scan.has_header,
        known: 0,
        unfinished,
        scan,
        options,
        at,
    };
    if !checked.scan.is_unreadable && checked.unfinished.is_none() {
        compare(kernel, source, &reading, &mut checked).await?;
    }
    Ok(checked)
}

/// What the rows of an organisation's file are read against.
pub(super) async fn reading<'a>(
    kernel: &Kernel,
    dictionary: &'a Dictionary,
    organisation: &'a identity::Organisation,
    now: Time,
) -> Result<Reading<'a>, Error> {
    let groups = admission::groups(kernel, organisation).await?;
    Ok(Reading {
        dictionary,
        organisation,
        groups: groups.into_keys().collect(),
        now: Some(now),
    })
}

async fn check_options(
    kernel: &Kernel,
    options: &mut ImportOptions,
    reading: &Reading<'_>,
    now: Time,
) -> Result<(), Error> {
    if let Some(group) = &mut options.group {
        *group = reading
            .group(group)
            .map_err(|reason| Error::Invalid(format!("group: {reason}")))?
            .to_owned();
    }
    if options.expires.is_some_and(|expires| expires <= now) {
        return Err(Error::Invalid("expires: it is in the past".to_owned()));
    }
    if let Some(name) = &options.name {
        let length = name.chars().count();
        if !(1..=MAX_BATCH_NAME_CHARACTERS).contains(&length) || name.chars().any(char::is_control)
        {
            return Err(Error::Invalid(format!(
                "batch's name: it has 1 to {MAX_BATCH_NAME_CHARACTERS} characters and no control characters"
            )));
        }
        if batch::by_name(&kernel.db, options.organisation.id, name)
            .await?
            .is_some()
        {
            return Err(Error::Conflict(format!("batch '{name}' exists")));
        }
    }
    Ok(())
}

/// The second pass: which names of the good rows belong to somebody.
async fn compare(
    kernel: &Kernel,
    source: &Source,
    reading: &Reading<'_>,
    checked: &mut Checked,
) -> Result<(), Error> {
    let Opened::Rows(mut rows) = Rows::open(source, reading.dictionary)? else {
        return Err(changed(source));
    };
    let mut found = Problems::default();
    loop {
        let mut good: Vec<Row> = Vec::with_capacity(CHUNK_ROWS);
        while good.len() < CHUNK_ROWS
            && let Some(Item { row, .. }) = rows.next(reading)?
        {
            good.extend(
                row.ok()
                    .filter(|row| checked.scan.claims.check(row).is_empty()),
            );
        }
        if good.is_empty() {
            break;
        }
        let mut holders = Holders::default();
        let wanted = asked_names(good.iter(), false);
        holders
            .ask(Asked::Db(&kernel.db), reading.organisation, wanted)
            .await?;
        for row in &good {
            match decide(checked.header, row, &holders) {
                Ok(Decision::Match(_)) => checked.known += 1,
                Ok(Decision::Create | Decision::CreateNumbered) => {}
                Err(problems) => {
                    checked.bad_rows += 1;
                    found.extend(problems);
                }
            }
        }
    }
    if rows.digest() != checked.scan.digest {
        return Err(changed(source));
    }
    checked.problems.merge(found);
    Ok(())
}

/// The names of rows to ask about; with those of which usernames are made, where people are about to be created.
pub(super) fn asked_names<'r>(
    rows: impl Iterator<Item = &'r Row>,
    creates: bool,
) -> BTreeSet<(Kind, String)> {
    let mut all = BTreeSet::new();
    for row in rows {
        all.extend(names(row).map(|(kind, _, _, folded)| (kind, folded.to_owned())));
        if creates {
            all.insert((Kind::Username, row.wanted_username().to_owned()));
        }
    }
    all
}

/// The sentence for a file that is not the one it was.
pub(super) fn changed(source: &Source) -> Error {
    Error::Conflict(format!(
        "file '{}' has changed since it was first read",
        source.name()
    ))
}

/// Whether a username is spoken for by another row of the file.
pub(super) fn is_spoken_for(claims: &Claims, line: u64, username: &str) -> bool {
    claims
        .line(Kind::Username, username)
        .is_some_and(|first| first != line)
}
