//! What becomes of a row: a new person, or one who is known. Pure.

use super::holders::Holders;
use super::problem::Problem;
use super::row::Row;
use super::scan::names;
use identity::Kind;
use identity::holders::Holder;

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// A new person under the username that the row gives.
    Create,
    /// A new person whose username gets a number where it is taken.
    CreateNumbered,
    /// Whoever has the e-mail address: they keep their names and password.
    Match(Holder),
}

/// Decides about a row whose names were asked about.
///
/// # Errors
/// The names that belong to somebody else.
pub(super) fn decide(
    has_header: bool,
    row: &Row,
    holders: &Holders,
) -> Result<Decision, Vec<Problem>> {
    let matched = row
        .email
        .as_ref()
        .and_then(|email| holders.of(Kind::Email, &email.folded));
    if !has_header {
        return Ok(matched.map_or(Decision::CreateNumbered, Decision::Match));
    }
    let taken = |(kind, column, value, folded): (Kind, &str, &str, &str)| {
        let holder = holders.of(kind, folded)?;
        if matched.is_some_and(|matched| matched.person == holder.person) {
            return None;
        }
        let reason = match (kind, matched.is_some()) {
            (Kind::Username, false) => format!("username '{value}' exists"),
            (kind, false) => format!("{} '{value}' belongs to another person", kind.title()),
            (kind, true) => {
                format!(
                    "{} '{value}' belongs to another person than the e-mail address",
                    kind.title()
                )
            }
        };
        Some(Problem::new(row.line, Some(column), reason))
    };
    let problems: Vec<Problem> = names(row).filter_map(taken).collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(match matched {
        Some(holder) => Decision::Match(holder),
        None if row.username.is_some() => Decision::Create,
        None => Decision::CreateNumbered,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::problem::Problem;
    use crate::import::reading::tests::reading;
    use crate::import::rows::{Opened, Rows};
    use crate::import::source::Source;
    use identity::PersonId;
    use kernel::id::Uuid;

    fn somebody(id: u128) -> Holder {
        Holder {
            person: PersonId(Uuid::from_u128(id)),
            membership: None,
        }
    }

    fn holders() -> Holders {
        let mut holders = Holders::default();
        for (kind, folded, id) in [
            (Kind::Username, "anna", 1),
            (Kind::Email, "anna@x.org", 1),
            (Kind::Phone, "+39061234567", 1),
            (Kind::Username, "bruno", 2),
            (Kind::Mac, "AA-BB-CC-DD-EE-FF", 2),
        ] {
            holders.put(kind, folded, somebody(id));
        }
        holders
    }

    fn decided(text: &str) -> Result<Decision, Vec<Problem>> {
        let source = Source::bytes(text.as_bytes(), "x");
        let reading = reading();
        let Opened::Rows(mut rows) = Rows::open(&source, reading.dictionary).unwrap() else {
            panic!("{text}")
        };
        let row = rows.next(&reading).unwrap().unwrap().row?;
        decide(rows.has_header(), &row, &holders())
    }

    fn header(row: &str) -> Result<Decision, Vec<Problem>> {
        decided(&format!("username,email,phone_number,mac\n{row}"))
    }

    #[test]
    fn an_address_finds_the_person_and_another_persons_name_is_refused() {
        assert_eq!(header("carla,c@x.org,,"), Ok(Decision::Create));
        assert_eq!(header(",c@x.org,,"), Ok(Decision::CreateNumbered));
        assert_eq!(header(",bruno@x.org,,"), Ok(Decision::CreateNumbered));
        assert_eq!(
            header("anna,ANNA@x.org,+39061234567,"),
            Ok(Decision::Match(somebody(1)))
        );
        assert_eq!(header("new,anna@x.org,,"), Ok(Decision::Match(somebody(1))));
        let refused = |row: &str, parts: &[&str]| {
            let problems = header(row).unwrap_err();
            assert_eq!(problems.len(), parts.len(), "{row}: {problems:?}");
            for (problem, part) in problems.iter().zip(parts) {
                assert!(problem.to_string().contains(part), "{row}: {problem}");
            }
        };
        refused("anna,,,", &["column username: username 'anna' exists"]);
        refused(
            "anna,c@x.org,,aabbccddeeff",
            &[
                "username 'anna' exists",
                "column mac: MAC address 'aabbccddeeff' belongs",
            ],
        );
        refused(
            "bruno,anna@x.org,,",
            &["another person than the e-mail address"],
        );
        refused(
            "x,,+39 06 1234567,",
            &["column phone_number: phone number '+39 06 1234567' belongs"],
        );
    }

    #[test]
    fn without_a_header_row_nobody_is_refused() {
        assert_eq!(decided("anna,,c@x.org,,"), Ok(Decision::CreateNumbered));
        assert_eq!(
            decided("bruno,,Anna@x.org,,"),
            Ok(Decision::Match(somebody(1)))
        );
    }
}
