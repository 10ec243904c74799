//! The result, for people and for programs.

use super::answer::FAULT_NAMES;
use super::tally::{Fates, Tally};
use crate::failure::{FAILED, Failure};
use crate::output::{Facts, Output, Table};
use serde_json::{Value as Json, json};

const NANOS_PER_MILLI: f64 = 1e6;
/// NASes give up after about this: an answer that came later came for nobody.
const TIMELY_NANOS: u64 = 3_000_000_000;

/// A run that is over.
pub(super) struct Outcome {
    pub servers: Vec<String>,
    pub work: String,
    /// `closed, 256 outstanding` or `open, 1000/s`.
    pub pace: String,
    pub warm_up_seconds: f64,
    /// Seconds over which was counted.
    pub seconds: f64,
    /// Processor seconds this process used since the first packet, and the seconds that was.
    pub cpu_seconds: f64,
    pub wall_seconds: f64,
    pub is_open_loop: bool,
    pub tally: Tally,
}

impl Outcome {
    fn per_second(&self, count: u64) -> f64 {
        if self.seconds > 0.0 {
            count as f64 / self.seconds
        } else {
            0.0
        }
    }

    fn cpu_share(&self) -> f64 {
        if self.wall_seconds > 0.0 {
            self.cpu_seconds / self.wall_seconds
        } else {
            0.0
        }
    }

    /// Whether every question was answered as it ought to be.
    pub(super) fn is_clean(&self) -> bool {
        let whole = self.tally.whole();
        whole.lost + whole.bad_total() + whole.wrongly_accepted + whole.wrongly_rejected == 0
            && whole.challenged + self.tally.unsent + self.tally.stray == 0
    }

    /// Says it, and how the command ends.
    pub(super) fn say(&self, is_json: bool) -> Result<(), Failure> {
        let mut output = Output::default();
        match is_json {
            true => output.json(&self.json())?,
            false => self.text(&mut output)?,
        }
        output.flush()?;
        match self.is_clean() {
            true => Ok(()),
            false => Err(Failure::silent(FAILED)),
        }
    }

    fn json(&self) -> Json {
        let whole = self.tally.whole();
        let mut object = self.fates_json(&whole);
        let by_work: serde_json::Map<String, Json> = self
            .tally
            .kinds()
            .map(|(work, fates)| (work.name().to_owned(), self.fates_json(fates)))
            .collect();
        let more = json!({
            "servers": self.servers,
            "work": self.work,
            "pace": self.pace,
            "warm_up_seconds": round(self.warm_up_seconds),
            "seconds": round(self.seconds),
            "resent": self.tally.resent,
            "late": self.tally.late,
            "stray": self.tally.stray,
            "delayed": self.tally.delayed,
            "unsent": self.tally.unsent,
            "unreachable": self.tally.unreachable,
            "open_sessions": self.tally.open_sessions,
            "cpu_seconds": round(self.cpu_seconds),
            "cpu_share": round(self.cpu_share()),
            "clean": self.is_clean(),
            "each_second": self.tally.each_second,
            "by_work": by_work,
        });
        if let (Some(object), Json::Object(more)) = (object.as_object_mut(), more) {
            object.extend(more);
        }
        object
    }

    fn fates_json(&self, fates: &Fates) -> Json {
        let faults: serde_json::Map<String, Json> = FAULT_NAMES
            .iter()
            .zip(fates.bad)
            .map(|(name, count)| ((*name).to_owned(), count.into()))
            .collect();
        json!({
            "asked": fates.asked,
            "accepted": fates.accepted,
            "rejected": fates.rejected,
            "challenged": fates.challenged,
            "lost": fates.lost,
            "bad": fates.bad_total(),
            "bad_by_fault": faults,
            "wrongly_accepted": fates.wrongly_accepted,
            "wrongly_rejected": fates.wrongly_rejected,
            "answered_per_second": round(self.per_second(fates.in_window)),
            "accepted_per_second": round(self.per_second(fates.accepted_in_window)),
            "within_3_seconds": fates.latency.within(TIMELY_NANOS),
            "latency_milliseconds": {
                "p50": round(fates.latency.percentile(0.5) as f64 / NANOS_PER_MILLI),
                "p99": round(fates.latency.percentile(0.99) as f64 / NANOS_PER_MILLI),
                "p99_9": round(fates.latency.percentile(0.999) as f64 / NANOS_PER_MILLI),
                "max": round(fates.latency.greatest() as f64 / NANOS_PER_MILLI),
            },
        })
    }

    fn text(&self, output: &mut Output) -> Result<(), Failure> {
        let mut table = Table::new(&[
            "WORK",
            ">ASKED",
            ">ACCEPTED",
            ">REJECTED",
            ">LOST",
            ">BAD",
            ">PER SECOND",
            ">P50",
            ">P99",
            ">P99.9",
            ">MAX",
        ]);
        let mut row = |name: &str, fates: &Fates| {
            let rejected = fates.rejected + fates.challenged;
            let latency = |nanos: u64| time(nanos as f64);
            table.row([
                name.to_owned(),
                thousands(fates.asked),
                thousands(fates.accepted),
                thousands(rejected),
                thousands(fates.lost),
                thousands(fates.bad_total()),
                thousands(self.per_second(fates.in_window) as u64),
                latency(fates.latency.percentile(0.5)),
                latency(fates.latency.percentile(0.99)),
                latency(fates.latency.percentile(0.999)),
                latency(fates.latency.greatest()),
            ]);
        };
        for (work, fates) in self.tally.kinds() {
            row(work.name(), fates);
        }
        let whole = self.tally.whole();
        if self.tally.kinds().count() > 1 {
            row("all", &whole);
        }
        output.table(&table, "Nothing was asked.")?;
        output.line("")?;
        output.facts(&self.facts(&whole))?;
        for sentence in self.doubts(&whole) {
            output.line(sentence)?;
        }
        Ok(())
    }

    fn facts(&self, whole: &Fates) -> Facts {
        let mut facts = Facts::default();
        facts.put("Servers", self.servers.join(", "));
        facts.put("Loop", &self.pace);
        let warm_up = match self.warm_up_seconds > 0.0 {
            true => format!(", after {} s of warm-up", round(self.warm_up_seconds)),
            false => String::new(),
        };
        facts.put("Counted", format!("{:.1} s{warm_up}", self.seconds));
        facts.put(
            "Own CPU",
            format!(
                "{:.1} s, {:.0} % of a core",
                self.cpu_seconds,
                100.0 * self.cpu_share()
            ),
        );
        for (name, count) in [
            ("Sent again", self.tally.resent),
            ("Late answers", self.tally.late),
            ("Answers to nothing", self.tally.stray),
            (
                "Left late",
                self.tally.delayed * u64::from(self.is_open_loop),
            ),
            ("Never left", self.tally.unsent),
            ("Sessions open", self.tally.open_sessions),
            ("Challenged", whole.challenged),
        ] {
            if count > 0 {
                facts.put(name, thousands(count));
            }
        }
        facts
    }

    /// What is not in order, and what it may mean.
    fn doubts(&self, whole: &Fates) -> Vec<String> {
        let mut doubts = Vec::new();
        let mut doubt = |count: u64, sentence: &str| {
            if count > 0 {
                doubts.push(format!("Not in order: {} {sentence}.", thousands(count)));
            }
        };
        let [
            malformed,
            authenticator,
            message_authenticator,
            unsigned,
            server_proof,
        ] = whole.bad;
        doubt(malformed, "answers are no answers to what was asked");
        doubt(
            authenticator,
            "answers have a wrong Response Authenticator: is the shared secret the same on both sides?",
        );
        doubt(
            message_authenticator,
            "answers have a wrong Message-Authenticator",
        );
        doubt(
            unsigned,
            "answers have no Message-Authenticator, so anybody on the way could have made them (BlastRADIUS); --accept-unsigned takes them",
        );
        doubt(
            server_proof,
            "MS-CHAPv2 answers do not prove that the server knows the password",
        );
        doubt(whole.wrongly_accepted, "wrong passwords were accepted");
        doubt(
            whole.wrongly_rejected,
            "right passwords were rejected: do these users exist, with these passwords, and may they come in?",
        );
        let silence = match self.tally.unreachable > 0 {
            true => "questions got no answer; the system says that nobody listens there",
            false if whole.accepted + whole.rejected == 0 => {
                "questions got no answer: a server says nothing to NASes it does not know and to wrong shared secrets"
            }
            false => "questions got no answer in time",
        };
        doubt(whole.lost, silence);
        doubt(
            self.tally.unsent,
            "questions never left, because too many had no answer: the server does not keep this rate",
        );
        doubts
    }
}

fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// `1,234,567`.
pub(super) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `85 µs`, `1.25 ms`, `3.1 s`.
fn time(nanos: f64) -> String {
    match nanos {
        0.0 => "-".to_owned(),
        n if n < 1e6 => format!("{:.0} µs", n / 1e3),
        n if n < 1e8 => format!("{:.2} ms", n / 1e6),
        n if n < 1e9 => format!("{:.0} ms", n / 1e6),
        n => format!("{:.2} s", n / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_a_glance() {
        for (count, expect) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345_678, "12,345,678"),
        ] {
            assert_eq!(thousands(count), expect);
        }
        for (nanos, expect) in [
            (0.0, "-"),
            (85_400.0, "85 µs"),
            (1_250_000.0, "1.25 ms"),
            (250_000_000.0, "250 ms"),
            (3_100_000_000.0, "3.10 s"),
        ] {
            assert_eq!(time(nanos), expect);
        }
    }
}
