//! What following the news costs, counted in reads of the database. Alone in its process: it counts all of them.

use access::admit::{self, admit, found_organisation, set_rules};
use access::limiter::LimiterConfig;
use access::register::{Follower, Register};
use identity::{NewOrganisation, NewPassword, NewPerson, Store};
use kernel::db::Location;
use kernel::{FixedClock, Kernel, Keyring, News, SeededRng, Time};
use radius_wire::dictionary::Dictionary;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The pool may open another connection meanwhile, which says a few statements of its own.
const OPENING: usize = 8;

static STATEMENTS: AtomicUsize = AtomicUsize::new(0);

/// Counts the statements that the database tells the log of.
struct Counter;

impl Subscriber for Counter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }
    fn event(&self, _: &Event<'_>) {
        STATEMENTS.fetch_add(1, Ordering::SeqCst);
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Reads that following all the news takes, and how many events that was.
async fn follow(follower: &mut Follower) -> (usize, usize) {
    STATEMENTS.store(0, Ordering::SeqCst);
    let events = follower.catch_up().await.unwrap();
    (STATEMENTS.load(Ordering::SeqCst), events)
}

#[tokio::test]
async fn a_thousand_changed_people_cost_tens_of_reads() {
    tracing::subscriber::set_global_default(Counter).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kernel = Kernel {
        db: Location::Sqlite(folder.path().join("g.db"))
            .open()
            .await
            .unwrap(),
        clock: Arc::new(FixedClock::new(Time::from_unix_seconds(1_800_000_000))),
        rng: Arc::new(SeededRng::new(5)),
        keys: Arc::new(Keyring::parse(&Keyring::fresh_text(&SeededRng::new(1))).unwrap()),
    };
    let acme = found_organisation(&kernel, NewOrganisation::named("Acme"))
        .await
        .unwrap();
    let register = Arc::new(Register::new(LimiterConfig::default()));
    let mut follower = Follower::new(kernel.clone(), register.clone());
    follower.load().await.unwrap();

    let mut memberships = Vec::new();
    let mut tx = kernel.db.begin().await.unwrap();
    for number in 0..1_000 {
        let new = NewPerson {
            password: Some(NewPassword::given("secret", Store::Hashed)),
            ..NewPerson::named(&format!("user-{number}"))
        };
        let made = admit(&mut tx, &kernel, &acme, new, None).await.unwrap();
        memberships.push(made.membership.id);
    }
    tx.commit().await.unwrap();
    let (reads, events) = follow(&mut follower).await;
    assert_eq!((events, register.people().len()), (1_000, 1_000));
    // The events, and for each 199 people: themselves, names, passwords, memberships, groups, checks, replies.
    assert!(reads <= 1 + 6 * 7 + OPENING, "{reads}");

    // Rules told without their person are found without asking for each.
    let mut tx = kernel.db.begin().await.unwrap();
    for membership in &memberships {
        let news = News::new(admit::RULES_CHANGED, Some(acme.id), membership.0);
        tx.tell(kernel.now(), news).await.unwrap();
    }
    tx.commit().await.unwrap();
    let (reads, events) = follow(&mut follower).await;
    assert!(
        reads <= 1 + 6 * 7 + OPENING && events == 1_000,
        "{reads} {events}"
    );

    // One person is one round.
    let dictionary = Dictionary::builtin();
    let text = "Session-Timeout := 60";
    set_rules(&kernel, dictionary, acme.id, memberships[7], text, None)
        .await
        .unwrap();
    let (reads, events) = follow(&mut follower).await;
    assert!(reads <= 1 + 7 + OPENING && events == 1, "{reads} {events}");
    let (reads, events) = follow(&mut follower).await;
    assert!(reads <= 1 + OPENING && events == 0, "{reads} {events}");
}
