//! Lines of a text that may be of any size and of anybody's making.

use std::io::{BufRead, Read};

/// Longest line: the largest decoded packet as JSON with every attribute spelled out fits many times over.
pub const MAX_LINE_OCTETS: usize = 1024 * 1024;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Its text, without the line end; octets that are not UTF-8 became replacement characters.
    Text(String),
    /// It was longer than [`MAX_LINE_OCTETS`] and has been skipped.
    TooLong,
}

/// Reads lines with a bounded memory.
pub struct Lines<R> {
    reader: R,
}

impl<R: BufRead> Lines<R> {
    /// Lines of `reader`.
    pub fn new(reader: R) -> Self {
        Self { reader }
    }

    /// The next line, or `None` at the end.
    ///
    /// # Errors
    /// What the system says.
    pub fn next(&mut self) -> std::io::Result<Option<Line>> {
        let mut octets = Vec::new();
        let limit = MAX_LINE_OCTETS as u64 + 1;
        if self
            .reader
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut octets)?
            == 0
        {
            return Ok(None);
        }
        if octets.last() == Some(&b'\n') {
            octets.pop();
            if octets.last() == Some(&b'\r') {
                octets.pop();
            }
        } else if octets.len() as u64 == limit {
            self.skip_line()?;
            return Ok(Some(Line::TooLong));
        }
        Ok(Some(Line::Text(match String::from_utf8(octets) {
            Ok(text) => text,
            Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
        })))
    }

    fn skip_line(&mut self) -> std::io::Result<()> {
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(());
            }
            let (used, ended) = match buffer.iter().position(|octet| *octet == b'\n') {
                Some(at) => (at + 1, true),
                None => (buffer.len(), false),
            };
            self.reader.consume(used);
            if ended {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], expect: &[Line]) {
        let mut lines = Lines::new(text);
        let mut found = Vec::new();
        while let Ok(Some(line)) = lines.next() {
            found.push(line);
        }
        assert_eq!(found, expect);
    }

    fn text(line: &str) -> Line {
        Line::Text(line.to_owned())
    }

    #[test]
    fn every_line_keeps_its_place() {
        check(b"", &[]);
        check(b"a\n\nb", &[text("a"), text(""), text("b")]);
        check(b"a\r\nb\r\n", &[text("a"), text("b")]);
        check(b"\xff\n", &[text("\u{fffd}")]);
    }

    #[test]
    fn a_line_without_end_is_skipped_and_the_next_is_read() {
        let mut long = vec![b'a'; 3 * MAX_LINE_OCTETS];
        long.extend_from_slice(b"\nb\n");
        check(&long, &[Line::TooLong, text("b")]);
        check(&vec![b'a'; 3 * MAX_LINE_OCTETS], &[Line::TooLong]);
    }
}
