//! How long the tests last that break things at random: short in `./test`, long in `./test soak`.
//!
//! Every such test has both forms, so that none is ever left out; what it tries follows from numbers that it prints when
//! it fails, and that one can be tried alone.

use std::ops::Range;

/// Set by `./test soak`.
pub const SOAK_VARIABLE: &str = "GATEWARDEN_SOAK";
/// Tries this seed alone.
pub const SEED_VARIABLE: &str = "GATEWARDEN_SEED";

/// Whether this is the long run.
pub fn is_soak() -> bool {
    std::env::var_os(SOAK_VARIABLE).is_some()
}

/// So many in `./test`, so many in the soak.
pub fn count(short: u64, long: u64) -> u64 {
    if is_soak() { long } else { short }
}

/// Seeds to try: the first `short` in `./test`, the first `long` in the soak, or the one that [`SEED_VARIABLE`] names.
///
/// # Panics
/// When that is no number.
pub fn seeds(short: u64, long: u64) -> Range<u64> {
    match std::env::var(SEED_VARIABLE) {
        Ok(seed) => {
            let seed = seed.parse().expect("a seed is a number");
            seed..seed + 1
        }
        Err(_) => 0..count(short, long),
    }
}

/// The most memory that a running process has used so far, in KiB; none when it is gone.
pub fn peak_kib(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
