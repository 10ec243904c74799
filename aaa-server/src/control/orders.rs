//! Seeing to orders: taken from the database, asked of NASes beside each other, few at a time of each.

use super::exchange::{self, Asking, Exchanged, Peer};
use crate::ask::Timing;
use crate::door::Shared;
use access::dynauth::{self, Change};
use access::family::Family;
use access::nas::NasId;
use access::nas_match::NasEntry;
use access::plan::render::Octets;
use access::plan::{PlanFacts, PlanId};
use kernel::Scope;
use radius_wire::Secret;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use usage::order::{Finish, Kind, Order, Outcome, Reason};
use usage::session::Session;

/// How often the database is asked for orders: an operator's word takes effect within a moment.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Orders that are taken: those of a NAS that does not answer wait for each other, and keep no other NAS's waiting.
const MAX_TAKEN: usize = 512;
/// NASes that are asked at once: each question has a socket, and a thread that waits.
const MAX_AT_ONCE: usize = 64;
/// Questions that one NAS has to answer at once: a router must not drown in a mass disconnect.
const MAX_PER_NAS: usize = 8;
/// A NAS that did not answer is not asked again for so long: what else was wanted of it has failed, too.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// NASes whose ways are remembered.
const MAX_REMEMBERED: usize = 10_000;
/// Longest wait for an answer, whatever the first one is.
const LONGEST_WAIT: Duration = Duration::from_secs(16);
/// Tries of one question (RFC 5080 §2.2.1 leaves the number open).
const TRIES: u32 = 5;

struct Nases {
    /// Questions to all of them.
    all: Arc<Semaphore>,
    /// Until when each is taken for silent.
    silent: HashMap<NasId, Instant>,
    /// Who is asked, and how many questions are out.
    turns: HashMap<NasId, Arc<Semaphore>>,
    /// The way of naming a session that each took last.
    sets: HashMap<NasId, usize>,
}

impl Default for Nases {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            silent: HashMap::new(),
            turns: HashMap::new(),
            sets: HashMap::new(),
        }
    }
}

/// Runs until told to stop. What was taken and is not finished by then is taken again by whoever comes next.
pub async fn run(shared: Arc<Shared>, node: String, mut stop: watch::Receiver<bool>) {
    let nases = Arc::new(Mutex::new(Nases::default()));
    let node: Arc<str> = node.into();
    let mut at_work = JoinSet::new();
    let mut is_failing = false;
    loop {
        while at_work.try_join_next().is_some() {}
        let free = MAX_TAKEN.saturating_sub(at_work.len());
        if free > 0 && shared.has_claimed.load(Ordering::Acquire) && !shared.register.is_cut_off() {
            match take(&shared, &node, free).await {
                Ok(orders) => {
                    is_failing = false;
                    for order in orders {
                        at_work.spawn(see_to(shared.clone(), nases.clone(), node.clone(), order));
                    }
                }
                Err(e) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!("orders about sessions wait: {e}");
                    }
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = shared.watched.ordered.notified() => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    // What is not finished is taken again by whoever comes next.
    at_work.abort_all();
}

async fn take(shared: &Shared, node: &str, free: usize) -> Result<Vec<Order>, kernel::Error> {
    if !usage::order::is_any_waiting(&shared.kernel).await? {
        return Ok(Vec::new());
    }
    usage::order::take(&shared.kernel, node, free).await
}

async fn see_to(shared: Arc<Shared>, nases: Arc<Mutex<Nases>>, node: Arc<str>, order: Order) {
    let finish = match ask_nas(&shared, &nases, &node, &order).await {
        Ok(Some(finish)) => finish,
        // Another node has it.
        Ok(None) => return,
        Err(e) => {
            // It is taken again later.
            tracing::warn!(order = %order.id, "an order about a session waits: {e}");
            return;
        }
    };
    tracing::info!(
        session = %order.session,
        nas = %order.nas,
        kind = order.kind.word(),
        reason = order.reason.word(),
        outcome = finish.outcome.word(),
        error_cause = finish.error_cause,
        tries = finish.tries,
        "session order"
    );
    if let Err(e) = usage::order::finish(&shared.kernel, &order, &finish).await {
        tracing::warn!(order = %order.id, "what came of an order about a session is not noted: {e}");
    }
}

async fn ask_nas(
    shared: &Arc<Shared>,
    nases: &Mutex<Nases>,
    node: &str,
    order: &Order,
) -> Result<Option<Finish>, kernel::Error> {
    let policy = shared.register.policy();
    let nas = policy
        .nases
        .entries()
        .iter()
        .find(|entry| entry.nas.id.0 == order.nas && entry.nas.is_enabled)
        .cloned();
    drop(policy);
    let Some(nas) = nas else {
        return Ok(Some(Finish::unasked(Outcome::NoNas)));
    };
    let (turn, all) = {
        let mut nases = locked(nases);
        if nases.turns.len() >= MAX_REMEMBERED {
            nases.turns.clear();
        }
        let turn = nases
            .turns
            .entry(nas.nas.id)
            .or_insert_with(|| Arc::new(Semaphore::new(MAX_PER_NAS)));
        (turn.clone(), nases.all.clone())
    };
    let _turn = turn.acquire_owned().await;
    let _place = all.acquire_owned().await;
    let is_silent = {
        let mut nases = locked(nases);
        nases.silent.retain(|_, until| *until > Instant::now());
        nases.silent.contains_key(&nas.nas.id)
    };
    if is_silent {
        return Ok(Some(Finish::unasked(Outcome::Silence)));
    }
    // It may have waited for long.
    if !usage::order::begin(&shared.kernel, node, order.id).await? {
        return Ok(None);
    }
    let id = order.session.simple().to_string();
    let found = usage::find(&shared.kernel.db, Scope::Everything, &id).await?;
    let session = found
        .into_iter()
        .find(|session| session.id == order.session);
    let session = match session {
        Some(session) if session.is_open() => session,
        over => {
            if let Some(session) = over {
                shared.usage.live.closed(&session);
            }
            return Ok(Some(Finish::unasked(Outcome::Ended)));
        }
    };
    let family = Family::of_word(&nas.nas.family);
    let change = match order.kind {
        Kind::Change if dynauth::takes_changes(family) => plan_of(shared, order),
        _ => None,
    };
    let what = match (order.kind, change) {
        (Kind::Query, _) => What::Query,
        (_, Some(plan)) => What::Change(plan),
        (_, None) => What::Disconnect,
    };
    let ends = matches!(what, What::Disconnect);
    let changed = match &what {
        What::Change(plan) => Some(plan.clone()),
        What::Disconnect | What::Query => None,
    };
    let is_change = changed.is_some();
    let mut finish = exchanged(shared, nases, &nas, &session, what).await?;
    if is_change && finish.outcome == Outcome::Nak {
        // It goes on as it was: it is ended, and comes in again under the new plan.
        finish = exchanged(shared, nases, &nas, &session, What::Disconnect).await?;
    } else if !ends && finish.outcome == Outcome::Ack {
        if let (Some(plan), Some(membership)) = (changed, session.membership_id) {
            let device = shared.usage.live.device(&session.identity);
            shared.grants.told(membership, device, Some(plan));
        }
        return Ok(Some(finish));
    }
    match finish.outcome {
        Outcome::Ack | Outcome::Gone => close(shared, &session, order.reason).await?,
        Outcome::Silence => {
            let until = Instant::now() + SILENT_FOR;
            locked(nases).silent.insert(nas.nas.id, until);
        }
        _ => {}
    }
    Ok(Some(finish))
}

fn locked(nases: &Mutex<Nases>) -> MutexGuard<'_, Nases> {
    nases.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a NAS is asked.
enum What {
    Disconnect,
    Change(Arc<PlanFacts>),
    Query,
}

fn plan_of(shared: &Shared, order: &Order) -> Option<Arc<PlanFacts>> {
    let wanted = PlanId(order.plan?);
    let policy = shared.register.policy();
    policy
        .groups
        .values()
        .filter_map(|group| group.plan.as_ref())
        .find_map(|plan| plan.followed_by(wanted))
}

/// One exchange, with the NAS's secret and, while it changes, with the next one.
async fn exchanged(
    shared: &Arc<Shared>,
    nases: &Mutex<Nases>,
    nas: &Arc<NasEntry>,
    session: &Session,
    what: What,
) -> Result<Finish, kernel::Error> {
    let Some(address) = exchange::address_of(&nas.nas, session) else {
        return Ok(Finish::unasked(Outcome::NoAddress));
    };
    let first_set = {
        let nases = locked(nases);
        nases.sets.get(&nas.nas.id).copied().unwrap_or(0)
    };
    let left = match &what {
        What::Change(_) => shared.watched.left(shared, session),
        What::Disconnect | What::Query => LeftOver::default(),
    };
    let (shared, nas, session) = (shared.clone(), nas.clone(), session.clone());
    let nas_id = nas.nas.id;
    let asked = tokio::task::spawn_blocking(move || {
        let timing = Timing {
            first_wait: Duration::from_millis(shared.config.session_order_wait_ms.max(1).into()),
            longest_wait: LONGEST_WAIT,
            tries: TRIES,
        };
        let asking = match &what {
            What::Disconnect => Asking::Disconnect,
            What::Query => Asking::Query,
            What::Change(plan) => Asking::Change(Change {
                plan,
                octets: left.octets,
                session_seconds: left.session_seconds,
            }),
        };
        let secrets = [Some(&nas.secrets.current), nas.secrets.next.as_ref()];
        let mut exchanged = Exchanged {
            finish: Finish::unasked(Outcome::Silence),
            set: first_set,
        };
        for secret in secrets.into_iter().flatten() {
            let peer = Peer {
                address,
                family: Family::of_word(&nas.nas.family),
                secret: Secret::new(secret.as_bytes()),
                first_set,
                timing,
                rng: &*shared.kernel.rng,
                now: shared.kernel.now(),
            };
            match exchange::exchange(&peer, &session, &asking) {
                Ok(done) => exchanged = done,
                Err(fault) => {
                    tracing::warn!(nas = %nas.nas.name, "a session cannot be asked about: {fault}");
                    exchanged.finish = Finish::unasked(Outcome::Nak);
                }
            }
            if exchanged.finish.outcome != Outcome::Silence {
                break;
            }
        }
        exchanged
    });
    let Exchanged { finish, set } = asked
        .await
        .map_err(|e| kernel::Error::Invalid(format!("asking the NAS was cut short: {e}")))?;
    if finish.outcome == Outcome::Ack {
        let mut nases = locked(nases);
        if nases.sets.len() < MAX_REMEMBERED {
            nases.sets.insert(nas_id, set);
        }
    }
    Ok(finish)
}

/// What may still be used, told with a change.
#[derive(Debug, Clone, Copy, Default)]
pub struct LeftOver {
    /// Octets.
    pub octets: Octets,
    /// Seconds.
    pub session_seconds: Option<u32>,
}

async fn close(
    shared: &Arc<Shared>,
    session: &Session,
    reason: Reason,
) -> Result<(), kernel::Error> {
    let zone = |organisation| crate::writer::zone_of(shared, organisation);
    let closed = usage::list::mark_closed(&shared.kernel, session.id, reason.cause(), zone).await?;
    if let Some(applied) = closed {
        shared.usage.applied(&applied);
    }
    Ok(())
}
