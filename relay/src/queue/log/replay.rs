//! Makes an index of what the segments of a store say: facts hold in the order of their numbers, whichever stream they
//! stand in.
//!
//! A segment is read when its turn comes and let go when it is through: what is held at once is bounded by the streams,
//! not by the store.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::sync::Arc;

use super::index::Index;
use super::notes::{Notes, Reading};
use super::segment::Segment;

/// A record in the order of numbers: records of two streams may alternate.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    number: u64,
    source: usize,
}

/// Applies the facts of all segments; `notes` reads those of one. The number that the next record may have.
pub(super) fn replay(
    segments: &[Arc<Segment>],
    index: &mut Index,
    mut notes: impl FnMut(&Arc<Segment>) -> io::Result<Notes>,
) -> io::Result<u64> {
    let mut next_number = 0;
    let mut coming: BTreeMap<(u64, u32), &Arc<Segment>> =
        segments.iter().map(|segment| ((segment.header.first, segment.header.id), segment)).collect();
    let mut open: Vec<Reading> = Vec::new();
    let mut heap: BinaryHeap<Reverse<Next>> = BinaryHeap::new();
    loop {
        let next = heap.peek().map(|Reverse(next)| next.number);
        if let Some(first) = coming.first_entry()
            && next.is_none_or(|number| first.key().0 <= number)
        {
            let segment = first.remove();
            index.begin_after(segment.header.sequence);
            next_number = next_number.max(segment.header.first);
            let reading = notes(segment)?.read();
            if let Some(number) = reading.next_number() {
                heap.push(Reverse(Next { number, source: open.len() }));
                open.push(reading);
            }
            continue;
        }
        let Some(Reverse(Next { source, .. })) = heap.pop() else { return Ok(next_number) };
        if let Some(record) = open[source].next() {
            index.apply(record.number, record.loc, &record.fact);
            next_number = next_number.max(record.number + 1);
        }
        match open[source].next_number() {
            Some(number) => heap.push(Reverse(Next { number, source })),
            None => open[source] = Reading::default(),
        }
    }
}
