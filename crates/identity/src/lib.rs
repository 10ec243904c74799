//! People, organisations, membership, passwords.
