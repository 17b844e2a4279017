//! One process per store: an exclusive lock on a side file, held as long as the store is open.
//!
//! The lock is the kernel's, so a killed process leaves none behind; the file itself is never removed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{StoreError, beside};

/// The right to open a store; given up when dropped.
pub(super) struct Guard(File);

impl Guard {
    /// Takes the store, or says who has it.
    pub(super) fn take(store: &Path) -> Result<Self, StoreError> {
        let path = beside(store, ".lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(StoreError::io(&path, "open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { path: store.to_owned(), pid: holder(&mut file) });
            }
            Err(TryLockError::Error(fault)) => return Err(StoreError::io(&path, "lock")(fault)),
        }
        let noted = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
        noted.map_err(StoreError::io(&path, "write"))?;
        Ok(Self(file))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Emptied, so that no stale number gets into an error. Unlocked by name, because closing is not enough
        // while a child that is just being started still holds a copy of the file.
        self.0.set_len(0).ok();
        self.0.unlock().ok();
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
