//! The mark: a sealed side file that remembers the number of the last acknowledged commit.
//!
//! SQLite ends the replay of a damaged log without a word; the mark is how a store notices. Two slots are written
//! in turn, each in a disk sector of its own, so that a torn write leaves the other. Never grows, never shrinks.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{StoreError, beside};
use crate::keyfile::{KeyFileError, write_atomic};
use crate::planted::Planted;
use crate::rest::{BLIND_BYTES, SEAL_OVERHEAD, Sealer};

/// First bytes of the file: names the layout.
const MAGIC: &[u8; 8] = b"VALMARK1";
/// Grain of the layout: the smallest unit that a disk writes whole.
const SECTOR_BYTES: usize = 512;
const SLOTS: usize = 2;
const FILE_BYTES: usize = SECTOR_BYTES * (1 + SLOTS);
/// Names a store, so that the mark of one is not taken for the mark of another.
pub(super) const STORE_ID_BYTES: usize = 16;
const SLOT_BYTES: usize = 8 + STORE_ID_BYTES + SEAL_OVERHEAD;
/// Where the slots stand in the associated data.
const TABLE: &str = "mark";

const _: () = assert!(SLOT_BYTES <= SECTOR_BYTES && MAGIC.len() + BLIND_BYTES <= SECTOR_BYTES);

/// What a mark on the disk says.
pub(super) struct Found {
    pub(super) commit_no: u64,
    pub(super) store_id: [u8; STORE_ID_BYTES],
    newest: usize,
}

/// The open mark of a store.
pub(super) struct Mark {
    file: File,
    sealer: Sealer,
    store_id: [u8; STORE_ID_BYTES],
    next: usize,
}

impl Mark {
    /// Reads the mark of a store without changing it; `None` when there is none.
    pub(super) fn find(store: &Path, sealer: &Sealer) -> Result<Option<Found>, StoreError> {
        let path = place(store);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(fault) => return Err(StoreError::io(&path, "read")(fault)),
        };
        if let Some(found) =
            (0..SLOTS).filter_map(|slot| open_slot(&bytes, slot, sealer)).max_by_key(|f| f.commit_no)
        {
            return Ok(Some(found));
        }
        let check = bytes.get(MAGIC.len()..MAGIC.len() + BLIND_BYTES);
        if bytes.len() == FILE_BYTES && bytes.starts_with(MAGIC) && check != Some(&sealer.check()[..]) {
            return Err(StoreError::WrongKey { path: store.to_owned() });
        }
        Err(StoreError::damaged(store, format!("its mark {} is unreadable", path.display())))
    }

    /// Writes the first mark of a store, whole or not at all.
    pub(super) fn create(
        store: &Path,
        sealer: &Sealer,
        store_id: [u8; STORE_ID_BYTES],
    ) -> Result<Self, StoreError> {
        let mut bytes = vec![0; FILE_BYTES];
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[MAGIC.len()..MAGIC.len() + BLIND_BYTES].copy_from_slice(&sealer.check());
        let slot = seal_slot(0, 0, store_id, sealer);
        bytes[SECTOR_BYTES..SECTOR_BYTES + SLOT_BYTES].copy_from_slice(&slot);
        let path = place(store);
        write_atomic(&path, &bytes, 0o600).map_err(|fault| match fault {
            KeyFileError::Io { path, doing, source } => StoreError::Io { path, doing, source },
            other => StoreError::damaged(store, other.to_string()),
        })?;
        Self::reopen(store, sealer, Found { commit_no: 0, store_id, newest: 0 })
    }

    /// Opens a mark that was found, for writing.
    pub(super) fn reopen(store: &Path, sealer: &Sealer, found: Found) -> Result<Self, StoreError> {
        let path = place(store);
        let file = OpenOptions::new().write(true).open(&path).map_err(StoreError::io(&path, "open"))?;
        Ok(Self { file, sealer: sealer.clone(), store_id: found.store_id, next: (found.newest + 1) % SLOTS })
    }

    /// Remembers a commit: on the disk when this returns.
    pub(super) fn advance(&mut self, commit_no: u64) -> Result<(), StoreError> {
        if Planted::MarkNotKept.here() {
            return Ok(());
        }
        let slot = seal_slot(self.next, commit_no, self.store_id, &self.sealer);
        let offset =
            u64::try_from(SECTOR_BYTES * (1 + self.next)).expect("invariant: a file of three sectors");
        let written = self.file.write_all_at(&slot, offset).and_then(|()| self.file.sync_data());
        written.map_err(|fault| StoreError::Failed { what: format!("cannot write the mark: {fault}") })?;
        self.next = (self.next + 1) % SLOTS;
        Ok(())
    }

    /// For tests: a mark whose disk refuses every write.
    #[cfg(test)]
    pub(super) fn break_disk(&mut self, store: &Path) {
        self.file = File::open(place(store)).unwrap();
    }
}

fn place(store: &Path) -> PathBuf {
    beside(store, ".mark")
}

fn row(slot: usize) -> [u8; 1] {
    [u8::try_from(slot).expect("invariant: two slots")]
}

fn seal_slot(slot: usize, commit_no: u64, store_id: [u8; STORE_ID_BYTES], sealer: &Sealer) -> Vec<u8> {
    sealer.seal(TABLE, &row(slot), &[&commit_no.to_be_bytes()[..], &store_id].concat())
}

fn open_slot(bytes: &[u8], slot: usize, sealer: &Sealer) -> Option<Found> {
    let start = SECTOR_BYTES * (1 + slot);
    let plain = sealer.open(TABLE, &row(slot), bytes.get(start..start + SLOT_BYTES)?).ok()?;
    let (commit_no, store_id) = plain.split_first_chunk::<8>()?;
    Some(Found {
        commit_no: u64::from_be_bytes(*commit_no),
        store_id: store_id.try_into().ok()?,
        newest: slot,
    })
}
