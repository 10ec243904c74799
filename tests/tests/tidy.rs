//! Reads the source: rules that a compiler does not know.

use gatewarden_tests::source;
use std::collections::BTreeSet;

/// No file is longer than this.
const MAX_LINES: usize = 600;
/// Where rules and tables live: no output, no clock of their own.
const QUIET: [&str; 8] = [
    "crates/radius-wire/src",
    "crates/proof/src",
    "crates/kernel/src",
    "crates/journal/src",
    "crates/identity/src",
    "crates/usage/src",
    "crates/access/src",
    "crates/enrol/src",
];
/// The one file below the doors that reads the time.
const CLOCK: &str = "crates/kernel/src/clock.rs";
/// Pure code: not even the time that passes is its business.
const WIRES: [&str; 2] = ["crates/radius-wire/", "crates/proof/"];
/// Who may wait for time to pass in tests: the one place that polls.
const WAITING: &str = "tests/src/wait.rs";

/// The text without comments and without the tests at its end.
fn code(text: &str) -> String {
    let code = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    code.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Every place where a file breaks a rule, as `file:line`.
fn places(
    is_meant: impl Fn(&str) -> bool,
    breaks: impl Fn(&str, &str) -> bool,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, text) in source::rust() {
        // This file names what it forbids.
        if path.ends_with("tests/tidy.rs") || !is_meant(&path) {
            continue;
        }
        let code = code(&text);
        for (index, line) in code.lines().enumerate() {
            if breaks(&path, line) {
                found.insert(format!("{path}:{}", index + 1));
            }
        }
    }
    found
}

fn none(rule: &str, found: &BTreeSet<String>) {
    assert!(found.is_empty(), "{rule}: {found:#?}");
}

fn is_quiet(path: &str) -> bool {
    QUIET.iter().any(|folder| path.starts_with(folder)) && !is_test(path)
}

/// A room's tests lie beside what they test.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("/testing.rs") || path.contains("/tests/")
}

fn is_product(path: &str) -> bool {
    !path.starts_with("tests/") && !path.starts_with("benches/") && !is_test(path)
}

#[test]
fn no_file_is_too_long() {
    let long: BTreeSet<String> = source::rust()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    none("one thought a file", &long);
}

#[test]
fn no_test_is_switched_off_and_nothing_is_left_for_later() {
    let found = places(
        |_| true,
        |_, line| {
            let words = ["#[ignore", "todo!(", "unimplemented!(", "dbg!("];
            words.iter().any(|word| line.contains(word))
        },
    );
    none("done or not there", &found);
}

#[test]
fn rooms_print_nothing_and_read_no_clock() {
    let found = places(is_quiet, |path, line| {
        let prints = ["println!(", "print!(", "eprintln!(", "eprint!("]
            .iter()
            .any(|word| line.contains(word));
        let reads = ["SystemTime::now(", "Utc::now("]
            .iter()
            .any(|word| line.contains(word))
            && path != CLOCK;
        let measures =
            line.contains("Instant::now(") && WIRES.iter().any(|wire| path.starts_with(wire));
        prints || reads || measures
    });
    none("rooms are told the time and tell the log", &found);
}

#[test]
fn sql_stands_in_statement_lists() {
    let with_lists: BTreeSet<String> = source::rust()
        .into_iter()
        .filter(|(_, text)| text.contains("statements! {"))
        .map(|(path, _)| path)
        .collect();
    let found = places(is_product, |path, line| {
        let words = ["\"SELECT ", "INSERT INTO ", "DELETE FROM ", "ON CONFLICT ("];
        let update = line.contains("UPDATE ") && line.contains(" SET ");
        let is_sql = update || words.iter().any(|word| line.contains(word));
        is_sql && !with_lists.contains(path)
    });
    none("a test prepares what is in a list, on both engines", &found);
    let doors = ["aaa-server/", "mgmt-api/", "captive/", "gatewarden/"];
    let at_doors: Vec<&String> = with_lists
        .iter()
        .filter(|path| doors.iter().any(|d| path.starts_with(d)))
        .collect();
    assert!(at_doors.is_empty(), "doors know no SQL: {at_doors:?}");
}

#[test]
fn nothing_is_called_after_nothing() {
    let names = [
        "utils.rs",
        "util.rs",
        "common.rs",
        "helpers.rs",
        "helper.rs",
        "manager.rs",
        "misc.rs",
    ];
    let found: BTreeSet<String> = source::rust()
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| names.iter().any(|name| path.ends_with(&format!("/{name}"))))
        .collect();
    none("a file is named for its thought", &found);
}

#[test]
fn every_file_says_what_it_is() {
    let found: BTreeSet<String> = source::rust()
        .into_iter()
        .filter(|(_, text)| {
            !text
                .lines()
                .take(3)
                .any(|line| line.starts_with("//!") || line.starts_with("#![doc"))
        })
        .map(|(path, _)| path)
        // Tests say it in the file that they test.
        .filter(|path| !path.ends_with("build.rs") && !path.ends_with("/tests.rs"))
        .collect();
    none("module docs", &found);
}

#[test]
fn tests_wait_for_something_and_never_for_time() {
    let found: BTreeSet<String> = source::files("tests", "rs")
        .into_iter()
        .filter(|(path, text)| {
            !path.ends_with("tests/tidy.rs")
                && path != WAITING
                && (text.contains("thread::sleep(") || text.contains("time::sleep("))
        })
        .map(|(path, _)| path)
        .collect();
    none("poll a condition", &found);
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    let manifest = source::text("Cargo.toml");
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    for folder in source::CRATE_FOLDERS {
        for (path, text) in source::files(folder, "toml") {
            // The fuzz targets are a workspace of their own, for another toolchain.
            let is_manifest = path.ends_with("Cargo.toml") && !path.starts_with("fuzz/");
            assert!(
                !is_manifest || text.contains("[lints]\nworkspace = true"),
                "{path} leaves the lints out"
            );
        }
    }
}
