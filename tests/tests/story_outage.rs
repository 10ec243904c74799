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
