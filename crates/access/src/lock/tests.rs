use super::*;
use crate::admit::{admit, found_organisation};
use identity::{NewOrganisation, NewPerson};
use kernel::db::Location;
use kernel::{FixedClock, Keyring, Position, SeededRng};
use proof::mac::Mac;
use std::sync::Arc;

fn at(seconds: i64) -> Time {
    Time::from_unix_seconds(1_800_000_000 + seconds)
}

async fn kernel(folder: &tempfile::TempDir) -> Kernel {
    Kernel {
        db: Location::Sqlite(folder.path().join("g.db"))
            .open()
            .await
            .unwrap(),
        clock: Arc::new(FixedClock::new(at(0))),
        rng: Arc::new(SeededRng::new(5)),
        keys: Arc::new(Keyring::parse(&Keyring::fresh_text(&SeededRng::new(1))).unwrap()),
    }
}

fn lock(key: Key, until: i64) -> NewLock {
    NewLock {
        key,
        failures: 10,
        until: at(until),
    }
}

#[tokio::test]
async fn locks_are_stored_listed_by_owner_and_lifted() {
    let folder = tempfile::tempdir().unwrap();
    let kernel = kernel(&folder).await;
    let acme = found_organisation(&kernel, NewOrganisation::named("Acme"))
        .await
        .unwrap();
    let mut tx = kernel.db.begin().await.unwrap();
    let alice = admit(&mut tx, &kernel, &acme, NewPerson::named("alice"), None)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let user = Key::User(alice.membership.id.0);
    let device = Key::Device(Mac([2, 0, 0, 0, 0, 7]));
    store(&kernel, &[lock(user, 100), lock(device, 200)])
        .await
        .unwrap();
    store(&kernel, &[lock(user, 300)]).await.unwrap();

    let stored = |locks: Vec<Lock>| locks.iter().filter_map(Lock::to_new).collect::<Vec<_>>();
    assert_eq!(
        stored(active(&kernel.db, at(0)).await.unwrap()),
        [lock(user, 300), lock(device, 200)]
    );
    assert_eq!(
        stored(active(&kernel.db, at(200)).await.unwrap()),
        [lock(user, 300)]
    );
    let mine = list(&kernel.db, Scope::Organisation(acme.id), at(0))
        .await
        .unwrap();
    assert_eq!(stored(mine), [lock(user, 300)]);

    assert!(lift(&kernel, user).await.unwrap());
    assert!(!lift(&kernel, user).await.unwrap());
    assert_eq!(
        stored(active(&kernel.db, at(0)).await.unwrap()),
        [lock(device, 200)]
    );
    assert_eq!(
        (
            forget_ended(&kernel, at(199)).await.unwrap(),
            forget_ended(&kernel, at(200)).await.unwrap()
        ),
        (0, 1)
    );

    let events = kernel.db.events_after(Position::default()).await.unwrap();
    let details = |kind: &str| -> Vec<serde_json::Value> {
        events
            .iter()
            .filter(|event| event.kind == kind)
            .filter_map(|event| event.detail.clone())
            .collect()
    };
    let set: Vec<NewLock> = details(SET).iter().filter_map(Lock::from_detail).collect();
    assert_eq!(set, [lock(user, 100), lock(device, 200), lock(user, 300)]);
    let lifted: Vec<Key> = details(LIFTED).iter().filter_map(key_of_detail).collect();
    assert_eq!(lifted, [user, user]);
}
