//! Whatever befalls PostgreSQL under load: nobody is refused or left waiting for it, no acknowledged report is lost, the
//! server says what is going on, and afterwards it catches up without help.
//!
//! Seconds of each fault in `./test`, minutes in the soak.

use gatewarden_tests::cluster::{Cluster, TableLock};
use gatewarden_tests::house::{House, Server};
use gatewarden_tests::proxy::Proxy;
use gatewarden_tests::traffic::{PASSWORD, Traffic, USER};
use gatewarden_tests::{lasting, wait};
use kernel::Engine;
use serde_json::Value as Json;
use std::time::Duration;

/// What nobody may wait longer for than a NAS waits before it turns to another server.
const NOTICED: Duration = Duration::from_secs(5);
/// The server looks every second, and asks the database every two seconds.
const SEEN_WITHIN: Duration = Duration::from_secs(60);
/// Pauses between tries grow to some seconds, and the machine does other things, too.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(120);

/// How old a report is at most that is merely on its way.
const UNDER_WAY_SECONDS: u64 = 8;

/// Logins that pass while a fault lasts: two a second at least.
fn a_while() -> u64 {
    lasting::count(60, 6_000)
}

fn status(house: &House) -> Json {
    let said = house.attempt(&["status", "--json"]);
    serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {}{}", said.out, said.err))
}

/// Waits until the status, as people read it, says this.
fn says(house: &House, what: &str) {
    let mut last = String::new();
    let said = wait::until(SEEN_WITHIN, || {
        last = house.attempt(&["status"]).out;
        last.contains(what).then_some(())
    });
    assert!(said.is_some(), "'{what}' is not said:\n{last}");
}

fn catches_up(house: &House) {
    let mut last = Json::Null;
    let done = wait::until(CAUGHT_UP_WITHIN, || {
        last = status(house);
        let server = &last["server"];
        let is_well = server["database"]["is_reachable"] == true
            // Under load something always is on its way, and longer on a slow line.
            && server["journal"]["backlog_seconds"].as_u64().is_some_and(|age| age < UNDER_WAY_SECONDS);
        is_well.then_some(())
    });
    assert!(done.is_some(), "it does not catch up: {last}");
}

fn begin(house: &House) -> (Server, Traffic) {
    house.add_nas();
    house.add_unlimited_user(USER, PASSWORD);
    let server = house.start();
    let traffic = Traffic::begin(&server, "D");
    traffic.reports_on("reports are taken", 10);
    (server, traffic)
}

fn end(house: &House, server: Server, traffic: Traffic) {
    let tally = traffic.end();
    tally.nobody_noticed(NOTICED);
    house.agrees_with(tally.model, CAUGHT_UP_WITHIN);
    wait::for_truth("nothing waits any more", SEEN_WITHIN, || {
        status(house)["server"]["journal"]["backlog_records"] == 0
    });
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_database_that_is_stopped_crashes_and_comes_back_is_not_noticed() {
    let cluster = Cluster::new();
    let house = House::over(&cluster.url());
    let (server, traffic) = begin(&house);

    cluster.stop("fast");
    says(&house, "The database has not answered for");
    says(
        &house,
        "Logins are still answered from memory, reports are kept in the journal",
    );
    traffic.goes_on("logins go on while it is stopped", a_while());
    traffic.reports_on("reports are taken while it is stopped", a_while());
    cluster.start();
    catches_up(&house);

    for mode in ["fast", "immediate"] {
        cluster.stop(mode);
        cluster.start();
        traffic.reports_on("reports are taken after a restart", 20);
        catches_up(&house);
    }
    end(&house, server, traffic);
}

#[test]
fn a_database_that_is_slow_locked_or_cut_off_is_not_noticed() {
    let mut house = House::new(Engine::Postgres);
    let real = house.database().expect("an address").to_owned();
    let place = real
        .split(['@', '/'])
        .find(|part| part.contains(':') && part.contains('.'));
    let proxy = Proxy::before(
        place
            .and_then(|place| place.parse().ok())
            .expect("an address"),
    );
    house.set_database(&proxy.address_of(&real));
    let (server, traffic) = begin(&house);

    proxy.set_delay(Duration::from_millis(50));
    traffic.goes_on("logins go on while it is slow", a_while());
    wait::for_truth("status tells how slow it is", SEEN_WITHIN, || {
        status(&house)["server"]["database"]["round_trip_micros"].as_u64() >= Some(100_000)
    });
    says(&house, "postgres, answers in");
    catches_up(&house);
    proxy.set_delay(Duration::ZERO);

    let lock = TableLock::take(&real, "session");
    says(&house, "behind the accounting journal");
    says(&house, "or whether a table is locked");
    says(&house, "has been open in");
    traffic.goes_on("logins go on while the table is locked", a_while());
    drop(lock);
    catches_up(&house);

    proxy.cut();
    traffic.goes_on("logins go on after every line was cut", 20);
    catches_up(&house);

    // What was on its way is never answered. It is given up after a minute, which the short form does not wait for.
    proxy.silence();
    traffic.goes_on("logins go on while the lines are silent", a_while());
    if lasting::is_soak() {
        catches_up(&house);
    }
    proxy.cut();
    catches_up(&house);
    end(&house, server, traffic);
}
