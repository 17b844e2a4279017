//! The log against the contract of a queue, and what is its own.

use std::path::Path;

use valise_host::executor::Seats;
use valise_host::keyfile::KeyFile;

use super::*;
use crate::queue::conformance::cast::stamp;
use crate::queue::conformance::{Lab, conformance};

/// Small segments, so that stories cross from one to the next.
const SHAPE: Shape = Shape { segment_bytes: SEGMENT_BYTES_MIN, spares: 0 };

struct Disk(std::path::PathBuf, Seats);

impl Disk {
    fn new(seats: Seats) -> Self {
        let unique = u64::from_le_bytes(valise_host::entropy::random());
        Self(std::env::temp_dir().join(format!("valise-log-{unique:016x}")), seats)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok(); // in vain costs a directory
    }
}

fn open(dir: &Path, key: u8, seats: Seats) -> Result<LogQueue, StoreError> {
    let key = RestKey::new(&KeyFile::from_bytes([key; 32]));
    LogQueue::open(dir, &key, stamp(), &Machine { seats, ..Machine::real() }, SHAPE)
}

impl Lab for Disk {
    type Queue = LogQueue;

    fn open(&self) -> LogQueue {
        open(&self.0, 1, self.1).unwrap()
    }

    async fn close(&self, queue: LogQueue) {
        queue.close().await;
    }
}

mod inline {
    use super::*;
    conformance!(Disk::new(Seats::Inline));
}

mod threaded {
    use super::*;
    conformance!(Disk::new(Seats::Threaded));
}

/// Where the first segment of a store lies.
fn first_segment(dir: &Path) -> std::path::PathBuf {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = names
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seg-")))
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    segments.sort();
    segments.remove(0)
}

#[tokio::test]
async fn one_flipped_bit_costs_one_message_and_is_named() {
    use crate::queue::conformance::cast::{mailbox, message, next};
    let disk = Disk::new(Seats::Inline);
    let queue = disk.open();
    for id in 1..=5 {
        message(id).place(&queue).await;
    }
    queue.close().await;
    let (key, machine) = (RestKey::new(&KeyFile::from_bytes([1; 32])), Machine::real());
    let sound = verify(&disk.0, &key, &machine).unwrap();
    assert_eq!((sound.envelopes, sound.entries, sound.sequence), (5, 5, 5));
    assert!(sound.damage.is_empty() && sound.notes.is_empty(), "{sound:?}");

    // In the middle of the third envelope: its record is one of several of nearly two kilobytes each.
    let path = first_segment(&disk.0);
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let at = 8192 + (last - 8192) / 2;
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let found = verify(&disk.0, &key, &machine).unwrap();
    assert_eq!(found.damage.len(), 2, "the record, and what was read of it: {found:?}");
    assert!(found.damage[0].contains("does not open") || found.damage[0].contains("lost"), "{found:?}");

    let queue = disk.open();
    let mut whole = 0;
    for sequence in next(&queue, "br").await {
        match queue.outgoing(sequence, mailbox("br")).await {
            Ok(outgoing) => {
                assert_eq!(outgoing.unwrap().relayed.claim().unwrap().sequence, sequence);
                whole += 1;
            }
            Err(QueueError::Damaged(what)) => assert!(what.contains("does not open"), "{what}"),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(whole, 4);
}
