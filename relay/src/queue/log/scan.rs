//! Reads a segment from end to end: every record that opens, wherever it lies, and what is missing between them.
//!
//! A torn tail is what the last group left when the machine stopped; anything missing before it was acknowledged, and
//! is damage.

use std::io;
use std::ops::Range;

use valise_host::files::{StoreFile, read_all_at, write_all_at};

use super::facts::{Fact, Loc};
use super::segment::{FRAME_BYTES, Frame, RECORDS_AT, Segment, after};

/// Bytes read at once.
const PIECE: usize = 1024 * 1024;

/// One record that opened.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Noted {
    /// Its number in the store.
    pub(super) number: u64,
    pub(super) loc: Loc,
    pub(super) fact: Fact,
}

/// What a segment was found to hold.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// Its records in order.
    pub(super) records: Vec<Noted>,
    /// Records that were acknowledged and are not there, by their place in the segment.
    pub(super) lost: Vec<Range<u32>>,
    /// Records of the last group that are not there: it was being written when the machine stopped.
    pub(super) torn: Vec<Range<u32>>,
    /// Where the last group lies, bytes.
    pub(super) tail: Range<u32>,
    /// Whether the segment was ended in order: then there is no torn tail.
    pub(super) closed: bool,
}

/// Reads the whole of a segment. `tell` sees each record with the bytes that follow its fact.
pub(super) fn scan(segment: &Segment, mut tell: impl FnMut(&Noted, &[u8])) -> io::Result<Scanned> {
    let bytes = whole(&*segment.file)?;
    let mut found = Scanned::default();
    let mut frames: Vec<Frame> = Vec::new();
    let mut offset = RECORDS_AT;
    let mut copy = Vec::new();
    while let Some((at, frame)) = next(segment, &bytes, offset) {
        let length = frame.length();
        copy.clear();
        copy.extend_from_slice(&bytes[at as usize..][..length as usize]);
        let read = segment.open(at, frame, &mut copy).and_then(|record| Fact::read(record));
        let Some((fact, payload)) = read else {
            offset = at + 8; // not one after all: the search goes on behind its marker
            continue;
        };
        let loc = Loc { segment: segment.header.id, offset: at, length };
        let noted = Noted { number: frame.number, loc, fact };
        tell(&noted, payload);
        frames.push(frame);
        found.records.push(noted);
        offset = after(at, length);
    }
    found.closed = found.records.last().is_some_and(|record| record.fact == Fact::Closed);
    judge(&mut found, &frames);
    let group = frames.last().map(|last| last.group);
    let first = frames.iter().position(|frame| Some(frame.group) == group);
    let first = first.and_then(|first| found.records.get(first));
    found.tail = first.map_or(RECORDS_AT, |first| first.loc.offset)..offset;
    Ok(found)
}

/// The next place at which a record may begin.
fn next(segment: &Segment, bytes: &[u8], mut offset: u32) -> Option<(u32, Frame)> {
    while (offset as usize) + FRAME_BYTES < bytes.len() {
        if let Some(frame) = segment.frame(&bytes[offset as usize..]) {
            return Some((offset, frame));
        }
        offset += 8;
    }
    None
}

/// Records count up by one, and every group was on the disk before the next was written.
fn judge(found: &mut Scanned, frames: &[Frame]) {
    let Some(last_group) = frames.last().map(|frame| frame.group) else { return };
    let mut due = 0;
    for frame in frames {
        let (lost, torn) = (due..frame.index.min(last_group), due.max(last_group)..frame.index);
        found.lost.extend(Some(lost).filter(|range| !range.is_empty()));
        found.torn.extend(Some(torn).filter(|range| !range.is_empty()));
        due = frame.index + 1;
    }
}

/// Makes sure that what was read of the last group is on the disk, and not in the system's memory alone: a program that
/// was killed never synced it, and after a sync that failed the system believes it is. Written again, it is synced.
pub(super) fn settle(segment: &Segment, found: &Scanned) -> io::Result<()> {
    let mut bytes = vec![0; found.tail.len()];
    read_all_at(&*segment.file, &mut bytes, u64::from(found.tail.start))?;
    write_all_at(&*segment.file, &bytes, u64::from(found.tail.start))?;
    segment.file.sync()
}

fn whole(file: &dyn StoreFile) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.length()?).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length];
    let mut done = 0;
    while done < length {
        let end = (done + PIECE).min(length);
        match file.read_at(&mut bytes[done..end], done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(fault) => return Err(fault),
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}
