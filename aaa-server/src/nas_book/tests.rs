use super::*;
use access::nas::{MaPolicy, Nas, NasSecrets};
use kernel::OrganisationId;
use kernel::id::Uuid;
use radius_wire::Secret;

const TELLS: Told = Told {
    is_access: true,
    is_signed: true,
    is_eap: false,
    has_proxy_state: false,
    tells_secret: true,
    with_next_secret: false,
};

fn source() -> IpAddr {
    IpAddr::from([192, 0, 2, 1])
}

fn at(second: i64) -> Time {
    Time::from_unix_seconds(second)
}

fn nas(number: u128, next: Option<&str>) -> NasEntry {
    NasEntry {
        nas: Nas {
            id: NasId(Uuid::from_u128(number)),
            organisation: OrganisationId(Uuid::from_u128(1)),
            name: number.to_string(),
            short_name: String::new(),
            port_type: "other".into(),
            family: "generic".into(),
            network: None,
            identifier: None,
            message_authenticator: MaPolicy::Observe,
            signs_replies: true,
            limits_proxy_state: true,
            reject_delay_ms: 0,
            flips_octets: false,
            is_enabled: true,
            ports: None,
            server: None,
            community: None,
            description: String::new(),
            coa_port: 3799,
            restarted_at: None,
            routes: Vec::new(),
            created: at(0),
            modified: at(0),
        },
        secrets: NasSecrets {
            current: Secret::new("one"),
            next: next.map(Secret::new),
        },
    }
}

#[test]
fn what_the_lanes_counted_is_one_observation() {
    let books = Books::default();
    let (first, second) = (books.lane(), books.lane());
    let ap = nas(1, None);
    guard(&first).seen(at(10), &ap, source(), TELLS);
    guard(&second).seen(
        at(12),
        &ap,
        source(),
        Told {
            is_signed: false,
            has_proxy_state: true,
            tells_secret: false,
            ..TELLS
        },
    );
    guard(&second).seen(
        at(11),
        &ap,
        source(),
        Told {
            is_eap: true,
            ..TELLS
        },
    );
    guard(&second).mismatch(at(11), ap.nas.id);
    books.drain(at(12), 12);
    let expect = Observation {
        signed: 1,
        unsigned: 1,
        unsigned_proxy: 1,
        secret_mismatches: 1,
        used_secret: true,
        ..Observation::of(ap.nas.id, at(12))
    };
    let taken = books.take_observations();
    assert_eq!(taken, [expect]);
    assert_eq!(books.take_observations(), []);
    // The database was away: nothing is lost, and nothing is counted twice.
    books.give_back(taken);
    guard(&first).seen(at(20), &ap, source(), TELLS);
    books.drain(at(20), 20);
    let both = Observation {
        signed: 2,
        last_seen: at(20),
        ..expect
    };
    assert_eq!(books.take_observations(), [both]);
}

#[test]
fn the_book_tells_loss_latency_and_the_last_drop() {
    let books = Books::default();
    let lane = books.lane();
    let ap = nas(1, None);
    let id = ap.nas.id;
    for _ in 0..10 {
        guard(&lane).seen(at(10), &ap, source(), TELLS);
        guard(&lane).answered(id, Answered::Accept, 200);
    }
    guard(&lane).duplicate(id);
    guard(&lane).dropped(id, Dropped::Shed);
    books.drain(at(10), 10);
    let told = books.read(|book| book.list(10));
    assert_eq!(told.len(), 1);
    let told = &told[0];
    assert_eq!(
        (told.requests, told.accepts, told.duplicates, told.dropped),
        (10, 10, 1, 1)
    );
    assert_eq!(told.last_drop, Some(Dropped::Shed));
    assert!((told.per_second[0].loss() - 0.1).abs() < 0.001);
    let latency = told.latency.expect("answers");
    assert!((200..250).contains(&latency.p99_micros), "{latency:?}");
}

#[test]
fn a_known_nas_costs_no_memory_across_drains() {
    let books = Books::default();
    let lane = books.lane();
    let ap = nas(1, None);
    for second in 0..5 {
        guard(&lane).seen(at(second), &ap, source(), TELLS);
        let open = guard(&lane);
        assert_eq!((open.places.len(), open.page.counted.len()), (1, 1));
        assert!(open.page.touched.capacity() >= 1);
        drop(open);
        books.drain(at(second), second.unsigned_abs());
    }
    assert_eq!(books.read(|book| book.list(5)[0].requests), 5);
}

#[test]
fn more_nases_than_there_are_places_are_counted_together_and_find_one_later() {
    let books = Books::default();
    let lane = books.lane();
    for number in 0..=MAX_LANE_NASES as u128 {
        let id = NasId(Uuid::from_u128(number));
        guard(&lane).duplicate(id);
    }
    let late = nas(u128::MAX, None);
    guard(&lane).seen(at(1), &late, source(), TELLS);
    books.drain(at(1), 1);
    assert_eq!(books.read(NasBook::beyond), 1);
    // Everybody fell silent: the places are free again.
    books.drain(at(2), 2);
    guard(&lane).seen(at(3), &late, source(), TELLS);
    books.drain(at(3), 3);
    let told = books.take_observations();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].nas, late.nas.id);
}

#[test]
fn a_secret_that_fitted_in_one_lane_is_known_in_another_after_a_drain() {
    let books = Books::default();
    let (here, there) = (books.lane(), books.lane());
    let ap = nas(1, None);
    let fits =
        |lane: &Mutex<LaneBook>, second| guard(lane).secrets().fitted_lately(at(second), ap.nas.id);
    guard(&here).seen(at(100), &ap, source(), TELLS);
    assert_eq!((fits(&here, 100), fits(&there, 100)), (true, false));
    for second in 101..104 {
        books.drain(at(second), second.unsigned_abs());
        assert_eq!((fits(&here, second), fits(&there, second)), (true, true));
    }
    // Five minutes later it is no longer taken for granted.
    assert_eq!((fits(&here, 399), fits(&here, 400)), (true, false));
    books.drain(at(400), 400);
    assert!(!fits(&there, 400));
}

#[test]
fn the_later_word_on_a_changing_secret_wins_whichever_lane_heard_it() {
    let books = Books::default();
    let (here, there) = (books.lane(), books.lane());
    let ap = nas(1, Some("two"));
    let next = Told {
        with_next_secret: true,
        ..TELLS
    };
    let uses = |lane: &Mutex<LaneBook>| guard(lane).secrets().uses_next(&ap, source());
    assert!(!uses(&here));
    guard(&here).seen(at(1), &ap, source(), next);
    assert_eq!((uses(&here), uses(&there)), (true, false));
    books.drain(at(2), 2);
    assert_eq!((uses(&here), uses(&there)), (true, true));
    // It goes back, over the other lane.
    guard(&there).seen(at(3), &ap, source(), TELLS);
    assert!(!uses(&there));
    books.drain(at(4), 4);
    books.drain(at(5), 5);
    assert_eq!((uses(&here), uses(&there)), (false, false));
    // Another box of the same NAS entry is another sender.
    guard(&here).seen(at(6), &ap, IpAddr::from([192, 0, 2, 9]), next);
    assert!(!uses(&here));
}
