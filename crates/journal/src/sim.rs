//! A disk for tests that has its worst day on demand: torn, lost, reordered, failing, slow writes, no room, no power.
//!
//! Every file has two contents: what processes see (the cache) and what a power cut leaves. A sync copies one to the
//! other; a *failed* sync writes some of it and forgets the rest, as Linux does: the cache still shows it, no later
//! sync will write it. Names are durable only after the folder's sync. All chance comes from the seed.
//!
//! Never: used by the product, reads a clock.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile, DiskLock};

mod chance;
mod inode;
#[cfg(test)]
mod tests;

pub use chance::Chance;
use inode::Inode;

/// An operation that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// [`Disk::create`]
    Create,
    /// [`DiskFile::append`]
    Append,
    /// [`DiskFile::sync_data`] and [`Disk::rewrite`]
    Sync,
    /// [`Disk::truncate`]
    Truncate,
    /// [`Disk::rename`]
    Rename,
    /// [`Disk::remove`]
    Remove,
    /// [`Disk::sync_folder`]
    SyncFolder,
}

/// Names that change together.
struct Renaming {
    folder: PathBuf,
    names: Vec<(PathBuf, Option<u64>)>,
}

struct Sim {
    chance: Chance,
    inodes: HashMap<u64, Inode>,
    next_inode: u64,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    renamings: Vec<Renaming>,
    locks: HashMap<PathBuf, u64>,
    /// Counts restarts: what was opened before one is dead.
    life: u64,
    powered: bool,
    steps: u64,
    power_fails_at: Option<u64>,
    failures: HashMap<Op, u32>,
    failures_per_mille: u64,
    capacity: Option<usize>,
    syncs: u64,
    syncs_held: bool,
    waiting_syncs: usize,
}

/// What becomes of an operation.
#[derive(PartialEq)]
enum Fate {
    Works,
    Fails,
    /// It is begun, and then the power is gone.
    Last,
}

fn no_power() -> io::Error {
    io::Error::other("simulated: no power")
}

fn broken() -> io::Error {
    io::Error::other("simulated: input/output error")
}

impl Sim {
    fn step(&mut self, op: Op) -> io::Result<Fate> {
        if !self.powered {
            return Err(no_power());
        }
        self.steps += 1;
        if self.power_fails_at.is_some_and(|at| self.steps >= at) {
            self.powered = false;
            return Ok(Fate::Last);
        }
        if let Some(count) = self.failures.get_mut(&op).filter(|count| **count > 0) {
            *count -= 1;
            return Ok(Fate::Fails);
        }
        let unlucky =
            self.failures_per_mille > 0 && self.chance.draw() % 1000 < self.failures_per_mille;
        Ok(if unlucky { Fate::Fails } else { Fate::Works })
    }

    fn find(&self, file: &Path) -> io::Result<u64> {
        if !self.powered {
            return Err(no_power());
        }
        self.names
            .get(file)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn inode(&mut self, number: u64) -> &mut Inode {
        self.inodes.entry(number).or_default()
    }

    fn new_inode(&mut self) -> u64 {
        self.next_inode += 1;
        self.inodes.insert(self.next_inode, Inode::default());
        self.next_inode
    }

    fn rename(&mut self, names: Vec<(PathBuf, Option<u64>)>) {
        let folder = names
            .first()
            .and_then(|(name, _)| name.parent())
            .map(Path::to_owned)
            .unwrap_or_default();
        apply(&mut self.names, &names);
        self.renamings.push(Renaming { folder, names });
    }

    fn room(&self) -> usize {
        let used: usize = self
            .names
            .values()
            .filter_map(|number| self.inodes.get(number))
            .map(|inode| inode.cached.len())
            .sum();
        self.capacity
            .map_or(usize::MAX, |capacity| capacity.saturating_sub(used))
    }

    fn settle(&mut self) {
        let mut chance = self.chance.clone();
        let mode = chance.below(4);
        let whole = self.renamings.len();
        let first = chance.below(whole + 1);
        for (index, renaming) in std::mem::take(&mut self.renamings).iter().enumerate() {
            let kept = match mode {
                0 => false,
                1 => true,
                2 => index < first,
                _ => chance.below(2) == 0,
            };
            if kept {
                apply(&mut self.durable_names, &renaming.names);
            }
        }
        self.names.clone_from(&self.durable_names);
        let mut numbers: Vec<u64> = self.inodes.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            let inode = self.inode(number);
            inode.settle(&mut chance, false);
            inode.cached.clone_from(&inode.durable);
        }
        let names = &self.names;
        self.inodes
            .retain(|number, _| names.values().any(|named| named == number));
        self.chance = chance;
    }
}

fn apply(names: &mut BTreeMap<PathBuf, u64>, changes: &[(PathBuf, Option<u64>)]) {
    for (name, inode) in changes {
        match inode {
            Some(inode) => names.insert(name.clone(), *inode),
            None => names.remove(name),
        };
    }
}

struct Machine {
    sim: Mutex<Sim>,
    gate: Condvar,
}

/// The simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    machine: Arc<Machine>,
}

impl SimDisk {
    /// An empty disk whose misfortunes follow from `seed`.
    pub fn new(seed: u64) -> SimDisk {
        let sim = Sim {
            chance: Chance::new(seed),
            inodes: HashMap::new(),
            next_inode: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            renamings: Vec::new(),
            locks: HashMap::new(),
            life: 0,
            powered: true,
            steps: 0,
            power_fails_at: None,
            failures: HashMap::new(),
            failures_per_mille: 0,
            capacity: None,
            syncs: 0,
            syncs_held: false,
            waiting_syncs: 0,
        };
        let machine = Machine {
            sim: Mutex::new(sim),
            gate: Condvar::new(),
        };
        SimDisk {
            machine: Arc::new(machine),
        }
    }

    fn sim(&self) -> MutexGuard<'_, Sim> {
        self.machine
            .sim
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The next `count` operations of this kind fail.
    pub fn fail_next(&self, op: Op, count: u32) {
        self.sim().failures.insert(op, count);
    }

    /// From now on so many of a thousand operations fail.
    pub fn fail_per_mille(&self, rate: u64) {
        self.sim().failures_per_mille = rate;
    }

    /// The disk holds this many octets; `None` for no limit.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.sim().capacity = bytes;
    }

    /// The power goes in the middle of the `steps`-th operation from now.
    pub fn cut_power_after(&self, steps: u64) {
        let mut sim = self.sim();
        sim.power_fails_at = Some(sim.steps + steps.max(1));
    }

    /// The power goes now: every operation fails until [`SimDisk::restart`].
    pub fn cut_power(&self) {
        self.sim().powered = false;
        self.machine.gate.notify_all();
    }

    /// The power is back (it is cut first, if it was not): what was not synced is there, partly there or gone.
    pub fn restart(&self) {
        let mut sim = self.sim();
        sim.settle();
        revive(&mut sim);
        drop(sim);
        self.machine.gate.notify_all();
    }

    /// The process is killed: its files and locks are let go, the cache stays as it was.
    pub fn kill(&self) {
        revive(&mut self.sim());
        self.machine.gate.notify_all();
    }

    /// Syncs of files wait until [`SimDisk::release_syncs`].
    pub fn hold_syncs(&self) {
        self.sim().syncs_held = true;
    }

    /// Lets waiting syncs go on.
    pub fn release_syncs(&self) {
        self.sim().syncs_held = false;
        self.machine.gate.notify_all();
    }

    /// Waits until a sync is being held.
    pub fn wait_for_held_sync(&self) {
        let waiting = self
            .machine
            .gate
            .wait_while(self.sim(), |sim| sim.waiting_syncs == 0);
        drop(waiting.unwrap_or_else(PoisonError::into_inner));
    }

    /// File syncs done so far.
    pub fn syncs(&self) -> u64 {
        self.sim().syncs
    }

    /// Puts a file there, durable, without any misfortune.
    pub fn put(&self, file: &Path, bytes: &[u8]) {
        let mut sim = self.sim();
        let number = sim.new_inode();
        let inode = sim.inode(number);
        inode.write(0, bytes);
        inode.sync();
        sim.names.insert(file.to_owned(), number);
        sim.durable_names.insert(file.to_owned(), number);
    }

    /// Takes a file away, durably.
    pub fn take(&self, file: &Path) {
        let mut sim = self.sim();
        sim.names.remove(file);
        sim.durable_names.remove(file);
    }

    /// What processes see in `file`; empty if there is none.
    pub fn bytes(&self, file: &Path) -> Vec<u8> {
        let sim = self.sim();
        let number = sim.names.get(file);
        number
            .and_then(|number| sim.inodes.get(number))
            .map(|inode| inode.cached.clone())
            .unwrap_or_default()
    }

    /// All files, by path.
    pub fn files(&self) -> Vec<PathBuf> {
        self.sim().names.keys().cloned().collect()
    }

    fn open(&self, inode: u64, life: u64) -> Box<dyn DiskFile> {
        Box::new(SimFile {
            disk: self.clone(),
            inode,
            life,
        })
    }
}

fn revive(sim: &mut Sim) {
    sim.life += 1;
    sim.locks.clear();
    sim.powered = true;
    sim.power_fails_at = None;
}

struct SimFile {
    disk: SimDisk,
    inode: u64,
    life: u64,
}

impl DiskFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut sim = self.disk.sim();
        if sim.life != self.life {
            return Err(no_power());
        }
        let fate = sim.step(Op::Append)?;
        let written = match fate {
            Fate::Fails => sim.chance.below(bytes.len() + 1),
            _ => bytes.len().min(sim.room()),
        };
        let inode = sim.inode(self.inode);
        inode.write(inode.cached.len(), &bytes[..written]);
        match fate {
            Fate::Works if written == bytes.len() => Ok(()),
            Fate::Works => Err(io::ErrorKind::StorageFull.into()),
            Fate::Fails => Err(broken()),
            Fate::Last => Err(no_power()),
        }
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut sim = self.disk.sim();
        sim.waiting_syncs += 1;
        self.disk.machine.gate.notify_all();
        let held = |sim: &mut Sim| sim.syncs_held && sim.powered && sim.life == self.life;
        sim = self
            .disk
            .machine
            .gate
            .wait_while(sim, held)
            .unwrap_or_else(PoisonError::into_inner);
        sim.waiting_syncs -= 1;
        if sim.life != self.life {
            return Err(no_power());
        }
        let fate = sim.step(Op::Sync)?;
        finish_sync(&mut sim, self.inode, fate)
    }
}

fn finish_sync(sim: &mut Sim, number: u64, fate: Fate) -> io::Result<()> {
    match fate {
        Fate::Works => {
            sim.inode(number).sync();
            sim.syncs += 1;
            Ok(())
        }
        Fate::Fails => {
            let mut chance = sim.chance.clone();
            sim.inode(number).settle(&mut chance, true);
            sim.chance = chance;
            Err(broken())
        }
        Fate::Last => Err(no_power()),
    }
}

struct SimLock {
    disk: SimDisk,
    file: PathBuf,
    life: u64,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut sim = self.disk.sim();
        if sim.life == self.life {
            sim.locks.remove(&self.file);
        }
    }
}

impl Disk for SimDisk {
    fn create_folder(&self, _folder: &Path) -> io::Result<()> {
        if self.sim().powered {
            Ok(())
        } else {
            Err(no_power())
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let sim = self.sim();
        if !sim.powered {
            return Err(no_power());
        }
        let inside = sim
            .names
            .keys()
            .filter(|name| name.parent() == Some(folder));
        Ok(inside
            .filter_map(|name| name.file_name()?.to_str().map(str::to_owned))
            .collect())
    }

    fn length(&self, file: &Path) -> io::Result<u64> {
        let mut sim = self.sim();
        let number = sim.find(file)?;
        Ok(sim.inode(number).cached.len() as u64)
    }

    fn read_at(&self, file: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut sim = self.sim();
        let number = sim.find(file)?;
        let content = &sim.inode(number).cached;
        let start = content.len().min(offset as usize);
        Ok(content[start..][..length.min(content.len() - start)].to_vec())
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut sim = self.sim();
        let fate = sim.step(Op::Create)?;
        if fate == Fate::Fails {
            return Err(broken());
        }
        let number = sim.new_inode();
        sim.rename(vec![(file.to_owned(), Some(number))]);
        match fate {
            Fate::Last => Err(no_power()),
            _ => Ok(self.open(number, sim.life)),
        }
    }

    fn open_append(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        let sim = self.sim();
        let number = sim.find(file)?;
        Ok(self.open(number, sim.life))
    }

    fn rewrite(&self, file: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut sim = self.sim();
        let number = sim.find(file)?;
        let fate = sim.step(Op::Sync)?;
        let inode = sim.inode(number);
        inode.write(offset as usize, bytes);
        inode.cut(offset as usize + bytes.len());
        finish_sync(&mut sim, number, fate)
    }

    fn truncate(&self, file: &Path, length: u64) -> io::Result<()> {
        let mut sim = self.sim();
        let number = sim.find(file)?;
        let fate = sim.step(Op::Truncate)?;
        if fate == Fate::Fails {
            return Err(broken());
        }
        sim.inode(number).cut(length as usize);
        finish_sync(&mut sim, number, fate)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut sim = self.sim();
        let number = sim.find(from)?;
        let fate = sim.step(Op::Rename)?;
        // A failure may be reported although it was done.
        if fate != Fate::Fails || sim.chance.below(2) == 0 {
            sim.rename(vec![(from.to_owned(), None), (to.to_owned(), Some(number))]);
        }
        match fate {
            Fate::Works => Ok(()),
            Fate::Fails => Err(broken()),
            Fate::Last => Err(no_power()),
        }
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        let mut sim = self.sim();
        sim.find(file)?;
        let fate = sim.step(Op::Remove)?;
        if fate != Fate::Fails || sim.chance.below(2) == 0 {
            sim.rename(vec![(file.to_owned(), None)]);
        }
        match fate {
            Fate::Works => Ok(()),
            Fate::Fails => Err(broken()),
            Fate::Last => Err(no_power()),
        }
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut sim = self.sim();
        match sim.step(Op::SyncFolder)? {
            Fate::Last => return Err(no_power()),
            Fate::Fails => return Err(broken()),
            Fate::Works => {}
        }
        let (here, elsewhere) = std::mem::take(&mut sim.renamings)
            .into_iter()
            .partition(|renaming: &Renaming| renaming.folder == folder);
        sim.renamings = elsewhere;
        let here: Vec<Renaming> = here;
        for renaming in &here {
            apply(&mut sim.durable_names, &renaming.names);
        }
        Ok(())
    }

    fn lock(&self, file: &Path) -> io::Result<Box<dyn DiskLock>> {
        let mut sim = self.sim();
        if !sim.powered {
            return Err(no_power());
        }
        let life = sim.life;
        if sim.locks.insert(file.to_owned(), life).is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock {
            disk: self.clone(),
            file: file.to_owned(),
            life,
        }))
    }
}
