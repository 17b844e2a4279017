//! What is held, in memory: where each record lies, in which order entries go out, what is due. Sees what is durable.
//!
//! Changes by facts alone, alive and after a restart the same way (`apply`). Never touches a disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use valise_proto::kinds::Precedence;
use valise_proto::names::{DeviceId, Mailbox, MessageId, PartyName};
use valise_proto::signing::{Hash, KeyId};

use super::facts::Loc;
use crate::queue::{Depth, Entry, Held, Outlook, Sequence};
use lines::Lines;
use mail::Mail;
use names::Names;
use shelves::{Shelves, Slot};

mod apply;
pub(super) mod lines;
pub(super) mod mail;
pub(super) mod names;
pub(super) mod shelves;

/// Bytes that an envelope whose entries have all ended still counts for in its segment: what will be copied of it.
const REMEMBERED_BYTES: u32 = 192;

/// A signing certificate.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeafAt {
    pub(super) loc: Loc,
    /// Tells whether another is the same.
    pub(super) digest: [u8; 16],
}

/// Everything that is held.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) mailboxes: Names<Mailbox>,
    pub(super) devices: Names<DeviceId>,
    pub(super) envelopes: Shelves,
    /// Segments of large envelopes, in order.
    chunks: HashMap<Sequence, Box<[Loc]>>,
    by_key: HashTable<Sequence>,
    pub(super) lines: Lines,
    /// The party of each device, by the device's number.
    parties: Vec<u32>,
    senders: Names<PartyName>,
    pub(super) mail: Mail,
    leaves: HashMap<KeyId, LeafAt>,
    bundles: HashMap<u32, (u64, Loc)>,
    /// Bytes in each segment that are still wanted.
    live: BTreeMap<u32, u64>,
    depth: Depth,
    hashes: RandomState,
}

impl Index {
    /// How much is held.
    pub(super) fn depth(&self) -> Depth {
        self.depth
    }

    /// No number up to this one is given again.
    pub(super) fn begin_after(&mut self, sequence: Sequence) {
        self.depth.sequence = self.depth.sequence.max(sequence);
    }

    /// The key under which a message of a submitter is found. Names have no NUL, so no two pairs share an encoding.
    pub(super) fn key(&self, submitter: &DeviceId, id: &MessageId) -> u64 {
        self.hashes.hash_one((submitter.party.as_str(), submitter.device.as_str(), id.as_bytes()))
    }

    /// What binds a statement to its envelope.
    pub(super) fn bound(&self, id: &MessageId, header: &Hash) -> u64 {
        self.hashes.hash_one((id.as_bytes(), header.0))
    }

    /// Envelopes under a key, almost always one at most: two when their hashes meet.
    pub(super) fn under(&self, key: u64) -> impl Iterator<Item = (Sequence, &Slot)> {
        let found = self
            .by_key
            .iter_hash(key)
            .filter_map(|sequence| Some((*sequence, self.envelopes.get(*sequence)?)));
        found.filter(move |(_, slot)| slot.key == key)
    }

    /// The entry of a mailbox: its place among the envelope's.
    pub(super) fn entry(&self, sequence: Sequence, mailbox: &Mailbox) -> Option<(&Slot, usize)> {
        let slot = self.envelopes.get(sequence)?;
        Some((slot, slot.place(self.mailboxes.find(mailbox)?)?))
    }

    /// Where the segments of a large envelope lie.
    pub(super) fn chunks(&self, sequence: Sequence) -> Option<&[Loc]> {
        self.chunks.get(&sequence).map(|chunks| &chunks[..])
    }

    pub(super) fn leaf(&self, key: &KeyId) -> Option<LeafAt> {
        self.leaves.get(key).copied()
    }

    /// The newest bundle: its batch, and where it lies.
    pub(super) fn bundle(&self, mailbox: &Mailbox) -> Option<(u64, Loc)> {
        self.bundles.get(&self.mailboxes.find(mailbox)?).copied()
    }

    /// The next entries of a mailbox ([P-36]), at most so many of each precedence.
    pub(super) fn next(
        &self,
        mailbox: &Mailbox,
        skip: &BTreeSet<Sequence>,
        max: usize,
        now_ms: u64,
    ) -> Vec<Entry> {
        let line = self.mailboxes.find(mailbox).and_then(|number| self.lines.of(number));
        let mut entries = Vec::new();
        for sequences in line.into_iter().flat_map(lines::Line::queued) {
            let wanted = sequences.iter().filter(|sequence| !skip.contains(sequence));
            let found = wanted.filter_map(|sequence| {
                let slot = self.envelopes.get(*sequence).filter(|slot| slot.expires_ms > now_ms)?;
                let precedence = Precedence::from_wire(i32::from(slot.precedence)).ok()?;
                let bytes = u64::from(slot.bytes);
                Some(Entry { sequence: *sequence, precedence, expires_ms: slot.expires_ms, bytes })
            });
            entries.extend(found.take(max));
        }
        entries
    }

    /// How much waits for a mailbox.
    pub(super) fn held(&self, mailbox: &Mailbox) -> Held {
        let line = self.mailboxes.find(mailbox).and_then(|number| self.lines.of(number));
        line.map_or_else(Held::default, |line| line.held)
    }

    /// How much waits of a party's devices.
    pub(super) fn sent(&self, party: &PartyName) -> Held {
        self.senders.find(party).map_or_else(Held::default, |number| self.lines.sent(number))
    }

    /// The number of a device, and with it that of its party.
    fn device(&mut self, device: &DeviceId) -> u32 {
        let number = self.devices.number(device);
        if number as usize == self.parties.len() {
            self.parties.push(self.senders.number(&device.party));
        }
        number
    }

    /// What runs out first, and the number of what waits longest.
    pub(super) fn outlook(&self) -> (Outlook, Option<Sequence>) {
        let next_expiry_ms = self.envelopes.next_expiry_ms();
        (Outlook { oldest_ms: None, next_expiry_ms }, self.envelopes.oldest())
    }

    /// Bytes in a segment that are still wanted.
    pub(super) fn live(&self, segment: u32) -> u64 {
        self.live.get(&segment).copied().unwrap_or(0)
    }

    fn weigh(&mut self, loc: Loc) {
        *self.live.entry(loc.segment).or_default() += u64::from(loc.length);
    }

    fn unweigh(&mut self, loc: Loc) {
        self.lighten(loc.segment, loc.length);
    }

    fn lighten(&mut self, segment: u32, bytes: u32) {
        if let Some(live) = self.live.get_mut(&segment) {
            *live = live.saturating_sub(u64::from(bytes));
            if *live == 0 {
                self.live.remove(&segment);
            }
        }
    }
}
