//! The dictionary as a whole: files in, lookups and octets out.

use std::io;
use std::path::{Path, PathBuf};

use super::compile::compile;
use super::*;
use crate::attr::Hide;

fn load(files: &[(&str, &str)]) -> Result<Dictionary, DictionaryError> {
    load_over(None, files)
}

fn load_over(
    base: Option<&Dictionary>,
    files: &[(&str, &str)],
) -> Result<Dictionary, DictionaryError> {
    let mut read = |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        let found = found.map(|(_, text)| (*text).to_owned());
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
    };
    compile(base, &[PathBuf::from("dictionary")], &mut read)
}

fn one(text: &str) -> Dictionary {
    load(&[("dictionary", text)]).expect(text)
}

/// Every keyword, flag and type in use.
const EVERYTHING: &[(&str, &str)] = &[
    (
        "dictionary",
        "$INCLUDE sub/compat\n$include sub/../sub/compat\n$INCLUDE- nowhere\n$-INCLUDE nowhere\n$INCLUDE vendors\n\
         ATTRIBUTE User-Name 1 string\nATTRIBUTE User-Password 2 string encrypt=1\n\
         ATTRIBUTE NAS-IP-Address 4 ipaddr\nATTRIBUTE Service-Type 6 integer\n\
         ATTRIBUTE Vendor-Specific 26 vsa\nATTRIBUTE Tunnel-Type 64 integer has_tag\n\
         ATTRIBUTE Tunnel-Password 69 string has_tag,encrypt=2\nATTRIBUTE EAP-Message 79 octets concat\n\
         ATTRIBUTE NAS-Filter-Rule 92 string\nATTRIBUTE Secret-Thing 93 string secret\n\
         ATTRIBUTE Extended-1 241 extended\nATTRIBUTE Extended-5 245 long-extended\n\
         ATTRIBUTE Frag 241.1 integer\nATTRIBUTE Nest 241.2 tlv\nATTRIBUTE Nest-In 241.2.3 string\n\
         ATTRIBUTE Evs-1 241.26 evs\nATTRIBUTE Evs-5 245.26 evs\n\
         ATTRIBUTE Auth-Type 1000 integer\nATTRIBUTE Client-Name 1024 string virtual\n\
         VALUE Service-Type Framed-User 2\nVALUE Service-Type Login-User 0x01\n\
         ATTRIBUTE Shares 94 integer\nVALUE-ALIAS Shares Service-Type\nALIAS Vendor-Specific.Box.Rate Box-Rate\n\
         ALIAS Login Vendor-Specific.Box.Rate\nALIAS Nothing Not-There\nMEMBER odd uint8\n",
    ),
    (
        "sub/compat",
        "ATTRIBUTE Client-Id 4 ipaddr\nVALUE Service-Type Framed 2\n$INCLUDE more\n",
    ),
    ("sub/more", "ATTRIBUTE More 95 combo-ip\n"),
    (
        "vendors",
        "VENDOR Box 9999\nBEGIN-VENDOR Box\nATTRIBUTE Box-Rate 1 uint32 array\n\
         ATTRIBUTE Box-Set 2 tlv\nBEGIN-TLV Box-Set\nATTRIBUTE Box-Set-Name 1 String\n\
         ATTRIBUTE Box-Set-Deep 2 tlv\nBEGIN-TLV Box-Set-Deep\nATTRIBUTE Box-Deep 7 byte\n\
         END-TLV Box-Set-Deep\nEND-TLV Box-Set\nATTRIBUTE Box-Dotted 2.3 short\nEND-VENDOR Box\n\
         VENDOR Wide 429 format=4,0\nATTRIBUTE Wide-Old 0x9001 string Wide\n\
         VENDOR WiMAX 24757 format=1,1,c\nBEGIN-VENDOR WiMAX\nATTRIBUTE WiMAX-Key 5 octets encrypt=2\nEND-VENDOR WiMAX\n",
    ),
];

#[test]
fn everything_in_the_grammar_is_understood() {
    let mut files = EVERYTHING.to_vec();
    let evs = "BEGIN-VENDOR Box format=Evs-5\nATTRIBUTE Box-Long 8 octets\nEND-VENDOR Box\n\
               BEGIN-VENDOR Box parent=Evs-1\nATTRIBUTE Box-Short 9 signed\nEND-VENDOR Box\n";
    let root = format!("{}{evs}", files[0].1);
    files[0].1 = &root;
    let d = load(&files).expect("all of it");
    let check = |name: &str, path: &[u32], kind: DataType| {
        let a = d.attribute(name).expect(name);
        assert_eq!((a.path(), a.data_type()), (path, kind), "{name}");
        assert_eq!(d.attribute_at(path).map(Attribute::path), Some(path));
    };
    check("user-NAME", &[1], DataType::Text);
    check("Client-Id", &[4], DataType::Ipv4);
    check("Box-Rate", &[26, 9999, 1], DataType::Integer);
    check("Login", &[26, 9999, 1], DataType::Integer);
    check("Box-Set-Name", &[26, 9999, 2, 1], DataType::Text);
    check("Box-Deep", &[26, 9999, 2, 2, 7], DataType::Byte);
    check("Box-Dotted", &[26, 9999, 2, 3], DataType::Short);
    check("Wide-Old", &[26, 429, 0x9001], DataType::Text);
    check("Nest-In", &[241, 2, 3], DataType::Text);
    check("Box-Long", &[245, 26, 9999, 8], DataType::Octets);
    check("Box-Short", &[241, 26, 9999, 9], DataType::Signed);
    check("More", &[95], DataType::ComboIp);
    // The standard name is the one shown, the older name still encodes.
    assert_eq!(d.standard(4).map(Attribute::name), Some("NAS-IP-Address"));
    let service = d.attribute("Service-Type").expect("Service-Type").values();
    assert_eq!(
        (service.name(2), service.number("FRAMED")),
        (Some("Framed-User"), Some(2))
    );
    assert_eq!(
        d.attribute("Shares")
            .map(|a| a.values().number("Login-User")),
        Some(Some(1))
    );
    assert!(!d.attribute("Auth-Type").expect("Auth-Type").is_on_wire());
    assert_eq!(d.attribute("Box-Rate").map(Attribute::vendor), Some(9999));
    assert_eq!(
        d.attribute("Tunnel-Password").map(Attribute::hide),
        Some(Hide::Salted)
    );
    assert!(d.attribute("NAS-Filter-Rule").expect("rule").flags().concat);
    assert_eq!(d.vendor("wimax").map(|v| v.format.continuation), Some(true));
    assert_eq!(d.files().len(), 4, "each file is read once");
    let warnings: Vec<_> = d.warnings().iter().map(|w| w.text.as_str()).collect();
    assert_eq!(warnings.len(), 4, "{warnings:?}");
    assert!(
        warnings.iter().any(|w| w.contains("\"MEMBER\"")),
        "{warnings:?}"
    );
    assert!(
        warnings.iter().any(|w| w.contains("ALIAS Nothing")),
        "{warnings:?}"
    );
}

#[test]
fn every_fault_is_told_with_file_and_line() {
    let check = |text: &str, line: usize, part: &str| {
        let error = load(&[("dictionary", text)]).expect_err(text);
        assert_eq!(
            (error.file.as_str(), error.line),
            ("dictionary", line),
            "{error}"
        );
        assert!(error.reason.contains(part), "{error}");
    };
    check("\nATTRIBUTE A 0 string", 2, "number 0");
    check("ATTRIBUTE A 1 strin", 1, "did you mean \"string\"");
    check(
        "ATTRIBUTE A 1 string\nATTRIBUTE a 2 string",
        2,
        "defined as 1 and as 2",
    );
    check(
        "ATTRIBUTE A 1 string Nobody",
        1,
        "neither a flag nor a vendor",
    );
    check("ATTRIBUTE A 1 string virtual", 1, "above 255");
    check(
        "ATTRIBUTE A 5 integer\nATTRIBUTE B 5.1 string",
        2,
        "cannot hold others",
    );
    check("ATTRIBUTE B 5.1 string", 1, "no attribute 5 to hold");
    check("ATTRIBUTE B 5 evs", 1, "evs is not possible");
    check(
        "ATTRIBUTE E 241 extended\nATTRIBUTE B 241.256 string",
        2,
        "1 to 255",
    );
    check(
        "ATTRIBUTE E 241 extended\nATTRIBUTE B 241.1 string has_tag",
        2,
        "inside extended",
    );
    check(
        "VENDOR V 1\nBEGIN-VENDOR V\nATTRIBUTE A 256 string\nEND-VENDOR V",
        3,
        "does not fit",
    );
    check(
        "VENDOR V 1\nBEGIN-VENDOR V\nATTRIBUTE A 1 extended\nEND-VENDOR V",
        3,
        "not possible inside a vendor",
    );
    check("VENDOR V 1\nVENDOR V 2", 2, "numbers 1 and 2");
    check(
        "VENDOR Mikrotik 1\nBEGIN-VENDOR Mikrotic",
        2,
        "did you mean \"Mikrotik\"",
    );
    check("VENDOR V 1\n\nBEGIN-VENDOR V\n", 3, "never closed");
    check(
        "VENDOR V 1\nVENDOR W 2\nBEGIN-VENDOR V\nBEGIN-VENDOR W",
        4,
        "inside BEGIN-VENDOR V",
    );
    check(
        "VENDOR V 1\nBEGIN-VENDOR V\nEND-VENDOR W",
        3,
        "closes BEGIN-VENDOR V",
    );
    check("END-VENDOR W", 1, "without");
    check("END-TLV W", 1, "without");
    check("ATTRIBUTE T 9 tlv\nBEGIN-TLV T", 0, "never closed");
    check("ATTRIBUTE T 9 string\nBEGIN-TLV T", 2, "not of type tlv");
    check(
        "VENDOR V 1\nATTRIBUTE T 9 string\nBEGIN-VENDOR V format=T",
        3,
        "not of type evs",
    );
    check(
        "ATTRIBUTE A 1 string\nVALUE A B 1",
        2,
        "no numbers for values",
    );
    check("ATTRIBUTE A 1 byte\nVALUE A B 256", 2, "too large");
    check(
        "ATTRIBUTE A 1 byte\nVALUE A B 1\nVALUE A b 2",
        3,
        "is 1 and 2",
    );
    check(
        "ATTRIBUTE A 1 byte\nATTRIBUTE B 2 short\nVALUE B X 1\nVALUE-ALIAS A B",
        4,
        "different types",
    );
    check("$INCLUDE nowhere", 1, "cannot include nowhere");
    check(
        "ATTRIBUTE A 9 tlv\nATTRIBUTE B 9.1 tlv\nATTRIBUTE C 9.1.1 tlv\nATTRIBUTE D 9.1.1.1 tlv\n\
         ATTRIBUTE E 9.1.1.1.1 tlv\nATTRIBUTE F 9.1.1.1.1.1 string",
        6,
        "nested deeper than 4",
    );
}

#[test]
fn includes_are_bounded_in_depth() {
    let names: Vec<String> = (0..=MAX_INCLUDE_DEPTH + 1)
        .map(|n| format!("f{n}"))
        .collect();
    let texts: Vec<String> = (1..=MAX_INCLUDE_DEPTH + 2)
        .map(|n| format!("$INCLUDE f{n}"))
        .collect();
    let mut files: Vec<(&str, &str)> = names
        .iter()
        .map(String::as_str)
        .zip(texts.iter().map(String::as_str))
        .collect();
    files.push(("dictionary", "$INCLUDE f0"));
    let error = load(&files).expect_err("too deep");
    assert!(error.reason.contains("deeper than 10"), "{error}");
    // A file that includes itself is read once.
    assert_eq!(
        one("$INCLUDE dictionary\nATTRIBUTE A 1 string")
            .files()
            .len(),
        1
    );
}

#[test]
fn a_later_folder_may_redefine_what_is_built_in() {
    let base = one("ATTRIBUTE A 1 string\nATTRIBUTE B 2 integer\nVALUE B X 1\nVENDOR V 7");
    let d = load_over(
        Some(&base),
        &[(
            "dictionary",
            "ATTRIBUTE A 3 octets\nVALUE B X 2\nVALUE B Y 3\nVENDOR V 8\nATTRIBUTE C 1 byte",
        )],
    )
    .expect("redefinition");
    assert_eq!(d.attribute("A").map(Attribute::path), Some(&[3][..]));
    assert_eq!(d.standard(1).map(Attribute::name), Some("C"));
    let b = d.attribute("B").expect("B").values();
    assert_eq!(
        (b.number("X"), b.number("Y"), b.name(1)),
        (Some(2), Some(3), None)
    );
    assert_eq!(d.vendor("V").map(|v| v.number), Some(8));
    assert_eq!(
        base.attribute("A").map(Attribute::path),
        Some(&[1][..]),
        "the base stays as it was"
    );
}

#[test]
fn the_newer_grammar_is_read_as_far_as_it_goes() {
    let d = one(
        "BEGIN PROTOCOL RADIUS 1\nFLAGS internal\nATTRIBUTE Lost .1 string\nDEFINE Foo string\n\
         ATTRIBUTE Set 5 tlv\nATTRIBUTE Set-Name .1 text\nBEGIN Set\nATTRIBUTE Set-Count 2 uint8 key\nEND Set\n\
         ATTRIBUTE Hidden 6 string encrypt=User-Password\nEND-PROTOCOL RADIUS",
    );
    assert_eq!(
        d.attribute("Set-Name").map(Attribute::path),
        Some(&[5, 1][..])
    );
    assert_eq!(
        d.attribute("Set-Count").map(Attribute::path),
        Some(&[5, 2][..])
    );
    assert_eq!(
        d.attribute("Hidden").map(Attribute::hide),
        Some(Hide::Password)
    );
    assert!(d.attribute("Lost").is_none());
    assert_eq!(d.warnings().len(), 5, "{:?}", d.warnings());
}

#[test]
fn values_become_octets_and_text_again() {
    let check = |kind: &str, text: &str, expect: Option<&str>, back: &str| {
        let d = one(&format!("ATTRIBUTE A 1 {kind}"));
        let a = d.attribute("A").expect("A");
        let octets = a.encode_value(text);
        assert_eq!(
            octets.as_ref().ok().map(hex::encode).as_deref(),
            expect,
            "{kind} {text}: {octets:?}"
        );
        if let Ok(octets) = octets {
            assert_eq!(a.format_value(&octets), back, "{kind} {text}");
        }
    };
    check("string", "0x41 ä", Some("3078343120c3a4"), "0x41 ä");
    check("octets", "0xdeadBEEF", Some("deadbeef"), "0xdeadbeef");
    check("octets", "abc", Some("616263"), "0x616263");
    check("octets", "0xabc", None, "");
    check("octets[2]", "0x0102", Some("0102"), "0x0102");
    check("octets[2]", "0x01", None, "");
    check("integer", "3600", Some("00000e10"), "3600");
    check("integer", " 0x10 ", Some("00000010"), "16");
    check("integer", "4294967296", None, "");
    check("integer", "-1", None, "");
    check("integer", "", None, "");
    check("byte", "255", Some("ff"), "255");
    check("byte", "256", None, "");
    check("short", "258", Some("0102"), "258");
    check("signed", "-2", Some("fffffffe"), "-2");
    check(
        "integer64",
        "18446744073709551615",
        Some("ffffffffffffffff"),
        "18446744073709551615",
    );
    check("bool", "yes", Some("01"), "yes");
    check("bool", "maybe", None, "");
    check(
        "date",
        "2024-02-29T12:34:56Z",
        Some("65e079f0"),
        "2024-02-29T12:34:56Z",
    );
    check("date", "tomorrow", None, "");
    check("ipaddr", "10.0.0.1", Some("0a000001"), "10.0.0.1");
    check("ipaddr", "10.0.0", None, "");
    check(
        "ipv6addr",
        "2001:db8::1",
        Some("20010db8000000000000000000000001"),
        "2001:db8::1",
    );
    check(
        "combo-ip",
        "::1",
        Some("00000000000000000000000000000001"),
        "::1",
    );
    check("combo-ip", "10.0.0.1", Some("0a000001"), "10.0.0.1");
    check(
        "ipv4prefix",
        "10.1.2.3/8",
        Some("00080a000000"),
        "10.0.0.0/8",
    );
    check("ipv4prefix", "10.0.0.0/33", None, "");
    check(
        "ipv6prefix",
        "2001:db8::/32",
        Some("002020010db8"),
        "2001:db8::/32",
    );
    check("ipv6prefix", "2001:db8::/+3", None, "");
    check(
        "ifid",
        "0:0:0:1",
        Some("0000000000000001"),
        "0000:0000:0000:0001",
    );
    check("ifid", "0:0:1", None, "");
    check(
        "ether",
        "02-00-5E-00-00-01",
        Some("02005e000001"),
        "02:00:5e:00:00:01",
    );
    check("ether", "02:00:5e:00:00:001", None, "");
    check("abinary", "ip in", None, "");
    check("abinary", "0x0102", Some("0102"), "0x0102");
    check("tlv", "0x0103", Some("0103"), "0x0103");
    check("integer array", "1, 2", Some("0000000100000002"), "1,2");
}

#[test]
fn a_wrong_value_name_is_answered_with_the_nearest() {
    let d = one("ATTRIBUTE A 1 integer\nVALUE A Framed-User 2\nVALUE A 7 9");
    let a = d.attribute("A").expect("A");
    assert_eq!(a.encode_value("framed-user"), Ok(vec![0, 0, 0, 2]));
    assert_eq!(
        a.encode_value("7"),
        Ok(vec![0, 0, 0, 9]),
        "a name may look like a number"
    );
    let error = a
        .encode_value("Framed-Usr")
        .expect_err("no such value")
        .to_string();
    assert_eq!(
        error,
        "A has no value \"Framed-Usr\"; did you mean \"Framed-User\"?"
    );
}

#[test]
fn every_carrier_is_written_with_its_headers() {
    let mut files = EVERYTHING.to_vec();
    let evs = "BEGIN-VENDOR Box format=Evs-5\nATTRIBUTE Box-Long 8 octets\nEND-VENDOR Box\n";
    let root = format!("{}{evs}", files[0].1);
    files[0].1 = &root;
    let d = load(&files).expect("all of it");
    let check = |name: &str, tag: Option<u8>, value: &[u8], expect: Option<&str>| {
        let mut out = vec![0xaa];
        let result = d.resolve(name).expect(name).append(tag, value, &mut out);
        assert_eq!(result.is_ok(), expect.is_some(), "{name}: {result:?}");
        let made = hex::encode(&out);
        assert_eq!(made, format!("aa{}", expect.unwrap_or("")), "{name}");
    };
    check("User-Name", None, b"bob", Some("0105626f62"));
    check("User-Name", None, &[0; 254], None);
    check("User-Name", Some(1), b"bob", None);
    check("Tunnel-Type", Some(1), &[0, 0, 0, 13], Some("40060100000d"));
    check("Tunnel-Type", None, &[0, 0, 0, 13], Some("40060000000d"));
    check("Tunnel-Type", Some(1), &[1, 0, 0, 0], None);
    check("Tunnel-Type", Some(32), &[0, 0, 0, 13], None);
    check("Tunnel-Password", None, b"\x80\x01", Some("4505008001"));
    check(
        "Box-Rate",
        None,
        &[0, 0, 0, 7],
        Some("1a0c0000270f010600000007"),
    );
    check("Wide-Old", None, b"x", Some("1a0b000001ad0000900178"));
    check(
        "Box-Deep",
        None,
        &[5],
        Some("1a0d0000270f020702050703 05".replace(' ', "").as_str()),
    );
    check("Frag", None, &[0, 0, 0, 1], Some("f1070100000001"));
    check(
        "Nest-In",
        None,
        b"a",
        Some("f106020303 61".replace(' ', "").as_str()),
    );
    check("Box-Long", None, &[9], Some("f50a1a000000270f0809"));
    check("Auth-Type", None, &[0, 0, 0, 1], None);
    check("Attr-200", None, b"z", Some("c8037a"));
    check(
        "Vendor-9-Attr-1",
        None,
        b"z",
        Some("1a09000000090103 7a".replace(' ', "").as_str()),
    );
    check("Attr-26.9.1", None, b"z", Some("1a090000000901037a"));
    check("Attr-241.77", None, b"z", Some("f1044d7a"));
    check("Attr-245.26.9.1", None, b"z", Some("f50a1a0000000009017a"));
    for name in [
        "Attr-0",
        "Attr-256",
        "Attr-1.2",
        "Attr-26.9",
        "Attr-26.0.1",
        "Attr-26.9.256",
        "Attr-",
        "Attr-1x",
    ] {
        assert!(d.resolve(name).is_none(), "{name}");
    }
}

#[test]
fn long_values_are_split_where_the_wire_allows_it() {
    let d = load(EVERYTHING).expect("all of it");
    let heads = |name: &str, octets: usize| -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        d.attribute(name)
            .expect(name)
            .append_raw(&vec![7; octets], &mut out)
            .expect("fits");
        let mut heads = Vec::new();
        while let [_, length, ..] = out.as_slice() {
            let rest = out.split_off(usize::from(*length));
            heads.push(out.iter().take_while(|o| **o != 7).copied().collect());
            out = rest;
        }
        heads
    };
    assert_eq!(heads("EAP-Message", 254), [vec![79, 255], vec![79, 3]]);
    assert_eq!(heads("EAP-Message", 0), [vec![79, 2]]);
    let wimax = |length: u8, flags: u8| vec![26, length, 0, 0, 0x60, 0xb5, 5, length - 6, flags];
    assert_eq!(heads("WiMAX-Key", 247), [wimax(255, 0x80), wimax(10, 0)]);
    let long = d.resolve("Attr-245.9").expect("long");
    let mut out = Vec::new();
    long.append_raw(&[7; 252], &mut out).expect("fits");
    assert_eq!(out.get(..4), Some(&[245, 255, 9, 0x80][..]));
    assert_eq!(out.get(255..), Some(&[245, 5, 9, 0, 7][..]));
}

#[test]
fn a_value_of_an_attribute_that_nobody_defines_is_a_warning() {
    let text = "VALUE Nas-Port-Typ Async 0\nATTRIBUTE NAS-Port-Type 61 integer";
    let d = Dictionary::load_with(Path::new("dictionary"), &mut |_| Ok(text.to_owned())).unwrap();
    assert!(d.attribute("NAS-Port-Type").is_some());
    let warnings: Vec<_> = d
        .warnings()
        .iter()
        .map(|w| (w.line, w.text.as_str()))
        .collect();
    assert!(
        matches!(warnings.as_slice(), [(1, text)] if text.contains("did you mean \"NAS-Port-Type\"")),
        "{warnings:?}"
    );
}
