//! The journal and the writer that drains it, on a disk and a database that both have their worst day: what was
//! acknowledged is in SQL in the end, each record of the journal exactly once, and the totals are those of a model.
//!
//! 200 seeds in `./test`, 10,000 in the soak; `GATEWARDEN_SEED=7 ./test exactly_once_whatever_happens` tries one.

use gatewarden_tests::lasting;
use gatewarden_tests::place::{NOON, Store};
use journal::sim::{Chance, SimDisk};
use journal::{Hooks, Journal, OpenError, Options, Position, Record, Verify};
use kernel::id::Uuid;
use kernel::{Engine, OrganisationId, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use usage::drain::{Ends, Step, Writer};
use usage::{ACCOUNTING_REPORT, Counter, Entry, Origin, Session, counters};

const LIVES: usize = 6;
const SESSIONS: usize = 4;
/// Reports of one session.
const REPORTS: u32 = 60;
const SECONDS: u32 = 10;
const OCTETS: u32 = 1_000;
/// Seeds that share one store.
const SEEDS_OF_A_STORE: u64 = 100;
/// Steps of a healthy writer to the end of a journal of this size.
const MAX_STEPS: usize = 10_000;

kernel::statements! {
    STATEMENTS;
    SESSIONS_OF = "SELECT * FROM session WHERE nas_id = $1 ORDER BY acct_session_id, generation";
    BREAK = "ALTER TABLE usage RENAME TO usage_away";
    MEND = "ALTER TABLE usage_away RENAME TO usage";
    FORGET_SESSIONS = "DELETE FROM session WHERE nas_id = $1";
    FORGET_USAGE = "DELETE FROM usage WHERE membership_id = $1";
    FORGET_CHECKPOINT = "DELETE FROM journal_checkpoint WHERE node = $1";
}

/// One report: which session, and which of its reports.
type Name = (usize, u32);

struct World<'a> {
    store: &'a Store,
    seed: u64,
    disk: SimDisk,
    chance: Chance,
    /// The next report of each session.
    next: [u32; SESSIONS],
    /// Sent and not acknowledged: the NAS sends them again.
    owed: BTreeSet<Name>,
    acknowledged: BTreeSet<Name>,
    is_sql_away: bool,
    /// What the test must have met.
    met: Met,
}

#[derive(Default)]
struct Met {
    acknowledged: u64,
    unacknowledged: u64,
    failed_steps: u64,
    put_back: u64,
    repeated: u64,
}

/// A journal, and what becomes of each report: durable, or not.
type Opened = (Arc<Journal<Name>>, Receiver<Result<Name, Name>>);

/// What a session comes to, by the journal.
#[derive(Default)]
struct Expected {
    distinct: i64,
    records: i64,
    last: u32,
}

struct Life {
    journal: Arc<Journal<Name>>,
    heard: Receiver<Result<Name, Name>>,
    writer: Writer,
}

impl World<'_> {
    fn nas(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.seed) + 1)
    }

    fn member(&self) -> Uuid {
        Uuid::from_u128((u128::from(self.seed) + 1) << 64)
    }

    fn node(&self) -> String {
        format!("{:032x}", self.seed)
    }

    fn entry(&self, (session, number): Name) -> Entry {
        let mut packet = vec![4, 1, 0, 0];
        packet.extend([0; 16]);
        let mut put = |kind: u8, value: &[u8]| {
            packet.extend([kind, u8::try_from(value.len() + 2).expect("a short value")]);
            packet.extend_from_slice(value);
        };
        let status: u32 = match number {
            0 => 1,
            last if last + 1 == REPORTS => 2,
            _ => 3,
        };
        let noon = u32::try_from(NOON).expect("before 2106");
        put(40, &status.to_be_bytes());
        put(44, format!("s{session}").as_bytes());
        put(1, b"alice");
        put(31, format!("02-00-00-00-00-{session:02}").as_bytes());
        put(46, &(number * SECONDS).to_be_bytes());
        put(42, &(number * OCTETS).to_be_bytes());
        put(43, &(number * 2 * OCTETS).to_be_bytes());
        put(55, &(noon + number * SECONDS).to_be_bytes());
        let length = u16::try_from(packet.len()).expect("a packet").to_be_bytes();
        packet[2..4].copy_from_slice(&length);
        Entry {
            received: Time::from_unix_seconds(NOON + i64::from(number * SECONDS)),
            nas: self.nas(),
            organisation: OrganisationId(Uuid::from_u128(0xb)),
            membership: Some(self.member()),
            group: None,
            source: [192, 0, 2, 1].into(),
            flips_octets: false,
            packet,
        }
    }

    fn open(&self) -> Result<Opened, OpenError> {
        let (say, heard) = channel();
        let failing = say.clone();
        let hooks = Hooks {
            committed: Box::new(move |done: &mut Vec<(Position, Name)>| {
                for (_, name) in done.drain(..) {
                    let _ = say.send(Ok(name));
                }
            }),
            failed: Box::new(move |undone: &mut Vec<Name>, _| {
                for name in undone.drain(..) {
                    let _ = failing.send(Err(name));
                }
            }),
        };
        let mut id = [0x55; 16];
        id[..8].copy_from_slice(&self.seed.to_be_bytes());
        let options = Options {
            segment_bytes: 4096,
            max_bytes: 1 << 20,
            verify: Verify::All,
            ..Options::new(id, Arc::new(|| NOON.unsigned_abs()))
        };
        let disk = Arc::new(self.disk.clone());
        let (journal, _) = Journal::open(disk, Path::new("/data"), options, hooks)?;
        Ok((Arc::new(journal), heard))
    }

    async fn begin(&self) -> Result<Life, OpenError> {
        let (journal, heard) = self.open()?;
        let (reading, releasing) = (journal.clone(), journal.clone());
        let ends = Ends {
            reader_at: Box::new(move |position| reading.reader(position)),
            release: Box::new(move |position| releasing.release(position)),
            zone_of: Box::new(|_| chrono_tz::Tz::UTC),
            on_applied: Box::new(|_| {}),
        };
        let origin = Origin {
            node: self.node(),
            journal: journal.id().to_string(),
        };
        let writer = Writer::new(self.store.kernel.clone(), origin, ends).await;
        let writer = writer.expect("SQL is there when a life begins");
        Ok(Life {
            journal,
            heard,
            writer,
        })
    }

    async fn run(&self, statements: &[(&'static str, Vec<kernel::Value>)]) {
        let mut tx = self.store.kernel.db.begin().await.expect("a transaction");
        for (sql, values) in statements {
            tx.run(sql, values.clone()).await.expect("it works");
        }
        tx.commit().await.expect("it is kept");
    }

    async fn set_sql_away(&mut self, is_away: bool) {
        if is_away != self.is_sql_away {
            self.run(&[(if is_away { BREAK } else { MEND }, Vec::new())])
                .await;
            self.is_sql_away = is_away;
        }
    }

    /// A backup from before the first report is put back.
    async fn put_back(&mut self) {
        self.set_sql_away(false).await;
        self.met.put_back += 1;
        self.run(&[
            (FORGET_SESSIONS, kernel::values![self.nas()]),
            (FORGET_USAGE, kernel::values![self.member()]),
            (FORGET_CHECKPOINT, kernel::values![self.node()]),
        ])
        .await;
    }

    /// The next report of a session, or one that was not acknowledged, or, now and then, one that was.
    fn pick(&mut self) -> Option<Name> {
        match self.chance.below(6) {
            0 if !self.acknowledged.is_empty() => {
                let at = self.chance.below(self.acknowledged.len());
                self.met.repeated += 1;
                return self.acknowledged.iter().nth(at).copied();
            }
            1 | 2 if !self.owed.is_empty() => {
                let at = self.chance.below(self.owed.len());
                return self.owed.iter().nth(at).copied();
            }
            _ => {}
        }
        let session = self.chance.below(SESSIONS);
        let number = self.next[session];
        if number == REPORTS {
            return None;
        }
        self.next[session] += 1;
        Some((session, number))
    }

    fn report(&mut self, life: &Life) {
        let count = 1 + self.chance.below(8);
        let mut waiting = 0;
        for _ in 0..count {
            let Some(name) = self.pick() else { continue };
            let bytes = self.entry(name).encode();
            if !self.acknowledged.contains(&name) {
                self.owed.insert(name);
            }
            waiting += u32::from(life.journal.append(ACCOUNTING_REPORT, bytes, name).is_ok());
        }
        for _ in 0..waiting {
            match life.heard.recv() {
                Ok(Ok(name)) => {
                    self.owed.remove(&name);
                    self.acknowledged.insert(name);
                    self.met.acknowledged += 1;
                }
                Ok(Err(_)) => self.met.unacknowledged += 1,
                Err(_) => return,
            }
        }
    }

    async fn live(&mut self) {
        self.disk
            .fail_per_mille([0, 0, 20, 150][self.chance.below(4)]);
        let capacity = (self.chance.below(5) == 0).then(|| self.chance.below(80_000));
        self.disk.set_capacity(capacity);
        if self.chance.below(3) > 0 {
            let steps = self.chance.draw() % 120;
            self.disk.cut_power_after(steps);
        }
        match self.begin().await {
            Ok(mut life) => {
                for _ in 0..self.chance.below(30) {
                    match self.chance.below(12) {
                        0 => {
                            let is_away = !self.is_sql_away;
                            self.set_sql_away(is_away).await;
                        }
                        1 if self.chance.below(4) == 0 => self.put_back().await,
                        2..=5 => {
                            let step = life.writer.step().await;
                            self.met.failed_steps += u64::from(step == Step::Failed);
                        }
                        _ => self.report(&life),
                    }
                }
            }
            Err(OpenError::Io { .. }) => {}
            Err(error) => panic!("seed {}: {error}", self.seed),
        }
        self.set_sql_away(false).await;
        match self.chance.below(3) {
            0 => self.disk.kill(),
            _ => self.disk.restart(),
        }
    }

    /// Everything is well again: the writer comes to the end, and SQL holds what the journal does.
    async fn compare(&mut self) {
        let seed = self.seed;
        self.disk.fail_per_mille(0);
        self.disk.set_capacity(None);
        self.disk.restart();
        let mut life = self.begin().await.expect("a healthy disk");
        self.report(&life);
        let mut steps = 0;
        while life.writer.step().await != Step::Idle {
            steps += 1;
            assert!(steps < MAX_STEPS, "seed {seed}: it does not end");
        }
        let records = self.records(&life.journal);
        let mut model: BTreeMap<usize, Expected> = BTreeMap::new();
        let mut kept = BTreeSet::new();
        for record in &records {
            let entry = Entry::decode(&record.bytes).expect("readable");
            let name = (0..SESSIONS)
                .flat_map(|session| (0..REPORTS).map(move |number| (session, number)))
                .find(|name| self.entry(*name) == entry);
            let name = name.unwrap_or_else(|| panic!("seed {seed}: {entry:?} was never sent"));
            let is_new = kept.insert(name);
            let expected = model.entry(name.0).or_default();
            expected.distinct += i64::from(is_new);
            expected.records += 1;
            expected.last = expected.last.max(name.1);
        }
        let lost: Vec<&Name> = self.acknowledged.difference(&kept).collect();
        assert!(lost.is_empty(), "seed {seed}: {lost:?} were acknowledged");
        let rows = self
            .store
            .kernel
            .db
            .all(SESSIONS_OF, kernel::values![self.nas()]);
        let rows: Vec<Session> = rows.await.expect("sessions can be read");
        assert_eq!(rows.len(), model.len(), "seed {seed}: sessions");
        for (row, (session, expected)) in rows.iter().zip(&model) {
            let found = (&*row.acct_session_id, row.session_seconds, row.input_octets);
            let seconds = i64::from(expected.last * SECONDS);
            let octets = i64::from(expected.last * OCTETS);
            let id = format!("s{session}");
            assert_eq!(found, (&*id, seconds, octets), "seed {seed}: {id}");
            // A report that comes again soon counts once; one that comes after many others may count as one more.
            let counts = expected.distinct..=expected.records;
            assert!(
                counts.contains(&row.reports),
                "seed {seed}: {id}: {} reports are not {counts:?}",
                row.reports
            );
        }
        for (counter, each) in [
            (Counter::Seconds, SECONDS),
            (Counter::InputOctets, OCTETS),
            (Counter::OutputOctets, 2 * OCTETS),
        ] {
            let (db, member) = (&self.store.kernel.db, self.member());
            let total = counters::total(db, member, counter, "2027-01-01", "2027-12-31").await;
            let wanted: u32 = model.values().map(|expected| expected.last * each).sum();
            assert_eq!(
                total.ok(),
                Some(i64::from(wanted)),
                "seed {seed}: {counter:?}"
            );
        }
    }

    fn records(&self, journal: &Journal<Name>) -> Vec<Record> {
        let mut reader = journal.reader(journal.stats().oldest);
        let mut records = Vec::new();
        loop {
            let batch = reader.next_batch(100, 1 << 20).expect("readable");
            if batch.is_empty() {
                return records;
            }
            records.extend(batch);
        }
    }
}

async fn survive(store: &Store, seed: u64) -> Met {
    let mut world = World {
        store,
        seed,
        disk: SimDisk::new(seed),
        chance: Chance::new(!seed),
        next: [0; SESSIONS],
        owed: BTreeSet::new(),
        acknowledged: BTreeSet::new(),
        is_sql_away: false,
        met: Met::default(),
    };
    for _ in 0..LIVES {
        world.live().await;
    }
    world.compare().await;
    world.met
}

#[tokio::test]
async fn what_was_acknowledged_is_counted_exactly_once_whatever_happens() {
    let mut store = Store::open(Engine::Sqlite).await;
    let seeds = lasting::seeds(200, 10_000);
    let (first, is_one) = (seeds.start, seeds.end - seeds.start == 1);
    let mut met = Met::default();
    for seed in seeds {
        // A store of its own for every so many: with all seeds in one, each takes longer than the one before.
        if seed > first && (seed - first).is_multiple_of(SEEDS_OF_A_STORE) {
            eprintln!("{} seeds", seed - first);
            store = Store::open(Engine::Sqlite).await;
        }
        let more = survive(&store, seed).await;
        met.acknowledged += more.acknowledged;
        met.unacknowledged += more.unacknowledged;
        met.failed_steps += more.failed_steps;
        met.put_back += more.put_back;
        met.repeated += more.repeated;
    }
    // The test must have met what it is about.
    assert!(
        is_one
            || (met.acknowledged > 10_000
                && met.unacknowledged > 500
                && met.failed_steps > 200
                && met.put_back > 50
                && met.repeated > 1_000),
        "{} {} {} {} {}",
        met.acknowledged,
        met.unacknowledged,
        met.failed_steps,
        met.put_back,
        met.repeated
    );
    assert_eq!(STATEMENTS.len(), 6);
}
