//! What an operator should do something about: one closed list, each with what was seen and a remedy.

use super::{NasVitals, Vitals};
use access::word::Dropped;
use serde::{Deserialize, Serialize};

/// A journal that is fuller than this many hundredths is worth a word.
const NEARLY_FULL_PERCENT: u64 = 80;
/// A backlog older than this is no batch that is just being written.
const OLD_BACKLOG_SECONDS: u64 = 10;
/// A NAS that repeats more than this share of its requests takes us for lossy.
const MUCH_LOSS: f64 = 0.10;
/// Fewer requests in five minutes than this prove nothing.
const ENOUGH_REQUESTS: f64 = 20.0;
/// NASes named for one kind of trouble; the list shows the others.
const MAX_NAMED: usize = 5;

/// The kinds of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// Logins are not decided, or reports not taken.
    NotReady,
    /// The database does not answer.
    DatabaseAway,
    /// The journal cannot be written.
    JournalFailing,
    /// The journal cannot be read where the database needs it.
    JournalUnread,
    /// The journal is full, or nearly.
    JournalFilling,
    /// Reports are in neither the database nor the journal.
    ReportsMissing,
    /// The database is behind the journal.
    Backlog,
    /// Slow proofs are given up.
    Shedding,
    /// A sender is held to his share.
    Flood,
    /// Attempts find no room.
    AttemptsLost,
    /// A NAS has another secret than we.
    SecretMismatch,
    /// A NAS repeats much of what it asks.
    Loss,
    /// Somebody asks whom nobody knows.
    UnknownNas,
}

impl TroubleKind {
    /// Every kind.
    pub fn all() -> &'static [TroubleKind] {
        &[
            TroubleKind::NotReady,
            TroubleKind::DatabaseAway,
            TroubleKind::JournalFailing,
            TroubleKind::JournalUnread,
            TroubleKind::JournalFilling,
            TroubleKind::ReportsMissing,
            TroubleKind::Backlog,
            TroubleKind::Shedding,
            TroubleKind::Flood,
            TroubleKind::AttemptsLost,
            TroubleKind::SecretMismatch,
            TroubleKind::Loss,
            TroubleKind::UnknownNas,
        ]
    }

    /// For logs, metrics and the API.
    pub fn word(self) -> &'static str {
        match self {
            TroubleKind::NotReady => "not_ready",
            TroubleKind::DatabaseAway => "database_away",
            TroubleKind::JournalFailing => "journal_failing",
            TroubleKind::JournalUnread => "journal_unread",
            TroubleKind::JournalFilling => "journal_filling",
            TroubleKind::ReportsMissing => "reports_missing",
            TroubleKind::Backlog => "backlog",
            TroubleKind::Shedding => "shedding",
            TroubleKind::Flood => "flood",
            TroubleKind::AttemptsLost => "attempts_lost",
            TroubleKind::SecretMismatch => "secret_mismatch",
            TroubleKind::Loss => "loss",
            TroubleKind::UnknownNas => "unknown_nas",
        }
    }

    /// Whether people or reports are turned away because of it, or reports do not arrive.
    pub fn is_grave(self) -> bool {
        matches!(
            self,
            TroubleKind::NotReady
                | TroubleKind::DatabaseAway
                | TroubleKind::JournalFailing
                | TroubleKind::JournalUnread
                | TroubleKind::Shedding
        )
    }
}

/// One of them, as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Which.
    pub kind: TroubleKind,
    /// What was seen.
    pub sentence: String,
    /// What to do.
    pub remedy: String,
}

impl Trouble {
    fn new(kind: TroubleKind, sentence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            kind,
            sentence: sentence.into(),
            remedy: remedy.into(),
        }
    }
}

/// Everything that is wrong, the gravest first.
pub fn troubles(vitals: &Vitals) -> Vec<Trouble> {
    let mut found = Vec::new();
    if let Some(waits_for) = vitals.waits_for {
        found.push(Trouble::new(
            TroubleKind::NotReady,
            waits_for.sentence(),
            "Wait for READY; if it does not come, the log names what is missing.",
        ));
    }
    let database = &vitals.database;
    if !database.is_reachable {
        let age = vitals.register.age_seconds;
        let goes_on = match vitals.waits_for {
            None => "Logins are still answered from memory, reports are kept in the journal.",
            Some(_) => "",
        };
        let text = format!(
            "The database has not answered for {age} s: {}. {goes_on}",
            database.error.as_deref().unwrap_or("no reason given"),
        );
        found.push(Trouble::new(
            TroubleKind::DatabaseAway,
            text.trim_end(),
            Dropped::DatabaseAway.remedy(),
        ));
    }
    if let Some(journal) = &vitals.journal {
        if journal.is_failing {
            found.push(Trouble::new(
                TroubleKind::JournalFailing,
                "The accounting journal cannot be written: reports are not acknowledged, so NASes keep them.",
                Dropped::JournalFailed.remedy(),
            ));
        }
        if let Some(unread) = &journal.unread {
            found.push(Trouble::new(
                TroubleKind::JournalUnread,
                format!(
                    "{} reports do not reach the database: {unread}. New ones are still taken.",
                    journal.backlog_records
                ),
                "Stop the server, run 'gatewarden journal salvage', which keeps what is whole and says what is lost, and start it again.",
            ));
        }
        if let Some(missing) = &journal.missing {
            found.push(Trouble::new(
                TroubleKind::ReportsMissing,
                format!(
                    "{missing} accounting reports are missing: the database was put back to a state before them, and the journal no longer has them."
                ),
                "Restore a newer backup if there is one. This line goes with the next start; the log keeps it.",
            ));
        }
        let percent = journal.bytes_on_disk * 100 / journal.max_bytes.max(1);
        if percent >= NEARLY_FULL_PERCENT && journal.backlog_records > 0 {
            found.push(Trouble::new(
                TroubleKind::JournalFilling,
                format!(
                    "The accounting journal is {percent} % full and the database is behind it."
                ),
                "Bring the database back, or give the journal more room: [radius] journal_mib.",
            ));
        }
        let is_explained = !database.is_reachable || journal.unread.is_some();
        if journal.backlog_seconds >= OLD_BACKLOG_SECONDS && !is_explained {
            found.push(Trouble::new(
                TroubleKind::Backlog,
                format!(
                    "The database is up to {} s behind the accounting journal ({} reports).",
                    journal.backlog_seconds, journal.backlog_records
                ),
                "Look at what the database is busy with, or whether a table is locked; nothing is lost meanwhile.",
            ));
        }
    }
    if let Some(shed) = vitals.traffic.drop_of(Dropped::Shed.word())
        && shed.per_second > 0.0
    {
        found.push(Trouble::new(
            TroubleKind::Shedding,
            format!(
                "{:.1} logins a second are given up: more slow password hashes wait than can be computed in time.",
                shed.per_second
            ),
            Dropped::Shed.remedy(),
        ));
    }
    if let Some(flood) = vitals.traffic.drop_of(Dropped::Flood.word())
        && flood.per_second > 0.0
    {
        found.push(Trouble::new(
            TroubleKind::Flood,
            format!(
                "{:.1} requests a second are dropped unread: somebody sends more than his share, and more comes than can be worked on.",
                flood.per_second
            ),
            Dropped::Flood.remedy(),
        ));
    }
    if vitals.queues.attempts_lost > 0 {
        found.push(Trouble::new(
            TroubleKind::AttemptsLost,
            format!(
                "{} attempts are not kept for 'explain': the database did not take them in time.",
                vitals.queues.attempts_lost
            ),
            "Bring the database back or make it faster; logins and accounting are not touched by this.",
        ));
    }
    nas_troubles(vitals, &mut found);
    if let Some(strangers) = vitals.traffic.drop_of(Dropped::UnknownNas.word())
        && strangers.per_second > 0.0
    {
        found.push(Trouble::new(
            TroubleKind::UnknownNas,
            format!(
                "{:.1} requests a second come from addresses that are no NAS of ours.",
                strangers.per_second
            ),
            "The log names the addresses. Add the NAS with 'gatewarden nas add ADDRESS', or block the sender.",
        ));
    }
    found
}

/// A NAS by its name, and its place where the name does not tell it.
fn called(nas: &NasVitals) -> String {
    match nas.name.contains(&nas.place) {
        true => format!("NAS {}", nas.name),
        false => format!("NAS {} ({})", nas.name, nas.place),
    }
}

fn nas_troubles(vitals: &Vitals, found: &mut Vec<Trouble>) {
    let mismatched = vitals
        .nases
        .iter()
        .filter(|nas| nas.rates.per_second[2].mismatches > 0.0);
    for nas in mismatched.take(MAX_NAMED) {
        found.push(Trouble::new(
            TroubleKind::SecretMismatch,
            format!(
                "{} sent {:.0} packets in five minutes that its shared secret does not fit.",
                called(nas),
                (nas.rates.per_second[2].mismatches * 300.0).max(1.0)
            ),
            Dropped::SharedSecretMismatch.remedy(),
        ));
    }
    let lossy = vitals.nases.iter().filter(|nas| {
        let rates = nas.rates.per_second[2];
        rates.requests * 300.0 >= ENOUGH_REQUESTS && rates.loss() > MUCH_LOSS
    });
    for nas in lossy.take(MAX_NAMED) {
        found.push(Trouble::new(
            TroubleKind::Loss,
            format!(
                "{} repeats {:.0} % of its requests.",
                called(nas),
                nas.rates.per_second[2].loss() * 100.0
            ),
            "Packets are lost on the way, or the NAS repeats too early: give it a time-out of 3 to 5 seconds, and look at its latency here.",
        ));
    }
}
