//! One thread of the generator: asks as the pace wants, takes answers as they come, gives up what stays silent.
//!
//! How to read it: [`Worker::run`] is the loop. A question under way is a [`Flight`]; flights lie in a fixed array and
//! are found by port and identifier. Nothing is allocated between the first packet and the last, but for the lines of
//! `--record-acknowledged`.

use super::acknowledged::put_line;
use super::answer::{Fault, Verdict, judge};
use super::batch::{BATCH, Batch};
use super::lifecycle::{Lifecycles, Report};
use super::pace::{DELAYED_NANOS, Pace};
use super::plan::{Plan, Share};
use super::port::{MAX_IN_USE, Port};
use super::question::Question;
use super::random::Random;
use super::tally::{Arrival, Tally};
use super::work::Work;
use crate::failure::Failure;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use radius_wire::Packet;
use radius_wire::authenticator::response_authenticator_holds;
use std::ops::Range;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often silent questions are looked for, with few ports and with many.
const SWEEP_NANOS: u64 = 10_000_000;
const SWEEP_MANY_NANOS: u64 = 100_000_000;
const MANY_PORTS: usize = 64;
/// Below this a wait costs more than it saves, and the system would oversleep.
const SPIN_NANOS: u64 = 60_000;
/// Ports the system names as ready at once.
const EVENTS: usize = 64;
/// Questions put before answers are looked for, though more are due: a generator that cannot keep up with its rate must
/// not leave answers lying until they seem late.
const AT_ONCE: u64 = 256;
/// Batches taken from one port before the others have their turn.
const BATCHES_A_TURN: usize = 4;

/// A question under way.
#[derive(Clone)]
struct Flight {
    work: Work,
    port: u32,
    id: u8,
    tries: u32,
    /// Asked after the warm-up.
    is_counted: bool,
    is_wrong: bool,
    /// Nanoseconds since the start: its moment, or when it was first sent.
    moment: u64,
    /// When it was sent last.
    sent: u64,
    report: Option<Report>,
    question: Question,
}

/// The ports of one kind, and the flights that wait to leave together by one of them.
struct Gate {
    ports: Range<usize>,
    at: usize,
    waiting: [u32; BATCH],
    count: usize,
}

/// A thread of the generator.
pub(super) struct Worker<'p> {
    plan: &'p Plan,
    share: Share,
    random: Random,
    lifecycles: Lifecycles,
    ports: Vec<Port>,
    logins: Gate,
    reports: Gate,
    flights: Vec<Flight>,
    free: Vec<u32>,
    /// Lent out while a batch is looked at.
    batch: Option<Batch>,
    /// When the batch that is looked at was taken.
    taken: u64,
    /// When the last believed answer came.
    last_answer: u64,
    epoll: Epoll,
    asked: u64,
    next_person: u32,
    lines: Vec<u8>,
    tally: Tally,
}

impl<'p> Worker<'p> {
    /// Opens the thread's sockets.
    pub(super) fn new(plan: &'p Plan, share: Share) -> Result<Self, Failure> {
        let mut ports = Vec::new();
        let mut open = |is_wanted: bool, pick: fn(&(_, _)) -> _| -> Result<Gate, Failure> {
            let first = ports.len();
            if is_wanted {
                for number in 0..share.sockets as usize * plan.servers.len() {
                    ports.push(Port::open(pick(
                        &plan.servers[number % plan.servers.len()],
                    ))?);
                }
            }
            Ok(Gate {
                ports: first..ports.len(),
                at: first,
                waiting: [0; BATCH],
                count: 0,
            })
        };
        let logins = open(plan.mix.has(|work| work != Work::Accounting), |server| {
            server.0
        })?;
        let reports = open(plan.mix.has(|work| work == Work::Accounting), |server| {
            server.1
        })?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(system)?;
        for (index, port) in ports.iter().enumerate() {
            epoll
                .add(
                    &port.socket,
                    EpollEvent::new(EpollFlags::EPOLLIN, index as u64),
                )
                .map_err(system)?;
        }
        let mut random = Random::new(&kernel::SystemRng::new());
        let people = u32::try_from(plan.people.len()).unwrap_or(u32::MAX).max(1);
        let flight = Flight {
            work: Work::Status,
            port: 0,
            id: 0,
            tries: 0,
            is_counted: false,
            is_wrong: false,
            moment: 0,
            sent: 0,
            report: None,
            question: Question::default(),
        };
        Ok(Self {
            lifecycles: Lifecycles::new(share.sessions, plan.interims, people, &mut random),
            random,
            ports,
            logins,
            reports,
            flights: vec![flight; share.flights as usize],
            free: (0..share.flights).rev().collect(),
            batch: Some(Batch::default()),
            taken: 0,
            last_answer: 0,
            epoll,
            asked: 0,
            next_person: share.thread % people,
            lines: Vec::new(),
            tally: Tally::default(),
            plan,
            share,
        })
    }

    /// Asks until the time or the count is over, then waits for what is still under way.
    pub(super) fn run(mut self) -> Result<Tally, Failure> {
        let sweep_every = match self.ports.len() {
            0..=MANY_PORTS => SWEEP_NANOS,
            _ => SWEEP_MANY_NANOS,
        };
        let mut next_sweep = sweep_every;
        let mut is_closed = false;
        loop {
            let now = self.now();
            let is_over = self.asked >= self.share.count
                || self.plan.is_interrupted.load(Ordering::Relaxed)
                || is_closed;
            if !is_over {
                // What is due at the very end is still put, once.
                is_closed = now >= self.plan.end;
                if !is_closed || self.share.pace.moment(0).is_some() {
                    self.ask(now.min(self.plan.end.saturating_sub(1)));
                }
            } else if self.in_flight() == 0 {
                break;
            }
            if now >= next_sweep {
                self.sweep(now);
                next_sweep = now + sweep_every;
            }
            self.wait(is_over, next_sweep)?;
        }
        if let Pace::Open { .. } = self.share.pace {
            let last = self.now().min(self.plan.end.saturating_sub(1));
            let due = self.share.pace.due(last).min(self.share.count);
            self.tally.unsent = due.saturating_sub(self.asked);
        }
        self.tally.counted_until = match is_closed {
            true => self.plan.end,
            false => self.last_answer,
        };
        self.tally.open_sessions = self.lifecycles.open();
        Ok(self.tally)
    }

    fn now(&self) -> u64 {
        self.plan.now()
    }

    fn in_flight(&self) -> usize {
        self.flights.len() - self.free.len()
    }

    /// Puts all questions that may be put now.
    fn ask(&mut self, now: u64) {
        let allowed = match self.share.pace {
            Pace::Closed { outstanding } => {
                u64::from(outstanding).saturating_sub(self.in_flight() as u64)
            }
            Pace::Open { .. } => self
                .share
                .pace
                .due(now)
                .saturating_sub(self.asked)
                .min(AT_ONCE),
        };
        let allowed = allowed.min(self.share.count - self.asked);
        let now_seconds = match self.reports.ports.is_empty() {
            true => 0,
            false => unix_seconds(),
        };
        for _ in 0..allowed {
            if self.free.is_empty() || !self.ask_one(now, now_seconds) {
                break;
            }
        }
        self.flush(true);
        self.flush(false);
    }

    /// Puts one question; `false` where no port or no session is free for it.
    fn ask_one(&mut self, now: u64, now_seconds: u32) -> bool {
        let work = self.plan.mix.draw(&mut self.random);
        let is_login = work != Work::Accounting;
        if !self.has_port(is_login) {
            return false;
        }
        let report = match is_login {
            true => None,
            false => match self.lifecycles.next(now_seconds, &mut self.random) {
                None => return false,
                some => some,
            },
        };
        let Some(index) = self.free.pop() else {
            return false;
        };
        let port = self.gate(is_login).at;
        let id = self.ports[port].take(index);
        let flight = &mut self.flights[index as usize];
        let moment = self.share.pace.moment(self.asked);
        flight.work = work;
        flight.port = port as u32;
        flight.id = id;
        flight.tries = 1;
        flight.moment = moment.unwrap_or(now);
        flight.sent = now;
        // By when it is put: a generator that cannot keep up with its rate would still be in the warm-up at the end.
        flight.is_counted = now >= self.plan.warm_up;
        flight.is_wrong = false;
        flight.report = report;
        let plan = self.plan;
        match (work, &report) {
            (Work::Status, _) => {
                flight
                    .question
                    .status(id, &plan.stationery, &mut self.random);
            }
            (_, Some(report)) => {
                let person = &plan.people[report.person as usize];
                flight.question.report(id, report, person, &plan.stationery);
            }
            _ => {
                let people = plan.people.len() as u32;
                let number = match plan.is_random {
                    true => self.random.below(people),
                    false => {
                        let number = self.next_person;
                        self.next_person = (number + self.share.threads) % people;
                        number
                    }
                };
                flight.is_wrong = plan.wrong_per_million > 0
                    && self.random.below(1_000_000) < plan.wrong_per_million;
                flight.question.login(
                    id,
                    work,
                    (number, &plan.people[number as usize]),
                    flight.is_wrong,
                    &plan.stationery,
                    &mut self.random,
                );
            }
        }
        self.asked += 1;
        if flight.is_counted {
            self.tally.of(work).asked += 1;
            let is_late = now.saturating_sub(flight.moment) > DELAYED_NANOS;
            self.tally.delayed += u64::from(is_late);
        }
        let gate = self.gate(is_login);
        gate.waiting[gate.count] = index;
        gate.count += 1;
        if gate.count == BATCH {
            self.flush(is_login);
        }
        true
    }

    fn gate(&mut self, is_login: bool) -> &mut Gate {
        match is_login {
            true => &mut self.logins,
            false => &mut self.reports,
        }
    }

    /// Looks that the gate's port has an identifier free, or goes on to the next that has.
    fn has_port(&mut self, is_login: bool) -> bool {
        for _ in 0..self.gate(is_login).ports.len() {
            let at = self.gate(is_login).at;
            if self.ports[at].count() < MAX_IN_USE {
                return true;
            }
            self.flush(is_login);
            let gate = self.gate(is_login);
            if gate.at == at {
                gate.step();
            }
        }
        false
    }

    /// Sends what waits at a gate, all by one port, and goes on to the next port.
    fn flush(&mut self, is_login: bool) {
        let gate = match is_login {
            true => &mut self.logins,
            false => &mut self.reports,
        };
        if gate.count == 0 {
            return;
        }
        let (at, count) = (gate.at, gate.count);
        gate.count = 0;
        gate.step();
        let waiting = gate.waiting;
        self.send(at, &waiting[..count]);
    }

    /// Sends flights by their port. What the system does not take is lost on the way, as on any network.
    fn send(&mut self, port: usize, flights: &[u32]) {
        let now = self.now();
        for index in flights {
            let flight = &mut self.flights[*index as usize];
            if flight.tries == 1 && self.share.pace.moment(0).is_none() {
                flight.moment = now;
            }
            flight.sent = now;
        }
        let Some(batch) = &mut self.batch else {
            return;
        };
        let mut rest = flights;
        // Each turn either sends something or is the last but a few.
        let mut refusals = 0;
        while !rest.is_empty() && refusals < 4 {
            let packets = rest
                .iter()
                .map(|index| self.flights[*index as usize].question.octets());
            match batch.send(&self.ports[port].socket, packets) {
                Ok(sent) if sent > 0 => rest = &rest[sent.min(rest.len())..],
                Err(Errno::ECONNREFUSED) => {
                    // The answer of an earlier packet; this one was not sent yet.
                    self.tally.unreachable += 1;
                    refusals += 1;
                }
                _ => refusals += 1,
            }
        }
    }

    /// Sends silent questions again, or gives them up.
    fn sweep(&mut self, now: u64) {
        let mut again = [0; BATCH];
        for port in 0..self.ports.len() {
            let mut count = 0;
            // An identifier array of its own: giving up changes the port's.
            let mut lost = [0; 256];
            let mut lost_count = 0;
            for index in self.ports[port].flights() {
                let flight = &mut self.flights[index as usize];
                if now.saturating_sub(flight.sent) < self.plan.timeout {
                    continue;
                }
                if flight.tries >= self.plan.tries {
                    lost[lost_count] = index;
                    lost_count += 1;
                } else if count < BATCH {
                    // The others of this port follow with the next sweep.
                    flight.tries += 1;
                    again[count] = index;
                    count += 1;
                }
            }
            self.tally.resent += count as u64;
            self.send(port, &again[..count]);
            for index in &lost[..lost_count] {
                let flight = &self.flights[*index as usize];
                if flight.is_counted {
                    self.tally.of(flight.work).lost += 1;
                }
                self.land(*index);
            }
        }
    }

    /// Frees a flight, its identifier and its session.
    fn land(&mut self, index: u32) {
        let flight = &mut self.flights[index as usize];
        let authenticator = flight.question.authenticator();
        self.ports[flight.port as usize].release(flight.id, authenticator);
        if let Some(report) = flight.report.take() {
            self.lifecycles.done(report.place);
        }
        self.free.push(index);
    }

    /// Waits for answers until something else must be done, and takes them.
    fn wait(&mut self, is_over: bool, next_sweep: u64) -> Result<(), Failure> {
        let now = self.now();
        let mut until = next_sweep.min(self.plan.end.max(now));
        if is_over {
            until = next_sweep;
        } else if let Some(moment) = self.share.pace.moment(self.asked)
            && !self.free.is_empty()
        {
            until = until.min(moment);
        }
        let mut events = [EpollEvent::empty(); EVENTS];
        let wait = until.saturating_sub(now);
        let is_timed = self.share.pace.moment(0).is_some() && !is_over;
        let timeout = match wait {
            0..SPIN_NANOS => EpollTimeout::ZERO,
            // Milliseconds are too coarse for the next question's moment.
            _ if is_timed => {
                let mut fds = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
                let wait = TimeSpec::from_duration(Duration::from_nanos(wait));
                match ppoll(&mut fds, Some(wait), None) {
                    Ok(0) => return Ok(()),
                    _ => EpollTimeout::ZERO,
                }
            }
            _ => u16::try_from(wait.div_ceil(1_000_000))
                .unwrap_or(u16::MAX)
                .into(),
        };
        let ready = match self.epoll.wait(&mut events, timeout) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => 0,
            Err(e) => return Err(system(e)),
        };
        for event in &events[..ready] {
            self.receive(event.data() as usize);
        }
        if let Some(file) = &self.plan.acknowledged {
            file.append(&mut self.lines)?;
        }
        Ok(())
    }

    /// Takes what has arrived at a port.
    fn receive(&mut self, port: usize) {
        let Some(mut batch) = self.batch.take() else {
            return;
        };
        let socket = Rc::clone(&self.ports[port].socket);
        for _ in 0..BATCHES_A_TURN {
            self.taken = 0;
            match batch.receive(&socket, |octets| self.take(port, octets)) {
                Ok(BATCH) => {}
                Err(Errno::ECONNREFUSED) => self.tally.unreachable += 1,
                _ => break,
            }
        }
        self.batch = Some(batch);
    }

    /// Takes one answer.
    fn take(&mut self, port: usize, octets: &[u8]) {
        if self.taken == 0 {
            self.taken = self.now();
        }
        let now = self.taken;
        let Ok(packet) = Packet::parse(octets) else {
            self.tally.stray += 1;
            return;
        };
        let id = packet.identifier();
        let secret = &self.plan.stationery.secret;
        let is_late = |port: &Port| response_authenticator_holds(packet, secret, port.last(id));
        let Some(index) = self.ports[port].flight(id) else {
            match is_late(&self.ports[port]) {
                true => self.tally.late += 1,
                false => self.tally.stray += 1,
            }
            return;
        };
        let flight = &self.flights[index as usize];
        let verdict = judge(
            packet,
            flight.work,
            &flight.question,
            secret,
            self.plan.needs_signature(flight.work),
        );
        if verdict == Verdict::Bad(Fault::Authenticator) && is_late(&self.ports[port]) {
            self.tally.late += 1;
            return;
        }
        if !matches!(verdict, Verdict::Bad(_)) {
            self.tally.believed_at(now);
            self.last_answer = now;
        }
        if flight.is_counted {
            self.tally.of(flight.work).arrived(&Arrival {
                verdict,
                is_wrong: flight.is_wrong,
                is_in_window: now <= self.plan.end,
                latency: now.saturating_sub(flight.moment),
            });
        }
        if let (Some(report), Verdict::Accepted, Some(_)) =
            (&flight.report, verdict, &self.plan.acknowledged)
        {
            let person = &self.plan.people[report.person as usize];
            put_line(&mut self.lines, report, &person.name);
        }
        self.land(index);
    }
}

impl Gate {
    fn step(&mut self) {
        self.at += 1;
        if self.at >= self.ports.end {
            self.at = self.ports.start;
        }
    }
}

fn unix_seconds() -> u32 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u32::try_from(since.as_secs()).ok())
        .unwrap_or(0)
}

fn system(error: Errno) -> Failure {
    Failure::failed(format!(
        "the system does not let the generator wait: {error}"
    ))
}
