//! From a snapshot into a register: pages of people on every core, then what was added, in order.

use super::file::{Content, FrameReader, FrameWriter, Opener, Sealed, Unusable};
use super::record::{
    Change, Mark, OwnRows, Record, SavedGroup, SavedLock, SavedNas, SavedOrganisation, SavedPerson,
    SavedPolicy, SavedRows, SavedSecret,
};
use super::{Following, Keeper, State};
use crate::facts::{GroupCondition, GroupFacts, OrganisationFacts};
use crate::nas::NasSecrets;
use crate::nas_match::{NasEntry, NasIndex};
use crate::register::Policy;
use crate::register::load::{Loader, compile};
use crate::rule::Compiler;
use identity::MembershipId;
use kernel::Time;
use radius_wire::dictionary::Dictionary;
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Frames that wait for a core: each may be a page of people.
const WAITING: usize = 4;

/// What a register was restored to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::register) struct Restored {
    /// How far the news is known.
    pub(in crate::register) mark: Mark,
}

impl Restored {
    /// When the database was last heard of.
    pub(in crate::register) fn heard(&self) -> Time {
        Time::from_unix_micros(self.mark.heard_micros)
    }
}

impl Keeper {
    /// Restores a register from the snapshot, and goes on with it. None where there is none, or none that can be used: the
    /// log says why.
    pub(in crate::register) fn restore(&self, loader: &Loader) -> Option<Restored> {
        if !self.place.path.exists() {
            return None;
        }
        match self.read(loader) {
            Ok((restored, following)) => {
                *self.state() = State::Following(Box::new(following));
                Some(restored)
            }
            Err(e) => {
                tracing::warn!(
                    "the register's snapshot {} cannot be used: {e}",
                    self.place.path.display()
                );
                None
            }
        }
    }

    fn read(&self, loader: &Loader) -> Result<(Restored, Following), Unusable> {
        let mut reader = FrameReader::open(&self.place.path)?;
        let opener = reader.opener();
        let mut mark = self.read_base(loader, &mut reader, &opener)?;
        let base_octets = reader.octets();
        let mut compiler = Compiler::new(Dictionary::builtin());
        while let Some(mut frame) = reader.next()? {
            let record = opener
                .open(&loader.kernel.keys, &mut frame)
                .map_err(Unusable::from)
                .and_then(read);
            match record {
                Ok(Record::Change(change)) => mark = apply(loader, &mut compiler, *change),
                Ok(Record::Heard(heard)) => mark = heard,
                // Torn by a crash, or altered: it ends here.
                Ok(_) | Err(_) => {
                    reader.give_back(&frame);
                    break;
                }
            }
        }
        let writer = FrameWriter::go_on(&self.place.path, &reader)?;
        Ok((Restored { mark }, Following::new(writer, base_octets)))
    }

    /// Everything up to [`Record::Complete`].
    fn read_base(
        &self,
        loader: &Loader,
        reader: &mut FrameReader,
        opener: &Opener,
    ) -> Result<Mark, Unusable> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (sender, receiver) = sync_channel::<Sealed>(WAITING);
        let receiver = Mutex::new(receiver);
        std::thread::scope(|scope| {
            let work = || put_pages(loader, opener, &receiver);
            let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
            let mut mark = None;
            while mark.is_none()
                && let Some(mut frame) = reader.next()?
            {
                match frame.content {
                    Content::People => {
                        if sender.send(frame).is_err() {
                            break;
                        }
                    }
                    Content::Other => {
                        let plain = opener.open(&loader.kernel.keys, &mut frame)?;
                        match read(plain)? {
                            Record::Origin { database } if database != self.place.database => {
                                return Err(Unusable::OtherDatabase(database));
                            }
                            Record::Policy(policy) => put_policy(loader, policy),
                            Record::Locks(locks) => put_locks(loader, &locks),
                            Record::Complete(complete) => mark = Some(complete),
                            _ => {}
                        }
                    }
                }
            }
            drop(sender);
            for worker in workers {
                worker.join().map_err(|_| Unusable::Record)??;
            }
            mark.ok_or(Unusable::Unfinished)
        })
    }
}

/// Takes frames of people until there are no more, and says what was wrong with the first that cannot be used. The others
/// are still taken: whoever reads must not wait for somebody who has given up.
fn put_pages(
    loader: &Loader,
    opener: &Opener,
    receiver: &Mutex<Receiver<Sealed>>,
) -> Result<(), Unusable> {
    let mut compiler = Compiler::new(Dictionary::builtin());
    let mut done = Ok(());
    loop {
        let next = receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(frame) = next else { return done };
        if done.is_ok() {
            done = put_page(loader, opener, &mut compiler, frame);
        }
    }
}

fn put_page(
    loader: &Loader,
    opener: &Opener,
    compiler: &mut Compiler<'_>,
    mut frame: Sealed,
) -> Result<(), Unusable> {
    let people: Vec<SavedPerson> = read(opener.open(&loader.kernel.keys, &mut frame)?)?;
    for person in people {
        put_person(loader, compiler, person)?;
    }
    Ok(())
}

fn put_person(
    loader: &Loader,
    compiler: &mut Compiler<'_>,
    saved: SavedPerson,
) -> Result<(), Unusable> {
    let (known, own) = saved.known().map_err(|_| Unusable::Record)?;
    let mut own: HashMap<MembershipId, OwnRows> = own.into_iter().collect();
    let person = loader.person(known, |membership, whose| {
        let OwnRows { groups, rows } = own.remove(&membership)?;
        Some(loader.own(compiler, &groups, &rows.unwrap_or_default(), whose))
    });
    loader.register.people.put(person);
    Ok(())
}

fn put_locks(loader: &Loader, locks: &[SavedLock]) {
    let now = loader.kernel.now();
    for lock in locks.iter().filter_map(SavedLock::lock) {
        loader.register.limiter().restore(now, lock);
    }
}

fn put_policy(loader: &Loader, saved: SavedPolicy) {
    loader.register.policy.store(Arc::new(saved.policy()));
}

/// What was added. Somebody who cannot be read again is forgotten, as where the database has a damaged row.
fn apply(loader: &Loader, compiler: &mut Compiler<'_>, change: Change) -> Mark {
    if let Some(policy) = change.policy {
        put_policy(loader, policy);
    }
    for person in change.people {
        let id = person.id;
        if put_person(loader, compiler, person).is_err() {
            loader.register.people.remove(id);
        }
    }
    for gone in change.gone {
        loader.register.people.remove(gone);
    }
    for (key, lock) in change.locks {
        match lock {
            Some(lock) => put_locks(loader, &[lock]),
            None => {
                key.key().map(|key| loader.register.limiter().unlock(key));
            }
        }
    }
    change.mark
}

fn read<'p, R: serde::Deserialize<'p>>(plain: &'p [u8]) -> Result<R, Unusable> {
    postcard::from_bytes(plain).map_err(|_| Unusable::Record)
}

impl SavedPolicy {
    /// What a policy was made of.
    pub(super) fn of(policy: &Policy) -> Self {
        let nas = |entry: &Arc<NasEntry>| SavedNas {
            nas: entry.nas.clone(),
            current: SavedSecret::of(&entry.secrets.current),
            next: entry.secrets.next.as_ref().map(SavedSecret::of),
        };
        let group = |group: &Arc<GroupFacts>| SavedGroup {
            id: group.id,
            name: group.name.clone(),
            rows: SavedRows::of(&group.rows),
            plan: group.plan.as_ref().map(|plan| plan.id),
            condition: group
                .condition
                .as_ref()
                .map(|condition| condition.text().to_owned()),
        };
        let organisation = |organisation: &Arc<OrganisationFacts>| SavedOrganisation {
            id: organisation.id,
            slug: organisation.slug.clone(),
            is_active: organisation.is_active,
            has_own_names: organisation.has_own_names,
            needs_verification: organisation.needs_verification,
            password_days: organisation.password_days,
            zone: organisation.zone.name().to_owned(),
            most_sessions: organisation.most_sessions,
            lets_devices_roam: organisation.lets_devices_roam,
        };
        Self {
            nases: policy.nases.entries().iter().map(nas).collect(),
            groups: policy.groups.values().map(group).collect(),
            plans: policy.plans.clone(),
            organisations: policy.organisations.values().map(organisation).collect(),
        }
    }

    fn policy(self) -> Policy {
        let plans = crate::plan::prepare(&self.plans);
        let mut compiler = Compiler::new(Dictionary::builtin());
        let nas = |saved: SavedNas| {
            Arc::new(NasEntry {
                secrets: NasSecrets {
                    current: saved.current.secret(),
                    next: saved.next.as_ref().map(SavedSecret::secret),
                },
                nas: saved.nas,
            })
        };
        let mut group = |saved: SavedGroup| {
            // An operator that no version has had: the group then gives nothing, and the log says so.
            let rows = saved.rows.rows().unwrap_or_else(|reason| {
                tracing::error!(group = %saved.name, "its saved rows cannot be used: {reason}");
                crate::rule::Rows::default()
            });
            let condition = saved
                .condition
                .map(|text| GroupCondition::new(text, &saved.name));
            let facts = GroupFacts {
                id: saved.id,
                rules: compile(&mut compiler, &rows, &saved.name),
                name: saved.name,
                rows,
                plan: saved.plan.and_then(|plan| plans.get(&plan).cloned()),
                condition,
            };
            (facts.id, Arc::new(facts))
        };
        let organisation = |saved: SavedOrganisation| {
            let facts = OrganisationFacts {
                id: saved.id,
                slug: saved.slug,
                is_active: saved.is_active,
                has_own_names: saved.has_own_names,
                needs_verification: saved.needs_verification,
                password_days: saved.password_days,
                zone: saved.zone.parse().unwrap_or(chrono_tz::Tz::UTC),
                most_sessions: saved.most_sessions,
                lets_devices_roam: saved.lets_devices_roam,
            };
            (facts.id, Arc::new(facts))
        };
        Policy {
            nases: NasIndex::build(self.nases.into_iter().map(nas).collect()),
            groups: self.groups.into_iter().map(&mut group).collect(),
            plans: self.plans,
            organisations: self.organisations.into_iter().map(organisation).collect(),
        }
    }
}
