//! Stories about a store: what it keeps, whom it refuses, what it notices. Power cuts are copies of its files.

use std::sync::Arc;

use super::*;
use crate::entropy::OsEntropy;
use crate::keyfile::KeyFile;
use crate::rest::RestKey;
use crate::scratch::Scratch;

const SCHEMA: Schema = Schema {
    application_id: 0x5641_4c01,
    steps: &["CREATE TABLE mail (no INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT"],
};
const FILES: [&str; 3] = ["", "-wal", ".mark"];

fn sealer(byte: u8) -> Sealer {
    Sealer::new(&RestKey::new(&KeyFile::from_bytes([byte; 32])), Arc::new(OsEntropy))
}

fn open(path: &Path) -> Result<Ledger, StoreError> {
    Ledger::open(path, &SCHEMA, &sealer(1))
}

fn put(ledger: &mut Ledger, body: &[u8]) -> Result<Committed<i64>, StoreError> {
    ledger.commit(|tx| {
        tx.execute("INSERT INTO mail (body) VALUES (?1)", [body])?;
        Ok(tx.last_insert_rowid())
    })
}

fn count(ledger: &Ledger) -> i64 {
    ledger.read(|conn| Ok(conn.query_row("SELECT count(*) FROM mail", [], |row| row.get(0))?)).unwrap()
}

/// What the disk holds at this moment, as a power cut would leave it.
fn power_cut(store: &Path, to: &Path) {
    for suffix in FILES {
        fs::copy(beside(store, suffix), beside(to, suffix)).unwrap();
    }
}

/// Bytes of each file; an empty log is no log.
fn snapshot(store: &Path) -> Vec<Vec<u8>> {
    FILES.iter().map(|suffix| fs::read(beside(store, suffix)).unwrap_or_default()).collect()
}

/// A store with five acknowledged messages, all in its log, as a power cut leaves it.
fn five(dir: &Scratch) -> PathBuf {
    let live = dir.path().join("live");
    let mut ledger = open(&live).unwrap();
    for no in 1..=5 {
        assert_eq!(*put(&mut ledger, b"fr to br").unwrap().as_ref(), no);
    }
    let cut = dir.path().join("cut");
    power_cut(&live, &cut);
    cut
}

/// Refused as damaged, and every byte left as it was.
fn assert_damaged(path: &Path) -> String {
    let before = snapshot(path);
    let fault = open(path).unwrap_err();
    assert!(matches!(fault, StoreError::Damaged { .. }), "{fault}");
    assert!(snapshot(path) == before, "a refused store is not touched");
    fault.to_string()
}

#[test]
fn what_was_committed_is_there_after_a_close_and_after_a_power_cut() {
    let dir = Scratch::new("ledger-kept");
    let cut = five(&dir);
    let ledger = open(&cut).unwrap();
    assert_eq!((count(&ledger), ledger.commit_no()), (5, 5));
    drop(ledger);
    let mut ledger = open(&cut).unwrap();
    assert_eq!(put(&mut ledger, b"x").unwrap().map(|no| no * 2).into_inner(), 12);
    drop(ledger);
    assert_eq!(open(&cut).unwrap().commit_no(), 6);
}

#[test]
fn a_second_opener_is_told_who_holds_the_store() {
    let dir = Scratch::new("ledger-in-use");
    let path = dir.path().join("store");
    let first = open(&path).unwrap();
    let fault = open(&path).unwrap_err();
    let own = std::process::id();
    assert!(matches!(&fault, StoreError::InUse { pid: Some(pid), .. } if *pid == own), "{fault}");
    drop(first);
    open(&path).unwrap();
}

#[test]
fn a_log_that_is_lost_or_cut_is_noticed() {
    let dir = Scratch::new("ledger-log-lost");
    let cut = five(&dir);
    let log = log_of(&cut);
    let whole = fs::read(&log).unwrap();
    for len in (0..whole.len()).step_by(997) {
        fs::write(&log, &whole[..len]).unwrap();
        assert_damaged(&cut);
    }
    fs::remove_file(&log).unwrap();
    assert_damaged(&cut);
    fs::write(&log, &whole).unwrap();
    assert_eq!(count(&open(&cut).unwrap()), 5, "the evidence was kept, so the store can be mended");
}

#[test]
fn a_flipped_byte_in_the_log_never_loses_a_message_unnoticed() {
    let dir = Scratch::new("ledger-log-rot");
    let cut = five(&dir);
    let log = log_of(&cut);
    let whole = fs::read(&log).unwrap();
    let (database, mark) = (fs::read(&cut).unwrap(), fs::read(beside(&cut, ".mark")).unwrap());
    let mut noticed = 0;
    for at in (0..whole.len()).step_by(509) {
        let mut rotten = whole.clone();
        rotten[at] ^= 0x10;
        fs::write(&log, &rotten).unwrap();
        fs::write(&cut, &database).unwrap();
        fs::write(beside(&cut, ".mark"), &mark).unwrap();
        match open(&cut) {
            Ok(ledger) => assert_eq!(count(&ledger), 5, "flip at {at}"),
            Err(StoreError::Damaged { .. }) => noticed += 1,
            Err(other) => panic!("flip at {at}: {other}"),
        }
    }
    assert!(noticed > 10, "{noticed}");
}

#[test]
fn another_key_is_told_from_damage_and_touches_nothing() {
    let dir = Scratch::new("ledger-wrong-key");
    let cut = five(&dir);
    let before = snapshot(&cut);
    let fault = Ledger::open(&cut, &SCHEMA, &sealer(2)).unwrap_err();
    assert!(matches!(fault, StoreError::WrongKey { .. }), "{fault}");
    assert!(snapshot(&cut) == before);
    assert_eq!(count(&open(&cut).unwrap()), 5);
}

#[test]
fn a_lost_mark_is_accepted_only_before_the_first_commit() {
    let dir = Scratch::new("ledger-mark-lost");
    let fresh = dir.path().join("fresh");
    drop(open(&fresh).unwrap());
    fs::remove_file(beside(&fresh, ".mark")).unwrap();
    let other = Ledger::open(&fresh, &SCHEMA, &sealer(2)).unwrap_err();
    assert!(matches!(other, StoreError::WrongKey { .. }), "{other}");
    put(&mut open(&fresh).unwrap(), b"x").unwrap();
    fs::remove_file(beside(&fresh, ".mark")).unwrap();
    let text = assert_damaged(&fresh);
    assert!(text.contains("mark is gone") && text.contains("backup"), "{text}");
}

#[test]
fn one_rotten_byte_in_the_mark_is_survived_and_two_rotten_slots_are_noticed() {
    let dir = Scratch::new("ledger-mark-rot");
    let cut = five(&dir);
    let place = beside(&cut, ".mark");
    let whole = fs::read(&place).unwrap();
    for at in (0..whole.len()).step_by(3) {
        let mut rotten = whole.clone();
        rotten[at] ^= 1;
        fs::write(&place, &rotten).unwrap();
        assert_eq!(count(&open(&cut).unwrap()), 5, "flip at {at}");
    }
    let mut rotten = whole.clone();
    rotten[520] ^= 1;
    rotten[1030] ^= 1;
    fs::write(&place, &rotten).unwrap();
    assert_damaged(&cut);
    for len in [0, 8, 24, 512, 530] {
        fs::write(&place, &whole[..len]).unwrap();
        assert_damaged(&cut);
    }
}

#[test]
fn a_store_never_starts_empty_over_a_lost_or_foreign_database() {
    let dir = Scratch::new("ledger-db-lost");
    let cut = five(&dir);
    drop(open(&cut).unwrap());
    let database = fs::read(&cut).unwrap();
    fs::write(&cut, b"").unwrap();
    assert_damaged(&cut);
    fs::write(&cut, vec![0x5a; 8192]).unwrap();
    assert_damaged(&cut);
    fs::write(&cut, &database).unwrap();

    let orphan = dir.path().join("orphan");
    fs::write(log_of(&orphan), b"a log without its database").unwrap();
    assert_damaged(&orphan);

    let theirs = Schema { application_id: 7, ..SCHEMA };
    let fault = Ledger::open(&cut, &theirs, &sealer(1)).unwrap_err();
    assert!(matches!(fault, StoreError::Foreign { .. }), "{fault}");
    assert_eq!(count(&open(&cut).unwrap()), 5);
}

#[test]
fn the_mark_of_another_store_is_not_taken() {
    let dir = Scratch::new("ledger-mark-swap");
    let cut = five(&dir);
    let other = dir.path().join("other");
    put(&mut open(&other).unwrap(), b"x").unwrap();
    fs::copy(beside(&other, ".mark"), beside(&cut, ".mark")).unwrap();
    let text = assert_damaged(&cut);
    assert!(text.contains("another store"), "{text}");
}

#[test]
fn a_crash_while_the_store_is_made_leaves_one_that_can_be_made() {
    let dir = Scratch::new("ledger-half-made");
    let path = dir.path().join("store");
    fs::write(&path, b"").unwrap();
    drop(open(&path).unwrap());
    let half = dir.path().join("half");
    let conn = Connection::open(&half).unwrap();
    conn.pragma_update(None, "journal_mode", "WAL").unwrap();
    drop(conn);
    assert!(!is_empty(&half).unwrap());
    put(&mut open(&half).unwrap(), b"x").unwrap();
    assert!(!beside(&half, "-journal").exists());
}

#[test]
fn a_mark_one_commit_behind_is_a_crash_between_the_two_and_is_caught_up() {
    let dir = Scratch::new("ledger-mark-behind");
    let live = dir.path().join("live");
    let mut ledger = open(&live).unwrap();
    put(&mut ledger, b"one").unwrap();
    let old_mark = fs::read(beside(&live, ".mark")).unwrap();
    put(&mut ledger, b"two").unwrap();
    drop(ledger);
    fs::write(beside(&live, ".mark"), old_mark).unwrap();
    assert_eq!(count(&open(&live).unwrap()), 2);
    assert_eq!(Mark::find(&live, &sealer(1)).unwrap().unwrap().commit_no, 2);
}

#[test]
fn an_older_format_is_brought_up_and_a_newer_one_refused() {
    let dir = Scratch::new("ledger-format");
    let path = dir.path().join("store");
    put(&mut open(&path).unwrap(), b"x").unwrap();
    const STEPS: [&str; 2] = [SCHEMA.steps[0], "ALTER TABLE mail ADD COLUMN seen INTEGER NOT NULL DEFAULT 0"];
    let later = Schema { steps: &STEPS, ..SCHEMA };
    for _ in 0..2 {
        let ledger = Ledger::open(&path, &later, &sealer(1)).unwrap();
        let seen: i64 = ledger.read(|c| Ok(c.query_row("SELECT seen FROM mail", [], |r| r.get(0))?)).unwrap();
        assert_eq!(seen, 0);
    }
    let fault = open(&path).unwrap_err();
    assert!(matches!(fault, StoreError::StoreNewer { found: 2, known: 1, .. }), "{fault}");
}

#[test]
fn work_that_fails_leaves_nothing_and_the_store_goes_on() {
    let dir = Scratch::new("ledger-rollback");
    let mut ledger = open(&dir.path().join("store")).unwrap();
    let fault = ledger
        .commit(|tx| {
            tx.execute("INSERT INTO mail (body) VALUES (x'00')", [])?;
            tx.execute("INSERT INTO mail (body) VALUES (NULL)", [])?;
            Ok(())
        })
        .unwrap_err();
    assert!(matches!(fault, StoreError::Statement(_)) && !fault.is_final(), "{fault}");
    assert_eq!((count(&ledger), ledger.commit_no()), (0, 0));
    put(&mut ledger, b"x").unwrap();
    let ended = ledger.commit(|tx| Ok(tx.execute_batch("COMMIT")?)).unwrap_err();
    assert!(ended.is_final(), "{ended}");
}

#[test]
fn a_full_disk_refuses_and_later_accepts() {
    let dir = Scratch::new("ledger-full");
    let path = dir.path().join("store");
    let mut ledger = open(&path).unwrap();
    put(&mut ledger, b"x").unwrap();
    ledger.conn.pragma_update(None, "max_page_count", 5).unwrap();
    let fault = put(&mut ledger, &[7; 100_000]).unwrap_err();
    assert!(fault.is_retryable() && !fault.is_final(), "{fault}");
    assert_eq!(ledger.commit_no(), 1);
    ledger.conn.pragma_update(None, "max_page_count", 1_000_000).unwrap();
    put(&mut ledger, &[7; 100_000]).unwrap();
    drop(ledger);
    assert_eq!(count(&open(&path).unwrap()), 2);
}

#[test]
fn after_the_first_failed_write_nothing_is_acknowledged_any_more() {
    let dir = Scratch::new("ledger-failed");
    let path = dir.path().join("store");
    let mut ledger = open(&path).unwrap();
    put(&mut ledger, b"x").unwrap();
    ledger.mark.break_disk(&path);
    let first = put(&mut ledger, b"y").unwrap_err();
    assert!(first.is_final(), "{first}");
    let second = put(&mut ledger, b"z").unwrap_err();
    assert_eq!(first.to_string(), second.to_string());
    assert!(ledger.read(|_| Ok(())).unwrap_err().is_final());
    drop(ledger);
    assert!(!is_empty(&log_of(&path)).unwrap(), "the log is kept as evidence");
    assert_eq!(
        count(&open(&path).unwrap()),
        2,
        "what was never acknowledged may be there, never the reverse"
    );
}

#[test]
fn a_log_removed_under_a_running_store_stops_it() {
    let dir = Scratch::new("ledger-log-removed");
    let path = dir.path().join("store");
    let mut ledger = open(&path).unwrap();
    put(&mut ledger, b"x").unwrap();
    fs::remove_file(log_of(&path)).unwrap();
    assert!(put(&mut ledger, b"y").unwrap_err().is_final());
    drop(ledger);
    assert_damaged(&path);
}

#[test]
fn a_long_log_is_folded_into_the_database() {
    let dir = Scratch::new("ledger-fold");
    let path = dir.path().join("store");
    let mut ledger = open(&path).unwrap();
    for _ in 0..80 {
        put(&mut ledger, &[7; 1024 * 1024]).unwrap();
        assert!(fs::metadata(log_of(&path)).unwrap().len() <= LOG_FOLD_BYTES + 2 * 1024 * 1024);
    }
    assert!(fs::metadata(&path).unwrap().len() > LOG_FOLD_BYTES, "what was folded is in the database");
    let cut = dir.path().join("cut");
    power_cut(&path, &cut);
    assert_eq!(count(&open(&cut).unwrap()), 80);
}

#[test]
fn a_store_may_move_to_its_own_thread() {
    fn is_send<T: Send>() {}
    is_send::<Ledger>();
    is_send::<Committed<u64>>();
}
