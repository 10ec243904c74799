//! What the journal asks of a disk, and the real one.
//!
//! All file access goes through [`Disk`], so that the simulated disk can tear, lose, reorder, refuse and delay what
//! a real disk does only on its worst day.
//!
//! Never: retries (what a failed sync left behind is unknown, only the journal knows what to do about it), knows
//! what is in a file.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

/// Only the owner may read reports: they hold personal data.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// A disk. Files are named by path; nothing is durable before the sync that covers it.
pub trait Disk: Send + Sync {
    /// Makes `folder` and what is missing above it; it being there already is fine.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;
    /// The names of the files in `folder`, in any order.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// The length of `file` in octets.
    fn length(&self, file: &Path) -> io::Result<u64>;
    /// Reads up to `length` octets from `offset`; fewer only where the file ends.
    fn read_at(&self, file: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// Creates an empty `file` for appending; one of that name is removed first, never written over.
    fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing `file` for appending.
    fn open_append(&self, file: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Writes `bytes` at `offset` of an existing file, cuts the file behind them and syncs it. With the bytes that
    /// are there already this forces out what an earlier failed sync may have left in memory only.
    fn rewrite(&self, file: &Path, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts `file` to `length` octets and syncs it.
    fn truncate(&self, file: &Path, length: u64) -> io::Result<()>;
    /// Renames within one folder, replacing `to` at once; durable after [`Disk::sync_folder`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes `file`; durable after [`Disk::sync_folder`].
    fn remove(&self, file: &Path) -> io::Result<()>;
    /// Makes the names in `folder` durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Locks `file` (created if missing) until the value is dropped or the process ends.
    /// An error of kind [`io::ErrorKind::WouldBlock`] means that another holds it.
    fn lock(&self, file: &Path) -> io::Result<Box<dyn DiskLock>>;
}

/// A file open for appending.
pub trait DiskFile: Send {
    /// Writes all of `bytes` at the end. After an error any part of them may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes everything appended durable, the length with it.
    fn sync_data(&mut self) -> io::Result<()>;
}

/// A held lock; dropping it lets go.
pub trait DiskLock: Send + Sync {}

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

struct RealFile(File);

struct RealLock {
    _file: File,
}

impl DiskLock for RealLock {}

impl DiskFile for RealFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Disk for RealDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let parent = folder
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.create_folder(parent)?;
        }
        match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            made => made?,
        }
        self.sync_folder(parent.unwrap_or(Path::new(".")))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn length(&self, file: &Path) -> io::Result<u64> {
        Ok(fs::metadata(file)?.len())
    }

    fn read_at(&self, file: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let handle = File::open(file)?;
        let there = handle.metadata()?.len().saturating_sub(offset);
        let mut bytes = vec![0; length.min(usize::try_from(there).unwrap_or(usize::MAX))];
        let mut filled = 0;
        while filled < bytes.len() {
            match handle.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.append(true).create_new(true).mode(FILE_MODE);
        Ok(Box::new(RealFile(options.open(file)?)))
    }

    fn open_append(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(
            OpenOptions::new().append(true).open(file)?,
        )))
    }

    fn rewrite(&self, file: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let handle = OpenOptions::new().write(true).open(file)?;
        handle.write_all_at(bytes, offset)?;
        handle.set_len(offset + bytes.len() as u64)?;
        handle.sync_data()
    }

    fn truncate(&self, file: &Path, length: u64) -> io::Result<()> {
        let handle = OpenOptions::new().write(true).open(file)?;
        handle.set_len(length)?;
        handle.sync_data()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        fs::remove_file(file)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn lock(&self, file: &Path) -> io::Result<Box<dyn DiskLock>> {
        let mut options = OpenOptions::new();
        // Not truncated: the file of a live holder stays as it is.
        options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE);
        let handle = options.open(file)?;
        match handle.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { _file: handle })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_disk_does_what_the_trait_says() {
        let folder = tempfile::tempdir().expect("folder");
        let disk = RealDisk;
        let inner = folder.path().join("a/b");
        disk.create_folder(&inner).expect("create");
        disk.create_folder(&inner).expect("again");
        let (one, two) = (inner.join("one"), inner.join("two"));
        let mut file = disk.create(&one).expect("file");
        file.append(b"hello ").expect("append");
        file.append(b"world").expect("append");
        file.sync_data().expect("sync");
        disk.rename(&one, &two).expect("rename");
        file.append(b"!").expect("a renamed file stays open");
        disk.sync_folder(&inner).expect("sync folder");
        assert_eq!(disk.list(&inner).expect("list"), ["two"]);
        assert_eq!(disk.read_at(&two, 6, 100).expect("read"), b"world!");
        assert_eq!(disk.read_at(&two, 60, 100).expect("read"), b"");
        disk.rewrite(&two, 6, b"w").expect("rewrite");
        assert_eq!(disk.read_at(&two, 0, 100).expect("read"), b"hello w");
        disk.truncate(&two, 5).expect("truncate");
        disk.open_append(&two)
            .expect("open")
            .append(b"?")
            .expect("append");
        assert_eq!(disk.read_at(&two, 0, 100).expect("read"), b"hello?");
        assert_eq!(disk.length(&two).expect("length"), 6);
        assert!(disk.create(&two).is_ok());
        assert_eq!(disk.length(&two).expect("length"), 0);
        disk.remove(&two).expect("remove");
        assert!(disk.length(&two).is_err());
    }

    #[test]
    fn a_lock_is_held_until_dropped() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("LOCK");
        let held = RealDisk.lock(&file).expect("first");
        let refused = RealDisk.lock(&file).map(|_| ()).expect_err("second");
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        drop(held);
        assert!(RealDisk.lock(&file).is_ok());
    }
}
