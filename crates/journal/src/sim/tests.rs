//! The simulation is as cruel as it says.

use super::*;

fn synced(disk: &SimDisk, file: &Path, bytes: &[u8]) -> Box<dyn DiskFile> {
    let mut handle = disk.create(file).expect("create");
    handle.append(bytes).expect("append");
    handle.sync_data().expect("sync");
    disk.sync_folder(Path::new("/d")).expect("sync folder");
    handle
}

#[test]
fn what_is_synced_survives_and_what_is_not_is_sometimes_torn() {
    let file = Path::new("/d/file");
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let mut handle = synced(&disk, file, b"kept");
        handle.append(&[7; 1000]).expect("append");
        disk.restart();
        let left = disk.bytes(file);
        assert!(left.starts_with(b"kept"), "seed {seed}");
        lengths.insert(left.len());
        assert!(handle.append(b"x").is_err(), "handles die with the power");
    }
    assert!(lengths.contains(&4) && lengths.contains(&1004) && lengths.len() > 10);
}

#[test]
fn a_failed_sync_is_not_made_good_by_the_next_one() {
    let file = Path::new("/d/file");
    let mut lost = 0;
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let mut handle = synced(&disk, file, b"kept");
        handle.append(&[7; 1000]).expect("append");
        disk.fail_next(Op::Sync, 1);
        handle.sync_data().expect_err("fails");
        assert_eq!(disk.bytes(file).len(), 1004, "the cache still shows it");
        handle.sync_data().expect("says nothing is left to do");
        disk.restart();
        let left = disk.bytes(file);
        lost += u32::from(left.len() < 1004 || left[4..].iter().any(|byte| *byte != 7));
    }
    assert!(lost > 20, "{lost}");
}

#[test]
fn names_need_the_folder_sync() {
    let present = (0..100).filter(|seed| {
        let disk = SimDisk::new(*seed);
        let mut handle = disk.create(Path::new("/d/file")).expect("create");
        handle.sync_data().expect("sync");
        disk.restart();
        !disk.files().is_empty()
    });
    let present = present.count();
    assert!(present > 10 && present < 90, "{present}");
}
