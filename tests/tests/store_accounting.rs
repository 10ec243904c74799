//! The writer's memory of open sessions, on both engines: whatever else writes, the rows come to what was reported.

use chrono_tz::Tz;
use gatewarden_tests::model::Model;
use gatewarden_tests::on_both_engines;
use gatewarden_tests::place::{NOON, Store};
use journal::Position;
use kernel::id::Uuid;
use kernel::{Kernel, OrganisationId, Scope, Time};
use usage::writer::memory::Memory;
use usage::{
    Entry, ListFilter, Origin, Outcome, Stretch, apply_with, close_restarted, list, mark_closed,
};

const NAS: Uuid = Uuid::from_u128(0xa);

fn utc(_organisation: Uuid) -> Tz {
    Tz::UTC
}

fn put(packet: &mut Vec<u8>, kind: u8, value: &[u8]) {
    packet.extend_from_slice(&[kind, value.len() as u8 + 2]);
    packet.extend_from_slice(value);
}

/// The report `step` of a session: 0 is its Start, `last` its Stop, ten seconds apart. Each session has a person of its own.
fn report(session: u8, step: u8, last: u8) -> Entry {
    let mut packet = vec![4, step, 0, 0];
    packet.extend_from_slice(&[session; 16]);
    let status = match step {
        0 => 1_u32,
        step if step == last => 2,
        _ => 3,
    };
    put(&mut packet, 1, format!("user{session}").as_bytes());
    put(&mut packet, 44, format!("s{session}").as_bytes());
    put(
        &mut packet,
        31,
        &[b"02-00-00-00-00-", format!("{session:02X}").as_bytes()].concat(),
    );
    put(&mut packet, 40, &status.to_be_bytes());
    let count = u32::from(step);
    for (kind, value) in [
        (46, count * 10),
        (42, count * 100),
        (43, count * 7),
        (52, 0),
        (53, 0),
    ] {
        put(&mut packet, kind, &value.to_be_bytes());
    }
    // What describes the session comes with the second report only.
    if step == 1 {
        put(&mut packet, 8, &[10, 0, 0, session]);
    }
    entry(packet, i64::from(step) * 10, u128::from(session) + 0xc00)
}

fn entry(mut packet: Vec<u8>, seconds: i64, membership: u128) -> Entry {
    let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
    packet[2..4].copy_from_slice(&length);
    Entry {
        received: Time::from_unix_seconds(NOON + seconds),
        nas: NAS,
        organisation: OrganisationId(Uuid::from_u128(0xb)),
        membership: Some(Uuid::from_u128(membership)),
        group: None,
        source: "192.0.2.1".parse().unwrap(),
        flips_octets: false,
        packet,
    }
}

/// A node's writer without its thread.
struct Node {
    kernel: Kernel,
    origin: Origin,
    memory: Memory,
    applied: u64,
}

impl Node {
    fn new(kernel: &Kernel, name: &str) -> Node {
        Node {
            kernel: kernel.clone(),
            origin: Origin {
                node: name.into(),
                journal: "j".into(),
            },
            memory: Memory::default(),
            applied: 0,
        }
    }

    async fn apply(&mut self, entries: &[Entry]) {
        let items: Vec<_> = (self.applied + 1..)
            .map(Position)
            .zip(entries.iter().cloned().map(Ok))
            .collect();
        let after = Position(self.applied);
        self.applied += entries.len() as u64;
        let upto = Position(self.applied);
        let stretch = Stretch { after, upto };
        let outcome = apply_with(
            &self.kernel,
            &self.origin,
            stretch,
            &items,
            utc,
            &mut self.memory,
        );
        let outcome = outcome.await;
        assert!(matches!(outcome, Ok(Outcome::Applied(_))), "{outcome:?}");
    }
}

async fn is_as_reported(store: &Store, entries: &[Entry]) {
    let mut model = Model::default();
    entries
        .iter()
        .for_each(|entry| model.acknowledge(&entry.packet));
    let differences = model.differences(&store.kernel.db).await.unwrap();
    assert_eq!(differences, Vec::<String>::new());
}

async fn open_count(store: &Store) -> (usize, usize) {
    let filter = ListFilter {
        is_open: Some(true),
        ..ListFilter::default()
    };
    let db = &store.kernel.db;
    let listed = list::list(db, Scope::Everything, &filter).await.unwrap();
    let loaded = list::open_sessions(db, Scope::Everything, None)
        .await
        .unwrap();
    (listed.sessions.len(), loaded.len())
}

on_both_engines! {
    async fn lives_come_to_what_was_reported_and_are_remembered_while_they_last(store: Store) {
        let mut node = Node::new(&store.kernel, "n1");
        let mut all = Vec::new();
        for step in 0..5 {
            let reports: Vec<Entry> = (0..40).map(|session| report(session, step, 4)).collect();
            node.apply(&reports).await;
            let open = if step == 4 { 0 } else { 40 };
            assert_eq!((node.memory.len(), open_count(&store).await), (open, (open, open)), "{step}");
            all.extend(reports);
        }
        is_as_reported(&store, &all).await;
        // A retransmission is journalled again when its answer was lost with the process.
        node.apply(&all[150..]).await;
        is_as_reported(&store, &all).await;
    }

    async fn two_nodes_that_hear_of_the_same_sessions_in_turn_never_lose_what_the_other_wrote(store: Store) {
        let (mut one, mut two) = (Node::new(&store.kernel, "n1"), Node::new(&store.kernel, "n2"));
        let mut all = Vec::new();
        for step in 0..9 {
            let reports: Vec<Entry> = (0..20).map(|session| report(session, step, 8)).collect();
            // Each remembers what the other has changed since.
            let split = usize::from(step) * 2 + 1;
            one.apply(&reports[..split]).await;
            two.apply(&reports[split..]).await;
            all.extend(reports);
        }
        is_as_reported(&store, &all).await;
    }

    async fn what_was_closed_elsewhere_is_seen_by_who_remembers_it_open(store: Store) {
        let mut node = Node::new(&store.kernel, "n1");
        let starts: Vec<Entry> = (0..3).map(|session| report(session, 0, 9)).collect();
        node.apply(&starts).await;
        let opened = list::open_sessions(&store.kernel.db, Scope::Everything, None).await.unwrap();
        let first = opened.iter().find(|session| session.acct_session_id == "s0").unwrap();
        store.clock.advance_seconds(5);
        assert!(mark_closed(&store.kernel, first.id, "Admin-Reset", utc).await.unwrap().is_some());
        assert_eq!(open_count(&store).await, (2, 2));
        // Its NAS goes on counting: it is open again, and no other.
        node.apply(&[report(0, 1, 9), report(1, 1, 9)]).await;
        assert_eq!(open_count(&store).await, (3, 3));
        // A restart closes the rows while the node remembers them open.
        let mut on = vec![4, 99, 0, 0];
        on.extend_from_slice(&[9; 16]);
        put(&mut on, 40, &7_u32.to_be_bytes());
        let mut other = Node::new(&store.kernel, "n2");
        other.apply(&[entry(on, 15, 1)]).await;
        close_restarted(&store.kernel, utc, |_| {}).await.unwrap();
        assert_eq!(open_count(&store).await, (0, 0));
        // Late counters still count, and nothing opens.
        node.apply(&[report(1, 2, 9)]).await;
        assert_eq!(open_count(&store).await, (0, 0));
        let found = list::find(&store.kernel.db, Scope::Everything, "s1").await.unwrap();
        assert_eq!((found[0].input_octets, found[0].reports, found[0].is_open()), (200, 3, false));
    }

    async fn a_batch_that_fails_is_applied_whole_the_next_time(store: Store) {
        let mut node = Node::new(&store.kernel, "n1");
        let entries: Vec<Entry> = (0..3).map(|session| report(session, 0, 9)).collect();
        node.apply(&entries).await;
        // A row in the way of the second batch: what was to be written before it is taken back.
        let mut tx = store.kernel.db.begin().await.unwrap();
        tx.run("ALTER TABLE usage RENAME TO usage_away", Vec::new()).await.unwrap();
        tx.commit().await.unwrap();
        let more: Vec<Entry> = (0..3).map(|session| report(session, 1, 9)).collect();
        let items: Vec<_> = (4..).map(Position).zip(more.iter().cloned().map(Ok)).collect();
        let stretch = Stretch { after: Position(3), upto: Position(6) };
        for _ in 0..2 {
            let outcome =
                apply_with(&node.kernel, &node.origin, stretch, &items, utc, &mut node.memory).await;
            assert!(outcome.is_err(), "{outcome:?}");
        }
        let mut tx = store.kernel.db.begin().await.unwrap();
        tx.run("ALTER TABLE usage_away RENAME TO usage", Vec::new()).await.unwrap();
        tx.commit().await.unwrap();
        node.apply(&more).await;
        is_as_reported(&store, &[entries, more].concat()).await;
    }
}
