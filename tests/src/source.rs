//! The repository's own text, for the tests that read it.

use std::path::{Path, PathBuf};

/// The repository's root.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("tests/ lies in the repository")
        .to_path_buf()
}

/// A file's text.
///
/// # Panics
/// When it cannot be read.
pub fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Every file below a folder with this ending, sorted by path: the path from the root, and the text.
///
/// # Panics
/// When the folder cannot be read.
pub fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(&root().join(folder), ending, &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, ending: &str, found: &mut Vec<(String, String)>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder's entry can be read").path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(&path, ending, found);
            }
        } else if path.extension().is_some_and(|found| found == ending)
            && let Ok(text) = std::fs::read_to_string(&path)
        {
            let path = path.strip_prefix(root()).unwrap_or(&path);
            found.push((path.to_string_lossy().into_owned(), text));
        }
    }
}

/// Every folder of the repository that holds Rust of ours.
pub const CRATE_FOLDERS: [&str; 8] = [
    "aaa-server",
    "mgmt-api",
    "captive",
    "gatewarden",
    "crates",
    "tests",
    "benches",
    "fuzz",
];

/// Every Rust file of ours.
pub fn rust() -> Vec<(String, String)> {
    CRATE_FOLDERS
        .iter()
        .flat_map(|folder| files(folder, "rs"))
        .collect()
}
