//! Who this node and this journal are: sixteen random octets, written once, as 32 hexadecimal digits.
//!
//! The node's id lies in the data folder itself (`node`), the journal's beside its segments (`journal/id`). Together
//! they are the key under which a database remembers what it has applied.
//!
//! Never: makes randomness (the caller gives it), changes an id that is there.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use crate::disk::Disk;
use crate::error::OpenError;
use crate::segment;

/// Longer than any id with its line end: a file with more in it is not ours.
const ID_FILE_MAX_BYTES: usize = 64;

/// Text that is not an id: 32 hexadecimal digits are expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is 32 hexadecimal digits")]
pub struct BadId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(BadId);
                }
                let value = u128::from_str_radix(text, 16).map_err(|_| BadId)?;
                Ok($name(value.to_be_bytes()))
            }
        }
    };
}

id! {
    /// The id of a node, the same for as long as its data folder lives.
    NodeId
}

id! {
    /// The id of a journal; a new journal in the same folder gets a new one.
    JournalId
}

/// Reads the id file `file`: `None` if it is not there, an error of kind `InvalidData` if it holds something else.
pub(crate) fn read_id<I: FromStr>(disk: &dyn Disk, file: &Path) -> io::Result<Option<I>> {
    let bytes = match disk.read_at(file, 0, ID_FILE_MAX_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    let id = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.trim_end().parse().ok());
    id.map(Some)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, BadId))
}

/// Writes the id file `file`, whole or not at all.
pub(crate) fn write_id<I: fmt::Display>(disk: &dyn Disk, file: &Path, id: &I) -> io::Result<()> {
    segment::write_whole(disk, file, &[format!("{id}\n").as_bytes()]).map(drop)
}

/// The id of the node whose data folder is `data_folder`; made from `fresh` (sixteen random octets) if there is none.
///
/// Call it after [`crate::Journal::open`] on the same folder: the journal's lock is what keeps two processes from
/// making two ids.
pub fn node_id(
    disk: &dyn Disk,
    data_folder: &Path,
    fresh: impl FnOnce() -> [u8; 16],
) -> Result<NodeId, OpenError> {
    let file = data_folder.join("node");
    let io = |doing| OpenError::io(doing, &file);
    if let Some(id) = read_id(disk, &file).map_err(io("read"))? {
        return Ok(id);
    }
    disk.create_folder(data_folder)
        .map_err(OpenError::io("create", data_folder))?;
    let id = NodeId(fresh());
    write_id(disk, &file, &id).map_err(io("write"))?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimDisk;

    #[test]
    fn a_node_keeps_its_first_id_through_power_cuts() {
        let disk = SimDisk::new(1);
        let folder = Path::new("/data");
        let first = node_id(&disk, folder, || [0xAB; 16]).expect("made");
        assert_eq!(first.to_string(), "ab".repeat(16));
        disk.cut_power();
        disk.restart();
        let again = node_id(&disk, folder, || panic!("there is one already")).expect("read");
        assert_eq!(again, first);
    }

    #[test]
    fn a_file_that_is_no_id_is_an_error_and_stays() {
        let disk = SimDisk::new(1);
        let file = Path::new("/data/node");
        for text in [
            "",
            "xyz",
            &"0".repeat(33),
            &"g".repeat(32),
            "+0000000000000000000000000000000",
        ] {
            disk.put(file, text.as_bytes());
            let error = node_id(&disk, Path::new("/data"), || [1; 16]).expect_err(text);
            assert!(error.to_string().contains("/data/node"), "{error}");
            assert_eq!(disk.bytes(file), text.as_bytes());
        }
    }
}
