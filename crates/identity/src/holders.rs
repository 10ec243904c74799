//! Who has names already: one question for as many as an import has at a time.

use crate::{Error, Kind, MembershipId, Organisation, PersonId};
use kernel::{Db, Engine, Tx, id::Uuid};

macro_rules! holders {
    ($from:literal, $realm:literal, $name:literal) => {
        concat!(
            "SELECT i.folded, i.person_id, m.id AS membership_id FROM ",
            $from,
            " LEFT JOIN membership m ON m.person_id = i.person_id AND m.organisation_id = $1 WHERE ",
            $realm,
            " AND i.kind = $2 AND i.folded = ",
            $name
        )
    };
}

// Shared and own realms apart, so that each has its unique index. The names come in one parameter: a list as JSON.
kernel::statements! {
    /// SQLite's own.
    pub SQLITE_STATEMENTS;
    SQLITE_SHARED = holders!("json_each($3) AS k CROSS JOIN identifier i", "i.realm IS NULL", "k.value");
    SQLITE_OWN = holders!("json_each($3) AS k CROSS JOIN identifier i", "i.realm = $1", "k.value");
}
kernel::statements! {
    /// PostgreSQL's own.
    pub POSTGRES_STATEMENTS;
    POSTGRES_SHARED = holders!("json_array_elements_text(CAST($3 AS JSON)) AS k(name) CROSS JOIN identifier i", "i.realm IS NULL", "k.name");
    POSTGRES_OWN = holders!("json_array_elements_text(CAST($3 AS JSON)) AS k(name) CROSS JOIN identifier i", "i.realm = $1", "k.name");
}

#[derive(sqlx::FromRow)]
struct HolderRow {
    folded: String,
    person_id: Uuid,
    membership_id: Option<Uuid>,
}

/// Whoever has a name in an organisation's realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Who.
    pub person: PersonId,
    /// Their membership in the organisation.
    pub membership: Option<MembershipId>,
}

/// Where a question is asked.
pub enum Asked<'a> {
    /// Of what is committed.
    Db(&'a Db),
    /// Within a transaction.
    Tx(&'a mut Tx),
}

/// Which of these folded names of a kind somebody has, and who.
///
/// # Errors
/// [`Error::Engine`].
pub async fn of_names(
    asked: &mut Asked<'_>,
    organisation: &Organisation,
    kind: Kind,
    names: &[&str],
) -> Result<Vec<(String, Holder)>, Error> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let engine = match asked {
        Asked::Db(db) => db.engine(),
        Asked::Tx(tx) => tx.engine(),
    };
    let sql = match (engine, organisation.realm().is_none()) {
        (Engine::Sqlite, true) => SQLITE_SHARED,
        (Engine::Sqlite, false) => SQLITE_OWN,
        (Engine::Postgres, true) => POSTGRES_SHARED,
        (Engine::Postgres, false) => POSTGRES_OWN,
    };
    let list = serde_json::Value::from(names).to_string();
    let values = kernel::values![organisation.id, kind.word(), list];
    let rows: Vec<HolderRow> = match asked {
        Asked::Db(db) => db.all(sql, values).await?,
        Asked::Tx(tx) => tx.all(sql, values).await?,
    };
    let holder = |row: HolderRow| {
        let holder = Holder {
            person: PersonId(row.person_id),
            membership: row.membership_id.map(MembershipId),
        };
        (row.folded, holder)
    };
    Ok(rows.into_iter().map(holder).collect())
}
