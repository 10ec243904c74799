//! A receive thread's own things: its socket, its duplicate table, its counters, and the desk it works at.
//!
//! Nothing here is shared with another receive thread. What answers later (a delayed refusal, a durable report, a slow
//! proof) comes back to the lane by its [`Ticket`], and meets its thread at one lock that nobody holds over a system call.

use crate::config::Purpose;
use crate::counts::{Answered, Counts};
use crate::nas_book::LaneBook;
use crate::responder::{Responder, Slot};
use crate::socket::{DoorSocket, Envelopes, Outbox};
use access::nas::NasId;
use access::nas_match::NasEntry;
use kernel::Time;
use radius_wire::{Code, Packet, Reply};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// One receive thread's socket and what belongs to it.
pub struct Lane {
    /// The socket.
    pub socket: DoorSocket,
    /// What its port is for.
    pub purpose: Purpose,
    /// What was received and answered here.
    pub counts: Counts,
    responder: Mutex<Responder>,
    book: Arc<Mutex<LaneBook>>,
}

impl Lane {
    /// A lane over a bound socket.
    pub fn new(socket: DoorSocket, purpose: Purpose, book: Arc<Mutex<LaneBook>>) -> Arc<Self> {
        Arc::new(Self {
            socket,
            purpose,
            counts: Counts::default(),
            responder: Mutex::new(Responder::new()),
            book,
        })
    }

    /// Counts an answer to a request that came then.
    pub fn answered(&self, nas: NasId, kind: Answered, received: Instant) {
        self.counts.answered(kind);
        let took = u64::try_from(received.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.book().answered(nas, kind, took);
    }

    /// What its NASes do.
    pub fn book(&self) -> MutexGuard<'_, LaneBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its duplicate table.
    pub fn responder(&self) -> MutexGuard<'_, Responder> {
        self.responder
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right and duty to answer one request, wherever it goes meanwhile.
#[derive(Clone)]
pub struct Ticket {
    /// Through which socket.
    pub lane: Arc<Lane>,
    /// The request's place in its duplicate table.
    pub slot: Slot,
    /// When it came.
    pub received: Instant,
}

impl Ticket {
    /// Counts its answer.
    pub fn answered(&self, nas: NasId, kind: Answered) {
        self.lane.answered(nas, kind, self.received);
    }
}

/// An accounting answer that waits for its report to be durable.
pub struct Acknowledgement {
    /// The request's ticket.
    pub ticket: Ticket,
    /// Who sent it.
    pub nas: NasId,
    /// The answer.
    pub octets: Box<[u8]>,
}

impl Acknowledgement {
    /// The answer `octets` for `ticket`, a NAS's.
    pub fn new(ticket: Ticket, nas: NasId, octets: &[u8]) -> Self {
        Self {
            ticket,
            nas,
            octets: octets.into(),
        }
    }
}

/// A request whose proof is slow, or whose name is looked up.
pub struct Job {
    /// Its ticket.
    pub ticket: Ticket,
    /// The packet.
    pub datagram: Box<[u8]>,
    /// Who sent it.
    pub nas: Arc<NasEntry>,
    /// It was made with the secret that is to come.
    pub with_next_secret: bool,
    /// When it came.
    pub at: Time,
}

impl Job {
    /// The request of a packet that is answered later.
    pub fn new(
        ticket: Ticket,
        packet: &Packet<'_>,
        nas: &Arc<NasEntry>,
        with_next: bool,
        at: Time,
    ) -> Self {
        Self {
            ticket,
            datagram: packet.octets().into(),
            nas: nas.clone(),
            with_next_secret: with_next,
            at,
        }
    }
}

/// Where answers are made: buffers that are used again and again, so that an answer costs no allocation.
pub struct Desk {
    /// The answer's attributes.
    pub reply: Reply,
    /// Its octets.
    pub octets: Vec<u8>,
    salt: u16,
}

impl Desk {
    /// A desk. Salts of hidden values count on from `salt`, which is random: they must differ within a packet, and the
    /// request's authenticator makes them differ between packets (RFC 2868 §3.5).
    pub fn new(salt: u16) -> Self {
        Self {
            reply: Reply::new(Code::ACCESS_ACCEPT),
            octets: Vec::with_capacity(256),
            salt,
        }
    }

    /// Where the salts of the next answer begin.
    pub fn next_salt(&mut self) -> u16 {
        /// Odd, so that all values come before one comes again, and larger than an answer's hidden values.
        const STEP: u16 = 257;
        self.salt = self.salt.wrapping_add(STEP);
        self.salt
    }
}

/// What a receive thread has on its hands during one batch.
pub struct Batch {
    /// When the batch came.
    pub received: Instant,
    /// The same on the clock.
    pub now: Time,
    /// The same as the duplicate table counts.
    pub micros: i64,
    /// Answers that leave at its end.
    pub outbox: Outbox,
    /// Where it puts batches for the system.
    pub envelopes: Envelopes,
    /// Work that had to make room in a queue; told when no lock is held.
    pub shed: Vec<Job>,
}
