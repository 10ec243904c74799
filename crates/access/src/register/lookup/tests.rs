use super::*;
use crate::admit::{admit, found_organisation};
use crate::limiter::LimiterConfig;
use crate::question::Question;
use crate::register::Follower;
use crate::register::Miss;
use identity::{Kind, NewOrganisation, NewPerson, PersonId, person};
use kernel::db::Location;
use kernel::{FixedClock, Keyring, SeededRng, Time};
use radius_wire::{Code, Packet, Question as Asking, Request, Rules, Secret, attrs};
use zeroize::Zeroizing;

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
    assert_eq!(found.memberships[0].standing.groups.len(), 1);
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

impl House {
    /// What is to be done about a login with this name, and whether it came as a device's own.
    fn miss(&self, name: &str, calling: &str) -> Miss {
        let secret = Secret::new(*b"a-secret-of-a-nas");
        let mut asking = Asking::new(Code::ACCESS_REQUEST, 1, [7; 16], secret.clone());
        asking.put_text(attrs::USER_NAME, name);
        asking.put_text(attrs::CALLING_STATION_ID, calling);
        asking.put_user_password(b"secret");
        let sealed = asking.seal(true).unwrap();
        let packet = Packet::parse(sealed.octets()).unwrap();
        let request = Request::verify(packet, &secret, &Rules::default()).unwrap();
        let question = Question::from(&request);
        let (now, source) = (self.kernel.now(), std::net::Ipv4Addr::LOCALHOST.into());
        let policy = self.register.policy();
        let nas = &policy.nases.entries()[0];
        let facts = self.register.facts(now, nas, source, &question);
        self.register.miss(now, nas, &question, &facts)
    }
}

#[tokio::test]
async fn a_login_asks_for_all_that_its_name_can_mean_and_only_where_nobody_is_known() {
    let house = house().await;
    house.admit("alice").await;
    let secret = Zeroizing::new("a-secret-of-a-nas".to_owned());
    let new = crate::nas::NewNas::new(house.acme.id, "127.0.0.0/8".parse().ok(), secret);
    crate::nas::add(&house.kernel, new).await.unwrap();
    let mut follower = Follower::new(house.kernel.clone(), house.register.clone());
    follower.load().await.unwrap();
    // Made since the last news: the register does not know him yet.
    house.admit("bob").await;
    const DEVICE: &str = "02-00-00-00-00-01";
    for (name, expect) in [
        ("alice", None),
        ("", None),
        ("bob", Some(vec![(Kind::Username, "bob")])),
        (
            "Bob@X.org",
            Some(vec![
                (Kind::Username, "Bob@X.org"),
                (Kind::Email, "bob@x.org"),
            ]),
        ),
        (
            "02:00:00:00:00:01",
            Some(vec![
                (Kind::Mac, DEVICE),
                (Kind::Username, "02:00:00:00:00:01"),
            ]),
        ),
    ] {
        let expect = expect.map_or(Miss::Settled, |names| Miss::Ask(wanted(&names)));
        assert_eq!(house.miss(name, DEVICE), expect, "{name}");
    }
    let lookup = Lookup::new(house.kernel.clone(), house.register.clone());
    for (name, expect) in [("bob", Answer::Found), ("mallory", Answer::No)] {
        let Miss::Ask(asked) = house.miss(name, DEVICE) else {
            panic!("{name} is not asked for");
        };
        assert_eq!(lookup.run(&asked).await, expect);
        assert_eq!(house.miss(name, DEVICE), Miss::Settled, "{name}");
    }
}
