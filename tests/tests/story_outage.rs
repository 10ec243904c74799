//! The database goes away: nobody is refused for it, and no report is lost.

use gatewarden_tests::house::House;
use gatewarden_tests::nas::Nas;
use gatewarden_tests::wait;
use kernel::Engine;
use radius_wire::attrs::acct_status_type::START;
use radius_wire::{Code, attrs};
use std::time::Duration;

#[test]
fn while_the_database_is_away_people_log_in_and_reports_are_kept() {
    let house = House::new(Engine::Postgres);
    house.add_nas();
    house.add_user("alice", "wonderland");
    let server = house.start();
    let nas = Nas::of(&server);
    assert_eq!(
        nas.ask(nas.pap("alice", "wonderland")).code(),
        Code::ACCESS_ACCEPT
    );
    house.set_database_reachable(false);
    for n in 0..10 {
        assert_eq!(
            nas.ask(nas.pap("alice", "wonderland")).code(),
            Code::ACCESS_ACCEPT,
            "from memory"
        );
        let mut report = nas.report(START, &format!("A{n}"), "alice");
        report.put(attrs::NAS_IP_ADDRESS, [127, 0, 0, 1].into());
        assert_eq!(
            nas.ask(report).code(),
            Code::ACCOUNTING_RESPONSE,
            "into the journal"
        );
    }
    // Killed while it is away, the reports are still in the journal.
    server.kill();
    house.set_database_reachable(true);
    let server = house.start();
    let sessions = house.sessions_once("every report of the outage", |all| all.len() >= 10);
    assert_eq!(sessions.len(), 10);

    // The same without being killed: it catches up by itself.
    let nas = Nas::of(&server);
    house.set_database_reachable(false);
    let mut report = nas.report(START, "B", "alice");
    report.put(attrs::NAS_IP_ADDRESS, [127, 0, 0, 1].into());
    assert_eq!(nas.ask(report).code(), Code::ACCOUNTING_RESPONSE);
    house.set_database_reachable(true);
    wait::for_truth("it catches up", Duration::from_secs(12), || {
        house.sessions().len() == 11
    });
    assert_eq!(
        nas.ask(nas.pap("alice", "wonderland")).code(),
        Code::ACCESS_ACCEPT
    );
}

#[test]
fn a_server_that_starts_while_the_database_is_away_serves_from_its_snapshot() {
    let house = House::new(Engine::Postgres);
    house.add_nas();
    house.add_user("alice", "wonderland");
    house.add_user("mallory", "shut-out-soon");
    let server = house.start();
    let nas = Nas::of(&server);
    let code = |nas: &Nas, name: &str, password: &str| nas.ask(nas.pap(name, password)).code();
    assert_eq!(code(&nas, "mallory", "shut-out-soon"), Code::ACCESS_ACCEPT);
    // What was heard of just before counts too.
    house.add_user("bob", "builder");
    house.run(&["user", "disable", "mallory"]);
    wait::for_truth("the news", Duration::from_secs(10), || {
        code(&nas, "mallory", "shut-out-soon") == Code::ACCESS_REJECT
            && code(&nas, "bob", "builder") == Code::ACCESS_ACCEPT
    });
    let mut report = nas.report(START, "before", "alice");
    report.put(attrs::NAS_IP_ADDRESS, [127, 0, 0, 1].into());
    assert_eq!(nas.ask(report).code(), Code::ACCOUNTING_RESPONSE);
    house.sessions_once("the report before", |all| all.len() == 1);
    house.set_database_reachable(false);
    let mut report = nas.report(START, "during", "alice");
    report.put(attrs::NAS_IP_ADDRESS, [127, 0, 0, 1].into());
    assert_eq!(nas.ask(report).code(), Code::ACCOUNTING_RESPONSE);
    server.kill();

    for round in 0..2 {
        let server = house.start();
        let nas = Nas::of(&server);
        assert_eq!(code(&nas, "alice", "wonderland"), Code::ACCESS_ACCEPT);
        assert_eq!(code(&nas, "bob", "builder"), Code::ACCESS_ACCEPT);
        assert_eq!(code(&nas, "alice", "wrong"), Code::ACCESS_REJECT);
        assert_eq!(code(&nas, "mallory", "shut-out-soon"), Code::ACCESS_REJECT);
        assert_eq!(code(&nas, "nobody", "x"), Code::ACCESS_REJECT);
        let mut report = nas.report(START, &format!("after-{round}"), "alice");
        report.put(attrs::NAS_IP_ADDRESS, [127, 0, 0, 1].into());
        assert_eq!(nas.ask(report).code(), Code::ACCOUNTING_RESPONSE);
        let status = house.attempt(&["status"]).out;
        assert!(status.contains("database"), "{status}");
        let explained = house.attempt(&["explain", "mallory"]);
        assert_eq!(explained.code, Some(0), "{}", explained.err);
        assert!(
            explained.out.contains("REFUSED disabled"),
            "{}",
            explained.out
        );
        assert!(explained.err.contains("logged"), "{}", explained.err);
        if round == 0 {
            server.kill();
            continue;
        }
        // It comes back, and everything is where it belongs.
        house.set_database_reachable(true);
        let sessions = house.sessions_once("every report", |all| all.len() >= 4);
        let mut names: Vec<&str> = sessions
            .iter()
            .filter_map(|session| session["session_id"].as_str())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["after-0", "after-1", "before", "during"]);
        house.add_user("carol", "cheshire");
        wait::for_truth("it follows the news", Duration::from_secs(10), || {
            code(&nas, "carol", "cheshire") == Code::ACCESS_ACCEPT
        });
    }
}
