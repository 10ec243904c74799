//! A data folder that is gone when its owner is.

use crate::failure::Failure;
use crate::house::make_folder;
use kernel::SystemRng;
use std::path::{Path, PathBuf};

/// A temporary folder, closed to everybody else.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one.
    ///
    /// # Errors
    /// The system's.
    pub fn make(purpose: &str) -> Result<Self, Failure> {
        let name = format!(
            "gatewarden-{purpose}-{}",
            kernel::rng::readable_text(&SystemRng::new(), 10)
        );
        let folder = std::env::temp_dir().join(name);
        make_folder(&folder)?;
        Ok(Self(folder))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system: it is in the folder for temporary things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
