use super::*;
use crate::report::Status;
use crate::session::ledger::Count;
use crate::testing::{DEVICE, INTERIM, NAS, START, STOP, Sent, at, report};
use proptest::prelude::*;

fn session_of(reports: &[Report]) -> Session {
    let mut session = Session::new(Uuid::from_u128(1), 0, &reports[0]);
    for report in reports {
        session.apply(report, Tz::UTC);
    }
    session
}

fn session(sent: &[Sent]) -> Session {
    session_of(&sent.iter().map(Sent::read).collect::<Vec<_>>())
}

#[test]
fn a_session_lives_from_start_to_stop() {
    let whole = session(&[
        Sent::new(START, 0).put(77, b"11ac"),
        Sent::new(INTERIM, 300)
            .counts(300, 10, 20)
            .put(8, &[10, 0, 0, 9]),
        Sent::new(STOP, 500)
            .counts(500, 30, 40)
            .number(49, 1)
            .put(77, b"bye"),
    ]);
    assert_eq!((whole.started, whole.stopped), (at(0), Some(at(500))));
    assert_eq!(
        (
            whole.session_seconds,
            whole.input_octets,
            whole.output_octets
        ),
        (500, 30, 40)
    );
    assert_eq!(whole.terminate_cause.as_deref(), Some("User-Request"));
    assert_eq!(whole.details.framed_ip_address.as_deref(), Some("10.0.0.9"));
    assert_eq!(whole.connection_info_start.as_deref(), Some("11ac"));
    assert_eq!(whole.connection_info_stop.as_deref(), Some("bye"));
    assert_eq!((whole.interval_seconds, whole.reports), (Some(200), 3));
    assert_eq!(whole.identity, DEVICE);
    assert_eq!(whole.unique_id(), "00000000000000000000000000000001");
}

#[test]
fn a_session_whose_start_was_lost_began_when_its_session_time_did() {
    assert_eq!(
        session(&[Sent::new(INTERIM, 300).counts(200, 1, 1)]).started,
        at(100)
    );
    // Its Start, when it comes, knows better.
    let late = session(&[
        Sent::new(INTERIM, 300).counts(200, 1, 1),
        Sent::new(START, 310).number(41, 220),
    ]);
    assert_eq!(late.started, at(90));
    let stop = session(&[Sent::new(STOP, 300)]);
    assert_eq!((stop.started, stop.stopped), (at(300), Some(at(300))));
}

#[test]
fn a_stop_without_counters_keeps_those_that_are_known() {
    let whole = session(&[
        Sent::new(INTERIM, 300).counts(300, 10, 20),
        Sent::new(STOP, 500),
    ]);
    assert_eq!(
        (
            whole.session_seconds,
            whole.input_octets,
            whole.output_octets
        ),
        (300, 10, 20)
    );
    let zeros = session(&[
        Sent::new(INTERIM, 300).counts(300, 10, 20),
        Sent::new(STOP, 500).counts(0, 0, 0),
    ]);
    assert_eq!(
        (
            zeros.session_seconds,
            zeros.input_octets,
            zeros.output_octets
        ),
        (300, 10, 20)
    );
    assert!(!zeros.is_open());
}

#[test]
fn a_session_without_any_session_time_lasted_from_its_begin_to_its_end() {
    let mut whole = session(&[Sent::new(START, 0)]);
    assert_eq!(whole.session_seconds, 0);
    let change = whole.apply(&Sent::new(STOP, 90).read(), Tz::UTC);
    assert_eq!(whole.session_seconds, 90);
    assert_eq!(
        change
            .usage
            .iter()
            .map(|usage| usage.delta.seconds)
            .sum::<i64>(),
        90
    );
}

#[test]
fn a_report_after_the_stop_opens_the_session_only_when_counters_grew() {
    let stopped = [
        Sent::new(START, 0),
        Sent::new(STOP, 100).counts(100, 10, 10),
    ];
    let table = [
        (Sent::new(INTERIM, 110), false),
        (Sent::new(INTERIM, 110).counts(100, 10, 10), false),
        (Sent::new(INTERIM, 110).counts(90, 5, 5), false),
        (Sent::new(INTERIM, 200).counts(200, 10, 10), true),
        (Sent::new(INTERIM, 200).counts(100, 11, 10), true),
        // Reported late: the event was before the end.
        (
            Sent::new(INTERIM, 200).counts(90, 9, 9).number(41, 110),
            false,
        ),
        (Sent::new(START, 200).number(41, 200), false),
    ];
    for (late, opens) in table {
        let sent = [&stopped[..], &[late]].concat();
        let session = session(&sent);
        assert_eq!(
            session.is_open(),
            opens,
            "{:?}",
            sent.last().map(Sent::read)
        );
    }
}

#[test]
fn a_repeated_stop_ends_it_when_the_first_did() {
    let whole = session(&[
        Sent::new(STOP, 120).counts(100, 10, 10).number(49, 4),
        Sent::new(STOP, 100).counts(100, 10, 10).number(49, 4),
    ]);
    assert_eq!((whole.stopped, whole.session_seconds), (Some(at(100)), 100));
    assert_eq!(whole.terminate_cause.as_deref(), Some("Idle-Timeout"));
}

#[test]
fn a_restart_ends_for_good_and_late_counters_still_count() {
    let mut row = session(&[
        Sent::new(START, 0),
        Sent::new(INTERIM, 100).counts(100, 10, 10),
    ]);
    let restart = Restart {
        nas_id: NAS,
        nas_ip_address: String::new(),
        nas_identifier: String::new(),
        called_station_id: String::new(),
        at: at(150),
    };
    assert!(restart.covers(&row));
    assert_eq!(row.close_for_restart(&restart, Tz::UTC).turn, Turn::Stopped);
    assert_eq!(
        (row.stopped, row.terminate_cause.as_deref()),
        (Some(at(150)), Some(NAS_REBOOT))
    );
    let change = row.apply(&Sent::new(INTERIM, 200).counts(200, 30, 10).read(), Tz::UTC);
    assert_eq!(
        (row.stopped, change.turn, row.input_octets),
        (Some(at(150)), Turn::None, 30)
    );
    // Its real Stop was on the way.
    row.apply(
        &Sent::new(STOP, 210).number(41, 70).number(49, 1).read(),
        Tz::UTC,
    );
    assert_eq!(row.stopped, Some(at(150)), "it still grew after that Stop");
}

#[test]
fn an_end_by_hand_holds_until_the_device_goes_on() {
    let mut row = session(&[
        Sent::new(START, 0),
        Sent::new(INTERIM, 100).counts(100, 10, 10),
    ]);
    // Our clock is behind the device's.
    assert_eq!(
        row.close_by_hand(at(90), "Admin-Reset", Tz::UTC).turn,
        Turn::Stopped
    );
    assert_eq!(
        (row.stopped, row.terminate_cause.as_deref()),
        (Some(at(100)), Some("Admin-Reset"))
    );
    let change = row.apply(&Sent::new(INTERIM, 400).counts(400, 10, 10).read(), Tz::UTC);
    assert_eq!((row.stopped, change.turn), (None, Turn::Reopened));
}

#[test]
fn usage_belongs_to_the_local_day_of_the_event_in_any_order() {
    // Noon in UTC is one hour after midnight in Tongatapu (+13).
    let zone = Tz::Pacific__Tongatapu;
    let sent = [
        Sent::new(START, -7_200),
        Sent::new(INTERIM, -3_600 - 60).counts(3_540, 100, 1_000),
        Sent::new(STOP, 0).counts(7_200, 250, 3_000),
    ];
    let run = |order: [usize; 3]| {
        let mut row = Session::new(Uuid::from_u128(1), 0, &sent[order[0]].read());
        let mut days: BTreeMap<String, Totals> = BTreeMap::new();
        for place in order {
            for usage in row.apply(&sent[place].read(), zone).usage {
                let sum = days.entry(usage.period()).or_default();
                *sum = sum.plus(usage.delta);
            }
        }
        days
    };
    let expect = BTreeMap::from([
        (
            "2027-01-15".to_owned(),
            Totals {
                // Midnight is a minute after the report between: that minute's part belongs here.
                seconds: 3_600,
                input: 102,
                output: 1_032,
            },
        ),
        (
            "2027-01-16".to_owned(),
            Totals {
                seconds: 3_600,
                input: 148,
                output: 1_968,
            },
        ),
    ]);
    for order in [[0, 1, 2], [2, 1, 0], [2, 0, 1], [1, 2, 0]] {
        let mut days = run(order);
        days.retain(|_, totals| !totals.is_zero());
        assert_eq!(days, expect, "{order:?}");
    }
}

#[test]
fn what_was_used_before_the_person_was_known_is_theirs_too() {
    let mut unknown = Sent::new(INTERIM, 100).counts(100, 10, 10);
    unknown.entry.membership = None;
    let mut row = Session::new(Uuid::from_u128(1), 0, &unknown.read());
    assert_eq!(row.apply(&unknown.read(), Tz::UTC).usage, []);
    let change = row.apply(&Sent::new(STOP, 200).counts(200, 20, 20).read(), Tz::UTC);
    assert_eq!(
        change
            .usage
            .iter()
            .map(|usage| usage.delta.input)
            .sum::<i64>(),
        20
    );
}

/// How a device sends its upper halves.
#[derive(Debug, Clone, Copy)]
enum Gigawords {
    Never,
    Always,
    WhenNeeded,
}

#[derive(Debug, Clone)]
struct Step {
    seconds: i64,
    input: u64,
    output: u64,
    kind: u8,
}

fn history(steps: &[Step], gigawords: Gigawords, has_start: bool) -> Vec<Report> {
    let count = |total: u64| {
        let high = u32::try_from(total >> 32).unwrap();
        let high = match gigawords {
            Gigawords::Never => None,
            Gigawords::Always => Some(high),
            Gigawords::WhenNeeded => Some(high).filter(|high| *high > 0),
        };
        Some(Count {
            low: (total & u64::from(u32::MAX)) as u32,
            high,
        })
    };
    let mut reports = Vec::new();
    if has_start {
        reports.push(report(Status::Start, 0));
    }
    let (mut seconds, mut input, mut output) = (0, 0, 0);
    for step in steps {
        seconds += step.seconds;
        input += step.input;
        output += step.output;
        let status = if step.kind < 2 {
            Status::Stop
        } else {
            Status::Interim
        };
        let mut next = report(status, seconds);
        next.terminate_cause = status.ends().then(|| format!("cause {seconds}"));
        // A Stop without counters, now and then.
        if step.kind != 0 {
            next.session_seconds = Some(seconds);
            next.input = count(input);
            next.output = count(output);
        }
        reports.push(next);
    }
    reports
}

/// Totals, start, stop, cause, wraps, and the counters by day.
type Outcome = (
    Totals,
    Time,
    Option<Time>,
    Option<String>,
    i64,
    BTreeMap<i32, Totals>,
);

fn run(reports: &[&Report]) -> Outcome {
    let mut row = Session::new(Uuid::from_u128(1), 0, reports[0]);
    let mut days: BTreeMap<i32, Totals> = BTreeMap::new();
    for report in reports {
        // As stored and read again.
        row.ledger = Ledger::try_from(serde_json::to_string(&row.ledger).unwrap()).unwrap();
        for usage in row.apply(report, Tz::Europe__Rome).usage {
            let sum = days.entry(usage.day).or_default();
            *sum = sum.plus(usage.delta);
        }
    }
    days.retain(|_, totals| !totals.is_zero());
    (
        row.totals(),
        row.started,
        row.stopped,
        row.terminate_cause,
        row.wraps,
        days,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn order_and_repetition_of_reports_change_nothing(
        steps in prop::collection::vec(
            (1..20_000_i64, 0..2_147_483_648_u64, prop_oneof![Just(0_u64), 0..2_000_000_u64], 0..10_u8)
                .prop_map(|(seconds, input, output, kind)| Step { seconds, input, output, kind }),
            1..14,
        ),
        gigawords in prop_oneof![Just(Gigawords::Never), Just(Gigawords::Always), Just(Gigawords::WhenNeeded)],
        has_start in any::<bool>(),
        order in prop::collection::vec(any::<prop::sample::Index>(), 40),
    ) {
        let reports = history(&steps, gigawords, has_start);
        let in_order: Vec<&Report> = reports.iter().collect();
        // All of them in some order, repeated ones in between.
        let mut mixed: Vec<&Report> = reports.iter().collect();
        for (place, index) in order.iter().enumerate() {
            if place % 2 == 0 && !mixed.is_empty() {
                let moved = mixed.remove(index.index(mixed.len()));
                mixed.push(moved);
            } else {
                mixed.insert(index.index(mixed.len()), index.get(&reports));
            }
        }
        let expect = run(&in_order);
        prop_assert_eq!(run(&mixed), expect.clone());
        let (totals, .., days) = expect;
        let sum = days.values().fold(Totals::default(), |sum, day| sum.plus(*day));
        prop_assert_eq!(sum, totals, "the days add up to the session");
    }
}
