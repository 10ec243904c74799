//! Many people at once: a file is checked whole, imported in chunks, resumed or taken back.

use gatewarden_tests::house::House;
use gatewarden_tests::nas::Nas;
use gatewarden_tests::on_both_engines;
use radius_wire::{Code, attrs};

fn verdict(nas: &Nas, user: &str, password: &str) -> Code {
    nas.ask(nas.pap(user, password)).code()
}

on_both_engines! {
    fn imported_people_log_in_at_once(house: House) {
        house.add_nas();
        let file = house.file(
            "users.csv",
            "username,password,email,first_name,last_name,Session-Timeout\n\
             anna,pass-of-anna,anna@example.org,Anna,A,1200\n\
             berta,\"pass,with comma\",,Berta,,\n\
             carl,nt:8846f7eaee8fb117ad06bdd830b7586c,,Carl,,\n",
        );
        let server = house.start();
        let nas = Nas::of(&server);
        house.run(&["user", "import", &file, "--org", "default", "--store", "recoverable"]);
        gatewarden_tests::wait::for_truth("anna is accepted", std::time::Duration::from_secs(10), || {
            verdict(&nas, "anna", "pass-of-anna") == Code::ACCESS_ACCEPT
        });
        assert_eq!(verdict(&nas, "berta", "pass,with comma"), Code::ACCESS_ACCEPT);
        assert_eq!(verdict(&nas, "carl", "password"), Code::ACCESS_ACCEPT, "the NT hash of 'password'");
        let answer = nas.ask(nas.pap("anna", "pass-of-anna"));
        assert_eq!(answer.integer(attrs::SESSION_TIMEOUT), Some(1200), "attribute columns are her own replies");
    }
}

#[test]
fn one_bad_line_and_nothing_is_imported() {
    let house = House::with_nas();
    let file = house.file(
        "users.csv",
        "username,password,email\nanna,pass-of-anna,anna@example.org\n,no-name,\nberta,pass-of-berta,not-an-address\n",
    );
    let said = house.attempt(&["user", "import", &file, "--org", "default"]);
    assert_ne!(said.code, Some(0));
    for expect in ["3", "username", "4", "email"] {
        assert!(
            said.err.contains(expect),
            "line, column and reason: {}",
            said.err
        );
    }
    let listed = house.run(&["user", "list", "--json"]);
    assert!(!listed.contains("anna"), "{listed}");
    house.run(&["user", "import", &file, "--org", "default", "--skip-bad"]);
    let listed = house.run(&["user", "list", "--json"]);
    assert!(
        listed.contains("anna") && !listed.contains("berta"),
        "{listed}"
    );
}

/// OpenWISP's five columns, without a header row.
#[test]
fn a_file_without_header_has_five_columns() {
    let house = House::with_nas();
    let file = house.file(
        "users.csv",
        "anna,cleartext$pass-of-anna,anna@example.org,Anna,A\nberta,pass-of-berta,berta@example.org,Berta,B\n",
    );
    house.run(&[
        "user",
        "import",
        &file,
        "--org",
        "default",
        "--store",
        "recoverable",
    ]);
    let server = house.start();
    let nas = Nas::of(&server);
    assert_eq!(verdict(&nas, "anna", "pass-of-anna"), Code::ACCESS_ACCEPT);
    assert_eq!(verdict(&nas, "berta", "pass-of-berta"), Code::ACCESS_ACCEPT);
}

/// Hashing many passwords takes its time; logging in does not wait for it.
#[test]
fn people_log_in_before_and_after_their_password_is_hashed() {
    let house = House::with_nas();
    let rows: String = (0..6).map(|n| format!("user{n},password-{n}\n")).collect();
    let file = house.file("users.csv", &format!("username,password\n{rows}"));
    house.run(&["user", "import", &file, "--org", "default"]);
    let server = house.start();
    let nas = Nas::of(&server);
    for round in 0..2 {
        for n in 0..6 {
            let code = verdict(&nas, &format!("user{n}"), &format!("password-{n}"));
            assert_eq!(code, Code::ACCESS_ACCEPT, "user{n}, round {round}");
        }
        gatewarden_tests::wait::for_truth(
            "all are hashed",
            std::time::Duration::from_secs(20),
            || !house.run(&["user", "list", "--json"]).contains("pending"),
        );
    }
}
