//! Packets for people: a heading and one attribute a line, by name and in order.

use crate::output::clean;
use radius_wire::dictionary::{DataType, Dictionary};
use serde_json::{Map, Value as Json};

/// Before an attribute; nested ones stand deeper.
const INDENT: &str = "    ";
/// Attributes nest at most this deep in any dictionary; the rest is not shown.
const MAX_DEPTH: usize = 8;

/// The lines of a decoded packet, without the heading's place and time. An object with `error` is one line.
pub fn lines(packet: &Json, dictionary: &Dictionary) -> Vec<String> {
    let Some(packet) = packet.as_object() else {
        return Vec::new();
    };
    if let Some(error) = text(packet, "error") {
        return vec![format!("no packet: {}", clean(error))];
    }
    let mut lines = vec![heading(packet)];
    attributes(packet.get("attributes"), dictionary, 1, &mut lines);
    if let Some(padding) = text(packet, "padding") {
        lines.push(format!(
            "{INDENT}{} octets of padding: 0x{padding}",
            padding.len() / 2
        ));
    }
    if let Some(checks) = packet.get("checks").and_then(Json::as_object) {
        let said = |key| text(checks, key).unwrap_or("unverifiable");
        // In these two the field is random by design (RFC 2865 section 3, RFC 5997 section 3).
        let is_random = matches!(
            text(packet, "code"),
            Some("Access-Request" | "Status-Server")
        );
        let authenticator = match said("authenticator") {
            "unverifiable" if is_random => "random",
            "unverifiable" => "unverifiable without its request",
            said => said,
        };
        lines.push(format!(
            "{INDENT}[Authenticator {authenticator}, Message-Authenticator {}]",
            said("message_authenticator")
        ));
    }
    lines
}

/// `Access-Request id 7, 78 octets`.
pub fn heading(packet: &Map<String, Json>) -> String {
    let number = |key| packet.get(key).and_then(Json::as_u64).unwrap_or(0);
    format!(
        "{} id {}, {} octets",
        text(packet, "code").unwrap_or("?"),
        number("id"),
        number("length")
    )
}

/// The attribute lines alone.
pub fn attribute_lines(packet: &Json, dictionary: &Dictionary) -> Vec<String> {
    let mut lines = Vec::new();
    attributes(packet.get("attributes"), dictionary, 1, &mut lines);
    lines
}

fn attributes(list: Option<&Json>, dictionary: &Dictionary, depth: usize, lines: &mut Vec<String>) {
    let Some(Json::Array(list)) = list else {
        return;
    };
    for attribute in list.iter().filter_map(Json::as_object) {
        let name = text(attribute, "name").unwrap_or("?");
        let tag = match attribute.get("tag").and_then(Json::as_u64) {
            Some(tag) => format!(":{tag}"),
            None => String::new(),
        };
        let start = format!("{}{}{tag} =", INDENT.repeat(depth), clean(name));
        match attribute.get("value") {
            Some(Json::Array(_)) if depth < MAX_DEPTH => {
                lines.push(start);
                attributes(attribute.get("value"), dictionary, depth + 1, lines);
            }
            Some(value) => lines.push(format!("{start} {}", show(name, value, dictionary))),
            None => lines.push(format!(
                "{start} 0x{}",
                text(attribute, "raw").unwrap_or_default()
            )),
        }
    }
}

fn show(name: &str, value: &Json, dictionary: &Dictionary) -> String {
    match value {
        Json::String(text) => {
            let is_text = dictionary
                .attribute(name)
                .is_some_and(|attribute| attribute.data_type() == DataType::Text);
            match is_text {
                true => format!("\"{}\"", clean(text)),
                false => clean(text).into_owned(),
            }
        }
        other => other.to_string(),
    }
}

fn text<'j>(object: &'j Map<String, Json>, key: &str) -> Option<&'j str> {
    object.get(key).and_then(Json::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(packet: Json, expect: &[&str]) {
        assert_eq!(lines(&packet, Dictionary::builtin()), expect);
    }

    #[test]
    fn names_tags_and_values_stand_one_a_line() {
        check(
            json!({"code": "Access-Request", "id": 7, "length": 60, "attributes": [
                {"name": "User-Name", "value": "bob\u{1b}[2J"},
                {"name": "NAS-IP-Address", "value": "10.0.0.1"},
                {"name": "Tunnel-Type", "tag": 1, "value": "VLAN"},
                {"name": "NAS-Port", "value": 3},
                {"name": "Attr-200", "raw": "00ff"},
                {"name": "WiMAX-Capability", "value": [{"name": "WiMAX-Release", "value": "1.0"}]},
            ], "checks": {"authenticator": "unverifiable", "message_authenticator": "valid"}}),
            &[
                "Access-Request id 7, 60 octets",
                "    User-Name = \"bob\\u{1b}[2J\"",
                "    NAS-IP-Address = 10.0.0.1",
                "    Tunnel-Type:1 = VLAN",
                "    NAS-Port = 3",
                "    Attr-200 = 0x00ff",
                "    WiMAX-Capability =",
                "        WiMAX-Release = \"1.0\"",
                "    [Authenticator random, Message-Authenticator valid]",
            ],
        );
        check(json!({"error": "not hex"}), &["no packet: not hex"]);
    }
}
