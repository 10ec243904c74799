//! Sessions as NASes report them: Start, some Interim-Updates, Stop, and the next session takes the place.
//!
//! Reports go round: each open session gets its next report when its turn comes, so that what is open stays open for
//! a while. The first sessions of all end early, each after a different number of Interim-Updates: from then on
//! Starts, Interim-Updates and Stops are evenly mixed. A session has one report under way at a time.

use super::random::Random;

/// What a report says (Acct-Status-Type).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Start = 1,
    Stop = 2,
    Interim = 3,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Status::Start => "start",
            Status::Interim => "interim",
            Status::Stop => "stop",
        }
    }
}

/// One report, complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Report {
    /// The session's place, to be given back when the report has been answered or lost.
    pub place: u32,
    /// Acct-Session-Id.
    pub session: SessionId,
    /// Which of the users.
    pub person: u32,
    /// NAS-Port.
    pub port: u32,
    pub status: Status,
    pub input_octets: u32,
    pub output_octets: u32,
    pub session_seconds: u32,
    /// Event-Timestamp, in seconds since 1970.
    pub event_seconds: u32,
}

/// `RRRRRRRR-NNNNNNNN`: the run and thread, and the session's number in it.
pub(super) type SessionId = [u8; 17];

#[derive(Clone, Copy)]
struct Session {
    number: u32,
    sent: u32,
    /// Reports until it ends, Start and Stop included.
    reports: u32,
    started_seconds: u32,
    input_octets: u32,
    output_octets: u32,
    is_busy: bool,
}

/// All places for sessions of one thread.
pub(super) struct Lifecycles {
    run: u32,
    places: Vec<Session>,
    turn: usize,
    next_number: u32,
    interims: u32,
    people: u32,
    open: u64,
}

impl Lifecycles {
    /// `places` sessions at once, of `people` users, with `interims` Interim-Updates each.
    pub(super) fn new(places: u32, interims: u32, people: u32, random: &mut Random) -> Self {
        let places = (0..places)
            .map(|place| Session {
                number: place,
                sent: 0,
                reports: 2 + place % (interims + 1),
                started_seconds: 0,
                input_octets: 0,
                output_octets: 0,
                is_busy: false,
            })
            .collect::<Vec<_>>();
        Self {
            run: random.below(u32::MAX),
            next_number: u32::try_from(places.len()).unwrap_or(u32::MAX),
            places,
            turn: 0,
            interims,
            people,
            open: 0,
        }
    }

    /// The next report; `None` while every session waits for an answer.
    pub(super) fn next(&mut self, now_seconds: u32, random: &mut Random) -> Option<Report> {
        let count = self.places.len();
        for _ in 0..count {
            let place = self.turn;
            self.turn = if place + 1 == count { 0 } else { place + 1 };
            if !self.places[place].is_busy {
                return Some(self.report(place, now_seconds, random));
            }
        }
        None
    }

    fn report(&mut self, place: usize, now_seconds: u32, random: &mut Random) -> Report {
        let session = &mut self.places[place];
        if session.sent == session.reports {
            *session = Session {
                number: self.next_number,
                sent: 0,
                reports: 2 + self.interims,
                started_seconds: 0,
                input_octets: 0,
                output_octets: 0,
                is_busy: false,
            };
            self.next_number = self.next_number.wrapping_add(1);
        }
        session.sent += 1;
        session.is_busy = true;
        let status = if session.sent == 1 {
            session.started_seconds = now_seconds;
            self.open += 1;
            Status::Start
        } else {
            // Gigawords are never needed: 4 GiB are 4,000 reports of 1 MiB.
            session.input_octets = session.input_octets.saturating_add(random.below(1 << 20));
            session.output_octets = session.output_octets.saturating_add(random.below(1 << 20));
            match session.sent == session.reports {
                true => {
                    self.open = self.open.saturating_sub(1);
                    Status::Stop
                }
                false => Status::Interim,
            }
        };
        Report {
            place: u32::try_from(place).unwrap_or(0),
            session: session_id(self.run, session.number),
            person: session.number % self.people,
            port: u32::try_from(place).unwrap_or(0),
            status,
            input_octets: session.input_octets,
            output_octets: session.output_octets,
            session_seconds: now_seconds.saturating_sub(session.started_seconds),
            event_seconds: now_seconds,
        }
    }

    /// The report of this place has been answered, or lost: its session may say the next thing.
    pub(super) fn done(&mut self, place: u32) {
        if let Some(session) = self.places.get_mut(place as usize) {
            session.is_busy = false;
        }
    }

    /// Sessions that have been started and not stopped.
    pub(super) fn open(&self) -> u64 {
        self.open
    }
}

fn session_id(run: u32, number: u32) -> SessionId {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut id = *b"00000000-00000000";
    for (at, word) in [(0, run), (9, number)] {
        for digit in 0..8 {
            id[at + digit] = DIGITS[(word >> (28 - 4 * digit) & 15) as usize];
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn ids_are_run_and_number() {
        assert_eq!(&session_id(0xdead_beef, 0x2a), b"deadbeef-0000002a");
    }

    #[test]
    fn every_session_says_start_interims_stop_in_order_with_growing_counters() {
        let mut random = Random::new(&kernel::SystemRng::new());
        let mut lifecycles = Lifecycles::new(10, 3, 4, &mut random);
        let mut told: HashMap<SessionId, Vec<Report>> = HashMap::new();
        for now in 0..600 {
            let report = lifecycles
                .next(now, &mut random)
                .expect("a session is free");
            lifecycles.done(report.place);
            assert!(report.person < 4);
            told.entry(report.session).or_default().push(report);
            if now == 9 {
                assert_eq!(lifecycles.open(), 10, "the first round is all Starts");
            }
        }
        let mut whole = 0;
        for reports in told.values() {
            assert_eq!(reports[0].status, Status::Start);
            assert!(
                reports
                    .windows(2)
                    .all(|two| two[0].input_octets <= two[1].input_octets
                        && two[0].session_seconds <= two[1].session_seconds)
            );
            if let Some(stop) = reports.iter().position(|r| r.status == Status::Stop) {
                assert_eq!(stop + 1, reports.len());
                whole += usize::from(reports.len() == 5);
            }
        }
        assert!(whole > 50, "{whole}");
        let still: u64 = told
            .values()
            .filter(|reports| reports.iter().all(|r| r.status != Status::Stop))
            .count() as u64;
        assert_eq!(lifecycles.open(), still);
    }

    #[test]
    fn a_session_has_one_report_under_way() {
        let mut random = Random::new(&kernel::SystemRng::new());
        let mut lifecycles = Lifecycles::new(2, 1, 1, &mut random);
        let one = lifecycles.next(0, &mut random).expect("first");
        let other = lifecycles.next(0, &mut random).expect("second");
        assert_ne!(one.session, other.session);
        assert_eq!(lifecycles.next(0, &mut random), None);
        lifecycles.done(other.place);
        let next = lifecycles.next(0, &mut random).expect("second again");
        assert_eq!(next.session, other.session);
    }
}
