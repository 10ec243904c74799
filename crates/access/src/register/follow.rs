//! Following the news: everything once at the start, then whatever the events name.
//!
//! The place in the stream is taken *before* loading: what changes meanwhile is read again, which is harmless. A row that
//! is damaged must **never** keep the others from being loaded, nor hold the place in the stream.
//!
//! Where a snapshot is kept, a register begins with that and goes on behind it, if the database is still the one it was
//! made of; otherwise everything is loaded anew, and who is not there any more is forgotten.

mod policy;

use super::Register;
use super::load::{Loader, is_damage};
use super::snapshot::{Anchor, Keeper, Mark};
use crate::admit;
use crate::facts::PersonFacts;
use crate::lock;
use identity::known::MANY;
use identity::{MembershipId, PersonId};
use kernel::id::Uuid;
use kernel::{Error, Event, Kernel, Position, Time};
use policy::Parts;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::task::{JoinError, JoinSet};

/// People in one page of the first load.
const PAGE: usize = 2_000;
/// Memberships that news touched and nobody asked for yet; of more, everybody counts as touched.
const MAX_TOUCHED: usize = 100_000;
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

/// Nodes whose reports are told apart.
const MAX_REPORTERS: usize = 64;

impl Touched {
    fn reported(&mut self, event: &Event) {
        let node = event.detail.as_ref().and_then(|detail| detail.get("node"));
        if let Some(node) = node.and_then(serde_json::Value::as_str)
            && self.reporters.len() < MAX_REPORTERS
            && !self.reporters.iter().any(|known| known == node)
        {
            self.reporters.push(node.to_owned());
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
    /// The last event that is known.
    anchor: Option<Anchor>,
    stage: Stage,
    keeper: Option<Arc<Keeper>>,
    touched: Touched,
}

/// Whom the news was about: those who may have to be told.
#[derive(Debug, Default)]
pub struct Touched {
    /// Who was known before it, with each membership that he had then.
    pub members: Vec<(PersonId, MembershipId)>,
    /// Groups, plans or organisations changed.
    pub policy: bool,
    /// Sessions that somebody closed.
    pub closed: Vec<Uuid>,
    /// Nodes that have applied reports, each once.
    pub reporters: Vec<String>,
}

/// How far a follower is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing is known, or nothing that can be gone on from.
    Empty,
    /// A snapshot is known, and the database was not asked yet whether it can be gone on from.
    Restored,
    /// Everything is known up to a place.
    Following,
}

impl Follower {
    /// A follower of a register that was not loaded yet.
    pub fn new(kernel: Kernel, register: Arc<Register>) -> Self {
        Self {
            loader: Arc::new(Loader::new(kernel.clone(), register.clone(), None)),
            kernel,
            register,
            position: Position::default(),
            begun: None,
            anchor: None,
            stage: Stage::Empty,
            keeper: None,
            touched: Touched::default(),
        }
    }

    /// The same, with a snapshot that is kept.
    pub fn with_snapshot(mut self, keeper: Keeper) -> Self {
        let keeper = Arc::new(keeper);
        let (kernel, register) = (self.kernel.clone(), self.register.clone());
        self.loader = Arc::new(Loader::new(kernel, register, Some(keeper.clone())));
        self.keeper = Some(keeper);
        self
    }

    /// Begins with the snapshot; since when it may be older than the database. None where there is none that can be used.
    /// Takes as long as it takes to read, and asks no database.
    pub fn restore(&mut self) -> Option<Time> {
        let restored = self.keeper.as_ref()?.restore(&self.loader)?;
        let heard = restored.heard();
        self.position = restored.mark.position;
        self.anchor = restored.mark.anchor;
        self.register.restored(heard, self.position);
        self.stage = Stage::Restored;
        Some(heard)
    }

    /// Whether everything is known up to a place of this database: then [`Follower::catch_up`] is next, else
    /// [`Follower::load`].
    ///
    /// # Errors
    /// The database's.
    pub async fn is_following(&mut self) -> Result<bool, Error> {
        if self.stage == Stage::Restored {
            let is_known = match &self.anchor {
                None => false,
                Some(anchor) => {
                    let event = self.kernel.db.event_at(anchor.position).await?;
                    event.is_some_and(|event| Anchor::of(&event) == *anchor)
                }
            };
            self.stage = match is_known {
                true => Stage::Following,
                false => Stage::Empty,
            };
        }
        Ok(self.stage == Stage::Following)
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
        if let Some(keeper) = &self.keeper {
            keeper.begin();
        }
        // The news from here on may be read twice, which is harmless.
        let last = self.kernel.db.last_event_up_to(position).await?;
        let heard = self.kernel.now();
        self.reload_policy(Parts::ALL).await?;
        self.restore_locks().await?;
        self.register.begin_to_serve();
        let before = (!self.register.people.is_empty()).then(HashSet::new);
        if let Some(there) = self.load_everybody(before).await? {
            self.forget_others(&there);
        }
        self.position = position;
        self.anchor = last.as_ref().map(Anchor::of);
        self.stage = Stage::Following;
        if let Some(keeper) = &self.keeper {
            keeper.complete(self.mark(heard));
        }
        self.register.loaded(self.kernel.now(), position);
        Ok(())
    }

    fn mark(&self, heard: Time) -> Mark {
        Mark {
            position: self.position,
            anchor: self.anchor.clone(),
            heard_micros: heard.unix_micros(),
        }
    }

    /// Says that everything up to the place is known.
    fn followed(&self) {
        let now = self.kernel.now();
        if let Some(keeper) = &self.keeper {
            keeper.commit(self.mark(now));
        }
        self.register.followed(now, self.position);
    }

    /// Whoever was known before everybody was loaded anew, and is not there.
    fn forget_others(&self, there: &HashSet<PersonId>) {
        let mut gone = Vec::new();
        self.register.people.for_each(|person| {
            if !there.contains(&person.id) {
                gone.push(person.id);
            }
        });
        // Somebody who came while everybody was loaded is told of by the news.
        gone.iter().for_each(|id| self.register.people.remove(*id));
    }

    /// Everybody, a few pages beside each other, so that every core opens passwords: no more than those are in memory
    /// twice.
    async fn load_everybody(
        &self,
        mut there: Option<HashSet<PersonId>>,
    ) -> Result<Option<HashSet<PersonId>>, Error> {
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
            if let Some(there) = &mut there {
                there.extend(&ids);
            }
            let (loader, all) = (self.loader.clone(), all.clone());
            let page = async move { loader.load_page(after, &ids, &all).await };
            pages.spawn(page);
            after = Some(last);
        }
        while let Some(page) = pages.join_next().await {
            finished(Some(page))?;
        }
        Ok(there)
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
            self.followed();
            return Ok(0);
        };
        self.register.people.begin_news();
        if let Some(keeper) = &self.keeper {
            keeper.begin_news();
        }
        let mut parts = Parts::default();
        let mut people = Vec::new();
        self.touch_removed(&events);
        for event in &events {
            match event.kind.as_str() {
                identity::PERSON_CHANGED => people.push(Changed::Person(PersonId(event.subject))),
                identity::PERSON_REMOVED => self.loader.forget(PersonId(event.subject)),
                admit::RULES_CHANGED => people.push(Changed::rules(event)),
                lock::SET => self.lock(event),
                lock::LIFTED => self.lift(event),
                usage::SESSION_CLOSED => self.touched.closed.push(event.subject),
                usage::REPORTS_APPLIED => self.touched.reported(event),
                _ => parts.take(event),
            }
        }
        if parts.are_any() {
            self.reload_policy(parts).await?;
            self.touched.policy = true;
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
                Some(facts) => {
                    known.push(person);
                    self.touch(&facts);
                }
                None => new.push(person),
            }
        }
        for people in [known, new].iter().flat_map(|people| people.chunks(MANY)) {
            self.loader.reload_people(people).await?;
        }
        self.position = last.position;
        self.anchor = Some(Anchor::of(last));
        self.followed();
        Ok(events.len())
    }

    /// Whom the news was about since this was last asked.
    pub fn take_touched(&mut self) -> Touched {
        std::mem::take(&mut self.touched)
    }

    fn touch(&mut self, person: &PersonFacts) {
        if self.touched.members.len() < MAX_TOUCHED {
            let memberships = person.memberships.iter();
            self.touched
                .members
                .extend(memberships.map(|member| (person.id, member.id)));
        } else {
            self.touched.policy = true;
        }
    }

    /// Before they are forgotten.
    fn touch_removed(&mut self, events: &[Event]) {
        for event in events {
            if event.kind == identity::PERSON_REMOVED
                && let Some(person) = self.register.people.by_id(PersonId(event.subject))
            {
                self.touch(&person);
            }
        }
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
        if let Some(keeper) = &self.keeper {
            keeper.policy(&policy);
        }
        self.register.policy.store(Arc::new(policy));
        Ok(())
    }

    async fn restore_locks(&self) -> Result<(), Error> {
        let now = self.kernel.now();
        let locks = lock::active(&self.kernel.db, now).await?;
        let limiter = self.register.limiter();
        if let Some(keeper) = &self.keeper {
            keeper.locks(locks.iter().filter_map(lock::Lock::to_new));
        }
        for held in locks.iter().filter_map(lock::Lock::to_new) {
            limiter.restore(now, held);
        }
        Ok(())
    }

    /// A lock that another node, or this one, has stored.
    fn lock(&self, event: &Event) {
        if let Some(held) = event.detail.as_ref().and_then(lock::Lock::from_detail) {
            if let Some(keeper) = &self.keeper {
                keeper.locked(&held);
            }
            self.register.limiter().restore(self.kernel.now(), held);
        }
    }

    fn lift(&self, event: &Event) {
        if let Some(key) = event.detail.as_ref().and_then(lock::key_of_detail) {
            if let Some(keeper) = &self.keeper {
                keeper.lifted(key);
            }
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
