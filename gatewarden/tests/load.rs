//! `gatewarden load` against the null responder: what is asked, verified, counted and written down.

use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Command, Stdio};

const GATEWARDEN: &str = env!("CARGO_BIN_EXE_gatewarden");

/// A null responder in a process of its own, gone with the value.
struct Null {
    child: Child,
    server: String,
}

impl Drop for Null {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two ports one after the other that nobody has.
fn free_port() -> u16 {
    loop {
        let first = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = first.local_addr().expect("address").port();
        let next = port.checked_add(1);
        if next.is_some_and(|next| UdpSocket::bind((Ipv4Addr::LOCALHOST, next)).is_ok()) {
            return port;
        }
    }
}

fn null(secret: &str) -> Null {
    let server = format!("127.0.0.1:{}", free_port());
    let mut child = Command::new(GATEWARDEN)
        .args(["load", "--null", "--json", &server, "--secret", secret])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the null responder starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it was asked for"))
        .read_line(&mut line)
        .expect("it says where it listens");
    assert!(line.contains(&server), "{line}");
    Null { child, server }
}

/// The result of a run with these options, and its exit code.
fn load(null: &Null, options: &[&str]) -> (Value, Option<i32>) {
    // However busy this machine is, nothing is lost on loopback: only waiting says so.
    let patience: &[&str] = match options.contains(&"--timeout") {
        true => &[],
        false => &["--timeout", "60"],
    };
    let output = Command::new(GATEWARDEN)
        .args(["load", "--json", &null.server, "--secret", "testing123"])
        .args(options)
        .args(patience)
        .output()
        .expect("the generator starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let json = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{errors}"));
    (json, output.status.code())
}

#[track_caller]
fn check(json: &Value, expect: &[(&str, u64)]) {
    for (name, count) in expect {
        assert_eq!(json[name].as_u64(), Some(*count), "{name} in {json:#}");
    }
}

const USERS: [&str; 4] = ["--users", "10", "--password", "pw%06d"];

#[test]
fn every_question_is_answered_and_verified() {
    let null = null("testing123");
    for work in [
        "pap",
        "chap",
        "status",
        "accounting",
        "pap=3,chap=2,status=1,accounting=4",
    ] {
        let (json, code) = load(
            &null,
            &[
                &USERS[..],
                &["--work", work, "--count", "2000", "--threads", "2"],
            ]
            .concat(),
        );
        check(
            &json,
            &[
                ("asked", 2_000),
                ("accepted", 2_000),
                ("rejected", 0),
                ("lost", 0),
                ("bad", 0),
            ],
        );
        check(&json, &[("stray", 0), ("late", 0)]);
        assert_eq!((json["work"].as_str(), code), (Some(work), Some(0)));
        assert!(
            json["latency_milliseconds"]["p99"].as_f64() > Some(0.0),
            "{json:#}"
        );
    }
}

#[test]
fn a_server_that_signs_with_another_secret_is_not_believed() {
    // A responder that lets everything in with a secret of its own needs questions it can verify: accounting without
    // a right authenticator and signed logins stay unanswered, unsigned logins are answered wrongly.
    let null = null("another");
    let (json, code) = load(
        &null,
        &[&USERS[..], &["--count", "50", "--no-message-authenticator"]].concat(),
    );
    check(
        &json,
        &[("asked", 50), ("accepted", 0), ("bad", 50), ("lost", 0)],
    );
    check(&json["bad_by_fault"], &[("authenticator", 50)]);
    assert_eq!(code, Some(1));
    let (json, code) = load(
        &null,
        &[
            &USERS[..],
            &["--count", "50", "--timeout", "0.05", "--tries", "3"],
        ]
        .concat(),
    );
    check(
        &json,
        &[
            ("asked", 50),
            ("accepted", 0),
            ("lost", 50),
            ("resent", 100),
        ],
    );
    assert_eq!(code, Some(1));
}

#[test]
fn a_server_that_does_not_prove_it_knows_the_password_is_not_believed() {
    let (json, code) = load(
        &null("testing123"),
        &[&USERS[..], &["--count", "20", "--work", "mschapv2"]].concat(),
    );
    check(&json["bad_by_fault"], &[("server_proof", 20)]);
    assert_eq!(code, Some(1));
}

#[test]
fn a_wrong_password_that_comes_in_is_noticed() {
    let (json, code) = load(
        &null("testing123"),
        &[&USERS[..], &["--count", "200", "--wrong-password", "100"]].concat(),
    );
    check(&json, &[("accepted", 200), ("wrongly_accepted", 200)]);
    assert_eq!(code, Some(1));
}

#[test]
fn an_open_loop_asks_as_often_as_its_rate_says() {
    let (json, _) = load(
        &null("testing123"),
        &[&USERS[..], &["--rate", "500", "--seconds", "1"]].concat(),
    );
    let number = |name: &str| json[name].as_u64().expect("a number");
    // A machine that is too busy for the rate is told of, and nothing is made up for it.
    assert_eq!(number("asked") + number("unsent"), 500, "{json:#}");
    assert!(number("asked") > 0, "{json:#}");
    check(&json, &[("accepted", number("asked")), ("lost", 0)]);
}

#[test]
fn the_record_holds_each_acknowledged_report_once() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("acknowledged.csv");
    let (json, code) = load(
        &null("testing123"),
        &[
            "--work",
            "accounting",
            "--users",
            "10",
            "--count",
            "3000",
            "--sessions",
            "300",
            "--record-acknowledged",
            &path.to_string_lossy(),
        ],
    );
    assert_eq!(code, Some(0), "{json:#}");
    let text = std::fs::read_to_string(&path).expect("the record");
    let mut sessions: HashMap<&str, Vec<Vec<&str>>> = HashMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells.len(), 7, "{line}");
        sessions.entry(cells[0]).or_default().push(cells);
    }
    let reports: usize = sessions.values().map(Vec::len).sum();
    assert_eq!(reports, 3_000);
    let mut open = 0;
    for reports in sessions.values() {
        assert_eq!(reports[0][1], "start");
        let last = &reports[reports.len() - 1];
        open += u64::from(last[1] != "stop");
        let octets = |report: &[&str]| report[3].parse::<u64>().expect("a number");
        assert!(
            reports
                .windows(2)
                .all(|two| octets(&two[0]) <= octets(&two[1]))
        );
    }
    check(&json, &[("open_sessions", open)]);
}

#[test]
fn nobody_else_is_put_under_load() {
    for (options, says) in [
        (&["192.0.2.1", "--password", "x"][..], "--i-own-this-target"),
        (&["--null", "192.0.2.1"], "--i-own-this-target"),
        (&["127.0.0.1"], "--password"),
        (&["127.0.0.1", "--work", "eap"], "'eap' is no kind of work"),
        (
            &[
                "127.0.0.1",
                "--password",
                "x",
                "--users",
                "5",
                "--user",
                "bob",
            ],
            "%06d",
        ),
        (
            &[
                "127.0.0.1",
                "--password",
                "x",
                "--sockets",
                "1",
                "--outstanding",
                "251",
            ],
            "--sockets",
        ),
        (&["127.0.0.1", "--password", "x", "--rate", "0"], "--rate"),
    ] {
        let output = Command::new(GATEWARDEN)
            .args(["load", "--secret", "s", "--seconds", "1"])
            .args(options)
            .output()
            .expect("the generator starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains(says), "{options:?}: {errors}");
        assert_eq!(output.status.code(), Some(2), "{options:?}");
    }
}
