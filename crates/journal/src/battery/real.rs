//! The same on the file system of this machine.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use super::*;
use crate::{Disk, RealDisk, node_id};

fn start_real(
    folder: &Path,
    hooks: Hooks<u32>,
) -> Result<(Journal<u32>, crate::Recovered), OpenError> {
    Journal::open(Arc::new(RealDisk), folder, options(0), hooks)
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged() {
    let folder = tempfile::tempdir().expect("folder");
    let data = folder.path().join("deep/data");
    let mut durable = 0;
    for life in 0..5u32 {
        let (hooks, heard) = hooks();
        let (journal, recovered) = start_real(&data, hooks).expect("open");
        assert_eq!(recovered.fresh, life == 0);
        assert!(recovered.durable.0 >= durable, "life {life}");
        assert_eq!(recovered.torn_bytes, if life == 0 { 0 } else { 9 });
        assert_eq!(
            positions(&read_all(journal.reader(Position(1)))),
            (1..=recovered.durable.0).collect::<Vec<_>>()
        );
        for token in 0..200 {
            journal
                .append(1, vec![life as u8; 150], token)
                .expect("taken");
        }
        assert!(matches!(heard.recv(), Ok(Heard::Committed(_))));
        journal.abandon();
        for heard in heard {
            let Heard::Committed(done) = heard else {
                panic!("{heard:?}")
            };
            durable = done.last().expect("never empty").0.0;
        }
        // The process died in the middle of a write.
        let mut names = RealDisk.list(&data.join("journal")).expect("list");
        names.retain(|name| segment::first_of(name).is_some());
        let last = names.iter().max().expect("a segment");
        let mut file = RealDisk
            .open_append(&data.join("journal").join(last))
            .expect("open");
        file.append(b"half a re").expect("append");
    }
    let id = node_id(&RealDisk, &data, || [9; 16]).expect("made");
    assert_eq!(node_id(&RealDisk, &data, || [8; 16]).expect("read"), id);
}

#[test]
fn many_appends_share_few_syncs() {
    const APPENDS: u32 = 4000;
    let folder = tempfile::tempdir().expect("folder");
    // The first batch is held in its hook until all the others are queued.
    let (all_queued, wait) = channel::<()>();
    let (sender, done) = channel();
    let mut first = true;
    let sender = Mutex::new(sender);
    let hooks = Hooks {
        committed: Box::new(move |batch: &mut Vec<(Position, u32)>| {
            if std::mem::take(&mut first) {
                let _ = wait.recv();
            }
            let _ = sender.lock().map(|sender| sender.send(batch.len()));
        }),
        failed: Box::new(|_, error| panic!("{error}")),
    };
    let options = Options {
        segment_bytes: 64 << 20,
        max_bytes: 1 << 30,
        ..options(0)
    };
    let (journal, _) =
        Journal::open(Arc::new(RealDisk), folder.path(), options, hooks).expect("open");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let journal = &journal;
            scope.spawn(move || {
                for token in 0..APPENDS / 4 {
                    journal
                        .append(1, vec![1; 200], thread * APPENDS + token)
                        .expect("taken");
                }
            });
        }
    });
    all_queued.send(()).expect("the writer waits");
    journal.close();
    let batches: Vec<usize> = done.try_iter().collect();
    assert_eq!(batches.iter().sum::<usize>(), APPENDS as usize);
    let stats = journal.stats();
    // One for the segment, one for what came first, one or two for all the rest.
    assert!(stats.syncs <= 4, "{stats:?}");
    assert_eq!(
        read_all(journal.reader(Position(1))).len(),
        APPENDS as usize
    );
}

#[test]
fn a_second_opening_of_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let (journal, _) = start_real(folder.path(), hooks().0).expect("open");
    let second = start_real(folder.path(), hooks().0)
        .map(drop)
        .expect_err("locked");
    assert!(matches!(second, OpenError::Locked(_)), "{second}");
    drop(journal);
    start_real(folder.path(), hooks().0).expect("free again");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("file");
    std::fs::write(&file, b"in the way").expect("write");
    let error = start_real(&file, hooks().0)
        .map(drop)
        .expect_err("no folder");
    assert!(error.to_string().contains("file/journal"), "{error}");
}
