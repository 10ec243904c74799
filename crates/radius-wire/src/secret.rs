//! The shared secret of one NAS and one server.
//!
//! Must never be printed: the type has no `Debug` and no `Display`, and its
//! octets are overwritten when it is dropped.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A shared secret (RFC 2865 §3). Any octets are allowed.
#[derive(Clone)]
pub struct Secret {
    octets: Zeroizing<Vec<u8>>,
}

impl Secret {
    /// Takes the octets over. The caller's other copies, if any, stay the
    /// caller's to erase.
    pub fn new(octets: impl Into<Vec<u8>>) -> Secret {
        Secret {
            octets: Zeroizing::new(octets.into()),
        }
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
