//! Attributes without a field of their own are kept by name: RFC 2866 §2 wants every one of them recorded.

use super::{number, words};
use radius_wire::Packet;
use radius_wire::attr::Hide;
use radius_wire::dictionary::{Attribute, Dictionary};
use radius_wire::vsa;
use serde_json::{Map, Value};

/// A packet has at most 4,096 octets; its names and hex digits stay below this.
pub const MAX_TEXT_OCTETS: usize = 32 * 1024;

/// What has a field, or says nothing about the session.
const ELSEWHERE: [u8; 32] = [
    number::USER_NAME,
    number::NAS_IP_ADDRESS,
    number::SERVICE_TYPE,
    number::FRAMED_PROTOCOL,
    number::FRAMED_IP_ADDRESS,
    number::CLASS,
    number::CALLED_STATION_ID,
    number::CALLING_STATION_ID,
    number::NAS_IDENTIFIER,
    number::PROXY_STATE,
    number::ACCT_STATUS_TYPE,
    number::ACCT_DELAY_TIME,
    number::ACCT_INPUT_OCTETS,
    number::ACCT_OUTPUT_OCTETS,
    number::ACCT_SESSION_ID,
    number::ACCT_AUTHENTIC,
    number::ACCT_SESSION_TIME,
    number::ACCT_INPUT_PACKETS,
    number::ACCT_OUTPUT_PACKETS,
    number::ACCT_TERMINATE_CAUSE,
    number::ACCT_MULTI_SESSION_ID,
    number::ACCT_INPUT_GIGAWORDS,
    number::ACCT_OUTPUT_GIGAWORDS,
    number::NAS_PORT_TYPE,
    number::CONNECT_INFO,
    number::MESSAGE_AUTHENTICATOR,
    number::NAS_PORT_ID,
    number::NAS_IPV6_ADDRESS,
    number::FRAMED_INTERFACE_ID,
    number::FRAMED_IPV6_PREFIX,
    number::DELEGATED_IPV6_PREFIX,
    number::FRAMED_IPV6_ADDRESS,
];

/// The attributes of a packet that have no field, by name; several of one name become a list.
pub fn read(packet: Packet<'_>) -> Map<String, Value> {
    let dictionary = Dictionary::builtin();
    let mut found = Map::new();
    for attribute in packet.attributes() {
        match attribute.kind {
            number::VENDOR_SPECIFIC => put_vendor(&mut found, dictionary, attribute.value),
            kind if ELSEWHERE.contains(&kind) => {}
            kind => {
                let known = dictionary.standard(kind.into());
                put(
                    &mut found,
                    known,
                    || format!("Attr-{kind}"),
                    attribute.value,
                );
            }
        }
    }
    found
}

/// What is inside a Vendor-Specific attribute; one that cannot be taken apart stays whole.
fn put_vendor(found: &mut Map<String, Value>, dictionary: &Dictionary, value: &[u8]) {
    let inside = vsa::split_vendor(value).and_then(|(vendor, rest)| {
        Some((
            vendor,
            vsa::sub_attributes(rest, dictionary.vendor_format(vendor))?,
        ))
    });
    let Some((vendor, subs)) = inside else {
        return put(found, None, || "Vendor-Specific".to_owned(), value);
    };
    for sub in subs {
        let known = dictionary.vendor_attribute(vendor, sub.kind);
        put(
            found,
            known,
            || format!("Vendor-{vendor}-Attr-{}", sub.kind),
            sub.value,
        );
    }
}

/// Adds what a newer report says to what is known, within [`MAX_TEXT_OCTETS`].
pub fn merge(known: &mut Map<String, Value>, said: &Map<String, Value>, is_newest: bool) {
    for (name, value) in said {
        if is_newest || !known.contains_key(name) {
            let before = known.insert(name.clone(), value.clone());
            if before.is_none() && text_octets(known) > MAX_TEXT_OCTETS {
                known.shift_remove(name);
            }
        }
    }
}

fn text_octets(map: &Map<String, Value>) -> usize {
    serde_json::to_string(map).map_or(usize::MAX, |text| text.len())
}

fn put(
    found: &mut Map<String, Value>,
    known: Option<&Attribute>,
    nameless: impl Fn() -> String,
    octets: &[u8],
) {
    let hex = || format!("0x{}", hex::encode(octets));
    let (name, text) = match known {
        // What is hidden on the wire stays hidden here.
        Some(known) if known.hide() != Hide::No => (known.name().to_owned(), hex()),
        Some(known) => (known.name().to_owned(), known.format_value(octets)),
        None => (nameless(), hex()),
    };
    let value = Value::String(words::text(text.as_bytes()).unwrap_or_default());
    match found.get_mut(&name) {
        None => {
            found.insert(name, value);
        }
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}
