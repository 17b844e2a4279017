//! The end of a stream of segments, where records are appended: one write and one sync for a group.
//!
//! `Synced` is the proof that a group is on the disk: only this room makes one. After a failed write or sync nothing is
//! written any more.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use valise_host::entropy::Entropy;
use valise_host::files::{Files, StoreFile, write_all_at};
use valise_host::ledger::StoreError;
use valise_host::planted::Planted;
use valise_host::rest::Sealer;
use zeroize::Zeroizing;

use super::facts::{Fact, Loc};
use super::keeper::Keeper;
use super::names;
use super::notes::Notes;
use super::payload::Payload;
use super::reader::Reader;
use super::segment::{Header, RECORDS_AT, STORE_ID_BYTES, Segment, Stream, after, footprint, write_header};
use super::shape::SPARES_FOR_SETTLING;

/// Proof that what is inside came out of a group that is on the disk. Acknowledgements stand on it.
#[derive(Debug)]
pub(super) struct Synced<T>(T);

impl<T> AsRef<T> for Synced<T> {
    fn as_ref(&self) -> &T {
        &self.0
    }
}

/// What every stream of a store shares.
pub(super) struct Common {
    pub(super) files: Arc<dyn Files>,
    pub(super) dir: PathBuf,
    pub(super) store: [u8; STORE_ID_BYTES],
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) sealer: Sealer,
    pub(super) reader: Arc<Reader>,
    pub(super) keeper: Keeper,
    /// Number of the next record; given once for ever, written or not.
    pub(super) number: u64,
    /// Number of the next segment.
    pub(super) next_segment: u32,
    /// Highest number of an envelope so far.
    pub(super) sequence: u64,
}

/// A segment that takes records.
struct Active {
    segment: Arc<Segment>,
    offset: u32,
    index: u32,
    /// What its side-car will say. Not kept of what is copied forward: that is mostly facts, and is read again instead.
    notes: Option<Notes>,
}

/// The end of one stream.
pub(super) struct Writer {
    stream: Stream,
    active: Option<Active>,
    /// Segments that the group at work will need beyond the active one.
    ahead: Vec<Arc<Segment>>,
    buffer: Vec<u8>,
    buffer_at: u32,
    /// Index of the group's first record in the active segment.
    group: u32,
}

/// Bytes gathered before they are written: a group is bounded, a large envelope is written piece by piece.
const BUFFER_BYTES: usize = 8 * 1024 * 1024;

impl Writer {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, active: None, ahead: Vec::new(), buffer: Vec::new(), buffer_at: 0, group: 0 }
    }

    /// Makes room for a group of so many bytes, its largest record of `largest`. Nothing of the group is written yet:
    /// without room it is refused as a whole.
    pub(super) fn reserve(
        &mut self,
        common: &mut Common,
        bytes: usize,
        largest: usize,
        fills: bool,
    ) -> Result<(), StoreError> {
        let left = self.active.as_ref().map_or(0, |active| {
            usize::try_from(active.segment.header.size - u64::from(active.offset)).unwrap_or(0)
        });
        self.group = self.active.as_ref().map_or(0, |active| active.index);
        if bytes <= left {
            return Ok(());
        }
        let size = usize::try_from(self.fresh(common, fills)?.header.size).unwrap_or(usize::MAX);
        // What a record does not fit into is left empty at the end of each.
        let each = (size - RECORDS_AT as usize).saturating_sub(largest).max(1);
        for _ in 0..(bytes.saturating_sub(1)) / each {
            self.fresh(common, fills)?;
        }
        self.roll(common);
        Ok(())
    }

    /// Begins the stream in a new segment: a store that is opened never writes on where another life stopped.
    pub(super) fn begin(&mut self, common: &mut Common) -> Result<(), StoreError> {
        let taken = common.keeper.take_first().map_err(|fault| fault_of(&fault))?;
        self.prepare(common, taken)?;
        self.roll(common);
        Ok(())
    }

    /// Planted: writes on behind the records that were found, under the numbers that follow theirs.
    pub(super) fn write_on(&mut self, last: Option<(Arc<Segment>, Notes)>, common: &mut Common) {
        let Some((segment, notes)) = last else { return };
        let (mut offset, mut index) = (RECORDS_AT, 0);
        common.number = segment.header.first;
        for noted in notes.clone().read() {
            offset = after(noted.loc.offset, noted.loc.length);
            common.number = noted.number + 1;
            index += 1;
        }
        self.active = Some(Active { segment, offset, index, notes: Some(notes) });
    }

    /// Whether there is a segment that takes records.
    pub(super) fn is_open(&self) -> bool {
        self.active.is_some()
    }

    /// Whether it takes records in this segment, or will: one made ahead for a group that needed less has none yet.
    pub(super) fn holds(&self, id: u32) -> bool {
        let active = self.active.iter().map(|active| &active.segment);
        active.chain(&self.ahead).any(|segment| segment.header.id == id)
    }

    /// A new segment, whole on the disk but for its records.
    fn fresh(&mut self, common: &mut Common, fills: bool) -> Result<&Arc<Segment>, StoreError> {
        if fills && common.keeper.spares() <= SPARES_FOR_SETTLING {
            // The last spares are for settling: what fills the queue has to find room of its own.
            let room = common.files.room(&common.dir).map_err(|fault| fault_of(&fault))?;
            if room.free < common.keeper.segment_bytes() {
                return Err(StoreError::Full);
            }
        }
        let taken = common.keeper.take().map_err(|fault| fault_of(&fault))?;
        self.prepare(common, taken)
    }

    /// Makes a segment of a file of zeros.
    fn prepare(
        &mut self,
        common: &mut Common,
        (spare, file): (PathBuf, Arc<dyn StoreFile>),
    ) -> Result<&Arc<Segment>, StoreError> {
        let id = common.next_segment;
        common.next_segment += 1;
        let mut key = Zeroizing::new([0; 32]);
        common.entropy.fill(key.as_mut());
        let mut marker = [0; 4];
        common.entropy.fill(&mut marker);
        marker[0] |= 1; // zeros are no marker
        let header = Header {
            store: common.store,
            id,
            stream: self.stream,
            marker,
            size: file.length().map_err(|fault| fault_of(&fault))?,
            first: common.number,
            sequence: common.sequence,
            wrapped_by: common.sealer.check(),
        };
        let path = common.dir.join(names::segment(id));
        let made = write_header(&*file, &header.wrap(&common.sealer, &key))
            .and_then(|()| common.files.rename(&spare, &path))
            .and_then(|()| common.files.sync_dir(&common.dir));
        made.map_err(|fault| fault_of(&fault))?;
        let segment = Arc::new(Segment::new(header, &key, file));
        common.reader.add(Arc::clone(&segment));
        self.ahead.push(segment);
        Ok(self.ahead.last().expect("invariant: just pushed"))
    }

    /// Goes on in the next segment.
    fn roll(&mut self, common: &Common) {
        self.seal_off(common);
        let segment = self.ahead.remove(0);
        let notes = (self.stream == Stream::Hot).then(Notes::default);
        self.active = Some(Active { segment, offset: RECORDS_AT, index: 0, notes });
        self.group = 0;
    }

    /// The active segment takes no more.
    pub(super) fn seal_off(&mut self, common: &Common) {
        if let Some(full) = self.active.take() {
            common.keeper.side_car(full.segment, full.notes);
            common.keeper.restock();
        }
    }

    /// Appends one record to the group. Its place is final; it is on the disk after `sync`.
    pub(super) fn append(
        &mut self,
        common: &mut Common,
        fact: &Fact,
        payload: Payload<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<(u64, Loc), StoreError> {
        scratch.clear();
        fact.write(scratch);
        payload.write(scratch);
        let need = u32::try_from(footprint(scratch.len())).expect("invariant: a record fits its segment");
        let active = self.active.as_ref().expect("invariant: room was reserved");
        if u64::from(active.offset) + u64::from(need) > active.segment.header.size {
            // What the record may stand on is on the disk before the record is.
            self.sync()?;
            self.roll(common);
        } else if self.buffer.len() >= BUFFER_BYTES {
            self.write()?;
        }
        let active = self.active.as_mut().expect("invariant: as above");
        if self.buffer.is_empty() {
            self.buffer_at = active.offset;
        }
        let number = common.number;
        common.number += 1;
        let at = (active.index, self.group);
        let length = active.segment.seal(active.offset, number, at, scratch, &mut self.buffer);
        let loc = Loc { segment: active.segment.header.id, offset: active.offset, length };
        if let Some(notes) = &mut active.notes {
            notes.add(number, loc, fact);
        }
        active.offset += need;
        active.index += 1;
        Ok((number, loc))
    }

    /// Puts the group on the disk.
    pub(super) fn finish<T>(&mut self, value: T) -> Result<Synced<T>, StoreError> {
        self.sync()?;
        Ok(Synced(value))
    }

    /// For a group that changes nothing: all that it saw is on the disk.
    pub(super) fn unchanged<T>(&self, value: T) -> Synced<T> {
        Synced(value)
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let Some(active) = &self.active else { return Ok(()) };
        let written = write_all_at(&*active.segment.file, &self.buffer, u64::from(self.buffer_at));
        self.buffer.clear();
        written.map_err(|fault| failed(&fault))
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.write()?;
        let Some(active) = &self.active else { return Ok(()) };
        if Planted::AcknowledgeBeforeSync.here() {
            return Ok(());
        }
        let synced = active.segment.file.sync();
        let synced =
            if Planted::SyncRetried.here() { synced.or_else(|_| active.segment.file.sync()) } else { synced };
        synced.map_err(|fault| failed(&fault))
    }
}

/// A full disk before anything was promised; any other fault is the end.
fn fault_of(fault: &io::Error) -> StoreError {
    match fault.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
        _ => failed(fault),
    }
}

/// What is on the disk is known only after a restart.
fn failed(fault: &io::Error) -> StoreError {
    StoreError::Failed { what: fault.to_string() }
}
