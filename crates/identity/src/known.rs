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
    /// When it was made.
    pub created: Time,
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
    PEOPLE_BETWEEN = "SELECT id, is_active, password_updated FROM person WHERE id > $1 AND id <= $2 ORDER BY id";
    PERSON = "SELECT id, is_active, password_updated FROM person WHERE id = $1";
    PERSON_OF_MEMBERSHIP = "SELECT p.id, p.is_active, p.password_updated FROM person p JOIN membership m ON m.person_id = p.id WHERE m.id = $1";
    IDENTIFIERS = "SELECT person_id, realm, kind, value, folded FROM identifier
        WHERE person_id >= $1 AND person_id <= $2 ORDER BY person_id, created, id";
    CREDENTIALS = "SELECT id, person_id, form, value FROM credential WHERE person_id >= $1 AND person_id <= $2";
    MEMBERSHIPS = "SELECT id, person_id, organisation_id, is_enabled, expires, is_verified, method, created FROM membership
        WHERE person_id >= $1 AND person_id <= $2 ORDER BY person_id, created, id";
    MANY_PEOPLE = among_many!("SELECT id, is_active, password_updated FROM person WHERE id", " ORDER BY id");
    MANY_IDENTIFIERS = among_many!("SELECT person_id, realm, kind, value, folded FROM identifier WHERE person_id",
        " ORDER BY person_id, created, id");
    MANY_CREDENTIALS = among_many!("SELECT id, person_id, form, value FROM credential WHERE person_id", "");
    MANY_MEMBERSHIPS = among_many!("SELECT id, person_id, organisation_id, is_enabled, expires, is_verified, method, created
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
    created: Time,
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

/// The people after one, up to and with another, in the order of their ids: a page whose [`ids`] were read. Who was made
/// meanwhile is among them.
///
/// # Errors
/// [`Error::Engine`].
pub async fn between(
    db: &Db,
    after: Option<PersonId>,
    last: PersonId,
) -> Result<Vec<Known>, Error> {
    let after = after.map_or(Uuid::nil(), |person| person.0);
    let values = kernel::values![after, last];
    let people: Vec<PersonRow> = db.all(PEOPLE_BETWEEN, values).await?;
    complete(db, people).await
}

/// The ids of a [`page`]: so that pages are read beside each other, or one by one where a damaged row is among them.
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
                created: row.created,
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
mod tests;
