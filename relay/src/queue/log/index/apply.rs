//! What each fact does to the index. The one way in which it changes: after a commit, and when a store is opened.
//!
//! Facts hold in the order of their numbers. One about something that is not there does nothing: it was about an
//! envelope that is forgotten, or lost and reported.

use valise_proto::kinds::ReceiptKind;
use valise_proto::limits::RECIPIENTS_MAX;
use valise_proto::names::DeviceId;

use super::lines::Waits;
use super::mail::Waiting;
use super::shelves::{Entries, Entry, Slot};
use super::{Index, LeafAt, REMEMBERED_BYTES};
use crate::queue::Sequence;
use crate::queue::log::facts::{
    EndedFact, EnvelopeFact, Fact, Loc, State, StatedFact, TakenFact, bit, device,
};

impl Index {
    /// Takes one fact, and the place of its record.
    pub(in crate::queue::log) fn apply(&mut self, number: u64, loc: Loc, fact: &Fact) {
        match fact {
            Fact::Envelope(fact) if fact.state_only => self.restate(fact),
            Fact::Envelope(fact) => self.place(loc, fact).unwrap_or_default(),
            Fact::Wraps(fact) => self.wrap(fact.sequence, &fact.entries, loc),
            Fact::Stated(fact) => self.stated(number, loc, fact),
            Fact::Ended(fact) => self.ended(number, loc, fact),
            Fact::Held(fact) => {
                if let Some(device) = device(&fact.party, &fact.device) {
                    self.hold(&device, fact.order, &fact.receipt, loc);
                }
            }
            Fact::Taken(fact) => self.taken(fact),
            Fact::Leaf(fact) => {
                if let (Some(key), Ok(digest)) = (fact.key(), <[u8; 16]>::try_from(&fact.digest[..])) {
                    if let Some(old) = self.leaves.insert(key, LeafAt { loc, digest }) {
                        self.unweigh(old.loc);
                    }
                    self.weigh(loc);
                }
            }
            Fact::Bundle(fact) => {
                if let Some(mailbox) = fact.name() {
                    let number = self.mailboxes.number(&mailbox);
                    let held = self.bundles.get(&number).copied();
                    if held.is_none_or(|(batch_no, _)| fact.batch_no >= batch_no) {
                        held.into_iter().for_each(|(_, old)| self.unweigh(old));
                        self.bundles.insert(number, (fact.batch_no, loc));
                        self.weigh(loc);
                    }
                }
            }
            Fact::Purged(fact) => fact.sequences.iter().for_each(|sequence| self.forget(*sequence)),
            Fact::Staged(_) | Fact::Closed => {}
        }
    }

    /// An envelope: new, or in another place with what became of it.
    fn place(&mut self, loc: Loc, fact: &EnvelopeFact) -> Option<()> {
        let (submitter, id, hash) = (fact.submitter()?, fact.id()?, fact.hash()?);
        let mut entries = Vec::with_capacity(fact.entries.len());
        for entry in &fact.entries {
            let state = State::try_from(entry.state).ok()?;
            let wrap = if entry.here { Some(loc) } else { entry.wrap };
            entries.push(Entry {
                mailbox: self.mailboxes.number(&entry.name()?),
                wrap: wrap.unwrap_or_default(),
                stated: u16::try_from(entry.stated).ok()?,
                state,
                wrapped: wrap.is_some(),
            });
        }
        let open = entries.iter().filter(|entry| entry.state != State::Settled).count();
        let slot = Slot {
            key: self.key(&submitter, &id),
            bound: self.bound(&id, &hash),
            expires_ms: fact.expires_ms,
            base: loc,
            bytes: u32::try_from(fact.bytes).ok()?,
            submitter: self.device(&submitter),
            open: u16::try_from(open).ok()?,
            precedence: u8::try_from(fact.precedence().map_or(0, |one| one.to_wire())).ok()?,
            entries: Entries::from(entries),
        };
        self.depth.sequence = self.depth.sequence.max(fact.sequence);
        self.replace(fact.sequence, slot, &fact.chunks);
        Some(())
    }

    fn replace(&mut self, sequence: Sequence, slot: Slot, chunks: &[Loc]) {
        self.leave(sequence);
        if slot.open > 0 && !chunks.is_empty() {
            self.chunks.insert(sequence, chunks.into());
        }
        let known = self.envelopes.get(sequence).is_some_and(|old| old.key == slot.key);
        let key = slot.key;
        self.envelopes.put(sequence, slot);
        if !known {
            let Self { by_key, envelopes, .. } = self;
            let rehash = |sequence: &Sequence| envelopes.get(*sequence).map_or(0, |slot| slot.key);
            by_key.insert_unique(key, sequence, rehash);
        }
        self.enter(sequence);
    }

    /// Counts and lines up what an envelope has.
    fn enter(&mut self, sequence: Sequence) {
        let Some(slot) = self.envelopes.get(sequence).cloned() else { return };
        self.depth.entries += u64::from(slot.open);
        if slot.open == 0 {
            self.weigh(Loc { length: slot.base.length.min(REMEMBERED_BYTES), ..slot.base });
            return;
        }
        self.weigh(slot.base);
        let chunks = self.chunks.get(&sequence).cloned();
        chunks.iter().flatten().for_each(|chunk| self.weigh(*chunk));
        self.lines.store(self.parties[slot.submitter as usize], u64::from(slot.bytes));
        for entry in slot.entries().iter().filter(|entry| entry.state != State::Settled) {
            self.lines.enter(self.waits(sequence, &slot, entry.mailbox), entry.state == State::Queued);
            if entry.wrapped && entry.wrap != slot.base {
                self.weigh(entry.wrap);
            }
        }
    }

    /// The opposite: as if it were not there, but for its place on the shelf.
    fn leave(&mut self, sequence: Sequence) {
        let Some(slot) = self.envelopes.get(sequence).cloned() else { return };
        self.depth.entries -= u64::from(slot.open);
        if slot.open == 0 {
            self.lighten(slot.base.segment, slot.base.length.min(REMEMBERED_BYTES));
            return;
        }
        self.unweigh(slot.base);
        let chunks = self.chunks.remove(&sequence);
        chunks.iter().flatten().for_each(|chunk| self.unweigh(*chunk));
        self.lines.let_go(self.parties[slot.submitter as usize], u64::from(slot.bytes));
        for entry in slot.entries().iter().filter(|entry| entry.state != State::Settled) {
            self.lines.leave(self.waits(sequence, &slot, entry.mailbox));
            if entry.wrapped && entry.wrap != slot.base {
                self.unweigh(entry.wrap);
            }
        }
    }

    fn waits(&self, sequence: Sequence, slot: &Slot, mailbox: u32) -> Waits {
        Waits {
            sequence,
            mailbox,
            sender: self.parties[slot.submitter as usize],
            precedence: slot.precedence,
            bytes: u64::from(slot.bytes),
        }
    }

    /// What became of the entries, while the envelope's record lies where it lay.
    fn restate(&mut self, fact: &EnvelopeFact) {
        let Some(slot) = self.envelopes.get(fact.sequence) else { return };
        let mut slot = slot.clone();
        let chunks = self.chunks.get(&fact.sequence).cloned().unwrap_or_default();
        for (entry, told) in slot.entries_mut().iter_mut().zip(&fact.entries) {
            entry.state = State::try_from(told.state).unwrap_or(entry.state);
            entry.stated = u16::try_from(told.stated).unwrap_or(entry.stated);
            if let Some(wrap) = told.wrap {
                (entry.wrap, entry.wrapped) = (wrap, true);
            }
        }
        let open = slot.entries().iter().filter(|entry| entry.state != State::Settled).count();
        slot.open = u16::try_from(open).unwrap_or(u16::MAX);
        self.replace(fact.sequence, slot, &chunks);
    }

    /// Entries get a wrap, or another.
    fn wrap(&mut self, sequence: Sequence, entries: &[u32], loc: Loc) {
        for place in entries {
            let Some(slot) = self.envelopes.get(sequence) else { return };
            let base = slot.base;
            let Some(entry) = slot.entries().get(*place as usize).copied() else { continue };
            if entry.state == State::Settled {
                continue;
            }
            let waits = self.waits(sequence, slot, entry.mailbox);
            if entry.wrapped && entry.wrap != base {
                self.unweigh(entry.wrap);
            }
            self.weigh(loc);
            self.envelopes.change(sequence, |slot| {
                let entry = &mut slot.entries_mut()[*place as usize];
                *entry = Entry { state: State::Queued, wrap: loc, wrapped: true, ..*entry };
            });
            self.lines.wrap(waits);
        }
    }

    fn stated(&mut self, number: u64, loc: Loc, fact: &StatedFact) {
        if let Some(device) = device(&fact.party, &fact.device) {
            self.hold(&device, number * ORDERS, &fact.receipt, loc);
        }
        let Ok(kind) = ReceiptKind::from_wire(fact.kind) else { return };
        let place = fact.entry as usize;
        let state = self.envelopes.change(fact.sequence, |slot| {
            let entry = slot.entries_mut().get_mut(place)?;
            entry.stated |= bit(kind);
            Some(entry.state)
        });
        if kind.settles() && state == Some(Some(State::Queued)) {
            self.settle(fact.sequence, place);
        }
    }

    fn ended(&mut self, number: u64, loc: Loc, fact: &EndedFact) {
        let author = device(&fact.party, &fact.device);
        for ((at, place), receipt) in (0..).zip(&fact.entries).zip(&fact.receipts) {
            let slot = self.envelopes.get(fact.sequence);
            let entry = slot.and_then(|slot| slot.entries().get(*place as usize));
            if entry.is_some_and(|entry| entry.state != State::Settled) {
                self.settle(fact.sequence, *place as usize);
            }
            if let Some(author) = &author {
                self.hold(author, number * ORDERS + at, receipt, loc);
            }
        }
    }

    /// Lets an entry go ([P-32]), and with the last of them the envelope's bytes.
    fn settle(&mut self, sequence: Sequence, place: usize) {
        let Some(slot) = self.envelopes.get(sequence) else { return };
        let (base, last) = (slot.base, slot.open == 1);
        let Some(entry) = slot.entries().get(place).copied() else { return };
        let waits = self.waits(sequence, slot, entry.mailbox);
        self.lines.leave(waits);
        if entry.wrapped && entry.wrap != base {
            self.unweigh(entry.wrap);
        }
        self.envelopes.change(sequence, |slot| {
            slot.open -= 1;
            slot.entries_mut()[place].state = State::Settled;
        });
        self.depth.entries -= 1;
        if last {
            self.lines.let_go(waits.sender, waits.bytes);
            self.lighten(base.segment, base.length - base.length.min(REMEMBERED_BYTES));
            let chunks = self.chunks.remove(&sequence);
            chunks.iter().flatten().for_each(|chunk| self.unweigh(*chunk));
        }
    }

    fn hold(&mut self, device: &DeviceId, order: u64, receipt: &[u8], loc: Loc) {
        let Ok(id) = <[u8; 16]>::try_from(receipt) else { return };
        let device = self.device(device);
        if self.mail.put(device, order, Waiting { id, loc }) {
            self.depth.receipts += 1;
            self.weigh(loc);
        } else if let Some(old) = self.mail.moved(device, &id, loc) {
            self.unweigh(old);
            self.weigh(loc);
        }
    }

    fn taken(&mut self, fact: &TakenFact) {
        let device = device(&fact.party, &fact.device).and_then(|device| self.devices.find(&device));
        let Some(device) = device else { return };
        for receipt in &fact.receipts {
            let taken = <[u8; 16]>::try_from(&receipt[..]).ok().and_then(|id| self.mail.take(device, &id));
            if let Some(taken) = taken {
                self.depth.receipts -= 1;
                self.unweigh(taken.loc);
            }
        }
    }

    fn forget(&mut self, sequence: Sequence) {
        self.leave(sequence);
        let Some(slot) = self.envelopes.take(sequence) else { return };
        if let Ok(found) = self.by_key.find_entry(slot.key, |one| *one == sequence) {
            found.remove();
        }
    }
}

/// Orders of one record's receipts: it has one for each recipient at most.
const ORDERS: u64 = RECIPIENTS_MAX as u64;
