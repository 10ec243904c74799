//! The first pass over a file: everything that can be said about it without the database.
//!
//! Its rows are not kept; what is kept of each name is a digest and a line: 20 octets in a table that is at least
//! seven sixteenths full.

use super::MAX_ROWS;
use super::problem::{Problem, Problems};
use super::reading::Reading;
use super::row::Row;
use super::rows::{Opened, Rows};
use super::source::Source;
use identity::Kind;
use kernel::Error;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// What the first pass found.
#[derive(Clone)]
pub(super) struct Scan {
    /// SHA-256 of the file; empty when its columns are not known.
    pub(super) digest: String,
    pub(super) rows: u64,
    pub(super) has_header: bool,
    pub(super) claims: Claims,
    pub(super) problems: Problems,
    pub(super) bad_rows: u64,
    /// Whether nothing of the file can be imported, not even with its bad rows left out.
    pub(super) is_unreadable: bool,
}

/// Which line of a file with a header row gives a name first. Without one there are no claims: what repeats there is
/// the same person again, or gets a number.
#[derive(Clone, Default)]
pub(super) struct Claims(HashMap<[u8; 16], u32>);

impl Claims {
    fn key(kind: Kind, folded: &str) -> [u8; 16] {
        let digest = Sha256::new()
            .chain_update(kind.word())
            .chain_update([0])
            .chain_update(folded)
            .finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        key
    }

    /// The line that gives a name first.
    pub(super) fn line(&self, kind: Kind, folded: &str) -> Option<u64> {
        self.0.get(&Self::key(kind, folded)).copied().map(u64::from)
    }

    /// What a row gives that an earlier one gave.
    pub(super) fn check(&self, row: &Row) -> Vec<Problem> {
        let repeated = |(kind, column, value, folded): (Kind, &str, &str, &str)| {
            let first = self.line(kind, folded).filter(|line| *line < row.line)?;
            let reason = format!("{} '{value}' stands on line {first} already", kind.title());
            Some(Problem::new(row.line, Some(column), reason))
        };
        names(row).filter_map(repeated).collect()
    }

    fn claim(&mut self, row: &Row) {
        // A file has fewer octets than there are numbers of lines.
        let line = u32::try_from(row.line).unwrap_or(u32::MAX);
        for (kind, _, _, folded) in names(row) {
            self.0.entry(Self::key(kind, folded)).or_insert(line);
        }
    }
}

/// The names that a row gives: kind, column, as given, as compared.
pub(super) fn names(row: &Row) -> impl Iterator<Item = (Kind, &'static str, &str, &str)> {
    let username = row
        .username
        .as_deref()
        .map(|name| (Kind::Username, "username", name, name));
    let others = [
        (Kind::Email, "email", &row.email),
        (Kind::Phone, "phone_number", &row.phone),
        (Kind::Mac, "mac", &row.mac),
    ];
    let others = others.into_iter().filter_map(|(kind, column, name)| {
        name.as_ref()
            .map(|name| (kind, column, name.value.as_str(), name.folded.as_str()))
    });
    username.into_iter().chain(others)
}

/// Reads a whole file.
///
/// # Errors
/// [`Error::Invalid`] when it cannot be read to its end.
pub(super) fn scan(source: &Source, reading: &Reading<'_>) -> Result<Scan, Error> {
    let mut scan = Scan {
        digest: String::new(),
        rows: 0,
        has_header: false,
        claims: Claims::default(),
        problems: Problems::default(),
        bad_rows: 0,
        is_unreadable: true,
    };
    let mut rows = match Rows::open(source, reading.dictionary)? {
        Opened::Rows(rows) => rows,
        Opened::Unreadable(problems) => {
            scan.problems.extend(problems);
            return Ok(scan);
        }
    };
    scan.has_header = rows.has_header();
    while let Some(item) = rows.next(reading)? {
        if scan.rows == MAX_ROWS {
            let reason = format!("there are more than {MAX_ROWS} rows; split the file");
            scan.problems.push(Problem::new(item.line, None, reason));
            return Ok(scan);
        }
        scan.rows += 1;
        let problems = match &item.row {
            Err(problems) => problems.clone(),
            Ok(row) => scan.claims.check(row),
        };
        if problems.is_empty() {
            if let Ok(row) = &item.row
                && scan.has_header
            {
                scan.claims.claim(row);
            }
            continue;
        }
        scan.bad_rows += 1;
        scan.problems.extend(problems);
    }
    if scan.rows == 0 {
        scan.problems.push(Problem::new(
            1,
            None,
            "the file has a header row and nothing below it",
        ));
        return Ok(scan);
    }
    scan.is_unreadable = false;
    scan.digest = rows.digest();
    Ok(scan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::reading::tests::reading;

    fn check(text: &str, rows: u64, bad_rows: u64, parts: &[&str]) {
        let scan = scan(&Source::bytes(text.as_bytes(), "x.csv"), &reading()).unwrap();
        assert_eq!(
            (scan.rows, scan.bad_rows),
            (rows, bad_rows),
            "{text}: {:?}",
            scan.problems
        );
        assert_eq!(
            scan.problems.listed.len(),
            parts.len(),
            "{text}: {:?}",
            scan.problems
        );
        for (problem, part) in scan.problems.listed.iter().zip(parts) {
            assert!(problem.to_string().contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn a_name_stands_in_a_file_once_if_it_has_a_header_row() {
        check("username,email\na,a@x.org\nb,b@x.org\n", 2, 0, &[]);
        check(
            "username,email,phone,mac\na,a@x.org,+39061234567,\n\na,A@X.org,+39 06 1234567,\nb,,,aabbccddeeff\nc,,,AA-BB-CC-DD-EE-FF\n",
            4,
            2,
            &[
                "line 4, column username: username 'a' stands on line 2",
                "line 4, column email",
                "line 4, column phone_number",
                "line 6, column mac: MAC address 'AA-BB-CC-DD-EE-FF' stands on line 5",
            ],
        );
        check("a,,a@x.org,,\na,,a@x.org,,\na,,b@x.org,,\n", 3, 0, &[]);
        check("username\nA\na\n", 2, 0, &[]);
    }

    #[test]
    fn a_bad_row_claims_nothing() {
        check(
            "username,expires\na,soon\na,\n",
            2,
            1,
            &["line 2, column expires"],
        );
    }

    #[test]
    fn a_file_without_rows_is_a_problem() {
        check("", 0, 0, &["line 1: the file is empty"]);
        check("\n \n,,\n", 0, 0, &["line 1: the file is empty"]);
        check("username,email\n", 0, 0, &["nothing below it"]);
    }

    #[test]
    fn all_bad_lines_are_found_in_one_go() {
        let text = b"username,email\nj\xe9,\n\"open,\nc,\nd,x\ne,\"a\"b\n";
        let scan = scan(&Source::bytes(&text[..], "x.csv"), &reading()).unwrap();
        let lines: Vec<u64> = scan
            .problems
            .listed
            .iter()
            .map(|problem| problem.line)
            .collect();
        assert_eq!(
            (lines, scan.rows, scan.bad_rows),
            (vec![2, 3, 5, 6], 5, 4),
            "{:?}",
            scan.problems
        );
    }

    #[test]
    fn the_digest_is_of_the_whole_file() {
        let source = Source::bytes(&b"\xef\xbb\xbfusername\na\n\n\n"[..], "x.csv");
        assert_eq!(
            scan(&source, &reading()).unwrap().digest,
            source.digest().unwrap()
        );
    }

    proptest::proptest! {
        /// No octets make the scan panic, and every problem has a line of the file.
        #[test]
        fn any_octets_are_scanned(
            head in proptest::sample::select(vec!["", "username,email\n", "\u{feff}email;mac;Class\n"]),
            octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
            wide in proptest::prelude::any::<bool>(),
        ) {
            let mut file = if wide { vec![0xff, 0xfe] } else { Vec::new() };
            file.extend_from_slice(head.as_bytes());
            file.extend(octets);
            let lines = 1 + file.iter().filter(|octet| matches!(octet, b'\n' | b'\r')).count() as u64;
            // A spreadsheet's own beginning is the one thing that is refused as a whole.
            if let Ok(scan) = scan(&Source::bytes(file, "x.csv"), &reading()) {
                proptest::prop_assert!(scan.bad_rows <= scan.rows && scan.rows <= lines);
                proptest::prop_assert!(scan.problems.listed.iter().all(|problem| (1..=lines).contains(&problem.line)));
            }
        }
    }
}
