//! One row, read and checked as far as that needs no database.

use super::layout::{Column, Layout};
use super::problem::Problem;
use super::reading::Reading;
use super::record::Record;
use access::rule::{Row as Rule, Side, parse_line};
use identity::identifier::{Kind, MAX_USERNAME_CHARACTERS, fold};
use identity::person::MAX_NAME_CHARACTERS;
use kernel::Time;
use proof::Stored;
use proof::bounds::is_examined;
use zeroize::Zeroizing;

/// A name as it was given and as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) value: String,
    pub(super) folded: String,
}

/// What a row asks for. No `Debug`: it holds a password.
pub(super) struct Row {
    pub(super) line: u64,
    /// As the file gives it; none where it is to be made from the e-mail address.
    pub(super) username: Option<String>,
    /// None where one is to be made.
    pub(super) password: Option<Zeroizing<String>>,
    pub(super) email: Option<Name>,
    pub(super) first_name: String,
    pub(super) last_name: String,
    pub(super) phone: Option<Name>,
    pub(super) mac: Option<Name>,
    /// The group's full name: one that the organisation has.
    pub(super) group: Option<String>,
    pub(super) expires: Option<Time>,
    /// Rules of the person's own.
    pub(super) rules: Vec<(Side, Rule)>,
}

impl Row {
    /// Reads a record.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn read(
        record: &Record,
        layout: &Layout,
        reading: &Reading<'_>,
    ) -> Result<Self, Vec<Problem>> {
        let line = record.line;
        let fields = record
            .fields
            .as_ref()
            .map_err(|reason| vec![Problem::new(line, None, reason.clone())])?;
        if fields.len() != layout.columns.len() {
            let expected = layout.columns.len();
            let who = if layout.has_header {
                "the header row has"
            } else {
                "without a header row there are"
            };
            let reason = format!("it has {} fields where {who} {expected}", fields.len());
            return Err(vec![Problem::new(line, None, reason)]);
        }
        let mut row = Self::empty(line);
        let mut problems = Vec::new();
        for ((column, title), field) in layout.columns.iter().zip(fields) {
            let outcome = match column {
                // Blanks may belong to a password.
                Column::Named("password") => row.take_password(field),
                Column::Named(name) => row.take(name, field.trim(), reading),
                Column::Attribute(name, op) => {
                    row.take_rule(name, op.text(), field.trim(), reading)
                }
                Column::Nameless if field.trim().is_empty() => Ok(()),
                Column::Nameless => Err("the header row gives this column no name".to_owned()),
            };
            // Without a header row any field may have slipped into any column, a password too.
            let outcome = outcome.map_err(|reason| match layout.has_header || field.is_empty() {
                true => reason,
                false => reason.replace(&format!(" '{}'", field.trim()), ""),
            });
            if let Err(reason) = outcome {
                problems.push(Problem::new(line, Some(title), reason));
            }
        }
        if problems.is_empty()
            && row.email.is_none()
            && (!layout.has_header || row.username.is_none())
        {
            let reason = if layout.has_header {
                "there is neither a username nor an e-mail address"
            } else {
                "it is empty; without a header row every row has an e-mail address"
            };
            problems.push(Problem::new(line, Some("email"), reason));
        }
        if problems.is_empty() {
            Ok(row)
        } else {
            Err(problems)
        }
    }

    fn empty(line: u64) -> Self {
        Self {
            line,
            username: None,
            password: None,
            email: None,
            first_name: String::new(),
            last_name: String::new(),
            phone: None,
            mac: None,
            group: None,
            expires: None,
            rules: Vec::new(),
        }
    }

    fn take(&mut self, column: &str, field: &str, reading: &Reading<'_>) -> Result<(), String> {
        if field.is_empty() {
            return Ok(());
        }
        let name = |kind| {
            fold(kind, field).map(|folded| {
                Some(Name {
                    value: field.to_owned(),
                    folded,
                })
            })
        };
        match column {
            "username" => self.username = Some(fold(Kind::Username, field)?),
            "email" => self.email = name(Kind::Email)?,
            "phone_number" => self.phone = name(Kind::Phone)?,
            "mac" => self.mac = name(Kind::Mac)?,
            "first_name" => self.first_name = plain_name(field)?,
            "last_name" => self.last_name = plain_name(field)?,
            "group" => self.group = Some(reading.group(field)?.to_owned()),
            "expires" => self.expires = Some(reading.expiry(field)?),
            other => return Err(format!("column '{other}' is not known")),
        }
        Ok(())
    }

    fn take_password(&mut self, field: &str) -> Result<(), String> {
        if field.is_empty() {
            return Ok(());
        }
        match Stored::recognise(field) {
            Some(_) => {}
            None => {
                if let Some(doubt) = Stored::doubt(field) {
                    return Err(format!(
                        "{doubt}; if it is the password itself, write cleartext$ before it"
                    ));
                }
                if !is_examined(field.as_bytes()) {
                    let most = proof::bounds::MAX_PASSWORD_OCTETS;
                    return Err(format!("it is longer than {most} octets"));
                }
            }
        }
        self.password = Some(Zeroizing::new(field.to_owned()));
        Ok(())
    }

    fn take_rule(
        &mut self,
        name: &str,
        op: &str,
        field: &str,
        reading: &Reading<'_>,
    ) -> Result<(), String> {
        if field.is_empty() {
            return Ok(());
        }
        let quoted = field.replace('\\', "\\\\").replace('"', "\\\"");
        let line = format!("{name} {op} \"{quoted}\"");
        self.rules
            .push(parse_line(reading.dictionary, &line, None)?);
        Ok(())
    }

    /// From what a username is made: the one given, or the part of the e-mail address before the `@`.
    pub(super) fn wanted_username(&self) -> &str {
        let local = || {
            self.email
                .as_ref()
                .and_then(|email| email.value.rsplit_once('@'))
                .map(|(local, _)| local)
        };
        self.username.as_deref().or_else(local).unwrap_or_default()
    }
}

/// A username with a number after it, short enough.
pub(super) fn numbered(base: &str, number: u64) -> String {
    let number = number.to_string();
    let most = MAX_USERNAME_CHARACTERS - number.len();
    base.chars().take(most).chain(number.chars()).collect()
}

fn plain_name(field: &str) -> Result<String, String> {
    if field.chars().count() > MAX_NAME_CHARACTERS {
        return Err(format!("it has more than {MAX_NAME_CHARACTERS} characters"));
    }
    if field.chars().any(char::is_control) {
        return Err("it contains a control character".to_owned());
    }
    Ok(field.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::lines::Lines;
    use crate::import::reading::tests::reading;
    use crate::import::record::Records;
    use radius_wire::dictionary::Dictionary;

    /// The last row of a text.
    fn read(text: &str) -> Result<Row, Vec<String>> {
        let mut records = Records::new(Lines::new(text.as_bytes()).unwrap());
        let mut all = Vec::new();
        while let Some(record) = records.next().unwrap() {
            all.push(record);
        }
        let layout = Layout::of(&all[0], Dictionary::builtin()).unwrap();
        Row::read(all.last().unwrap(), &layout, &reading())
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    fn refused(text: &str, parts: &[&str]) {
        let problems = read(text).err().unwrap_or_default();
        assert_eq!(problems.len(), parts.len(), "{text}: {problems:?}");
        for (problem, part) in problems.iter().zip(parts) {
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn five_columns_are_read() {
        let row = read("anna, pass word ,Anna@Example.org, Anna ,\"Rossi, B.\"")
            .ok()
            .unwrap();
        assert_eq!(row.username.as_deref(), Some("anna"));
        assert_eq!(
            row.password.as_deref().map(String::as_str),
            Some(" pass word ")
        );
        assert_eq!(
            row.email.as_ref().map(|email| email.folded.as_str()),
            Some("anna@example.org")
        );
        assert_eq!(
            (row.first_name.as_str(), row.last_name.as_str()),
            ("Anna", "Rossi, B.")
        );
        let row = read(",,Anna.R@example.org,,").ok().unwrap();
        assert!(row.username.is_none() && row.password.is_none());
        assert_eq!(row.wanted_username(), "Anna.R");
    }

    #[test]
    fn named_columns_are_read() {
        let row = read("password,username,mac,group,expires,phone,Session-Timeout,Cisco-AVPair,Max-Daily-Session\n\
                        nt:8846f7eaee8fb117ad06bdd830b7586c,anna,aabb.ccdd.eeff,users,2099-12-31,+39 06 12345678,3600,\"a=\"\"b\\\",600")
            .ok()
            .unwrap();
        assert_eq!(
            row.mac.map(|mac| mac.folded).as_deref(),
            Some("AA-BB-CC-DD-EE-FF")
        );
        assert_eq!(row.group.as_deref(), Some("acme-users"));
        assert_eq!(
            row.expires.map(Time::to_rfc3339).as_deref(),
            Some("2099-12-31T23:00:00Z")
        );
        let rules: Vec<String> = row
            .rules
            .iter()
            .map(|(side, rule)| format!("{side} {rule}"))
            .collect();
        assert_eq!(
            rules,
            [
                "reply Session-Timeout := 3600",
                "reply Cisco-AVPair := a=\"b\\",
                "check Max-Daily-Session := 600"
            ]
        );
    }

    #[test]
    fn every_wrong_field_of_a_row_is_named() {
        refused(
            "a,b,c,d,e",
            &["line 1, column email: e-mail address: it has no @"],
        );
        refused("a,b,,d,e\na,b,,d,e", &["line 2, column email: it is empty"]);
        refused(
            "a,b,c@d,d,e\nx",
            &["line 2: it has 1 fields where without a header row there are 5"],
        );
        refused(
            "username\na,b",
            &["line 2: it has 2 fields where the header row has 1"],
        );
        refused(
            "username,email,password\n,,x",
            &["column email: there is neither"],
        );
        refused("username,\na,b", &["column 2: the header row gives"]);
        refused(
            "username,email,phone,mac,group,expires,Framed-IP-Address\na,x,1,zz,usrs,soon,10.0.0",
            &[
                "no @",
                "country code",
                "MAC address",
                "did you mean 'acme-users'",
                "not a time",
                "IPv4",
            ],
        );
        refused(
            "username,expires\na,2001-01-01",
            &["column expires: it is in the past"],
        );
        refused("username,first_name\na,\"b\nc\"", &["control character"]);
    }

    #[test]
    fn a_damaged_hash_is_refused_and_never_quoted() {
        let check = |password: &str, part: Option<&str>| {
            let outcome = read(&format!("username,password\nanna,{password}"));
            match (outcome, part) {
                (Ok(_), None) => {}
                (Err(problems), Some(part)) => {
                    assert!(problems[0].contains(part), "{password}: {problems:?}");
                    assert!(!problems[0].contains(password), "{problems:?}");
                }
                (outcome, _) => panic!("{password}: {:?}", outcome.err()),
            }
        };
        check("wonderland", None);
        check("!wonderland", None);
        check("cleartext$$2b$x", None);
        check("nt:8846f7eaee8fb117ad06bdd830b7586c", None);
        check("nt:8846f7eaee8f", Some("cleartext$"));
        check("$2b$12$short", Some("cleartext$"));
        check(&"x".repeat(1025), Some("longer than 1024"));
    }

    #[test]
    fn without_a_header_row_a_wrong_field_is_never_quoted() {
        for text in [
            "anna,a@example.org,hunter2,Anna,Rossi",
            "user,anna,hunter2,a@example.org,Rossi",
            "hunter2 ,x, hunter2 ,Anna,Rossi",
        ] {
            let problems = read(text).err().unwrap_or_default();
            assert!(problems[0].contains("it has no @"), "{problems:?}");
            assert!(!problems.concat().contains("hunter2"), "{problems:?}");
        }
    }

    #[test]
    fn a_numbered_username_stays_short_enough() {
        assert_eq!(numbered("anna", 12), "anna12");
        let long = numbered(&"\u{e9}".repeat(150), 7);
        assert_eq!(long.chars().count(), 150);
        assert!(long.ends_with("\u{e9}7"));
    }
}
