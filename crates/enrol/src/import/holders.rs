//! Who has the names of many rows already: a few questions for a whole chunk.
//!
//! This is the one place where this room reads rows of the room of people: it asks about hundreds of names at a time.
//! It must **never** write there.

use identity::{Kind, MembershipId, Organisation, PersonId};
use kernel::{Db, Error, Tx, Value, id::Uuid};
use std::collections::{BTreeSet, HashMap};

/// How many names one statement asks about.
pub(super) const NAMES: usize = 64;

macro_rules! holders {
    ($realm:literal) => {
        concat!(
            "SELECT i.folded, i.person_id, m.id AS membership_id FROM identifier i
            LEFT JOIN membership m ON m.person_id = i.person_id AND m.organisation_id = $1
            WHERE ", $realm, " AND i.kind = $2 AND i.folded IN (
                $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34,
                $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50,
                $51, $52, $53, $54, $55, $56, $57, $58, $59, $60, $61, $62, $63, $64, $65, $66)"
        )
    };
}

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    // Apart, so that each has its unique index.
    HOLDERS_SHARED = holders!("i.realm IS NULL");
    HOLDERS_OWN = holders!("i.realm = $1");
}

#[derive(sqlx::FromRow)]
struct HolderRow {
    folded: String,
    person_id: Uuid,
    membership_id: Option<Uuid>,
}

/// Whoever has a name in the organisation's realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) person: PersonId,
    /// Their membership in the organisation.
    pub(super) membership: Option<MembershipId>,
}

/// Where questions are asked.
pub(super) enum Asked<'a> {
    Db(&'a Db),
    Tx(&'a mut Tx),
}

/// The names that are taken among those that were asked about.
#[derive(Debug, Default)]
pub(super) struct Holders(HashMap<Kind, HashMap<String, Holder>>);

impl Holders {
    /// Asks about names.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub(super) async fn ask(
        &mut self,
        mut asked: Asked<'_>,
        organisation: &Organisation,
        names: BTreeSet<(Kind, String)>,
    ) -> Result<(), Error> {
        let sql = if organisation.realm().is_none() {
            HOLDERS_SHARED
        } else {
            HOLDERS_OWN
        };
        for kind in Kind::ALL {
            let names: Vec<&String> = names
                .iter()
                .filter(|(of, _)| *of == kind)
                .map(|(_, name)| name)
                .collect();
            for names in names.chunks(NAMES) {
                let mut values = kernel::values![organisation.id, kind.word()];
                // Nobody has an empty name.
                let padding = std::iter::repeat_n(Value::from(""), NAMES - names.len());
                values.extend(
                    names
                        .iter()
                        .map(|name| Value::from(name.as_str()))
                        .chain(padding),
                );
                let rows: Vec<HolderRow> = match &mut asked {
                    Asked::Db(db) => db.all(sql, values).await?,
                    Asked::Tx(tx) => tx.all(sql, values).await?,
                };
                for row in rows {
                    let membership = row.membership_id.map(MembershipId);
                    self.put(
                        kind,
                        &row.folded,
                        Holder {
                            person: PersonId(row.person_id),
                            membership,
                        },
                    );
                }
            }
        }
        Ok(())
    }

    /// Notes who has a name.
    pub(super) fn put(&mut self, kind: Kind, folded: &str, holder: Holder) {
        self.0
            .entry(kind)
            .or_default()
            .insert(folded.to_owned(), holder);
    }

    /// Who has a name.
    pub(super) fn of(&self, kind: Kind, folded: &str) -> Option<Holder> {
        self.0.get(&kind)?.get(folded).copied()
    }
}
