//! Limits held against a login, and against somebody who is online: sessions at once, quotas, and the plan that holds.

use super::{Limits, No, Trace, hours, no, organisation, standing};
use crate::facts::{Facts, Walk};
use crate::limit::{Limit, Meter};
use crate::plan::render::Octets;
use crate::plan::{MAX_FOLLOWING, PlanFacts};
use crate::word::Refusal;
use kernel::Time;
use std::sync::Arc;
use usage::Totals;

/// What holds of somebody who is online.
pub struct Lasting {
    /// The plan.
    pub plan: Option<Arc<PlanFacts>>,
    /// What is left of quotas.
    pub octets: Octets,
    /// How long he may stay, in seconds.
    pub session_seconds: Option<u32>,
}

/// Whether somebody who is online may stay, and under what plan: what was checked of the login itself (the proof, what the
/// request said, sessions at once) is not checked again.
///
/// # Errors
/// The word for which he has to go.
pub fn lasting(now: Time, facts: &Facts, walk: &Walk<'_>) -> Result<Lasting, Refusal> {
    let mut trace = Trace::left_out();
    let mut limits = Limits::default();
    let trace = &mut trace;
    let held = organisation(facts, trace)
        .and_then(|()| standing(now, facts, trace, &mut limits))
        .and_then(|()| quotas(now, facts, walk, trace, &mut limits));
    match held {
        Err(no) => Err(no.word),
        Ok((plan, octets)) => Ok(Lasting {
            plan,
            octets,
            session_seconds: limits.seconds(),
        }),
    }
}

/// How many sessions and devices there are beside the one that asks, and how many the organisation has.
pub(super) fn sessions(facts: &Facts, walk: &Walk<'_>, trace: &mut Trace) -> Result<(), No> {
    let activity = &walk.activity;
    let of_all = facts.organisation.as_ref().and_then(|o| o.most_sessions);
    let is_back = activity.going.iter().any(|going| going.is_asker);
    let all = usize::try_from(activity.of_organisation).unwrap_or(usize::MAX);
    let counts = [
        // Whose device is online is one of them.
        (
            "sessions of the organisation",
            of_all,
            all.saturating_sub(usize::from(is_back)),
        ),
        (
            "sessions at once",
            walk.most_sessions(),
            activity.sessions(),
        ),
        ("devices at once", walk.most_devices(), activity.devices()),
    ];
    for (check, most, others) in counts {
        let Some(most) = most else { continue };
        if !activity.is_known {
            trace.skip(check, || format!("at most {most}; {NOT_KNOWN}"));
            continue;
        }
        let input = || format!("{others} beside this one, at most {most} together");
        if u64::try_from(others).unwrap_or(u64::MAX) >= most {
            return Err(no(check, input(), Refusal::TooManySessions));
        }
        trace.pass(check, input);
    }
    Ok(())
}

/// Why a limit is not looked at.
const NOT_KNOWN: &str =
    "what was used is not known: it is still being read, or the database is away";

/// Limits of rows, then plans: the one that holds now, which another may have taken the place of, and what is left.
pub(super) fn quotas(
    now: Time,
    facts: &Facts,
    walk: &Walk<'_>,
    trace: &mut Trace,
    limits: &mut Limits,
) -> Result<(Option<Arc<PlanFacts>>, Octets), No> {
    let mut left = Left {
        now,
        facts,
        walk,
        octets: Octets::default(),
    };
    for (name, limit) in walk.control_limits() {
        if left.is_spent(&limit) {
            let input = left.shown(&limit);
            return Err(no(name, input, Refusal::QuotaSpent));
        }
        left.take(name, &limit, trace, limits);
    }
    let mut first = None;
    for plan in &walk.plans {
        let plan = holding(plan, &left, trace)?;
        if let Some(plan_hours) = &plan.hours {
            let text = plan.terms.hours.as_deref().unwrap_or_default();
            hours(now, facts, "hours", plan_hours, text, trace, limits)?;
        }
        trace.pass("plan", || plan.name.clone());
        for limit in &plan.terms.limits {
            left.take("limit", limit, trace, limits);
        }
        limits.least(
            "the plan's session timeout",
            plan.terms.session_seconds.map(u64::from),
        );
        first = first.or(Some(plan));
    }
    Ok((first.cloned(), left.octets))
}

/// The plan that holds: the one given, or, where a limit of it is spent, the one that takes its place.
fn holding<'p>(
    plan: &'p Arc<PlanFacts>,
    left: &Left<'_, '_>,
    trace: &mut Trace,
) -> Result<&'p Arc<PlanFacts>, No> {
    let mut plan = plan;
    for _ in 0..=MAX_FOLLOWING {
        if plan.is_damaged {
            let input = format!("{}: what is stored of it cannot be read", plan.name);
            return Err(no("plan", input, Refusal::CheckFailed));
        }
        let Some(spent) = plan.terms.limits.iter().find(|limit| left.is_spent(limit)) else {
            return Ok(plan);
        };
        let shown = left.shown(spent);
        let Some(next) = &plan.when_spent else {
            let input = format!("{}: {shown}", plan.name);
            return Err(no("limit", input, Refusal::QuotaSpent));
        };
        trace.skip("plan", || {
            format!("{}: {shown}; {} takes its place", plan.name, next.name)
        });
        plan = next;
    }
    // The rules for saving allow no circle.
    Err(no("limit", plan.name.as_str(), Refusal::QuotaSpent))
}

/// What is left of limits, as they are gone through.
struct Left<'a, 'f> {
    now: Time,
    facts: &'a Facts,
    walk: &'a Walk<'f>,
    octets: Octets,
}

impl Left<'_, '_> {
    fn used(&self, limit: &Limit) -> Totals {
        self.walk.activity.used(limit.period)
    }

    fn is_spent(&self, limit: &Limit) -> bool {
        self.walk.activity.is_known && limit.left(self.used(limit)) == 0
    }

    fn shown(&self, limit: &Limit) -> String {
        let used = limit.meter.of(self.used(limit));
        format!("{limit}: {} used", limit.meter.text(used))
    }

    fn take(&mut self, name: &'static str, limit: &Limit, trace: &mut Trace, limits: &mut Limits) {
        if !self.walk.activity.is_known {
            return trace.skip(name, || format!("{limit}; {NOT_KNOWN}"));
        }
        trace.pass(name, || self.shown(limit));
        let used = self.used(limit);
        if let (Some((_, member)), Some(organisation)) =
            (self.facts.member(), &self.facts.organisation)
        {
            let zone = organisation.zone;
            limits.least(
                name,
                limit.seconds_from_now(used, self.now, zone, member.since(zone)),
            );
        }
        let left = limit.left(used);
        let way = match limit.meter {
            Meter::Time => return,
            Meter::Up => &mut self.octets.up,
            Meter::Down => &mut self.octets.down,
            Meter::Total => &mut self.octets.total,
        };
        *way = Some(way.map_or(left, |known| known.min(left)));
    }
}
