//! People in memory: found by name, held by id, in shards behind small locks.
//!
//! A person lies here once. The table of ids and the table of names lead to the same allocation and compare with what is
//! in it, so no key is kept a second time. Finding somebody takes one lock of a shard for reading, and no allocation. A
//! person who was read while something changed must **never** take the place of what was read after the change: see
//! [`People::put_unless_changed`].

use super::names::Name;
use crate::facts::PersonFacts;
use foldhash::quality::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use identity::{Kind, PersonId};
use kernel::OrganisationId;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Shards: enough that threads of a large machine seldom meet at one. With a million people, tables of so many shards
/// are three quarters full, and not just doubled.
const SHARDS: u64 = 80;

#[derive(Default)]
struct Shard {
    people: HashTable<Arc<PersonFacts>>,
    names: HashTable<Named>,
}

/// A person under one of his names.
struct Named {
    /// Of the name: two people seldom share it, and the table grows without reading names.
    hash: u64,
    person: Arc<PersonFacts>,
}

/// How often news has changed people: see [`People::put_unless_changed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Generation(u64);

/// Everybody.
pub struct People {
    shards: Box<[RwLock<Shard>]>,
    /// Seeded for each process: nobody outside can choose names that share a place.
    hashing: RandomState,
    /// One writes at a time, so that the tables agree.
    writing: Mutex<Generation>,
}

impl Default for People {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            hashing: RandomState::default(),
            writing: Mutex::default(),
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
            folded,
        };
        let hash = self.hash_of_name(name);
        read(self.shard(hash))
            .names
            .find(hash, |known| known.is(hash, name))
            .map(|known| known.person.clone())
    }

    /// The person with an id.
    pub fn by_id(&self, id: PersonId) -> Option<Arc<PersonFacts>> {
        let hash = self.hash_of_id(id);
        read(self.shard(hash))
            .people
            .find(hash, |known| known.id == id)
            .cloned()
    }

    /// Takes a person in, in place of what was known of him.
    pub fn put(&self, person: PersonFacts) {
        let _writing = self.writing();
        self.put_in(person);
    }

    /// Takes a person in who was read at a generation; whether he was. He is not when news was applied since: it may be
    /// about him, and newer than what was read.
    pub fn put_unless_changed(&self, read_at: Generation, person: PersonFacts) -> bool {
        let writing = self.writing();
        let is_current = *writing == read_at;
        if is_current {
            self.put_in(person);
        }
        is_current
    }

    /// The generation to remember before somebody is read.
    pub fn generation(&self) -> Generation {
        *self.writing()
    }

    /// To be called before news about people is read and applied.
    pub fn begin_news(&self) {
        let mut writing = self.writing();
        writing.0 = writing.0.wrapping_add(1);
    }

    /// Forgets a person.
    pub fn remove(&self, id: PersonId) {
        let _writing = self.writing();
        let hash = self.hash_of_id(id);
        let mut shard = write(self.shard(hash));
        let Ok(entry) = shard.people.find_entry(hash, |known| known.id == id) else {
            return;
        };
        let (old, _) = entry.remove();
        drop(shard);
        for name in old.names.iter() {
            self.drop_name(&old, name);
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

    /// Hands everybody to `take`, shard by shard: what changes meanwhile is there as before or as after.
    pub fn for_each(&self, mut take: impl FnMut(&Arc<PersonFacts>)) {
        for shard in &self.shards {
            // Not while the lock is held: whoever takes may be slow.
            let people: Vec<Arc<PersonFacts>> = read(shard).people.iter().cloned().collect();
            people.iter().for_each(&mut take);
        }
    }

    fn put_in(&self, person: PersonFacts) {
        let person = Arc::new(person);
        let hash = self.hash_of_id(person.id);
        let old = {
            let mut shard = write(self.shard(hash));
            let rehash = |known: &Arc<PersonFacts>| self.hash_of_id(known.id);
            match shard
                .people
                .entry(hash, |known| known.id == person.id, rehash)
            {
                Entry::Occupied(mut entry) => {
                    Some(std::mem::replace(entry.get_mut(), person.clone()))
                }
                Entry::Vacant(entry) => {
                    entry.insert(person.clone());
                    None
                }
            }
        };
        for name in person.names.iter() {
            let hash = self.hash_of_name(name);
            let named = Named {
                hash,
                person: person.clone(),
            };
            let mut shard = write(self.shard(hash));
            match shard
                .names
                .entry(hash, |known| known.is(hash, name), |known| known.hash)
            {
                Entry::Occupied(mut entry) => *entry.get_mut() = named,
                Entry::Vacant(entry) => {
                    entry.insert(named);
                }
            }
        }
        if let Some(old) = old {
            let gone = old.names.iter().filter(|name| !person.names.holds(*name));
            for name in gone {
                self.drop_name(&old, name);
            }
        }
    }

    fn drop_name(&self, old: &PersonFacts, name: Name<'_>) {
        let hash = self.hash_of_name(name);
        let mut shard = write(self.shard(hash));
        // The name may have gone to somebody else meanwhile.
        let is_his = |known: &Named| known.is(hash, name) && known.person.id == old.id;
        if let Ok(entry) = shard.names.find_entry(hash, is_his) {
            entry.remove();
        }
    }

    fn writing(&self) -> MutexGuard<'_, Generation> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hash_of_id(&self, id: PersonId) -> u64 {
        self.hashing.hash_one(id.0.as_u128())
    }

    fn hash_of_name(&self, name: Name<'_>) -> u64 {
        let mut hasher = self.hashing.build_hasher();
        name.realm.hash(&mut hasher);
        name.kind.hash(&mut hasher);
        name.folded.hash(&mut hasher);
        hasher.finish()
    }

    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        // The table takes the lowest and the highest bits.
        &self.shards[((hash >> 24) % SHARDS) as usize]
    }
}

impl Named {
    fn is(&self, hash: u64, name: Name<'_>) -> bool {
        self.hash == hash && self.person.names.holds(name)
    }
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
    use crate::facts::{PersonFacts, StoredFacts};
    use crate::register::Names;
    use kernel::id::Uuid;

    #[test]
    fn a_person_takes_no_more_than_memory_is_given_out_in() {
        // With the two counters beside him: the next piece is of 256 octets, 32 MiB more for a million people.
        assert!(size_of::<PersonFacts>() + 16 <= 224);
    }

    fn person(id: u128, names: &[&str]) -> PersonFacts {
        let given: Vec<_> = names
            .iter()
            .map(|name| (None, Kind::Username, (*name).to_owned()))
            .collect();
        PersonFacts {
            id: PersonId(Uuid::from_u128(id)),
            is_active: true,
            names: Names::new(names.first().copied().unwrap_or_default(), &given),
            stored: StoredFacts::Nothing,
            memberships: Default::default(),
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
        let renamed = people.find(None, Kind::Username, "ali").expect("ali");
        assert_eq!(renamed.username(), "alicia");
    }

    #[test]
    fn a_name_that_went_to_somebody_else_stays_there() {
        let people = People::default();
        people.put(person(1, &["alice"]));
        people.put(person(2, &["alice"]));
        people.remove(PersonId(Uuid::from_u128(1)));
        assert_eq!(found(&people, "alice"), Some(2));
        assert_eq!(people.len(), 1);
        people.remove(PersonId(Uuid::from_u128(2)));
        let names: usize = people.shards.iter().map(|s| read(s).names.len()).sum();
        assert_eq!((people.len(), names), (0, 0));
    }

    #[test]
    fn what_was_read_before_news_does_not_take_its_place() {
        let people = People::default();
        let read_at = people.generation();
        assert!(people.put_unless_changed(read_at, person(1, &["alice"])));
        people.begin_news();
        people.remove(PersonId(Uuid::from_u128(1)));
        assert!(!people.put_unless_changed(read_at, person(1, &["alice"])));
        assert_eq!(found(&people, "alice"), None);
        assert!(people.put_unless_changed(people.generation(), person(1, &["alice"])));
    }

    #[test]
    fn thousands_are_found_while_the_tables_grow() {
        let people = People::default();
        let name = |number| format!("user-{number}");
        for number in 0..20_000u128 {
            people.put(person(number, &[&name(number)]));
        }
        for number in 0..20_000u128 {
            assert_eq!(found(&people, &name(number)), Some(number));
            let known = people.by_id(PersonId(Uuid::from_u128(number)));
            assert!(known.is_some_and(|known| known.username() == name(number)));
        }
        let mut seen = 0;
        people.for_each(|_| seen += 1);
        assert_eq!((people.len(), seen), (20_000, 20_000));
    }
}
