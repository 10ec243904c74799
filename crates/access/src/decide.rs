//! The decision: one ordered list of small checks over plain data. Pure; nothing is looked up and nothing is stored.
//!
//! Each check leaves a line in the [`Trace`]: what it looked at and what it found. That is what `explain` shows.
//! Checks that tell about an account (disabled, expired, …) come after the proof, so that nobody learns about an
//! account whose password he does not have.

mod quota;

pub use quota::{Lasting, lasting};

use crate::facts::{Evidence, Facts, MembershipFacts, OrganisationFacts, Walk};
use crate::limiter::KeyKind;
use crate::plan::PlanFacts;
use crate::plan::render::Octets;
use crate::question::Question;
use crate::rule::hours::{Allowed, LoginHours};
use crate::rule::{AuthType, ReplyList, control};
use crate::word::Refusal;
use chrono::{Datelike, Timelike};
use kernel::Time;
use proof::keys::Keys;
use std::sync::Arc;

/// Session-Timeout (RFC 2865 §5.27).
const SESSION_TIMEOUT: u32 = 27;

/// What is said.
pub enum Decision {
    /// Come in.
    Accept(Grant),
    /// No.
    Refuse(Refused),
}

/// What is granted.
pub struct Grant {
    /// Reply attributes, without Session-Timeout.
    pub replies: ReplyList,
    /// The least of all limits, in seconds; never 0.
    pub session_timeout_seconds: Option<u32>,
    /// The plan that says the rest, in the words of the NAS's family.
    pub plan: Option<Arc<PlanFacts>>,
    /// What is left of quotas.
    pub octets: Octets,
    /// What the method's own success needs.
    pub keys: Keys,
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// The word.
    pub word: Refusal,
    /// For locks: until when.
    pub until: Option<Time>,
}

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Pass,
    /// It decides: no.
    Fail,
    /// It does not apply, and the next is looked at.
    Skip,
}

impl Outcome {
    /// As `explain` shows it.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::Skip => "skip",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub check: &'static str,
    /// What it looked at. Never a secret.
    pub input: String,
    /// What it came to.
    pub outcome: Outcome,
    /// For the check that decided: the word.
    pub word: Option<Refusal>,
}

/// Every check that was made, in order. Words cost more than decisions: what nobody will read is not written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// In order.
    pub steps: Vec<Step>,
    is_left_out: bool,
}

impl Trace {
    /// One that nothing is written into.
    pub fn left_out() -> Self {
        Self {
            steps: Vec::new(),
            is_left_out: true,
        }
    }

    fn pass(&mut self, check: &'static str, input: impl FnOnce() -> String) {
        self.push(check, input, Outcome::Pass, None);
    }

    fn skip(&mut self, check: &'static str, input: impl FnOnce() -> String) {
        self.push(check, input, Outcome::Skip, None);
    }

    fn push(
        &mut self,
        check: &'static str,
        input: impl FnOnce() -> String,
        outcome: Outcome,
        word: Option<Refusal>,
    ) {
        if !self.is_left_out {
            self.steps.push(Step {
                check,
                input: input(),
                outcome,
                word,
            });
        }
    }

    /// For the attempts table: check, input and verdict of each, with sentence and remedy where one decided.
    pub fn to_json(&self) -> serde_json::Value {
        self.steps
            .iter()
            .map(|step| {
                let mut json = serde_json::json!({
                    "check": step.check,
                    "input": step.input,
                    "verdict": step.outcome.word(),
                });
                if let Some(word) = step.word {
                    json["word"] = word.word().into();
                    json["sentence"] = word.sentence().into();
                    json["remedy"] = word.remedy().into();
                }
                json
            })
            .collect()
    }
}

/// A check that decides.
struct No {
    check: &'static str,
    input: String,
    word: Refusal,
    until: Option<Time>,
}

fn no(check: &'static str, input: impl Into<String>, word: Refusal) -> No {
    No {
        check,
        input: input.into(),
        word,
        until: None,
    }
}

/// Decides, and leaves in `trace` what led there. The same question, facts and evidence are decided alike however often
/// they are asked, so a trace that was left out can be had by asking again.
pub fn decide(
    now: Time,
    question: &Question<'_>,
    facts: &Facts,
    walk: &Walk<'_>,
    evidence: &Evidence,
    trace: &mut Trace,
) -> Decision {
    match checks(now, question, facts, walk, evidence, trace) {
        Ok(grant) => Decision::Accept(grant),
        Err(no) => {
            let No {
                check,
                input,
                word,
                until,
            } = no;
            trace.push(check, || input, Outcome::Fail, Some(word));
            Decision::Refuse(Refused { word, until })
        }
    }
}

fn checks(
    now: Time,
    question: &Question<'_>,
    facts: &Facts,
    walk: &Walk<'_>,
    evidence: &Evidence,
    trace: &mut Trace,
) -> Result<Grant, No> {
    organisation(facts, trace)?;
    lock(facts, trace)?;
    person(question, facts, trace)?;
    let keys = proof(question, walk, evidence, trace)?;
    let mut limits = Limits::default();
    account(now, question, facts, trace, &mut limits)?;
    rules(walk, trace)?;
    controls(now, facts, walk, trace, &mut limits)?;
    quota::sessions(facts, walk, trace)?;
    let (plan, octets) = quota::quotas(now, facts, walk, trace, &mut limits)?;
    limits.least("Session-Timeout", walk.session_timeout_seconds);
    limits.least(
        "Session-Timeout",
        walk.controls.number(control::SESSION_TIMEOUT),
    );
    let session_timeout_seconds = limits.seconds();
    if let (Some(seconds), Some(by)) = (session_timeout_seconds, limits.by) {
        trace.pass("session timeout", || format!("{seconds} s, by {by}"));
    }
    let mut replies = walk.replies.clone();
    replies.remove(0, SESSION_TIMEOUT);
    Ok(Grant {
        replies,
        session_timeout_seconds,
        plan,
        octets,
        keys,
    })
}

/// The least of all limits, and whose it is.
#[derive(Default)]
struct Limits {
    least: Option<u64>,
    by: Option<&'static str>,
}

impl Limits {
    fn least(&mut self, by: &'static str, seconds: Option<u64>) {
        if let Some(seconds) = seconds
            && self.least.is_none_or(|least| seconds < least)
        {
            self.least = Some(seconds);
            self.by = Some(by);
        }
    }

    /// A Session-Timeout of 0 means "no limit" to many NASes: never that.
    fn seconds(&self) -> Option<u32> {
        self.least
            .map(|seconds| u32::try_from(seconds.max(1)).unwrap_or(u32::MAX))
    }
}

fn organisation(facts: &Facts, trace: &mut Trace) -> Result<(), No> {
    match &facts.organisation {
        Some(organisation) if organisation.is_active => {
            trace.pass("organisation", || organisation.slug.clone());
            Ok(())
        }
        Some(organisation) => Err(no(
            "organisation",
            &organisation.slug,
            Refusal::OrganisationDisabled,
        )),
        None => Err(no("organisation", "gone", Refusal::OrganisationDisabled)),
    }
}

fn lock(facts: &Facts, trace: &mut Trace) -> Result<(), No> {
    let Some(lock) = facts.lock else {
        trace.pass("locks", || "none".to_owned());
        return Ok(());
    };
    let word = match lock.kind {
        KeyKind::User => Refusal::Locked,
        KeyKind::Device => Refusal::DeviceLocked,
        KeyKind::Nas => Refusal::NasLocked,
    };
    Err(No {
        until: Some(lock.until),
        ..no("locks", format!("locked until {}", lock.until), word)
    })
}

fn person(question: &Question<'_>, facts: &Facts, trace: &mut Trace) -> Result<(), No> {
    let asked = || match question.asker.mac_login {
        Some(mac) if facts.by_mac => mac.to_string(),
        _ => question.name().into_owned(),
    };
    match facts.member() {
        Some((person, _)) => {
            trace.pass("person", || {
                format!("'{}' is {}", asked(), person.username())
            });
            Ok(())
        }
        // Somebody of another organisation is nobody here: one tenant must not learn another's people.
        None => Err(no("person", format!("'{}'", asked()), Refusal::UnknownUser)),
    }
}

fn proof(
    question: &Question<'_>,
    walk: &Walk<'_>,
    evidence: &Evidence,
    trace: &mut Trace,
) -> Result<Keys, No> {
    match walk.controls.auth_type() {
        Some(AuthType::Reject) => {
            return Err(no("proof", "Auth-Type := Reject", Refusal::AuthTypeReject));
        }
        Some(AuthType::Accept) => {
            trace.pass("proof", || {
                "Auth-Type := Accept: none is asked for".to_owned()
            });
            return Ok(Keys::None);
        }
        _ => {}
    }
    let method = question.method();
    match evidence {
        Evidence::Right(keys) => {
            trace.pass("proof", || format!("{method}: right"));
            Ok(keys.clone())
        }
        Evidence::Wrong => Err(no(
            "proof",
            format!("{method}: wrong"),
            Refusal::WrongPassword,
        )),
        Evidence::Impossible(needs) => Err(no(
            "proof",
            format!("{method}: {needs}. {}", needs.remedy()),
            Refusal::NeedsOtherProof,
        )),
        Evidence::NothingStored => Err(no("proof", method, Refusal::NoPassword)),
        Evidence::Malformed(why) => Err(no("proof", *why, Refusal::MalformedProof)),
        Evidence::Eap => Err(no("proof", method, Refusal::EapNotOffered)),
        // Unreadable is a fault of ours and never comes here; without a proof nobody gets in.
        Evidence::NothingOffered | Evidence::NotMade | Evidence::Unreadable => {
            Err(no("proof", method, Refusal::NoProof))
        }
    }
}

fn account(
    now: Time,
    question: &Question<'_>,
    facts: &Facts,
    trace: &mut Trace,
    limits: &mut Limits,
) -> Result<(), No> {
    standing(now, facts, trace, limits)?;
    let (Some((_, member)), Some(organisation)) = (facts.member(), &facts.organisation) else {
        return Err(no("person", question.name(), Refusal::UnknownUser));
    };
    credentials(now, facts.by_mac, organisation, member, trace)
}

/// Whether somebody may be here at all, and until when.
fn standing(now: Time, facts: &Facts, trace: &mut Trace, limits: &mut Limits) -> Result<(), No> {
    let Some((person, member)) = facts.member() else {
        return Err(no("person", "gone", Refusal::UnknownUser));
    };
    if !person.is_active {
        return Err(no("account", "the person is disabled", Refusal::Disabled));
    }
    if !member.is_enabled {
        return Err(no(
            "account",
            "the membership is disabled",
            Refusal::Disabled,
        ));
    }
    trace.pass("account", || "enabled".to_owned());
    if let Some(expires) = member.expires {
        if now >= expires {
            return Err(no("expiry", format!("expired {expires}"), Refusal::Expired));
        }
        trace.pass("expiry", || format!("expires {expires}"));
        limits.least(
            "the membership's expiry",
            u64::try_from(expires.seconds_since(now)).ok(),
        );
    }
    Ok(())
}

/// Whether what somebody comes in with is still good.
fn credentials(
    now: Time,
    by_mac: bool,
    organisation: &OrganisationFacts,
    member: &MembershipFacts,
    trace: &mut Trace,
) -> Result<(), No> {
    if organisation.password_days > 0
        && !by_mac
        && let Some(updated) = member.password_updated
    {
        let ends = updated.plus_seconds(i64::from(organisation.password_days) * 86_400);
        if now >= ends {
            return Err(no(
                "password age",
                format!("set {updated}, lasts {} days", organisation.password_days),
                Refusal::PasswordExpired,
            ));
        }
        trace.pass("password age", || format!("lasts until {ends}"));
    }
    if organisation.needs_verification {
        if !member.is_verified {
            return Err(no("verification", "not verified", Refusal::NotVerified));
        }
        trace.pass("verification", || "verified".to_owned());
    }
    Ok(())
}

fn rules(walk: &Walk<'_>, trace: &mut Trace) -> Result<(), No> {
    if let Some(check) = walk.failed {
        return Err(no("own rules", check.to_string(), check.refusal()));
    }
    for (group, failed) in &walk.groups {
        match failed {
            Some(unfit) => trace.skip("group", || format!("{}: {unfit}", group.name)),
            None => trace.pass("group", || group.name.clone()),
        }
    }
    Ok(())
}

fn controls(
    now: Time,
    facts: &Facts,
    walk: &Walk<'_>,
    trace: &mut Trace,
    limits: &mut Limits,
) -> Result<(), No> {
    if walk.controls.is_empty() {
        return Ok(());
    }
    if let Some(expires) = walk.controls.time(control::EXPIRATION) {
        if now >= expires {
            return Err(no("Expiration", expires.to_string(), Refusal::Expired));
        }
        trace.pass("Expiration", || expires.to_string());
        limits.least("Expiration", u64::try_from(expires.seconds_since(now)).ok());
    }
    if let Some(login_hours) = walk.controls.login_hours() {
        let text = walk.controls.text(control::LOGIN_TIME).unwrap_or_default();
        hours(now, facts, "Login-Time", login_hours, text, trace, limits)?;
    }
    Ok(())
}

fn hours(
    now: Time,
    facts: &Facts,
    check: &'static str,
    hours: &LoginHours,
    text: &str,
    trace: &mut Trace,
    limits: &mut Limits,
) -> Result<(), No> {
    let Some(organisation) = &facts.organisation else {
        return Ok(());
    };
    let local = now.to_chrono().with_timezone(&organisation.zone);
    let input = || {
        format!(
            "{text} at {} ({})",
            local.format("%a %H:%M"),
            organisation.zone
        )
    };
    match hours.at(
        local.weekday().num_days_from_sunday(),
        local.num_seconds_from_midnight(),
    ) {
        Allowed::No => return Err(no(check, input(), Refusal::OutsideHours)),
        Allowed::ForSeconds(seconds) => {
            trace.pass(check, input);
            limits.least(check, Some(u64::from(seconds)));
        }
        Allowed::Always => trace.pass(check, input),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
