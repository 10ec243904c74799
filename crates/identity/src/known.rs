//! What the Register loads of people: page by page at the start, one by one when news comes.
//!
//! Take the position of the news **before** the first page: what changes while pages are read is then read again.

use crate::{Credential, Error, Form, Kind, MembershipId, PersonId};
use kernel::{Db, OrganisationId, Time, id::Uuid};
use std::collections::HashMap;

/// Most people in one page: a few megabytes.
pub const MAX_PAGE: usize = 10_000;

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
}

#[derive(sqlx::FromRow)]
struct PersonRow {
    id: Uuid,
    is_active: bool,
    password_updated: Option<Time>,
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
    let limit = i64::try_from(limit.clamp(1, MAX_PAGE)).unwrap_or(1);
    let after = after.map_or(Uuid::nil(), |person| person.0);
    let people: Vec<PersonRow> = db.all(PEOPLE, kernel::values![after, limit]).await?;
    complete(db, people).await
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
    let identifiers: Vec<IdentifierRow> = db.all(IDENTIFIERS, kernel::values![first, last]).await?;
    let credentials: Vec<CredentialRow> = db.all(CREDENTIALS, kernel::values![first, last]).await?;
    let memberships: Vec<MembershipRow> = db.all(MEMBERSHIPS, kernel::values![first, last]).await?;

    let places: HashMap<Uuid, usize> = people
        .iter()
        .enumerate()
        .map(|(at, row)| (row.id, at))
        .collect();
    let mut known: Vec<Known> = people.into_iter().map(Known::bare).collect();
    // Somebody may have been made since the people were read: news tells of them.
    for row in identifiers {
        if let Some(at) = places.get(&row.person_id) {
            known[*at].add_identifier(row);
        }
    }
    for row in credentials {
        if let (Some(at), Some(form)) = (places.get(&row.person_id), Form::from_word(&row.form)) {
            known[*at].stored = Some(Credential {
                id: row.id,
                form,
                value: row.value,
            });
        }
    }
    for row in memberships {
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
    Ok(known)
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
