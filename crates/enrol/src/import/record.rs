//! From lines to records: RFC 4180, with the lines counted as an editor counts them.
//!
//! Separated by commas; by semicolons or tabs where the first line holds no comma, as spreadsheets write in much of
//! Europe. After a record that cannot be read, reading goes on with the physical line after the one where it began, so
//! that one stray quote costs one record and not the rest of the file.

use super::lines::{Line, Lines};
use std::collections::VecDeque;
use std::io::Read;
use zeroize::Zeroizing;

/// Most lines that one record may stretch over: a reply's text may hold a few, anything longer is a stray quote.
const MAX_RECORD_LINES: usize = 16;
/// Most octets of one record.
const MAX_RECORD_OCTETS: usize = 64 * 1024;
/// Most columns.
pub(super) const MAX_COLUMNS: usize = 256;

/// One record, at the line where it begins.
pub(super) struct Record {
    pub(super) line: u64,
    /// Its fields as they are, or why it has none.
    pub(super) fields: Result<Vec<Zeroizing<String>>, String>,
}

/// The records of a reader; those without anything in any field are passed over.
pub(super) struct Records<R> {
    lines: Lines<R>,
    /// Lines that were read ahead of a record that failed.
    ahead: VecDeque<Line>,
    delimiter: Option<char>,
}

impl<R: Read> Records<R> {
    pub(super) fn new(lines: Lines<R>) -> Self {
        Self {
            lines,
            ahead: VecDeque::new(),
            delimiter: None,
        }
    }

    /// What the records are read from.
    pub(super) fn reader(&self) -> &R {
        self.lines.reader()
    }

    /// The next record that holds something.
    ///
    /// # Errors
    /// The reader's.
    pub(super) fn next(&mut self) -> std::io::Result<Option<Record>> {
        while let Some(first) = self.line()? {
            let line = first.number;
            let text = match first.text {
                Ok(text) => text,
                Err(reason) => {
                    return Ok(Some(Record {
                        line,
                        fields: Err(reason),
                    }));
                }
            };
            if text.trim().is_empty() {
                continue;
            }
            let fields = self.record(&text)?;
            if fields
                .as_ref()
                .is_ok_and(|fields| fields.iter().all(|field| field.trim().is_empty()))
            {
                continue;
            }
            return Ok(Some(Record { line, fields }));
        }
        Ok(None)
    }

    fn line(&mut self) -> std::io::Result<Option<Line>> {
        match self.ahead.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.lines.next(),
        }
    }

    fn record(&mut self, first: &str) -> std::io::Result<Result<Vec<Zeroizing<String>>, String>> {
        let delimiter = *self.delimiter.get_or_insert_with(|| delimiter_of(first));
        let mut splitter = Splitter::new(delimiter);
        let mut outcome = splitter.feed(first);
        let mut octets = first.len();
        let mut taken: Vec<Line> = Vec::new();
        while outcome.is_ok() && splitter.is_open() {
            let next = if taken.len() + 1 < MAX_RECORD_LINES {
                self.line()?
            } else {
                None
            };
            let Some(next) = next else {
                outcome = Err(unclosed(splitter.fields.len()));
                break;
            };
            outcome = match &next.text {
                Ok(text) if octets + text.len() < MAX_RECORD_OCTETS => {
                    octets += text.len() + 1;
                    splitter.field.push('\n');
                    splitter.feed(text)
                }
                _ => Err(unclosed(splitter.fields.len())),
            };
            taken.push(next);
        }
        Ok(match outcome {
            Ok(()) => Ok(splitter.finish()),
            Err(reason) => {
                for line in taken.into_iter().rev() {
                    self.ahead.push_front(line);
                }
                Err(reason)
            }
        })
    }
}

fn unclosed(fields_before: usize) -> String {
    format!(
        "the quote that opens field {} is not closed",
        fields_before + 1
    )
}

/// By what a file's first line is separated, outside of its quotes.
fn delimiter_of(line: &str) -> char {
    let outside = || line.split('"').step_by(2);
    let stands = |delimiter: &char| outside().any(|part| part.contains(*delimiter));
    [',', ';', '\t'].into_iter().find(stands).unwrap_or(',')
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Plain,
    Quoted,
    /// After a quote within quotes: the end of the field, or half of a doubled one.
    MaybeClosed,
}

struct Splitter {
    delimiter: char,
    fields: Vec<Zeroizing<String>>,
    field: Zeroizing<String>,
    state: State,
}

impl Splitter {
    fn new(delimiter: char) -> Self {
        Self {
            delimiter,
            fields: Vec::new(),
            field: Zeroizing::default(),
            state: State::Plain,
        }
    }

    fn is_open(&self) -> bool {
        self.state == State::Quoted
    }

    fn feed(&mut self, line: &str) -> Result<(), String> {
        for character in line.chars() {
            self.state = match (self.state, character) {
                (State::Quoted, '"') => State::MaybeClosed,
                (State::Quoted, other) => {
                    self.field.push(other);
                    State::Quoted
                }
                (State::MaybeClosed, '"') => {
                    self.field.push('"');
                    State::Quoted
                }
                (State::Plain | State::MaybeClosed, other) if other == self.delimiter => {
                    self.end_field();
                    if self.fields.len() == MAX_COLUMNS {
                        return Err(format!("it has more than {MAX_COLUMNS} fields"));
                    }
                    State::Plain
                }
                (State::MaybeClosed, ' ') => State::MaybeClosed,
                (State::MaybeClosed, _) => {
                    return Err(format!(
                        "text stands after the closing quote of field {}; a quote within quotes is doubled",
                        self.fields.len() + 1
                    ));
                }
                (State::Plain, '"') if self.field.is_empty() => State::Quoted,
                (State::Plain, '"') if self.field.trim().is_empty() => {
                    return Err(format!(
                        "a blank stands before the quote of field {}",
                        self.fields.len() + 1
                    ));
                }
                (State::Plain, other) => {
                    self.field.push(other);
                    State::Plain
                }
            };
        }
        Ok(())
    }

    fn end_field(&mut self) {
        self.fields.push(std::mem::take(&mut self.field));
    }

    fn finish(mut self) -> Vec<Zeroizing<String>> {
        self.end_field();
        self.fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Read = Vec<(u64, Result<Vec<String>, String>)>;

    fn read(text: &str) -> Read {
        let mut records = Records::new(Lines::new(text.as_bytes()).unwrap());
        let mut all = Vec::new();
        while let Some(record) = records.next().unwrap() {
            let fields = record
                .fields
                .map(|fields| fields.iter().map(|field| field.to_string()).collect());
            all.push((record.line, fields));
        }
        all
    }

    /// Expected: line and fields, separated by `|`; a reason begins with `!`.
    fn check(text: &str, expect: &[(u64, &str)]) {
        let got = read(text);
        assert_eq!(got.len(), expect.len(), "{text:?}: {got:?}");
        for ((line, fields), (expected_line, expected)) in got.iter().zip(expect) {
            assert_eq!(line, expected_line, "{text:?}");
            match (fields, expected.strip_prefix('!')) {
                (Ok(fields), None) => assert_eq!(fields.join("|"), *expected, "{text:?}"),
                (Err(reason), Some(part)) => assert!(reason.contains(part), "{text:?}: {reason}"),
                (got, _) => panic!("{text:?}: {got:?}"),
            }
        }
    }

    #[test]
    fn lines_are_counted_as_an_editor_counts_them() {
        check("a,b\nc,d\n", &[(1, "a|b"), (2, "c|d")]);
        check("\r\n\r\na,b\r\n\r\nc,d", &[(3, "a|b"), (5, "c|d")]);
        check("a,\"b\nx\",c\nd,e,f\n", &[(1, "a|b\nx|c"), (3, "d|e|f")]);
        check("a,b\n,,\n , \nc,d", &[(1, "a|b"), (4, "c|d")]);
    }

    #[test]
    fn quotes_hold_delimiters_and_doubled_quotes() {
        check(
            "\"a,b\",\"say \"\"hi\"\"\",c\"d",
            &[(1, "a,b|say \"hi\"|c\"d")],
        );
        check("\"a\" ,b", &[(1, "a|b")]);
        check("\"\",x", &[(1, "|x")]);
    }

    #[test]
    fn a_first_line_without_commas_shows_another_delimiter() {
        check("a;b\nc,d;e", &[(1, "a|b"), (2, "c,d|e")]);
        check("a\tb\nc;d\te", &[(1, "a|b"), (2, "c;d|e")]);
        check("alone\na;b", &[(1, "alone"), (2, "a;b")]);
    }

    #[test]
    fn a_record_that_fails_costs_its_first_line_only() {
        check(
            "a,\"b\nc,d\ne,f\n",
            &[(1, "!field 2 is not closed"), (2, "c|d"), (3, "e|f")],
        );
        check(
            "a,\"b\nc,\"d\"\ne,f\n",
            &[(1, "!after the closing quote"), (2, "c|d"), (3, "e|f")],
        );
        check(
            "a,\"b\"x\nc,d",
            &[(1, "!after the closing quote of field 2"), (2, "c|d")],
        );
        check("a, \"b\"\nc,d", &[(1, "!blank stands before"), (2, "c|d")]);
        check(
            &format!("{}\nc,d", "a,".repeat(MAX_COLUMNS)),
            &[(1, "!more than 256"), (2, "c|d")],
        );
        let open = format!("a,\"b\n{}", "c,d\n".repeat(MAX_RECORD_LINES + 3));
        let got = read(&open);
        assert_eq!(got.len(), MAX_RECORD_LINES + 4);
        assert!(got.iter().skip(1).all(|(_, fields)| fields.is_ok()));
    }

    proptest! {
        /// What another implementation writes is read as it was meant.
        #[test]
        fn what_a_csv_writer_writes_is_read_back(
            rows in proptest::collection::vec(proptest::collection::vec("[a-c\"',; \n\u{e9}\u{1f600}]{0,8}", 3), 1..8)
        ) {
            let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            let meant: Vec<Vec<String>> = rows
                .into_iter()
                .filter(|row| row.iter().any(|field| !field.trim().is_empty()))
                .collect();
            let got: Vec<Vec<String>> = read(&text).into_iter().map(|(_, fields)| fields.unwrap()).collect();
            prop_assert_eq!(got, meant);
        }

        /// Nothing makes it panic, loses the lines' order or stretches a record without limit.
        #[test]
        fn any_text_is_read_to_its_end(text in "[ab,\"\n\r; ]{0,200}") {
            let got = read(&text);
            prop_assert!(got.windows(2).all(|pair| pair[0].0 < pair[1].0));
            let lines = text.split(['\n', '\r']).count() as u64;
            prop_assert!(got.iter().all(|(line, _)| *line <= lines));
        }
    }
}
