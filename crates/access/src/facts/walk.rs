//! The rules that hold for one question, walked: what they set, what they say, and which plans they give.

use super::{GroupFacts, Unfit};
use crate::activity::Activity;
use crate::limit::{Limit, Meter, Period};
use crate::plan::{MAX_FOLLOWING, PlanFacts};
use crate::rule::{Check, Controls, ReplyList, RuleSet, control};
use smallvec::SmallVec;
use std::sync::Arc;

/// Session-Timeout (RFC 2865 §5.27).
const SESSION_TIMEOUT: u32 = 27;

/// The rules walked for one question: the person's own, then groups by priority, lowest number first. A group whose
/// checks fail is skipped; the first that matches is the last, unless its rows say Fall-Through.
#[derive(Default)]
pub struct Walk<'f> {
    /// The person's own check that does not match.
    pub failed: Option<&'f Check>,
    /// Each group that was looked at, with why its rules do not hold.
    pub groups: SmallVec<[(&'f GroupFacts, Option<Unfit<'f>>); 4]>,
    /// What the matching rows set.
    pub controls: Controls<'f>,
    /// What the matching rows say.
    pub replies: ReplyList,
    /// The least Session-Timeout of them all, in seconds.
    pub session_timeout_seconds: Option<u64>,
    /// The plans of the groups that match, the first one first.
    pub plans: SmallVec<[&'f Arc<PlanFacts>; 2]>,
    /// The organisation has a limit of its own.
    pub counts_organisation: bool,
    /// What the member is doing, where the rules ask for it: see [`Walk::needs_activity`].
    pub activity: Activity,
}

/// Limits that rows set, in FreeRADIUS's and OpenWISP's words.
const LIMIT_CONTROLS: [(&str, Meter, Period); 8] = [
    (control::MAX_DAILY_SESSION, Meter::Time, Period::Day),
    (control::MAX_WEEKLY_SESSION, Meter::Time, Period::Week),
    (control::MAX_MONTHLY_SESSION, Meter::Time, Period::Month),
    (control::MAX_ALL_SESSION, Meter::Time, Period::Ever),
    (control::MAX_DAILY_TRAFFIC, Meter::Total, Period::Day),
    (control::MAX_WEEKLY_TRAFFIC, Meter::Total, Period::Week),
    (control::MAX_MONTHLY_TRAFFIC, Meter::Total, Period::Month),
    (control::MAX_ALL_TRAFFIC, Meter::Total, Period::Ever),
];

impl<'f> Walk<'f> {
    /// The limits that rows set, each with the attribute that says so.
    pub fn control_limits(&self) -> impl Iterator<Item = (&'static str, Limit)> {
        LIMIT_CONTROLS
            .into_iter()
            .filter(|_| !self.controls.is_empty())
            .filter_map(|(name, meter, period)| {
                let amount = self.controls.number(name)?;
                Some((
                    name,
                    Limit {
                        meter,
                        period,
                        amount,
                    },
                ))
            })
    }

    /// Shows every limit that may have to be looked at, those of plans that take another's place included.
    pub fn each_limit(&self, mut show: impl FnMut(&Limit)) {
        for (_, limit) in self.control_limits() {
            show(&limit);
        }
        for plan in &self.plans {
            let mut next = Some(*plan);
            for _ in 0..=MAX_FOLLOWING {
                let Some(plan) = next else { break };
                plan.terms.limits.iter().for_each(&mut show);
                next = plan.when_spent.as_ref();
            }
        }
    }

    /// The most sessions at once, and who says so. 0 is how operators write "no limit".
    pub fn most_sessions(&self) -> Option<u64> {
        let by_rows = self
            .controls
            .number(control::SIMULTANEOUS_USE)
            .filter(|most| *most > 0);
        let by_plans = self.plans.iter().filter_map(|plan| plan.terms.sessions);
        by_rows.into_iter().chain(by_plans.map(u64::from)).min()
    }

    /// The most devices at once.
    pub fn most_devices(&self) -> Option<u64> {
        let by_plans = self.plans.iter().filter_map(|plan| plan.terms.devices);
        by_plans.map(u64::from).min()
    }

    /// How far apart the reports are that the NAS is asked for, in seconds.
    pub fn interim_seconds(&self) -> Option<u32> {
        self.plans
            .iter()
            .find_map(|plan| plan.terms.interim_seconds)
    }

    /// Whether what the member is doing and has used has to be known.
    pub fn needs_activity(&self) -> bool {
        if self.counts_organisation {
            return true;
        }
        if self.plans.is_empty() && self.controls.is_empty() {
            return false;
        }
        let mut is_limited = false;
        self.each_limit(|_| is_limited = true);
        is_limited || self.most_sessions().is_some() || self.most_devices().is_some()
    }

    pub(super) fn take_group(&mut self, group: &'f GroupFacts) {
        self.groups.push((group, None));
        self.take(&group.rules);
        self.plans.extend(&group.plan);
    }

    pub(super) fn take(&mut self, rules: &'f RuleSet) {
        self.controls.apply(&rules.checks);
        self.replies.apply_set(rules);
        let least = rules
            .replies
            .iter()
            .map(crate::rule::ReplyRow::item)
            .filter(|item| item.is(0, SESSION_TIMEOUT))
            .filter_map(crate::rule::ReplyItem::number)
            // 0 is how operators write "no limit".
            .filter(|seconds| *seconds > 0)
            .min();
        self.session_timeout_seconds = match (self.session_timeout_seconds, least) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}
