//! Watching who is online: what decisions would say of them now, and what is to be done about it.
//!
//! It looks at the state and not at changes, so that nothing is missed: those with limits or a plan again and again, those
//! whom news is about at once. What is wanted becomes an order; the same is not wanted again while it waits, and after it
//! failed only later and later.

use super::grants::Granted;
use super::orders::LeftOver;
use crate::door::Shared;
use access::decide::{Lasting, lasting};
use access::facts::Walk;
use access::plan::PlanFacts;
use access::plan::render::Octets;
use access::register::Touched;
use access::word::Refusal;
use identity::{MembershipId, PersonId};
use kernel::id::Uuid;
use kernel::{Error, Time};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use usage::LiveSession;
use usage::order::{Kind, Reason};
use usage::session::Session;

/// The shortest pause between two looks at everybody.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is read what other nodes have counted, where there are others.
const REFRESH_EVERY: Duration = Duration::from_secs(15);
/// Looking takes no more than this part of one core.
const SHARE: u32 = 50;
/// Memberships that news is about and that wait to be looked at; of more, everybody is looked at.
const MAX_TOUCHED: usize = 100_000;
/// Memberships whose sessions are doubted and wait to be looked at.
const MAX_DOUBTED: usize = 256;
/// A session that was heard of since then is not doubted.
const DOUBTED_AFTER_SECONDS: i64 = 60;
/// A session that was granted begins within this time.
const SOON_SECONDS: i64 = 300;
/// Orders of one look; the rest is for the next.
const MAX_ORDERS: usize = 1_000;
/// What failed is wanted again after so long, and then after twice that.
const AGAIN_SECONDS: i64 = 60;
/// But at least so often.
const LONGEST_AGAIN_SECONDS: i64 = 3_600;
/// Memberships whose holders are asked for at once.
const MANY: usize = 199;

/// What wants to be looked at, and what was wanted lately.
#[derive(Default)]
pub struct Watched {
    /// Told when an order was written.
    pub ordered: Notify,
    touched: Mutex<Vec<(PersonId, MembershipId)>>,
    doubted: Mutex<Vec<MembershipId>>,
    is_woken: Notify,
    wants_everybody: AtomicBool,
    /// Another node has applied reports since it was last looked.
    others_report: AtomicBool,
}

impl Watched {
    /// News is about these. `node`: this one.
    pub fn touch(&self, node: &str, touched: Touched) {
        if touched.reporters.iter().any(|reporter| reporter != node) {
            self.others_report.store(true, Ordering::Release);
        }
        if touched.policy {
            self.wants_everybody.store(true, Ordering::Release);
        }
        let mut waiting = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() + touched.members.len() > MAX_TOUCHED {
            waiting.clear();
            self.wants_everybody.store(true, Ordering::Release);
        } else {
            waiting.extend(touched.members);
        }
        drop(waiting);
        self.is_woken.notify_one();
    }

    /// Somebody was kept out by a membership's sessions: those that were not heard of lately may be over.
    pub fn doubt(&self, membership: MembershipId) {
        let mut doubted = self.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        if doubted.len() < MAX_DOUBTED && !doubted.contains(&membership) {
            doubted.push(membership);
        }
        drop(doubted);
        self.is_woken.notify_one();
    }

    fn take_doubted(&self) -> Vec<MembershipId> {
        std::mem::take(&mut *self.doubted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take_touched(&self) -> Vec<(PersonId, MembershipId)> {
        std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What may still be used in a session, for its NAS.
    pub fn left(&self, shared: &Shared, session: &Session) -> LeftOver {
        let Some(membership) = session.membership_id else {
            return LeftOver::default();
        };
        let device = shared.usage.live.device(&session.identity);
        let Some(granted) = shared.grants.get(membership, device) else {
            return LeftOver::default();
        };
        let now = shared.kernel.now();
        let Ok(Some(lasting)) = judge(shared, now, MembershipId(membership), &granted) else {
            return LeftOver::default();
        };
        // A NAS counts a session from its begin: what is left from now on comes on top of what it has used.
        let totals = session.totals();
        let plus = |left: Option<u64>, used: i64| {
            left.map(|left| left.saturating_add(used.max(0).unsigned_abs()))
        };
        let age = now
            .seconds_since(session.started)
            .max(session.session_seconds);
        LeftOver {
            octets: Octets {
                up: plus(lasting.octets.up, totals.input),
                down: plus(lasting.octets.down, totals.output),
                total: plus(
                    lasting.octets.total,
                    totals.input.saturating_add(totals.output),
                ),
            },
            session_seconds: lasting
                .session_seconds
                .map(|left| left.saturating_add(u32::try_from(age.max(0)).unwrap_or(u32::MAX))),
        }
    }
}

/// Sessions whose quota was spent at the last look: what is being counted at this very moment may be counted twice, so it is
/// looked at once more before a session is ended for it.
type Suspects = HashSet<Uuid>;

/// What was wanted of a session, and when it may be wanted again.
struct Wanted {
    kind: Kind,
    again: Time,
    pause_seconds: i64,
}

/// Runs until told to stop.
pub async fn run(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut wanted: HashMap<Uuid, Wanted> = HashMap::new();
    let mut suspects = Suspects::new();
    let mut refreshed = Instant::now();
    let mut is_recalled = false;
    let mut pause = LOOK_EVERY;
    let mut looked = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause.saturating_sub(looked.elapsed())) => {}
            () = shared.watched.is_woken.notified() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if !shared.usage.was_loaded() || shared.register.is_cut_off() || !shared.register.is_ready()
        {
            looked = Instant::now();
            continue;
        }
        let wants_everybody = shared.watched.wants_everybody.swap(false, Ordering::AcqRel);
        if !is_recalled || wants_everybody {
            match recall(&shared).await {
                Ok(()) => is_recalled = true,
                Err(e) => {
                    shared
                        .watched
                        .wants_everybody
                        .store(true, Ordering::Release);
                    tracing::warn!("who is online is not known by name yet: {e}");
                }
            }
        }
        if refreshed.elapsed() > REFRESH_EVERY
            && shared.watched.others_report.swap(false, Ordering::AcqRel)
        {
            refreshed = Instant::now();
            let now = shared.kernel.now();
            if let Err(e) = shared.usage.refresh(&shared.kernel.db, now).await {
                shared.watched.others_report.store(true, Ordering::Release);
                tracing::warn!("what other nodes have counted is not known yet: {e}");
            }
        }
        let touched = shared.watched.take_touched();
        let doubted = shared.watched.take_doubted();
        let is_due = looked.elapsed() >= pause;
        let begun = Instant::now();
        let looking = shared.clone();
        let look = tokio::task::spawn_blocking(move || {
            let mut orders = Vec::new();
            for (person, membership) in touched {
                look_at(&looking, membership, Some(person), &mut orders);
            }
            for membership in doubted {
                look_for_lost(&looking, membership, &mut orders);
            }
            if is_due || wants_everybody {
                everybody(&looking, &mut orders);
            }
            orders
        });
        let Ok(mut orders) = look.await else {
            continue;
        };
        let is_quota = |order: &Order| order.reason == Reason::Quota || order.kind == Kind::Change;
        let now_suspect: Suspects = orders
            .iter()
            .filter(|order| is_quota(order))
            .map(|order| order.session.id)
            .collect();
        orders.retain(|order| !is_quota(order) || suspects.contains(&order.session.id));
        if is_due || wants_everybody {
            suspects = now_suspect;
        } else {
            suspects.extend(now_suspect);
        }
        if is_due || wants_everybody {
            looked = Instant::now();
            pause = LOOK_EVERY.max(begun.elapsed() * SHARE);
        }
        let now = shared.kernel.now();
        wanted.retain(|_, wanted| now < wanted.again.plus_seconds(LONGEST_AGAIN_SECONDS));
        for order in orders {
            if let Err(e) = want(&shared, &mut wanted, now, order).await {
                tracing::warn!("what is wanted of a session is not written down yet: {e}");
                break;
            }
        }
    }
}

/// What is wanted of one session.
struct Order {
    session: LiveSession,
    kind: Kind,
    reason: Reason,
    plan: Option<Arc<PlanFacts>>,
}

async fn want(
    shared: &Shared,
    wanted: &mut HashMap<Uuid, Wanted>,
    now: Time,
    order: Order,
) -> Result<(), Error> {
    let before = wanted.get(&order.session.id);
    if before.is_some_and(|before| before.kind == order.kind && now < before.again) {
        return Ok(());
    }
    let pause_seconds = match before {
        Some(before) if before.kind == order.kind => {
            (before.pause_seconds * 2).min(LONGEST_AGAIN_SECONDS)
        }
        _ => AGAIN_SECONDS,
    };
    usage::order::want(
        &shared.kernel,
        &usage::order::Target::of_live(&order.session),
        order.kind,
        order.reason,
        order.plan.as_ref().map(|plan| plan.id.0),
    )
    .await?;
    wanted.insert(
        order.session.id,
        Wanted {
            kind: order.kind,
            again: now.plus_seconds(pause_seconds),
            pause_seconds,
        },
    );
    shared.watched.ordered.notify_one();
    Ok(())
}

fn unknown(person: PersonId, now: Time) -> Granted {
    Granted {
        person,
        groups: Box::default(),
        told: None,
        is_told: false,
        at: now,
    }
}

/// Who is online and was granted nothing by this process, as far as that matters: those with limits or a plan, and those
/// whose devices may roam.
async fn recall(shared: &Arc<Shared>) -> Result<(), Error> {
    let mut memberships = Vec::new();
    shared
        .usage
        .live
        .each_membership(|membership| memberships.push(MembershipId(membership)));
    memberships.sort_unstable();
    memberships.dedup();
    for part in memberships.chunks(MANY) {
        let holders = identity::known::holders(&shared.kernel.db, part).await?;
        for membership in part {
            if let Some(person) = holders.get(membership) {
                remember(shared, *person, *membership);
            }
        }
    }
    Ok(())
}

fn remember(shared: &Shared, person: PersonId, membership: MembershipId) {
    let Some(facts) = shared.register.facts_of(person, membership) else {
        return;
    };
    let organisation = facts.organisation.as_ref();
    let roams = organisation.is_some_and(|organisation| organisation.lets_devices_roam);
    let walk = facts.walk_groups(&[]);
    if !roams && !walk.needs_activity() && walk.plans.is_empty() {
        return;
    }
    let now = shared.kernel.now();
    shared.usage.live.visit(membership.0, |session, is_open| {
        if is_open {
            let granted = unknown(person, now);
            shared.grants.recall(membership.0, session.device, granted);
            if roams {
                shared.grants.note_device(session.device, membership.0);
            }
        }
    });
}

fn everybody(shared: &Shared, orders: &mut Vec<Order>) {
    let now = shared.kernel.now();
    let is_online = |membership| {
        let mut is_online = false;
        let seen = |_: &LiveSession, is_open: bool| is_online |= is_open;
        shared.usage.live.visit(membership, seen);
        is_online
    };
    shared.grants.sweep_devices(|device, membership| {
        // Its session may be about to begin.
        is_online(membership)
            || shared
                .grants
                .get(membership, device)
                .is_some_and(|granted| now.seconds_since(granted.at) < SOON_SECONDS)
    });
    for membership in shared.grants.memberships(now, is_online) {
        if orders.len() >= MAX_ORDERS {
            return;
        }
        look_at(shared, MembershipId(membership), None, orders);
    }
}

/// What is to be done about a membership's sessions. `person`: whose it is, where news said so; of others, those are looked
/// at that something was granted to.
fn look_at(
    shared: &Shared,
    membership: MembershipId,
    person: Option<PersonId>,
    orders: &mut Vec<Order>,
) {
    let now = shared.kernel.now();
    shared.usage.live.visit(membership.0, |session, is_open| {
        // Its row comes in a moment.
        if !is_open || session.id.is_nil() {
            return;
        }
        let granted = shared.grants.get(membership.0, session.device);
        let granted = granted.or_else(|| person.map(|person| unknown(person, now)));
        let Some(granted) = granted else { return };
        let Some((kind, reason, plan)) = wanted_of(shared, now, membership, session, &granted)
        else {
            return;
        };
        orders.push(Order {
            session: *session,
            kind,
            reason,
            plan,
        });
    });
}

/// What is wanted of a session; nothing, where it is as it should be.
fn wanted_of(
    shared: &Shared,
    now: Time,
    membership: MembershipId,
    session: &LiveSession,
    granted: &Granted,
) -> Option<(Kind, Reason, Option<Arc<PlanFacts>>)> {
    let lasting = match judge(shared, now, membership, granted) {
        Err(reason) => return Some((Kind::Disconnect, reason, None)),
        Ok(lasting) => lasting?,
    };
    if !shared.usage.is_complete() {
        // More is open, or was used, than is known here: whether a quota is spent, and so which plan holds, is not known.
        return None;
    }
    if !granted.is_told {
        // Right after a restart: what it was told then is what it would be told now.
        let plan = lasting.plan;
        shared.grants.told(membership.0, session.device, plan);
        return None;
    }
    let is_same = match (&granted.told, &lasting.plan) {
        (None, None) => true,
        (Some(told), Some(now)) => told.id == now.id && told.terms == now.terms,
        _ => false,
    };
    match (is_same, lasting.plan) {
        (true, _) => None,
        (false, Some(plan)) => Some((Kind::Change, Reason::Plan, Some(plan))),
        // Nothing can be told in the place of a plan that is gone: it comes in again without.
        (false, None) => Some((Kind::Disconnect, Reason::Plan, None)),
    }
}

/// Which of a membership's sessions its NASes are asked about.
fn look_for_lost(shared: &Shared, membership: MembershipId, orders: &mut Vec<Order>) {
    let now = shared.kernel.now();
    shared.usage.live.visit(membership.0, |session, is_open| {
        let silent = now.seconds_since(session.heard);
        if is_open && !session.id.is_nil() && silent > DOUBTED_AFTER_SECONDS {
            orders.push(Order {
                session: *session,
                kind: Kind::Query,
                reason: Reason::Doubt,
                plan: None,
            });
        }
    });
}

/// What a decision would say now of somebody who is online; none, where that cannot be told: right after a restart nobody
/// knows which groups held that compare something.
fn judge(
    shared: &Shared,
    now: Time,
    membership: MembershipId,
    granted: &Granted,
) -> Result<Option<Lasting>, Reason> {
    let facts = shared.register.facts_of(granted.person, membership);
    let facts = facts.ok_or(Reason::Removed)?;
    let is_unsure = !granted.is_told && facts.groups.iter().any(|group| group.compares());
    let mut walk = match is_unsure {
        true => Walk::default(),
        false => facts.walk_groups(&granted.groups),
    };
    if walk.needs_activity() {
        walk.activity = shared.usage.activity(now, None, &facts, &walk);
    }
    match lasting(now, &facts, &walk) {
        Ok(_) if is_unsure => Ok(None),
        Ok(lasting) => Ok(Some(lasting)),
        Err(refusal) => Err(match refusal {
            Refusal::QuotaSpent => Reason::Quota,
            Refusal::Expired => Reason::Expired,
            Refusal::UnknownUser => Reason::Removed,
            _ => Reason::Disabled,
        }),
    }
}
