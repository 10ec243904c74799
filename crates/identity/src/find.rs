//! Finding people by whatever somebody knows of them: username, e-mail address, phone number or device.
//!
//! A reader with the scope of one organisation sees of a person what that organisation holds, and nothing of whoever
//! is not a member of it.

use crate::identifier::{fold, twin};
use crate::membership::MembershipRow;
use crate::person::PersonRow;
use crate::{Error, Form, Kind, Membership, Person, PersonId};
use kernel::{Db, OrganisationId, Scope, Value, id::Uuid};
use serde::Serialize;

/// Most people that one text can mean: a username in that many organisations' own namespaces.
pub const MAX_FOUND: i64 = 100;
/// Longest text that is looked for, in octets: no identifier is longer.
const MAX_TEXT_OCTETS: usize = 1_024;

/// A person with everything the reader may see of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The person.
    pub person: Person,
    /// Their username: the shared one where it may be seen, else the oldest.
    pub username: String,
    /// All their names.
    pub identifiers: Vec<FoundIdentifier>,
    /// In which form a password is kept; none where there is no password.
    pub password: Option<Form>,
    /// All their memberships, oldest first.
    pub memberships: Vec<FoundMembership>,
}

/// One of a person's names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundIdentifier {
    /// The organisation whose own namespace it lies in; none for the shared one.
    pub realm: Option<OrganisationId>,
    /// What kind.
    pub kind: Kind,
    /// As it was given.
    pub value: String,
    /// As it is compared.
    pub folded: String,
    /// Whether they have shown that it is theirs.
    pub is_verified: bool,
}

/// A membership with the organisation's names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundMembership {
    /// The membership.
    #[serde(flatten)]
    pub membership: Membership,
    /// The organisation's slug.
    pub organisation_slug: String,
    /// The organisation's name.
    pub organisation_name: String,
}

// What an organisation holds of a person's names: those of its own realm, or the shared ones if it shares.
macro_rules! may_be_seen {
    ($scope:literal) => {
        concat!(
            "(CAST($", $scope, " AS UUID) IS NULL OR EXISTS (
                SELECT 1 FROM membership m JOIN organisation o ON o.id = m.organisation_id
                WHERE m.person_id = i.person_id AND o.id = $", $scope, "
                  AND ((o.namespace = 'own' AND i.realm = o.id) OR (o.namespace = 'shared' AND i.realm IS NULL))))"
        )
    };
}

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    FIND = concat!("SELECT DISTINCT i.person_id FROM identifier i
        WHERE i.twin IN ($7, $8, $9, $10)
          AND ((i.kind = 'username' AND i.folded = $1) OR (i.kind = 'email' AND i.folded = $2)
            OR (i.kind = 'phone' AND i.folded = $3) OR (i.kind = 'mac' AND i.folded = $4))
          AND ", may_be_seen!("5"), " ORDER BY i.person_id LIMIT $6");
    PERSON = "SELECT p.id, p.first_name, p.last_name, p.is_active, p.last_login, p.password_updated, p.created, p.modified
        FROM person p WHERE p.id = $1 AND (CAST($2 AS UUID) IS NULL
            OR EXISTS (SELECT 1 FROM membership m WHERE m.person_id = p.id AND m.organisation_id = $2))";
    IDENTIFIERS = concat!("SELECT i.realm, i.kind, i.value, i.folded, i.is_verified FROM identifier i
        WHERE i.person_id = $1 AND ", may_be_seen!("2"), " ORDER BY i.created, i.id");
    FORM = "SELECT form FROM credential WHERE person_id = $1";
    MEMBERSHIPS = "SELECT m.id, m.person_id, m.organisation_id, m.is_manager, m.is_owner, m.is_enabled, m.expires, m.method,
            m.is_verified, m.verified, m.created, m.modified, o.slug, o.name
        FROM membership m JOIN organisation o ON o.id = m.organisation_id
        WHERE m.person_id = $1 AND (CAST($2 AS UUID) IS NULL OR m.organisation_id = $2) ORDER BY m.created, m.id";
}

#[derive(sqlx::FromRow)]
struct FoundRow {
    person_id: Uuid,
}

#[derive(sqlx::FromRow)]
struct IdentifierRow {
    realm: Option<Uuid>,
    kind: String,
    value: String,
    folded: String,
    is_verified: bool,
}

#[derive(sqlx::FromRow)]
struct FormRow {
    form: String,
}

#[derive(sqlx::FromRow)]
struct PlaceRow {
    #[sqlx(flatten)]
    membership: MembershipRow,
    slug: String,
    name: String,
}

/// Everybody whom a text may mean: by username (exactly), e-mail address, phone number or device, whichever it can
/// be. Nobody is not an error.
///
/// # Errors
/// [`Error::Engine`].
pub async fn find(db: &Db, scope: Scope, text: &str) -> Result<Vec<Found>, Error> {
    if text.is_empty() || text.len() > MAX_TEXT_OCTETS {
        return Ok(Vec::new());
    }
    // What a text cannot be is looked for as an empty one, which nobody has.
    let as_kind = |kind| fold(kind, text).unwrap_or_default();
    let folded = Kind::ALL.map(as_kind);
    let twins = folded.each_ref().map(|name| twin(name));
    let [username, email, phone, mac] = folded;
    let mut values = kernel::values![username, email, phone, mac, scope.parameter(), MAX_FOUND];
    values.extend(twins.iter().map(Value::from));
    let rows: Vec<FoundRow> = db.all(FIND, values).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        found.extend(show(db, scope, PersonId(row.person_id)).await?);
    }
    Ok(found)
}

/// One person, as far as the scope reaches.
///
/// # Errors
/// [`Error::Engine`].
pub async fn show(db: &Db, scope: Scope, id: PersonId) -> Result<Option<Found>, Error> {
    let scoped = || kernel::values![id, scope.parameter()];
    let Some(person) = db.first::<PersonRow>(PERSON, scoped()).await? else {
        return Ok(None);
    };
    let identifiers: Vec<IdentifierRow> = db.all(IDENTIFIERS, scoped()).await?;
    let identifiers: Vec<FoundIdentifier> = identifiers
        .into_iter()
        .filter_map(IdentifierRow::into_identifier)
        .collect();
    let usernames = || {
        identifiers
            .iter()
            .filter(|name| name.kind == Kind::Username)
    };
    let username = usernames()
        .find(|name| name.realm.is_none())
        .or_else(|| usernames().next());
    let form: Option<FormRow> = db.first(FORM, kernel::values![id]).await?;
    let memberships: Vec<PlaceRow> = db.all(MEMBERSHIPS, scoped()).await?;
    Ok(Some(Found {
        person: person.into_person(),
        username: username.map(|name| name.value.clone()).unwrap_or_default(),
        identifiers,
        password: form.and_then(|row| Form::from_word(&row.form)),
        memberships: memberships.into_iter().map(PlaceRow::into_found).collect(),
    }))
}

impl IdentifierRow {
    fn into_identifier(self) -> Option<FoundIdentifier> {
        Some(FoundIdentifier {
            realm: self.realm.map(OrganisationId),
            kind: Kind::from_word(&self.kind)?,
            value: self.value,
            folded: self.folded,
            is_verified: self.is_verified,
        })
    }
}

impl PlaceRow {
    fn into_found(self) -> FoundMembership {
        FoundMembership {
            membership: self.membership.into_membership(),
            organisation_slug: self.slug,
            organisation_name: self.name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{House, house};
    use crate::{Namespace, NewOrganisation, NewPerson, Organisation, membership};

    /// alice is at acme (sharing) and at isp (own); another alice is at net (own).
    async fn three() -> (House, [Organisation; 3], [PersonId; 2]) {
        let house = house().await;
        let own = |name| NewOrganisation {
            namespace: Namespace::Own,
            ..NewOrganisation::named(name)
        };
        let acme = house.organisation(NewOrganisation::named("acme")).await;
        let isp = house.organisation(own("isp")).await;
        let net = house.organisation(own("net")).await;
        let new = NewPerson {
            email: Some("Alice@x.org".into()),
            phone_number: Some("+390612345678".into()),
            mac: Some("aa:bb:cc:dd:ee:ff".into()),
            ..NewPerson::named("alice")
        };
        let one = house.admit(&acme, new).await.unwrap().person.id;
        let two = house
            .admit(&net, NewPerson::named("alice"))
            .await
            .unwrap()
            .person
            .id;
        let mut tx = house.kernel.db.begin().await.unwrap();
        membership::join(&mut tx, &house.kernel, &isp, one)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        (house, [acme, isp, net], [one, two])
    }

    async fn check(house: &House, scope: Scope, text: &str, expect: &[PersonId]) {
        let found = find(&house.kernel.db, scope, text).await.unwrap();
        let ids: Vec<PersonId> = found.iter().map(|found| found.person.id).collect();
        assert_eq!(ids.len(), expect.len(), "{text} {scope:?}");
        assert!(expect.iter().all(|id| ids.contains(id)), "{text} {scope:?}");
    }

    #[tokio::test]
    async fn any_name_in_any_spelling_finds_the_person() {
        let (house, _, [one, two]) = three().await;
        for text in [
            "alice@X.ORG",
            "+39 06 12345678",
            "AABB.CCDD.EEFF",
            "aa-bb-cc-dd-ee-ff",
        ] {
            check(&house, Scope::Everything, text, &[one]).await;
        }
        check(&house, Scope::Everything, "alice", &[one, two]).await;
        for text in ["Alice", "alic", "", "alice ", "+390612345679", "%", "a'b"] {
            check(&house, Scope::Everything, text, &[]).await;
        }
        check(&house, Scope::Everything, &"x".repeat(5_000), &[]).await;
    }

    #[tokio::test]
    async fn all_organisations_are_reported() {
        let (house, [acme, isp, _], [one, _]) = three().await;
        let found = find(&house.kernel.db, Scope::Everything, "alice@x.org")
            .await
            .unwrap()
            .remove(0);
        assert_eq!(found.person.id, one);
        assert_eq!(found.username, "alice");
        let slugs: Vec<&str> = found
            .memberships
            .iter()
            .map(|m| m.organisation_slug.as_str())
            .collect();
        assert_eq!(slugs.len(), 2);
        assert!(slugs.contains(&"acme") && slugs.contains(&"isp"));
        let realms: Vec<_> = found.identifiers.iter().map(|name| name.realm).collect();
        assert_eq!(realms.iter().filter(|realm| realm.is_none()).count(), 4);
        assert_eq!(
            realms
                .iter()
                .filter(|realm| **realm == Some(isp.id))
                .count(),
            4
        );
        assert!(!realms.contains(&Some(acme.id)));
    }

    #[tokio::test]
    async fn an_organisation_sees_what_it_holds_and_no_more() {
        let (house, [acme, isp, net], [one, two]) = three().await;
        let scope = |organisation: &Organisation| Scope::Organisation(organisation.id);
        check(&house, scope(&acme), "alice", &[one]).await;
        check(&house, scope(&isp), "alice", &[one]).await;
        check(&house, scope(&net), "alice", &[two]).await;
        check(&house, scope(&net), "alice@x.org", &[]).await;
        let seen = show(&house.kernel.db, scope(&isp), one)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(seen.memberships.len(), 1);
        assert_eq!(seen.username, "alice");
        assert!(
            seen.identifiers
                .iter()
                .all(|name| name.realm == Some(isp.id))
        );
        let seen = show(&house.kernel.db, scope(&acme), one)
            .await
            .unwrap()
            .unwrap();
        assert!(seen.identifiers.iter().all(|name| name.realm.is_none()));
        assert_eq!(
            show(&house.kernel.db, scope(&net), one).await.unwrap(),
            None
        );
    }
}
