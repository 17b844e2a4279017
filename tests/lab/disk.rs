//! A faulty disk in memory: what a store meets when the power goes, when a sync fails, when there is no room left.
//!
//! It keeps apart what was written and what is on the disk, counts every call, and fails at the calls it is told to.
//! Rooms: `calls` what a store asks of it · `image` a file · `names` what files are called. Knows nothing of what is stored; the same seed damages the
//! same way.
//!
//! Not promised to a store, because POSIX does not: that a name survives without a sync of its directory, that
//! unsynced sectors come to the disk whole, together or in order, that a second sync mends a first that failed.
//! Promised: bytes beside those that are written do not change, and names of one directory change in order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::sim::chance::Chance;
use crate::sim::machine::locked;
use image::Image;
use names::{Inode, Names};

mod calls;
mod image;
mod names;
#[cfg(test)]
mod tests;

/// A kind of file call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "they are called as in `Files` and `StoreFile`")]
pub enum Call {
    MakeDir,
    List,
    Create,
    Open,
    Rename,
    Remove,
    SyncDir,
    Room,
    Lock,
    Length,
    SetLength,
    Read,
    Write,
    Sync,
}

/// What of the unsynced a power cut leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing of it.
    Nothing,
    /// All of it.
    All,
    /// Of each file the sectors before one of them.
    Upto,
    /// Each sector, so many times of a hundred.
    Any(u64),
}

impl Kept {
    /// One of the ways.
    pub fn draw(chance: &mut Chance) -> Self {
        match chance.below(8) {
            0 => Self::Nothing,
            1 => Self::All,
            2..=4 => Self::Upto,
            _ => Self::Any(chance.pick(&[10, 50, 90])),
        }
    }
}

/// At which calls a disk fails, and how. Calls are counted from 0, over all kinds.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The machine stops at this call: it and all that follow are errors.
    pub stop_at: Option<u64>,
    /// These calls fail once with an input/output error.
    pub fail_at: BTreeSet<u64>,
    /// Bytes that there is room for; as many as one likes when there is none.
    pub capacity: Option<u64>,
    /// So many reads and writes of a hundred do a part of what they were asked for, or are interrupted.
    pub short_percent: u64,
    /// From this call on nothing can be written any more.
    pub read_only_from: Option<u64>,
}

#[derive(Clone)]
struct State {
    images: BTreeMap<Inode, Image>,
    names: Names,
    locks: BTreeSet<PathBuf>,
    inodes: Inode,
    plan: Plan,
    chance: Chance,
    counts: BTreeMap<Call, u64>,
    calls: u64,
    stopped: bool,
    failed: u64,
    story: Option<Vec<String>>,
    watch: Option<Arc<Watch>>,
}

/// Told of all that is to be written and does not stand there already: number and name of the file, place, bytes.
type Watch = dyn Fn(u64, &str, u64, &[u8]) + Send + Sync;

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub struct FaultyDisk(Arc<Mutex<State>>);

impl FaultyDisk {
    /// An empty one without a fault; the seed is for those that it may be given.
    pub fn new(seed: u64) -> Self {
        Self::of(State {
            images: BTreeMap::new(),
            names: Names::default(),
            locks: BTreeSet::new(),
            inodes: 0,
            plan: Plan::default(),
            chance: Chance::of(seed, "disk", 0),
            counts: BTreeMap::new(),
            calls: 0,
            stopped: false,
            failed: 0,
            story: None,
            watch: None,
        })
    }

    fn of(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    /// Another disk with the same on it, and the same still to be synced.
    #[must_use]
    pub fn copy(&self) -> Self {
        let mut state = locked(&self.0).clone();
        state.locks.clear();
        Self::of(state)
    }

    /// Changes at which calls it fails.
    pub fn plan(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut locked(&self.0).plan);
    }

    /// Calls made of this disk.
    pub fn calls(&self) -> u64 {
        locked(&self.0).calls
    }

    /// Calls by kind.
    pub fn counts(&self) -> BTreeMap<Call, u64> {
        locked(&self.0).counts.clone()
    }

    /// Whether the machine stopped at the call it was told to.
    pub fn is_stopped(&self) -> bool {
        locked(&self.0).stopped
    }

    /// Errors given so far: input/output errors, no room, not writable.
    pub fn failed(&self) -> u64 {
        locked(&self.0).failed
    }

    /// Has this told of everything that is to be written from now on, on this disk and those that come after it.
    pub fn watch(&self, watch: impl Fn(u64, &str, u64, &[u8]) + Send + Sync + 'static) {
        locked(&self.0).watch = Some(Arc::new(watch));
    }

    /// Keeps a line for each call from now on.
    pub fn tell(&self) {
        locked(&self.0).story = Some(Vec::new());
    }

    /// The lines that were kept.
    pub fn story(&self) -> Vec<String> {
        locked(&self.0).story.clone().unwrap_or_default()
    }

    /// The disk that the next start finds after a power cut: without faults, what was not synced kept in this way.
    #[must_use]
    pub fn after_cut(&self, kept: Kept, seed: u64) -> Self {
        let mut state = locked(&self.0).clone();
        let mut chance = Chance::of(seed, "cut", 0);
        state.names = state.names.cut(kept, &mut chance);
        let named: BTreeSet<Inode> = state.names.files().map(|(_, inode)| inode).collect();
        state.images = std::mem::take(&mut state.images)
            .into_iter()
            .filter(|(inode, _)| named.contains(inode))
            .map(|(inode, image)| (inode, image.cut(kept, &mut chance)))
            .collect();
        Self::started(state, chance)
    }

    /// The disk that the next start finds after the program alone was ended: without faults, what was not synced is
    /// still on its way, and what a failed sync let go is there or not.
    #[must_use]
    pub fn after_kill(&self, seed: u64) -> Self {
        let mut state = locked(&self.0).clone();
        let mut chance = Chance::of(seed, "kill", 0);
        state.images.values_mut().for_each(|image| image.restarted(&mut chance));
        Self::started(state, chance)
    }

    fn started(mut state: State, chance: Chance) -> Self {
        state.plan = Plan { capacity: state.plan.capacity, ..Plan::default() };
        state.locks.clear();
        state.chance = chance;
        state.stopped = false;
        state.calls = 0;
        state.failed = 0;
        state.counts.clear();
        state.story = state.story.map(|_| Vec::new());
        Self::of(state)
    }

    /// Every file, with its length in bytes.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let state = locked(&self.0);
        let files = state.names.files();
        files.map(|(path, inode)| (path.to_owned(), state.images[&inode].length())).collect()
    }

    /// The bytes of a file as they are read now; nothing when there is no such file.
    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        let state = locked(&self.0);
        let Ok(inode) = state.names.file(path) else { return Vec::new() };
        let image = &state.images[&inode];
        let mut bytes = vec![0; usize::try_from(image.length()).unwrap_or_default()];
        image.read(&mut bytes, 0);
        bytes
    }

    /// Turns over one bit of a file.
    pub fn flip(&self, path: &Path, bit: u64) {
        locked(&self.0).damage(path, |image| image.flip(bit));
    }

    /// Cuts a file to so many bytes.
    pub fn truncate(&self, path: &Path, bytes: u64) {
        locked(&self.0).damage(path, |image| {
            image.set_length(bytes);
            image.sync();
        });
    }
}

impl State {
    fn damage(&mut self, path: &Path, change: impl FnOnce(&mut Image)) {
        if let Ok(inode) = self.names.file(path) {
            self.images.get_mut(&inode).map(change);
        }
    }
}
