//! Memberships: a person in an organisation, and everything that the organisation decides about them.

use crate::names;
use crate::version;
use crate::{Error, MembershipId, Organisation, PERSON_CHANGED, PersonId, Warning};
use kernel::{Db, Kernel, News, OrganisationId, Time, Tx, Value, id::Uuid};
use serde::Serialize;
use std::collections::HashMap;

/// Longest name of a way to verify people, in octets.
const MAX_METHOD_OCTETS: usize = 64;

/// A person in an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Membership {
    /// Its id.
    pub id: MembershipId,
    /// Whose.
    pub person: PersonId,
    /// Where.
    pub organisation: OrganisationId,
    /// Whether they may look after the organisation's people.
    pub is_manager: bool,
    /// Whether the organisation is theirs.
    pub is_owner: bool,
    /// False: they do not come in through this organisation.
    pub is_enabled: bool,
    /// From when on they do not come in any more.
    pub expires: Option<Time>,
    /// How it was settled who they are; empty where nobody said.
    pub method: String,
    /// Whether it is settled who they are.
    pub is_verified: bool,
    /// Since when.
    pub verified: Option<Time>,
    /// When it was made.
    pub created: Time,
    /// When it was last changed.
    pub modified: Time,
}

/// On what terms somebody becomes a member.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Until when.
    pub expires: Option<Time>,
    /// Whether it is settled who they are.
    pub is_verified: bool,
    /// How that was settled.
    pub method: String,
}

impl Terms {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.method.len() > MAX_METHOD_OCTETS || self.method.chars().any(char::is_control) {
            return Err(Error::Invalid(format!(
                "method: it has at most {MAX_METHOD_OCTETS} octets and no control characters"
            )));
        }
        Ok(())
    }
}

macro_rules! columns {
    () => {
        "id, person_id, organisation_id, is_manager, is_owner, is_enabled, expires, method, is_verified, verified, created, modified"
    };
}

kernel::many! {
    /// Memberships.
    pub(crate) MEMBERSHIPS = membership (id uuid, person_id uuid, organisation_id uuid, is_manager bool, is_owner bool,
        is_enabled bool, expires time, method text, is_verified bool, verified time, created time, modified time);
}
kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    OF_MANY = crate::among_many!("SELECT id, person_id, organisation_id FROM membership WHERE person_id", "");
    BY_ID = concat!("SELECT ", columns!(), " FROM membership WHERE id = $1");
    BY_PERSON = concat!("SELECT ", columns!(), " FROM membership WHERE person_id = $1 AND organisation_id = $2");
    SET_ENABLED = "UPDATE membership SET is_enabled = $2, modified = $3 WHERE id = $1";
    SET_EXPIRES = "UPDATE membership SET expires = $2, modified = $3 WHERE id = $1";
    SET_VERIFIED = "UPDATE membership SET is_verified = $2, method = $3, verified = $4, modified = $5 WHERE id = $1";
    DELETE = "DELETE FROM membership WHERE id = $1";
}

#[derive(sqlx::FromRow)]
pub(crate) struct MembershipRow {
    id: Uuid,
    person_id: Uuid,
    organisation_id: Uuid,
    is_manager: bool,
    is_owner: bool,
    is_enabled: bool,
    expires: Option<Time>,
    method: String,
    is_verified: bool,
    verified: Option<Time>,
    created: Time,
    modified: Time,
}

impl MembershipRow {
    pub(crate) fn into_membership(self) -> Membership {
        Membership {
            id: MembershipId(self.id),
            person: PersonId(self.person_id),
            organisation: OrganisationId(self.organisation_id),
            is_manager: self.is_manager,
            is_owner: self.is_owner,
            is_enabled: self.is_enabled,
            expires: self.expires,
            method: self.method,
            is_verified: self.is_verified,
            verified: self.verified,
            created: self.created,
            modified: self.modified,
        }
    }
}

/// What is to become a row.
pub(crate) fn new(
    kernel: &Kernel,
    organisation: &Organisation,
    person: PersonId,
    terms: Terms,
) -> Membership {
    let now = kernel.now();
    Membership {
        id: MembershipId(kernel.new_uuid()),
        person,
        organisation: organisation.id,
        is_manager: false,
        is_owner: false,
        is_enabled: true,
        expires: terms.expires,
        method: terms.method,
        is_verified: terms.is_verified,
        verified: terms.is_verified.then_some(now),
        created: now,
        modified: now,
    }
}

/// The values of [`MEMBERSHIPS`].
pub(crate) fn row(membership: &Membership) -> Vec<Value> {
    kernel::values![
        membership.id,
        membership.person,
        membership.organisation,
        membership.is_manager,
        membership.is_owner,
        membership.is_enabled,
        membership.expires,
        &membership.method,
        membership.is_verified,
        membership.verified,
        membership.created,
        membership.modified
    ]
}

/// The row alone, with its version: the caller tells the news.
async fn insert(
    tx: &mut Tx,
    kernel: &Kernel,
    organisation: &Organisation,
    person: PersonId,
    terms: Terms,
) -> Result<Membership, Error> {
    let membership = new(kernel, organisation, person, terms);
    match tx.insert_many(MEMBERSHIPS, vec![row(&membership)]).await {
        Err(e) if e.is_duplicate() => return Err(already_there(organisation)),
        other => other?,
    }
    version::begin_membership(tx, kernel, &membership).await?;
    Ok(membership)
}

/// Where somebody is a member, as far as it matters to one organisation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Their membership there.
    pub here: Option<MembershipId>,
    /// Whether they are a member of another one too.
    pub is_elsewhere: bool,
}

#[derive(sqlx::FromRow)]
struct StandingRow {
    id: Uuid,
    person_id: Uuid,
    organisation_id: Uuid,
}

/// Where people are members, seen from one organisation; who is a member nowhere is not among them.
///
/// # Errors
/// [`Error::Engine`].
pub async fn standings(
    tx: &mut Tx,
    organisation: OrganisationId,
    people: &[PersonId],
) -> Result<HashMap<PersonId, Standing>, Error> {
    let mut standings: HashMap<PersonId, Standing> = HashMap::new();
    for round in crate::known::rounds(people.iter().map(|id| id.0).collect()) {
        let rows: Vec<StandingRow> = tx.all(OF_MANY, round).await?;
        for row in rows {
            let standing = standings.entry(PersonId(row.person_id)).or_default();
            if row.organisation_id == organisation.0 {
                standing.here = Some(MembershipId(row.id));
            } else {
                standing.is_elsewhere = true;
            }
        }
    }
    Ok(standings)
}

fn already_there(organisation: &Organisation) -> Error {
    Error::Conflict(format!(
        "this person is a member of organisation '{}' already",
        organisation.slug
    ))
}

fn no_membership(id: MembershipId) -> Error {
    Error::NotFound(format!("there is no membership with id {id}"))
}

/// Makes somebody who is known a member of another organisation, on no particular terms.
///
/// # Errors
/// As [`join_on`].
pub async fn join(
    tx: &mut Tx,
    kernel: &Kernel,
    organisation: &Organisation,
    person: PersonId,
) -> Result<Membership, Error> {
    join_on(tx, kernel, organisation, person, Terms::default())
        .await
        .map(|(membership, _)| membership)
}

/// Makes somebody who is known a member of another organisation. Where they have no names in that organisation's
/// realm yet, they get the same ones there; warnings name those that are easily mixed up with somebody else's.
///
/// # Errors
/// [`Error::NotFound`] for a person who is not there; [`Error::Conflict`] for one who is a member already or whose
/// name is taken in the realm; [`Error::Invalid`] for terms that cannot be kept.
pub async fn join_on(
    tx: &mut Tx,
    kernel: &Kernel,
    organisation: &Organisation,
    person: PersonId,
    terms: Terms,
) -> Result<(Membership, Vec<Warning>), Error> {
    terms.check()?;
    if !crate::person::lock(tx, person).await? {
        return Err(crate::person::no_person(person));
    }
    let known: Option<MembershipRow> = tx
        .first(BY_PERSON, kernel::values![person, organisation.id])
        .await?;
    if known.is_some() {
        return Err(already_there(organisation));
    }
    let mut warnings = Vec::new();
    let realm = organisation.realm();
    if !names::realms(tx, person).await?.contains(&realm) {
        let names = names::of(tx, person).await?;
        warnings = names::check_free(tx, realm, &names).await?;
        names::give(tx, kernel, person, realm, &names).await?;
        version::record_person(tx, kernel, person).await?;
    }
    let membership = insert(tx, kernel, organisation, person, terms).await?;
    tx.tell(
        kernel.now(),
        News::new(PERSON_CHANGED, Some(organisation.id), person.0),
    )
    .await?;
    Ok((membership, warnings))
}

/// Ends a membership, with what the person was called in the organisation's own realm; whether there was one. What
/// other rooms hold of it goes with the row: let them end its versions first.
///
/// # Errors
/// [`Error::Conflict`] when the person would be left without any name: then delete the person.
pub async fn leave(tx: &mut Tx, kernel: &Kernel, id: MembershipId) -> Result<bool, Error> {
    let Some(row) = tx
        .first::<MembershipRow>(BY_ID, kernel::values![id])
        .await?
    else {
        return Ok(false);
    };
    let membership = row.into_membership();
    crate::person::lock(tx, membership.person).await?;
    let own = Some(membership.organisation);
    let realms = names::realms(tx, membership.person).await?;
    if realms.contains(&own) {
        if realms.iter().all(|realm| *realm == own) {
            return Err(Error::Conflict(format!(
                "membership {id} is the only place where this person has a name; delete the person instead"
            )));
        }
        names::take_away(tx, membership.person, membership.organisation).await?;
    }
    if tx.run(DELETE, kernel::values![id]).await? == 0 {
        // Somebody else ended it while we waited.
        return Ok(false);
    }
    let now = kernel.now();
    tx.end_version(now, id.0).await?;
    version::record_person(tx, kernel, membership.person).await?;
    tx.tell(now, News::new(PERSON_CHANGED, own, membership.person.0))
        .await?;
    Ok(true)
}

/// The membership of an id.
///
/// # Errors
/// [`Error::Engine`].
pub async fn by_id(db: &Db, id: MembershipId) -> Result<Option<Membership>, Error> {
    let row: Option<MembershipRow> = db.first(BY_ID, kernel::values![id]).await?;
    Ok(row.map(MembershipRow::into_membership))
}

/// The same within a transaction.
///
/// # Errors
/// [`Error::Engine`].
pub async fn by_id_in(tx: &mut Tx, id: MembershipId) -> Result<Option<Membership>, Error> {
    let row: Option<MembershipRow> = tx.first(BY_ID, kernel::values![id]).await?;
    Ok(row.map(MembershipRow::into_membership))
}

/// A person's membership in an organisation.
///
/// # Errors
/// [`Error::Engine`].
pub async fn of_person(
    db: &Db,
    organisation: OrganisationId,
    person: PersonId,
) -> Result<Option<Membership>, Error> {
    let row: Option<MembershipRow> = db
        .first(BY_PERSON, kernel::values![person, organisation])
        .await?;
    Ok(row.map(MembershipRow::into_membership))
}

/// Lets a member in or keeps them out; whether that changed anything.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn set_enabled(
    kernel: &Kernel,
    id: MembershipId,
    is_enabled: bool,
) -> Result<bool, Error> {
    let mut tx = kernel.db.begin().await?;
    let values = kernel::values![id, is_enabled, kernel.now()];
    let changed = change(&mut tx, kernel, id, SET_ENABLED, values, |row| {
        row.is_enabled != is_enabled
    })
    .await?;
    tx.commit().await?;
    Ok(changed)
}

/// Sets or clears the moment from which on a member does not come in any more; whether that changed anything.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn set_expires(
    tx: &mut Tx,
    kernel: &Kernel,
    id: MembershipId,
    expires: Option<Time>,
) -> Result<bool, Error> {
    let values = kernel::values![id, expires, kernel.now()];
    change(tx, kernel, id, SET_EXPIRES, values, |row| {
        row.expires != expires
    })
    .await
}

/// Says whether it is settled who a member is, and how; whether that changed anything.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`] for a method that cannot be kept.
pub async fn set_verified(
    tx: &mut Tx,
    kernel: &Kernel,
    id: MembershipId,
    is_verified: bool,
    method: &str,
) -> Result<bool, Error> {
    Terms {
        method: method.to_owned(),
        ..Terms::default()
    }
    .check()?;
    let now = kernel.now();
    let values = kernel::values![id, is_verified, method, is_verified.then_some(now), now];
    let differs = |row: &Membership| row.is_verified != is_verified || row.method != method;
    change(tx, kernel, id, SET_VERIFIED, values, differs).await
}

async fn change(
    tx: &mut Tx,
    kernel: &Kernel,
    id: MembershipId,
    sql: &'static str,
    values: Vec<Value>,
    differs: impl Fn(&Membership) -> bool + Send,
) -> Result<bool, Error> {
    let before: Option<MembershipRow> = tx.first(BY_ID, kernel::values![id]).await?;
    let before = before.ok_or_else(|| no_membership(id))?.into_membership();
    if !differs(&before) {
        return Ok(false);
    }
    tx.run(sql, values).await?;
    let after: Option<MembershipRow> = tx.first(BY_ID, kernel::values![id]).await?;
    let after = after.ok_or_else(|| no_membership(id))?.into_membership();
    version::record_membership(tx, kernel, &after).await?;
    tx.tell(
        kernel.now(),
        News::new(PERSON_CHANGED, Some(after.organisation), after.person.0),
    )
    .await?;
    Ok(true)
}

#[cfg(test)]
mod tests;
