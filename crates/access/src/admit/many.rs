//! Admitting as many people as an import has at a time: each table in one statement.
//!
//! A person who is just made has no rules and no group yet, so nothing is compared with what is stored. `person.changed`
//! is told of each, and whoever follows it asks for groups and rules too.

use super::{FIRST_PRIORITY, Member, Place, foreign, version};
use crate::group::Group;
use crate::rule::{self, Row, Rows, Side};
use identity::{Entry, Inserted, MembershipId, NewPerson, Organisation, PersonId};
use kernel::{Error, Kernel, OrganisationId, Tx};

kernel::many! {
    /// Places in groups.
    pub(crate) PLACES = group_member (id uuid, membership_id uuid, group_id uuid, priority int, created time);
}

/// Somebody who is about to be admitted.
pub struct Admission {
    entry: Entry,
    group: Option<crate::group::GroupId>,
    rows: Rows,
}

impl Admission {
    /// Checks everything that is given. Without a group they will be in none.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the field and the reason, or says that there are too many rules.
    pub fn new(
        kernel: &Kernel,
        organisation: &Organisation,
        new: NewPerson,
        group: Option<&Group>,
        rules: Vec<(Side, Row)>,
    ) -> Result<Self, Error> {
        if let Some(group) = group.filter(|group| group.organisation != organisation.id) {
            return Err(foreign(&group.name, organisation));
        }
        let mut rows = Rows::default();
        for (side, row) in rules {
            rows.put(side, row).map_err(Error::Invalid)?;
        }
        Ok(Self {
            entry: Entry::new(kernel, organisation, new)?,
            group: group.map(|group| group.id),
            rows,
        })
    }

    /// Who it will be.
    pub fn person(&self) -> PersonId {
        self.entry.person()
    }

    /// Their membership.
    pub fn membership(&self) -> MembershipId {
        self.entry.membership()
    }
}

/// Admits people to the organisation that their admissions were made for, in order.
///
/// # Errors
/// As [`identity::entry::insert_many`].
pub async fn admit_many(
    tx: &mut Tx,
    kernel: &Kernel,
    organisation: OrganisationId,
    admissions: Vec<Admission>,
) -> Result<Vec<Inserted>, Error> {
    let now = kernel.now();
    let mut entries = Vec::with_capacity(admissions.len());
    let (mut places, mut versions, mut owned) = (Vec::new(), Vec::new(), Vec::new());
    for admission in admissions {
        let membership = admission.membership();
        let person = Some(admission.person());
        if let Some(group) = admission.group {
            let id = kernel.new_uuid();
            let place = Place {
                group,
                priority: FIRST_PRIORITY,
            };
            let member = Member { membership, person };
            places.push(kernel::values![id, membership, group, FIRST_PRIORITY, now]);
            versions.push(version(kernel, organisation, member, place, id));
        }
        if !admission.rows.is_empty() {
            owned.push((membership, admission.person(), admission.rows));
        }
        entries.push(admission.entry);
    }
    let made = identity::entry::insert_many(tx, kernel, entries).await?;
    tx.insert_many(PLACES, places).await?;
    rule::insert_many(tx, kernel, organisation, &owned, &mut versions).await?;
    tx.begin_versions(now, &versions).await?;
    Ok(made)
}
