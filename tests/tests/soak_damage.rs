//! A journal that is damaged when a server starts: it says where and what to do, and changes nothing; `journal salvage`
//! keeps every record that is whole and names those that are lost; then the server starts and applies the rest.

use gatewarden_tests::house::{House, Said, Server};
use gatewarden_tests::nas::Nas;
use gatewarden_tests::traffic::{PASSWORD, USER};
use gatewarden_tests::{lasting, wait};
use kernel::Engine;
use radius_wire::attrs;
use radius_wire::attrs::acct_status_type::START;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Reports in the journal that the database lacks.
const REPORTS: usize = 60;
const APPLIED_WITHIN: Duration = Duration::from_secs(60);
/// A start that is refused ends by itself.
const REFUSED_WITHIN: Duration = Duration::from_secs(60);

fn name(number: usize) -> String {
    format!("J{number:03}")
}

/// Each alone in a batch of its own, so that damage in the middle is known not to be the end of the last write.
fn report(nas: &Nas, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let mut report = nas.report(START, &name(number), USER);
        report.put(attrs::NAS_IP_ADDRESS, [127, 0, 0, 1].into());
        nas.ask(report);
    }
}

/// A house whose journal holds reports that the database does not have.
fn house_with_a_backlog() -> House {
    let house = House::new(Engine::Postgres);
    house.add_nas();
    house.add_unlimited_user(USER, PASSWORD);
    let server = house.start();
    house.set_database_reachable(false);
    let nas = Nas::of(&server);
    report(&nas, 0..REPORTS / 2);
    // A write that fails ends a segment.
    limit(&server, "1");
    let mut lost = nas.report(START, "never", USER);
    lost.put(attrs::NAS_IP_ADDRESS, [127, 0, 0, 1].into());
    let sealed = lost.seal(true).expect("it fits");
    nas.send(nas.acct(), sealed.octets());
    wait::for_truth("a write fails", APPLIED_WITHIN, || {
        server.log().contains("records are not being stored")
    });
    limit(&server, "unlimited");
    report(&nas, REPORTS / 2..REPORTS);
    server.kill();
    house.set_database_reachable(true);
    house
}

fn limit(server: &Server, octets: &str) {
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &server.id().to_string()]);
    let done = prlimit.arg(format!("--fsize={octets}:")).status();
    assert!(done.is_ok_and(|status| status.success()), "a limit is set");
}

fn segments(house: &House) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(house.folder().join("journal")).expect("a folder");
    let mut files: Vec<PathBuf> = folder
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "seg"))
        .collect();
    files.sort();
    files
}

/// A start that must be refused: what it said.
fn refused(house: &House) -> Said {
    let mut command = house.command(&[
        "serve",
        "--http",
        "",
        "--auth-port",
        "0",
        "--acct-port",
        "0",
    ]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the binary");
    let ended = wait::until(REFUSED_WITHIN, || child.try_wait().ok().flatten());
    let _ = child.kill();
    let output = child.wait_with_output().expect("it ran");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(ended.is_some(), "it does not refuse:\n{err}");
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err,
    }
}

/// Damages, refuses, salvages, starts, and compares what is there with what is said to be lost.
fn is_salvaged(house: &House, damage: impl FnOnce(&[PathBuf]) -> PathBuf) -> BTreeSet<usize> {
    let files = segments(house);
    assert!(files.len() >= 2, "{files:?}");
    let damaged = damage(&files);
    let after: Vec<Option<Vec<u8>>> = files.iter().map(|file| std::fs::read(file).ok()).collect();

    let said = refused(house);
    assert_eq!(said.code, Some(1), "{}", said.err);
    let errors: Vec<&str> = said
        .err
        .lines()
        .filter(|line| line.starts_with("error:"))
        .collect();
    assert_eq!(errors.len(), 1, "one clear message: {}", said.err);
    for part in [
        "damaged at byte",
        "journal salvage",
        "Nothing was changed",
        ".seg",
    ] {
        assert!(errors[0].contains(part), "'{part}': {}", errors[0]);
    }
    let now: Vec<Option<Vec<u8>>> = files.iter().map(|file| std::fs::read(file).ok()).collect();
    assert!(after == now, "nothing was changed");
    assert_eq!(house.attempt(&["journal", "check"]).code, Some(1));

    let told = house.json(&["journal", "salvage", "--json"]);
    let lost: BTreeSet<usize> = told["lost"]
        .as_array()
        .into_iter()
        .flatten()
        .inspect(|gap| assert_eq!(gap["is_applied"], false, "{gap}"))
        .flat_map(|gap| {
            let number = |field: &str| gap[field].as_u64().expect("a position") as usize;
            number("from")..=number("to")
        })
        .collect();
    assert!(!lost.is_empty(), "{told}");
    let copy = damaged.with_extension("seg.damaged");
    assert!(copy.is_file() || !damaged.is_file(), "{}", copy.display());
    house.run(&["journal", "check"]);

    let server = house.start();
    // Position 1 is the first report.
    let wanted: BTreeSet<String> = (0..REPORTS)
        .filter(|number| !lost.contains(&(number + 1)))
        .map(name)
        .collect();
    let mut found = BTreeSet::new();
    let right = wait::until(APPLIED_WITHIN, || {
        let session = |row: &Json| row["session_id"].as_str().unwrap_or_default().to_owned();
        found = house.sessions().iter().map(session).collect();
        (found == wanted).then_some(())
    });
    assert!(
        right.is_some(),
        "lost {lost:?}, wanted {wanted:?}, found {found:?}"
    );
    report(&Nas::of(&server), REPORTS..REPORTS + 1);
    house.sessions_once("new reports are applied", |all| {
        all.len() == wanted.len() + 1
    });
    assert_eq!(server.stop(), Some(0));
    lost
}

#[test]
fn octets_turned_over_in_a_segment_cost_the_records_that_they_are_in() {
    for try_ in lasting::seeds(1, 20) {
        let house = house_with_a_backlog();
        let lost = is_salvaged(&house, |files| {
            let mut octets = std::fs::read(&files[0]).expect("a segment");
            // Anywhere behind the header and before the last record.
            let at = 100 + (try_ as usize * 7_919 + 2_000) % (octets.len() - 600);
            octets[at] ^= 0xff;
            octets[at + 3] ^= 0x55;
            std::fs::write(&files[0], octets).expect("written");
            files[0].clone()
        });
        assert!(lost.len() <= 2, "seed {try_}: {lost:?}");
    }
}

#[test]
fn a_segment_that_is_cut_costs_what_is_cut_off() {
    for try_ in lasting::seeds(1, 20) {
        let house = house_with_a_backlog();
        is_salvaged(&house, |files| {
            let length = std::fs::metadata(&files[0]).expect("a segment").len();
            let keep = 100 + (try_ * 7_919 + length / 2) % (length - 200);
            let file = std::fs::File::options().write(true).open(&files[0]);
            file.and_then(|file| file.set_len(keep)).expect("it is cut");
            files[0].clone()
        });
    }
}

#[test]
fn a_journal_that_lost_its_end_while_nobody_ran_is_told_of() {
    let house = House::with_nas();
    house.add_unlimited_user(USER, PASSWORD);
    let server = house.start();
    report(&Nas::of(&server), 0..10);
    assert_eq!(server.stop(), Some(0));
    let database = house.folder().join("gatewarden.db");
    let files = segments(&house);
    let file = std::fs::File::options()
        .write(true)
        .open(&files[0])
        .expect("a segment");
    let length = file.metadata().expect("a segment").len();
    file.set_len(length - 300).expect("it is cut");
    // The database has them: nothing is missing, and new reports do not count as applied.
    let server = house.start();
    assert!(
        server.log().contains("older than the database"),
        "{}",
        server.log()
    );
    report(&Nas::of(&server), 10..12);
    house.sessions_once("all of them", |all| all.len() == 12);
    assert_eq!(server.stop(), Some(0));
    assert!(database.is_file());
}
