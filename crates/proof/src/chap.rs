//! CHAP (RFC 1994, RFC 2865 section 5.3).

use md5::{Digest as _, Md5};

/// The response to a challenge: MD5 over identifier, password and challenge. Both halves use it;
/// it can be computed from the clear password only.
pub fn response(ident: u8, password: &[u8], challenge: &[u8]) -> [u8; 16] {
    Md5::new()
        .chain_update([ident])
        .chain_update(password)
        .chain_update(challenge)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ident: u8, password: &str, challenge: &str, expect: &str) {
        let challenge = hex::decode(challenge).unwrap();
        assert_eq!(
            hex::encode(response(ident, password.as_bytes(), &challenge)),
            expect
        );
    }

    #[test]
    fn published_responses_are_reproduced() {
        // RFC 2865 section 7.2
        check(
            0x16,
            "arctangent",
            "2aee86f08d0d55969ca5978e0d3367a2",
            "e97557c316185895f293ff6344077275",
        );
        check(
            7,
            "bob",
            "000102030405060708090a0b0c0d0e0f",
            "1e1b2c90d1513f724eb387085cd1bbc9",
        );
    }
}
