//! The journal as a server uses it: group commit, failing disks, the lock, readers.

use std::time::Duration;

use super::*;
use crate::sim::Op;
use crate::{AppendError, MAX_RECORD_BYTES, ReadError};

const AT_ONCE: Duration = Duration::ZERO;
/// Longer than any test waits when all is well.
const LONG: Duration = Duration::from_secs(60);

fn committed(heard: Heard) -> Vec<u64> {
    match heard {
        Heard::Committed(done) => done.into_iter().map(|(position, _)| position.0).collect(),
        failed => panic!("{failed:?}"),
    }
}

#[test]
fn what_comes_during_a_sync_is_the_next_batch() {
    let disk = SimDisk::new(1);
    let (journal, heard) = start(
        &disk,
        Options {
            segment_bytes: 1 << 20,
            max_bytes: 1 << 24,
            ..options(0)
        },
    );
    let before = disk.syncs();
    disk.hold_syncs();
    journal.append(1, vec![0], 0).expect("taken");
    disk.wait_for_held_sync();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let journal = &journal;
            scope.spawn(move || {
                for token in 0..250 {
                    journal
                        .append(1, vec![9; 100], 1 + thread * 250 + token)
                        .expect("taken");
                }
            });
        }
    });
    assert_eq!(journal.stats().queued_records, 2000);
    assert!(
        heard.try_recv().is_err(),
        "nothing is acknowledged before its sync"
    );
    assert_eq!(journal.durable(), Position(0));
    disk.release_syncs();
    assert_eq!(committed(heard.recv().expect("first")), [1]);
    assert_eq!(
        committed(heard.recv().expect("second")),
        (2..=2001).collect::<Vec<_>>()
    );
    assert_eq!(disk.syncs() - before, 2);
    let stats = journal.stats();
    assert_eq!(
        (
            stats.records,
            stats.durable,
            stats.queued_records,
            stats.errors
        ),
        (2001, Position(2001), 0, 0)
    );
}

#[test]
fn order_is_the_order_of_the_queue_and_tokens_go_with_their_records() {
    let disk = SimDisk::new(1);
    let (journal, heard) = start(&disk, options(0));
    for token in 0..500u32 {
        journal
            .append(token as u8, token.to_le_bytes().to_vec(), token)
            .expect("taken");
    }
    journal.close();
    let done: Vec<(Position, u32)> = heard
        .try_iter()
        .flat_map(|heard| match heard {
            Heard::Committed(done) => done,
            failed => panic!("{failed:?}"),
        })
        .collect();
    let read = read_all(journal.reader(Position(1)));
    assert_eq!(read.len(), 500);
    for ((position, token), record) in done.iter().zip(&read) {
        assert_eq!(*position, record.position);
        assert_eq!(
            (record.kind, &record.bytes[..]),
            (*token as u8, &token.to_le_bytes()[..])
        );
    }
}

#[test]
fn a_failed_sync_is_not_acknowledged_and_a_new_segment_takes_over() {
    let disk = SimDisk::new(3);
    let (journal, heard) = start(&disk, options(0));
    assert_eq!(committed(say(&journal, &heard, 10)), [1]);
    for truncates in [0, 1] {
        disk.fail_next(Op::Sync, 1);
        disk.fail_next(Op::Truncate, truncates);
        assert_eq!(
            say(&journal, &heard, 11),
            Heard::Failed(vec![11], Step::Sync)
        );
        assert!(journal.stats().failing);
        let durable = journal.durable().0;
        assert_eq!(committed(say(&journal, &heard, 12)), [durable + 1]);
        assert!(!journal.stats().failing);
        assert!(disk.files().contains(&file(durable + 1)), "a new segment");
    }
    assert_eq!(journal.stats().errors, 2);
    let tokens = |records: Vec<Record>| {
        records
            .into_iter()
            .map(|record| record.bytes[0])
            .collect::<Vec<_>>()
    };
    assert_eq!(tokens(read_all(journal.reader(Position(1)))), [10, 12, 12]);
    drop(journal);
    disk.restart();
    assert_eq!(
        tokens(records(&open(&disk, options(0)).expect("open"))),
        [10, 12, 12]
    );
}

#[test]
fn a_sync_that_failed_and_a_process_killed_leave_no_position_with_two_meanings() {
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let mut opened = open(&disk, options(0)).expect("open");
        opened.writer.commit([(1, &b"kept"[..])]).expect("commit");
        disk.fail_next(Op::Sync, 1);
        disk.fail_next(Op::Truncate, 1);
        opened
            .writer
            .commit([(1, &[5; 300][..])])
            .expect_err("failed");
        drop(opened);
        // The cache still shows the record whole, so it is recovered, and may be read and applied.
        disk.kill();
        let opened = open(&disk, options(0)).expect("open");
        let seen = records(&opened);
        assert_eq!(seen.len(), 2);
        drop(opened);
        disk.restart();
        assert_eq!(
            records(&open(&disk, options(0)).expect("open")),
            seen,
            "seed {seed}"
        );
    }
}

#[test]
fn a_segment_whose_name_was_not_yet_durable_is_made_so_before_it_takes_records() {
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let mut opened = open(&disk, options(0)).expect("open");
        opened.writer.commit([(1, &b"one"[..])]).expect("commit");
        disk.fail_next(Op::Sync, 1);
        opened
            .writer
            .commit([(1, &b"failed"[..])])
            .expect_err("failed");
        // The new segment gets its name, and the process dies before the name is durable.
        disk.fail_next(Op::SyncFolder, 1);
        opened
            .writer
            .commit([(1, &b"failed"[..])])
            .expect_err("failed");
        drop(opened);
        disk.kill();
        let mut opened = open(&disk, options(0)).expect("open");
        assert_eq!(opened.recovered.segments, 2);
        opened.writer.commit([(1, &b"two"[..])]).expect("commit");
        drop(opened);
        disk.restart();
        let read = records(&open(&disk, options(0)).expect("open"));
        assert_eq!(
            read.last().map(|record| &record.bytes[..]),
            Some(&b"two"[..]),
            "seed {seed}"
        );
    }
}

#[test]
fn every_kind_of_failure_is_told_and_got_over() {
    let check = |op: Op, step: Step, closes_first: bool| {
        let disk = SimDisk::new(5);
        let (journal, heard) = start(&disk, options(0));
        assert_eq!(committed(say(&journal, &heard, 1)), [1]);
        if closes_first {
            // So that the next batch needs a new segment.
            disk.fail_next(Op::Sync, 1);
            assert!(matches!(say(&journal, &heard, 2), Heard::Failed(..)));
        }
        disk.fail_next(op, 3);
        assert_eq!(
            say(&journal, &heard, 3),
            Heard::Failed(vec![3], step),
            "{op:?}"
        );
        disk.fail_next(op, 0);
        assert_eq!(committed(say(&journal, &heard, 4)), [2], "{op:?}");
        drop(journal);
        disk.restart();
        let read = records(&open(&disk, options(0)).expect("open"));
        assert_eq!(
            read.iter()
                .map(|record| record.bytes[0])
                .collect::<Vec<_>>(),
            [1, 4],
            "{op:?}"
        );
    };
    check(Op::Append, Step::Write, false);
    check(Op::Sync, Step::Sync, false);
    check(Op::Append, Step::Begin, true);
    check(Op::Sync, Step::Begin, true);
    check(Op::Create, Step::Begin, true);
    check(Op::Rename, Step::Begin, true);
    check(Op::SyncFolder, Step::Begin, true);
}

#[test]
fn a_disk_without_room_refuses_and_takes_records_again_when_there_is_some() {
    let disk = SimDisk::new(1);
    let (journal, heard) = start(&disk, options(0));
    assert_eq!(committed(say(&journal, &heard, 1)), [1]);
    let used: usize = disk.files().iter().map(|file| disk.bytes(file).len()).sum();
    disk.set_capacity(Some(used + 10));
    assert_eq!(
        say(&journal, &heard, 2),
        Heard::Failed(vec![2], Step::Write)
    );
    assert_eq!(
        say(&journal, &heard, 3),
        Heard::Failed(vec![3], Step::Begin)
    );
    disk.set_capacity(None);
    assert_eq!(committed(say(&journal, &heard, 4)), [2]);
    assert_eq!(positions(&read_all(journal.reader(Position(1)))), [1, 2]);
}

#[test]
fn a_second_opening_of_the_folder_is_refused_until_the_first_is_gone() {
    let disk = SimDisk::new(1);
    let (journal, _heard) = start(&disk, options(0));
    let error = open(&disk, options(0)).expect_err("locked");
    assert!(matches!(&error, OpenError::Locked(file) if file == Path::new("/data/journal/LOCK")));
    assert!(error.to_string().contains("another process"), "{error}");
    drop(journal);
    open(&disk, options(0)).expect("free again");
}

#[test]
fn a_record_is_at_most_so_long_and_comes_back_if_refused() {
    let disk = SimDisk::new(1);
    let (journal, heard) = start(&disk, options(0));
    let refused = journal
        .append(1, vec![3; MAX_RECORD_BYTES + 1], 77)
        .expect_err("too long");
    assert_eq!(
        (refused.reason, refused.token, refused.bytes.len()),
        (AppendError::TooLong, 77, MAX_RECORD_BYTES + 1)
    );
    for (token, length) in [(1, MAX_RECORD_BYTES), (2, 0), (3, MAX_RECORD_BYTES)] {
        journal.append(1, vec![3; length], token).expect("taken");
        assert_eq!(committed(heard.recv().expect("heard")), [u64::from(token)]);
    }
    let lengths: Vec<usize> = read_all(journal.reader(Position(1)))
        .iter()
        .map(|record| record.bytes.len())
        .collect();
    assert_eq!(lengths, [MAX_RECORD_BYTES, 0, MAX_RECORD_BYTES]);
    drop(journal);
    disk.restart();
    assert_eq!(records(&open(&disk, options(0)).expect("open")).len(), 3);
}

#[test]
fn a_full_queue_is_busy_and_an_append_that_waits_gets_its_turn() {
    let disk = SimDisk::new(1);
    let (journal, heard) = start(
        &disk,
        Options {
            queue_records: 3,
            ..options(0)
        },
    );
    disk.hold_syncs();
    journal.append(1, vec![], 0).expect("taken");
    disk.wait_for_held_sync();
    for token in 1..=3 {
        journal.try_append(1, vec![], token).expect("taken");
    }
    let refused = journal.try_append(1, vec![8], 4).expect_err("busy");
    assert_eq!(
        (refused.reason, refused.token, refused.bytes),
        (AppendError::Busy, 4, vec![8])
    );
    assert_eq!(journal.stats().refused_busy, 1);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| journal.append(1, vec![], 5));
        disk.release_syncs();
        waiting.join().expect("joined").expect("taken in the end");
    });
    journal.close();
    let done: usize = heard.try_iter().map(|heard| committed(heard).len()).sum();
    assert_eq!(done, 5);
    assert_eq!(
        journal.try_append(1, vec![], 6).expect_err("closed").reason,
        AppendError::Closed
    );
}

#[test]
fn the_octets_in_the_queue_are_limited_too() {
    let disk = SimDisk::new(1);
    let (journal, _heard) = start(
        &disk,
        Options {
            queue_bytes: 200_000,
            ..options(0)
        },
    );
    disk.hold_syncs();
    let taken = (0..10)
        .take_while(|token| journal.try_append(1, vec![0; 60_000], *token).is_ok())
        .count();
    assert_eq!(taken, 3);
    assert_eq!(journal.stats().queued_bytes, 3 * 60_024);
    disk.release_syncs();
}

#[test]
fn a_reader_sees_only_what_is_durable_and_is_woken_by_it() {
    let disk = SimDisk::new(1);
    let (journal, heard) = start(&disk, options(0));
    let mut reader = journal.reader(Position(1));
    disk.hold_syncs();
    journal.append(1, vec![1; 50], 1).expect("taken");
    disk.wait_for_held_sync();
    assert!(disk.bytes(&file(1)).len() > 64, "it is written");
    assert!(reader.next_batch(10, 1000).expect("read").is_empty());
    assert_eq!(reader.wait(AT_ONCE), None);
    std::thread::scope(|scope| {
        let woken = scope.spawn(|| journal.wait_beyond(Position(0), LONG));
        disk.release_syncs();
        assert_eq!(woken.join().expect("joined"), Some(Position(1)));
    });
    heard.recv().expect("heard");
    assert_eq!(reader.wait(AT_ONCE), Some(Position(1)));
    assert_eq!(positions(&reader.next_batch(10, 1000).expect("read")), [1]);
    assert_eq!(reader.position(), Position(2));
    std::thread::scope(|scope| {
        let woken = scope.spawn(|| reader.wait(LONG));
        journal.close();
        assert_eq!(
            woken.join().expect("joined"),
            None,
            "closing wakes whoever waits"
        );
    });
}

#[test]
fn a_reader_goes_across_segments_within_its_limits() {
    let body: &[u8] = &[7; 1000];
    let disk = written(&[&[body; 3][..]; 10]);
    disk.kill();
    let opened = open(&disk, options(0)).expect("open");
    assert!(opened.recovered.segments >= 8);
    for from in 1..=31 {
        let mut reader = Reader::new(opened.shared.clone(), Position(from));
        let mut read = Vec::new();
        loop {
            let batch = reader.next_batch(4, 2500).expect("read");
            if batch.is_empty() {
                break;
            }
            assert!(batch.len() <= 3, "2500 octets are reached by the third");
            read.extend(positions(&batch));
        }
        assert_eq!(read, (from..=30).collect::<Vec<_>>());
    }
    let mut ahead = Reader::new(opened.shared.clone(), Position(32));
    assert!(matches!(
        ahead.next_batch(1, 1),
        Err(ReadError::Ahead { next: Position(31) })
    ));
    let mut one = Reader::new(opened.shared.clone(), Position(0));
    assert_eq!(
        positions(&one.next_batch(0, 0).expect("read")),
        [1],
        "limits of zero still move on"
    );
}

#[test]
fn a_hook_that_panics_closes_the_journal_instead_of_hanging_it() {
    let hooks = Hooks::<u32> {
        committed: Box::new(|_| panic!("a bug in the server")),
        failed: Box::new(|_, _| {}),
    };
    let disk = Arc::new(SimDisk::new(1));
    let (journal, _) =
        Journal::open(disk.clone(), Path::new(DATA), options(0), hooks).expect("open");
    journal.append(1, vec![1], 1).expect("taken");
    assert_eq!(journal.wait_beyond(Position(1), LONG), None);
    assert_eq!(
        journal.append(1, vec![1], 1).expect_err("closed").reason,
        AppendError::Closed
    );
    drop(journal);
    assert_eq!(records(&open(&disk, options(0)).expect("open")).len(), 1);
}
