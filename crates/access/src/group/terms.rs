//! What a group's people get, and when its rules hold.

use super::{Group, GroupId, SET_CONDITION, SET_PLAN, locked, record, refused};
use crate::condition::Condition;
use crate::plan::Plan;
use kernel::{Error, Kernel};
use radius_wire::dictionary::Dictionary;

/// Gives a group's people a plan, or none.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] when the plan is another organisation's.
pub async fn set_plan(kernel: &Kernel, id: GroupId, plan: Option<&Plan>) -> Result<Group, Error> {
    let now = kernel.now();
    let mut tx = kernel.db.begin().await?;
    let mut group = locked(&mut tx, now, id).await?;
    if plan.is_some_and(|plan| plan.organisation != group.organisation) {
        return Err(refused(&group, "the plan is another organisation's"));
    }
    let plan = plan.map(|plan| plan.id);
    if group.plan != plan {
        tx.run(SET_PLAN, kernel::values![id, plan]).await?;
        group.plan = plan;
        record(&mut tx, kernel, &group).await?;
        tx.commit().await?;
    }
    Ok(group)
}

/// Lets a group's rules hold only where an expression does, or whatever is asked.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] with what is wrong with the expression.
pub async fn set_condition(
    kernel: &Kernel,
    dictionary: &Dictionary,
    id: GroupId,
    condition: Option<&str>,
) -> Result<Group, Error> {
    let now = kernel.now();
    let mut tx = kernel.db.begin().await?;
    let mut group = locked(&mut tx, now, id).await?;
    let condition = match condition {
        None => None,
        Some(text) => {
            let compiled = Condition::compile(dictionary, text);
            let compiled = compiled.map_err(|reason| refused(&group, &reason))?;
            Some(compiled.to_string())
        }
    };
    if group.condition != condition {
        tx.run(SET_CONDITION, kernel::values![id, condition.as_deref()])
            .await?;
        group.condition = condition;
        record(&mut tx, kernel, &group).await?;
        tx.commit().await?;
    }
    Ok(group)
}
