//! Rolling rates of each NAS over the last ten seconds, minute and five minutes.

use super::{Counted, Latency, Percentiles};
use access::nas::NasId;
use access::word::Dropped;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// NASes remembered, at about 1.5 kB each; the one that was silent for longest makes room.
pub const MAX_NASES: usize = 10_000;
/// Seconds in one step of the rates.
const STEP_SECONDS: u64 = 10;
/// Steps remembered: five minutes, and the one that is filling.
const STEPS: usize = 31;
/// Latency is told of the present minute and the one before.
const LATENCY_SECONDS: u64 = 60;
/// The windows, in seconds.
pub const WINDOWS: [u64; 3] = [10, 60, 300];

/// Numbers of one step.
#[derive(Debug, Clone, Copy, Default)]
struct Step {
    requests: u32,
    duplicates: u32,
    accepts: u32,
    rejects: u32,
    accounting: u32,
    dropped: u32,
    mismatches: u32,
}

/// Numbers a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Verified requests.
    pub requests: f64,
    /// Retransmissions among them.
    pub duplicates: f64,
    /// Access-Accepts.
    pub accepts: f64,
    /// Access-Rejects.
    pub rejects: f64,
    /// Accounting-Responses.
    pub accounting: f64,
    /// Requests left unanswered.
    pub dropped: f64,
    /// Packets that none of its secrets fitted.
    pub mismatches: f64,
}

impl Rates {
    fn add(&mut self, step: &Step, factor: f64) {
        self.requests += f64::from(step.requests) * factor;
        self.duplicates += f64::from(step.duplicates) * factor;
        self.accepts += f64::from(step.accepts) * factor;
        self.rejects += f64::from(step.rejects) * factor;
        self.accounting += f64::from(step.accounting) * factor;
        self.dropped += f64::from(step.dropped) * factor;
        self.mismatches += f64::from(step.mismatches) * factor;
    }

    /// Retransmissions as a share of all requests: what the NAS takes for loss.
    pub fn loss(&self) -> f64 {
        match self.requests > 0.0 {
            true => self.duplicates / self.requests,
            false => 0.0,
        }
    }
}

/// What is told of one NAS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NasRates {
    /// Which.
    pub nas: NasId,
    /// Over the last ten seconds, minute, five minutes (see [`WINDOWS`]).
    pub per_second: [Rates; 3],
    /// Since the start: verified requests.
    pub requests: u64,
    /// Since the start: retransmissions.
    pub duplicates: u64,
    /// Since the start: Access-Accepts.
    pub accepts: u64,
    /// Since the start: Access-Rejects.
    pub rejects: u64,
    /// Since the start: Accounting-Responses.
    pub accounting: u64,
    /// Since the start: requests left unanswered.
    pub dropped: u64,
    /// Why the last of these was.
    pub last_drop: Option<Dropped>,
    /// Since the start: packets that none of its secrets fitted.
    pub mismatches: u64,
    /// How long answers took in the last one to two minutes.
    pub latency: Option<Percentiles>,
    /// Seconds since anything was counted.
    pub silent_seconds: u64,
}

struct Rolling {
    steps: [Step; STEPS],
    /// The step that fills, counted from the clock's beginning.
    step: u64,
    minute: u64,
    latency: [Latency; 2],
    totals: [u64; 7],
    last_drop: Option<Dropped>,
    last: u64,
}

impl Rolling {
    fn new(second: u64) -> Self {
        Self {
            steps: [Step::default(); STEPS],
            step: second / STEP_SECONDS,
            minute: second / LATENCY_SECONDS,
            latency: [Latency::default(), Latency::default()],
            totals: [0; 7],
            last_drop: None,
            last: second,
        }
    }

    fn turn(&mut self, second: u64) {
        let step = second / STEP_SECONDS;
        let passed = step.saturating_sub(self.step).min(STEPS as u64);
        for back in 0..passed {
            self.steps[((step - back) % STEPS as u64) as usize] = Step::default();
        }
        self.step = self.step.max(step);
        let minute = second / LATENCY_SECONDS;
        match minute.saturating_sub(self.minute) {
            0 => {}
            1 => {
                self.latency.swap(0, 1);
                self.latency[0] = Latency::default();
            }
            _ => self.latency = [Latency::default(), Latency::default()],
        }
        self.minute = self.minute.max(minute);
    }

    fn add(&mut self, second: u64, counted: &Counted) {
        self.turn(second);
        self.last = self.last.max(second);
        let step = &mut self.steps[(self.step % STEPS as u64) as usize];
        let pairs = [
            (&mut step.requests, counted.requests),
            (&mut step.duplicates, counted.duplicates),
            (&mut step.accepts, counted.accepts),
            (&mut step.rejects, counted.rejects),
            (&mut step.accounting, counted.accounting),
            (&mut step.dropped, counted.dropped),
            (&mut step.mismatches, counted.mismatches),
        ];
        for ((counter, count), total) in pairs.into_iter().zip(&mut self.totals) {
            *counter = counter.saturating_add(count);
            *total = total.saturating_add(u64::from(count));
        }
        self.latency[0].merge(&counted.latency);
        self.last_drop = counted.last_drop.or(self.last_drop);
    }

    /// Numbers a second over the window that ends now: the oldest step counts for the part of it that lies inside.
    fn rates(&self, second: u64, window: u64) -> Rates {
        let now = second / STEP_SECONDS;
        let into = second % STEP_SECONDS;
        let whole = window / STEP_SECONDS;
        let mut rates = Rates::default();
        for back in 0..=whole {
            let Some(step) = now.checked_sub(back).filter(|step| *step <= self.step) else {
                continue;
            };
            if self.step - step >= STEPS as u64 {
                continue;
            }
            let share = match back == whole {
                true => (STEP_SECONDS - into) as f64 / STEP_SECONDS as f64,
                false => 1.0,
            };
            rates.add(
                &self.steps[(step % STEPS as u64) as usize],
                share / window as f64,
            );
        }
        rates
    }

    fn told(&self, nas: NasId, second: u64) -> NasRates {
        let [
            requests,
            duplicates,
            accepts,
            rejects,
            accounting,
            dropped,
            mismatches,
        ] = self.totals;
        let mut latency = Latency::default();
        let minute = second / LATENCY_SECONDS;
        for (age, part) in self.latency.iter().enumerate() {
            if minute.saturating_sub(self.minute) + (age as u64) < 2 {
                latency.merge(part);
            }
        }
        NasRates {
            nas,
            per_second: WINDOWS.map(|window| self.rates(second, window)),
            requests,
            duplicates,
            accepts,
            rejects,
            accounting,
            dropped,
            last_drop: self.last_drop,
            mismatches,
            latency: latency.percentiles(),
            silent_seconds: second.saturating_sub(self.last),
        }
    }
}

/// All of them.
#[derive(Default)]
pub struct NasBook {
    nases: HashMap<NasId, Box<Rolling>>,
    /// Requests of NASes that found no place in their lane's book.
    beyond: u64,
}

impl NasBook {
    pub(super) fn add(&mut self, second: u64, nas: NasId, counted: &Counted) {
        if self.nases.len() >= MAX_NASES && !self.nases.contains_key(&nas) {
            let quietest = self.nases.iter().min_by_key(|(_, rolling)| rolling.last);
            if let Some(quietest) = quietest.map(|(nas, _)| *nas) {
                self.nases.remove(&quietest);
            }
        }
        self.nases
            .entry(nas)
            .or_insert_with(|| Box::new(Rolling::new(second)))
            .add(second, counted);
    }

    pub(super) fn add_beyond(&mut self, requests: u64) {
        self.beyond = self.beyond.saturating_add(requests);
    }

    /// Requests that are in nobody's numbers, because there were too many NASes.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }

    /// Everybody's numbers, the busiest of the last minute first.
    pub fn list(&self, second: u64) -> Vec<NasRates> {
        let mut list: Vec<NasRates> = self
            .nases
            .iter()
            .map(|(nas, rolling)| rolling.told(*nas, second))
            .collect();
        list.sort_by(|a, b| {
            b.per_second[1]
                .requests
                .total_cmp(&a.per_second[1].requests)
                .then(b.requests.cmp(&a.requests))
                .then(a.nas.cmp(&b.nas))
        });
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::id::Uuid;

    const NAS: NasId = NasId(Uuid::from_u128(7));

    fn counted(requests: u32, duplicates: u32) -> Counted {
        Counted {
            requests,
            duplicates,
            ..Counted::nothing()
        }
    }

    #[test]
    fn a_steady_rate_is_told_as_it_is_in_every_window() {
        let mut book = NasBook::default();
        for second in 1_000..1_400 {
            book.add(second, NAS, &counted(20, 5));
        }
        let told = &book.list(1_400)[0];
        for rates in told.per_second {
            assert!((rates.requests - 20.0).abs() < 0.7, "{rates:?}");
            assert!((rates.loss() - 0.25).abs() < 0.001, "{rates:?}");
        }
        assert_eq!((told.requests, told.duplicates), (8_000, 2_000));
    }

    #[test]
    fn silence_empties_the_windows_one_after_the_other() {
        let mut book = NasBook::default();
        book.add(1_000, NAS, &counted(600, 0));
        let at = |second| book.list(second)[0].per_second.map(|rates| rates.requests);
        assert_eq!(at(1_000), [60.0, 10.0, 2.0]);
        assert_eq!(at(1_030), [0.0, 10.0, 2.0]);
        assert_eq!(at(1_100), [0.0, 0.0, 2.0]);
        assert_eq!(at(2_000), [0.0, 0.0, 0.0]);
        assert_eq!(book.list(2_000)[0].silent_seconds, 1_000);
    }

    #[test]
    fn latency_is_that_of_the_last_minutes() {
        let mut book = NasBook::default();
        let mut slow = counted(1, 0);
        slow.latency.add(1_000_000);
        book.add(600, NAS, &slow);
        assert!(book.list(660)[0].latency.is_some());
        assert!(book.list(720)[0].latency.is_none());
    }

    #[test]
    fn the_quietest_makes_room() {
        let mut book = NasBook::default();
        for n in 0..=MAX_NASES {
            let nas = NasId(Uuid::from_u128(n as u128));
            book.add(n as u64, nas, &counted(1, 0));
        }
        assert_eq!(book.nases.len(), MAX_NASES);
        assert!(!book.nases.contains_key(&NasId(Uuid::from_u128(0))));
    }
}
