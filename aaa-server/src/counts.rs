//! Counters by word: every answer, refusal and drop. Plain atomics, read by the health page and the log. Each lane has
//! its own, so that receive threads do not pass one cache line to and fro; whoever reads adds them up.

use access::word::{Dropped, Refusal};
use std::sync::atomic::{AtomicU64, Ordering};

/// What was answered, by the kind of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// Access-Accept.
    Accept,
    /// Access-Reject.
    Reject,
    /// Accounting-Response.
    Accounting,
    /// An answer to Status-Server.
    Status,
    /// An answer that was sent again to a duplicate.
    Again,
    /// Protocol-Error (RFC 7930).
    ProtocolError,
}

impl Answered {
    const ALL: [(Answered, &'static str); 6] = [
        (Answered::Accept, "accept"),
        (Answered::Reject, "reject"),
        (Answered::Accounting, "accounting"),
        (Answered::Status, "status"),
        (Answered::Again, "again"),
        (Answered::ProtocolError, "protocol_error"),
    ];
}

/// The counters of a running door.
pub struct Counts {
    received: AtomicU64,
    answered: Vec<AtomicU64>,
    refused: Vec<AtomicU64>,
    dropped: Vec<AtomicU64>,
}

impl Default for Counts {
    fn default() -> Self {
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            received: AtomicU64::new(0),
            answered: zeros(Answered::ALL.len()),
            refused: zeros(Refusal::all().len()),
            dropped: zeros(Dropped::all().len()),
        }
    }
}

impl Counts {
    /// A datagram came.
    pub fn received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    /// An answer left.
    pub fn answered(&self, kind: Answered) {
        self.answered[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A request was refused.
    pub fn refused(&self, word: Refusal) {
        if let Some(index) = Refusal::all().iter().position(|known| *known == word) {
            self.refused[index].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A request was left unanswered.
    pub fn dropped(&self, word: Dropped) {
        if let Some(index) = Dropped::all().iter().position(|known| *known == word) {
            self.dropped[index].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often a drop happened.
    #[cfg(test)]
    fn drops_of(&self, word: Dropped) -> u64 {
        Dropped::all()
            .iter()
            .position(|known| *known == word)
            .map_or(0, |index| self.dropped[index].load(Ordering::Relaxed))
    }

    /// Datagrams that came.
    pub fn total_received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Adds what others have counted.
    pub fn sum<'c>(all: impl IntoIterator<Item = &'c Counts>) -> Counts {
        let sum = Counts::default();
        let add = |to: &AtomicU64, from: &AtomicU64| {
            to.fetch_add(from.load(Ordering::Relaxed), Ordering::Relaxed);
        };
        for counts in all {
            add(&sum.received, &counts.received);
            for (to, from) in [
                (&sum.answered, &counts.answered),
                (&sum.refused, &counts.refused),
                (&sum.dropped, &counts.dropped),
            ] {
                to.iter().zip(from).for_each(|(to, from)| add(to, from));
            }
        }
        sum
    }

    /// Answers by kind, with the word for it.
    pub fn answers(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.answered.iter().map(|c| c.load(Ordering::Relaxed));
        Answered::ALL.iter().map(|(_, word)| *word).zip(counts)
    }

    /// Refusals by word.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.refused.iter().map(|c| c.load(Ordering::Relaxed));
        Refusal::all().iter().map(|word| word.word()).zip(counts)
    }

    /// Drops by word.
    pub fn drops(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.dropped.iter().map(|c| c.load(Ordering::Relaxed));
        Dropped::all().iter().map(|word| word.word()).zip(counts)
    }

    /// Everything that is not zero, by word.
    pub fn to_json(&self) -> serde_json::Value {
        let named = |counts: &mut dyn Iterator<Item = (&'static str, u64)>| {
            counts
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| (name.to_owned(), count.into()))
                .collect::<serde_json::Map<_, _>>()
        };
        serde_json::json!({
            "received": self.total_received(),
            "answered": named(&mut self.answers()),
            "refused": named(&mut self.refusals()),
            "dropped": named(&mut self.drops()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_told_by_their_word() {
        let counts = Counts::default();
        counts.dropped(Dropped::UnknownNas);
        counts.dropped(Dropped::UnknownNas);
        counts.refused(Refusal::WrongPassword);
        counts.answered(Answered::Reject);
        let json = counts.to_json();
        assert_eq!(json["dropped"], serde_json::json!({"unknown_nas": 2}));
        assert_eq!(json["refused"], serde_json::json!({"wrong_password": 1}));
        assert_eq!(json["answered"], serde_json::json!({"reject": 1}));
        assert_eq!(counts.drops_of(Dropped::UnknownNas), 2);
    }

    #[test]
    fn every_kind_of_answer_has_its_place() {
        for (index, (kind, _)) in Answered::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, index);
        }
    }
}
