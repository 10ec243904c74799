//! Octets of devices become text that people read and both engines store.
//!
//! Devices send NULs at the end, Latin-1, binary ids. PostgreSQL takes no NUL in text: none may leave this file.

use super::number;
use proof::Mac;
use radius_wire::{Packet, dictionary::Dictionary};

/// Text of an attribute: NULs at its ends cut, the rest shown as well as can be; none when nothing is left.
pub fn text(octets: &[u8]) -> Option<String> {
    let octets = trim_nul(octets);
    let text = String::from_utf8_lossy(octets).replace('\0', "\u{fffd}");
    (!text.trim().is_empty()).then_some(text)
}

/// Acct-Session-Id: as text where it is printable, else its octets as hex digits.
pub fn session_id(octets: &[u8]) -> Option<String> {
    let printable = |text: &&str| !text.is_empty() && !text.chars().any(char::is_control);
    match std::str::from_utf8(trim_nul(octets)).ok().filter(printable) {
        Some(text) => Some(text.to_owned()),
        None => octets
            .iter()
            .any(|octet| *octet != 0)
            .then(|| hex::encode(octets)),
    }
}

/// Who a session is of, apart from its id: the MAC in Calling-Station-Id, else that attribute's text, else the user's
/// name, else nothing.
pub fn identity(calling_station_id: Option<&[u8]>, username: Option<&str>) -> String {
    let calling = calling_station_id.map(trim_nul).unwrap_or_default();
    mac(calling)
        .map(|mac| mac.to_string())
        .or_else(|| text(calling))
        .or_else(|| username.map(str::to_owned))
        .unwrap_or_default()
}

/// The device's address, alone or at the start (`MAC IP`).
pub fn mac(octets: &[u8]) -> Option<Mac> {
    Mac::parse(octets)
        .ok()
        .or_else(|| Mac::split(octets).map(|(mac, _)| mac))
}

/// The first value of an attribute that is text.
pub fn first_text(packet: Packet<'_>, kind: u8) -> Option<String> {
    packet.all(kind).find_map(text)
}

/// The first value of an attribute, as the dictionary writes it: a name for a number that has one.
pub fn named(packet: Packet<'_>, kind: u8) -> Option<String> {
    let octets = packet.first(kind)?;
    match Dictionary::builtin().standard(kind.into()) {
        Some(attribute) => text(attribute.format_value(octets).as_bytes()),
        None => text(octets),
    }
}

/// Every Class (RFC 2865 §5.25) as hex digits, commas between.
pub fn class(packet: Packet<'_>) -> Option<String> {
    let values: Vec<String> = packet.all(number::CLASS).map(hex::encode).collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// The realm of `user@realm`, folded; names compare without case (RFC 7542 §2.4).
pub fn realm(username: &str) -> Option<String> {
    let (_, realm) = username.rsplit_once('@')?;
    (!realm.is_empty()).then(|| realm.to_lowercase())
}

fn trim_nul(octets: &[u8]) -> &[u8] {
    let start = octets
        .iter()
        .position(|octet| *octet != 0)
        .unwrap_or(octets.len());
    let end = octets
        .iter()
        .rposition(|octet| *octet != 0)
        .map_or(start, |last| last + 1);
    &octets[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_holds_no_nul_and_is_never_empty() {
        let table: [(&[u8], Option<&str>); 6] = [
            (b"bob", Some("bob")),
            (b"bob\0\0", Some("bob")),
            (b"a\0b", Some("a\u{fffd}b")),
            (b"caf\xe9", Some("caf\u{fffd}")),
            (b"", None),
            (b"\0 \0", None),
        ];
        for (octets, expect) in table {
            assert_eq!(text(octets).as_deref(), expect, "{octets:?}");
        }
    }

    #[test]
    fn a_session_id_is_text_or_hex() {
        let table: [(&[u8], Option<&str>); 6] = [
            (b"5f-01", Some("5f-01")),
            (b"5f\0", Some("5f")),
            (b"\x01\x02", Some("0102")),
            (b"ab\x00cd", Some("6162006364")),
            (b"\xff\xfe", Some("fffe")),
            (b"\0\0", None),
        ];
        for (octets, expect) in table {
            assert_eq!(session_id(octets).as_deref(), expect, "{octets:?}");
        }
    }

    #[test]
    fn the_identity_is_the_device_else_the_caller_else_the_user() {
        type Case<'a> = (Option<&'a [u8]>, Option<&'a str>, &'a str);
        let table: [Case<'_>; 6] = [
            (Some(b"02:00:00:AA:bb:01"), Some("bob"), "02-00-00-AA-BB-01"),
            (Some(b"0200.00aa.bb01\0"), Some("bob"), "02-00-00-AA-BB-01"),
            (
                Some(b"02-00-00-aa-bb-01 10.0.0.7"),
                None,
                "02-00-00-AA-BB-01",
            ),
            (Some(b"10.0.0.7"), Some("bob"), "10.0.0.7"),
            (Some(b"\0"), Some("bob"), "bob"),
            (None, None, ""),
        ];
        for (calling, username, expect) in table {
            assert_eq!(identity(calling, username), expect, "{calling:?}");
        }
    }

    #[test]
    fn a_realm_follows_the_last_at() {
        assert_eq!(realm("bob@Example.org").as_deref(), Some("example.org"));
        assert_eq!(realm("a@b@c").as_deref(), Some("c"));
        assert_eq!(realm("bob@"), None);
        assert_eq!(realm("bob"), None);
    }
}
