//! What the room of access is asked for: groups, and putting people into them.

use access::admit::{self, Place};
use access::group::{self, Group};
use identity::{MembershipId, Organisation};
use kernel::{Error, Kernel, Scope};
use std::collections::BTreeMap;

/// An organisation's groups by their full names.
pub(super) async fn groups(
    kernel: &Kernel,
    organisation: &Organisation,
) -> Result<BTreeMap<String, Group>, Error> {
    let groups = group::list(kernel, Scope::Organisation(organisation.id)).await?;
    Ok(groups
        .into_iter()
        .map(|(group, _)| (group.name.clone(), group))
        .collect())
}

/// Puts a member into exactly one group.
pub(super) async fn set_group(
    kernel: &Kernel,
    organisation: &Organisation,
    membership: MembershipId,
    group: &Group,
) -> Result<(), Error> {
    let place = Place {
        group: group.id,
        priority: admit::FIRST_PRIORITY,
    };
    admit::set_groups(kernel, organisation, membership, &[place])
        .await
        .map(|_| ())
}

/// Whether a member is in any group.
pub(super) async fn has_group(kernel: &Kernel, membership: MembershipId) -> Result<bool, Error> {
    Ok(!admit::groups_of(&kernel.db, membership).await?.is_empty())
}
