//! The disk itself: what is synced stays, what is not may stay, and each fault comes when it was planned.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use valise_host::files::{Files, StoreFile, read_all_at, write_all_at};

use super::*;

fn path(name: &str) -> PathBuf {
    Path::new("/store").join(name)
}

/// A disk with an empty directory that is on it.
fn disk() -> FaultyDisk {
    let disk = FaultyDisk::new(1);
    disk.make_dir(Path::new("/store")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

/// A file of this name, on the disk, with these bytes.
fn put(disk: &FaultyDisk, name: &str, bytes: &[u8]) -> Arc<dyn StoreFile> {
    let file = disk.create(&path(name)).unwrap();
    write_all_at(&*file, bytes, 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new("/store")).unwrap();
    file
}

fn cuts() -> impl Iterator<Item = (Kept, u64)> {
    let kept = [Kept::Nothing, Kept::All, Kept::Upto, Kept::Any(50)];
    (0..400).map(move |seed| (kept[seed % 4], seed as u64))
}

#[test]
fn what_is_synced_stays_and_what_is_not_comes_by_sectors() {
    let disk = disk();
    let file = put(&disk, "a", &[1; 10_000]);
    write_all_at(&*file, &[2; 6_000], 2_000).unwrap();
    write_all_at(&*file, &[3; 3_000], 4_000).unwrap();
    let now = disk.bytes(&path("a"));
    let (mut old, mut new, mut torn) = (0, 0, 0);
    for (kept, seed) in cuts() {
        let left = disk.after_cut(kept, seed).bytes(&path("a"));
        assert_eq!(left, disk.after_cut(kept, seed).bytes(&path("a")), "a seed damages the same way again");
        assert_eq!((&left[..2_000], &left[8_000..]), (&[1; 2_000][..], &[1; 2_000][..]), "{kept:?} {seed}");
        match kept {
            Kept::Nothing => assert_eq!(left, [1; 10_000]),
            Kept::All => assert_eq!(left, now),
            Kept::Upto | Kept::Any(_) => {
                for (sector, now) in left[..8_192].chunks(512).zip(now.chunks(512)).skip(4) {
                    match sector {
                        _ if sector == now => new += 1,
                        _ if sector[1..].iter().all(|byte| *byte == sector[0]) => old += 1,
                        _ => torn += 1,
                    }
                }
            }
        }
    }
    assert!(old > 100 && new > 100 && (1..300).contains(&torn), "{old} old, {new} new, {torn} torn");
}

#[test]
fn a_name_stays_only_when_its_directory_is_synced_and_names_change_in_order() {
    let disk = disk();
    put(&disk, "a", b"old");
    let file = disk.create(&path("b")).unwrap();
    write_all_at(&*file, b"new", 0).unwrap();
    file.sync().unwrap();
    disk.rename(&path("b"), &path("a")).unwrap();
    disk.create(&path("c")).unwrap();
    disk.remove(&path("c")).unwrap();
    let mut seen = BTreeSet::new();
    for (kept, seed) in cuts() {
        let left = disk.after_cut(kept, seed);
        let mut names = left.list(Path::new("/store")).unwrap();
        names.sort_unstable();
        seen.insert((names.join(" "), left.bytes(&path("a"))));
    }
    let expected = [("a", "old"), ("a b", "old"), ("a", "new"), ("a c", "new")];
    let expected = expected.map(|(names, bytes)| (names.to_owned(), bytes.as_bytes().to_vec()));
    assert_eq!(seen, expected.into());

    disk.sync_dir(Path::new("/store")).unwrap();
    let left = disk.after_cut(Kept::Nothing, 0);
    assert_eq!((left.bytes(&path("a")), left.files().len()), (b"new".to_vec(), 1));
}

#[test]
fn a_directory_that_is_lost_takes_all_within_it() {
    let disk = FaultyDisk::new(1);
    assert_eq!(disk.create(&path("a")).err().map(|fault| fault.kind()), Some(ErrorKind::NotFound));
    disk.make_dir(Path::new("/store")).unwrap();
    disk.make_dir(Path::new("/store")).unwrap();
    put(&disk, "a", b"text");
    assert_eq!(disk.after_cut(Kept::Nothing, 0).files(), []);
    assert_eq!(disk.after_cut(Kept::All, 0).files(), [(path("a"), 4)]);
}

#[test]
fn the_machine_stops_at_the_call_it_is_told_to() {
    for call in 0..=6 {
        let disk = disk();
        let before = disk.calls();
        disk.plan(|plan| plan.stop_at = Some(before + call));
        let work = || -> std::io::Result<()> {
            let file = disk.create(&path("a"))?;
            write_all_at(&*file, b"text", 0)?;
            file.sync()?;
            disk.rename(&path("a"), &path("b"))?;
            disk.sync_dir(Path::new("/store"))?;
            file.length().map(|_| ())
        };
        assert_eq!((work().is_err(), disk.is_stopped()), (call < 6, call < 6), "{call}");
        assert!(disk.list(Path::new("/store")).is_err(), "nothing is answered any more");
        assert_eq!(disk.after_cut(Kept::Nothing, 0).files().len(), usize::from(call > 4), "{call}");
        let left = disk.after_cut(Kept::All, 0).files();
        let name = if call < 3 { "a" } else { "b" };
        assert_eq!(left, [(path(name), if call == 0 { 0 } else { 4 })], "the call itself may have been done");
    }
}

#[test]
fn a_failed_sync_lets_go_of_what_it_could_not_write() {
    let disk = disk();
    let file = put(&disk, "a", &[1; 8_192]);
    write_all_at(&*file, &[2; 8_192], 0).unwrap();
    let next = disk.calls();
    disk.plan(|plan| plan.fail_at = [next].into());
    assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(5));
    assert_eq!(disk.failed(), 1);
    file.sync().unwrap();
    assert_eq!(disk.bytes(&path("a")), [2; 8_192], "it reads as written");
    assert_eq!(disk.after_cut(Kept::Nothing, 0).bytes(&path("a")), [1; 8_192], "and is not on the disk");
    let reads: BTreeSet<_> = (0..50).map(|seed| disk.after_kill(seed).bytes(&path("a"))).collect();
    assert_eq!(reads.len(), 4, "a restart finds each page as it was written, or as it is on the disk");

    write_all_at(&*file, &[3; 1], 0).unwrap();
    file.sync().unwrap();
    let left = disk.after_cut(Kept::Nothing, 0).bytes(&path("a"));
    assert_eq!((left[0], left[1], left[4_096]), (3, 2, 1), "a page that is written again is whole again");
}

#[test]
fn a_kill_leaves_what_was_not_synced_on_its_way() {
    let disk = disk();
    let file = put(&disk, "a", b"old");
    write_all_at(&*file, b"new", 0).unwrap();
    let held = disk.lock(&path("lock")).unwrap();
    assert!(held.is_some() && disk.lock(&path("lock")).unwrap().is_none());
    let next = disk.after_kill(1);
    assert!(next.lock(&path("lock")).unwrap().is_some(), "a dead program holds nothing");
    assert_eq!(next.bytes(&path("a")), b"new");
    assert_eq!(next.after_cut(Kept::Nothing, 1).bytes(&path("a")), b"old");
    let file = next.open(&path("a")).unwrap();
    file.sync().unwrap();
    assert_eq!(next.after_cut(Kept::Nothing, 1).bytes(&path("a")), b"new");
    assert_eq!(disk.bytes(&path("a")), b"new", "the dead program's disk is another");
    drop(held);
    assert!(disk.lock(&path("lock")).unwrap().is_some());
}

#[test]
fn room_is_counted_in_pages_and_a_hole_takes_none() {
    let disk = disk();
    disk.plan(|plan| plan.capacity = Some(5 * 4_096));
    let (a, b) = (disk.create(&path("a")).unwrap(), disk.create(&path("b")).unwrap());
    a.set_length(100 * 4_096).unwrap();
    assert_eq!(disk.room(Path::new("/store")).unwrap().free, 5 * 4_096);
    assert_eq!(a.write_at(&[1; 4 * 4_096], 8_192).unwrap(), 4 * 4_096);
    assert_eq!(b.write_at(&[1; 10_000], 0).unwrap(), 4_096, "as much as there is room for");
    let full = b.write_at(&[1; 10], 4_096).unwrap_err();
    assert_eq!((full.kind(), disk.failed()), (ErrorKind::StorageFull, 1));
    assert_eq!(b.length().unwrap(), 4_096);
    assert_eq!(disk.create(&path("c")).err().map(|fault| fault.kind()), Some(ErrorKind::StorageFull));
    write_all_at(&*a, &[0; 4_096], 8_192).unwrap();
    assert_eq!(disk.room(Path::new("/store")).unwrap().free, 0, "zeros that were written take room");
    disk.remove(&path("b")).unwrap();
    assert_eq!(a.write_at(&[0; 5_000], 0).unwrap(), 4_096);
    let mut read = [9; 3];
    read_all_at(&*a, &mut read, 3 * 4_096 - 1).unwrap();
    assert_eq!(read, [0, 1, 1]);
}

#[test]
fn a_short_call_does_a_part_and_the_loops_above_do_all() {
    let disk = disk();
    disk.plan(|plan| plan.short_percent = 60);
    let file = disk.create(&path("a")).unwrap();
    let text: Vec<u8> = (0..20_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    write_all_at(&*file, &text, 3).unwrap();
    let mut read = vec![0; text.len()];
    read_all_at(&*file, &mut read, 3).unwrap();
    assert_eq!(read, text);
    let counts = disk.counts();
    assert!(counts[&Call::Write] > 2 && counts[&Call::Read] > 2, "{counts:?}");
    assert_eq!(disk.failed(), 0, "nobody calls that a fault");
}

#[test]
fn nothing_is_written_once_it_can_only_be_read() {
    let disk = disk();
    let file = put(&disk, "a", b"text");
    write_all_at(&*file, b"more", 4).unwrap();
    disk.plan(|plan| plan.read_only_from = Some(0));
    let faults = [
        file.write_at(b"x", 0).err(),
        file.set_length(9).err(),
        file.sync().err(),
        disk.create(&path("b")).err(),
        disk.open(&path("a")).err(),
        disk.rename(&path("a"), &path("b")).err(),
        disk.remove(&path("a")).err(),
        disk.lock(&path("lock")).err(),
    ];
    for fault in faults {
        assert_eq!(fault.map(|fault| fault.kind()), Some(ErrorKind::ReadOnlyFilesystem));
    }
    assert_eq!(disk.bytes(&path("a")), b"textmore");
    assert_eq!(disk.after_cut(Kept::Nothing, 0).bytes(&path("a")), b"text");
}

#[test]
fn bits_are_flipped_and_files_cut_short_where_one_says() {
    let disk = disk();
    let file = put(&disk, "a", b"text");
    file.set_length(9_000).unwrap();
    file.sync().unwrap();
    for (bit, at, byte) in [(0, 0, b't' ^ 1), (15, 1, b'e' ^ 0x80), (8_000 * 8 + 2, 8_000, 4)] {
        let copy = disk.copy();
        copy.flip(&path("a"), bit);
        for disk in [&copy, &copy.after_cut(Kept::Nothing, 0)] {
            let bytes = disk.bytes(&path("a"));
            assert_eq!((bytes[at], bytes.len()), (byte, 9_000));
        }
    }
    for bytes in [0, 1, 4, 4_096, 8_999] {
        let copy = disk.copy();
        copy.truncate(&path("a"), bytes);
        let left = copy.after_cut(Kept::Nothing, 0);
        assert_eq!(left.files(), [(path("a"), bytes)]);
        copy.open(&path("a")).unwrap().set_length(5_000).unwrap();
        assert!(copy.bytes(&path("a"))[usize::try_from(bytes).unwrap().min(4_999)..].iter().all(|b| *b == 0));
    }
    assert_eq!(disk.bytes(&path("a"))[..5], *b"text\0", "a copy is another disk");
}
