//! What a person costs in memory, counted in octets. Alone in its process: it counts everything.
//!
//! `GATEWARDEN_SIZE_PEOPLE=1000000 cargo test -p access --test register_size -- --nocapture` also tells what the process
//! takes of the machine's memory with as many people.

use access::facts::{MembershipFacts, PersonFacts, Standing, StoredFacts};
use access::group::GroupId;
use access::register::{Names, People};
use identity::{Kind, MembershipId, PersonId};
use kernel::OrganisationId;
use kernel::id::Uuid;
use proof::stored::Stored;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::Arc;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PEOPLE: usize = 50_000;
/// What an allocation costs beyond what was asked for: the head, and half of the step of 16 octets.
const OVERHEAD: usize = 16;
/// A million people in 500 MiB leave room for 90 MiB of open sessions and 50 MiB of everything else.
const MOST: usize = 370;

fn person(
    number: usize,
    stored: &str,
    standing: &Arc<Standing>,
    empty: &MembershipFacts,
) -> PersonFacts {
    let name = format!("user-{number:07}");
    PersonFacts {
        id: PersonId(Uuid::from_u128(number as u128)),
        is_active: true,
        names: Names::new(&name, &[(None, Kind::Username, name.clone())]),
        stored: StoredFacts::Password(Stored::parse(stored).expect("a stored form")),
        memberships: [MembershipFacts {
            id: MembershipId(Uuid::from_u128(number as u128)),
            organisation: empty.organisation,
            is_enabled: true,
            expires: None,
            is_verified: true,
            since_seconds: 0,
            password_updated: None,
            standing: standing.clone(),
        }]
        .into_iter()
        .collect(),
    }
}

/// What Linux says the process has in memory now, in its words.
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.unwrap_or_default().to_owned()
}

#[test]
fn a_million_people_fit_and_finding_one_takes_no_memory() {
    let number_of_people = std::env::var("GATEWARDEN_SIZE_PEOPLE")
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or(PEOPLE);
    let standing = Arc::new(Standing {
        groups: [GroupId(Uuid::from_u128(7))].into(),
        ..Standing::default()
    });
    let empty = MembershipFacts {
        id: MembershipId(Uuid::nil()),
        organisation: OrganisationId(Uuid::from_u128(9)),
        is_enabled: true,
        expires: None,
        is_verified: true,
        since_seconds: 0,
        password_updated: None,
        standing: Arc::default(),
    };
    for (form, stored) in [
        ("clear", "cleartext$correct-horse"),
        ("nt", "nt:8846f7eaee8fb117ad06bdd830b7586c"),
        (
            "argon2",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$UCdA6Vs3S8VJU0Iu0dnzdwbiDr4VSL8gh3wtHt2BHE4",
        ),
    ] {
        let region = Region::new(COUNTED);
        let people = People::default();
        for number in 0..number_of_people {
            people.put(person(number, stored, &standing, &empty));
        }
        let used = region.change();
        let octets = used.bytes_allocated - used.bytes_deallocated;
        let pieces = used.allocations - used.deallocations;
        let each = (octets + pieces * OVERHEAD) / number_of_people;
        println!("{form}: {each} octets a person; {}", resident());
        assert!(each <= MOST, "{form}: {each}");

        let name = format!("user-{:07}", number_of_people / 2);
        let region = Region::new(COUNTED);
        for _ in 0..100 {
            assert!(people.find(None, Kind::Username, &name).is_some());
            assert!(people.find(None, Kind::Username, "nobody").is_none());
        }
        assert_eq!(region.change().allocations, 0);
    }
}
