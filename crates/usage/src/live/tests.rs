use super::*;
use crate::testing::{INTERIM, MEMBER, NAS, ON, ORGANISATION, START, STOP, Sent, at, house};

const MEMBERSHIP: Uuid = MEMBER;

fn totals(live: &Live) -> Vec<(i64, i64)> {
    let mut all: Vec<_> = live
        .of_membership(MEMBERSHIP)
        .iter()
        .map(|session| (session.totals.seconds, session.totals.input))
        .collect();
    all.sort_unstable();
    all
}

#[tokio::test]
async fn what_is_heard_is_there_at_once_and_what_sql_says_later_takes_nothing_back() {
    let house = house().await;
    let live = Live::default();
    let life = [
        Sent::new(START, 0),
        Sent::new(INTERIM, 60).counts(60, 7, 9),
        Sent::new(STOP, 90).counts(90, 8, 10),
    ];
    live.heard(&life[0].read());
    assert_eq!((totals(&live), live.count()), (vec![(0, 0)], 1));
    live.heard(&life[1].read());
    assert_eq!(totals(&live), [(60, 7)]);
    let first = house.apply(&life[..1]).await.sessions.remove(0);
    live.applied(&first);
    assert_eq!(totals(&live), [(60, 7)], "what was heard is newer");
    assert_eq!(live.of_membership(MEMBERSHIP)[0].id, first.session.id);
    live.heard(&life[2].read());
    assert_eq!((totals(&live), live.count()), (vec![], 0));
    let second = house.apply(&life[1..2]).await.sessions.remove(0);
    live.applied(&second);
    assert_eq!(live.count(), 0, "its end was heard already");
    let last = house.apply(&life[2..]).await.sessions.remove(0);
    live.applied(&last);
    assert_eq!(
        live.sessions
            .iter()
            .map(|shard| locked(shard).len())
            .sum::<usize>(),
        0
    );
    assert_eq!(
        live.members
            .iter()
            .map(|shard| locked(shard).len())
            .sum::<usize>(),
        0
    );
}

#[tokio::test]
async fn open_sessions_are_loaded_and_those_a_restart_ended_are_not_open() {
    let house = house().await;
    let named = |n: u8, address: u8| {
        Sent::bare(START, 0)
            .put(44, format!("s{n}").as_bytes())
            .put(4, &[10, 0, 0, address])
    };
    house
        .apply(&[
            named(1, 1),
            named(2, 1),
            named(3, 2),
            Sent::new(START, 0),
            Sent::new(STOP, 5),
        ])
        .await;
    house
        .apply(&[Sent::bare(ON, 50).put(4, &[10, 0, 0, 1])])
        .await;
    let live = Live::default();
    assert!(!live.is_complete());
    live.load(&house.kernel.db).await.unwrap();
    assert!(live.is_complete());
    let organisation = OrganisationId(ORGANISATION);
    assert_eq!(live.by_organisation(), HashMap::from([(organisation, 1)]));
    // One that begins after the restart is open, and so is one of a box that was never heard of before it.
    for (late, count) in [(60, 2), (40, 2)] {
        let mut sent = named(late, 1);
        sent.entry.received = at(late.into());
        live.heard(&sent.read());
        assert_eq!(live.count(), count, "{late}");
    }
    live.sweep(at(60));
    assert_eq!(
        live.sessions
            .iter()
            .map(|shard| locked(shard).len())
            .sum::<usize>(),
        2
    );
    assert_eq!(live.count(), 2);
}

/// The answer to an Accounting-On waits for nothing that grows with the sessions it ends.
#[test]
fn a_restart_ends_a_hundred_thousand_sessions_without_touching_one() {
    let live = Live::default();
    let mut report = Sent::new(START, 0).read();
    for n in 0..100_000_u128 {
        report.session_id = format!("s{n}");
        report.membership = Some(Uuid::from_u128(n));
        live.heard(&report);
    }
    assert_eq!(live.count(), 100_000);
    let held: Vec<_> = live.sessions.iter().map(locked).collect();
    // Every session is locked: whoever touched one would wait for ever.
    live.heard(&Sent::bare(ON, 10).read());
    drop(held);
    assert_eq!(live.count(), 0);
    assert_eq!(live.of_membership(Uuid::from_u128(7)), []);
    assert_eq!(live.places.read().unwrap().restarts[&NAS].len(), 1);
}

#[test]
fn a_session_takes_little_room() {
    assert!(size_of::<Entry>() <= 184, "{}", size_of::<Entry>());
}
