//! Append-only, checksummed, group-committed log on local disk.
