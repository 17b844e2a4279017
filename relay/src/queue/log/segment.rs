//! A segment: one file of sealed records under a key of its own. Its header, twice, holds that key, wrapped.
//!
//! A record is found by its marker, its number and its place are part of its seal. Knows nothing of what records say.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use valise_host::files::{StoreFile, read_all_at, write_all_at};
use valise_host::rest::{BLIND_BYTES, RECORD_TAG_BYTES, RecordKey, SEAL_OVERHEAD, Sealer};
use zeroize::Zeroizing;

use super::facts::Loc;

/// First bytes of a segment: names the layout.
const MAGIC: &[u8; 8] = b"VALSEGM1";
/// Where the two copies of the header lie. In pages of their own: what spoils one spares the other.
const HEADERS: [u64; 2] = [0, 4096];
/// Where records begin.
pub(super) const RECORDS_AT: u32 = 8192;
/// Everything of a header.
const HEADER_BYTES: usize = 8 + CLEAR_BYTES + WRAPPED_BYTES;
const CLEAR_BYTES: usize = STORE_ID_BYTES + 4 + 1 + 3 + 4 + 8 + 8 + 8 + BLIND_BYTES;
const WRAPPED_BYTES: usize = 32 + SEAL_OVERHEAD;
/// Names a store, so that a segment of another is not taken for one of ours.
pub(super) const STORE_ID_BYTES: usize = 16;
/// Before each record: marker, length of what is sealed with its tag, number, place in the segment, and its group's.
pub(super) const FRAME_BYTES: usize = 4 + 4 + 8 + 4 + 4;
/// Records begin at multiples of this.
const ALIGN: usize = 8;
/// The column that a segment's key is sealed for.
const TABLE: &str = "queue.segment";

/// Which records a segment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// What comes in.
    Hot,
    /// What was copied forward because it stays.
    Cold,
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) store: [u8; STORE_ID_BYTES],
    pub(super) id: u32,
    pub(super) stream: Stream,
    /// Before each of its records: drawn anew for every use of a file, so that an old record is not even looked at.
    pub(super) marker: [u8; 4],
    /// Bytes of the whole file.
    pub(super) size: u64,
    /// Number of the first record that may stand in it.
    pub(super) first: u64,
    /// Highest number of an envelope before it.
    pub(super) sequence: u64,
    /// Names the key-encryption key that its data key is wrapped by.
    pub(super) wrapped_by: [u8; BLIND_BYTES],
}

impl Header {
    fn clear(&self) -> [u8; CLEAR_BYTES] {
        let mut out = [0; CLEAR_BYTES];
        let stream = [u8::from(self.stream == Stream::Cold), 0, 0, 0];
        let fields: [&[u8]; 8] = [
            &self.store,
            &self.id.to_be_bytes(),
            &stream,
            &self.marker,
            &self.size.to_be_bytes(),
            &self.first.to_be_bytes(),
            &self.sequence.to_be_bytes(),
            &self.wrapped_by,
        ];
        let mut at = 0;
        for field in fields {
            out[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        }
        out
    }

    fn read(clear: &[u8; CLEAR_BYTES]) -> Option<Self> {
        let mut rest = &clear[..];
        let mut take = |count: usize| {
            let (field, after) = rest.split_at(count);
            rest = after;
            field
        };
        let store = take(STORE_ID_BYTES).try_into().ok()?;
        let id = u32::from_be_bytes(take(4).try_into().ok()?);
        let stream = match take(4) {
            [0, 0, 0, 0] => Stream::Hot,
            [1, 0, 0, 0] => Stream::Cold,
            _ => return None,
        };
        let marker = take(4).try_into().ok()?;
        let mut number = || Some(u64::from_be_bytes(take(8).try_into().ok()?));
        let (size, first, sequence) = (number()?, number()?, number()?);
        Some(Self {
            store,
            id,
            stream,
            marker,
            size,
            first,
            sequence,
            wrapped_by: take(BLIND_BYTES).try_into().ok()?,
        })
    }

    /// The header as it rests, its data key wrapped.
    pub(super) fn wrap(&self, sealer: &Sealer, key: &[u8; 32]) -> Vec<u8> {
        let header = Self { wrapped_by: sealer.check(), ..*self };
        let clear = header.clear();
        [&MAGIC[..], &clear, &sealer.seal(TABLE, &clear, key)].concat()
    }
}

/// What lies in the place of a header.
pub(super) enum Found {
    /// A segment, and its data key.
    Segment(Header, Zeroizing<[u8; 32]>),
    /// Nothing: a spare, or a segment that was retired.
    Blank,
    /// A segment whose key none of ours opens.
    OtherKey,
    /// Neither copy can be read.
    Damaged,
}

/// Reads the header of a segment; either copy will do. `sealers`: the key-encryption keys there are.
pub(super) fn find(file: &dyn StoreFile, sealers: &[Sealer]) -> io::Result<Found> {
    let (mut blank, mut other) = (0, false);
    for at in HEADERS {
        let mut bytes = [0; HEADER_BYTES];
        match read_all_at(file, &mut bytes, at) {
            Err(fault) if fault.kind() == io::ErrorKind::UnexpectedEof => continue,
            read => read?,
        }
        if bytes.iter().all(|byte| *byte == 0) {
            blank += 1;
            continue;
        }
        let (magic, rest) = bytes.split_at(MAGIC.len());
        let (clear, wrapped) =
            rest.split_first_chunk().expect("invariant: a header is longer than its clear part");
        let Some(header) = Header::read(clear).filter(|_| magic == MAGIC) else { continue };
        let Some(sealer) = sealers.iter().find(|sealer| sealer.check() == header.wrapped_by) else {
            other = true;
            continue;
        };
        let opened = sealer.open(TABLE, clear, wrapped).ok().map(Zeroizing::new);
        if let Some(key) = opened.and_then(|key| <[u8; 32]>::try_from(&key[..]).ok()) {
            return Ok(Found::Segment(header, Zeroizing::new(key)));
        }
    }
    Ok(match (blank, other) {
        // A file that was being made or retired when the machine stopped: one copy is zeros, the other may be torn.
        (1.., _) => Found::Blank,
        (_, true) => Found::OtherKey,
        _ => Found::Damaged,
    })
}

/// Writes a header, copy by copy, each on the disk before the next: at every moment one is whole.
pub(super) fn write_header(file: &dyn StoreFile, bytes: &[u8]) -> io::Result<()> {
    for at in HEADERS {
        write_all_at(file, bytes, at)?;
        file.sync()?;
    }
    Ok(())
}

/// Writes over both copies: the data key is gone, and with it every record.
pub(super) fn erase_header(file: &dyn StoreFile) -> io::Result<()> {
    write_header(file, &[0; HEADER_BYTES])
}

/// An open segment: readers share it with the one that writes.
pub(super) struct Segment {
    pub(super) header: Header,
    pub(super) file: Arc<dyn StoreFile>,
    key: RecordKey,
}

/// A record's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Bytes of what is sealed, with its tag.
    pub(super) sealed: u32,
    /// Its number in the store: the order in which records hold, and the nonce of its seal.
    pub(super) number: u64,
    /// How many records of this segment come before it.
    pub(super) index: u32,
    /// The same of the first record of its group: all before that were on the disk before this was written.
    pub(super) group: u32,
}

impl Frame {
    /// Bytes of the whole record, padding apart.
    pub(super) fn length(&self) -> u32 {
        u32::try_from(FRAME_BYTES).expect("invariant: a handful").saturating_add(self.sealed)
    }
}

impl Segment {
    pub(super) fn new(header: Header, key: &[u8; 32], file: Arc<dyn StoreFile>) -> Self {
        Self { header, file, key: RecordKey::new(key) }
    }

    /// What stands beside the frame in a record's seal: its place.
    fn place(&self, offset: u32, frame: &[u8]) -> [u8; STORE_ID_BYTES + 4 + 4 + FRAME_BYTES] {
        let mut place = [0; STORE_ID_BYTES + 4 + 4 + FRAME_BYTES];
        place[..STORE_ID_BYTES].copy_from_slice(&self.header.store);
        place[STORE_ID_BYTES..STORE_ID_BYTES + 4].copy_from_slice(&self.header.id.to_be_bytes());
        place[STORE_ID_BYTES + 4..STORE_ID_BYTES + 8].copy_from_slice(&offset.to_be_bytes());
        place[STORE_ID_BYTES + 8..].copy_from_slice(frame);
        place
    }

    /// Appends a record, sealed for this offset, to what will be written there. `at`: its index, and its group's. Gives
    /// its whole length, padding apart.
    pub(super) fn seal(
        &self,
        offset: u32,
        number: u64,
        at: (u32, u32),
        record: &[u8],
        into: &mut Vec<u8>,
    ) -> u32 {
        let start = into.len();
        let sealed =
            u32::try_from(record.len() + RECORD_TAG_BYTES).expect("invariant: a record fits its segment");
        into.extend_from_slice(&self.header.marker);
        into.extend_from_slice(&sealed.to_be_bytes());
        into.extend_from_slice(&number.to_be_bytes());
        into.extend_from_slice(&at.0.to_be_bytes());
        into.extend_from_slice(&at.1.to_be_bytes());
        let place = self.place(offset, &into[start..]);
        let body = into.len();
        into.extend_from_slice(record);
        let tag = self.key.seal(number, &place, &mut into[body..]);
        into.extend_from_slice(&tag);
        let length = into.len() - start;
        into.resize(start + length.next_multiple_of(ALIGN), 0);
        u32::try_from(length).expect("invariant: as above")
    }

    /// Reads and opens one record; nothing when it is not there.
    pub(super) fn read(&self, loc: Loc) -> io::Result<Option<Bytes>> {
        let mut bytes = vec![0; loc.length as usize];
        match read_all_at(&*self.file, &mut bytes, u64::from(loc.offset)) {
            Err(fault) if fault.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let Some(frame) = self.frame(&bytes, bytes.len()) else { return Ok(None) };
        let opened = self.open(loc.offset, frame, &mut bytes).map(|opened| opened.len());
        Ok(opened.map(|length| Bytes::from(bytes).slice(FRAME_BYTES..FRAME_BYTES + length)))
    }

    /// The frame at the head of these bytes, if there is the marker of this segment and room for a record:
    /// `left` bytes follow in the file, the frame included.
    pub(super) fn frame(&self, bytes: &[u8], left: usize) -> Option<Frame> {
        let frame = bytes.first_chunk::<FRAME_BYTES>()?;
        if frame[..4] != self.header.marker {
            return None;
        }
        let short =
            |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().expect("invariant: four bytes"));
        let number = u64::from_be_bytes(frame[8..16].try_into().expect("invariant: eight bytes"));
        let sealed = short(4);
        let fits = (RECORD_TAG_BYTES..=left.saturating_sub(FRAME_BYTES)).contains(&(sealed as usize));
        fits.then(|| Frame { sealed, number, index: short(16), group: short(20) })
    }

    /// Opens the record that begins with these bytes; nothing when it is not what was written here.
    pub(super) fn open<'a>(&self, offset: u32, frame: Frame, bytes: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let (head, rest) = bytes.split_at_mut(FRAME_BYTES);
        let place = self.place(offset, head);
        self.key.open(frame.number, &place, &mut rest[..frame.sealed as usize])
    }

    /// Seals a block that is no record, under a number that no record has.
    pub(super) fn seal_block(&self, number: u64, place: &[u8], block: &mut Vec<u8>) {
        let tag = self.key.seal(number, &[&self.header.store[..], place].concat(), block);
        block.extend_from_slice(&tag);
    }

    /// Opens such a block.
    pub(super) fn open_block<'a>(
        &self,
        number: u64,
        place: &[u8],
        block: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        self.key.open(number, &[&self.header.store[..], place].concat(), block)
    }
}

/// Bytes that a record of so many takes in a segment.
pub(super) fn footprint(record: usize) -> usize {
    (FRAME_BYTES + record + RECORD_TAG_BYTES).next_multiple_of(ALIGN)
}

/// Where the next record can begin after one at this place.
pub(super) fn after(offset: u32, length: u32) -> u32 {
    (offset + length).next_multiple_of(u32::try_from(ALIGN).expect("invariant: a handful"))
}
