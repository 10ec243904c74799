//! Time travel: what would have been decided then, and whom another policy would treat differently.

use gatewarden_tests::house::{House, Server};
use gatewarden_tests::nas::{Nas, SECRET};
use gatewarden_tests::{on_both_engines, wait};
use radius_wire::attrs::acct_status_type::{START, STOP};
use radius_wire::{Code, attrs};
use serde_json::Value as Json;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

fn begin(house: &House) -> (Server, Nas) {
    house.run(&[
        "nas",
        "add",
        "127.0.0.0/8",
        "--org",
        "default",
        "--secret",
        SECRET,
        "--name",
        "lobby",
        "--reject-delay",
        "0",
        "--family",
        "coova",
    ]);
    let server = house.start_with(&[], "[radius]\nuser_failures = 0\n");
    let nas = Nas::of(&server);
    (server, nas)
}

fn enters(nas: &Nas, user: &str, password: &str) -> bool {
    let mut question = nas.pap(user, password);
    question.put_text(attrs::CALLING_STATION_ID, "AA-BB-CC-00-11-22");
    nas.ask(question).code() == Code::ACCESS_ACCEPT
}

fn enters_once(nas: &Nas, user: &str, expect: bool) {
    wait::for_truth(&format!("{user}: {expect}"), PATIENCE, || {
        enters(nas, user, "wonderland") == expect
    });
}

fn now() -> String {
    kernel::Clock::now(&kernel::SystemClock).to_rfc3339()
}

/// Whether somebody would have been let in, or the word for why not.
fn then(house: &House, user: &str, at: &str) -> Result<(), String> {
    let said = house.json(&["explain", user, "--at", at, "--nas", "lobby", "--json"]);
    let one = said
        .as_array()
        .and_then(|all| all.first())
        .cloned()
        .unwrap_or_default();
    match one["word"].as_str() {
        Some(word) => Err(word.to_owned()),
        None => {
            assert_eq!(one["verdict"], "accept", "{said}");
            Ok(())
        }
    }
}

on_both_engines! {
    fn what_held_then_is_told_whatever_was_changed_since(house: House) {
        let before = now();
        house.add_user("alice", "wonderland");
        let made = now();
        house.run(&["user", "disable", "alice"]);
        let disabled = now();
        house.run(&["user", "enable", "alice"]);
        house.run(&["plan", "add", "closed", "--hours", "Mo0000-0001"]);
        house.run(&["group", "set", "default-users", "--plan", "closed"]);
        let closed = now();
        house.run(&["group", "set", "default-users", "--no-plan", "Session-Timeout := 1234"]);
        let timed = now();
        house.run(&["nas", "add", "192.0.2.1", "--org", "default", "--secret", SECRET, "--name", "lobby"]);
        let unknown = house.attempt(&["explain", "alice", "--at", &before]);
        assert_eq!(unknown.code, Some(2), "{}", unknown.out);
        assert!(unknown.err.contains("nobody was known as 'alice'"), "{}", unknown.err);
        assert_eq!(then(&house, "alice", &made), Ok(()));
        assert_eq!(then(&house, "alice", &disabled), Err("disabled".into()));
        assert_eq!(then(&house, "alice", &closed), Err("outside_hours".into()));
        let said = house.json(&["explain", "alice", "--at", &timed, "--json"]);
        let timeout = serde_json::json!({"attribute": "Session-Timeout", "value": "1234"});
        assert!(said[0]["replies"].as_array().is_some_and(|all| all.contains(&timeout)), "{said:#}");
        // Whoever is removed is forgotten, in the past too.
        house.run(&["user", "rm", "alice"]);
        for at in [&made, &now()] {
            let forgotten = house.attempt(&["explain", "alice", "--at", at]);
            assert!(forgotten.err.contains("nobody was known"), "{}", forgotten.out);
        }
        assert!(house.attempt(&["explain", "alice", "--at", "tomorrow"]).err.contains("is not a time"));
        assert!(house.attempt(&["explain", "alice", "--at", "2999-01-01"]).err.contains("still to come"));
    }

    fn what_was_used_then_is_reckoned_from_sessions(house: House) {
        let (server, nas) = begin(&house);
        house.add_user("alice", "wonderland");
        house.run(&["group", "set", "default-users", "Max-Daily-Session := 3000"]);
        enters_once(&nas, "alice", true);
        for (status, seconds) in [(START, 0), (STOP, 3_600)] {
            let mut report = nas.report(status, "S1", "alice");
            report
                .put_text(attrs::CALLING_STATION_ID, "AA-BB-CC-00-11-22")
                .put(attrs::ACCT_SESSION_TIME, seconds);
            nas.ask(report);
        }
        house.sessions_once("it has ended", |all| all.len() == 1 && !all[0]["stop_time"].is_null());
        enters_once(&nas, "alice", false);
        // It lasted for the hour before its Stop.
        assert_eq!(then(&house, "alice", "now"), Err("quota_spent".into()));
        assert_eq!(server.stop(), Some(0));
    }

    fn recorded_requests_are_decided_again_by_other_rules(house: House) {
        for user in ["alice", "bob", "carol", "dave"] {
            house.add_user(user, "wonderland");
        }
        house.run(&["user", "set", "carol", "--expires", "2020-01-01"]);
        let (server, nas) = begin(&house);
        let since = now();
        for user in ["alice", "bob", "dave"] {
            enters_once(&nas, user, true);
        }
        enters_once(&nas, "carol", false);
        assert!(!enters(&nas, "alice", "wrong"));
        assert!(!enters(&nas, "nobody", "wrong"));
        let replay = |more: &[&str]| {
            let said = house.attempt(&[&["replay", "--since", &since, "--json"], more].concat());
            let json: Json = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {}{}", said.out, said.err));
            (said.code, json)
        };
        let is_recorded = || replay(&[]).1["records"].as_u64() >= Some(6);
        wait::for_truth("every attempt is kept", PATIENCE, is_recorded);
        let (code, alike) = replay(&[]);
        assert_eq!((code, &alike["differences"]), (Some(0), &serde_json::json!([])), "{alike:#}");
        assert!(alike["refused_for_their_proof"].as_u64() >= Some(1), "{alike:#}");
        let then = now();
        house.run(&["user", "disable", "alice"]);
        house.run(&["user", "set", "carol", "--expires", "never"]);
        house.run(&["user", "rm", "dave"]);
        let (code, found) = replay(&[]);
        assert_eq!(code, Some(1));
        let mut differences: Vec<String> = found["differences"]
            .as_array()
            .expect("an array")
            .iter()
            .map(|one| format!("{}: {} -> {}", one["name"], one["then"], one["now"]).replace('"', ""))
            .collect();
        differences.sort();
        assert_eq!(
            differences,
            [
                "alice: accepted -> refused disabled",
                "carol: refused expired -> accepted",
                "dave: accepted -> refused unknown_user",
            ]
        );
        let text = house.attempt(&["replay", "--since", &since]).out;
        assert!(text.contains("WOULD BE") && text.contains("refused disabled"), "{text}");
        // By the rules of before, everybody is treated as he was.
        let (code, before) = replay(&["--policy-at", &then, "--until", &then]);
        let left: Vec<_> = before["differences"].as_array().expect("an array").iter().map(|one| one["name"].clone()).collect();
        assert_eq!((code, left), (Some(1), vec![Json::from("dave")]), "whoever was removed is not followed back");
        assert_eq!(server.stop(), Some(0));
    }
}

#[test]
fn a_changed_copy_says_who_would_be_treated_differently() {
    let house = House::new(kernel::Engine::Sqlite);
    let (server, nas) = begin(&house);
    house.add_user("alice", "wonderland");
    enters_once(&nas, "alice", true);
    wait::for_truth("it is kept", PATIENCE, || {
        house.run(&["replay", "--json"]).contains("\"records\": 1")
            || house.run(&["replay", "--json"]).contains("\"records\":1")
    });
    assert_eq!(server.stop(), Some(0));
    let copy = house.folder().join("copy.db");
    std::fs::copy(house.folder().join("gatewarden.db"), &copy).expect("it can be copied");
    let url = format!("sqlite:{}", copy.display());
    let other = house
        .command(&[])
        .arg("--database")
        .arg(&url)
        .args(["group", "set", "default-users", "Login-Time := Mo0000-0001"])
        .output();
    assert!(other.is_ok_and(|said| said.status.success()));
    let said = house.attempt(&["replay", "--candidate", &url]);
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    assert!(
        said.out.contains("refused outside_hours") && said.out.contains("Login-Time"),
        "{}",
        said.out
    );
    assert_eq!(
        house.attempt(&["replay"]).code,
        Some(0),
        "the real one is as it was"
    );
    let missing = house.attempt(&["replay", "--candidate", "sqlite:/no/such/file.db"]);
    assert_eq!(missing.code, Some(2));
}
