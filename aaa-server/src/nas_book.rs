//! What each NAS does, counted where its packets are worked on and read in one place.
//!
//! Three pieces. A [`LaneBook`] belongs to one lane: counting a packet is one look-up and some additions, and allocates
//! nothing once the NAS is known. [`Books`] is what the lanes of a process share: a task calls [`Books::drain`] every
//! [`DRAIN_EVERY`], which takes what the lanes counted (a swap under each lane's own lock) and passes it on to two
//! readers: the observations that go to SQL ([`Books::take_observations`]) and the [`NasBook`] of rolling rates that
//! `status` and `/metrics` show. What packets told about shared secrets travels the same way (`secrets`).
//!
//! How a lane uses it:
//!
//! ```text
//! let book = books.lane();                       // once a lane; Arc<Mutex<LaneBook>>
//! book.lock().seen(now, &nas, source, told);     // a verified request; `Told::of` says what it tells
//! book.lock().mismatch(now, id);                 // a packet that none of the NAS's secrets fitted
//! book.lock().duplicate(id);                     // a retransmission: what the NAS takes for loss
//! book.lock().answered(id, kind, micros);        // an answer left, so long after its request came
//! book.lock().dropped(id, word);                 // left unanswered
//! book.lock().secrets().uses_next(&nas, source)  // which secret this sender used last
//! book.lock().secrets().fitted_lately(now, id)   // whether the NAS's secret fitted a little while ago
//! ```
//!
//! It must **never** make one lane wait for another, or grow with what strangers send: only NASes of the register have
//! a place here.

mod latency;
mod rolling;
mod secrets;

pub use latency::{Latency, Percentiles};
pub use rolling::{NasBook, NasRates, Rates, WINDOWS};
pub use secrets::LaneSecrets;

use crate::counts::Answered;
use access::nas::NasId;
use access::nas_match::NasEntry;
use access::observation::Observation;
use access::question::looks_like_noise;
use access::word::Dropped;
use arc_swap::ArcSwap;
use kernel::Time;
use radius_wire::{Code, Request};
use secrets::Learnt;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// EAP-Message (RFC 3579 §3.1).
const EAP_MESSAGE: u8 = 79;
/// NASes one lane counts apart. The rest is counted together until a drain has forgotten those that fell silent; at
/// about 450 octets each this is 7 MB a lane at worst.
pub const MAX_LANE_NASES: usize = 16_384;
/// Observations that wait for a database that is away: more than any register has NASes.
const MAX_WAITING: usize = 100_000;
/// How often what the lanes counted is collected: an operator looks at seconds.
pub const DRAIN_EVERY: Duration = Duration::from_secs(1);

/// NAS ids are random already: folding them is hash enough, and nobody but this house makes them.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for chunk in octets.chunks(8) {
            let mut word = [0u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            // An odd constant (2^64 divided by the golden ratio) spreads ids that were counted up.
            self.0 = (self.0.rotate_left(23) ^ u64::from_le_bytes(word))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }
}

type IdMap<V> = HashMap<NasId, V, BuildHasherDefault<IdHasher>>;

/// What a verified request tells about its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// It is an Access-Request.
    pub is_access: bool,
    /// It carries a right Message-Authenticator.
    pub is_signed: bool,
    /// It carries EAP, which demands the signature anyway and proves nothing about the rest.
    pub is_eap: bool,
    /// It carries Proxy-State.
    pub has_proxy_state: bool,
    /// It shows which secret it was made with. An unsigned request without readable password does not.
    pub tells_secret: bool,
    /// It was verified with the secret that is to come.
    pub with_next_secret: bool,
}

impl Told {
    /// Reads it off a request, unhiding the password only where nothing else tells.
    pub fn of(request: &Request<'_>, with_next_secret: bool) -> Self {
        Self::with_noise(request, with_next_secret, || {
            request
                .password()
                .map(|password| !password.is_ok_and(|password| !looks_like_noise(&password)))
        })
    }

    /// The same for a caller that knows whether the password is noise (`None` without a password).
    pub fn with_noise(
        request: &Request<'_>,
        with_next_secret: bool,
        noise: impl FnOnce() -> Option<bool>,
    ) -> Self {
        let is_access = request.code() == Code::ACCESS_REQUEST;
        let is_signed = request.signed();
        Self {
            is_access,
            is_signed,
            is_eap: request.packet().contains(EAP_MESSAGE),
            has_proxy_state: request.has_proxy_state(),
            tells_secret: is_signed || !is_access || noise() == Some(false),
            with_next_secret,
        }
    }
}

/// What one NAS did in one lane since the last drain.
#[derive(Debug, Clone)]
pub struct Counted {
    /// Which NAS; nobody's while nothing was counted.
    nas: Option<NasId>,
    last_seen: Option<Time>,
    /// Verified requests, retransmissions among them.
    pub requests: u32,
    /// Retransmissions.
    pub duplicates: u32,
    /// Access-Accepts.
    pub accepts: u32,
    /// Access-Rejects.
    pub rejects: u32,
    /// Accounting-Responses.
    pub accounting: u32,
    /// Requests left unanswered.
    pub dropped: u32,
    /// Why the last of these was.
    pub last_drop: Option<Dropped>,
    /// Packets that none of its secrets fitted.
    pub mismatches: u32,
    signed: u32,
    unsigned: u32,
    unsigned_proxy: u32,
    used_secret: Option<Time>,
    used_next_secret: Option<Time>,
    /// How long its answers took.
    pub latency: Latency,
}

impl Counted {
    fn nothing() -> Self {
        Self {
            nas: None,
            last_seen: None,
            requests: 0,
            duplicates: 0,
            accepts: 0,
            rejects: 0,
            accounting: 0,
            dropped: 0,
            last_drop: None,
            mismatches: 0,
            signed: 0,
            unsigned: 0,
            unsigned_proxy: 0,
            used_secret: None,
            used_next_secret: None,
            latency: Latency::default(),
        }
    }

    /// What SQL is told; nothing where only answers were counted.
    fn observation(&self) -> Option<Observation> {
        Some(Observation {
            signed: self.signed,
            unsigned: self.unsigned,
            unsigned_proxy: self.unsigned_proxy,
            secret_mismatches: self.mismatches,
            used_secret: self.used_secret.is_some(),
            used_next_secret: self.used_next_secret.is_some(),
            ..Observation::of(self.nas?, self.last_seen?)
        })
    }
}

/// What was counted between two drains. Two of them take turns, so that draining is a swap.
#[derive(Default)]
struct Page {
    /// By the NAS's place in the lane.
    counted: Vec<Counted>,
    /// Places that were counted at.
    touched: Vec<u32>,
    /// Requests of NASes that found no place.
    beyond: u64,
}

/// One lane's book. It lies behind a lock of that lane alone.
pub struct LaneBook {
    places: IdMap<u32>,
    /// Most packets come from whoever sent the one before.
    last: Option<(NasId, u32)>,
    page: Page,
    spare: Page,
    secrets: LaneSecrets,
}

impl LaneBook {
    fn new(learnt: Arc<ArcSwap<Learnt>>) -> Self {
        Self {
            places: IdMap::default(),
            last: None,
            page: Page::default(),
            spare: Page::default(),
            secrets: LaneSecrets::new(learnt),
        }
    }

    /// A verified request came.
    pub fn seen(&mut self, now: Time, nas: &NasEntry, source: IpAddr, told: Told) {
        let id = nas.nas.id;
        if told.tells_secret {
            self.secrets.learn(now, nas, source, told.with_next_secret);
        }
        let Some(counted) = self.at(id) else {
            self.page.beyond += 1;
            return;
        };
        counted.requests = counted.requests.saturating_add(1);
        counted.last_seen = counted.last_seen.max(Some(now));
        if told.is_access && told.is_signed {
            counted.signed += u32::from(!told.is_eap);
        } else if told.is_access {
            counted.unsigned += 1;
            counted.unsigned_proxy += u32::from(told.has_proxy_state);
        }
        if told.tells_secret {
            match told.with_next_secret {
                true => counted.used_next_secret = Some(now),
                false => counted.used_secret = Some(now),
            }
        }
    }

    /// A packet came that none of the NAS's secrets fitted, or whose password came out as noise.
    pub fn mismatch(&mut self, now: Time, nas: NasId) {
        if let Some(counted) = self.at(nas) {
            counted.last_seen = counted.last_seen.max(Some(now));
            counted.mismatches = counted.mismatches.saturating_add(1);
        }
    }

    /// A packet of what is probably this NAS did not verify.
    pub fn unverified(&mut self, now: Time, nas: NasId, word: Dropped) {
        if matches!(
            word,
            Dropped::SharedSecretMismatch
                | Dropped::BadAuthenticator
                | Dropped::BadMessageAuthenticator
        ) {
            self.mismatch(now, nas);
        }
        self.dropped(nas, word);
    }

    /// Whether the NAS's secret was seen to fit a little while ago.
    pub fn fitted_lately(&self, now: Time, nas: NasId) -> bool {
        self.secrets.fitted_lately(now, nas)
    }

    /// A retransmission: the NAS takes its question or our answer for lost.
    pub fn duplicate(&mut self, nas: NasId) {
        if let Some(counted) = self.at(nas) {
            counted.duplicates = counted.duplicates.saturating_add(1);
        }
    }

    /// An answer left, `micros` after its request came. A delay that is meant (of a refusal) is not to be counted in.
    pub fn answered(&mut self, nas: NasId, kind: Answered, micros: u64) {
        let Some(counted) = self.at(nas) else {
            return;
        };
        let counter = match kind {
            Answered::Accept => &mut counted.accepts,
            Answered::Reject => &mut counted.rejects,
            Answered::Accounting => &mut counted.accounting,
            _ => return,
        };
        *counter = counter.saturating_add(1);
        counted.latency.add(micros);
    }

    /// A request was left unanswered.
    pub fn dropped(&mut self, nas: NasId, word: Dropped) {
        if let Some(counted) = self.at(nas) {
            counted.dropped = counted.dropped.saturating_add(1);
            counted.last_drop = Some(word);
        }
    }

    /// What this lane's packets told about secrets.
    pub fn secrets(&self) -> &LaneSecrets {
        &self.secrets
    }

    /// Where a NAS is counted; `None` when every place is taken.
    fn at(&mut self, nas: NasId) -> Option<&mut Counted> {
        let place = match self.last {
            Some((last, place)) if last == nas => place,
            _ => {
                let place = match self.places.get(&nas) {
                    Some(place) => *place,
                    None => self.place(nas)?,
                };
                self.last = Some((nas, place));
                place
            }
        };
        let counted = self.page.counted.get_mut(place as usize)?;
        if counted.nas.is_none() {
            counted.nas = Some(nas);
            self.page.touched.push(place);
        }
        Some(counted)
    }

    /// A place for a NAS that was not counted here before: the only way in which a lane's book grows.
    #[cold]
    fn place(&mut self, nas: NasId) -> Option<u32> {
        if self.places.len() >= MAX_LANE_NASES {
            return None;
        }
        let place = u32::try_from(self.places.len()).ok()?;
        self.places.insert(nas, place);
        for page in [&mut self.page, &mut self.spare] {
            page.counted.push(Counted::nothing());
            // So that noting a touched place never allocates either.
            page.touched
                .reserve(page.counted.len() - page.touched.len());
        }
        Some(place)
    }

    /// Takes what was counted. `spare` is an emptied page, given back by the drain before.
    fn swap(&mut self, emptied: Page) -> Page {
        self.spare = emptied;
        // Places were given meanwhile.
        while self.spare.counted.len() < self.places.len() {
            self.spare.counted.push(Counted::nothing());
        }
        self.spare.touched.reserve(self.places.len());
        let full = std::mem::replace(&mut self.page, std::mem::take(&mut self.spare));
        if self.places.len() >= MAX_LANE_NASES && full.touched.len() < MAX_LANE_NASES / 2 {
            // Most of them fell silent: whoever still asks gets a place again.
            self.places.clear();
            self.last = None;
            self.page = Page::default();
        }
        full
    }
}

/// A lane and the page that is not in use.
struct Drained {
    book: Arc<Mutex<LaneBook>>,
    spare: Page,
}

/// What the lanes of a process share. Lanes touch only their own [`LaneBook`] and, without a lock, what all of them
/// know about secrets.
pub struct Books {
    lanes: Mutex<Vec<Drained>>,
    learnt: Arc<ArcSwap<Learnt>>,
    observations: Mutex<HashMap<NasId, Observation>>,
    book: Mutex<NasBook>,
}

impl Default for Books {
    fn default() -> Self {
        Self {
            lanes: Mutex::default(),
            learnt: Arc::new(ArcSwap::from_pointee(Learnt::default())),
            observations: Mutex::default(),
            book: Mutex::new(NasBook::default()),
        }
    }
}

impl Books {
    /// A new lane's book.
    pub fn lane(&self) -> Arc<Mutex<LaneBook>> {
        let book = Arc::new(Mutex::new(LaneBook::new(self.learnt.clone())));
        guard(&self.lanes).push(Drained {
            book: book.clone(),
            spare: Page::default(),
        });
        book
    }

    /// Collects what the lanes counted. `second` is any clock that only goes forward.
    pub fn drain(&self, now: Time, second: u64) {
        let mut lanes = guard(&self.lanes);
        let mut book = guard(&self.book);
        let mut observations = guard(&self.observations);
        let mut learnt = self.learnt.load().forgetting(now);
        for lane in lanes.iter_mut() {
            let spare = std::mem::take(&mut lane.spare);
            let mut page = {
                let mut open = guard(&lane.book);
                open.secrets.tell(&mut learnt);
                open.swap(spare)
            };
            for place in page.touched.drain(..) {
                let Some(counted) = page.counted.get_mut(place as usize) else {
                    continue;
                };
                let counted = std::mem::replace(counted, Counted::nothing());
                if let Some(seen) = counted.observation() {
                    keep(&mut observations, seen);
                }
                if let Some(nas) = counted.nas {
                    book.add(second, nas, &counted);
                }
            }
            book.add_beyond(std::mem::take(&mut page.beyond));
            lane.spare = page;
        }
        // Published before any lane may forget it.
        self.learnt.store(Arc::new(learnt));
    }

    /// What SQL is to be told, each NAS once.
    pub fn take_observations(&self) -> Vec<Observation> {
        std::mem::take(&mut *guard(&self.observations))
            .into_values()
            .collect()
    }

    /// The database did not take them: they go with the next ones.
    pub fn give_back(&self, observations: Vec<Observation>) {
        let mut waiting = guard(&self.observations);
        for old in observations {
            keep(&mut waiting, old);
        }
    }

    /// The rolling rates, for whoever shows them.
    pub fn read<R>(&self, read: impl FnOnce(&NasBook) -> R) -> R {
        read(&guard(&self.book))
    }
}

/// One more observation beside those of the same NAS that wait already.
fn keep(waiting: &mut HashMap<NasId, Observation>, seen: Observation) {
    if waiting.len() >= MAX_WAITING && !waiting.contains_key(&seen.nas) {
        return;
    }
    waiting
        .entry(seen.nas)
        .and_modify(|known| {
            known.last_seen = known.last_seen.max(seen.last_seen);
            known.signed = known.signed.saturating_add(seen.signed);
            known.unsigned = known.unsigned.saturating_add(seen.unsigned);
            known.unsigned_proxy = known.unsigned_proxy.saturating_add(seen.unsigned_proxy);
            known.secret_mismatches = known
                .secret_mismatches
                .saturating_add(seen.secret_mismatches);
            known.used_secret |= seen.used_secret;
            known.used_next_secret |= seen.used_next_secret;
        })
        .or_insert(seen);
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
