//! The yardstick's log: one file, all zeros before the first record, written round and round by one thread. Whatever
//! waits is one write and one fdatasync; then its submitters are told and its consumers served.
//!
//! Nothing is sealed or checked, and nothing is found again after a restart.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::{Context, Result};
use tokio::sync::{mpsc, oneshot};

use super::{CONSUMERS, MESSAGE_MAX, READY};

/// Bytes of the file. Zeroed ahead: to overwrite allocated blocks is what the product does, and twice as fast to sync.
const LOG_BYTES: u64 = 256 * 1024 * 1024;
/// Bytes of zeros written at once.
const ZEROS: usize = 1024 * 1024;
/// Records that may wait for the log, and the most of one group: as many as the product's queue takes.
pub(super) const RECORDS: usize = 4096;
/// Before each record: its consumer, whether it is a message, its length.
const PREFIX: usize = 6;

const _: () = {
    // What lies in the file is read by its consumer before the file's end comes round to it.
    let unread = CONSUMERS * (READY + 1) + RECORDS;
    assert!((unread * (MESSAGE_MAX + PREFIX)) as u64 <= LOG_BYTES);
};

/// Where a message lies, and its length.
pub(super) type Place = (u64, usize);

/// What is to be appended: a message for a consumer, or a consumer's acknowledgement.
pub(super) struct Record {
    pub(super) consumer: u8,
    pub(super) message: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) done: Option<oneshot::Sender<()>>,
}

/// A new file of zeros, on the disk.
pub(super) fn zeroed(path: &Path) -> Result<File> {
    let made = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path);
    let log = made.context("cannot make the log")?;
    let zeros = vec![0; ZEROS];
    for at in (0..LOG_BYTES).step_by(ZEROS) {
        log.write_all_at(&zeros, at)?;
    }
    log.sync_all()?;
    Ok(log)
}

/// The one writer: runs until nobody can submit any more.
pub(super) fn append(
    log: &File,
    mut waiting: mpsc::Receiver<Record>,
    offers: &[mpsc::Sender<Place>],
    groups: &AtomicU64,
) {
    let (mut end, mut bytes) = (0, Vec::new());
    while let Some(first) = waiting.blocking_recv() {
        let mut group = vec![first];
        while group.len() < RECORDS
            && let Ok(more) = waiting.try_recv()
        {
            group.push(more);
        }
        bytes.clear();
        let mut places = Vec::with_capacity(group.len());
        for record in &group {
            bytes.extend_from_slice(&[record.consumer, u8::from(record.message)]);
            bytes.extend_from_slice(&u32::try_from(record.bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
            places.push((bytes.len() as u64, record.bytes.len()));
            bytes.extend_from_slice(&record.bytes);
        }
        let begin = if end + bytes.len() as u64 > LOG_BYTES { 0 } else { end };
        let synced = log.write_all_at(&bytes, begin).and_then(|()| log.sync_data());
        synced.expect("the log takes what is written");
        end = begin + bytes.len() as u64;
        groups.fetch_add(1, Relaxed);
        for (record, (at, len)) in group.into_iter().zip(places) {
            if record.message {
                let offer = &offers[usize::from(record.consumer)];
                offer.blocking_send((begin + at, len)).expect("a consumer's list lives as long as the yard");
            }
            if let Some(done) = record.done {
                done.send(()).ok(); // its caller has left
            }
        }
    }
}
