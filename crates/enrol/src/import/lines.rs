//! From octets to physical lines of text.
//!
//! A byte order mark decides between UTF-8 and both orders of UTF-16; without one, UTF-16 shows itself by its zero
//! octets, and everything else is UTF-8. What is no UTF-8 is refused line by line and **never** guessed at: a password
//! with a wrong letter would lock somebody out. A line ends with LF, CR LF or CR.

use std::io::Read;
use zeroize::Zeroizing;

/// Longest physical line, in octets: far more than all columns at their longest.
pub(super) const MAX_LINE_OCTETS: usize = 64 * 1024;
/// How much is read at a time, in octets.
const BUFFER_OCTETS: usize = 64 * 1024;
/// How many octets at the beginning tell the encoding.
const SNIFFED_OCTETS: usize = 1_024;

/// How the octets are to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16Little,
    Utf16Big,
}

/// One line.
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    /// Its text without its end, or why it has none.
    pub(super) text: Result<Zeroizing<String>, String>,
}

/// The lines of a reader.
pub(super) struct Lines<R> {
    reader: R,
    buffer: Zeroizing<Vec<u8>>,
    at: usize,
    end: usize,
    encoding: Encoding,
    number: u64,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_return: bool,
}

impl<R: Read> Lines<R> {
    /// Reads the beginning and finds out the encoding.
    ///
    /// # Errors
    /// The reader's, or a sentence when this is a spreadsheet's own file.
    pub(super) fn new(mut reader: R) -> std::io::Result<Self> {
        let mut buffer = Zeroizing::new(vec![0; BUFFER_OCTETS]);
        let mut end = 0;
        while end < SNIFFED_OCTETS {
            match reader.read(&mut buffer[end..])? {
                0 => break,
                count => end += count,
            }
        }
        let head = &buffer[..end];
        if head.starts_with(b"PK\x03\x04") || head.starts_with(b"\xd0\xcf\x11\xe0") {
            return Err(std::io::Error::other(
                "it is a spreadsheet's own format; save it as CSV (UTF-8)",
            ));
        }
        let (encoding, at) = sniff(head);
        Ok(Self {
            reader,
            buffer,
            at,
            end,
            encoding,
            number: 0,
            after_return: false,
        })
    }

    /// What the lines are read from.
    pub(super) fn reader(&self) -> &R {
        &self.reader
    }

    /// The next line.
    ///
    /// # Errors
    /// The reader's.
    pub(super) fn next(&mut self) -> std::io::Result<Option<Line>> {
        let mut octets = Zeroizing::new(Vec::with_capacity(128));
        let mut is_there = false;
        let mut is_whole = true;
        while let Some(unit) = self.unit()? {
            let follows_return = std::mem::take(&mut self.after_return);
            match unit {
                Unit::Of(10) if follows_return && !is_there => continue,
                Unit::Of(10) => {
                    is_there = true;
                    break;
                }
                Unit::Of(13) => {
                    is_there = true;
                    self.after_return = true;
                    break;
                }
                Unit::Of(_) if octets.len() >= MAX_LINE_OCTETS => is_whole = false,
                Unit::Of(unit) if self.encoding == Encoding::Utf8 => {
                    octets.push(unit.to_le_bytes()[0])
                }
                Unit::Of(unit) => octets.extend(unit.to_le_bytes()),
                Unit::Half => octets.push(0),
            }
            is_there = true;
        }
        if !is_there {
            return Ok(None);
        }
        self.number += 1;
        let text = if is_whole {
            self.text(octets)
        } else {
            Err(format!("the line has more than {MAX_LINE_OCTETS} octets"))
        };
        Ok(Some(Line {
            number: self.number,
            text,
        }))
    }

    fn text(&self, octets: Zeroizing<Vec<u8>>) -> Result<Zeroizing<String>, String> {
        let text = if self.encoding == Encoding::Utf8 {
            match std::str::from_utf8(&octets) {
                Ok(text) => Zeroizing::new(text.to_owned()),
                Err(e) => return Err(not_utf8(&octets, e.valid_up_to())),
            }
        } else {
            let units: Zeroizing<Vec<u16>> = Zeroizing::new(
                octets
                    .chunks_exact(2)
                    .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                    .collect(),
            );
            let text = String::from_utf16(&units)
                .ok()
                .filter(|_| octets.len().is_multiple_of(2));
            Zeroizing::new(text.ok_or("the line is not UTF-16: half a character stands alone")?)
        };
        match text.find('\0') {
            Some(at) => Err(format!(
                "octet {} of the line is zero; this is not a text file",
                at + 1
            )),
            None => Ok(text),
        }
    }

    fn unit(&mut self) -> std::io::Result<Option<Unit>> {
        let Some(first) = self.octet()? else {
            return Ok(None);
        };
        let whole = |pair| Ok(Some(Unit::Of(pair)));
        match self.encoding {
            Encoding::Utf8 => whole(u16::from(first)),
            Encoding::Utf16Little | Encoding::Utf16Big => match self.octet()? {
                None => Ok(Some(Unit::Half)),
                Some(second) if self.encoding == Encoding::Utf16Big => {
                    whole(u16::from_be_bytes([first, second]))
                }
                Some(second) => whole(u16::from_le_bytes([first, second])),
            },
        }
    }

    fn octet(&mut self) -> std::io::Result<Option<u8>> {
        if self.at == self.end {
            self.at = 0;
            self.end = self.reader.read(&mut self.buffer)?;
        }
        let octet = self.buffer[..self.end].get(self.at).copied();
        self.at += usize::from(octet.is_some());
        Ok(octet)
    }
}

enum Unit {
    Of(u16),
    /// The file ends in the middle of one.
    Half,
}

fn sniff(head: &[u8]) -> (Encoding, usize) {
    match head {
        [0xef, 0xbb, 0xbf, ..] => return (Encoding::Utf8, 3),
        [0xff, 0xfe, ..] => return (Encoding::Utf16Little, 2),
        [0xfe, 0xff, ..] => return (Encoding::Utf16Big, 2),
        _ => {}
    }
    let head = &head[..head.len().min(SNIFFED_OCTETS)];
    let zeros = |odd: usize| {
        head.iter()
            .skip(odd)
            .step_by(2)
            .filter(|octet| **octet == 0)
            .count()
    };
    let many = head.len() / 4;
    match (zeros(0), zeros(1)) {
        (0, odd) if odd > 0 && odd >= many => (Encoding::Utf16Little, 0),
        (even, 0) if even > 0 && even >= many => (Encoding::Utf16Big, 0),
        _ => (Encoding::Utf8, 0),
    }
}

fn not_utf8(octets: &[u8], at: usize) -> String {
    let octet = octets.get(at).copied().unwrap_or_default();
    // One letter of a European language among ASCII ones is what the old encodings look like.
    let guess = if octet >= 0xa0 {
        " (it looks like Latin-1 or Windows-1252)"
    } else {
        ""
    };
    format!(
        "octet {} of the line, 0x{octet:02X}, is not UTF-8{guess}; save the file as UTF-8",
        at + 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(octets: &[u8]) -> Vec<(u64, Result<String, String>)> {
        let mut lines = Lines::new(octets).unwrap();
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push((line.number, line.text.map(|text| text.to_string())));
        }
        all
    }

    fn check(octets: &[u8], expect: &[&str]) {
        let got = read(octets);
        let expect: Vec<_> = expect
            .iter()
            .zip(1..)
            .map(|(text, number)| (number, Ok((*text).to_owned())))
            .collect();
        assert_eq!(got, expect, "{octets:02x?}");
    }

    fn utf16(text: &str, little: bool) -> Vec<u8> {
        let octets = |unit: u16| {
            if little {
                unit.to_le_bytes()
            } else {
                unit.to_be_bytes()
            }
        };
        text.encode_utf16().flat_map(octets).collect()
    }

    #[test]
    fn every_line_end_counts_once() {
        check(b"", &[]);
        check(b"a", &["a"]);
        check(b"a\n", &["a"]);
        check(b"a\r\nb\r\n", &["a", "b"]);
        check(b"a\rb\r\rc", &["a", "b", "", "c"]);
        check(b"\n\r\n\nx", &["", "", "", "x"]);
        check(b"a\r\n\r\nb", &["a", "", "b"]);
    }

    #[test]
    fn utf_8_and_utf_16_are_told_apart() {
        check("\u{feff}jos\u{e9},x\nb".as_bytes(), &["jos\u{e9},x", "b"]);
        check("jos\u{e9},x\nb".as_bytes(), &["jos\u{e9},x", "b"]);
        for little in [true, false] {
            check(
                &utf16("\u{feff}jos\u{e9},\u{1f600}\r\nb", little),
                &["jos\u{e9},\u{1f600}", "b"],
            );
            check(
                &utf16("anna,pw,a@b.org\nb", little),
                &["anna,pw,a@b.org", "b"],
            );
        }
    }

    #[test]
    fn what_is_no_text_is_named_with_its_place() {
        let latin = read(b"anna\njos\xe9,pw\nb\n");
        assert_eq!(latin.len(), 3);
        assert!(
            latin[1].1.as_ref().is_err_and(
                |e| e.starts_with("octet 4 of the line, 0xE9,") && e.contains("Latin-1")
            )
        );
        assert!(latin[2].1.is_ok());
        assert!(
            read(b"anna,a\0b")[0]
                .1
                .as_ref()
                .is_err_and(|e| e.contains("octet 7"))
        );
        let mut half = utf16("\u{feff}ab", true);
        half.push(b'x');
        assert!(
            read(&half)[0]
                .1
                .as_ref()
                .is_err_and(|e| e.contains("half a character"))
        );
        let long = [vec![b'x'; MAX_LINE_OCTETS + 1], b"\nb".to_vec()].concat();
        let long = read(&long);
        assert!(
            long[0].1.as_ref().is_err_and(|e| e.contains("more than"))
                && long[1] == (2, Ok("b".into()))
        );
        assert!(
            Lines::new(&b"PK\x03\x04rest"[..])
                .is_err_and(|e| e.to_string().contains("spreadsheet"))
        );
    }
}
