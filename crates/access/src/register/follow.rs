//! Following the news: everything once at the start, then whatever the events name.
//!
//! The place in the stream is taken *before* loading: what changes meanwhile is read again, which is harmless. A row that
//! is damaged must **never** keep the others from being loaded, nor hold the place in the stream.

mod policy;

use super::Register;
use super::load::{Loader, is_damage};
use crate::admit;
use crate::lock;
use identity::known::MANY;
use identity::{MembershipId, PersonId};
use kernel::{Error, Event, Kernel, Position};
use policy::Parts;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::task::{JoinError, JoinSet};

/// People in one page of the first load.
const PAGE: usize = 5_000;
/// Pages that are read at once: a few megabytes each, and connections are left for those who write.
const PAGES_AT_ONCE: usize = 4;

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

/// Who keeps a register right.
pub struct Follower {
    kernel: Kernel,
    register: Arc<Register>,
    loader: Arc<Loader>,
    position: Position,
    /// The place at the first try to load: what a later try does not find any more is told from there on.
    begun: Option<Position>,
}

impl Follower {
    /// A follower of a register that was not loaded yet.
    pub fn new(kernel: Kernel, register: Arc<Register>) -> Self {
        Self {
            loader: Arc::new(Loader::new(kernel.clone(), register.clone())),
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
        self.register.begin_to_serve();
        self.load_everybody().await?;
        self.position = position;
        self.register.loaded(self.kernel.now(), position);
        Ok(())
    }

    /// Everybody, a few pages beside each other, so that every core opens passwords: no more than those are in memory
    /// twice.
    async fn load_everybody(&self) -> Result<(), Error> {
        let all = Arc::new(self.loader.own_of_all().await?);
        let mut after: Option<PersonId> = None;
        let mut pages = JoinSet::new();
        loop {
            let ids = identity::known::ids(&self.kernel.db, after, PAGE).await?;
            let Some(last) = ids.last().copied() else {
                break;
            };
            if pages.len() >= PAGES_AT_ONCE {
                finished(pages.join_next().await)?;
            }
            let (loader, all) = (self.loader.clone(), all.clone());
            let page = async move { loader.load_page(after, &ids, &all).await };
            pages.spawn(page);
            after = Some(last);
        }
        while let Some(page) = pages.join_next().await {
            finished(Some(page))?;
        }
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
            self.register.followed(self.kernel.now(), self.position);
            return Ok(0);
        };
        self.register.people.begin_news();
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
        let holders = self.holders(&people).await?;
        for changed in people.into_iter().rev() {
            let person = match changed {
                Changed::Person(person) => person,
                // Nobody's any more: there is news of that too.
                Changed::Membership(membership) => match holders.get(&membership) {
                    Some(person) => *person,
                    None => continue,
                },
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
            self.loader.reload_people(people).await?;
        }
        self.position = last.position;
        self.register.followed(self.kernel.now(), self.position);
        Ok(events.len())
    }

    /// Who holds the memberships that news is about without saying whose they are.
    async fn holders(&self, changed: &[Changed]) -> Result<HashMap<MembershipId, PersonId>, Error> {
        let memberships: Vec<MembershipId> = changed
            .iter()
            .filter_map(|changed| match changed {
                Changed::Person(_) => None,
                Changed::Membership(membership) => Some(*membership),
            })
            .collect();
        let db = &self.kernel.db;
        match identity::known::holders(db, &memberships).await {
            Err(e) if is_damage(&e) => {}
            found => return found,
        }
        let mut holders = HashMap::new();
        for membership in memberships {
            match identity::known::holders(db, &[membership]).await {
                Ok(found) => holders.extend(found),
                Err(e) if is_damage(&e) => {
                    tracing::error!(%membership, "a membership cannot be read: {e}");
                }
                Err(e) => return Err(e),
            }
        }
        Ok(holders)
    }

    async fn reload_policy(&self, parts: Parts) -> Result<(), Error> {
        let old = self.register.policy.load_full();
        let policy = policy::load(&self.kernel, &old, parts).await?;
        self.register.policy.store(Arc::new(policy));
        Ok(())
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

/// What became of a page. One whose making failed is tried again with all the others.
fn finished(page: Option<Result<Result<(), Error>, JoinError>>) -> Result<(), Error> {
    match page {
        None => Ok(()),
        Some(Ok(done)) => done,
        Some(Err(e)) => Err(Error::Invalid(format!("a page of people: {e}"))),
    }
}

#[cfg(test)]
mod tests;
