//! Quotas, plans, and sessions at once.

use super::*;
use crate::activity::Going;
use crate::limit::Period;
use crate::plan::{PlanId, Terms};
use usage::Totals;

fn plan(name: &str, terms: Terms, when_spent: Option<Arc<PlanFacts>>) -> Arc<PlanFacts> {
    let id = PlanId(Uuid::from_u128(name.len() as u128));
    Arc::new(PlanFacts::new(id, name.into(), Some(terms), when_spent))
}

fn limited(limits: &[&str]) -> Terms {
    Terms {
        limits: limits
            .iter()
            .map(|text| text.parse().expect("a limit"))
            .collect(),
        ..Terms::default()
    }
}

fn totals(seconds: i64, input: i64, output: i64) -> Totals {
    Totals {
        seconds,
        input,
        output,
    }
}

fn in_plan(terms: Terms, used: &[(Period, Totals)]) -> Case {
    let mut case = Case::new();
    case.groups = vec![("users", rules(""))];
    case.plan = Some(plan("gold", terms, None));
    case.activity = Activity::of(used, &[]);
    case
}

fn granted(case: Case) -> Grant {
    match case.decide() {
        (Decision::Accept(grant), _) => grant,
        (Decision::Refuse(refused), trace) => panic!("{}: {trace:?}", refused.word),
    }
}

#[test]
fn of_any_number_of_limits_the_least_that_is_left_wins() {
    let terms = limited(&["8 h/day", "20 h/week", "5 GB/month", "up 1 GB/day", "6 GB"]);
    let used = [
        (Period::Day, totals(3_600, 400_000_000, 0)),
        (Period::Week, totals(70_000, 0, 0)),
        (Period::Month, totals(0, 1_000_000_000, 3_000_000_000)),
        (Period::Ever, totals(0, 2_000_000_000, 3_500_000_000)),
    ];
    let grant = granted(in_plan(terms.clone(), &used));
    assert_eq!(grant.session_timeout_seconds, Some(2_000), "of the week");
    let octets = Octets {
        up: Some(600_000_000),
        down: None,
        total: Some(500_000_000),
    };
    assert_eq!(grant.octets, octets);
    assert_eq!(
        grant.plan.map(|plan| plan.name.clone()).as_deref(),
        Some("gold")
    );
    // Nothing was used: noon, twelve hours before midnight.
    let grant = granted(in_plan(terms, &[]));
    assert_eq!(grant.session_timeout_seconds, Some(8 * 3_600));
}

#[test]
fn a_limit_that_is_spent_refuses_or_lets_another_plan_take_its_place() {
    let spent = [(Period::Month, totals(0, 0, 5_000_000_000))];
    let case = in_plan(limited(&["5 GB/month"]), &spent);
    assert!(matches!(
        case.decide(),
        (Decision::Refuse(refused), _) if refused.word == Refusal::QuotaSpent
    ));
    let slow = plan("slow", limited(&["1 h/day"]), None);
    let mut case = in_plan(Terms::default(), &spent);
    case.plan = Some(plan("gold", limited(&["5 GB/month"]), Some(slow.clone())));
    let grant = granted(case);
    assert_eq!(
        grant.plan.map(|plan| plan.name.clone()).as_deref(),
        Some("slow")
    );
    assert_eq!(grant.session_timeout_seconds, Some(3_600));
    assert!(grant.octets.is_unlimited());
    let mut case = in_plan(
        Terms::default(),
        &[spent[0], (Period::Day, totals(3_600, 0, 0))],
    );
    case.plan = Some(plan("gold", limited(&["5 GB/month"]), Some(slow)));
    assert!(matches!(
        case.decide(),
        (Decision::Refuse(refused), _) if refused.word == Refusal::QuotaSpent
    ));
}

#[test]
fn limits_of_rows_are_held_in_freeradius_and_openwisp_words() {
    for (rule, period, used, expect) in [
        (
            "Max-Daily-Session := 10800",
            Period::Day,
            totals(10_000, 0, 0),
            Ok(Some(800)),
        ),
        (
            "Max-Daily-Session := 10800",
            Period::Day,
            totals(10_800, 0, 0),
            Err(Refusal::QuotaSpent),
        ),
        (
            "Max-Weekly-Session := 100",
            Period::Week,
            totals(101, 0, 0),
            Err(Refusal::QuotaSpent),
        ),
        (
            "Max-All-Session := 100",
            Period::Ever,
            totals(90, 0, 0),
            Ok(Some(10)),
        ),
        (
            "Max-Daily-Session-Traffic := 3000",
            Period::Day,
            totals(0, 1_000, 1_999),
            Ok(None),
        ),
        (
            "Max-Daily-Session-Traffic := 3000",
            Period::Day,
            totals(0, 1_000, 2_000),
            Err(Refusal::QuotaSpent),
        ),
        (
            "Max-Monthly-Session-Traffic := 3000",
            Period::Month,
            totals(0, 3_000, 0),
            Err(Refusal::QuotaSpent),
        ),
    ] {
        let change = |c: &mut Case| {
            c.member.standing = own(rule);
            c.activity = Activity::of(&[(period, used)], &[]);
        };
        check(change, expect);
    }
    // A group with a daily and a monthly limit of traffic, and more left than 32 bits hold.
    let mut case = Case::new();
    case.member.standing =
        own("Max-Daily-Session-Traffic := 9000000000\nMax-Monthly-Session-Traffic := 20000000000");
    case.activity = Activity::of(&[], &[]);
    assert_eq!(granted(case).octets.total, Some(9_000_000_000));
}

#[test]
fn sessions_and_devices_at_once_are_counted_without_the_one_that_asks() {
    let going = |device, is_asker, is_stale| Going {
        device,
        is_asker,
        is_stale,
    };
    let two = [going(1, false, false), going(2, false, false)];
    let same = [going(1, false, false), going(1, false, false)];
    let mine = [going(1, false, false), going(9, true, false)];
    let stale = [going(1, false, false), going(2, false, true)];
    let many = Err(Refusal::TooManySessions);
    for (rule, devices, going, expect) in [
        ("Simultaneous-Use := 2", None, &two, many),
        ("Simultaneous-Use := 3", None, &two, Ok(None)),
        ("Simultaneous-Use := 2", None, &mine, Ok(None)),
        ("Simultaneous-Use := 2", None, &stale, Ok(None)),
        ("Simultaneous-Use := 1", None, &stale, many),
        ("Simultaneous-Use := 0", None, &two, Ok(None)),
        ("", Some(2), &same, Ok(None)),
        ("", Some(2), &two, many),
    ] {
        let change = |c: &mut Case| {
            c.groups = vec![("users", rules(rule))];
            c.plan = devices.map(|devices| {
                let terms = Terms {
                    devices: Some(devices),
                    ..Terms::default()
                };
                plan("gold", terms, None)
            });
            c.activity = Activity::of(&[], going);
        };
        check(change, expect);
    }
}

#[test]
fn nobody_is_held_to_what_is_not_known() {
    let trace = check(
        |c| {
            c.member.standing = own("Simultaneous-Use := 1\nMax-Daily-Session := 60");
            c.groups = vec![("users", rules(""))];
            c.plan = Some(plan("gold", limited(&["1 GB/day"]), None));
        },
        Ok(None),
    );
    let skipped = trace
        .steps
        .iter()
        .filter(|step| step.outcome == Outcome::Skip);
    assert_eq!(skipped.count(), 3, "{trace:?}");
}

#[test]
fn a_plan_has_hours_and_a_longest_session_and_one_that_is_damaged_lets_nobody_in() {
    let hours = Terms {
        hours: Some("Wk0800-1300".into()),
        session_seconds: Some(7_200),
        ..Terms::default()
    };
    assert_eq!(
        granted(in_plan(hours, &[])).session_timeout_seconds,
        Some(3_600)
    );
    let closed = Terms {
        hours: Some("Wk1300-1400".into()),
        ..Terms::default()
    };
    assert!(matches!(
        in_plan(closed, &[]).decide(),
        (Decision::Refuse(refused), _) if refused.word == Refusal::OutsideHours
    ));
    let mut case = in_plan(Terms::default(), &[]);
    let id = PlanId(Uuid::nil());
    case.plan = Some(Arc::new(PlanFacts::new(id, "torn".into(), None, None)));
    assert!(matches!(
        case.decide(),
        (Decision::Refuse(refused), _) if refused.word == Refusal::CheckFailed
    ));
}

#[test]
fn an_organisation_has_a_limit_of_its_own() {
    let going = |is_asker| Going {
        device: 1,
        is_asker,
        is_stale: false,
    };
    for (open, is_asker, expect) in [
        (4, false, Ok(None)),
        (5, false, Err(Refusal::TooManySessions)),
        (5, true, Ok(None)),
        (6, true, Err(Refusal::TooManySessions)),
    ] {
        let change = |c: &mut Case| {
            c.organisation.most_sessions = Some(5);
            c.activity = Activity::of(&[], &[going(is_asker)]);
            c.activity.of_organisation = open;
        };
        check(change, expect);
    }
}
