//! Random appends, faults, power cuts, kills and reopenings. What was acknowledged, or once read, must stay.

use std::collections::{BTreeMap, HashSet};

use super::*;
use crate::sim::{Chance, Op};
use crate::{ReadError, retention};

const SEEDS: u64 = 200;
const LIVES: usize = 10;

/// What must be true, whatever happened.
#[derive(Default)]
struct Model {
    submitted: HashSet<Vec<u8>>,
    acknowledged: BTreeMap<u64, Vec<u8>>,
    /// All that anybody has read, or could have.
    seen: BTreeMap<u64, Vec<u8>>,
    released: u64,
    reopened_with_records: u32,
}

impl Model {
    /// Reads all there is and compares; `false` if the disk would not let it.
    fn compare(&mut self, opened: &Opened, context: &str) -> bool {
        let mut oldest = opened.shared.state().oldest();
        assert!(
            oldest <= self.released + 1,
            "{context}: unreleased records are gone"
        );
        let mut reader = Reader::new(opened.shared.clone(), Position(oldest));
        let mut expected = oldest;
        loop {
            let batch = match reader.next_batch(50, 10_000) {
                Ok(batch) if batch.is_empty() => break,
                Ok(batch) => batch,
                Err(ReadError::Io { .. }) => return false,
                // A removal was reported as failed and had been done.
                Err(ReadError::Gone {
                    oldest: Position(next),
                }) if expected == oldest && next <= self.released + 1 => {
                    oldest = next;
                    expected = next;
                    reader = Reader::new(opened.shared.clone(), Position(next));
                    continue;
                }
                Err(error) => panic!("{context}: {error}"),
            };
            for record in batch {
                assert_eq!(record.position.0, expected, "{context}");
                expected += 1;
                assert!(
                    self.submitted.contains(&record.bytes),
                    "{context}: invented"
                );
                assert_eq!(
                    usize::from(record.kind),
                    record.bytes.len() % 251,
                    "{context}"
                );
                let before = self.seen.insert(record.position.0, record.bytes.clone());
                assert!(
                    before.is_none_or(|before| before == record.bytes),
                    "{context}: {} changed",
                    record.position
                );
            }
        }
        assert_eq!(expected, opened.shared.state().durable + 1, "{context}");
        for (position, bytes) in self.acknowledged.range(oldest..) {
            assert_eq!(
                self.seen.get(position),
                Some(bytes),
                "{context}: acknowledged {position} is lost"
            );
            assert!(
                *position < expected,
                "{context}: acknowledged {position} is lost"
            );
        }
        let newest_seen = self.seen.keys().next_back().copied().unwrap_or(0);
        assert!(
            newest_seen < expected,
            "{context}: {newest_seen} was read and is gone"
        );
        true
    }

    fn append(&mut self, opened: &mut Opened, chance: &mut Chance) {
        let bodies: Vec<Vec<u8>> = (0..1 + chance.below(12))
            .map(|_| {
                let mut body = (self.submitted.len() as u64).to_le_bytes().to_vec();
                body.resize(8 + chance.below(400), chance.draw() as u8);
                self.submitted.insert(body.clone());
                body
            })
            .collect();
        let committed = opened.writer.commit(
            bodies
                .iter()
                .map(|body| ((body.len() % 251) as u8, &body[..])),
        );
        if let Ok(positions) = committed {
            assert_eq!(positions.end - positions.start, bodies.len() as u64);
            self.acknowledged.extend(positions.zip(bodies));
        }
    }
}

fn survive(seed: u64) -> Model {
    let disk = SimDisk::new(seed);
    let mut chance = Chance::new(!seed);
    let mut model = Model::default();
    for life in 0..LIVES {
        let context = format!("seed {seed}, life {life}");
        disk.fail_per_mille([0, 0, 30, 200][chance.below(4)]);
        disk.set_capacity((chance.below(4) == 0).then(|| chance.below(60_000)));
        if chance.below(3) > 0 {
            disk.cut_power_after(chance.draw() % 80);
        }
        match open(
            &disk,
            Options {
                keep_seconds: 10,
                ..options(life as u64)
            },
        ) {
            Ok(mut opened) => {
                model.reopened_with_records += u32::from(opened.recovered.durable.0 > 0);
                let mut readable = model.compare(&opened, &context);
                for _ in 0..chance.below(25) {
                    match chance.below(10) {
                        0 => readable &= model.compare(&opened, &context),
                        1 => {
                            let durable = opened.shared.state().durable as usize;
                            model.released = model.released.max(chance.below(durable + 1) as u64);
                            opened
                                .shared
                                .change(|state| state.released = model.released);
                            let _ = retention::sweep(&opened.shared, Some(life as u64 * 5));
                        }
                        2 if chance.below(4) == 0 => disk.fail_next(Op::Truncate, 1),
                        _ => model.append(&mut opened, &mut chance),
                    }
                }
                let _ = readable && model.compare(&opened, &context);
            }
            Err(OpenError::Io { .. }) => {}
            Err(error) => panic!("{context}: {error}"),
        }
        match chance.below(3) {
            0 => disk.kill(),
            _ => disk.restart(),
        }
    }
    disk.fail_per_mille(0);
    disk.set_capacity(None);
    for op in [Op::Truncate, Op::Sync] {
        disk.fail_next(op, 0);
    }
    disk.restart();
    let opened = open(&disk, options(LIVES as u64)).expect("a healthy disk");
    assert!(model.compare(&opened, &format!("seed {seed}, end")));
    model
}

#[test]
fn what_was_acknowledged_or_read_survives_everything() {
    let (mut acknowledged, mut unacknowledged, mut released, mut reopened) = (0, 0, 0, 0);
    for seed in 0..SEEDS {
        let model = survive(seed);
        acknowledged += model.acknowledged.len();
        unacknowledged += model.submitted.len() - model.acknowledged.len();
        released += model.released;
        reopened += model.reopened_with_records;
    }
    // The test must have met what it is about.
    assert!(
        acknowledged > 10_000 && unacknowledged > 1_000,
        "{acknowledged} {unacknowledged}"
    );
    assert!(released > 1_000 && reopened > 500, "{released} {reopened}");
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..10 {
        let (one, two) = (survive(seed), survive(seed));
        assert_eq!(one.acknowledged, two.acknowledged);
        assert_eq!(one.seen, two.seen);
    }
}

#[test]
fn with_its_thread_too_what_was_acknowledged_survives_a_power_cut() {
    for seed in 0..60 {
        let disk = SimDisk::new(seed);
        let mut chance = Chance::new(seed);
        let mut acknowledged = BTreeMap::new();
        for life in 0..4u32 {
            let (journal, heard) = start(&disk, options(0));
            let mut reader = journal.reader(Position(1));
            let mut expected = BTreeMap::new();
            while let Ok(batch) = reader.next_batch(1000, 1 << 20)
                && !batch.is_empty()
            {
                expected.extend(
                    batch
                        .into_iter()
                        .map(|record| (record.position, record.bytes)),
                );
            }
            for (position, bytes) in &acknowledged {
                assert_eq!(
                    expected.get(position),
                    Some(bytes),
                    "seed {seed}, life {life}"
                );
            }
            disk.cut_power_after(chance.draw() % 40);
            let mut taken = 0;
            for token in 0..chance.below(300) as u32 {
                let body = (life * 1000 + token).to_le_bytes().to_vec();
                taken += u32::from(journal.append(1, body, life * 1000 + token).is_ok());
            }
            drop(journal);
            for heard in heard {
                match heard {
                    Heard::Committed(done) => {
                        taken -= done.len() as u32;
                        let done = done.into_iter();
                        acknowledged.extend(
                            done.map(|(position, token)| (position, token.to_le_bytes().to_vec())),
                        );
                    }
                    Heard::Failed(undone, _) => taken -= undone.len() as u32,
                }
            }
            assert_eq!(taken, 0, "every token comes back once");
            disk.restart();
        }
    }
}
