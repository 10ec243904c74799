use super::*;
use crate::rule::{Compiler, Rows, RuleSet, Side, parse_lines};
use radius_wire::dictionary::Dictionary;

/// A request as a list of (vendor, number, value).
struct Request(Vec<(u32, u32, Vec<u8>)>);

impl Lookup for Request {
    fn values(&self, vendor: u32, number: u32) -> impl Iterator<Item = &[u8]> {
        self.0
            .iter()
            .filter(move |known| (known.0, known.1) == (vendor, number))
            .map(|known| known.2.as_slice())
    }
}

fn compile(text: &str) -> RuleSet {
    let mut rows = Rows::default();
    for (side, row) in parse_lines(Dictionary::builtin(), text, Some(Side::Check)).unwrap() {
        rows.side_mut(side).push(row);
    }
    let (set, faults) = Compiler::new(Dictionary::builtin()).compile(&rows);
    assert!(faults.is_empty(), "{faults:?}");
    set
}

fn request() -> Request {
    Request(vec![
        (0, 1, b"bob".to_vec()),
        (0, 4, vec![10, 0, 0, 1]),
        (0, 5, vec![0, 0, 0, 7]),
        (0, 30, b"AA-BB-CC-DD-EE-01:Guest WiFi".to_vec()),
        (0, 31, b"aabb.ccdd.ee02".to_vec()),
        (0, 32, b"ap-hall\0".to_vec()),
        (0, 25, b"one".to_vec()),
        (0, 25, b"two".to_vec()),
        (0, 61, vec![0, 0, 0, 19]),
        (0, 64, vec![1, 0, 0, 13]),
        (0, 81, b"\x01100".to_vec()),
        (0, 55, vec![0x5e, 0, 0, 0]),
        (0, internal::HUNTGROUP_NAME, b"hall".to_vec()),
        (0, internal::CALLED_STATION_SSID, b"Guest WiFi".to_vec()),
        (14988, 8, b"10M/10M".to_vec()),
        (0, 6, vec![1, 2]),
    ])
}

#[test]
fn comparisons_hold_or_fail() {
    fn check(row: &str, expect: bool) {
        let set = compile(row);
        let outcome = matches(&set.checks, &request());
        assert_eq!(
            matches!(outcome, CheckOutcome::Matches),
            expect,
            "{row}: {outcome:?}"
        );
    }
    check("User-Name == bob", true);
    check("User-Name == Bob", false);
    check("User-Name != alice", true);
    check("User-Name != bob", false);
    check("NAS-IP-Address == 10.0.0.1", true);
    check("NAS-IP-Address == 10.0.0.2", false);
    check("NAS-IP-Address =~ ^10\\.0\\.", true);
    check("NAS-IP-Address =~ ^11\\.", false);
    check("NAS-Identifier == ap-hall", true);
    check("NAS-Identifier == ap-yard", false);
    check("Huntgroup-Name == hall", true);
    check("Huntgroup-Name == yard", false);
    check("Called-Station-SSID == \"Guest WiFi\"", true);
    // stations, in whatever spelling
    check("Calling-Station-Id == AA-BB-CC-DD-EE-02", true);
    check("Calling-Station-Id == aabbccddee02", true);
    check("Calling-Station-Id == aabbccddee03", false);
    check("Calling-Station-Id != aabb-ccdd-ee02", false);
    check("Calling-Station-Id != aabb-ccdd-ee03", true);
    check("Called-Station-Id == \"aabbccddee01:Guest WiFi\"", true);
    check("Called-Station-Id == \"aabbccddee01:Guest\"", false);
    check("Called-Station-Id =~ \":Guest WiFi$\"", true);
    check("Called-Station-Id =~ \":guest wifi$\"", false);
    check("Called-Station-Id =~ \"(?i):guest wifi$\"", true);
    check("Called-Station-Id !~ \":Guest WiFi$\"", false);
    check("Called-Station-Id !~ \":Staff$\"", true);
    // numbers
    check("NAS-Port == 7", true);
    check("NAS-Port > 6", true);
    check("NAS-Port > 7", false);
    check("NAS-Port >= 7", true);
    check("NAS-Port < 7", false);
    check("NAS-Port <= 7", true);
    check("NAS-Port != 8", true);
    check("NAS-Port-Type == Wireless-802.11", true);
    check("NAS-Port-Type =~ ^Wireless", true);
    check("Event-Timestamp > 1", true);
    // any instance
    check("Class == two", true);
    check("Class != two", false);
    check("Class == three", false);
    check("Class !~ ^t", false);
    // tags
    check("Tunnel-Type == VLAN", true);
    check("Tunnel-Type:1 == VLAN", true);
    check("Tunnel-Type:2 == VLAN", false);
    check("Tunnel-Private-Group-Id == 100", true);
    check("Tunnel-Private-Group-Id:2 == 100", false);
    // vendors
    check("Mikrotik-Rate-Limit == 10M/10M", true);
    check("Mikrotik-Rate-Limit =* ANY", true);
    check("Mikrotik-Group !* ANY", true);
    // a value of the wrong size is no value
    check("Service-Type == Login-User", false);
    check("Service-Type != Login-User", true);
    check("Service-Type < 9", false);
    // absent: nothing but "not" matches
    check("Framed-Protocol == PPP", false);
    check("Framed-Protocol != PPP", false);
    check("Framed-Protocol > 0", false);
    check("Framed-Protocol < 9", false);
    check("Framed-Protocol =~ .*", false);
    check("Framed-Protocol !~ .*", true);
    check("Framed-Protocol =* ANY", false);
    check("Framed-Protocol !* ANY", true);
    check("User-Name =* ANY", true);
    check("User-Name !* ANY", false);
    // what sets always matches
    check("Simultaneous-Use := 1", true);
    check("Simultaneous-Use == 1", true);
    check("Calling-Station-Id := other", true);
}

#[test]
fn the_first_failing_check_is_named_and_says_what_was_wrong() {
    fn check(rows: &str, shown: &str, refusal: Refusal) {
        let set = compile(rows);
        match matches(&set.checks, &request()) {
            CheckOutcome::Fails(check) => {
                assert_eq!(
                    (check.to_string().as_str(), check.refusal()),
                    (shown, refusal)
                );
            }
            CheckOutcome::Matches => panic!("{rows}"),
        }
    }
    check(
        "User-Name == bob\nNAS-Port == 1\nNAS-Port == 2",
        "NAS-Port == 1",
        Refusal::WrongNas,
    );
    check(
        "Calling-Station-Id == aabbccddee03",
        "Calling-Station-Id == aabbccddee03",
        Refusal::WrongDevice,
    );
    check(
        "Called-Station-Id =~ \"Staff WiFi\"",
        "Called-Station-Id =~ \"Staff WiFi\"",
        Refusal::WrongNas,
    );
    check("Class == three", "Class == three", Refusal::CheckFailed);
}

#[test]
fn a_packet_is_looked_up() {
    let mut octets = vec![1, 1, 0, 37];
    octets.extend([0; 16]);
    octets.extend(*b"\x01\x05bob\x04\x06\x0a\x00\x00\x01\x05\x06\x00\x00\x00\x07");
    let packet = Packet::parse(&octets).unwrap();
    for (row, expect) in [
        ("User-Name == bob", true),
        ("NAS-IP-Address == 10.0.0.1", true),
        ("NAS-Port == 8", false),
    ] {
        let set = compile(row);
        assert_eq!(
            matches!(matches(&set.checks, &packet), CheckOutcome::Matches),
            expect,
            "{row}"
        );
    }
}

#[test]
fn controls_are_collected_by_their_operators() {
    fn check(owners: &[&str], name: &str, expect: &[&str]) {
        let sets: Vec<RuleSet> = owners.iter().map(|rows| compile(rows)).collect();
        let mut controls = Controls::new();
        for set in &sets {
            controls.apply(&set.checks);
        }
        let shown: Vec<String> = controls.all(name).map(Check::to_string).collect();
        assert_eq!(shown, expect, "{owners:?}");
    }
    let name = "Simultaneous-Use";
    check(
        &["Simultaneous-Use = 1", "Simultaneous-Use = 2"],
        name,
        &["Simultaneous-Use = 1"],
    );
    check(
        &["Simultaneous-Use := 1", "Simultaneous-Use := 2"],
        name,
        &["Simultaneous-Use := 2"],
    );
    check(
        &["Simultaneous-Use := 1", "Simultaneous-Use += 2"],
        name,
        &["Simultaneous-Use := 1", "Simultaneous-Use += 2"],
    );
    check(
        &["Simultaneous-Use := 1", "Simultaneous-Use ^= 2"],
        name,
        &["Simultaneous-Use ^= 2", "Simultaneous-Use := 1"],
    );
    check(
        &["Simultaneous-Use := 1", "Simultaneous-Use -= 1"],
        name,
        &[],
    );
    check(
        &["Simultaneous-Use := 1", "Simultaneous-Use -= 2"],
        name,
        &["Simultaneous-Use := 1"],
    );
    check(&["Simultaneous-Use := 1", "NAS-Port == 7"], "NAS-Port", &[]);
}

#[test]
fn controls_are_read_by_their_types() {
    let set = compile(
        "Max-Daily-Session := 10800\nMax-Daily-Session-Traffic := 3000000000\nExpiration := 2027-01-31T12:00:00Z\n\
         Auth-Type := Reject\nLogin-Time := Mo0900-1700\nSession-Timeout := 60",
    );
    let mut controls = Controls::new();
    assert!(controls.is_empty());
    controls.apply(&set.checks);
    assert_eq!(controls.number(control::MAX_DAILY_SESSION), Some(10_800));
    assert_eq!(controls.number("max-daily-session"), Some(10_800));
    assert_eq!(
        controls.number(control::MAX_DAILY_TRAFFIC),
        Some(3_000_000_000)
    );
    assert_eq!(controls.number(control::SESSION_TIMEOUT), Some(60));
    assert_eq!(controls.number(control::MAX_ALL_SESSION), None);
    assert_eq!(controls.number(control::LOGIN_TIME), None);
    assert_eq!(
        controls.time(control::EXPIRATION).map(Time::to_rfc3339),
        Some("2027-01-31T12:00:00Z".into())
    );
    assert_eq!(controls.time(control::MAX_DAILY_SESSION), None);
    assert_eq!(controls.auth_type(), Some(AuthType::Reject));
    assert!(controls.login_hours().is_some());
    assert_eq!(controls.text(control::LOGIN_TIME), Some("Mo0900-1700"));
    for (row, expect) in [
        ("Auth-Type := Accept", AuthType::Accept),
        ("Auth-Type := PAP", AuthType::Other),
    ] {
        let set = compile(row);
        let mut controls = Controls::new();
        controls.apply(&set.checks);
        assert_eq!(controls.auth_type(), Some(expect));
    }
}

#[test]
fn every_known_name_is_in_the_dictionary() {
    let dictionary = Dictionary::builtin();
    for (name, number) in internal::KNOWN {
        assert_eq!(
            dictionary
                .attribute(name)
                .map(|a| (a.number(), a.is_on_wire())),
            Some((number, false)),
            "{name}"
        );
    }
    for name in [
        control::AUTH_TYPE,
        control::LOGIN_TIME,
        control::MAX_ALL_TRAFFIC,
        control::MAX_WEEKLY_SESSION,
    ] {
        assert!(
            dictionary.attribute(name).is_some_and(|a| !a.is_on_wire()),
            "{name}"
        );
    }
}
