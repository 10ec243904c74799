//! Accounting: what a NAS was told is kept, whatever happens then.

use gatewarden_tests::house::House;
use gatewarden_tests::nas::{Nas, PATIENCE, SECRET};
use gatewarden_tests::{on_both_engines, wait};
use radius_wire::attrs::acct_status_type::{
    ACCOUNTING_OFF, ACCOUNTING_ON, INTERIM_UPDATE, START, STOP,
};
use radius_wire::{Code, Question, attrs};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

fn text<'a>(session: &'a Json, field: &str) -> &'a str {
    session[field].as_str().unwrap_or_default()
}

fn is_open(session: &Json) -> bool {
    session["stop_time"].is_null()
}

fn of<'a>(sessions: &'a [Json], id: &str) -> Vec<&'a Json> {
    sessions
        .iter()
        .filter(|session| text(session, "session_id") == id)
        .collect()
}

fn report(nas: &Nas, status: u32, session: &str, counters: (u32, u32, u32)) -> Question {
    let mut question = nas.report(status, session, "alice");
    let (seconds, input, output) = counters;
    question
        .put_text(attrs::CALLING_STATION_ID, "AA-BB-CC-00-11-22")
        .put_text(attrs::CALLED_STATION_ID, "00-11-22-33-44-55:Guest")
        .put(attrs::NAS_IP_ADDRESS, [127, 0, 0, 1].into())
        .put(attrs::ACCT_SESSION_TIME, seconds)
        .put(attrs::ACCT_INPUT_OCTETS, input)
        .put(attrs::ACCT_OUTPUT_OCTETS, output);
    question
}

/// The same with the NAS's own time: so many seconds after a moment two minutes ago.
fn dated(nas: &Nas, status: u32, session: &str, at: u32, counters: (u32, u32, u32)) -> Question {
    let mut question = report(nas, status, session, counters);
    let now = kernel::Clock::now(&kernel::SystemClock).unix_seconds();
    let now = u32::try_from(now).expect("before 2106");
    question.put(attrs::EVENT_TIMESTAMP, now - 120 + at);
    question
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Accounting-On or Accounting-Off.
fn restart(nas: &Nas, status: u32) {
    let mut question = nas.question(Code::ACCOUNTING_REQUEST);
    question
        .put(attrs::ACCT_STATUS_TYPE, status)
        .put(attrs::NAS_IP_ADDRESS, [127, 0, 0, 1].into());
    tell(nas, question);
}

fn tell(nas: &Nas, question: Question) {
    assert_eq!(nas.ask(question).code(), Code::ACCOUNTING_RESPONSE);
}

on_both_engines! {
    fn a_session_is_seen_from_start_to_stop(house: House) {
        house.add_nas();
        house.add_user("alice", "wonderland");
        let server = house.start();
        let nas = Nas::of(&server);
        tell(&nas, report(&nas, START, "S1", (0, 0, 0)));
        let sessions = house.sessions_once("one session is open", |all| all.len() == 1);
        assert_eq!(text(&sessions[0], "username"), "alice");
        assert_eq!(text(&sessions[0], "session_id"), "S1");
        assert_eq!(text(&sessions[0], "nas_ip_address"), "127.0.0.1");
        assert!(is_open(&sessions[0]));

        tell(&nas, report(&nas, INTERIM_UPDATE, "S1", (60, 1_000, 2_000)));
        let sessions = house.sessions_once("the counters are there", |all| all[0]["input_octets"] == 1_000);
        assert_eq!(sessions[0]["output_octets"], 2_000);
        assert_eq!(sessions[0]["session_time"], 60);

        let mut stop = report(&nas, STOP, "S1", (90, 1_500, 2_500));
        stop.put(attrs::ACCT_INPUT_GIGAWORDS, 1).put(attrs::ACCT_TERMINATE_CAUSE, 1);
        tell(&nas, stop);
        let sessions = house.sessions_once("it is closed", |all| !is_open(&all[0]));
        assert_eq!(sessions.len(), 1);
        assert_eq!(sessions[0]["input_octets"], 4_294_968_796u64);
        assert_eq!(sessions[0]["session_time"], 90);
        assert_eq!(text(&sessions[0], "terminate_cause"), "User-Request");
        assert_eq!(house.json(&["session", "list", "--json"]), serde_json::json!([]), "no open one is left");
    }

    /// Twenty-four reports are acknowledged and nothing else has happened when the process is killed.
    fn no_acknowledged_report_is_lost_when_it_is_killed(house: House) {
        house.add_nas();
        let server = house.start();
        let nas = Nas::of(&server);
        let ids: BTreeSet<String> = (0..24).map(|n| format!("K{n:02}")).collect();
        for id in &ids {
            tell(&nas, report(&nas, START, id, (0, 0, 0)));
        }
        server.kill();

        let server = house.start();
        let nas = Nas::of(&server);
        let sessions = house.sessions_once("every acknowledged session", |all| all.len() >= ids.len());
        let found: BTreeSet<String> = sessions.iter().map(|s| text(s, "session_id").to_owned()).collect();
        assert_eq!(found, ids);
        assert_eq!(sessions.len(), ids.len(), "each exactly once");

        // The NAS, too, goes on: it closes one of them, and that one only.
        tell(&nas, report(&nas, STOP, "K00", (10, 1, 1)));
        let sessions = house.sessions_once("one is closed", |all| all.iter().any(|s| !is_open(s)));
        assert_eq!(sessions.iter().filter(|s| !is_open(s)).count(), 1);
        server.kill();
        let _server = house.start();
        let sessions = house.sessions_once("it stays closed", |all| all.iter().any(|s| !is_open(s)));
        assert_eq!(sessions.len(), ids.len());
    }

    /// Several NASes report as fast as they are answered, and the process is killed in the middle of it. What they were
    /// told is kept is kept, once; what they were not told may be kept or not.
    fn killing_it_under_load_loses_nothing_that_was_acknowledged(house: House) {
        house.add_nas();
        let server = house.start();
        let acknowledged = Mutex::new(BTreeSet::new());
        let asked = Mutex::new(BTreeSet::new());
        let is_over = AtomicBool::new(false);
        let nases: Vec<Nas> = (0..4).map(|_| Nas::of(&server)).collect();
        std::thread::scope(|scope| {
            for (index, nas) in nases.into_iter().enumerate() {
                let (acknowledged, asked, is_over) = (&acknowledged, &asked, &is_over);
                scope.spawn(move || {
                    for n in 0..5_000 {
                        let id = format!("L{index}-{n}");
                        let sealed = report(&nas, START, &id, (0, 0, 0)).seal(true).expect("it fits");
                        locked(asked).insert(id.clone());
                        nas.send(nas.acct(), sealed.octets());
                        // An answer may be on its way still when the process is gone.
                        let answer = wait::until(PATIENCE, || {
                            let answer = nas.receive(Duration::from_millis(100));
                            (answer.is_some() || is_over.load(Ordering::SeqCst)).then_some(answer)
                        });
                        match answer.flatten() {
                            Some(octets) if sealed.verify(&octets).is_ok() => locked(acknowledged).insert(id),
                            _ => break,
                        };
                    }
                });
            }
            wait::for_truth("reports are answered", PATIENCE, || locked(&acknowledged).len() >= 60);
            server.kill();
            is_over.store(true, Ordering::SeqCst);
        });
        let (acknowledged, asked) = (locked(&acknowledged).clone(), locked(&asked).clone());
        assert!(acknowledged.len() >= 60);
        let _server = house.start();
        let ids = |all: &[Json]| -> Vec<String> { all.iter().map(|s| text(s, "session_id").to_owned()).collect() };
        let sessions = house.sessions_once("every acknowledged session", |all| {
            let found: BTreeSet<String> = ids(all).into_iter().collect();
            acknowledged.is_subset(&found)
        });
        let found = ids(&sessions);
        let unique: BTreeSet<String> = found.iter().cloned().collect();
        assert_eq!(found.len(), unique.len(), "each once");
        assert!(unique.is_subset(&asked), "and nothing else");
    }

    fn a_nas_that_restarts_closes_its_sessions_and_may_use_their_ids_again(house: House) {
        house.add_nas();
        let server = house.start();
        let nas = Nas::of(&server);
        for id in ["R1", "R2"] {
            tell(&nas, dated(&nas, START, id, 0, (0, 0, 0)));
        }
        house.sessions_once("two are open", |all| all.iter().filter(|s| is_open(s)).count() == 2);
        restart(&nas, ACCOUNTING_ON);
        house.sessions_once("both are closed", |all| all.iter().all(|s| !is_open(s)));
        tell(&nas, report(&nas, START, "R1", (0, 0, 0)));
        let sessions = house.sessions_once("a new one is open", |all| all.len() == 3);
        let both = of(&sessions, "R1");
        assert_eq!(both.len(), 2);
        assert_eq!(both.iter().filter(|s| is_open(s)).count(), 1);
        assert_ne!(text(both[0], "unique_id"), text(both[1], "unique_id"));
        restart(&nas, ACCOUNTING_OFF);
        house.sessions_once("all are closed", |all| all.iter().all(|s| !is_open(s)));
    }
}

/// All within the same second, and without any time of the NAS's own: what came after the restart began after it.
#[test]
fn ids_may_be_used_again_at_once_after_a_restart() {
    let house = House::with_nas();
    let server = house.start();
    let nas = Nas::of(&server);
    tell(&nas, report(&nas, START, "R1", (0, 0, 0)));
    restart(&nas, ACCOUNTING_ON);
    tell(&nas, report(&nas, START, "R1", (0, 0, 0)));
    let sessions = house.sessions_once("two sessions of one id", |all| all.len() == 2);
    assert_eq!(sessions.iter().filter(|s| is_open(s)).count(), 1);
}

#[test]
fn repeated_and_reordered_reports_end_in_the_right_session() {
    let house = House::with_nas();
    let server = house.start();
    let nas = Nas::of(&server);
    // Each with the time of its event: the same report under new identifiers, Stop before the last Interim-Update,
    // Start last of all.
    for (status, at, counters) in [
        (INTERIM_UPDATE, 30, (30, 300, 300)),
        (INTERIM_UPDATE, 30, (30, 300, 300)),
        (STOP, 90, (90, 900, 900)),
        (INTERIM_UPDATE, 60, (60, 600, 600)),
        (START, 0, (0, 0, 0)),
        (STOP, 90, (90, 900, 900)),
    ] {
        tell(&nas, dated(&nas, status, "O1", at, counters));
    }
    // A marker behind them: once it is seen, all before it were applied.
    tell(&nas, report(&nas, START, "marker", (0, 0, 0)));
    let sessions = house.sessions_once("the marker", |all| !of(all, "marker").is_empty());
    let found = of(&sessions, "O1");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(!is_open(found[0]));
    assert_eq!(found[0]["input_octets"], 900);
    assert_eq!(found[0]["session_time"], 90);
}

#[test]
fn a_repeated_report_gets_the_same_octets() {
    let house = House::with_nas();
    let server = house.start();
    let nas = Nas::of(&server);
    let sealed = report(&nas, START, "D1", (0, 0, 0))
        .seal(true)
        .expect("it fits");
    let first = nas.ask_sealed(&sealed);
    let again = nas
        .exchange(nas.acct(), sealed.octets())
        .expect("an answer");
    assert_eq!(again, first.octets());
    tell(&nas, report(&nas, START, "marker", (0, 0, 0)));
    let sessions = house.sessions_once("the marker", |all| !of(all, "marker").is_empty());
    assert_eq!(sessions.len(), 2);
}

#[test]
fn a_device_that_flips_its_counters_is_read_the_other_way_round() {
    let house = House::new(kernel::Engine::Sqlite);
    house.run(&[
        "nas",
        "add",
        "127.0.0.0/8",
        "--org",
        "default",
        "--secret",
        SECRET,
        "--flip-octets",
        "yes",
    ]);
    let server = house.start();
    let nas = Nas::of(&server);
    tell(&nas, report(&nas, STOP, "F1", (10, 111, 222)));
    let sessions = house.sessions_once("the session", |all| all.len() == 1);
    assert_eq!(
        (&sessions[0]["input_octets"], &sessions[0]["output_octets"]),
        (&222.into(), &111.into())
    );
}

#[test]
fn counters_of_32_bits_wrap_upward() {
    let house = House::with_nas();
    let server = house.start();
    let nas = Nas::of(&server);
    tell(&nas, report(&nas, START, "W1", (0, 0, 0)));
    tell(
        &nas,
        report(&nas, INTERIM_UPDATE, "W1", (600, 4_000_000_000, 10)),
    );
    tell(
        &nas,
        report(&nas, INTERIM_UPDATE, "W1", (1200, 500_000_000, 20)),
    );
    tell(&nas, report(&nas, STOP, "W1", (1800, 600_000_000, 30)));
    let sessions = house.sessions_once("it is closed", |all| all.len() == 1 && !is_open(&all[0]));
    assert_eq!(sessions[0]["input_octets"], 4_294_967_296u64 + 600_000_000);
    assert_eq!(sessions[0]["output_octets"], 30);
}

#[test]
fn strange_reports_are_kept_all_the_same() {
    let house = House::with_nas();
    let server = house.start();
    let nas = Nas::of(&server);
    // A binary session id, a user name that is no UTF-8, an unknown attribute, two Class attributes, a tunnel type.
    let mut question = nas.question(Code::ACCOUNTING_REQUEST);
    question
        .put(attrs::ACCT_STATUS_TYPE, START)
        .put_raw(44, &[0, 1, 0xff, 0xfe])
        .put_raw(1, &[0xe4, 0xf6, 0x00])
        .put_raw(25, b"one")
        .put_raw(25, b"two")
        .put_raw(254, b"?")
        .put_raw(61, &[0, 0, 0x77, 0x77]);
    tell(&nas, question);
    let mut tunnel = nas.report(9, "T1", "alice");
    tunnel.put(attrs::TUNNEL_TYPE, 3);
    tell(&nas, tunnel);
    tell(&nas, report(&nas, START, "marker", (0, 0, 0)));
    let sessions = house.sessions_once("the marker", |all| !of(all, "marker").is_empty());
    assert!(
        sessions
            .iter()
            .any(|s| text(s, "session_id").contains("0001fffe")),
        "{sessions:#?}"
    );
}
