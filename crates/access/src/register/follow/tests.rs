use super::*;
use crate::admit::{admit, found_organisation, set_rules};
use crate::group;
use crate::limiter::{Key, LimiterConfig, NewLock};
use crate::nas::{self, NasId, NewNas};
use crate::register::Policy;
use identity::{Kind, NewOrganisation, NewPerson, Organisation, membership, person, setting};
use kernel::db::Location;
use kernel::id::Uuid;
use kernel::seal::SealError;
use kernel::{FixedClock, Keyring, News, SeededRng, Time};
use radius_wire::dictionary::Dictionary;
use serde_json::json;
use zeroize::Zeroizing;

mod snapshot;

struct House {
    kernel: Kernel,
    acme: Organisation,
    register: Arc<Register>,
    follower: Follower,
    _folder: tempfile::TempDir,
}

async fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let kernel = Kernel {
        db: Location::Sqlite(folder.path().join("g.db"))
            .open()
            .await
            .unwrap(),
        clock: Arc::new(FixedClock::new(Time::from_unix_seconds(1_800_000_000))),
        rng: Arc::new(SeededRng::new(5)),
        keys: Arc::new(Keyring::parse(&Keyring::fresh_text(&SeededRng::new(1))).unwrap()),
    };
    let acme = found_organisation(&kernel, NewOrganisation::named("Acme"))
        .await
        .unwrap();
    let register = Arc::new(Register::new(LimiterConfig::default()));
    House {
        follower: Follower::new(kernel.clone(), register.clone()),
        kernel,
        acme,
        register,
        _folder: folder,
    }
}

impl House {
    async fn admit(&self, name: &str) -> (PersonId, MembershipId) {
        let mut tx = self.kernel.db.begin().await.unwrap();
        let new = NewPerson::named(name);
        let made = admit(&mut tx, &self.kernel, &self.acme, new, None)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        (made.person.id, made.membership.id)
    }

    async fn set(&self, membership: MembershipId, text: &str) {
        let dictionary = Dictionary::builtin();
        set_rules(
            &self.kernel,
            dictionary,
            self.acme.id,
            membership,
            text,
            None,
        )
        .await
        .unwrap();
    }

    async fn run(&self, sql: &'static str, id: impl Into<Uuid>) {
        let mut tx = self.kernel.db.begin().await.unwrap();
        let touched = tx.run(sql, kernel::values![id.into()]).await.unwrap();
        assert!(touched > 0, "{sql}");
        tx.commit().await.unwrap();
    }

    async fn tell(&self, news: News) {
        let mut tx = self.kernel.db.begin().await.unwrap();
        tx.tell(self.kernel.now(), news).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn nas(&self, network: &str) -> NasId {
        let secret = Zeroizing::new("a-secret-of-a-nas".to_owned());
        let new = NewNas::new(self.acme.id, network.parse().ok(), secret);
        nas::add(&self.kernel, new).await.unwrap().nas.id
    }

    fn knows(&self, name: &str) -> bool {
        let found = self.register.people().find(None, Kind::Username, name);
        found.is_some()
    }

    fn is_active(&self, person: PersonId) -> bool {
        let found = self.register.people().by_id(person);
        found.is_some_and(|found| found.is_active)
    }

    /// Checks and replies of the person's first membership.
    fn rules(&self, person: PersonId) -> (usize, usize) {
        let found = self.register.people().by_id(person).unwrap();
        let rules = &found.memberships[0].standing.rules;
        (rules.checks.len(), rules.replies.len())
    }

    fn policy(&self) -> Arc<Policy> {
        self.register.policy.load_full()
    }
}

const BATCH: usize = kernel::event::BATCH as usize;

#[tokio::test]
async fn a_full_batch_is_followed_by_the_rest_and_everybody_is_there() {
    let mut house = house().await;
    house.follower.load().await.unwrap();
    let mut tx = house.kernel.db.begin().await.unwrap();
    for number in 0..BATCH + 5 {
        let new = NewPerson::named(&format!("user-{number}"));
        admit(&mut tx, &house.kernel, &house.acme, new, None)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(house.follower.catch_up().await.unwrap(), BATCH);
    assert_eq!(house.register.people().len(), BATCH);
    assert_eq!(house.follower.catch_up().await.unwrap(), 5);
    assert_eq!(house.follower.catch_up().await.unwrap(), 0);
    let people = house.register.people();
    for number in 0..BATCH + 5 {
        let found = people.find(None, Kind::Username, &format!("user-{number}"));
        let found = found.unwrap();
        assert_eq!(found.memberships.len(), 1, "{number}");
        assert_eq!(found.memberships[0].standing.groups.len(), 1, "{number}");
    }
}

#[tokio::test]
async fn who_is_known_already_does_not_wait_for_who_is_new() {
    let mut house = house().await;
    let (alice, _) = house.admit("alice").await;
    house.follower.load().await.unwrap();
    let (bob, in_acme) = house.admit("bob").await;
    house.set(in_acme, "Tunnel-Password := \"x\"").await;
    // Bob cannot be loaded, and that is an error: his key is not in the ring.
    let sealed = "UPDATE access_reply SET value = 'v1:other:x:x' WHERE membership_id = $1";
    house.run(sealed, in_acme).await;
    person::set_active(&house.kernel, alice, false)
        .await
        .unwrap();
    let outcome = house.follower.catch_up().await;
    assert!(matches!(
        outcome,
        Err(Error::Seal(SealError::KeyMissing(_)))
    ));
    assert!(!house.is_active(alice), "she is shut out");
    assert!(house.register.people().by_id(bob).is_none());
    // The news is not lost.
    house
        .run("DELETE FROM access_reply WHERE membership_id = $1", in_acme)
        .await;
    assert!(house.follower.catch_up().await.unwrap() > 0);
    assert!(house.is_active(bob));
}

#[tokio::test]
async fn one_who_cannot_be_read_is_left_out_and_nobody_waits_for_him() {
    let mut house = house().await;
    let (alice, _) = house.admit("alice").await;
    house.follower.load().await.unwrap();
    let mut others = Vec::new();
    for number in 0..10 {
        others.push(house.admit(&format!("user-{number}")).await.0);
    }
    let damage = "UPDATE person SET password_updated = 'yesterday' WHERE id = $1";
    house.run(damage, alice).await;
    house.run(damage, others[4]).await;
    house
        .tell(News::new(identity::PERSON_CHANGED, None, alice.0))
        .await;
    assert_eq!(house.follower.catch_up().await.unwrap(), 11);
    assert_eq!(house.follower.catch_up().await.unwrap(), 0);
    assert!(!house.knows("alice"), "what was known may be wrong by now");
    let there = others.iter().filter(|other| house.is_active(**other));
    assert_eq!(there.count(), 9);

    // A start does not stop at them either.
    let register = Arc::new(Register::new(LimiterConfig::default()));
    let mut fresh = Follower::new(house.kernel.clone(), register.clone());
    fresh.load().await.unwrap();
    assert!(register.is_ready());
    assert_eq!(register.people().len(), 9);
}

#[tokio::test]
async fn a_damaged_secret_takes_its_row_away_and_nothing_else() {
    let mut house = house().await;
    let (alice, in_acme) = house.admit("alice").await;
    let text = "NAS-Port != 7\nSession-Timeout := 60\nTunnel-Password := \"x\"";
    house.set(in_acme, text).await;
    let (users, _) = group::set(
        &house.kernel,
        Dictionary::builtin(),
        &house.acme,
        "users",
        "Tunnel-Password := \"y\"",
        None,
    )
    .await
    .unwrap();
    let replies = |house: &House| house.policy().groups[&users.id].rules.replies.len();
    house.follower.load().await.unwrap();
    assert_eq!((house.rules(alice), replies(&house)), ((1, 2), 1));

    house
        .run(
            "UPDATE access_reply SET value = 'v1:damaged' WHERE is_sealed AND group_id = $1",
            users.id,
        )
        .await;
    house
        .run(
            "UPDATE access_reply SET value = '' WHERE is_sealed AND membership_id = $1",
            in_acme,
        )
        .await;
    house
        .tell(News::new(group::CHANGED, None, users.id.0))
        .await;
    house
        .tell(News::new(identity::PERSON_CHANGED, None, alice.0))
        .await;
    assert_eq!(house.follower.catch_up().await.unwrap(), 2);
    assert_eq!((house.rules(alice), replies(&house)), ((1, 1), 0));

    let register = Arc::new(Register::new(LimiterConfig::default()));
    let mut fresh = Follower::new(house.kernel.clone(), register.clone());
    fresh.load().await.unwrap();
    assert!(register.is_ready());

    // Set again, it is there again.
    house.set(in_acme, "Tunnel-Password := \"z\"").await;
    house.follower.catch_up().await.unwrap();
    assert_eq!(house.rules(alice), (1, 2));
}

#[tokio::test]
async fn news_of_rules_finds_its_person_also_without_being_told() {
    let mut house = house().await;
    let (alice, of_alice) = house.admit("alice").await;
    house.follower.load().await.unwrap();
    house.set(of_alice, "Session-Timeout := 60").await;
    let events = house.kernel.db.events_after(Position::default()).await;
    let told = events.unwrap().into_iter().next_back().unwrap();
    assert_eq!(told.kind, admit::RULES_CHANGED);
    assert_eq!(told.detail, Some(json!({ "person": alice })));
    house.follower.catch_up().await.unwrap();
    assert_eq!(house.rules(alice), (0, 1));

    // As an older node tells it: of one who is known, one who is not, and one who is nobody.
    let (bob, of_bob) = house.admit("bob").await;
    house.follower.position = house.kernel.db.latest_position().await.unwrap();
    house.set(of_alice, "Idle-Timeout := 60").await;
    house
        .run(
            "UPDATE event SET detail = NULL WHERE subject = $1",
            of_alice,
        )
        .await;
    for membership in [of_bob, MembershipId(Uuid::from_u128(1))] {
        house
            .tell(News::new(admit::RULES_CHANGED, None, membership.0))
            .await;
    }
    assert_eq!(house.follower.catch_up().await.unwrap(), 3);
    assert_eq!(house.rules(alice), (0, 2));
    assert!(house.is_active(bob));
}

#[tokio::test]
async fn only_the_parts_of_the_policy_that_news_is_about_are_read_again() {
    let mut house = house().await;
    let first = house.nas("10.0.0.1/32").await;
    house.follower.load().await.unwrap();
    let users = group::by_name(&house.kernel.db, &house.acme, "users")
        .await
        .unwrap();
    let set = async |house: &House, name: &str, value| {
        let owner = Some(house.acme.id);
        setting::set(&house.kernel, owner, name, &json!(value))
            .await
            .unwrap();
    };
    // NASes, groups, organisations: whether each is another value than before.
    let renewed = |old: &Policy, new: &Policy| {
        let nas = |policy: &Policy| policy.nases.entries()[0].clone();
        let acme = house.acme.id;
        [
            !Arc::ptr_eq(&nas(old), &nas(new)),
            !Arc::ptr_eq(&old.groups[&users.id], &new.groups[&users.id]),
            !Arc::ptr_eq(&old.organisations[&acme], &new.organisations[&acme]),
        ]
    };

    // A NAS that starts changes nothing, nor does a setting of other rooms.
    let old = house.policy();
    let mut tx = house.kernel.db.begin().await.unwrap();
    let at = house.kernel.now();
    assert!(nas::note_restart(&mut tx, at, first, at).await.unwrap());
    tx.commit().await.unwrap();
    set(&house, "login_url", 1).await;
    assert_eq!(house.follower.catch_up().await.unwrap(), 2);
    assert!(Arc::ptr_eq(&old, &house.policy()));

    house.nas("10.0.0.2/32").await;
    house.follower.catch_up().await.unwrap();
    let new = house.policy();
    assert_eq!(renewed(&old, &new), [true, false, false]);
    assert_eq!(new.nases.entries().len(), 2);

    let old = new;
    house
        .tell(News::new(group::CHANGED, None, users.id.0))
        .await;
    house.follower.catch_up().await.unwrap();
    let new = house.policy();
    assert_eq!(renewed(&old, &new), [false, true, false]);

    let old = new;
    set(&house, "password_expiration_days", 30).await;
    house.follower.catch_up().await.unwrap();
    let new = house.policy();
    assert_eq!(renewed(&old, &new), [false, false, true]);
    assert_eq!(new.organisations[&house.acme.id].password_days, 30);
    assert_eq!(new.nases.entries().len(), 2);
}

#[tokio::test]
async fn an_organisation_goes_by_its_own_setting_else_by_everybodys() {
    let mut house = house().await;
    let beta = found_organisation(&house.kernel, NewOrganisation::named("Beta"))
        .await
        .unwrap();
    for (owner, days, needs) in [(None, 7, true), (Some(beta.id), 9, false)] {
        for (name, value) in [
            ("password_expiration_days", json!(days)),
            ("needs_identity_verification", json!(needs)),
        ] {
            setting::set(&house.kernel, owner, name, &value)
                .await
                .unwrap();
        }
    }
    house.follower.load().await.unwrap();
    let policy = house.policy();
    let of = |id| {
        let facts: &Arc<crate::facts::OrganisationFacts> = &policy.organisations[&id];
        (facts.password_days, facts.needs_verification)
    };
    assert_eq!((of(house.acme.id), of(beta.id)), ((7, true), (9, false)));
}

#[tokio::test]
async fn who_left_between_two_tries_to_load_is_gone() {
    let mut house = house().await;
    let (alice, in_acme) = house.admit("alice").await;
    let (bob, _) = house.admit("bob").await;
    house.follower.load().await.unwrap();
    let mut tx = house.kernel.db.begin().await.unwrap();
    membership::leave(&mut tx, &house.kernel, in_acme)
        .await
        .unwrap();
    person::delete(&mut tx, &house.kernel, bob).await.unwrap();
    tx.commit().await.unwrap();
    house.follower.load().await.unwrap();
    house.follower.catch_up().await.unwrap();
    assert!(house.register.people().by_id(bob).is_none());
    let alice = house.register.people().by_id(alice);
    assert!(alice.is_none_or(|alice| alice.memberships.is_empty()));
}
