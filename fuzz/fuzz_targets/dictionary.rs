//! Any text as a dictionary.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| radius_wire::fuzz::dictionary(data));
