use super::*;
use crate::testing::{House, INTERIM, NAS, START, STOP, Sent, house, origin, utc};
use journal::{Hooks, Journal, Options, RealDisk};
use std::sync::mpsc;

/// A journal that says when a record is durable.
fn journal(house: &House) -> (Arc<Journal<()>>, mpsc::Receiver<Position>) {
    let (done, durable) = mpsc::channel();
    let hooks = Hooks {
        committed: Box::new(move |batch: &mut Vec<(Position, ())>| {
            for (position, ()) in batch.drain(..) {
                done.send(position).unwrap();
            }
        }),
        failed: Box::new(|_, error| panic!("{error}")),
    };
    let options = Options::new([7; 16], Arc::new(|| 1_800_000_000));
    let (journal, _) =
        Journal::open(Arc::new(RealDisk), house.folder.path(), options, hooks).unwrap();
    (Arc::new(journal), durable)
}

fn append(journal: &Journal<()>, durable: &mpsc::Receiver<Position>, kind: u8, bytes: Vec<u8>) {
    journal.append(kind, bytes, ()).unwrap();
    durable.recv().unwrap();
}

async fn writer(house: &House, journal: &Arc<Journal<()>>) -> (Writer, mpsc::Receiver<Applied>) {
    let (tell, told) = mpsc::channel();
    let (readers, releases) = (journal.clone(), journal.clone());
    let ends = Ends {
        reader_at: Box::new(move |position| readers.reader(position)),
        release: Box::new(move |position| releases.release(position)),
        zone_of: Box::new(utc),
        on_applied: Box::new(move |applied| tell.send(applied).unwrap()),
    };
    (
        Writer::new(house.kernel.clone(), origin(), ends)
            .await
            .unwrap(),
        told,
    )
}

async fn drain(writer: &mut Writer, expect: Step) {
    while writer.step().await == Step::Applied {}
    assert_eq!(writer.step().await, expect);
}

#[tokio::test]
async fn what_is_durable_gets_into_sql_and_the_journal_is_released() {
    let house = house().await;
    let (journal, durable) = journal(&house);
    for sent in [Sent::new(START, 0), Sent::new(STOP, 60).counts(60, 1, 1)] {
        append(&journal, &durable, ACCOUNTING_REPORT, sent.entry.encode());
    }
    append(&journal, &durable, 200, b"of another kind".to_vec());
    append(&journal, &durable, ACCOUNTING_REPORT, b"no entry".to_vec());
    let (mut writer, told) = writer(&house, &journal).await;
    drain(&mut writer, Step::Idle).await;
    assert_eq!(writer.progress().applied(), Position(4));
    assert_eq!(journal.stats().released, Position(4));
    assert_eq!(
        (house.sessions().await.len(), house.unreadable().await),
        (1, 1)
    );
    assert!(
        told.try_iter()
            .any(|applied| applied.sessions.iter().any(|session| session.has_stopped()))
    );
}

#[tokio::test]
async fn a_writer_goes_on_where_another_was_killed() {
    let house = house().await;
    let (journal, durable) = journal(&house);
    append(
        &journal,
        &durable,
        ACCOUNTING_REPORT,
        Sent::new(START, 0).entry.encode(),
    );
    let (mut first, _told) = writer(&house, &journal).await;
    drain(&mut first, Step::Idle).await;
    append(
        &journal,
        &durable,
        ACCOUNTING_REPORT,
        Sent::new(INTERIM, 60).counts(60, 5, 5).entry.encode(),
    );
    // The second reads the same record that the first has in hand.
    let (mut second, _told) = writer(&house, &journal).await;
    assert_eq!(second.step().await, Step::Applied);
    assert_eq!(first.step().await, Step::Applied);
    assert_eq!(house.usage().await.first().map(|row| row.2), Some(5));
    assert_eq!(house.sessions().await[0].reports, 2);
}

#[tokio::test]
async fn a_report_that_sql_refuses_is_kept_unread_and_holds_up_no_other() {
    let house = house().await;
    let (journal, durable) = journal(&house);
    // Something else has spoilt this session's row.
    house.apply(&[Sent::new(START, 0)]).await;
    let mut tx = house.kernel.db.begin().await.unwrap();
    tx.run(
        "UPDATE session SET ledger = 'x' WHERE nas_id = $1",
        kernel::values![NAS],
    )
    .await
    .unwrap();
    tx.run("DELETE FROM journal_checkpoint", Vec::new())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let other = |n: u8| Sent::bare(START, 0).put(44, &[b'a' + n]);
    for sent in [
        other(0),
        other(1),
        Sent::new(INTERIM, 60),
        other(2),
        other(3),
    ] {
        append(&journal, &durable, ACCOUNTING_REPORT, sent.entry.encode());
    }
    let (mut writer, _told) = writer(&house, &journal).await;
    let mut steps = 0;
    while writer.progress().applied() < Position(5) {
        writer.step().await;
        steps += 1;
        assert!(steps < 100, "it must get through");
    }
    assert_eq!(
        (house.unreadable().await, writer.progress().fault()),
        (1, None)
    );
    let mut tx = house.kernel.db.begin().await.unwrap();
    tx.run("DELETE FROM session WHERE ledger = 'x'", Vec::new())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(house.sessions().await.len(), 4);
}

#[tokio::test]
async fn while_sql_is_away_the_writer_fails_and_keeps_what_it_has() {
    let house = house().await;
    let (journal, durable) = journal(&house);
    append(
        &journal,
        &durable,
        ACCOUNTING_REPORT,
        Sent::new(START, 0).entry.encode(),
    );
    let (mut writer, _told) = writer(&house, &journal).await;
    let mut tx = house.kernel.db.begin().await.unwrap();
    tx.run("ALTER TABLE journal_checkpoint RENAME TO away", Vec::new())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    for _ in 0..10 {
        assert_eq!(writer.step().await, Step::Failed);
    }
    assert!(
        writer
            .progress()
            .fault()
            .is_some_and(|fault| fault.contains("journal_checkpoint"))
    );
    assert_eq!(journal.stats().released, Position(0));
    let mut tx = house.kernel.db.begin().await.unwrap();
    tx.run("ALTER TABLE away RENAME TO journal_checkpoint", Vec::new())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    drain(&mut writer, Step::Idle).await;
    assert_eq!(
        (house.sessions().await.len(), writer.progress().fault()),
        (1, None)
    );
    assert_eq!(house.unreadable().await, 0);
}

#[test]
fn waiting_grows_up_to_a_limit() {
    let mut backoff = Backoff::default();
    let waits: Vec<u128> = (0..10).map(|_| backoff.next().as_millis()).collect();
    assert_eq!(
        waits,
        [50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]
    );
}

#[test]
fn a_writer_ends_when_it_is_asked_to() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (house, writer) = runtime.block_on(async {
        let house = house().await;
        let (journal, durable) = journal(&house);
        append(
            &journal,
            &durable,
            ACCOUNTING_REPORT,
            Sent::new(START, 0).entry.encode(),
        );
        let (writer, told) = writer(&house, &journal).await;
        (house, (writer, told, journal))
    });
    let (writer, told, _journal) = writer;
    let progress = writer.progress();
    let handle = runtime.handle().clone();
    let thread = std::thread::spawn(move || writer.run(&handle));
    told.recv().unwrap();
    progress.stop();
    thread.join().unwrap();
    assert_eq!(runtime.block_on(house.sessions()).len(), 1);
}

#[tokio::test]
async fn what_sql_has_lost_is_applied_again_when_it_was_put_back() {
    let house = house().await;
    let (journal, durable) = journal(&house);
    let other = |n: u8| Sent::bare(START, 0).put(44, &[b'a' + n]).entry.encode();
    for n in 0..4 {
        append(&journal, &durable, ACCOUNTING_REPORT, other(n));
    }
    let (mut writer, _told) = writer(&house, &journal).await;
    drain(&mut writer, Step::Idle).await;
    assert_eq!(house.sessions().await.len(), 4);
    // The backup of after the first report, restored under the running process.
    let mut tx = house.kernel.db.begin().await.unwrap();
    tx.run(
        "DELETE FROM session WHERE acct_session_id <> 'a'",
        Vec::new(),
    )
    .await
    .unwrap();
    tx.run("UPDATE journal_checkpoint SET position = 1", Vec::new())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    append(&journal, &durable, ACCOUNTING_REPORT, other(4));
    assert_eq!(writer.step().await, Step::Failed);
    assert_eq!(writer.progress().applied(), Position(1));
    drain(&mut writer, Step::Idle).await;
    let mut ids: Vec<String> = house
        .sessions()
        .await
        .into_iter()
        .map(|row| row.acct_session_id)
        .collect();
    ids.sort();
    assert_eq!(ids, ["a", "b", "c", "d", "e"]);
    assert_eq!(
        (writer.progress().applied(), writer.progress().fault()),
        (Position(5), None)
    );
}

#[test]
fn batches_shrink_fast_when_they_are_long_and_grow_slowly() {
    let (long, short) = (Duration::from_millis(151), Duration::from_millis(150));
    let mut pace = Pace(200);
    let shrinking: Vec<usize> = (0..9)
        .map(|_| {
            pace.took(long);
            pace.0
        })
        .collect();
    assert_eq!(shrinking, [100, 50, 25, 12, 6, 3, 1, 1, 1]);
    let growing: Vec<usize> = (0..9)
        .map(|_| {
            pace.took(short);
            pace.0
        })
        .collect();
    assert_eq!(growing, [2, 3, 4, 5, 6, 7, 8, 10, 12]);
    (0..100).for_each(|_| pace.took(short));
    assert_eq!(pace.0, BATCH_REPORTS);
    pace.refused(5);
    assert_eq!(pace.0, 3);
}
