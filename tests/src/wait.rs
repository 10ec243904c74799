//! Waiting for something to be true, never for time to pass.

use std::time::{Duration, Instant};

/// Between two looks: short against everything that is waited for, long against the cost of a look.
const STEP: Duration = Duration::from_millis(10);

/// Looks until `look` gives something or `limit` is over.
pub fn until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(STEP);
    }
}

/// Looks until `holds`, and fails with `what` when it does not in time.
///
/// # Panics
/// When the limit is over.
pub fn for_truth(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let held = until(limit, || holds().then_some(()));
    assert!(held.is_some(), "not within {limit:?}: {what}");
}
