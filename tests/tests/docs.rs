//! Pages under `docs/` that are made from code. `GATEWARDEN_WRITE_DOCS=1` writes them; otherwise a page that differs
//! fails.

use gatewarden_tests::{conformance, source};
use std::collections::BTreeSet;

fn is_current(path: &str, text: &str) {
    let whole = source::root().join(path);
    if std::env::var_os("GATEWARDEN_WRITE_DOCS").is_some() {
        std::fs::write(&whole, text).unwrap_or_else(|e| panic!("{path}: {e}"));
    }
    let found = std::fs::read_to_string(&whole).unwrap_or_default();
    let differs = found
        .lines()
        .zip(text.lines())
        .position(|(found, text)| found != text);
    assert!(
        found == text,
        "{path} is not what the code says (line {}): run GATEWARDEN_WRITE_DOCS=1 ./test docs",
        differs.unwrap_or(found.lines().count().min(text.lines().count())) + 1
    );
}

#[test]
fn docs_words_is_current() {
    is_current("docs/words.md", &access::word::markdown());
}

#[test]
fn docs_conformance_is_current() {
    is_current("docs/conformance.md", &conformance::markdown());
}

/// The names of all functions under test that the repository has.
fn test_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, text) in source::rust() {
        let is_test_file = text.contains("#[test]")
            || text.contains("#[tokio::test")
            || text.contains("on_both_engines!");
        if !is_test_file {
            continue;
        }
        for line in text.lines() {
            let line = line.trim_start();
            let line = line.strip_prefix("async ").unwrap_or(line);
            if let Some(name) = line
                .strip_prefix("fn ")
                .and_then(|rest| rest.split(['(', '<']).next())
            {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

#[test]
fn docs_conformance_names_tests_that_exist() {
    let names = test_names();
    assert!(names.len() > 300, "{}", names.len());
    let promised = conformance::PROMISES
        .iter()
        .flat_map(|promise| promise.tests.iter().copied());
    let vectors = conformance::VECTORS.iter().map(|(_, test)| *test);
    let missing: BTreeSet<&str> = promised
        .chain(vectors)
        .filter(|test| !names.contains(*test))
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}
