//! The keys that a right MS-CHAP answer yields. Wiped from memory when dropped.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What the reply must carry besides the verdict.
#[derive(Clone)]
pub enum Keys {
    /// PAP and CHAP yield no keys.
    None,
    /// From MS-CHAP version 1.
    MsChap(MsChapKeys),
    /// From MS-CHAP version 2.
    MsChapV2(MsChapV2Keys),
}

/// Keys of MS-CHAP version 1.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MsChapKeys {
    pub(crate) content: [u8; 24],
}

impl MsChapKeys {
    /// Content of MS-CHAP-MPPE-Keys (RFC 2548 section 2.4.1): 8 octets LM key (zero) and 16 octets
    /// NT key. It is hidden like a User-Password, which pads it to 32 octets.
    pub fn content(&self) -> &[u8; 24] {
        &self.content
    }
}

/// Keys of MS-CHAP version 2, as the server holds them.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MsChapV2Keys {
    pub(crate) authenticator_response: [u8; 42],
    pub(crate) master: [u8; 16],
    pub(crate) send: [u8; 16],
    pub(crate) receive: [u8; 16],
}

impl MsChapV2Keys {
    /// `S=` and forty hexadecimal digits, 42 characters: goes into MS-CHAP2-Success behind the
    /// identifier, or into an EAP-MSCHAPv2 Success Request.
    pub fn authenticator_response(&self) -> &str {
        std::str::from_utf8(&self.authenticator_response).unwrap_or_default()
    }

    /// The master key (RFC 3079 section 3.4).
    pub fn master_key(&self) -> &[u8; 16] {
        &self.master
    }

    /// For MS-MPPE-Send-Key (RFC 2548 section 2.4.2).
    pub fn send_key(&self) -> &[u8; 16] {
        &self.send
    }

    /// For MS-MPPE-Recv-Key (RFC 2548 section 2.4.3).
    pub fn receive_key(&self) -> &[u8; 16] {
        &self.receive
    }

    /// The master session key of EAP-MSCHAPv2 (RFC 3748 section 7.10): receive key, send key, and
    /// 32 zero octets.
    pub fn session_key(&self) -> Zeroizing<[u8; 64]> {
        let mut key = Zeroizing::new([0; 64]);
        key[..16].copy_from_slice(&self.receive);
        key[16..32].copy_from_slice(&self.send);
        key
    }
}
