//! A progress bar on a terminal; nothing where there is none.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Width of the bar itself.
const WIDTH: usize = 30;
/// Redrawn at most this often.
const EVERY: Duration = Duration::from_millis(100);
/// An estimate from less time than this says nothing.
const ESTIMATE_AFTER: Duration = Duration::from_secs(2);

/// A bar on standard error.
pub struct Bar {
    is_shown: bool,
    start: Instant,
    /// Where it began: a resumed import does not begin at nothing.
    first: Option<u64>,
    drawn: Option<Instant>,
}

impl Bar {
    /// A bar that is shown if standard error is a terminal.
    pub fn new() -> Self {
        Self {
            is_shown: std::io::stderr().is_terminal(),
            start: Instant::now(),
            first: None,
            drawn: None,
        }
    }

    /// So much is done.
    pub fn set(&mut self, done: u64, total: u64) {
        let first = *self.first.get_or_insert(done);
        let is_due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= EVERY) || done >= total;
        if !self.is_shown || !is_due {
            return;
        }
        self.drawn = Some(Instant::now());
        let line = line(first, done, total, self.start.elapsed());
        let _ = write!(std::io::stderr(), "\r\u{1b}[K{line}");
    }

    /// Takes the bar off the screen.
    pub fn clear(&mut self) {
        if self.is_shown && self.drawn.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(first: u64, done: u64, total: u64, elapsed: Duration) -> String {
    let share = if total == 0 {
        1.0
    } else {
        (done as f64 / total as f64).min(1.0)
    };
    let full = (share * WIDTH as f64) as usize;
    let mut line = format!(
        "[{}{}] {:3.0} %  {done} of {total}",
        "█".repeat(full),
        "·".repeat(WIDTH - full),
        share * 100.0
    );
    let made = done.saturating_sub(first);
    if elapsed >= ESTIMATE_AFTER && made > 0 && done < total {
        let rate = made as f64 / elapsed.as_secs_f64();
        let left = ((total - done) as f64 / rate) as i64;
        line.push_str(&format!(
            "  {rate:.0}/s, {} left",
            crate::output::duration(left)
        ));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_says_how_much_and_how_long() {
        let check = |first, done, total, seconds, expect: &str| {
            assert_eq!(
                line(first, done, total, Duration::from_secs(seconds)),
                expect
            );
        };
        check(
            0,
            0,
            10,
            0,
            "[······························]   0 %  0 of 10",
        );
        check(
            0,
            5,
            10,
            5,
            "[███████████████···············]  50 %  5 of 10  1/s, 5 s left",
        );
        check(
            4,
            5,
            10,
            1,
            "[███████████████···············]  50 %  5 of 10",
        );
        check(
            0,
            10,
            10,
            9,
            "[██████████████████████████████] 100 %  10 of 10",
        );
        check(0, 0, 0, 9, "[██████████████████████████████] 100 %  0 of 0");
    }
}
