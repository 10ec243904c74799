//! The slow lane: work that does not finish in microseconds (a slow password hash) runs here, a bounded number at a
//! time. A full queue sheds its oldest work, because a NAS has given that up first; overload never becomes memory.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Waiting work. At 20 ms a hash and two threads this is about five seconds, as long as a NAS waits.
pub const MAX_QUEUE: usize = 512;
/// Older work than this is not begun: the NAS has asked again or elsewhere.
pub const MAX_AGE: Duration = Duration::from_secs(5);

struct Queue<T> {
    waiting: VecDeque<(Instant, T)>,
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

    /// Queues work; what had to make room for it is given back.
    pub fn push(&self, since: Instant, item: T) -> Option<T> {
        let mut queue = self.queue.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shed = (queue.waiting.len() >= MAX_QUEUE)
            .then(|| queue.waiting.pop_front())
            .flatten();
        queue.waiting.push_back((since, item));
        drop(queue);
        self.queue.1.notify_one();
        shed.map(|(_, item)| item)
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
        if let Some(item) = guard.waiting.pop_front() {
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
        assert_eq!(pool.push(Instant::now(), 0), None);
        assert_eq!(beginning.recv(), Ok(0));
        for n in 1..=MAX_QUEUE {
            assert_eq!(pool.push(Instant::now(), n), None);
        }
        assert_eq!(pool.push(Instant::now(), MAX_QUEUE + 1), Some(1));
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
        pool.push(long_ago, 7);
        assert_eq!(shed.recv(), Ok(7));
        pool.stop();
    }
}
