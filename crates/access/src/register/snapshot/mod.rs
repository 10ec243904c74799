//! The Register on disk: `D/register.snapshot`, so that a server starts and serves while its database is away.
//!
//! It begins with everything as it was loaded; whatever news changes is added at the end before long, with the place in the
//! news. Everything in it is rows, made into facts by the code that makes them of the database's, and every piece is sealed
//! with the server's keys. When more was added than it began with, it is written anew from itself. What a snapshot says
//! must **never** be served when it is older than `serve_stale_for`, nor gone on from when the database is not the one it
//! was made of: an [`Anchor`] tells.
//!
//! A disk that fails costs the snapshot and nothing else.

mod compact;
mod file;
mod record;
mod restore;

pub use record::{Anchor, Mark};

use super::Policy;
use crate::limiter::NewLock;
use file::{Content, FrameWriter};
use identity::PersonId;
use kernel::{Keyring, Rng};
pub(in crate::register) use record::SavedPerson;
use record::{Change, Record, SavedKey, SavedLock, SavedPolicy};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The snapshot's name in the data folder.
pub const SNAPSHOT_FILE: &str = "register.snapshot";
/// A snapshot that is being written.
const NEW_SUFFIX: &str = "new";
/// How often it is said that the database was heard of: as much earlier a server may fall silent after a start.
const HEARD_EVERY: Duration = Duration::from_secs(10);
/// How often what was added is put on disk; a process that is killed loses nothing in any case.
const SYNC_EVERY: Duration = Duration::from_secs(5);
/// What may be added to a small snapshot before it is written anew.
const LEAST_GROWTH_OCTETS: u64 = 8 * 1024 * 1024;
/// Changes that wait for a disk that fails. With more the snapshot is given up.
const MAX_PENDING: usize = 100_000;

/// Where a snapshot lies, and which database it is of.
#[derive(Debug, Clone)]
pub struct SnapshotPlace {
    /// The file.
    pub path: PathBuf,
    /// The database, as it is shown to people.
    pub database: String,
}

/// Who keeps a register's snapshot.
pub struct Keeper {
    place: SnapshotPlace,
    keys: Arc<Keyring>,
    rng: Arc<dyn Rng>,
    state: Mutex<State>,
}

enum State {
    /// There is none, or none that is gone on with.
    Idle,
    /// Everybody is being loaded.
    Writing(FrameWriter),
    /// News is added.
    Following(Box<Following>),
}

struct Following {
    writer: FrameWriter,
    pending: Change,
    /// What it began with.
    base_octets: u64,
    said: Instant,
    synced: Instant,
    is_dirty: bool,
    is_failing: bool,
    compaction: Option<compact::Compaction>,
}

impl Following {
    fn new(writer: FrameWriter, base_octets: u64) -> Self {
        let now = Instant::now();
        Self {
            writer,
            pending: Change::default(),
            base_octets,
            said: now,
            synced: now,
            is_dirty: true,
            is_failing: false,
            compaction: None,
        }
    }
}

impl Keeper {
    /// Of a place, with the keys that close what lies there.
    pub fn new(place: SnapshotPlace, keys: Arc<Keyring>, rng: Arc<dyn Rng>) -> Self {
        Self {
            place,
            keys,
            rng,
            state: Mutex::new(State::Idle),
        }
    }

    /// Begins a new snapshot; the old one stays until this one is complete.
    pub(super) fn begin(&self) {
        let begun = FrameWriter::create(&self.new_path(), &self.keys, &*self.rng);
        let state = match begun {
            Ok(writer) => State::Writing(writer),
            Err(e) => {
                self.give_up(&e);
                State::Idle
            }
        };
        *self.state() = state;
        let database = self.place.database.clone();
        self.write(Content::Other, &Record::Origin { database });
    }

    /// What changes seldom.
    pub(super) fn policy(&self, policy: &Policy) {
        let saved = SavedPolicy::of(policy);
        if let State::Following(following) = &mut *self.state() {
            following.pending.policy = Some(saved);
            return;
        }
        self.write(Content::Other, &Record::Policy(saved));
    }

    /// Every lock that holds.
    pub(super) fn locks(&self, locks: impl Iterator<Item = NewLock>) {
        let locks = locks.map(|lock| SavedLock::of(&lock)).collect();
        self.write(Content::Other, &Record::Locks(locks));
    }

    /// News is about to be read. What was told of news whose reading failed is told again; only what the disk did not take
    /// stays.
    pub(super) fn begin_news(&self) {
        if let State::Following(following) = &mut *self.state()
            && !following.is_failing
        {
            following.pending = Change::default();
        }
    }

    /// A lock that began.
    pub(super) fn locked(&self, lock: &NewLock) {
        if let State::Following(following) = &mut *self.state() {
            let saved = SavedLock::of(lock);
            following
                .pending
                .locks
                .push((saved.key.clone(), Some(saved)));
        }
    }

    /// A lock that was lifted.
    pub(super) fn lifted(&self, key: crate::limiter::Key) {
        if let State::Following(following) = &mut *self.state() {
            following.pending.locks.push((SavedKey::of(key), None));
        }
    }

    /// People as they are now.
    pub(super) fn people(&self, people: Vec<SavedPerson>) {
        if let State::Following(following) = &mut *self.state() {
            following.pending.people.extend(people);
            return;
        }
        self.write(Content::People, &people);
    }

    /// Somebody who is not there any more.
    pub(super) fn gone(&self, person: PersonId) {
        if let State::Following(following) = &mut *self.state() {
            following.pending.gone.push(person);
        }
    }

    /// Everybody was written: from now on this is the snapshot.
    pub(super) fn complete(&self, mark: Mark) {
        self.write(Content::Other, &Record::Complete(mark));
        let mut state = self.state();
        if let State::Writing(writer) = std::mem::replace(&mut *state, State::Idle) {
            let finished = writer
                .file()
                .sync_all()
                .and_then(|()| std::fs::rename(self.new_path(), &self.place.path));
            match finished {
                Ok(()) => {
                    let octets = writer.octets();
                    *state = State::Following(Box::new(Following::new(writer, octets)));
                }
                Err(e) => self.give_up(&e),
            }
        }
    }

    /// Adds what became true, up to a place in the news; now and then only that there was none.
    pub(super) fn commit(&self, mark: Mark) {
        let mut state = self.state();
        let State::Following(following) = &mut *state else {
            return;
        };
        let now = Instant::now();
        let is_news = !following.pending.is_empty();
        if !is_news && now.duration_since(following.said) < HEARD_EVERY {
            return;
        }
        let record = if is_news {
            let mut change = std::mem::take(&mut following.pending);
            change.mark = mark;
            Record::Change(Box::new(change))
        } else {
            Record::Heard(mark)
        };
        match self.append(&mut following.writer, Content::Other, &record) {
            Ok(()) => {
                following.said = now;
                following.is_dirty = true;
                following.is_failing = false;
            }
            Err(e) => {
                if !std::mem::replace(&mut following.is_failing, true) {
                    tracing::warn!("the register's snapshot on disk falls behind: {e}");
                }
                if let Record::Change(change) = record {
                    following.pending = *change;
                }
                if following.pending.len() > MAX_PENDING {
                    *state = State::Idle;
                    // Who was shut out since would get in with it.
                    let _ = std::fs::remove_file(&self.place.path);
                    return self.give_up(&e);
                }
            }
        }
        if following.is_dirty && now.duration_since(following.synced) >= SYNC_EVERY {
            following.synced = now;
            following.is_dirty = false;
            sync_beside(following.writer.file());
        }
        self.compact(following);
    }

    /// Begins to write a snapshot anew that has grown, and takes the new one once it is written.
    fn compact(&self, following: &mut Following) {
        match following.compaction.take() {
            Some(compaction) => {
                match compaction.adopt(&self.keys, &*self.rng, &self.place, &following.writer) {
                    compact::Progress::Runs(compaction) => {
                        following.compaction = Some(compaction);
                    }
                    compact::Progress::Done(writer) => {
                        let octets = writer.octets();
                        tracing::debug!(octets, "the register's snapshot was written anew");
                        following.base_octets = octets;
                        following.writer = writer;
                    }
                    compact::Progress::Failed(e) => {
                        tracing::warn!("the register's snapshot is not written anew: {e}");
                        // Tried again when it has grown by as much again.
                        following.base_octets = following.writer.octets();
                    }
                }
            }
            None => {
                let growth = following
                    .writer
                    .octets()
                    .saturating_sub(following.base_octets);
                if growth > following.base_octets.max(LEAST_GROWTH_OCTETS) {
                    following.compaction = Some(compact::Compaction::begin(
                        &self.place,
                        self.new_path(),
                        following.writer.octets(),
                        self.keys.clone(),
                        self.rng.clone(),
                    ));
                }
            }
        }
    }

    /// Adds to a snapshot that is being written, unless it was given up.
    fn write<R: serde::Serialize>(&self, content: Content, record: &R) {
        let mut state = self.state();
        if let State::Writing(writer) = &mut *state
            && let Err(e) = self.append(writer, content, record)
        {
            *state = State::Idle;
            self.give_up(&e);
        }
    }

    fn append<R: serde::Serialize>(
        &self,
        writer: &mut FrameWriter,
        content: Content,
        record: &R,
    ) -> std::io::Result<()> {
        append(writer, &self.keys, &*self.rng, content, record)
    }

    fn give_up(&self, e: &std::io::Error) {
        tracing::warn!(
            "there is no snapshot of the register at {}: {e}; this server cannot start while its database is away",
            self.place.path.display()
        );
        let _ = std::fs::remove_file(self.new_path());
    }

    fn new_path(&self) -> PathBuf {
        self.place.path.with_extension(NEW_SUFFIX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn append<R: serde::Serialize>(
    writer: &mut FrameWriter,
    keys: &Keyring,
    rng: &dyn Rng,
    content: Content,
    record: &R,
) -> std::io::Result<()> {
    let plain = postcard::to_stdvec(record).map_err(std::io::Error::other)?;
    let plain = zeroize::Zeroizing::new(plain);
    writer.append(keys, rng, content, &plain)
}

/// Puts a file on disk on a thread of its own: a slow disk holds nobody up.
fn sync_beside(file: &std::fs::File) {
    let Ok(file) = file.try_clone() else { return };
    let run = move || {
        if let Err(e) = file.sync_data() {
            tracing::warn!("the register's snapshot is not on disk: {e}");
        }
    };
    let _ = std::thread::Builder::new()
        .name("snapshot-sync".to_owned())
        .spawn(run);
}
