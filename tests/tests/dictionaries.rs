//! Dictionaries of an installed FreeRADIUS: users bring their own files, so whatever Debian ships must load.

use radius_wire::dictionary::{Dictionary, debian_dictionaries_load_whole};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const FOLDER: &str = "/usr/share/freeradius";

fn installed() -> &'static Path {
    let folder = Path::new(FOLDER);
    assert!(
        folder.is_dir(),
        "{FOLDER} is not there: run ./test, which installs FreeRADIUS"
    );
    folder
}

fn every_file() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(installed())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("dictionary"))
        })
        .collect();
    files.sort();
    files
}

/// Counted by hand with other tools.
#[test]
fn the_whole_tree_loads_without_a_warning() {
    let counts = debian_dictionaries_load_whole(installed()).unwrap();
    assert_eq!(counts.files, 225);
    assert_eq!(counts.attributes, 7_468);
    assert_eq!(counts.vendor_attributes, 6_686);
    assert_eq!(counts.vendors, 185);
}

/// What files lean on without naming it: the attributes that RFCs define, as far as the root file has them.
fn standard_lines() -> String {
    let root = std::fs::read_to_string(installed().join("dictionary")).unwrap();
    let is_standard = |line: &&str| {
        let file = line.strip_prefix("$INCLUDE").map(str::trim);
        file.is_some_and(|file| {
            file.starts_with("dictionary.rfc") || file == "dictionary.freeradius"
        })
    };
    root.lines()
        .filter(is_standard)
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Every file is read after what it leans on, those too that the root leaves out (other protocols, and vendors that
/// contradict each other).
#[test]
fn each_file_is_understood() {
    let files = every_file();
    assert_eq!(files.len(), 237);
    let standard = standard_lines();
    let mut refused = Vec::new();
    for file in &files {
        let root = installed().join("root-of-this-test");
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        // The old names are of control attributes, too.
        let control = if name == "dictionary.compat" {
            "$INCLUDE dictionary.freeradius.internal\n"
        } else {
            ""
        };
        let lines = format!("{standard}{control}$INCLUDE {name}\n");
        let loaded = Dictionary::load_with(&root, &mut |path| match path == root {
            true => Ok(lines.clone()),
            false => std::fs::read_to_string(path),
        });
        match loaded {
            Ok(dictionary) => assert!(
                dictionary.files().iter().any(|read| read == file),
                "{name} was not read"
            ),
            Err(fault) => refused.push((name.into_owned(), fault.to_string())),
        }
    }
    assert_eq!(refused, Vec::<(String, String)>::new());
}

/// 147 numbers have two names there; what is decoded must have the standard one.
#[test]
fn the_standard_name_wins_over_the_old_one() {
    let dictionary = Dictionary::load_dir(installed()).unwrap();
    for (number, name) in [
        (4, "NAS-IP-Address"),
        (2, "User-Password"),
        (1, "User-Name"),
        (40, "Acct-Status-Type"),
    ] {
        assert_eq!(
            dictionary.standard(number).map(|found| found.name()),
            Some(name)
        );
    }
    assert_eq!(
        dictionary
            .attribute("Client-Id")
            .map(|found| found.number()),
        Some(4)
    );
}

/// What both know, both must know alike: number, type, tag and hiding.
#[test]
fn our_own_files_agree_with_theirs() {
    let theirs = Dictionary::load_dir(installed()).unwrap();
    let ours = Dictionary::builtin();
    let mut compared = 0;
    let mut different = BTreeSet::new();
    for attribute in ours.attributes() {
        // Control attributes have numbers of their own in each server.
        let Some(other) = theirs
            .attribute(attribute.name())
            .filter(|other| other.is_on_wire())
        else {
            continue;
        };
        if !attribute.is_on_wire() {
            continue;
        }
        compared += 1;
        // RFC 5090 gave Digest-Response a number of its own; the installed file has that of the RFC before.
        if attribute.name() == "Digest-Response" {
            continue;
        }
        if attribute.path() != other.path() {
            different.insert(format!(
                "{}: {:?} here, {:?} there",
                attribute.name(),
                attribute.path(),
                other.path()
            ));
        } else if attribute.hide() != other.hide()
            || attribute.flags().tagged != other.flags().tagged
        {
            different.insert(format!("{}: flags", attribute.name()));
        }
    }
    assert!(compared > 500, "{compared}");
    assert!(different.is_empty(), "{different:#?}");
}
