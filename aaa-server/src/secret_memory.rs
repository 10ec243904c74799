//! What was lately learnt about shared secrets from packets that tell: which of two a sender uses during a change, and
//! when a NAS last showed that its secret fits. Packets that tell nothing are read in that light.

use access::nas::NasId;
use access::nas_match::NasEntry;
use kernel::Time;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Senders remembered while their NAS's secret is being changed.
const MAX_CHANGING: usize = 10_000;
/// NASes remembered; more than any index holds.
const MAX_FITTING: usize = 100_000;
/// How long a fitting secret is taken to fit still, in seconds. Within it a password that is noise is somebody's odd
/// password and refused; beyond it the secrets differ, and silence is all that helps.
const FITS_SECONDS: i64 = 300;

#[derive(Default)]
struct Learnt {
    uses_next: HashMap<(NasId, IpAddr), bool>,
    fitted: HashMap<NasId, Time>,
}

/// The memory.
#[derive(Default)]
pub struct SecretMemory(Mutex<Learnt>);

impl SecretMemory {
    /// A packet showed which secret fits.
    pub fn learn(&self, now: Time, nas: &NasEntry, source: IpAddr, with_next: bool) {
        let mut learnt = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if learnt.fitted.len() >= MAX_FITTING {
            learnt.fitted.clear();
        }
        learnt.fitted.insert(nas.nas.id, now);
        if nas.secrets.next.is_some() {
            if learnt.uses_next.len() >= MAX_CHANGING {
                learnt.uses_next.clear();
            }
            learnt.uses_next.insert((nas.nas.id, source), with_next);
        }
    }

    /// Whether the sender's last telling packet was made with the secret that is to come.
    pub fn uses_next(&self, nas: &NasEntry, source: IpAddr) -> bool {
        let learnt = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        learnt
            .uses_next
            .get(&(nas.nas.id, source))
            .copied()
            .unwrap_or(false)
    }

    /// Whether the NAS's secret was seen to fit a little while ago.
    pub fn fitted_lately(&self, now: Time, nas: NasId) -> bool {
        let learnt = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        learnt
            .fitted
            .get(&nas)
            .is_some_and(|at| (0..FITS_SECONDS).contains(&now.seconds_since(*at)))
    }
}
