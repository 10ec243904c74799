//! The slow lane: work that does not finish in microseconds (a slow password hash) runs here, a bounded number at a
//! time. A full queue sheds its oldest work, because a NAS has given that up first; overload never becomes memory growth.
//!
//! What was shed comes again. In a storm those repetitions would take the place of requests whose NAS still waits, and in
//! the end every answer would be too late: so a repetition is worked on only when nothing else waits.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Waiting work. At 20 ms a hash and two threads this is about five seconds of work.
pub const MAX_QUEUE: usize = 512;
/// Waiting repetitions: as much as two threads can do in the pauses of a storm that ends.
pub const MAX_REPEATED: usize = 64;
/// Older work than this is not begun: the NAS has asked again or elsewhere. Most wait three seconds.
pub const MAX_AGE: Duration = Duration::from_millis(2_500);

struct Queue<T> {
    waiting: VecDeque<(Instant, T)>,
    repeated: VecDeque<(Instant, T)>,
    stopping: bool,
}

/// A bounded pool of threads over one queue.
pub struct Pool<T> {
    queue: Arc<(Mutex<Queue<T>>, Condvar)>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl<T: Send + 'static> Pool<T> {
    /// Starts `threads` threads that `work`; `shed` is told of work that is given up.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        threads: usize,
        work: impl Fn(T) + Send + Sync + 'static,
        shed: impl Fn(T) + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let queue = Arc::new((
            Mutex::new(Queue {
                waiting: VecDeque::new(),
                repeated: VecDeque::new(),
                stopping: false,
            }),
            Condvar::new(),
        ));
        let (work, shed) = (Arc::new(work), Arc::new(shed));
        let mut handles = Vec::new();
        for number in 0..threads.max(1) {
            let (queue, work, shed) = (queue.clone(), work.clone(), shed.clone());
            handles.push(
                std::thread::Builder::new()
                    .name(format!("proof-{number}"))
                    .spawn(move || {
                        while let Some((since, item)) = next(&queue) {
                            if since.elapsed() > MAX_AGE {
                                shed(item);
                            } else {
                                work(item);
                            }
                        }
                    })?,
            );
        }
        Ok(Self {
            queue,
            threads: Mutex::new(handles),
        })
    }

    /// Queues work; what had to make room for it is given back. A repetition came before and was shed.
    pub fn push(&self, since: Instant, is_repeated: bool, item: T) -> Option<T> {
        let mut queue = self.queue.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (line, limit) = match is_repeated {
            false => (&mut queue.waiting, MAX_QUEUE),
            true => (&mut queue.repeated, MAX_REPEATED),
        };
        let shed = (line.len() >= limit).then(|| line.pop_front()).flatten();
        line.push_back((since, item));
        drop(queue);
        self.queue.1.notify_one();
        shed.map(|(_, item)| item)
    }

    /// How much waits.
    pub fn waiting(&self) -> usize {
        let queue = self.queue.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.waiting.len() + queue.repeated.len()
    }

    /// Ends the threads after what they are doing now; what waits is dropped.
    pub fn stop(&self) {
        self.queue
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stopping = true;
        self.queue.1.notify_all();
        let handles =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for handle in handles {
            let _ = handle.join();
        }
    }
}

fn next<T>(queue: &(Mutex<Queue<T>>, Condvar)) -> Option<(Instant, T)> {
    let mut guard = queue.0.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if guard.stopping {
            return None;
        }
        let first = guard.waiting.pop_front();
        // Of repetitions the newest: its NAS waits the longest still.
        if let Some(item) = first.or_else(|| guard.repeated.pop_back()) {
            return Some(item);
        }
        guard = queue.1.wait(guard).unwrap_or_else(PoisonError::into_inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_full_queue_sheds_its_oldest() {
        let (hold, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let (begun, beginning) = mpsc::channel();
        let pool = Pool::start(
            1,
            move |item: usize| {
                let _ = begun.send(item);
                let _ = held.lock().map(|held| held.recv());
            },
            |_| {},
        )
        .expect("threads");
        assert_eq!(pool.push(Instant::now(), false, 0), None);
        assert_eq!(beginning.recv(), Ok(0));
        for n in 1..=MAX_QUEUE {
            assert_eq!(pool.push(Instant::now(), false, n), None);
        }
        assert_eq!(pool.push(Instant::now(), false, MAX_QUEUE + 1), Some(1));
        drop(hold);
        pool.stop();
    }

    #[test]
    fn old_work_is_not_begun() {
        let (told, shed) = mpsc::channel();
        let pool = Pool::start(
            1,
            |_: u8| {},
            move |item| {
                let _ = told.send(item);
            },
        )
        .expect("threads");
        let long_ago = Instant::now()
            .checked_sub(MAX_AGE * 2)
            .expect("the machine runs longer than ten seconds");
        pool.push(long_ago, false, 7);
        assert_eq!(shed.recv(), Ok(7));
        pool.stop();
    }

    #[test]
    fn a_repetition_waits_until_nothing_else_does() {
        let (hold, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let (begun, beginning) = mpsc::channel();
        let pool = Pool::start(
            1,
            move |item: usize| {
                let _ = begun.send(item);
                let _ = held.lock().map(|held| held.recv());
            },
            |_| {},
        )
        .expect("threads");
        let now = Instant::now();
        assert_eq!(pool.push(now, false, 0), None);
        assert_eq!(beginning.recv(), Ok(0));
        for (is_repeated, item) in [(true, 10), (true, 11), (false, 1), (false, 2)] {
            assert_eq!(pool.push(now, is_repeated, item), None);
        }
        assert_eq!(pool.waiting(), 4);
        for expect in [1, 2, 11, 10] {
            assert!(hold.send(()).is_ok());
            assert_eq!(beginning.recv(), Ok(expect));
        }
        for n in 0..MAX_REPEATED {
            assert_eq!(pool.push(now, true, n), None);
        }
        assert_eq!(pool.push(now, true, MAX_REPEATED), Some(0));
        drop(hold);
        pool.stop();
    }
}
