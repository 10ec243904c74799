//! What packets lately told about shared secrets: which of two a sender uses during a change, and when a NAS last showed
//! that its secret fits. Packets that tell nothing are read in that light.
//!
//! Each lane remembers what its own packets told; what all of them know is one snapshot that is read without a lock. The
//! later word wins, so that a NAS whose packets move from one lane to another is known there within a drain.

use super::IdMap;
use access::nas::NasId;
use access::nas_match::NasEntry;
use arc_swap::ArcSwap;
use kernel::Time;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Senders remembered while their NAS's secret is being changed.
const MAX_CHANGING: usize = 10_000;
/// NASes remembered; more than any index holds.
const MAX_FITTING: usize = 100_000;
/// How long a fitting secret is taken to fit still, in seconds. Within it a password that is noise is somebody's odd
/// password and refused; beyond it the secrets differ, and silence is all that helps.
const FITS_SECONDS: i64 = 300;
/// How long a sender's choice of secret is remembered: a change that takes longer has seen it ask again.
const CHOICE_SECONDS: i64 = 7 * 24 * 3_600;

#[derive(Debug, Clone, Copy)]
struct Choice {
    is_next: bool,
    at: Time,
}

/// What all lanes know.
#[derive(Default, Clone)]
pub struct Learnt {
    choices: HashMap<(NasId, IpAddr), Choice>,
    fitted: IdMap<Time>,
}

impl Learnt {
    /// A copy without what is too old to matter.
    pub fn forgetting(&self, now: Time) -> Self {
        let mut learnt = self.clone();
        learnt
            .choices
            .retain(|_, choice| now.seconds_since(choice.at) < CHOICE_SECONDS);
        learnt
            .fitted
            .retain(|_, at| now.seconds_since(*at) < FITS_SECONDS);
        learnt
    }

    fn choose(&mut self, sender: (NasId, IpAddr), choice: Choice) {
        if self.choices.len() >= MAX_CHANGING && !self.choices.contains_key(&sender) {
            self.choices.clear();
        }
        let known = self.choices.entry(sender).or_insert(choice);
        if known.at <= choice.at {
            *known = choice;
        }
    }

    fn fit(&mut self, nas: NasId, at: Time) {
        if self.fitted.len() >= MAX_FITTING && !self.fitted.contains_key(&nas) {
            self.fitted.clear();
        }
        let known = self.fitted.entry(nas).or_insert(at);
        *known = at.max(*known);
    }
}

/// What one lane's packets told since the last drain, over what all lanes know.
pub struct LaneSecrets {
    shared: Arc<ArcSwap<Learnt>>,
    /// News, and the news before that: the snapshot has them only when the drain is done.
    new: Learnt,
    told: Learnt,
}

impl LaneSecrets {
    /// Over a snapshot.
    pub fn new(shared: Arc<ArcSwap<Learnt>>) -> Self {
        Self {
            shared,
            new: Learnt::default(),
            told: Learnt::default(),
        }
    }

    /// A packet showed which secret fits.
    pub fn learn(&mut self, now: Time, nas: &NasEntry, source: IpAddr, with_next: bool) {
        self.new.fit(nas.nas.id, now);
        if nas.secrets.next.is_some() {
            let choice = Choice {
                is_next: with_next,
                at: now,
            };
            self.new.choose((nas.nas.id, source), choice);
        }
    }

    /// Whether the sender's last telling packet was made with the secret that is to come.
    pub fn uses_next(&self, nas: &NasEntry, source: IpAddr) -> bool {
        let sender = (nas.nas.id, source);
        let shared = self.shared.load();
        [&shared.choices, &self.told.choices, &self.new.choices]
            .into_iter()
            .filter_map(|choices| choices.get(&sender))
            .max_by_key(|choice| choice.at)
            .is_some_and(|choice| choice.is_next)
    }

    /// Whether the NAS's secret was seen to fit a little while ago.
    pub fn fitted_lately(&self, now: Time, nas: NasId) -> bool {
        let fits = |at: Option<&Time>| {
            at.is_some_and(|at| (0..FITS_SECONDS).contains(&now.seconds_since(*at)))
        };
        fits(self.new.fitted.get(&nas))
            || fits(self.told.fitted.get(&nas))
            || fits(self.shared.load().fitted.get(&nas))
    }

    /// Hands the news on.
    pub(super) fn tell(&mut self, learnt: &mut Learnt) {
        for (sender, choice) in &self.new.choices {
            learnt.choose(*sender, *choice);
        }
        for (nas, at) in &self.new.fitted {
            learnt.fit(*nas, *at);
        }
        // The older news are in the snapshot by now. Their tables are kept: learning must not allocate.
        self.told.choices.clear();
        self.told.fitted.clear();
        std::mem::swap(&mut self.new, &mut self.told);
    }
}
