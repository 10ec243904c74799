use super::*;
use crate::testing::{DEVICE, INTERIM, ON, START, STOP, Sent, at};

#[test]
fn a_whole_report_is_read() {
    let report = Sent::new(STOP, 0)
        .number(41, 5)
        .number(46, 3_600)
        .number(42, 10)
        .number(52, 1)
        .number(43, 20)
        .number(47, 3)
        .number(49, 1)
        .number(61, 19)
        .number(6, 2)
        .number(5, 7)
        .put(4, &[10, 0, 0, 1])
        .put(8, &[10, 1, 0, 9])
        .put(30, b"AA-BB-CC-DD-EE-FF:Guest")
        .put(25, &[1, 255])
        .put(25, &[2])
        .put(77, b"CONNECT 54Mbps")
        .put(97, &[0, 64, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0])
        .read();
    assert_eq!(report.status, Status::Stop);
    assert_eq!(report.event_time, at(-5));
    assert_eq!(report.begin(), Some(at(-3_605)));
    assert_eq!(
        (report.session_id.as_str(), report.identity.as_str()),
        ("s1", DEVICE)
    );
    assert_eq!(
        report.input,
        Some(Count {
            low: 10,
            high: Some(1)
        })
    );
    assert_eq!(
        report.output,
        Some(Count {
            low: 20,
            high: None
        })
    );
    assert_eq!(
        (report.input_packets, report.output_packets),
        (Some(3), None)
    );
    assert_eq!(report.terminate_cause.as_deref(), Some("User-Request"));
    assert_eq!(report.nas_ip_address(), "10.0.0.1");
    assert_eq!(report.connect_info.as_deref(), Some("CONNECT 54Mbps"));
    let d = &report.details;
    assert_eq!(d.username.as_deref(), Some("bob"));
    assert_eq!(d.nas_port_id.as_deref(), Some("7"));
    assert_eq!(d.nas_port_type.as_deref(), Some("Wireless-802.11"));
    assert_eq!(d.service_type.as_deref(), Some("Framed-User"));
    assert_eq!(d.framed_ip_address.as_deref(), Some("10.1.0.9"));
    assert_eq!(d.framed_ipv6_prefix.as_deref(), Some("2001:db8::/64"));
    assert_eq!(
        d.called_station_id.as_deref(),
        Some("AA-BB-CC-DD-EE-FF:Guest")
    );
    assert_eq!(d.class.as_deref(), Some("01ff,02"));
}

#[test]
fn a_device_that_names_octets_from_its_side_is_turned_round() {
    let mut sent = Sent::new(INTERIM, 0)
        .counts(60, 10, 20)
        .number(47, 1)
        .number(48, 2);
    sent.entry.flips_octets = true;
    let report = sent.read();
    assert_eq!(report.input.map(|count| count.low), Some(20));
    assert_eq!(report.output.map(|count| count.low), Some(10));
    assert_eq!(
        (report.input_packets, report.output_packets),
        (Some(2), Some(1))
    );
}

#[test]
fn what_makes_no_report_is_refused_with_the_reason() {
    let check = |sent: Sent, expect: Result<(), &str>| {
        let read = Report::read(&sent.entry)
            .map(|_| ())
            .map_err(|e| e.to_string());
        match expect {
            Ok(()) => assert_eq!(read, Ok(())),
            Err(reason) => assert!(read.clone().is_err_and(|e| e.contains(reason)), "{read:?}"),
        }
    };
    check(Sent::new(START, 0), Ok(()));
    check(Sent::new(99, 0), Ok(()));
    check(Sent::new(9, 0), Ok(()));
    check(Sent::bare(ON, 0), Ok(()));
    check(Sent::bare(START, 0), Err("Acct-Session-Id"));
    check(Sent::bare(START, 0).put(44, b""), Err("Acct-Session-Id"));
    let mut no_status = Sent::new(START, 0);
    no_status.entry.packet[20] = 200;
    check(no_status, Err("Acct-Status-Type"));
    let mut cut = Sent::new(START, 0);
    cut.entry.packet.truncate(30);
    check(cut, Err("packet"));
}

#[test]
fn counters_of_impossible_size_are_not_believed() {
    let report = Sent::new(INTERIM, 0)
        .counts(u32::MAX, 1, 1)
        .number(52, u32::MAX)
        .read();
    assert_eq!((report.session_seconds, report.input), (None, None));
    assert_eq!(report.output, Some(Count { low: 1, high: None }));
}

#[test]
fn attributes_without_a_field_are_kept_by_name() {
    let mikrotik_group = [0, 0, 0x3a, 0x8c, 3, 5, b'v', b'i', b'p'];
    let unknown_vendor = [0, 0, 0xff, 0xf0, 1, 3, 9];
    let other = Sent::new(INTERIM, 0)
        .put(11, b"filter")
        .put(26, &mikrotik_group)
        .put(26, &unknown_vendor)
        .put(200, &[1, 2])
        .put(200, &[3])
        .read()
        .other;
    let expect = serde_json::json!({
        "Filter-Id": "filter",
        "Attr-200": ["0x0102", "0x03"],
        "Mikrotik-Group": "vip",
        "Vendor-65520-Attr-1": "0x09",
    });
    assert_eq!(serde_json::Value::Object(other), expect);
}

#[test]
fn a_vendor_attribute_that_cannot_be_taken_apart_stays_whole_beside_one_that_can() {
    let other = Sent::new(INTERIM, 0)
        .put(26, &[0, 0, 0x3a, 0x8c, 3, 5, b'v', b'i', b'p'])
        .put(26, &[0, 0, 0x3a, 0x8c, 3, 200])
        .read()
        .other;
    let expect =
        serde_json::json!({ "Mikrotik-Group": "vip", "Vendor-Specific": "0x00003a8c03c8" });
    assert_eq!(serde_json::Value::Object(other), expect);
}

#[test]
fn no_text_of_a_report_holds_a_nul() {
    let report = Sent::bare(INTERIM, 0)
        .put(44, b"a\0b")
        .put(1, b"b\0b")
        .put(11, b"f\0f")
        .read();
    assert_eq!(report.session_id, "610062");
    assert_eq!(report.details.username.as_deref(), Some("b\u{fffd}b"));
    assert!(
        !serde_json::to_string(&report.other)
            .unwrap()
            .contains("\\u0000")
    );
}

#[test]
fn a_door_lets_in_what_can_be_read_and_nothing_else() {
    let table = [
        Sent::new(START, 0),
        Sent::bare(START, 0),
        Sent::bare(START, 0).put(44, b"\0\0"),
        Sent::bare(START, 0).put(44, b"\0\0").put(44, b"s1"),
        Sent::bare(START, 0).put(44, b" "),
        Sent::bare(START, 0).put(44, &[0, 1]),
        Sent::bare(ON, 0),
        Sent::bare(ON, 0).put(44, b"s1"),
    ];
    let mut nameless = Sent::new(START, 0);
    nameless.entry.packet.drain(20..26);
    nameless.entry.packet[3] -= 6;
    for sent in table.iter().chain([&nameless]) {
        let packet = Packet::parse(&sent.entry.packet).unwrap();
        let read = Report::read(&sent.entry).map(|report| report.status);
        assert_eq!(Report::check(packet), read, "{:?}", sent.entry.packet);
    }
}

#[test]
fn a_packet_is_told_from_others_by_any_of_its_octets() {
    let whole = Sent::new(START, 0).entry.packet;
    for place in 0..whole.len() {
        let mut other = whole.clone();
        other[place] ^= 1;
        assert_ne!(digest(&other), digest(&whole), "{place}");
    }
    assert_eq!(digest(&whole), digest(&whole.clone()));
}
