//! The tables of the queue, and the numbers they are laid out by. Only sequence, precedence, expiry, sizes and the
//! state of an entry stand in clear; every name and every byte of an envelope is sealed or blind.

use valise_host::ledger::Schema;
use valise_proto::limits::{MESSAGE_CT_MAX, PARTS_MAX, SEGMENT_CT_BYTES};

use crate::queue::Sequence;

/// "VALQ": tells a queue from every other database.
const APPLICATION_ID: i32 = 0x5641_4c51;

/// An entry without its wrap: accepted, not handed out.
pub(super) const WAITING: i64 = 0;
/// An entry to be handed out.
pub(super) const QUEUED: i64 = 1;
/// An entry that ended; kept while late statements may come.
pub(super) const SETTLED: i64 = 2;

/// Bits of a segment's place for its index: a part of 18 MiB has 289 segments.
const INDEX_BITS: u32 = 10;
/// Bits for its part.
const PART_BITS: u32 = 6;
/// Bits below the sequence, which keeps 2^47 numbers: a thousand a second for 4,000 years.
const PLACE_BITS: u32 = INDEX_BITS + PART_BITS;

const _: () = {
    assert!(PARTS_MAX <= 1 << PART_BITS, "every part has a place");
    assert!(MESSAGE_CT_MAX / (SEGMENT_CT_BYTES as u64) < 1 << INDEX_BITS, "every segment has a place");
};

/// Where a segment lies: one integer key, so that an envelope's segments lie side by side. `None` when no
/// envelope has such a segment.
pub(super) fn place(sequence: Sequence, part: u32, index: u32) -> Option<i64> {
    let fits = sequence < 1 << (63 - PLACE_BITS) && part < 1 << PART_BITS && index < 1 << INDEX_BITS;
    let place = (sequence << PLACE_BITS) | (u64::from(part) << INDEX_BITS) | u64::from(index);
    fits.then(|| place.cast_signed())
}

/// First and last place of an envelope's segments.
pub(super) fn places(sequence: Sequence) -> (i64, i64) {
    let first = (sequence << PLACE_BITS).cast_signed();
    (first, first + (1 << PLACE_BITS) - 1)
}

/// Headers, proofs and wraps have columns or tables of their own, so that settling one of 187 entries rewrites
/// neither the header nor the proof.
pub(super) const SCHEMA: Schema = Schema {
    application_id: APPLICATION_ID,
    steps: &["
        CREATE TABLE tally (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            highest INTEGER NOT NULL, entries INTEGER NOT NULL, receipts INTEGER NOT NULL
        ) STRICT;
        INSERT INTO tally VALUES (1, 0, 0, 0);

        CREATE TABLE accepted (
            sequence INTEGER PRIMARY KEY, message BLOB NOT NULL UNIQUE, author BLOB NOT NULL,
            expires_ms INTEGER NOT NULL, open INTEGER NOT NULL CHECK (open >= 0)
        ) STRICT;
        CREATE INDEX done ON accepted (expires_ms) WHERE open = 0;
        CREATE TABLE proofs (sequence INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
        CREATE TABLE headers (sequence INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
        CREATE TABLE segments (place INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;

        CREATE TABLE entries (
            id INTEGER PRIMARY KEY, sequence INTEGER NOT NULL, mailbox BLOB NOT NULL,
            name BLOB, wrap BLOB, precedence INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
            bytes INTEGER NOT NULL, state INTEGER NOT NULL CHECK (state IN (0, 1, 2)),
            UNIQUE (sequence, mailbox)
        ) STRICT;
        CREATE INDEX queued ON entries (mailbox, precedence DESC, sequence, expires_ms, bytes) WHERE state = 1;
        CREATE INDEX unsettled ON entries (expires_ms) WHERE state < 2;

        CREATE TABLE stated (
            sequence INTEGER NOT NULL, statement BLOB NOT NULL, PRIMARY KEY (sequence, statement)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE receipts (
            ordinal INTEGER PRIMARY KEY, device BLOB NOT NULL, id BLOB NOT NULL UNIQUE, sealed BLOB NOT NULL
        ) STRICT;
        CREATE INDEX mail ON receipts (device, ordinal);

        CREATE TABLE leaves (key BLOB PRIMARY KEY, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE bundles (mailbox BLOB PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
    ", COUNTS],
};

/// What waits, counted. Senders are sealed, so that the store itself counts those that were there before: `counted`
/// says whether it has.
const COUNTS: &str = "
    CREATE TABLE held (
        mailbox BLOB NOT NULL, precedence INTEGER NOT NULL, entries INTEGER NOT NULL CHECK (entries >= 0),
        bytes INTEGER NOT NULL CHECK (bytes >= 0), PRIMARY KEY (mailbox, precedence)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO held
        SELECT mailbox, precedence, COUNT(*), SUM(bytes) FROM entries WHERE state < 2 GROUP BY mailbox, precedence;
    CREATE TABLE senders (
        sender BLOB PRIMARY KEY, entries INTEGER NOT NULL CHECK (entries >= 0),
        bytes INTEGER NOT NULL CHECK (bytes >= 0)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX oldest ON entries (mailbox, sequence) WHERE state < 2;
    ALTER TABLE tally ADD COLUMN counted INTEGER NOT NULL DEFAULT 1;
    UPDATE tally SET counted = NOT EXISTS (SELECT 1 FROM accepted WHERE open > 0);
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_two_envelopes_never_meet() {
        let (first, last) = places(7);
        assert_eq!(place(7, 0, 0), Some(first));
        assert_eq!(place(7, 63, 1023), Some(last));
        assert_eq!(place(8, 0, 0), Some(last + 1));
        for (sequence, part, index) in [(7, 64, 0), (7, 0, 1024), (1 << 47, 0, 0)] {
            assert_eq!(place(sequence, part, index), None);
        }
    }
}
