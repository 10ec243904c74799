//! Message-Authenticator and Proxy-State: the rules against forged answers (CVE-2024-3596), on real sockets.

use gatewarden_tests::house::{House, Server};
use gatewarden_tests::nas::{Answer, Nas, PATIENCE, SECRET};
use gatewarden_tests::wait;
use radius_wire::attrs::acct_status_type::START;
use radius_wire::writer::PacketWriter;
use radius_wire::{Code, Packet, Question, Sealed, attrs, hide};
use std::time::Duration;

/// Type and length of Message-Authenticator.
const HEADER: [u8; 2] = [80, 18];
/// Where it must begin: right after the header of the packet.
const FIRST: usize = 20;

fn is_signed_first(answer: &[u8]) -> bool {
    answer.get(FIRST..FIRST + 2) == Some(&HEADER[..])
}

/// A house with alice, whose NAS was added with these words besides.
fn house(words: &[&str]) -> House {
    let house = House::new(kernel::Engine::Sqlite);
    let add = [
        "nas",
        "add",
        "127.0.0.0/8",
        "--org",
        "default",
        "--secret",
        SECRET,
        "--reject-delay",
        "0",
    ];
    house.run(&[&add[..], words].concat());
    house.add_user("alice", "wonderland");
    house
}

fn seal(question: Question, signed: bool) -> Sealed {
    question.seal(signed).expect("it fits")
}

/// Asks and expects an answer that is signed where it must be.
fn expect(nas: &Nas, sealed: &Sealed, code: Code) -> Answer {
    let answer = nas.ask_sealed(sealed);
    assert_eq!(answer.code(), code);
    assert!(
        is_signed_first(answer.octets()),
        "{}",
        hex::encode(answer.octets())
    );
    answer
}

/// A login with Message-Authenticator at a place of choice, written octet by octet.
fn login_signed_at(nas: &Nas, place: usize) -> Vec<u8> {
    let secret = nas.secret();
    let authenticator = nas.octets16();
    let mut writer = PacketWriter::new(Code::ACCESS_REQUEST, nas.identifier(), &authenticator);
    let password = hide::hide_password(b"wonderland", &secret, &authenticator).expect("it fits");
    let attributes: [(u8, &[u8]); 3] = [(1, b"alice"), (2, &password), (32, b"ap")];
    for (index, (kind, value)) in attributes.iter().enumerate() {
        if index == place {
            writer.message_authenticator().expect("it fits");
        }
        writer.attribute(*kind, value).expect("it fits");
    }
    if place >= attributes.len() {
        writer.message_authenticator().expect("it fits");
    }
    writer.finish_request(&secret).expect("it fits")
}

/// The words that were counted or logged for drops, as `explain` has them for the user.
fn explained(house: &House, user: &str, word: &str) {
    wait::for_truth(word, Duration::from_secs(5), || {
        house.run(&["explain", user, "--json"]).contains(word)
    });
}

fn silence(nas: &Nas, octets: &[u8]) {
    nas.expect_silence(nas.auth(), octets);
}

#[test]
fn an_unsigned_request_gets_a_signed_answer() {
    let house = house(&[]);
    let server = house.start();
    let nas = Nas::of(&server);
    expect(
        &nas,
        &seal(nas.pap("alice", "wonderland"), false),
        Code::ACCESS_ACCEPT,
    );
    expect(
        &nas,
        &seal(nas.pap("alice", "wrong"), false),
        Code::ACCESS_REJECT,
    );
}

#[test]
fn where_it_is_required_an_unsigned_request_gets_silence_and_is_counted() {
    let house = house(&["--message-authenticator", "require"]);
    let server = house.start();
    let nas = Nas::of(&server);
    silence(&nas, seal(nas.pap("alice", "wonderland"), false).octets());
    explained(&house, "alice", "missing_message_authenticator");
    expect(
        &nas,
        &seal(nas.pap("alice", "wonderland"), true),
        Code::ACCESS_ACCEPT,
    );
}

#[test]
fn it_may_stand_anywhere_in_a_request() {
    let house = house(&["--message-authenticator", "require"]);
    let server = house.start();
    let nas = Nas::of(&server);
    for place in 0..=3 {
        let octets = login_signed_at(&nas, place);
        let answer = nas.exchange(nas.auth(), &octets).expect("an answer");
        assert_eq!(answer.first(), Some(&2), "place {place}");
        assert!(is_signed_first(&answer));
    }
}

#[test]
fn a_wrong_one_gets_silence_and_leaves_no_trace_for_the_right_packet() {
    let house = house(&[]);
    let server = house.start();
    let nas = Nas::of(&server);
    let right = seal(nas.pap("alice", "wonderland"), true);
    let mut wrong = right.octets().to_vec();
    wrong[FIRST + 2] ^= 1;
    silence(&nas, &wrong);
    // The same identifier, the same authenticator: no entry of the wrong one is in the way.
    expect(&nas, &right, Code::ACCESS_ACCEPT);
    explained(&house, "alice", "bad_message_authenticator");
}

#[test]
fn two_of_them_or_one_of_another_length_get_silence() {
    let house = house(&[]);
    let server = house.start();
    let nas = Nas::of(&server);
    let right = seal(nas.pap("alice", "wonderland"), true);
    let with = |more: &[u8]| {
        let mut octets = right.octets().to_vec();
        octets.extend_from_slice(more);
        let length = u16::try_from(octets.len()).expect("it fits").to_be_bytes();
        octets[2..4].copy_from_slice(&length);
        octets
    };
    let twice = right.octets()[FIRST..FIRST + 18].to_vec();
    silence(&nas, &with(&twice));
    let mut short = seal(nas.pap("alice", "wonderland"), false)
        .octets()
        .to_vec();
    short.extend([80, 17]);
    short.extend([0; 15]);
    let length = u16::try_from(short.len()).expect("it fits").to_be_bytes();
    short[2..4].copy_from_slice(&length);
    silence(&nas, &short);
}

#[test]
fn unsigned_proxy_state_is_refused_where_it_is_limited() {
    let house = house(&["--limit-proxy-state", "yes"]);
    let server = house.start();
    let nas = Nas::of(&server);
    let login = |signed| {
        let mut question = nas.pap("alice", "wonderland");
        question
            .put(attrs::PROXY_STATE, b"one")
            .put_text(attrs::NAS_IDENTIFIER, "ap")
            .put(attrs::PROXY_STATE, b"two");
        seal(question, signed)
    };
    silence(&nas, login(false).octets());
    explained(&house, "alice", "proxy_state_unsigned");
    let answer = expect(&nas, &login(true), Code::ACCESS_ACCEPT);
    let states: Vec<&[u8]> = answer.packet().all(33).collect();
    assert_eq!(states, [&b"one"[..], b"two"]);
    let kinds = answer.kinds();
    assert_eq!(kinds.first(), Some(&80));
    assert!(kinds.ends_with(&[33, 33]), "{kinds:?}");
}

#[test]
fn without_the_limit_unsigned_proxy_state_is_served() {
    let house = house(&["--limit-proxy-state", "no"]);
    let server = house.start();
    let nas = Nas::of(&server);
    let mut question = nas.pap("alice", "wonderland");
    question.put(attrs::PROXY_STATE, b"one");
    expect(&nas, &seal(question, false), Code::ACCESS_ACCEPT);
}

/// Computed by another library: over the whole packet, Message-Authenticator in place.
#[test]
fn the_response_authenticator_is_computed_after_it() {
    let house = house(&[]);
    let server = house.start();
    let nas = Nas::of(&server);
    let sealed = seal(nas.pap("alice", "wonderland"), true);
    let answer = expect(&nas, &sealed, Code::ACCESS_ACCEPT);
    let is_right = radius::core::packet::Packet::is_authentic_response;
    assert!(is_right(
        answer.octets(),
        sealed.octets(),
        SECRET.as_bytes()
    ));
}

#[test]
fn status_server_needs_it_on_both_ports() {
    let house = house(&[]);
    let server = house.start();
    let nas = Nas::of(&server);
    for (port, code) in [
        (nas.auth(), Code::ACCESS_ACCEPT),
        (nas.acct(), Code::ACCOUNTING_RESPONSE),
    ] {
        let question = || nas.question(Code::STATUS_SERVER);
        nas.expect_silence(port, seal(question(), false).octets());
        let signed = seal(question(), true);
        let octets = nas.exchange(port, signed.octets()).expect("an answer");
        let packet = signed.verify(&octets).expect("a right answer");
        assert_eq!(packet.code(), code);
        assert!(is_signed_first(&octets));
    }
}

#[test]
fn reports_may_be_signed_and_a_wrong_signature_gets_silence() {
    let house = house(&[]);
    let server = house.start();
    let nas = Nas::of(&server);
    for signed in [true, false] {
        let sealed = seal(nas.report(START, "S1", "alice"), signed);
        assert_eq!(nas.ask_sealed(&sealed).code(), Code::ACCOUNTING_RESPONSE);
    }
    // A right Request Authenticator over a wrong Message-Authenticator.
    let secret = nas.secret();
    let mut writer = PacketWriter::new(Code::ACCOUNTING_REQUEST, nas.identifier(), &[0; 16]);
    writer.attribute(40, &START.to_be_bytes()).expect("it fits");
    writer.attribute(44, b"forged").expect("it fits");
    writer.attribute(80, &[0; 16]).expect("it fits");
    let mut octets = writer.finish();
    let authenticator = radius_wire::authenticator::request_authenticator(
        Packet::parse(&octets).expect("a packet"),
        &secret,
    );
    octets[4..20].copy_from_slice(&authenticator);
    nas.expect_silence(nas.acct(), &octets);
    // And a report whose own authenticator is wrong.
    let mut octets = seal(nas.report(START, "forged", "alice"), false)
        .octets()
        .to_vec();
    octets[4] ^= 1;
    nas.expect_silence(nas.acct(), &octets);
    nas.ask(nas.report(START, "marker", "alice"));
    let sessions = house.sessions_once("the marker", |all| {
        all.iter().any(|s| s["session_id"] == "marker")
    });
    assert!(!sessions.iter().any(|s| s["session_id"] == "forged"));
}

#[test]
fn eap_needs_it_and_takes_no_password_beside() {
    let house = house(&[]);
    let server = house.start();
    let nas = Nas::of(&server);
    // EAP-Response/Identity "alice".
    let identity = b"\x02\x01\x00\x0a\x01alice";
    let mut unsigned = nas.login("alice");
    unsigned.put(attrs::EAP_MESSAGE, identity);
    silence(&nas, seal(unsigned, false).octets());
    let mut both = nas.pap("alice", "wonderland");
    both.put(attrs::EAP_MESSAGE, identity);
    silence(&nas, seal(both, true).octets());
}

/// For devices that break on it; everybody else's answers keep it.
#[test]
fn a_nas_flagged_so_gets_none() {
    let house = house(&["--sign-replies", "no"]);
    let server = house.start();
    let nas = Nas::of(&server);
    for signed in [true, false] {
        let answer = nas.ask_sealed(&seal(nas.pap("alice", "wonderland"), signed));
        assert_eq!(answer.code(), Code::ACCESS_ACCEPT);
        assert!(!answer.kinds().contains(&80));
    }
    let listed = house.run(&["nas", "list"]);
    assert!(
        listed.to_lowercase().contains("unsigned"),
        "the list warns: {listed}"
    );
}

fn listed(house: &House) -> String {
    house.run(&["nas", "list", "--json"])
}

fn count(house: &House, field: &str, server: &Server, expect: u64) {
    let found = wait::until(PATIENCE, || {
        let rows: serde_json::Value = serde_json::from_str(&listed(house)).expect("JSON");
        let nas = &rows[0];
        let value = nas["seen"].get(field);
        (value.and_then(serde_json::Value::as_u64) == Some(expect)).then_some(())
    });
    assert!(
        found.is_some(),
        "{field} is not {expect}: {}\n{}",
        listed(house),
        server.log()
    );
}

/// The ground for advice: what each NAS was seen to do is counted and kept.
#[test]
fn signed_and_unsigned_requests_are_counted() {
    let house = house(&[]);
    let server = house.start();
    let nas = Nas::of(&server);
    for _ in 0..3 {
        nas.ask_sealed(&seal(nas.pap("alice", "wonderland"), true));
    }
    nas.ask_sealed(&seal(nas.pap("alice", "wonderland"), false));
    count(&house, "signed", &server, 3);
    count(&house, "unsigned", &server, 1);
}
