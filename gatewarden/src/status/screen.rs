//! The one screen: problems first, then rates, what waits, and the NASes that need a look.
//!
//! Names come from the network and from people: they go through `clean`.

use super::{FromDatabase, holder_remedy, holder_sentence};
use crate::output::{clean, duration, octets};
use aaa_server::Vitals;
use aaa_server::vitals::{Counter, NasVitals, Queue, Trouble};
use std::io::IsTerminal;
use std::path::Path;

/// NASes on the screen: it is one screen.
const MAX_NASES: usize = 12;
/// Words of one kind on one line.
const MAX_WORDS: usize = 5;
/// A name is cut here.
const MAX_NAME_CHARS: usize = 24;

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ink(bool);

impl Ink {
    /// Colours only where somebody looks who has not asked for none.
    pub fn choose() -> Self {
        Self(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none())
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self.0 {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }

    /// A heading.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// What is well.
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// What is worth a look.
    pub fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// What turns somebody away.
    pub fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }
}

/// The screen of a running server.
pub fn lines(
    vitals: &Vitals,
    troubles: &[Trouble],
    database: &FromDatabase,
    ink: Ink,
) -> Vec<String> {
    let mut lines = vec![head(vitals, troubles, database, ink)];
    for purpose in ["authentication", "accounting"] {
        let mut addresses: Vec<String> = vitals
            .listeners
            .iter()
            .filter(|listener| listener.purpose == purpose)
            .map(|listener| listener.address.to_string())
            .collect();
        addresses.dedup();
        if !addresses.is_empty() {
            lines.push(format!("{purpose:<16}{}", addresses.join("  ")));
        }
    }
    lines.push(String::new());
    for trouble in troubles {
        let mark = match trouble.kind.is_grave() {
            true => ink.red("!!"),
            false => ink.yellow(" !"),
        };
        lines.push(format!("{mark} {}", clean(&trouble.sentence)));
        lines.push(format!("   {}", clean(&trouble.remedy)));
    }
    for holder in &database.holders {
        lines.push(format!(
            "{} {}",
            ink.yellow(" !"),
            clean(&holder_sentence(holder))
        ));
        lines.push(format!("   {}", clean(&holder_remedy(holder))));
    }
    if let Some(error) = &database.error {
        lines.push(format!(
            "   The database could not be asked who keeps a transaction open: {}",
            clean(error)
        ));
    }
    if !troubles.is_empty() || !database.holders.is_empty() || database.error.is_some() {
        lines.push(String::new());
    }
    traffic(vitals, ink, &mut lines);
    lines.push(String::new());
    waiting(vitals, ink, &mut lines);
    nases(vitals, ink, &mut lines);
    lines
}

/// What is said when no server runs here.
pub fn nobody(data: &Path, database: &FromDatabase) -> Vec<String> {
    let mut lines = vec![format!(
        "No server runs on the data folder {}.",
        data.display()
    )];
    lines.push(
        "Start one with 'gatewarden serve'; one that runs as another user is asked as that user."
            .into(),
    );
    match &database.error {
        Some(error) => lines.push(format!(
            "The database cannot be asked either: {}",
            clean(error)
        )),
        None => lines.push("The database answers.".into()),
    }
    for holder in &database.holders {
        lines.push(format!(" ! {}", clean(&holder_sentence(holder))));
        lines.push(format!("   {}", clean(&holder_remedy(holder))));
    }
    for nas in &database.nases {
        lines.push(format!(
            "   NAS {} was last seen {}; {} packets ever did not fit its secret.",
            clean(&nas.name),
            nas.last_seen.to_rfc3339(),
            nas.secret_mismatches
        ));
    }
    lines
}

fn head(vitals: &Vitals, troubles: &[Trouble], database: &FromDatabase, ink: Ink) -> String {
    let state = match (vitals.waits_for, troubles.len() + database.holders.len()) {
        (Some(_), _) => ink.red("NOT READY"),
        (None, 0) => ink.green("READY, all is well"),
        (None, 1) => ink.yellow("READY, one thing to see to"),
        (None, count) => ink.yellow(&format!("READY, {count} things to see to")),
    };
    let up = duration(i64::try_from(vitals.uptime_seconds).unwrap_or(i64::MAX));
    let node: String = vitals.node.chars().take(8).collect();
    format!(
        "{}  {state}  up {up}  process {}  node {node}",
        ink.bold(&format!("gatewarden {}", vitals.version)),
        vitals.pid
    )
}

fn rate(per_second: f64) -> String {
    match per_second {
        0.0 => "0".to_owned(),
        rate if rate < 10.0 => format!("{rate:.1}"),
        rate => format!("{rate:.0}"),
    }
}

fn traffic(vitals: &Vitals, ink: Ink, lines: &mut Vec<String>) {
    let traffic = &vitals.traffic;
    lines.push(ink.bold(&format!(
        "{:<22}{:>10}{:>14}",
        "REQUESTS", "PER SECOND", "TOTAL"
    )));
    let mut line = |name: &str, counter: &Counter| {
        lines.push(format!(
            "{name:<22}{:>10}{:>14}",
            rate(counter.per_second),
            counter.total
        ));
    };
    line("received", &traffic.received);
    for (word, name) in [
        ("accept", "accepted"),
        ("reject", "refused"),
        ("accounting", "accounting answered"),
        ("status", "status answered"),
        ("again", "answered again"),
    ] {
        if let Some(counter) = traffic.answered.iter().find(|known| known.word == word) {
            line(name, counter);
        }
    }
    let dropped = Counter {
        word: String::new(),
        total: traffic.dropped.iter().map(|counter| counter.total).sum(),
        per_second: traffic
            .dropped
            .iter()
            .map(|counter| counter.per_second)
            .sum(),
    };
    line("unanswered", &dropped);
    for (name, counters) in [
        ("refused for", &traffic.refused),
        ("unanswered for", &traffic.dropped),
    ] {
        if !counters.is_empty() {
            lines.push(format!("{name:<22}{}", words(counters)));
        }
    }
}

/// The words of the last ten seconds first, then those that were frequent.
fn words(counters: &[Counter]) -> String {
    let mut sorted: Vec<&Counter> = counters.iter().collect();
    sorted.sort_by(|a, b| {
        b.per_second
            .total_cmp(&a.per_second)
            .then(b.total.cmp(&a.total))
    });
    let mut texts: Vec<String> = sorted
        .iter()
        .take(MAX_WORDS)
        .map(|counter| match counter.per_second {
            0.0 => format!("{} {}", counter.word, counter.total),
            now => format!("{} {} ({}/s)", counter.word, counter.total, rate(now)),
        })
        .collect();
    if sorted.len() > MAX_WORDS {
        texts.push("…".to_owned());
    }
    texts.join(", ")
}

fn waiting(vitals: &Vitals, ink: Ink, lines: &mut Vec<String>) {
    let queues = &vitals.queues;
    let mut line = |name: &str, text: String| {
        lines.push(format!("{}{text}", ink.bold(&format!("{name:<12}"))))
    };
    line(
        "QUEUES",
        format!(
            "slow proofs {}, lookups {}, delayed refusals {}, attempts to keep {}",
            of(queues.proofs),
            of(queues.lookups),
            of(queues.delayed),
            of(queues.attempts),
        ),
    );
    line(
        "JOURNAL",
        match &vitals.journal {
            None => "reports are not taken yet".to_owned(),
            Some(journal) => {
                let backlog = match journal.backlog_records {
                    0 => "the database has every report".to_owned(),
                    1 => "1 report is on its way to the database".to_owned(),
                    count => format!(
                        "{count} reports wait for the database, up to {} old",
                        duration(i64::try_from(journal.backlog_seconds).unwrap_or(i64::MAX))
                    ),
                };
                let size = |bytes: u64| octets(i64::try_from(bytes).unwrap_or(i64::MAX));
                format!(
                    "{backlog}; {} of {} on disk",
                    size(journal.bytes_on_disk),
                    size(journal.max_bytes)
                )
            }
        },
    );
    let database = &vitals.database;
    line(
        "DATABASE",
        match database.is_reachable {
            true => format!(
                "{}, answers in {}",
                database.engine,
                micros(database.round_trip_micros)
            ),
            false => format!("{}, does not answer", database.engine),
        },
    );
    let register = &vitals.register;
    line(
        "REGISTER",
        format!(
            "{} people, {} NASes, {} open sessions, {} proofs in memory; {}",
            register.people,
            register.nases,
            register.open_sessions,
            register.remembered_proofs,
            match (register.is_ready, register.age_seconds) {
                (false, _) => "still loading".to_owned(),
                (true, 0) => "follows the database".to_owned(),
                (true, age) => format!("{} old", duration(i64::try_from(age).unwrap_or(i64::MAX))),
            }
        ),
    );
}

fn of(queue: Queue) -> String {
    format!("{}/{}", queue.waiting, queue.limit)
}

fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..100_000 => format!("{:.1} ms", micros as f64 / 1e3),
        100_000..1_000_000 => format!("{:.0} ms", micros as f64 / 1e3),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}

/// The ones that need a look first, then the busiest.
fn nases(vitals: &Vitals, ink: Ink, lines: &mut Vec<String>) {
    if vitals.nases.is_empty() {
        return;
    }
    let mut sorted: Vec<&NasVitals> = vitals.nases.iter().collect();
    let need = |nas: &NasVitals| {
        let lately = &nas.rates.per_second[2];
        lately.mismatches > 0.0 || lately.dropped > 0.0 || lately.loss() > 0.1
    };
    // Stable: the busiest stay in front among equals.
    sorted.sort_by_key(|nas| !need(nas));
    lines.push(String::new());
    lines.push(ink.bold(&format!(
        "{:<width$} {:<18} {:>8} {:>6} {:>9} {:>9} {:>9} {:>9}  {}",
        "NAS",
        "PLACE",
        "PER SEC",
        "LOSS",
        "P50",
        "P99",
        "UNANSW.",
        "MISMATCH",
        "LAST UNANSWERED FOR",
        width = MAX_NAME_CHARS,
    )));
    for nas in sorted.iter().take(MAX_NASES) {
        let rates = &nas.rates;
        let latency = |read: fn(&aaa_server::nas_book::Percentiles) -> u64| {
            rates
                .latency
                .as_ref()
                .map_or("-".to_owned(), |told| micros(read(told)))
        };
        let row = format!(
            "{:<width$} {:<18} {:>8} {:>6} {:>9} {:>9} {:>9} {:>9}  {}",
            cut(&nas.name, MAX_NAME_CHARS),
            cut(&nas.place, 18),
            rate(rates.per_second[1].requests),
            format!("{:.0} %", rates.per_second[2].loss() * 100.0),
            latency(|told| told.p50_micros),
            latency(|told| told.p99_micros),
            rates.dropped,
            rates.mismatches,
            rates.last_drop.map_or("", access::word::Dropped::word),
            width = MAX_NAME_CHARS,
        );
        let row = row.trim_end();
        lines.push(match need(nas) {
            true => ink.yellow(row),
            false => row.to_owned(),
        });
    }
    let hidden = sorted.len().saturating_sub(MAX_NASES) as u64 + vitals.nases_left_out;
    if hidden > 0 {
        lines.push(format!("… and {hidden} more: --json has them"));
    }
}

fn cut(text: &str, width: usize) -> String {
    let text = clean(text);
    match text.chars().count() <= width {
        true => text.into_owned(),
        false => text.chars().take(width - 1).chain(['…']).collect(),
    }
}
