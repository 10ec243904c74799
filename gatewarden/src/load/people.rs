//! Whose logins and sessions are simulated: names from a pattern, or from a file.
//!
//! Everything that depends on a user alone is made before the first packet.

use crate::failure::Failure;
use std::path::Path;

/// Users are kept in memory, some 150 octets each.
const MAX_PEOPLE: u32 = 5_000_000;
/// Room for a name in a question.
pub(super) const MAX_NAME_OCTETS: usize = 63;
/// Room for a password in a question: four blocks of User-Password.
pub(super) const MAX_PASSWORD_OCTETS: usize = 64;

/// One user.
pub(super) struct Person {
    pub name: Box<[u8]>,
    pub password: Box<[u8]>,
    /// For MS-CHAPv2; zeros where that is not asked.
    pub nt_hash: [u8; 16],
}

/// A text that may hold a number, as in `user%06d`.
pub(super) struct Pattern {
    before: String,
    /// Digits at least, with zeros in front; `None` where there is no number.
    width: Option<usize>,
    after: String,
}

impl Pattern {
    /// # Errors
    /// One sentence.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some((before, rest)) = text.split_once('%') else {
            return Ok(Self {
                before: text.to_owned(),
                width: None,
                after: String::new(),
            });
        };
        let wrong = || {
            format!("'{text}': a pattern holds one number, written %d or, with six digits, %06d")
        };
        let (digits, after) = rest.split_once('d').ok_or_else(wrong)?;
        let width = match digits.strip_prefix('0') {
            None if digits.is_empty() => 0,
            Some(width) => width.parse().ok().filter(|w| *w <= 20).ok_or_else(wrong)?,
            None => return Err(wrong()),
        };
        if after.contains('%') {
            return Err(wrong());
        }
        Ok(Self {
            before: before.to_owned(),
            width: Some(width),
            after: after.to_owned(),
        })
    }

    pub(super) fn has_number(&self) -> bool {
        self.width.is_some()
    }

    pub(super) fn text(&self, number: u64) -> String {
        match self.width {
            None => self.before.clone(),
            Some(width) => format!("{}{number:0width$}{}", self.before, self.after),
        }
    }
}

/// Users by pattern: `count` of them, numbered from `first`.
pub(super) fn from_pattern(
    name: &str,
    password: &str,
    first: u32,
    count: u32,
    with_nt_hash: bool,
) -> Result<Vec<Person>, Failure> {
    let name = Pattern::parse(name).map_err(|e| Failure::usage(format!("--user {e}")))?;
    let password =
        Pattern::parse(password).map_err(|e| Failure::usage(format!("--password: {e}")))?;
    if count > 1 && !name.has_number() {
        return Err(Failure::usage(
            "--users: more than one user needs a number in the pattern, as in --user user%06d",
        ));
    }
    if !(1..=MAX_PEOPLE).contains(&count) {
        return Err(Failure::usage(format!(
            "--users: write a number from 1 to {MAX_PEOPLE}"
        )));
    }
    (first..first.saturating_add(count))
        .map(|number| {
            let number = u64::from(number);
            person(&name.text(number), &password.text(number), with_nt_hash)
        })
        .collect()
}

/// Users from a CSV file: name, password; a first line that says so is no user.
pub(super) fn from_file(path: &Path, with_nt_hash: bool) -> Result<Vec<Person>, Failure> {
    let shown = path.display();
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_path(path)
        .map_err(|e| Failure::usage(format!("--users-file {shown}: {e}")))?;
    let mut people = Vec::new();
    for (index, row) in reader.records().enumerate() {
        let row = row.map_err(|e| Failure::usage(format!("--users-file {shown}: {e}")))?;
        let name = row.get(0).unwrap_or_default();
        if index == 0 && matches!(name, "name" | "username" | "user") {
            continue;
        }
        let password = row.get(1).ok_or_else(|| {
            Failure::usage(format!(
                "--users-file {shown}, line {}: write NAME,PASSWORD",
                index + 1
            ))
        })?;
        if people.len() >= MAX_PEOPLE as usize {
            return Err(Failure::usage(format!(
                "--users-file {shown}: holds more than {MAX_PEOPLE} users"
            )));
        }
        people.push(person(name, password, with_nt_hash)?);
    }
    if people.is_empty() {
        return Err(Failure::usage(format!(
            "--users-file {shown}: holds no user"
        )));
    }
    Ok(people)
}

fn person(name: &str, password: &str, with_nt_hash: bool) -> Result<Person, Failure> {
    if name.is_empty() || name.len() > MAX_NAME_OCTETS {
        return Err(Failure::usage(format!(
            "a user's name has {} octets; load works with 1 to {MAX_NAME_OCTETS}",
            name.len()
        )));
    }
    // A wrong password is the right one and one octet more.
    if password.len() >= MAX_PASSWORD_OCTETS {
        return Err(Failure::usage(format!(
            "a password has {} octets; load works with up to {}",
            password.len(),
            MAX_PASSWORD_OCTETS - 1
        )));
    }
    Ok(Person {
        name: name.as_bytes().into(),
        password: password.as_bytes().into(),
        nt_hash: match with_nt_hash {
            true => proof::nt_hash(password),
            false => [0; 16],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_holds_at_most_one_number() {
        for (text, number, expect) in [
            ("user%06d", 42, Some("user000042")),
            ("%d@example.org", 7, Some("7@example.org")),
            ("alice", 9, Some("alice")),
            ("u%6d", 1, None),
            ("u%s", 1, None),
            ("u%d%d", 1, None),
            ("u%099d", 1, None),
        ] {
            let got = Pattern::parse(text)
                .map(|pattern| pattern.text(number))
                .ok();
            assert_eq!(got.as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn people_are_numbered_from_the_first() {
        let people = from_pattern("u%03d", "p%d", 5, 2, true).unwrap_or_default();
        let got: Vec<_> = people.iter().map(|p| (&*p.name, &*p.password)).collect();
        assert_eq!(got, [(&b"u005"[..], &b"p5"[..]), (b"u006", b"p6")]);
        assert_eq!(people[1].nt_hash, proof::nt_hash("p6"));
        assert!(from_pattern("u", "p", 0, 2, false).is_err());
        assert!(from_pattern(&"u".repeat(64), "p", 0, 1, false).is_err());
        assert!(from_pattern("u", &"p".repeat(64), 0, 1, false).is_err());
    }

    #[test]
    fn a_file_holds_names_and_passwords() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("users.csv");
        std::fs::write(&path, "name,password\nalice,wonderland\nbob,\"a,b\"\n").expect("write");
        let people = from_file(&path, false).unwrap_or_default();
        let got: Vec<_> = people.iter().map(|p| (&*p.name, &*p.password)).collect();
        assert_eq!(got, [(&b"alice"[..], &b"wonderland"[..]), (b"bob", b"a,b")]);
        std::fs::write(&path, "alice\n").expect("write");
        assert!(from_file(&path, false).is_err());
        std::fs::write(&path, "").expect("write");
        assert!(from_file(&path, false).is_err());
    }
}
