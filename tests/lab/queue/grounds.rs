//! The backends there are, each over a disk: the log over a faulty one, SQLite over a directory of the machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use valise_host::files::SystemFiles;
use valise_host::ledger::StoreError;
use valise_relay::queue::log::{LogQueue, SEGMENT_BYTES_MIN, Shape};
use valise_relay::queue::sqlite::SqliteQueue;

use super::cast::{machine, rest_key, stamp};
use super::{Ground, at_once};
use crate::disk::FaultyDisk;

/// Where the log lies on its disk.
pub const LOG_DIR: &str = "/queue";

/// The log, in small segments over a faulty disk.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    /// How it is laid out.
    pub shape: Shape,
}

impl Default for Log {
    fn default() -> Self {
        Self { shape: Shape { segment_bytes: SEGMENT_BYTES_MIN, spares: 2 } }
    }
}

impl Ground for Log {
    type Queue = LogQueue;

    fn open(&self, disk: &FaultyDisk, seed: u64) -> Result<LogQueue, StoreError> {
        let machine = machine(Arc::new(disk.clone()), seed);
        LogQueue::open(Path::new(LOG_DIR), &rest_key(), stamp(), &machine, self.shape)
    }

    fn close(&self, queue: LogQueue) {
        at_once(queue.close());
    }
}

/// SQLite in a directory that is gone with it. It makes its file calls itself: no disk of ours fails under it.
#[derive(Debug)]
pub struct Sqlite(PathBuf);

impl Sqlite {
    /// In an empty directory of this name: in memory, where the machine has such a place.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(name: &str) -> io::Result<Self> {
        let memory = Path::new("/dev/shm");
        let within = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let dir = within.join(format!("valise-{}-{name}", std::process::id()));
        fs::create_dir(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok(); // what stays is in a place for what may be lost
    }
}

impl Ground for Sqlite {
    type Queue = SqliteQueue;

    fn open(&self, _: &FaultyDisk, seed: u64) -> Result<SqliteQueue, StoreError> {
        let machine = machine(Arc::new(SystemFiles), seed);
        SqliteQueue::open(&self.0.join("queue.db"), &rest_key(), stamp(), &machine)
    }

    fn close(&self, queue: SqliteQueue) {
        at_once(queue.close());
    }
}
