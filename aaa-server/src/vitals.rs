//! How the door is: everything that `status`, `/metrics`, `/healthz` and `/readyz` tell about a running server, as one
//! value that can be sent to another process.
//!
//! `pulse` is the task that looks every second; `trouble` says what in all this an operator should do something about.
//! Nothing here may **ever** name a person, hold a secret, or be read by a receive thread.

mod pulse;
mod trouble;

pub use pulse::{Pulse, run};
pub use trouble::{Trouble, TroubleKind, troubles};

use crate::config::Purpose;
use crate::door::Shared;
use crate::nas_book::NasRates;
use access::register::{Policy, RegisterState};
use kernel::{Engine, Time};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

/// NASes told one by one, the busiest first: as many as a screen and a scrape may hold.
pub const MAX_TOLD_NASES: usize = 1_000;

/// A running door.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Vitals {
    /// Which program this is.
    pub version: String,
    /// The node's id.
    pub node: String,
    /// The process.
    pub pid: u32,
    /// When this was told.
    pub now: Time,
    /// Since the start.
    pub uptime_seconds: u64,
    /// Why logins are not decided or reports not taken; `None` when they are.
    pub waits_for: Option<WaitsFor>,
    /// Where it listens.
    pub listeners: Vec<Listener>,
    /// What came and what became of it.
    pub traffic: Traffic,
    /// Work that waits.
    pub queues: Queues,
    /// Accounting on its way to the database; `None` until the database said where to go on.
    pub journal: Option<JournalVitals>,
    /// The database.
    pub database: DatabaseVitals,
    /// Facts in memory.
    pub register: RegisterVitals,
    /// The busiest NASes.
    pub nases: Vec<NasVitals>,
    /// NASes that were seen and are not among these.
    pub nases_left_out: u64,
}

/// What a server that does not answer yet, or no longer, waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// The register is loading.
    Register,
    /// The database has not said up to where the journal is applied.
    Checkpoint,
    /// Another process took this node's id.
    Nothing,
}

impl WaitsFor {
    /// For metrics and the health page.
    pub fn word(self) -> &'static str {
        match self {
            WaitsFor::Register => "register",
            WaitsFor::Checkpoint => "checkpoint",
            WaitsFor::Nothing => "nothing",
        }
    }

    /// One sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            WaitsFor::Register => "The register is still loading: logins are not answered yet.",
            WaitsFor::Checkpoint => {
                "The database has not said yet up to where accounting is applied: reports are not taken."
            }
            WaitsFor::Nothing => {
                "Another process took this node's id: this one answers nothing any more."
            }
        }
    }
}

/// One address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Where.
    pub address: SocketAddr,
    /// `authentication` or `accounting`.
    pub purpose: String,
}

impl Listener {
    /// Of a bound socket.
    pub fn of(address: SocketAddr, purpose: Purpose) -> Self {
        let purpose = match purpose {
            Purpose::Authentication => "authentication",
            Purpose::Accounting => "accounting",
        };
        Self {
            address,
            purpose: purpose.to_owned(),
        }
    }
}

/// How often something happened.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counter {
    /// The word for it.
    pub word: String,
    /// Since the start.
    pub total: u64,
    /// Over the last ten seconds.
    pub per_second: f64,
}

/// What came and what became of it; only what happened at all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Datagrams.
    pub received: Counter,
    /// Answers by kind.
    pub answered: Vec<Counter>,
    /// Refusals by word.
    pub refused: Vec<Counter>,
    /// Requests left unanswered, by word.
    pub dropped: Vec<Counter>,
}

impl Traffic {
    /// How often a drop happened, and happens.
    pub fn drop_of(&self, word: &str) -> Option<&Counter> {
        self.dropped.iter().find(|counter| counter.word == word)
    }

    /// Numbers a second of one kind of answer.
    pub fn answer_rate(&self, word: &str) -> f64 {
        self.answered
            .iter()
            .find(|counter| counter.word == word)
            .map_or(0.0, |counter| counter.per_second)
    }
}

/// Something that waits, and how much of it may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Waiting now.
    pub waiting: u64,
    /// At most.
    pub limit: u64,
}

/// Work that waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queues {
    /// Refusals that wait for their moment.
    pub delayed: Queue,
    /// Slow proofs that wait for a thread.
    pub proofs: Queue,
    /// Requests whose names wait for the database.
    pub lookups: Queue,
    /// Attempts that wait for the database.
    pub attempts: Queue,
    /// Attempts that found no room, since the start.
    pub attempts_lost: u64,
}

/// The accounting journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalVitals {
    /// The position up to which reports are on disk.
    pub durable: u64,
    /// The position up to which the database has them.
    pub applied: u64,
    /// Reports that the database does not have yet.
    pub backlog_records: u64,
    /// How old the oldest of them is at most.
    pub backlog_seconds: u64,
    /// Reports that wait for the disk.
    pub queued_records: u64,
    /// Their size.
    pub queued_bytes: u64,
    /// On disk; what is applied is kept for a day.
    pub bytes_on_disk: u64,
    /// At most.
    pub max_bytes: u64,
    /// Batches synced, since the start.
    pub syncs: u64,
    /// Disk errors, since the start.
    pub errors: u64,
    /// The last write failed.
    pub is_failing: bool,
    /// Why reports do not go on to the database: where the journal cannot be read.
    pub unread: Option<String>,
    /// Reports that neither the database nor the journal has, since a restored backup was met.
    pub missing: Option<String>,
}

/// The database, as the last look found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseVitals {
    /// `sqlite` or `postgres`.
    pub engine: String,
    /// It answered the last time it was asked.
    pub is_reachable: bool,
    /// Since when it has not.
    pub away_since: Option<Time>,
    /// What was said instead.
    pub error: Option<String>,
    /// How long its answer took.
    pub round_trip_micros: u64,
}

/// Facts in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterVitals {
    /// Logins are decided from it.
    pub is_ready: bool,
    /// People in it.
    pub people: u64,
    /// NASes in it.
    pub nases: u64,
    /// Sessions that are open, as of a few seconds ago.
    pub open_sessions: u64,
    /// Slow proofs that are remembered, so that they need not be made again.
    pub remembered_proofs: u64,
    /// How old it is at most: since when its source has not been heard.
    pub age_seconds: u64,
}

/// One NAS: who it is, and what it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NasVitals {
    /// Its name.
    pub name: String,
    /// Its network or its identifier.
    pub place: String,
    /// Its organisation's short name.
    pub organisation: String,
    /// What it does.
    #[serde(flatten)]
    pub rates: NasRates,
}

impl Vitals {
    /// Of a running door.
    pub(crate) fn of(shared: &Shared) -> Self {
        let second = shared.started.elapsed().as_secs();
        let policy = shared.register.policy();
        let rates = shared.books.read(|book| book.list(second));
        let nases_left_out = rates.len().saturating_sub(MAX_TOLD_NASES) as u64;
        let nases = rates
            .into_iter()
            .take(MAX_TOLD_NASES)
            .filter_map(|rates| named(&policy, rates))
            .collect();
        let look = shared.pulse.look();
        let unheard_since = match shared.register.state() {
            RegisterState::Stale { since } => Some(since),
            _ => look.away_since,
        };
        let age_seconds =
            unheard_since.map_or(0, |since| shared.kernel.now().seconds_since(since).max(0));
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: shared.recorder.node().to_owned(),
            pid: std::process::id(),
            now: shared.kernel.now(),
            uptime_seconds: second,
            waits_for: waits_for(shared),
            listeners: shared.pulse.listeners(),
            traffic: shared.pulse.traffic(second, &shared.totals()),
            queues: Queues {
                delayed: Queue {
                    waiting: shared.delay.waiting() as u64,
                    limit: crate::delay::MAX_WAITING as u64,
                },
                proofs: Queue {
                    waiting: shared.pool.get().map_or(0, |pool| pool.waiting() as u64),
                    limit: crate::pool::MAX_QUEUE as u64,
                },
                lookups: Queue {
                    waiting: shared.lookups.waiting() as u64,
                    limit: crate::lookup::MAX_WAITING as u64,
                },
                attempts: Queue {
                    waiting: shared.recorder.waiting() as u64,
                    limit: crate::record::MAX_QUEUED as u64,
                },
                attempts_lost: shared.recorder.lost(),
            },
            journal: shared.journal.get().map(|journal| {
                let stats = journal.stats();
                let applied = shared.applied();
                let progress = shared.progress.get();
                JournalVitals {
                    durable: stats.durable.0,
                    applied: applied.0,
                    backlog_records: journal.records_beyond(applied),
                    backlog_seconds: look.backlog_seconds(second),
                    queued_records: stats.queued_records as u64,
                    queued_bytes: stats.queued_bytes,
                    bytes_on_disk: stats.bytes_on_disk,
                    max_bytes: stats.max_bytes,
                    syncs: stats.syncs,
                    errors: stats.errors,
                    is_failing: stats.failing,
                    unread: progress.and_then(usage::Progress::unread),
                    missing: progress
                        .and_then(usage::Progress::missing)
                        .map(|missing| missing.to_string()),
                }
            }),
            database: DatabaseVitals {
                engine: match shared.kernel.db.engine() {
                    Engine::Sqlite => "sqlite",
                    Engine::Postgres => "postgres",
                }
                .to_owned(),
                is_reachable: look.away_since.is_none(),
                away_since: look.away_since,
                error: look.error.clone(),
                round_trip_micros: look.round_trip_micros,
            },
            register: RegisterVitals {
                is_ready: shared.register.is_ready(),
                people: shared.register.people().len() as u64,
                nases: policy.nases.entries().len() as u64,
                open_sessions: look.open_sessions,
                remembered_proofs: shared.proofs.len() as u64,
                age_seconds: age_seconds.unsigned_abs(),
            },
            nases,
            nases_left_out,
        }
    }
}

fn waits_for(shared: &Shared) -> Option<WaitsFor> {
    if shared.evicted.load(Ordering::Acquire) {
        Some(WaitsFor::Nothing)
    } else if !shared.register.is_ready() {
        Some(WaitsFor::Register)
    } else if shared.journal.get().is_none() {
        Some(WaitsFor::Checkpoint)
    } else {
        None
    }
}

/// One that was removed meanwhile has no name and is passed over.
fn named(policy: &Policy, rates: NasRates) -> Option<NasVitals> {
    let nas = &policy.nases.by_id(rates.nas)?.nas;
    let place = match (&nas.network, &nas.identifier) {
        (Some(network), _) => network.to_string(),
        (None, identifier) => identifier.clone().unwrap_or_default(),
    };
    Some(NasVitals {
        name: nas.name.clone(),
        place,
        organisation: policy
            .organisations
            .get(&nas.organisation)
            .map(|known| known.slug.clone())
            .unwrap_or_default(),
        rates,
    })
}
