//! What a record says, without the bytes that only readers want: enough to keep the index, alive or after a restart.
//!
//! Facts are protobuf, so that a later version may add to them. Never looks at a disk.

use bytes::Bytes;
use prost::Message;
use valise_proto::kinds::{Precedence, ReceiptKind};
use valise_proto::names::{DeviceId, DeviceName, Mailbox, MessageId, PartyName};
use valise_proto::signing::{Hash, KeyId};

use crate::queue::Sequence;

/// Where a record lies: its segment, its first byte, and its whole length with header and tag, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Message)]
pub(super) struct Loc {
    #[prost(uint32, tag = "1")]
    pub(super) segment: u32,
    #[prost(uint32, tag = "2")]
    pub(super) offset: u32,
    #[prost(uint32, tag = "3")]
    pub(super) length: u32,
}

/// How an entry stands. Numbers are those on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum State {
    /// No wrap yet: not handed out.
    Waiting = 0,
    /// To be handed out.
    Queued = 1,
    /// Let go.
    Settled = 2,
}

/// One recipient's entry.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EntryFact {
    #[prost(string, tag = "1")]
    pub(super) mailbox: String,
    #[prost(enumeration = "State", tag = "2")]
    pub(super) state: i32,
    /// A bit for each kind of statement that was kept about it.
    #[prost(uint32, tag = "3")]
    pub(super) stated: u32,
    /// Where its wrap lies; none while it waits, and once it is settled.
    #[prost(message, optional, tag = "4")]
    pub(super) wrap: Option<Loc>,
    /// Its wrap lies in this very record.
    #[prost(bool, tag = "5")]
    pub(super) here: bool,
}

/// An accepted envelope: as it came, or moved with what became of it.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EnvelopeFact {
    #[prost(uint64, tag = "1")]
    pub(super) sequence: Sequence,
    #[prost(string, tag = "2")]
    pub(super) party: String,
    #[prost(string, tag = "3")]
    pub(super) device: String,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) message_id: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    pub(super) header_hash: Bytes,
    #[prost(int32, tag = "6")]
    pub(super) precedence: i32,
    #[prost(uint64, tag = "7")]
    pub(super) expires_ms: u64,
    #[prost(uint64, tag = "8")]
    pub(super) accepted_ms: u64,
    /// Ciphertext bytes of all parts.
    #[prost(uint64, tag = "9")]
    pub(super) bytes: u64,
    #[prost(message, repeated, tag = "10")]
    pub(super) entries: Vec<EntryFact>,
    /// Segments of each part.
    #[prost(uint32, repeated, tag = "11")]
    pub(super) parts: Vec<u32>,
    /// Where the segments lie, in order; empty when the only one lies in this record, or none is kept.
    #[prost(message, repeated, tag = "12")]
    pub(super) chunks: Vec<Loc>,
    /// A record of state alone: the envelope's own record lies where it lay.
    #[prost(bool, tag = "13")]
    pub(super) state_only: bool,
}

/// Wraps that came late.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WrapsFact {
    #[prost(uint64, tag = "1")]
    pub(super) sequence: Sequence,
    /// Which entries, by their place among the envelope's.
    #[prost(uint32, repeated, tag = "2")]
    pub(super) entries: Vec<u32>,
}

/// A statement about one entry, kept for its author's device, which is named here: the envelope may be lost.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StatedFact {
    #[prost(uint64, tag = "1")]
    pub(super) sequence: Sequence,
    #[prost(uint32, tag = "2")]
    pub(super) entry: u32,
    #[prost(int32, tag = "3")]
    pub(super) kind: i32,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) receipt: Bytes,
    #[prost(string, tag = "5")]
    pub(super) party: String,
    #[prost(string, tag = "6")]
    pub(super) device: String,
}

/// Entries that the clock ended, with the ids of the relay's receipts.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EndedFact {
    #[prost(uint64, tag = "1")]
    pub(super) sequence: Sequence,
    #[prost(uint32, repeated, tag = "2")]
    pub(super) entries: Vec<u32>,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub(super) receipts: Vec<Bytes>,
    #[prost(string, tag = "4")]
    pub(super) party: String,
    #[prost(string, tag = "5")]
    pub(super) device: String,
}

/// A receipt that was moved.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HeldFact {
    #[prost(string, tag = "1")]
    pub(super) party: String,
    #[prost(string, tag = "2")]
    pub(super) device: String,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) receipt: Bytes,
    /// Its place in the order of that device's receipts.
    #[prost(uint64, tag = "4")]
    pub(super) order: u64,
}

/// Receipts that their device holds, each with the segment it lay in: gone with that segment.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TakenFact {
    #[prost(string, tag = "1")]
    pub(super) party: String,
    #[prost(string, tag = "2")]
    pub(super) device: String,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub(super) receipts: Vec<Bytes>,
    #[prost(uint32, repeated, tag = "4")]
    pub(super) origins: Vec<u32>,
}

/// The certificate of a signing key.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LeafFact {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) key: Bytes,
    /// Of the certificate: tells whether another is the same.
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) digest: Bytes,
}

/// The bundle of a mailbox.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct BundleFact {
    #[prost(string, tag = "1")]
    pub(super) mailbox: String,
    #[prost(uint64, tag = "2")]
    pub(super) batch_no: u64,
}

/// Envelopes that were forgotten, each with the segment its record lay in.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PurgedFact {
    #[prost(uint64, repeated, tag = "1")]
    pub(super) sequences: Vec<Sequence>,
    #[prost(uint32, repeated, tag = "2")]
    pub(super) origins: Vec<u32>,
}

/// A segment of an envelope, or wraps of it, staged: seen through the envelope's record alone.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StagedFact {
    #[prost(uint64, tag = "1")]
    pub(super) sequence: Sequence,
}

/// The store was closed in order: whatever is missing before this is damage.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct ClosedFact {}

/// What one record says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fact {
    Envelope(Box<EnvelopeFact>),
    Wraps(WrapsFact),
    Stated(StatedFact),
    Ended(EndedFact),
    Held(HeldFact),
    Taken(TakenFact),
    Leaf(LeafFact),
    Bundle(BundleFact),
    Purged(PurgedFact),
    Staged(StagedFact),
    Closed,
}

impl Fact {
    fn kind(&self) -> u8 {
        match self {
            Self::Envelope(_) => 1,
            Self::Wraps(_) => 2,
            Self::Stated(_) => 3,
            Self::Ended(_) => 4,
            Self::Held(_) => 5,
            Self::Taken(_) => 6,
            Self::Leaf(_) => 7,
            Self::Bundle(_) => 8,
            Self::Purged(_) => 9,
            Self::Staged(_) => 10,
            Self::Closed => 11,
        }
    }

    /// Appends it: kind, length, protobuf.
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        into.push(self.kind());
        let at = into.len();
        into.extend_from_slice(&[0; 4]);
        let done = match self {
            Self::Envelope(fact) => fact.encode(into),
            Self::Wraps(fact) => fact.encode(into),
            Self::Stated(fact) => fact.encode(into),
            Self::Ended(fact) => fact.encode(into),
            Self::Held(fact) => fact.encode(into),
            Self::Taken(fact) => fact.encode(into),
            Self::Leaf(fact) => fact.encode(into),
            Self::Bundle(fact) => fact.encode(into),
            Self::Purged(fact) => fact.encode(into),
            Self::Staged(fact) => fact.encode(into),
            Self::Closed => ClosedFact {}.encode(into),
        };
        done.expect("invariant: a vector grows");
        let length = u32::try_from(into.len() - at - 4).expect("invariant: a fact is far below 4 GiB");
        into[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Reads one, and what follows it; nothing when it is none.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (kind, rest) = bytes.split_first()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (fact, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        let fact = match kind {
            1 => Self::Envelope(Box::new(EnvelopeFact::decode(fact).ok()?)),
            2 => Self::Wraps(WrapsFact::decode(fact).ok()?),
            3 => Self::Stated(StatedFact::decode(fact).ok()?),
            4 => Self::Ended(EndedFact::decode(fact).ok()?),
            5 => Self::Held(HeldFact::decode(fact).ok()?),
            6 => Self::Taken(TakenFact::decode(fact).ok()?),
            7 => Self::Leaf(LeafFact::decode(fact).ok()?),
            8 => Self::Bundle(BundleFact::decode(fact).ok()?),
            9 => Self::Purged(PurgedFact::decode(fact).ok()?),
            10 => Self::Staged(StagedFact::decode(fact).ok()?),
            11 => Self::Closed,
            _ => return None,
        };
        Some((fact, rest))
    }
}

impl EnvelopeFact {
    pub(super) fn submitter(&self) -> Option<DeviceId> {
        device(&self.party, &self.device)
    }

    pub(super) fn id(&self) -> Option<MessageId> {
        MessageId::try_from(&self.message_id[..]).ok()
    }

    pub(super) fn hash(&self) -> Option<Hash> {
        Hash::try_from(&self.header_hash[..]).ok()
    }

    pub(super) fn precedence(&self) -> Option<Precedence> {
        Precedence::from_wire(self.precedence).ok()
    }
}

impl EntryFact {
    pub(super) fn name(&self) -> Option<Mailbox> {
        Mailbox::new(&self.mailbox).ok()
    }
}

impl LeafFact {
    pub(super) fn key(&self) -> Option<KeyId> {
        KeyId::try_from(&self.key[..]).ok()
    }
}

impl BundleFact {
    pub(super) fn name(&self) -> Option<Mailbox> {
        Mailbox::new(&self.mailbox).ok()
    }
}

/// A device by its two names.
pub(super) fn device(party: &str, device: &str) -> Option<DeviceId> {
    Some(DeviceId { party: PartyName::new(party).ok()?, device: DeviceName::new(device).ok()? })
}

/// The bit of a kind of statement: that of its number on the wire, which never changes.
pub(super) fn bit(kind: ReceiptKind) -> u16 {
    let number = u32::try_from(kind.to_wire()).expect("invariant: a set numbers its members from 1");
    1_u16.checked_shl(number).expect("invariant: there are fewer than 16 kinds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_follows_stays() {
        let fact = Fact::Purged(PurgedFact { sequences: vec![1, 1 << 40], origins: vec![2, 3] });
        let mut bytes = Vec::new();
        fact.write(&mut bytes);
        bytes.extend_from_slice(b"payload");
        assert_eq!(Fact::read(&bytes), Some((fact, &b"payload"[..])));
        for cut in 0..bytes.len() - 7 {
            assert_eq!(Fact::read(&bytes[..cut]), None);
        }
        bytes[0] = 99;
        assert_eq!(Fact::read(&bytes), None);
    }

    #[test]
    fn each_kind_of_statement_has_a_bit() {
        let all: u16 = ReceiptKind::ALL.iter().map(|kind| bit(*kind)).sum();
        assert_eq!(all.count_ones() as usize, ReceiptKind::ALL.len());
    }
}
