//! What rows are read against: the dictionary, the organisation's groups and its day.

use chrono::{Datelike, NaiveDate};
use identity::Organisation;
use kernel::Time;
use kernel::config::nearest;
use radius_wire::dictionary::Dictionary;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Years that both engines keep and read back alike.
const YEARS: RangeInclusive<i32> = 1970..=9999;

/// What a row is read against.
pub(super) struct Reading<'a> {
    pub(super) dictionary: &'a Dictionary,
    pub(super) organisation: &'a Organisation,
    /// The names of the organisation's groups.
    pub(super) groups: BTreeSet<String>,
    /// Since when an expiry is too late. None when an import goes on that was checked before: what has expired since
    /// is imported as it stands.
    pub(super) now: Option<Time>,
}

impl Reading<'_> {
    /// The full name of a group; the organisation's slug may be left out.
    pub(super) fn group(&self, name: &str) -> Result<&str, String> {
        let full = format!("{}-{name}", self.organisation.slug);
        if let Some(known) = self.groups.get(name).or_else(|| self.groups.get(&full)) {
            return Ok(known);
        }
        // Without the slug, which all of them share and which would make any two look alike.
        let prefix = format!("{}-", self.organisation.slug);
        let bare = |full: &'_ str| full.strip_prefix(&prefix).map(str::to_owned);
        let names: Vec<String> = self.groups.iter().filter_map(|full| bare(full)).collect();
        let given = bare(name).unwrap_or_else(|| name.to_owned());
        let hint = nearest(&given, names.iter().map(String::as_str))
            .map(|near| format!("; did you mean '{prefix}{near}'?"))
            .unwrap_or_default();
        let shown = name.escape_debug();
        Err(format!(
            "organisation '{}' has no group '{shown}'{hint}",
            self.organisation.slug
        ))
    }

    /// From when on somebody is out. A bare date is the last day on which they are in, where the organisation is.
    pub(super) fn expiry(&self, text: &str) -> Result<Time, String> {
        let at = match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            Ok(day) if YEARS.contains(&day.year()) => self
                .organisation
                .end_of_day(day)
                .ok_or("that day has no end")?,
            Ok(_) => return Err(format!("'{text}' is not within the years 1970 to 9999")),
            Err(_) => Time::parse(text)?,
        };
        if self.now.is_some_and(|now| at <= now) {
            return Err("it is in the past".to_owned());
        }
        Ok(at)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use identity::Namespace;
    use kernel::OrganisationId;
    use kernel::id::Uuid;
    use std::sync::LazyLock;

    static ACME: LazyLock<Organisation> = LazyLock::new(|| Organisation {
        id: OrganisationId(Uuid::nil()),
        name: "Acme".into(),
        slug: "acme".into(),
        is_active: true,
        namespace: Namespace::Shared,
        time_zone: "Europe/Rome".into(),
        description: String::new(),
        email: None,
        url: String::new(),
        created: Time::from_unix_seconds(0),
        modified: Time::from_unix_seconds(0),
    });

    pub(in crate::import) fn reading() -> Reading<'static> {
        Reading {
            dictionary: Dictionary::builtin(),
            organisation: &ACME,
            groups: ["acme-users", "acme-power-users"].map(str::to_owned).into(),
            now: Some(Time::from_unix_seconds(1_800_000_000)),
        }
    }

    #[test]
    fn a_bare_date_lasts_until_the_organisations_midnight() {
        let check = |text: &str, expect: Result<&str, &str>| match (reading().expiry(text), expect)
        {
            (Ok(at), Ok(expect)) => assert_eq!(at.to_rfc3339(), expect, "{text}"),
            (Err(reason), Err(part)) => assert!(reason.contains(part), "{text}: {reason}"),
            (got, _) => panic!("{text}: {got:?}"),
        };
        check("2027-01-31", Ok("2027-01-31T23:00:00Z"));
        check("2027-07-31", Ok("2027-07-31T22:00:00Z"));
        check("2027-07-31T12:00:00Z", Ok("2027-07-31T12:00:00Z"));
        check("2027-01-15", Ok("2027-01-15T23:00:00Z"));
        check("2027-01-14", Err("past"));
        check("2027-01-15T07:59:00Z", Err("past"));
        check("31.1.2027", Err("not a time"));
        check("2027-02-30", Err("not a time"));
        check("1969-12-31", Err("years 1970 to 9999"));
        check("+12000-12-31", Err("years 1970 to 9999"));
    }

    #[test]
    fn a_group_is_named_with_or_without_the_slug() {
        let reading = reading();
        assert_eq!(reading.group("users"), Ok("acme-users"));
        assert_eq!(reading.group("acme-power-users"), Ok("acme-power-users"));
        assert!(
            reading
                .group("acme-user")
                .is_err_and(|e| e.contains("did you mean 'acme-users'"))
        );
        assert!(
            reading
                .group("zzz")
                .is_err_and(|e| e.ends_with("no group 'zzz'"))
        );
    }
}
