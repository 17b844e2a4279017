//! The side-car of a segment that is full: its facts without their bytes, so that a start need not read it whole.
//!
//! Sealed under the segment's own key: erased with it. One that does not open is as good as none.

use std::io;
use std::path::Path;

use valise_host::files::{Files, StoreFile, read_all_at, write_all_at};
use valise_host::planted::Planted;

use super::notes::Notes;
use super::segment::Segment;

/// First bytes: names the layout.
const MAGIC: &[u8; 8] = b"VALSIDE1";
/// The number under which it is sealed; records count from 0 and never come here.
const NUMBER: u64 = u64::MAX;
/// Where it stands in the seal.
const PLACE: &[u8] = b"side-car";
/// Most bytes believed of its length: facts are smaller than their records.
const SIDE_CAR_MAX: u64 = u32::MAX as u64;

/// Writes the side-car beside its segment, once, after the last of its records is on the disk.
pub(super) fn write(files: &dyn Files, path: &Path, segment: &Segment, notes: Notes) -> io::Result<()> {
    let mut block = notes.into_bytes();
    segment.seal_block(NUMBER, PLACE, &mut block);
    let length = block.len() as u64;
    let file = match files.create(path) {
        // Left half written by a life before this one.
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => files.open(path)?,
        made => made?,
    };
    file.set_length(16 + length)?;
    write_all_at(&*file, &[&MAGIC[..], &length.to_be_bytes()].concat(), 0)?;
    write_all_at(&*file, &block, 16)?;
    file.sync()
}

/// Reads the side-car of a segment; nothing when it is not there, or not whole.
pub(super) fn read(file: &dyn StoreFile, segment: &Segment) -> io::Result<Option<Notes>> {
    let mut head = [0; 16];
    match read_all_at(file, &mut head, 0) {
        Err(fault) if fault.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u64::from_be_bytes(head[8..].try_into().expect("invariant: eight bytes"));
    if head[..8] != *MAGIC || length > SIDE_CAR_MAX.min(file.length()?.saturating_sub(16)) {
        return Ok(None);
    }
    let mut block = vec![0; usize::try_from(length).unwrap_or(0)];
    read_all_at(file, &mut block, 16)?;
    let opened = segment.open_block(NUMBER, PLACE, &mut block).map(|opened| opened.len());
    let found = opened.map(|length| {
        block.truncate(length);
        Notes::from_bytes(block)
    });
    let found = found.filter(|notes| notes.are_of(segment.header.id));
    // Planted: one that does not hold is believed, and says that there is nothing.
    Ok(if Planted::SideCarUnchecked.here() { Some(found.unwrap_or_default()) } else { found })
}
