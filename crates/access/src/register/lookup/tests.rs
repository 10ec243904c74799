use super::*;
use crate::admit::{admit, found_organisation};
use crate::limiter::LimiterConfig;
use crate::register::Follower;
use identity::{Kind, NewOrganisation, NewPerson, PersonId, person};
use kernel::db::Location;
use kernel::{FixedClock, Keyring, SeededRng, Time};

fn wanted(names: &[(Kind, &str)]) -> Wanted {
    let names = names.iter().map(|(kind, name)| (*kind, (*name).to_owned()));
    Wanted {
        realm: None,
        names: names.collect(),
    }
}

struct House {
    kernel: Kernel,
    acme: identity::Organisation,
    register: Arc<Register>,
    _folder: tempfile::TempDir,
}

async fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("g.db");
    let kernel = Kernel {
        db: Location::Sqlite(path).open().await.unwrap(),
        clock: Arc::new(FixedClock::new(Time::from_unix_seconds(1_800_000_000))),
        rng: Arc::new(SeededRng::new(5)),
        keys: Arc::new(Keyring::parse(&Keyring::fresh_text(&SeededRng::new(1))).unwrap()),
    };
    House {
        acme: found_organisation(&kernel, NewOrganisation::named("Acme"))
            .await
            .unwrap(),
        kernel,
        register: Arc::new(Register::new(LimiterConfig::default())),
        _folder: folder,
    }
}

impl House {
    async fn admit(&self, name: &str) -> PersonId {
        let mut tx = self.kernel.db.begin().await.unwrap();
        let new = NewPerson::named(name);
        let made = admit(&mut tx, &self.kernel, &self.acme, new, None)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        made.person.id
    }
}

#[tokio::test]
async fn whom_the_register_does_not_know_is_looked_up_and_taken_in() {
    let house = house().await;
    let alice = house.admit("alice").await;
    let lookup = Lookup::new(house.kernel.clone(), house.register.clone());
    let nobody = wanted(&[(Kind::Username, "mallory"), (Kind::Email, "mallory@x.org")]);
    assert_eq!(lookup.run(&nobody).await, Answer::No);
    let asked = wanted(&[(Kind::Username, "mallory"), (Kind::Username, "alice")]);
    assert_eq!(lookup.run(&asked).await, Answer::Found);
    let found = house.register.people().find(None, Kind::Username, "alice");
    let found = found.unwrap();
    assert_eq!(found.id, alice);
    assert_eq!(found.memberships[0].groups.len(), 1);
    // What is loaded later takes his place, and news of him is followed.
    let mut follower = Follower::new(house.kernel.clone(), house.register.clone());
    follower.load().await.unwrap();
    person::set_active(&house.kernel, alice, false)
        .await
        .unwrap();
    follower.catch_up().await.unwrap();
    assert!(
        house
            .register
            .people()
            .by_id(alice)
            .is_some_and(|p| !p.is_active)
    );
    assert_eq!(house.register.people().len(), 1);
}

#[tokio::test]
async fn a_database_that_is_away_says_neither_yes_nor_no() {
    let house = house().await;
    let lookup = Lookup::new(house.kernel.clone(), house.register.clone());
    house.kernel.db.close().await;
    let asked = wanted(&[(Kind::Username, "alice")]);
    assert_eq!(lookup.run(&asked).await, Answer::Unknown);
}
