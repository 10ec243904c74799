//! Dictionaries from a folder on disk: the only place here that touches files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::compile::{DictionaryError, MAX_FILE_OCTETS, MAX_FILES, compile};
use super::table::Dictionary;

/// Name of the file a folder of dictionaries starts from.
pub const ROOT_FILE: &str = "dictionary";

impl Dictionary {
    /// Reads the folder's `dictionary` and all it includes; without such a file, every
    /// file of the folder in the order of names. The result stands alone.
    pub fn load_dir(dir: &Path) -> Result<Dictionary, DictionaryError> {
        load(None, dir)
    }

    /// As [`Dictionary::load_dir`], but keeps all of `self` and lets the folder's files
    /// add to it and redefine it.
    pub fn extended_by_dir(&self, dir: &Path) -> Result<Dictionary, DictionaryError> {
        load(Some(self), dir)
    }

    /// Reads a tree of dictionaries from `root` through `read`, which gives the text of
    /// a file. For texts that are not on disk.
    pub fn load_with(
        root: &Path,
        read: &mut dyn FnMut(&Path) -> io::Result<String>,
    ) -> Result<Dictionary, DictionaryError> {
        compile(None, &[root.to_path_buf()], read)
    }
}

fn load(base: Option<&Dictionary>, dir: &Path) -> Result<Dictionary, DictionaryError> {
    let roots = roots(dir).map_err(|e| DictionaryError {
        file: dir.display().to_string(),
        line: 0,
        reason: e.to_string(),
    })?;
    compile(base, &roots, &mut |path| read_file(path))
}

fn roots(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let root = dir.join(ROOT_FILE);
    if root.is_file() {
        return Ok(vec![root]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        // Editors leave hidden files and copies; they are no dictionaries.
        let name = path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        if path.is_file() && !name.starts_with('.') && !name.ends_with('~') {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(io::Error::other(format!("more than {MAX_FILES} files")));
        }
    }
    files.sort();
    Ok(files)
}

/// Reads one file. Comments may be in any encoding, so odd octets become replacement
/// characters instead of an error.
fn read_file(path: &Path) -> io::Result<String> {
    use std::io::Read;
    let file = fs::File::open(path)?;
    refuse_world_writable(&file)?;
    let mut octets = Vec::new();
    file.take(MAX_FILE_OCTETS as u64 + 1)
        .read_to_end(&mut octets)?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

/// Whoever can change a dictionary can change what replies mean.
#[cfg(unix)]
fn refuse_world_writable(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    const WRITABLE_BY_OTHERS: u32 = 0o002;
    if file.metadata()?.permissions().mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(io::Error::other("the file is writable by everybody"));
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_world_writable(_: &fs::File) -> io::Result<()> {
    Ok(())
}

/// What came of loading a tree, for comparing with known counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeCounts {
    /// Files read.
    pub files: usize,
    /// Attributes.
    pub attributes: usize,
    /// Attributes with a vendor.
    pub vendor_attributes: usize,
    /// Named values.
    pub values: usize,
    /// Vendors.
    pub vendors: usize,
}

/// Loads the folder of another server's dictionaries (Debian keeps FreeRADIUS's in
/// `/usr/share/freeradius`) and asserts that every line was understood.
///
/// # Errors
/// The first fault, or the first warning as a fault: "loads whole" allows neither.
pub fn debian_dictionaries_load_whole(dir: &Path) -> Result<TreeCounts, DictionaryError> {
    let dictionary = Dictionary::load_dir(dir)?;
    if let Some(warning) = dictionary.warnings().first() {
        return Err(DictionaryError {
            file: warning.file.clone(),
            line: warning.line,
            reason: warning.text.clone(),
        });
    }
    let attributes = dictionary.attributes();
    Ok(TreeCounts {
        files: dictionary.files().len(),
        attributes: attributes.len(),
        vendor_attributes: attributes.iter().filter(|a| a.vendor() != 0).count(),
        values: attributes.iter().map(|a| a.values().len()).sum(),
        vendors: dictionary.vendors().len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that is removed when the test ends.
    struct Folder(PathBuf);

    impl Folder {
        fn with(name: &str, files: &[(&str, &[u8])]) -> Folder {
            let dir =
                std::env::temp_dir().join(format!("radius-wire-{name}-{}", std::process::id()));
            fs::create_dir_all(&dir).expect("folder");
            for (file, text) in files {
                fs::write(dir.join(file), text).expect("file");
            }
            Folder(dir)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn names(dictionary: &Dictionary) -> Vec<&str> {
        dictionary.attributes().iter().map(|a| a.name()).collect()
    }

    #[test]
    fn a_folder_starts_at_its_root_file() {
        let folder = Folder::with(
            "root",
            &[
                (
                    "dictionary",
                    b"$INCLUDE b # caf\xe9\nATTRIBUTE A 1 string\n",
                ),
                ("b", b"ATTRIBUTE B 2 string\r\n"),
                ("c", b"nonsense that is never read"),
            ],
        );
        let dictionary = Dictionary::load_dir(&folder.0).expect("loads");
        assert_eq!(names(&dictionary), ["B", "A"]);
        assert_eq!(
            debian_dictionaries_load_whole(&folder.0),
            Ok(TreeCounts {
                files: 2,
                attributes: 2,
                vendor_attributes: 0,
                values: 0,
                vendors: 0
            })
        );
    }

    #[test]
    fn a_folder_without_root_file_is_read_in_the_order_of_names() {
        let folder = Folder::with(
            "flat",
            &[
                ("2", b"ATTRIBUTE Late 1 string"),
                ("1", b"ATTRIBUTE Early 1 string"),
                (".hidden", b"ATTRIBUTE"),
                ("1~", b"ATTRIBUTE"),
            ],
        );
        let dictionary = Dictionary::load_dir(&folder.0).expect("loads");
        assert_eq!(names(&dictionary), ["Early", "Late"]);
        let over = Dictionary::builtin()
            .extended_by_dir(&folder.0)
            .expect("loads");
        assert_eq!(over.standard(1).map(|a| a.name()), Some("Late"));
        assert!(over.attribute("User-Password").is_some());
    }

    #[test]
    fn a_folder_that_cannot_be_trusted_or_found_is_refused() {
        let folder = Folder::with(
            "bad",
            &[("dictionary", b"ATTRIBUTE A 1 string\nodd line\n")],
        );
        let error = debian_dictionaries_load_whole(&folder.0).expect_err("a warning is a fault");
        assert_eq!(error.line, 2);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let file = folder.0.join(ROOT_FILE);
            fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).expect("mode");
            let error = Dictionary::load_dir(&folder.0).expect_err("writable by everybody");
            assert!(
                error.to_string().contains("writable by everybody"),
                "{error}"
            );
        }
        let error = Dictionary::load_dir(&folder.0.join("nowhere")).expect_err("no folder");
        assert!(error.file.ends_with("nowhere"), "{error}");
    }
}
