//! Where the octets of a file come from: twice or more, because a file is checked whole before it is imported.

use kernel::Error;
use sha2::{Digest, Sha256};
use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;

/// Largest file, in octets: a million rows with every column filled.
pub const MAX_FILE_OCTETS: u64 = 512 * 1024 * 1024;

/// A file to be imported.
#[derive(Clone)]
pub enum Source {
    /// On disk. It must not change while it is imported.
    File(PathBuf),
    /// In memory: what came through a pipe or an upload. The text is the name for people.
    Bytes(Arc<[u8]>, String),
}

impl Source {
    /// Octets with a name for people.
    pub fn bytes(octets: impl Into<Arc<[u8]>>, name: &str) -> Self {
        Source::Bytes(octets.into(), name.to_owned())
    }

    /// Its name for people.
    pub fn name(&self) -> String {
        match self {
            Source::File(path) => path
                .file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into_owned(),
            Source::Bytes(_, name) => name.clone(),
        }
    }

    /// From its first octet.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the file and says why it cannot be read.
    pub(super) fn open(&self) -> Result<Counted, Error> {
        let inner: Box<dyn Read + Send> = match self {
            Source::File(path) => {
                Box::new(std::fs::File::open(path).map_err(|e| self.unreadable(&e))?)
            }
            Source::Bytes(octets, _) => Box::new(Cursor::new(Arc::clone(octets))),
        };
        Ok(Counted {
            inner,
            digest: Sha256::new(),
            octets: 0,
        })
    }

    pub(super) fn unreadable(&self, reason: &std::io::Error) -> Error {
        Error::Invalid(format!("file '{}': {reason}", self.name()))
    }

    /// The SHA-256 of all its octets, as hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it cannot be read.
    pub fn digest(&self) -> Result<String, Error> {
        let mut reader = self.open()?;
        std::io::copy(&mut reader, &mut std::io::sink()).map_err(|e| self.unreadable(&e))?;
        Ok(reader.digest())
    }
}

/// A reader that digests what it hands out and stops at [`MAX_FILE_OCTETS`].
pub(super) struct Counted {
    inner: Box<dyn Read + Send>,
    digest: Sha256,
    octets: u64,
}

impl Counted {
    /// The digest of everything read so far.
    pub(super) fn digest(&self) -> String {
        hex::encode(self.digest.clone().finalize())
    }
}

impl Read for Counted {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(out)?;
        self.octets += count as u64;
        if self.octets > MAX_FILE_OCTETS {
            let reason = format!("it has more than {} MiB; split it", MAX_FILE_OCTETS >> 20);
            return Err(std::io::Error::other(reason));
        }
        self.digest.update(&out[..count]);
        Ok(count)
    }
}
