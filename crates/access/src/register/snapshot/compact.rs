//! Writing a snapshot anew from itself: everybody once, as they are by its end. On a thread of its own; what is added
//! meanwhile is carried over when it is done.

use super::file::{Content, FrameReader, FrameWriter, Sealed, Unusable};
use super::record::{Mark, Record, SavedKey, SavedLock, SavedPerson, SavedPolicy};
use super::{SnapshotPlace, append};
use identity::PersonId;
use kernel::{Keyring, Rng};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

/// People in one frame of a new snapshot.
const PAGE: usize = 5_000;

/// A snapshot that is being written anew.
pub(super) struct Compaction {
    done: Receiver<Result<FrameWriter, Unusable>>,
    /// How far the old one goes that the new one is made of.
    upto: u64,
    new_path: PathBuf,
}

/// How that goes.
pub(super) enum Progress {
    Runs(Compaction),
    Done(FrameWriter),
    Failed(Unusable),
}

impl Compaction {
    pub(super) fn begin(
        place: &SnapshotPlace,
        new_path: PathBuf,
        upto: u64,
        keys: Arc<Keyring>,
        rng: Arc<dyn Rng>,
    ) -> Self {
        let (sender, done) = channel();
        let (old, new) = (place.path.clone(), new_path.clone());
        let run = move || {
            let _ = sender.send(rewrite(&old, &new, upto, &keys, &*rng));
        };
        // Where there is no thread, the channel is closed and it has failed.
        let _ = std::thread::Builder::new()
            .name("snapshot".to_owned())
            .spawn(run);
        Self {
            done,
            upto,
            new_path,
        }
    }

    /// Puts the new snapshot in place of the old one, if it is written.
    pub(super) fn adopt(
        self,
        keys: &Keyring,
        rng: &dyn Rng,
        place: &SnapshotPlace,
        old: &FrameWriter,
    ) -> Progress {
        let written = match self.done.try_recv() {
            Err(TryRecvError::Empty) => return Progress::Runs(self),
            Err(TryRecvError::Disconnected) => Err(Unusable::Unfinished),
            Ok(written) => written,
        };
        let adopted = written.and_then(|mut writer| {
            carry_over(&place.path, self.upto, old.octets(), &mut writer, keys, rng)?;
            writer.file().sync_all()?;
            std::fs::rename(&self.new_path, &place.path)?;
            Ok(writer)
        });
        match adopted {
            Ok(writer) => Progress::Done(writer),
            Err(e) => {
                let _ = std::fs::remove_file(&self.new_path);
                Progress::Failed(e)
            }
        }
    }
}

/// Adds what was added to the old snapshot meanwhile.
fn carry_over(
    old: &Path,
    from: u64,
    upto: u64,
    writer: &mut FrameWriter,
    keys: &Keyring,
    rng: &dyn Rng,
) -> Result<(), Unusable> {
    let mut reader = FrameReader::open(old)?.up_to(upto);
    let opener = reader.opener();
    while let Some(mut frame) = reader.next()? {
        if reader.octets() > from {
            let content = frame.content;
            let plain = opener.open(keys, &mut frame)?;
            writer.append(keys, rng, content, plain)?;
        }
    }
    Ok(())
}

/// What a first reading of a snapshot finds.
#[derive(Default)]
struct Latest {
    database: Option<String>,
    /// In which frame each of those who are there is last told of.
    people: HashMap<PersonId, u64>,
    locks: HashMap<SavedKey, SavedLock>,
    policy: Option<SavedPolicy>,
    mark: Option<Mark>,
}

impl Latest {
    fn take(&mut self, number: u64, record: Record) {
        match record {
            Record::Origin { database } => self.database = Some(database),
            Record::Policy(policy) => self.policy = Some(policy),
            Record::Locks(locks) => {
                let locks = locks.into_iter().map(|lock| (lock.key.clone(), lock));
                self.locks.extend(locks);
            }
            Record::Complete(mark) | Record::Heard(mark) => self.mark = Some(mark),
            Record::Change(change) => {
                if let Some(policy) = change.policy {
                    self.policy = Some(policy);
                }
                for person in &change.people {
                    self.people.insert(person.id, number);
                }
                for gone in &change.gone {
                    self.people.remove(gone);
                }
                for (key, lock) in change.locks {
                    match lock {
                        Some(lock) => self.locks.insert(key, lock),
                        None => self.locks.remove(&key),
                    };
                }
                self.mark = Some(change.mark);
            }
        }
    }
}

/// Reads every frame, opened.
fn each(
    old: &Path,
    upto: u64,
    keys: &Keyring,
    mut take: impl FnMut(u64, Content, &[u8]) -> Result<(), Unusable>,
) -> Result<(), Unusable> {
    let mut reader = FrameReader::open(old)?.up_to(upto);
    let opener = reader.opener();
    loop {
        let number = reader.number();
        let Some(mut frame): Option<Sealed> = reader.next()? else {
            return Ok(());
        };
        let content = frame.content;
        take(number, content, opener.open(keys, &mut frame)?)?;
    }
}

fn rewrite(
    old: &Path,
    new: &Path,
    upto: u64,
    keys: &Keyring,
    rng: &dyn Rng,
) -> Result<FrameWriter, Unusable> {
    let mut latest = Latest::default();
    each(old, upto, keys, |number, content, plain| {
        match content {
            Content::People => {
                let people: Vec<SavedPerson> = read(plain)?;
                let numbered = people.iter().map(|person| (person.id, number));
                latest.people.extend(numbered);
            }
            Content::Other => latest.take(number, read(plain)?),
        }
        Ok(())
    })?;
    let Latest {
        database: Some(database),
        people: last_told,
        locks,
        policy: Some(policy),
        mark: Some(mark),
    } = latest
    else {
        return Err(Unusable::Unfinished);
    };
    let mut writer = FrameWriter::create(new, keys, rng)?;
    let origin = Record::Origin { database };
    append(&mut writer, keys, rng, Content::Other, &origin)?;
    append(
        &mut writer,
        keys,
        rng,
        Content::Other,
        &Record::Policy(policy),
    )?;
    let locks = Record::Locks(locks.into_values().collect());
    append(&mut writer, keys, rng, Content::Other, &locks)?;
    let mut page = Vec::with_capacity(PAGE);
    each(old, upto, keys, |number, content, plain| {
        let people: Vec<SavedPerson> = match content {
            Content::People => read(plain)?,
            Content::Other => match read(plain)? {
                Record::Change(change) => change.people,
                _ => return Ok(()),
            },
        };
        let is_last = |person: &SavedPerson| last_told.get(&person.id) == Some(&number);
        page.extend(people.into_iter().filter(is_last));
        if page.len() >= PAGE {
            append(&mut writer, keys, rng, Content::People, &page)?;
            page.clear();
        }
        Ok(())
    })?;
    append(&mut writer, keys, rng, Content::People, &page)?;
    let complete = Record::Complete(mark);
    append(&mut writer, keys, rng, Content::Other, &complete)?;
    Ok(writer)
}

fn read<'p, R: serde::Deserialize<'p>>(plain: &'p [u8]) -> Result<R, Unusable> {
    postcard::from_bytes(plain).map_err(|_| Unusable::Record)
}
