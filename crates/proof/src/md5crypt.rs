//! MD5-crypt (`$1$` and `$apr1$`): a thousand rounds of MD5, for hashes that others wrote. Nothing
//! new is ever stored this way.

use md5::{Digest as _, Md5};
use zeroize::Zeroizing;

use crate::crypt64;

/// Length of the digest, in octets.
pub(crate) const OCTETS: usize = 16;

/// Rounds, fixed by the scheme.
const ROUNDS: u32 = 1000;

/// The last field of the stored text for this password: 22 characters.
pub(crate) fn hash(password: &[u8], magic: &str, salt: &[u8]) -> Vec<u8> {
    let inner = Md5::new()
        .chain_update(password)
        .chain_update(salt)
        .chain_update(password);
    let inner: [u8; OCTETS] = inner.finalize().into();

    let mut outer = Md5::new()
        .chain_update(password)
        .chain_update(magic)
        .chain_update(salt);
    for at in (0..password.len()).step_by(OCTETS) {
        outer.update(&inner[..OCTETS.min(password.len() - at)]);
    }
    // One octet for each bit of the length: a zero for a one, the first of the password for a zero.
    let mut bits = password.len();
    while bits > 0 {
        match password.first() {
            Some(first) if bits & 1 == 0 => outer.update([*first]),
            _ => outer.update([0]),
        }
        bits >>= 1;
    }
    let mut digest: Zeroizing<[u8; OCTETS]> = Zeroizing::new(outer.finalize().into());

    for round in 0..ROUNDS {
        let odd = round % 2 == 1;
        let mut md5 = Md5::new();
        md5.update(if odd { password } else { digest.as_slice() });
        if round % 3 != 0 {
            md5.update(salt);
        }
        if round % 7 != 0 {
            md5.update(password);
        }
        md5.update(if odd { digest.as_slice() } else { password });
        *digest = md5.finalize().into();
    }
    crypt64::md5(&digest)
}
