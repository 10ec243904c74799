//! What becomes of an Access-Request: its proof, its decision and its answer, as far as that may take at each [`Pass`].
//!
//! The first pass runs on the receive thread and must **never** wait: what takes longer goes back to `door`, which
//! queues it, and comes again through [`Shared::resume`].

use crate::answer;
use crate::control::grants::Granted;
use crate::counts::Answered;
use crate::door::Shared;
use crate::identify;
use crate::lane::{Desk, Job, Lane};
use crate::socket::Peer;
use access::decide::{Decision, Grant, Trace, decide};
use access::facts::{Evidence, Facts, Walk};
use access::nas_match::NasEntry;
use access::question::{Offer, Question};
use access::register::{Miss, Wanted};
use access::word::{Dropped, Refusal};
use kernel::Time;
use proof::keys::Keys;
use radius_wire::{Packet, Request};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A refusal that waits this long leaves at the same moment whether or not a hash was computed: several times what one
/// takes.
const HIDING_DELAY_MS: u16 = 250;
/// Names that nobody has are given a hash's time only while no more than this waits: a flood of them must not keep people
/// out.
const MAX_PRETENDED: usize = crate::pool::MAX_QUEUE / 4;

/// How long after the start people with limits wait until it is known what was used. Where there is more to read than that
/// takes, they come in, and are looked at again once it is.
const USAGE_PATIENCE: Duration = Duration::from_secs(5);

/// What an Access-Request came to.
pub enum Done {
    /// The answer lies on the desk.
    Answered,
    /// The answer lies on the desk, and leaves then.
    Refused(Instant),
    /// There is none.
    Dropped(Dropped),
    /// The proof takes longer than a receive thread may.
    Slow,
    /// Nobody is known by these names here: the database may know somebody.
    Unknown(Wanted),
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// It has just been received: what takes time is put off.
    First,
    /// Whoever it names was looked up in the database.
    LookedUp,
    /// Its slow proof may be made.
    Proving,
}

impl Shared {
    /// Decides an Access-Request and makes its answer, as far as that may take at this `pass`.
    #[allow(clippy::too_many_arguments)]
    pub fn authenticate(
        &self,
        lane: &Lane,
        desk: &mut Desk,
        received: Instant,
        request: &Request<'_>,
        question: &Question<'_>,
        nas: &Arc<NasEntry>,
        now: Time,
        peer: Peer,
        pass: Pass,
    ) -> Done {
        if question.noise && !request.signed() && !lane.book().fitted_lately(now, nas.nas.id) {
            // Unhidden with another secret a password is noise: no answer of ours would be believed either.
            lane.book().mismatch(now, nas.nas.id);
            return Done::Dropped(Dropped::SharedSecretMismatch);
        }
        let mut facts = self.register.facts(now, nas, peer.address.ip(), question);
        if let Some(roaming) = self.roaming(now, &question.asker, &facts) {
            facts = roaming;
        }
        if pass == Pass::First {
            match self.register.miss(now, nas, question, &facts) {
                Miss::Settled => {}
                Miss::Ask(wanted) => return Done::Unknown(wanted),
                Miss::Limited => return Done::Dropped(Dropped::Flood),
            }
        }
        let may_defer = pass != Pass::Proving;
        let mut walk = facts.walk(now, question);
        if walk.needs_activity() {
            if !self.usage.was_loaded()
                && !self.register.is_cut_off()
                && self.started.elapsed() < USAGE_PATIENCE
            {
                // What was used is still being read: the NAS asks again in a moment.
                return Done::Dropped(Dropped::NotReady);
            }
            walk.activity = self.usage.activity(now, Some(question), &facts, &walk);
        }
        let evidence = if facts.needs_slow_proof(&walk, question) {
            self.hashes_are_slow.store(true, Ordering::Relaxed);
            if self.proofs.remembers(received, &facts, question) {
                Evidence::Right(Keys::None)
            } else if may_defer {
                return Done::Slow;
            } else {
                let evidence = facts.prove(&walk, question);
                if matches!(evidence, Evidence::Right(_)) {
                    self.proofs.remember(received, &facts, question);
                }
                evidence
            }
        } else {
            if let Some(password) = self.pretence(&facts, question, nas) {
                if may_defer
                    && self
                        .pool
                        .get()
                        .is_some_and(|pool| pool.waiting() < MAX_PRETENDED)
                {
                    return Done::Slow;
                }
                if !may_defer {
                    proof::verify_nothing(password);
                }
            }
            facts.prove(&walk, question)
        };
        match evidence {
            Evidence::Unreadable => return Done::Dropped(Dropped::CredentialUnreadable),
            Evidence::Right(_) if self.config.rehash_imported => {
                self.upgrades.offer(&facts, question);
            }
            _ => {}
        }
        let is_traced = self.recorder.keeps_accepts(now);
        let mut trace = match is_traced {
            true => Trace::default(),
            false => Trace::left_out(),
        };
        let decision = decide(now, question, &facts, &walk, &evidence, &mut trace);
        if let (Decision::Refuse(_), false) = (&decision, is_traced) {
            trace = Trace::default();
            decide(now, question, &facts, &walk, &evidence, &mut trace);
        }
        match &decision {
            Decision::Accept(grant) => self.note_grant(now, question, &facts, &walk, grant),
            Decision::Refuse(refused) if refused.word == Refusal::TooManySessions => {
                if let Some((_, member)) = facts.member() {
                    self.watched.doubt(member.id);
                }
            }
            Decision::Refuse(_) => {}
        }
        let locks = self
            .register
            .note_outcome(now, nas, question, &facts, &decision);
        answer::build(&*self.kernel.rng, question, nas, &decision, &mut desk.reply);
        if let Err(fault) = answer::seal(desk, request, nas) {
            // RFC 7930 §4: a client that states a Response-Length learns that the answer did not fit.
            if answer::too_big(desk, request, nas) {
                self.counts.answered(Answered::ProtocolError);
                return Done::Answered;
            }
            tracing::warn!(nas = %nas.nas.name, user = ?question.name(), "reply not sent: {fault}");
            return Done::Dropped(Dropped::ReplyTooLong);
        }
        self.recorder.decided(
            self, now, question, &facts, nas, peer, &decision, trace, locks,
        );
        match &decision {
            Decision::Refuse(refused) => {
                self.counts.refused(refused.word);
                let wait = Duration::from_millis(u64::from(nas.nas.reject_delay_ms));
                Done::Refused(received + wait)
            }
            Decision::Accept(_) => Done::Answered,
        }
    }

    /// Remembers what was granted, where it may change while the session goes on.
    fn note_grant(
        &self,
        now: Time,
        question: &Question<'_>,
        facts: &Facts,
        walk: &Walk<'_>,
        grant: &Grant,
    ) {
        let Some((person, member)) = facts.member() else {
            return;
        };
        let roams = facts
            .organisation
            .as_ref()
            .is_some_and(|organisation| organisation.lets_devices_roam);
        let device = self.device_of(question);
        if walk.plans.is_empty() && !roams && !walk.needs_activity() {
            // What was granted before holds no more.
            return self.grants.forget(member.id.0, device);
        }
        if roams {
            self.grants.note_device(device, member.id.0);
        }
        let held = walk
            .groups
            .iter()
            .filter(|(group, unfit)| unfit.is_none() && group.compares());
        let granted = Granted {
            person: person.id,
            groups: held.map(|(group, _)| group.id).collect(),
            told: grant.plan.clone(),
            is_told: true,
            at: now,
        };
        self.grants.note(member.id.0, device, granted);
    }

    /// The device that asks, as its sessions will name it: a name where it says no more.
    fn device_of(&self, question: &Question<'_>) -> u64 {
        match self.usage.device_of(question) {
            Some(device) => device,
            None => self.usage.live.device(&question.name()),
        }
    }

    /// The password of somebody nobody knows, where the time that a refusal takes would tell that nobody does: people
    /// here have slow hashes, and the NAS's refusals do not wait longer than those take. Devices that ask for themselves
    /// are no secret.
    fn pretence<'q>(
        &self,
        facts: &Facts,
        question: &'q Question<'_>,
        nas: &NasEntry,
    ) -> Option<&'q [u8]> {
        match &question.offer {
            Offer::Pap(password)
                if facts.member().is_none()
                    && question.asker.mac_login.is_none()
                    && nas.nas.reject_delay_ms < HIDING_DELAY_MS
                    && self.hashes_are_slow.load(Ordering::Relaxed) =>
            {
                Some(password)
            }
            _ => None,
        }
    }

    /// The same request again, at a later pass: with time for its proof, or with whoever it names looked up.
    pub fn resume(&self, job: Job, pass: Pass) {
        let Job {
            ticket,
            datagram,
            nas,
            with_next_secret,
            at,
        } = &job;
        let secret = match &nas.secrets.next {
            Some(next) if *with_next_secret => next,
            _ => &nas.secrets.current,
        };
        let verified = Packet::parse_with(datagram, self.config.max_attributes)
            .ok()
            .and_then(|packet| {
                Request::verify(packet, secret, &identify::rules(&nas.nas, &self.config)).ok()
            });
        let Some(request) = verified else {
            // It was verified before it came here.
            return self.counts.dropped(Dropped::Internal);
        };
        let peer = ticket.slot.peer();
        let question = Question::from(&request);
        let mut desk = self.new_desk();
        let done = self.authenticate(
            &ticket.lane,
            &mut desk,
            ticket.received,
            &request,
            &question,
            nas,
            *at,
            peer,
            pass,
        );
        match done {
            Done::Answered => {
                ticket.answered(nas.nas.id, Answered::Accept);
                self.complete(ticket, &desk.octets);
            }
            Done::Refused(due) => self.hold(ticket, nas.nas.id, due, &desk),
            Done::Dropped(word) => {
                self.give_up(ticket, *at, word, &request.packet(), nas, peer);
            }
            Done::Slow if pass != Pass::Proving => self.queue(job),
            // It was proved, or looked up: neither is put off again.
            Done::Slow | Done::Unknown(_) => self.counts.dropped(Dropped::Internal),
        }
    }
}
