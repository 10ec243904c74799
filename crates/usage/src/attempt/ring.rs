//! Attempts on this node's own disk: a ring of two files, one attempt a line as JSON, of a size that is set.
//!
//! It holds more accepts than SQL does, is there while the database is away, and is read by whoever asks why somebody was
//! refused. What it holds is a diagnosis: a disk that fails costs lines and nothing else, and nothing waits for it. It
//! must **never** hold what [`Attempt`] may not: a password, a hash, a secret.

use super::{Attempt, MAX_EXPLAINED, words};
use kernel::{Scope, Time};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The ring's folder in the data folder.
pub const RING_FOLDER: &str = "attempts";
/// Its two files: the one that is full goes when the other is.
const HALVES: [&str; 2] = ["attempts-0.jsonl", "attempts-1.jsonl"];
/// A line that is longer is not read: no attempt is.
const MAX_LINE_OCTETS: u64 = 1 << 20;

/// Writes a ring.
pub struct RingWriter {
    folder: PathBuf,
    half_octets: u64,
    at: usize,
    file: File,
    octets: u64,
}

impl RingWriter {
    /// Opens the ring of a data folder, which takes so many octets at most, and goes on behind what it holds.
    ///
    /// # Errors
    /// The system's.
    pub fn open(data: &Path, max_octets: u64) -> io::Result<Self> {
        let folder = data.join(RING_FOLDER);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let modified = |half: &str| folder.join(half).metadata().and_then(|m| m.modified()).ok();
        let at = usize::from(modified(HALVES[1]) > modified(HALVES[0]));
        let file = open(&folder.join(HALVES[at]))?;
        Ok(Self {
            octets: file.metadata()?.len(),
            folder,
            half_octets: max_octets / 2,
            at,
            file,
        })
    }

    /// Adds attempts.
    ///
    /// # Errors
    /// The system's; some of them may be there.
    pub fn put(&mut self, attempts: &[Attempt]) -> io::Result<()> {
        let mut lines = Vec::with_capacity(attempts.len() * 512);
        for attempt in attempts {
            serde_json::to_writer(&mut lines, attempt)?;
            lines.push(b'\n');
        }
        if self.octets > 0 && self.octets + lines.len() as u64 > self.half_octets {
            self.turn()?;
        }
        self.file.write_all(&lines)?;
        self.octets += lines.len() as u64;
        Ok(())
    }

    /// Forgets what is older than a moment, as far as whole files are.
    ///
    /// # Errors
    /// The system's.
    pub fn forget(&mut self, before: Time) -> io::Result<()> {
        let other = self.folder.join(HALVES[1 - self.at]);
        let last = |file: &io::Result<std::fs::Metadata>| {
            let modified = file.as_ref().ok()?.modified().ok()?;
            let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
            i64::try_from(since.as_micros()).ok()
        };
        if last(&other.metadata()).is_some_and(|micros| micros < before.unix_micros()) {
            std::fs::remove_file(&other)?;
        }
        let first = each(&self.folder.join(HALVES[self.at]), |_| true, 1)?;
        if first.first().is_some_and(|first| first.at < before) {
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> io::Result<()> {
        let next = 1 - self.at;
        let file = open(&self.folder.join(HALVES[next]))?;
        file.set_len(0)?;
        (self.at, self.file, self.octets) = (next, file, 0);
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

/// The newest attempts of a subject that this node's ring holds: a user name, a device's MAC in any spelling, or a session
/// id. Nothing where there is no ring.
///
/// # Errors
/// The system's.
pub fn explain(data: &Path, scope: Scope, subject: &str, limit: u32) -> io::Result<Vec<Attempt>> {
    let subject = subject.trim();
    let mac = words::mac(subject.as_bytes()).map(|mac| mac.to_string());
    let is_wanted = |attempt: &Attempt| {
        let is = |text: &Option<String>| text.as_deref() == Some(subject);
        let is_subject = is(&attempt.username)
            || is(&attempt.acct_session_id)
            || (mac.is_some() && attempt.mac == mac);
        is_subject
            && match attempt.organisation {
                Some(organisation) => scope.covers(organisation),
                None => scope == Scope::Everything,
            }
    };
    if subject.is_empty() {
        return Ok(Vec::new());
    }
    // A line that does not hold the text at all is not worth reading as JSON.
    let quoted = serde_json::to_string(subject).unwrap_or_default();
    let texts = [Some(quoted), mac.as_ref().map(|mac| format!("\"{mac}\""))];
    newest(data, limit.min(MAX_EXPLAINED) as usize, |line| {
        texts.iter().flatten().any(|text| contains(line, text))
            && read(line).is_some_and(|a| is_wanted(&a))
    })
}

/// The newest attempts between two moments that this node's ring holds, at most so many, the newest first.
///
/// # Errors
/// The system's.
pub fn between(
    data: &Path,
    scope: Scope,
    since: Time,
    until: Time,
    limit: usize,
) -> io::Result<Vec<Attempt>> {
    newest(data, limit, |line| {
        read(line).is_some_and(|attempt| {
            attempt.at >= since
                && attempt.at < until
                && match attempt.organisation {
                    Some(organisation) => scope.covers(organisation),
                    None => scope == Scope::Everything,
                }
        })
    })
}

/// The newest attempts that the ring holds, the newest first.
fn newest(
    data: &Path,
    limit: usize,
    is_wanted: impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<Attempt>> {
    let folder = data.join(RING_FOLDER);
    let mut found = Vec::new();
    for half in HALVES {
        match each(&folder.join(half), &is_wanted, usize::MAX) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            half => found.extend(half?),
        }
        found.sort_by_key(|attempt: &Attempt| std::cmp::Reverse((attempt.at, attempt.id)));
        found.truncate(limit);
    }
    Ok(found)
}

/// Attempts of a file whose lines are wanted, at most `limit`. A line that is torn is passed over.
fn each(path: &Path, is_wanted: impl Fn(&[u8]) -> bool, limit: usize) -> io::Result<Vec<Attempt>> {
    let mut reader = BufReader::with_capacity(1 << 18, File::open(path)?);
    let mut found = Vec::new();
    let mut line = Vec::new();
    while found.len() < limit {
        line.clear();
        if (&mut reader)
            .take(MAX_LINE_OCTETS)
            .read_until(b'\n', &mut line)?
            == 0
        {
            break;
        }
        if is_wanted(&line) {
            found.extend(read(&line));
        }
        // No more than twice what anybody asks for is kept while reading.
        if found.len() >= 2 * MAX_EXPLAINED as usize && limit == usize::MAX {
            found.drain(..MAX_EXPLAINED as usize);
        }
    }
    Ok(found)
}

fn read(line: &[u8]) -> Option<Attempt> {
    serde_json::from_slice(line).ok()
}

fn contains(line: &[u8], text: &str) -> bool {
    std::str::from_utf8(line).is_ok_and(|line| line.contains(text))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use kernel::OrganisationId;
    use kernel::id::Uuid;

    fn attempt(id: u128, seconds: i64, username: &str) -> Attempt {
        Attempt {
            id: Uuid::from_u128(id),
            at: Time::from_unix_seconds(1_800_000_000 + seconds),
            node: "n1".into(),
            organisation: Some(OrganisationId(Uuid::from_u128(1))),
            nas: None,
            nas_address: "192.0.2.1".into(),
            membership: None,
            username: Some(username.into()),
            mac: Some("02-00-00-00-00-01".into()),
            called_station_id: None,
            calling_station_id: None,
            acct_session_id: Some(format!("s{id}")),
            method: Some("pap".into()),
            verdict: Verdict::Accept,
            word: None,
            trace: serde_json::json!([{ "check": "password", "verdict": "pass" }]),
        }
    }

    fn ids(data: &Path, subject: &str) -> Vec<u128> {
        let found = explain(data, Scope::Everything, subject, 5).expect("read");
        found.iter().map(|attempt| attempt.id.as_u128()).collect()
    }

    #[test]
    fn the_newest_are_found_by_name_device_and_session_also_after_a_restart() {
        let data = tempfile::tempdir().expect("a folder");
        let data = data.path();
        assert_eq!(ids(data, "bob"), []);
        let mut ring = RingWriter::open(data, 1 << 20).expect("a ring");
        ring.put(&[attempt(1, 1, "bob"), attempt(2, 2, "al\"ice")])
            .expect("put");
        drop(ring);
        let mut ring = RingWriter::open(data, 1 << 20).expect("a ring");
        ring.put(&[attempt(3, 3, "bob")]).expect("put");
        for (subject, expect) in [
            ("bob", vec![3, 1]),
            (" bob ", vec![3, 1]),
            ("Bob", vec![]),
            ("al\"ice", vec![2]),
            ("s2", vec![2]),
            ("02:00:00:00:00:01", vec![3, 2, 1]),
            ("pap", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(ids(data, subject), expect, "{subject}");
        }
        let foreign = Scope::Organisation(OrganisationId(Uuid::nil()));
        assert_eq!(explain(data, foreign, "bob", 5).expect("read"), []);
        let whole = explain(data, Scope::Everything, "s2", 1).expect("read");
        assert_eq!(whole, [attempt(2, 2, "al\"ice")]);
    }

    #[test]
    fn it_stays_as_small_as_it_is_set_and_a_torn_line_is_passed_over() {
        let data = tempfile::tempdir().expect("a folder");
        let data = data.path();
        let mut ring = RingWriter::open(data, 20_000).expect("a ring");
        for id in 0..500 {
            ring.put(&[attempt(id, id as i64, "bob")]).expect("put");
            let octets = |half: &str| {
                data.join(RING_FOLDER)
                    .join(half)
                    .metadata()
                    .map_or(0, |m| m.len())
            };
            assert!(HALVES.iter().map(|half| octets(half)).sum::<u64>() <= 20_000);
        }
        assert_eq!(ids(data, "bob"), [499, 498, 497, 496, 495]);
        let last = data.join(RING_FOLDER).join(HALVES[ring.at]);
        let whole = std::fs::read(&last).expect("there");
        std::fs::write(&last, &whole[..whole.len() - 9]).expect("torn");
        assert_eq!(ids(data, "bob"), [498, 497, 496, 495, 494]);
    }

    #[test]
    fn what_is_old_goes() {
        let data = tempfile::tempdir().expect("a folder");
        let data = data.path();
        let mut ring = RingWriter::open(data, 1 << 20).expect("a ring");
        ring.put(&[attempt(1, 1, "bob")]).expect("put");
        ring.forget(attempt(0, 1, "").at).expect("forget");
        assert_eq!(ids(data, "bob"), [1]);
        ring.forget(attempt(0, 2, "").at).expect("forget");
        ring.put(&[attempt(2, 3, "bob")]).expect("put");
        // A file is full at the first look, and gone at the next.
        for _ in 0..2 {
            ring.forget(Time::from_unix_seconds(4_000_000_000))
                .expect("forget");
        }
        assert_eq!(ids(data, "bob"), []);
    }
}
