//! Identifiers: the names by which a person is found, and how two spellings are compared.
//!
//! A value is kept as it was given, and beside it *folded*: the one spelling that is compared and must be unique in
//! its realm. The realm is an organisation with a namespace of its own, or none for the namespace that the server's
//! other organisations share. Folding must **never** change a username: `Alice` and `alice` are two people.

use serde::Serialize;
use std::borrow::Cow;

/// Longest username, in characters: what clients of the REST API have always been held to.
pub const MAX_USERNAME_CHARACTERS: usize = 150;
/// Longest e-mail address, in octets (RFC 5321 section 4.5.3.1.3, without the angle brackets).
pub const MAX_EMAIL_OCTETS: usize = 254;
/// Longest part before the `@`, in octets (RFC 5321 section 4.5.3.1.1).
const MAX_LOCAL_PART_OCTETS: usize = 64;
/// Most digits of a phone number with its country code (ITU-T E.164).
const MAX_PHONE_DIGITS: usize = 15;
/// Fewest digits: the smallest countries have four after a code of three.
const MIN_PHONE_DIGITS: usize = 7;
/// Longest phone number as people write it, with blanks and dashes.
const MAX_PHONE_OCTETS: usize = 40;
/// Longest device address as written.
const MAX_MAC_OCTETS: usize = 32;

/// What kind of name an identifier is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Compared exactly.
    Username,
    /// Compared without regard to capital letters.
    Email,
    /// Compared as E.164.
    Phone,
    /// A device's address, compared as six octets.
    Mac,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 4] = [Kind::Username, Kind::Email, Kind::Phone, Kind::Mac];

    /// The word in the database and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Username => "username",
            Kind::Email => "email",
            Kind::Phone => "phone",
            Kind::Mac => "mac",
        }
    }

    /// The kind as part of a sentence.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Username => "username",
            Kind::Email => "e-mail address",
            Kind::Phone => "phone number",
            Kind::Mac => "MAC address",
        }
    }

    /// The kind of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// The spelling that is compared: a username as it is, an e-mail address in small letters, a phone number as `+` and
/// digits, a device's address as `AA-BB-CC-DD-EE-FF`.
///
/// # Errors
/// A sentence that names the kind and says what is wrong.
pub fn fold(kind: Kind, value: &str) -> Result<String, String> {
    folded(kind, value).map(Cow::into_owned)
}

/// The same, borrowed where folding changes nothing: for names that are looked up for every request.
///
/// # Errors
/// As [`fold`].
pub fn folded(kind: Kind, value: &str) -> Result<Cow<'_, str>, String> {
    match kind {
        Kind::Username => check_username(value).map(|()| Cow::Borrowed(value)),
        Kind::Email => {
            check_email(value)?;
            Ok(if value.bytes().all(is_small) {
                Cow::Borrowed(value)
            } else {
                Cow::Owned(value.to_lowercase())
            })
        }
        Kind::Phone => fold_phone(value).map(Cow::Owned),
        Kind::Mac => fold_mac(value).map(Cow::Owned),
    }
}

/// An octet of ASCII that has no other small letter.
fn is_small(octet: u8) -> bool {
    octet.is_ascii() && !octet.is_ascii_uppercase()
}

/// A folded name in small letters, as the column `twin` holds it: what two names share that differ in capital letters
/// only. Made here and never by an engine: one of them knows no small letters beyond ASCII.
pub(crate) fn twin(folded: &str) -> String {
    folded.to_lowercase()
}

fn check_username(value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err("username: it is empty".into());
    }
    if value.chars().count() > MAX_USERNAME_CHARACTERS {
        return Err(format!(
            "username: it has more than {MAX_USERNAME_CHARACTERS} characters"
        ));
    }
    if value.chars().any(char::is_control) {
        return Err("username: it contains a control character".into());
    }
    if value.trim() != value {
        return Err(format!(
            "username '{value}': it begins or ends with a blank"
        ));
    }
    Ok(())
}

fn check_email(value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err("e-mail address: it is empty".into());
    }
    if value.len() > MAX_EMAIL_OCTETS {
        return Err(format!(
            "e-mail address: it has more than {MAX_EMAIL_OCTETS} octets"
        ));
    }
    if value.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("e-mail address: it contains a blank or a control character".into());
    }
    let refuse = |reason: &str| Err(format!("e-mail address '{value}': {reason}"));
    let Some((local, domain)) = value.rsplit_once('@') else {
        return refuse("it has no @");
    };
    if local.is_empty()
        || local.len() > MAX_LOCAL_PART_OCTETS
        || local.contains(['@', '<', '>', ','])
    {
        return refuse("the part before the @ is malformed");
    }
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    if !domain.split('.').all(label) {
        return refuse("the part after the @ is not a domain");
    }
    Ok(())
}

fn fold_phone(value: &str) -> Result<String, String> {
    let value = value.trim();
    if value.is_empty() {
        return Err("phone number: it is empty".into());
    }
    if value.len() > MAX_PHONE_OCTETS {
        return Err(format!(
            "phone number: it has more than {MAX_PHONE_OCTETS} octets"
        ));
    }
    let refuse = |reason: &str| Err(format!("phone number '{value}': {reason}"));
    let Some(rest) = value.strip_prefix('+').or_else(|| value.strip_prefix("00")) else {
        return refuse("write it with + and the country code, such as +39 06 12345678");
    };
    let mut folded = String::with_capacity(1 + MAX_PHONE_DIGITS);
    folded.push('+');
    for character in rest.chars() {
        match character {
            '0'..='9' => folded.push(character),
            ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}' => {}
            _ => return refuse("it contains something other than digits"),
        }
    }
    if folded.starts_with("+0") {
        return refuse("no country code begins with 0");
    }
    if !(MIN_PHONE_DIGITS..=MAX_PHONE_DIGITS).contains(&(folded.len() - 1)) {
        return refuse("it has 7 to 15 digits with its country code");
    }
    Ok(folded)
}

fn fold_mac(value: &str) -> Result<String, String> {
    let value = value.trim();
    if value.is_empty() {
        return Err("MAC address: it is empty".into());
    }
    if value.len() > MAX_MAC_OCTETS {
        return Err(format!(
            "MAC address: it has more than {MAX_MAC_OCTETS} octets"
        ));
    }
    // Raw octets are an address on the wire; in a text they are a mistake.
    let is_text = value
        .bytes()
        .all(|octet| octet.is_ascii_graphic() || octet == b' ');
    match proof::Mac::parse(value.as_bytes()) {
        Ok(mac) if is_text => Ok(mac.to_string()),
        _ => Err(format!(
            "MAC address '{}': write it as AA-BB-CC-DD-EE-FF",
            value.escape_debug()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, value: &str, expect: Option<&str>) {
        assert_eq!(
            fold(kind, value).ok().as_deref(),
            expect,
            "{kind:?} {value:?}"
        );
    }

    #[test]
    fn a_username_is_compared_as_it_is() {
        check(Kind::Username, "Alice", Some("Alice"));
        check(Kind::Username, "anna maria@isp", Some("anna maria@isp"));
        check(Kind::Username, "Ünal", Some("Ünal"));
        check(Kind::Username, &"ü".repeat(150), Some(&"ü".repeat(150)));
        check(Kind::Username, &"ü".repeat(151), None);
        check(Kind::Username, "", None);
        check(Kind::Username, " alice", None);
        check(Kind::Username, "alice\n", None);
        check(Kind::Username, "al\0ice", None);
    }

    #[test]
    fn an_email_address_is_compared_in_small_letters() {
        check(Kind::Email, "Alice@Example.ORG", Some("alice@example.org"));
        check(Kind::Email, "a+b@localhost", Some("a+b@localhost"));
        check(
            Kind::Email,
            "josé@bücher.example",
            Some("josé@bücher.example"),
        );
        for wrong in [
            "",
            "alice",
            "@x.org",
            "a@",
            "a@b@c.org",
            "a b@c.org",
            "a@-x.org",
            "a@x..org",
            "a@x.org,b@x.org",
        ] {
            check(Kind::Email, wrong, None);
        }
        check(
            Kind::Email,
            &format!("{}@x.org", "a".repeat(64)),
            Some(&format!("{}@x.org", "a".repeat(64))),
        );
        check(Kind::Email, &format!("{}@x.org", "a".repeat(65)), None);
        check(Kind::Email, &format!("a@{}.org", "x".repeat(254)), None);
    }

    #[test]
    fn a_phone_number_is_compared_as_e164() {
        check(Kind::Phone, "+39 (06) 1234-5678", Some("+390612345678"));
        check(Kind::Phone, "00390612345678", Some("+390612345678"));
        for wrong in [
            "",
            "0612345678",
            "+0612345678",
            "+39",
            "+1234567890123456",
            "+39 call me",
            "++390612345678",
        ] {
            check(Kind::Phone, wrong, None);
        }
    }

    #[test]
    fn a_device_address_has_one_spelling() {
        for spelling in [
            "aa:bb:cc:dd:ee:ff",
            "AABBCCDDEEFF",
            "aabb.ccdd.eeff",
            "AA-BB-CC-DD-EE-FF",
        ] {
            check(Kind::Mac, spelling, Some("AA-BB-CC-DD-EE-FF"));
        }
        for wrong in [
            "",
            "bob123",
            "bob\u{1}23",
            "aa:bb:cc:dd:ee",
            "zz:bb:cc:dd:ee:ff",
        ] {
            check(Kind::Mac, wrong, None);
        }
    }

    #[test]
    fn a_name_that_folding_leaves_alone_is_borrowed() {
        for (kind, value, is_borrowed) in [
            (Kind::Username, "Alice", true),
            (Kind::Email, "alice@example.org", true),
            (Kind::Email, "Alice@example.org", false),
            (Kind::Email, "Édith@example.org", false),
        ] {
            let folded = folded(kind, value).ok();
            let borrowed = matches!(folded, Some(Cow::Borrowed(_)));
            assert_eq!(borrowed, is_borrowed, "{value}");
            assert_eq!(folded.map(Cow::into_owned), fold(kind, value).ok());
        }
    }

    #[test]
    fn a_refusal_names_the_kind() {
        for kind in Kind::ALL {
            assert!(fold(kind, "").is_err_and(|reason| reason.starts_with(kind.title())));
            assert_eq!(Kind::from_word(kind.word()), Some(kind));
        }
    }
}
