//! Many people at once: a file is checked whole, imported in chunks, resumed or taken back.

use gatewarden_tests::house::House;
use gatewarden_tests::lasting::peak_kib;
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

/// A file of rows that are long, so that an import which kept them would be seen to.
fn long_rows(house: &House, name: &str, rows: u64) -> String {
    // Four octets each.
    let (first, last) = ("\u{1d4b6}".repeat(140), "\u{1d4b7}".repeat(140));
    let row = |at: u64| {
        format!(
            "{name}{at:06},nt:8846f7eaee8fb117ad06bdd830b7586c,{name}{at:06}@example.org,{first},{last}\n"
        )
    };
    let rows: String = (0..rows).map(row).collect();
    let text = format!("username,password,email,first_name,last_name\n{rows}");
    house.file(&format!("{name}.csv"), &text)
}

/// The most memory that a command used, in KiB.
fn peak_of(house: &House, arguments: &[&str]) -> u64 {
    let mut child = house
        .command(arguments)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("the binary can be started");
    let mut peak = 0;
    let ended = gatewarden_tests::wait::until(std::time::Duration::from_secs(120), || {
        peak = peak_kib(child.id()).unwrap_or(0).max(peak);
        child.try_wait().expect("the command can be waited for")
    });
    if ended.is_none() {
        let _ = child.kill();
    }
    assert!(ended.is_some_and(|ended| ended.success()), "{arguments:?}");
    peak
}

on_both_engines! {
    /// Each name leaves a digest, 40 octets at most; of a row itself, 1,200 octets here, nothing stays.
    fn an_import_does_not_keep_the_rows_of_its_file(house: House) {
        /// Rows of either file.
        const ROWS: [u64; 2] = [2_000, 22_000];
        /// What SQLite's writer may keep of the database's pages.
        const PAGES_KIB: u64 = 64 * 1024;
        /// What allocators and threads make of the same work in two runs.
        const SLACK_KIB: u64 = 12 * 1024;
        const { assert!((ROWS[1] - ROWS[0]) * 1_200 / 1024 > SLACK_KIB + 8 * 1024) };
        house.add_nas();
        let files = [("few", ROWS[0]), ("many", ROWS[1])].map(|(name, rows)| long_rows(&house, name, rows));
        let peaks = |more: &[&str]| {
            let peak = |file: &String| peak_of(&house, &[&["user", "import", file, "--org", "default"], more].concat());
            [peak(&files[0]), peak(&files[1])]
        };
        let names = (ROWS[1] - ROWS[0]) * 2 * 40 / 1024;
        let [few, many] = peaks(&["--check"]);
        assert!(many < few + names + SLACK_KIB, "a check of more rows takes {many} KiB instead of {few}");
        let pages = if house.database().is_none() { PAGES_KIB } else { 0 };
        let [few, many] = peaks(&[]);
        assert!(many < few + names + pages + SLACK_KIB, "an import of more rows takes {many} KiB instead of {few}");
    }
}
