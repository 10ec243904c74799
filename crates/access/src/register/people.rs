//! People in memory: found by name, held by id, in shards behind small locks.

use crate::facts::PersonFacts;
use identity::{Kind, MembershipId, PersonId};
use kernel::OrganisationId;
use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock};

/// Shards: enough that threads of a large machine seldom meet at one.
const SHARDS: usize = 64;

/// A name in its realm.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Name {
    realm: Option<OrganisationId>,
    kind: Kind,
    folded: String,
}

#[derive(Default)]
struct Shard {
    names: HashMap<Name, PersonId>,
    people: HashMap<PersonId, Arc<PersonFacts>>,
    holders: HashMap<MembershipId, PersonId>,
}

/// Everybody.
pub struct People {
    shards: Vec<RwLock<Shard>>,
}

impl Default for People {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
        }
    }
}

impl People {
    /// The person with a name.
    pub fn find(
        &self,
        realm: Option<OrganisationId>,
        kind: Kind,
        folded: &str,
    ) -> Option<Arc<PersonFacts>> {
        let name = Name {
            realm,
            kind,
            folded: folded.to_owned(),
        };
        let id = *read(self.shard(&name)).names.get(&name)?;
        self.by_id(id)
    }

    /// The person with an id.
    pub fn by_id(&self, id: PersonId) -> Option<Arc<PersonFacts>> {
        read(self.shard(&id)).people.get(&id).cloned()
    }

    /// Takes a person in, in place of what was known of him.
    pub fn put(&self, person: PersonFacts) {
        let person = Arc::new(person);
        let old = write(self.shard(&person.id))
            .people
            .insert(person.id, person.clone());
        for name in names(&person) {
            write(self.shard(&name)).names.insert(name, person.id);
        }
        for member in &person.memberships {
            write(self.shard(&member.id))
                .holders
                .insert(member.id, person.id);
        }
        if let Some(old) = old {
            let still: Vec<Name> = names(&person).collect();
            self.drop_names(&old, &still);
            let is_left = |id| person.memberships.iter().all(|member| member.id != id);
            self.drop_memberships(&old, is_left);
        }
    }

    /// Forgets a person.
    pub fn remove(&self, id: PersonId) {
        let old = write(self.shard(&id)).people.remove(&id);
        if let Some(old) = old {
            self.drop_names(&old, &[]);
            self.drop_memberships(&old, |_| true);
        }
    }

    /// How many people are held.
    pub fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| read(shard).people.len())
            .sum()
    }

    /// Whether nobody is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id of whoever holds a membership.
    pub fn holder_of(&self, membership: MembershipId) -> Option<PersonId> {
        read(self.shard(&membership))
            .holders
            .get(&membership)
            .copied()
    }

    fn drop_memberships(&self, old: &PersonFacts, is_left: impl Fn(MembershipId) -> bool) {
        for member in old.memberships.iter().filter(|member| is_left(member.id)) {
            write(self.shard(&member.id)).holders.remove(&member.id);
        }
    }

    fn drop_names(&self, old: &PersonFacts, still: &[Name]) {
        for name in names(old).filter(|name| !still.contains(name)) {
            let mut shard = write(self.shard(&name));
            // The name may have gone to somebody else meanwhile.
            if let Entry::Occupied(entry) = shard.names.entry(name)
                && *entry.get() == old.id
            {
                entry.remove();
            }
        }
    }

    fn shard<K: Hash>(&self, key: &K) -> &RwLock<Shard> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        &self.shards[(hasher.finish() % SHARDS as u64) as usize]
    }
}

fn names(person: &PersonFacts) -> impl Iterator<Item = Name> + '_ {
    person.identifiers.iter().map(|(realm, kind, folded)| Name {
        realm: *realm,
        kind: *kind,
        folded: folded.clone(),
    })
}

fn read(shard: &RwLock<Shard>) -> std::sync::RwLockReadGuard<'_, Shard> {
    shard.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(shard: &RwLock<Shard>) -> std::sync::RwLockWriteGuard<'_, Shard> {
    shard.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{MembershipFacts, StoredFacts};
    use crate::rule::RuleSet;
    use kernel::id::Uuid;

    fn person(id: u128, names: &[&str]) -> PersonFacts {
        PersonFacts {
            id: PersonId(Uuid::from_u128(id)),
            is_active: true,
            username: names.first().copied().unwrap_or_default().to_owned(),
            identifiers: names
                .iter()
                .map(|name| (None, Kind::Username, (*name).to_owned()))
                .collect(),
            stored: StoredFacts::Nothing,
            memberships: Vec::new(),
        }
    }

    fn found(people: &People, name: &str) -> Option<u128> {
        people
            .find(None, Kind::Username, name)
            .map(|person| person.id.0.as_u128())
    }

    #[test]
    fn a_renamed_person_is_found_by_the_new_name_only() {
        let people = People::default();
        people.put(person(1, &["alice", "ali"]));
        people.put(person(1, &["alicia", "ali"]));
        assert_eq!(found(&people, "alice"), None);
        assert_eq!(found(&people, "alicia"), Some(1));
        assert_eq!(found(&people, "ali"), Some(1));
    }

    fn member(id: u128) -> MembershipFacts {
        MembershipFacts {
            id: MembershipId(Uuid::from_u128(id)),
            organisation: OrganisationId(Uuid::from_u128(9)),
            is_enabled: true,
            expires: None,
            is_verified: true,
            password_updated: None,
            rules: RuleSet::default(),
            groups: Vec::new(),
        }
    }

    #[test]
    fn a_membership_leads_to_its_holder_until_it_is_left() {
        let people = People::default();
        let put = |memberships: &[u128]| {
            people.put(PersonFacts {
                memberships: memberships.iter().copied().map(member).collect(),
                ..person(1, &["alice"])
            });
        };
        let held = |membership| {
            let holder = people.holder_of(MembershipId(Uuid::from_u128(membership)));
            holder.map(|person| person.0.as_u128())
        };
        put(&[10, 11]);
        assert_eq!((held(10), held(11), held(12)), (Some(1), Some(1), None));
        put(&[11, 12]);
        assert_eq!((held(10), held(11), held(12)), (None, Some(1), Some(1)));
        people.remove(PersonId(Uuid::from_u128(1)));
        assert_eq!((held(10), held(11), held(12)), (None, None, None));
        let left: usize = people
            .shards
            .iter()
            .map(|shard| read(shard).holders.len())
            .sum();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_name_that_went_to_somebody_else_stays_there() {
        let people = People::default();
        people.put(person(1, &["alice"]));
        people.put(person(2, &["alice"]));
        people.remove(PersonId(Uuid::from_u128(1)));
        assert_eq!(found(&people, "alice"), Some(2));
        assert_eq!(people.len(), 1);
    }
}
