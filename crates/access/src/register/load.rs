//! Making people of rows: passwords opened, rules compiled, and what many have alike shared between them.
//!
//! A person that is damaged must **never** keep others from being loaded.

use super::Register;
use super::names::Names;
use super::snapshot::{Keeper, SavedPerson};
use crate::admit::{self, MembershipRules};
use crate::facts::{MembershipFacts, PersonFacts, Standing, StoredFacts};
use crate::group::GroupId;
use crate::rule::{Compiler, Rows, RuleSet};
use identity::known::MANY;
use identity::{Known, MembershipId, PersonId};
use kernel::seal::SealError;
use kernel::{Error, Kernel};
use radius_wire::dictionary::Dictionary;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Lists of groups that are shared. More than sites have; beyond, people get lists of their own for a while.
const MAX_SHARED: usize = 4_096;

/// What access knows of one membership, ready for decisions.
#[derive(Clone)]
pub(super) struct Own {
    standing: Arc<Standing>,
    /// What the rules were made of, where there are some and a snapshot wants them.
    rows: Option<Arc<Rows>>,
}

/// What access knows of every membership, for a first load: most have alike what few lists tell. In the order of the
/// memberships' ids, which takes half of what a hash table would.
#[derive(Default)]
pub(super) struct OwnOfAll {
    memberships: Vec<MembershipId>,
    /// Of each, its place among the lists.
    places: Vec<u32>,
    lists: Vec<Own>,
    /// Lists of those who have no rules of their own, by their groups.
    plain: HashMap<Box<[GroupId]>, u32>,
}

impl OwnOfAll {
    /// Takes one that comes after those before.
    fn put(&mut self, membership: MembershipId, own: Own) {
        let number = u32::try_from(self.lists.len()).unwrap_or(u32::MAX);
        let Standing { rules, groups } = &*own.standing;
        let place = match self.plain.get(groups) {
            _ if !rules.is_empty() => number,
            Some(place) => *place,
            None => {
                self.plain.insert(groups.clone(), number);
                number
            }
        };
        if place == number {
            self.lists.push(own);
        }
        debug_assert!(
            self.memberships
                .last()
                .is_none_or(|last| *last < membership)
        );
        self.memberships.push(membership);
        self.places.push(place);
    }

    pub(super) fn get(&self, membership: MembershipId) -> Option<&Own> {
        let at = self.memberships.binary_search(&membership).ok()?;
        self.lists.get(*self.places.get(at)? as usize)
    }
}

/// Whether it is what was read that is at fault, and not the engine or the ring: reading it again would not help.
pub(super) fn is_damage(error: &Error) -> bool {
    match error {
        Error::Engine(e) => matches!(e, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)),
        Error::Seal(e) => matches!(e, SealError::Broken { .. }),
        Error::Invalid(_) => true,
        _ => false,
    }
}

/// Who makes people of rows and puts them into a register.
pub(super) struct Loader {
    pub(super) kernel: Kernel,
    pub(super) register: Arc<Register>,
    /// Whom everything that is read is told, for the snapshot.
    pub(super) keeper: Option<Arc<Keeper>>,
    /// Of those who have no rules of their own, by their groups.
    plain: Mutex<HashMap<Box<[GroupId]>, Arc<Standing>>>,
}

impl Loader {
    pub(super) fn new(
        kernel: Kernel,
        register: Arc<Register>,
        keeper: Option<Arc<Keeper>>,
    ) -> Self {
        Self {
            kernel,
            register,
            keeper,
            plain: Mutex::default(),
        }
    }

    /// Reads people again. Who cannot be read because of a damaged row is found by halves, logged and forgotten: the
    /// others must not wait for him, and what was known of him may be wrong by now.
    pub(super) async fn reload_people(&self, ids: &[PersonId]) -> Result<(), Error> {
        // Each step takes a part off and puts back smaller ones, so this ends.
        let mut parts = vec![ids];
        while let Some(part) = parts.pop() {
            match (self.load_people(part).await, part) {
                (Err(e), [person]) if is_damage(&e) => {
                    tracing::error!(%person, "a person is left out: {e}");
                    self.forget(*person);
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
        let found = self.read(ids).await?;
        let there: HashSet<PersonId> = found.iter().map(|person| person.id).collect();
        for gone in ids.iter().filter(|id| !there.contains(id)) {
            self.forget(*gone);
        }
        for person in found {
            self.register.people.put(person);
        }
        Ok(())
    }

    /// Somebody is not there any more.
    pub(super) fn forget(&self, person: PersonId) {
        self.register.people.remove(person);
        if let Some(keeper) = &self.keeper {
            keeper.gone(person);
        }
    }

    /// Those of these people who are there, as they are now.
    pub(super) async fn read(&self, ids: &[PersonId]) -> Result<Vec<PersonFacts>, Error> {
        let found = identity::known::many(&self.kernel.db, ids).await?;
        let memberships: Vec<MembershipId> = found
            .iter()
            .flat_map(|known| known.memberships.iter().map(|membership| membership.id))
            .collect();
        let rules = admit::rules_of_many(&self.kernel, &memberships).await?;
        let groups: HashMap<MembershipId, Vec<GroupId>> = rules
            .iter()
            .map(|(membership, rules)| (*membership, groups_of(rules)))
            .collect();
        self.keep(&found, |membership| {
            let rows = rules.get(&membership).map(|rules| &rules.rows);
            Some((groups.get(&membership)?.as_slice(), rows))
        });
        let mut compiler = Compiler::new(Dictionary::builtin());
        let mut own = |membership, whose: &str| {
            let (rules, groups) = (rules.get(&membership)?, groups.get(&membership)?);
            Some(self.own(&mut compiler, groups, &rules.rows, whose))
        };
        Ok(found
            .into_iter()
            .map(|known| self.person(known, &mut own))
            .collect())
    }

    /// Tells the keeper of a snapshot what was read.
    fn keep<'r>(
        &self,
        found: &[Known],
        own: impl Fn(MembershipId) -> Option<(&'r [GroupId], Option<&'r Rows>)>,
    ) {
        if let Some(keeper) = &self.keeper {
            let saved = found.iter().map(|known| SavedPerson::of(known, &own));
            keeper.people(saved.collect());
        }
    }

    /// What access knows of every membership.
    pub(super) async fn own_of_all(&self) -> Result<OwnOfAll, Error> {
        let mut compiler = Compiler::new(Dictionary::builtin());
        let mut all = OwnOfAll::default();
        admit::load_rules(&self.kernel, |rules| {
            let whose = rules.membership;
            let mut own = self.own(&mut compiler, &groups_of(&rules), &rules.rows, whose);
            let is_wanted = self.keeper.is_some() && !rules.rows.is_empty();
            own.rows = is_wanted.then(|| Arc::new(rules.rows));
            all.put(whose, own);
        })
        .await?;
        Ok(all)
    }

    /// Reads a page of people and puts it in; one by one where somebody in it is damaged.
    pub(super) async fn load_page(
        &self,
        after: Option<PersonId>,
        ids: &[PersonId],
        all: &OwnOfAll,
    ) -> Result<(), Error> {
        let Some(last) = ids.last() else {
            return Ok(());
        };
        match identity::known::between(&self.kernel.db, after, *last).await {
            Ok(found) => self.put(found, all),
            Err(e) if is_damage(&e) => {
                for people in ids.chunks(MANY) {
                    self.reload_people(people).await?;
                }
            }
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn put(&self, found: Vec<Known>, all: &OwnOfAll) {
        self.keep(&found, |membership| {
            let own = all.get(membership)?;
            Some((&*own.standing.groups, own.rows.as_deref()))
        });
        for known in found {
            let person = self.person(known, |membership, _: &str| all.get(membership).cloned());
            self.register.people.put(person);
        }
    }

    pub(super) fn own(
        &self,
        compiler: &mut Compiler<'_>,
        groups: &[GroupId],
        rows: &Rows,
        whose: impl std::fmt::Display,
    ) -> Own {
        let standing = if rows.is_empty() {
            self.plain(groups)
        } else {
            Arc::new(Standing {
                rules: compile(compiler, rows, whose),
                groups: groups.into(),
            })
        };
        Own {
            standing,
            rows: None,
        }
    }

    fn plain(&self, groups: &[GroupId]) -> Arc<Standing> {
        let mut shared = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shared.get(groups) {
            return known.clone();
        }
        if shared.len() >= MAX_SHARED {
            shared.clear();
        }
        let standing = Arc::new(Standing {
            rules: RuleSet::default(),
            groups: groups.into(),
        });
        shared.insert(groups.into(), standing.clone());
        standing
    }

    pub(super) fn person(
        &self,
        known: Known,
        mut own: impl FnMut(MembershipId, &str) -> Option<Own>,
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
            .iter()
            .map(|membership| {
                let own = own(membership.id, &known.username);
                MembershipFacts {
                    standing: own.map_or_else(|| self.plain(&[]), |own| own.standing),
                    id: membership.id,
                    organisation: membership.organisation,
                    is_enabled: membership.is_enabled,
                    expires: membership.expires,
                    is_verified: membership.is_verified,
                    since_seconds: MembershipFacts::since_seconds(membership.created),
                    password_updated: known.password_updated,
                }
            })
            .collect();
        PersonFacts {
            id: known.person,
            is_active: known.is_active,
            names: Names::new(&known.username, &known.identifiers),
            stored,
            memberships,
        }
    }
}

fn groups_of(rules: &MembershipRules) -> Vec<GroupId> {
    rules.groups.iter().map(|place| place.group).collect()
}

/// Compiles an owner's rows; those that make no sense are logged.
pub(super) fn compile(
    compiler: &mut Compiler<'_>,
    rows: &Rows,
    whose: impl std::fmt::Display,
) -> RuleSet {
    let (rules, faults) = compiler.compile(rows);
    for fault in faults {
        tracing::warn!(%whose, "a row makes no sense and is not applied: {fault}");
    }
    rules
}
