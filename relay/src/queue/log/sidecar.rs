//! The side-car of a segment that is full: its facts without their bytes, so that a start need not read it whole.
//!
//! Sealed under the segment's own key: erased with it. One that does not open is as good as none.

use std::io;
use std::path::Path;
use std::sync::Arc;

use prost::Message;
use valise_host::files::{Files, StoreFile, read_all_at, write_all_at};
use valise_host::planted::Planted;

use super::facts::{Fact, Loc};
use super::scan::Noted;
use super::segment::Segment;

/// First bytes: names the layout.
const MAGIC: &[u8; 8] = b"VALSIDE1";
/// The number under which it is sealed; records count from 0 and never come here.
const NUMBER: u64 = u64::MAX;
/// Where it stands in the seal.
const PLACE: &[u8] = b"side-car";
/// Most bytes believed of its length: facts are smaller than their records.
const SIDE_CAR_MAX: u64 = u32::MAX as u64;

/// The facts of a segment so far, as they will stand in its side-car.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<u8>);

impl Notes {
    /// Adds one.
    pub(super) fn add(&mut self, number: u64, loc: Loc, fact: &Fact) {
        self.0.extend_from_slice(&number.to_be_bytes());
        loc.encode_length_delimited(&mut self.0).expect("invariant: a vector grows");
        fact.write(&mut self.0);
    }

    /// Those of records that were read.
    pub(super) fn of(records: &[Noted]) -> Self {
        let mut notes = Self::default();
        records.iter().for_each(|record| notes.add(record.number, record.loc, &record.fact));
        notes
    }
}

/// Writes the side-car beside its segment, once, after the last of its records is on the disk.
pub(super) fn write(files: &dyn Files, path: &Path, segment: &Segment, notes: Notes) -> io::Result<()> {
    let mut block = notes.0;
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
pub(super) fn read(file: &Arc<dyn StoreFile>, segment: &Segment) -> io::Result<Option<Vec<Noted>>> {
    let mut head = [0; 16];
    match read_all_at(&**file, &mut head, 0) {
        Err(fault) if fault.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u64::from_be_bytes(head[8..].try_into().expect("invariant: eight bytes"));
    if head[..8] != *MAGIC || length > SIDE_CAR_MAX.min(file.length()?.saturating_sub(16)) {
        return Ok(None);
    }
    let mut block = vec![0; usize::try_from(length).unwrap_or(0)];
    read_all_at(&**file, &mut block, 16)?;
    let opened = segment.open_block(NUMBER, PLACE, &mut block);
    let found = opened.and_then(|opened| facts(segment, opened));
    // Planted: one that does not hold is believed, and says that there is nothing.
    Ok(if Planted::SideCarUnchecked.here() { Some(found.unwrap_or_default()) } else { found })
}

fn facts(segment: &Segment, opened: &mut [u8]) -> Option<Vec<Noted>> {
    let (mut bytes, mut records) = (&opened[..], Vec::new());
    while !bytes.is_empty() {
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        bytes = rest;
        let loc = Loc::decode_length_delimited(&mut bytes).ok()?;
        let (fact, rest) = Fact::read(bytes)?;
        bytes = rest;
        if loc.segment != segment.header.id {
            return None;
        }
        records.push(Noted { number: u64::from_be_bytes(*number), loc, fact });
    }
    Some(records)
}
