//! Delayed answers: an Access-Reject leaves a while after its request came (RFC 2865 §3 leaves the moment to the
//! server; a delay blunts guessing and hides how long a check took).
//!
//! Slots of ten milliseconds in a wheel, one thread for all: thousands of waiting refusals cost no task and no timer.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Ten milliseconds a slot.
const SLOT: Duration = Duration::from_millis(10);
/// Slots in the wheel: ten seconds, twice the longest delay a NAS can be given.
const SLOTS: usize = 1_000;
/// Waiting answers; beyond it an answer leaves at once, which is better than memory without bound or no answer.
pub const MAX_WAITING: usize = 65_536;

struct Wheel<T> {
    slots: Vec<Vec<T>>,
    /// Slots turned since the start.
    turned: u64,
    waiting: usize,
    stopping: bool,
}

/// The wheel; give it to a thread that calls [`Delay::run`].
pub struct Delay<T> {
    wheel: Mutex<Wheel<T>>,
    woken: Condvar,
    start: Instant,
}

impl<T> Delay<T> {
    /// An empty wheel.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            wheel: Mutex::new(Wheel {
                slots: (0..SLOTS).map(|_| Vec::new()).collect(),
                turned: 0,
                waiting: 0,
                stopping: false,
            }),
            woken: Condvar::new(),
            start: Instant::now(),
        })
    }

    /// Keeps `what` until `due`. Given back when it is due already, or when the wheel is full.
    pub fn hold(&self, due: Instant, what: T) -> Option<T> {
        let slot = self.slot_of(due);
        let now = self.slot_of(Instant::now());
        let mut wheel = self.wheel.lock().unwrap_or_else(PoisonError::into_inner);
        if wheel.waiting == 0 {
            // An empty wheel does not turn: it is set to the present before it is used again.
            wheel.turned = wheel.turned.max(now);
        }
        if slot <= wheel.turned || wheel.waiting >= MAX_WAITING {
            return Some(what);
        }
        let index = (slot.min(wheel.turned + SLOTS as u64 - 1) % SLOTS as u64) as usize;
        wheel.slots[index].push(what);
        wheel.waiting += 1;
        if wheel.waiting == 1 {
            self.woken.notify_one();
        }
        None
    }

    /// How many answers wait.
    pub fn waiting(&self) -> usize {
        self.wheel
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .waiting
    }

    /// Hands out what is due until [`Delay::stop`]; then everything that still waits, at once.
    pub fn run(&self, mut release: impl FnMut(T)) {
        loop {
            let mut wheel = self.wheel.lock().unwrap_or_else(PoisonError::into_inner);
            while wheel.waiting == 0 && !wheel.stopping {
                wheel = self
                    .woken
                    .wait(wheel)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            let until = if wheel.stopping {
                wheel.turned + SLOTS as u64
            } else {
                self.slot_of(Instant::now())
            };
            let mut due = Vec::new();
            let mut steps = 0;
            while wheel.turned < until && steps < SLOTS {
                wheel.turned += 1;
                steps += 1;
                let index = (wheel.turned % SLOTS as u64) as usize;
                due.append(&mut wheel.slots[index]);
            }
            wheel.turned = wheel.turned.max(until);
            wheel.waiting -= due.len();
            let stopping = wheel.stopping;
            drop(wheel);
            due.into_iter().for_each(&mut release);
            if stopping {
                return;
            }
            std::thread::sleep(SLOT);
        }
    }

    /// Ends [`Delay::run`].
    pub fn stop(&self) {
        self.wheel
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stopping = true;
        self.woken.notify_all();
    }

    fn slot_of(&self, when: Instant) -> u64 {
        (when.saturating_duration_since(self.start).as_millis() / SLOT.as_millis()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_already_is_given_back() {
        let delay = Delay::new();
        assert_eq!(delay.hold(Instant::now(), 1), Some(1));
        assert_eq!(delay.hold(Instant::now() + Duration::from_secs(2), 2), None);
        assert_eq!(delay.waiting(), 1);
    }

    #[test]
    fn answers_leave_in_their_order_and_never_early() {
        let delay = Delay::new();
        let start = Instant::now();
        let late = start + Duration::from_millis(120);
        let early = start + Duration::from_millis(60);
        assert_eq!(delay.hold(late, (late, 'b')), None);
        assert_eq!(delay.hold(early, (early, 'a')), None);
        let mut order = String::new();
        delay.run(|(due, letter)| {
            // A slot is 10 ms wide: an answer may be that much early in it.
            assert!(Instant::now() + SLOT >= due);
            order.push(letter);
            if order.len() == 2 {
                delay.stop();
            }
        });
        assert_eq!(order, "ab");
    }

    #[test]
    fn a_wheel_that_stood_still_holds_an_answer_just_as_long() {
        // As if it had been made, and not used, for a minute.
        let mut delay = Delay::new();
        if let Some(delay) = Arc::get_mut(&mut delay) {
            delay.start = Instant::now()
                .checked_sub(Duration::from_secs(60))
                .expect("an hour of uptime");
        }
        let due = Instant::now() + Duration::from_millis(80);
        assert_eq!(delay.hold(due, ()), None);
        delay.run(|()| {
            assert!(Instant::now() + SLOT >= due);
            delay.stop();
        });
    }

    #[test]
    fn stopping_releases_everything() {
        let delay = Delay::new();
        for n in 0..100u64 {
            assert_eq!(
                delay.hold(Instant::now() + Duration::from_millis(500 + n * 40), n),
                None
            );
        }
        delay.stop();
        let mut released = 0;
        delay.run(|_| released += 1);
        assert_eq!((released, delay.waiting()), (100, 0));
    }

    #[test]
    fn a_full_wheel_gives_back() {
        let delay = Delay::new();
        let due = Instant::now() + Duration::from_secs(5);
        assert!((0..MAX_WAITING).all(|n| delay.hold(due, n).is_none()));
        assert_eq!(delay.hold(due, MAX_WAITING), Some(MAX_WAITING));
    }
}
