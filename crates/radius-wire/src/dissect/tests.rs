//! Octets → object → octets, for every form there is on the wire.

use std::io;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::*;
use crate::authenticator::{request_authenticator_holds, sign_request};
use crate::fuzz;

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).expect(text)
}

fn secret() -> Secret {
    Secret::new("testing123")
}

/// The built-in dictionary with a few attributes of rare forms.
fn dictionary() -> Dictionary {
    let text = "VENDOR Box 9999\nBEGIN-VENDOR Box\nATTRIBUTE Box-Rate 1 integer\nATTRIBUTE Box-Set 2 tlv\n\
                ATTRIBUTE Box-Name 2.1 string\nATTRIBUTE Box-Deep 2.2 tlv\nATTRIBUTE Box-Count 2.2.7 short\nEND-VENDOR Box\n\
                VENDOR USR 429 format=4,0\nBEGIN-VENDOR USR\nATTRIBUTE USR-Thing 0x9001 string\nEND-VENDOR USR\n\
                VENDOR Lucent 4846 format=2,1\nBEGIN-VENDOR Lucent\nATTRIBUTE Lucent-Thing 258 byte\nEND-VENDOR Lucent\n\
                VENDOR Starent 8164 format=2,2\nBEGIN-VENDOR Starent\nATTRIBUTE SN-Thing 3 string\nEND-VENDOR Starent\n\
                VENDOR WiMAX 24757 format=1,1,c\nBEGIN-VENDOR WiMAX\nATTRIBUTE WiMAX-Thing 1 octets\nEND-VENDOR WiMAX\n\
                ATTRIBUTE T-Name 1 string\nATTRIBUTE T-Vendor-Specific 26 vsa\n\
                ATTRIBUTE T-Tunnel-Type 64 integer has_tag\nVALUE T-Tunnel-Type VLAN 13\n\
                ATTRIBUTE T-Group 81 string has_tag\nATTRIBUTE T-Tunnel-Password 69 string has_tag,encrypt=2\n\
                ATTRIBUTE T-Password 2 string encrypt=1\nATTRIBUTE T-EAP 79 octets concat\n\
                ATTRIBUTE T-Timeout 27 integer\nATTRIBUTE T-MA 80 octets\nATTRIBUTE T-Filter 92 string\n\
                ATTRIBUTE T-Ifid 96 ifid\nATTRIBUTE T-Prefix 97 ipv6prefix\nATTRIBUTE T-Combo 203 combo-ip\n\
                ATTRIBUTE T-Ether 204 ether\nATTRIBUTE T-Ascend 214 string encrypt=3\nATTRIBUTE T-Signed 205 signed\n\
                ATTRIBUTE T-Bool 206 bool\nATTRIBUTE T-Date 55 date\nATTRIBUTE T-Big 207 integer64\n\
                ATTRIBUTE T-Ext 241 extended\nATTRIBUTE T-Frag 241.1 integer\nATTRIBUTE T-Evs 241.26 evs\n\
                ATTRIBUTE T-Long 245 long-extended\nATTRIBUTE T-Long-Text 245.3 string\nATTRIBUTE T-Long-Evs 245.26 evs\n\
                BEGIN-VENDOR Box parent=T-Long-Evs\nATTRIBUTE Box-Long 8 octets\nEND-VENDOR Box\n";
    let mut read = |path: &Path| match path == Path::new("dictionary") {
        true => Ok(text.to_owned()),
        false => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    Dictionary::load_with(Path::new("dictionary"), &mut read).expect("test dictionary")
}

fn packet(code: u8, attributes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + attributes.len())
        .expect("length")
        .to_be_bytes();
    let mut octets = vec![code, 7, length[0], length[1]];
    octets.extend((0..16).collect::<Vec<u8>>());
    octets.extend_from_slice(attributes);
    octets
}

/// Decodes attributes, compares them, and wants the same octets back.
fn check(attributes: &str, expect: Json) {
    let (dictionary, datagram) = (dictionary(), packet(1, &bytes(attributes)));
    let object = Decoder::new(&dictionary, None).decode(&datagram);
    assert_eq!(object["attributes"], expect, "{attributes}");
    assert_eq!(
        encode_object(&object, &dictionary, None, [0; 16]),
        Ok(datagram.clone()),
        "{object}"
    );
    fuzz::packet(&datagram);
}

#[test]
fn plain_attributes_show_their_values() {
    check("0105626f62", json!([{"name": "T-Name", "value": "bob"}]));
    check("0102", json!([{"name": "T-Name", "value": ""}]));
    check(
        "0104ff61",
        json!([{"name": "T-Name", "value": "\u{fffd}a", "raw": "ff61"}]),
    );
    check(
        "1b0600000e10",
        json!([{"name": "T-Timeout", "value": 3600}]),
    );
    check(
        "1b05000e10",
        json!([{"name": "T-Timeout", "raw": "000e10"}]),
    );
    check(
        "37066 5e079f0",
        json!([{"name": "T-Date", "value": "2024-02-29T12:34:56Z"}]),
    );
    check(
        "600a0000000000000001",
        json!([{"name": "T-Ifid", "value": "0000:0000:0000:0001"}]),
    );
    check(
        "6108002020010db8",
        json!([{"name": "T-Prefix", "value": "2001:db8::/32"}]),
    );
    // A prefix padded to sixteen octets, and one with bits beyond its length.
    check(
        "6114002020010db8000000000000000000000000",
        json!([{"name": "T-Prefix", "value": "2001:db8::/32", "raw": "002020010db8000000000000000000000000"}]),
    );
    check(
        "cb060a000001",
        json!([{"name": "T-Combo", "value": "10.0.0.1"}]),
    );
    check("cb050a0000", json!([{"name": "T-Combo", "raw": "0a0000"}]));
    check(
        "cc0802005e000001",
        json!([{"name": "T-Ether", "value": "02:00:5e:00:00:01"}]),
    );
    check("cd06fffffffe", json!([{"name": "T-Signed", "value": -2}]));
    check("ce0301", json!([{"name": "T-Bool", "value": true}]));
    check("ce0302", json!([{"name": "T-Bool", "raw": "02"}]));
    check(
        "cf0affffffffffffffff",
        json!([{"name": "T-Big", "value": u64::MAX}]),
    );
    check("c8040102", json!([{"name": "Attr-200", "raw": "0102"}]));
    check(
        "0212 f4816bca74fd7a1a104607240014828b",
        json!([{"name": "T-Password", "raw": "f4816bca74fd7a1a104607240014828b"}]),
    );
}

#[test]
fn tags_are_shown_as_they_stand() {
    check(
        "40060100000d",
        json!([{"name": "T-Tunnel-Type", "tag": 1, "value": "VLAN"}]),
    );
    check(
        "40060000000e",
        json!([{"name": "T-Tunnel-Type", "value": 14}]),
    );
    check(
        "40062000000d",
        json!([{"name": "T-Tunnel-Type", "raw": "2000000d"}]),
    );
    check(
        "5105013130",
        json!([{"name": "T-Group", "tag": 1, "value": "10"}]),
    );
    check("51043130", json!([{"name": "T-Group", "value": "10"}]));
    check(
        "5105003130",
        json!([{"name": "T-Group", "tag": 0, "value": "10"}]),
    );
    check("5104 0001", json!([{"name": "T-Group", "value": "\u{1}"}]));
    check("5102", json!([{"name": "T-Group", "value": ""}]));
    check(
        "510301",
        json!([{"name": "T-Group", "tag": 1, "value": ""}]),
    );
}

#[test]
fn vendor_attributes_of_every_format_are_taken_apart() {
    check(
        "1a0c0000270f010600000007",
        json!([{"name": "Box-Rate", "value": 7}]),
    );
    check(
        "1a1200 00270f 010600000007 010600000008"
            .replace(' ', "")
            .as_str(),
        json!([{"name": "Box-Rate", "value": 7}, {"name": "Box-Rate", "joined": true, "value": 8}]),
    );
    check(
        "1a0b000001ad0000900178",
        json!([{"name": "USR-Thing", "value": "x"}]),
    );
    check(
        "1a0a000012ee01020409",
        json!([{"name": "Lucent-Thing", "value": 9}]),
    );
    check(
        "1a0b00001fe40003000578",
        json!([{"name": "SN-Thing", "value": "x"}]),
    );
    check(
        "1a0a000060b501040009",
        json!([{"name": "WiMAX-Thing", "value": "0x09"}]),
    );
    check(
        "1a0a0000000963040102",
        json!([{"name": "Vendor-9-Attr-99", "raw": "0102"}]),
    );
    // Not filled exactly, vendor 0, top octet of the vendor set, nothing inside.
    check(
        "1a0b00000009630401027f",
        json!([{"name": "T-Vendor-Specific", "raw": "00000009630401027f"}]),
    );
    check(
        "1a0900000000010378",
        json!([{"name": "T-Vendor-Specific", "raw": "00000000010378"}]),
    );
    check(
        "1a0901000009010378",
        json!([{"name": "T-Vendor-Specific", "raw": "01000009010378"}]),
    );
    check(
        "1a0600000009",
        json!([{"name": "T-Vendor-Specific", "raw": "00000009"}]),
    );
    // A continuation that nothing follows, and reserved bits in its octet.
    check(
        "1a0a000060b501048009",
        json!([{"name": "T-Vendor-Specific", "raw": "000060b501048009"}]),
    );
    check(
        "1a0a000060b501040109",
        json!([{"name": "T-Vendor-Specific", "raw": "000060b501040109"}]),
    );
}

#[test]
fn nested_attributes_are_lists() {
    check(
        "1a120000270f 020c 010378 0207 07040102"
            .replace(' ', "")
            .replace("0207", "0206")
            .replace("020c", "020b")
            .replace("1a12", "1a11")
            .as_str(),
        json!([{"name": "Box-Set", "value": [
            {"name": "Box-Name", "value": "x"},
            {"name": "Box-Deep", "value": [{"name": "Box-Count", "value": 258}]},
        ]}]),
    );
    check(
        "1a0b0000270f0205090378",
        json!([{"name": "Box-Set", "value": [{"name": "Attr-26.9999.2.9", "raw": "78"}]}]),
    );
    check(
        "1a0b0000270f0205010478",
        json!([{"name": "Box-Set", "raw": "010478"}]),
    );
    check("1a080000270f0202", json!([{"name": "Box-Set", "raw": ""}]));
}

#[test]
fn extended_attributes_are_taken_apart() {
    check("f1070100000001", json!([{"name": "T-Frag", "value": 1}]));
    check("f1044d7a", json!([{"name": "Attr-241.77", "raw": "7a"}]));
    check("f102", json!([{"name": "T-Ext", "raw": ""}]));
    check("f103 00", json!([{"name": "T-Ext", "raw": "00"}]));
    check(
        "f1091a0000000901 7a",
        json!([{"name": "Attr-241.26.9.1", "raw": "7a"}]),
    );
    check(
        "f1061a000000",
        json!([{"name": "T-Ext", "raw": "1a000000"}]),
    );
    check(
        "f50a1a000000270f0809",
        json!([{"name": "Box-Long", "value": "0x09"}]),
    );
    check("f505030078", json!([{"name": "T-Long-Text", "value": "x"}]));
    // More announced but not there; flags that mean nothing; fragments of odd sizes.
    check("f505038078", json!([{"name": "T-Long", "raw": "038078"}]));
    check("f505030178", json!([{"name": "T-Long", "raw": "030178"}]));
    check(
        "f505038078f505030078",
        json!([{"name": "T-Long", "raw": "038078"}, {"name": "T-Long-Text", "value": "x"}]),
    );
}

#[test]
fn values_over_several_attributes_are_one() {
    let long = |octets: usize| "61".repeat(octets);
    let rest = |octets: usize| "a".repeat(octets);
    check(
        &format!("4fff{}4f04{}", long(253), long(2)),
        json!([{"name": "T-EAP", "value": format!("0x{}", long(255))}]),
    );
    check(
        "4f0361 4f0362",
        json!([{"name": "T-EAP", "value": "0x61"}, {"name": "T-EAP", "value": "0x62"}]),
    );
    check(
        &format!("5cff{}5c03{}", long(253), "00"),
        json!([{"name": "T-Filter", "value": format!("{}\u{0}", rest(253))}]),
    );
    check(
        &format!("f5ff0380{}f5050300{}", long(251), long(1)),
        json!([{"name": "T-Long-Text", "value": rest(252)}]),
    );
    check(
        &format!(
            "1aff000060b501f980{}1a0a000060b5010400{}",
            long(246),
            long(1)
        ),
        json!([{"name": "WiMAX-Thing", "value": format!("0x{}", long(247))}]),
    );
}

#[test]
fn padding_and_unknown_codes_come_back() {
    let dictionary = dictionary();
    let mut datagram = packet(99, &bytes("0105626f62"));
    datagram.extend([1, 2, 3]);
    let object = Decoder::new(&dictionary, None).decode(&datagram);
    assert_eq!(
        object,
        json!({
            "code": "Code-99", "id": 7, "authenticator": "000102030405060708090a0b0c0d0e0f", "length": 25,
            "attributes": [{"name": "T-Name", "value": "bob"}], "padding": "010203",
        })
    );
    assert_eq!(
        encode_object(&object, &dictionary, None, [0; 16]),
        Ok(datagram)
    );
}

#[test]
fn with_the_secret_hidden_values_are_shown_and_checked() {
    let (dictionary, secret) = (dictionary(), secret());
    let mut request = packet(
        1,
        &bytes("0212f4816bca74fd7a1a104607240014828b 501200000000000000000000000000000000"),
    );
    sign_request(&mut request, &secret).expect("signed");
    let mut decoder = Decoder::new(&dictionary, Some(&secret));
    let object = decoder.decode(&request);
    assert_eq!(object["attributes"][0]["value"], "bob");
    assert_eq!(
        object["checks"],
        json!({"authenticator": "unverifiable", "message_authenticator": "valid"})
    );
    assert_eq!(
        encode_object(&object, &dictionary, None, [0; 16]),
        Ok(request.clone())
    );
    // Taken away, the hidden value and the signature are made again.
    let mut edited = object.clone();
    for attribute in edited["attributes"].as_array_mut().expect("list") {
        let fields = attribute.as_object_mut().expect("object");
        fields.remove("raw");
        if fields["name"] == "T-MA" {
            fields.remove("value");
        }
    }
    assert_eq!(
        encode_object(&edited, &dictionary, Some(&secret), [9; 16]),
        Ok(request.clone())
    );
    assert!(matches!(
        encode_object(&edited, &dictionary, None, [9; 16]),
        Err(EncodeError::NeedsSecret(_))
    ));

    // The reply is verified and revealed with the authenticator of the request before it.
    let reply = json!({
        "code": "Access-Accept", "id": 7, "request_authenticator": object["authenticator"],
        "attributes": [{"name": "T-MA"}, {"name": "T-Tunnel-Password", "tag": 1, "value": "secret-psk"},
                       {"name": "T-Ascend", "value": "0123456789abcdef"}],
    });
    let reply = encode_object(&reply, &dictionary, Some(&secret), [3; 16]).expect("reply");
    let object = decoder.decode(&reply);
    assert_eq!(
        object["checks"],
        json!({"authenticator": "valid", "message_authenticator": "valid"})
    );
    assert_eq!(object["attributes"][1]["value"], "secret-psk");
    assert_eq!(object["attributes"][1]["tag"], 1);
    assert_eq!(object["attributes"][2]["value"], "0123456789abcdef");
    assert_eq!(
        encode_object(&object, &dictionary, Some(&secret), [0; 16]),
        Ok(reply.clone())
    );
    // Without its request it can be neither.
    let alone = Decoder::new(&dictionary, Some(&secret)).decode(&reply);
    assert_eq!(
        alone["checks"],
        json!({"authenticator": "unverifiable", "message_authenticator": "unverifiable"})
    );
    assert_eq!(alone["attributes"][1].get("value"), None);
    // And with another secret it is wrong.
    let other = Secret::new("other");
    let mut decoder = Decoder::new(&dictionary, Some(&other));
    let request = decoder.decode(&request);
    assert_eq!(request["checks"]["message_authenticator"], "wrong");
    assert_eq!(
        decoder.decode(&reply)["checks"],
        json!({"authenticator": "wrong", "message_authenticator": "wrong"})
    );
}

#[test]
fn known_salted_vectors_are_revealed() {
    let (dictionary, secret) = (dictionary(), secret());
    let check = |attribute: &str, tag: Json, value: &str| {
        let mut decoder = Decoder::new(&dictionary, Some(&secret));
        decoder.decode(&packet(1, &[]));
        let object = decoder.decode(&packet(2, &bytes(attribute)));
        assert_eq!(object["attributes"][0]["value"], value, "{object}");
        assert_eq!(
            object["attributes"][0]
                .get("tag")
                .cloned()
                .unwrap_or_default(),
            tag,
            "{object}"
        );
    };
    check(
        "4515009973051de6c557307dacd5daa599f4e26e7e",
        Json::Null,
        "foo",
    );
    check(
        "451501800138d7612e787f5115bf54db6bb2ba15f3",
        json!(1),
        "secret-psk",
    );
}

#[test]
fn what_an_object_leaves_out_is_computed() {
    let (dictionary, secret) = (dictionary(), secret());
    let object = json!({"code": "Accounting-Request", "id": 5, "attributes": [{"name": "Attr-40", "raw": "00000001"}]});
    let made = encode_object(&object, &dictionary, Some(&secret), [1; 16]).expect("made");
    assert!(request_authenticator_holds(
        Packet::parse(&made).expect("packet"),
        &secret
    ));
    let object = json!({"code": 1, "attributes": [{"name": "T-Name", "value": "bob"}]});
    let made = encode_object(&object, &dictionary, None, [1; 16]).expect("made");
    assert_eq!(
        hex::encode(made),
        "010000190101010101010101010101010101010101 05626f62".replace(' ', "")
    );
}

#[test]
fn an_object_that_cannot_be_meant_is_told_with_its_place() {
    let dictionary = dictionary();
    let check = |object: Json, expect: &str| {
        let error = encode_object(&object, &dictionary, None, [0; 16]).expect_err(expect);
        assert_eq!(error.to_string(), expect);
    };
    let attribute = |attribute: Json| json!({"code": 1, "attributes": [attribute]});
    check(json!([]), "packet: must be an object");
    check(json!({"id": 1}), "code: is missing");
    check(
        json!({"code": "Access-Requst"}),
        "code: \"Access-Requst\" is no packet code",
    );
    check(json!({"code": 256}), "code: must be a number of 0 to 255");
    check(
        json!({"code": 1, "lenght": 20}),
        "lenght: is no key of a packet",
    );
    check(
        json!({"code": 1, "length": 21}),
        "length: says 21, but the packet has 20 octets; leave it out to have it computed",
    );
    check(
        json!({"code": 1, "authenticator": "00"}),
        "authenticator: must be 16 octets in hex",
    );
    check(
        json!({"code": 1, "attributes": {}}),
        "attributes: must be a list",
    );
    check(
        json!({"code": 2}),
        "authenticator: needs the shared secret to be computed",
    );
    check(
        attribute(json!({"value": 1})),
        "attributes[0].name: is missing",
    );
    check(
        attribute(json!({"name": "T-Name"})),
        "attributes[0]: has neither value nor raw",
    );
    check(
        attribute(json!({"name": "T-Timeou", "value": 1})),
        "attributes[0].name: no attribute is named \"T-Timeou\"; did you mean \"T-Timeout\"?",
    );
    check(
        attribute(json!({"name": "T-Timeout", "value": "soon"})),
        "attributes[0]: T-Timeout needs a number",
    );
    check(
        attribute(json!({"name": "T-Timeout", "value": 1.5})),
        "attributes[0].value: must be a text, a whole number, or a list for a TLV",
    );
    check(
        attribute(json!({"name": "T-Name", "tag": 1, "value": "x"})),
        "attributes[0]: T-Name cannot have the tag 1",
    );
    check(
        attribute(json!({"name": "T-Name", "raw": "xx"})),
        "attributes[0].raw: must be hex digits",
    );
    check(
        attribute(json!({"name": "T-Name", "raw": "00".repeat(254)})),
        "attributes[0]: T-Name has 254 octets, at most 253 fit",
    );
    check(
        attribute(json!({"name": "Box-Set", "value": [{"name": "T-Name", "value": "x"}]})),
        "attributes[0].value[0]: T-Name is not inside Box-Set",
    );
    check(
        attribute(json!({"name": "Box-Rate", "joined": true, "value": 1})),
        "attributes[0]: cannot join the attribute before: that needs the same vendor, and room for both in 255 octets",
    );
    let many = vec![json!({"name": "T-EAP", "raw": "00".repeat(253)}); 17];
    check(
        json!({"code": 1, "attributes": many}),
        "attributes: the packet has 4100 octets, at most 4096 are allowed",
    );
}

#[test]
fn lines_that_are_no_packets_keep_their_place() {
    let dictionary = dictionary();
    let check = |line: &str, part: &str| {
        let object = decode_line(line, &dictionary, None);
        assert_eq!(object["line"], line);
        assert!(
            object["error"].as_str().is_some_and(|e| e.contains(part)),
            "{object}"
        );
        let again = encode_line(&object.to_string(), &dictionary, None, [0; 16]);
        assert!(again.starts_with("# error: "), "{again}");
    };
    check("zz", "not hex");
    check("", "");
    check("010100", "");
    check("# error: earlier", "not hex");
    check(&"00".repeat(65_536), "more than a datagram");
    let line = hex::encode(packet(1, &bytes("0105626f62")));
    let object = decode_line(&format!(" {line}\r"), &dictionary, None);
    assert_eq!(
        encode_line(&object.to_string(), &dictionary, None, [0; 16]),
        line
    );
    assert!(encode_line("{", &dictionary, None, [0; 16]).starts_with("# error: not JSON"));
}
