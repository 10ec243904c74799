//! Typed constants of every attribute in the built-in dictionaries.
//!
//! Written by the build script from `dictionaries/`; the file in the build
//! folder is the thing to read when a name is in doubt.

include!(concat!(env!("OUT_DIR"), "/attrs.rs"));
