//! Reports, sessions, counters and attempts on both engines.

use gatewarden_tests::on_both_engines;
use gatewarden_tests::place::{NOON, Store};
use journal::Position;
use kernel::id::Uuid;
use kernel::{Engine, OrganisationId, Scope, Time};
use usage::{
    Attempt, Counter, Entry, Item, ListFilter, Origin, Outcome, Session, Stretch, Verdict,
};
use usage::{age_out, apply_batch, attempt, close_restarted, counters, explain, list};

const NAS: Uuid = Uuid::from_u128(0xa);
const ORGANISATION: Uuid = Uuid::from_u128(0xb);
const MEMBER: Uuid = Uuid::from_u128(0xc);
const START: u32 = 1;
const STOP: u32 = 2;
const INTERIM: u32 = 3;
const ON: u32 = 7;

fn utc(_organisation: Uuid) -> chrono_tz::Tz {
    chrono_tz::Tz::UTC
}

fn origin() -> Origin {
    Origin {
        node: "n".repeat(32),
        journal: "j".repeat(32),
    }
}

/// A report of a session, received so many seconds after noon, with session time and both counters.
fn report(status: u32, session: &str, seconds: i64, counters: (u32, u32, u32)) -> Entry {
    let mut packet = vec![4, 1, 0, 0];
    packet.extend([0; 16]);
    let mut put = |kind: u8, value: &[u8]| {
        packet.extend([kind, u8::try_from(value.len() + 2).unwrap()]);
        packet.extend_from_slice(value);
    };
    put(40, &status.to_be_bytes());
    if status != ON {
        put(44, session.as_bytes());
        put(1, b"alice");
        put(31, b"02-00-00-00-00-01");
        put(46, &counters.0.to_be_bytes());
        put(42, &counters.1.to_be_bytes());
        put(43, &counters.2.to_be_bytes());
    }
    let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
    packet[2..4].copy_from_slice(&length);
    Entry {
        received: Time::from_unix_seconds(NOON + seconds),
        nas: NAS,
        organisation: OrganisationId(ORGANISATION),
        membership: Some(MEMBER),
        group: None,
        source: [192, 0, 2, 1].into(),
        flips_octets: false,
        packet,
    }
}

/// Hands reports over as one batch; positions go on from `after`.
async fn apply(store: &Store, after: u64, reports: &[Entry]) -> u64 {
    let items: Vec<Item> = reports
        .iter()
        .zip(after + 1..)
        .map(|(entry, at)| (Position(at), Ok(entry.clone())))
        .collect();
    let upto = after + reports.len() as u64;
    let stretch = stretch(after, upto);
    let outcome = apply_batch(&store.kernel, &origin(), stretch, &items, utc).await;
    assert!(matches!(outcome, Ok(Outcome::Applied(_))), "{outcome:?}");
    upto
}

fn stretch(after: u64, upto: u64) -> Stretch {
    Stretch {
        after: Position(after),
        upto: Position(upto),
    }
}

async fn sessions(store: &Store) -> Vec<Session> {
    let mut all = list::list(&store.kernel.db, Scope::Everything, &ListFilter::default())
        .await
        .unwrap()
        .sessions;
    all.sort_by_key(|session| (session.acct_session_id.clone(), session.generation));
    all
}

async fn total(store: &Store, counter: Counter) -> i64 {
    counters::total(
        &store.kernel.db,
        MEMBER,
        counter,
        "2027-01-01",
        "2027-12-31",
    )
    .await
    .unwrap()
}

/// What both engines must come to, in comparable words.
async fn summary(store: &Store) -> Vec<String> {
    let mut lines: Vec<String> = sessions(store)
        .await
        .iter()
        .map(|s| {
            format!(
                "{} g{} open={} {}s in={} out={} reports={} {:?}",
                s.acct_session_id,
                s.generation,
                s.is_open(),
                s.session_seconds,
                s.input_octets,
                s.output_octets,
                s.reports,
                s.stopped.map(Time::unix_seconds)
            )
        })
        .collect();
    for counter in [
        Counter::Seconds,
        Counter::InputOctets,
        Counter::OutputOctets,
    ] {
        lines.push(format!(
            "{} {}",
            counter.word(),
            total(store, counter).await
        ));
    }
    lines
}

on_both_engines! {
    async fn a_batch_handed_over_twice_counts_once(store: Store) {
        let batch = [report(START, "s1", 0, (0, 0, 0)), report(INTERIM, "s1", 60, (60, 100, 200))];
        apply(&store, 0, &batch).await;
        let first = summary(&store).await;
        apply(&store, 0, &batch).await;
        assert_eq!(summary(&store).await, first);
        // Under new positions, too: a NAS repeats its reports.
        apply(&store, 2, &batch).await;
        let all = sessions(&store).await;
        assert_eq!((all.len(), all[0].input_octets), (1, 100));
        assert_eq!(total(&store, Counter::InputOctets).await, 100);
    }

    async fn usage_is_the_sum_of_what_sessions_count(store: Store) {
        let mut at = apply(&store, 0, &[report(START, "s1", 0, (0, 0, 0)), report(START, "s2", 1, (0, 0, 0))]).await;
        at = apply(&store, at, &[report(STOP, "s1", 90, (90, 1_000, 2_000))]).await;
        apply(&store, at, &[report(INTERIM, "s2", 100, (99, 10, 20))]).await;
        let all = sessions(&store).await;
        assert_eq!(all.iter().map(|s| s.input_octets).sum::<i64>(), total(&store, Counter::InputOctets).await);
        assert_eq!(total(&store, Counter::OutputOctets).await, 2_020);
        assert_eq!(total(&store, Counter::Seconds).await, 189);
        let rows = counters::of_membership(&store.kernel.db, MEMBER, "2027-01-15", "2027-01-15").await.unwrap();
        assert_eq!(rows.len(), 1, "one a day");
    }

    async fn a_restart_closes_what_was_open_before_it(store: Store) {
        let at = apply(&store, 0, &[report(START, "s1", 0, (0, 0, 0)), report(START, "s2", 0, (0, 0, 0))]).await;
        let at = apply(&store, at, &[report(ON, "", 100, (0, 0, 0))]).await;
        assert!(sessions(&store).await.iter().all(|s| !s.is_open()), "for readers at once");
        close_restarted(&store.kernel, utc, |_| {}).await.unwrap();
        apply(&store, at, &[report(START, "s1", 200, (0, 0, 0))]).await;
        let all = sessions(&store).await;
        assert_eq!(all.len(), 3);
        assert_eq!(all.iter().filter(|s| s.is_open()).count(), 1);
    }

    async fn old_sessions_move_to_history_and_come_back_for_a_late_report(store: Store) {
        let at = apply(&store, 0, &[report(START, "s1", 0, (0, 0, 0)), report(STOP, "s1", 60, (60, 100, 200))]).await;
        assert_eq!(age_out(&store.kernel).await.unwrap(), 0);
        store.clock.advance_seconds(3 * 86_400);
        assert_eq!(age_out(&store.kernel).await.unwrap(), 1);
        assert_eq!(sessions(&store).await.len(), 1, "readers see it all the same");
        apply(&store, at, &[report(STOP, "s1", 61, (61, 150, 200))]).await;
        let all = sessions(&store).await;
        assert_eq!((all.len(), all[0].input_octets), (1, 150));
        assert_eq!(total(&store, Counter::InputOctets).await, 150);
    }

    async fn what_cannot_be_read_is_kept_and_holds_nothing_up(store: Store) {
        let bad = usage::BadEntry { reason: "cut short".to_owned(), octets: vec![1, 2, 3] };
        let items: Vec<Item> =
            vec![(Position(1), Err(bad)), (Position(2), Ok(report(START, "s1", 0, (0, 0, 0))))];
        let outcome = apply_batch(&store.kernel, &origin(), stretch(0, 2), &items, utc).await;
        assert!(matches!(outcome, Ok(Outcome::Applied(applied)) if applied.unreadable == 1));
        assert_eq!(sessions(&store).await.len(), 1);
        assert_eq!(usage::checkpoint(&store.kernel.db, &origin()).await.unwrap(), Position(2));
    }

    async fn two_nodes_bring_one_session_back_from_history_and_lose_no_report(store: Store) {
        let at = apply(&store, 0, &[report(START, "s1", 0, (0, 0, 0)), report(STOP, "s1", 60, (60, 100, 200))]).await;
        store.clock.advance_seconds(3 * 86_400);
        assert_eq!(age_out(&store.kernel).await.unwrap(), 1);
        let node = async |name: &str, late: Entry| {
            let origin = Origin { node: name.to_owned(), journal: "j".repeat(32) };
            let items = [(Position(1), Ok(late))];
            for _ in 0..10 {
                match apply_batch(&store.kernel, &origin, stretch(0, 1), &items, utc).await {
                    Ok(_) => return,
                    Err(e) => assert!(e.is_duplicate() || matches!(e, kernel::Error::Conflict(_)), "{e}"),
                }
            }
            panic!("{name} must get through");
        };
        tokio::join!(
            node("n1", report(INTERIM, "s1", 61, (61, 150, 200))),
            node("n2", report(INTERIM, "s1", 62, (62, 160, 200))),
        );
        apply(&store, at, &[report(STOP, "s1", 63, (63, 160, 210))]).await;
        let all = sessions(&store).await;
        assert_eq!((all.len(), all[0].input_octets, all[0].reports), (1, 160, 5));
        assert_eq!(total(&store, Counter::InputOctets).await, 160);
    }

    async fn pages_of_all_sessions_follow_each_other_through_history_and_present(store: Store) {
        let id = |n: i64| format!("s{n}");
        let begun: Vec<Entry> = (0..11).map(|n| report(START, &id(n), n / 2, (0, 0, 0))).collect();
        let ended: Vec<Entry> = (0..11).step_by(2).map(|n| report(STOP, &id(n), 60, (60, 1, 1))).collect();
        let at = apply(&store, 0, &begun).await;
        apply(&store, at, &ended).await;
        store.clock.advance_seconds(3 * 86_400);
        assert_eq!(age_out(&store.kernel).await.unwrap(), 6);
        let own = Scope::Organisation(OrganisationId(ORGANISATION));
        for (scope, is_open, expect) in [
            (Scope::Everything, None, 11),
            (own, None, 11),
            (own, Some(true), 5),
            (Scope::Everything, Some(true), 5),
            (Scope::Everything, Some(false), 6),
        ] {
            let mut filter = ListFilter { is_open, limit: 3, ..ListFilter::default() };
            let mut seen = Vec::new();
            loop {
                let page = list::list(&store.kernel.db, scope, &filter).await.unwrap();
                seen.extend(page.sessions.iter().map(|row| (row.started, row.id)));
                match page.next {
                    Some(next) => filter.after = Some(next),
                    None => break,
                }
            }
            assert_eq!(seen.len(), expect);
            assert!(seen.is_sorted_by(|a, b| a > b), "{seen:?}");
        }
    }

    async fn attempts_are_explained_by_name_device_and_session(store: Store) {
        let attempt = |n: u128, seconds: i64| Attempt {
            id: Uuid::from_u128(n),
            at: Time::from_unix_seconds(NOON + seconds),
            node: "n".to_owned(),
            organisation: Some(OrganisationId(ORGANISATION)),
            nas: Some(NAS),
            nas_address: "192.0.2.1".to_owned(),
            membership: Some(MEMBER),
            username: Some("alice".to_owned()),
            mac: Some("02-00-00-00-00-01".to_owned()),
            called_station_id: None,
            calling_station_id: None,
            acct_session_id: Some(format!("s{n}")),
            method: Some("pap".to_owned()),
            verdict: Verdict::Refuse,
            word: Some("wrong_password".to_owned()),
            trace: serde_json::json!([{ "check": "password", "verdict": "wrong" }]),
        };
        attempt::record(&store.kernel, &[attempt(1, 0), attempt(2, 10)]).await.unwrap();
        for (subject, expect) in [("alice", 2), ("0200.0000.0001", 2), ("s2", 1), ("bob", 0)] {
            let found = explain(&store.kernel.db, Scope::Everything, subject, 10).await.unwrap();
            assert_eq!(found.len(), expect, "{subject}");
        }
        let found = explain(&store.kernel.db, Scope::Everything, "alice", 1).await.unwrap();
        assert_eq!(found[0], attempt(2, 10), "the newest first, as it was recorded");
        let other = Scope::Organisation(OrganisationId(Uuid::from_u128(0xff)));
        assert!(explain(&store.kernel.db, other, "alice", 10).await.unwrap().is_empty());
    }
}

/// A row that another writer holds is passed over: the restart is not done with before that row has followed.
#[tokio::test]
async fn a_restart_stays_unsettled_while_a_row_it_ended_is_held_open() {
    let store = Store::open(Engine::Postgres).await;
    let at = apply(
        &store,
        0,
        &[
            report(START, "s1", 0, (0, 0, 0)),
            report(START, "s2", 0, (0, 0, 0)),
        ],
    )
    .await;
    apply(&store, at, &[report(ON, "", 100, (0, 0, 0))]).await;
    store.clock.advance_seconds(1_000);
    let close = async || close_restarted(&store.kernel, utc, |_| {}).await.unwrap();
    let unsettled = async || {
        usage::restart::unsettled(&store.kernel.db)
            .await
            .unwrap()
            .len()
    };
    let mut other = store.kernel.db.begin().await.unwrap();
    let hold = "UPDATE session SET updated = updated WHERE acct_session_id = 's1'";
    assert_eq!(other.run(hold, Vec::new()).await.unwrap(), 1);
    assert_eq!((close().await, unsettled().await), (1, 1));
    assert!(
        sessions(&store).await.iter().all(|s| !s.is_open()),
        "for readers both are over"
    );
    other.commit().await.unwrap();
    assert_eq!((close().await, unsettled().await), (1, 0));
    assert!(sessions(&store).await.iter().all(|s| !s.is_open()));
}

#[derive(sqlx::FromRow)]
struct Plan {
    #[sqlx(rename = "QUERY PLAN")]
    step: String,
}

/// Each page of a list is read off indices from its place on; what a batch looks up, by key.
#[tokio::test]
async fn lists_and_batches_find_their_rows_by_index_on_postgres() {
    let store = Store::open(Engine::Postgres).await;
    let mut tx = store.kernel.db.begin().await.unwrap();
    // The tables are empty: without this the planner takes what is cheapest for nothing.
    for setting in [
        "SET LOCAL enable_seqscan = off",
        "SET LOCAL enable_bitmapscan = off",
    ] {
        tx.run(setting, Vec::new()).await.unwrap();
    }
    let (nobody, now) = (Uuid::nil(), Time::from_unix_seconds(NOON));
    let mut seen = 0;
    for (name, sql) in usage::statements(Engine::Postgres) {
        let values = match name {
            // Asked where nobody is named.
            "LIST_OPEN" => kernel::values![
                nobody,
                true,
                None::<String>,
                None::<String>,
                None::<String>,
                now,
                now,
                now,
                nobody,
                false,
                None::<Uuid>,
                None::<Uuid>,
                10
            ],
            _ if name.starts_with("LIST") => kernel::values![
                nobody, false, "", "", "", now, now, now, nobody, false, nobody, nobody, 10
            ],
            "POSTGRES_LOCK_BY_KEYS" | "POSTGRES_HISTORY_BY_KEYS" => {
                let texts = || kernel::Value::Texts(Vec::new());
                vec![
                    kernel::Value::Uuids(Vec::new()),
                    texts(),
                    texts(),
                    16.into(),
                ]
            }
            _ => continue,
        };
        seen += 1;
        let sql: &'static str = Box::leak(format!("EXPLAIN {sql}").into_boxed_str());
        let steps: Vec<Plan> = tx.all(sql, values).await.unwrap();
        let plan: Vec<String> = steps.into_iter().map(|step| step.step).collect();
        let plan = plan.join("\n");
        assert!(
            plan.contains("Index Cond") && !plan.contains("Seq Scan") && !plan.contains("Sort  ("),
            "{name}:\n{plan}"
        );
        assert!(
            !name.starts_with("LIST") || plan.contains("ROW(") && plan.contains("Limit"),
            "{name}:\n{plan}"
        );
    }
    assert_eq!(seen, 8);
}

/// Any order and any cut into batches: both engines, and the report by report way, come to the same rows.
#[tokio::test]
async fn order_and_cuts_of_batches_change_nothing_on_either_engine() {
    let reports = [
        report(START, "s1", 0, (0, 0, 0)),
        report(INTERIM, "s1", 60, (60, 600, 60)),
        report(INTERIM, "s1", 120, (120, 1_200, 120)),
        report(STOP, "s1", 150, (150, 1_500, 150)),
        report(START, "s2", 30, (0, 0, 0)),
        report(STOP, "s2", 40, (10, 1, 2)),
    ];
    let mut expect = None;
    // A few orders, fixed: as sent, backwards, interleaved, with repetitions.
    let orders: [&[usize]; 4] = [
        &[0, 1, 2, 3, 4, 5],
        &[5, 4, 3, 2, 1, 0],
        &[3, 0, 5, 2, 4, 1],
        &[0, 3, 3, 1, 2, 0, 4, 5, 5],
    ];
    for engine in [Engine::Sqlite, Engine::Postgres] {
        for (n, order) in orders.iter().enumerate() {
            for cut in [1, 3, order.len()] {
                let store = Store::open(engine).await;
                let mut at = 0;
                for batch in order.chunks(cut) {
                    let batch: Vec<Entry> =
                        batch.iter().map(|index| reports[*index].clone()).collect();
                    at = apply(&store, at, &batch).await;
                }
                // How often a NAS said it may differ; what it comes to may not.
                let got: Vec<String> = summary(&store)
                    .await
                    .into_iter()
                    .map(|line| {
                        line.split(" reports=")
                            .next()
                            .unwrap_or_default()
                            .to_owned()
                    })
                    .collect();
                let expect = expect.get_or_insert_with(|| got.clone());
                assert_eq!(&got, expect, "{engine:?}, order {n}, cut {cut}");
            }
        }
    }
}
