//! NASes, groups, rules, locks and observations on both engines.

use access::admit::{admit, found_organisation, rules_of, set_groups, set_rules};
use access::limiter::{Key, LimiterConfig, NewLock};
use access::nas::{self, NewNas, Outcome};
use access::observation::{self, Observation};
use access::register::{Follower, Register, RegisterState};
use access::{group, lock};
use gatewarden_tests::on_both_engines;
use gatewarden_tests::place::Store;
use identity::{Kind, Namespace, NewOrganisation, NewPerson, Organisation};
use kernel::{Error, Scope};
use radius_wire::dictionary::Dictionary;
use std::sync::Arc;
use zeroize::Zeroizing;

async fn acme(store: &Store) -> Organisation {
    found_organisation(&store.kernel, NewOrganisation::named("acme"))
        .await
        .unwrap()
}

fn new_nas(organisation: &Organisation, network: &str, secret: &str) -> NewNas {
    let network = network.parse().unwrap_or_else(|e| panic!("{network}: {e}"));
    NewNas::new(
        organisation.id,
        Some(network),
        Zeroizing::new(secret.to_owned()),
    )
}

on_both_engines! {
    async fn a_nas_has_two_secrets_during_a_change_and_one_after(store: Store) {
        let acme = acme(&store).await;
        let added = nas::add(&store.kernel, new_nas(&acme, "10.0.0.0/8", "first-secret-of-it")).await.unwrap();
        let again = nas::add(&store.kernel, new_nas(&acme, "10.0.0.0/8", "first-secret-of-it")).await;
        assert!(matches!(again, Err(Error::Conflict(_))));
        let change = nas::add(&store.kernel, new_nas(&acme, "10.0.0.0/8", "second-secret-of-it")).await.unwrap();
        assert_eq!(change.nas.id, added.nas.id);
        assert!(matches!(change.outcome, Outcome::SecretChangeBegun));
        let secrets = || async {
            let (_, secrets) = nas::load_one(&store.kernel, added.nas.id).await.unwrap().unwrap();
            let text = |secret: &radius_wire::Secret| String::from_utf8_lossy(secret.as_bytes()).into_owned();
            secrets.iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(secrets().await, ["first-secret-of-it", "second-secret-of-it"]);
        nas::finish_secret_change(&store.kernel, added.nas.id).await.unwrap();
        assert_eq!(secrets().await, ["second-secret-of-it"]);
        nas::remove(&store.kernel, added.nas.id).await.unwrap();
        assert!(nas::load_all(&store.kernel).await.unwrap().is_empty());
        assert!(store.was_told("nas.changed").await && store.was_told("nas.removed").await);
    }

    async fn rules_of_groups_and_people_are_set_and_read_back(store: Store) {
        let acme = acme(&store).await;
        let dictionary = Dictionary::builtin();
        let text = "Session-Timeout := 3600\nCisco-AVPair += \"a=b\"\nCisco-AVPair += \"c=d\"\nSimultaneous-Use := 2";
        let (_, rows) = group::set(&store.kernel, dictionary, &acme, "users", text, None).await.unwrap();
        assert_eq!(rows.replies.len(), 3);
        assert!(rows.checks.iter().any(|row| row.to_string().contains("Simultaneous-Use")));
        let wrong = group::set(&store.kernel, dictionary, &acme, "users", "Sesion-Timeout := 1", None).await.unwrap_err();
        assert!(wrong.to_string().contains("Session-Timeout"), "{wrong}");
        let all = group::load_all(&store.kernel).await.unwrap();
        assert_eq!(all.len(), 2, "users and power-users");

        let mut tx = store.kernel.db.begin().await.unwrap();
        let made = admit(&mut tx, &store.kernel, &acme, NewPerson::named("alice"), None).await.unwrap();
        tx.commit().await.unwrap();
        let own = "Session-Timeout := 60";
        set_rules(&store.kernel, dictionary, acme.id, made.membership.id, own, None).await.unwrap();
        let power = group::by_name(&store.kernel.db, &acme, "power-users").await.unwrap();
        let place = access::admit::Place { group: power.id, priority: 1 };
        assert!(set_groups(&store.kernel, &acme, made.membership.id, &[place]).await.unwrap());
        let rules = rules_of(&store.kernel, made.membership.id).await.unwrap();
        assert_eq!(rules.groups, [place]);
        assert_eq!(rules.rows.replies.len(), 1);
    }

    async fn locks_hold_until_their_end_or_until_they_are_lifted(store: Store) {
        let acme = acme(&store).await;
        let mut tx = store.kernel.db.begin().await.unwrap();
        let made = admit(&mut tx, &store.kernel, &acme, NewPerson::named("alice"), None).await.unwrap();
        tx.commit().await.unwrap();
        let key = Key::User(made.membership.id.0);
        let device = Key::Device("AA-BB-CC-00-11-22".parse().unwrap());
        let until = store.kernel.now().plus_seconds(300);
        let locks = [key, device].map(|key| NewLock { key, failures: 10, until });
        lock::store(&store.kernel, &locks).await.unwrap();
        // Stored again, it is the same lock.
        lock::store(&store.kernel, &locks).await.unwrap();
        let now = store.kernel.now();
        assert_eq!(lock::active(&store.kernel.db, now).await.unwrap().len(), 2);
        let own = lock::list(&store.kernel.db, Scope::Organisation(acme.id), now).await.unwrap();
        assert_eq!(own.len(), 1, "a device is nobody's");
        assert!(lock::lift(&store.kernel, key).await.unwrap());
        assert_eq!(lock::active(&store.kernel.db, now).await.unwrap().len(), 1);
        assert_eq!(lock::active(&store.kernel.db, until).await.unwrap().len(), 0);
        assert!(store.was_told("lock.lifted").await);
    }

    async fn observations_add_up(store: Store) {
        let acme = acme(&store).await;
        let added = nas::add(&store.kernel, new_nas(&acme, "10.0.0.0/8", "first-secret-of-it")).await.unwrap();
        let now = store.kernel.now();
        let seen = Observation { signed: 3, unsigned: 1, used_secret: true, ..Observation::of(added.nas.id, now) };
        observation::record(&store.kernel, &[seen]).await.unwrap();
        let later = Observation { signed: 4, ..Observation::of(added.nas.id, now.plus_seconds(60)) };
        observation::record(&store.kernel, &[later]).await.unwrap();
        let lines = nas::list(&store.kernel.db, Scope::Everything).await.unwrap();
        let seen = lines[0].seen.clone().unwrap();
        assert_eq!((seen.signed, seen.unsigned, seen.secret_mismatches), (7, 1, 0));
        assert_eq!(seen.first_seen, now);
        assert_eq!(seen.last_seen, now.plus_seconds(60));
        assert_eq!((seen.used_secret, seen.used_next_secret), (Some(now), None));
    }

    async fn people_are_loaded_and_followed_and_named_in_their_realm(store: Store) {
        let acme = acme(&store).await;
        let own = NewOrganisation { namespace: Namespace::Own, ..NewOrganisation::named("isp") };
        let isp = found_organisation(&store.kernel, own).await.unwrap();
        let admit_into = async |organisation: &Organisation, new: NewPerson| {
            let mut tx = store.kernel.db.begin().await.unwrap();
            let made = admit(&mut tx, &store.kernel, organisation, new, None).await.unwrap();
            tx.commit().await.unwrap();
            made.person.id
        };
        let shared = admit_into(&acme, NewPerson::named("alice")).await;
        let own = admit_into(&isp, NewPerson::named("alice")).await;
        let register = Arc::new(Register::new(LimiterConfig::default()));
        assert_eq!(register.state(), RegisterState::Loading);
        let mut follower = Follower::new(store.kernel.clone(), register.clone());
        follower.load().await.unwrap();
        assert!(matches!(register.state(), RegisterState::Current { .. }));
        let carol = NewPerson { email: Some("Carol@Example.org".to_owned()), ..NewPerson::named("carol") };
        let carol = admit_into(&acme, carol).await;
        let username = |name: &str| (Kind::Username, name.to_owned());
        let email = (Kind::Email, "carol@example.org".to_owned());
        let many: Vec<_> = (0..20).map(|number| username(&format!("user-{number}"))).collect();
        for (realm, names, expect) in [
            (None, vec![username("alice")], Some(shared)),
            (Some(isp.id), vec![username("alice")], Some(own)),
            (Some(acme.id), vec![username("alice")], None),
            (None, vec![username("mallory"), email.clone()], Some(carol)),
            (None, vec![username("carol"), username("alice")], Some(carol)),
            (None, vec![(Kind::Email, "alice".to_owned())], None),
            (Some(isp.id), vec![email], None),
            (None, many, None),
            (None, Vec::new(), None),
        ] {
            let found = identity::known::named(&store.kernel.db, realm, &names).await.unwrap();
            assert_eq!(found, expect, "{realm:?} {names:?}");
        }
        assert!(register.people().by_id(carol).is_none());
        // The news waits for the oldest transaction of the whole cluster, which other tests share.
        let begun = std::time::Instant::now();
        while register.people().by_id(carol).is_none() {
            assert!(begun.elapsed() < std::time::Duration::from_secs(20), "no news of her");
            follower.catch_up().await.unwrap();
            tokio::task::yield_now().await;
        }
        let found = register.people().find(None, Kind::Email, "carol@example.org").unwrap();
        assert_eq!((found.id, found.username()), (carol, "carol"));
        let found = register.people().find(Some(isp.id), Kind::Username, "alice").unwrap();
        assert_eq!((found.id, found.memberships[0].standing.groups.len()), (own, 1));
    }
}
