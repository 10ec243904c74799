//! Rows of rules in the database: one table for each side, an owner that is a membership or a group.
//!
//! A secret value (Tunnel-Password) lies sealed. Each row is versioned by itself; a secret one without its value. A row
//! that is damaged is read as one that does not compile: it must **never** keep the others from being loaded.

use super::{Op, Row, Rows, Side};
use crate::group::GroupId;
use identity::{MembershipId, PersonId};
use kernel::db::Many;
use kernel::history::Version;
use kernel::id::Uuid;
use kernel::seal::SealError;
use kernel::{Error, Kernel, OrganisationId, Place, Time, Tx, Value};
use std::collections::HashMap;

/// Whose rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// One person's in one organisation.
    Membership(MembershipId),
    /// Those of all who are in the group.
    Group(GroupId),
}

impl Owner {
    /// The owner as the two columns of a row.
    fn columns(self) -> (Option<Uuid>, Option<Uuid>) {
        match self {
            Owner::Membership(id) => (Some(id.0), None),
            Owner::Group(id) => (None, Some(id.0)),
        }
    }

    fn id(self) -> Uuid {
        match self {
            Owner::Membership(id) => id.0,
            Owner::Group(id) => id.0,
        }
    }
}

macro_rules! between {
    ($table:literal, $owner:literal) => {
        concat!(
            "SELECT id, ",
            $owner,
            " AS owner, position, attribute, op, value, is_sealed FROM ",
            $table,
            " WHERE ",
            $owner,
            " >= $1 AND ",
            $owner,
            " <= $2 ORDER BY ",
            $owner,
            ", position"
        )
    };
}
kernel::many! {
    /// Checks.
    pub(crate) CHECKS = access_check (id uuid, organisation_id uuid, membership_id uuid, group_id uuid, position int,
        attribute text, op text, value text, is_sealed bool, created time, modified time);
    /// Replies.
    pub(crate) REPLIES = access_reply (id uuid, organisation_id uuid, membership_id uuid, group_id uuid, position int,
        attribute text, op text, value text, is_sealed bool, created time, modified time);
}
kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    CHECKS_OF_MEMBERSHIPS = between!("access_check", "membership_id");
    CHECKS_OF_GROUPS = between!("access_check", "group_id");
    REPLIES_OF_MEMBERSHIPS = between!("access_reply", "membership_id");
    REPLIES_OF_GROUPS = between!("access_reply", "group_id");
    CHECKS_OF_MANY = identity::among_many!(
        "SELECT id, membership_id AS owner, position, attribute, op, value, is_sealed FROM access_check WHERE membership_id",
        " ORDER BY membership_id, position");
    REPLIES_OF_MANY = identity::among_many!(
        "SELECT id, membership_id AS owner, position, attribute, op, value, is_sealed FROM access_reply WHERE membership_id",
        " ORDER BY membership_id, position");
    MOVE_CHECK = "UPDATE access_check SET position = $2 WHERE id = $1";
    MOVE_REPLY = "UPDATE access_reply SET position = $2 WHERE id = $1";
    REMOVE_CHECK = "DELETE FROM access_check WHERE id = $1";
    REMOVE_REPLY = "DELETE FROM access_reply WHERE id = $1";
}

#[derive(sqlx::FromRow)]
struct StoredRow {
    id: Uuid,
    owner: Uuid,
    position: i64,
    attribute: String,
    op: String,
    value: String,
    is_sealed: bool,
}

fn table_of(side: Side) -> &'static str {
    match side {
        Side::Check => "access_check",
        Side::Reply => "access_reply",
    }
}

fn place(side: Side, row: Uuid) -> Place {
    Place {
        table: table_of(side),
        column: "value",
        row,
    }
}

/// An opened row. One whose operator or secret cannot be read is logged and does not compile: such a check never
/// matches, such a reply is left out. A key that is not in the ring is an error: then no secret opens.
fn open(kernel: &Kernel, side: Side, stored: &StoredRow) -> Result<Row, Error> {
    let mut is_damaged = false;
    let op = Op::parse(&stored.op).unwrap_or_else(|reason| {
        tracing::error!(row = %stored.id, "a rule is not applied: {reason}");
        is_damaged = true;
        Op::Equal
    });
    let value = if stored.is_sealed {
        match kernel.keys.open(place(side, stored.id), &stored.value) {
            Ok(opened) => String::from_utf8_lossy(&opened).into_owned(),
            Err(e @ SealError::KeyMissing(_)) => return Err(e.into()),
            Err(e) => {
                tracing::error!(row = %stored.id, "a rule is not applied: {e}");
                is_damaged = true;
                String::new()
            }
        }
    } else {
        stored.value.clone()
    };
    let row = Row::stored(stored.attribute.clone(), op, value, stored.is_sealed);
    Ok(if is_damaged { row.damaged() } else { row })
}

async fn read(
    kernel: &Kernel,
    checks: &'static str,
    replies: &'static str,
    values: Vec<Value>,
) -> Result<HashMap<Uuid, Rows>, Error> {
    let mut rows: HashMap<Uuid, Rows> = HashMap::new();
    for (side, sql) in [(Side::Check, checks), (Side::Reply, replies)] {
        let stored: Vec<StoredRow> = kernel.db.all(sql, values.clone()).await?;
        for row in stored {
            let opened = open(kernel, side, &row)?;
            rows.entry(row.owner)
                .or_default()
                .side_mut(side)
                .push(opened);
        }
    }
    Ok(rows)
}

/// The rows of the groups whose ids lie between these, both included.
pub(crate) async fn load_groups(
    kernel: &Kernel,
    first: GroupId,
    last: GroupId,
) -> Result<HashMap<Uuid, Rows>, Error> {
    let values = kernel::values![first, last];
    read(kernel, CHECKS_OF_GROUPS, REPLIES_OF_GROUPS, values).await
}

/// The rows of the memberships whose ids lie between these, both included.
pub(crate) async fn load_memberships(
    kernel: &Kernel,
    first: MembershipId,
    last: MembershipId,
) -> Result<HashMap<Uuid, Rows>, Error> {
    read(
        kernel,
        CHECKS_OF_MEMBERSHIPS,
        REPLIES_OF_MEMBERSHIPS,
        kernel::values![first, last],
    )
    .await
}

/// The rows of the memberships of one of [`identity::known::rounds`].
pub(crate) async fn load_many(
    kernel: &Kernel,
    round: Vec<Value>,
) -> Result<HashMap<Uuid, Rows>, Error> {
    read(kernel, CHECKS_OF_MANY, REPLIES_OF_MANY, round).await
}

/// The rows of one owner.
pub(crate) async fn load(kernel: &Kernel, owner: Owner) -> Result<Rows, Error> {
    let mut rows = match owner {
        Owner::Membership(id) => load_memberships(kernel, id, id).await?,
        Owner::Group(id) => load_groups(kernel, id, id).await?,
    };
    Ok(rows.remove(&owner.id()).unwrap_or_default())
}

/// Changes the rows of an owner: `change` gets those there are and leaves those there shall be. What is different is
/// written; whether anything was.
pub(crate) async fn replace(
    tx: &mut Tx,
    kernel: &Kernel,
    organisation: OrganisationId,
    owner: Owner,
    change: impl FnOnce(&mut Rows) -> Result<(), Error> + Send,
) -> Result<(Rows, bool), Error> {
    let id = owner.id();
    let (checks, replies) = match owner {
        Owner::Membership(_) => (CHECKS_OF_MEMBERSHIPS, REPLIES_OF_MEMBERSHIPS),
        Owner::Group(_) => (CHECKS_OF_GROUPS, REPLIES_OF_GROUPS),
    };
    let mut rows = Rows::default();
    let mut stored: Vec<(Side, StoredRow, Row)> = Vec::new();
    for (side, sql) in [(Side::Check, checks), (Side::Reply, replies)] {
        let there: Vec<StoredRow> = tx.all(sql, kernel::values![id, id]).await?;
        for row in there {
            let opened = open(kernel, side, &row)?;
            rows.side_mut(side).push(opened.clone());
            stored.push((side, row, opened));
        }
    }
    change(&mut rows)?;
    // Named in each version, so that erasing the person empties it.
    let person = match owner {
        Owner::Membership(id) => identity::known::holder(tx, id).await?,
        Owner::Group(_) => None,
    };
    let now = kernel.now();
    let mut is_changed = false;
    for side in [Side::Check, Side::Reply] {
        for (position, row) in (0i64..).zip(rows.side(side)) {
            let known = stored
                .iter()
                .position(|(known, _, opened)| *known == side && opened == row);
            let version =
                |id| version(kernel, organisation, owner, person, side, position, row, id);
            match known {
                Some(at) => {
                    let (_, known, _) = stored.swap_remove(at);
                    if known.position == position {
                        continue;
                    }
                    let sql = if side == Side::Check {
                        MOVE_CHECK
                    } else {
                        MOVE_REPLY
                    };
                    tx.run(sql, kernel::values![known.id, position]).await?;
                    tx.record_version(now, version(known.id)).await?;
                }
                None => {
                    let id = add(tx, kernel, organisation, owner, side, position, row).await?;
                    tx.begin_version(now, version(id)).await?;
                }
            }
            is_changed = true;
        }
    }
    for (side, gone, _) in stored {
        let sql = if side == Side::Check {
            REMOVE_CHECK
        } else {
            REMOVE_REPLY
        };
        tx.run(sql, kernel::values![gone.id]).await?;
        end(tx, now, gone.id).await?;
        is_changed = true;
    }
    Ok((rows, is_changed))
}

async fn end(tx: &mut Tx, now: Time, row: Uuid) -> Result<(), Error> {
    tx.end_version(now, row).await
}

async fn add(
    tx: &mut Tx,
    kernel: &Kernel,
    organisation: OrganisationId,
    owner: Owner,
    side: Side,
    position: i64,
    row: &Row,
) -> Result<Uuid, Error> {
    let id = kernel.new_uuid();
    let values = columns(kernel, organisation, owner, side, position, row, id);
    tx.insert_many(many(side), vec![values]).await?;
    Ok(id)
}

fn many(side: Side) -> &'static Many {
    match side {
        Side::Check => CHECKS,
        Side::Reply => REPLIES,
    }
}

/// The values of [`CHECKS`] or [`REPLIES`].
fn columns(
    kernel: &Kernel,
    organisation: OrganisationId,
    owner: Owner,
    side: Side,
    position: i64,
    row: &Row,
    id: Uuid,
) -> Vec<Value> {
    let value = if row.is_hidden() {
        kernel
            .keys
            .seal(&*kernel.rng, place(side, id), row.value().as_bytes())
    } else {
        row.value().to_owned()
    };
    let (membership, group) = owner.columns();
    let now = kernel.now();
    kernel::values![
        id,
        organisation,
        membership,
        group,
        position,
        row.attribute(),
        row.op().text(),
        value,
        row.is_hidden(),
        now,
        now
    ]
}

/// Writes the first rows of memberships that were just made; their versions are put to `versions`.
pub(crate) async fn insert_many(
    tx: &mut Tx,
    kernel: &Kernel,
    organisation: OrganisationId,
    owned: &[(MembershipId, PersonId, Rows)],
    versions: &mut Vec<Version>,
) -> Result<(), Error> {
    for side in [Side::Check, Side::Reply] {
        let mut values = Vec::new();
        for (membership, person, rows) in owned {
            let owner = Owner::Membership(*membership);
            for (position, row) in (0i64..).zip(rows.side(side)) {
                let id = kernel.new_uuid();
                values.push(columns(
                    kernel,
                    organisation,
                    owner,
                    side,
                    position,
                    row,
                    id,
                ));
                let person = Some(*person);
                versions.push(version(
                    kernel,
                    organisation,
                    owner,
                    person,
                    side,
                    position,
                    row,
                    id,
                ));
            }
        }
        tx.insert_many(many(side), values).await?;
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)] // a row's columns, once
fn version(
    kernel: &Kernel,
    organisation: OrganisationId,
    owner: Owner,
    person: Option<PersonId>,
    side: Side,
    position: i64,
    row: &Row,
    id: Uuid,
) -> Version {
    let (membership, group) = owner.columns();
    Version {
        id: kernel.new_uuid(),
        kind: match side {
            Side::Check => "check",
            Side::Reply => "reply",
        },
        row: id,
        organisation: Some(organisation),
        person: person.map(|person| person.0),
        fields: serde_json::json!({
            "membership": membership,
            "group": group,
            "position": position,
            "attribute": row.attribute(),
            "op": row.op().text(),
            "value": if row.is_hidden() { None } else { Some(row.value()) },
        }),
    }
}
