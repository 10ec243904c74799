//! The users of the run, in each contender's own form.

use std::io::{BufWriter, Write};
use std::path::Path;

/// Users with a recoverable password.
pub const USERS: u32 = 100_000;
/// Users with an argon2id hash.
pub const SLOW_USERS: u32 = 2_000;
/// The passwords' pattern.
pub const PASSWORD: &str = "pw%06d";
/// The password of every user with a hash.
pub const SLOW_PASSWORD: &str = "a slow password";

fn write(path: &Path, each: impl Fn(&mut dyn Write) -> std::io::Result<()>) -> Result<(), String> {
    let failed = |e| format!("{}: {e}", path.display());
    let mut file = BufWriter::new(std::fs::File::create(path).map_err(failed)?);
    each(&mut file).and_then(|()| file.flush()).map_err(failed)
}

/// A users file of FreeRADIUS.
pub fn users_file(path: &Path) -> Result<(), String> {
    write(path, |file| {
        for number in 0..USERS {
            writeln!(
                file,
                "user{number:06} Cleartext-Password := \"pw{number:06}\""
            )?;
        }
        Ok(())
    })
}

/// SQL that fills radcheck.
pub fn radcheck() -> String {
    format!(
        "INSERT INTO radcheck (username, attribute, op, value)
         SELECT 'user' || lpad(n::text, 6, '0'), 'Cleartext-Password', ':=', 'pw' || lpad(n::text, 6, '0')
         FROM generate_series(0, {}) AS n",
        USERS - 1
    )
}

/// A file for `gatewarden user import --store recoverable`.
pub fn recoverable(path: &Path) -> Result<(), String> {
    write(path, |file| {
        writeln!(file, "username,password")?;
        for number in 0..USERS {
            writeln!(file, "user{number:06},pw{number:06}")?;
        }
        Ok(())
    })
}

/// The same with argon2id: one hash for all, which is worked out for each all the same.
pub fn slow(path: &Path) -> Result<(), String> {
    let cost = proof::Argon2Params::default();
    let hash = proof::hash_password(SLOW_PASSWORD.as_bytes(), *b"0123456789abcdef", cost)
        .map_err(|e| e.to_string())?;
    write(path, |file| {
        writeln!(file, "username,password")?;
        for number in 0..SLOW_USERS {
            writeln!(file, "slow{number:06},\"{}\"", hash)?;
        }
        Ok(())
    })
}

/// Rows whose hashes are given, as another server's export has them.
pub fn hashed(path: &Path) -> Result<(), String> {
    write(path, |file| {
        writeln!(file, "username,password,email")?;
        for number in 0..USERS {
            let hash = proof::nt_hash(&format!("pw{number:06}"));
            write!(file, "moved{number:06},nt:")?;
            for octet in hash {
                write!(file, "{octet:02x}")?;
            }
            writeln!(file, ",moved{number:06}@example.org")?;
        }
        Ok(())
    })
}
