//! What commands print: lines, aligned tables, JSON arrays that are written while they are read.
//!
//! Names come from the network: a control character in one must **never** reach the terminal.

use crate::failure::Failure;
use serde::Serialize;
use std::borrow::Cow;
use std::io::{BufWriter, IsTerminal, Stdout, Write};

/// A cell is cut here: one odd name must not push every other column off the screen.
const MAX_CELL_CHARS: usize = 60;
/// Between two columns.
const GAP: &str = "  ";

/// Standard output, buffered.
pub struct Output {
    out: BufWriter<Stdout>,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            out: BufWriter::new(std::io::stdout()),
        }
    }
}

impl Output {
    /// Writes a line as it is; the text is the program's own, or has been through [`clean`].
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn line(&mut self, text: impl std::fmt::Display) -> Result<(), Failure> {
        writeln!(self.out, "{text}")?;
        Ok(())
    }

    /// Writes one value as a line of JSON.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn json<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        let text = to_json(value)?;
        self.line(text)
    }

    /// Makes everything written so far visible.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush()?;
        Ok(())
    }

    /// Writes a table, or what to say when it is empty (on standard error: a program that counts lines reads none).
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn table(&mut self, table: &Table, when_empty: &str) -> Result<(), Failure> {
        if table.rows.is_empty() {
            eprintln!("{when_empty}");
            return Ok(());
        }
        for line in table.lines(is_bold()) {
            self.line(line)?;
        }
        self.flush()
    }

    /// Writes a table that is one of several pages; only the first has headings.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn page(&mut self, table: &Table, has_headings: bool) -> Result<(), Failure> {
        for line in table
            .lines(is_bold())
            .into_iter()
            .skip(usize::from(!has_headings))
        {
            self.line(line)?;
        }
        Ok(())
    }

    /// Writes facts about one thing, one a line.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn facts(&mut self, facts: &Facts) -> Result<(), Failure> {
        let width = facts
            .lines
            .iter()
            .map(|(name, _)| name.chars().count())
            .max()
            .unwrap_or(0)
            + 1;
        for (name, value) in &facts.lines {
            let name = format!("{name}:");
            self.line(format!("{name:<width$} {value}").trim_end())?;
        }
        Ok(())
    }

    /// Begins an array with one element a line.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn array(&mut self) -> Result<JsonArray<'_>, Failure> {
        write!(self.out, "[")?;
        Ok(JsonArray {
            output: self,
            is_empty: true,
        })
    }

    /// Writes a whole array.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn json_list<T: Serialize>(
        &mut self,
        values: impl IntoIterator<Item = T>,
    ) -> Result<(), Failure> {
        let mut array = self.array()?;
        for value in values {
            array.push(&value)?;
        }
        array.end()
    }
}

/// Headings are bold on a terminal that has not asked for plain text.
fn is_bold() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn to_json<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value)
        .map_err(|e| Failure::failed(format!("cannot be written as JSON: {e}")))
}

/// An array whose elements are written as they come: it can be longer than memory.
pub struct JsonArray<'o> {
    output: &'o mut Output,
    is_empty: bool,
}

impl JsonArray<'_> {
    /// One more element.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn push<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        let text = to_json(value)?;
        let before = if self.is_empty { "\n  " } else { ",\n  " };
        self.is_empty = false;
        write!(self.output.out, "{before}{text}")?;
        Ok(())
    }

    /// Closes the array.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn end(self) -> Result<(), Failure> {
        writeln!(
            self.output.out,
            "{}]",
            if self.is_empty { "" } else { "\n" }
        )?;
        self.output.flush()
    }
}

/// How the cells of a column stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows under headings, each column as wide as its widest cell.
pub struct Table {
    columns: Vec<(&'static str, Side)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with text columns; a heading that begins with `>` makes a column of numbers.
    pub fn new(headings: &[&'static str]) -> Self {
        Self {
            columns: headings
                .iter()
                .map(|heading| match heading.strip_prefix('>') {
                    Some(heading) => (heading, Side::Right),
                    None => (*heading, Side::Left),
                })
                .collect(),
            rows: Vec::new(),
        }
    }

    /// One more row; control characters are shown, not obeyed.
    pub fn row<C: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(
            cells
                .into_iter()
                .map(|cell| shorten(&clean(cell.as_ref())))
                .collect(),
        );
    }

    fn lines(&self, bold: bool) -> Vec<String> {
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .chain([self.columns[column].0.chars().count()])
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for ((cell, (_, side)), width) in cells.zip(&self.columns).zip(&widths) {
                if !line.is_empty() {
                    line.push_str(GAP);
                }
                match side {
                    Side::Left => line.push_str(&format!("{cell:<width$}")),
                    Side::Right => line.push_str(&format!("{cell:>width$}")),
                }
            }
            line.trim_end().to_owned()
        };
        let mut heading = line(&mut self.columns.iter().map(|(heading, _)| *heading));
        if bold {
            heading = format!("\u{1b}[1m{heading}\u{1b}[0m");
        }
        let rows = self
            .rows
            .iter()
            .map(|row| line(&mut row.iter().map(String::as_str)));
        std::iter::once(heading).chain(rows).collect()
    }
}

/// What is known about one thing.
#[derive(Default)]
pub struct Facts {
    lines: Vec<(&'static str, String)>,
}

impl Facts {
    /// One more; control characters are shown, not obeyed.
    pub fn put(&mut self, name: &'static str, value: impl AsRef<str>) {
        self.lines.push((name, clean(value.as_ref()).into_owned()));
    }

    /// One more, unless there is nothing to say.
    pub fn put_some(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.put(name, value);
        }
    }
}

/// Control characters, and those that turn the direction of writing, made visible.
pub fn clean(text: &str) -> Cow<'_, str> {
    let is_odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.chars().any(is_odd) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_odd(c) {
            cleaned.extend(c.escape_default());
        } else {
            cleaned.push(c);
        }
    }
    Cow::Owned(cleaned)
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= MAX_CELL_CHARS {
        return text.to_owned();
    }
    text.chars().take(MAX_CELL_CHARS - 1).chain(['…']).collect()
}

/// `yes` or `no`.
pub fn yes_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// A moment in whole seconds, or a dash: columns stay narrow.
pub fn moment(time: Option<kernel::Time>) -> String {
    match time {
        Some(time) => kernel::Time::from_unix_seconds(time.unix_seconds()).to_rfc3339(),
        None => "-".to_owned(),
    }
}

/// A length of time: `45 s`, `12 min 3 s`, `3 h 20 min`, `2 d 4 h`.
pub fn duration(seconds: i64) -> String {
    let s = seconds.max(0);
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// Octets with a decimal unit: `0 B`, `1.5 kB`, `3.0 GB`.
pub fn octets(count: i64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = count.max(0) as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{value} B"),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", ">OCTETS", "NOTE"]);
        table.row(["a", "5", ""]);
        table.row(["longer", "12345678", "x"]);
        assert_eq!(
            table.lines(false),
            [
                "NAME      OCTETS  NOTE",
                "a              5",
                "longer  12345678  x",
            ]
        );
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        assert_eq!(clean("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(clean("Zoë 你好"), "Zoë 你好");
    }

    #[test]
    fn long_cells_are_cut() {
        let mut table = Table::new(&["N"]);
        table.row(["x".repeat(500)]);
        assert_eq!(table.lines(false)[1].chars().count(), MAX_CELL_CHARS);
    }

    #[test]
    fn amounts_are_read_at_a_glance() {
        for (count, expect) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_500, "1.5 kB"),
            (3_000_000_000, "3.0 GB"),
            (-5, "0 B"),
        ] {
            assert_eq!(octets(count), expect);
        }
        for (seconds, expect) in [
            (0, "0 s"),
            (61, "1 min 1 s"),
            (3_600, "1 h 0 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(seconds), expect);
        }
    }
}
