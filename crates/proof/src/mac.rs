//! Device addresses, in every spelling that NASes use, and the proof that consists of one.

use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::attempt::Attempt;
use crate::keys::Keys;
use crate::stored::Stored;
use crate::verify::{Outcome, verify};

/// A 48-bit device address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

/// The text is not a device address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a MAC address: expected twelve hexadecimal digits, as AA-BB-CC-DD-EE-FF or aabb.ccdd.eeff"
)]
pub struct NotAMac;

/// The spellings in use: octets in one group, and what stands between groups. The commonest first,
/// since CHAP has to try them one by one.
const SPELLINGS: [(usize, &str); 9] = [
    (6, ""),
    (1, "-"),
    (1, ":"),
    (2, "."),
    (2, "-"),
    (3, "-"),
    (2, ":"),
    (1, "."),
    (1, " "),
];

impl Mac {
    /// Reads an address: twelve hexadecimal digits in either case, with at most one separator
    /// (punctuation or a space) after each pair, spaces and zero octets around it ignored; or six
    /// raw octets.
    ///
    /// Six octets that are readable text are somebody's name and not an address: where a field is
    /// known to be raw, wrap it as `Mac(octets)` instead.
    pub fn parse(octets: &[u8]) -> Result<Mac, NotAMac> {
        if let Ok(raw) = <[u8; 6]>::try_from(octets)
            && !is_readable(&raw)
        {
            return Ok(Mac(raw));
        }
        match Mac::split(trim(octets)) {
            Some((mac, [])) => Ok(mac),
            _ => Err(NotAMac),
        }
    }

    /// Reads an address at the start of a text and gives what follows, as in Called-Station-Id
    /// `AA-BB-CC-DD-EE-FF:Guest`: one separator after the address is taken away. `None` if no
    /// address stands there, or if it runs on without a separator.
    pub fn split(text: &[u8]) -> Option<(Mac, &[u8])> {
        let mut rest = text;
        let mut mac = [0; 6];
        for (at, octet) in mac.iter_mut().enumerate() {
            if at > 0
                && let [first, after @ ..] = rest
                && is_separator(*first)
            {
                rest = after;
            }
            let [high, low, after @ ..] = rest else {
                return None;
            };
            *octet = hex_digit(*high)? << 4 | hex_digit(*low)?;
            rest = after;
        }
        match rest {
            [] => Some((Mac(mac), rest)),
            [first, after @ ..] if is_separator(*first) => Some((Mac(mac), after)),
            _ => None,
        }
        // "aa-bb-cc-dd-ee-ff-" would otherwise pass for a whole address.
        .filter(|(_, after)| !after.is_empty() || rest.is_empty())
    }

    /// The six octets.
    pub fn octets(&self) -> [u8; 6] {
        self.0
    }

    /// Whether the address was made up by the device (or its privacy setting) and not by its maker:
    /// such addresses change, so nothing should be bound to them for long.
    pub fn is_locally_administered(&self) -> bool {
        self.0[0] & 0x02 != 0
    }

    /// Whether this is a group address, which no device has as its own.
    pub fn is_multicast(&self) -> bool {
        self.0[0] & 0x01 != 0
    }

    /// Every spelling in use, each in lower and upper case: what a NAS may send as the password of
    /// a MAC authentication.
    pub fn spellings(&self) -> impl Iterator<Item = String> {
        let octets = self.0;
        SPELLINGS.into_iter().flat_map(move |(group, separator)| {
            [hex::encode, hex::encode_upper].map(|encode: fn([u8; 6]) -> String| {
                let digits = encode(octets);
                let mut text = String::with_capacity(17);
                for (at, digit) in digits.chars().enumerate() {
                    if at > 0 && at % (2 * group) == 0 {
                        text.push_str(separator);
                    }
                    text.push(digit);
                }
                text
            })
        })
    }
}

/// Checks a MAC authentication whose password must be the address itself, in whatever spelling.
pub fn verify_mab(mac: &Mac, attempt: &Attempt<'_>) -> bool {
    answer_mab(mac, attempt).is_right()
}

/// As [`verify_mab`], with the keys that MS-CHAP clients expect in the reply. Right or wrong, never
/// impossible.
pub fn answer_mab(mac: &Mac, attempt: &Attempt<'_>) -> Outcome {
    if let Attempt::Pap { password } = attempt {
        // Here six octets can be nothing but raw, readable or not.
        let is_raw = *password == mac.0;
        return match Mac::parse(password) {
            Ok(other) if other == *mac => Outcome::Right(Keys::None),
            _ if is_raw => Outcome::Right(Keys::None),
            _ => Outcome::Wrong,
        };
    }
    mac.spellings()
        .map(|text| verify(&Stored::Clear(Zeroizing::new(text.into_bytes())), attempt))
        .find(Outcome::is_right)
        .unwrap_or(Outcome::Wrong)
}

/// Text of six octets, such as a short user name: UTF-8 without control characters.
fn is_readable(octets: &[u8]) -> bool {
    std::str::from_utf8(octets).is_ok_and(|text| !text.chars().any(char::is_control))
}

fn is_separator(octet: u8) -> bool {
    octet.is_ascii_punctuation() || octet == b' '
}

fn hex_digit(octet: u8) -> Option<u8> {
    char::from(octet)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// Without spaces and zero octets around: some NASes end texts with a zero.
fn trim(mut octets: &[u8]) -> &[u8] {
    let is_blank = |octet: &u8| octet.is_ascii_whitespace() || *octet == 0;
    while let [first, rest @ ..] = octets
        && is_blank(first)
    {
        octets = rest;
    }
    while let [rest @ .., last] = octets
        && is_blank(last)
    {
        octets = rest;
    }
    octets
}

impl fmt::Display for Mac {
    /// `AA-BB-CC-DD-EE-FF` (RFC 3580 section 3.20).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02X}-{b:02X}-{c:02X}-{d:02X}-{e:02X}-{g:02X}")
    }
}

impl FromStr for Mac {
    type Err = NotAMac;

    fn from_str(text: &str) -> Result<Mac, NotAMac> {
        Mac::parse(text.as_bytes())
    }
}

impl From<[u8; 6]> for Mac {
    fn from(octets: [u8; 6]) -> Mac {
        Mac(octets)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::{chap, mschap};

    const DEVICE: Mac = Mac([0xaa, 0xbb, 0xcc, 0x0d, 0xee, 0x1f]);

    #[test]
    fn every_spelling_is_read() {
        fn check(text: &str) {
            assert_eq!(text.parse(), Ok(DEVICE), "{text:?}");
        }
        check("aabbcc0dee1f");
        check("AABBCC0DEE1F");
        check("aa-bb-cc-0d-ee-1f");
        check("AA-BB-CC-0D-EE-1F");
        check("aa:bb:cc:0d:ee:1f");
        check("AA:BB:CC:0D:EE:1F");
        check("aabb.cc0d.ee1f");
        check("aabb-cc0d-ee1f");
        check("aabb:cc0d:ee1f");
        check("aabbcc-0dee1f");
        check("aa.bb.cc.0d.ee.1f");
        check("aa bb cc 0d ee 1f");
        check("Aa_bB_cC_0D_eE_1F");
        check(" aabbcc0dee1f\0");
        assert_eq!(Mac::parse(&DEVICE.octets()), Ok(DEVICE));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        fn check(text: &[u8]) {
            assert_eq!(Mac::parse(text), Err(NotAMac), "{text:?}");
        }
        check(b"");
        check(b"aabbcc0dee1");
        check(b"aabbcc0dee1f0");
        check(b"aa--bb-cc-0d-ee-1f");
        check(b"-aa-bb-cc-0d-ee-1f");
        check(b"aa-bb-cc-0d-ee-1f-");
        check(b"a-abb-cc-0d-ee-1f");
        check(b"aa-bb-cc-0d-ee-1g");
        check(b"aaxbbxccx0dxeex1f");
        check("aa‐bb‐cc‐0d‐ee‐1f".as_bytes());
        check(b"AA-BB-CC-0D-EE-1F:Guest");
        check(b"+a-bb-cc-0d-ee-1f");
        // six octets that are somebody's name
        check(b"bob123");
        check(b"abcdef");
        check("Zoë12".as_bytes());
        check(b"\xaa\xbb\xcc\x0d\xee");
    }

    #[test]
    fn an_address_at_the_start_is_split_off() {
        assert_eq!(
            Mac::split(b"AA-BB-CC-0D-EE-1F:Guest WiFi"),
            Some((DEVICE, &b"Guest WiFi"[..]))
        );
        assert_eq!(Mac::split(b"aabbcc0dee1f#-x"), Some((DEVICE, &b"-x"[..])));
        assert_eq!(Mac::split(b"aabbcc0dee1f"), Some((DEVICE, &b""[..])));
        assert_eq!(Mac::split(b"aabbcc0dee1fa"), None);
        assert_eq!(Mac::split(b"Guest WiFi"), None);
        assert_eq!(Mac::split(b"10.20.30.40"), None);
    }

    #[test]
    fn made_up_and_group_addresses_are_told_apart() {
        assert!(DEVICE.is_locally_administered());
        assert!(!Mac([0x00, 1, 2, 3, 4, 5]).is_locally_administered());
        assert!(Mac([0x01, 0, 0x5e, 0, 0, 1]).is_multicast());
        assert!(!DEVICE.is_multicast());
    }

    #[test]
    fn spellings_are_distinct_and_in_both_cases() {
        let spellings: BTreeSet<String> = DEVICE.spellings().collect();
        assert_eq!(spellings.len(), 2 * SPELLINGS.len());
        for expect in [
            "aabbcc0dee1f",
            "AA-BB-CC-0D-EE-1F",
            "aabb.cc0d.ee1f",
            "AABBCC-0DEE1F",
        ] {
            assert!(spellings.contains(expect), "{expect}");
        }
    }

    #[test]
    fn the_address_proves_itself_by_every_method_and_in_every_spelling() {
        let other = Mac([0xaa, 0xbb, 0xcc, 0x0d, 0xee, 0x1e]);
        for text in DEVICE.spellings() {
            let pap = Attempt::Pap {
                password: text.as_bytes(),
            };
            let response = chap::response(9, text.as_bytes(), b"challenge");
            let chap = Attempt::Chap {
                ident: 9,
                response: &response,
                challenge: b"challenge",
            };
            let response = mschap::nt_response(&[3; 8], &text);
            let mschap = Attempt::MsChap {
                challenge: &[3; 8],
                nt_response: &response,
            };
            let response = mschap::nt_response_v2(&[1; 16], &[2; 16], text.as_bytes(), &text);
            let v2 = Attempt::MsChapV2 {
                ident: 1,
                authenticator_challenge: &[1; 16],
                peer_challenge: &[2; 16],
                nt_response: &response,
                user_name: text.as_bytes(),
            };
            for attempt in [pap, chap, mschap, v2] {
                assert!(
                    verify_mab(&DEVICE, &attempt),
                    "{text} by {}",
                    attempt.method().name()
                );
                assert!(
                    !verify_mab(&other, &attempt),
                    "{text} by {}",
                    attempt.method().name()
                );
            }
            assert!(matches!(
                answer_mab(&DEVICE, &v2),
                Outcome::Right(Keys::MsChapV2(_))
            ));
        }
        assert!(!verify_mab(&DEVICE, &Attempt::Pap { password: b"" }));
        assert!(verify_mab(
            &DEVICE,
            &Attempt::Pap {
                password: &DEVICE.0
            }
        ));
        assert!(verify_mab(
            &Mac(*b"bob123"),
            &Attempt::Pap {
                password: b"bob123"
            }
        ));
        assert!(!verify_mab(
            &DEVICE,
            &Attempt::MsChap {
                challenge: &[0; 8],
                nt_response: &[0; 24]
            }
        ));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(octets: [u8; 6]) {
            let mac = Mac(octets);
            prop_assert_eq!(mac.to_string().parse(), Ok(mac));
            for text in mac.spellings() {
                prop_assert_eq!(Mac::parse(text.as_bytes()), Ok(mac));
            }
        }

        #[test]
        fn no_input_breaks_the_reader(octets in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some((_, rest)) = Mac::split(&octets) {
                prop_assert!(rest.len() + 12 <= octets.len());
            }
            let _ = Mac::parse(&octets);
        }
    }
}
