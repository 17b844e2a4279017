//! How a store is laid out: sizes and counts, with their reasons.

use valise_proto::limits::{FRAME_MAX, HEADER_MAX, RECIPIENTS_MAX, SEGMENT_CT_BYTES, WRAP_MAX};

/// Bytes of a segment: large enough that rolling is rare, small enough that a full one is read in a tenth of a second.
const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Fewest bytes of a segment: the largest record, thrice.
pub const SEGMENT_BYTES_MIN: u64 = 256 * 1024;
/// Spares that lie ready: one for the next roll, and two that only settling may use, so that a full relay can drain.
const SPARES: usize = 3;
/// Of these, so many are kept for settling.
pub(super) const SPARES_FOR_SETTLING: usize = 2;

/// How a log is laid out. One of another shape is read all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of a new segment.
    pub segment_bytes: u64,
    /// Spare segments that are kept ready; with none, one is made when it is needed.
    pub spares: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self { segment_bytes: SEGMENT_BYTES, spares: SPARES }
    }
}

impl Shape {
    /// Spares beyond which a retired segment is given back to the disk: as many again.
    pub(super) fn spares_max(self) -> usize {
        2 * self.spares.max(1)
    }
}

const _: () = {
    assert!(SEGMENT_BYTES <= u32::MAX as u64, "an offset has 32 bits");
    assert!(SEGMENT_BYTES >= SEGMENT_BYTES_MIN);
    // The largest record is an envelope's: its header, its entries, its only segment.
    assert!(3 * (HEADER_MAX + SEGMENT_CT_BYTES + 128 * RECIPIENTS_MAX) as u64 / 2 <= SEGMENT_BYTES_MIN);
    assert!(WRAP_MAX < FRAME_MAX);
};
