//! Makes room: what is still wanted of a segment that is mostly dead is copied forward, then the segment is retired.
//!
//! Works in small steps between groups, so that no sender waits for it. What is copied is on the disk before anything
//! is retired; one absent recipient pins its own mail alone.

use valise_host::ledger::StoreError;

use super::facts::{EntryFact, EnvelopeFact, Fact, HeldFact, Loc, PurgedFact, State, TakenFact};
use super::index::Index;
use super::index::shelves::Slot;
use super::notes::Reading;
use super::opening::tell;
use super::payload::{EnvelopePayload, Payload, WrapHere};
use super::segment::{RECORDS_AT, footprint};
use super::store::Store;
use crate::queue::Sequence;

use bytes::Bytes;
use prost::Message;

/// A segment is emptied when less than one part in so many of it is wanted.
const WANTED_PARTS: u64 = 4;
/// Facts looked at in one step.
const STEP_FACTS: usize = 512;
/// Bytes copied in one step, more or less: bounds how long a group waits behind it.
const STEP_BYTES: usize = 1024 * 1024;
/// Bytes beside what is counted of a record.
const RECORD_BYTES: usize = 512;

/// What is being emptied.
#[derive(Default)]
pub(super) struct Collector {
    work: Option<Emptying>,
    /// A segment that could not be read: it stays as it is until the next start.
    spoiled: Vec<u32>,
    /// Groups until the segments are weighed again.
    rest: usize,
}

struct Emptying {
    segment: u32,
    /// Number of its last record.
    last: u64,
    facts: Reading,
}

/// A copy to be written.
enum Copy {
    Plain(Fact, Bytes),
    Envelope(Box<EnvelopeFact>, Option<EnvelopePayload>, Vec<Bytes>, Vec<(usize, Bytes)>),
}

impl Store {
    /// One step, if there is anything to do; whether there was.
    pub(super) fn collect(&mut self) -> bool {
        if self.sound().is_err() {
            return false;
        }
        if self.collector.work.is_none() {
            self.choose();
        }
        if self.collector.work.is_none() {
            return false;
        }
        match self.step() {
            Ok(()) => {}
            // Without room it is tried again when there is some.
            Err(StoreError::Full) => self.collector.rest = GROUPS_BETWEEN,
            Err(StoreError::Damaged { what, .. }) => {
                let segment = self.collector.work.take().map(|work| work.segment);
                self.collector.spoiled.extend(segment);
                tracing::error!(event = "queue-damaged", store = %self.path.display(), segment, why = what);
            }
            Err(fault) => {
                self.judge(&fault);
            }
        }
        true
    }

    /// The segment of which least is wanted, if it is little enough.
    fn choose(&mut self) {
        if self.collector.rest > 0 {
            self.collector.rest -= 1;
            return;
        }
        self.collector.rest = GROUPS_BETWEEN;
        let index = self.index.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let all = self.common.reader.all();
        let sealed = all.iter().filter(|one| {
            let id = one.header.id;
            !self.hot.holds(id) && !self.cold.holds(id) && !self.collector.spoiled.contains(&id)
        });
        let weighed = sealed.map(|one| (index.live(one.header.id), one));
        let least =
            weighed.filter(|(live, one)| live * WANTED_PARTS < one.header.size).min_by_key(|(live, _)| *live);
        let Some((_, segment)) = least else { return };
        let (id, segment) = (segment.header.id, segment.clone());
        drop(index);
        match tell(&*self.common.files, &self.common.dir, &segment) {
            Ok(told) => {
                let last = told.notes.clone().read().last().map_or(0, |noted| noted.number);
                self.collector.work = Some(Emptying { segment: id, last, facts: told.notes.read() });
            }
            Err(fault) => {
                tracing::error!(event = "queue-damaged", store = %self.path.display(), segment = id, why = %fault);
                self.collector.spoiled.push(id);
            }
        }
    }

    /// Copies some of what is wanted; after the last, retires the segment. What could not be copied is still to do.
    fn step(&mut self) -> Result<(), StoreError> {
        let Some(mut work) = self.collector.work.take() else { return Ok(()) };
        let before = work.facts.place();
        let copied =
            self.copies(&mut work).and_then(|(copies, bytes, largest)| self.copy(copies, bytes, largest));
        if copied.is_ok() && work.facts.is_over() {
            self.collector.rest = 0;
            if let Some(segment) = self.common.reader.remove(work.segment) {
                self.common.keeper.retire(segment);
            }
            return Ok(());
        }
        if copied.is_err() {
            work.facts.go_back(before);
        }
        self.collector.work = Some(work);
        copied
    }

    /// What one step copies, its bytes and those of the largest.
    fn copies(&self, work: &mut Emptying) -> Result<(Vec<Copy>, usize, usize), StoreError> {
        let (mut copies, mut bytes, mut largest) = (Vec::new(), 0, 0);
        for _ in 0..STEP_FACTS {
            let Some(noted) = work.facts.next() else { break };
            for copy in self.wanted(work, noted.loc, &noted.fact)? {
                let (sum, most) = copy.size();
                bytes += sum;
                largest = largest.max(most);
                copies.push(copy);
            }
            if bytes > STEP_BYTES {
                break;
            }
        }
        Ok((copies, bytes, largest))
    }

    fn copy(&mut self, copies: Vec<Copy>, bytes: usize, largest: usize) -> Result<(), StoreError> {
        if copies.is_empty() {
            return Ok(());
        }
        self.cold.reserve(&mut self.common, bytes, largest, false)?;
        let mut scratch = Vec::new();
        let mut changes = Vec::with_capacity(copies.len());
        for copy in copies {
            let mut put = |fact: &Fact, payload: &[u8]| {
                self.cold.append(&mut self.common, fact, Payload::Bytes(payload), &mut scratch)
            };
            let (fact, payload) = match copy {
                Copy::Plain(fact, payload) => (fact, payload),
                Copy::Envelope(mut fact, payload, chunks, wraps) => {
                    let staged = Fact::Staged(super::facts::StagedFact { sequence: fact.sequence });
                    for chunk in chunks {
                        fact.chunks.push(put(&staged, &chunk)?.1);
                    }
                    for (place, wrap) in wraps {
                        fact.entries[place].wrap = Some(put(&staged, &wrap)?.1);
                    }
                    let payload = payload.map(|payload| payload.encode_to_vec()).unwrap_or_default();
                    (Fact::Envelope(fact), payload.into())
                }
            };
            let (number, loc) = put(&fact, &payload)?;
            changes.push((number, loc, fact));
        }
        self.cold.finish(())?;
        self.publish(&changes);
        Ok(())
    }

    /// What must be written again before this record may go.
    fn wanted(&self, work: &Emptying, loc: Loc, fact: &Fact) -> Result<Vec<Copy>, StoreError> {
        let view = self.view();
        let index = view.index();
        let mut copies = Vec::new();
        match fact {
            Fact::Envelope(fact) => copies.extend(self.rebased(&index, work, fact.sequence)?),
            Fact::Wraps(fact) => copies.extend(self.rebased(&index, work, fact.sequence)?),
            Fact::Stated(fact) => {
                copies.extend(self.rebased(&index, work, fact.sequence)?);
                copies.extend(self.held(&index, loc, &fact.party, &fact.device, &fact.receipt)?);
            }
            Fact::Ended(fact) => {
                copies.extend(self.rebased(&index, work, fact.sequence)?);
                for receipt in &fact.receipts {
                    copies.extend(self.held(&index, loc, &fact.party, &fact.device, receipt)?);
                }
            }
            Fact::Held(fact) => {
                copies.extend(self.held(&index, loc, &fact.party, &fact.device, &fact.receipt)?)
            }
            Fact::Leaf(leaf) => {
                if leaf.key().and_then(|key| index.leaf(&key)).is_some_and(|held| held.loc == loc) {
                    copies.push(Copy::Plain(fact.clone(), self.common.reader.record(loc)?.1));
                }
            }
            Fact::Bundle(bundle) => {
                if bundle.name().and_then(|name| index.bundle(&name)).is_some_and(|(_, held)| held == loc) {
                    copies.push(Copy::Plain(fact.clone(), self.common.reader.record(loc)?.1));
                }
            }
            // A word that something is gone is wanted as long as the segment that has it.
            Fact::Taken(fact) => {
                let keep = self.origins(work, &fact.origins);
                let receipts: Vec<_> = keep.iter().map(|at| fact.receipts[*at].clone()).collect();
                let origins: Vec<_> = keep.iter().map(|at| fact.origins[*at]).collect();
                if !receipts.is_empty() {
                    let fact = TakenFact { receipts, origins, ..fact.clone() };
                    copies.push(Copy::Plain(Fact::Taken(fact), Bytes::new()));
                }
            }
            Fact::Purged(fact) => {
                let keep = self.origins(work, &fact.origins);
                let sequences: Vec<_> = keep.iter().map(|at| fact.sequences[*at]).collect();
                let origins: Vec<_> = keep.iter().map(|at| fact.origins[*at]).collect();
                if !sequences.is_empty() {
                    copies.push(Copy::Plain(Fact::Purged(PurgedFact { sequences, origins }), Bytes::new()));
                }
            }
            Fact::Staged(_) | Fact::Closed => {}
        }
        Ok(copies)
    }

    /// The places of those origins whose segment is still there, this one apart.
    fn origins(&self, work: &Emptying, origins: &[u32]) -> Vec<usize> {
        let common = &self.common;
        let there = |id: &u32| {
            *id != work.segment && (common.reader.segment(*id).is_some() || common.keeper.is_retiring(*id))
        };
        (0..).zip(origins).filter(|(_, id)| there(id)).map(|(at, _)| at).collect()
    }

    /// A receipt that lies here and is still waited for.
    fn held(
        &self,
        index: &Index,
        loc: Loc,
        party: &str,
        device: &str,
        receipt: &Bytes,
    ) -> Result<Option<Copy>, StoreError> {
        let named = super::facts::device(party, device).and_then(|device| index.devices.find(&device));
        let id = <[u8; 16]>::try_from(&receipt[..]).ok();
        let found =
            named.zip(id).and_then(|(device, id)| index.mail.find(device, &id).map(|found| (id, found)));
        let Some((id, (order, waiting))) = found.filter(|(_, (_, waiting))| waiting.loc == loc) else {
            return Ok(None);
        };
        let signed = self.view().receipt(waiting.loc, &id)?;
        let fact =
            HeldFact { party: party.to_owned(), device: device.to_owned(), receipt: receipt.clone(), order };
        Ok(Some(Copy::Plain(Fact::Held(fact), signed.to_bytes())))
    }

    /// What an envelope of which a record lies here needs: nothing when all of it stands in later segments.
    fn rebased(
        &self,
        index: &Index,
        work: &Emptying,
        sequence: Sequence,
    ) -> Result<Option<Copy>, StoreError> {
        let Some(slot) = index.envelopes.get(sequence) else { return Ok(None) };
        let chunks = index.chunks(sequence).unwrap_or_default();
        let wrapped = slot.entries().iter().filter(|entry| entry.wrapped && entry.state != State::Settled);
        let here = |loc: &Loc| loc.segment == work.segment;
        let pieces_here = here(&slot.base)
            || slot.open > 0 && (chunks.iter().any(here) || wrapped.clone().any(|entry| here(&entry.wrap)));
        if pieces_here {
            return self.moved(index, sequence, slot, chunks).map(Some);
        }
        let base = self.common.reader.segment(slot.base.segment);
        if base.is_none_or(|base| base.header.first > work.last) {
            return Ok(None);
        }
        let (fact, _) = self.common.reader.envelope(sequence, slot.base)?;
        Ok(Some(Copy::Plain(Fact::Envelope(Box::new(stated(index, slot, fact, true))), Bytes::new())))
    }

    /// All of an envelope in one place, with what became of it; what nobody will ask for is left behind.
    fn moved(
        &self,
        index: &Index,
        sequence: Sequence,
        slot: &Slot,
        chunks: &[Loc],
    ) -> Result<Copy, StoreError> {
        let (fact, payload) = self.common.reader.envelope(sequence, slot.base)?;
        let mut fact = stated(index, slot, fact, false);
        if slot.open == 0 {
            return Ok(Copy::Envelope(Box::new(fact), None, Vec::new(), Vec::new()));
        }
        let lost = || self.common.reader.damaged(format!("envelope {sequence} has lost a part of it"));
        let mut payload = payload.ok_or_else(lost)?;
        let view = self.view();
        let mut wraps = Vec::new();
        for (place, entry) in slot.entries().iter().enumerate() {
            if entry.wrapped && entry.state != State::Settled {
                wraps.push((place, view.wrap_of(&payload, slot.base, entry.wrap, place)?));
            }
        }
        payload.wraps.clear();
        if let [(place, wrap)] = &wraps[..] {
            fact.entries[*place].here = true;
            let entry = u32::try_from(*place).unwrap_or(u32::MAX);
            payload.wraps.push(WrapHere { entry, wrap: wrap.clone() });
            wraps.clear();
        }
        let chunks = chunks.iter().map(|loc| Ok(self.common.reader.record(*loc)?.1));
        let chunks = chunks.collect::<Result<Vec<_>, StoreError>>()?;
        Ok(Copy::Envelope(Box::new(fact), Some(payload), chunks, wraps))
    }
}

/// Groups after which the segments are weighed again.
const GROUPS_BETWEEN: usize = 16;

/// The fact of an envelope with what became of its entries. Where its wraps lie is told by who writes them.
fn stated(index: &Index, slot: &Slot, fact: EnvelopeFact, state_only: bool) -> EnvelopeFact {
    let entry = |entry: &super::index::shelves::Entry| EntryFact {
        mailbox: index.mailboxes.name(entry.mailbox).to_string(),
        state: entry.state.into(),
        stated: u32::from(entry.stated),
        wrap: (state_only && entry.wrapped && entry.state != State::Settled).then_some(entry.wrap),
        here: false,
    };
    EnvelopeFact {
        entries: slot.entries().iter().map(entry).collect(),
        chunks: Vec::new(),
        state_only,
        ..fact
    }
}

impl Copy {
    fn size(&self) -> (usize, usize) {
        match self {
            Self::Plain(Fact::Envelope(fact), _) => one(fact.encoded_len()),
            Self::Plain(Fact::Taken(fact), _) => one(fact.encoded_len()),
            Self::Plain(Fact::Purged(fact), _) => one(fact.encoded_len()),
            Self::Plain(_, payload) => one(payload.len()),
            Self::Envelope(fact, payload, chunks, wraps) => {
                let pieces = chunks.iter().chain(wraps.iter().map(|(_, wrap)| wrap));
                let (sum, most) = pieces
                    .map(|piece| one(piece.len()))
                    .fold((0, 0), |(sum, most), size| (sum + size.0, most.max(size.1)));
                let places = 24 * (chunks.len() + wraps.len());
                let own = fact.encoded_len() + places + payload.as_ref().map_or(0, Message::encoded_len);
                (sum + one(own).0, most.max(one(own).0))
            }
        }
    }
}

fn one(bytes: usize) -> (usize, usize) {
    let size = footprint(bytes + RECORD_BYTES);
    (size, size)
}

const _: () = assert!(STEP_BYTES > RECORDS_AT as usize);
