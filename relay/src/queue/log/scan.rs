//! Reads a segment from end to end: every record that opens, wherever it lies, and what is missing between them.
//!
//! A torn tail is what the last group left when the machine stopped; anything missing before it was acknowledged, and
//! is damage. Holds a few MiB at once, not the segment.

use std::collections::HashSet;
use std::io;
use std::ops::Range;

use valise_host::files::{StoreFile, read_all_at, write_all_at};

use super::facts::{EnvelopeFact, Fact, Loc};
use super::notes::{Noted, Notes};
use super::segment::{FRAME_BYTES, Frame, RECORDS_AT, Segment, after};

/// Bytes read at once.
const PIECE: usize = 2 * 1024 * 1024;

/// What a segment was found to hold.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// Records that were acknowledged and are not there, by their place in the segment.
    pub(super) lost: Vec<Range<u32>>,
    /// Records of the last group that are not there: it was being written when the machine stopped.
    pub(super) torn: Vec<Range<u32>>,
    /// Where the last group lies, bytes.
    pub(super) tail: Range<u32>,
    /// Whether the segment was ended in order: then there is no torn tail.
    pub(super) closed: bool,
    /// Bytes that the file is too short.
    pub(super) short: u64,
    /// Records that opened.
    pub(super) count: usize,
}

/// Reads the whole of a segment: its facts, and what is missing. `tell` sees each record with the bytes that follow its
/// fact.
pub(super) fn scan(segment: &Segment, mut tell: impl FnMut(&Noted, &[u8])) -> io::Result<(Notes, Scanned)> {
    let mut window = Window::new(&*segment.file)?;
    let mut found =
        Scanned { short: segment.header.size.saturating_sub(window.length), ..Scanned::default() };
    let mut seen = Seen::default();
    let mut offset = RECORDS_AT;
    let mut copy = Vec::new();
    while let Some((at, frame)) = window.next(segment, offset)? {
        let length = frame.length();
        copy.clear();
        copy.extend_from_slice(window.bytes(at, length as usize)?);
        let read = segment.open(at, frame, &mut copy).and_then(|record| Fact::read(record));
        let Some((fact, payload)) = read else {
            offset = at + 8; // not one after all: the search goes on behind its marker
            continue;
        };
        let loc = Loc { segment: segment.header.id, offset: at, length };
        let noted = Noted { number: frame.number, loc, fact };
        tell(&noted, payload);
        found.closed = noted.fact == Fact::Closed;
        found.count += 1;
        seen.record(frame, &noted);
        offset = after(at, length);
    }
    found.tail = seen.tail..offset.max(seen.tail);
    seen.judge(&mut found);
    let notes =
        if found.torn.is_empty() { seen.notes } else { whole_envelopes(segment.header.id, seen.notes) };
    Ok((notes, found))
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    notes: Notes,
    /// Holes, by the places of the records that are missing.
    holes: Vec<Range<u32>>,
    due: u32,
    /// The group of the last record, and where it begins.
    group: Option<u32>,
    tail: u32,
}

impl Seen {
    fn record(&mut self, frame: Frame, noted: &Noted) {
        if frame.index > self.due {
            self.holes.push(self.due..frame.index);
        }
        self.due = frame.index + 1;
        if self.group != Some(frame.group) {
            (self.group, self.tail) = (Some(frame.group), noted.loc.offset);
        }
        self.notes.add(noted.number, noted.loc, &noted.fact);
    }

    /// Records count up by one, and every group was on the disk before the next was written.
    fn judge(&self, found: &mut Scanned) {
        let last = self.group.unwrap_or(0);
        for hole in &self.holes {
            let (lost, torn) = (hole.start..hole.end.min(last), hole.start.max(last)..hole.end);
            found.lost.extend(Some(lost).filter(|range| !range.is_empty()));
            found.torn.extend(Some(torn).filter(|range| !range.is_empty()));
        }
    }
}

/// Without the envelopes of a torn group whose pieces are not all there: they were never acknowledged.
fn whole_envelopes(id: u32, notes: Notes) -> Notes {
    let places: HashSet<u32> = notes.clone().read().map(|noted| noted.loc.offset).collect();
    let there = |fact: &EnvelopeFact| {
        let wraps = fact.entries.iter().filter_map(|entry| entry.wrap.as_ref());
        fact.chunks.iter().chain(wraps).all(|loc| loc.segment != id || places.contains(&loc.offset))
    };
    let mut kept = Notes::default();
    for noted in notes.read() {
        if !matches!(&noted.fact, Fact::Envelope(fact) if !fact.state_only && !there(fact)) {
            kept.add(noted.number, noted.loc, &noted.fact);
        }
    }
    kept
}

/// Makes sure that what was read of the last group is on the disk, and not in the system's memory alone: a program that
/// was killed never synced it, and after a sync that failed the system believes it is. Written again, it is synced.
pub(super) fn settle(segment: &Segment, found: &Scanned) -> io::Result<()> {
    let mut bytes = vec![0; found.tail.len()];
    read_all_at(&*segment.file, &mut bytes, u64::from(found.tail.start))?;
    write_all_at(&*segment.file, &bytes, u64::from(found.tail.start))?;
    segment.file.sync()
}

/// A piece of a file that moves with the reading.
struct Window<'a> {
    file: &'a dyn StoreFile,
    length: u64,
    at: u32,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(file: &'a dyn StoreFile) -> io::Result<Self> {
        Ok(Self { file, length: file.length()?, at: 0, bytes: Vec::new() })
    }

    /// Bytes from this place on, as many as wanted or as there are.
    fn bytes(&mut self, at: u32, want: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.length.saturating_sub(u64::from(at))).unwrap_or(usize::MAX);
        let want = want.min(left);
        let inside = at.checked_sub(self.at).map(|skip| skip as usize);
        if inside.is_none_or(|skip| skip + want > self.bytes.len()) {
            self.bytes.resize(want.max(PIECE).min(left), 0);
            read_all_at(self.file, &mut self.bytes, u64::from(at))?;
            self.at = at;
        }
        let skip = (at - self.at) as usize;
        Ok(&self.bytes[skip..])
    }

    /// The next place at which a record may begin.
    fn next(&mut self, segment: &Segment, mut offset: u32) -> io::Result<Option<(u32, Frame)>> {
        let length = self.length;
        loop {
            let bytes = self.bytes(offset, FRAME_BYTES)?;
            if bytes.len() < FRAME_BYTES {
                return Ok(None);
            }
            for step in (0..=bytes.len() - FRAME_BYTES).step_by(8) {
                let at = offset + u32::try_from(step).expect("invariant: a piece is short");
                let left = usize::try_from(length - u64::from(at)).unwrap_or(usize::MAX);
                if let Some(frame) = segment.frame(&bytes[step..], left) {
                    return Ok(Some((at, frame)));
                }
            }
            let steps = (bytes.len() - FRAME_BYTES) / 8 + 1;
            offset += u32::try_from(steps * 8).expect("invariant: as above");
        }
    }
}
