use super::*;
use crate::testing::{House, house};
use crate::{Form, Namespace, NewOrganisation, Store, find, known, password};
use kernel::Scope;
use proof::{Attempt, verify};
use serde_json::json;

fn alice() -> NewPerson {
    NewPerson {
        password: Some(NewPassword::given("s3cret-words", Store::Recoverable)),
        email: Some("Alice@Example.org".into()),
        first_name: "Alice".into(),
        phone_number: Some("+39 06 12345678".into()),
        mac: Some("aabb.ccdd.eeff".into()),
        expires: Some(Time::from_unix_seconds(1_900_000_000)),
        verified: true,
        method: "manual".into(),
        ..NewPerson::named("alice")
    }
}

async fn own(house: &House, name: &str) -> Organisation {
    house
        .organisation(NewOrganisation {
            namespace: Namespace::Own,
            ..NewOrganisation::named(name)
        })
        .await
}

async fn serves_pap(house: &House, id: PersonId, text: &str) -> bool {
    let known = known::one(&house.kernel.db, id).await.unwrap().unwrap();
    let stored = password::open(&house.kernel.keys, &known.stored.unwrap()).unwrap();
    verify(
        &stored,
        &Attempt::Pap {
            password: text.as_bytes(),
        },
    )
    .is_right()
}

#[tokio::test]
async fn a_person_is_made_with_names_terms_and_password() {
    let house = house().await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    let made = house.admit(&acme, alice()).await.unwrap();
    assert!(made.warnings.is_empty());
    let found = find::show(&house.kernel.db, Scope::Everything, made.person.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.person, made.person);
    assert_eq!(found.memberships[0].membership, made.membership);
    assert!(made.membership.is_verified && made.membership.is_enabled);
    assert_eq!(made.membership.verified, Some(house.kernel.now()));
    assert_eq!(found.password, Some(Form::Recoverable));
    let folded: Vec<&str> = found
        .identifiers
        .iter()
        .map(|name| name.folded.as_str())
        .collect();
    assert_eq!(folded.len(), 4);
    for name in [
        "alice",
        "alice@example.org",
        "+390612345678",
        "AA-BB-CC-DD-EE-FF",
    ] {
        assert!(folded.contains(&name), "{name}");
    }
    assert!(serves_pap(&house, made.person.id, "s3cret-words").await);
    assert_eq!(house.told(PERSON_CHANGED, made.person.id).await, 1);
}

#[tokio::test]
async fn the_history_tells_what_decides_and_no_secret() {
    let house = house().await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    let made = house.admit(&acme, alice()).await.unwrap();
    let person = house.version(made.person.id).await;
    assert_eq!(person["password"], json!("recoverable"));
    assert_eq!(
        person["identifiers"][0],
        json!({"kind": "username", "realm": null, "value": "alice"})
    );
    assert_eq!(
        house.version(made.membership.id).await["is_verified"],
        json!(true)
    );
    let text = house.whole_history().await;
    assert!(!text.contains("s3cret") && !text.contains("v1:"));
}

/// The same name again in the shared realm, in another's own realm, and in the same own realm.
#[tokio::test]
async fn a_username_is_unique_in_its_realm() {
    let house = house().await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    let cafe = house.organisation(NewOrganisation::named("cafe")).await;
    let isp = own(&house, "isp").await;
    let net = own(&house, "net").await;
    let exists = |outcome: Result<Inserted, Error>| matches!(outcome, Err(Error::Conflict(text)) if text == "username 'alice' exists");
    house.admit(&acme, NewPerson::named("alice")).await.unwrap();
    assert!(exists(house.admit(&cafe, NewPerson::named("alice")).await));
    house.admit(&isp, NewPerson::named("alice")).await.unwrap();
    house.admit(&net, NewPerson::named("alice")).await.unwrap();
    assert!(exists(house.admit(&net, NewPerson::named("alice")).await));
}

#[tokio::test]
async fn every_other_name_is_unique_however_it_is_spelt() {
    let house = house().await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    house.admit(&acme, alice()).await.unwrap();
    let bob = || NewPerson::named("bob");
    for (new, words) in [
        (
            NewPerson {
                email: Some("ALICE@example.ORG".into()),
                ..bob()
            },
            "e-mail address 'ALICE@example.ORG'",
        ),
        (
            NewPerson {
                phone_number: Some("0039 (06) 12345678".into()),
                ..bob()
            },
            "phone number",
        ),
        (
            NewPerson {
                mac: Some("AA:BB:CC:DD:EE:FF".into()),
                ..bob()
            },
            "MAC address",
        ),
    ] {
        let refused = house.admit(&acme, new).await;
        assert!(
            matches!(&refused, Err(Error::Conflict(text)) if text.starts_with(words) && text.ends_with("belongs to another person")),
            "{refused:?}"
        );
    }
    // A username that is somebody's e-mail address is a username all the same.
    house
        .admit(&acme, NewPerson::named("alice@example.org"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_case_twin_is_admitted_with_a_warning() {
    let house = house().await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    let isp = own(&house, "isp").await;
    house.admit(&acme, NewPerson::named("alice")).await.unwrap();
    let twin = house.admit(&acme, NewPerson::named("Alice")).await.unwrap();
    assert_eq!(
        twin.warnings,
        [Warning::CaseTwin {
            username: "Alice".into(),
            twin: "alice".into()
        }]
    );
    assert!(
        house
            .admit(&isp, NewPerson::named("ALICE"))
            .await
            .unwrap()
            .warnings
            .is_empty()
    );
    assert!(
        house
            .admit(&acme, NewPerson::named("alicia"))
            .await
            .unwrap()
            .warnings
            .is_empty()
    );
}

#[tokio::test]
async fn a_bad_row_leaves_the_transaction_usable() {
    let house = house().await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    let mut tx = house.kernel.db.begin().await.unwrap();
    insert(&mut tx, &house.kernel, &acme, NewPerson::named("alice"))
        .await
        .unwrap();
    let long = "x".repeat(151);
    for new in [
        NewPerson::named("alice"),
        NewPerson::named(""),
        NewPerson {
            email: Some("nobody".into()),
            ..NewPerson::named("b")
        },
        NewPerson {
            phone_number: Some("12".into()),
            ..NewPerson::named("b")
        },
        NewPerson {
            first_name: long.clone(),
            ..NewPerson::named("b")
        },
        NewPerson {
            last_name: "a\nb".into(),
            ..NewPerson::named("b")
        },
        NewPerson {
            method: long.clone(),
            ..NewPerson::named("b")
        },
        NewPerson {
            password: Some(NewPassword::given("", Store::Hashed)),
            ..NewPerson::named("b")
        },
    ] {
        assert!(insert(&mut tx, &house.kernel, &acme, new).await.is_err());
    }
    insert(&mut tx, &house.kernel, &acme, NewPerson::named("b"))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        known::page(&house.kernel.db, None, 10).await.unwrap().len(),
        2
    );
}

#[tokio::test]
async fn another_password_replaces_the_first() {
    let house = house().await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    let id = house.admit(&acme, alice()).await.unwrap().person.id;
    house.clock.advance_seconds(60);
    let new = NewPassword::given("other words", Store::Hashed);
    assert!(
        set_password(&house.kernel, id, new.clone())
            .await
            .unwrap()
            .is_empty()
    );
    assert!(serves_pap(&house, id, "other words").await);
    assert!(!serves_pap(&house, id, "s3cret-words").await);
    let found = find::show(&house.kernel.db, Scope::Everything, id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.password, Some(Form::Hashed));
    assert_eq!(found.person.password_updated, Some(house.kernel.now()));
    assert_eq!(house.version(id).await["password"], json!("hashed"));
    assert_eq!(house.told(PERSON_CHANGED, id).await, 2);
    let nobody = set_password(&house.kernel, PersonId(Uuid::nil()), new).await;
    assert!(matches!(nobody, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn shutting_a_person_out_is_told_once() {
    let house = house().await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    let id = house.admit(&acme, alice()).await.unwrap().person.id;
    assert!(set_active(&house.kernel, id, false).await.unwrap());
    assert!(!set_active(&house.kernel, id, false).await.unwrap());
    assert_eq!(house.told(PERSON_CHANGED, id).await, 2);
    assert_eq!(house.version(id).await["is_active"], json!(false));
    assert!(
        !known::one(&house.kernel.db, id)
            .await
            .unwrap()
            .unwrap()
            .is_active
    );
    let nobody = set_active(&house.kernel, PersonId(Uuid::nil()), false).await;
    assert!(matches!(nobody, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn a_deleted_person_frees_their_names() {
    let house = house().await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    let made = house.admit(&acme, alice()).await.unwrap();
    let mut tx = house.kernel.db.begin().await.unwrap();
    assert!(
        delete(&mut tx, &house.kernel, made.person.id)
            .await
            .unwrap()
    );
    assert!(
        !delete(&mut tx, &house.kernel, made.person.id)
            .await
            .unwrap()
    );
    tx.commit().await.unwrap();
    assert_eq!(house.told(PERSON_REMOVED, made.person.id).await, 1);
    assert!(house.version(made.person.id).await.is_null());
    assert!(house.version(made.membership.id).await.is_null());
    house.admit(&acme, alice()).await.unwrap();
}

#[tokio::test]
async fn a_deleted_person_is_emptied_out_of_the_history() {
    let house = house().await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    let made = house.admit(&acme, alice()).await.unwrap();
    let bruno = house.admit(&acme, NewPerson::named("bruno")).await.unwrap();
    set_active(&house.kernel, made.person.id, false)
        .await
        .unwrap();
    assert!(house.whole_history().await.contains("alice"));
    let mut tx = house.kernel.db.begin().await.unwrap();
    delete(&mut tx, &house.kernel, made.person.id)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let history = house.whole_history().await;
    assert!(!history.contains("alice"), "{history}");
    assert!(!history.contains(&made.person.id.to_string()), "{history}");
    assert!(history.contains("bruno"));
    assert!(!house.version(bruno.membership.id).await.is_null());
}

#[tokio::test]
async fn a_case_twin_is_known_beyond_ascii() {
    let house = house().await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    let named = |name: &str| house.admit(&acme, NewPerson::named(name));
    assert!(named("Ünal").await.unwrap().warnings.is_empty());
    assert_eq!(
        named("ünal").await.unwrap().warnings,
        [Warning::CaseTwin {
            username: "ünal".into(),
            twin: "Ünal".into()
        }]
    );
    let found = crate::find::find(&house.kernel.db, kernel::Scope::Everything, "Ünal").await;
    assert_eq!(found.unwrap().len(), 1);
}
