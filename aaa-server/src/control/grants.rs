//! What was granted to whom, for those whose rules have limits or a plan: by it a session that goes on is known to be
//! told something else now. In memory only: after a restart it is made anew of who is online.

use access::group::GroupId;
use access::plan::PlanFacts;
use identity::PersonId;
use kernel::Time;
use kernel::id::Uuid;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Locks: so many that receive threads rarely meet.
const SHARDS: usize = 64;
/// Memberships that are remembered: of more, none is added, and their sessions end when their NAS ends them.
const MAX_GRANTS: usize = 1_000_000;
/// One whose session never began is forgotten after so long.
const KEPT_SECONDS: i64 = 3_600;

/// What a membership was granted last.
#[derive(Clone)]
pub struct Granted {
    /// Whose it is.
    pub person: PersonId,
    /// The groups whose rules held.
    pub groups: SmallVec<[GroupId; 2]>,
    /// The plan that its NASes were told; none is known right after a restart.
    pub told: Option<Arc<PlanFacts>>,
    /// Whether `told` is known.
    pub is_told: bool,
    /// When.
    pub at: Time,
}

/// The table.
pub struct Grants {
    shards: [Mutex<HashMap<Uuid, Granted>>; SHARDS],
    /// Whose a device is that is online, where devices may roam.
    devices: [Mutex<HashMap<u64, Uuid>>; SHARDS],
}

impl Default for Grants {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            devices: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl Grants {
    /// Takes over what was granted.
    pub fn note(&self, membership: Uuid, granted: Granted) {
        let mut shard = self.shard(membership);
        if let Some(known) = shard.get_mut(&membership) {
            *known = granted;
        } else if shard.len() < MAX_GRANTS / SHARDS {
            shard.insert(membership, granted);
        }
    }

    /// Takes over what is known of somebody who was online before this process was.
    pub fn recall(&self, membership: Uuid, granted: Granted) {
        let mut shard = self.shard(membership);
        if shard.len() < MAX_GRANTS / SHARDS {
            shard.entry(membership).or_insert(granted);
        }
    }

    /// What a membership was granted.
    pub fn get(&self, membership: Uuid) -> Option<Granted> {
        self.shard(membership).get(&membership).cloned()
    }

    /// Whose a device is, by [`usage::Live::device`].
    pub fn note_device(&self, device: u64, membership: Uuid) {
        let mut shard = self.device_shard(device);
        if shard.len() < MAX_GRANTS / SHARDS || shard.contains_key(&device) {
            shard.insert(device, membership);
        }
    }

    /// Whose a device was when it was last seen to come in.
    pub fn of_device(&self, device: u64) -> Option<Uuid> {
        self.device_shard(device).get(&device).copied()
    }

    /// Forgets devices that are not online.
    pub fn sweep_devices(&self, is_online: impl Fn(u64, Uuid) -> bool) {
        for shard in &self.devices {
            locked(shard).retain(|device, membership| is_online(*device, *membership));
        }
    }

    fn device_shard(&self, device: u64) -> MutexGuard<'_, HashMap<u64, Uuid>> {
        locked(&self.devices[(device >> 32) as usize % SHARDS])
    }

    /// From now on its NASes have been told this plan.
    pub fn told(&self, membership: Uuid, plan: Option<Arc<PlanFacts>>) {
        if let Some(granted) = self.shard(membership).get_mut(&membership) {
            granted.told = plan;
            granted.is_told = true;
        }
    }

    /// Whose grants there are, shard by shard, as far as they are online; others are forgotten after a while.
    pub fn memberships(&self, now: Time, is_online: impl Fn(Uuid) -> bool) -> Vec<Uuid> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let known: Vec<(Uuid, Time)> = locked(shard)
                .iter()
                .map(|(id, granted)| (*id, granted.at))
                .collect();
            for (id, at) in known {
                if is_online(id) {
                    all.push(id);
                } else if now.seconds_since(at) > KEPT_SECONDS {
                    locked(shard).remove(&id);
                }
            }
        }
        all
    }

    fn shard(&self, membership: Uuid) -> MutexGuard<'_, HashMap<Uuid, Granted>> {
        let (high, low) = membership.as_u64_pair();
        let mixed = (high ^ low.rotate_left(17)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        locked(&self.shards[(mixed >> 32) as usize % SHARDS])
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
