//! Torn tails, rotten bytes, missing files, and what a salvage makes of them.

use super::*;
use crate::{Corrupt, Flaw, ReadError};

const ONE: &[u8] = b"first";
const TWO: &[u8] = b"second record";
const THREE: &[u8] = b"third";

/// Octets of a segment holding these bodies.
fn end_of(bodies: &[&[u8]]) -> usize {
    segment::HEADER_BYTES
        + bodies
            .iter()
            .map(|body| crate::record::FRAME_BYTES + body.len())
            .sum::<usize>()
}

fn bodies(opened: &Opened) -> Vec<Vec<u8>> {
    records(opened)
        .into_iter()
        .map(|record| record.bytes)
        .collect()
}

fn corrupt(error: OpenError) -> Corrupt {
    match error {
        OpenError::Corrupt(corrupt) => corrupt,
        other => panic!("{other}"),
    }
}

fn flip(disk: &SimDisk, file: &Path, offset: usize) {
    let mut bytes = disk.bytes(file);
    bytes[offset] ^= 0x20;
    disk.put(file, &bytes);
}

fn salvage() -> Options {
    Options {
        salvage: true,
        ..options(9)
    }
}

/// A folder with segments 1, 15, 29, … of fourteen records each, one a batch.
fn segmented() -> SimDisk {
    let body: &[u8] = &[7; 256];
    let disk = written(&[&[body][..]; 50]);
    disk.kill();
    assert!(disk.files().contains(&file(15)) && disk.files().contains(&file(43)));
    disk
}

const FRAMED: usize = 24 + 256;

#[test]
fn a_tail_torn_at_any_byte_costs_only_the_torn_records() {
    let whole = written(&[&[ONE, TWO, THREE]]).bytes(&file(1));
    let ends = [
        end_of(&[]),
        end_of(&[ONE]),
        end_of(&[ONE, TWO]),
        end_of(&[ONE, TWO, THREE]),
    ];
    assert_eq!(whole.len(), ends[3]);
    for cut in ends[0]..=whole.len() {
        for garbage in [0, 40] {
            let disk = written(&[]);
            disk.kill();
            let mut torn = whole[..cut].to_vec();
            torn.extend(vec![0; garbage]);
            disk.put(&file(1), &torn);
            let mut opened = open(&disk, options(0)).expect("open");
            let kept = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!(bodies(&opened), [ONE, TWO, THREE][..kept], "cut at {cut}");
            assert_eq!(
                opened.recovered.torn_bytes as usize,
                torn.len() - ends[kept]
            );
            assert_eq!(disk.bytes(&file(1)).len(), ends[kept]);
            let next = opened.writer.commit([(1, &b"after"[..])]).expect("commit");
            assert_eq!(next.start, kept as u64 + 1);
            disk.restart();
            assert_eq!(
                records(&open(&disk, options(0)).expect("again")).len(),
                kept + 1
            );
        }
    }
}

#[test]
fn a_bad_byte_is_torn_in_the_last_batch_and_damage_before_it() {
    let (first, second) = (end_of(&[ONE, TWO]), end_of(&[ONE, TWO, THREE, ONE]));
    for offset in end_of(&[])..second {
        let disk = written(&[&[ONE, TWO], &[THREE, ONE]]);
        disk.kill();
        flip(&disk, &file(1), offset);
        let opened = open(&disk, options(0));
        if offset < first {
            let corrupt = corrupt(opened.expect_err("damaged"));
            let start = if offset < end_of(&[ONE]) {
                end_of(&[])
            } else {
                end_of(&[ONE])
            };
            assert_eq!(
                (corrupt.file, corrupt.offset),
                (file(1), start as u64),
                "flipped {offset}"
            );
        } else {
            let kept = if offset < end_of(&[ONE, TWO, THREE]) {
                2
            } else {
                3
            };
            assert_eq!(
                records(&opened.expect("torn")).len(),
                kept,
                "flipped {offset}"
            );
        }
    }
}

#[test]
fn a_body_that_looks_like_a_record_is_none() {
    // The body of a torn record holds a whole record of a later batch, framed as another journal would frame it.
    let mut image = Vec::new();
    let mut link = crate::record::Link {
        next: 3,
        previous: 0,
    };
    crate::record::encode(
        &mut image,
        crate::record::seed(&[0x12; 16]),
        &mut link,
        0,
        1,
        b"forged",
    );
    let disk = written(&[&[ONE], &[&image]]);
    disk.kill();
    flip(&disk, &file(1), end_of(&[ONE]) + 1);
    let opened = open(&disk, options(0)).expect("torn, not damaged");
    assert_eq!(bodies(&opened), [ONE]);
}

#[test]
fn damage_in_an_older_segment_names_file_and_offset() {
    let disk = segmented();
    flip(&disk, &file(15), 64 + 2 * FRAMED + 30);
    let corrupt = corrupt(open(&disk, options(0)).expect_err("damaged"));
    let expected = Corrupt {
        file: file(15),
        offset: 64 + 2 * FRAMED as u64,
        flaw: Flaw::Checksum,
    };
    assert_eq!(corrupt, expected);
    assert_eq!(
        corrupt.to_string(),
        "journal file /data/journal/00000000000000000015.seg is damaged at byte 624: the record's checksum is wrong"
    );
    // Without the full check the reader finds it, at the same place, after giving out what is good before it.
    let opened = open(
        &disk,
        Options {
            verify: Verify::Tail,
            ..options(0)
        },
    )
    .expect("the tail is good");
    let mut reader = Reader::new(opened.shared.clone(), Position(1));
    let mut read = Vec::new();
    let error = loop {
        match reader.next_batch(5, 1 << 20) {
            Ok(batch) => read.extend(positions(&batch)),
            Err(error) => break error,
        }
    };
    assert_eq!(read, (1..17).collect::<Vec<_>>());
    assert!(matches!(error, ReadError::Corrupt(corrupt) if corrupt == expected));
}

#[test]
fn a_salvage_keeps_everything_but_the_damaged_record() {
    for (place, offset) in [
        (0, 64),
        (5, 64 + 5 * FRAMED + 3),
        (13, 64 + 13 * FRAMED + 270),
    ] {
        let disk = segmented();
        let original = disk.bytes(&file(15));
        flip(&disk, &file(15), offset);
        let mut opened = open(&disk, salvage()).expect("salvaged");
        let lost = 15 + place;
        let kept: Vec<u64> = (1..=50).filter(|position| *position != lost).collect();
        assert_eq!(positions(&records(&opened)), kept);
        let told = &opened.recovered.lost;
        assert_eq!(
            (told.len(), told[0].from.0, told[0].to.0),
            (1, lost, lost + 1)
        );
        let aside = disk.bytes(&PathBuf::from(format!("{}.damaged", file(15).display())));
        assert_eq!(aside.len(), original.len());
        assert_eq!(opened.writer.commit([(1, ONE)]).expect("commit"), 51..52);
        disk.restart();
        let again = open(&disk, options(0)).expect("a known gap is no damage");
        assert_eq!(records(&again).len(), 50);
        disk.kill();
        assert!(
            open(&disk, salvage())
                .expect("nothing to do")
                .recovered
                .lost
                .is_empty()
        );
    }
}

#[test]
fn a_salvage_copes_with_headers_missing_files_and_whole_segments() {
    let check = |harm: fn(&SimDisk), kept: &[std::ops::RangeInclusive<u64>]| {
        let disk = segmented();
        harm(&disk);
        assert!(
            matches!(open(&disk, options(0)), Err(OpenError::Corrupt(_))),
            "{kept:?}"
        );
        let opened = open(&disk, salvage()).expect("salvaged");
        assert_eq!(
            positions(&records(&opened)),
            kept.iter().cloned().flatten().collect::<Vec<_>>()
        );
        assert_eq!(opened.recovered.durable.0, opened.shared.state().durable);
        drop(opened);
        disk.restart();
        open(&disk, options(0)).expect("good again");
    };
    check(|disk| flip(disk, &file(15), 20), &[1..=50]);
    check(|disk| flip(disk, &file(1), 33), &[1..=50]);
    check(|disk| flip(disk, &file(43), 5), &[1..=50]);
    check(|disk| disk.take(&file(15)), &[1..=14, 29..=50]);
    check(|disk| disk.put(&file(15), b""), &[1..=14, 29..=50]);
    check(|disk| disk.put(&file(15), &[0; 4000]), &[1..=14, 29..=50]);
    check(|disk| disk.put(&file(1), &[0; 4000]), &[15..=50]);
    check(
        |disk| {
            flip(disk, &file(15), 20);
            flip(disk, &file(15), 64 + 30);
            flip(disk, &file(29), 64 + 3 * FRAMED);
        },
        &[1..=14, 16..=31, 33..=50],
    );
    check(
        |disk| disk.take(&PathBuf::from("/data/journal/id")),
        &[1..=50],
    );
    check(
        |disk| disk.put(&PathBuf::from("/data/journal/id"), b"?"),
        &[1..=50],
    );
}

#[test]
fn after_a_lost_end_positions_are_never_used_again() {
    let disk = segmented();
    disk.put(&file(43), &[0xEE; 64 + 8 * FRAMED]);
    corrupt(open(&disk, options(0)).expect_err("damaged"));
    let mut opened = open(&disk, salvage()).expect("salvaged");
    assert_eq!(positions(&records(&opened)), (1..=42).collect::<Vec<_>>());
    let next = opened.writer.commit([(1, ONE)]).expect("commit").start;
    assert!(next > 50, "{next}");
    // A reader that had read them all goes on behind the gap.
    assert_eq!(opened.recovered.lost[0].from, Position(43));
    let mut reader = Reader::new(opened.shared.clone(), Position(51));
    assert_eq!(
        positions(&reader.next_batch(10, 1000).expect("read")),
        [next]
    );
    drop(opened);
    disk.restart();
    assert_eq!(records(&open(&disk, options(0)).expect("open")).len(), 43);
}

#[test]
fn an_interrupted_salvage_is_done_again() {
    for steps in 1..60 {
        let disk = segmented();
        flip(&disk, &file(15), 20);
        flip(&disk, &file(15), 64 + 2 * FRAMED + 30);
        flip(&disk, &file(29), 64 + 4 * FRAMED);
        disk.cut_power_after(steps);
        let _ = open(&disk, salvage());
        disk.restart();
        let opened = open(&disk, salvage()).expect("salvaged");
        let kept: Vec<u64> = (1..=50)
            .filter(|position| ![17, 33].contains(position))
            .collect();
        assert_eq!(positions(&records(&opened)), kept, "cut after {steps}");
    }
}

#[test]
fn a_segment_of_another_journal_is_refused_even_by_a_salvage() {
    let foreign = SimDisk::new(2);
    let other = Options {
        fresh_id: [0x22; 16],
        ..options(0)
    };
    open(&foreign, other).expect("open");
    let disk = segmented();
    disk.put(&file(51), &foreign.bytes(&file(1)));
    assert_eq!(
        corrupt(open(&disk, options(0)).expect_err("misnamed")).flaw,
        Flaw::Name
    );
    disk.take(&file(51));
    disk.put(&file(1), &foreign.bytes(&file(1)));
    for options in [options(0), salvage()] {
        assert_eq!(
            corrupt(open(&disk, options).expect_err("foreign")).flaw,
            Flaw::Foreign
        );
    }
}

#[test]
fn other_files_in_the_folder_are_left_alone_and_unfinished_ones_go() {
    let disk = written(&[&[ONE]]);
    disk.kill();
    let (note, unfinished) = (
        Path::new("/data/journal/note.txt"),
        Path::new("/data/journal/x.seg.new"),
    );
    disk.put(note, b"mine");
    disk.put(unfinished, b"half");
    assert_eq!(bodies(&open(&disk, options(0)).expect("open")), [ONE]);
    assert_eq!(disk.bytes(note), b"mine");
    assert!(!disk.files().contains(&unfinished.to_owned()));
}
