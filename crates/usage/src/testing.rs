//! A throw-away house and hand-made packets for the tests of this room.

use crate::entry::Entry;
use crate::report::{Report, Status};
use crate::writer::{Applied, Item, Origin, Outcome, Stretch, apply_batch};
use chrono_tz::Tz;
use journal::Position;
use kernel::db::Location;
use kernel::id::Uuid;
use kernel::{FixedClock, Kernel, Keyring, OrganisationId, SeededRng, Time};
use std::sync::Arc;

/// 2027-01-15, noon in UTC.
pub(crate) const NOON: i64 = 1_800_014_400;
pub(crate) const NAS: Uuid = Uuid::from_u128(0xa);
pub(crate) const ORGANISATION: Uuid = Uuid::from_u128(0xb);
pub(crate) const MEMBER: Uuid = Uuid::from_u128(0xc);
pub(crate) const DEVICE: &str = "02-00-00-00-00-01";

pub(crate) fn at(seconds: i64) -> Time {
    Time::from_unix_seconds(NOON + seconds)
}

pub(crate) fn utc(_organisation: Uuid) -> Tz {
    Tz::UTC
}

pub(crate) fn origin() -> Origin {
    Origin {
        node: "n".repeat(32),
        journal: "j".repeat(32),
    }
}

/// A report on its way to the journal; attributes are added one by one.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) entry: Entry,
}

impl Sent {
    /// A report of session "s1" of the usual device and member, received `seconds` after noon.
    pub(crate) fn new(status: u32, seconds: i64) -> Sent {
        Sent::bare(status, seconds)
            .put(44, b"s1")
            .put(31, DEVICE.as_bytes())
            .put(1, b"bob")
    }

    /// The same without any attribute but the status.
    pub(crate) fn bare(status: u32, seconds: i64) -> Sent {
        let entry = Entry {
            received: at(seconds),
            nas: NAS,
            organisation: OrganisationId(ORGANISATION),
            membership: Some(MEMBER),
            group: None,
            source: "192.0.2.1".parse().unwrap(),
            flips_octets: false,
            packet: [&[4, 1, 0, 20], &[0; 16][..]].concat(),
        };
        Sent { entry }.number(40, status)
    }

    pub(crate) fn put(mut self, kind: u8, value: &[u8]) -> Sent {
        let packet = &mut self.entry.packet;
        packet.extend_from_slice(&[kind, u8::try_from(value.len() + 2).unwrap()]);
        packet.extend_from_slice(value);
        let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
        packet[2..4].copy_from_slice(&length);
        self
    }

    /// The same said again, not the same packet.
    pub(crate) fn again(mut self) -> Sent {
        self.entry.packet[1] += 1;
        self
    }

    pub(crate) fn number(self, kind: u8, value: u32) -> Sent {
        self.put(kind, &value.to_be_bytes())
    }

    /// Session time, Input-Octets, Output-Octets.
    pub(crate) fn counts(self, seconds: u32, input: u32, output: u32) -> Sent {
        self.number(46, seconds)
            .number(42, input)
            .number(43, output)
    }

    pub(crate) fn read(&self) -> Report {
        Report::read(&self.entry).unwrap()
    }
}

pub(crate) const START: u32 = 1;
pub(crate) const STOP: u32 = 2;
pub(crate) const INTERIM: u32 = 3;
pub(crate) const ON: u32 = 7;

/// A report made of values, for the pure parts.
pub(crate) fn report(status: Status, event_seconds: i64) -> Report {
    static DIGEST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let mut report = Sent::new(INTERIM, event_seconds).read();
    report.status = status;
    report.digest = DIGEST.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    report
}

/// A kernel on a fresh SQLite file.
pub(crate) struct House {
    pub(crate) kernel: Kernel,
    pub(crate) clock: Arc<FixedClock>,
    position: std::sync::atomic::AtomicU64,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) async fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let db = Location::Sqlite(folder.path().join("house.db"))
        .open()
        .await
        .unwrap();
    let clock = Arc::new(FixedClock::new(at(0)));
    let keys = Keyring::parse(&Keyring::fresh_text(&SeededRng::new(7))).unwrap();
    let kernel = Kernel {
        db,
        clock: clock.clone(),
        rng: Arc::new(SeededRng::new(3)),
        keys: Arc::new(keys),
    };
    House {
        kernel,
        clock,
        position: 0.into(),
        folder,
    }
}

#[derive(sqlx::FromRow)]
struct CountRow {
    count: i64,
}

kernel::statements! {
    STATEMENTS;
    SESSIONS = "SELECT * FROM session ORDER BY started, id";
    PAST = "SELECT * FROM session_history ORDER BY started, id";
    USAGE = "SELECT membership_id, period, seconds, input_octets, output_octets FROM usage
        ORDER BY membership_id, period";
    UNREADABLE = "SELECT COUNT(*) AS count FROM report_unreadable";
}

impl House {
    /// Journals reports after those before, in memory.
    pub(crate) fn journalled(&self, sent: &[Sent]) -> Vec<Item> {
        use std::sync::atomic::Ordering;
        let next = || Position(self.position.fetch_add(1, Ordering::SeqCst) + 1);
        sent.iter()
            .map(|sent| (next(), Ok(sent.entry.clone())))
            .collect()
    }

    pub(crate) async fn apply_items(&self, items: &[Item]) -> Applied {
        let (first, upto) = (items.first().unwrap().0, items.last().unwrap().0);
        let after = Position(first.0 - 1);
        let stretch = Stretch { after, upto };
        match apply_batch(&self.kernel, &origin(), stretch, items, utc).await {
            Ok(Outcome::Applied(applied)) => applied,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn apply(&self, sent: &[Sent]) -> Applied {
        self.apply_items(&self.journalled(sent)).await
    }

    pub(crate) async fn sessions(&self) -> Vec<crate::Session> {
        self.kernel.db.all(SESSIONS, Vec::new()).await.unwrap()
    }

    pub(crate) async fn past(&self) -> Vec<crate::Session> {
        self.kernel.db.all(PAST, Vec::new()).await.unwrap()
    }

    /// Running totals as (counter, day, value).
    pub(crate) async fn usage(&self) -> Vec<(String, String, i64)> {
        let rows: Vec<crate::UsageRow> = self.kernel.db.all(USAGE, Vec::new()).await.unwrap();
        let of = |counter: crate::Counter| {
            let rows = rows.iter().filter(move |row| row.of(counter) != 0);
            rows.map(move |row| {
                (
                    counter.word().to_owned(),
                    row.period.clone(),
                    row.of(counter),
                )
            })
        };
        use crate::Counter::{InputOctets, OutputOctets, Seconds};
        [InputOctets, OutputOctets, Seconds]
            .into_iter()
            .flat_map(of)
            .collect()
    }

    pub(crate) async fn unreadable(&self) -> i64 {
        let row: Option<CountRow> = self.kernel.db.first(UNREADABLE, Vec::new()).await.unwrap();
        row.unwrap().count
    }

    /// Everything said so far: kind and subject.
    pub(crate) async fn news(&self) -> Vec<(String, Uuid)> {
        let events = self
            .kernel
            .db
            .events_after(kernel::Position::default())
            .await
            .unwrap();
        events
            .into_iter()
            .map(|event| (event.kind, event.subject))
            .collect()
    }
}

#[tokio::test]
async fn every_statement_is_understood() {
    let house = house().await;
    for (name, sql) in crate::statements(kernel::Engine::Sqlite)
        .iter()
        .chain(STATEMENTS)
    {
        let outcome = house.kernel.db.prepare(sql).await;
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}
