//! Groups: a name for the rules that many people share.
//!
//! A group's name is unique on the server and begins with its organisation's slug. One group of an organisation is the
//! default: whoever is admitted without another gets into it. The rules themselves are [`crate::rule`].

mod terms;

pub use terms::{set_condition, set_plan};

use crate::plan::PlanId;
use crate::rule::{self, Op, Owner, Row, Rows, Side};
use identity::Organisation;
use kernel::history::Version;
use kernel::id::Uuid;
use kernel::{Db, Error, Kernel, News, OrganisationId, Scope, Time, Tx};
use radius_wire::dictionary::Dictionary;
use serde::Serialize;

kernel::define_id! {
    /// A group.
    GroupId
}

/// Told when a group is made, changed or removed, or its rules change. The subject is the group.
pub const CHANGED: &str = "group.changed";

/// Longest name with the slug before it, in characters, as OpenWISP has it.
pub const MAX_NAME_CHARS: usize = 255;
/// Longest description, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 255;
/// Groups read at a time: with their rows at most a few thousand rules.
const PAGE: i64 = 100;
/// What a new organisation's ordinary people may use in a day: three hours.
const BORN_DAILY_SECONDS: &str = "10800";
/// And three gigabytes.
const BORN_DAILY_OCTETS: &str = "3000000000";

/// A group, without its rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// Unique on the server; begins with the organisation's slug.
    pub name: String,
    /// For people.
    pub description: String,
    /// Whether people get into it who are not put elsewhere.
    pub is_default: bool,
    /// What its people get.
    pub plan: Option<PlanId>,
    /// An expression that has to hold of a request: see [`crate::condition`].
    pub condition: Option<String>,
    /// When it was made.
    pub created: Time,
    /// When it or its rules were last changed.
    pub modified: Time,
}

/// A group that is to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewGroup {
    /// With or without the slug before it.
    pub name: String,
    /// For people.
    pub description: String,
    /// Takes the place of the default there is.
    pub is_default: bool,
}

macro_rules! columns {
    () => {
        "id, organisation_id, name, description, is_default, plan_id, condition, created, modified"
    };
}

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    INSERT = concat!("INSERT INTO access_group (", columns!(), ") VALUES ($1, $2, $3, $4, $5, NULL, NULL, $6, $6)");
    BY_NAME = concat!("SELECT ", columns!(), " FROM access_group WHERE name = $1");
    BY_ID = concat!("SELECT ", columns!(), " FROM access_group
        WHERE id = $1 AND (CAST($2 AS UUID) IS NULL OR organisation_id = $2)");
    DEFAULT_OF = concat!("SELECT ", columns!(), " FROM access_group WHERE organisation_id = $1 AND is_default");
    // Touching the row makes whoever changes the same group wait.
    LOCK = concat!("UPDATE access_group SET modified = $2 WHERE id = $1 RETURNING ", columns!());
    PAGED = concat!("SELECT ", columns!(), " FROM access_group
        WHERE id > $1 AND (CAST($2 AS UUID) IS NULL OR organisation_id = $2) ORDER BY id LIMIT $3");
    NAMES = "SELECT name FROM access_group WHERE organisation_id = $1 ORDER BY name LIMIT 1000";
    UNSET_DEFAULT = concat!("UPDATE access_group SET is_default = FALSE, modified = $2
        WHERE organisation_id = $1 AND is_default RETURNING ", columns!());
    SET_PLAN = "UPDATE access_group SET plan_id = $2 WHERE id = $1";
    SET_CONDITION = "UPDATE access_group SET condition = $2 WHERE id = $1";
    SET_DEFAULT = "UPDATE access_group SET is_default = TRUE WHERE id = $1";
    REMOVE = "DELETE FROM access_group WHERE id = $1";
}

#[derive(sqlx::FromRow)]
struct GroupRow {
    id: Uuid,
    organisation_id: Uuid,
    name: String,
    description: String,
    is_default: bool,
    plan_id: Option<Uuid>,
    condition: Option<String>,
    created: Time,
    modified: Time,
}

#[derive(sqlx::FromRow)]
struct NameRow {
    name: String,
}

impl GroupRow {
    fn into_group(self) -> Group {
        Group {
            id: GroupId(self.id),
            organisation: OrganisationId(self.organisation_id),
            name: self.name,
            description: self.description,
            is_default: self.is_default,
            plan: self.plan_id.map(PlanId),
            condition: self.condition,
            created: self.created,
            modified: self.modified,
        }
    }
}

/// The name as it is stored: with the slug before it.
pub fn full_name(organisation: &Organisation, name: &str) -> String {
    let prefix = format!("{}-", organisation.slug);
    let name = name.trim();
    if name.starts_with(&prefix) {
        name.to_owned()
    } else {
        prefix + name
    }
}

fn examine(organisation: &Organisation, new: &NewGroup) -> Result<String, Error> {
    let name = full_name(organisation, &new.name);
    let refuse = |reason: String| {
        Err(Error::Invalid(format!(
            "group '{}': {reason}",
            new.name.escape_debug()
        )))
    };
    if new.name.trim().is_empty() || name.len() == organisation.slug.len() + 1 {
        return refuse("its name is empty".into());
    }
    if name.chars().count() > MAX_NAME_CHARS {
        return refuse(format!(
            "its name has more than {MAX_NAME_CHARS} characters with the slug"
        ));
    }
    if name.chars().any(char::is_control) || new.description.chars().any(char::is_control) {
        return refuse("name and description have no control characters".into());
    }
    if new.description.chars().count() > MAX_DESCRIPTION_CHARS {
        return refuse(format!(
            "its description has more than {MAX_DESCRIPTION_CHARS} characters"
        ));
    }
    Ok(name)
}

/// Makes a group without rules.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::Conflict`] when the name is taken.
pub async fn create(
    kernel: &Kernel,
    organisation: &Organisation,
    new: NewGroup,
) -> Result<Group, Error> {
    let mut tx = kernel.db.begin().await?;
    let group = insert(&mut tx, kernel, organisation, new).await?;
    tx.commit().await?;
    Ok(group)
}

/// [`create`] within a transaction.
///
/// # Errors
/// As [`create`].
pub async fn insert(
    tx: &mut Tx,
    kernel: &Kernel,
    organisation: &Organisation,
    new: NewGroup,
) -> Result<Group, Error> {
    let name = examine(organisation, &new)?;
    let taken = || Error::Conflict(format!("group '{name}' exists"));
    let there: Option<GroupRow> = tx.first(BY_NAME, kernel::values![&name]).await?;
    if there.is_some() {
        return Err(taken());
    }
    if new.is_default {
        unset_default(tx, kernel, organisation.id).await?;
    }
    let now = kernel.now();
    let group = Group {
        id: GroupId(kernel.new_uuid()),
        organisation: organisation.id,
        name: name.clone(),
        description: new.description,
        is_default: new.is_default,
        plan: None,
        condition: None,
        created: now,
        modified: now,
    };
    let values = kernel::values![
        group.id,
        group.organisation,
        &group.name,
        &group.description,
        group.is_default,
        now
    ];
    match tx.run(INSERT, values).await {
        // Somebody else made it since we looked.
        Err(e) if e.is_duplicate() => return Err(taken()),
        other => other?,
    };
    record(tx, kernel, &group).await?;
    Ok(group)
}

/// The two groups that an organisation is born with: ordinary people (the default) with a daily limit, and power users
/// without any.
///
/// # Errors
/// As [`create`].
pub async fn born_groups(
    tx: &mut Tx,
    kernel: &Kernel,
    organisation: &Organisation,
) -> Result<(), Error> {
    let users = NewGroup {
        name: "users".into(),
        description: "Regular users".into(),
        is_default: true,
    };
    let users = insert(tx, kernel, organisation, users).await?;
    let limits = [
        (rule::control::MAX_DAILY_SESSION, BORN_DAILY_SECONDS),
        (rule::control::MAX_DAILY_TRAFFIC, BORN_DAILY_OCTETS),
    ];
    let mut rows = Vec::with_capacity(limits.len());
    for (attribute, value) in limits {
        let row = Row::new(
            Dictionary::builtin(),
            Side::Check,
            attribute,
            Op::Assign,
            value,
        );
        rows.push(row.map_err(Error::Invalid)?);
    }
    rule::replace(
        tx,
        kernel,
        organisation.id,
        Owner::Group(users.id),
        move |there| {
            there.checks = rows;
            Ok(())
        },
    )
    .await?;
    let power_users = NewGroup {
        name: "power-users".into(),
        description: "Users with less restrictions".into(),
        is_default: false,
    };
    insert(tx, kernel, organisation, power_users)
        .await
        .map(|_| ())
}

/// The organisation's group of a name, given with or without the slug.
///
/// # Errors
/// [`Error::NotFound`] names the nearest there is.
pub async fn by_name(db: &Db, organisation: &Organisation, name: &str) -> Result<Group, Error> {
    let full = full_name(organisation, name);
    let row: Option<GroupRow> = db.first(BY_NAME, kernel::values![&full]).await?;
    // Another organisation's slug may begin with this one's.
    if let Some(row) = row.filter(|row| row.organisation_id == organisation.id.0) {
        return Ok(row.into_group());
    }
    let names: Vec<NameRow> = db.all(NAMES, kernel::values![organisation.id]).await?;
    let near = kernel::config::nearest(&full, names.iter().map(|row| row.name.as_str()));
    Err(Error::NotFound(format!(
        "organisation '{}' has no group '{}'{}",
        organisation.slug,
        name.escape_debug(),
        near.map(|near| format!("; did you mean '{near}'?"))
            .unwrap_or_default()
    )))
}

/// One group.
///
/// # Errors
/// [`Error::Engine`].
pub async fn by_id(db: &Db, scope: Scope, id: GroupId) -> Result<Option<Group>, Error> {
    let row: Option<GroupRow> = db
        .first(BY_ID, kernel::values![id, scope.parameter()])
        .await?;
    Ok(row.map(GroupRow::into_group))
}

/// The group of people who are not put elsewhere.
///
/// # Errors
/// [`Error::Engine`].
pub async fn default_of(tx: &mut Tx, organisation: OrganisationId) -> Result<Option<Group>, Error> {
    let row: Option<GroupRow> = tx.first(DEFAULT_OF, kernel::values![organisation]).await?;
    Ok(row.map(GroupRow::into_group))
}

/// The groups of a scope with their rules, the oldest first.
///
/// # Errors
/// [`Error::Engine`]; [`Error::Seal`] when a secret value does not open.
pub async fn list(kernel: &Kernel, scope: Scope) -> Result<Vec<(Group, Rows)>, Error> {
    let mut groups: Vec<(Group, Rows)> = Vec::new();
    loop {
        // Each round goes beyond the one before, so this ends.
        let after = groups.last().map_or(Uuid::nil(), |(group, _)| group.id.0);
        let page: Vec<GroupRow> = kernel
            .db
            .all(PAGED, kernel::values![after, scope.parameter(), PAGE])
            .await?;
        let (Some(first), Some(last)) = (page.first(), page.last()) else {
            return Ok(groups);
        };
        let mut rows = rule::load_groups(kernel, GroupId(first.id), GroupId(last.id)).await?;
        groups.extend(page.into_iter().map(|row| {
            let mine = rows.remove(&row.id).unwrap_or_default();
            (row.into_group(), mine)
        }));
    }
}

/// Every group with its rules, for the server.
///
/// # Errors
/// As [`list`].
pub async fn load_all(kernel: &Kernel) -> Result<Vec<(Group, Rows)>, Error> {
    list(kernel, Scope::Everything).await
}

/// One group with its rules, for the server.
///
/// # Errors
/// As [`list`].
pub async fn load_one(kernel: &Kernel, id: GroupId) -> Result<Option<(Group, Rows)>, Error> {
    let Some(group) = by_id(&kernel.db, Scope::Everything, id).await? else {
        return Ok(None);
    };
    let rows = rule::load(kernel, Owner::Group(id)).await?;
    Ok(Some((group, rows)))
}

/// Sets rules of a group from text, one row a line: `Session-Timeout := 3600`. The attribute and the operator decide on
/// which side a row belongs, unless `side` does. See [`Rows::put`] for what replaces what.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] with the row and the reason, and then nothing is changed.
pub async fn set(
    kernel: &Kernel,
    dictionary: &Dictionary,
    organisation: &Organisation,
    name: &str,
    text: &str,
    side: Option<Side>,
) -> Result<(Group, Rows), Error> {
    let group = by_name(&kernel.db, organisation, name).await?;
    let new =
        rule::parse_lines(dictionary, text, side).map_err(|reason| refused(&group, &reason))?;
    if new.is_empty() {
        return Err(refused(&group, "no row is given; write Attribute := value"));
    }
    let shown = group.clone();
    change_rows(kernel, group.id, move |rows| {
        for (side, row) in new {
            rows.put(side, row)
                .map_err(|reason| refused(&shown, &reason))?;
        }
        Ok(())
    })
    .await
}

/// Takes an attribute out of a group's rules, on one side or both.
///
/// # Errors
/// [`Error::NotFound`], also when the group has no such row.
pub async fn unset(
    kernel: &Kernel,
    organisation: &Organisation,
    name: &str,
    attribute: &str,
    side: Option<Side>,
) -> Result<(Group, Rows), Error> {
    let group = by_name(&kernel.db, organisation, name).await?;
    let missing = Error::NotFound(format!(
        "group '{}' has no row of '{}'",
        group.name,
        attribute.escape_debug()
    ));
    let attribute = attribute.trim().to_owned();
    change_rows(kernel, group.id, move |rows| {
        let gone: usize = [Side::Check, Side::Reply]
            .into_iter()
            .filter(|one| side.is_none_or(|side| side == *one))
            .map(|side| rows.take_out(side, &attribute))
            .sum();
        if gone == 0 { Err(missing) } else { Ok(()) }
    })
    .await
}

fn refused(group: &Group, reason: &str) -> Error {
    Error::Invalid(format!("group '{}': {reason}", group.name))
}

async fn change_rows(
    kernel: &Kernel,
    id: GroupId,
    change: impl FnOnce(&mut Rows) -> Result<(), Error> + Send,
) -> Result<(Group, Rows), Error> {
    let now = kernel.now();
    let mut tx = kernel.db.begin().await?;
    let group = locked(&mut tx, now, id).await?;
    let (rows, is_changed) = rule::replace(
        &mut tx,
        kernel,
        group.organisation,
        Owner::Group(id),
        change,
    )
    .await?;
    if is_changed {
        tell(&mut tx, now, &group).await?;
        tx.commit().await?;
    }
    Ok((group, rows))
}

/// Makes a group the default; the one that was is no longer. People who are there stay where they are.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn make_default(kernel: &Kernel, id: GroupId) -> Result<Group, Error> {
    let now = kernel.now();
    let mut tx = kernel.db.begin().await?;
    let mut group = locked(&mut tx, now, id).await?;
    if !group.is_default {
        unset_default(&mut tx, kernel, group.organisation).await?;
        tx.run(SET_DEFAULT, kernel::values![id]).await?;
        group.is_default = true;
        record(&mut tx, kernel, &group).await?;
        tx.commit().await?;
    }
    Ok(group)
}

/// Removes a group; its people are in one group less.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] for the default group.
pub async fn remove(kernel: &Kernel, id: GroupId) -> Result<Group, Error> {
    let now = kernel.now();
    let mut tx = kernel.db.begin().await?;
    let group = locked(&mut tx, now, id).await?;
    if group.is_default {
        return Err(Error::Conflict(format!(
            "group '{}' is the default: make another one the default first",
            group.name
        )));
    }
    rule::replace(
        &mut tx,
        kernel,
        group.organisation,
        Owner::Group(id),
        |rows| {
            *rows = Rows::default();
            Ok(())
        },
    )
    .await?;
    tx.run(REMOVE, kernel::values![id]).await?;
    tx.end_version(now, id.0).await?;
    tell(&mut tx, now, &group).await?;
    tx.commit().await?;
    Ok(group)
}

async fn locked(tx: &mut Tx, now: Time, id: GroupId) -> Result<Group, Error> {
    let row: Option<GroupRow> = tx.first(LOCK, kernel::values![id, now]).await?;
    row.map(GroupRow::into_group)
        .ok_or_else(|| Error::NotFound(format!("there is no group with id {id}")))
}

async fn unset_default(
    tx: &mut Tx,
    kernel: &Kernel,
    organisation: OrganisationId,
) -> Result<(), Error> {
    let row: Option<GroupRow> = tx
        .first(UNSET_DEFAULT, kernel::values![organisation, kernel.now()])
        .await?;
    match row {
        Some(row) => record(tx, kernel, &row.into_group()).await,
        None => Ok(()),
    }
}

async fn record(tx: &mut Tx, kernel: &Kernel, group: &Group) -> Result<(), Error> {
    let version = Version {
        id: kernel.new_uuid(),
        kind: "group",
        row: group.id.0,
        organisation: Some(group.organisation),
        person: None,
        fields: serde_json::json!({
            "name": group.name,
            "is_default": group.is_default,
            "plan": group.plan,
            "condition": group.condition,
        }),
    };
    let now = kernel.now();
    tx.record_version(now, version).await?;
    tell(tx, now, group).await
}

async fn tell(tx: &mut Tx, now: Time, group: &Group) -> Result<(), Error> {
    tx.tell(
        now,
        News::new(CHANGED, Some(group.organisation), group.id.0),
    )
    .await
}

// What groups do is tested with what people get from them, in `admit/tests.rs`.
