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
