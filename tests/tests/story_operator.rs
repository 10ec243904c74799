//! What an operator does while the server runs, and how soon it is true.

use gatewarden_tests::house::{House, run_with_input};
use gatewarden_tests::nas::{Nas, SECRET};
use gatewarden_tests::{on_both_engines, wait};
use radius_wire::attrs::acct_status_type::START;
use radius_wire::{
    Code, MessageAuthenticatorRule, Packet, Reply, Request, Rules, SealOptions, Secret, attrs,
};
use serde_json::Value as Json;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

/// A change made by a command is seen by the running server within this time.
const SEEN: Duration = Duration::from_secs(1);
/// How long the tests wait for it: the machine runs other tests, too.
const PATIENCE: Duration = Duration::from_secs(5);

fn accepts(nas: &Nas, user: &str, password: &str) -> bool {
    nas.ask(nas.pap(user, password)).code() == Code::ACCESS_ACCEPT
}

on_both_engines! {
    fn what_a_command_changes_is_true_within_a_second(house: House) {
        // Asking until something is true would otherwise be taken for guessing.
        let server = house.start_with(&[], "[radius]\nuser_failures = 0\n");
        let nas = Nas::of(&server);
        // Nobody knows this NAS yet: silence, to the Status-Server too.
        let early = nas.question(Code::STATUS_SERVER).seal(true).expect("it fits");
        nas.send(nas.auth(), early.octets());

        house.add_nas();
        let added = Instant::now();
        let known = wait::until(PATIENCE, || {
            let probe = nas.question(Code::STATUS_SERVER).seal(true).expect("it fits");
            nas.send(nas.auth(), probe.octets());
            nas.receive(Duration::from_millis(50)).filter(|octets| probe.verify(octets).is_ok())
        });
        assert!(known.is_some(), "the NAS is not known:\n{}", server.log());
        assert!(added.elapsed() < SEEN, "{:?}", added.elapsed());

        // A reject takes a second of its own, so people are asked for with a NAS that does not wait.
        house.run(&["nas", "add", "127.0.0.2", "--org", "default", "--secret", SECRET, "--reject-delay", "0"]);
        let quick = Nas::at(&server, Ipv4Addr::new(127, 0, 0, 2).into(), SECRET);
        house.add_user("alice", "wonderland");
        wait::for_truth("alice is accepted", PATIENCE, || accepts(&quick, "alice", "wonderland"));
        house.run(&["user", "passwd", "alice", "--password", "looking-glass", "--store", "recoverable"]);
        wait::for_truth("the new password", PATIENCE, || accepts(&quick, "alice", "looking-glass"));
        assert!(!accepts(&quick, "alice", "wonderland"), "the old password is gone");
        house.run(&["user", "disable", "alice"]);
        wait::for_truth("alice is refused", PATIENCE, || !accepts(&quick, "alice", "looking-glass"));
        house.run(&["group", "set", "default-users", "Session-Timeout := 77"]);
        house.add_user("bob", "builder-of-things");
        let accept = wait::until(PATIENCE, || {
            let answer = quick.ask(quick.pap("bob", "builder-of-things"));
            (answer.integer(attrs::SESSION_TIMEOUT) == Some(77)).then_some(answer)
        });
        assert!(accept.is_some(), "what the group says is not seen");
    }
}

/// The words that `explain --json` has about somebody, once the wanted one is among them.
fn explained(house: &House, subject: &str, word: &str) -> Json {
    let mut last = Json::Null;
    let found = wait::until(PATIENCE, || {
        last = house.json(&["explain", subject, "--json"]);
        last.to_string()
            .contains(&format!("\"{word}\""))
            .then_some(())
    });
    assert!(found.is_some(), "no {word} in {last:#}");
    last
}

#[test]
fn explain_names_the_check_that_refused_and_what_to_do() {
    let house = House::with_nas();
    house.add_user("alice", "wonderland");
    let server = house.start();
    let nas = Nas::of(&server);
    let mut question = nas.pap("alice", "wrong");
    question.put_text(attrs::CALLING_STATION_ID, "AA-BB-CC-00-11-22");
    assert_eq!(nas.ask(question).code(), Code::ACCESS_REJECT);
    explained(&house, "alice", "wrong_password");
    // By the device, in any spelling.
    explained(&house, "aabb.cc00.1122", "wrong_password");
    let told = house.run(&["explain", "alice"]);
    assert!(told.contains("wrong_password"), "{told}");
    assert!(
        told.to_lowercase()
            .contains("try again or set a new password"),
        "the remedy: {told}"
    );
    assert!(!told.contains("wonderland"), "no secret is told");

    house.run(&["user", "disable", "alice"]);
    wait::for_truth("alice is disabled", PATIENCE, || {
        nas.ask(nas.pap("alice", "wonderland"));
        house
            .json(&["explain", "alice", "--json"])
            .to_string()
            .contains("\"disabled\"")
    });
    assert_eq!(
        nas.ask(nas.pap("nobody-at-all", "x")).code(),
        Code::ACCESS_REJECT
    );
    explained(&house, "nobody-at-all", "unknown_user");
}

#[test]
fn too_many_failures_lock_and_an_operator_unlocks() {
    let house = House::new(kernel::Engine::Sqlite);
    house.run(&[
        "nas",
        "add",
        "127.0.0.0/8",
        "--org",
        "default",
        "--secret",
        SECRET,
        "--reject-delay",
        "0",
    ]);
    house.add_user("alice", "wonderland");
    let server = house.start_with(&[], "[radius]\nuser_failures = 3\n");
    let nas = Nas::of(&server);
    for _ in 0..3 {
        assert!(!accepts(&nas, "alice", "wrong"));
    }
    assert!(
        !accepts(&nas, "alice", "wonderland"),
        "the right password does not help now"
    );
    explained(&house, "alice", "locked");
    house.run(&["user", "unlock", "alice"]);
    wait::for_truth("alice is accepted again", PATIENCE, || {
        accepts(&nas, "alice", "wonderland")
    });
}

#[test]
fn a_lock_outlives_the_process() {
    let house = House::new(kernel::Engine::Sqlite);
    house.run(&[
        "nas",
        "add",
        "127.0.0.0/8",
        "--org",
        "default",
        "--secret",
        SECRET,
        "--reject-delay",
        "0",
    ]);
    house.add_user("alice", "wonderland");
    let config = "[radius]\nuser_failures = 2\n";
    let server = house.start_with(&[], config);
    let nas = Nas::of(&server);
    for _ in 0..3 {
        assert!(!accepts(&nas, "alice", "wrong"));
    }
    explained(&house, "alice", "locked");
    assert_eq!(server.stop(), Some(0));
    let server = house.start_with(&[], config);
    assert!(!accepts(&Nas::of(&server), "alice", "wonderland"));
}

/// While a secret is changed both are right, and the list tells which one is in use.
#[test]
fn two_secrets_are_right_during_a_change() {
    let house = House::with_nas();
    house.add_user("alice", "wonderland");
    let server = house.start();
    let old = Nas::of(&server);
    assert!(accepts(&old, "alice", "wonderland"));
    house.run(&[
        "nas",
        "add",
        "127.0.0.0/8",
        "--org",
        "default",
        "--secret",
        "the-new-secret",
    ]);
    let new = Nas::at(&server, Ipv4Addr::LOCALHOST.into(), "the-new-secret");
    let works = wait::until(PATIENCE, || {
        let sealed = new.pap("alice", "wonderland").seal(true).expect("it fits");
        new.send(new.auth(), sealed.octets());
        new.receive(Duration::from_millis(100))
            .filter(|octets| sealed.verify(octets).is_ok())
    });
    assert!(works.is_some(), "the new secret is right, too");
    assert!(
        accepts(&old, "alice", "wonderland"),
        "the old secret still is"
    );
    // The new one was seen, then the old one again: the list says so within a moment.
    wait::for_truth("the list tells which is in use", PATIENCE, || {
        house.json(&["nas", "list", "--json"])[0]["secret_in_use"]
            .as_str()
            .is_some_and(|said| said.starts_with("changing: "))
    });
    let listed = house.run(&["nas", "list", "--json"]);
    assert!(
        !listed.contains("the-new-secret") && !listed.contains(SECRET),
        "no secret is shown: {listed}"
    );
}

#[test]
fn a_secret_that_does_not_match_is_named_as_such() {
    let house = House::with_nas();
    house.add_user("alice", "wonderland");
    let server = house.start();
    let wrong = Nas::at(&server, Ipv4Addr::LOCALHOST.into(), "quite-another");
    let right = Nas::of(&server);
    // The password comes out as noise, with and without a signature.
    for message_authenticator in [true, false] {
        let sealed = wrong
            .pap("alice", "wonderland")
            .seal(message_authenticator)
            .expect("it fits");
        wrong.send(wrong.auth(), sealed.octets());
    }
    explained(&house, "alice", "shared_secret_mismatch");
    assert!(accepts(&right, "alice", "wonderland"));
}

/// A NAS that takes Disconnect-Requests: what it got is verified, and it says yes or no.
fn disconnect(
    house: &House,
    code: Code,
    arguments: &[&str],
    socket: &UdpSocket,
) -> (gatewarden_tests::house::Said, Vec<u8>) {
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a time-out can be set");
    std::thread::scope(|scope| {
        let answering = scope.spawn(|| {
            let mut room = [0; 4096];
            let (length, from) = socket
                .recv_from(&mut room)
                .expect("a Disconnect-Request comes");
            let octets = room[..length].to_vec();
            let secret = Secret::new(SECRET);
            let packet = Packet::parse(&octets).expect("it is a packet");
            let rules = Rules {
                message_authenticator: MessageAuthenticatorRule::Require,
                ..Rules::default()
            };
            let request = Request::verify(packet, &secret, &rules).expect("it is signed");
            let mut reply = Reply::new(code);
            if code == Code::DISCONNECT_NAK {
                // Administratively prohibited.
                reply.put(attrs::ERROR_CAUSE, 501);
            }
            let answer = reply
                .seal(&request, SealOptions::signed(1))
                .expect("it fits");
            socket.send_to(&answer, from).expect("the answer goes out");
            octets
        });
        let said = house.attempt(arguments);
        (said, answering.join().expect("the NAS has answered"))
    })
}

#[test]
fn session_kill_asks_the_nas_and_prints_its_answer() {
    let house = House::new(kernel::Engine::Sqlite);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
    let port = socket.local_addr().expect("it is bound").port().to_string();
    house.run(&[
        "nas",
        "add",
        "127.0.0.1",
        "--org",
        "default",
        "--secret",
        SECRET,
        "--coa-port",
        &port,
    ]);
    house.add_user("alice", "wonderland");
    let server = house.start();
    let nas = Nas::of(&server);
    for id in ["S1", "S2"] {
        let mut start = nas.report(START, id, "alice");
        start
            .put_text(attrs::CALLING_STATION_ID, "AA-BB-CC-00-11-22")
            .put(attrs::NAS_IP_ADDRESS, [127, 0, 0, 1].into());
        nas.ask(start);
    }
    house.sessions_once("two are open", |all| all.len() == 2);
    let (said, octets) = disconnect(
        &house,
        Code::DISCONNECT_ACK,
        &["session", "kill", "S1"],
        &socket,
    );
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(said.out.contains("ACK"), "{}", said.out);
    let packet = Packet::parse(&octets).expect("it is a packet");
    assert_eq!(packet.code(), Code::DISCONNECT_REQUEST);
    assert_eq!(packet.get(attrs::USER_NAME), Some(&b"alice"[..]));
    assert_eq!(packet.get(attrs::ACCT_SESSION_ID), Some(&b"S1"[..]));
    assert_eq!(
        packet.get(attrs::CALLING_STATION_ID),
        Some(&b"AA-BB-CC-00-11-22"[..])
    );
    assert!(packet.has(attrs::EVENT_TIMESTAMP) && packet.has(attrs::NAS_IP_ADDRESS));

    let (said, _) = disconnect(
        &house,
        Code::DISCONNECT_NAK,
        &["session", "kill", "S2"],
        &socket,
    );
    assert_ne!(said.code, Some(0), "a NAK is no success");
    let told = format!("{}{}", said.out, said.err);
    assert!(
        told.contains("NAK") && told.contains("Administratively-Prohibited"),
        "{told}"
    );
}

#[test]
fn bad_command_lines_get_one_sentence() {
    let house = House::new(kernel::Engine::Sqlite);
    for (arguments, expect) in [
        (
            &[
                "nas",
                "add",
                "300.0.0.0/8",
                "--org",
                "default",
                "--secret",
                "x",
            ][..],
            "300.0.0.0/8",
        ),
        (
            &[
                "nas",
                "add",
                "10.0.0.0/8",
                "--org",
                "defautl",
                "--secret",
                "testing123",
            ],
            "default",
        ),
        (&["user", "passwd", "nobody", "--password", "x"], "nobody"),
        (
            &["group", "set", "default-users", "Sesion-Timeout := 3600"],
            "Session-Timeout",
        ),
        (
            &["group", "set", "default-users", "Session-Timeout := soon"],
            "Session-Timeout needs a number",
        ),
        (
            &["group", "set", "default-user", "Session-Timeout := 1"],
            "default-users",
        ),
        (&["session", "kill", "no-such-session"], "no-such-session"),
    ] {
        let said = house.attempt(arguments);
        assert_ne!(said.code, Some(0), "{arguments:?}");
        assert!(said.err.contains(expect), "{arguments:?}: {}", said.err);
        assert!(!said.err.contains("panicked"), "{}", said.err);
    }
    let path = house.file("bad.toml", "[radius]\n\nauth_port = [1]\n");
    let said = house.attempt(&["--config", &path, "serve"]);
    assert_ne!(said.code, Some(0));
    assert!(
        said.err.contains("line 3") && said.err.contains("auth_ports"),
        "{}",
        said.err
    );
}

#[test]
fn decode_and_encode_give_the_octets_back_line_by_line() {
    let corpus = gatewarden_tests::source::text("tests/tests/corpus/packets.hex");
    let lines: Vec<&str> = corpus
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let input = format!("{}\nno packet at all\n", lines.join("\n"));
    for secret in [&[][..], &["--secret", "testing123"]] {
        let decoded = run_with_input(&[&["decode", "--json"], secret].concat(), &input);
        assert!(!decoded.out.is_empty(), "{}", decoded.err);
        let objects: Vec<Json> = decoded
            .out
            .lines()
            .map(|line| serde_json::from_str(line).expect("an object a line"))
            .collect();
        assert_eq!(objects.len(), lines.len() + 1, "every line keeps its place");
        assert!(
            objects
                .last()
                .is_some_and(|last| last.get("error").is_some())
        );
        let encoded = run_with_input(&[&["encode", "--json"], secret].concat(), &decoded.out);
        let back: Vec<&str> = encoded.out.lines().collect();
        assert_eq!(back.len(), objects.len(), "{}", encoded.err);
        for ((line, object), back) in lines.iter().zip(&objects).zip(&back) {
            match object.get("error") {
                Some(_) => assert!(back.starts_with('#'), "{back}"),
                None => assert_eq!(line, back),
            }
        }
    }
    let decoded = run_with_input(&["decode", "--json", "--secret", "testing123"], lines[2]);
    assert!(
        decoded.out.contains("\"User-Password\"") && decoded.out.contains("\"bob\""),
        "{}",
        decoded.out
    );
}

#[test]
fn the_printed_defaults_are_a_configuration_that_serves() {
    let house = House::with_nas();
    house.add_user("alice", "wonderland");
    let defaults = run_with_input(&["config", "--defaults"], "");
    assert_eq!(defaults.code, Some(0), "{}", defaults.err);
    let server = house.start_with(&[], &defaults.out);
    assert!(accepts(&Nas::of(&server), "alice", "wonderland"));
    assert_eq!(server.stop(), Some(0));
}

/// What a newcomer types first: every line that it prints works.
#[test]
fn what_dev_prints_can_be_tried() {
    let house = House::new(kernel::Engine::Sqlite);
    let server = house.start_dev();
    let end = "Ctrl-C ends it.";
    wait::for_truth("it prints what to try", PATIENCE, || {
        server.log().contains(end)
    });
    let log = server.log();
    let lines = log
        .split_once("Try, in another terminal:")
        .map(|(_, rest)| rest)
        .unwrap_or_default();
    let lines = lines.split(end).next().unwrap_or_default().lines();
    let lines: Vec<&str> = lines
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    assert!(lines.len() >= 3, "{log}");
    for line in lines {
        let output = std::process::Command::new("sh")
            .args(["-c", line])
            .output()
            .expect("there is a shell");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{line}: {said}");
    }
}
