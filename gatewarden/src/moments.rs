//! Moments as people write them: `now`, `2 h ago`, `yesterday`, `2027-01-31`, `2027-01-31 20:00`, or RFC 3339.

use chrono::{NaiveDateTime, TimeZone};
use chrono_tz::Tz;
use kernel::Time;

/// Units of time, in seconds.
const UNITS: [(&str, i64); 12] = [
    ("s", 1),
    ("sec", 1),
    ("m", 60),
    ("min", 60),
    ("minutes", 60),
    ("h", 3_600),
    ("hour", 3_600),
    ("hours", 3_600),
    ("d", 86_400),
    ("day", 86_400),
    ("days", 86_400),
    ("weeks", 604_800),
];

/// Reads a moment; one without a zone is local to `zone`.
///
/// # Errors
/// A sentence that shows the forms there are.
pub fn parse(text: &str, now: Time, zone: Tz) -> Result<Time, String> {
    let text = text.trim();
    let midnight = |days_ago: i64| {
        let today = now.to_chrono().with_timezone(&zone).date_naive();
        let day = today - chrono::Duration::days(days_ago);
        access::limit::midnight(day, zone)
    };
    match text {
        "now" => return Ok(now),
        "today" => return Ok(midnight(0)),
        "yesterday" => return Ok(midnight(1)),
        _ => {}
    }
    if let Some(ago) = text.strip_suffix("ago") {
        let ago = ago.trim();
        let end = ago.find(|c: char| !c.is_ascii_digit()).unwrap_or(ago.len());
        let number = ago[..end].parse::<i64>().ok();
        let unit = UNITS.iter().find(|(unit, _)| *unit == ago[end..].trim());
        if let (Some(number), Some((_, seconds))) = (number, unit)
            && number < 100_000
        {
            return Ok(now.plus_seconds(-number * seconds));
        }
    }
    for form in ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M"] {
        if let Ok(local) = NaiveDateTime::parse_from_str(text, form)
            && let Some(at) = zone.from_local_datetime(&local).earliest()
        {
            return Ok(Time::from_unix_micros(at.timestamp_micros()));
        }
    }
    if let Ok(day) = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(access::limit::midnight(day, zone));
    }
    Time::parse(text).map_err(|_| {
        format!(
            "'{}' is not a time; write now, yesterday, '2 h ago', 2027-01-31, '2027-01-31 20:00' or 2027-01-31T20:00:00Z",
            text.escape_debug()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let zone = chrono_tz::Europe::Berlin;
        let now = Time::parse("2026-11-28T12:00:00Z").expect("a time");
        for (text, expect) in [
            ("now", "2026-11-28T12:00:00Z"),
            ("today", "2026-11-27T23:00:00Z"),
            ("yesterday", "2026-11-26T23:00:00Z"),
            ("2 h ago", "2026-11-28T10:00:00Z"),
            ("90min ago", "2026-11-28T10:30:00Z"),
            ("3 days ago", "2026-11-25T12:00:00Z"),
            ("2026-07-01", "2026-06-30T22:00:00Z"),
            ("2026-11-27 20:15", "2026-11-27T19:15:00Z"),
            ("2026-11-27T20:15:00Z", "2026-11-27T20:15:00Z"),
            ("2026-11-27T20:15:00+05:00", "2026-11-27T15:15:00Z"),
        ] {
            let read = parse(text, now, zone).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(read.to_string(), expect, "{text}");
        }
        for text in [
            "",
            "soon",
            "2 fortnights ago",
            "ago",
            "2026-13-01",
            "99999999999 h ago",
        ] {
            assert!(parse(text, now, zone).is_err(), "{text}");
        }
    }
}
