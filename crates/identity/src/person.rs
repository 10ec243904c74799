//! People: global, named by their identifiers, with one password.

use crate::entry::{self, Entry};
use crate::membership::Membership;
use crate::names::Name;
use crate::version;
use crate::{
    Credential, Error, Kind, MembershipId, NewPassword, Organisation, PERSON_CHANGED,
    PERSON_REMOVED, PersonId, Warning,
};
use kernel::{Kernel, News, Time, Tx, id::Uuid};
use serde::Serialize;

/// Longest first or last name, in characters: what clients of the REST API have always been held to.
pub const MAX_NAME_CHARACTERS: usize = 150;

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Person {
    /// Their id.
    pub id: PersonId,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// False: shut out everywhere. A membership has a switch of its own.
    pub is_active: bool,
    /// When they last signed in to a page.
    pub last_login: Option<Time>,
    /// When a password was last set.
    pub password_updated: Option<Time>,
    /// When they were made.
    pub created: Time,
    /// When they were last changed.
    pub modified: Time,
}

/// A person to be made. `NewPerson::named` fills in what most want.
#[derive(Clone)]
pub struct NewPerson {
    /// Their username: always there, compared exactly.
    pub username: String,
    /// Their password; a device known by its address has none.
    pub password: Option<NewPassword>,
    /// E-mail address.
    pub email: Option<String>,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Phone number with its country code.
    pub phone_number: Option<String>,
    /// A device's address, in any spelling.
    pub mac: Option<String>,
    /// Until when the membership holds.
    pub expires: Option<Time>,
    /// Whether the organisation takes them for who they say they are.
    pub verified: bool,
    /// How that was settled: `manual`, `mobile_phone`, …; empty where nobody said.
    pub method: String,
}

impl NewPerson {
    /// Somebody with a username and nothing else.
    pub fn named(username: &str) -> Self {
        Self {
            username: username.to_owned(),
            password: None,
            email: None,
            first_name: String::new(),
            last_name: String::new(),
            phone_number: None,
            mac: None,
            expires: None,
            verified: false,
            method: String::new(),
        }
    }

    pub(crate) fn names(&self) -> Result<Vec<Name>, Error> {
        let mut names = vec![Name::read(Kind::Username, &self.username, true)?];
        // An empty column of a file means that there is none. Nobody has proven these addresses yet.
        let others = [
            (Kind::Email, &self.email),
            (Kind::Phone, &self.phone_number),
            (Kind::Mac, &self.mac),
        ];
        for (kind, value) in others {
            if let Some(value) = value.as_deref().filter(|value| !value.trim().is_empty()) {
                names.push(Name::read(kind, value, false)?);
            }
        }
        Ok(names)
    }
}

/// What [`insert`] made.
#[derive(Debug, Clone)]
pub struct Inserted {
    /// The person.
    pub person: Person,
    /// Their membership in the organisation.
    pub membership: Membership,
    /// What may not be as it was meant.
    pub warnings: Vec<Warning>,
}

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    BY_ID = "SELECT id, first_name, last_name, is_active, last_login, password_updated, created, modified FROM person WHERE id = $1";
    SET_ACTIVE = "UPDATE person SET is_active = $2, modified = $3 WHERE id = $1 AND is_active <> $2";
    PASSWORD_WAS_SET = "UPDATE person SET password_updated = $2, modified = $2 WHERE id = $1";
    LOCK = "UPDATE person SET modified = modified WHERE id = $1";
    DELETE = "DELETE FROM person WHERE id = $1";
    MEMBERSHIPS = "SELECT id FROM membership WHERE person_id = $1";
    KEEP_PASSWORD = "INSERT INTO credential (id, person_id, form, value, created, modified) VALUES ($1, $2, $3, $4, $5, $5)";
    FORGET_PASSWORD = "DELETE FROM credential WHERE person_id = $1";
}

#[derive(sqlx::FromRow)]
pub(crate) struct PersonRow {
    id: Uuid,
    first_name: String,
    last_name: String,
    is_active: bool,
    last_login: Option<Time>,
    password_updated: Option<Time>,
    created: Time,
    modified: Time,
}

#[derive(sqlx::FromRow)]
struct IdRow {
    id: Uuid,
}

impl PersonRow {
    pub(crate) fn into_person(self) -> Person {
        Person {
            id: PersonId(self.id),
            first_name: self.first_name,
            last_name: self.last_name,
            is_active: self.is_active,
            last_login: self.last_login,
            password_updated: self.password_updated,
            created: self.created,
            modified: self.modified,
        }
    }
}

/// Makes a person and their membership in an organisation.
///
/// Quick: a password that has yet to be hashed is kept sealed and hashed later, unless it went through
/// [`NewPassword::hashed`] first. What a file got wrong is refused before anything is written, so that an import may
/// leave the row out and go on in the same transaction; only a name that somebody else takes in the same instant
/// ends it.
///
/// # Errors
/// [`Error::Invalid`] names the field and the reason; [`Error::Conflict`] the name that is taken.
pub async fn insert(
    tx: &mut Tx,
    kernel: &Kernel,
    organisation: &Organisation,
    new: NewPerson,
) -> Result<Inserted, Error> {
    let mut entry = Entry::new(kernel, organisation, new)?;
    entry.check_free(tx).await?;
    entry::insert_one(tx, kernel, entry).await
}

async fn keep_password(
    tx: &mut Tx,
    person: PersonId,
    credential: &Credential,
    now: Time,
) -> Result<(), Error> {
    let values = kernel::values![
        credential.id,
        person,
        credential.form.word(),
        &credential.value,
        now
    ];
    tx.run(KEEP_PASSWORD, values).await.map(|_| ())
}

/// Gives a person another password, hashing it first where it is to be hashed.
///
/// # Errors
/// [`Error::Invalid`] for what cannot be a password, [`Error::NotFound`].
pub async fn set_password(
    kernel: &Kernel,
    id: PersonId,
    new: NewPassword,
) -> Result<Vec<Warning>, Error> {
    let kept = new.hashed(kernel).await?.keep(kernel)?;
    let now = kernel.now();
    let mut tx = kernel.db.begin().await?;
    // Touching the person's row first also makes two callers wait for one another.
    if tx.run(PASSWORD_WAS_SET, kernel::values![id, now]).await? == 0 {
        return Err(no_person(id));
    }
    tx.run(FORGET_PASSWORD, kernel::values![id]).await?;
    keep_password(&mut tx, id, &kept.credential, now).await?;
    version::record_person(&mut tx, kernel, id).await?;
    tx.tell(now, News::new(PERSON_CHANGED, None, id.0)).await?;
    tx.commit().await?;
    Ok(kept.warnings)
}

/// Shuts a person out everywhere, or lets them in again; whether that changed anything.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn set_active(kernel: &Kernel, id: PersonId, is_active: bool) -> Result<bool, Error> {
    let now = kernel.now();
    let mut tx = kernel.db.begin().await?;
    if tx
        .run(SET_ACTIVE, kernel::values![id, is_active, now])
        .await?
        == 0
    {
        let known: Option<PersonRow> = tx.first(BY_ID, kernel::values![id]).await?;
        return known.map(|_| false).ok_or_else(|| no_person(id));
    }
    version::record_person(&mut tx, kernel, id).await?;
    tx.tell(now, News::new(PERSON_CHANGED, None, id.0)).await?;
    tx.commit().await?;
    Ok(true)
}

/// Makes everybody else who changes this person wait until the transaction ends; whether there is such a person. It comes
/// first, before any other row of theirs: so nobody waits for somebody who waits for them, and no two versions of the
/// person hold at the same time.
pub(crate) async fn lock(tx: &mut Tx, id: PersonId) -> Result<bool, Error> {
    Ok(tx.run(LOCK, kernel::values![id]).await? > 0)
}

/// Deletes a person with their memberships, names and password; whether there was one. What they used stays counted, and
/// the history keeps that there was somebody, but not who: every version about them is emptied.
///
/// What other rooms hold of their memberships goes with the rows: let them end its versions first.
///
/// # Errors
/// [`Error::Engine`].
pub async fn delete(tx: &mut Tx, kernel: &Kernel, id: PersonId) -> Result<bool, Error> {
    let now = kernel.now();
    if !lock(tx, id).await? {
        return Ok(false);
    }
    let memberships: Vec<IdRow> = tx.all(MEMBERSHIPS, kernel::values![id]).await?;
    tx.run(DELETE, kernel::values![id]).await?;
    for membership in memberships {
        tx.end_version(now, MembershipId(membership.id).0).await?;
    }
    tx.end_version(now, id.0).await?;
    tx.erase_versions(id.0).await?;
    tx.tell(now, News::new(PERSON_REMOVED, None, id.0)).await?;
    Ok(true)
}

/// The sentence for an id without a person.
pub(crate) fn no_person(id: PersonId) -> Error {
    Error::NotFound(format!("there is no person with id {id}"))
}

#[cfg(test)]
mod tests;
