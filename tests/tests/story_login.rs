//! People and devices log in: a NAS asks the real binary over real sockets.

use gatewarden_tests::house::House;
use gatewarden_tests::nas::{Answer, Independent, Nas, PATIENCE, SECRET};
use gatewarden_tests::on_both_engines;
use radius_wire::attrs::microsoft;
use radius_wire::{Code, Packet, Question, attrs};
use std::time::Duration;

/// A house where alice and the people of the RFCs' examples live.
fn furnished(house: &House) {
    house.add_nas();
    house.add_user("alice", "wonderland");
    house.add_user("flopsy", "arctangent");
    house.add_user("User", "clientPass");
    house.add_user("my", "MyPw");
}

fn octets(text: &str) -> Vec<u8> {
    hex::decode(text).expect("the test's own digits")
}

/// RFC 2865 §5.3: identifier, then MD5 over identifier, password and challenge.
fn chap(identifier: u8, password: &str, challenge: &[u8]) -> Vec<u8> {
    use md5::Digest;
    let mut digest = md5::Md5::new();
    digest.update([identifier]);
    digest.update(password);
    digest.update(challenge);
    let mut value = vec![identifier];
    value.extend(digest.finalize());
    value
}

/// MS-CHAP2-Response (RFC 2548 §2.3.2) of RFC 2759's example exchange.
fn example_response(identifier: u8) -> Vec<u8> {
    let mut value = vec![identifier, 0];
    value.extend(octets("21402324255e262a28295f2b3a337c7e"));
    value.extend([0; 8]);
    value.extend(octets("82309ecd8d708b5ea08faa3981cd83544233114a3d85d6df"));
    value
}

fn example_question(nas: &Nas) -> Question {
    let mut question = nas.login("User");
    question
        .put(
            microsoft::MS_CHAP_CHALLENGE,
            &octets("5b5d7c7d7b3f2f3e3c2c602132262628"),
        )
        .put(microsoft::MS_CHAP2_RESPONSE, &example_response(7));
    question
}

on_both_engines! {
    /// The first thing that anybody tries, with every method, on both engines and against the published examples.
    fn every_method_is_accepted(house: House) {
        furnished(&house);
        let server = house.start();
        let nas = Nas::of(&server);

        let pap = nas.ask(nas.pap("alice", "wonderland"));
        assert_eq!(pap.code(), Code::ACCESS_ACCEPT, "PAP");

        // RFC 2865 §7.2: the challenge is the Request Authenticator.
        let authenticator: [u8; 16] = octets("2aee86f08d0d55969ca5978e0d3367a2").try_into().expect("16 octets");
        let mut question = Question::new(Code::ACCESS_REQUEST, 201, authenticator, nas.secret());
        question
            .put_text(attrs::USER_NAME, "flopsy")
            .put(attrs::CHAP_PASSWORD, &octets("16e97557c316185895f293ff6344077275"));
        assert_eq!(nas.ask(question).code(), Code::ACCESS_ACCEPT, "CHAP as in RFC 2865");

        let challenge = [9u8; 24];
        let mut question = nas.login("alice");
        question
            .put(attrs::CHAP_PASSWORD, &chap(5, "wonderland", &challenge))
            .put(attrs::CHAP_CHALLENGE, &challenge);
        assert_eq!(nas.ask(question).code(), Code::ACCESS_ACCEPT, "CHAP with CHAP-Challenge");

        // RFC 2433 Appendix B.
        let mut response = vec![1, 1];
        response.extend([0; 24]);
        response.extend(octets("4e9d3c8f9cfd385d5bf4d3246791956ca4c351ab409a3d61"));
        let mut question = nas.login("my");
        question
            .put(microsoft::MS_CHAP_CHALLENGE, &octets("102db5df085d3041"))
            .put(microsoft::MS_CHAP_RESPONSE, &response);
        assert_eq!(nas.ask(question).code(), Code::ACCESS_ACCEPT, "MS-CHAPv1");

        let sealed = example_question(&nas).seal(true).expect("it fits");
        let accept = nas.ask_sealed(&sealed);
        assert_eq!(accept.code(), Code::ACCESS_ACCEPT, "MS-CHAPv2");
        // RFC 2759 §9.2 and RFC 3079 §3.5.3: the proof that the server knows the password, and the keys of both ways.
        let success = accept.get(microsoft::MS_CHAP2_SUCCESS).expect("MS-CHAP2-Success");
        assert_eq!(success[0], 7);
        assert_eq!(&success[1..], b"S=407A5589115FD0D6209F510FE9C04566932CDA56");
        let key = |attr| {
            let revealed = sealed.reveal(accept.packet(), attr).expect("a key").expect("a key in clear");
            hex::encode(&revealed.plain[..])
        };
        assert_eq!(key(microsoft::MS_MPPE_SEND_KEY), "8b7cdc149b993a1ba118cb153f56dccb");
        assert_eq!(key(microsoft::MS_MPPE_RECV_KEY), "d5f0e9521e3ea9589645e86051c82226");
    }
}

#[test]
fn a_wrong_response_gets_an_error_that_the_device_understands() {
    let house = House::with_nas();
    house.add_user("User", "another");
    let server = house.start();
    let nas = Nas::of(&server);
    let reject = nas.ask(example_question(&nas));
    assert_eq!(reject.code(), Code::ACCESS_REJECT);
    // RFC 2548 §2.1.5: the identifier, then "E=691 R=… C=… V=3 M=…".
    let error = reject
        .packet()
        .vendor(311, 2)
        .expect("MS-CHAP-Error")
        .to_vec();
    assert_eq!(error[0], 7);
    let text = String::from_utf8_lossy(&error[1..]).into_owned();
    assert!(
        text.starts_with("E=691 ") && text.contains(" V=3"),
        "{text}"
    );
}

#[test]
fn a_device_is_known_by_its_address_in_any_spelling() {
    let house = House::with_nas();
    // A device is a person whose name and password are its address.
    house.run(&[
        "user",
        "add",
        "AA-BB-CC-00-11-22",
        "--org",
        "default",
        "--mac",
        "aa:bb:cc:00:11:22",
    ]);
    let server = house.start();
    let nas = Nas::of(&server);
    for (name, calling) in [
        ("aa:bb:cc:00:11:22", "AA-BB-CC-00-11-22"),
        ("AABBCC001122", "aabb.cc00.1122"),
        ("aabbcc-001122", "aa bb cc 00 11 22"),
    ] {
        let mut question = nas.pap(name, name);
        question
            .put_text(attrs::CALLING_STATION_ID, calling)
            .put(attrs::SERVICE_TYPE, 10);
        assert_eq!(
            nas.ask(question).code(),
            Code::ACCESS_ACCEPT,
            "{name} {calling}"
        );
    }
    let mut question = nas.pap("aa:bb:cc:00:11:23", "aa:bb:cc:00:11:23");
    question
        .put_text(attrs::CALLING_STATION_ID, "AA-BB-CC-00-11-23")
        .put(attrs::SERVICE_TYPE, 10);
    assert_eq!(nas.ask(question).code(), Code::ACCESS_REJECT);
}

fn assert_bare_reject(reject: &Answer) {
    assert_eq!(reject.code(), Code::ACCESS_REJECT);
    // RFC 2865 §4.3: Reply-Message and Proxy-State; Message-Authenticator since CVE-2024-3596.
    let allowed = [18, 33, 80];
    assert!(
        reject.kinds().iter().all(|kind| allowed.contains(kind)),
        "{:?}",
        reject.kinds()
    );
}

#[test]
fn a_wrong_password_is_refused_after_a_second_with_a_message_only() {
    let house = House::with_nas();
    house.add_user("alice", "wonderland");
    house.run(&["group", "set", "default-users", "Session-Timeout := 3600"]);
    let server = house.start();
    let nas = Nas::of(&server);
    for (user, password) in [("alice", "looking-glass"), ("nobody", "x"), ("alice", "")] {
        let reject = nas.ask(nas.pap(user, password));
        assert_bare_reject(&reject);
        assert!(
            reject.took >= Duration::from_millis(990),
            "{user}: {:?}",
            reject.took
        );
        assert!(
            reject.took < Duration::from_secs(4),
            "{user}: {:?}",
            reject.took
        );
    }
}

#[test]
fn what_a_group_says_is_in_the_accept_in_its_order() {
    let house = House::with_nas();
    house.add_user("alice", "wonderland");
    for row in [
        "Session-Timeout := 3600",
        "Mikrotik-Rate-Limit := \"10M/10M\"",
        "Tunnel-Type:1 := VLAN",
    ] {
        house.run(&["group", "set", "default-users", row]);
    }
    let server = house.start();
    let nas = Nas::of(&server);
    let accept = nas.ask(nas.pap("alice", "wonderland"));
    assert_eq!(accept.code(), Code::ACCESS_ACCEPT);
    assert_eq!(accept.integer(attrs::SESSION_TIMEOUT), Some(3600));
    assert_eq!(accept.packet().vendor(14988, 8), Some(&b"10M/10M"[..]));
    assert_eq!(
        accept.packet().get_tagged(attrs::TUNNEL_TYPE),
        Some((1, 13))
    );
}

#[test]
fn a_hash_serves_pap_and_says_so_when_asked_for_more() {
    let house = House::with_nas();
    house.run(&[
        "user",
        "add",
        "hashed",
        "--org",
        "default",
        "--password",
        "wonderland",
    ]);
    house.run(&[
        "user",
        "add",
        "nt",
        "--org",
        "default",
        "--password",
        "wonderland",
        "--store",
        "nt",
    ]);
    let server = house.start();
    let nas = Nas::of(&server);
    for user in ["hashed", "nt"] {
        assert_eq!(
            nas.ask(nas.pap(user, "wonderland")).code(),
            Code::ACCESS_ACCEPT,
            "{user}"
        );
        let challenge = [4u8; 16];
        let mut question = nas.login(user);
        question
            .put(attrs::CHAP_PASSWORD, &chap(1, "wonderland", &challenge))
            .put(attrs::CHAP_CHALLENGE, &challenge);
        assert_bare_reject(&nas.ask(question));
        let explained = explained(&house, user, "needs_other_proof");
        assert!(
            explained.contains("recoverabl"),
            "the remedy is named: {explained}"
        );
    }
}

/// What `explain` says about somebody, once it has this word: attempts are recorded after the answer.
fn explained(house: &House, user: &str, word: &str) -> String {
    let mut last = String::new();
    let found = gatewarden_tests::wait::until(Duration::from_secs(5), || {
        last = house.run(&["explain", user, "--json"]);
        last.contains(word).then_some(())
    });
    assert!(found.is_some(), "no {word} in {last}");
    last
}

#[test]
fn a_repeated_request_gets_the_same_octets() {
    let house = House::with_nas();
    house.add_user("alice", "wonderland");
    let server = house.start();
    let nas = Nas::of(&server);
    let sealed = nas.pap("alice", "wonderland").seal(true).expect("it fits");
    let first = nas.ask_sealed(&sealed);
    for _ in 0..3 {
        let again = nas
            .exchange(nas.auth(), sealed.octets())
            .expect("an answer");
        assert_eq!(again, first.octets());
    }
    // The same identifier with another authenticator is another question.
    let mut other = Question::new(
        Code::ACCESS_REQUEST,
        sealed.identifier(),
        nas.octets16(),
        nas.secret(),
    );
    other
        .put_text(attrs::USER_NAME, "alice")
        .put_user_password(b"wonderland");
    let other = nas.ask(other);
    assert_eq!(other.code(), Code::ACCESS_ACCEPT);
    assert_ne!(other.octets(), first.octets());
}

#[test]
fn repeating_while_a_refusal_waits_brings_one_answer() {
    let house = House::with_nas();
    let server = house.start();
    let nas = Nas::of(&server);
    let sealed = nas.pap("nobody", "x").seal(true).expect("it fits");
    for _ in 0..3 {
        nas.send(nas.auth(), sealed.octets());
    }
    let first = nas.receive(PATIENCE).expect("an answer");
    assert!(sealed.verify(&first).is_ok());
    // Whatever comes before the probe's answer would be a second one.
    let probe = nas
        .question(Code::STATUS_SERVER)
        .seal(true)
        .expect("it fits");
    nas.send(nas.auth(), probe.octets());
    let next = nas.receive(PATIENCE).expect("the probe is answered");
    assert!(probe.verify(&next).is_ok());
}

#[test]
fn requests_of_another_library_are_answered_and_the_answer_is_right_for_it() {
    let house = House::with_nas();
    house.add_user("alice", "wonderland");
    let server = house.start();
    let nas = Nas::of(&server);
    let request = Independent::pap(9, SECRET, "alice", "wonderland");
    let answer = nas.exchange(nas.auth(), &request).expect("an answer");
    assert_eq!(answer.first(), Some(&2));
    assert!(radius::core::packet::Packet::is_authentic_response(
        &answer,
        &request,
        SECRET.as_bytes()
    ));
    let report = Independent::start(10, SECRET, "S1", "alice");
    let answer = nas.exchange(nas.acct(), &report).expect("an answer");
    assert!(radius::core::packet::Packet::is_authentic_response(
        &answer,
        &report,
        SECRET.as_bytes()
    ));
    assert_eq!(
        Packet::parse(&answer).expect("a packet").code(),
        Code::ACCOUNTING_RESPONSE
    );
}

#[test]
fn ping_speaks_every_method_and_tells_the_answer() {
    let house = House::with_nas();
    house.add_user("alice", "wonderland");
    let server = house.start();
    let auth = server.auth().to_string();
    let acct = server.acct().to_string();
    let ping = |arguments: &[&str]| {
        gatewarden_tests::house::run_with_input(&[&["ping"], arguments].concat(), "")
    };
    for method in ["pap", "chap", "mschapv2"] {
        let said = ping(&[
            &auth,
            "--secret",
            SECRET,
            "--user",
            "alice",
            "--password",
            "wonderland",
            "--method",
            method,
        ]);
        assert_eq!(said.code, Some(0), "{method}: {}{}", said.out, said.err);
        assert!(said.out.contains("Access-Accept"), "{method}: {}", said.out);
    }
    let status = ping(&[&auth, "--secret", SECRET, "--method", "status"]);
    assert_eq!(status.code, Some(0), "{}{}", status.out, status.err);
    let report = ping(&[
        &acct,
        "--secret",
        SECRET,
        "--user",
        "alice",
        "--method",
        "accounting",
    ]);
    assert_eq!(report.code, Some(0), "{}{}", report.out, report.err);
    let refused = ping(&[
        &auth,
        "--secret",
        SECRET,
        "--user",
        "alice",
        "--password",
        "no",
        "--method",
        "pap",
    ]);
    assert_ne!(refused.code, Some(0));
    assert!(
        refused.out.contains("Access-Reject"),
        "{}{}",
        refused.out,
        refused.err
    );
}
