//! What waits for each mailbox, and of each sender: in the order in which it goes out, and how much of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::queue::{Held, Sequence};

/// What waits for one mailbox.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// What may be handed out: by precedence, the highest last, then number.
    queued: BTreeMap<u8, BTreeSet<Sequence>>,
    /// What has no wrap yet.
    waiting: BTreeSet<Sequence>,
    pub(crate) held: Held,
}

impl Line {
    /// What may be handed out: each precedence, the highest first.
    pub(crate) fn queued(&self) -> impl Iterator<Item = &BTreeSet<Sequence>> {
        self.queued.values().rev()
    }

    /// The lowest number.
    pub(crate) fn oldest(&self) -> Option<Sequence> {
        let firsts = self.queued.values().chain([&self.waiting]).filter_map(|numbers| numbers.first());
        firsts.min().copied()
    }
}

/// What waits.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    mailboxes: HashMap<u32, Line>,
    senders: HashMap<u32, Held>,
    precedences: BTreeMap<u8, Held>,
}

/// An entry that waits: whose, of which precedence, how many bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    pub(crate) sequence: Sequence,
    pub(crate) mailbox: u32,
    pub(crate) sender: u32,
    pub(crate) precedence: u8,
    pub(crate) bytes: u64,
}

impl Lines {
    /// An entry comes in; `wrapped`: it may be handed out.
    pub(crate) fn enter(&mut self, one: Waits, wrapped: bool) {
        let line = self.mailboxes.entry(one.mailbox).or_default();
        if wrapped {
            line.queued.entry(one.precedence).or_default().insert(one.sequence);
        } else {
            line.waiting.insert(one.sequence);
        }
        let by_precedence = self.precedences.entry(one.precedence).or_default();
        for held in [&mut line.held, by_precedence] {
            held.entries += 1;
            held.bytes += one.bytes;
        }
        self.senders.entry(one.sender).or_default().entries += 1;
    }

    /// It may be handed out from now on.
    pub(crate) fn wrap(&mut self, one: Waits) {
        let Some(line) = self.mailboxes.get_mut(&one.mailbox) else { return };
        line.waiting.remove(&one.sequence);
        line.queued.entry(one.precedence).or_default().insert(one.sequence);
    }

    /// It waits no more.
    pub(crate) fn leave(&mut self, one: Waits) {
        let Some(line) = self.mailboxes.get_mut(&one.mailbox) else { return };
        line.waiting.remove(&one.sequence);
        if let Some(numbers) = line.queued.get_mut(&one.precedence) {
            numbers.remove(&one.sequence);
            if numbers.is_empty() {
                line.queued.remove(&one.precedence);
            }
        }
        lighten(&mut line.held, 1, one.bytes);
        if line.held.entries == 0 {
            self.mailboxes.remove(&one.mailbox);
        }
        if let Some(held) = self.precedences.get_mut(&one.precedence) {
            lighten(held, 1, one.bytes);
        }
        self.charge(one.sender, 1, 0);
    }

    /// A sender's envelope is stored.
    pub(crate) fn store(&mut self, sender: u32, bytes: u64) {
        self.senders.entry(sender).or_default().bytes += bytes;
    }

    /// Its last entry has gone.
    pub(crate) fn let_go(&mut self, sender: u32, bytes: u64) {
        self.charge(sender, 0, bytes);
    }

    fn charge(&mut self, sender: u32, entries: u64, bytes: u64) {
        let Some(held) = self.senders.get_mut(&sender) else { return };
        lighten(held, entries, bytes);
        if *held == Held::default() {
            self.senders.remove(&sender);
        }
    }

    /// What waits for a mailbox.
    pub(crate) fn of(&self, mailbox: u32) -> Option<&Line> {
        self.mailboxes.get(&mailbox)
    }

    /// How much waits of a sender.
    pub(crate) fn sent(&self, sender: u32) -> Held {
        self.senders.get(&sender).copied().unwrap_or_default()
    }

    /// How much waits, by precedence, the highest first.
    pub(crate) fn by_precedence(&self) -> impl Iterator<Item = (u8, Held)> {
        let some = self.precedences.iter().rev().filter(|(_, held)| held.entries > 0);
        some.map(|(precedence, held)| (*precedence, *held))
    }

    /// The fullest mailboxes, at most so many; and how many there are.
    pub(crate) fn fullest(&self, max: usize) -> (Vec<(u32, Held, Option<Sequence>)>, u64) {
        let mut all: Vec<_> = self.mailboxes.iter().map(|(number, line)| (line.held, *number)).collect();
        all.sort_unstable_by_key(|(held, number)| (std::cmp::Reverse((held.entries, held.bytes)), *number));
        let count = all.len() as u64;
        all.truncate(max);
        let some = all.into_iter().map(|(held, number)| (number, held, self.mailboxes[&number].oldest()));
        (some.collect(), count)
    }
}

fn lighten(held: &mut Held, entries: u64, bytes: u64) {
    held.entries = held.entries.saturating_sub(entries);
    held.bytes = held.bytes.saturating_sub(bytes);
}
