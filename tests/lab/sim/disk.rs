//! The disk of a simulated program: files of the machine that plays the run, and as much room as the run says.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use valise_host::files::{Files, Room, StoreFile, SystemFiles};

use super::machine::locked;

/// A disk that is meant to have room: a tenth of a terabyte.
const WHOLE: u64 = 100 << 30;

/// Room as it is told. Clones are the same disk.
#[derive(Clone)]
pub struct Disk(Arc<Mutex<Room>>);

impl Default for Disk {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Room { free: WHOLE, whole: WHOLE })))
    }
}

impl Disk {
    /// Leaves so many MiB free.
    pub fn leave(&self, mib: u64) {
        locked(&self.0).free = mib << 20;
    }
}

impl Files for Disk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        SystemFiles.make_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        SystemFiles.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn StoreFile>> {
        SystemFiles.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StoreFile>> {
        SystemFiles.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemFiles.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemFiles.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        SystemFiles.sync_dir(dir)
    }

    fn room(&self, _: &Path) -> io::Result<Room> {
        Ok(*locked(&self.0))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        SystemFiles.lock(path)
    }
}
