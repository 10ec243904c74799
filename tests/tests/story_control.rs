//! Sessions under control, at gateways of every family: what a plan gives, and how a session that goes on is throttled, cut
//! off, moved and ended.

use access::family::Family;
use gatewarden_tests::gateway::{Gateway, control_socket};
use gatewarden_tests::house::{House, Server};
use gatewarden_tests::nas::SECRET;
use gatewarden_tests::{on_both_engines, wait};
use radius_wire::Code;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

const FAMILIES: [Family; 10] = [
    Family::Coova,
    Family::Mikrotik,
    Family::Hostapd,
    Family::Cisco,
    Family::Meraki,
    Family::Aruba,
    Family::Ruckus,
    Family::Omada,
    Family::Unifi,
    Family::Fortigate,
];

const PHONE: [u8; 6] = [2, 0, 0, 0, 0, 1];
const LAPTOP: [u8; 6] = [2, 0, 0, 0, 0, 2];
const GIGABYTE: u64 = 1_000_000_000;

/// A house with a gateway of each family, and a server. NASes are asked again after a moment, so that what is silent is
/// known soon.
fn begin(house: &House, families: &[Family]) -> (Server, Vec<Gateway>) {
    let sockets: Vec<_> = families
        .iter()
        .enumerate()
        .map(|(number, family)| {
            let last = u8::try_from(number + 10).expect("few");
            let address = IpAddr::V4(Ipv4Addr::new(127, 0, 4, last));
            let socket = control_socket(address);
            let port = socket.local_addr().expect("it is bound").port().to_string();
            house.run(&[
                "nas",
                "add",
                &address.to_string(),
                "--org",
                "default",
                "--secret",
                SECRET,
                "--family",
                family.word(),
                "--coa-port",
                &port,
                "--reject-delay",
                "0",
            ]);
            socket
        })
        .collect();
    let config = "[radius]\nuser_failures = 0\nsession_order_wait_ms = 100\n";
    let server = house.start_with(&[], config);
    let gateways = families
        .iter()
        .zip(sockets)
        .map(|(family, socket)| Gateway::new(&server, *family, socket))
        .collect();
    (server, gateways)
}

fn name(family: Family) -> String {
    format!("user-{}", family.word())
}

fn add_users(house: &House, families: &[Family]) {
    for family in families {
        house.add_user(&name(*family), "wonderland");
    }
}

fn is_in(gateway: &Gateway, mac: [u8; 6]) -> bool {
    gateway.login(&name(gateway.family), "wonderland", mac)
}

/// Waits until every gateway's device is gone.
fn all_gone(what: &str, gateways: &[Gateway], mac: [u8; 6]) {
    let gone = wait::until(PATIENCE, || {
        gateways
            .iter()
            .all(|gateway| gateway.online(mac).is_none())
            .then_some(())
    });
    let left: Vec<_> = gateways
        .iter()
        .filter(|gateway| gateway.online(mac).is_some())
        .map(|gateway| (gateway.family, gateway.log()))
        .collect();
    assert!(gone.is_some(), "{what}: {left:?}");
}

fn nobody_is_online(house: &House) {
    house.sessions_once("every session has ended", |all| {
        all.iter().all(|session| !session["stop_time"].is_null())
    });
}

on_both_engines! {
    fn a_quota_that_is_spent_ends_the_session_at_every_family(house: House) {
        add_users(&house, &FAMILIES);
        house.run(&["plan", "add", "gold", "--rate-up", "2M", "--rate-down", "10M", "--role", "guests", "--limit", "6 GB/month", "--interim", "60"]);
        house.run(&["group", "set", "default-users", "--remove", "Max-Daily-Session", "--remove", "Max-Daily-Session-Traffic", "--plan", "gold"]);
        let (server, gateways) = begin(&house, &FAMILIES);
        for gateway in &gateways {
            let family = gateway.family;
            assert!(is_in(gateway, PHONE), "{family}");
            let given = gateway.online(PHONE).expect("it is online").given;
            let has_no_rate = matches!(family, Family::Aruba | Family::Meraki);
            let rates = (given.rate_up, given.rate_down);
            assert_eq!(rates, if has_no_rate { (None, None) } else { (Some(2_000_000), Some(10_000_000)) }, "{family}");
            assert_eq!(given.role.as_deref(), Some("guests"), "{family}");
            let octets = match family {
                Family::Coova | Family::Mikrotik => Some(6 * GIGABYTE),
                // It cannot be told more than 32 bits hold.
                Family::Omada => Some(u64::from(u32::MAX)),
                _ => None,
            };
            assert_eq!(given.octets, octets, "{family}");
            gateway.uses(PHONE, 600, GIGABYTE, 4 * GIGABYTE);
        }
        // Not spent: nobody is asked anything.
        for gateway in &gateways {
            assert!(gateway.online(PHONE).is_some() && gateway.log().is_empty(), "{}", gateway.family);
            gateway.uses(PHONE, 600, 0, GIGABYTE);
        }
        all_gone("the quota is spent", &gateways, PHONE);
        nobody_is_online(&house);
        for gateway in &gateways {
            assert!(!is_in(gateway, PHONE), "{}: nothing is left this month", gateway.family);
        }
        let orders = house.json(&["session", "orders", "--limit", "50", "--json"]);
        let orders = orders.as_array().expect("an array");
        assert!(orders.iter().all(|order| order["reason"] == "quota" && order["kind"] == "disconnect"), "{orders:#?}");
        let acks = orders.iter().filter(|order| order["outcome"] == "ack").count();
        assert_eq!(acks, FAMILIES.len(), "{orders:#?}");
        assert_eq!(server.stop(), Some(0));
    }

    fn a_quota_that_is_spent_throttles_where_the_plan_says_so(house: House) {
        add_users(&house, &FAMILIES);
        house.run(&["plan", "add", "slow", "--rate-up", "64k", "--rate-down", "128k", "--role", "slow"]);
        house.run(&["plan", "add", "gold", "--rate-up", "2M", "--rate-down", "10M", "--role", "fast", "--limit", "1 GB/day", "--when-spent", "slow"]);
        house.run(&["group", "set", "default-users", "--plan", "gold", "--remove", "Max-Daily-Session-Traffic"]);
        let (server, gateways) = begin(&house, &FAMILIES);
        for gateway in &gateways {
            assert!(is_in(gateway, PHONE), "{}", gateway.family);
            gateway.uses(PHONE, 60, 0, GIGABYTE);
        }
        let is_slow = |gateway: &Gateway| {
            let online = gateway.online(PHONE)?;
            let role = online.given.role.as_deref() == Some("slow");
            let rate = online.given.rate_down.is_none_or(|rate| rate == 128_000);
            (role && rate).then_some(online.changes)
        };
        let is_done = |gateway: &Gateway| match access::dynauth::takes_changes(gateway.family) {
            true => is_slow(gateway) == Some(1),
            // It is sent away, and comes in again under the other plan.
            false => gateway.online(PHONE).is_none(),
        };
        let done = wait::until(PATIENCE, || gateways.iter().all(is_done).then_some(()));
        let left: Vec<_> = gateways.iter().filter(|gateway| !is_done(gateway)).map(|gateway| (gateway.family, gateway.log(), gateway.online(PHONE))).collect();
        assert!(done.is_some(), "{left:#?}");
        for gateway in gateways.iter().filter(|gateway| !access::dynauth::takes_changes(gateway.family)) {
            wait::for_truth("it comes in again", PATIENCE, || is_in(gateway, PHONE));
            assert_eq!(is_slow(gateway), Some(0), "{}", gateway.family);
        }
        // Told once, and not again.
        for gateway in &gateways {
            let asked = gateway.log().iter().filter(|(_, said, _)| matches!(*said, Code::COA_ACK | Code::DISCONNECT_ACK)).count();
            assert_eq!(asked, 1, "{}: {:?}", gateway.family, gateway.log());
        }
        assert_eq!(server.stop(), Some(0));
    }

    fn who_is_shut_out_is_sent_away_and_who_is_moved_gets_the_other_plan(house: House) {
        let families = [Family::Coova, Family::Mikrotik, Family::Hostapd, Family::Aruba];
        add_users(&house, &families);
        house.run(&["plan", "add", "gold", "--rate-down", "10M", "--role", "fast"]);
        house.run(&["group", "set", "default-users", "--plan", "gold"]);
        let (server, gateways) = begin(&house, &families);
        for gateway in &gateways {
            assert!(is_in(gateway, PHONE), "{}", gateway.family);
        }
        house.sessions_once("everybody is online", |all| all.len() == families.len());
        house.run(&["plan", "set", "gold", "--role", "faster"]);
        let has_changed = |gateway: &Gateway| match gateway.family {
            Family::Hostapd => gateway.online(PHONE).is_none(),
            _ => gateway.online(PHONE).is_some_and(|online| online.given.role.as_deref() == Some("faster")),
        };
        wait::for_truth("the plan is another", PATIENCE, || gateways.iter().all(has_changed));
        wait::for_truth("it comes in again", PATIENCE, || is_in(&gateways[2], PHONE));
        house.sessions_once("everybody is online", |all| {
            all.iter().filter(|session| session["stop_time"].is_null()).count() == families.len()
        });
        house.run(&["user", "disable", &name(families[0])]);
        house.run(&["user", "set", &name(families[1]), "--expires", "2020-01-01"]);
        house.run(&["user", "rm", &name(families[2])]);
        house.run(&["session", "kill", &name(families[3])]);
        all_gone("they were shut out", &gateways, PHONE);
        nobody_is_online(&house);
        assert_eq!(server.stop(), Some(0));
    }

    fn sessions_at_once_are_counted_by_device_and_a_lost_one_blocks_nobody(house: House) {
        let families = [Family::Coova, Family::Mikrotik];
        house.add_user("alice", "wonderland");
        house.run(&["group", "set", "default-users", "Simultaneous-Use := 1"]);
        let (server, gateways) = begin(&house, &families);
        let [one, other] = &gateways[..] else { panic!("two") };
        let enter = |gateway: &Gateway, mac| gateway.login("alice", "wonderland", mac);
        assert!(enter(one, PHONE));
        assert!(!enter(one, LAPTOP) && !enter(other, LAPTOP), "one device at a time");
        assert!(enter(other, PHONE), "the same device at another gateway is no second one");
        assert!(!enter(one, LAPTOP));
        one.logout(PHONE);
        other.logout(PHONE);
        assert!(enter(one, LAPTOP), "at once, without a wait for the database");
        assert!(!enter(one, PHONE));
        // The gateway forgot its end; its restart says so.
        one.forgets(LAPTOP);
        let mut restart = gatewarden_tests::nas::Nas::at(&server, one.address, SECRET).question(Code::ACCOUNTING_REQUEST);
        restart.put(radius_wire::attrs::ACCT_STATUS_TYPE, radius_wire::attrs::acct_status_type::ACCOUNTING_ON);
        if let IpAddr::V4(address) = one.address {
            restart.put(radius_wire::attrs::NAS_IP_ADDRESS, address);
        }
        gatewarden_tests::nas::Nas::at(&server, one.address, SECRET).ask(restart);
        assert!(enter(one, PHONE), "what was before the restart is over");
        assert_eq!(server.stop(), Some(0));
    }

    fn a_device_that_is_online_roams_by_its_address_and_no_other_does(house: House) {
        let families = [Family::Aruba, Family::Hostapd];
        house.add_user("alice", "wonderland");
        let (server, gateways) = begin(&house, &families);
        let [one, other] = &gateways[..] else { panic!("two") };
        let by_address = |gateway: &Gateway, mac| {
            let spelled = gateway.spelled(mac);
            gateway.login(&spelled, &spelled, mac)
        };
        assert!(one.login("alice", "wonderland", PHONE));
        assert!(!by_address(other, PHONE), "nobody has said that devices may roam");
        house.run(&["org", "set", "default", "--mac-roaming", "yes"]);
        // Who came in before that is known from the sessions that are open.
        wait::for_truth("it roams", PATIENCE, || by_address(other, PHONE));
        assert!(!by_address(other, LAPTOP), "nobody let it in");
        assert!(!other.login(&other.spelled(PHONE), "something else", PHONE), "its address is the password");
        let sessions = house.sessions_once("both sessions are alice's", |all| all.len() == 2);
        let owners: std::collections::BTreeSet<_> = sessions.iter().map(|session| session["membership"].to_string()).collect();
        assert_eq!(owners.len(), 1, "{sessions:#?}");
        one.logout(PHONE);
        assert!(by_address(one, PHONE), "it is online at the other one");
        one.logout(PHONE);
        other.logout(PHONE);
        wait::for_truth("it is not online any more", PATIENCE, || !by_address(one, PHONE));
        assert_eq!(server.stop(), Some(0));
    }

    fn an_organisation_has_a_limit_of_sessions(house: House) {
        house.add_user("alice", "wonderland");
        house.add_user("bob", "builder");
        house.run(&["org", "set", "default", "--max-sessions", "1"]);
        let (server, gateways) = begin(&house, &[Family::Coova]);
        let [one] = &gateways[..] else { panic!("one") };
        assert!(one.login("alice", "wonderland", PHONE));
        assert!(!one.login("bob", "builder", LAPTOP));
        one.logout(PHONE);
        assert!(one.login("bob", "builder", LAPTOP));
        assert_eq!(server.stop(), Some(0));
    }

    fn a_condition_says_what_rows_cannot_and_chooses_the_plan(house: House) {
        house.add_user("alice", "wonderland");
        house.run(&["plan", "add", "office", "--role", "staff"]);
        house.run(&["plan", "add", "guests", "--role", "guests"]);
        house.run(&["group", "add", "office", "--org", "default"]);
        let refused = house.attempt(&["group", "set", "default-office", "--when", "nass == 'x'"]);
        assert_eq!(refused.code, Some(2));
        assert!(refused.err.contains("did you mean 'nas'"), "{}", refused.err);
        house.run(&["group", "set", "default-office", "--plan", "office", "--when", "nas_address == '127.0.4.10' && user.matches('^ali')"]);
        house.run(&["group", "set", "default-users", "--plan", "guests"]);
        house.run(&["user", "set", "alice", "--group", "default-office", "--group", "default-users"]);
        let (server, gateways) = begin(&house, &[Family::Aruba, Family::Aruba]);
        for (gateway, role) in gateways.iter().zip(["staff", "guests"]) {
            assert!(gateway.login("alice", "wonderland", PHONE));
            let given = gateway.online(PHONE).expect("it is online").given;
            assert_eq!(given.role.as_deref(), Some(role));
        }
        let said = house.run(&["explain", "alice", "--limit", "1"]);
        assert!(said.contains("does not hold"), "{said}");
        let list = house.run(&["group", "list"]);
        assert!(list.contains("when   nas_address =="), "{list}");
        assert_eq!(server.stop(), Some(0));
    }

    fn a_plan_that_is_taken_away_sends_its_people_away_once(house: House) {
        house.add_user("alice", "wonderland");
        house.add_user("bob", "builder");
        house.run(&["plan", "add", "gold", "--role", "fast"]);
        house.run(&["group", "set", "default-users", "--plan", "gold", "--remove", "Max-Daily-Session", "--remove", "Max-Daily-Session-Traffic"]);
        let (server, gateways) = begin(&house, &[Family::Coova, Family::Coova]);
        let [one, other] = &gateways[..] else { panic!("two") };
        assert!(one.login("alice", "wonderland", PHONE));
        house.sessions_once("she is online", |all| all.len() == 1);
        house.run(&["group", "set", "default-users", "--no-plan"]);
        wait::for_truth("she is sent away", PATIENCE, || one.online(PHONE).is_none());
        wait::for_truth("she comes in again", PATIENCE, || one.login("alice", "wonderland", PHONE));
        // Everybody is looked at, twice.
        for _ in 0..2 {
            assert!(other.login("bob", "builder", LAPTOP));
            house.sessions_once("he is online", |all| all.iter().any(|session| session["username"] == "bob" && session["stop_time"].is_null()));
            house.run(&["user", "disable", "bob"]);
            wait::for_truth("he is sent away", PATIENCE, || other.online(LAPTOP).is_none());
            house.run(&["user", "enable", "bob"]);
            wait::for_truth("he may come in", PATIENCE, || {
                let may = other.login("bob", "builder", LAPTOP);
                if may {
                    other.logout(LAPTOP);
                }
                may
            });
        }
        assert!(one.online(PHONE).is_some());
        assert_eq!(one.log().len(), 1, "{:?}", one.log());
        assert_eq!(server.stop(), Some(0));
    }

    fn a_device_that_left_before_it_is_reported_to_have_come_is_still_its_persons(house: House) {
        house.add_user("alice", "wonderland");
        house.run(&["org", "set", "default", "--mac-roaming", "yes"]);
        let (server, gateways) = begin(&house, &[Family::Aruba, Family::Hostapd]);
        let [one, other] = &gateways[..] else { panic!("two") };
        assert!(one.login("alice", "wonderland", PHONE));
        let spelled = other.spelled(PHONE);
        // The first one reports its end between the other's Access-Accept and its Start.
        assert!(other.login_before(&spelled, &spelled, PHONE, || one.logout(PHONE)));
        let sessions = house.sessions_once("both are known", |all| all.len() == 2);
        assert!(sessions.iter().all(|session| session["membership"] == sessions[0]["membership"] && !session["membership"].is_null()), "{sessions:#?}");
        assert_eq!(server.stop(), Some(0));
    }
}

/// What one node counts the other one knows.
#[test]
fn two_nodes_count_together() {
    let house = House::new(kernel::Engine::Postgres);
    house.add_user("alice", "wonderland");
    house.run(&[
        "group",
        "set",
        "default-users",
        "Max-Daily-Session := 600",
        "Simultaneous-Use := 1",
    ]);
    let (server, gateways) = begin(&house, &[Family::Coova]);
    let one = &gateways[0];
    let second = House::over(house.database().expect("an address"));
    let keys = second.folder().join("keys");
    std::fs::copy(house.folder().join("keys"), keys).expect("the ring can be copied");
    let other_server = second.start();
    let nas = gatewarden_tests::nas::Nas::at(&other_server, one.address, SECRET);
    let enters_there = || {
        let mut question = nas.pap("alice", "wonderland");
        question.put_text(radius_wire::attrs::CALLING_STATION_ID, "02-00-00-00-00-02");
        nas.ask(question).code() == Code::ACCESS_ACCEPT
    };
    assert!(enters_there());
    assert!(one.login("alice", "wonderland", PHONE));
    let limit = Duration::from_secs(60);
    wait::for_truth("her session is known there", limit, || !enters_there());
    one.uses(PHONE, 700, 0, 0);
    wait::for_truth("she is cut off", PATIENCE, || one.online(PHONE).is_none());
    wait::for_truth("what she used is known there", limit, || {
        !enters_there()
            && second
                .run(&["explain", "alice", "--limit", "1"])
                .contains("quota_spent")
    });
    assert_eq!((other_server.stop(), server.stop()), (Some(0), Some(0)));
}

/// FreeRADIUS in the place of a gateway: another's hand has to take what is sent.
#[test]
fn freeradius_takes_disconnects_and_changes() {
    let rival = gatewarden_tests::rival::Rival::start(SECRET, "");
    let house = House::new(kernel::Engine::Sqlite);
    let port = rival.control.port().to_string();
    house.run(&[
        "nas",
        "add",
        "127.0.0.1",
        "--org",
        "default",
        "--secret",
        SECRET,
        "--family",
        "mikrotik",
        "--coa-port",
        &port,
    ]);
    house.run(&["plan", "add", "gold", "--rate-down", "10M"]);
    house.run(&["group", "set", "default-users", "--plan", "gold"]);
    for user in ["alice", "mallory"] {
        house.add_user(user, "wonderland");
    }
    let server = house.start_with(&[], "[radius]\nsession_order_wait_ms = 500\n");
    let nas = gatewarden_tests::nas::Nas::of(&server);
    for user in ["alice", "mallory"] {
        assert_eq!(
            nas.ask(nas.pap(user, "wonderland")).code(),
            Code::ACCESS_ACCEPT
        );
        let start = radius_wire::attrs::acct_status_type::START;
        let mut report = nas.report(start, user, user);
        report.put(
            radius_wire::attrs::FRAMED_IP_ADDRESS,
            Ipv4Addr::new(10, 0, 0, 7),
        );
        nas.ask(report);
    }
    house.sessions_once("both are online", |all| all.len() == 2);
    house.run(&["plan", "set", "gold", "--rate-down", "5M"]);
    let outcomes = || {
        let orders = house.json(&["session", "orders", "--json"]);
        let mut outcomes: Vec<String> = orders
            .as_array()
            .expect("an array")
            .iter()
            .map(|order| format!("{} {}", order["kind"], order["outcome"]).replace('"', ""))
            .collect();
        outcomes.sort();
        outcomes
    };
    // One goes on with another rate, the other is not known there, and is closed.
    wait::for_truth("both were asked", PATIENCE, || {
        outcomes() == ["change ack", "change gone"]
    });
    let killed = house.attempt(&["session", "kill", "alice"]);
    assert_eq!(killed.code, Some(0), "{}{}", killed.out, killed.err);
    assert!(killed.out.contains("ACK from 127.0.0.1"), "{}", killed.out);
    nobody_is_online(&house);
    assert_eq!(server.stop(), Some(0));
}
