//! The accounting reports a server has acknowledged, one a line: what it may never lose.
//!
//! Lines leave for the file after each batch of answers, before anything else is asked: whatever the server is killed
//! by, a report it has acknowledged is in the file.

use super::lifecycle::Report;
use crate::failure::Failure;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The first line of a new file.
const HEADING: &str =
    "session,status,user,input_octets,output_octets,session_seconds,event_seconds\n";

/// A file that all threads append to.
pub(super) struct Acknowledged {
    file: Mutex<File>,
    path: PathBuf,
}

impl Acknowledged {
    /// Opens the file, which may hold lines of earlier runs.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |e| Failure::failed(format!("--record-acknowledged {}: {e}", path.display()));
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(failed)?;
        if file.metadata().map_err(failed)?.len() == 0 {
            file.write_all(HEADING.as_bytes()).map_err(failed)?;
        }
        Ok(Self {
            file: Mutex::new(file),
            path: path.to_owned(),
        })
    }

    /// Writes out `lines` whole and empties it.
    pub(super) fn append(&self, lines: &mut Vec<u8>) -> Result<(), Failure> {
        if lines.is_empty() {
            return Ok(());
        }
        let done = self
            .file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(lines);
        lines.clear();
        done.map_err(|e| {
            Failure::failed(format!(
                "--record-acknowledged {}: {e}",
                self.path.display()
            ))
        })
    }
}

/// Adds a report's line to `lines`.
pub(super) fn put_line(lines: &mut Vec<u8>, report: &Report, user: &[u8]) {
    lines.extend_from_slice(&report.session);
    lines.push(b',');
    lines.extend_from_slice(report.status.name().as_bytes());
    lines.push(b',');
    // Names with a comma or a quotation mark are quoted as CSV wants it.
    match user.iter().any(|octet| b",\"\r\n".contains(octet)) {
        false => lines.extend_from_slice(user),
        true => {
            lines.push(b'"');
            for octet in user {
                lines.extend(std::iter::repeat_n(*octet, 1 + usize::from(*octet == b'"')));
            }
            lines.push(b'"');
        }
    }
    // Writing to memory does not fail.
    let _ = writeln!(
        lines,
        ",{},{},{},{}",
        report.input_octets, report.output_octets, report.session_seconds, report.event_seconds
    );
}

#[cfg(test)]
mod tests {
    use super::super::lifecycle::Status;
    use super::*;

    #[test]
    fn a_line_holds_all_that_must_be_in_the_database() {
        let report = Report {
            place: 1,
            session: *b"00000000-00000001",
            person: 0,
            port: 1,
            status: Status::Interim,
            input_octets: 10,
            output_octets: 20,
            session_seconds: 30,
            event_seconds: 40,
        };
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("acknowledged.csv");
        for user in [&b"alice"[..], b"a,\"b\""] {
            let file = Acknowledged::open(&path).unwrap_or_else(|_| panic!("open"));
            let mut lines = Vec::new();
            put_line(&mut lines, &report, user);
            file.append(&mut lines).unwrap_or_else(|_| panic!("append"));
            assert!(lines.is_empty());
        }
        assert_eq!(
            std::fs::read_to_string(&path).unwrap_or_default(),
            format!(
                "{HEADING}00000000-00000001,interim,alice,10,20,30,40\n\
                 00000000-00000001,interim,\"a,\"\"b\"\"\",10,20,30,40\n"
            )
        );
    }
}
