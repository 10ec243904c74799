//! Organisations side by side on one server.

use gatewarden_tests::house::House;
use gatewarden_tests::nas::Nas;
use gatewarden_tests::on_both_engines;
use radius_wire::attrs::acct_status_type::START;
use radius_wire::{Code, attrs};
use std::net::IpAddr;

fn loopback(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

fn verdict(nas: &Nas, user: &str, password: &str) -> Code {
    nas.ask(nas.pap(user, password)).code()
}

on_both_engines! {
    /// Two providers with namespaces of their own both have an alice. Which one it is, the NAS tells.
    fn the_same_name_is_two_people_behind_two_nases(house: House) {
        for (slug, address, password) in [("north", "127.0.0.11", "n-secret"), ("south", "127.0.0.12", "s-secret")] {
            house.run(&["org", "add", slug, "--namespace", "own"]);
            house.run(&["nas", "add", address, "--org", slug, "--secret", "testing123"]);
            house.run(&["user", "add", "alice", "--org", slug, "--password", password, "--store", "recoverable"]);
        }
        let server = house.start();
        let north = Nas::at(&server, loopback(11), "testing123");
        let south = Nas::at(&server, loopback(12), "testing123");
        assert_eq!(verdict(&north, "alice", "n-secret"), Code::ACCESS_ACCEPT);
        assert_eq!(verdict(&south, "alice", "s-secret"), Code::ACCESS_ACCEPT);
        assert_eq!(verdict(&north, "alice", "s-secret"), Code::ACCESS_REJECT);
        assert_eq!(verdict(&south, "alice", "n-secret"), Code::ACCESS_REJECT);

        // The same session id from both is two sessions, each of its own organisation.
        for nas in [&north, &south] {
            assert_eq!(nas.ask(nas.report(START, "S1", "alice")).code(), Code::ACCOUNTING_RESPONSE);
        }
        let sessions = house.sessions_once("two sessions", |all| all.len() == 2);
        assert_ne!(sessions[0]["organization"], sessions[1]["organization"]);
        assert_ne!(sessions[0]["unique_id"], sessions[1]["unique_id"]);
    }
}

#[test]
fn in_the_shared_namespace_a_name_is_taken_once() {
    let house = House::new(kernel::Engine::Sqlite);
    for slug in ["east", "west"] {
        house.run(&["org", "add", slug]);
    }
    let add = |slug: &str| {
        house.attempt(&[
            "user",
            "add",
            "alice",
            "--org",
            slug,
            "--password",
            "x-y-z-x-y-z",
        ])
    };
    assert_eq!(add("east").code, Some(0));
    let again = add("west");
    assert_ne!(again.code, Some(0));
    assert!(
        again.err.contains("alice") && again.err.contains("exists"),
        "{}",
        again.err
    );
}

#[test]
fn a_person_of_another_organisation_is_no_member_here() {
    let house = House::with_nas();
    house.run(&["org", "add", "east"]);
    house.run(&[
        "user",
        "add",
        "bob",
        "--org",
        "east",
        "--password",
        "wonderland",
        "--store",
        "recoverable",
    ]);
    let server = house.start();
    let nas = Nas::of(&server);
    assert_eq!(verdict(&nas, "bob", "wonderland"), Code::ACCESS_REJECT);
}

/// Behind NAT all have one address: NAS-Identifier tells them apart, and each has a secret of its own.
#[test]
fn nases_behind_one_address_are_told_apart_by_their_identifier() {
    let house = House::new(kernel::Engine::Sqlite);
    for (slug, identifier, secret) in [
        ("north", "ap-north", "secret-of-north"),
        ("south", "ap-south", "secret-of-south"),
    ] {
        house.run(&["org", "add", slug, "--namespace", "own"]);
        house.run(&["nas", "add", identifier, "--org", slug, "--secret", secret]);
        house.run(&[
            "user",
            "add",
            "alice",
            "--org",
            slug,
            "--password",
            slug,
            "--store",
            "recoverable",
        ]);
    }
    let server = house.start();
    for (slug, identifier, secret) in [
        ("north", "ap-north", "secret-of-north"),
        ("south", "ap-south", "secret-of-south"),
    ] {
        let nas = Nas::at(&server, loopback(1), secret);
        let mut question = nas.pap("alice", slug);
        question.put_text(attrs::NAS_IDENTIFIER, identifier);
        assert_eq!(nas.ask(question).code(), Code::ACCESS_ACCEPT, "{slug}");
    }
}

#[test]
fn the_longest_prefix_wins() {
    let house = House::with_nas();
    house.run(&["org", "add", "north", "--namespace", "own"]);
    house.run(&[
        "nas",
        "add",
        "127.0.0.8/30",
        "--org",
        "north",
        "--secret",
        "another-secret",
    ]);
    house.run(&[
        "user",
        "add",
        "alice",
        "--org",
        "north",
        "--password",
        "north",
        "--store",
        "recoverable",
    ]);
    house.add_user("alice", "default");
    let server = house.start();
    assert_eq!(
        verdict(
            &Nas::at(&server, loopback(9), "another-secret"),
            "alice",
            "north"
        ),
        Code::ACCESS_ACCEPT
    );
    assert_eq!(
        verdict(&Nas::of(&server), "alice", "default"),
        Code::ACCESS_ACCEPT
    );
}
