//! Every limit on the work one stored hash or one password may cause.
//!
//! Stored hashes may come from an import, so their cost parameters are input like any other: a
//! single line asking for a terabyte of memory must be refused when it is read, not when its owner
//! logs in.

/// Longest password examined, in octets. RADIUS carries at most 128 in one User-Password
/// (RFC 2865 section 5.2); tunnelled and web logins may carry more. Longer ones are simply wrong.
pub const MAX_PASSWORD_OCTETS: usize = 1024;

/// Longest stored text read, in octets: the longest clear password with its marker fits, and every
/// hash form is far shorter.
pub const MAX_STORED_OCTETS: usize = 2048;

/// Longest salt, in octets. Known writers use 8 to 32.
pub const MAX_SALT_OCTETS: usize = 128;

/// Shortest hash accepted from a form whose hash length is free, in octets: shorter ones can be
/// met by guessing (the PHC string format has the same minimum).
pub const MIN_HASH_OCTETS: usize = 10;

/// Longest hash from a form whose hash length is free, in octets: SHA-512 size.
pub const MAX_HASH_OCTETS: usize = 64;

/// Most memory one argon2 or scrypt verification may take, in KiB (1 GiB).
pub const MAX_MEMORY_KIB: u32 = 1024 * 1024;

/// Most memory traffic one argon2 or scrypt verification may cause, in KiB (4 GiB: memory times
/// passes or lanes), a few seconds of one core.
pub const MAX_WORK_KIB: u64 = 4 * 1024 * 1024;

/// Most argon2 lanes. Django writes 8; they are computed one after the other here.
pub const MAX_ARGON2_LANES: u32 = 64;

/// Shortest argon2 salt, in octets: what every implementation demands.
pub const MIN_ARGON2_SALT_OCTETS: usize = 8;

/// Most PBKDF2 iterations over all blocks of the result: a few seconds of one core. Django 5.2
/// writes 1,000,000.
pub const MAX_PBKDF2_ITERATIONS: u32 = 10_000_000;

/// Least bcrypt cost; the algorithm defines none lower.
pub const MIN_BCRYPT_COST: u32 = 4;

/// Highest bcrypt cost (logarithmic): 16 is about five seconds of one core.
pub const MAX_BCRYPT_COST: u32 = 16;

/// Least sha-crypt rounds; the scheme raises smaller numbers to this one when it hashes.
pub const MIN_SHA_CRYPT_ROUNDS: u32 = 1_000;

/// Most sha-crypt rounds: a few seconds of one core.
pub const MAX_SHA_CRYPT_ROUNDS: u32 = 5_000_000;

/// Whether a password is of a length that is examined at all: not empty (an empty password proves
/// nothing) and at most [`MAX_PASSWORD_OCTETS`].
pub fn is_examined(password: &[u8]) -> bool {
    !password.is_empty() && password.len() <= MAX_PASSWORD_OCTETS
}
