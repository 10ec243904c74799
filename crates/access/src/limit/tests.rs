//! Limits, periods and the days they begin on.

use super::*;

fn date(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

#[test]
fn limits_are_written_as_people_say_them() {
    for (text, shown) in [
        ("2h/day", "2 h/day"),
        ("90 min/week", "90 min/week"),
        ("3600 s/month", "1 h/month"),
        ("5GB/month", "5 GB/month"),
        ("1.5 GB/day", "1500 MB/day"),
        ("up 1 GiB/30 days", "up 1 GiB/30 days"),
        ("down 500M/subscription", "down 500 MB/subscription month"),
        ("total 10G", "10 GB"),
        ("3 days/lifetime", "3 days/lifetime"),
        ("3000000000 B/day", "3 GB/day"),
        ("1 h/1 day", "1 h/1 day"),
    ] {
        let limit: Limit = text.parse().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(limit.to_string(), shown);
        assert_eq!(shown.parse::<Limit>(), Ok(limit), "{shown} reads back");
    }
}

#[test]
fn what_is_not_a_limit_is_refused_with_the_reason() {
    for (text, why) in [
        ("", "a number with a unit"),
        ("5/day", "a number with a unit"),
        ("5 furlongs/day", "a number with a unit"),
        ("1.2.3 GB", "a number with a unit"),
        ("0 h/day", "no limit"),
        ("up 2 h/day", "octets"),
        ("2 h/fortnight", "a period is"),
        ("2 h/63 days", "a period is"),
        ("2 h/0 days", "a period is"),
        ("9999999999 TB", "too large"),
        ("200000 weeks", "too large"),
    ] {
        let refused = text.parse::<Limit>().expect_err(text);
        assert!(refused.contains(why), "{text}: {refused}");
    }
}

#[test]
fn periods_begin_where_people_expect_them_to() {
    // Member since the 31st: February has none.
    let since = date("2026-01-31");
    for (period, today, first, next) in [
        (
            Period::Day,
            "2026-03-15",
            Some("2026-03-15"),
            Some("2026-03-16"),
        ),
        (
            Period::Week,
            "2026-03-15",
            Some("2026-03-09"),
            Some("2026-03-16"),
        ),
        (
            Period::Week,
            "2026-03-16",
            Some("2026-03-16"),
            Some("2026-03-23"),
        ),
        (
            Period::Month,
            "2026-12-31",
            Some("2026-12-01"),
            Some("2027-01-01"),
        ),
        (
            Period::Subscription,
            "2026-02-27",
            Some("2026-01-31"),
            Some("2026-02-28"),
        ),
        (
            Period::Subscription,
            "2026-02-28",
            Some("2026-02-28"),
            Some("2026-03-31"),
        ),
        (
            Period::Subscription,
            "2026-03-30",
            Some("2026-02-28"),
            Some("2026-03-31"),
        ),
        (
            Period::Subscription,
            "2026-03-31",
            Some("2026-03-31"),
            Some("2026-04-30"),
        ),
        (
            Period::Subscription,
            "2028-02-29",
            Some("2028-02-29"),
            Some("2028-03-31"),
        ),
        (
            Period::Subscription,
            "2027-01-05",
            Some("2026-12-31"),
            Some("2027-01-31"),
        ),
        (Period::Rolling(1), "2026-03-15", Some("2026-03-15"), None),
        (Period::Rolling(30), "2026-03-15", Some("2026-02-14"), None),
        (Period::Lifetime, "2026-03-15", Some("2026-01-31"), None),
        (Period::Ever, "2026-03-15", None, None),
    ] {
        let today = date(today);
        assert_eq!(
            period.first_day(today, since),
            first.map(date),
            "{period:?} {today}"
        );
        assert_eq!(
            period.next_day(today, since),
            next.map(date),
            "{period:?} {today}"
        );
    }
}

#[test]
fn midnight_exists_where_clocks_are_set_forward_over_it() {
    let zone = chrono_tz::America::Havana;
    // 2026-03-08 begins at 01:00.
    let shown = midnight(date("2026-03-08"), zone)
        .to_chrono()
        .with_timezone(&zone);
    assert_eq!(shown.format("%F %H:%M").to_string(), "2026-03-08 01:00");
    let berlin = midnight(date("2026-07-01"), chrono_tz::Europe::Berlin);
    assert_eq!(berlin.to_string(), "2026-06-30T22:00:00Z");
}

#[test]
fn who_stays_over_midnight_gets_what_the_next_day_gives() {
    let zone = chrono_tz::Europe::Berlin;
    let limit: Limit = "2 h/day".parse().expect("a limit");
    let since = date("2026-01-01");
    let used = |seconds| Totals {
        seconds,
        ..Totals::default()
    };
    let at = |hour, minute| {
        let local = date("2026-05-10")
            .and_hms_opt(hour, minute, 0)
            .expect("a time");
        let local = zone.from_local_datetime(&local).earliest().expect("it is");
        Time::from_unix_micros(local.timestamp_micros())
    };
    for (now, seconds, left) in [
        (at(12, 0), 0, 7_200),
        (at(12, 0), 7_000, 200),
        (at(12, 0), 7_300, 0),
        (at(23, 0), 0, 3_600 + 7_200),
        (at(23, 0), 7_000, 200),
    ] {
        let got = limit.seconds_from_now(used(seconds), now, zone, since);
        assert_eq!(got, Some(left), "{now} after {seconds} s");
    }
    let traffic: Limit = "5 GB/day".parse().expect("a limit");
    assert_eq!(
        traffic.seconds_from_now(used(0), at(1, 0), zone, since),
        None
    );
    let both = Totals {
        seconds: 0,
        input: 3_000_000_000,
        output: 1_999_999_999,
    };
    assert_eq!(traffic.left(both), 1);
}
