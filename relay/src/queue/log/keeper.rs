//! What is done behind the committer's back: spare segments made ahead, side-cars written, retired segments erased.
//!
//! On a thread of its own; on the caller's in a simulated run. Nothing here was ever promised to anybody: what fails is
//! said in the log, and done again at the next start.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use valise_host::executor::Seats;
use valise_host::files::{Files, StoreFile, write_all_at};

use super::names;
use super::notes::Notes;
use super::scan::scan;
use super::segment::{Segment, erase_header};
use super::shape::Shape;
use super::sidecar;

/// Bytes of zeros written at once.
const ZEROS: usize = 1024 * 1024;
/// Bytes of the first segment of a life: a thousand messages, until spares are ready.
const FIRST_BYTES: u64 = 4 * 1024 * 1024;
/// Jobs that may wait: more than segments are ever filled at once.
const JOBS: usize = 256;

enum Job {
    SideCar(Arc<Segment>, Option<Notes>),
    Retire(Arc<Segment>),
    Spare,
}

/// Hands out spare segments, and takes what is to be done later.
pub(super) struct Keeper {
    store: Arc<Store>,
    jobs: Option<mpsc::SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

struct Store {
    files: Arc<dyn Files>,
    dir: PathBuf,
    shape: Shape,
    spares: Mutex<Vec<PathBuf>>,
    next: AtomicU32,
    /// Segments whose keys are not erased yet.
    retiring: Mutex<HashSet<u32>>,
    /// Spares asked for and not made yet.
    due: AtomicUsize,
}

impl Keeper {
    /// Over a directory in which these spares lie already.
    pub(super) fn new(
        files: &Arc<dyn Files>,
        dir: &Path,
        shape: Shape,
        spares: Vec<PathBuf>,
        seats: Seats,
    ) -> io::Result<Self> {
        let highest = spares.iter().filter_map(|path| names::spare_number(path.file_name()?.to_str()?)).max();
        let next = AtomicU32::new(highest.map_or(1, |highest| highest.wrapping_add(1)));
        let (files, dir) = (Arc::clone(files), dir.to_owned());
        let spares = Mutex::new(spares);
        let (retiring, due) = (Mutex::default(), AtomicUsize::new(0));
        let store = Arc::new(Store { files, dir, shape, spares, next, retiring, due });
        if seats != Seats::Threaded {
            return Ok(Self { store, jobs: None, thread: None });
        }
        let (jobs, waiting) = mpsc::sync_channel::<Job>(JOBS);
        let own = Arc::clone(&store);
        let thread = thread::Builder::new().name("queue-keeper".to_owned()).spawn(move || {
            waiting.into_iter().for_each(|job| own.run(job));
        })?;
        Ok(Self { store, jobs: Some(jobs), thread: Some(thread) })
    }

    /// The side-car of a segment that takes no more records; without its notes they are read from the records.
    pub(super) fn side_car(&self, segment: Arc<Segment>, notes: Option<Notes>) {
        self.give(Job::SideCar(segment, notes));
    }

    /// A segment in which nothing is wanted any more.
    pub(super) fn retire(&self, segment: Arc<Segment>) {
        self.store.retiring().insert(segment.header.id);
        self.give(Job::Retire(segment));
    }

    /// Whether a segment that was retired could still come back, were the machine to stop now.
    pub(super) fn is_retiring(&self, id: u32) -> bool {
        self.store.retiring().contains(&id)
    }

    /// Sees to it that there are spares again.
    pub(super) fn restock(&self) {
        let have = self.spares() + self.store.due.load(Ordering::Relaxed);
        for _ in have..self.store.shape.spares {
            self.store.due.fetch_add(1, Ordering::Relaxed);
            self.give(Job::Spare);
        }
    }

    /// Spares that lie ready.
    pub(super) fn spares(&self) -> usize {
        self.store.spares().len()
    }

    /// A file for a segment: a spare or, when there is none, one made now. Its bytes are allocated on the disk.
    pub(super) fn take(&self) -> io::Result<(PathBuf, Arc<dyn StoreFile>)> {
        let spare = self.store.spares().pop();
        match spare {
            Some(path) => {
                let opened = self.store.files.open(&path);
                Ok((path, opened?))
            }
            None => self.store.make(self.store.shape.segment_bytes),
        }
    }

    /// A file for the first segment of a life: small, so that a start waits for no disk, and leaves the spares alone.
    pub(super) fn take_first(&self) -> io::Result<(PathBuf, Arc<dyn StoreFile>)> {
        self.store.make(self.store.shape.segment_bytes.min(FIRST_BYTES))
    }

    /// Bytes of a new segment.
    pub(super) fn segment_bytes(&self) -> u64 {
        self.store.shape.segment_bytes
    }

    fn give(&self, job: Job) {
        match &self.jobs {
            // In vain only when its thread is gone, and then the store's is about to be.
            Some(jobs) => jobs.send(job).unwrap_or_default(),
            None => self.store.run(job),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok(); // it said itself why it died
        }
    }
}

impl Store {
    fn spares(&self) -> std::sync::MutexGuard<'_, Vec<PathBuf>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retiring(&self) -> std::sync::MutexGuard<'_, HashSet<u32>> {
        self.retiring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, job: Job) {
        let (what, done) = match job {
            Job::SideCar(segment, notes) => ("a side-car", self.side_car(&segment, notes)),
            Job::Retire(segment) => ("a retired segment", self.retire(&segment)),
            Job::Spare => {
                let made = self.make(self.shape.segment_bytes);
                self.due.fetch_sub(1, Ordering::Relaxed);
                ("a spare segment", made.map(|(path, _)| self.spares().push(path)))
            }
        };
        if let Err(fault) = done {
            tracing::warn!(event = "queue-upkeep-failed", what, why = %fault);
        }
    }

    fn side_car(&self, segment: &Segment, notes: Option<Notes>) -> io::Result<()> {
        let notes = match notes {
            Some(notes) => notes,
            None => scan(segment, |_, _| {})?.0,
        };
        sidecar::write(&*self.files, &self.dir.join(names::side_car(segment.header.id)), segment, notes)
    }

    /// A new file of so many zeros, on the disk. It gets its name when it is whole: one that is half made is taken for none.
    fn make(&self, bytes: u64) -> io::Result<(PathBuf, Arc<dyn StoreFile>)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (new, path) = (self.dir.join(names::spare_new(number)), self.dir.join(names::spare(number)));
        let file = self.files.create(&new)?;
        let made = (|| {
            let zeros = vec![0; ZEROS.min(usize::try_from(bytes).unwrap_or(ZEROS))];
            let mut at = 0;
            while at < bytes {
                let count = zeros.len().min(usize::try_from(bytes - at).unwrap_or(ZEROS));
                write_all_at(&*file, &zeros[..count], at)?;
                at += count as u64;
            }
            file.sync()?;
            self.files.rename(&new, &path)?;
            self.files.sync_dir(&self.dir)
        })();
        if let Err(fault) = made {
            self.files.remove(&new).ok(); // a disk that is full gets its room back
            return Err(fault);
        }
        Ok((path, file))
    }

    /// Erases the key first; what follows may be cut off anywhere.
    fn retire(&self, segment: &Segment) -> io::Result<()> {
        erase_header(&*segment.file)?;
        self.retiring().remove(&segment.header.id);
        match self.files.remove(&self.dir.join(names::side_car(segment.header.id))) {
            Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
            _ => {}
        }
        let path = self.dir.join(names::segment(segment.header.id));
        if segment.file.length()? != self.shape.segment_bytes
            || self.spares().len() >= self.shape.spares_max()
        {
            return self.files.remove(&path);
        }
        let spare = self.dir.join(names::spare(self.next.fetch_add(1, Ordering::Relaxed)));
        self.files.rename(&path, &spare)?;
        // Before another header is written into it: under its old name that would look like damage.
        self.files.sync_dir(&self.dir)?;
        self.spares().push(spare);
        Ok(())
    }
}
