use super::*;
use crate::testing::{START, STOP, Sent, at, house};

#[derive(sqlx::FromRow)]
struct Plan {
    detail: String,
}

/// How SQLite runs a statement.
async fn plan(tx: &mut Tx, sql: &'static str, values: Vec<kernel::Value>) -> String {
    let steps: Vec<Plan> = tx.all(sql, values).await.unwrap();
    let steps: Vec<String> = steps.into_iter().map(|step| step.detail).collect();
    steps.join("\n")
}

macro_rules! explained {
    ($sql:expr) => {
        Box::leak(format!("EXPLAIN QUERY PLAN {}", $sql).into_boxed_str())
    };
}

#[tokio::test]
async fn a_batch_of_keys_is_looked_up_in_the_index() {
    let house = house().await;
    let mut tx = house.kernel.db.begin().await.unwrap();
    for sql in [SQLITE_LOCK_BY_KEYS, SQLITE_HISTORY_BY_KEYS] {
        let plan = plan(&mut tx, explained!(sql), kernel::values!["[]", 16]).await;
        assert!(!plan.contains("SCAN s"), "{plan}");
        assert!(
            plan.contains("acct_session_id=? AND nas_id=? AND identity=?"),
            "{plan}"
        );
    }
}

#[tokio::test]
async fn a_restart_walks_an_index_of_its_box() {
    let house = house().await;
    let mut tx = house.kernel.db.begin().await.unwrap();
    for (sql, index) in [
        (OPEN_OF_NAS, "session_open_box"),
        (OPEN_OF_BOX, "session_open_box"),
    ] {
        let nobody = Uuid::nil();
        let values = kernel::values![nobody, at(0), nobody, 9, "", "", "", "", ""];
        let plan = plan(&mut tx, explained!(sql), values).await;
        assert!(
            plan.contains(index) && !plan.contains("TEMP B-TREE"),
            "{plan}"
        );
    }
}

#[tokio::test]
async fn sessions_of_many_keys_are_found_with_strange_ids_too() {
    let house = house().await;
    let ids = ["plain", "42", "\"quoted\\", "ä \u{1F600}", "[1]"];
    let sent = |id: &&str| Sent::bare(START, 0).put(44, id.as_bytes());
    house.apply(&ids.iter().map(sent).collect::<Vec<_>>()).await;
    house
        .apply(&[
            Sent::new(START, 0),
            Sent::new(STOP, 1),
            Sent::new(START, 500),
        ])
        .await;
    let rows = house.sessions().await;
    let keys: std::collections::BTreeSet<Key> = rows.iter().map(Key::of).collect();
    let mut tx = house.kernel.db.begin().await.unwrap();
    let found = lock(&mut tx, &keys.iter().collect::<Vec<_>>())
        .await
        .unwrap();
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        keys.iter().collect::<Vec<_>>()
    );
    assert_eq!(found.values().map(Vec::len).sum::<usize>(), ids.len() + 2);
    assert_eq!(lock(&mut tx, &[]).await.unwrap().len(), 0);
    assert_eq!(
        history(&mut tx, &keys.iter().collect::<Vec<_>>())
            .await
            .unwrap()
            .len(),
        0
    );
}
