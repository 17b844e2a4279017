//! What is known of each envelope, by its number: 72 bytes, and 24 for each recipient where there are several.
//!
//! Numbers are dense, so that envelopes stand on shelves of equal length; a shelf goes when its last one is forgotten.

use std::collections::BTreeMap;

use valise_proto::limits::REPLAY_KEPT_MS;

use crate::queue::Sequence;
use crate::queue::log::facts::{Loc, State};

/// Envelopes of one shelf: a shelf is what is looked through when something on it is due.
const SHELF: u64 = 1024;

/// One recipient's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) mailbox: u32,
    pub(crate) wrap: Loc,
    pub(crate) stated: u16,
    pub(crate) state: State,
    /// Whether there is a wrap at `wrap`.
    pub(crate) wrapped: bool,
}

/// The entries of an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entries {
    One(Entry),
    Many(Box<[Entry]>),
}

impl From<Vec<Entry>> for Entries {
    fn from(entries: Vec<Entry>) -> Self {
        match entries[..] {
            [one] => Self::One(one),
            _ => Self::Many(entries.into()),
        }
    }
}

/// An envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// A keyed hash of submitter and message id.
    pub(crate) key: u64,
    /// A keyed hash of message id and header: what a statement must be about.
    pub(crate) bound: u64,
    pub(crate) expires_ms: u64,
    /// Its record, or what is remembered of it.
    pub(crate) base: Loc,
    /// Ciphertext bytes.
    pub(crate) bytes: u32,
    pub(crate) submitter: u32,
    /// Entries that are not settled.
    pub(crate) open: u16,
    pub(crate) precedence: u8,
    pub(crate) entries: Entries,
}

impl Slot {
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.entries {
            Entries::One(entry) => std::slice::from_ref(entry),
            Entries::Many(entries) => entries,
        }
    }

    pub(crate) fn entries_mut(&mut self) -> &mut [Entry] {
        match &mut self.entries {
            Entries::One(entry) => std::slice::from_mut(entry),
            Entries::Many(entries) => entries,
        }
    }

    /// The place of a mailbox among the entries.
    pub(crate) fn place(&self, mailbox: u32) -> Option<usize> {
        self.entries().iter().position(|entry| entry.mailbox == mailbox)
    }

    /// When something is to be done about it: it expires, or it may be forgotten. Unix milliseconds.
    fn due_ms(&self) -> u64 {
        if self.open > 0 { self.expires_ms } else { self.expires_ms.saturating_add(REPLAY_KEPT_MS) }
    }
}

#[derive(Debug)]
struct Shelf {
    slots: Vec<Option<Slot>>,
    held: u64,
    open: u64,
    /// No slot is due before this.
    due_ms: u64,
    /// No open one expires before this.
    expiry_ms: u64,
}

/// Every envelope that is held or remembered.
#[derive(Debug, Default)]
pub(crate) struct Shelves(BTreeMap<u64, Box<Shelf>>);

impl Shelves {
    pub(crate) fn get(&self, sequence: Sequence) -> Option<&Slot> {
        self.0.get(&(sequence / SHELF))?.slots[at(sequence)].as_ref()
    }

    /// Puts one in its place; what stood there comes back.
    pub(crate) fn put(&mut self, sequence: Sequence, slot: Slot) -> Option<Slot> {
        let shelf = self.0.entry(sequence / SHELF).or_insert_with(|| {
            let slots = (0..SHELF).map(|_| None).collect();
            Box::new(Shelf { slots, held: 0, open: 0, due_ms: u64::MAX, expiry_ms: u64::MAX })
        });
        let old = shelf.slots[at(sequence)].take();
        shelf.held += u64::from(old.is_none());
        shelf.open -= u64::from(old.as_ref().is_some_and(|old| old.open > 0));
        shelf.open += u64::from(slot.open > 0);
        shelf.note(&slot);
        shelf.slots[at(sequence)] = Some(slot);
        old
    }

    /// Changes one where it stands.
    pub(crate) fn change<T>(&mut self, sequence: Sequence, how: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let shelf = self.0.get_mut(&(sequence / SHELF))?;
        let slot = shelf.slots[at(sequence)].as_mut()?;
        let before = slot.open > 0;
        let done = how(slot);
        let (after, due_ms) = (slot.open > 0, slot.due_ms());
        shelf.open += u64::from(after && !before);
        shelf.open -= u64::from(before && !after);
        shelf.due_ms = shelf.due_ms.min(due_ms);
        Some(done)
    }

    pub(crate) fn take(&mut self, sequence: Sequence) -> Option<Slot> {
        let shelf = self.0.get_mut(&(sequence / SHELF))?;
        let slot = shelf.slots[at(sequence)].take()?;
        shelf.held -= 1;
        shelf.open -= u64::from(slot.open > 0);
        if shelf.held == 0 {
            self.0.remove(&(sequence / SHELF));
        }
        Some(slot)
    }

    /// Envelopes past their time, at most so many; and as many of which the memory may go. In no order of lateness.
    /// Shelves that had nothing are not looked through again before their time.
    pub(crate) fn due(&mut self, now_ms: u64, max: usize) -> Vec<Sequence> {
        let (mut late, mut gone) = (Vec::new(), Vec::new());
        for (number, shelf) in &mut self.0 {
            if shelf.due_ms > now_ms {
                continue;
            }
            let mut any = false;
            for (place, slot) in shelf.each().filter(|(_, slot)| slot.due_ms() <= now_ms) {
                let list = if slot.open > 0 { &mut late } else { &mut gone };
                if list.len() < max {
                    list.push(number * SHELF + place);
                }
                any = true;
            }
            if !any {
                shelf.look_again();
            }
            if late.len() >= max && gone.len() >= max {
                break;
            }
        }
        late.append(&mut gone);
        late
    }

    /// The lowest number with an open entry.
    pub(crate) fn oldest(&self) -> Option<Sequence> {
        let (number, shelf) = self.0.iter().find(|(_, shelf)| shelf.open > 0)?;
        let (place, _) = shelf.each().find(|(_, slot)| slot.open > 0)?;
        Some(number * SHELF + place)
    }

    /// When the next open entry expires, Unix milliseconds.
    pub(crate) fn next_expiry_ms(&self) -> Option<u64> {
        let mut best = None;
        for shelf in self.0.values().filter(|shelf| shelf.open > 0) {
            if best.is_none_or(|best| shelf.expiry_ms < best) {
                let soonest =
                    shelf.each().filter(|(_, slot)| slot.open > 0).map(|(_, slot)| slot.expires_ms).min();
                best = best.into_iter().chain(soonest).min();
            }
        }
        best
    }

    /// Every one, by number.
    pub(crate) fn each(&self) -> impl Iterator<Item = (Sequence, &Slot)> {
        self.0.iter().flat_map(|(number, shelf)| {
            let first = *number * SHELF;
            shelf.each().map(move |(place, slot)| (first + place, slot))
        })
    }
}

impl Shelf {
    fn each(&self) -> impl Iterator<Item = (u64, &Slot)> {
        (0..).zip(&self.slots).filter_map(|(place, slot)| Some((place, slot.as_ref()?)))
    }

    fn note(&mut self, slot: &Slot) {
        self.due_ms = self.due_ms.min(slot.due_ms());
        if slot.open > 0 {
            self.expiry_ms = self.expiry_ms.min(slot.expires_ms);
        }
    }

    /// Finds out what is due next.
    fn look_again(&mut self) {
        let due_ms = self.each().map(|(_, slot)| slot.due_ms()).min();
        let expiry_ms = self.each().filter(|(_, slot)| slot.open > 0).map(|(_, slot)| slot.expires_ms).min();
        self.due_ms = due_ms.unwrap_or(u64::MAX);
        self.expiry_ms = expiry_ms.unwrap_or(u64::MAX);
    }
}

fn at(sequence: Sequence) -> usize {
    usize::try_from(sequence % SHELF).expect("invariant: a shelf is short")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(expires_ms: u64, open: u16) -> Slot {
        let entry =
            Entry { mailbox: 1, wrap: Loc::default(), stated: 0, state: State::Queued, wrapped: true };
        Slot {
            key: 1,
            bound: 2,
            expires_ms,
            base: Loc::default(),
            bytes: 0,
            submitter: 0,
            open,
            precedence: 1,
            entries: vec![entry].into(),
        }
    }

    #[test]
    fn an_envelope_takes_as_much_as_is_said() {
        assert_eq!((size_of::<Option<Slot>>(), size_of::<Entry>()), (72, 24));
    }

    #[test]
    fn what_is_due_is_found_and_then_what_may_be_forgotten() {
        let mut shelves = Shelves::default();
        for (sequence, expires_ms) in [(1, 50), (2, 10), (5000, 30)] {
            shelves.put(sequence, slot(expires_ms, 1));
        }
        assert_eq!((shelves.oldest(), shelves.next_expiry_ms()), (Some(1), Some(10)));
        assert!(shelves.due(9, 10).is_empty());
        assert_eq!(shelves.due(30, 10), [2, 5000]);
        assert_eq!(shelves.due(30, 1), [2]);
        shelves.change(2, |slot| slot.open = 0);
        assert_eq!((shelves.oldest(), shelves.next_expiry_ms()), (Some(1), Some(30)));
        assert_eq!(shelves.due(30, 10), [5000]);
        assert_eq!(
            shelves.due(10 + REPLAY_KEPT_MS, 10),
            [1, 5000, 2],
            "the late first, then what may be forgotten"
        );
        assert_eq!(shelves.due(30, 10), [5000], "a later look changes nothing for an earlier one");
        assert!(shelves.take(2).is_some() && shelves.get(2).is_none() && shelves.get(1).is_some());
        assert!(shelves.take(2).is_none());
    }
}
