//! Reading rules: text to rows, and what makes a row sound.
//!
//! A line is `Attribute op value`; a value may stand in double quotes (with `\"`, `\\`, `\n`, `\r`, `\t`) or in single
//! quotes (as it is). Empty lines and lines that begin with `#` are skipped. Every error is one sentence.

use super::check::{Check, control, internal};
use super::op::{Op, Side};
use super::reply::ReplyRow;
use super::{MAX_ROWS, Row};
use radius_wire::Hide;
use radius_wire::dictionary::{Attribute, Carrier, Dictionary};
use std::sync::Arc;

/// Longest value, in octets. A packet has 4096; long text is split only for Reply-Message.
pub const MAX_VALUE_OCTETS: usize = 1_024;

/// What the server itself puts in every reply that needs it: a row would break the protocol.
const OWN_ATTRIBUTES: [u8; 6] = [2, 3, 24, 33, 79, 80];

/// Where a password would lie as a check in FreeRADIUS: here it belongs to the person, sealed or hashed.
fn is_password(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with("-password") && !name.starts_with("tunnel-")
        || name == "password"
        || name == "password-with-header"
}

/// An attribute of a row, and its tag.
pub(super) struct Target<'d> {
    pub(super) attribute: &'d Attribute,
    pub(super) tag: Option<u8>,
}

impl<'d> Target<'d> {
    /// Finds `Name` or `Name:tag`.
    pub(super) fn find(dictionary: &'d Dictionary, text: &str) -> Result<Self, String> {
        let (name, tag) = match text.split_once(':') {
            Some((name, tag)) => {
                let tag = tag.parse::<u8>().ok().filter(|tag| (1..=31).contains(tag));
                (
                    name,
                    Some(tag.ok_or_else(|| format!("the tag of '{text}' is not 1 to 31"))?),
                )
            }
            None => (text, None),
        };
        let attribute =
            dictionary
                .attribute(name)
                .ok_or_else(|| match dictionary.nearest_name(name) {
                    Some(near) => format!("there is no attribute '{name}'; did you mean '{near}'?"),
                    None => format!(
                        "there is no attribute '{name}'; add its dictionary if it is a vendor's"
                    ),
                })?;
        if tag.is_some() && !attribute.flags().tagged {
            return Err(format!("{} takes no tag", attribute.name()));
        }
        Ok(Self { attribute, tag })
    }

    /// The canonical name with its tag.
    pub(super) fn name(&self) -> String {
        match self.tag {
            Some(tag) => format!("{}:{tag}", self.attribute.name()),
            None => self.attribute.name().to_owned(),
        }
    }

    pub(super) fn is_secret(&self) -> bool {
        self.attribute.hide() != Hide::No || self.attribute.flags().secret
    }
}

/// Fall-Through, which steers and is never sent.
pub(super) fn is_fall_through(attribute: &Attribute) -> bool {
    attribute.name().eq_ignore_ascii_case("Fall-Through")
}

/// Whether a value of Fall-Through is yes.
pub(super) fn is_yes(attribute: &Attribute, value: &str) -> bool {
    attribute
        .encode_value(value)
        .is_ok_and(|octets| octets.iter().any(|octet| *octet != 0))
}

/// Refuses a row that would have no effect or a wrong one.
pub(super) fn validate(target: &Target<'_>, side: Side, op: Op, value: &str) -> Result<(), String> {
    let attribute = target.attribute;
    let name = attribute.name();
    if value.len() > MAX_VALUE_OCTETS {
        return Err(format!(
            "the value of {name} has more than {MAX_VALUE_OCTETS} octets"
        ));
    }
    if value.contains('\0') {
        return Err(format!(
            "the value of {name} has a zero octet; write octets as 0x and hex digits"
        ));
    }
    if !op.is_pattern()
        && (value.contains("%{") || (value.starts_with('`') && value.ends_with('`')))
    {
        return Err(format!(
            "the value of {name} is an expansion; only fixed values are known here"
        ));
    }
    if is_password(name) {
        return Err(format!(
            "{name} is no rule: set the person's password instead"
        ));
    }
    match side {
        Side::Check => {
            if is_fall_through(attribute) {
                return Err("Fall-Through is a reply".to_owned());
            }
            if !attribute.is_on_wire() && !control::is_known(name) && !internal::is_known(name) {
                return Err(format!("{name} has no effect as a check here"));
            }
            Check::compile(Arc::new(attribute.clone()), target.tag, op, value).map(|_| ())
        }
        Side::Reply => {
            if op.is_comparison() {
                return Err(format!(
                    "{op} compares, which a reply cannot; use := = += ^= or -="
                ));
            }
            if is_fall_through(attribute) {
                return attribute
                    .encode_value(value)
                    .map(|_| ())
                    .map_err(|e| e.to_string());
            }
            if !attribute.is_on_wire() {
                return Err(format!(
                    "{name} is never sent to a NAS; as a check it may be known"
                ));
            }
            if let Carrier::Standard { kind } = attribute.carrier()
                && OWN_ATTRIBUTES.contains(&kind)
            {
                return Err(format!("{name} is made by the server itself"));
            }
            ReplyRow::compile(Arc::new(attribute.clone()), target.tag, op, value).map(|_| ())
        }
    }
}

/// The side a row belongs on: what compares, and what only this server understands, is a check.
fn natural_side(attribute: &Attribute, op: Op) -> Side {
    if op.is_comparison() || (!attribute.is_on_wire() && !is_fall_through(attribute)) {
        Side::Check
    } else {
        Side::Reply
    }
}

/// Reads one line. Where no side is given, the attribute and the operator decide.
///
/// # Errors
/// One sentence with the reason.
pub fn parse_line(
    dictionary: &Dictionary,
    line: &str,
    side: Option<Side>,
) -> Result<(Side, Row), String> {
    let line = line.trim();
    let end = line
        .char_indices()
        .find(|(at, c)| c.is_whitespace() || (*at > 0 && Op::split(&line[*at..]).is_some()))
        .map_or(line.len(), |(at, _)| at);
    let (name, rest) = line.split_at(end);
    let (op, value) = Op::split(rest.trim_start())
        .ok_or_else(|| format!("'{line}' has no operator; write Attribute := value"))?;
    let value = if op.is_presence() {
        "ANY".to_owned()
    } else {
        unquoted(value.trim())?
    };
    if value.is_empty() {
        return Err(format!("'{line}' has no value"));
    }
    let side = match side {
        Some(side) => side,
        None => natural_side(Target::find(dictionary, name)?.attribute, op),
    };
    Row::new(dictionary, side, name, op, &value).map(|row| (side, row))
}

/// Reads lines.
///
/// # Errors
/// The first that is wrong, with its number where there are several; more than [`MAX_ROWS`].
pub fn parse_lines(
    dictionary: &Dictionary,
    text: &str,
    side: Option<Side>,
) -> Result<Vec<(Side, Row)>, String> {
    let several = text.trim().contains('\n');
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        if rows.len() == MAX_ROWS {
            return Err(format!("line {}: more than {MAX_ROWS} rows", index + 1));
        }
        let row = parse_line(dictionary, line, side);
        rows.push(row.map_err(|reason| {
            if several {
                format!("line {}: {reason}", index + 1)
            } else {
                reason
            }
        })?);
    }
    Ok(rows)
}

fn unquoted(text: &str) -> Result<String, String> {
    let unclosed = || format!("{text} has no closing quote, or text after it");
    if let Some(rest) = text.strip_prefix('\'') {
        let inner = rest
            .strip_suffix('\'')
            .filter(|inner| !inner.contains('\''));
        return inner.map(str::to_owned).ok_or_else(unclosed);
    }
    let Some(rest) = text.strip_prefix('"') else {
        return Ok(text.to_owned());
    };
    let mut value = String::with_capacity(rest.len());
    let mut characters = rest.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                return if characters.as_str().is_empty() {
                    Ok(value)
                } else {
                    Err(unclosed())
                };
            }
            '\\' => match characters.next() {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some(same @ ('"' | '\\')) => value.push(same),
                // As in regular expressions: the backslash is the value's own.
                Some(other) => value.extend(['\\', other]),
                None => return Err(unclosed()),
            },
            other => value.push(other),
        }
    }
    Err(unclosed())
}

/// A value as it is read back: in quotes where it needs them.
pub(super) fn quoted(op: Op, value: &str) -> String {
    if op.is_presence() {
        return "ANY".to_owned();
    }
    let is_plain = !value.is_empty()
        && value.trim() == value
        && !value.starts_with(['"', '\''])
        && !value.chars().any(|c| c.is_control() || c == ' ');
    if is_plain {
        return value.to_owned();
    }
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expect: Result<(Side, &str), &str>) {
        let dictionary = Dictionary::builtin();
        match (parse_line(dictionary, line, None), expect) {
            (Ok((side, row)), Ok((expected, shown))) => {
                assert_eq!(
                    (side, row.to_string().as_str()),
                    (expected, shown),
                    "{line}"
                );
                let again = parse_line(dictionary, &row.to_string(), Some(side));
                assert!(
                    row.is_hidden() || again == Ok((side, row)),
                    "{line}: {again:?}"
                );
            }
            (Err(reason), Err(part)) => assert!(reason.contains(part), "{line}: {reason}"),
            (got, _) => panic!("{line}: {got:?}"),
        }
    }

    #[test]
    fn a_line_is_a_row_on_the_side_it_belongs_to() {
        check(
            "Session-Timeout := 3600",
            Ok((Side::Reply, "Session-Timeout := 3600")),
        );
        check(
            "session-timeout:=3600",
            Ok((Side::Reply, "Session-Timeout := 3600")),
        );
        check(
            "  Session-Timeout   =   3600  ",
            Ok((Side::Reply, "Session-Timeout = 3600")),
        );
        check(
            "Cisco-AVPair += \"ip:inacl#1=permit ip any any\"",
            Ok((
                Side::Reply,
                "Cisco-AVPair += \"ip:inacl#1=permit ip any any\"",
            )),
        );
        check(
            "Reply-Message += 'say \"hi\"'",
            Ok((Side::Reply, "Reply-Message += \"say \\\"hi\\\"\"")),
        );
        check(
            "Reply-Message ^= \"a\\nb\\\\c\\d\"",
            Ok((Side::Reply, "Reply-Message ^= \"a\\nb\\\\c\\\\d\"")),
        );
        check(
            "Tunnel-Type:1 := VLAN",
            Ok((Side::Reply, "Tunnel-Type:1 := VLAN")),
        );
        check(
            "Tunnel-Password:1 := x",
            Ok((Side::Reply, "Tunnel-Password:1 := (hidden)")),
        );
        check(
            "Framed-IP-Address := 10.0.0.7",
            Ok((Side::Reply, "Framed-IP-Address := 10.0.0.7")),
        );
        check(
            "Fall-Through = Yes",
            Ok((Side::Reply, "Fall-Through = Yes")),
        );
        check(
            "Mikrotik-Rate-Limit -= 1M/1M",
            Ok((Side::Reply, "Mikrotik-Rate-Limit -= 1M/1M")),
        );
        check(
            "Max-Daily-Session := 10800",
            Ok((Side::Check, "Max-Daily-Session := 10800")),
        );
        check(
            "Max-Daily-Session-Traffic := 3000000000",
            Ok((Side::Check, "Max-Daily-Session-Traffic := 3000000000")),
        );
        check(
            "Simultaneous-Use == 1",
            Ok((Side::Check, "Simultaneous-Use == 1")),
        );
        check(
            "Auth-Type := Reject",
            Ok((Side::Check, "Auth-Type := Reject")),
        );
        check(
            "Login-Time := Wk0900-1700,Sa",
            Ok((Side::Check, "Login-Time := Wk0900-1700,Sa")),
        );
        check(
            "NAS-IP-Address == 10.0.0.1",
            Ok((Side::Check, "NAS-IP-Address == 10.0.0.1")),
        );
        check(
            "Huntgroup-Name == hall",
            Ok((Side::Check, "Huntgroup-Name == hall")),
        );
        check(
            "Called-Station-Id=~\":Guest\\.*$\"",
            Ok((Side::Check, "Called-Station-Id =~ :Guest\\.*$")),
        );
        check(
            "Framed-Protocol !* whatever",
            Ok((Side::Check, "Framed-Protocol !* ANY")),
        );
        check("NAS-Port > 5", Ok((Side::Check, "NAS-Port > 5")));
    }

    #[test]
    fn a_row_that_would_do_harm_or_nothing_is_refused_with_the_reason() {
        check("Sesion-Timeout := 1", Err("did you mean 'Session-Timeout'"));
        check("Session-Timeout", Err("no operator"));
        check("Session-Timeout :=", Err("no value"));
        check("Session-Timeout := soon", Err("Session-Timeout"));
        check("Session-Timeout := 4294967296", Err("Session-Timeout"));
        check("Session-Timeout:1 := 5", Err("takes no tag"));
        check("Tunnel-Type:32 := VLAN", Err("1 to 31"));
        check("Tunnel-Type := VLAM", Err("VLAM"));
        check("Framed-IP-Address := 10.0.0", Err("IPv4"));
        check("Reply-Message := \"open", Err("closing quote"));
        check("Reply-Message := \"a\" b", Err("closing quote"));
        check("Reply-Message := 'it's'", Err("closing quote"));
        check("Reply-Message := \"Hello %{User-Name}\"", Err("expansion"));
        check("Reply-Message := `id`", Err("expansion"));
        check("Message-Authenticator := 0x00", Err("server itself"));
        check("State := 0x00", Err("server itself"));
        check("Cleartext-Password := x", Err("password instead"));
        check("User-Password == x", Err("password instead"));
        check("NT-Password := 0x00", Err("password instead"));
        check("Proxy-To-Realm := x", Err("no effect"));
        check("NAS-Identifier > a", Err("number"));
        check("Called-Station-Id =~ \"(\"", Err("regular expression"));
        check("Login-Time := Xx", Err("Xx"));
        check("Auth-Type := Acept", Err("Acept"));
        let both = |line, side, part: &str| {
            let read = parse_line(Dictionary::builtin(), line, Some(side));
            assert!(
                read.as_ref().is_err_and(|reason| reason.contains(part)),
                "{line}: {read:?}"
            );
        };
        both("Session-Timeout == 1", Side::Reply, "compares");
        both("Max-Daily-Session := 1", Side::Reply, "never sent");
        both("Fall-Through = Yes", Side::Check, "is a reply");
        let long = format!("Reply-Message := {}", "x".repeat(MAX_VALUE_OCTETS + 1));
        check(&long, Err("1024 octets"));
    }

    #[test]
    fn lines_are_counted_and_limited() {
        let dictionary = Dictionary::builtin();
        let text = "# plan\n\nSession-Timeout := 5\nIdle-Timeout := x\n";
        let read = parse_lines(dictionary, text, None);
        assert!(read.is_err_and(|reason| reason.starts_with("line 4: ")));
        let many = "Class += x\n".repeat(MAX_ROWS + 1);
        assert!(
            parse_lines(dictionary, &many, None)
                .is_err_and(|reason| reason.contains("more than 128"))
        );
        assert_eq!(
            parse_lines(dictionary, "Class += x", Some(Side::Reply)).map(|rows| rows.len()),
            Ok(1)
        );
    }
}
