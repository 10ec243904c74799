//! What this room's rows leave in the history: the fields that decide, and of a password its form alone.

use crate::{Error, Membership, Organisation, PersonId};
use kernel::{Kernel, OrganisationId, Tx, history::Version, id::Uuid};
use serde_json::{Value, json};

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    PERSON_STATE = "SELECT p.is_active, c.form FROM person p LEFT JOIN credential c ON c.person_id = p.id WHERE p.id = $1";
    PERSON_NAMES = "SELECT realm, kind, value FROM identifier WHERE person_id = $1 ORDER BY created, id";
}

#[derive(sqlx::FromRow)]
struct StateRow {
    is_active: bool,
    form: Option<String>,
}

#[derive(sqlx::FromRow)]
struct NameRow {
    realm: Option<Uuid>,
    kind: String,
    value: String,
}

/// What decides about a person: their own switch, their names, and in which form a password is there.
pub(crate) struct PersonState<'a> {
    pub(crate) is_active: bool,
    pub(crate) names: Vec<(Option<OrganisationId>, &'a str, &'a str)>,
    pub(crate) password: Option<&'a str>,
}

/// A person's version.
pub(crate) fn of_person(kernel: &Kernel, person: PersonId, state: &PersonState<'_>) -> Version {
    let names: Vec<Value> = state
        .names
        .iter()
        .map(|(realm, kind, value)| json!({"kind": kind, "realm": realm, "value": value}))
        .collect();
    let fields =
        json!({"is_active": state.is_active, "password": state.password, "identifiers": names});
    Version {
        id: kernel.new_uuid(),
        kind: "person",
        row: person.0,
        organisation: None,
        person: Some(person.0),
        fields,
    }
}

/// Records a person as the rows now stand. Their row was locked before: see [`crate::person::lock`].
pub(crate) async fn record_person(
    tx: &mut Tx,
    kernel: &Kernel,
    person: PersonId,
) -> Result<(), Error> {
    let state: Option<StateRow> = tx.first(PERSON_STATE, kernel::values![person]).await?;
    let state = state.ok_or_else(|| crate::person::no_person(person))?;
    let names: Vec<NameRow> = tx.all(PERSON_NAMES, kernel::values![person]).await?;
    let state = PersonState {
        is_active: state.is_active,
        names: names
            .iter()
            .map(|row| {
                (
                    row.realm.map(OrganisationId),
                    row.kind.as_str(),
                    row.value.as_str(),
                )
            })
            .collect(),
        password: state.form.as_deref(),
    };
    tx.record_version(kernel.now(), of_person(kernel, person, &state))
        .await
}

/// Records a membership that was changed.
pub(crate) async fn record_membership(
    tx: &mut Tx,
    kernel: &Kernel,
    row: &Membership,
) -> Result<(), Error> {
    tx.record_version(kernel.now(), of_membership(kernel, row))
        .await
}

/// Records a membership that was just made.
pub(crate) async fn begin_membership(
    tx: &mut Tx,
    kernel: &Kernel,
    row: &Membership,
) -> Result<(), Error> {
    tx.begin_version(kernel.now(), of_membership(kernel, row))
        .await
}

/// A membership's version.
pub(crate) fn of_membership(kernel: &Kernel, row: &Membership) -> Version {
    let fields = json!({
        "person": row.person,
        "is_manager": row.is_manager,
        "is_owner": row.is_owner,
        "is_enabled": row.is_enabled,
        "expires": row.expires,
        "method": row.method,
        "is_verified": row.is_verified,
    });
    Version {
        id: kernel.new_uuid(),
        kind: "membership",
        row: row.id.0,
        organisation: Some(row.organisation),
        person: Some(row.person.0),
        fields,
    }
}

/// Records an organisation that was changed.
pub(crate) async fn record_organisation(
    tx: &mut Tx,
    kernel: &Kernel,
    row: &Organisation,
) -> Result<(), Error> {
    tx.record_version(kernel.now(), of_organisation(kernel, row))
        .await
}

/// Records an organisation that was just made.
pub(crate) async fn begin_organisation(
    tx: &mut Tx,
    kernel: &Kernel,
    row: &Organisation,
) -> Result<(), Error> {
    tx.begin_version(kernel.now(), of_organisation(kernel, row))
        .await
}

fn of_organisation(kernel: &Kernel, row: &Organisation) -> Version {
    let fields = json!({
        "name": row.name,
        "slug": row.slug,
        "is_active": row.is_active,
        "namespace": row.namespace.word(),
        "time_zone": row.time_zone,
    });
    Version {
        id: kernel.new_uuid(),
        kind: "organisation",
        row: row.id.0,
        organisation: Some(row.id),
        person: None,
        fields,
    }
}
