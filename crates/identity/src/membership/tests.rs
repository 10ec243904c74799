use super::*;
use crate::testing::{House, house};
use crate::{Kind, Namespace, NewOrganisation, NewPerson, known, person};
use serde_json::json;

async fn own(house: &House, name: &str) -> Organisation {
    house
        .organisation(NewOrganisation {
            namespace: Namespace::Own,
            ..NewOrganisation::named(name)
        })
        .await
}

async fn joins(house: &House, to: &Organisation, person: PersonId) -> Result<Membership, Error> {
    let mut tx = house.kernel.db.begin().await?;
    let membership = join(&mut tx, &house.kernel, to, person).await?;
    tx.commit().await?;
    Ok(membership)
}

async fn realms(house: &House, person: PersonId) -> Vec<(Option<OrganisationId>, Kind, String)> {
    known::one(&house.kernel.db, person)
        .await
        .unwrap()
        .unwrap()
        .identifiers
}

#[tokio::test]
async fn joining_a_sharing_organisation_needs_no_other_name() {
    let house = house().await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    let cafe = house.organisation(NewOrganisation::named("cafe")).await;
    let alice = house
        .admit(&acme, NewPerson::named("alice"))
        .await
        .unwrap()
        .person
        .id;
    let second = joins(&house, &cafe, alice).await.unwrap();
    assert!(second.is_enabled && !second.is_verified);
    assert_eq!(realms(&house, alice).await.len(), 1);
    assert!(matches!(
        joins(&house, &cafe, alice).await,
        Err(Error::Conflict(_))
    ));
    assert_eq!(
        of_person(&house.kernel.db, cafe.id, alice).await.unwrap(),
        Some(second.clone())
    );
    assert_eq!(
        by_id(&house.kernel.db, second.id).await.unwrap(),
        Some(second)
    );
    assert_eq!(house.told(PERSON_CHANGED, alice).await, 2);
    let nobody = joins(&house, &cafe, PersonId(Uuid::nil())).await;
    assert!(matches!(nobody, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn joining_an_own_namespace_brings_the_names_along() {
    let house = house().await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    let isp = own(&house, "isp").await;
    let new = NewPerson {
        email: Some("a@x.org".into()),
        ..NewPerson::named("alice")
    };
    let alice = house.admit(&acme, new).await.unwrap().person.id;
    joins(&house, &isp, alice).await.unwrap();
    let names = realms(&house, alice).await;
    assert_eq!(names.len(), 4);
    assert!(names.contains(&(Some(isp.id), Kind::Username, "alice".into())));
    assert!(names.contains(&(Some(isp.id), Kind::Email, "a@x.org".into())));
    let version = house.version(alice).await;
    assert_eq!(version["identifiers"].as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn a_name_taken_in_the_other_realm_stops_the_joining() {
    let house = house().await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    let isp = own(&house, "isp").await;
    let alice = house
        .admit(&acme, NewPerson::named("alice"))
        .await
        .unwrap()
        .person
        .id;
    let other = house
        .admit(&isp, NewPerson::named("alice"))
        .await
        .unwrap()
        .person
        .id;
    for (to, who) in [(&isp, alice), (&acme, other)] {
        let refused = joins(&house, to, who).await;
        assert!(matches!(refused, Err(Error::Conflict(text)) if text == "username 'alice' exists"));
    }
}

#[tokio::test]
async fn terms_are_kept_and_twins_named() {
    let house = house().await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    let isp = own(&house, "isp").await;
    house.admit(&isp, NewPerson::named("ALICE")).await.unwrap();
    let alice = house
        .admit(&acme, NewPerson::named("alice"))
        .await
        .unwrap()
        .person
        .id;
    let expires = Some(Time::from_unix_seconds(1_900_000_000));
    let terms = Terms {
        expires,
        is_verified: true,
        method: "manual".into(),
    };
    let mut tx = house.kernel.db.begin().await.unwrap();
    let (membership, warnings) = join_on(&mut tx, &house.kernel, &isp, alice, terms)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        (membership.expires, membership.method.as_str()),
        (expires, "manual")
    );
    assert_eq!(
        by_id(&house.kernel.db, membership.id).await.unwrap(),
        Some(membership)
    );
}

#[tokio::test]
async fn a_change_is_told_with_its_version_and_only_when_it_is_one() {
    let house = house().await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    let made = house.admit(&acme, NewPerson::named("alice")).await.unwrap();
    let (id, kernel) = (made.membership.id, &house.kernel);
    house.clock.advance_seconds(5);
    assert!(set_enabled(kernel, id, false).await.unwrap());
    assert!(!set_enabled(kernel, id, false).await.unwrap());
    let expires = Some(Time::from_unix_seconds(1_900_000_000));
    let mut tx = kernel.db.begin().await.unwrap();
    assert!(set_expires(&mut tx, kernel, id, expires).await.unwrap());
    assert!(!set_expires(&mut tx, kernel, id, expires).await.unwrap());
    assert!(
        set_verified(&mut tx, kernel, id, true, "mobile_phone")
            .await
            .unwrap()
    );
    assert!(
        !set_verified(&mut tx, kernel, id, true, "mobile_phone")
            .await
            .unwrap()
    );
    assert!(
        set_verified(&mut tx, kernel, id, true, &"x".repeat(65))
            .await
            .is_err()
    );
    tx.commit().await.unwrap();
    let now = by_id(&kernel.db, id).await.unwrap().unwrap();
    assert_eq!(
        (now.is_enabled, now.expires, now.is_verified),
        (false, expires, true)
    );
    assert_eq!(
        (now.method.as_str(), now.verified, now.modified),
        ("mobile_phone", Some(kernel.now()), kernel.now())
    );
    let version = house.version(id).await;
    assert_eq!(
        (&version["is_enabled"], &version["method"]),
        (&json!(false), &json!("mobile_phone"))
    );
    assert_eq!(house.told(PERSON_CHANGED, made.person.id).await, 4);
    let nobody = set_enabled(kernel, MembershipId(Uuid::nil()), false).await;
    assert!(matches!(nobody, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn leaving_takes_the_own_names_away_but_never_the_last() {
    let house = house().await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    let isp = own(&house, "isp").await;
    let made = house.admit(&isp, NewPerson::named("alice")).await.unwrap();
    let mut tx = house.kernel.db.begin().await.unwrap();
    let only = leave(&mut tx, &house.kernel, made.membership.id).await;
    assert!(matches!(only, Err(Error::Conflict(_))));
    join(&mut tx, &house.kernel, &acme, made.person.id)
        .await
        .unwrap();
    assert!(
        leave(&mut tx, &house.kernel, made.membership.id)
            .await
            .unwrap()
    );
    assert!(
        !leave(&mut tx, &house.kernel, made.membership.id)
            .await
            .unwrap()
    );
    tx.commit().await.unwrap();
    assert_eq!(
        realms(&house, made.person.id).await,
        [(None, Kind::Username, "alice".into())]
    );
    assert!(house.version(made.membership.id).await.is_null());
    // The person is still there, and the name is free at the organisation they left.
    house.admit(&isp, NewPerson::named("alice")).await.unwrap();
    let mut tx = house.kernel.db.begin().await.unwrap();
    assert!(
        person::delete(&mut tx, &house.kernel, made.person.id)
            .await
            .unwrap()
    );
    tx.commit().await.unwrap();
}
