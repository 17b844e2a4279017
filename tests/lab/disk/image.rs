//! One file of the faulty disk: what reads see, and what the disk may hold instead until the next sync.
//!
//! In pages, which are shared until one is written: a copy of a file costs a count for each page, and zeros cost
//! nothing. Knows no names and no faults; it is told what comes of a cut.

use std::sync::Arc;

use super::Kept;
use crate::sim::chance::Chance;

/// Bytes of a page, which is also what a file takes of the disk at once.
pub(super) const PAGE: usize = 4096;
/// Bytes that a disk writes whole or not at all, as a rule.
const SECTOR: usize = 512;
/// One unsynced sector of so many is half written at a cut.
const TORN_OF: u64 = 48;
/// Versions of a page that are remembered between two syncs.
const VERSIONS_MAX: usize = 8;

static ZEROS: [u8; PAGE] = [0; PAGE];

#[derive(Clone, Debug)]
enum Page {
    /// Never written: takes no room.
    Hole,
    /// Written with zeros alone.
    Zeros,
    Data(Arc<[u8; PAGE]>),
}

impl Page {
    fn bytes(&self) -> &[u8; PAGE] {
        match self {
            Self::Hole | Self::Zeros => &ZEROS,
            Self::Data(bytes) => bytes,
        }
    }

    fn is_hole(&self) -> bool {
        matches!(self, Self::Hole)
    }

    fn of(bytes: [u8; PAGE]) -> Self {
        if bytes == ZEROS { Self::Zeros } else { Self::Data(Arc::new(bytes)) }
    }
}

/// A page as it is read, and what it was since the last sync, the oldest first: empty when it is on the disk.
#[derive(Clone, Debug)]
struct Slot {
    now: Page,
    before: Vec<Page>,
    /// A sync failed and took it for written: the next sync passes it over.
    adrift: bool,
}

const EMPTY: Slot = Slot { now: Page::Hole, before: Vec::new(), adrift: false };

/// A file.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    slots: Vec<Slot>,
    length: u64,
    /// Lengths since the last sync, the oldest first.
    lengths: Vec<u64>,
    /// Pages that are not on the disk as they are read.
    dirty: Vec<usize>,
    blocks: u64,
}

impl Image {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Pages that take room.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    pub(super) fn is_clean(&self) -> bool {
        self.dirty.is_empty() && self.lengths.is_empty()
    }

    /// How many bytes were read; fewer than asked for at the end.
    pub(super) fn read(&self, into: &mut [u8], at: u64) -> usize {
        let whole = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX).min(into.len());
        let mut done = 0;
        while done < whole {
            let (page, from) = place(at + done as u64);
            let count = (PAGE - from).min(whole - done);
            let bytes = self.slots.get(page).map_or(&ZEROS, |slot| slot.now.bytes());
            into[done..done + count].copy_from_slice(&bytes[from..from + count]);
            done += count;
        }
        whole
    }

    /// Whether these bytes stand there already.
    pub(super) fn has(&self, bytes: &[u8], at: u64) -> bool {
        let mut there = vec![0; bytes.len()];
        self.read(&mut there, at) == bytes.len() && there == bytes
    }

    /// How many bytes were written: as many as there is room for, with so many free pages on the disk.
    pub(super) fn write(&mut self, bytes: &[u8], at: u64, room: u64) -> usize {
        let mut done = 0;
        let end = self.blocks.saturating_add(room);
        while done < bytes.len() {
            let (page, from) = place(at + done as u64);
            let count = (PAGE - from).min(bytes.len() - done);
            if self.slots.get(page).is_none_or(|slot| slot.now.is_hole()) && self.blocks >= end {
                break;
            }
            let part = &bytes[done..done + count];
            let put = if part == ZEROS {
                Page::Zeros // spares are made of them: they are not even copied
            } else {
                let mut whole = *self.slots.get(page).map_or(&ZEROS, |slot| slot.now.bytes());
                whole[from..from + count].copy_from_slice(part);
                Page::of(whole)
            };
            self.put(page, put);
            done += count;
        }
        if done > 0 && at + done as u64 > self.length {
            self.set_length(at + done as u64);
        }
        done
    }

    pub(super) fn set_length(&mut self, length: u64) {
        if length < self.length {
            let (page, from) = place(length);
            for gone in page + usize::from(from > 0)..self.slots.len() {
                self.put(gone, Page::Hole);
            }
            if let Some(slot) = self.slots.get(page).filter(|slot| from > 0 && !slot.now.is_hole()) {
                let mut kept = *slot.now.bytes();
                kept[from..].fill(0);
                self.put(page, Page::of(kept));
            }
        }
        if length != self.length {
            self.lengths.push(self.length);
            self.length = length;
        }
    }

    fn put(&mut self, page: usize, put: Page) {
        if self.slots.len() <= page {
            self.slots.resize(page + 1, EMPTY);
        }
        let slot = &mut self.slots[page];
        self.blocks = self.blocks - u64::from(!slot.now.is_hole()) + u64::from(!put.is_hole());
        if slot.before.is_empty() {
            self.dirty.push(page);
        }
        if slot.before.len() == VERSIONS_MAX {
            slot.before.remove(VERSIONS_MAX / 2);
        }
        slot.before.push(std::mem::replace(&mut slot.now, put));
        slot.adrift = false;
    }

    /// All that is read is on the disk, but for what a failed sync let go.
    pub(super) fn sync(&mut self) {
        let slots = &mut self.slots;
        self.dirty.retain(|page| {
            let slot = &mut slots[*page];
            if !slot.adrift {
                slot.before.clear();
            }
            slot.adrift
        });
        self.lengths.clear();
    }

    /// Nothing more came to the disk, and the system believes that it did.
    pub(super) fn fail_sync(&mut self) {
        for page in &self.dirty {
            self.slots[*page].adrift = true;
        }
    }

    /// What a new process finds: what was read before; or, where the system let go of a page that it took for
    /// written, what is on the disk.
    pub(super) fn restarted(&mut self, chance: &mut Chance) {
        for page in &self.dirty {
            let slot = &mut self.slots[*page];
            if slot.adrift && chance.percent(50) {
                let on_disk = slot.before[0].clone();
                self.blocks = self.blocks - u64::from(!slot.now.is_hole()) + u64::from(!on_disk.is_hole());
                slot.now = on_disk;
            }
        }
    }

    /// What is on the disk when the power returns.
    pub(super) fn cut(mut self, kept: Kept, chance: &mut Chance) -> Self {
        if self.is_clean() {
            return self;
        }
        self.length = choose(&self.lengths, self.length, kept, chance);
        self.lengths.clear();
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        let sectors = dirty.len() as u64 * (PAGE / SECTOR) as u64;
        let upto = chance.below(sectors + 1);
        for (turn, page) in (0..).zip(dirty) {
            let slot = &mut self.slots[page];
            let before = std::mem::take(&mut slot.before);
            slot.adrift = false;
            slot.now = match kept {
                Kept::Nothing => before.into_iter().next().unwrap_or(Page::Hole),
                Kept::All => continue,
                Kept::Upto => settle(&before, &slot.now, chance, |_, sector| {
                    let come = turn * (PAGE / SECTOR) as u64 + sector < upto;
                    if come { before.len() } else { 0 }
                }),
                Kept::Any(percent) => settle(&before, &slot.now, chance, |chance, _| {
                    if chance.percent(percent) { chance.index(before.len()) + 1 } else { 0 }
                }),
            };
        }
        self.blocks = self.slots.iter().filter(|slot| !slot.now.is_hole()).count() as u64;
        self
    }

    /// Turns one bit over, on the disk and in what is read.
    pub(super) fn flip(&mut self, bit: u64) {
        let (page, at) = place(bit / 8);
        if let Some(slot) = self.slots.get_mut(page) {
            let mut bytes = *slot.now.bytes();
            bytes[at] ^= 1 << (bit % 8);
            slot.now = Page::of(bytes);
        } else {
            // A place that was never written and is within the file.
            self.write(&[1 << (bit % 8)], bit / 8, u64::MAX);
            self.sync();
        }
    }
}

/// Page of an offset, and the offset within it.
fn place(at: u64) -> (usize, usize) {
    let at = usize::try_from(at).expect("invariant: a file of a test fits the memory");
    (at / PAGE, at % PAGE)
}

fn choose(before: &[u64], now: u64, kept: Kept, chance: &mut Chance) -> u64 {
    let first = before.first().copied().unwrap_or(now);
    match kept {
        Kept::Nothing => first,
        Kept::All => now,
        Kept::Upto | Kept::Any(_) => match chance.index(before.len() + 1) {
            at if at < before.len() => before[at],
            _ => now,
        },
    }
}

/// A page of which each sector is one of its versions (`pick`: 0 is the one on the disk, the last the newest), and a
/// rare one is torn. Bytes that no write changed stay what they are: disks write sectors from a buffer of the whole.
fn settle(
    before: &[Page],
    now: &Page,
    chance: &mut Chance,
    mut pick: impl FnMut(&mut Chance, u64) -> usize,
) -> Page {
    let mut settled = *before[0].bytes();
    for (sector, into) in (0..).zip(settled.chunks_mut(SECTOR)) {
        let from = usize::try_from(sector).unwrap_or_default() * SECTOR;
        let version = match pick(chance, sector) {
            0 => continue,
            at if at < before.len() => before[at].bytes(),
            _ => now.bytes(),
        };
        let new = &version[from..from + SECTOR];
        if chance.below(TORN_OF) > 0 {
            into.copy_from_slice(new);
        } else {
            tear(into, new, chance);
        }
    }
    match settled == ZEROS && before[0].is_hole() {
        true => Page::Hole,
        false => Page::of(settled),
    }
}

/// Half written: up to a place new and then old; or noise in place of all that was to change.
fn tear(old: &mut [u8], new: &[u8], chance: &mut Chance) {
    if chance.percent(50) {
        let end = chance.index(SECTOR);
        old[..end].copy_from_slice(&new[..end]);
        return;
    }
    for (old, _) in old.iter_mut().zip(new).filter(|(old, new)| old != new) {
        *old = chance.draw().to_le_bytes()[0];
    }
}
