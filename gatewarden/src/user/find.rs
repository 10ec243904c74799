//! From what an operator types to the one membership that is meant.

use super::Who;
use crate::failure::Failure;
use crate::house::House;
use identity::{Found, FoundMembership, MembershipId, find, list};
use kernel::Scope;

/// Pages of usernames that are searched for a similar one; beyond it no suggestion is better than a long wait.
const MAX_PAGES: usize = 5;

/// Everybody a text can mean.
pub(super) async fn everybody(
    house: &House,
    scope: Scope,
    text: &str,
) -> Result<Vec<Found>, Failure> {
    let found = find::find(&house.kernel.db, scope, text.trim()).await?;
    match found.is_empty() {
        true => Err(unknown(house, scope, text).await?),
        false => Ok(found),
    }
}

/// The one person that is meant.
pub(super) async fn person(house: &House, who: &Who) -> Result<Found, Failure> {
    let scope = house.scope(who.org.as_deref()).await?;
    let mut found = everybody(house, scope, &who.user).await?;
    match found.len() {
        1 => Ok(found.remove(0)),
        count => {
            let each: Vec<String> = found
                .iter()
                .map(|found| format!("{} ({})", found.username, slugs(&found.memberships)))
                .collect();
            Err(Failure::usage(format!(
                "'{}' means {count} people; say --org, or a username: {}",
                who.user,
                each.join(", ")
            )))
        }
    }
}

/// The one membership that is meant.
///
/// # Errors
/// Nobody, or several; with the nearest name or the ones to choose from.
pub async fn member(house: &House, who: &Who) -> Result<(Found, FoundMembership), Failure> {
    let found = person(house, who).await?;
    let mut memberships = found.memberships.clone();
    match (&who.org, memberships.len()) {
        (Some(slug), _) => {
            let place = memberships
                .into_iter()
                .find(|place| place.organisation_slug == *slug);
            place
                .map(|place| (found, place))
                .ok_or_else(|| Failure::usage(format!("'{}' is no member of '{slug}'", who.user)))
        }
        (None, 1) => Ok((found, memberships.remove(0))),
        (None, 0) => Err(Failure::usage(format!(
            "'{}' is a member of no organisation; use 'gatewarden user join {} --org SLUG'",
            who.user, who.user
        ))),
        (None, _) => Err(Failure::usage(format!(
            "'{}' is a member of several organisations; say which with --org: {}",
            who.user,
            slugs(&memberships)
        ))),
    }
}

fn slugs(memberships: &[FoundMembership]) -> String {
    let slugs: Vec<&str> = memberships
        .iter()
        .map(|place| place.organisation_slug.as_str())
        .collect();
    slugs.join(", ")
}

async fn unknown(house: &House, scope: Scope, text: &str) -> Result<Failure, Failure> {
    let mut names: Vec<String> = Vec::new();
    let mut after: Option<MembershipId> = None;
    for _ in 0..MAX_PAGES {
        let page = list::list(&house.kernel.db, scope, after, list::MAX_PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.membership);
        names.extend(page.into_iter().map(|line| line.username));
    }
    Ok(Failure::usage(
        match kernel::config::nearest(text, names.iter().map(String::as_str)) {
            Some(near) => format!("there is no user '{text}'; did you mean '{near}'?"),
            None => format!("there is no user '{text}'"),
        },
    ))
}
