//! The label of a store: who it is, which layout, which key. Two copies, written once; whole or not there at all.

use std::io;
use std::path::Path;

use valise_host::files::{Files, read_all_at, write_all_at};
use valise_host::ledger::StoreError;
use valise_host::rest::{BLIND_BYTES, SEAL_OVERHEAD, Sealer};

use super::names;
use super::segment::STORE_ID_BYTES;

/// First bytes: names the layout.
const MAGIC: &[u8; 8] = b"VALQUEUE";
/// The layout that is written and read here.
const FORMAT: u32 = 1;
/// Where the copies lie.
const COPIES: [u64; 2] = [0, 4096];
const CLEAR_BYTES: usize = 8 + 4 + BLIND_BYTES;
const LABEL_BYTES: usize = CLEAR_BYTES + STORE_ID_BYTES + SEAL_OVERHEAD;
/// The column that it is sealed for.
const TABLE: &str = "queue.label";

/// What a label says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) store: [u8; STORE_ID_BYTES],
}

fn io_fault(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, doing, source }
}

/// Reads the label; `None` when there is none.
pub(super) fn find(files: &dyn Files, dir: &Path, sealers: &[Sealer]) -> Result<Option<Label>, StoreError> {
    let path = dir.join(names::STORE);
    let file = match files.open(&path) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(io_fault(&path, "open"))?,
    };
    let (mut newer, mut other) = (None, false);
    for at in COPIES {
        let mut bytes = [0; LABEL_BYTES];
        match read_all_at(&*file, &mut bytes, at) {
            Err(fault) if fault.kind() == io::ErrorKind::UnexpectedEof => continue,
            read => read.map_err(io_fault(&path, "read"))?,
        }
        let (clear, sealed) = bytes.split_at(CLEAR_BYTES);
        let format = u32::from_be_bytes(clear[8..12].try_into().expect("invariant: four bytes"));
        if clear[..8] != *MAGIC {
            continue;
        }
        let Some(sealer) = sealers.iter().find(|sealer| sealer.check() == clear[12..]) else {
            other = true;
            continue;
        };
        let Ok(opened) = sealer.open(TABLE, clear, sealed) else { continue };
        if format != FORMAT {
            newer = Some(format);
            continue;
        }
        if let Ok(store) = opened[..].try_into() {
            return Ok(Some(Label { store }));
        }
    }
    let path = dir.to_owned();
    Err(match newer {
        Some(found) => StoreError::StoreNewer { path, found, known: FORMAT },
        None if other => StoreError::WrongKey { path },
        None => StoreError::Damaged { path, what: "both copies of its label are damaged".to_owned() },
    })
}

/// Makes a new store of it.
pub(super) fn make(files: &dyn Files, dir: &Path, sealer: &Sealer) -> Result<Label, StoreError> {
    let label = Label { store: sealer.draw() };
    write(files, dir, sealer, label)?;
    Ok(label)
}

/// Puts a label in place of what is there: whole, or not at all.
pub(super) fn write(files: &dyn Files, dir: &Path, sealer: &Sealer, label: Label) -> Result<(), StoreError> {
    let (new, path) = (dir.join(names::STORE_NEW), dir.join(names::STORE));
    let clear = [&MAGIC[..], &FORMAT.to_be_bytes(), &sealer.check()].concat();
    let bytes = [&clear[..], &sealer.seal(TABLE, &clear, &label.store)].concat();
    let written = (|| {
        match files.remove(&new) {
            Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
            _ => {}
        }
        let file = files.create(&new)?;
        COPIES.into_iter().try_for_each(|at| write_all_at(&*file, &bytes, at))?;
        file.sync()?;
        files.rename(&new, &path)?;
        files.sync_dir(dir)
    })();
    written.map_err(|fault| match fault.kind() {
        io::ErrorKind::StorageFull => StoreError::Full,
        _ => StoreError::Io { path, doing: "write", source: fault },
    })
}
