use super::*;
use crate::testing::{INTERIM, NAS, START, STOP, Sent, at};
use chrono_tz::Tz;
use kernel::id::Uuid;

/// One session per list of reports, places in the order given.
fn rows(sessions: &[&[Sent]]) -> Vec<Session> {
    let make = |(place, sent): (usize, &&[Sent])| {
        let mut row = Session::new(
            Uuid::from_u128(place as u128),
            place as i64,
            &sent[0].read(),
        );
        for sent in *sent {
            row.apply(&sent.read(), Tz::UTC);
        }
        row
    };
    sessions.iter().enumerate().map(make).collect()
}

fn restart(seconds: i64) -> Restart {
    Restart {
        nas_id: NAS,
        nas_ip_address: String::new(),
        nas_identifier: String::new(),
        called_station_id: String::new(),
        at: at(seconds),
    }
}

fn check(sessions: &[&[Sent]], sent: &Sent, restarts: &[Restart], expect: Option<usize>) {
    let rows = rows(sessions);
    assert_eq!(
        choose(&rows, &sent.read(), restarts),
        expect,
        "{:?}",
        sent.read()
    );
}

#[test]
fn reports_of_one_session_find_it() {
    let open: &[Sent] = &[
        Sent::new(START, 0),
        Sent::new(INTERIM, 300).counts(300, 10, 10),
    ];
    let stopped: &[Sent] = &[
        Sent::new(START, 0),
        Sent::new(STOP, 300).counts(300, 10, 10),
    ];
    for row in [open, stopped] {
        for sent in [
            Sent::new(START, 0),
            Sent::new(START, 5),
            Sent::new(INTERIM, 600).counts(600, 20, 20),
            Sent::new(INTERIM, 600),
            Sent::new(INTERIM, 310).counts(200, 5, 5),
            Sent::new(STOP, 300).counts(300, 10, 10),
            Sent::new(STOP, 400),
            // A device whose session time stands still.
            Sent::new(INTERIM, 900).counts(300, 20, 20),
        ] {
            check(&[row], &sent, &[], Some(0));
        }
    }
    // A second Start, with the device's address.
    check(
        &[&[Sent::new(START, 0)]],
        &Sent::new(START, 30),
        &[],
        Some(0),
    );
    // The Start comes last, after reports without a session time.
    check(
        &[&[Sent::new(INTERIM, 3_000)]],
        &Sent::new(START, 0),
        &[],
        Some(0),
    );
}

#[test]
fn an_id_used_again_is_another_session() {
    let stopped: &[Sent] = &[
        Sent::new(START, 0),
        Sent::new(STOP, 300).counts(300, 10, 10),
    ];
    check(&[stopped], &Sent::new(START, 301), &[], None);
    check(
        &[stopped],
        &Sent::new(INTERIM, 500).counts(100, 1, 1),
        &[],
        None,
    );
    let open: &[Sent] = &[
        Sent::new(START, 0),
        Sent::new(INTERIM, 300).counts(300, 10, 10),
    ];
    check(&[open], &Sent::new(START, 400), &[], None);
    check(
        &[open],
        &Sent::new(INTERIM, 500).counts(100, 1, 1),
        &[],
        None,
    );
    check(&[], &Sent::new(START, 0), &[], None);
}

#[test]
fn a_restart_parts_sessions() {
    let open: &[Sent] = &[
        Sent::new(START, 0),
        Sent::new(INTERIM, 300).counts(300, 10, 10),
    ];
    check(&[open], &Sent::new(START, 310), &[restart(305)], None);
    check(&[open], &Sent::new(INTERIM, 400), &[restart(305)], None);
    // The late Stop of what the restart ended.
    check(&[open], &Sent::new(STOP, 400), &[restart(305)], Some(0));
    check(
        &[open],
        &Sent::new(INTERIM, 400).counts(400, 20, 20),
        &[restart(305)],
        Some(0),
    );
    // A session of after the restart.
    check(
        &[&[Sent::new(START, 310)]],
        &Sent::new(INTERIM, 400),
        &[restart(305)],
        Some(0),
    );
}

#[test]
fn late_reports_of_an_earlier_session_find_it_or_make_it() {
    let early: &[Sent] = &[
        Sent::new(START, 0),
        Sent::new(STOP, 300).counts(300, 10, 10),
    ];
    let later: &[Sent] = &[
        Sent::new(START, 2_000),
        Sent::new(INTERIM, 2_600).counts(600, 10, 10),
    ];
    for (sent, expect) in [
        (Sent::new(INTERIM, 200).counts(200, 5, 5), Some(0)),
        (Sent::new(INTERIM, 200), Some(0)),
        (Sent::new(INTERIM, 3_000).counts(1_000, 5, 5), Some(1)),
        (Sent::new(INTERIM, 3_000), Some(1)),
        (Sent::new(START, 2_000), Some(1)),
    ] {
        check(&[early, later], &sent, &[], expect);
        check(&[later, early], &sent, &[], expect.map(|place| 1 - place));
    }
    let late = Sent::new(STOP, 300).counts(300, 10, 10);
    check(&[later], &late, &[], None);
    // The same from a node whose clock had been past the later one's begin is no late report.
    let mut report = late.read();
    report.latest = at(2_000);
    assert_eq!(choose(&rows(&[later]), &report, &[]), Some(0));
}

#[test]
fn an_open_session_whose_id_went_to_a_later_one_is_over() {
    let rows = rows(&[&[Sent::new(START, 0)], &[Sent::new(START, 500)]]);
    assert_eq!(replaced(rows.iter()), [(0, at(500))]);
}

#[test]
fn a_restart_is_of_the_box_that_it_names() {
    let sent = Sent::new(START, 0)
        .put(4, &[10, 0, 0, 1])
        .put(32, b"ap1")
        .put(30, b"AA-BB-CC-DD-EE-01:Guest");
    let row = rows(&[&[sent]]).remove(0);
    let table = [
        (("", "", ""), true),
        (("10.0.0.1", "ap1", ""), true),
        (("10.0.0.2", "", ""), false),
        (("", "ap2", ""), false),
        (("", "", "aa-bb-cc-dd-ee-01:guest"), true),
        (("", "", "AA:BB:CC:DD:EE:01"), true),
        (("", "", "AA-BB-CC-DD-EE-01:Staff"), false),
    ];
    for ((address, identifier, called), expect) in table {
        let named = Restart {
            nas_ip_address: address.into(),
            nas_identifier: identifier.into(),
            called_station_id: called.into(),
            ..restart(100)
        };
        assert_eq!(named.covers(&row), expect, "{named:?}");
        assert!(
            !Restart {
                at: at(-1),
                ..named
            }
            .covers(&row),
            "it began later"
        );
    }
}

#[test]
fn within_one_second_a_restart_parts_sessions_only_by_our_own_clock() {
    let moment = |millis: i64| at(0).plus_millis(millis);
    let check = |started: i64, restarted: i64, begin: i64, expect: Option<usize>| {
        let mut first = Sent::new(START, 0);
        first.entry.received = moment(started);
        let mut second = Sent::new(START, 0);
        second.entry.received = moment(begin);
        let restart = Restart {
            at: moment(restarted),
            ..restart(0)
        };
        let rows = rows(&[&[first]]);
        assert_eq!(
            choose(&rows, &second.read(), &[restart]),
            expect,
            "{started} {restarted} {begin}"
        );
    };
    check(100, 200, 300, None);
    check(100, 200, 200, None);
    // Both before the restart, or both behind it.
    check(100, 200, 150, Some(0));
    check(250, 200, 300, Some(0));
    // A whole second may be a time stamp of the NAS, and was rounded.
    check(100, 200, 1_000, Some(0));
    check(100, 1_000, 1_100, Some(0));
    check(0, 200, 300, Some(0));
}
