use super::*;
use proptest::prelude::*;

const G: u64 = 1 << 30;

/// Marks as (event, session time, input octets without Gigawords).
fn enter(marks: &[(i64, Option<i64>, u64)]) -> Ledger {
    let mut ledger = Ledger::default();
    for (at, seconds, input) in marks {
        let low = u32::try_from(*input).unwrap();
        ledger.enter(Mark {
            at: *at,
            seconds: *seconds,
            input: Some(Count { low, high: None }),
            output: None,
            day: 1,
        });
    }
    ledger
}

fn check(marks: &[(i64, Option<i64>, u64)], input: u64, wraps: i64) {
    let ledger = enter(marks);
    let (totals, inferred) = ledger.totals();
    assert_eq!(
        (totals.input, inferred),
        (i64::try_from(input).unwrap(), wraps),
        "{marks:?}"
    );
    let mut reversed = marks.to_vec();
    reversed.reverse();
    assert_eq!(
        enter(&reversed).totals(),
        ledger.totals(),
        "reversed {marks:?}"
    );
}

#[test]
fn wraps_are_inferred_and_nothing_else() {
    check(&[(1, None, 5), (2, None, 9)], 9, 0);
    // Full 32 bits.
    check(&[(1, Some(1), 4 * G - 10), (2, Some(2), 20)], 4 * G + 20, 1);
    check(
        &[
            (1, Some(1), 3 * G),
            (2, Some(2), G),
            (3, Some(3), 3 * G),
            (4, Some(4), G),
        ],
        9 * G,
        2,
    );
    check(&[(1, None, 3 * G), (2, None, G)], 5 * G, 1);
    // A device that lost count.
    check(&[(1, Some(1), 5_000), (2, Some(2), 3_000)], 5_000, 0);
    // A Stop with zeros.
    check(&[(1, Some(1), 3 * G), (2, Some(2), 0)], 3 * G, 0);
    // A late report under a newer time: its session time gives it away.
    check(&[(1, Some(10), 3 * G), (2, Some(5), G)], 3 * G, 0);
    check(&[(1, Some(10), 3 * G), (2, Some(10), G)], 3 * G, 0);
    // A device without session time that says 0.
    check(&[(1, Some(0), 3 * G), (2, Some(0), G)], 5 * G, 1);
}

#[test]
fn two_late_reports_part_two_low_ones_that_came_before() {
    let order = [
        (2, None, 1),
        (4, None, 1),
        (1, None, 2_164_475_589),
        (3, None, 2_415_906_040),
    ];
    let mut sorted = order;
    sorted.sort_unstable();
    check(&sorted, 2 * WRAP + 1, 2);
    assert_eq!(enter(&order).totals(), enter(&sorted).totals());
}

#[test]
fn gigawords_are_believed_and_end_all_guessing() {
    let count = |low: u64, high| {
        Some(Count {
            low: u32::try_from(low).unwrap(),
            high,
        })
    };
    let mark = |at, input| Mark {
        at,
        seconds: None,
        input,
        output: None,
        day: 1,
    };
    let mut ledger = Ledger::default();
    ledger.enter(mark(1, count(3 * G, None)));
    ledger.enter(mark(2, count(G, Some(1))));
    ledger.enter(mark(3, count(2 * G, None)));
    let total = |ledger: &Ledger| u64::try_from(ledger.totals().0.input).unwrap();
    assert_eq!((total(&ledger), ledger.totals().1), (6 * G, 0));
    // Exact and lower: a device's mistake.
    ledger.enter(mark(4, count(0, Some(0))));
    assert_eq!(total(&ledger), 6 * G);
}

#[test]
fn a_session_keeps_two_marks_a_day_and_the_recent_ones_where_they_matter() {
    for (high, expect) in [(Some(0), 4), (None, 4 + RECENT_MARKS)] {
        let mut ledger = Ledger::default();
        for report in 0..200_i64 {
            let low = u32::try_from(report * 1_000).unwrap();
            let count = Some(Count { low, high });
            let day = i32::try_from(report / 100).unwrap();
            ledger.enter(Mark {
                at: report,
                seconds: Some(report),
                input: count,
                output: count,
                day,
            });
        }
        assert_eq!(ledger.marks.len(), expect);
        assert_eq!(
            ledger
                .by_day(Tz::UTC)
                .values()
                .map(|day| day.input)
                .collect::<Vec<_>>(),
            [99_000, 100_000]
        );
    }
}

#[test]
fn a_ledger_stays_small_and_settling_takes_nothing_away() {
    let mut ledger = Ledger::default();
    let mut days: BTreeMap<i32, Totals> = BTreeMap::new();
    for report in 0..500_u32 {
        let before = ledger.by_day(Tz::UTC);
        let count = Some(Count {
            low: report.wrapping_mul(1_500_000_000),
            high: None,
        });
        let seconds = Some(i64::from(report));
        ledger.enter(Mark {
            at: report.into(),
            seconds,
            input: count,
            output: None,
            day: (report / 10).cast_signed(),
        });
        for (day, totals) in ledger.by_day(Tz::UTC) {
            let grown = totals.minus(before.get(&day).copied().unwrap_or_default());
            let sum = days.entry(day).or_default();
            *sum = sum.plus(grown);
        }
        ledger.settle(true, Tz::UTC);
        assert!(ledger.marks.len() <= MAX_MARKS);
    }
    let sum: i64 = days.values().map(|day| day.input).sum();
    assert_eq!((sum, ledger.totals().0.input), (499 * 1_500_000_000, sum));
    assert!(serde_json::to_string(&ledger).unwrap().len() < 4_096);
    // What comes from before the settled marks changes no total.
    let settled = ledger.clone();
    ledger.enter(Mark {
        at: 3,
        seconds: Some(3),
        input: None,
        output: None,
        day: 0,
    });
    assert_eq!(ledger, settled);
}

#[test]
fn only_the_newest_endings_are_kept_and_the_final_ones() {
    let mut ledger = Ledger::default();
    let ending = |at, is_final| Ending {
        at,
        is_final,
        cause: None,
        day: 1,
    };
    ledger.end(ending(0, true));
    for at in 1..=20 {
        ledger.end(ending(at, false));
        ledger.end(ending(at, false));
    }
    let kept: Vec<i64> = ledger.endings.iter().map(|ending| ending.at).collect();
    assert_eq!(kept, [0, 14, 15, 16, 17, 18, 19, 20]);
}

#[test]
fn what_is_stored_comes_back_and_what_is_not_a_ledger_is_refused() {
    let mut ledger = enter(&[(1, Some(1), 3 * G), (2, Some(2), G)]);
    ledger.end(Ending {
        at: 3,
        is_final: true,
        cause: Some("NAS-Reboot".into()),
        day: 1,
    });
    ledger.begin(Time::from_unix_seconds(1), None, false);
    let text = serde_json::to_string(&ledger).unwrap();
    assert_eq!(Ledger::try_from(text).ok(), Some(ledger));
    assert!(Ledger::try_from(String::from("5")).is_err());
    assert!(Ledger::try_from(String::from(r#"{"z":1}"#)).is_err());
}

proptest! {
    /// Also what no device should send.
    #[test]
    fn entering_a_mark_again_changes_nothing(
        marks in prop::collection::vec((0..50_i64, prop::option::of(0..50_i64), any::<u32>(), any::<bool>()), 1..30),
    ) {
        let mut ledger = Ledger::default();
        for (at, seconds, low, exact) in marks {
            let input = Some(Count { low, high: exact.then_some(low % 3) });
            let mark = Mark { at, seconds, input, output: None, day: i32::try_from(at / 20).unwrap() };
            ledger.enter(mark);
            let once = ledger.clone();
            ledger.enter(mark);
            prop_assert_eq!(ledger.totals().0, once.totals().0);
            prop_assert_eq!(ledger.by_day(Tz::UTC), once.by_day(Tz::UTC));
            let days = ledger.by_day(Tz::UTC).values().fold(Totals::default(), |sum, day| sum.plus(*day));
            prop_assert_eq!(days, ledger.totals().0);
            ledger.settle(true, Tz::UTC);
        }
    }
}

#[test]
fn what_was_settled_before_somebody_was_known_is_told_in_whole_and_once() {
    let mut ledger = Ledger::default();
    let mut sum = Totals::default();
    for n in 1..=500_i32 {
        ledger.enter(Mark {
            at: i64::from(n),
            seconds: Some(n.into()),
            input: Some(Count {
                low: n.unsigned_abs() * 2,
                high: Some(0),
            }),
            output: None,
            day: n,
        });
        ledger.settle(false, Tz::UTC);
    }
    let all = ledger.by_day_from_the_first(Tz::UTC);
    for day in all.values() {
        sum = sum.plus(*day);
    }
    assert_eq!((sum.seconds, sum.input), (500, 1_000));
    assert_eq!(all.len(), MAX_MARKS + MAX_UNOWNED_DAYS);
    let stored = serde_json::to_string(&ledger).unwrap();
    assert_eq!(serde_json::from_str::<Ledger>(&stored).unwrap(), ledger);
    ledger.settle(true, Tz::UTC);
    assert_eq!(
        ledger.by_day_from_the_first(Tz::UTC),
        ledger.by_day(Tz::UTC)
    );
}

/// Microseconds since 1970 of a time in Berlin.
fn berlin(text: &str) -> i64 {
    let local = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
    let zone = chrono_tz::Europe::Berlin;
    zone.from_local_datetime(&local)
        .earliest()
        .unwrap()
        .timestamp_micros()
}

/// Reports as (time in Berlin, session time in minutes); what each day of October or November 2026 comes to, in minutes.
fn check_days(begin: &str, reports: &[(&str, i64)], expect: &[(&str, i64)]) {
    let zone = chrono_tz::Europe::Berlin;
    let mut orders = vec![reports.to_vec()];
    orders.push(reports.iter().rev().copied().collect());
    for order in orders {
        let mut ledger = Ledger::default();
        ledger.begin(
            Time::from_unix_micros(berlin(begin)),
            Some(Time::from_unix_micros(berlin(begin))),
            true,
        );
        for (text, minutes) in &order {
            let at = berlin(text);
            let day = local_day(Time::from_unix_micros(at), zone);
            let octets = u32::try_from(*minutes).unwrap() * 1_000;
            ledger.enter(Mark {
                at,
                seconds: Some(minutes * 60),
                input: Some(Count {
                    low: octets,
                    high: Some(0),
                }),
                output: None,
                day,
            });
        }
        let days: Vec<(String, i64, i64)> = ledger
            .by_day(zone)
            .into_iter()
            .map(|(day, totals)| {
                let day = chrono::NaiveDate::from_num_days_from_ce_opt(day).unwrap();
                (day.to_string(), totals.seconds / 60, totals.input / 1_000)
            })
            .collect();
        let expect: Vec<_> = expect
            .iter()
            .map(|(day, minutes)| ((*day).to_owned(), *minutes, *minutes))
            .collect();
        assert_eq!(days, expect, "{begin} {order:?}");
    }
}

#[test]
fn what_was_used_over_midnight_belongs_to_both_days() {
    check_days(
        "2026-11-10 22:00",
        &[("2026-11-11 01:00", 180)],
        &[("2026-11-10", 120), ("2026-11-11", 60)],
    );
    // With reports between, only what lies over midnight is split; days without one get their part.
    check_days(
        "2026-11-10 20:00",
        &[
            ("2026-11-10 23:00", 180),
            ("2026-11-11 01:00", 300),
            ("2026-11-11 02:00", 360),
            ("2026-11-11 03:00", 420),
            ("2026-11-13 03:00", 420 + 2 * 1_440),
        ],
        &[
            ("2026-11-10", 240),
            ("2026-11-11", 180 + 21 * 60),
            ("2026-11-12", 1_440),
            ("2026-11-13", 180),
        ],
    );
    // The night in which clocks are set back has an hour more.
    check_days(
        "2026-10-24 23:00",
        &[("2026-10-26 01:00", 60 + 25 * 60 + 60)],
        &[
            ("2026-10-24", 60),
            ("2026-10-25", 25 * 60),
            ("2026-10-26", 60),
        ],
    );
}

#[test]
fn a_session_without_any_report_of_its_time_is_split_by_its_begin_and_end() {
    let zone = chrono_tz::Europe::Berlin;
    let mut ledger = Ledger::default();
    let begin = Time::from_unix_micros(berlin("2026-11-10 23:30"));
    ledger.begin(begin, Some(begin), true);
    let end = berlin("2026-11-11 00:10");
    ledger.end(Ending {
        at: end,
        is_final: false,
        cause: None,
        day: local_day(Time::from_unix_micros(end), zone),
    });
    let days: Vec<i64> = ledger
        .by_day(zone)
        .values()
        .map(|day| day.seconds)
        .collect();
    assert_eq!(days, [1_800, 600]);
}
