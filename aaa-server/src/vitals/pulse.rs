//! The look that is taken every second: what the lanes counted is collected, rates are remembered, and the database is
//! asked whether it is there. Whoever wants to know how the server is reads what was seen last and asks nobody.

use super::{Counter, Listener, Traffic};
use crate::config::Purpose;
use crate::door::Shared;
use crate::nas_book::DRAIN_EVERY;
use kernel::Time;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Rates are over so many seconds.
const WINDOW_SECONDS: u64 = 10;
/// How often the database is asked; one that is away is noticed within twice this.
const PING_EVERY_SECONDS: u64 = 2;
/// How often open sessions are counted: every one of up to two million is looked at, tens of milliseconds, which no page
/// that a load balancer asks for may cost.
const COUNT_SESSIONS_EVERY_SECONDS: u64 = 5;
/// An answer that takes longer is none.
const PING_PATIENCE: Duration = Duration::from_secs(2);
/// A sentence about the database is cut here.
const MAX_ERROR_CHARS: usize = 200;

/// What the last look found.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Since when the database has not answered.
    pub away_since: Option<Time>,
    /// What was said instead.
    pub error: Option<String>,
    /// How long its last answer took.
    pub round_trip_micros: u64,
    /// Sessions that were open when they were counted last.
    pub open_sessions: u64,
    /// The database has everything that was durable in this second.
    caught_up: u64,
    /// A later second and what was durable in it: the next thing to wait for. `None` while nothing is waited for.
    mark: Option<(u64, u64)>,
}

impl Look {
    /// How old the oldest report is at most that the database lacks. Under steady load something always waits, so this is
    /// about reports, not about how long ago nothing did.
    pub fn backlog_seconds(&self, second: u64) -> u64 {
        match self.mark {
            Some(_) => second.saturating_sub(self.caught_up),
            None => 0,
        }
    }
}

/// Totals of earlier seconds, and the last look.
#[derive(Default)]
pub struct Pulse {
    look: Mutex<Look>,
    samples: Mutex<VecDeque<(u64, serde_json::Value)>>,
    listeners: OnceLock<Vec<Listener>>,
}

impl Pulse {
    /// The last look.
    pub fn look(&self) -> Look {
        guard(&self.look).clone()
    }

    /// Says where the door listens, once its sockets are bound.
    pub(crate) fn set_listeners(&self, listeners: &[(SocketAddr, Purpose)]) {
        let listeners = listeners
            .iter()
            .map(|(address, purpose)| Listener::of(*address, *purpose));
        let _ = self.listeners.set(listeners.collect());
    }

    pub(super) fn listeners(&self) -> Vec<Listener> {
        self.listeners.get().cloned().unwrap_or_default()
    }

    fn keep(&self, second: u64, totals: serde_json::Value) {
        let mut samples = guard(&self.samples);
        samples.push_back((second, totals));
        while samples
            .front()
            .is_some_and(|(then, _)| second - then > WINDOW_SECONDS)
        {
            samples.pop_front();
        }
    }

    /// Totals with what they grew by in the last ten seconds.
    pub fn traffic(&self, second: u64, totals: &serde_json::Value) -> Traffic {
        let samples = guard(&self.samples);
        let nothing = serde_json::Value::Null;
        let (then, before) = samples
            .front()
            .map_or((0, &nothing), |(then, totals)| (*then, totals));
        let seconds = second.saturating_sub(then).max(1) as f64;
        let counter = |word: &str, total: u64, before: u64| Counter {
            word: word.to_owned(),
            total,
            per_second: total.saturating_sub(before) as f64 / seconds,
        };
        let number = |value: &serde_json::Value| value.as_u64().unwrap_or(0);
        let list = |group: &str| {
            let counted = totals[group].as_object();
            counted
                .into_iter()
                .flatten()
                .map(|(word, total)| counter(word, number(total), number(&before[group][word])))
                .collect()
        };
        Traffic {
            received: counter(
                "received",
                number(&totals["received"]),
                number(&before["received"]),
            ),
            answered: list("answered"),
            refused: list("refused"),
            dropped: list("dropped"),
        }
    }

    fn note_database(&self, now: Time, answer: Result<Duration, String>) {
        let mut look = guard(&self.look);
        match answer {
            Ok(took) => {
                look.away_since = None;
                look.error = None;
                look.round_trip_micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            }
            Err(error) => {
                look.away_since.get_or_insert(now);
                look.error = Some(error.chars().take(MAX_ERROR_CHARS).collect());
            }
        }
    }

    fn note_sessions(&self, open: usize) {
        guard(&self.look).open_sessions = open as u64;
    }

    fn note_backlog(&self, second: u64, durable: u64, applied: u64) {
        let mut look = guard(&self.look);
        if applied >= durable {
            look.caught_up = second;
            look.mark = None;
            return;
        }
        match look.mark {
            Some((_, waited_for)) if applied < waited_for => {}
            Some((marked, _)) => {
                look.caught_up = marked;
                look.mark = Some((second, durable));
            }
            None => look.mark = Some((second, durable)),
        }
    }
}

/// Looks every second until told to stop.
pub async fn run(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut pinged = None;
    let mut counted = None;
    loop {
        let second = shared.started.elapsed().as_secs();
        shared.books.drain(shared.kernel.now(), second);
        shared.pulse.keep(second, shared.totals());
        if let Some(journal) = shared.journal.get() {
            // Where nothing but a gap lies behind it, everything is applied.
            let (durable, applied) = (journal.durable(), shared.applied());
            let applied = match journal.records_beyond(applied) {
                0 => durable,
                _ => applied,
            };
            shared.pulse.note_backlog(second, durable.0, applied.0);
        }
        if counted.is_none_or(|at| second - at >= COUNT_SESSIONS_EVERY_SECONDS) {
            counted = Some(second);
            let counting = shared.clone();
            // Off the threads that serve everything else; each shard's lock is held for its own part only.
            if let Ok(open) = tokio::task::spawn_blocking(move || counting.usage.live.count()).await
            {
                shared.pulse.note_sessions(open);
            }
        }
        if pinged.is_none_or(|at| second - at >= PING_EVERY_SECONDS) {
            pinged = Some(second);
            let answer = match tokio::time::timeout(PING_PATIENCE, shared.kernel.db.ping()).await {
                Ok(answer) => answer.map_err(|e| e.to_string()),
                Err(_) => Err("it does not answer".to_owned()),
            };
            shared.pulse.note_database(shared.kernel.now(), answer);
        }
        if shared.pulse.look().away_since.is_none() {
            write_observations(&shared).await;
        }
        let stopping = tokio::select! {
            () = tokio::time::sleep(DRAIN_EVERY) => false,
            _ = stop.wait_for(|stop| *stop) => true,
        };
        if stopping {
            let second = shared.started.elapsed().as_secs();
            shared.books.drain(shared.kernel.now(), second);
            write_observations(&shared).await;
            return;
        }
    }
}

async fn write_observations(shared: &Shared) {
    let observations = shared.books.take_observations();
    if observations.is_empty() {
        return;
    }
    let written = access::observation::record(&shared.kernel, &observations);
    let is_written = matches!(
        tokio::time::timeout(PING_PATIENCE, written).await,
        Ok(Ok(()))
    );
    if !is_written {
        // Where part of them was stored already, a count may be told twice: these are advice, not accounting.
        shared.books.give_back(observations);
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rates_are_over_ten_seconds_or_since_the_start() {
        let pulse = Pulse::default();
        let totals = |n: u64| json!({"received": n, "answered": {"accept": n}, "refused": {}, "dropped": {}});
        assert_eq!(pulse.traffic(4, &totals(40)).received.per_second, 10.0);
        for second in 0..=60 {
            pulse.keep(second, totals(second * 7));
        }
        let traffic = pulse.traffic(60, &totals(420));
        assert_eq!(traffic.received.per_second, 7.0);
        assert_eq!(traffic.answer_rate("accept"), 7.0);
        assert_eq!(traffic.answered[0].total, 420);
        assert!(guard(&pulse.samples).len() <= 11);
    }

    #[test]
    fn the_database_is_away_since_it_first_did_not_answer() {
        let pulse = Pulse::default();
        let at = Time::from_unix_seconds;
        pulse.note_database(at(1), Err("gone".into()));
        pulse.note_database(at(5), Err("still gone".into()));
        assert_eq!(pulse.look().away_since, Some(at(1)));
        assert_eq!(pulse.look().error.as_deref(), Some("still gone"));
        pulse.note_database(at(9), Ok(Duration::from_micros(300)));
        assert_eq!((pulse.look().away_since, pulse.look().error), (None, None));
    }

    #[test]
    fn a_backlog_is_as_old_as_what_the_database_lacks() {
        let pulse = Pulse::default();
        pulse.note_backlog(5, 100, 100);
        pulse.note_backlog(6, 200, 100);
        assert_eq!(pulse.look().backlog_seconds(30), 25);
        pulse.note_backlog(31, 200, 200);
        assert_eq!(pulse.look().backlog_seconds(40), 0);
    }

    #[test]
    fn a_database_that_keeps_up_under_steady_load_is_not_behind() {
        let pulse = Pulse::default();
        // A thousand reports a second for an hour; the last fifty are always just being written.
        for second in 0..3_600 {
            let durable = second * 1_000 + 1_000;
            pulse.note_backlog(second, durable, durable - 50);
            assert!(pulse.look().backlog_seconds(second) <= 2, "{second}");
        }
        // It stands still.
        for second in 3_600..3_700 {
            pulse.note_backlog(second, second * 1_000 + 1_000, 3_600_000);
        }
        let age = pulse.look().backlog_seconds(3_700);
        assert!((100..=103).contains(&age), "{age}");
    }
}
