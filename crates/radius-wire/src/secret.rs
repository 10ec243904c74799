//! The shared secret of one NAS and one server.
//!
//! Must never be printed: the type has no `Debug` and no `Display`, and its
//! octets are overwritten when it is dropped.

use hmac::{Hmac, KeyInit};
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Block size of MD5, to which HMAC pads its key (RFC 2104 §2).
pub(crate) const KEY_BLOCK_OCTETS: usize = 64;

/// A shared secret (RFC 2865 §3). Any octets are allowed.
#[derive(Clone)]
pub struct Secret {
    octets: Zeroizing<Vec<u8>>,
    /// HMAC-MD5 with the key taken in: saves two digest blocks of every Message-Authenticator. Erased like the octets.
    keyed: Hmac<Md5>,
}

impl Secret {
    /// Takes the octets over. The caller's other copies, if any, stay the
    /// caller's to erase.
    pub fn new(octets: impl Into<Vec<u8>>) -> Secret {
        let octets = Zeroizing::new(octets.into());
        let keyed = keyed_hmac(&octets);
        Secret { octets, keyed }
    }

    /// HMAC-MD5 that has taken the key in and nothing else.
    pub(crate) fn keyed(&self) -> Hmac<Md5> {
        self.keyed.clone()
    }

    /// The octets, for digests only.
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets
    }

    /// Length in octets.
    pub fn len(&self) -> usize {
        self.octets.len()
    }

    /// Whether there is no secret at all, which RFC 2865 §3 forbids.
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Compares in constant time; only the lengths can be told from the time.
    pub fn same_as(&self, other: &Secret) -> bool {
        bool::from(self.octets.ct_eq(&other.octets))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // Another key's state over this one's; looked at, so that it is not left out as needless. The digest crate's own
        // way would erase after each of the million digests a second, too.
        self.keyed = keyed_hmac(&[]);
        std::hint::black_box(&self.keyed);
    }
}

fn keyed_hmac(key: &[u8]) -> Hmac<Md5> {
    // HMAC pads or digests its key to one block; doing so here leaves no way to fail.
    let mut block = Zeroizing::new([0; KEY_BLOCK_OCTETS]);
    match block.get_mut(..key.len()) {
        Some(start) => start.copy_from_slice(key),
        None => block[..16].copy_from_slice(&Md5::digest(key)),
    }
    Hmac::<Md5>::new((&*block).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_compare_by_all_their_octets() {
        let secret = Secret::new("testing123");
        assert!(secret.same_as(&Secret::new(b"testing123".to_vec())));
        assert!(!secret.same_as(&Secret::new("testing124")));
        assert!(!secret.same_as(&Secret::new("testing12")));
        assert_eq!(secret.len(), 10);
        assert!(Secret::new("").is_empty());
    }
}
