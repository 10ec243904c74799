//! Limits and retention: when the journal is full, what may go, and when.

use super::*;
use crate::{AppendError, ReadError, Swept};

fn small() -> Options {
    Options {
        max_bytes: 16_384,
        ..options(0)
    }
}

/// Appends records of a thousand octets until one is refused.
fn fill(journal: &Journal<u32>, heard: &std::sync::mpsc::Receiver<Heard>) -> u32 {
    for token in 0..100 {
        match journal.try_append(1, vec![7; 1000], token) {
            Ok(()) => drop(heard.recv().expect("heard")),
            Err(refused) => {
                assert_eq!(refused.reason, AppendError::Full);
                return token;
            }
        }
    }
    panic!("never full");
}

#[test]
fn a_full_journal_refuses_and_release_makes_room_at_once() {
    let disk = SimDisk::new(1);
    let (journal, heard) = start(&disk, small());
    let taken = fill(&journal, &heard);
    assert_eq!(taken, 15);
    let stats = journal.stats();
    assert!(
        stats.bytes_on_disk <= 16_384 && stats.bytes_on_disk > 15_000,
        "{stats:?}"
    );
    assert_eq!((stats.refused_full, stats.shortened), (1, 0));
    // Room for new records goes before keeping released ones.
    journal.release(Position(6));
    let stats = journal.stats();
    assert_eq!((stats.oldest, stats.shortened), (Position(7), 2));
    assert_eq!(fill(&journal, &heard), 6);
    // Released as they come, it never is full.
    for token in 0..100 {
        journal.release(journal.durable());
        say(&journal, &heard, token);
    }
    assert_eq!(
        positions(&read_all(journal.reader(journal.stats().oldest))).last(),
        Some(&121)
    );
}

#[test]
fn fullness_counts_what_is_still_queued() {
    let disk = SimDisk::new(1);
    let (journal, _heard) = start(&disk, small());
    disk.hold_syncs();
    let taken = (0..100)
        .take_while(|token| journal.try_append(1, vec![7; 1000], *token).is_ok())
        .count();
    assert!((15..=16).contains(&taken), "{taken}");
    disk.release_syncs();
}

#[test]
fn a_journal_reopened_full_is_still_full_and_readable() {
    let disk = SimDisk::new(1);
    let (journal, heard) = start(&disk, small());
    let taken = fill(&journal, &heard);
    drop(journal);
    disk.restart();
    let (journal, _heard) = start(&disk, small());
    assert_eq!(
        journal
            .try_append(1, vec![7; 1000], 1)
            .expect_err("full")
            .reason,
        AppendError::Full
    );
    assert_eq!(read_all(journal.reader(Position(1))).len(), taken as usize);
}

/// Three records a segment; segments begin at seconds 0, 100, 200, …
fn aged(disk: &SimDisk) -> Opened {
    let clock = Arc::new(AtomicU64::new(0));
    let now = clock.clone();
    let options = Options {
        keep_seconds: 1000,
        clock: Arc::new(move || now.load(Ordering::Relaxed)),
        ..options(0)
    };
    let mut opened = open(disk, options).expect("open");
    for second in [0, 100, 200, 300] {
        clock.store(second, Ordering::Relaxed);
        opened
            .writer
            .commit([(1, &[7; 1000][..]); 3])
            .expect("commit");
    }
    opened
}

#[test]
fn segments_go_when_released_and_old_enough() {
    let disk = SimDisk::new(1);
    let opened = aged(&disk);
    let check = |released: u64, now: u64, gone: u64, oldest: u64| {
        opened.shared.change(|state| state.released = released);
        let swept = crate::retention::sweep(&opened.shared, Some(now)).expect("sweep");
        assert_eq!(swept.segments, gone, "released {released}, second {now}");
        assert_eq!(opened.shared.state().oldest(), oldest);
    };
    check(0, 100_000, 0, 1);
    check(2, 100_000, 0, 1);
    // The first segment is as old as its newest record can be: until second 100.
    check(6, 1099, 0, 1);
    check(6, 1100, 1, 4);
    check(6, 100_000, 1, 7);
    check(12, 1299, 0, 7);
    // The last segment never goes.
    check(12, 100_000, 1, 10);
    check(12, u64::MAX, 0, 10);
    assert_eq!(
        disk.files()
            .iter()
            .filter(|file| file.extension().is_some_and(|end| end == "seg"))
            .count(),
        1
    );
    let mut reader = Reader::new(opened.shared.clone(), Position(9));
    assert!(matches!(
        reader.next_batch(1, 1),
        Err(ReadError::Gone {
            oldest: Position(10)
        })
    ));
    drop(opened);
    disk.restart();
    let opened = open(&disk, options(0)).expect("open");
    assert_eq!(
        (opened.recovered.oldest, opened.recovered.durable),
        (Position(10), Position(12))
    );
}

#[test]
fn a_clock_that_goes_back_removes_nothing() {
    let disk = SimDisk::new(1);
    let opened = aged(&disk);
    opened.shared.change(|state| state.released = 12);
    assert_eq!(
        crate::retention::sweep(&opened.shared, Some(0)).expect("sweep"),
        Swept::default()
    );
}

#[test]
fn removals_cut_short_never_leave_a_hole() {
    for seed in 0..40 {
        for steps in 1..12 {
            let disk = SimDisk::new(seed);
            let opened = aged(&disk);
            opened.shared.change(|state| state.released = 12);
            disk.cut_power_after(steps);
            let _ = crate::retention::sweep(&opened.shared, Some(100_000));
            drop(opened);
            disk.restart();
            let opened = open(&disk, options(0)).expect("no hole");
            assert_eq!(
                positions(&records(&opened)),
                (opened.recovered.oldest.0..=12).collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn a_removal_that_fails_is_tried_again() {
    for op in [crate::sim::Op::Remove, crate::sim::Op::SyncFolder] {
        for seed in 0..4 {
            let disk = SimDisk::new(seed);
            let opened = aged(&disk);
            opened.shared.change(|state| state.released = 12);
            disk.fail_next(op, 1);
            crate::retention::sweep(&opened.shared, Some(100_000)).expect_err("fails");
            assert_eq!(
                crate::retention::sweep(&opened.shared, Some(100_000))
                    .expect("sweep")
                    .segments,
                3
            );
        }
    }
}

#[test]
fn an_old_segment_is_closed_though_it_has_room() {
    let disk = SimDisk::new(1);
    let clock = Arc::new(AtomicU64::new(0));
    let now = clock.clone();
    let options = Options {
        segment_seconds: 3600,
        clock: Arc::new(move || now.load(Ordering::Relaxed)),
        ..options(0)
    };
    let mut opened = open(&disk, options).expect("open");
    for (second, segments) in [(0, 1), (3599, 1), (3600, 2), (7199, 2), (7200, 3)] {
        clock.store(second, Ordering::Relaxed);
        opened.writer.commit([(1, &b"x"[..])]).expect("commit");
        assert_eq!(
            opened.shared.state().segments.len(),
            segments,
            "second {second}"
        );
    }
}
