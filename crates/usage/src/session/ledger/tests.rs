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
fn a_session_keeps_one_mark_a_day_and_the_recent_ones_where_they_matter() {
    for (high, expect) in [(Some(0), 2), (None, 2 + RECENT_MARKS)] {
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
                .by_day()
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
        let before = ledger.by_day();
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
        for (day, totals) in ledger.by_day() {
            let grown = totals.minus(before.get(&day).copied().unwrap_or_default());
            let sum = days.entry(day).or_default();
            *sum = sum.plus(grown);
        }
        ledger.settle(true);
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
            prop_assert_eq!(ledger.by_day(), once.by_day());
            let days = ledger.by_day().values().fold(Totals::default(), |sum, day| sum.plus(*day));
            prop_assert_eq!(days, ledger.totals().0);
            ledger.settle(true);
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
        ledger.settle(false);
    }
    let all = ledger.by_day_from_the_first();
    for day in all.values() {
        sum = sum.plus(*day);
    }
    assert_eq!((sum.seconds, sum.input), (500, 1_000));
    assert_eq!(all.len(), MAX_MARKS + MAX_UNOWNED_DAYS);
    let stored = serde_json::to_string(&ledger).unwrap();
    assert_eq!(serde_json::from_str::<Ledger>(&stored).unwrap(), ledger);
    ledger.settle(true);
    assert_eq!(ledger.by_day_from_the_first(), ledger.by_day());
}
