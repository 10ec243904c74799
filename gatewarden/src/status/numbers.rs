//! A server's vital signs as the health pages' concerns and as Prometheus metrics.
//!
//! Labels are bounded: words are closed enums, and only the busiest NASes are named.

use aaa_server::ServerHealth;
use aaa_server::nas_book::NasRates;
use aaa_server::vitals::{Counter, NasVitals, TroubleKind, Vitals, troubles};
use mgmt_api::metrics::{Family, Kind};
use mgmt_api::{Concern, Health};

/// NASes with numbers of their own in `/metrics`; the rest is summed as `other`. Each is about a dozen time series.
const MAX_LABELLED_NASES: usize = 100;
/// The label of all the others.
const OTHER: &str = "other";

/// What the health pages read.
pub struct Pages(pub ServerHealth);

impl Health for Pages {
    fn waits_for(&self) -> Option<String> {
        let vitals = self.0.vitals();
        vitals.waits_for.map(|waits| waits.sentence().to_owned())
    }

    fn concerns(&self) -> Vec<Concern> {
        troubles(&self.0.vitals())
            .into_iter()
            .map(|trouble| Concern {
                word: trouble.kind.word(),
                sentence: trouble.sentence,
                remedy: trouble.remedy,
            })
            .collect()
    }

    fn details(&self) -> serde_json::Value {
        self.0.to_json()
    }

    fn metrics(&self) -> Vec<Family> {
        families(&self.0.vitals())
    }
}

fn yes(is: bool) -> f64 {
    f64::from(u8::from(is))
}

fn by_word(
    name: &'static str,
    help: &'static str,
    label: &'static str,
    counters: &[Counter],
) -> Family {
    let mut family = Family::new(Kind::Counter, name, help);
    for counter in counters {
        family.put(&[(label, &counter.word)], counter.total as f64);
    }
    family
}

/// Every number there is.
pub fn families(vitals: &Vitals) -> Vec<Family> {
    let counter =
        |name, help, value: u64| Family::new(Kind::Counter, name, help).with(value as f64);
    let gauge = |name, help, value: f64| Family::new(Kind::Gauge, name, help).with(value);
    let traffic = &vitals.traffic;
    let mut families = vec![
        info(vitals),
        gauge(
            "gatewarden_uptime_seconds",
            "Seconds since the server started.",
            vitals.uptime_seconds as f64,
        ),
        gauge(
            "gatewarden_ready",
            "1 while logins are decided and reports are taken.",
            yes(vitals.waits_for.is_none()),
        ),
        concerns(vitals),
        counter(
            "gatewarden_received_total",
            "Datagrams received.",
            traffic.received.total,
        ),
        by_word(
            "gatewarden_answers_total",
            "Answers sent, by kind.",
            "kind",
            &traffic.answered,
        ),
        by_word(
            "gatewarden_refusals_total",
            "Access-Rejects, by reason (docs/words.md).",
            "word",
            &traffic.refused,
        ),
        by_word(
            "gatewarden_drops_total",
            "Requests left unanswered, by reason (docs/words.md).",
            "word",
            &traffic.dropped,
        ),
    ];
    families.extend(queues(vitals));
    families.extend(journal(vitals));
    let database = &vitals.database;
    families.extend([
        gauge(
            "gatewarden_database_reachable",
            "1 while the database answers.",
            yes(database.is_reachable),
        ),
        gauge(
            "gatewarden_database_round_trip_seconds",
            "How long the database's last answer to a trivial question took.",
            database.round_trip_micros as f64 / 1e6,
        ),
        gauge(
            "gatewarden_register_people",
            "People in memory.",
            vitals.register.people as f64,
        ),
        gauge(
            "gatewarden_register_nases",
            "NASes in memory.",
            vitals.register.nases as f64,
        ),
        gauge(
            "gatewarden_open_sessions",
            "Sessions that are open.",
            vitals.register.open_sessions as f64,
        ),
        gauge(
            "gatewarden_remembered_proofs",
            "Slow proofs that need not be made again for a while.",
            vitals.register.remembered_proofs as f64,
        ),
        gauge(
            "gatewarden_register_age_seconds",
            "How old the facts in memory are at most.",
            vitals.register.age_seconds as f64,
        ),
    ]);
    families.extend(nases(&vitals.nases));
    families
}

fn info(vitals: &Vitals) -> Family {
    let mut family = Family::new(
        Kind::Gauge,
        "gatewarden_info",
        "Which program this is; always 1.",
    );
    let labels = [
        ("version", vitals.version.as_str()),
        ("node", vitals.node.as_str()),
        ("database", vitals.database.engine.as_str()),
    ];
    family.put(&labels, 1.0);
    family
}

/// One for each kind of trouble: a kind that is absent now must be seen to be absent.
fn concerns(vitals: &Vitals) -> Family {
    let found = troubles(vitals);
    let mut family = Family::new(
        Kind::Gauge,
        "gatewarden_concerns",
        "What an operator should see to, by kind: 'gatewarden status' says more.",
    );
    for kind in TroubleKind::all() {
        let count = found.iter().filter(|trouble| trouble.kind == *kind).count();
        family.put(&[("word", kind.word())], count as f64);
    }
    family
}

fn queues(vitals: &Vitals) -> [Family; 3] {
    let queues = &vitals.queues;
    let mut waiting = Family::new(
        Kind::Gauge,
        "gatewarden_queue_length",
        "Work that waits, by queue.",
    );
    let mut limits = Family::new(
        Kind::Gauge,
        "gatewarden_queue_limit",
        "How much may wait, by queue.",
    );
    for (name, queue) in [
        ("delayed_refusals", queues.delayed),
        ("slow_proofs", queues.proofs),
        ("lookups", queues.lookups),
        ("attempts", queues.attempts),
    ] {
        waiting.put(&[("queue", name)], queue.waiting as f64);
        limits.put(&[("queue", name)], queue.limit as f64);
    }
    let lost = Family::new(
        Kind::Counter,
        "gatewarden_attempts_lost_total",
        "Attempts that were not kept for 'explain'.",
    )
    .with(queues.attempts_lost as f64);
    [waiting, limits, lost]
}

fn journal(vitals: &Vitals) -> Vec<Family> {
    let Some(journal) = &vitals.journal else {
        return Vec::new();
    };
    let counter =
        |name, help, value: u64| Family::new(Kind::Counter, name, help).with(value as f64);
    let gauge = |name, help, value: f64| Family::new(Kind::Gauge, name, help).with(value);
    vec![
        counter(
            "gatewarden_journal_durable_total",
            "Position up to which accounting reports are on disk.",
            journal.durable,
        ),
        counter(
            "gatewarden_journal_applied_total",
            "Position up to which the database has them.",
            journal.applied,
        ),
        gauge(
            "gatewarden_journal_backlog_records",
            "Reports that the database does not have yet.",
            journal.backlog_records as f64,
        ),
        gauge(
            "gatewarden_journal_backlog_seconds",
            "How old the oldest report is at most that the database does not have yet.",
            journal.backlog_seconds as f64,
        ),
        gauge(
            "gatewarden_journal_queued_records",
            "Reports that wait for the disk.",
            journal.queued_records as f64,
        ),
        gauge(
            "gatewarden_journal_disk_bytes",
            "Size of the journal on disk.",
            journal.bytes_on_disk as f64,
        ),
        gauge(
            "gatewarden_journal_limit_bytes",
            "How large it may become.",
            journal.max_bytes as f64,
        ),
        counter(
            "gatewarden_journal_syncs_total",
            "Batches synced to disk.",
            journal.syncs,
        ),
        counter(
            "gatewarden_journal_errors_total",
            "Disk errors.",
            journal.errors,
        ),
        gauge(
            "gatewarden_journal_failing",
            "1 while the last write failed.",
            yes(journal.is_failing),
        ),
    ]
}

/// A number of a NAS that only grows.
type Total = (&'static str, &'static str, fn(&NasRates) -> u64);

const TOTALS: [Total; 7] = [
    (
        "gatewarden_nas_requests_total",
        "Verified requests, by NAS.",
        |nas| nas.requests,
    ),
    (
        "gatewarden_nas_duplicates_total",
        "Retransmissions, by NAS: what it takes for loss.",
        |nas| nas.duplicates,
    ),
    (
        "gatewarden_nas_accepts_total",
        "Access-Accepts, by NAS.",
        |nas| nas.accepts,
    ),
    (
        "gatewarden_nas_rejects_total",
        "Access-Rejects, by NAS.",
        |nas| nas.rejects,
    ),
    (
        "gatewarden_nas_accounting_total",
        "Accounting-Responses, by NAS.",
        |nas| nas.accounting,
    ),
    (
        "gatewarden_nas_drops_total",
        "Requests left unanswered, by NAS.",
        |nas| nas.dropped,
    ),
    (
        "gatewarden_nas_secret_mismatches_total",
        "Packets that none of the NAS's secrets fitted.",
        |nas| nas.mismatches,
    ),
];

/// The busiest by name. Who is among them may change: a sum over all of them is right at any time only for those that
/// stay named, so rules should look at one NAS, or at the door's own totals.
fn nases(nases: &[NasVitals]) -> Vec<Family> {
    let (named, others) = nases.split_at(nases.len().min(MAX_LABELLED_NASES));
    // Names are people's choice and may be given twice; places are not.
    let label = |nas: &NasVitals| {
        [
            nas.organisation.clone(),
            nas.name.clone(),
            nas.place.clone(),
        ]
    };
    let mut families = Vec::new();
    for (name, help, read) in TOTALS {
        let mut family = Family::new(Kind::Counter, name, help);
        for nas in named {
            let [organisation, name, place] = label(nas);
            family.put(
                &[
                    ("organisation", &organisation),
                    ("nas", &name),
                    ("place", &place),
                ],
                read(&nas.rates) as f64,
            );
        }
        if !others.is_empty() {
            let sum: u64 = others.iter().map(|nas| read(&nas.rates)).sum();
            let labels = [("organisation", OTHER), ("nas", OTHER), ("place", OTHER)];
            family.put(&labels, sum as f64);
        }
        families.push(family);
    }
    let mut latency = Family::new(
        Kind::Gauge,
        "gatewarden_nas_latency_seconds",
        "How long answers took in the last one to two minutes, by NAS and quantile.",
    );
    for nas in named {
        let Some(told) = nas.rates.latency else {
            continue;
        };
        let [organisation, name, place] = label(nas);
        for (quantile, micros) in [("0.5", told.p50_micros), ("0.99", told.p99_micros)] {
            let labels = [
                ("organisation", organisation.as_str()),
                ("nas", name.as_str()),
                ("place", place.as_str()),
                ("quantile", quantile),
            ];
            latency.put(&labels, micros as f64 / 1e6);
        }
    }
    families.push(latency);
    families
}
