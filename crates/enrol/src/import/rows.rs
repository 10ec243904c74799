//! The rows of a file in order, behind its header row.

use super::layout::Layout;
use super::lines::Lines;
use super::problem::Problem;
use super::reading::Reading;
use super::record::{Record, Records};
use super::row::Row;
use super::source::{Counted, Source};
use kernel::Error;
use radius_wire::dictionary::Dictionary;

/// A row, or everything that is wrong with it; and the line where it begins.
pub(super) struct Item {
    pub(super) line: u64,
    pub(super) row: Result<Row, Vec<Problem>>,
}

/// The rows of a file.
pub(super) struct Rows<'s> {
    source: &'s Source,
    records: Records<Counted>,
    layout: Layout,
    /// The first record where it is a row itself.
    first: Option<Record>,
}

/// A file whose columns are known, or why they are not.
pub(super) enum Opened<'s> {
    Rows(Box<Rows<'s>>),
    Unreadable(Vec<Problem>),
}

impl<'s> Rows<'s> {
    /// Opens a file and finds out its columns.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it cannot be read at all.
    pub(super) fn open(source: &'s Source, dictionary: &Dictionary) -> Result<Opened<'s>, Error> {
        let named = |e: std::io::Error| source.unreadable(&e);
        let mut records = Records::new(Lines::new(source.open()?).map_err(named)?);
        let Some(first) = records.next().map_err(named)? else {
            return Ok(Opened::Unreadable(vec![Problem::new(
                1,
                None,
                "the file is empty",
            )]));
        };
        Ok(match Layout::of(&first, dictionary) {
            Err(problems) => Opened::Unreadable(problems),
            Ok(layout) => {
                let first = (!layout.has_header).then_some(first);
                Opened::Rows(Box::new(Rows {
                    source,
                    records,
                    layout,
                    first,
                }))
            }
        })
    }

    pub(super) fn has_header(&self) -> bool {
        self.layout.has_header
    }

    /// The digest of what was read: of the whole file once there is no next row.
    pub(super) fn digest(&self) -> String {
        self.records.reader().digest()
    }

    fn record(&mut self) -> Result<Option<Record>, Error> {
        match self.first.take() {
            Some(record) => Ok(Some(record)),
            None => self.records.next().map_err(|e| self.source.unreadable(&e)),
        }
    }

    /// The next row.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the file cannot be read any further.
    pub(super) fn next(&mut self, reading: &Reading<'_>) -> Result<Option<Item>, Error> {
        let record = self.record()?;
        Ok(record.map(|record| Item {
            line: record.line,
            row: Row::read(&record, &self.layout, reading),
        }))
    }

    /// Passes over rows that were imported before.
    ///
    /// # Errors
    /// As [`Rows::next`].
    pub(super) fn pass_over(&mut self, count: u64) -> Result<(), Error> {
        for _ in 0..count {
            if self.record()?.is_none() {
                break;
            }
        }
        Ok(())
    }
}
