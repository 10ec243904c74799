//! One datagram's way through the door: receive → gather → decide → record → answer.
//!
//! Everything here runs on the thread that received the datagram, but for what takes longer than microseconds: that
//! goes to the proof pool or the journal with its [`Ticket`], and its answer leaves later through the same socket.
//!
//! Architecture invariant: nothing that failed verification touches the duplicate table, the failure limits or a
//! person's record (RFC 5080 §2.2.2); a fault of ours is silence, never an Access-Reject.

use crate::answer;
use crate::authenticate::Done;
pub use crate::authenticate::Pass;
use crate::config::{Purpose, RadiusConfig};
use crate::counts::{Answered, Counts};
use crate::delay::Delay;
use crate::identify::{self, Identified};
pub use crate::lane::{Acknowledgement, Batch, Desk, Job, Lane, Ticket};
use crate::lookup::Lookups;
use crate::nas_book::Told;
use crate::pool::Pool;
use crate::record::Recorder;
use crate::responder::{Key, Slot, Verdict};
use crate::socket::{Envelopes, Outbox, Peer};
use crate::upgrade::Upgrades;
use access::nas::NasId;
use access::nas_match::NasEntry;
use access::proof_memory::ProofMemory;
use access::question::{Offer, Question};
use access::register::Register;
use access::word::Dropped;
use journal::Journal;
use kernel::{Kernel, Time};
use radius_wire::{Code, Malformed, Packet, Request};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// With so many reports that the database lacks it is behind.
const BEHIND_RECORDS: u64 = 50_000;
/// A burst no longer than this is taken as fast as it comes.
const BURST_MICROS: i64 = 10_000_000;
/// Reports that the database may lack for longer before their senders are slowed down: with as many again as
/// [`LAG_MORE`], what it takes in less than ten seconds.
const LAG_RECORDS: u64 = 70_000;
/// So many more, and they are slowed down the most.
const LAG_MORE: u64 = 20_000;
/// The longest wait: no NAS notices it, and whoever waits for an answer before he sends the next report sends no more than
/// the database takes. With reports in larger groups the disk and the processor are left to the database, too.
const LONGEST_LAG: Duration = Duration::from_millis(40);

/// How long answers wait with such a backlog, when the database has been behind for so long. Without a limit a load that
/// lasts would put usage, quotas and lists further and further behind, and a restart would take as long to catch up. While
/// the database is away nobody waits: then the backlog is what the journal is for.
fn lag(backlog: u64, behind_micros: i64) -> Duration {
    if behind_micros < BURST_MICROS {
        return Duration::ZERO;
    }
    let over = backlog.saturating_sub(LAG_RECORDS).min(LAG_MORE);
    let micros = u64::try_from(LONGEST_LAG.as_micros()).unwrap_or(0) * over / LAG_MORE;
    Duration::from_micros(micros)
}

/// What every lane shares. No lock in here is held while a packet is worked on.
pub struct Shared {
    /// Time, randomness.
    pub kernel: Kernel,
    /// Facts in memory.
    pub register: Arc<Register>,
    /// Settings.
    pub config: RadiusConfig,
    /// Another process took this node's id: nothing may be written under it.
    pub evicted: AtomicBool,
    /// The writer applies reports; false while the database does not take them.
    pub is_applying: AtomicBool,
    /// Since when the database has been behind, in micro-seconds from the start; 0 when it is not.
    pub behind_since: AtomicI64,
    /// What this node noted of that before it started, while the database cannot be asked.
    pub noted_applied: OnceLock<journal::Position>,
    /// The node's id is this process's: before that nothing is written under it.
    pub has_claimed: AtomicBool,
    /// What was granted to those whose rules have limits or a plan.
    pub grants: crate::control::Grants,
    /// Who is looked at, and what is wanted of their sessions.
    pub watched: crate::control::Watched,
    /// What everybody is doing and has used, in memory.
    pub usage: access::activity::Usage,
    /// Slow proofs that were right a while ago.
    pub proofs: ProofMemory,
    /// Somebody was seen whose hash is slow.
    pub hashes_are_slow: AtomicBool,
    /// Names on their way to the database.
    pub lookups: Lookups,
    /// Imported hashes that are to become ours.
    pub upgrades: Upgrades,
    /// Counters of what no lane counts.
    pub counts: Counts,
    /// Every lane, once they are bound.
    pub lanes: OnceLock<Vec<Arc<Lane>>>,
    /// What each NAS does.
    pub books: crate::nas_book::Books,
    /// What the last look at everything found.
    pub pulse: crate::vitals::Pulse,
    /// Attempts, locks and observations on their way to the database.
    pub recorder: Recorder,
    /// Refusals that wait for their moment.
    pub delay: Arc<Delay<Delayed>>,
    /// Slow proofs. Set once the threads run.
    pub pool: OnceLock<Pool<Job>>,
    /// Accounting. Set once it is open.
    pub journal: OnceLock<Arc<Journal<Acknowledgement>>>,
    /// How far the database has it. Set before the journal is.
    pub progress: OnceLock<usage::Progress>,
    /// Micro-seconds in the duplicate tables count from here.
    pub started: Instant,
}

/// A refusal that waits for its moment.
pub struct Delayed {
    ticket: Ticket,
    octets: Box<[u8]>,
}

impl Shared {
    /// Whether logins are decided and reports are taken.
    pub fn is_ready(&self) -> bool {
        self.register.is_ready()
            && self.journal.get().is_some()
            && !self.evicted.load(Ordering::Acquire)
    }

    /// The last accounting report that the database has, as far as is known.
    pub fn applied(&self) -> journal::Position {
        let progress = self.progress.get();
        progress.map_or_else(
            || self.noted_applied.get().copied().unwrap_or_default(),
            usage::Progress::applied,
        )
    }

    /// How long answers to reports wait so that the database keeps up.
    pub fn lag_to_even_out(&self) -> Duration {
        match self.journal.get() {
            Some(journal) if self.is_applying.load(Ordering::Relaxed) => {
                let backlog = journal.records_beyond(self.applied());
                let since = self.behind_since.load(Ordering::Relaxed);
                let now = self.micros();
                if backlog < BEHIND_RECORDS {
                    self.behind_since.store(0, Ordering::Relaxed);
                    return Duration::ZERO;
                }
                if since == 0 {
                    self.behind_since.store(now.max(1), Ordering::Relaxed);
                    return Duration::ZERO;
                }
                lag(backlog, now - since)
            }
            _ => Duration::ZERO,
        }
    }

    /// What all lanes counted, and what was counted beside them.
    pub fn all_counts(&self) -> Counts {
        let lanes = self.lanes.get().into_iter().flatten();
        Counts::sum(lanes.map(|lane| &lane.counts).chain([&self.counts]))
    }

    /// Counters by word.
    pub fn totals(&self) -> serde_json::Value {
        self.all_counts().to_json()
    }

    /// The present as the duplicate tables count it.
    pub fn micros(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// A receive thread's hands, still empty.
    pub fn empty_batch(&self) -> Batch {
        Batch {
            received: Instant::now(),
            now: self.kernel.now(),
            micros: self.micros(),
            outbox: Outbox::default(),
            envelopes: Envelopes::default(),
            shed: Vec::new(),
        }
    }

    /// A place to make answers at.
    pub fn new_desk(&self) -> Desk {
        let mut salt = [0u8; 2];
        self.kernel.rng.fill(&mut salt);
        Desk::new(u16::from_be_bytes(salt))
    }

    /// Begins a batch: one look at the clocks for all of it.
    pub fn begin(&self, batch: &mut Batch) {
        batch.received = Instant::now();
        batch.now = self.kernel.now();
        batch.micros = self.micros();
    }

    /// Ends a batch: its answers leave together.
    pub fn finish(&self, lane: &Lane, batch: &mut Batch) {
        batch
            .outbox
            .send(&lane.socket, &mut batch.envelopes, |peer, e| {
                self.not_sent(peer, &e);
            });
        for job in batch.shed.drain(..) {
            self.shed(job);
        }
    }

    /// One datagram that came in on `lane`.
    pub fn receive(
        &self,
        lane: &Arc<Lane>,
        desk: &mut Desk,
        batch: &mut Batch,
        datagram: &[u8],
        peer: Peer,
    ) {
        lane.counts.received();
        let now = batch.now;
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
        let uses_next = |nas: &NasEntry| lane.book().secrets().uses_next(nas, source);
        let Identified {
            request,
            nas,
            with_next_secret,
        } = match identify::identify(&policy, &self.config, &packet, source, uses_next) {
            Ok(identified) => identified,
            Err(unknown) => {
                if let Some(nas) = &unknown.nas {
                    lane.book().unverified(now, nas.nas.id, unknown.word);
                }
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
        let question = (packet.code() == Code::ACCESS_REQUEST).then(|| Question::from(&request));
        let told = Told::with_noise(&request, with_next_secret, || {
            let question = question.as_ref()?;
            matches!(question.offer, Offer::Pap(_)).then_some(question.noise)
        });
        let id = nas.nas.id;
        lane.book().seen(now, nas, source, told);
        if let Some(word) = identify::misdirected(lane.purpose, packet.code()) {
            lane.book().dropped(id, word);
            return self
                .recorder
                .dropped(self, now, word, &packet, Some(nas), peer);
        }
        let key = Key {
            source: peer.address,
            identifier: packet.identifier(),
        };
        let verdict = lane.responder().receive(
            batch.micros,
            key,
            peer,
            packet.authenticator(),
            packet.length(),
            |octets| batch.outbox.put(octets, peer),
        );
        let slot = match verdict {
            Verdict::Work(slot) => slot,
            Verdict::Again => {
                lane.book().duplicate(id);
                return lane.counts.answered(Answered::Again);
            }
            Verdict::InWork => {
                lane.book().duplicate(id);
                return self.counts.dropped(Dropped::Duplicate);
            }
        };
        let ticket = || Ticket {
            lane: lane.clone(),
            slot,
            received: batch.received,
        };
        match (packet.code(), &question) {
            (Code::STATUS_SERVER, _) => match self.answer_status(lane.purpose, desk, &request, nas)
            {
                Ok(()) => {
                    lane.counts.answered(Answered::Status);
                    self.answer(lane, batch, &slot, &desk.octets);
                }
                Err(word) => self.give_up(&ticket(), now, word, &packet, nas, peer),
            },
            (Code::ACCOUNTING_REQUEST, _) => {
                crate::accounting::receive(self, ticket(), desk, &request, nas, now, peer);
            }
            (_, Some(question)) if self.register.can_serve() => {
                let done = self.authenticate(
                    lane,
                    desk,
                    batch.received,
                    &request,
                    question,
                    nas,
                    now,
                    peer,
                    Pass::First,
                );
                match done {
                    Done::Answered => {
                        lane.answered(id, Answered::Accept, batch.received);
                        self.answer(lane, batch, &slot, &desk.octets);
                    }
                    Done::Refused(due) => self.hold(&ticket(), id, due, desk),
                    Done::Dropped(word) => self.give_up(&ticket(), now, word, &packet, nas, peer),
                    Done::Unknown(wanted) => {
                        let job = Job::new(ticket(), &packet, nas, with_next_secret, now);
                        batch.shed.extend(self.lookups.push(job, wanted));
                    }
                    Done::Slow => {
                        let job = Job::new(ticket(), &packet, nas, with_next_secret, now);
                        match self.pool.get() {
                            Some(pool) => batch.shed.extend(pool.push(
                                batch.received,
                                slot.is_repeated(),
                                job,
                            )),
                            None => batch.shed.push(job),
                        }
                    }
                }
            }
            _ => self.give_up(&ticket(), now, Dropped::NotReady, &packet, nas, peer),
        }
    }

    /// Keeps an answer for duplicates, and lets it leave with the batch.
    fn answer(&self, lane: &Lane, batch: &mut Batch, slot: &Slot, octets: &[u8]) {
        if lane.responder().answer(batch.micros, slot, octets) {
            batch.outbox.put(octets, slot.peer());
        }
    }

    /// Lets a refusal wait for its moment.
    pub fn hold(&self, ticket: &Ticket, nas: NasId, due: Instant, desk: &Desk) {
        // Now, not when it leaves: the delay is meant, and no part of how long an answer takes.
        ticket.answered(nas, Answered::Reject);
        let delayed = Delayed {
            ticket: ticket.clone(),
            octets: desk.octets.as_slice().into(),
        };
        if let Some(delayed) = self.delay.hold(due, delayed) {
            self.release(delayed);
        }
    }

    /// Queues a request whose proof is slow.
    pub fn queue(&self, job: Job) {
        let shed = match self.pool.get() {
            Some(pool) => pool.push(job.ticket.received, job.ticket.slot.is_repeated(), job),
            None => Some(job),
        };
        if let Some(shed) = shed {
            self.shed(shed);
        }
    }

    /// A job that had to make room: the request may come again.
    pub fn shed(&self, job: Job) {
        self.give_up_job(&job, Dropped::Shed);
    }

    /// Leaves a request unanswered that was put off.
    pub fn give_up_job(&self, job: &Job, word: Dropped) {
        if let Ok(packet) = Packet::parse_with(&job.datagram, self.config.max_attributes) {
            let peer = job.ticket.slot.peer();
            self.give_up(&job.ticket, job.at, word, &packet, &job.nas, peer);
        }
    }

    /// Answers Status-Server (RFC 5997 §3), if what the port is for would be answered too: a NAS must turn to another
    /// server while this one only looks alive.
    fn answer_status(
        &self,
        purpose: Purpose,
        desk: &mut Desk,
        request: &Request<'_>,
        nas: &NasEntry,
    ) -> Result<(), Dropped> {
        if !self.register.is_ready() {
            return Err(Dropped::NotReady);
        }
        if purpose == Purpose::Accounting {
            let stats = self.journal.get().ok_or(Dropped::NotReady)?.stats();
            if stats.failing {
                return Err(Dropped::JournalFailed);
            }
            if stats.bytes_on_disk >= stats.max_bytes {
                return Err(Dropped::JournalFull);
            }
        }
        desk.reply.reset(match purpose {
            Purpose::Authentication => Code::ACCESS_ACCEPT,
            Purpose::Accounting => Code::ACCOUNTING_RESPONSE,
        });
        answer::seal(desk, request, nas).map_err(|_| Dropped::ReplyTooLong)
    }

    /// Sends an answer and keeps it for duplicates.
    pub fn complete(&self, ticket: &Ticket, octets: &[u8]) {
        let is_wanted = ticket
            .lane
            .responder()
            .answer(self.micros(), &ticket.slot, octets);
        let peer = ticket.slot.peer();
        if is_wanted && let Err(e) = ticket.lane.socket.send(octets, peer) {
            self.not_sent(peer, &e);
        }
    }

    /// Sends a refusal whose moment has come.
    pub fn release(&self, delayed: Delayed) {
        self.complete(&delayed.ticket, &delayed.octets);
    }

    /// Sends the answers of reports that are durable, each lane's together.
    pub fn acknowledge(&self, done: impl Iterator<Item = Acknowledgement>) {
        let micros = self.micros();
        let mut outboxes: Vec<(Arc<Lane>, Outbox, Envelopes)> = Vec::new();
        for Acknowledgement {
            ticket,
            nas,
            octets,
        } in done
        {
            ticket.answered(nas, Answered::Accounting);
            let lane = &ticket.lane;
            if !lane.responder().answer(micros, &ticket.slot, &octets) {
                continue;
            }
            let place = outboxes
                .iter()
                .position(|(known, _, _)| Arc::ptr_eq(known, lane));
            let place = place.unwrap_or_else(|| {
                outboxes.push((lane.clone(), Outbox::default(), Envelopes::default()));
                outboxes.len() - 1
            });
            let (lane, outbox, envelopes) = &mut outboxes[place];
            outbox.put(&octets, ticket.slot.peer());
            if outbox.is_full() {
                outbox.send(&lane.socket, envelopes, |peer, e| self.not_sent(peer, &e));
            }
        }
        for (lane, outbox, envelopes) in &mut outboxes {
            outbox.send(&lane.socket, envelopes, |peer, e| self.not_sent(peer, &e));
        }
    }

    /// Forgets a report that could not be kept, so that its retransmission is worked on.
    pub fn forget(&self, acknowledgement: &Acknowledgement, word: Dropped) {
        self.counts.dropped(word);
        let ticket = &acknowledgement.ticket;
        ticket.lane.responder().abandon(&ticket.slot);
        ticket.lane.book().dropped(acknowledgement.nas, word);
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
        ticket.lane.book().dropped(nas.nas.id, word);
        self.recorder
            .dropped(self, now, word, packet, Some(nas), peer);
    }

    fn not_sent(&self, peer: Peer, e: &std::io::Error) {
        self.counts.dropped(Dropped::SendFailed);
        tracing::warn!(to = %peer.address, "answer not sent: {e}");
    }

    fn drop_malformed(&self, malformed: &Malformed, peer: Peer) {
        let word = identify::malformed(malformed);
        self.counts.dropped(word);
        tracing::debug!(from = %peer.address, word = word.word(), "{malformed}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_wait_a_little_when_the_database_is_far_behind_and_never_long() {
        let lasts = BURST_MICROS;
        for (backlog, behind, milliseconds) in [
            (0, lasts, 0),
            (LAG_RECORDS, lasts, 0),
            (LAG_RECORDS + LAG_MORE / 2, lasts, 20),
            (LAG_RECORDS + LAG_MORE, lasts, 40),
            (u64::MAX, i64::MAX, 40),
            (u64::MAX, lasts - 1, 0),
        ] {
            let wait = lag(backlog, behind).as_millis();
            assert_eq!(wait, milliseconds, "{backlog} for {behind}");
        }
    }
}
