//! The kernel's rows on both engines: events keep the order of commits, versions follow one another, secrets stay
//! sealed.

use gatewarden_tests::on_both_engines;
use gatewarden_tests::place::Store;
use kernel::history::Version;
use kernel::id::Uuid;
use kernel::{Engine, News, Position, Tx};

async fn tell(store: &Store, tx: &mut Tx, subject: u128) {
    let news = News::new("person.changed", None, Uuid::from_u128(subject))
        .with_detail(serde_json::json!({"n": 1}));
    tx.tell(store.kernel.now(), news).await.unwrap();
}

/// The subjects after a place, once there are so many. On PostgreSQL events wait for every transaction of the server
/// that began before them, those of other tests' databases too.
async fn subjects_once(store: &Store, after: Position, many: usize) -> Vec<u128> {
    let mut last = Vec::new();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while last.len() < many && std::time::Instant::now() < end {
        last = subjects(store, after).await.0;
        tokio::task::yield_now().await;
    }
    last
}

async fn subjects(store: &Store, after: Position) -> (Vec<u128>, Position) {
    let events = store.kernel.db.events_after(after).await.unwrap();
    let position = events.last().map_or(after, |event| event.position);
    (
        events.iter().map(|event| event.subject.as_u128()).collect(),
        position,
    )
}

#[derive(sqlx::FromRow)]
struct VersionRow {
    fields: String,
    is_current: bool,
}

kernel::statements! {
    /// What the battery reads besides.
    STATEMENTS;
    VERSIONS = "SELECT fields, valid_to IS NULL AS is_current FROM history WHERE row_id = $1 ORDER BY valid_from, id";
}

on_both_engines! {
    async fn events_come_back_in_order_with_what_was_said(store: Store) {
        for subject in 1..=3 {
            let mut tx = store.kernel.db.begin().await.unwrap();
            tell(&store, &mut tx, subject).await;
            tx.commit().await.unwrap();
        }
        assert_eq!(subjects_once(&store, Position::default(), 3).await, [1, 2, 3]);
        let position = subjects(&store, Position::default()).await.1;
        assert_eq!(subjects(&store, position).await.0, []);
        let events = store.kernel.db.events_after(Position::default()).await.unwrap();
        assert_eq!(events[0].detail, Some(serde_json::json!({"n": 1})));
        assert_eq!(events[0].at, store.kernel.now());
    }

    async fn what_is_rolled_back_was_never_said(store: Store) {
        let mut tx = store.kernel.db.begin().await.unwrap();
        tell(&store, &mut tx, 1).await;
        tx.rollback().await.unwrap();
        assert_eq!(subjects(&store, Position::default()).await.0, []);
    }

    /// A reader that starts at the latest position sees whatever is committed after it.
    async fn nothing_is_missed_after_the_latest_position(store: Store) {
        let mut tx = store.kernel.db.begin().await.unwrap();
        tell(&store, &mut tx, 1).await;
        tx.commit().await.unwrap();
        let position = store.kernel.db.latest_position().await.unwrap();
        let mut tx = store.kernel.db.begin().await.unwrap();
        tell(&store, &mut tx, 2).await;
        tx.commit().await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..2 {
            // The first may be seen again: it was not yet visible when the position was taken.
            seen = subjects_once(&store, position, if seen.contains(&1) { 2 } else { 1 }).await;
        }
        assert!(seen.contains(&2), "{seen:?}");
    }

    async fn versions_follow_one_another_and_are_emptied_when_a_person_is_erased(store: Store) {
        let row = Uuid::from_u128(7);
        let version = |id, fields| Version {
            id: Uuid::from_u128(id),
            kind: "person",
            row,
            organisation: None,
            person: Some(row),
            fields,
        };
        for (id, name) in [(1, "alice"), (2, "alicia")] {
            let mut tx = store.kernel.db.begin().await.unwrap();
            let fields = serde_json::json!({ "name": name });
            tx.record_version(store.kernel.now(), version(id, fields)).await.unwrap();
            tx.commit().await.unwrap();
            store.clock.advance_seconds(60);
        }
        let versions = || async {
            let rows: Vec<VersionRow> = store.kernel.db.all(VERSIONS, kernel::values![row]).await.unwrap();
            rows.into_iter().map(|row| (row.fields, row.is_current)).collect::<Vec<_>>()
        };
        let found = versions().await;
        assert_eq!(found.iter().map(|v| v.1).collect::<Vec<_>>(), [false, true]);
        assert!(found[1].0.contains("alicia"));
        let mut tx = store.kernel.db.begin().await.unwrap();
        assert_eq!(tx.erase_versions(row).await.unwrap(), 2);
        tx.commit().await.unwrap();
        assert!(versions().await.iter().all(|v| v.0 == "{}"));
    }

    async fn old_events_are_forgotten(store: Store) {
        let mut tx = store.kernel.db.begin().await.unwrap();
        tell(&store, &mut tx, 1).await;
        tx.commit().await.unwrap();
        store.clock.advance_seconds(3_600);
        subjects_once(&store, Position::default(), 1).await;
        assert_eq!(store.kernel.db.forget_events(store.kernel.now().plus_seconds(-7_200)).await.unwrap(), 0);
        assert_eq!(store.kernel.db.forget_events(store.kernel.now()).await.unwrap(), 1);
    }

    async fn a_second_process_sees_what_the_first_has_committed(store: Store) {
        let other = store.another().await;
        let mut tx = store.kernel.db.begin().await.unwrap();
        tell(&store, &mut tx, 5).await;
        tx.commit().await.unwrap();
        assert_eq!(subjects_once(&store, Position::default(), 1).await, [5]);
        assert_eq!(other.events_after(Position::default()).await.unwrap().len(), 1);
        other.close().await;
    }
}

/// Two transactions overlap; the one that began first commits last. A reader in between must not go past it.
#[tokio::test]
async fn an_event_that_commits_late_is_not_skipped_on_postgres() {
    let store = Store::open(Engine::Postgres).await;
    let mut early = store.kernel.db.begin().await.unwrap();
    tell(&store, &mut early, 1).await;
    let mut late = store.kernel.db.begin().await.unwrap();
    tell(&store, &mut late, 2).await;
    late.commit().await.unwrap();
    let (seen, position) = subjects(&store, Position::default()).await;
    assert_eq!(
        seen,
        [],
        "the second is held back until the first is decided"
    );
    let start = store.kernel.db.latest_position().await.unwrap();
    early.commit().await.unwrap();
    assert_eq!(subjects_once(&store, position, 2).await, [1, 2]);
    // And a reader that took its position while the first was running gets both.
    assert_eq!(subjects(&store, start).await.0, [1, 2]);
}
