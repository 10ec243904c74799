//! Feeding the Register: everything once at the start, then whatever the events name.
//!
//! The place in the stream is taken *before* loading: what changes meanwhile is read again, which is harmless.

use super::{Policy, Register};
use crate::facts::{GroupFacts, MembershipFacts, OrganisationFacts, PersonFacts, StoredFacts};
use crate::admit::MembershipRules;
use crate::group;
use crate::nas_match::{NasEntry, NasIndex};
use crate::rule::{Compiler, Rows, RuleSet};
use crate::{admit, lock, nas};
use identity::{Known, MembershipId, PersonId};
use kernel::{Error, Event, Kernel, Position};
use radius_wire::dictionary::Dictionary;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// People in one page of the first load.
const PAGE: usize = 5_000;

/// Who keeps a register right.
pub struct Follower {
    kernel: Kernel,
    register: Arc<Register>,
    position: Position,
}

impl Follower {
    /// A follower of a register that was not loaded yet.
    pub fn new(kernel: Kernel, register: Arc<Register>) -> Self {
        Self {
            kernel,
            register,
            position: Position::default(),
        }
    }

    /// Loads everything; the register is ready then.
    ///
    /// # Errors
    /// The database's; what was loaded stays and loading can be tried again.
    pub async fn load(&mut self) -> Result<(), Error> {
        let position = self.kernel.db.latest_position().await?;
        self.reload_policy().await?;
        self.restore_locks().await?;
        let mut rules = HashMap::new();
        admit::load_rules(&self.kernel, |found| {
            rules.insert(found.membership, found);
        })
        .await?;
        let mut compiler = Compiler::new(Dictionary::builtin());
        let mut after: Option<PersonId> = None;
        loop {
            let page = identity::known::page(&self.kernel.db, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.person);
            for known in page {
                let facts = self.person(known, &rules, &mut compiler);
                self.register.people.put(facts);
            }
        }
        self.position = position;
        self.register.ready.store(true, Ordering::Release);
        Ok(())
    }

    /// Applies what has become true since; how many events that was.
    ///
    /// # Errors
    /// The database's; the same events are read again then.
    pub async fn catch_up(&mut self) -> Result<usize, Error> {
        let events = self.kernel.db.events_after(self.position).await?;
        let Some(last) = events.last() else {
            return Ok(0);
        };
        let position = last.position;
        let mut policy_changed = false;
        let mut people = BTreeSet::new();
        for event in &events {
            match event.kind.as_str() {
                nas::CHANGED
                | nas::REMOVED
                | group::CHANGED
                | identity::ORGANISATION_CHANGED
                | identity::SETTING_CHANGED => policy_changed = true,
                identity::PERSON_CHANGED => {
                    people.insert(PersonId(event.subject));
                }
                identity::PERSON_REMOVED => {
                    people.remove(&PersonId(event.subject));
                    self.register.people.remove(PersonId(event.subject));
                }
                admit::RULES_CHANGED => {
                    people.extend(self.holder(event).await?);
                }
                lock::SET => self.lock(event),
                lock::LIFTED => self.lift(event),
                _ => {}
            }
        }
        if policy_changed {
            self.reload_policy().await?;
        }
        for person in people {
            self.reload_person(person).await?;
        }
        self.position = position;
        Ok(events.len())
    }

    async fn holder(&self, event: &Event) -> Result<Option<PersonId>, Error> {
        let membership = MembershipId(event.subject);
        if let Some(person) = self.register.people.holder_of(membership) {
            return Ok(Some(person));
        }
        let known = identity::known::by_membership(&self.kernel.db, membership).await?;
        Ok(known.map(|known| known.person))
    }

    async fn reload_policy(&self) -> Result<(), Error> {
        let kernel = &self.kernel;
        let mut compiler = Compiler::new(Dictionary::builtin());
        let nases = nas::load_all(kernel)
            .await?
            .into_iter()
            .map(|(nas, secrets)| Arc::new(NasEntry { nas, secrets }))
            .collect();
        let mut groups = HashMap::new();
        for (group, rows) in group::load_all(kernel).await? {
            let facts = GroupFacts {
                id: group.id,
                rules: compile(&mut compiler, &rows, &group.name),
                name: group.name,
            };
            groups.insert(facts.id, Arc::new(facts));
        }
        let mut organisations = HashMap::new();
        for organisation in identity::organisation::all(&kernel.db).await? {
            let id = organisation.id;
            let setting = async |name| identity::setting::get(&kernel.db, Some(id), name).await;
            let needs_verification = setting("needs_identity_verification")
                .await?
                .and_then(|value| value.as_bool())
                .unwrap_or(false);
            let password_days = setting("password_expiration_days")
                .await?
                .and_then(|value| value.as_u64())
                .and_then(|days| u32::try_from(days).ok())
                .unwrap_or(0);
            let facts = OrganisationFacts {
                id,
                slug: organisation.slug.clone(),
                is_active: organisation.is_active,
                has_own_names: organisation.namespace == identity::Namespace::Own,
                needs_verification,
                password_days,
                zone: organisation.zone(),
            };
            organisations.insert(id, Arc::new(facts));
        }
        self.register.policy.store(Arc::new(Policy {
            nases: NasIndex::build(nases),
            groups,
            organisations,
        }));
        Ok(())
    }

    async fn reload_person(&self, id: PersonId) -> Result<(), Error> {
        let Some(known) = identity::known::one(&self.kernel.db, id).await? else {
            self.register.people.remove(id);
            return Ok(());
        };
        let mut rules = HashMap::new();
        for membership in &known.memberships {
            rules.insert(membership.id, admit::rules_of(&self.kernel, membership.id).await?);
        }
        let mut compiler = Compiler::new(Dictionary::builtin());
        let facts = self.person(known, &rules, &mut compiler);
        self.register.people.put(facts);
        Ok(())
    }

    fn person(
        &self,
        known: Known,
        rules: &HashMap<MembershipId, MembershipRules>,
        compiler: &mut Compiler<'_>,
    ) -> PersonFacts {
        let stored = match &known.stored {
            None => StoredFacts::Nothing,
            Some(credential) => match identity::password::open(&self.kernel.keys, credential) {
                Ok(stored) => StoredFacts::Password(stored),
                Err(e) => {
                    tracing::error!(person = %known.person, "a stored password cannot be used: {e}");
                    StoredFacts::Unreadable
                }
            },
        };
        let memberships = known
            .memberships
            .into_iter()
            .map(|membership| {
                let rules = rules.get(&membership.id);
                MembershipFacts {
                    rules: rules.map_or_else(RuleSet::default, |rules| {
                        compile(compiler, &rules.rows, &known.username)
                    }),
                    groups: rules.map_or_else(Vec::new, |rules| {
                        rules.groups.iter().map(|place| place.group).collect()
                    }),
                    id: membership.id,
                    organisation: membership.organisation,
                    is_enabled: membership.is_enabled,
                    expires: membership.expires,
                    is_verified: membership.is_verified,
                    password_updated: known.password_updated,
                }
            })
            .collect();
        PersonFacts {
            id: known.person,
            is_active: known.is_active,
            username: known.username,
            identifiers: known.identifiers,
            stored,
            memberships,
        }
    }

    async fn restore_locks(&self) -> Result<(), Error> {
        let now = self.kernel.now();
        let locks = lock::active(&self.kernel.db, now).await?;
        let mut limiter = self.register.limiter();
        for held in locks.iter().filter_map(lock::Lock::to_new) {
            limiter.restore(now, held);
        }
        Ok(())
    }

    /// A lock that another node, or this one, has stored.
    fn lock(&self, event: &Event) {
        if let Some(held) = event.detail.as_ref().and_then(lock::Lock::from_detail) {
            self.register.limiter().restore(self.kernel.now(), held);
        }
    }

    fn lift(&self, event: &Event) {
        if let Some(key) = event.detail.as_ref().and_then(lock::key_of_detail) {
            self.register.limiter().unlock(key);
        }
    }
}

fn compile(compiler: &mut Compiler<'_>, rows: &Rows, whose: &str) -> RuleSet {
    let (rules, faults) = compiler.compile(rows);
    for fault in faults {
        tracing::warn!(whose, "a row makes no sense and is not applied: {fault}");
    }
    rules
}
