//! One datagram's way through the door: receive → gather → decide → record → answer.
//!
//! Everything here runs on the thread that received the datagram, but for what takes longer than microseconds: that
//! goes to the proof pool or the journal with its [`Ticket`], and its answer leaves later through the same socket.
//!
//! Architecture invariant: nothing that failed verification touches the duplicate table, the failure limits or a
//! person's record (RFC 5080 §2.2.2); a fault of ours is silence, never an Access-Reject.

use crate::answer;
use crate::config::{Purpose, RadiusConfig};
use crate::counts::{Answered, Counts};
use crate::delay::Delay;
use crate::identify::{self, Identified};
use crate::pool::Pool;
use crate::record::Recorder;
use crate::responder::{Key, Responder, Slot, Verdict};
use crate::secret_memory::SecretMemory;
use crate::socket::{DoorSocket, Peer};
use access::facts::Evidence;
use access::nas_match::NasEntry;
use access::question::Question;
use access::register::Register;
use access::word::Dropped;
use journal::Journal;
use kernel::{Kernel, Time};
use radius_wire::{Code, Malformed, Packet, Request};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What every lane shares. No lock in here is held while a packet is worked on.
pub struct Shared {
    /// Time, randomness.
    pub kernel: Kernel,
    /// Facts in memory.
    pub register: Arc<Register>,
    /// Settings.
    pub config: RadiusConfig,
    /// What packets told about secrets.
    pub secrets: SecretMemory,
    /// Another process took this node's id: nothing may be written under it.
    pub evicted: AtomicBool,
    /// Counters.
    pub counts: Counts,
    /// Attempts, locks and observations on their way to the database.
    pub recorder: Recorder,
    /// Refusals that wait for their moment.
    pub delay: Arc<Delay<Delayed>>,
    /// Slow proofs. Set once the threads run.
    pub pool: OnceLock<Pool<Job>>,
    /// Accounting. Set once it is open.
    pub journal: OnceLock<Arc<Journal<Acknowledgement>>>,
    /// Micro-seconds in the duplicate tables count from here.
    pub started: Instant,
}

/// One receive thread's socket and duplicate table.
pub struct Lane {
    /// The socket.
    pub socket: DoorSocket,
    /// What its port is for.
    pub purpose: Purpose,
    responder: Mutex<Responder>,
}

/// The right and duty to answer one request.
#[derive(Clone)]
pub struct Ticket {
    lane: Arc<Lane>,
    slot: Slot,
    received: Instant,
}

/// A refusal that waits for its moment.
pub struct Delayed {
    ticket: Ticket,
    octets: Vec<u8>,
}

/// A request whose proof is slow.
pub struct Job {
    ticket: Ticket,
    datagram: Box<[u8]>,
    nas: Arc<NasEntry>,
    with_next_secret: bool,
    at: Time,
}

/// An accounting answer that waits for its report to be durable.
pub struct Acknowledgement {
    ticket: Ticket,
    octets: Vec<u8>,
}

impl Lane {
    /// A lane over a bound socket.
    pub fn new(socket: DoorSocket, purpose: Purpose) -> Arc<Self> {
        Arc::new(Self {
            socket,
            purpose,
            responder: Mutex::new(Responder::new()),
        })
    }

    fn responder(&self) -> std::sync::MutexGuard<'_, Responder> {
        self.responder
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Whether logins are decided and reports are taken.
    pub fn is_ready(&self) -> bool {
        self.register.is_ready()
            && self.journal.get().is_some()
            && !self.evicted.load(Ordering::Acquire)
    }

    fn micros(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// One datagram that came in on `lane`.
    pub fn receive(&self, lane: &Arc<Lane>, datagram: &[u8], peer: Peer) {
        self.counts.received();
        let received = Instant::now();
        let now = self.kernel.now();
        let packet = match Packet::parse_with(datagram, self.config.max_attributes) {
            Ok(packet) => packet,
            Err(malformed) => return self.drop_malformed(&malformed, peer),
        };
        if !self.register.knows_nases() {
            // Nobody can be told from a stranger yet.
            return self.counts.dropped(Dropped::NotReady);
        }
        let policy = self.register.policy();
        let source = peer.address.ip().to_canonical();
        let uses_next = |nas: &NasEntry| self.secrets.uses_next(nas, source);
        let Identified {
            request,
            nas,
            with_next_secret,
        } = match identify::identify(&policy, &self.config, &packet, source, uses_next) {
            Ok(identified) => identified,
            Err(unknown) => {
                self.recorder.mismatch(now, &unknown);
                self.recorder.dropped(
                    self,
                    now,
                    unknown.word,
                    &packet,
                    unknown.nas.as_deref(),
                    peer,
                );
                return;
            }
        };
        if self.recorder.seen(now, &nas, &request, with_next_secret) {
            self.secrets.learn(now, &nas, source, with_next_secret);
        }
        if let Some(word) = self.misdirected(lane.purpose, packet.code()) {
            return self
                .recorder
                .dropped(self, now, word, &packet, Some(&nas), peer);
        }
        let key = Key {
            source: peer.address,
            port: lane.socket.local_address().port(),
            identifier: packet.identifier(),
        };
        let verdict = lane.responder().receive(
            self.micros(),
            key,
            peer,
            packet.authenticator(),
            packet.length(),
        );
        let ticket = match verdict {
            Verdict::Work(slot) => Ticket {
                lane: lane.clone(),
                slot,
                received,
            },
            Verdict::Again(octets) => {
                self.counts.answered(Answered::Again);
                return self.transmit(lane, &octets, peer);
            }
            Verdict::InWork => return self.counts.dropped(Dropped::Duplicate),
        };
        match packet.code() {
            Code::STATUS_SERVER => self.answer_status(ticket, &request, &nas, now),
            Code::ACCOUNTING_REQUEST => {
                crate::accounting::receive(self, ticket, &request, &nas, now, peer);
            }
            _ if !self.register.is_ready() => {
                self.give_up(&ticket, now, Dropped::NotReady, &packet, &nas, peer);
            }
            _ => {
                let job = |ticket: Ticket| Job {
                    ticket,
                    datagram: packet.octets().into(),
                    nas: nas.clone(),
                    with_next_secret,
                    at: now,
                };
                self.authenticate(ticket, &request, &nas, now, Some(&job));
            }
        }
    }

    /// Whether a port is asked for what it does not do.
    fn misdirected(&self, purpose: Purpose, code: Code) -> Option<Dropped> {
        match (code, purpose) {
            (Code::STATUS_SERVER, _)
            | (Code::ACCESS_REQUEST, Purpose::Authentication)
            | (Code::ACCOUNTING_REQUEST, Purpose::Accounting) => None,
            (Code::ACCESS_REQUEST | Code::ACCOUNTING_REQUEST, _) => Some(Dropped::WrongPort),
            (Code::COA_REQUEST | Code::DISCONNECT_REQUEST, _) => Some(Dropped::NotForUs),
            _ => Some(Dropped::UnknownCode),
        }
    }

    /// Decides an Access-Request. `defer` makes the job for the proof pool; without it a slow proof is done here.
    fn authenticate(
        &self,
        ticket: Ticket,
        request: &Request<'_>,
        nas: &Arc<NasEntry>,
        now: Time,
        defer: Option<&dyn Fn(Ticket) -> Job>,
    ) {
        let peer = ticket.slot.peer();
        let question = Question::from(request);
        if question.noise && !request.signed() && !self.secrets.fitted_lately(now, nas.nas.id) {
            // Unhidden with another secret a password is noise: no answer of ours would be believed either.
            self.recorder.noise(now, nas);
            return self.give_up(
                &ticket,
                now,
                Dropped::SharedSecretMismatch,
                &request.packet(),
                nas,
                peer,
            );
        }
        let facts = self.register.facts(now, nas, peer.address.ip(), &question);
        let walk = facts.walk(&question);
        if let Some(defer) = defer
            && facts.needs_slow_proof(&walk, &question)
        {
            let Some(pool) = self.pool.get() else {
                return self.give_up(
                    &ticket,
                    now,
                    Dropped::NotReady,
                    &request.packet(),
                    nas,
                    peer,
                );
            };
            if let Some(shed) = pool.push(ticket.received, defer(ticket)) {
                self.shed(shed);
            }
            return;
        }
        let evidence = facts.prove(&walk, &question);
        if matches!(evidence, Evidence::Unreadable) {
            let word = Dropped::CredentialUnreadable;
            return self.give_up(&ticket, now, word, &request.packet(), nas, peer);
        }
        let (decision, trace) = access::decide::decide(now, &question, &facts, &walk, evidence);
        let locks = self
            .register
            .note_outcome(now, nas, &question, &facts, &decision);
        let answer = answer::build(&*self.kernel.rng, &question, nas, &decision);
        match answer::seal(&*self.kernel.rng, request, nas, &answer) {
            Ok(octets) => {
                self.recorder.decided(
                    self, now, &question, &facts, nas, peer, &decision, trace, locks,
                );
                match &decision {
                    access::decide::Decision::Refuse(refused) => {
                        self.counts.refused(refused.word);
                        self.counts.answered(Answered::Reject);
                        let wait = Duration::from_millis(u64::from(nas.nas.reject_delay_ms));
                        let due = ticket.received + wait;
                        if let Some(delayed) = self.delay.hold(due, Delayed { ticket, octets }) {
                            self.release(delayed);
                        }
                    }
                    access::decide::Decision::Accept(_) => {
                        self.counts.answered(Answered::Accept);
                        self.complete(&ticket, octets);
                    }
                }
            }
            Err(fault) => match answer::too_big(&*self.kernel.rng, request, nas) {
                // RFC 7930 §4: a client that states a Response-Length learns that the answer did not fit.
                Some(octets) => {
                    self.counts.answered(Answered::ProtocolError);
                    self.complete(&ticket, octets);
                }
                None => {
                    tracing::warn!(nas = %nas.nas.name, user = ?question.name(), "reply not sent: {fault}");
                    self.give_up(
                        &ticket,
                        now,
                        Dropped::ReplyTooLong,
                        &request.packet(),
                        nas,
                        peer,
                    );
                }
            },
        }
    }

    /// A job of the proof pool: the same request again, now with time for its proof.
    pub fn prove(&self, job: Job) {
        let Job {
            ticket,
            datagram,
            nas,
            with_next_secret,
            at,
        } = job;
        let secret = match &nas.secrets.next {
            Some(next) if with_next_secret => next,
            _ => &nas.secrets.current,
        };
        let verified = Packet::parse_with(&datagram, self.config.max_attributes)
            .ok()
            .and_then(|packet| {
                Request::verify(packet, secret, &identify::rules(&nas.nas, &self.config)).ok()
            });
        match verified {
            Some(request) => self.authenticate(ticket, &request, &nas, at, None),
            // It was verified before it came here.
            None => self.counts.dropped(Dropped::Internal),
        }
    }

    /// A job that is given up: the request may come again.
    pub fn shed(&self, job: Job) {
        if let Ok(packet) = Packet::parse_with(&job.datagram, self.config.max_attributes) {
            let peer = job.ticket.slot.peer();
            self.give_up(&job.ticket, job.at, Dropped::Shed, &packet, &job.nas, peer);
        }
    }

    /// Answers Status-Server (RFC 5997 §3), if what the port is for would be answered too: a NAS must turn to another
    /// server while this one only looks alive.
    fn answer_status(&self, ticket: Ticket, request: &Request<'_>, nas: &NasEntry, now: Time) {
        let fault = match (ticket.lane.purpose, self.journal.get()) {
            _ if !self.register.is_ready() => Some(Dropped::NotReady),
            (Purpose::Authentication, _) => None,
            (Purpose::Accounting, None) => Some(Dropped::NotReady),
            (Purpose::Accounting, Some(journal)) => {
                let stats = journal.stats();
                if stats.failing {
                    Some(Dropped::JournalFailed)
                } else {
                    (stats.bytes_on_disk >= stats.max_bytes).then_some(Dropped::JournalFull)
                }
            }
        };
        if let Some(word) = fault {
            let peer = ticket.slot.peer();
            return self.give_up(&ticket, now, word, &request.packet(), nas, peer);
        }
        let code = match ticket.lane.purpose {
            Purpose::Authentication => Code::ACCESS_ACCEPT,
            Purpose::Accounting => Code::ACCOUNTING_RESPONSE,
        };
        let reply = radius_wire::Reply::new(code);
        if let Ok(octets) = answer::seal(&*self.kernel.rng, request, nas, &reply) {
            self.counts.answered(Answered::Status);
            self.complete(&ticket, octets);
        }
    }

    /// Sends an answer and keeps it for duplicates.
    pub fn complete(&self, ticket: &Ticket, octets: Vec<u8>) {
        let octets: Arc<[u8]> = octets.into();
        let is_wanted = ticket
            .lane
            .responder()
            .answer(self.micros(), &ticket.slot, &octets);
        if is_wanted {
            self.transmit(&ticket.lane, &octets, ticket.slot.peer());
        }
    }

    /// Sends a refusal whose moment has come.
    pub fn release(&self, delayed: Delayed) {
        self.complete(&delayed.ticket, delayed.octets);
    }

    /// Sends the answer of a report that is durable.
    pub fn acknowledge(&self, acknowledgement: Acknowledgement) {
        self.counts.answered(Answered::Accounting);
        self.complete(&acknowledgement.ticket, acknowledgement.octets);
    }

    /// Forgets a report that could not be kept, so that its retransmission is worked on.
    pub fn forget(&self, acknowledgement: &Acknowledgement, word: Dropped) {
        self.counts.dropped(word);
        let ticket = &acknowledgement.ticket;
        ticket.lane.responder().abandon(&ticket.slot);
    }

    /// Leaves a request unanswered, and lets its retransmission be worked on where the fault is ours.
    pub fn give_up(
        &self,
        ticket: &Ticket,
        now: Time,
        word: Dropped,
        packet: &Packet<'_>,
        nas: &NasEntry,
        peer: Peer,
    ) {
        ticket.lane.responder().abandon(&ticket.slot);
        self.recorder
            .dropped(self, now, word, packet, Some(nas), peer);
    }

    fn transmit(&self, lane: &Lane, octets: &[u8], peer: Peer) {
        if let Err(e) = lane.socket.send(octets, peer) {
            self.counts.dropped(Dropped::SendFailed);
            tracing::warn!(to = %peer.address, "answer not sent: {e}");
        }
    }

    fn drop_malformed(&self, malformed: &Malformed, peer: Peer) {
        let word = match malformed {
            Malformed::AttributeTypeZero { .. }
            | Malformed::AttributeLength { .. }
            | Malformed::AttributeBeyondEnd { .. } => Dropped::MalformedAttribute,
            Malformed::TooManyAttributes { .. } => Dropped::TooManyAttributes,
            _ => Dropped::BadLength,
        };
        self.counts.dropped(word);
        tracing::debug!(from = %peer.address, word = word.word(), "{malformed}");
    }
}

impl Acknowledgement {
    /// The answer `octets` for `ticket`.
    pub fn new(ticket: Ticket, octets: Vec<u8>) -> Self {
        Self { ticket, octets }
    }
}
