//! What the Register loads of people: page by page at the start, as many as there is news of afterwards.
//!
//! Take the position of the news **before** the first page: what changes while pages are read is then read again.

use crate::{Credential, Error, Form, Kind, MembershipId, PersonId};
use kernel::{Db, OrganisationId, Time, Tx, Value, id::Uuid};
use std::collections::HashMap;

/// Most people in one page: a few megabytes.
pub const MAX_PAGE: usize = 10_000;

/// Ids that one statement of [`among_many!`](crate::among_many) asks for. One size for all: an engine keeps a plan for
/// each text, and an id given twice costs nothing.
pub const MANY: usize = 199;

/// SQL that asks for [`MANY`](crate::known::MANY) ids at once: `before IN ($1,$2,…)after`. The ids are given by
/// [`rounds`](crate::known::rounds).
#[macro_export]
macro_rules! among_many {
    ($before:literal, $after:literal) => {
        $crate::among_many!(@tens $before, $after; 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19)
    };
    (@tens $before:literal, $after:literal; $($ten:literal)*) => {
        concat!(
            $before, " IN ($1,$2,$3,$4,$5,$6,$7,$8,$9",
            $(
                ",$", $ten, "0,$", $ten, "1,$", $ten, "2,$", $ten, "3,$", $ten, "4,$",
                $ten, "5,$", $ten, "6,$", $ten, "7,$", $ten, "8,$", $ten, "9",
            )*
            ")", $after
        )
    };
}

/// A person as the Register knows them.
#[derive(Clone)]
pub struct Known {
    /// Who.
    pub person: PersonId,
    /// False: shut out everywhere.
    pub is_active: bool,
    /// By what names they are found: realm (none is the shared one), kind, folded value.
    pub identifiers: Vec<(Option<OrganisationId>, Kind, String)>,
    /// Their username as they gave it: the shared one where they have one, else the oldest.
    pub username: String,
    /// What is kept of their password; [`crate::password::open`] makes it ready for a proof.
    pub stored: Option<Credential>,
    /// When the password was set, where that is known.
    pub password_updated: Option<Time>,
    /// Where they are members, oldest first.
    pub memberships: Vec<KnownMembership>,
}

/// A membership as the Register knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownMembership {
    /// Its id.
    pub id: MembershipId,
    /// Where.
    pub organisation: OrganisationId,
    /// False: they do not come in through this organisation.
    pub is_enabled: bool,
    /// From when on they do not come in any more.
    pub expires: Option<Time>,
    /// Whether it is settled who they are.
    pub is_verified: bool,
    /// How that was settled.
    pub method: String,
}

/// SQL for whoever has one of [`MAX_NAMES`] names in a realm.
macro_rules! named {
    ($realm:literal) => {
        concat!(
            "SELECT person_id, kind, folded FROM identifier WHERE (",
            $realm,
            " AND kind = $1 AND folded = $2) OR (",
            $realm,
            " AND kind = $3 AND folded = $4) OR (",
            $realm,
            " AND kind = $5 AND folded = $6) OR (",
            $realm,
            " AND kind = $7 AND folded = $8) OR (",
            $realm,
            " AND kind = $9 AND folded = $10) OR (",
            $realm,
            " AND kind = $11 AND folded = $12) OR (",
            $realm,
            " AND kind = $13 AND folded = $14)"
        )
    };
}

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    PEOPLE = "SELECT id, is_active, password_updated FROM person WHERE id > $1 ORDER BY id LIMIT $2";
    PERSON = "SELECT id, is_active, password_updated FROM person WHERE id = $1";
    PERSON_OF_MEMBERSHIP = "SELECT p.id, p.is_active, p.password_updated FROM person p JOIN membership m ON m.person_id = p.id WHERE m.id = $1";
    IDENTIFIERS = "SELECT person_id, realm, kind, value, folded FROM identifier
        WHERE person_id >= $1 AND person_id <= $2 ORDER BY person_id, created, id";
    CREDENTIALS = "SELECT id, person_id, form, value FROM credential WHERE person_id >= $1 AND person_id <= $2";
    MEMBERSHIPS = "SELECT id, person_id, organisation_id, is_enabled, expires, is_verified, method FROM membership
        WHERE person_id >= $1 AND person_id <= $2 ORDER BY person_id, created, id";
    MANY_PEOPLE = among_many!("SELECT id, is_active, password_updated FROM person WHERE id", " ORDER BY id");
    MANY_IDENTIFIERS = among_many!("SELECT person_id, realm, kind, value, folded FROM identifier WHERE person_id",
        " ORDER BY person_id, created, id");
    MANY_CREDENTIALS = among_many!("SELECT id, person_id, form, value FROM credential WHERE person_id", "");
    MANY_MEMBERSHIPS = among_many!("SELECT id, person_id, organisation_id, is_enabled, expires, is_verified, method
        FROM membership WHERE person_id", " ORDER BY person_id, created, id");
    IDS = "SELECT id FROM person WHERE id > $1 ORDER BY id LIMIT $2";
    HOLDER = "SELECT person_id AS id FROM membership WHERE id = $1";
    HOLDERS_OF_MANY = among_many!("SELECT id, person_id FROM membership WHERE id", "");
    // Seven names: as many as one login can mean. The realm is said of each, so that both engines look each up in the
    // unique index of its realm.
    NAMED_SHARED = named!("realm IS NULL");
    NAMED_OWN = named!("realm = $15");
}

#[derive(sqlx::FromRow)]
struct PersonRow {
    id: Uuid,
    is_active: bool,
    password_updated: Option<Time>,
}

#[derive(sqlx::FromRow)]
struct IdRow {
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct HolderRow {
    id: Uuid,
    person_id: Uuid,
}

#[derive(sqlx::FromRow)]
struct NamedRow {
    person_id: Uuid,
    kind: String,
    folded: String,
}

#[derive(sqlx::FromRow)]
struct IdentifierRow {
    person_id: Uuid,
    realm: Option<Uuid>,
    kind: String,
    value: String,
    folded: String,
}

#[derive(sqlx::FromRow)]
struct CredentialRow {
    id: Uuid,
    person_id: Uuid,
    form: String,
    value: String,
}

#[derive(sqlx::FromRow)]
struct MembershipRow {
    id: Uuid,
    person_id: Uuid,
    organisation_id: Uuid,
    is_enabled: bool,
    expires: Option<Time>,
    is_verified: bool,
    method: String,
}

/// The next people after one, in the order of their ids; at most `limit`, and never more than [`MAX_PAGE`]. An empty
/// page is the end.
///
/// # Errors
/// [`Error::Engine`].
pub async fn page(db: &Db, after: Option<PersonId>, limit: usize) -> Result<Vec<Known>, Error> {
    let people: Vec<PersonRow> = db.all(PEOPLE, page_values(after, limit)).await?;
    complete(db, people).await
}

/// The ids of a [`page`], for when a damaged row keeps the page from being read.
///
/// # Errors
/// [`Error::Engine`].
pub async fn ids(db: &Db, after: Option<PersonId>, limit: usize) -> Result<Vec<PersonId>, Error> {
    let rows: Vec<IdRow> = db.all(IDS, page_values(after, limit)).await?;
    Ok(rows.into_iter().map(|row| PersonId(row.id)).collect())
}

fn page_values(after: Option<PersonId>, limit: usize) -> Vec<Value> {
    let limit = i64::try_from(limit.clamp(1, MAX_PAGE)).unwrap_or(1);
    kernel::values![after.map_or(Uuid::nil(), |person| person.0), limit]
}

/// Those of these people who are there, in the order of their ids. [`MANY`] of them cost four reads.
///
/// # Errors
/// [`Error::Engine`].
pub async fn many(db: &Db, people: &[PersonId]) -> Result<Vec<Known>, Error> {
    let mut known = Vec::with_capacity(people.len());
    for ids in rounds(people.iter().map(|person| person.0).collect()) {
        let people: Vec<PersonRow> = db.all(MANY_PEOPLE, ids.clone()).await?;
        let parts = Parts {
            identifiers: db.all(MANY_IDENTIFIERS, ids.clone()).await?,
            credentials: db.all(MANY_CREDENTIALS, ids.clone()).await?,
            memberships: db.all(MANY_MEMBERSHIPS, ids).await?,
        };
        known.extend(assemble(people, parts));
    }
    Ok(known)
}

/// The parameters of a statement made by [`among_many!`](crate::among_many) for each round of [`MANY`] ids, in their
/// order. The last round is filled up with its last id.
pub fn rounds(mut ids: Vec<Uuid>) -> impl Iterator<Item = Vec<Value>> {
    ids.sort_unstable();
    ids.dedup();
    let number = ids.len().div_ceil(MANY);
    (0..number).map(move |round| {
        let of_round = ids.iter().skip(round * MANY).take(MANY);
        let fill = std::iter::repeat_n(ids.last(), MANY).flatten();
        of_round
            .chain(fill)
            .take(MANY)
            .map(|id| Value::from(*id))
            .collect()
    })
}

/// Whose membership this is, as the transaction sees it. Rooms name the person in the versions of what they hold of a
/// membership, so that erasing the person empties those too.
///
/// # Errors
/// [`Error::Engine`].
pub async fn holder(tx: &mut Tx, membership: MembershipId) -> Result<Option<PersonId>, Error> {
    let row: Option<IdRow> = tx.first(HOLDER, kernel::values![membership]).await?;
    Ok(row.map(|row| PersonId(row.id)))
}

/// Who holds these memberships; those that are gone are not among them.
///
/// # Errors
/// [`Error::Engine`].
pub async fn holders(
    db: &Db,
    memberships: &[MembershipId],
) -> Result<HashMap<MembershipId, PersonId>, Error> {
    let mut known = HashMap::with_capacity(memberships.len());
    for round in rounds(memberships.iter().map(|id| id.0).collect()) {
        let rows: Vec<HolderRow> = db.all(HOLDERS_OF_MANY, round).await?;
        let pairs = rows.into_iter();
        known.extend(pairs.map(|row| (MembershipId(row.id), PersonId(row.person_id))));
    }
    Ok(known)
}

/// Most names that [`named`] looks up at once.
pub const MAX_NAMES: usize = 7;

/// Who has the first of these names, kind and folded value, that anybody in the realm has: one read of an index.
/// Names beyond [`MAX_NAMES`] are not looked at.
///
/// # Errors
/// [`Error::Engine`].
pub async fn named(
    db: &Db,
    realm: Option<OrganisationId>,
    names: &[(Kind, String)],
) -> Result<Option<PersonId>, Error> {
    let Some(last) = names.last() else {
        return Ok(None);
    };
    let mut values: Vec<Value> = names
        .iter()
        .chain(std::iter::repeat_n(last, MAX_NAMES))
        .take(MAX_NAMES)
        .flat_map(|(kind, folded)| kernel::values![kind.word(), folded.as_str()])
        .collect();
    let rows: Vec<NamedRow> = match realm {
        None => db.all(NAMED_SHARED, values).await?,
        Some(realm) => {
            values.push(realm.into());
            db.all(NAMED_OWN, values).await?
        }
    };
    Ok(names.iter().take(MAX_NAMES).find_map(|(kind, folded)| {
        rows.iter()
            .find(|row| row.kind == kind.word() && row.folded == *folded)
            .map(|row| PersonId(row.person_id))
    }))
}

/// One person.
///
/// # Errors
/// [`Error::Engine`].
pub async fn one(db: &Db, person: PersonId) -> Result<Option<Known>, Error> {
    let people: Vec<PersonRow> = db.all(PERSON, kernel::values![person]).await?;
    Ok(complete(db, people).await?.pop())
}

/// The person of a membership.
///
/// # Errors
/// [`Error::Engine`].
pub async fn by_membership(db: &Db, membership: MembershipId) -> Result<Option<Known>, Error> {
    let people: Vec<PersonRow> = db
        .all(PERSON_OF_MEMBERSHIP, kernel::values![membership])
        .await?;
    Ok(complete(db, people).await?.pop())
}

/// Adds everything else to people whose ids ascend without a gap between the first and the last.
async fn complete(db: &Db, people: Vec<PersonRow>) -> Result<Vec<Known>, Error> {
    let (Some(first), Some(last)) = (people.first().map(|p| p.id), people.last().map(|p| p.id))
    else {
        return Ok(Vec::new());
    };
    let values = || kernel::values![first, last];
    let (identifiers, credentials, memberships) = tokio::try_join!(
        db.all(IDENTIFIERS, values()),
        db.all(CREDENTIALS, values()),
        db.all(MEMBERSHIPS, values()),
    )?;
    let parts = Parts {
        identifiers,
        credentials,
        memberships,
    };
    Ok(assemble(people, parts))
}

/// Everything of some people beside themselves.
struct Parts {
    identifiers: Vec<IdentifierRow>,
    credentials: Vec<CredentialRow>,
    memberships: Vec<MembershipRow>,
}

fn assemble(people: Vec<PersonRow>, parts: Parts) -> Vec<Known> {
    let places: HashMap<Uuid, usize> = people
        .iter()
        .enumerate()
        .map(|(at, row)| (row.id, at))
        .collect();
    let mut known: Vec<Known> = people.into_iter().map(Known::bare).collect();
    // Somebody may have been made since the people were read: news tells of them.
    for row in parts.identifiers {
        if let Some(at) = places.get(&row.person_id) {
            known[*at].add_identifier(row);
        }
    }
    for row in parts.credentials {
        if let (Some(at), Some(form)) = (places.get(&row.person_id), Form::from_word(&row.form)) {
            known[*at].stored = Some(Credential {
                id: row.id,
                form,
                value: row.value,
            });
        }
    }
    for row in parts.memberships {
        if let Some(at) = places.get(&row.person_id) {
            known[*at].memberships.push(KnownMembership {
                id: MembershipId(row.id),
                organisation: OrganisationId(row.organisation_id),
                is_enabled: row.is_enabled,
                expires: row.expires,
                is_verified: row.is_verified,
                method: row.method,
            });
        }
    }
    known
}

impl Known {
    fn bare(row: PersonRow) -> Self {
        Self {
            person: PersonId(row.id),
            is_active: row.is_active,
            identifiers: Vec::new(),
            username: String::new(),
            stored: None,
            password_updated: row.password_updated,
            memberships: Vec::new(),
        }
    }

    fn add_identifier(&mut self, row: IdentifierRow) {
        let Some(kind) = Kind::from_word(&row.kind) else {
            return;
        };
        let has_shared = || {
            self.identifiers
                .iter()
                .any(|(realm, kind, _)| realm.is_none() && *kind == Kind::Username)
        };
        if kind == Kind::Username
            && (self.username.is_empty() || (row.realm.is_none() && !has_shared()))
        {
            self.username = row.value;
        }
        self.identifiers
            .push((row.realm.map(OrganisationId), kind, row.folded));
    }

    /// The membership in an organisation.
    pub fn membership_in(&self, organisation: OrganisationId) -> Option<&KnownMembership> {
        self.memberships
            .iter()
            .find(|membership| membership.organisation == organisation)
    }
}

#[cfg(test)]
mod tests {
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
}
