//! Organisations, people and passwords on both engines.

use access::admit::{admit, found_organisation, groups_of};
use gatewarden_tests::on_both_engines;
use gatewarden_tests::place::Store;
use identity::{Form, Namespace, NewOrganisation, NewPassword, NewPerson, Organisation};
use identity::{find, known, membership, organisation, password, pending, person};
use kernel::{Error, Scope};
use proof::Attempt;

async fn organisation_of(store: &Store, slug: &str, namespace: Namespace) -> Organisation {
    let new = NewOrganisation {
        namespace,
        ..NewOrganisation::named(slug)
    };
    found_organisation(&store.kernel, new).await.unwrap()
}

async fn add(
    store: &Store,
    organisation: &Organisation,
    new: NewPerson,
) -> Result<identity::Inserted, Error> {
    let mut tx = store.kernel.db.begin().await?;
    let inserted = admit(&mut tx, &store.kernel, organisation, new, None).await?;
    tx.commit().await?;
    Ok(inserted)
}

fn with_password(name: &str, text: &str, store: identity::Store) -> NewPerson {
    NewPerson {
        password: Some(NewPassword::given(text, store)),
        ..NewPerson::named(name)
    }
}

/// In which form a password is kept, and whether this one is it.
async fn keeps(store: &Store, name: &str, text: &str) -> (Form, bool) {
    let found = find::find(&store.kernel.db, Scope::Everything, name)
        .await
        .unwrap();
    let known = known::one(&store.kernel.db, found[0].person.id)
        .await
        .unwrap()
        .unwrap();
    let kept = known.stored.unwrap();
    let stored = password::open(&store.kernel.keys, &kept).unwrap();
    let outcome = proof::verify(
        &stored,
        &Attempt::Pap {
            password: text.as_bytes(),
        },
    );
    (kept.form, matches!(outcome, proof::Outcome::Right(..)))
}

on_both_engines! {
    async fn organisations_are_found_by_their_slug_and_a_slip_is_met_with_the_right_one(store: Store) {
        let acme = organisation_of(&store, "acme", Namespace::Shared).await;
        let found = organisation::by_slug(&store.kernel.db, "acme").await.unwrap();
        assert_eq!(found.id, acme.id);
        let slip = organisation::by_slug(&store.kernel.db, "acne").await.unwrap_err();
        assert!(slip.to_string().contains("'acme'"), "{slip}");
        let again = found_organisation(&store.kernel, NewOrganisation::named("acme")).await;
        assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
        assert!(organisation::set_active(&store.kernel, acme.id, false).await.unwrap());
        assert!(!organisation::by_id(&store.kernel.db, acme.id).await.unwrap().unwrap().is_active);
        let seen = organisation::list(&store.kernel.db, Scope::Organisation(acme.id)).await.unwrap();
        assert_eq!(seen.len(), 1);
    }

    async fn a_shared_name_is_taken_once_and_own_names_once_each(store: Store) {
        let east = organisation_of(&store, "east", Namespace::Shared).await;
        let west = organisation_of(&store, "west", Namespace::Shared).await;
        let north = organisation_of(&store, "north", Namespace::Own).await;
        let south = organisation_of(&store, "south", Namespace::Own).await;
        add(&store, &east, NewPerson::named("alice")).await.unwrap();
        let taken = add(&store, &west, NewPerson::named("alice")).await;
        assert!(matches!(&taken, Err(Error::Conflict(text)) if text.contains("alice")), "{taken:?}");
        for own in [&north, &south] {
            add(&store, own, NewPerson::named("alice")).await.unwrap();
            assert!(add(&store, own, NewPerson::named("alice")).await.is_err());
        }
        let all = find::find(&store.kernel.db, Scope::Everything, "alice").await.unwrap();
        assert_eq!(all.len(), 3);
        let own = find::find(&store.kernel.db, Scope::Organisation(north.id), "alice").await.unwrap();
        assert_eq!(own.len(), 1, "a manager sees his own only");
        assert_eq!(own[0].memberships[0].membership.organisation, north.id);
    }

    async fn names_are_compared_as_their_kind_says(store: Store) {
        let acme = organisation_of(&store, "acme", Namespace::Shared).await;
        let new = NewPerson {
            email: Some("Anna@Example.org".to_owned()),
            phone_number: Some("+43 660 1234567".to_owned()),
            mac: Some("aabb.cc00.1122".to_owned()),
            ..NewPerson::named("Anna")
        };
        add(&store, &acme, new).await.unwrap();
        for (text, expect) in [
            ("Anna", 1),
            ("anna", 0),
            ("anna@EXAMPLE.org", 1),
            ("+436601234567", 1),
            ("AA:BB:CC:00:11:22", 1),
            ("AA:BB:CC:00:11:23", 0),
        ] {
            let found = find::find(&store.kernel.db, Scope::Everything, text).await.unwrap();
            assert_eq!(found.len(), expect, "{text}");
        }
        // The same letters in another case are another name, with a warning.
        let twin = add(&store, &acme, NewPerson::named("anna")).await.unwrap();
        assert_eq!(twin.warnings.len(), 1);
    }

    async fn passwords_are_kept_in_the_form_that_was_asked_for(store: Store) {
        let acme = organisation_of(&store, "acme", Namespace::Shared).await;
        for (name, kept, form) in [
            ("recoverable", identity::Store::Recoverable, Form::Recoverable),
            ("nt", identity::Store::Nt, Form::Nt),
            ("pending", identity::Store::Hashed, Form::Pending),
        ] {
            add(&store, &acme, with_password(name, "wonderland", kept)).await.unwrap();
            assert_eq!(keeps(&store, name, "wonderland").await, (form, true), "{name}");
            assert_eq!(keeps(&store, name, "Wonderland").await, (form, false), "{name}");
        }
        assert_eq!(pending::count_pending(&store.kernel).await.unwrap(), 1);
        assert_eq!(pending::hash_pending(&store.kernel, 10).await.unwrap(), 1);
        assert_eq!(keeps(&store, "pending", "wonderland").await, (Form::Hashed, true));
        assert_eq!(pending::hash_pending(&store.kernel, 10).await.unwrap(), 0);
        // A hash of another system is kept as it is.
        let django = "pbkdf2_sha256$1000$salt$QIZ3xY3Y1jF8CU7fHTTb3Yd6mUfLwL1Zk9ZfY8ksYJ0=";
        add(&store, &acme, with_password("django", django, identity::Store::Recoverable)).await.unwrap();
        assert_eq!(keeps(&store, "django", "anything").await.0, Form::Hashed);
        let id = find::find(&store.kernel.db, Scope::Everything, "nt").await.unwrap()[0].person.id;
        let new = NewPassword::given("looking-glass", identity::Store::Recoverable);
        person::set_password(&store.kernel, id, new).await.unwrap();
        assert_eq!(keeps(&store, "nt", "looking-glass").await, (Form::Recoverable, true));
        assert!(store.was_told(identity::PERSON_CHANGED).await);
    }

    async fn a_member_is_in_the_default_group_and_can_be_kept_out(store: Store) {
        let acme = organisation_of(&store, "acme", Namespace::Shared).await;
        let made = add(&store, &acme, NewPerson::named("alice")).await.unwrap();
        let groups = groups_of(&store.kernel.db, made.membership.id).await.unwrap();
        assert_eq!(groups.len(), 1);
        assert!(membership::set_enabled(&store.kernel, made.membership.id, false).await.unwrap());
        assert!(!membership::set_enabled(&store.kernel, made.membership.id, false).await.unwrap());
        let known = known::by_membership(&store.kernel.db, made.membership.id).await.unwrap().unwrap();
        assert!(!known.memberships[0].is_enabled);
        let mut tx = store.kernel.db.begin().await.unwrap();
        assert!(person::delete(&mut tx, &store.kernel, made.person.id).await.unwrap());
        tx.commit().await.unwrap();
        assert!(known::one(&store.kernel.db, made.person.id).await.unwrap().is_none());
        assert!(groups_of(&store.kernel.db, made.membership.id).await.unwrap().is_empty());
    }

    /// What the Register reads at its start, page by page.
    async fn everybody_is_known_once_over_pages(store: Store) {
        let acme = organisation_of(&store, "acme", Namespace::Shared).await;
        for n in 0..23 {
            add(&store, &acme, NewPerson::named(&format!("user{n:02}"))).await.unwrap();
        }
        let mut names = Vec::new();
        let mut after = None;
        loop {
            let page = known::page(&store.kernel.db, after, 5).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.person);
            names.extend(page.iter().map(|known| known.username.clone()));
        }
        names.sort();
        assert_eq!(names.len(), 23);
        names.dedup();
        assert_eq!(names.len(), 23);
    }
}
