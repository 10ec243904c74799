//! Sessions, reports, counters, attempts.
