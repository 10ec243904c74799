use super::*;

mod quota;

use crate::activity::Activity;
use crate::facts::{
    ClientFacts, GroupFacts, LockFacts, MembershipFacts, OrganisationFacts, PersonFacts, Standing,
    StoredFacts, Subject,
};
use crate::group::GroupId;
use crate::register::Names;
use crate::rule::{Compiler, Rows, RuleSet, parse_lines};
use identity::{Kind, MembershipId, PersonId};
use kernel::OrganisationId;
use kernel::id::Uuid;
use proof::stored::Stored;
use radius_wire::dictionary::Dictionary;
use radius_wire::{Code, Packet, Question as Asking, Request, Rules, Secret, attrs};
use std::sync::Arc;

/// A Tuesday, 12:00 UTC.
const NOON: i64 = 1_795_521_600;

fn rules(text: &str) -> RuleSet {
    let mut rows = Rows::default();
    for (side, row) in parse_lines(Dictionary::builtin(), text, None).expect("rows") {
        rows.put(side, row).expect("room");
    }
    let (set, faults) = Compiler::new(Dictionary::builtin()).compile(&rows);
    assert!(faults.is_empty(), "{faults:?}");
    set
}

fn own(text: &str) -> Arc<Standing> {
    Arc::new(Standing {
        rules: rules(text),
        ..Standing::default()
    })
}

/// A story's facts: alice of the organisation "cafe", password "wonderland".
struct Case {
    organisation: OrganisationFacts,
    person_active: bool,
    member: MembershipFacts,
    stored: StoredFacts,
    subject_is_known: bool,
    by_mac: bool,
    lock: Option<LockFacts>,
    groups: Vec<(&'static str, RuleSet)>,
    /// Of every group.
    plan: Option<Arc<PlanFacts>>,
    activity: Activity,
    password: Option<&'static [u8]>,
    name: &'static str,
    calling: &'static str,
}

impl Case {
    fn new() -> Self {
        let organisation = OrganisationId(Uuid::from_u128(1));
        Self {
            organisation: OrganisationFacts {
                id: organisation,
                slug: "cafe".into(),
                is_active: true,
                has_own_names: false,
                needs_verification: false,
                password_days: 0,
                zone: chrono_tz::Tz::UTC,
                most_sessions: None,
                lets_devices_roam: false,
            },
            person_active: true,
            member: MembershipFacts {
                id: MembershipId(Uuid::from_u128(2)),
                organisation,
                is_enabled: true,
                expires: None,
                is_verified: true,
                since_seconds: 0,
                password_updated: None,
                standing: Arc::default(),
            },
            stored: StoredFacts::Password(Stored::parse("cleartext$wonderland").expect("form")),
            subject_is_known: true,
            by_mac: false,
            lock: None,
            groups: Vec::new(),
            plan: None,
            activity: Activity::default(),
            password: Some(b"wonderland"),
            name: "alice",
            calling: "02-00-00-00-00-01",
        }
    }

    fn decide(self) -> (Decision, Trace) {
        let secret = Secret::new(*b"testing123");
        let mut asking = Asking::new(Code::ACCESS_REQUEST, 1, [7; 16], secret.clone());
        asking.put_text(attrs::USER_NAME, self.name);
        asking.put_text(attrs::CALLING_STATION_ID, self.calling);
        if let Some(password) = self.password {
            asking.put_user_password(password);
        }
        let sealed = asking.seal(true).expect("a small packet");
        let packet = Packet::parse(sealed.octets()).expect("a packet");
        let request = Request::verify(packet, &secret, &Rules::default()).expect("verified");
        let question = Question::from(&request);
        let person = PersonFacts {
            id: PersonId(Uuid::from_u128(3)),
            is_active: self.person_active,
            names: Names::new("alice", &[(None, Kind::Username, "alice".into())]),
            stored: self.stored,
            memberships: [self.member].into_iter().collect(),
        };
        let facts = Facts {
            client: ClientFacts::new("lobby", std::net::Ipv4Addr::new(192, 0, 2, 1).into()),
            organisation: Some(Arc::new(self.organisation)),
            subject: if self.subject_is_known {
                Subject::Member(Arc::new(person), 0)
            } else {
                Subject::Nobody
            },
            by_mac: self.by_mac,
            lock: self.lock,
            groups: self
                .groups
                .into_iter()
                .enumerate()
                .map(|(number, (name, rules))| {
                    Arc::new(GroupFacts {
                        id: GroupId(Uuid::from_u128(10 + number as u128)),
                        name: name.into(),
                        rules,
                        rows: Default::default(),
                        plan: self.plan.clone(),
                        condition: None,
                    })
                })
                .collect(),
        };
        let mut walk = facts.walk(now(), &question);
        walk.activity = self.activity;
        let evidence = facts.prove(&walk, &question);
        let mut trace = Trace::default();
        let decision = decide(now(), &question, &facts, &walk, &evidence, &mut trace);
        let mut silent = Trace::left_out();
        let again = decide(now(), &question, &facts, &walk, &evidence, &mut silent);
        assert!(silent.steps.is_empty());
        assert_eq!(
            matches!(again, Decision::Accept(_)),
            matches!(decision, Decision::Accept(_))
        );
        (decision, trace)
    }
}

fn now() -> Time {
    Time::from_unix_seconds(NOON)
}

fn check(change: impl FnOnce(&mut Case), expect: Result<Option<u32>, Refusal>) -> Trace {
    let mut case = Case::new();
    change(&mut case);
    let (decision, trace) = case.decide();
    let got = match decision {
        Decision::Accept(grant) => Ok(grant.session_timeout_seconds),
        Decision::Refuse(refused) => Err(refused.word),
    };
    assert_eq!(got, expect, "{trace:?}");
    let deciding: Vec<_> = trace
        .steps
        .iter()
        .filter(|step| step.outcome == Outcome::Fail)
        .collect();
    assert_eq!(deciding.len(), usize::from(expect.is_err()), "{trace:?}");
    trace
}

#[test]
fn each_check_refuses_with_its_word() {
    check(|_| {}, Ok(None));
    check(
        |c| c.organisation.is_active = false,
        Err(Refusal::OrganisationDisabled),
    );
    check(|c| c.subject_is_known = false, Err(Refusal::UnknownUser));
    check(|c| c.password = Some(b"wrong"), Err(Refusal::WrongPassword));
    check(|c| c.password = None, Err(Refusal::NoProof));
    check(
        |c| c.stored = StoredFacts::Nothing,
        Err(Refusal::NoPassword),
    );
    check(|c| c.person_active = false, Err(Refusal::Disabled));
    check(|c| c.member.is_enabled = false, Err(Refusal::Disabled));
    check(|c| c.member.expires = Some(now()), Err(Refusal::Expired));
    check(
        |c| c.member.standing = own("Auth-Type := Reject"),
        Err(Refusal::AuthTypeReject),
    );
    check(
        |c| c.member.standing = own("Expiration := \"1 Jan 2020\""),
        Err(Refusal::Expired),
    );
    check(
        |c| c.member.standing = own("Login-Time := \"Sa0800-1200\""),
        Err(Refusal::OutsideHours),
    );
}

#[test]
fn a_lock_comes_before_the_proof_and_tells_its_end() {
    let until = now().plus_seconds(60);
    for (kind, word) in [
        (KeyKind::User, Refusal::Locked),
        (KeyKind::Device, Refusal::DeviceLocked),
        (KeyKind::Nas, Refusal::NasLocked),
    ] {
        let trace = check(|c| c.lock = Some(LockFacts { kind, until }), Err(word));
        assert!(trace.steps.iter().all(|step| step.check != "proof"));
    }
    let mut case = Case::new();
    case.lock = Some(LockFacts {
        kind: KeyKind::User,
        until,
    });
    assert!(matches!(case.decide().0, Decision::Refuse(refused) if refused.until == Some(until)));
}

#[test]
fn an_account_tells_nothing_to_who_lacks_its_password() {
    check(
        |c| {
            c.person_active = false;
            c.member.expires = Some(now());
            c.password = Some(b"wrong");
        },
        Err(Refusal::WrongPassword),
    );
}

#[test]
fn verification_is_asked_for_where_the_organisation_does() {
    check(|c| c.member.is_verified = false, Ok(None));
    check(
        |c| {
            c.member.is_verified = false;
            c.organisation.needs_verification = true;
        },
        Err(Refusal::NotVerified),
    );
}

#[test]
fn a_password_expires_after_the_organisations_days() {
    let set = |days: i64| {
        move |c: &mut Case| {
            c.organisation.password_days = 30;
            c.member.password_updated = Some(now().plus_seconds(-days * 86_400));
        }
    };
    check(set(29), Ok(None));
    check(set(30), Err(Refusal::PasswordExpired));
}

#[test]
fn the_least_of_all_limits_is_the_session_timeout() {
    check(
        |c| c.member.expires = Some(now().plus_seconds(600)),
        Ok(Some(600)),
    );
    check(
        |c| {
            c.member.expires = Some(now().plus_seconds(600));
            c.groups = vec![("g", rules("Session-Timeout := 3600"))];
        },
        Ok(Some(600)),
    );
    check(
        |c| {
            c.member.standing = own("Session-Timeout = 1800\nFall-Through = Yes");
            c.groups = vec![("g", rules("Session-Timeout := 3600"))];
        },
        Ok(Some(1800)),
    );
    check(
        |c| c.member.standing = own("Login-Time := \"Al1100-1230\""),
        Ok(Some(1800)),
    );
    check(
        |c| c.member.standing = own("Session-Timeout := 0"),
        Ok(None),
    );
    // Less than a second is still a session: 0 would mean "no limit".
    check(
        |c| c.member.expires = Some(now().plus_millis(300)),
        Ok(Some(1)),
    );
}

#[test]
fn own_checks_refuse_and_group_checks_skip() {
    let mac = "Calling-Station-Id == \"02:00:00:00:00:01\"";
    let other = "Calling-Station-Id == \"02:00:00:00:00:99\"";
    check(|c| c.member.standing = own(mac), Ok(None));
    check(
        |c| c.member.standing = own(other),
        Err(Refusal::WrongDevice),
    );
    check(
        |c| {
            c.groups = vec![
                ("staff", rules(&format!("{other}\nSession-Timeout := 10"))),
                ("guests", rules("Session-Timeout := 20")),
            ];
        },
        Ok(Some(20)),
    );
}

#[test]
fn rules_compare_where_the_question_came_through() {
    for (rule, expect) in [
        ("Client-Shortname == lobby", Ok(None)),
        ("Client-Shortname == garden", Err(Refusal::WrongNas)),
        ("Client-IP-Address == 192.0.2.1", Ok(None)),
        ("Client-IP-Address == 192.0.2.2", Err(Refusal::WrongNas)),
    ] {
        check(|c| c.member.standing = own(rule), expect);
    }
}

#[test]
fn the_first_group_that_matches_is_the_last_without_fall_through() {
    check(
        |c| {
            c.groups = vec![
                ("first", rules("Session-Timeout := 20")),
                ("second", rules("Session-Timeout := 10")),
            ];
        },
        Ok(Some(20)),
    );
    check(
        |c| {
            c.groups = vec![
                ("first", rules("Session-Timeout := 20\nFall-Through = Yes")),
                ("second", rules("Session-Timeout := 10")),
            ];
        },
        Ok(Some(10)),
    );
}

#[test]
fn auth_type_accept_asks_for_no_proof() {
    check(
        |c| {
            c.member.standing = own("Auth-Type := Accept");
            c.password = None;
        },
        Ok(None),
    );
}

#[test]
fn a_device_found_by_its_address_needs_no_password() {
    let by_mac = |password: Option<&'static [u8]>| {
        move |c: &mut Case| {
            c.by_mac = true;
            c.name = "02:00:00:00:00:01";
            c.stored = StoredFacts::Nothing;
            c.password = password;
        }
    };
    check(by_mac(None), Ok(None));
    check(by_mac(Some(b"020000000001")), Ok(None));
    check(by_mac(Some(b"something else")), Err(Refusal::WrongPassword));
}

#[test]
fn a_refusal_is_explained_with_sentence_and_remedy() {
    let trace = check(|c| c.password = Some(b"wrong"), Err(Refusal::WrongPassword));
    let json = trace.to_json();
    let last = json
        .as_array()
        .and_then(|steps| steps.last())
        .cloned()
        .unwrap_or_default();
    assert_eq!(last["check"], "proof");
    assert_eq!(last["word"], "wrong_password");
    assert!(last["remedy"].as_str().is_some_and(|text| !text.is_empty()));
    assert!(!json.to_string().contains("wonderland"));
}
