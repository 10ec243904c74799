//! Attribute dictionaries: names, numbers, types and named values.
//!
//! How to read it: `types.rs` and `statement.rs` are the grammar of one line,
//! `compile.rs` (with `locate.rs` and `finish.rs`) gives lines their meaning, `table.rs`
//! is the result. These six are compiled into the build script as well, which writes the
//! typed constants of [`crate::attrs`] from the same text: the grammar exists once.
//! `text.rs` turns text into octets and back, `wire.rs` puts octets into attributes,
//! `nameless.rs` names what no dictionary names.
//!
//! The grammar is the one FreeRADIUS 3 reads, with the newer type words and flags
//! understood too.
//!
//! What it must never do: guess. A line that makes no sense is an error with its place;
//! only a keyword of another grammar is skipped, with a warning.

mod builtin;
mod compile;
mod date;
mod finish;
mod load;
mod locate;
mod nameless;
mod statement;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod types;
mod value;
mod wire;

pub use compile::{
    DictionaryError, MAX_ATTRIBUTES, MAX_FILE_OCTETS, MAX_FILES, MAX_INCLUDE_DEPTH, MAX_TLV_DEPTH,
    MAX_VALUES, MAX_VENDORS, MAX_WARNINGS,
};
pub use load::{ROOT_FILE, TreeCounts, debian_dictionaries_load_whole};
pub use statement::{MAX_LINE_OCTETS, MAX_NAME_OCTETS};
pub use table::{Attribute, Carrier, Dictionary, Values, Vendor, Warning};
pub use types::{DataType, Encryption, Flags, VendorFormat};
pub use value::Value;
pub use wire::{MAX_VALUE_OCTETS, ValueError};
