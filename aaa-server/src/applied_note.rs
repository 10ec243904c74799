//! What was true when the server was last heard of: how far the journal went, and how far the database had it. A small
//! file in the data folder, by which a start can tell a database that was put back, or a journal that lost its end, from a
//! server that was merely killed.
//!
//! It is a hint: it may be older than both, and nothing is decided by it but what is said. What is applied where is
//! **never** read from here; the database's checkpoint says that.

use journal::Position;
use std::path::{Path, PathBuf};

/// The file's name in the data folder.
const FILE: &str = "applied";
/// More is not ours.
const MAX_OCTETS: u64 = 256;

/// The file.
#[derive(Debug)]
pub struct Note(PathBuf);

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// Which journal.
    pub journal: String,
    /// The last report that was durable in it.
    pub durable: Position,
    /// The last one that the database had.
    pub applied: Position,
}

impl Note {
    /// The note of a data folder.
    pub fn in_folder(data: &Path) -> Self {
        Self(data.join(FILE))
    }

    /// What it says about this journal; none where it says nothing or something else.
    pub fn read(&self, journal: &str) -> Option<Noted> {
        let length = std::fs::metadata(&self.0).ok()?.len();
        if length > MAX_OCTETS {
            return None;
        }
        let text = std::fs::read_to_string(&self.0).ok()?;
        let mut words = text.split_whitespace();
        let noted = Noted {
            journal: words.next()?.to_owned(),
            durable: Position(words.next()?.parse().ok()?),
            applied: Position(words.next()?.parse().ok()?),
        };
        (noted.journal == journal).then_some(noted)
    }

    /// Writes it. What fails is only a hint less.
    pub fn write(&self, noted: &Noted) {
        let text = format!("{} {} {}\n", noted.journal, noted.durable, noted.applied);
        let fresh = self.0.with_extension("new");
        let written = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, &self.0));
        if let Err(e) = written {
            tracing::debug!("{}: {e}", self.0.display());
        }
    }
}

/// What to warn of.
pub fn compare(before: Option<&Noted>, durable: Position, applied: Position) -> Vec<String> {
    let Some(before) = before else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    if applied < before.applied {
        lines.push(format!(
            "the database was put back: it has accounting reports up to {applied} and had them up to {}; \
             those behind it that the journal still has are applied again",
            before.applied
        ));
    }
    let known = durable.max(applied);
    if known < before.durable {
        lines.push(format!(
            "the accounting journal was put back or lost its end: it ended at report {} and reports {} to {} are neither \
             in it nor in the database",
            before.durable,
            known.next(),
            before.durable
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_tells_what_was_put_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let note = Note::in_folder(folder.path());
        assert_eq!(note.read("j"), None);
        let noted = Noted {
            journal: "j".into(),
            durable: Position(9),
            applied: Position(7),
        };
        note.write(&noted);
        assert_eq!(note.read("j"), Some(noted));
        assert_eq!(note.read("another"), None);
        let check = |durable, applied, words: &[&str]| {
            let before = note.read("j");
            let lines = compare(before.as_ref(), Position(durable), Position(applied));
            assert_eq!(lines.len(), words.len(), "{lines:?}");
            for (line, word) in lines.iter().zip(words) {
                assert!(line.contains(word), "{line}");
            }
        };
        check(9, 7, &[]);
        check(12, 12, &[]);
        check(9, 3, &["up to 3 and had them up to 7"]);
        check(8, 8, &["reports 9 to 9"]);
        // The database has what the journal lost.
        check(8, 9, &[]);
        check(0, 0, &["put back", "reports 1 to 9"]);
    }
}
