//! What a decision costs, beside the comparison of two passwords that no decision can leave out.

use access::decide::{Trace, decide};
use access::facts::{
    ClientFacts, Facts, MembershipFacts, OrganisationFacts, PersonFacts, StoredFacts, Subject,
};
use access::question::Question;
use access::register::Names;
use divan::{Bencher, black_box};
use identity::{Kind, MembershipId, PersonId};
use kernel::id::Uuid;
use kernel::{OrganisationId, Time};
use proof::attempt::Attempt;
use proof::stored::Stored;
use radius_wire::{Code, Packet, Question as Asking, Request, Rules, Secret, attrs};
use std::sync::Arc;

fn main() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load average: {}", load.trim());
    divan::main();
}

fn stored() -> Stored {
    Stored::parse("cleartext$wonderland").unwrap_or_else(|e| panic!("{e}"))
}

/// alice of one organisation, in no group, with a password that is kept recoverably.
fn facts() -> Facts {
    let organisation = OrganisationId(Uuid::from_u128(1));
    let member = MembershipFacts {
        id: MembershipId(Uuid::from_u128(2)),
        organisation,
        is_enabled: true,
        expires: None,
        is_verified: true,
        since_seconds: 0,
        password_updated: None,
        standing: Arc::default(),
    };
    let person = PersonFacts {
        id: PersonId(Uuid::from_u128(3)),
        is_active: true,
        names: Names::new("alice", &[(None, Kind::Username, "alice".to_owned())]),
        stored: StoredFacts::Password(stored()),
        memberships: [member].into_iter().collect(),
    };
    Facts {
        client: ClientFacts::new("lobby", std::net::Ipv4Addr::new(192, 0, 2, 1).into()),
        organisation: Some(Arc::new(OrganisationFacts {
            id: organisation,
            slug: "cafe".into(),
            is_active: true,
            has_own_names: false,
            needs_verification: false,
            password_days: 0,
            zone: Default::default(),
            most_sessions: None,
            lets_devices_roam: false,
        })),
        subject: Subject::Member(Arc::new(person), 0),
        by_mac: false,
        lock: None,
        groups: Default::default(),
    }
}

/// PAP, CHAP, with the attributes of an access point.
fn asked(is_chap: bool) -> Vec<u8> {
    let mut asking = Asking::new(
        Code::ACCESS_REQUEST,
        1,
        [7; 16],
        Secret::new(*b"testing123"),
    );
    asking
        .put_text(attrs::USER_NAME, "alice")
        .put_text(attrs::CALLING_STATION_ID, "02-00-00-00-00-01")
        .put_text(attrs::NAS_IDENTIFIER, "ap-lobby");
    if is_chap {
        let response = proof::chap::response(1, b"wonderland", &[5; 16]);
        asking
            .put(attrs::CHAP_PASSWORD, &[&[1][..], &response].concat())
            .put(attrs::CHAP_CHALLENGE, &[5; 16]);
    } else {
        asking.put_user_password(b"wonderland");
    }
    match asking.seal(true) {
        Ok(sealed) => sealed.octets().to_vec(),
        Err(e) => panic!("{e}"),
    }
}

#[divan::bench]
fn floor_compare_a_password(bencher: Bencher) {
    let stored = stored();
    let attempt = Attempt::Pap {
        password: b"wonderland",
    };
    bencher.bench(|| proof::verify(black_box(&stored), black_box(&attempt)).is_right());
}

#[divan::bench(args = [false, true])]
fn decide_about_pap_or_chap(bencher: Bencher, is_chap: bool) {
    let (octets, secret, facts) = (asked(is_chap), Secret::new(*b"testing123"), facts());
    let packet = Packet::parse(&octets).unwrap_or_else(|e| panic!("{e}"));
    let request =
        Request::verify(packet, &secret, &Rules::default()).unwrap_or_else(|e| panic!("{e}"));
    bencher.bench(|| {
        let question = Question::from(black_box(&request));
        let now = Time::from_unix_seconds(1_795_521_600);
        let walk = facts.walk(now, &question);
        let evidence = facts.prove(&walk, &question);
        let mut trace = Trace::left_out();
        decide(
            now,
            &question,
            black_box(&facts),
            &walk,
            &evidence,
            &mut trace,
        )
    });
}
