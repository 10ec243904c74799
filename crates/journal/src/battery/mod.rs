//! The whole journal against the simulated disk, and against the real one.

mod advance;
mod crashes;
mod damage;
mod flow;
mod real;
mod room;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, atomic::AtomicU64, atomic::Ordering};

use crate::recovery::{self, Opened};
use crate::sim::SimDisk;
use crate::{Hooks, Journal, OpenError, Options, Position, Reader, Record, Step, Verify, segment};

const DATA: &str = "/data";
const FOLDER: &str = "/data/journal";

/// Small segments, so that there are many; `now` is what the clock says.
fn options(now: u64) -> Options {
    let clock = Arc::new(AtomicU64::new(now));
    Options {
        segment_bytes: 4096,
        segment_seconds: 1_000_000,
        max_bytes: 1 << 20,
        verify: Verify::All,
        ..Options::new([0x11; 16], Arc::new(move || clock.load(Ordering::Relaxed)))
    }
}

/// Opens without the thread, so that every step is the test's own.
fn open(disk: &SimDisk, options: Options) -> Result<Opened, OpenError> {
    recovery::open(Arc::new(disk.clone()), Path::new(DATA), options)
}

fn read_all(mut reader: Reader) -> Vec<Record> {
    let mut records = Vec::new();
    loop {
        let batch = reader.next_batch(7, 1000).expect("readable");
        if batch.is_empty() {
            return records;
        }
        records.extend(batch);
    }
}

fn records(opened: &Opened) -> Vec<Record> {
    read_all(Reader::new(opened.shared.clone(), opened.recovered.oldest))
}

fn positions(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.position.0).collect()
}

/// A journal's folder with these batches of bodies in it, closed.
fn written(batches: &[&[&[u8]]]) -> SimDisk {
    let disk = SimDisk::new(1);
    let mut opened = open(&disk, options(0)).expect("open");
    for batch in batches {
        opened
            .writer
            .commit(batch.iter().map(|body| (1, *body)))
            .expect("commit");
    }
    disk
}

fn file(first: u64) -> PathBuf {
    segment::path(Path::new(FOLDER), first)
}

/// What the hooks reported.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Committed(Vec<(Position, u32)>),
    Failed(Vec<u32>, Step),
}

fn hooks() -> (Hooks<u32>, Receiver<Heard>) {
    let (sender, heard) = channel();
    let failures = sender.clone();
    let hooks = Hooks {
        committed: Box::new(move |done| {
            let _ = sender.send(Heard::Committed(std::mem::take(done)));
        }),
        failed: Box::new(move |undone, error| {
            let _ = failures.send(Heard::Failed(std::mem::take(undone), error.step));
        }),
    };
    (hooks, heard)
}

fn start(disk: &SimDisk, options: Options) -> (Journal<u32>, Receiver<Heard>) {
    let (hooks, heard) = hooks();
    let (journal, _) =
        Journal::open(Arc::new(disk.clone()), Path::new(DATA), options, hooks).expect("open");
    (journal, heard)
}

/// Appends one record and waits for what becomes of it.
fn say(journal: &Journal<u32>, heard: &Receiver<Heard>, token: u32) -> Heard {
    journal
        .append(1, token.to_le_bytes().to_vec(), token)
        .expect("taken");
    heard.recv().expect("heard")
}
