//! Groups, limits and refusals as an operator meets them: the answer on the wire, and the word that explains it.

use gatewarden_tests::house::{House, Server};
use gatewarden_tests::nas::{Nas, SECRET};
use gatewarden_tests::wait;
use radius_wire::{Code, attrs};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

/// A NAS whose refusals do not wait, and alice.
fn house() -> House {
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
    house
}

/// Asking until something is true must not be taken for guessing.
fn start(house: &House) -> (Server, Nas) {
    let server = house.start_with(&[], "[radius]\nuser_failures = 0\n");
    let nas = Nas::of(&server);
    (server, nas)
}

fn ask(nas: &Nas, device: &str) -> gatewarden_tests::nas::Answer {
    let mut question = nas.pap("alice", "wonderland");
    question
        .put_text(attrs::CALLING_STATION_ID, device)
        .put_text(attrs::NAS_IDENTIFIER, "ap-1");
    nas.ask(question)
}

const PHONE: &str = "AA-BB-CC-00-11-22";

fn is_accepted(nas: &Nas, device: &str) -> bool {
    ask(nas, device).code() == Code::ACCESS_ACCEPT
}

/// Asks until it is refused for this word.
fn refused_for(house: &House, nas: &Nas, word: &str) {
    wait::for_truth(word, PATIENCE, || {
        ask(nas, PHONE).code() == Code::ACCESS_REJECT
            && house
                .run(&["explain", "alice", "--limit", "1", "--json"])
                .contains(&format!("\"{word}\""))
    });
}

#[test]
fn every_reason_has_its_word_and_is_gone_with_its_cause() {
    let house = house();
    let (_server, nas) = start(&house);
    assert!(is_accepted(&nas, PHONE));
    for (set, unset, word) in [
        (
            &["user", "disable", "alice"][..],
            &["user", "enable", "alice"][..],
            "disabled",
        ),
        (
            &["user", "set", "alice", "--expires", "2020-01-01"],
            &["user", "set", "alice", "--expires", "never"],
            "expired",
        ),
        (
            &["org", "disable", "default"],
            &["org", "enable", "default"],
            "organisation_disabled",
        ),
        (
            &["user", "set", "alice", "Auth-Type := Reject"],
            &["user", "set", "alice", "--remove", "Auth-Type"],
            "auth_type_reject",
        ),
        (
            &[
                "user",
                "set",
                "alice",
                "Calling-Station-Id == AA-BB-CC-00-11-33",
            ],
            &["user", "set", "alice", "--remove", "Calling-Station-Id"],
            "wrong_device",
        ),
        (
            &["user", "set", "alice", "NAS-Identifier == another"],
            &["user", "set", "alice", "--remove", "NAS-Identifier"],
            "wrong_nas",
        ),
        (
            &["user", "set", "alice", "Service-Type == Framed-User"],
            &["user", "set", "alice", "--remove", "Service-Type"],
            "check_failed",
        ),
    ] {
        house.run(set);
        refused_for(&house, &nas, word);
        house.run(unset);
        wait::for_truth(&format!("{word} is over"), PATIENCE, || {
            is_accepted(&nas, PHONE)
        });
    }
}

#[test]
fn the_session_ends_with_the_least_of_all_limits() {
    let house = house();
    house.run(&["group", "set", "default-users", "Session-Timeout := 7200"]);
    let (_server, nas) = start(&house);
    assert_eq!(ask(&nas, PHONE).integer(attrs::SESSION_TIMEOUT), Some(7200));
    // In an hour she expires: no session may outlive that.
    let soon = kernel::Clock::now(&kernel::SystemClock)
        .plus_seconds(3_600)
        .to_rfc3339();
    house.run(&["user", "set", "alice", "--expires", &soon]);
    wait::for_truth("an hour is left", PATIENCE, || {
        let left = ask(&nas, PHONE).integer(attrs::SESSION_TIMEOUT);
        left.is_some_and(|left| (3_500..=3_600).contains(&left))
    });
    house.run(&["user", "set", "alice", "Session-Timeout := 60"]);
    wait::for_truth("her own limit is the least", PATIENCE, || {
        ask(&nas, PHONE).integer(attrs::SESSION_TIMEOUT) == Some(60)
    });
}

#[test]
fn groups_are_looked_at_in_order_and_a_failing_one_is_skipped() {
    let house = house();
    house.run(&["group", "add", "night", "--org", "default"]);
    house.run(&["group", "add", "day", "--org", "default"]);
    house.run(&[
        "group",
        "set",
        "default-night",
        "NAS-Identifier == elsewhere",
        "Session-Timeout := 11",
    ]);
    house.run(&[
        "group",
        "set",
        "default-day",
        "Session-Timeout := 22",
        "Filter-Id := day",
    ]);
    house.run(&[
        "user", "set", "alice", "--group", "night", "--group", "day", "--group", "users",
    ]);
    house.run(&["group", "set", "default-users", "Filter-Id += users"]);
    let (_server, nas) = start(&house);
    let accept = ask(&nas, PHONE);
    assert_eq!(
        accept.integer(attrs::SESSION_TIMEOUT),
        Some(22),
        "the first that matches"
    );
    let filters = |answer: &gatewarden_tests::nas::Answer| -> Vec<String> {
        answer
            .packet()
            .all(11)
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect()
    };
    assert_eq!(filters(&accept), ["day"], "and no further");
    house.run(&["group", "set", "default-day", "Fall-Through = Yes"]);
    wait::for_truth("the next one, too", PATIENCE, || {
        filters(&ask(&nas, PHONE)) == ["day", "users"]
    });
}
