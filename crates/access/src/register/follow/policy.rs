//! The policy as the rows have it: read whole at the start, later the parts that news is about.

use crate::facts::{GroupCondition, GroupFacts, OrganisationFacts};
use crate::group::{self, GroupId};
use crate::nas;
use crate::nas_match::{NasEntry, NasIndex};
use crate::plan::{self, StoredPlan};
use crate::register::Policy;
use crate::register::load::compile;
use crate::rule::Compiler;
use foldhash::fast::RandomState;
use identity::{ORGANISATION_CHANGED, SETTING_CHANGED};
use kernel::{Error, Event, Kernel, OrganisationId};
use radius_wire::dictionary::Dictionary;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// Setting: whether members must be verified.
const NEEDS_VERIFICATION: &str = "needs_identity_verification";
/// Setting: the days a password lasts.
const PASSWORD_DAYS: &str = "password_expiration_days";

/// Setting: sessions of all of an organisation's people together, at most; 0 is as many as there are.
const MAX_SESSIONS: &str = "max_sessions";

/// Setting: whether a device that is online may go on at another access point by its address alone. OpenWISP's name.
const MAC_ROAMING: &str = "mac_addr_roaming_enabled";

/// Which parts of the policy are to be read again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Parts {
    nases: bool,
    groups: bool,
    organisations: bool,
}

impl Parts {
    /// Everything.
    pub(super) const ALL: Self = Self {
        nases: true,
        groups: true,
        organisations: true,
    };

    /// Adds what an event is about.
    pub(super) fn take(&mut self, event: &Event) {
        match event.kind.as_str() {
            nas::CHANGED | nas::REMOVED => self.nases = true,
            group::CHANGED | plan::CHANGED => self.groups = true,
            ORGANISATION_CHANGED => self.organisations = true,
            SETTING_CHANGED if decides(event) => self.organisations = true,
            _ => {}
        }
    }

    pub(super) fn are_any(self) -> bool {
        self != Self::default()
    }
}

/// Whether a setting that changed is one that decisions look at.
fn decides(event: &Event) -> bool {
    let name = event.detail.as_ref().and_then(|detail| detail.get("name"));
    name.and_then(Value::as_str).is_none_or(|name| {
        [NEEDS_VERIFICATION, PASSWORD_DAYS, MAX_SESSIONS, MAC_ROAMING].contains(&name)
    })
}

/// A policy with these parts as they are now and the others as they were.
///
/// # Errors
/// The database's, or that a key is missing from the ring.
pub(super) async fn load(kernel: &Kernel, old: &Policy, parts: Parts) -> Result<Policy, Error> {
    let nases = if parts.nases {
        let loaded = nas::load_all(kernel).await?.into_iter();
        loaded
            .map(|(nas, secrets)| Arc::new(NasEntry { nas, secrets }))
            .collect()
    } else {
        old.nases.entries().to_vec()
    };
    let (groups, plans) = if parts.groups {
        load_groups(kernel).await?
    } else {
        (old.groups.clone(), old.plans.clone())
    };
    Ok(Policy {
        nases: NasIndex::build(nases),
        groups,
        plans,
        organisations: if parts.organisations {
            load_organisations(kernel).await?
        } else {
            old.organisations.clone()
        },
    })
}

type Groups = HashMap<GroupId, Arc<GroupFacts>, RandomState>;

/// Groups, and the plans that they have.
async fn load_groups(kernel: &Kernel) -> Result<(Groups, Vec<StoredPlan>), Error> {
    let mut compiler = Compiler::new(Dictionary::builtin());
    let mut groups = HashMap::default();
    let stored = plan::load_all(&kernel.db).await?;
    let plans = plan::prepare(&stored);
    for (group, rows) in group::load_all(kernel).await? {
        let condition = group
            .condition
            .map(|text| GroupCondition::new(text, &group.name));
        let facts = GroupFacts {
            id: group.id,
            rules: compile(&mut compiler, &rows, &group.name),
            name: group.name,
            rows,
            plan: group.plan.and_then(|plan| plans.get(&plan).cloned()),
            condition,
        };
        groups.insert(facts.id, Arc::new(facts));
    }
    Ok((groups, stored))
}

async fn load_organisations(
    kernel: &Kernel,
) -> Result<HashMap<OrganisationId, Arc<OrganisationFacts>, RandomState>, Error> {
    let needs_verification = Setting::load(kernel, NEEDS_VERIFICATION).await?;
    let password_days = Setting::load(kernel, PASSWORD_DAYS).await?;
    let most_sessions = Setting::load(kernel, MAX_SESSIONS).await?;
    let roaming = Setting::load(kernel, MAC_ROAMING).await?;
    let mut organisations = HashMap::default();
    for organisation in identity::organisation::all(&kernel.db).await? {
        let id = organisation.id;
        let facts = OrganisationFacts {
            id,
            slug: organisation.slug.clone(),
            is_active: organisation.is_active,
            has_own_names: organisation.namespace == identity::Namespace::Own,
            needs_verification: needs_verification
                .of(id)
                .and_then(Value::as_bool)
                .unwrap_or(false),
            password_days: password_days
                .of(id)
                .and_then(Value::as_u64)
                .and_then(|days| u32::try_from(days).ok())
                .unwrap_or(0),
            zone: organisation.zone(),
            lets_devices_roam: roaming.of(id).and_then(Value::as_bool).unwrap_or(false),
            most_sessions: most_sessions
                .of(id)
                .and_then(Value::as_u64)
                .filter(|most| *most > 0),
        };
        organisations.insert(id, Arc::new(facts));
    }
    Ok(organisations)
}

/// The values of one setting.
struct Setting(HashMap<Option<OrganisationId>, Value>);

impl Setting {
    async fn load(kernel: &Kernel, name: &str) -> Result<Self, Error> {
        identity::setting::all_named(&kernel.db, name)
            .await
            .map(Self)
    }

    /// An organisation's own, else everybody's.
    fn of(&self, organisation: OrganisationId) -> Option<&Value> {
        self.0
            .get(&Some(organisation))
            .or_else(|| self.0.get(&None))
    }
}
