//! Open sessions in memory: who is online, how often, and with what totals, without a question to SQL.
//!
//! [`Live::load`] reads them at the start. From then on a node tells at once what it journalled ([`Live::heard`]), and what
//! became of it in SQL once that is known ([`Live::applied`]): SQL is the truth, and a report that was heard is ahead of it
//! for as long as its event is newer. A restart is noted for each box it covers, a few of a NAS, whatever number of
//! sessions it ends: from then on none that began before is open for any reader; [`Live::sweep`] removes them later.
//!
//! A session takes some hundred octets: texts are kept once for each box, keys as hashes. No lock is held over SQL or
//! while another is waited for, and none is shared by all. What is read here may be a report behind or ahead; it must
//! **never** be written to SQL.

mod places;
mod session;

pub use session::{LiveSession, is_stale};

use crate::applied::AppliedSession;
use crate::report::Report;
use crate::session::{Restart, Session, Totals};
use kernel::id::Uuid;
use kernel::{Db, Error, OrganisationId, Time};
use places::{Place, Places, never, restarted_at};
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

/// Locks of sessions, and of memberships: so many that threads rarely meet.
const SHARDS: usize = 64;
/// Sessions that are remembered at most: some 200 MiB. More are left out, and [`Live::is_complete`] says so.
const MAX_SESSIONS: usize = 2_000_000;
/// Sessions of one membership that are looked at: more than any limit allows, and a place for each on the stack.
pub const MAX_VISITED: usize = 64;
/// Rows of one read while loading.
const PAGE: i64 = 5_000;
/// An end that was heard is forgotten when SQL has not told of it for so long: its report was kept unread.
const FORGET_AFTER_SECONDS: i64 = 3_600;

kernel::statements! {
    /// Statements of this file.
    pub STATEMENTS;
    LOAD = "SELECT s.id, s.organisation_id, s.nas_id, s.membership_id, s.acct_session_id, s.identity, s.nas_ip_address,
            s.nas_identifier, s.called_station_id, s.started, s.reported, s.updated, s.interval_seconds,
            s.session_seconds, s.input_octets, s.output_octets
        FROM session_open AS o CROSS JOIN session AS s WHERE s.id = o.id AND o.id > $1 ORDER BY o.id LIMIT $2";
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    session: LiveSession,
    /// Its box, by number.
    place: u32,
    /// Its end was heard and is not in SQL yet.
    has_ended: bool,
    /// It was silent for too long, and does not count.
    is_lost: bool,
}

impl Entry {
    /// Whether it counts among its organisation's sessions.
    fn counts(&self) -> bool {
        !self.has_ended && !self.is_lost
    }
}

/// The table.
#[derive(Debug)]
pub struct Live {
    hashes: RandomState,
    sessions: Vec<Mutex<HashMap<u64, Entry>>>,
    members: Vec<Mutex<BTreeSet<(Uuid, u64)>>>,
    places: RwLock<Places>,
    /// Sessions of each organisation; those that a restart ended until they are swept away.
    counts: RwLock<HashMap<OrganisationId, AtomicI64>>,
    is_complete: std::sync::atomic::AtomicBool,
}

impl Default for Live {
    fn default() -> Live {
        Live {
            hashes: RandomState::new(),
            sessions: (0..SHARDS).map(|_| Mutex::default()).collect(),
            members: (0..SHARDS).map(|_| Mutex::default()).collect(),
            places: RwLock::default(),
            counts: RwLock::default(),
            is_complete: false.into(),
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    organisation_id: Uuid,
    nas_id: Uuid,
    membership_id: Option<Uuid>,
    acct_session_id: String,
    identity: String,
    nas_ip_address: String,
    nas_identifier: Option<String>,
    called_station_id: Option<String>,
    started: Time,
    reported: Time,
    updated: Time,
    interval_seconds: Option<i64>,
    session_seconds: i64,
    input_octets: i64,
    output_octets: i64,
}

impl Live {
    /// Reads every open session, page by page. What is heard meanwhile stays as it was heard.
    ///
    /// # Errors
    /// [`Error::Engine`]; it may be called again.
    pub async fn load(&self, db: &Db) -> Result<(), Error> {
        use std::sync::atomic::Ordering;
        for restart in crate::restart::unsettled(db).await? {
            self.restarted(&restart);
        }
        let (mut after, mut loaded) = (Uuid::nil(), 0);
        loop {
            let rows: Vec<Row> = db.all(LOAD, kernel::values![after, PAGE]).await?;
            let Some(last) = rows.last() else { break };
            after = last.id;
            loaded += rows.len();
            if loaded > MAX_SESSIONS {
                return Ok(());
            }
            rows.into_iter().for_each(|row| self.put_row(row));
        }
        self.is_complete.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether every open session is here.
    pub fn is_complete(&self) -> bool {
        self.is_complete.load(std::sync::atomic::Ordering::Acquire)
    }

    fn put_row(&self, row: Row) {
        let place = self.place(Place {
            nas: row.nas_id,
            address: row.nas_ip_address,
            identifier: row.nas_identifier,
            called: row.called_station_id,
        });
        let key = self.key(row.nas_id, &row.acct_session_id, &row.identity);
        let totals = Totals {
            seconds: row.session_seconds,
            input: row.input_octets,
            output: row.output_octets,
        };
        let session = LiveSession {
            id: row.id,
            organisation: OrganisationId(row.organisation_id),
            nas: row.nas_id,
            membership: row.membership_id,
            started: row.started,
            reported: row.reported,
            heard: row.updated,
            interval_seconds: interval(row.interval_seconds),
            device: self.device(&row.identity),
            totals,
            counted: totals,
            counted_until: row.reported,
        };
        self.settle(key, session, place, true);
    }

    /// Takes over what SQL has by now.
    pub fn applied(&self, applied: &AppliedSession) {
        let s = &applied.session;
        let place = self.place(Place {
            nas: s.nas_id,
            address: s.nas_ip_address.clone(),
            identifier: s.details.nas_identifier.clone(),
            called: s.details.called_station_id.clone(),
        });
        let key = self.key(s.nas_id, &s.acct_session_id, &s.identity);
        self.settle(key, self.of_row(s), place, s.is_open());
    }

    /// A session's row says that it is over: somebody else closed it.
    pub fn closed(&self, s: &Session) {
        let key = self.key(s.nas_id, &s.acct_session_id, &s.identity);
        let gone = {
            let mut sessions = self.shard(key);
            // Another session may have the id by now.
            let is_it = sessions
                .get(&key)
                .is_some_and(|entry| entry.session.id == s.id);
            is_it.then(|| sessions.remove(&key)).flatten()
        };
        if let Some(entry) = gone {
            if entry.counts() {
                self.count_in(entry.session.organisation, -1);
            }
            self.forget_member(entry.session.membership, key);
        }
    }

    /// Takes over a report that is durable and not yet in SQL.
    pub fn heard(&self, report: &Report) {
        if let Some(restart) = Restart::of(report) {
            return self.restarted(&restart);
        }
        let key = self.key(report.nas, &report.session_id, &report.identity);
        let place = self.place(Place {
            nas: report.nas,
            address: report.nas_ip_address(),
            identifier: report.details.nas_identifier.clone(),
            called: report.details.called_station_id.clone(),
        });
        let (member, begins_or_ends) = {
            let mut sessions = self.shard(key);
            let was_open = sessions.get(&key).is_some_and(Entry::counts);
            if sessions.len() >= MAX_SESSIONS / SHARDS && !sessions.contains_key(&key) {
                drop(sessions);
                return self
                    .is_complete
                    .store(false, std::sync::atomic::Ordering::Release);
            }
            let entry = sessions.entry(key).or_insert_with(|| Entry {
                session: LiveSession {
                    id: Uuid::nil(),
                    organisation: report.organisation,
                    nas: report.nas,
                    membership: report.membership,
                    started: report.begin().unwrap_or(report.event_time),
                    reported: never(),
                    heard: report.received,
                    interval_seconds: 0,
                    device: self.device(&report.identity),
                    totals: Totals::default(),
                    counted: Totals::default(),
                    counted_until: report.begin().unwrap_or(report.event_time),
                },
                place,
                has_ended: false,
                is_lost: false,
            });
            if report.event_time < entry.session.reported {
                return;
            }
            entry.hear(report);
            entry.place = place;
            entry.is_lost = false;
            let change = i64::from(entry.counts()) - i64::from(was_open);
            (
                entry.session.membership,
                (entry.session.organisation, change),
            )
        };
        let (organisation, change) = begins_or_ends;
        if change != 0 {
            self.count_in(organisation, change);
        }
        self.note_member(member, key);
    }

    /// Ends what began before a restart, for every reader at once.
    pub fn restarted(&self, restart: &Restart) {
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        places.restart(restart);
    }

    /// The open sessions of a membership.
    pub fn of_membership(&self, membership: Uuid) -> Vec<LiveSession> {
        let mut found = Vec::new();
        self.visit(membership, |session, is_open| {
            if is_open {
                found.push(*session);
            }
        });
        found
    }

    /// Shows a membership's sessions, at most [`MAX_VISITED`]: those that are open, and those that are not but whose end
    /// SQL has not counted yet.
    pub fn visit(&self, membership: Uuid, mut show: impl FnMut(&LiveSession, bool)) {
        let mut keys = [0u64; MAX_VISITED];
        let mut count = 0;
        {
            let members = locked(&self.members[self.member_shard(membership)]);
            let all = (membership, u64::MIN)..=(membership, u64::MAX);
            for (known, (_, key)) in keys.iter_mut().zip(members.range(all)) {
                *known = *key;
                count += 1;
            }
        }
        for key in &keys[..count] {
            let Some(entry) = self.shard(*key).get(key).copied() else {
                continue;
            };
            let is_open = !entry.has_ended && {
                let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
                entry.session.started >= restarted_at(&places.restarted, entry.place)
            };
            show(&entry.session, is_open);
        }
    }

    /// Shows whose sessions are open, each membership once for each session. Looks at each.
    pub fn each_membership(&self, mut show: impl FnMut(Uuid)) {
        let restarted = self.restart_times();
        for shard in &self.sessions {
            let memberships: Vec<Uuid> = locked(shard)
                .values()
                .filter(|entry| entry.is_open(&restarted))
                .filter_map(|entry| entry.session.membership)
                .collect();
            memberships.into_iter().for_each(&mut show);
        }
    }

    /// A device as sessions name it: by its [`identity`](crate::report::words::identity).
    pub fn device(&self, identity: &str) -> u64 {
        self.hashes.hash_one(identity)
    }

    /// How many sessions are open. Looks at each: for status and metrics, not for a login.
    pub fn count(&self) -> usize {
        self.by_organisation().values().sum()
    }

    /// How many sessions an organisation has open, without looking at each. What a restart ended, and what was silent for too
    /// long, counts until the next sweep.
    pub fn of_organisation(&self, organisation: OrganisationId) -> u64 {
        let counts = self.counts.read().unwrap_or_else(PoisonError::into_inner);
        let count = counts
            .get(&organisation)
            .map_or(0, |count| count.load(Ordering::Relaxed));
        count.max(0).unsigned_abs()
    }

    fn count_in(&self, organisation: OrganisationId, by: i64) {
        {
            let counts = self.counts.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = counts.get(&organisation) {
                count.fetch_add(by, Ordering::Relaxed);
                return;
            }
        }
        let mut counts = self.counts.write().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(organisation).or_default();
        count.fetch_add(by, Ordering::Relaxed);
    }

    /// How many sessions each organisation has open. Looks at each.
    pub fn by_organisation(&self) -> HashMap<OrganisationId, usize> {
        let restarted = self.restart_times();
        let mut counts = HashMap::new();
        for shard in &self.sessions {
            for entry in locked(shard)
                .values()
                .filter(|entry| entry.is_open(&restarted))
            {
                *counts.entry(entry.session.organisation).or_default() += 1;
            }
        }
        counts
    }

    /// Removes what a restart has ended, and ends that SQL never told of; what was silent for too long counts no more. Run it
    /// now and then.
    pub fn sweep(&self, now: Time) {
        let restarted = self.restart_times();
        let is_old =
            |e: &Entry| e.has_ended && now.seconds_since(e.session.reported) > FORGET_AFTER_SECONDS;
        for shard in &self.sessions {
            let gone: Vec<(u64, Entry)> = {
                let mut sessions = locked(shard);
                let is_gone = |_: &u64, e: &mut Entry| {
                    is_old(e) || e.session.started < restarted_at(&restarted, e.place)
                };
                for entry in sessions.values_mut().filter(|entry| entry.counts()) {
                    if entry.session.is_stale(now, None) {
                        entry.is_lost = true;
                        self.count_in(entry.session.organisation, -1);
                    }
                }
                sessions.extract_if(is_gone).collect()
            };
            for (key, entry) in gone {
                self.forget_member(entry.session.membership, key);
                if entry.counts() {
                    self.count_in(entry.session.organisation, -1);
                }
            }
        }
    }

    fn of_row(&self, s: &Session) -> LiveSession {
        LiveSession {
            id: s.id,
            organisation: OrganisationId(s.organisation_id),
            nas: s.nas_id,
            membership: s.membership_id,
            started: s.started,
            reported: s.reported,
            heard: s.updated,
            interval_seconds: interval(s.interval_seconds),
            device: self.device(&s.identity),
            totals: s.totals(),
            counted: s.totals(),
            counted_until: s.reported,
        }
    }

    fn restart_times(&self) -> Vec<Time> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        places.restarted.clone()
    }

    fn key(&self, nas: Uuid, session_id: &str, identity: &str) -> u64 {
        self.hashes.hash_one((nas, session_id, identity))
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, HashMap<u64, Entry>> {
        locked(&self.sessions[key as usize % SHARDS])
    }

    fn member_shard(&self, membership: Uuid) -> usize {
        self.hashes.hash_one(membership) as usize % SHARDS
    }

    fn place(&self, place: Place) -> u32 {
        let known = {
            let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
            places.numbers.get(&place).copied()
        };
        known.unwrap_or_else(|| {
            let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
            places.number(place)
        })
    }

    /// What SQL says, unless something newer was heard.
    fn settle(&self, key: u64, session: LiveSession, place: u32, is_open: bool) {
        let (gone, here) = {
            let mut sessions = self.shard(key);
            let was_open = sessions.get(&key).is_some_and(Entry::counts);
            let known = sessions.get_mut(&key);
            let ahead = known.filter(|known| {
                known.session.reported > session.reported || (known.has_ended && is_open)
            });
            match ahead {
                Some(known) => {
                    // A later session may have the id by now: only an open row is this one's, or one that began with it.
                    if is_open {
                        known.session.id = session.id;
                    }
                    if is_open || known.session.id == session.id {
                        known.session.counted = session.counted;
                        known.session.counted_until = session.counted_until;
                    }
                    (None, None)
                }
                None if is_open => {
                    if !was_open {
                        self.count_in(session.organisation, 1);
                    }
                    let entry = Entry {
                        session,
                        place,
                        has_ended: false,
                        is_lost: false,
                    };
                    let before = sessions
                        .insert(key, entry)
                        .and_then(|known| known.session.membership);
                    (
                        before.filter(|before| Some(*before) != session.membership),
                        session.membership,
                    )
                }
                None => {
                    if was_open {
                        self.count_in(session.organisation, -1);
                    }
                    let before = sessions.remove(&key);
                    (before.and_then(|known| known.session.membership), None)
                }
            }
        };
        self.forget_member(gone, key);
        self.note_member(here, key);
    }

    fn note_member(&self, membership: Option<Uuid>, key: u64) {
        if let Some(membership) = membership {
            locked(&self.members[self.member_shard(membership)]).insert((membership, key));
        }
    }

    fn forget_member(&self, membership: Option<Uuid>, key: u64) {
        if let Some(membership) = membership {
            locked(&self.members[self.member_shard(membership)]).remove(&(membership, key));
        }
    }
}

impl Entry {
    fn hear(&mut self, report: &Report) {
        let known = &mut self.session;
        if report.status.begins() && self.has_ended {
            // The id is used again.
            (known.id, known.totals, known.started) =
                (Uuid::nil(), Totals::default(), report.event_time);
            (known.counted, known.counted_until) = (Totals::default(), report.event_time);
            known.interval_seconds = 0;
        }
        let apart = report.event_time.seconds_since(known.reported);
        if known.reported != never() && apart > 0 {
            known.interval_seconds = interval(Some(apart));
        }
        known.heard = known.heard.max(report.received);
        known.reported = report.event_time;
        known.membership = known.membership.or(report.membership);
        known.totals.seconds = known
            .totals
            .seconds
            .max(report.session_seconds.unwrap_or(0));
        // A wrap of 32 bits is for the ledger to see: what is heard only ever adds.
        let octets = |known: i64, said: Option<crate::session::ledger::Count>| {
            let said =
                said.map(|said| (i64::from(said.high.unwrap_or(0)) << 32) | i64::from(said.low));
            known.max(said.unwrap_or(0))
        };
        known.totals.input = octets(known.totals.input, report.input);
        known.totals.output = octets(known.totals.output, report.output);
        self.has_ended = report.status.ends();
    }

    fn is_open(&self, restarted: &[Time]) -> bool {
        !self.has_ended && self.session.started >= restarted_at(restarted, self.place)
    }
}

fn interval(seconds: Option<i64>) -> u32 {
    u32::try_from(seconds.unwrap_or(0).max(0)).unwrap_or(u32::MAX)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
