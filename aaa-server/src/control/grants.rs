//! What was granted to whom, for those whose rules have limits or a plan: by it a session that goes on is known to be
//! told something else now. In memory only: after a restart it is made anew of who is online.

use access::group::GroupId;
use access::plan::PlanFacts;
use identity::PersonId;
use kernel::Time;
use kernel::id::Uuid;
use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Locks: so many that receive threads rarely meet.
const SHARDS: usize = 64;
/// Memberships that are remembered: of more, none is added, and their sessions end when their NAS ends them.
const MAX_GRANTS: usize = 1_000_000;
/// One whose session never began is forgotten after so long.
const KEPT_SECONDS: i64 = 900;

/// Whose session: a membership, and its device by [`usage::Live::device`].
pub type Holder = (Uuid, u64);

/// What a membership's device was granted last.
#[derive(Clone)]
pub struct Granted {
    /// Whose it is.
    pub person: PersonId,
    /// The groups that compare something with a request, and held.
    pub groups: Box<[GroupId]>,
    /// The plan that its NASes were told; none is known right after a restart.
    pub told: Option<Arc<PlanFacts>>,
    /// Whether `told` is known.
    pub is_told: bool,
    /// When.
    pub at: Time,
}

/// The table.
pub struct Grants {
    shards: [Mutex<HashMap<Holder, Granted, RandomState>>; SHARDS],
    /// How many there are: with none, most sites' logins ask for no lock.
    count: AtomicUsize,
    /// Whose a device is that is online, where devices may roam.
    devices: [Mutex<HashMap<u64, Uuid>>; SHARDS],
}

impl Default for Grants {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            count: AtomicUsize::new(0),
            devices: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl Grants {
    /// Takes over what was granted.
    pub fn note(&self, membership: Uuid, device: u64, granted: Granted) {
        let mut shard = self.shard(membership);
        if let Some(known) = shard.get_mut(&(membership, device)) {
            *known = granted;
        } else if shard.len() < MAX_GRANTS / SHARDS {
            shard.insert((membership, device), granted);
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes over what is known of somebody who was online before this process was.
    pub fn recall(&self, membership: Uuid, device: u64, granted: Granted) {
        let mut shard = self.shard(membership);
        if shard.len() < MAX_GRANTS / SHARDS && !shard.contains_key(&(membership, device)) {
            shard.insert((membership, device), granted);
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Nothing that may change was granted.
    pub fn forget(&self, membership: Uuid, device: u64) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        if self
            .shard(membership)
            .remove(&(membership, device))
            .is_some()
        {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// What a membership's device was granted.
    pub fn get(&self, membership: Uuid, device: u64) -> Option<Granted> {
        self.shard(membership).get(&(membership, device)).cloned()
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

    /// From now on the device's NAS has been told this plan.
    pub fn told(&self, membership: Uuid, device: u64, plan: Option<Arc<PlanFacts>>) {
        if let Some(granted) = self.shard(membership).get_mut(&(membership, device)) {
            granted.told = plan;
            granted.is_told = true;
        }
    }

    /// Whose grants there are, each membership once, as far as they are online; others are forgotten after a while.
    pub fn memberships(&self, now: Time, is_online: impl Fn(Uuid) -> bool) -> Vec<Uuid> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let known: Vec<(Holder, Time)> = locked(shard)
                .iter()
                .map(|(holder, granted)| (*holder, granted.at))
                .collect();
            for (holder, at) in known {
                if is_online(holder.0) {
                    all.push(holder.0);
                } else if now.seconds_since(at) > KEPT_SECONDS {
                    self.forget(holder.0, holder.1);
                }
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    fn shard(&self, membership: Uuid) -> MutexGuard<'_, HashMap<Holder, Granted, RandomState>> {
        let (high, low) = membership.as_u64_pair();
        let mixed = (high ^ low.rotate_left(17)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        locked(&self.shards[(mixed >> 32) as usize % SHARDS])
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
