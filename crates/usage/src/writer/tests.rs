use super::*;
use crate::applied::Was;
use crate::testing::{
    INTERIM, MEMBER, NAS, ON, ORGANISATION, START, STOP, Sent, at, house, origin, utc,
};
use crate::{ListFilter, close_restarted, list};
use kernel::Scope;

fn life() -> [Sent; 3] {
    [
        Sent::new(START, 0),
        Sent::new(INTERIM, 300).counts(300, 10, 100),
        Sent::new(STOP, 500).counts(500, 30, 300).number(49, 1),
    ]
}

fn usage_of_life() -> Vec<(String, String, i64)> {
    let day = |counter: &str, value| (counter.to_owned(), "2027-01-15".to_owned(), value);
    vec![
        day("input_octets", 30),
        day("output_octets", 300),
        day("seconds", 500),
    ]
}

#[tokio::test]
async fn a_batch_becomes_rows_counters_news_and_a_checkpoint() {
    let house = house().await;
    let applied = house.apply(&life()).await;
    let rows = house.sessions().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(applied.sessions.len(), 1);
    let told = &applied.sessions[0];
    assert_eq!(told.session, rows[0], "what is told is what is stored");
    assert_eq!(
        (told.was, told.has_stopped(), told.has_started()),
        (Was::Unknown, true, false)
    );
    assert_eq!(rows[0].stopped, Some(at(500)));
    assert_eq!(
        (
            rows[0].membership_id,
            rows[0].nas_id,
            rows[0].organisation_id
        ),
        (Some(MEMBER), NAS, ORGANISATION)
    );
    assert_eq!(house.usage().await, usage_of_life());
    assert_eq!(
        checkpoint(&house.kernel.db, &origin()).await.ok(),
        Some(Position(3))
    );
    assert_eq!(
        house.news().await,
        [(REPORTS_APPLIED.to_owned(), applied.batch)]
    );
}

#[tokio::test]
async fn a_batch_applied_again_changes_nothing() {
    let house = house().await;
    let items = house.journalled(&life());
    house.apply_items(&items).await;
    let (rows, usage, news) = (
        house.sessions().await,
        house.usage().await,
        house.news().await,
    );
    let again = house.apply_items(&items).await;
    assert_eq!((again.repeated, again.sessions.len()), (3, 0));
    // A batch that begins before the checkpoint and ends behind it.
    let more = house.journalled(&[Sent::new(STOP, 510)
        .counts(500, 30, 300)
        .number(49, 1)
        .again()]);
    let overlapping = [&items[1..], &more].concat();
    assert_eq!(house.apply_items(&overlapping).await.repeated, 2);
    assert_eq!(house.usage().await, usage);
    assert_eq!(house.sessions().await[0].reports, rows[0].reports + 1);
    assert_eq!(house.sessions().await[0].stopped, rows[0].stopped);
    assert_eq!(house.news().await.len(), news.len() + 1);
}

#[tokio::test]
async fn batches_may_be_cut_and_ordered_anyhow() {
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let house = house().await;
        for place in order {
            house.apply(&[life()[place].clone()]).await;
        }
        let rows = house.sessions().await;
        assert_eq!(rows.len(), 1, "{order:?}");
        assert_eq!(
            (rows[0].started, rows[0].stopped),
            (at(0), Some(at(500))),
            "{order:?}"
        );
        assert_eq!(rows[0].terminate_cause.as_deref(), Some("User-Request"));
        assert_eq!(house.usage().await, usage_of_life(), "{order:?}");
    }
}

#[tokio::test]
async fn a_session_stops_once_for_the_caller() {
    let house = house().await;
    let stops = |applied: &Applied| {
        applied
            .sessions
            .iter()
            .filter(|session| session.has_stopped())
            .count()
    };
    let [start, interim, stop] = life();
    let first = house.apply(&[start]).await;
    assert_eq!((first.sessions[0].has_started(), stops(&first)), (true, 0));
    assert_eq!(stops(&house.apply(std::slice::from_ref(&interim)).await), 0);
    assert_eq!(stops(&house.apply(std::slice::from_ref(&stop)).await), 1);
    assert_eq!(stops(&house.apply(&[stop, interim]).await), 0);
    let reopened = house
        .apply(&[Sent::new(INTERIM, 900).counts(900, 40, 400)])
        .await;
    assert!(reopened.sessions[0].has_reopened());
    assert_eq!(
        stops(
            &house
                .apply(&[Sent::new(STOP, 950).counts(950, 40, 400)])
                .await
        ),
        1
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_kept_whole_and_holds_nothing_up() {
    let house = house().await;
    let mut items = house.journalled(&[Sent::bare(START, 0), Sent::new(START, 0)]);
    let bad = Entry::decode(&[9, 9]).unwrap_err();
    items.push((Position(3), Err(bad)));
    let applied = house.apply_items(&items).await;
    assert_eq!((applied.unreadable, applied.sessions.len()), (2, 1));
    assert_eq!(house.unreadable().await, 2);
}

#[tokio::test]
async fn records_of_other_kinds_move_the_checkpoint() {
    let house = house().await;
    let stretch = Stretch {
        after: Position(0),
        upto: Position(7),
    };
    let outcome = apply_batch(&house.kernel, &origin(), stretch, &[], utc).await;
    assert!(matches!(outcome, Ok(Outcome::Applied(applied)) if applied.sessions.is_empty()));
    assert_eq!(
        checkpoint(&house.kernel.db, &origin()).await.ok(),
        Some(Position(7))
    );
    assert!(house.news().await.is_empty());
}

#[tokio::test]
async fn an_id_used_again_makes_a_generation_and_ends_the_one_before() {
    let house = house().await;
    house
        .apply(&[
            Sent::new(START, 0),
            Sent::new(INTERIM, 300).counts(300, 10, 10),
        ])
        .await;
    let applied = house
        .apply(&[
            Sent::new(START, 1_000),
            Sent::new(INTERIM, 1_300).counts(300, 7, 7),
        ])
        .await;
    let rows = house.sessions().await;
    let seen: Vec<_> = rows
        .iter()
        .map(|row| (row.generation, row.started, row.stopped))
        .collect();
    assert_eq!(seen, [(0, at(0), Some(at(1_000))), (1, at(1_000), None)]);
    assert_eq!(rows[0].terminate_cause.as_deref(), Some("Lost-Carrier"));
    assert_eq!(
        applied
            .sessions
            .iter()
            .filter(|session| session.has_stopped())
            .count(),
        1
    );
    assert_eq!(house.usage().await[0].2, 17, "both count");
}

#[tokio::test]
async fn two_devices_with_one_id_are_two_sessions() {
    let house = house().await;
    let other = Sent::bare(START, 0)
        .put(44, b"s1")
        .put(31, b"02-00-00-00-00-02");
    house.apply(&[Sent::new(START, 0), other]).await;
    assert_eq!(house.sessions().await.len(), 2);
}

#[tokio::test]
async fn a_restart_closes_by_definition_and_then_in_the_rows() {
    let house = house().await;
    let second = Sent::bare(START, 10)
        .put(44, b"s2")
        .put(31, b"02-00-00-00-00-02");
    house.apply(&[Sent::new(START, 0), second]).await;
    let on = Sent::bare(ON, 100);
    let after = Sent::bare(START, 110)
        .put(44, b"s3")
        .put(31, b"02-00-00-00-00-03");
    let applied = house.apply(&[on.clone(), after]).await;
    assert_eq!(applied.restarts.len(), 1);
    assert!(
        house
            .news()
            .await
            .contains(&(restart::NAS_RESTARTED.to_owned(), NAS))
    );
    // Before the rows follow, every reader knows already.
    assert_eq!(
        house
            .sessions()
            .await
            .iter()
            .filter(|row| row.is_open())
            .count(),
        3
    );
    let open = ListFilter {
        is_open: Some(true),
        ..ListFilter::default()
    };
    let closed = ListFilter {
        is_open: Some(false),
        ..ListFilter::default()
    };
    let db = &house.kernel.db;
    assert_eq!(
        list::list(db, Scope::Everything, &open)
            .await
            .unwrap()
            .sessions
            .len(),
        1
    );
    assert_eq!(
        list::list(db, Scope::Everything, &closed)
            .await
            .unwrap()
            .sessions
            .len(),
        2
    );
    let loaded = list::open_sessions(db, Scope::Everything, None)
        .await
        .unwrap();
    assert_eq!(loaded.iter().filter(|row| row.is_open()).count(), 1);
    // The rows follow, once.
    let mut told = Vec::new();
    assert_eq!(
        close_restarted(&house.kernel, utc, |session| told.push(session))
            .await
            .ok(),
        Some(2)
    );
    assert!(
        told.iter()
            .all(|session| session.has_stopped() && session.session.stopped == Some(at(100)))
    );
    assert_eq!(
        close_restarted(&house.kernel, utc, |_| ()).await.ok(),
        Some(0)
    );
    let rows = house.sessions().await;
    assert_eq!(rows.iter().filter(|row| row.is_open()).count(), 1);
    // An Accounting-On that is repeated, or an older Off, changes nothing.
    house.apply(&[on, Sent::bare(8, 90)]).await;
    assert_eq!(
        close_restarted(&house.kernel, utc, |_| ()).await.ok(),
        Some(0)
    );
    assert_eq!(house.sessions().await, rows);
}

#[tokio::test]
async fn a_session_first_heard_of_after_the_restart_that_ended_it_is_closed() {
    let house = house().await;
    house.apply(&[Sent::bare(ON, 100)]).await;
    close_restarted(&house.kernel, utc, |_| ()).await.unwrap();
    house.apply(&[Sent::new(START, 120).number(41, 70)]).await;
    let rows = house.sessions().await;
    assert_eq!((rows[0].started, rows[0].stopped), (at(50), Some(at(100))));
    // And its id is free for another.
    house.apply(&[Sent::new(START, 130)]).await;
    assert_eq!(
        house
            .sessions()
            .await
            .iter()
            .filter(|row| row.is_open())
            .count(),
        1
    );
}

#[tokio::test]
async fn history_takes_what_is_old_and_gives_it_back_to_a_late_report() {
    let house = house().await;
    house.apply(&life()).await;
    house.clock.advance_seconds(47 * 3_600);
    assert_eq!(crate::age_out(&house.kernel).await.ok(), Some(0));
    house.clock.advance_seconds(2 * 3_600);
    assert_eq!(crate::age_out(&house.kernel).await.ok(), Some(1));
    assert_eq!(
        (house.sessions().await.len(), house.past().await.len()),
        (0, 1)
    );
    let found = list::find(&house.kernel.db, Scope::Everything, "s1")
        .await
        .unwrap();
    assert_eq!(found, house.past().await, "readers see no difference");
    // A NAS that kept a report for two days.
    let late = Sent::new(INTERIM, 2 * 86_400)
        .number(41, 2 * 86_400 - 400)
        .counts(400, 20, 200);
    let applied = house.apply(&[late]).await;
    assert_eq!(
        (applied.sessions[0].was, applied.sessions[0].has_stopped()),
        (Was::Stopped, false)
    );
    assert_eq!(
        (house.sessions().await.len(), house.past().await.len()),
        (1, 0)
    );
    assert_eq!(house.sessions().await[0].stopped, Some(at(500)));
    assert_eq!(house.usage().await, usage_of_life());
    // An id used again leaves history alone and takes the next generation.
    assert_eq!(crate::age_out(&house.kernel).await.ok(), Some(1));
    house.apply(&[Sent::new(START, 3 * 86_400)]).await;
    assert_eq!(
        (
            house.sessions().await[0].generation,
            house.past().await.len()
        ),
        (1, 1)
    );
    let gone = crate::forget_sessions(&house.kernel, at(501)).await;
    assert_eq!((gone.ok(), house.past().await.len()), (Some(1), 0));
}

#[tokio::test]
async fn a_person_known_later_gets_what_was_used_before() {
    let house = house().await;
    let mut unknown = life()[1].clone();
    unknown.entry.membership = None;
    house.apply(&[unknown]).await;
    assert!(house.usage().await.is_empty());
    house.apply(&[life()[2].clone()]).await;
    assert_eq!(house.usage().await, usage_of_life());
}

#[tokio::test]
async fn a_retransmission_that_was_journalled_again_counts_no_report_more() {
    let house = house().await;
    let [start, interim, stop] = life();
    house.apply(&[start.clone(), interim.clone()]).await;
    let later = |sent: &Sent| {
        let mut sent = sent.clone();
        sent.entry.received = sent.entry.received.plus_seconds(9);
        sent
    };
    house
        .apply(&[later(&start), later(&interim), stop.clone()])
        .await;
    house.apply(&[later(&stop)]).await;
    let rows = house.sessions().await;
    assert_eq!((rows.len(), rows[0].reports), (1, 3));
    assert_eq!(rows[0].stopped, Some(at(500)));
    assert_eq!(house.usage().await, usage_of_life());
}

/// Applies single reports for a node of its own, as its writer would.
async fn node(kernel: &Kernel, name: &str, sent: &[Sent]) {
    for (place, sent) in sent.iter().enumerate() {
        let position = Position(place as u64 + 1);
        let origin = Origin {
            node: name.to_owned(),
            journal: "j".to_owned(),
        };
        let items = [(position, Ok(sent.entry.clone()))];
        let mut tries = 0;
        // Both may make the same session at once: the second try finds it.
        let stretch = Stretch {
            after: Position(place as u64),
            upto: position,
        };
        while let Err(error) = apply_batch(kernel, &origin, stretch, &items, utc).await {
            tries += 1;
            assert!(tries < 5 && error.is_duplicate(), "{error}");
        }
    }
}

#[tokio::test]
async fn two_nodes_that_hear_of_the_same_sessions_meet_in_their_rows() {
    let house = house().await;
    let mut sent = Vec::new();
    for report in 0..6_u32 {
        for session in 0..8_u8 {
            let seconds = i64::from(report) * 100;
            let status = [START, INTERIM, INTERIM, INTERIM, INTERIM, STOP][report as usize];
            let counts = Sent::bare(status, seconds)
                .put(44, &[b'a' + session])
                .put(31, b"02-00-00-00-00-09");
            sent.push(counts.counts(report * 100, report * 7, report * 9));
        }
    }
    // The one hears them in order, the other the other way round; half of them both hear.
    let (first, second) = (
        &sent[..36],
        sent[12..].iter().rev().cloned().collect::<Vec<_>>(),
    );
    tokio::join!(
        node(&house.kernel, "n1", first),
        node(&house.kernel, "n2", &second)
    );
    let rows = house.sessions().await;
    assert_eq!(rows.len(), 8);
    assert!(
        rows.iter()
            .all(|row| row.stopped == Some(at(500)) && row.input_octets == 35)
    );
    let usage: Vec<i64> = house.usage().await.into_iter().map(|row| row.2).collect();
    assert_eq!(usage, [8 * 35, 8 * 45, 8 * 500]);
}

#[tokio::test]
async fn a_batch_that_does_not_follow_what_sql_has_is_refused_whole() {
    let house = house().await;
    let items = house.journalled(&life());
    house.apply_items(&items[..1]).await;
    let stretch = Stretch {
        after: Position(2),
        upto: Position(3),
    };
    let outcome = apply_batch(&house.kernel, &origin(), stretch, &items[2..], utc).await;
    assert_eq!(outcome.ok(), Some(Outcome::Behind(Position(1))));
    assert_eq!(house.sessions().await[0].reports, 1);
    assert_eq!(
        checkpoint(&house.kernel.db, &origin()).await.ok(),
        Some(Position(1))
    );
}

#[tokio::test]
async fn a_restart_that_a_row_does_not_follow_yet_stays_unsettled() {
    let house = house().await;
    house.apply(&[Sent::new(START, 0)]).await;
    house.apply(&[Sent::bare(ON, 100)]).await;
    let unsettled = async || {
        crate::restart::unsettled(&house.kernel.db)
            .await
            .unwrap()
            .len()
    };
    // A transaction that began before the restart may still bring a row.
    house.clock.advance_seconds(110);
    close_restarted(&house.kernel, utc, |_| ()).await.unwrap();
    assert_eq!(unsettled().await, 1);
    house.clock.advance_seconds(60);
    close_restarted(&house.kernel, utc, |_| ()).await.unwrap();
    assert_eq!(unsettled().await, 0);
}

#[tokio::test]
async fn a_restart_reads_the_sessions_of_its_box_and_no_others() {
    use crate::session::store::{Held, open_before};
    let house = house().await;
    let sent = |name: &str, address: u8, identifier: &str, called: &str| {
        Sent::bare(START, 0)
            .put(44, name.as_bytes())
            .put(4, &[10, 0, 0, address])
            .put(32, identifier.as_bytes())
            .put(30, called.as_bytes())
    };
    house
        .apply(&[
            sent("a", 1, "ap1", "AA-BB-CC-DD-EE-01:Guest"),
            sent("b", 1, "ap1", "aabb.ccdd.ee02:Guest"),
            sent("c", 2, "ap2", "AA_BB_CC_DD_EE_01_Staff"),
        ])
        .await;
    let mut tx = house.kernel.db.begin().await.unwrap();
    for (address, identifier, called, expect) in [
        ("", "", "", vec!["a", "b", "c"]),
        ("10.0.0.1", "", "", vec!["a", "b"]),
        ("10.0.0.1", "ap2", "", vec![]),
        ("", "ap2", "", vec!["c"]),
        ("", "", "aa:bb:cc:dd:ee:01", vec!["a", "c"]),
        ("", "", "AABB.CCDD.EE02:guest", vec!["b"]),
        ("", "", "AA-BB-CC-DD-EE-01:Staff", vec![]),
    ] {
        let restart = Restart {
            nas_id: NAS,
            nas_ip_address: address.into(),
            nas_identifier: identifier.into(),
            called_station_id: called.into(),
            at: at(100),
        };
        let mut seen = Vec::new();
        let rows = open_before(&mut tx, &restart, Held::Skipped, &Default::default(), 100)
            .await
            .unwrap();
        for row in &rows {
            assert!(restart.covers(row), "{restart:?} {row:?}");
            seen.push(row.acct_session_id.as_str());
        }
        seen.sort_unstable();
        assert_eq!(seen, expect, "{restart:?}");
    }
}

#[tokio::test]
async fn a_session_that_another_node_brought_back_first_is_tried_again_and_not_given_up() {
    let house = house().await;
    house.apply(&life()).await;
    let id = house.sessions().await[0].id;
    let mut tx = house.kernel.db.begin().await.unwrap();
    let outcome = store::restore(&mut tx, id).await;
    assert!(matches!(outcome, Err(Error::Conflict(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_report_of_a_session_in_history_finds_it_beside_a_later_one_of_the_same_id() {
    let house = house().await;
    house.apply(&life()).await;
    house.clock.advance_seconds(49 * 3_600);
    crate::age_out(&house.kernel).await.unwrap();
    let later = 49 * 3_600;
    house.apply(&[Sent::new(START, later)]).await;
    // Its begin says which one is meant.
    let late = Sent::new(INTERIM, later + 60)
        .number(41, 49 * 3_600)
        .counts(60, 5, 50);
    house.apply(&[late]).await;
    let rows = house.sessions().await;
    let seen: Vec<_> = rows
        .iter()
        .map(|row| (row.generation, row.reports))
        .collect();
    assert_eq!(seen, [(0, 4), (1, 1)]);
    assert!(house.past().await.is_empty());
}

#[tokio::test]
async fn a_person_known_late_gets_every_day_of_a_long_session() {
    let house = house().await;
    let report = |hour: u32| {
        let seconds = hour * 3_600;
        Sent::new(INTERIM, i64::from(seconds)).counts(seconds, hour * 10, hour * 100)
    };
    // More days than there is room for their reports.
    let mut sent: Vec<Sent> = (1..=4 * 24 * 3).map(|n| report(n * 6)).collect();
    for sent in &mut sent {
        sent.entry.membership = None;
    }
    let last = sent.len() as u32 * 6 + 6;
    for batch in sent.chunks(50) {
        house.apply(batch).await;
    }
    assert!(house.usage().await.is_empty());
    house.apply(&[report(last)]).await;
    let sum = async |counter: &'static str| {
        let rows = house.usage().await;
        let of = rows.iter().filter(|row| row.0 == counter);
        (of.clone().count(), of.map(|row| row.2).sum::<i64>())
    };
    let hours = i64::from(last);
    let days = crate::session::ledger::MAX_UNOWNED_DAYS;
    let (counted, seconds) = sum("seconds").await;
    assert_eq!(seconds, hours * 3_600);
    assert!(counted >= days, "{counted}");
    assert_eq!(sum("input_octets").await.1, hours * 10);
    assert_eq!(sum("output_octets").await.1, hours * 100);
}
