//! Identifier rows: which are taken in a realm, and giving them to a person.

use crate::identifier::{fold, twin};
use crate::{Error, Kind, PersonId, Warning};
use kernel::{Engine, Kernel, OrganisationId, Tx, Value, id::Uuid};
use std::collections::{BTreeSet, HashMap};

/// How many rows are looked at to find what is taken: exact ones come first, the rest are case twins.
const MAX_TAKEN: i64 = 16;
/// Case twins that are named for one username.
pub(crate) const MAX_TWINS: usize = 16;

/// A name that a person is to have.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub(crate) kind: Kind,
    pub(crate) value: String,
    pub(crate) folded: String,
    pub(crate) is_verified: bool,
    pub(crate) is_primary: bool,
}

impl Name {
    /// A person's first name of a kind.
    pub(crate) fn read(kind: Kind, value: &str, is_verified: bool) -> Result<Self, Error> {
        let value = if kind == Kind::Username {
            value
        } else {
            value.trim()
        };
        Ok(Self {
            kind,
            value: value.to_owned(),
            folded: fold(kind, value).map_err(Error::Invalid)?,
            is_verified,
            is_primary: true,
        })
    }

    fn taken(&self) -> Error {
        Error::Conflict(match self.kind {
            Kind::Username => format!("username '{}' exists", self.value),
            kind => format!(
                "{} '{}' belongs to another person",
                kind.title(),
                self.value
            ),
        })
    }
}

macro_rules! twins {
    ($wanted:literal) => {
        concat!(
            "SELECT twin, folded FROM (SELECT i.twin, i.folded,
                ROW_NUMBER() OVER (PARTITION BY i.twin ORDER BY i.folded) AS number FROM ",
            $wanted,
            " CROSS JOIN identifier i WHERE i.twin = k.value AND i.kind = 'username'
                AND (i.realm = $2 OR (i.realm IS NULL AND CAST($2 AS UUID) IS NULL))) AS t
            WHERE number <= $3 ORDER BY twin, number"
        )
    };
}

kernel::many! {
    /// Names.
    pub(crate) IDENTIFIERS = identifier (id uuid, person_id uuid, realm uuid, kind text, value text, folded text, twin text,
        is_verified bool, is_primary bool, created time);
}
kernel::statements! {
    /// SQLite's own. The twins come in one parameter: a list as JSON.
    pub SQLITE_STATEMENTS;
    SQLITE_TWINS = twins!("json_each($1) AS k");
}
kernel::statements! {
    /// PostgreSQL's own.
    pub POSTGRES_STATEMENTS;
    POSTGRES_TWINS = twins!("json_array_elements_text(CAST($1 AS JSON)) AS k(value)");
}
kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    TAKEN = "SELECT kind, folded FROM identifier
        WHERE twin IN ($7, $8, $9, $10)
          AND (realm = $5 OR (realm IS NULL AND CAST($5 AS UUID) IS NULL))
        ORDER BY CASE WHEN folded IN ($1, $2, $3, $4) THEN 0 ELSE 1 END, folded LIMIT $6";
    OF_PERSON = "SELECT realm, kind, value, folded, is_verified, is_primary FROM identifier
        WHERE person_id = $1 ORDER BY created, id";
    TAKE_AWAY_REALM = "DELETE FROM identifier WHERE person_id = $1 AND realm = $2";
}

#[derive(sqlx::FromRow)]
struct TakenRow {
    kind: String,
    folded: String,
}

#[derive(sqlx::FromRow)]
struct NameRow {
    realm: Option<Uuid>,
    kind: String,
    value: String,
    folded: String,
    is_verified: bool,
    is_primary: bool,
}

/// Whether names are free in a realm, and which usernames are easily mixed up with them. Names are looked for before
/// anything is written, because a refused INSERT would end a whole transaction of an import.
pub(crate) async fn check_free(
    tx: &mut Tx,
    realm: Option<OrganisationId>,
    names: &[Name],
) -> Result<Vec<Warning>, Error> {
    let mut warnings = Vec::new();
    // A person has one name of each of the four kinds, rarely more: then it takes another round.
    for names in names.chunks(Kind::ALL.len()) {
        let folded = |at: usize| names.get(at).map_or("", |name| name.folded.as_str());
        let twins = [0, 1, 2, 3].map(|at| twin(folded(at)));
        let mut values =
            kernel::values![folded(0), folded(1), folded(2), folded(3), realm, MAX_TAKEN];
        values.extend(twins.iter().map(Value::from));
        let taken: Vec<TakenRow> = tx.all(TAKEN, values).await?;
        for name in names {
            for row in taken.iter().filter(|row| row.kind == name.kind.word()) {
                if row.folded == name.folded {
                    return Err(name.taken());
                }
                if name.kind == Kind::Username && twin(&row.folded) == twin(&name.folded) {
                    warnings.push(Warning::CaseTwin {
                        username: name.value.clone(),
                        twin: row.folded.clone(),
                    });
                }
            }
        }
    }
    Ok(warnings)
}

#[derive(sqlx::FromRow)]
struct TwinRow {
    twin: String,
    folded: String,
}

/// The usernames of a realm that are these, but for capital letters: at most [`MAX_TWINS`] for each, by what they share.
pub(crate) async fn twins(
    tx: &mut Tx,
    realm: Option<OrganisationId>,
    names: &[&Name],
) -> Result<HashMap<String, Vec<String>>, Error> {
    let sql = match tx.engine() {
        Engine::Sqlite => SQLITE_TWINS,
        Engine::Postgres => POSTGRES_TWINS,
    };
    let wanted: BTreeSet<String> = names.iter().map(|name| twin(&name.folded)).collect();
    let list = serde_json::Value::from_iter(wanted).to_string();
    let most = i64::try_from(MAX_TWINS).unwrap_or(i64::MAX);
    let rows: Vec<TwinRow> = tx.all(sql, kernel::values![list, realm, most]).await?;
    let mut twins: HashMap<String, Vec<String>> = HashMap::new();
    for row in rows {
        twins.entry(row.twin).or_default().push(row.folded);
    }
    Ok(twins)
}

/// The values of [`IDENTIFIERS`].
pub(crate) fn row(
    kernel: &Kernel,
    person: PersonId,
    realm: Option<OrganisationId>,
    name: &Name,
) -> Vec<Value> {
    kernel::values![
        kernel.new_uuid(),
        person,
        realm,
        name.kind.word(),
        &name.value,
        &name.folded,
        twin(&name.folded),
        name.is_verified,
        name.is_primary,
        kernel.now()
    ]
}

/// Gives names that [`check_free`] found free to a person.
pub(crate) async fn give(
    tx: &mut Tx,
    kernel: &Kernel,
    person: PersonId,
    realm: Option<OrganisationId>,
    names: &[Name],
) -> Result<(), Error> {
    for name in names {
        let row = row(kernel, person, realm, name);
        match tx.insert_many(IDENTIFIERS, vec![row]).await {
            // Somebody else took it since we looked.
            Err(e) if e.is_duplicate() => return Err(name.taken()),
            other => other?,
        };
    }
    Ok(())
}

/// The names by which a person is known in one realm: the shared one where they have some there, else the oldest.
pub(crate) async fn of(tx: &mut Tx, person: PersonId) -> Result<Vec<Name>, Error> {
    let rows: Vec<NameRow> = tx.all(OF_PERSON, kernel::values![person]).await?;
    let is_shared = rows.iter().any(|row| row.realm.is_none());
    let realm = if is_shared {
        None
    } else {
        rows.first().and_then(|row| row.realm)
    };
    let in_realm = rows.into_iter().filter(|row| row.realm == realm);
    Ok(in_realm.filter_map(NameRow::into_name).collect())
}

/// In which realms a person has names.
pub(crate) async fn realms(
    tx: &mut Tx,
    person: PersonId,
) -> Result<Vec<Option<OrganisationId>>, Error> {
    let rows: Vec<NameRow> = tx.all(OF_PERSON, kernel::values![person]).await?;
    Ok(rows
        .into_iter()
        .map(|row| row.realm.map(OrganisationId))
        .collect())
}

/// Takes away what a person is called in an organisation's own realm.
pub(crate) async fn take_away(
    tx: &mut Tx,
    person: PersonId,
    realm: OrganisationId,
) -> Result<(), Error> {
    tx.run(TAKE_AWAY_REALM, kernel::values![person, realm])
        .await
        .map(|_| ())
}

impl NameRow {
    fn into_name(self) -> Option<Name> {
        Some(Name {
            kind: Kind::from_word(&self.kind)?,
            value: self.value,
            folded: self.folded,
            is_verified: self.is_verified,
            is_primary: self.is_primary,
        })
    }
}
