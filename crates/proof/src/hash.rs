//! What is written when a password is set, and the work done when there is nothing to check.

use std::hint::black_box;

use argon2::{Algorithm, Argon2, Version};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use zeroize::Zeroizing;

use crate::argon_memory;
use crate::bounds::{MAX_ARGON2_LANES, MAX_MEMORY_KIB, MAX_WORK_KIB, is_examined};
use crate::parse::{CLEAR_MARK, NT_MARK};

/// Length of the hashes written, in octets.
const HASH_OCTETS: usize = 32;

/// Salt of the work done for unknown users. Its value does not matter, since the result is thrown
/// away.
const NOBODYS_SALT: [u8; 16] = *b"nobody's salt 16";

/// Cost of new argon2id hashes, checked against the limits that reading them back obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Params {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Default for Argon2Params {
    /// 19 MiB, two passes, one lane: the least that OWASP advises, which leaves room for many
    /// logins at once.
    fn default() -> Argon2Params {
        Argon2Params {
            memory_kib: 19_456,
            passes: 2,
            lanes: 1,
        }
    }
}

impl Argon2Params {
    /// Parameters other than the default. Fails where the algorithm cannot (memory below 8 KiB for
    /// each lane, nothing at all) or [`crate::bounds`] does not allow it. How little is too little
    /// for safety is for the settings to say.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Argon2Params, HashRefused> {
        let too_costly = memory_kib > MAX_MEMORY_KIB
            || lanes > MAX_ARGON2_LANES
            || u64::from(memory_kib) * u64::from(passes) > MAX_WORK_KIB;
        if too_costly || argon2::Params::new(memory_kib, passes, lanes, Some(HASH_OCTETS)).is_err()
        {
            return Err(HashRefused::Parameters);
        }
        Ok(Argon2Params {
            memory_kib,
            passes,
            lanes,
        })
    }

    /// Memory, in KiB.
    pub fn memory_kib(&self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    pub fn passes(&self) -> u32 {
        self.passes
    }

    /// Lanes, computed one after the other here.
    pub fn lanes(&self) -> u32 {
        self.lanes
    }

    fn run(&self, password: &[u8], salt: &[u8; 16]) -> Result<[u8; HASH_OCTETS], argon2::Error> {
        let params =
            argon2::Params::new(self.memory_kib, self.passes, self.lanes, Some(HASH_OCTETS))?;
        let mut hash = [0; HASH_OCTETS];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon_memory::hash_into(&argon2, password, salt, &mut hash)?;
        Ok(hash)
    }
}

/// Why a password was not hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashRefused {
    /// Empty, or longer than [`crate::bounds::MAX_PASSWORD_OCTETS`]: could never be verified.
    #[error(
        "the password is empty or longer than {} octets",
        crate::bounds::MAX_PASSWORD_OCTETS
    )]
    Length,
    /// Cost parameters outside what the algorithm or the limits allow.
    #[error(
        "the argon2 parameters are out of range: memory from 8 KiB for each lane to \
         {MAX_MEMORY_KIB} KiB, lanes from 1 to {MAX_ARGON2_LANES}, memory times passes at most \
         {MAX_WORK_KIB} KiB"
    )]
    Parameters,
}

/// Hashes a password with argon2id, as a PHC string. `salt` comes from the caller's random source
/// and must be new for each password.
pub fn hash_password(
    password: &[u8],
    salt: [u8; 16],
    params: Argon2Params,
) -> Result<String, HashRefused> {
    if !is_examined(password) {
        return Err(HashRefused::Length);
    }
    let hash = params
        .run(password, &salt)
        .map_err(|_| HashRefused::Parameters)?;
    Ok(format!(
        "$argon2id$v=19$m={},t={},p={}${}${}",
        params.memory_kib,
        params.passes,
        params.lanes,
        BASE64_STANDARD_NO_PAD.encode(salt),
        BASE64_STANDARD_NO_PAD.encode(hash)
    ))
}

/// The text form of an NT hash, for people who may use MS-CHAP. As good as the password: seal it.
pub fn nt_text(hash: &[u8; 16]) -> Zeroizing<String> {
    let mut text = String::with_capacity(NT_MARK.len() + 32);
    text.push_str(NT_MARK);
    text.push_str(&Zeroizing::new(hex::encode(hash)));
    Zeroizing::new(text)
}

/// The text form of a clear password, for people who may use CHAP: seal it.
pub fn clear_text(password: &str) -> Result<Zeroizing<String>, HashRefused> {
    if !is_examined(password.as_bytes()) {
        return Err(HashRefused::Length);
    }
    let mut text = String::with_capacity(CLEAR_MARK.len() + password.len());
    text.push_str(CLEAR_MARK);
    text.push_str(password);
    Ok(Zeroizing::new(text))
}

/// The work of verifying a password against a hash of default cost, for users who do not exist, so
/// that the time taken does not tell who does.
pub fn verify_nothing(password: &[u8]) {
    verify_nothing_as(password, Argon2Params::default());
}

/// As [`verify_nothing`], at the cost that this house's hashes have.
pub fn verify_nothing_as(password: &[u8], params: Argon2Params) {
    // A real verification skips the same lengths.
    if is_examined(password) {
        let _ = black_box(params.run(black_box(password), &NOBODYS_SALT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::MAX_PASSWORD_OCTETS;
    use crate::stored::{Form, Stored};

    #[test]
    fn a_hash_says_how_it_was_made_and_reads_back() {
        let text = hash_password(b"secret", [7; 16], Argon2Params::default()).unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$BwcHBwcHBwcHBwcHBwcHBw$"));
        assert_eq!(
            Stored::parse(&text).map(|s| s.form()).ok(),
            Some(Form::Argon2)
        );
    }

    #[test]
    fn passwords_that_could_never_be_verified_are_not_hashed() {
        let params = Argon2Params::new(8, 1, 1).unwrap();
        let longest = vec![b'x'; MAX_PASSWORD_OCTETS + 1];
        assert_eq!(
            hash_password(b"", [0; 16], params),
            Err(HashRefused::Length)
        );
        assert_eq!(
            hash_password(&longest, [0; 16], params),
            Err(HashRefused::Length)
        );
        assert!(hash_password(&longest[1..], [0; 16], params).is_ok());
        assert_eq!(clear_text("").err(), Some(HashRefused::Length));
    }

    #[test]
    fn parameters_outside_the_limits_are_refused() {
        fn check(memory_kib: u32, passes: u32, lanes: u32, expect: bool) {
            assert_eq!(
                Argon2Params::new(memory_kib, passes, lanes).is_ok(),
                expect,
                "m={memory_kib} t={passes} p={lanes}"
            );
        }
        check(8, 1, 1, true);
        check(7, 1, 1, false);
        check(8, 1, 2, false);
        check(8, 0, 1, false);
        check(8, 1, 0, false);
        check(512, 1, 64, true);
        check(520, 1, 65, false);
        check(1 << 20, 4, 1, true);
        check(1 << 20, 5, 1, false);
        check((1 << 20) + 1, 1, 1, false);
        check(u32::MAX, u32::MAX, u32::MAX, false);
    }

    #[test]
    fn marked_texts_read_back() {
        let hash = crate::nt_hash("MyPw");
        assert_eq!(*nt_text(&hash), "nt:fc156af7edcd6c0edde3337d427f4eac");
        assert!(matches!(Stored::parse(&nt_text(&hash)), Ok(Stored::NtHash(h)) if *h == hash));
        let clear = clear_text("a$b {c}").unwrap();
        assert!(matches!(Stored::parse(&clear), Ok(Stored::Clear(c)) if *c == b"a$b {c}"));
    }
}
