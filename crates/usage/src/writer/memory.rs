//! What the writer remembers of open sessions, so that a report about one of them costs no read.
//!
//! Only a session that was just written is remembered, with the version it has by then. The statement that writes it
//! next names this version: where another has changed the row meanwhile nothing is written, and the batch is applied
//! again to what is stored. So memory is a guess that is always checked, and may be lost at any time. What a batch takes
//! out of it goes back only after the commit.
//!
//! A session is kept as octets, as tight as it gets: there are many.

use crate::report::Details;
use crate::session::store::Key;
use crate::session::{Ledger, Session, write};
use kernel::Time;
use kernel::id::Uuid;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// Octets of all that is remembered: some seventy thousand sessions of a usual size. What was not heard of for longest
/// goes.
const MAX_OCTETS: usize = 32 << 20;
/// What an entry takes beside its octets.
const ENTRY_OCTETS: usize = 80;

/// Open sessions by key.
#[derive(Debug, Default)]
pub struct Memory {
    hashes: RandomState,
    by_key: HashMap<u64, Entry>,
    /// In the order in which they were heard of, with those that were taken out or heard of again since.
    order: VecDeque<(u64, u64)>,
    /// Counts what was put in.
    number: u64,
    octets: usize,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    octets: Box<[u8]>,
}

impl Memory {
    /// Takes a session out.
    pub(super) fn take(&mut self, key: &Key) -> Option<Session> {
        let hash = self.hashes.hash_one(key);
        let session = decode(&self.remove(hash)?)?;
        // Two keys may have one hash.
        (session.nas_id == key.nas
            && session.acct_session_id == key.session_id
            && session.identity == key.identity)
            .then_some(session)
    }

    /// Remembers a session as it was just committed.
    pub(super) fn put(&mut self, session: &Session) {
        let Some(octets) = encode(session) else {
            return;
        };
        let hash = self.hashes.hash_one(Key::of(session));
        self.remove(hash);
        self.number += 1;
        self.octets += octets.len() + ENTRY_OCTETS;
        let entry = Entry {
            number: self.number,
            octets: octets.into(),
        };
        self.by_key.insert(hash, entry);
        if self.order.len() > 2 * self.by_key.len() {
            let is_current = |(number, hash): &(u64, u64)| {
                let known = self.by_key.get(hash);
                known.is_some_and(|entry| entry.number == *number)
            };
            self.order.retain(is_current);
        }
        self.order.push_back((self.number, hash));
        while self.octets > MAX_OCTETS
            && let Some((number, hash)) = self.order.pop_front()
        {
            let known = self.by_key.get(&hash);
            if known.is_some_and(|entry| entry.number == number) {
                self.remove(hash);
            }
        }
    }

    fn remove(&mut self, hash: u64) -> Option<Box<[u8]>> {
        let entry = self.by_key.remove(&hash)?;
        self.octets -= entry.octets.len() + ENTRY_OCTETS;
        Some(entry.octets)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Memory::default();
    }

    /// How many sessions are remembered.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_int(out: &mut Vec<u8>, value: i64) {
    put_number(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn put_octets(out: &mut Vec<u8>, value: Option<&[u8]>) {
    put_number(out, value.map_or(0, |octets| octets.len() as u64 + 1));
    out.extend_from_slice(value.unwrap_or_default());
}

fn encode(s: &Session) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(512);
    for id in [s.id, s.organisation_id, s.nas_id] {
        out.extend_from_slice(id.as_bytes());
    }
    put_octets(
        &mut out,
        s.membership_id.as_ref().map(|id| &id.as_bytes()[..]),
    );
    for time in [s.started, s.updated, s.reported] {
        put_int(&mut out, time.unix_micros());
    }
    for option in [s.stopped.map(Time::unix_micros), s.interval_seconds] {
        put_number(&mut out, option.is_some().into());
        put_int(&mut out, option.unwrap_or(0));
    }
    for int in [
        s.generation,
        s.session_seconds,
        s.input_octets,
        s.output_octets,
        s.input_packets,
        s.output_packets,
        s.wraps,
        s.reports,
        s.version,
    ] {
        put_int(&mut out, int);
    }
    let ledger = write::ledger_text(s).ok()?;
    for text in [&s.acct_session_id, &s.identity, &s.nas_ip_address, &ledger] {
        put_octets(&mut out, Some(text.as_bytes()));
    }
    let texts = [
        &s.unique_id,
        &s.group_name,
        &s.connection_info_start,
        &s.connection_info_stop,
        &s.terminate_cause,
        &s.other,
    ];
    for text in texts.into_iter().chain(s.details.texts()) {
        put_octets(&mut out, text.as_deref().map(str::as_bytes));
    }
    Some(out)
}

/// Reads what [`encode`] made; none where anything is missing.
struct Octets<'a>(&'a [u8]);

impl<'a> Octets<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let [octet] = *self.take(1)?.first_chunk()?;
            number |= u64::from(octet & 0x7f).checked_shl(shift)?;
            if octet < 0x80 {
                return Some(number);
            }
            shift += 7;
        }
    }

    fn int(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn time(&mut self) -> Option<Time> {
        self.int().map(Time::from_unix_micros)
    }

    fn option(&mut self) -> Option<Option<i64>> {
        let is_there = self.number()? == 1;
        let value = self.int()?;
        Some(is_there.then_some(value))
    }

    fn id(&mut self) -> Option<Uuid> {
        Uuid::from_slice(self.take(16)?).ok()
    }

    fn octets(&mut self) -> Option<Option<&'a [u8]>> {
        match self.number()? {
            0 => Some(None),
            length => Some(Some(self.take(usize::try_from(length).ok()? - 1)?)),
        }
    }

    fn text(&mut self) -> Option<Option<String>> {
        match self.octets()? {
            None => Some(None),
            Some(octets) => Some(Some(String::from_utf8(octets.to_vec()).ok()?)),
        }
    }
}

fn decode(octets: &[u8]) -> Option<Session> {
    let mut from = Octets(octets);
    let (id, organisation_id, nas_id) = (from.id()?, from.id()?, from.id()?);
    let membership_id = match from.octets()? {
        None => None,
        Some(octets) => Some(Uuid::from_slice(octets).ok()?),
    };
    let (started, updated, reported) = (from.time()?, from.time()?, from.time()?);
    let stopped = from.option()?.map(Time::from_unix_micros);
    let interval_seconds = from.option()?;
    Some(Session {
        id,
        organisation_id,
        nas_id,
        membership_id,
        started,
        updated,
        reported,
        stopped,
        interval_seconds,
        generation: from.int()?,
        session_seconds: from.int()?,
        input_octets: from.int()?,
        output_octets: from.int()?,
        input_packets: from.int()?,
        output_packets: from.int()?,
        wraps: from.int()?,
        reports: from.int()?,
        version: from.int()?,
        acct_session_id: from.text()??,
        identity: from.text()??,
        nas_ip_address: from.text()??,
        ledger: Ledger::try_from(from.text()??).ok()?,
        unique_id: from.text()?,
        group_name: from.text()?,
        connection_info_start: from.text()?,
        connection_info_stop: from.text()?,
        terminate_cause: from.text()?,
        other: from.text()?,
        details: Details::from_texts(|| from.text())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{INTERIM, START, Sent, report};
    use crate::{Session, Status};
    use chrono_tz::Tz;

    fn session(n: u128) -> Session {
        let start = Sent::new(START, 0)
            .put(30, b"AA:Guest")
            .put(26, &[0, 0, 0, 9, 1, 4, 65, 66]);
        let mut session = Session::new(Uuid::from_u128(n), 0, &start.read());
        session.acct_session_id = format!("s{n}");
        session.apply(&start.read(), Tz::UTC);
        session.apply(&Sent::new(INTERIM, 60).counts(60, 7, 9).read(), Tz::UTC);
        session
    }

    #[test]
    fn a_session_is_remembered_as_it_was() {
        let mut stopped = session(1);
        stopped.apply(&report(Status::Stop, 90), Tz::UTC);
        stopped.unique_id = Some(String::new());
        for session in [session(1), stopped] {
            let octets = encode(&session).unwrap();
            assert_eq!(decode(&octets).as_ref(), Some(&session));
            for length in 0..octets.len() {
                assert_eq!(decode(&octets[..length]), None, "{length}");
            }
            let mut memory = Memory::default();
            memory.put(&session);
            memory.put(&session);
            assert_eq!(memory.len(), 1);
            assert_eq!(memory.take(&Key::of(&session)), Some(session.clone()));
            assert_eq!(memory.take(&Key::of(&session)), None);
            assert_eq!(memory.octets, 0);
        }
    }

    #[test]
    fn what_was_not_heard_of_for_longest_goes_first() {
        let mut memory = Memory::default();
        let mut large = session(0);
        large.other = Some("x".repeat(1 << 20));
        let named = |n: usize| Session {
            acct_session_id: format!("s{n}"),
            ..large.clone()
        };
        let count = 2 * (MAX_OCTETS >> 20);
        for n in 0..count {
            memory.put(&named(n));
            // Heard of again with every other one.
            memory.put(&named(0));
            assert!(memory.octets <= MAX_OCTETS);
            assert!(memory.order.len() <= 2 * memory.len() + 1);
        }
        assert!(memory.len() >= count / 2 - 2, "{}", memory.len());
        assert!(memory.take(&Key::of(&named(count - 1))).is_some());
        assert!(memory.take(&Key::of(&named(0))).is_some());
        assert!(memory.take(&Key::of(&named(1))).is_none());
    }

    #[test]
    fn what_is_taken_out_and_put_back_for_ever_takes_no_more_memory() {
        let mut memory = Memory::default();
        let sessions = [session(1), session(2), session(3)];
        for session in sessions.iter().cycle().take(1_000) {
            memory.take(&Key::of(session));
            memory.put(session);
            assert!(memory.order.len() <= 2 * sessions.len() + 1);
        }
        assert_eq!(memory.len(), sessions.len());
    }
}
