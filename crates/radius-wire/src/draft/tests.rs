use super::*;
use crate::attr::{Integer, Octets, Text};
use crate::code::Code;
use crate::hide::HideError;
use crate::packet::Packet;

const AUTHENTICATOR: [u8; 16] = [3; 16];

fn write(draft: &Draft) -> Result<Vec<u8>, SealFault> {
    let mut writer = PacketWriter::new(Code::ACCESS_ACCEPT, 1, &AUTHENTICATOR);
    draft.write(&mut writer, &Secret::new("s"), &AUTHENTICATOR, 0x7fff)?;
    Ok(writer.finish())
}

fn kinds(octets: &[u8]) -> Vec<u8> {
    let packet = Packet::parse(octets).unwrap();
    packet
        .attributes()
        .map(|attribute| attribute.kind)
        .collect()
}

#[test]
fn attributes_keep_the_order_they_were_put_in() {
    let mut draft = Draft::new(&[]);
    draft.put_hidden(0, 69, Some(1), Hide::Salted, b"one");
    draft.put_raw(25, b"class");
    draft.put_hidden(311, 16, None, Hide::Salted, b"two");
    draft.put_hidden(0, 2, None, Hide::Password, b"three");
    draft.put_raw(6, &[0, 0, 0, 2]);
    let octets = write(&draft).unwrap();
    assert_eq!(kinds(&octets), [69, 25, 26, 2, 6]);
}

#[test]
fn every_hidden_value_has_a_salt_of_its_own_with_the_top_bit_set() {
    let mut draft = Draft::new(&[]);
    draft.put_hidden(0, 69, Some(1), Hide::Salted, b"same");
    draft.put_hidden(0, 69, Some(1), Hide::Salted, b"same");
    let octets = write(&draft).unwrap();
    let packet = Packet::parse(&octets).unwrap();
    let salts: Vec<_> = packet.all(69).map(|value| value[1..3].to_vec()).collect();
    assert_eq!(salts, [[0xff, 0xff], [0x80, 0x00]]);
}

#[test]
fn hidden_values_are_revealed_again_in_every_form() {
    for (hide, tag) in [
        (Hide::No, None),
        (Hide::Password, None),
        (Hide::Salted, None),
        (Hide::Salted, Some(9)),
        (Hide::Ascend, None),
    ] {
        for vendor in [0, 529] {
            let mut draft = Draft::new(&[]);
            draft.put_hidden(vendor, 69, tag, hide, b"plain");
            let octets = write(&draft).unwrap();
            let packet = Packet::parse(&octets).unwrap();
            let mut attr = Attr::<Octets>::new("X", vendor, 69).with_hide(hide);
            if tag.is_some() {
                attr = attr.with_tag();
            }
            let got = packet.reveal(attr, &Secret::new("s"), &AUTHENTICATOR);
            let got = got.unwrap().unwrap();
            assert_eq!(got.tag, tag.unwrap_or(0));
            assert_eq!(got.plain.as_slice(), b"plain");
        }
    }
}

#[test]
fn long_reply_messages_are_split_between_characters() {
    let mut draft = Draft::new(&[]);
    let text = "é".repeat(200);
    draft.put(
        Attr::<Text>::new("Reply-Message", 0, 18),
        0,
        text.as_bytes(),
    );
    let octets = write(&draft).unwrap();
    let packet = Packet::parse(&octets).unwrap();
    let lengths: Vec<_> = packet.all(18).map(<[u8]>::len).collect();
    assert_eq!(lengths, [252, 148]);
    assert_eq!(packet.joined(18).unwrap(), text.as_bytes());
}

#[test]
fn text_that_is_no_utf_8_is_split_all_the_same() {
    let mut draft = Draft::new(&[]);
    let value = [0x80; 600];
    draft.put(Attr::<Text>::new("Reply-Message", 0, 18), 0, &value);
    draft.put(Attr::<Octets>::new("EAP-Message", 0, 79), 0, &value);
    let octets = write(&draft).unwrap();
    let packet = Packet::parse(&octets).unwrap();
    assert_eq!(packet.joined(18).unwrap(), value);
    let lengths: Vec<_> = packet.all(79).map(<[u8]>::len).collect();
    assert_eq!(lengths, [253, 253, 94]);
}

#[test]
fn reserved_attributes_are_left_out() {
    let mut draft = Draft::new(&[80, 33]);
    draft.put_raw(80, &[0; 16]);
    draft.put_attributes(&[33, 3, 1, 25, 3, 7, 80, 2]);
    assert_eq!(kinds(&write(&draft).unwrap()), [25]);
    assert!(draft.contains(25) && !draft.contains(33));
}

#[test]
fn the_first_fault_is_reported_when_writing() {
    fn check(put: impl Fn(&mut Draft), expect: SealFault) {
        let mut draft = Draft::new(&[]);
        draft.put_raw(25, b"kept until the fault");
        put(&mut draft);
        draft.put_raw(0, b"a later fault");
        assert_eq!(write(&draft), Err(expect));
    }
    let number = Attr::<Integer>::new("N", 0, 300);
    let text = Attr::<Text>::new("T", 0, 11);
    check(
        |d| d.put(number, 0, 1),
        SealFault::Number {
            vendor: 0,
            number: 300,
        },
    );
    check(
        |d| d.put(text, 3, b"x"),
        SealFault::Tag {
            vendor: 0,
            number: 11,
            tag: 3,
        },
    );
    check(
        |d| d.put(text.with_tag(), 32, b"x"),
        SealFault::Tag {
            vendor: 0,
            number: 11,
            tag: 32,
        },
    );
    check(
        |d| d.put(text, 0, &[b'x'; 254]),
        SealFault::ValueTooLong {
            vendor: 0,
            number: 11,
            octets: 254,
            limit: 253,
        },
    );
    check(
        |d| d.put_attributes(&[25, 3, 1, 25, 4, 1]),
        SealFault::NotAttributes { offset: 3 },
    );
    check(
        |d| d.put_attributes(&[25]),
        SealFault::NotAttributes { offset: 0 },
    );
    check(
        |d| d.put_attributes(&[0, 2]),
        SealFault::NotAttributes { offset: 0 },
    );
    check(
        |d| d.put_attributes(&[25, 1]),
        SealFault::NotAttributes { offset: 0 },
    );
    check(
        |d| d.put_hidden(0, 256, None, Hide::Salted, b""),
        SealFault::Number {
            vendor: 0,
            number: 256,
        },
    );
    check(
        |d| d.put_hidden(0, 69, Some(32), Hide::Salted, b""),
        SealFault::Tag {
            vendor: 0,
            number: 69,
            tag: 32,
        },
    );
}

#[test]
fn values_that_cannot_be_hidden_are_named() {
    let mut draft = Draft::new(&[]);
    draft.put_hidden(0, 2, None, Hide::Password, &[b'x'; 129]);
    let reason = HideError::TooLong {
        octets: 129,
        limit: 128,
    };
    let expect = SealFault::Hide {
        vendor: 0,
        number: 2,
        reason,
    };
    assert_eq!(write(&draft), Err(expect));
}

#[test]
fn a_draft_stops_growing_at_the_packet_limit() {
    let mut draft = Draft::new(&[]);
    for _ in 0..100 {
        draft.put_raw(25, &[1; 253]);
        draft.put_hidden(0, 69, None, Hide::Salted, &[1; 200]);
    }
    assert!(matches!(
        write(&draft),
        Err(SealFault::PacketTooLong { .. })
    ));
    assert!(draft.length() <= MAX_ATTRIBUTE_OCTETS);
}
