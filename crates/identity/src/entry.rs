//! Making people: one, or as many as an import has at a time.
//!
//! An [`Entry`] is checked and has its ids before anything is written; [`insert_many`] then writes each table in one
//! statement. It must **never** look up or compare names: whoever makes many people has asked
//! [`holders`](crate::holders) in the same transaction, and a name that is taken all the same refuses the whole.

use crate::membership::{self, Membership};
use crate::names::{self, Name};
use crate::person::MAX_NAME_CHARACTERS;
use crate::version::{self, PersonState};
use crate::{
    Credential, Error, Inserted, Kind, MembershipId, NewPerson, Organisation, PERSON_CHANGED,
    Person, PersonId, Terms, Warning,
};
use kernel::{Kernel, News, OrganisationId, Tx};

kernel::many! {
    /// People.
    pub(crate) PEOPLE = person (id uuid, first_name text, last_name text, is_active bool, is_staff bool, is_superuser bool,
        password_updated time, created time, modified time);
    /// Their passwords.
    pub(crate) CREDENTIALS = credential (id uuid, person_id uuid, form text, value text, created time, modified time);
}

/// Somebody who is about to be made.
pub struct Entry {
    person: Person,
    membership: Membership,
    realm: Option<OrganisationId>,
    names: Vec<Name>,
    credential: Option<Credential>,
    warnings: Vec<Warning>,
}

impl Entry {
    /// Checks what is given, makes the ids and seals the password.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the field and the reason.
    pub fn new(
        kernel: &Kernel,
        organisation: &Organisation,
        new: NewPerson,
    ) -> Result<Self, Error> {
        let now = kernel.now();
        let names = new.names()?;
        for (field, value) in [
            ("first name", &new.first_name),
            ("last name", &new.last_name),
        ] {
            if value.chars().count() > MAX_NAME_CHARACTERS || value.chars().any(char::is_control) {
                return Err(Error::Invalid(format!(
                    "{field}: it has at most {MAX_NAME_CHARACTERS} characters and no control characters"
                )));
            }
        }
        let terms = Terms {
            expires: new.expires,
            is_verified: new.verified,
            method: new.method,
        };
        terms.check()?;
        let kept = new.password.map(|password| password.keep(kernel));
        let (credential, warnings) = match kept.transpose()? {
            Some(kept) => (Some(kept.credential), kept.warnings),
            None => (None, Vec::new()),
        };
        let person = Person {
            id: PersonId(kernel.new_uuid()),
            first_name: new.first_name,
            last_name: new.last_name,
            is_active: true,
            last_login: None,
            password_updated: credential.is_some().then_some(now),
            created: now,
            modified: now,
        };
        Ok(Self {
            membership: membership::new(kernel, organisation, person.id, terms),
            person,
            realm: organisation.realm(),
            names,
            credential,
            warnings,
        })
    }

    /// Who it will be.
    pub fn person(&self) -> PersonId {
        self.person.id
    }

    /// Their membership.
    pub fn membership(&self) -> MembershipId {
        self.membership.id
    }

    /// Looks whether the names are free, and for usernames that are easily mixed up with this one.
    pub(crate) async fn check_free(&mut self, tx: &mut Tx) -> Result<(), Error> {
        let twins = names::check_free(tx, self.realm, &self.names).await?;
        self.warnings.splice(0..0, twins);
        Ok(())
    }
}

/// Makes people and their memberships in the organisation that their entries were made for, in the order of the entries.
///
/// # Errors
/// [`Error::Conflict`] when somebody took a name since it was asked about, [`Error::Engine`]; then the transaction is
/// to be given up.
pub async fn insert_many(
    tx: &mut Tx,
    kernel: &Kernel,
    mut entries: Vec<Entry>,
) -> Result<Vec<Inserted>, Error> {
    name_twins(tx, &mut entries).await?;
    let mut rows = Vec::with_capacity(entries.len());
    for entry in &entries {
        let (person, realm) = (entry.person.id, entry.realm);
        let row = |name| names::row(kernel, person, realm, name);
        rows.extend(entry.names.iter().map(row));
    }
    write_people(tx, &entries).await?;
    match tx.insert_many(names::IDENTIFIERS, rows).await {
        Err(e) if e.is_duplicate() => {
            return Err(Error::Conflict(
                "somebody else took one of these names in the same instant".into(),
            ));
        }
        other => other?,
    }
    write_rest(tx, kernel, &entries).await?;
    Ok(entries.into_iter().map(Entry::inserted).collect())
}

/// Makes one person whose names [`Entry::check_free`] found free.
pub(crate) async fn insert_one(
    tx: &mut Tx,
    kernel: &Kernel,
    entry: Entry,
) -> Result<Inserted, Error> {
    let entries = [entry];
    write_people(tx, &entries).await?;
    let [entry] = &entries;
    names::give(tx, kernel, entry.person.id, entry.realm, &entry.names).await?;
    write_rest(tx, kernel, &entries).await?;
    let [entry] = entries;
    Ok(entry.inserted())
}

impl Entry {
    fn inserted(self) -> Inserted {
        Inserted {
            person: self.person,
            membership: self.membership,
            warnings: self.warnings,
        }
    }

    fn username(&self) -> Option<&Name> {
        self.names.iter().find(|name| name.kind == Kind::Username)
    }
}

/// Names the usernames that differ in capital letters only: those that are there and those of earlier entries.
async fn name_twins(tx: &mut Tx, entries: &mut [Entry]) -> Result<(), Error> {
    let Some(realm) = entries.first().map(|entry| entry.realm) else {
        return Ok(());
    };
    let usernames: Vec<&Name> = entries.iter().filter_map(Entry::username).collect();
    let mut twins = names::twins(tx, realm, &usernames).await?;
    for entry in entries {
        let Some((folded, username)) = entry
            .username()
            .map(|name| (name.folded.clone(), name.value.clone()))
        else {
            continue;
        };
        let alike = twins.entry(crate::identifier::twin(&folded)).or_default();
        let others = alike.iter().filter(|twin| **twin != folded);
        let warnings = others.map(|twin| Warning::CaseTwin {
            username: username.clone(),
            twin: twin.clone(),
        });
        let warnings: Vec<Warning> = warnings.collect();
        entry.warnings.splice(0..0, warnings);
        if alike.len() < names::MAX_TWINS && !alike.contains(&folded) {
            alike.push(folded);
        }
    }
    Ok(())
}

async fn write_people(tx: &mut Tx, entries: &[Entry]) -> Result<(), Error> {
    let row = |entry: &Entry| {
        let person = &entry.person;
        kernel::values![
            person.id,
            &person.first_name,
            &person.last_name,
            person.is_active,
            false,
            false,
            person.password_updated,
            person.created,
            person.modified
        ]
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    tx.insert_many(PEOPLE, rows).await
}

/// Everything that needs person and names to be there: passwords, memberships, versions and news.
async fn write_rest(tx: &mut Tx, kernel: &Kernel, entries: &[Entry]) -> Result<(), Error> {
    let now = kernel.now();
    let mut credentials = Vec::with_capacity(entries.len());
    let mut memberships = Vec::with_capacity(entries.len());
    let mut versions = Vec::with_capacity(entries.len() * 2);
    let mut news = Vec::with_capacity(entries.len());
    for entry in entries {
        let person = entry.person.id;
        if let Some(credential) = &entry.credential {
            credentials.push(kernel::values![
                credential.id,
                person,
                credential.form.word(),
                &credential.value,
                now,
                now
            ]);
        }
        memberships.push(membership::row(&entry.membership));
        let names = entry.names.iter();
        let state = PersonState {
            is_active: true,
            names: names
                .map(|name| (entry.realm, name.kind.word(), name.value.as_str()))
                .collect(),
            password: entry.credential.as_ref().map(|kept| kept.form.word()),
        };
        versions.push(version::of_person(kernel, person, &state));
        versions.push(version::of_membership(kernel, &entry.membership));
        let organisation = entry.membership.organisation;
        news.push(News::new(PERSON_CHANGED, Some(organisation), person.0));
    }
    tx.insert_many(CREDENTIALS, credentials).await?;
    tx.insert_many(membership::MEMBERSHIPS, memberships).await?;
    tx.begin_versions(now, &versions).await?;
    tx.tell_many(now, &news).await
}
