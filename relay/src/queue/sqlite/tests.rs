//! The SQLite backend: the whole contract in both modes, and what lies on its disk.

use std::fs;
use std::path::{Path, PathBuf};

use valise_host::entropy::random;
use valise_host::executor::Seats;
use valise_host::keyfile::KeyFile;
use valise_proto::kinds::{Precedence, ReceiptKind};

use super::*;
use crate::queue::conformance::cast::{bundle, device, mailbox, message, next, stamp};
use crate::queue::conformance::{Lab, conformance};
use crate::queue::{Held, Over, Quota, Quotas};

/// A directory for one test, gone when the test ends.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("valise-queue-{:016x}", u64::from_le_bytes(random())));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn store(&self) -> PathBuf {
        self.0.join("queue.db")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

pub(super) fn rest_key(byte: u8) -> RestKey {
    RestKey::new(&KeyFile::from_bytes([byte; 32]))
}

struct Disk(Scratch, Seats);

impl Lab for Disk {
    type Queue = SqliteQueue;

    fn open(&self) -> SqliteQueue {
        open(&self.0.store(), self.1).unwrap()
    }

    async fn close(&self, queue: SqliteQueue) {
        queue.close().await;
    }
}

fn open(path: &Path, seats: Seats) -> Result<SqliteQueue, StoreError> {
    SqliteQueue::open(path, &rest_key(1), stamp(), &Machine { seats, ..Machine::real() })
}

mod inline {
    use super::*;
    conformance!(Disk(Scratch::new(), Seats::Inline));
}

mod threaded {
    use super::*;
    conformance!(Disk(Scratch::new(), Seats::Threaded));
}

/// The bytes of each file that the store keeps, lock aside.
fn files(store: &Path) -> Vec<Vec<u8>> {
    let name = store.file_name().unwrap().to_str().unwrap();
    let beside = |suffix| store.with_file_name(format!("{name}{suffix}"));
    ["", "-wal", ".mark"].map(|suffix| fs::read(beside(suffix)).unwrap_or_default()).into()
}

/// What the disk holds at this moment, as a power cut would leave it.
fn power_cut(dir: &Scratch) -> PathBuf {
    let cut = dir.0.join("cut.db");
    for (suffix, bytes) in ["", "-wal", ".mark"].iter().zip(files(&dir.store())) {
        fs::write(dir.0.join(format!("cut.db{suffix}")), bytes).unwrap();
    }
    cut
}

#[tokio::test]
async fn nothing_on_the_disk_can_be_read() {
    let dir = Scratch::new();
    let queue = open(&dir.store(), Seats::Inline).unwrap();
    let mut secret = message(0xa7);
    secret.from = device("fr", "canary-gw");
    secret.to = vec![("canary-east/fugitives", true), ("canary-west", false)];
    let number = secret.place(&queue).await;
    let statement = secret.stated(number, "canary-east/fugitives", ReceiptKind::Delivered);
    queue.note(number, mailbox("canary-east/fugitives"), statement.clone()).await.unwrap();
    queue.keep_bundle(mailbox("canary-west"), 1, bundle("canary-west", 1)).await.unwrap();

    let (submission, id) = (secret.submission(), secret.message_id());
    let canaries: [&[u8]; 10] = [
        b"canary",
        b"fugitives",
        id.as_bytes(),
        &submission.header.bytes()[2..40],
        &submission.header.signature()[..16],
        &submission.header.hash().0,
        &submission.parts[0][0][..32],
        &statement.id(),
        &submission.facts.sender_key_id.0,
        b"ca of fr",
    ];
    let mut searched = 0;
    let mut search = |files: Vec<Vec<u8>>| {
        for file in files {
            for canary in canaries {
                assert!(
                    !file.windows(canary.len()).any(|window| window == canary),
                    "{canary:x?} is readable"
                );
            }
            searched += file.len();
        }
    };
    search(files(&dir.store()));
    queue.close().await;
    search(files(&dir.store()));
    assert!(searched > 50_000, "{searched} bytes were searched");
}

#[tokio::test]
async fn a_wrong_key_opens_nothing_and_touches_nothing() {
    let dir = Scratch::new();
    let queue = open(&dir.store(), Seats::Inline).unwrap();
    message(1).place(&queue).await;
    queue.close().await;
    let before = files(&dir.store());
    let refused = SqliteQueue::open(&dir.store(), &rest_key(2), stamp(), &Machine::real());
    assert!(matches!(refused, Err(StoreError::WrongKey { .. })), "{refused:?}");
    assert!(files(&dir.store()) == before);
    assert_eq!(next(&open(&dir.store(), Seats::Inline).unwrap(), "br").await, [1]);
}

/// What came after the first format, taken away again.
const FIRST_FORMAT: &str = "
    DROP TABLE held; DROP TABLE senders; DROP INDEX oldest; ALTER TABLE tally DROP COLUMN counted;
    PRAGMA user_version = 1;";

#[tokio::test]
async fn a_store_of_the_first_format_counts_what_it_holds() {
    let dir = Scratch::new();
    let queue = open(&dir.store(), Seats::Inline).unwrap();
    let mut circular = message(1);
    circular.to = vec![("br", true), ("minustah", false)];
    circular.place(&queue).await;
    message(2).place(&queue).await;
    message(3).place(&queue).await;
    queue.note(3, mailbox("br"), message(3).stated(3, "br", ReceiptKind::Delivered)).await.unwrap();
    queue.close().await;
    let raw = Connection::open(dir.store()).unwrap();
    raw.execute_batch(FIRST_FORMAT).unwrap();
    drop(raw);

    let queue = open(&dir.store(), Seats::Inline).unwrap();
    let trial = async |id, to, mailbox: Held, sender: Held| {
        let quota = |held: Held| Quota { entries: held.entries, bytes: held.bytes };
        let mut message = message(id);
        message.precedence = Precedence::Flash; // the whole of the quota
        message.to = vec![(to, true)];
        message.quotas = Quotas { mailbox: quota(mailbox), sender: quota(sender) };
        match queue.enqueue(message.submission()).await.unwrap() {
            Placed::Over(over) => Some(over),
            _ => None,
        }
    };
    let (much, more) = (Held { entries: 99, bytes: 99_999 }, |entries, bytes| Held { entries, bytes });
    for (to, waits) in [("br", 2), ("minustah", 1)] {
        let bytes = (waits + 1) * 272;
        for short in [more(waits, bytes), more(waits + 1, bytes - 1)] {
            assert_eq!(trial(4, to, short, much).await, Some(Over::Mailboxes), "{to}");
        }
    }
    for short in [more(3, 3 * 272), more(4, 3 * 272 - 1)] {
        assert_eq!(trial(4, "br", much, short).await, Some(Over::Sender), "three entries of two envelopes");
    }
    assert_eq!(trial(4, "br", more(3, 3 * 272), more(4, 3 * 272)).await, None);

    // All of it ends without a count going below nothing.
    queue.expire(u64::MAX, 100).await.unwrap();
    assert_eq!(queue.depth().await.unwrap().entries, 0);
    assert_eq!(trial(5, "br", more(1, 272), more(1, 272)).await, None, "and all of the room is there again");
}

#[tokio::test]
async fn a_second_relay_is_kept_out_until_the_first_has_closed() {
    let dir = Scratch::new();
    let queue = open(&dir.store(), Seats::Threaded).unwrap();
    let refused = open(&dir.store(), Seats::Threaded);
    assert!(matches!(refused, Err(StoreError::InUse { .. })), "{refused:?}");
    queue.close().await;
    open(&dir.store(), Seats::Threaded).unwrap().close().await;
}

#[tokio::test]
async fn a_damaged_log_is_refused_and_a_whole_one_loses_nothing() {
    let dir = Scratch::new();
    let queue = open(&dir.store(), Seats::Inline).unwrap();
    for id in 1..=3 {
        message(id).place(&queue).await;
    }
    let cut = power_cut(&dir);
    let log = dir.0.join("cut.db-wal");
    let whole = fs::read(&log).unwrap();
    for len in [0, whole.len() / 2, whole.len() - 1] {
        fs::write(&log, &whole[..len]).unwrap();
        let refused = open(&cut, Seats::Inline);
        assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{len}: {refused:?}");
    }
    fs::write(&log, &whole).unwrap();
    assert_eq!(next(&open(&cut, Seats::Inline).unwrap(), "br").await, [1, 2, 3]);
}
