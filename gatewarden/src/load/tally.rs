//! What came of the questions, counted.

use super::answer::{FAULTS, Verdict};
use super::histogram::Histogram;
use super::work::{ALL, Work};

/// The longest run whose seconds are listed one by one: an hour.
const MAX_SECONDS: usize = 3_600;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The fate of the questions of one kind of work.
#[derive(Default)]
pub(super) struct Fates {
    /// Questions put, each counted once however often it was sent.
    pub asked: u64,
    pub accepted: u64,
    pub rejected: u64,
    pub challenged: u64,
    /// Given up without an answer.
    pub lost: u64,
    /// Answers that cannot be believed, by fault.
    pub bad: [u64; FAULTS],
    /// Accepted with a wrong password.
    pub wrongly_accepted: u64,
    /// Rejected with the right password.
    pub wrongly_rejected: u64,
    /// Believed answers that came within the measured time.
    pub in_window: u64,
    /// Accepted ones among them.
    pub accepted_in_window: u64,
    pub latency: Histogram,
}

impl Fates {
    pub(super) fn bad_total(&self) -> u64 {
        self.bad.iter().sum()
    }

    fn add(&mut self, other: &Fates) {
        self.asked += other.asked;
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.challenged += other.challenged;
        self.lost += other.lost;
        for (count, more) in self.bad.iter_mut().zip(other.bad) {
            *count += more;
        }
        self.wrongly_accepted += other.wrongly_accepted;
        self.wrongly_rejected += other.wrongly_rejected;
        self.in_window += other.in_window;
        self.accepted_in_window += other.accepted_in_window;
        self.latency.add(&other.latency);
    }
}

/// The counts of one thread, or of all.
#[derive(Default)]
pub(super) struct Tally {
    fates: [Fates; ALL.len()],
    /// Packets sent again.
    pub resent: u64,
    /// Believed answers to questions that had been answered or given up before.
    pub late: u64,
    /// Answers to nothing that was asked.
    pub stray: u64,
    /// Questions of an open loop that left more than a millisecond after their moment.
    pub delayed: u64,
    /// Questions of an open loop that never left: too many were without an answer.
    pub unsent: u64,
    /// How often the system said that nobody listens there.
    pub unreachable: u64,
    /// The end of the time that is counted, in nanoseconds since the start: when nothing more was asked, or, where the
    /// count ended it, when the last answer came.
    pub counted_until: u64,
    /// Sessions open at the end.
    pub open_sessions: u64,
    /// Believed answers in each second since the start.
    pub each_second: Vec<u32>,
}

impl Tally {
    pub(super) fn of(&mut self, work: Work) -> &mut Fates {
        &mut self.fates[work as usize]
    }

    /// The kinds of work that were asked.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (Work, &Fates)> {
        ALL.into_iter()
            .zip(&self.fates)
            .filter(|(_, fates)| fates.asked > 0)
    }

    /// All kinds together.
    pub(super) fn whole(&self) -> Fates {
        let mut whole = Fates::default();
        for fates in &self.fates {
            whole.add(fates);
        }
        whole
    }

    pub(super) fn add(&mut self, other: &Tally) {
        for (fates, more) in self.fates.iter_mut().zip(&other.fates) {
            fates.add(more);
        }
        self.resent += other.resent;
        self.late += other.late;
        self.stray += other.stray;
        self.delayed += other.delayed;
        self.unsent += other.unsent;
        self.unreachable += other.unreachable;
        self.counted_until = self.counted_until.max(other.counted_until);
        self.open_sessions += other.open_sessions;
        let seconds = self.each_second.len().max(other.each_second.len());
        self.each_second.resize(seconds, 0);
        for (count, more) in self.each_second.iter_mut().zip(&other.each_second) {
            *count += more;
        }
    }

    /// A believed answer at `now`, nanoseconds since the start.
    pub(super) fn believed_at(&mut self, now: u64) {
        let second = usize::try_from(now / NANOS_PER_SECOND).unwrap_or(usize::MAX);
        if second < MAX_SECONDS {
            if self.each_second.len() <= second {
                self.each_second.resize(second + 1, 0);
            }
            self.each_second[second] += 1;
        }
    }
}

/// An answer, as it is counted.
pub(super) struct Arrival {
    pub verdict: Verdict,
    /// The password was a wrong one.
    pub is_wrong: bool,
    /// It came before the measured time was over.
    pub is_in_window: bool,
    /// Nanoseconds since the question's moment.
    pub latency: u64,
}

impl Fates {
    pub(super) fn arrived(&mut self, arrival: &Arrival) {
        match arrival.verdict {
            Verdict::Bad(fault) => {
                self.bad[fault as usize] += 1;
                return;
            }
            Verdict::Accepted => {
                self.accepted += 1;
                self.wrongly_accepted += u64::from(arrival.is_wrong);
                self.accepted_in_window += u64::from(arrival.is_in_window);
            }
            Verdict::Rejected => {
                self.rejected += 1;
                self.wrongly_rejected += u64::from(!arrival.is_wrong);
            }
            Verdict::Challenged => self.challenged += 1,
        }
        self.in_window += u64::from(arrival.is_in_window);
        self.latency.record(arrival.latency);
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Fault;
    use super::*;

    #[test]
    fn each_verdict_is_counted_where_it_belongs() {
        let mut tally = Tally::default();
        let arrive = |tally: &mut Tally, verdict, is_wrong| {
            tally.of(Work::Pap).asked += 1;
            tally.of(Work::Pap).arrived(&Arrival {
                verdict,
                is_wrong,
                is_in_window: true,
                latency: 5,
            });
        };
        arrive(&mut tally, Verdict::Accepted, false);
        arrive(&mut tally, Verdict::Accepted, true);
        arrive(&mut tally, Verdict::Rejected, true);
        arrive(&mut tally, Verdict::Rejected, false);
        arrive(&mut tally, Verdict::Bad(Fault::Unsigned), false);
        let mut sum = Tally::default();
        sum.add(&tally);
        sum.add(&tally);
        let whole = sum.whole();
        assert_eq!((whole.asked, whole.accepted, whole.rejected), (10, 4, 4));
        assert_eq!((whole.wrongly_accepted, whole.wrongly_rejected), (2, 2));
        assert_eq!((whole.bad_total(), whole.bad[3]), (2, 2));
        assert_eq!((whole.in_window, whole.latency.total()), (8, 8));
        assert_eq!(sum.kinds().count(), 1);
    }

    #[test]
    fn seconds_are_listed_up_to_an_hour() {
        let mut tally = Tally::default();
        tally.believed_at(1_500_000_000);
        tally.believed_at(u64::MAX);
        assert_eq!(tally.each_second, [0, 1]);
    }
}
