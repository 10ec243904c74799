//! Plans: what a group's people get, in fields of one meaning for every vendor.
//!
//! A group has at most one plan. What it says is put into the attributes of the NAS's family ([`render`]), unless a reply
//! row of the person or the group says something else of the same attribute. Where a limit is spent, another plan can
//! take its place instead of cutting the person off.

pub mod render;
mod terms;

pub use terms::{Terms, parse_rate};

use crate::family::Family;
use crate::rule::ReplyList;
use crate::rule::hours::LoginHours;
use identity::Organisation;
use kernel::history::Version;
use kernel::id::Uuid;
use kernel::{Db, Error, Kernel, News, OrganisationId, Scope, Time, Tx};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;

kernel::define_id! {
    /// A plan.
    PlanId
}

/// Told when a plan is made, changed or removed. The subject is the plan.
pub const CHANGED: &str = "plan.changed";

/// Longest name, in characters, with the organisation's slug before it.
const MAX_NAME_CHARS: usize = 255;
/// Plans read at a time.
const PAGE: i64 = 200;
/// Plans that follow each other when limits are spent: more is a circle.
pub const MAX_FOLLOWING: usize = 4;

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Its id.
    pub id: PlanId,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// Unique on the server; begins with the organisation's slug.
    pub name: String,
    /// What it says.
    pub terms: Terms,
    /// The plan that takes its place when a limit is spent. None: the person is cut off.
    pub when_spent: Option<PlanId>,
    /// When it was made.
    pub created: Time,
    /// When it was last changed.
    pub modified: Time,
}

/// A plan as decisions need it.
pub struct PlanFacts {
    /// Its id.
    pub id: PlanId,
    /// Its name.
    pub name: String,
    /// What it says.
    pub terms: Terms,
    /// What was stored of it cannot be read: it gives nothing to anybody.
    pub is_damaged: bool,
    /// Its hours.
    pub hours: Option<LoginHours>,
    /// The plan that takes its place when a limit is spent.
    pub when_spent: Option<Arc<PlanFacts>>,
    /// What each family is told at every login, by [`Family::index`].
    replies: Vec<ReplyList>,
}

impl PlanFacts {
    /// Of a row. Terms that cannot be read make a plan that gives nothing.
    pub fn new(
        id: PlanId,
        name: String,
        terms: Option<Terms>,
        when_spent: Option<Arc<PlanFacts>>,
    ) -> Self {
        let is_damaged = terms.is_none();
        let terms = terms.unwrap_or_default();
        let hours = terms
            .hours
            .as_deref()
            .and_then(|text| LoginHours::parse(text).ok());
        let replies = Family::ALL
            .iter()
            .map(|family| render::fixed(&terms, *family).prepared())
            .collect();
        Self {
            id,
            name,
            terms,
            is_damaged,
            hours,
            when_spent,
            replies,
        }
    }

    /// This one, or the one of those that may take its place.
    pub fn followed_by(self: &Arc<Self>, id: PlanId) -> Option<Arc<PlanFacts>> {
        let mut plan = self;
        for _ in 0..=MAX_FOLLOWING {
            if plan.id == id {
                return Some(plan.clone());
            }
            plan = plan.when_spent.as_ref()?;
        }
        None
    }

    /// What a NAS of a family is told at every login.
    pub fn replies(&self, family: Family) -> &ReplyList {
        &self.replies[family.index()]
    }
}

macro_rules! columns {
    () => {
        "id, organisation_id, name, terms, when_spent_id, created, modified"
    };
}

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    INSERT = concat!("INSERT INTO access_plan (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $6)");
    UPDATE = "UPDATE access_plan SET terms = $2, when_spent_id = $3, modified = $4 WHERE id = $1";
    BY_NAME = concat!("SELECT ", columns!(), " FROM access_plan WHERE name = $1");
    PAGED = concat!("SELECT ", columns!(), " FROM access_plan
        WHERE id > $1 AND (CAST($2 AS UUID) IS NULL OR organisation_id = $2) ORDER BY id LIMIT $3");
    NAMES = "SELECT name FROM access_plan WHERE organisation_id = $1 ORDER BY name LIMIT 1000";
    // Touching the row makes whoever changes the same plan wait.
    LOCK = concat!("UPDATE access_plan SET modified = $2 WHERE id = $1 RETURNING ", columns!());
    REMOVE = "DELETE FROM access_plan WHERE id = $1";
    FOLLOWER = "SELECT organisation_id, when_spent_id FROM access_plan WHERE id = $1";
    IN_USE = "SELECT name FROM access_group WHERE plan_id = $1
        UNION ALL SELECT name FROM access_plan WHERE when_spent_id = $1 ORDER BY name LIMIT 1";
}

#[derive(sqlx::FromRow)]
struct PlanRow {
    id: Uuid,
    organisation_id: Uuid,
    name: String,
    terms: String,
    when_spent_id: Option<Uuid>,
    created: Time,
    modified: Time,
}

#[derive(sqlx::FromRow)]
struct NameRow {
    name: String,
}

impl PlanRow {
    /// The plan. Terms that cannot be read are an error: who has them must not get in without limits.
    fn into_plan(self) -> Result<Plan, Error> {
        let terms = serde_json::from_str(&self.terms).map_err(|e| {
            Error::Invalid(format!(
                "plan '{}': its terms cannot be read: {e}",
                self.name
            ))
        })?;
        Ok(Plan {
            id: PlanId(self.id),
            organisation: OrganisationId(self.organisation_id),
            name: self.name,
            terms,
            when_spent: self.when_spent_id.map(PlanId),
            created: self.created,
            modified: self.modified,
        })
    }
}

fn refused(name: &str, reason: &str) -> Error {
    Error::Invalid(format!("plan '{}': {reason}", name.escape_debug()))
}

fn full_name(organisation: &Organisation, name: &str) -> Result<String, Error> {
    let full = crate::group::full_name(organisation, name);
    if name.trim().is_empty() || full.len() == organisation.slug.len() + 1 {
        return Err(refused(name, "its name is empty"));
    }
    if full.chars().count() > MAX_NAME_CHARS {
        let reason = format!("its name has more than {MAX_NAME_CHARS} characters with the slug");
        return Err(refused(name, &reason));
    }
    if full.chars().any(char::is_control) {
        return Err(refused(name, "its name has control characters"));
    }
    Ok(full)
}

/// Makes a plan.
///
/// # Errors
/// [`Error::Invalid`] with the field and the reason; [`Error::Conflict`] when the name is taken.
pub async fn create(
    kernel: &Kernel,
    organisation: &Organisation,
    name: &str,
    terms: Terms,
    when_spent: Option<PlanId>,
) -> Result<Plan, Error> {
    let name = full_name(organisation, name)?;
    terms.check().map_err(|reason| refused(&name, &reason))?;
    let now = kernel.now();
    let plan = Plan {
        id: PlanId(kernel.new_uuid()),
        organisation: organisation.id,
        name: name.clone(),
        terms,
        when_spent,
        created: now,
        modified: now,
    };
    let mut tx = kernel.db.begin().await?;
    follows(&mut tx, &plan).await?;
    let values = kernel::values![
        plan.id,
        plan.organisation,
        &plan.name,
        text_of(&plan.terms),
        plan.when_spent,
        now
    ];
    match tx.run(INSERT, values).await {
        Err(e) if e.is_duplicate() => {
            return Err(Error::Conflict(format!("plan '{name}' exists")));
        }
        other => other?,
    };
    record(&mut tx, kernel, &plan).await?;
    tx.commit().await?;
    Ok(plan)
}

fn text_of(terms: &Terms) -> String {
    serde_json::to_string(terms).unwrap_or_else(|_| "{}".to_owned())
}

/// Changes a plan.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] with the field and the reason, and then nothing is changed.
pub async fn change(
    kernel: &Kernel,
    id: PlanId,
    change: impl FnOnce(&mut Plan) -> Result<(), Error> + Send,
) -> Result<Plan, Error> {
    let now = kernel.now();
    let mut tx = kernel.db.begin().await?;
    let before = locked(&mut tx, now, id).await?;
    let mut plan = before.clone();
    change(&mut plan)?;
    plan.terms
        .check()
        .map_err(|reason| refused(&plan.name, &reason))?;
    if plan == before {
        return Ok(plan);
    }
    follows(&mut tx, &plan).await?;
    let values = kernel::values![id, text_of(&plan.terms), plan.when_spent, now];
    tx.run(UPDATE, values).await?;
    record(&mut tx, kernel, &plan).await?;
    tx.commit().await?;
    Ok(plan)
}

/// Refuses a plan whose followers lead back to it, or to somebody else's plan.
async fn follows(tx: &mut Tx, plan: &Plan) -> Result<(), Error> {
    let mut next = plan.when_spent;
    for _ in 0..MAX_FOLLOWING {
        let Some(id) = next else { return Ok(()) };
        if id == plan.id {
            return Err(refused(
                &plan.name,
                "a plan cannot take its own place when it is spent",
            ));
        }
        let row: Option<FollowerRow> = tx.first(FOLLOWER, kernel::values![id]).await?;
        let row = row.filter(|row| row.organisation_id == plan.organisation.0);
        let Some(row) = row else {
            return Err(refused(
                &plan.name,
                "the plan that takes its place is not the organisation's",
            ));
        };
        next = row.when_spent_id.map(PlanId);
    }
    let reason = format!("more than {MAX_FOLLOWING} plans would follow each other");
    Err(refused(&plan.name, &reason))
}

#[derive(sqlx::FromRow)]
struct FollowerRow {
    organisation_id: Uuid,
    when_spent_id: Option<Uuid>,
}

/// The organisation's plan of a name, given with or without the slug.
///
/// # Errors
/// [`Error::NotFound`] names the nearest there is.
pub async fn by_name(db: &Db, organisation: &Organisation, name: &str) -> Result<Plan, Error> {
    let full = crate::group::full_name(organisation, name);
    let row: Option<PlanRow> = db.first(BY_NAME, kernel::values![&full]).await?;
    if let Some(row) = row.filter(|row| row.organisation_id == organisation.id.0) {
        return row.into_plan();
    }
    let names: Vec<NameRow> = db.all(NAMES, kernel::values![organisation.id]).await?;
    let near = kernel::config::nearest(&full, names.iter().map(|row| row.name.as_str()));
    Err(Error::NotFound(format!(
        "organisation '{}' has no plan '{}'{}",
        organisation.slug,
        name.escape_debug(),
        near.map(|near| format!("; did you mean '{near}'?"))
            .unwrap_or_default()
    )))
}

/// The plans of a scope, the oldest first.
///
/// # Errors
/// [`Error::Engine`]; [`Error::Invalid`] when terms cannot be read.
pub async fn list(db: &Db, scope: Scope) -> Result<Vec<Plan>, Error> {
    let mut plans: Vec<Plan> = Vec::new();
    loop {
        // Each round goes beyond the one before, so this ends.
        let after = plans.last().map_or(Uuid::nil(), |plan| plan.id.0);
        let page: Vec<PlanRow> = db
            .all(PAGED, kernel::values![after, scope.parameter(), PAGE])
            .await?;
        if page.is_empty() {
            return Ok(plans);
        }
        for row in page {
            plans.push(row.into_plan()?);
        }
    }
}

/// What is kept of a plan, for decisions and for the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct StoredPlan {
    /// Its id.
    pub id: PlanId,
    /// Its name.
    pub name: String,
    /// What it says, as JSON.
    pub terms: String,
    /// The plan that takes its place when a limit is spent.
    pub when_spent: Option<PlanId>,
}

/// Every plan as it is stored, for the server.
///
/// # Errors
/// [`Error::Engine`].
pub(crate) async fn load_all(db: &Db) -> Result<Vec<StoredPlan>, Error> {
    let mut plans: Vec<StoredPlan> = Vec::new();
    loop {
        let after = plans.last().map_or(Uuid::nil(), |plan| plan.id.0);
        let everything = Scope::Everything.parameter();
        let page: Vec<PlanRow> = db
            .all(PAGED, kernel::values![after, everything, PAGE])
            .await?;
        if page.is_empty() {
            return Ok(plans);
        }
        plans.extend(page.into_iter().map(|row| StoredPlan {
            id: PlanId(row.id),
            name: row.name,
            terms: row.terms,
            when_spent: row.when_spent_id.map(PlanId),
        }));
    }
}

/// Plans as decisions need them. One that cannot be read is logged.
pub(crate) fn prepare(stored: &[StoredPlan]) -> HashMap<PlanId, Arc<PlanFacts>> {
    let by_id: HashMap<PlanId, &StoredPlan> = stored.iter().map(|plan| (plan.id, plan)).collect();
    let mut made = HashMap::with_capacity(stored.len());
    for plan in stored {
        make(plan.id, &by_id, &mut made, 0);
    }
    made
}

/// Plans behind each other that are made ready: more than can be saved, so only a circle is as long.
const MAX_CHAIN: usize = 32;

/// Followers first. A circle, which the rules for saving do not allow, is cut.
fn make(
    id: PlanId,
    by_id: &HashMap<PlanId, &StoredPlan>,
    made: &mut HashMap<PlanId, Arc<PlanFacts>>,
    depth: usize,
) -> Option<Arc<PlanFacts>> {
    if let Some(plan) = made.get(&id) {
        return Some(plan.clone());
    }
    if depth > MAX_CHAIN {
        return None;
    }
    let stored = by_id.get(&id)?;
    let next = stored
        .when_spent
        .and_then(|next| make(next, by_id, made, depth + 1));
    let terms = serde_json::from_str(&stored.terms)
        .inspect_err(|e| {
            tracing::error!(plan = %stored.name, "its terms cannot be read, so nobody gets in by it: {e}");
        })
        .ok();
    let plan = Arc::new(PlanFacts::new(id, stored.name.clone(), terms, next));
    made.insert(id, plan.clone());
    Some(plan)
}

/// Removes a plan that nobody has.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when a group has it or another plan leads to it.
pub async fn remove(kernel: &Kernel, id: PlanId) -> Result<Plan, Error> {
    let now = kernel.now();
    let mut tx = kernel.db.begin().await?;
    let plan = locked(&mut tx, now, id).await?;
    let user: Option<NameRow> = tx.first(IN_USE, kernel::values![id]).await?;
    if let Some(user) = user {
        return Err(Error::Conflict(format!(
            "plan '{}' is in use by '{}': give that another plan first",
            plan.name, user.name
        )));
    }
    tx.run(REMOVE, kernel::values![id]).await?;
    tx.end_version(now, id.0).await?;
    tell(&mut tx, now, &plan).await?;
    tx.commit().await?;
    Ok(plan)
}

async fn locked(tx: &mut Tx, now: Time, id: PlanId) -> Result<Plan, Error> {
    let row: Option<PlanRow> = tx.first(LOCK, kernel::values![id, now]).await?;
    row.ok_or_else(|| Error::NotFound(format!("there is no plan with id {id}")))?
        .into_plan()
}

async fn record(tx: &mut Tx, kernel: &Kernel, plan: &Plan) -> Result<(), Error> {
    let version = Version {
        id: kernel.new_uuid(),
        kind: "plan",
        row: plan.id.0,
        organisation: Some(plan.organisation),
        person: None,
        fields: serde_json::json!({
            "name": plan.name,
            "terms": plan.terms,
            "when_spent": plan.when_spent,
        }),
    };
    let now = kernel.now();
    tx.record_version(now, version).await?;
    tell(tx, now, plan).await
}

async fn tell(tx: &mut Tx, now: Time, plan: &Plan) -> Result<(), Error> {
    let news = News::new(CHANGED, Some(plan.organisation), plan.id.0);
    tx.tell(now, news).await
}
