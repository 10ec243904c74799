use super::*;
use crate::testing::house;
use crate::{Namespace, NewOrganisation, NewPassword, NewPerson, Store, membership};

#[tokio::test]
async fn pages_bring_everybody_once_with_all_that_is_theirs() {
    let house = house().await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    for at in 0..7 {
        let new = NewPerson {
            password: (at % 2 == 0).then(|| NewPassword::given("secret", Store::Recoverable)),
            mac: (at == 3).then(|| "aa:bb:cc:dd:ee:ff".to_owned()),
            method: format!("method-{at}"),
            ..NewPerson::named(&format!("user-{at}"))
        };
        house.admit(&acme, new).await.unwrap();
        house.clock.advance_seconds(1);
    }
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = page(&house.kernel.db, after, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 3);
        after = Some(last.person);
        all.extend(page);
    }
    assert_eq!(all.len(), 7);
    for (at, known) in all.iter().enumerate() {
        assert_eq!(known.username, format!("user-{at}"));
        assert_eq!(known.stored.is_some(), at % 2 == 0);
        assert_eq!(known.identifiers.len(), if at == 3 { 2 } else { 1 });
        assert_eq!(known.memberships.len(), 1);
        assert_eq!(
            known.membership_in(acme.id).unwrap().method,
            format!("method-{at}")
        );
    }
}

#[tokio::test]
async fn the_shared_username_comes_before_an_own_one() {
    let house = house().await;
    let own = NewOrganisation {
        namespace: Namespace::Own,
        ..NewOrganisation::named("isp")
    };
    let isp = house.organisation(own).await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    let made = house.admit(&isp, NewPerson::named("alice")).await.unwrap();
    house.clock.advance_seconds(1);
    let mut tx = house.kernel.db.begin().await.unwrap();
    membership::join(&mut tx, &house.kernel, &acme, made.person.id)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let known = by_membership(&house.kernel.db, made.membership.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(known.username, "alice");
    let username = |realm| (realm, Kind::Username, "alice".to_owned());
    assert_eq!(known.identifiers, [username(Some(isp.id)), username(None)]);
    assert_eq!(known.memberships.len(), 2);
    let mut named = Known::bare(PersonRow {
        id: Uuid::nil(),
        is_active: true,
        password_updated: None,
    });
    for (realm, value) in [
        (Some(isp.id.0), "first"),
        (Some(acme.id.0), "second"),
        (None, "shared"),
        (None, "later"),
    ] {
        named.add_identifier(IdentifierRow {
            person_id: Uuid::nil(),
            realm,
            kind: "username".into(),
            value: value.into(),
            folded: value.into(),
        });
    }
    assert_eq!(named.username, "shared");
}

#[tokio::test]
async fn many_are_those_that_one_by_one_are_found() {
    let house = house().await;
    let db = &house.kernel.db;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    let mut asked = vec![PersonId(Uuid::from_u128(7))];
    for at in 0..MANY + 3 {
        let new = NewPerson {
            password: (at % 2 == 0).then(|| NewPassword::given("secret", Store::Nt)),
            ..NewPerson::named(&format!("user-{at}"))
        };
        asked.push(house.admit(&acme, new).await.unwrap().person.id);
    }
    // Unsorted, somebody twice, and somebody who is not there.
    asked.reverse();
    asked.push(asked[5]);
    let left_out = asked.swap_remove(9);
    let many = many(db, &asked).await.unwrap();
    assert_eq!(many.len(), MANY + 2);
    assert!(many.is_sorted_by(|a, b| a.person < b.person));
    assert!(many.iter().all(|known| known.person != left_out));
    for known in many {
        let alone = one(db, known.person).await.unwrap().unwrap();
        assert_eq!(known.username, alone.username);
        assert_eq!(known.identifiers, alone.identifiers);
        assert_eq!(known.memberships, alone.memberships);
        assert_eq!(known.memberships.len(), 1);
        let value = |known: Known| known.stored.map(|credential| credential.value);
        assert_eq!(value(known), value(alone));
    }
}

#[test]
fn a_round_has_as_many_ids_as_its_statement_asks_for() {
    fn check(ids: usize, expect: &[usize]) {
        let given = (1..=ids as u128).map(Uuid::from_u128);
        let rounds: Vec<Vec<Value>> = rounds(given.clone().chain(given).collect()).collect();
        assert!(rounds.iter().all(|round| round.len() == MANY), "{ids}");
        let different = |round: &Vec<Value>| {
            let mut round: Vec<String> = round.iter().map(|id| format!("{id:?}")).collect();
            round.dedup();
            round.len()
        };
        let different: Vec<usize> = rounds.iter().map(different).collect();
        assert_eq!(different, expect, "{ids}");
    }
    check(0, &[]);
    check(1, &[1]);
    check(MANY, &[MANY]);
    check(MANY + 1, &[MANY, 1]);
    check(1_000, &[MANY, MANY, MANY, MANY, MANY, 5]);
    assert_eq!(MANY_PEOPLE.matches('$').count(), MANY);
    assert!(MANY_PEOPLE.contains("$99,$100,") && MANY_PEOPLE.contains(",$199)"));
}

#[tokio::test]
async fn ids_are_those_of_the_page() {
    let house = house().await;
    let db = &house.kernel.db;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    for name in ["alice", "bob", "carol"] {
        house.admit(&acme, NewPerson::named(name)).await.unwrap();
    }
    let first = page(db, None, 2).await.unwrap();
    let people: Vec<PersonId> = first.iter().map(|known| known.person).collect();
    assert_eq!(ids(db, None, 2).await.unwrap(), people);
    for (after, expect) in [(None, 2), (Some(people[0]), 1), (Some(people[1]), 0)] {
        let between = between(db, after, people[1]).await.unwrap();
        assert_eq!(between.len(), expect);
        assert!(between.last().is_none_or(|last| last.person == people[1]));
    }
    assert_eq!(ids(db, Some(people[1]), 2).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_transaction_knows_the_holder_of_a_membership_it_has_made() {
    let house = house().await;
    let acme = house.organisation(NewOrganisation::named("acme")).await;
    let mut tx = house.kernel.db.begin().await.unwrap();
    let made = crate::person::insert(&mut tx, &house.kernel, &acme, NewPerson::named("alice"))
        .await
        .unwrap();
    let found = holder(&mut tx, made.membership.id).await.unwrap();
    assert_eq!(found, Some(made.person.id));
    let nobody = MembershipId(Uuid::nil());
    assert_eq!(holder(&mut tx, nobody).await.unwrap(), None);
}

#[tokio::test]
async fn nobody_is_none() {
    let house = house().await;
    let db = &house.kernel.db;
    assert!(one(db, PersonId(Uuid::nil())).await.unwrap().is_none());
    assert!(
        by_membership(db, MembershipId(Uuid::nil()))
            .await
            .unwrap()
            .is_none()
    );
    assert!(page(db, None, 0).await.unwrap().is_empty());
}
