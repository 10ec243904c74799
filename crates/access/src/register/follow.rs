//! Feeding the Register: everything once at the start, then whatever the events name.
//!
//! The place in the stream is taken *before* loading: what changes meanwhile is read again, which is harmless. A row that
//! is damaged must **never** keep the others from being loaded, nor hold the place in the stream.

mod policy;

use super::Register;
use crate::admit::{self, MembershipRules};
use crate::facts::{MembershipFacts, PersonFacts, StoredFacts};
use crate::lock;
use crate::rule::{Compiler, Rows, RuleSet};
use identity::known::MANY;
use identity::{Known, MembershipId, PersonId};
use kernel::seal::SealError;
use kernel::{Error, Event, Kernel, Position};
use policy::Parts;
use radius_wire::dictionary::Dictionary;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// People in one page of the first load.
const PAGE: usize = 5_000;

/// Whose facts are to be read again.
enum Changed {
    Person(PersonId),
    /// Whoever holds it.
    Membership(MembershipId),
}

impl Changed {
    fn rules(event: &Event) -> Self {
        match event.detail.as_ref().and_then(admit::person_of_detail) {
            Some(person) => Changed::Person(person),
            None => Changed::Membership(MembershipId(event.subject)),
        }
    }
}

/// Whether it is what was read that is at fault, and not the engine or the ring: reading it again would not help.
fn is_damage(error: &Error) -> bool {
    match error {
        Error::Engine(e) => matches!(e, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)),
        Error::Seal(e) => matches!(e, SealError::Broken { .. }),
        Error::Invalid(_) => true,
        _ => false,
    }
}

/// Who keeps a register right.
pub struct Follower {
    kernel: Kernel,
    register: Arc<Register>,
    position: Position,
    /// The place at the first try to load: what a later try does not find any more is told from there on.
    begun: Option<Position>,
}

impl Follower {
    /// A follower of a register that was not loaded yet.
    pub fn new(kernel: Kernel, register: Arc<Register>) -> Self {
        Self {
            kernel,
            register,
            position: Position::default(),
            begun: None,
        }
    }

    /// Loads everything; the register is ready then.
    ///
    /// # Errors
    /// The database's; what was loaded stays and loading can be tried again.
    pub async fn load(&mut self) -> Result<(), Error> {
        let position = match self.begun {
            Some(begun) => begun,
            None => self.kernel.db.latest_position().await?,
        };
        self.begun = Some(position);
        self.reload_policy(Parts::ALL).await?;
        self.restore_locks().await?;
        let mut rules = HashMap::new();
        admit::load_rules(&self.kernel, |found| {
            rules.insert(found.membership, found);
        })
        .await?;
        let mut after: Option<PersonId> = None;
        loop {
            match identity::known::page(&self.kernel.db, after, PAGE).await {
                Ok(page) => {
                    let Some(last) = page.last() else { break };
                    after = Some(last.person);
                    self.put(page, &rules);
                }
                Err(e) if is_damage(&e) => {
                    let ids = identity::known::ids(&self.kernel.db, after, PAGE).await?;
                    let Some(last) = ids.last() else { break };
                    after = Some(*last);
                    for people in ids.chunks(MANY) {
                        self.reload_people(people).await?;
                    }
                }
                Err(e) => return Err(e),
            }
        }
        self.position = position;
        self.register.ready.store(true, Ordering::Release);
        Ok(())
    }

    /// Applies what has become true since; how many events that was. As many as [`kernel::event::BATCH`] means that more
    /// wait: call again at once, without a pause, until there are fewer.
    ///
    /// Locks and policy come first, then people who are known already, the latest news first, then those who are new: who
    /// was shut out does not wait behind an import.
    ///
    /// # Errors
    /// The database's, or that a key is missing from the ring; the same events are read again then.
    pub async fn catch_up(&mut self) -> Result<usize, Error> {
        let events = self.kernel.db.events_after(self.position).await?;
        let Some(last) = events.last() else {
            return Ok(0);
        };
        let mut parts = Parts::default();
        let mut people = Vec::new();
        for event in &events {
            match event.kind.as_str() {
                identity::PERSON_CHANGED => people.push(Changed::Person(PersonId(event.subject))),
                identity::PERSON_REMOVED => self.register.people.remove(PersonId(event.subject)),
                admit::RULES_CHANGED => people.push(Changed::rules(event)),
                lock::SET => self.lock(event),
                lock::LIFTED => self.lift(event),
                _ => parts.take(event),
            }
        }
        if parts.are_any() {
            self.reload_policy(parts).await?;
        }
        let mut seen = HashSet::new();
        let (mut known, mut new) = (Vec::new(), Vec::new());
        for changed in people.into_iter().rev() {
            let Some(person) = self.holder(changed).await? else {
                continue;
            };
            if !seen.insert(person) {
                continue;
            }
            match self.register.people.by_id(person) {
                Some(_) => known.push(person),
                None => new.push(person),
            }
        }
        for people in [known, new].iter().flat_map(|people| people.chunks(MANY)) {
            self.reload_people(people).await?;
        }
        self.position = last.position;
        Ok(events.len())
    }

    async fn holder(&self, changed: Changed) -> Result<Option<PersonId>, Error> {
        let membership = match changed {
            Changed::Person(person) => return Ok(Some(person)),
            Changed::Membership(membership) => membership,
        };
        if let Some(person) = self.register.people.holder_of(membership) {
            return Ok(Some(person));
        }
        // News without a person, of somebody who is not known here.
        match identity::membership::by_id(&self.kernel.db, membership).await {
            Ok(known) => Ok(known.map(|known| known.person)),
            Err(e) if is_damage(&e) => {
                tracing::error!(%membership, "a membership cannot be read: {e}");
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    async fn reload_policy(&self, parts: Parts) -> Result<(), Error> {
        let old = self.register.policy.load_full();
        let policy = policy::load(&self.kernel, &old, parts).await?;
        self.register.policy.store(Arc::new(policy));
        Ok(())
    }

    /// Reads people again. Who cannot be read because of a damaged row is found by halves, logged and forgotten: the
    /// others must not wait for him, and what was known of him may be wrong by now.
    async fn reload_people(&self, ids: &[PersonId]) -> Result<(), Error> {
        // Each step takes a part off and puts back smaller ones, so this ends.
        let mut parts = vec![ids];
        while let Some(part) = parts.pop() {
            match (self.load_people(part).await, part) {
                (Err(e), [person]) if is_damage(&e) => {
                    tracing::error!(%person, "a person is left out: {e}");
                    self.register.people.remove(*person);
                }
                (Err(e), _) if is_damage(&e) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                (done, _) => done?,
            }
        }
        Ok(())
    }

    async fn load_people(&self, ids: &[PersonId]) -> Result<(), Error> {
        let found = identity::known::many(&self.kernel.db, ids).await?;
        let memberships: Vec<MembershipId> = found
            .iter()
            .flat_map(|known| known.memberships.iter().map(|membership| membership.id))
            .collect();
        let rules = admit::rules_of_many(&self.kernel, &memberships).await?;
        let there: HashSet<PersonId> = found.iter().map(|known| known.person).collect();
        for gone in ids.iter().filter(|id| !there.contains(id)) {
            self.register.people.remove(*gone);
        }
        self.put(found, &rules);
        Ok(())
    }

    fn put(&self, found: Vec<Known>, rules: &HashMap<MembershipId, MembershipRules>) {
        let mut compiler = Compiler::new(Dictionary::builtin());
        for known in found {
            let facts = self.person(known, rules, &mut compiler);
            self.register.people.put(facts);
        }
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
        let limiter = self.register.limiter();
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

#[cfg(test)]
mod tests;
