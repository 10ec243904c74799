//! Any datagram.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| radius_wire::fuzz::packet(data));
