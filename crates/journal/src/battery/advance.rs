//! A journal older than what was applied from it goes on behind that.

use super::*;
use crate::AdvanceError;
use crate::sim::Op;

fn committed(heard: Heard) -> Vec<u64> {
    match heard {
        Heard::Committed(done) => done.into_iter().map(|(position, _)| position.0).collect(),
        failed => panic!("{failed:?}"),
    }
}

#[test]
fn records_stand_behind_the_position_now_and_after_every_restart() {
    for before in [0, 3] {
        let disk = SimDisk::new(1);
        let (journal, heard) = start(&disk, options(0));
        for token in 0..before {
            say(&journal, &heard, token);
        }
        journal.advance_beyond(Position(80)).expect("advanced");
        assert_eq!(journal.durable(), Position(80));
        let beyond = |position| journal.records_beyond(Position(position));
        assert_eq!([0, 40, 80].map(beyond), [u64::from(before), 0, 0]);
        let mut reader = journal.reader(Position(81));
        assert_eq!(reader.next_batch(10, 1000).expect("nothing yet"), []);
        // Again, or to where it is already, changes nothing.
        journal.advance_beyond(Position(80)).expect("advanced");
        journal.advance_beyond(Position(7)).expect("advanced");
        drop(journal);
        // Power may go before the first record behind the gap, and behind it.
        for expect in [81, 82] {
            disk.cut_power();
            disk.restart();
            let (journal, heard) = start(&disk, options(0));
            assert_eq!(journal.durable(), Position(expect - 1));
            assert_eq!(committed(say(&journal, &heard, 9)), [expect]);
            let beyond = |position| journal.records_beyond(Position(position));
            let behind = expect - 80;
            assert_eq!(
                [0, 1, 40, 80, 81].map(beyond),
                [
                    u64::from(before) + behind,
                    u64::from(before).saturating_sub(1) + behind,
                    behind,
                    behind,
                    behind - 1
                ]
            );
        }
        let opened = open(&disk, options(0)).expect("open");
        let mut expect: Vec<u64> = (1..=u64::from(before)).collect();
        expect.extend([81, 82]);
        assert_eq!(positions(&records(&opened)), expect);
        // A checkpoint inside the gap.
        let inside = Reader::new(opened.shared.clone(), Position(40));
        assert_eq!(positions(&read_all(inside)), [81, 82]);
    }
}

#[test]
fn a_failing_disk_leaves_the_gap_known() {
    let disk = SimDisk::new(1);
    let (journal, heard) = start(&disk, options(0));
    say(&journal, &heard, 0);
    disk.fail_next(Op::Sync, 1);
    assert!(journal.advance_beyond(Position(80)).is_err());
    assert_eq!(journal.durable(), Position(1));
    journal.advance_beyond(Position(80)).expect("advanced");
    // The first record behind it fails: a segment of the same name takes the place of the empty one.
    disk.fail_next(Op::Sync, 1);
    assert_eq!(say(&journal, &heard, 1), Heard::Failed(vec![1], Step::Sync));
    assert_eq!(committed(say(&journal, &heard, 2)), [81]);
    drop(journal);
    let opened = open(&disk, options(0)).expect("the gap is no damage");
    assert_eq!(positions(&records(&opened)), [1, 81]);
}

#[test]
fn a_salvage_keeps_the_gap_and_what_is_behind_it() {
    let disk = SimDisk::new(1);
    let (journal, heard) = start(&disk, options(0));
    say(&journal, &heard, 0);
    journal.advance_beyond(Position(80)).expect("advanced");
    say(&journal, &heard, 1);
    drop(journal);
    let salvage = Options {
        salvage: true,
        ..options(0)
    };
    let opened = open(&disk, salvage).expect("open");
    assert_eq!(opened.recovered.lost, []);
    assert_eq!(positions(&records(&opened)), [1, 81]);
}

#[test]
fn released_segments_before_a_gap_may_go() {
    let disk = SimDisk::new(1);
    let (journal, heard) = start(&disk, options(0));
    say(&journal, &heard, 0);
    journal.advance_beyond(Position(80)).expect("advanced");
    journal.release(Position(80));
    let swept = journal.sweep(10_000_000).expect("swept");
    assert_eq!(swept.segments, 1);
    assert_eq!(committed(say(&journal, &heard, 1)), [81]);
    assert_eq!(positions(&read_all(journal.reader(Position(81)))), [81]);
}

#[test]
fn a_closed_journal_does_not_advance() {
    let disk = SimDisk::new(1);
    let (journal, _heard) = start(&disk, options(0));
    journal.close();
    let outcome = journal.advance_beyond(Position(80));
    assert!(matches!(outcome, Err(AdvanceError::Closed)), "{outcome:?}");
}
