//! Lines on their way to standard error: bounded, sampled, never waited for.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait for a slow reader: two megabytes.
const MAX_QUEUED: usize = 8_192;
/// Lines a second below 'warn'. A flood of refusals is told by the counters; a disk or a collector is not to be filled
/// with it.
const MAX_LINES: u64 = 500;
/// Lines a second of 'warn' and 'error', counted apart: a flood of the others must not hide them.
const MAX_WARNINGS: u64 = 200;
/// How long the end of the process waits for the last lines.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked whether lines were left out.
const SUMMARY_EVERY: Duration = Duration::from_secs(1);

enum Item {
    Line(Vec<u8>),
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
}

/// So many a second, on any number of threads.
struct Budget {
    limit: u64,
    /// The second in the upper half, what was used of it in the lower.
    state: AtomicU64,
}

impl Budget {
    fn new(limit: u64) -> Self {
        Self {
            limit,
            state: AtomicU64::new(0),
        }
    }

    fn take(&self, second: u64) -> bool {
        let second = second & 0xffff_ffff;
        let next = |state: u64| {
            let used = match state >> 32 == second {
                true => state & 0xffff_ffff,
                false => 0,
            };
            (used < self.limit).then_some(second << 32 | (used + 1))
        };
        self.state
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .is_ok()
    }
}

struct Shared {
    sender: SyncSender<Item>,
    began: Instant,
    lines: Budget,
    warnings: Budget,
    left_out: AtomicU64,
}

/// The queue. Cheap to clone.
#[derive(Clone)]
pub struct Queue(Arc<Shared>);

impl Queue {
    /// Starts the thread that writes to standard error.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(is_json: bool) -> io::Result<Self> {
        Self::over(io::stderr(), is_json)
    }

    fn over(out: impl Write + Send + 'static, is_json: bool) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(MAX_QUEUED);
        let shared = Arc::new(Shared {
            sender,
            began: Instant::now(),
            lines: Budget::new(MAX_LINES),
            warnings: Budget::new(MAX_WARNINGS),
            left_out: AtomicU64::new(0),
        });
        let writing = Arc::downgrade(&shared);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                write(&receiver, out, is_json, || {
                    writing
                        .upgrade()
                        .map_or(0, |shared| shared.left_out.swap(0, Ordering::Relaxed))
                });
            })?;
        Ok(Self(shared))
    }

    /// Waits, for a while, until what was queued is written.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        let until = Instant::now() + PATIENCE;
        let mut item = Item::Flush(done);
        // A full queue is given the time to empty itself, and no longer.
        while let Err(TrySendError::Full(back)) = self.0.sender.try_send(item) {
            if Instant::now() > until {
                return;
            }
            item = back;
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = written.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

/// Writes what comes, and once a second how many lines did not.
fn write(
    receiver: &Receiver<Item>,
    mut out: impl Write,
    is_json: bool,
    left_out: impl Fn() -> u64,
) {
    let mut summed = Instant::now();
    loop {
        let item = receiver.recv_timeout(SUMMARY_EVERY);
        let is_flush = matches!(item, Ok(Item::Flush(_)));
        if is_flush || summed.elapsed() >= SUMMARY_EVERY {
            summed = Instant::now();
            let count = left_out();
            if count > 0 {
                let _ = writeln!(out, "{}", summary(count, is_json));
            }
        }
        match item {
            // Where nobody reads there is nobody to tell.
            Ok(Item::Line(line)) => drop(out.write_all(&line)),
            Ok(Item::Flush(done)) => {
                let _ = out.flush();
                let _ = done.try_send(());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn summary(count: u64, is_json: bool) -> String {
    let message =
        format!("{count} lines left out in the last second: the counters have everything");
    match is_json {
        true => serde_json::json!({
            "level": "WARN",
            "fields": {"message": message, "left_out": count},
        })
        .to_string(),
        false => format!(" WARN {message}"),
    }
}

/// One line of the log.
pub struct Line {
    shared: Arc<Shared>,
    is_warning: bool,
}

impl Write for Line {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let shared = &self.shared;
        let budget = match self.is_warning {
            true => &shared.warnings,
            false => &shared.lines,
        };
        let is_taken = budget.take(shared.began.elapsed().as_secs() + 1)
            && shared.sender.try_send(Item::Line(octets.to_vec())).is_ok();
        if !is_taken {
            shared.left_out.fetch_add(1, Ordering::Relaxed);
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            shared: self.0.clone(),
            is_warning: false,
        }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line {
        Line {
            is_warning: *meta.level() <= Level::WARN,
            ..self.make_writer()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Mutex, PoisonError};

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Paper {
        fn text(&self) -> String {
            let octets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8_lossy(&octets).into_owned()
        }
    }

    impl Write for Paper {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let mut paper = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            paper.extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_flood_is_sampled_and_what_is_left_out_is_counted() {
        let paper = Paper::default();
        let queue = Queue::over(paper.clone(), true).expect("a thread");
        let flood = 20_000;
        for number in 0..flood {
            let mut line = queue.make_writer();
            line.write_all(format!("line {number}\n").as_bytes())
                .expect("never fails");
        }
        let mut warning = Line {
            is_warning: true,
            ..queue.make_writer()
        };
        warning.write_all(b"a warning\n").expect("never fails");
        queue.flush();
        let text = paper.text();
        let kept = text
            .lines()
            .filter(|line| line.starts_with("line "))
            .count();
        let left_out: usize = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|line| line["fields"]["left_out"].as_u64())
            .map(|count| usize::try_from(count).unwrap_or(0))
            .sum();
        assert_eq!(kept + left_out, flood);
        assert!(kept >= MAX_LINES as usize && left_out > 0, "{kept}");
        assert!(text.contains("a warning"));
    }

    #[test]
    fn a_reader_that_does_not_read_holds_nobody_up() {
        /// Never comes back from its first write.
        struct Stuck(Mutex<Receiver<()>>);
        impl Write for Stuck {
            fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
                let _ = self.0.lock().map(|wait| wait.recv());
                Ok(octets.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (_hold, wait) = std::sync::mpsc::channel();
        let queue = Queue::over(Stuck(Mutex::new(wait)), false).expect("a thread");
        let began = Instant::now();
        for _ in 0..50_000 {
            queue.make_writer().write_all(b"x\n").expect("never fails");
        }
        queue.flush();
        assert!(began.elapsed() < PATIENCE * 5);
    }
}
