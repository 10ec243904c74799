//! Letting organisations and people in: what identity knows of them, together with what access adds.
//!
//! An organisation is founded with its two groups; a person is admitted into a group. What a membership may and is told
//! beyond its groups are rules of its own. Identity must **never** learn of groups: whoever makes people or
//! organisations that are to get onto the network comes through here.

mod many;

pub(crate) use many::PLACES;
pub use many::{Admission, admit_many};

use crate::group::{self, GroupId};
use crate::rule::{self, Owner, Rows, Side};
use identity::{Inserted, MembershipId, NewOrganisation, NewPerson, Organisation, PersonId};
use kernel::history::Version;
use kernel::id::Uuid;
use kernel::{Db, Error, Kernel, News, OrganisationId, Tx};
use radius_wire::dictionary::Dictionary;
use serde::Serialize;
use std::collections::HashMap;

/// Told when the groups or the rules of a membership change. The subject is the membership; the detail has whose it is,
/// as `person`. It is not told of a person who is just admitted: `person.changed` is, and a reader then asks for the
/// rules too.
pub const RULES_CHANGED: &str = "membership.rules";

/// Priority of the group that a person is admitted into; the lowest number is looked at first.
pub const FIRST_PRIORITY: i64 = 1;
/// Groups of one membership: each is looked at for each request.
pub const MAX_GROUPS: usize = 32;
/// Memberships whose rules [`load_rules`] reads at a time.
const PAGE: i64 = 2_000;

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    // Each part stops by itself, so that a page costs a page.
    MEMBERSHIPS_WITH_RULES = "SELECT membership_id AS id FROM (
            SELECT membership_id FROM (SELECT DISTINCT membership_id FROM group_member
                WHERE membership_id > $1 ORDER BY membership_id LIMIT $2) AS g
            UNION SELECT membership_id FROM (SELECT DISTINCT membership_id FROM access_check
                WHERE membership_id IS NOT NULL AND membership_id > $1 ORDER BY membership_id LIMIT $2) AS c
            UNION SELECT membership_id FROM (SELECT DISTINCT membership_id FROM access_reply
                WHERE membership_id IS NOT NULL AND membership_id > $1 ORDER BY membership_id LIMIT $2) AS r
        ) AS every ORDER BY membership_id LIMIT $2";
    GROUPS_BETWEEN = "SELECT id, membership_id, group_id, priority FROM group_member
        WHERE membership_id >= $1 AND membership_id <= $2 ORDER BY membership_id, priority, group_id";
    GROUPS_OF_MANY = identity::among_many!("SELECT id, membership_id, group_id, priority FROM group_member
        WHERE membership_id", " ORDER BY membership_id, priority, group_id");
    JOIN = "INSERT INTO group_member (id, membership_id, group_id, priority, created) VALUES ($1, $2, $3, $4, $5)";
    MOVE = "UPDATE group_member SET priority = $2 WHERE id = $1";
    LEAVE = "DELETE FROM group_member WHERE id = $1";
    OF_MEMBERSHIP = "SELECT id FROM group_member WHERE membership_id = $1
        UNION ALL SELECT id FROM access_check WHERE membership_id = $1
        UNION ALL SELECT id FROM access_reply WHERE membership_id = $1";
    MEMBERS = "SELECT COUNT(*) AS number FROM group_member WHERE group_id = $1";
}

#[derive(sqlx::FromRow)]
struct IdRow {
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct NumberRow {
    number: i64,
}

#[derive(sqlx::FromRow)]
struct MemberRow {
    id: Uuid,
    membership_id: Uuid,
    group_id: Uuid,
    priority: i64,
}

/// A membership's place in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Which group.
    pub group: GroupId,
    /// The lowest number is looked at first.
    pub priority: i64,
}

/// What access knows of one membership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MembershipRules {
    /// Which.
    pub membership: MembershipId,
    /// Its groups, those looked at first first.
    pub groups: Vec<Place>,
    /// Its own rules.
    pub rows: Rows,
}

/// Makes an organisation with the groups it is born with, in one transaction.
///
/// # Errors
/// As [`identity::organisation::insert`].
pub async fn found_organisation(
    kernel: &Kernel,
    new: NewOrganisation,
) -> Result<Organisation, Error> {
    let mut tx = kernel.db.begin().await?;
    let organisation = identity::organisation::insert(&mut tx, kernel, new).await?;
    group::born_groups(&mut tx, kernel, &organisation).await?;
    tx.commit().await?;
    Ok(organisation)
}

/// Makes a person who is in a group of the organisation: this one, else the default.
///
/// # Errors
/// As [`identity::person::insert`]; [`Error::Invalid`] when the group is another organisation's.
pub async fn admit(
    tx: &mut Tx,
    kernel: &Kernel,
    organisation: &Organisation,
    new: NewPerson,
    group: Option<&group::Group>,
) -> Result<Inserted, Error> {
    if let Some(group) = group.filter(|group| group.organisation != organisation.id) {
        return Err(foreign(&group.name, organisation));
    }
    let inserted = identity::person::insert(tx, kernel, organisation, new).await?;
    let group = match group {
        Some(group) => Some(group.id),
        None => group::default_of(tx, organisation.id)
            .await?
            .map(|group| group.id),
    };
    if let Some(group) = group {
        let place = Place {
            group,
            priority: FIRST_PRIORITY,
        };
        let member = Member {
            membership: inserted.membership.id,
            person: Some(inserted.person.id),
        };
        join(tx, kernel, organisation.id, member, place).await?;
    }
    Ok(inserted)
}

fn foreign(group: &str, organisation: &Organisation) -> Error {
    Error::Invalid(format!(
        "group '{group}' is not one of organisation '{}'",
        organisation.slug
    ))
}

/// A membership, and whose it is.
#[derive(Clone, Copy)]
struct Member {
    membership: MembershipId,
    person: Option<PersonId>,
}

async fn join(
    tx: &mut Tx,
    kernel: &Kernel,
    organisation: OrganisationId,
    member: Member,
    place: Place,
) -> Result<(), Error> {
    let id = kernel.new_uuid();
    tx.run(
        JOIN,
        kernel::values![
            id,
            member.membership,
            place.group,
            place.priority,
            kernel.now()
        ],
    )
    .await?;
    let version = version(kernel, organisation, member, place, id);
    tx.begin_version(kernel.now(), version).await
}

fn version(
    kernel: &Kernel,
    organisation: OrganisationId,
    member: Member,
    place: Place,
    id: Uuid,
) -> Version {
    Version {
        id: kernel.new_uuid(),
        kind: "group_member",
        row: id,
        organisation: Some(organisation),
        person: member.person.map(|person| person.0),
        fields: serde_json::json!({
            "membership": member.membership,
            "group": place.group,
            "priority": place.priority,
        }),
    }
}

/// Puts a membership into exactly these groups; whether that changed anything.
///
/// # Errors
/// [`Error::Invalid`] for another organisation's group, one named twice, or more than [`MAX_GROUPS`].
pub async fn set_groups(
    kernel: &Kernel,
    organisation: &Organisation,
    membership: MembershipId,
    places: &[Place],
) -> Result<bool, Error> {
    if places.len() > MAX_GROUPS {
        return Err(Error::Invalid(format!(
            "groups: there are more than {MAX_GROUPS}"
        )));
    }
    for (at, place) in places.iter().enumerate() {
        let known = group::by_id(
            &kernel.db,
            kernel::Scope::Organisation(organisation.id),
            place.group,
        )
        .await?;
        let known = known.ok_or_else(|| foreign(&place.group.to_string(), organisation))?;
        if places
            .iter()
            .take(at)
            .any(|before| before.group == place.group)
        {
            return Err(Error::Invalid(format!(
                "group '{}' is given twice",
                known.name
            )));
        }
    }
    let now = kernel.now();
    let mut tx = kernel.db.begin().await?;
    let member = Member {
        membership,
        person: identity::known::holder(&mut tx, membership).await?,
    };
    let mut there: Vec<MemberRow> = tx
        .all(GROUPS_BETWEEN, kernel::values![membership, membership])
        .await?;
    let mut is_changed = false;
    for place in places {
        match there.iter().position(|row| row.group_id == place.group.0) {
            Some(at) => {
                let row = there.swap_remove(at);
                if row.priority == place.priority {
                    continue;
                }
                tx.run(MOVE, kernel::values![row.id, place.priority])
                    .await?;
                let version = version(kernel, organisation.id, member, *place, row.id);
                tx.record_version(now, version).await?;
            }
            None => join(&mut tx, kernel, organisation.id, member, *place).await?,
        }
        is_changed = true;
    }
    for gone in there {
        tx.run(LEAVE, kernel::values![gone.id]).await?;
        tx.end_version(now, gone.id).await?;
        is_changed = true;
    }
    if is_changed {
        tell_rules(&mut tx, kernel, organisation.id, membership).await?;
        tx.commit().await?;
    }
    Ok(is_changed)
}

/// Sets rules of one membership from text, as [`group::set`] does for a group.
///
/// # Errors
/// [`Error::Invalid`] with the row and the reason, and then nothing is changed.
pub async fn set_rules(
    kernel: &Kernel,
    dictionary: &Dictionary,
    organisation: OrganisationId,
    membership: MembershipId,
    text: &str,
    side: Option<Side>,
) -> Result<Rows, Error> {
    let new = rule::parse_lines(dictionary, text, side).map_err(Error::Invalid)?;
    let mut tx = kernel.db.begin().await?;
    let rows = put_rules(&mut tx, kernel, organisation, membership, new).await?;
    tx.commit().await?;
    Ok(rows)
}

/// Puts rows to a membership's own, within a transaction: for imports.
///
/// # Errors
/// [`Error::Invalid`] when there are too many.
pub async fn put_rules(
    tx: &mut Tx,
    kernel: &Kernel,
    organisation: OrganisationId,
    membership: MembershipId,
    new: Vec<(Side, rule::Row)>,
) -> Result<Rows, Error> {
    change_rules(tx, kernel, organisation, membership, move |rows| {
        for (side, row) in new {
            rows.put(side, row).map_err(Error::Invalid)?;
        }
        Ok(())
    })
    .await
}

/// Takes an attribute out of a membership's own rules, on one side or both; whether or not there was one.
///
/// # Errors
/// [`Error::Engine`].
pub async fn unset_rules(
    kernel: &Kernel,
    organisation: OrganisationId,
    membership: MembershipId,
    attribute: &str,
    side: Option<Side>,
) -> Result<Rows, Error> {
    let attribute = attribute.trim().to_owned();
    let mut tx = kernel.db.begin().await?;
    let rows = change_rules(&mut tx, kernel, organisation, membership, move |rows| {
        for one in [Side::Check, Side::Reply] {
            if side.is_none_or(|side| side == one) {
                rows.take_out(one, &attribute);
            }
        }
        Ok(())
    })
    .await?;
    tx.commit().await?;
    Ok(rows)
}

async fn change_rules(
    tx: &mut Tx,
    kernel: &Kernel,
    organisation: OrganisationId,
    membership: MembershipId,
    change: impl FnOnce(&mut Rows) -> Result<(), Error> + Send,
) -> Result<Rows, Error> {
    let owner = Owner::Membership(membership);
    let (rows, is_changed) = rule::replace(tx, kernel, organisation, owner, change).await?;
    if is_changed {
        tell_rules(tx, kernel, organisation, membership).await?;
    }
    Ok(rows)
}

async fn tell_rules(
    tx: &mut Tx,
    kernel: &Kernel,
    organisation: OrganisationId,
    membership: MembershipId,
) -> Result<(), Error> {
    let mut news = News::new(RULES_CHANGED, Some(organisation), membership.0);
    if let Some(person) = identity::known::holder(tx, membership).await? {
        news = news.with_detail(serde_json::json!({ "person": person }));
    }
    tx.tell(kernel.now(), news).await
}

/// The person that the detail of [`RULES_CHANGED`] tells of.
pub fn person_of_detail(detail: &serde_json::Value) -> Option<PersonId> {
    detail.get("person")?.as_str()?.parse().ok().map(PersonId)
}

/// The groups of a membership, those looked at first first.
///
/// # Errors
/// [`Error::Engine`].
pub async fn groups_of(db: &Db, membership: MembershipId) -> Result<Vec<Place>, Error> {
    let mut groups = groups_between(db, membership, membership).await?;
    Ok(groups.remove(&membership.0).unwrap_or_default())
}

/// How many memberships are in a group.
///
/// # Errors
/// [`Error::Engine`].
pub async fn members_of(db: &Db, group: GroupId) -> Result<u64, Error> {
    let row: Option<NumberRow> = db.first(MEMBERS, kernel::values![group]).await?;
    Ok(row.map_or(0, |row| u64::try_from(row.number).unwrap_or(0)))
}

/// What access knows of one membership; empty when it knows nothing.
///
/// # Errors
/// [`Error::Engine`]; [`Error::Seal`] when a secret value does not open.
pub async fn rules_of(kernel: &Kernel, membership: MembershipId) -> Result<MembershipRules, Error> {
    Ok(MembershipRules {
        membership,
        groups: groups_of(&kernel.db, membership).await?,
        rows: rule::load(kernel, Owner::Membership(membership)).await?,
    })
}

/// What access knows of these memberships; those that are in no group and have no rules are not among them.
///
/// # Errors
/// As [`rules_of`].
pub async fn rules_of_many(
    kernel: &Kernel,
    memberships: &[MembershipId],
) -> Result<HashMap<MembershipId, MembershipRules>, Error> {
    let mut known: HashMap<MembershipId, MembershipRules> = HashMap::new();
    for round in identity::known::rounds(memberships.iter().map(|id| id.0).collect()) {
        let places: Vec<MemberRow> = kernel.db.all(GROUPS_OF_MANY, round.clone()).await?;
        let rows = rule::load_many(kernel, round).await?;
        for (id, groups) in by_membership(places) {
            known
                .entry(MembershipId(id))
                .or_insert_with(|| bare(id))
                .groups = groups;
        }
        for (id, rows) in rows {
            known
                .entry(MembershipId(id))
                .or_insert_with(|| bare(id))
                .rows = rows;
        }
    }
    Ok(known)
}

fn bare(membership: Uuid) -> MembershipRules {
    MembershipRules {
        membership: MembershipId(membership),
        groups: Vec::new(),
        rows: Rows::default(),
    }
}

/// A page of what access knows of memberships, in the order of their ids. Those that are in no group and have no rules
/// are not among them. Empty at the end.
///
/// # Errors
/// As [`rules_of`].
pub async fn rules_page(
    kernel: &Kernel,
    after: Option<MembershipId>,
    limit: i64,
) -> Result<Vec<MembershipRules>, Error> {
    let after = after.map_or(Uuid::nil(), |after| after.0);
    let ids: Vec<IdRow> = kernel
        .db
        .all(MEMBERSHIPS_WITH_RULES, kernel::values![after, limit])
        .await?;
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else {
        return Ok(Vec::new());
    };
    let (first, last) = (MembershipId(first.id), MembershipId(last.id));
    let mut groups = groups_between(&kernel.db, first, last).await?;
    let mut rows = rule::load_memberships(kernel, first, last).await?;
    Ok(ids
        .into_iter()
        .map(|row| MembershipRules {
            membership: MembershipId(row.id),
            groups: groups.remove(&row.id).unwrap_or_default(),
            rows: rows.remove(&row.id).unwrap_or_default(),
        })
        .collect())
}

/// Hands what access knows of every membership to `take`, page by page; how many there were.
///
/// # Errors
/// As [`rules_of`].
pub async fn load_rules(
    kernel: &Kernel,
    mut take: impl FnMut(MembershipRules) + Send,
) -> Result<u64, Error> {
    let mut after = None;
    let mut number = 0;
    loop {
        // Each round goes beyond the one before, so this ends.
        let page = rules_page(kernel, after, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(number);
        };
        after = Some(last.membership);
        for rules in page {
            take(rules);
            number += 1;
        }
    }
}

/// Ends the versions of everything that access holds of a membership: its places in groups and its own rules. To be
/// called before the membership or its person is deleted, which takes the rows along.
///
/// # Errors
/// [`Error::Engine`].
pub async fn forget(tx: &mut Tx, kernel: &Kernel, membership: MembershipId) -> Result<(), Error> {
    let now = kernel.now();
    let rows: Vec<IdRow> = tx.all(OF_MEMBERSHIP, kernel::values![membership]).await?;
    for row in rows {
        tx.end_version(now, row.id).await?;
    }
    Ok(())
}

async fn groups_between(
    db: &Db,
    first: MembershipId,
    last: MembershipId,
) -> Result<HashMap<Uuid, Vec<Place>>, Error> {
    let rows: Vec<MemberRow> = db.all(GROUPS_BETWEEN, kernel::values![first, last]).await?;
    Ok(by_membership(rows))
}

fn by_membership(rows: Vec<MemberRow>) -> HashMap<Uuid, Vec<Place>> {
    let mut groups: HashMap<Uuid, Vec<Place>> = HashMap::new();
    for row in rows {
        groups.entry(row.membership_id).or_default().push(Place {
            group: GroupId(row.group_id),
            priority: row.priority,
        });
    }
    groups
}

#[cfg(test)]
mod tests;
