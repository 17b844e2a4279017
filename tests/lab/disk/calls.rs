//! The calls that a store makes of the faulty disk: each is counted, and does its work, or a part of it, or fails.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;
use valise_host::files::{Files, Room, StoreFile};

use super::image::{Image, PAGE};
use super::names::{Inode, Node};
use super::{Call, FaultyDisk, State};
use crate::sim::machine::locked;

/// What a disk has room for that nobody limits, bytes.
const ENDLESS: u64 = 1 << 50;

/// What a call is to do.
enum Course {
    Do,
    /// Its effect may still come to the disk, its answer does not come.
    Stop,
    Fail,
}

impl State {
    /// Counts a call and finds what is to come of it.
    fn begin(&mut self, call: Call, about: impl FnOnce() -> String) -> io::Result<Course> {
        let number = self.calls;
        if let Some(story) = &mut self.story {
            story.push(format!("{number:>5} {call:?} {}", about()));
        }
        if self.stopped {
            return Err(Errno::IO.into());
        }
        self.calls += 1;
        *self.counts.entry(call).or_default() += 1;
        if self.plan.stop_at == Some(number) {
            self.stopped = true;
            return Ok(Course::Stop);
        }
        if self.plan.fail_at.remove(&number) {
            self.failed += 1;
            return Ok(Course::Fail);
        }
        let writes = !matches!(
            call,
            Call::List | Call::Room | Call::Length | Call::Read | Call::SyncDir | Call::Sync | Call::Lock
        );
        if writes && self.is_read_only() {
            self.failed += 1;
            return Err(Errno::ROFS.into());
        }
        Ok(Course::Do)
    }

    fn is_read_only(&self) -> bool {
        self.plan.read_only_from.is_some_and(|from| self.calls >= from)
    }

    fn image(&mut self, inode: Inode) -> &mut Image {
        self.images.entry(inode).or_default()
    }

    /// Pages that are free.
    fn free(&self) -> u64 {
        let Some(capacity) = self.plan.capacity else { return ENDLESS / PAGE as u64 };
        let used: u64 = self.names.files().map(|(_, inode)| self.images[&inode].blocks()).sum();
        (capacity / PAGE as u64).saturating_sub(used)
    }

    /// How many of so many bytes a call does, or that it was interrupted.
    fn part(&mut self, bytes: usize) -> io::Result<usize> {
        if bytes < 2 || !self.chance.percent(self.plan.short_percent) {
            return Ok(bytes);
        }
        if self.chance.percent(25) { Err(Errno::INTR.into()) } else { Ok(1 + self.chance.index(bytes - 1)) }
    }

    fn full(&mut self) -> io::Error {
        self.failed += 1;
        Errno::NOSPC.into()
    }
}

/// The answer of a call that did its work.
fn end<T>(course: &Course, done: T) -> io::Result<T> {
    match course {
        Course::Do => Ok(done),
        Course::Stop | Course::Fail => Err(Errno::IO.into()),
    }
}

/// An open file, also when its name is gone.
struct Handle {
    disk: FaultyDisk,
    inode: Inode,
}

impl StoreFile for Handle {
    fn length(&self) -> io::Result<u64> {
        let mut state = locked(&self.disk.0);
        let course = state.begin(Call::Length, || self.inode.to_string())?;
        end(&course, state.image(self.inode).length())
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        let mut state = locked(&self.disk.0);
        let course = state.begin(Call::SetLength, || format!("{} {bytes}", self.inode))?;
        if !matches!(course, Course::Fail) {
            state.image(self.inode).set_length(bytes);
        }
        end(&course, ())
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let mut state = locked(&self.disk.0);
        let course = state.begin(Call::Read, || format!("{} {at}+{}", self.inode, into.len()))?;
        let count = state.part(into.len())?;
        end(&course, state.image(self.inode).read(&mut into[..count], at))
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        let mut state = locked(&self.disk.0);
        let course = state.begin(Call::Write, || format!("{} {at}+{}", self.inode, bytes.len()))?;
        if let Some(watch) = state.watch.clone().filter(|_| !state.image(self.inode).has(bytes, at)) {
            watch(self.inode, &state.names.name_of(self.inode), at, bytes);
        }
        let mut count = state.part(bytes.len())?;
        if matches!(course, Course::Fail) {
            count = state.chance.index(count + 1);
        }
        let room = state.free();
        match state.image(self.inode).write(&bytes[..count], at, room) {
            0 if count > 0 => Err(state.full()),
            done => end(&course, done),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = locked(&self.disk.0);
        let course = state.begin(Call::Sync, || self.inode.to_string())?;
        let stuck = state.is_read_only() && !state.image(self.inode).is_clean();
        match course {
            Course::Do if !stuck => state.image(self.inode).sync(),
            Course::Do | Course::Fail => state.image(self.inode).fail_sync(),
            Course::Stop => {}
        }
        if stuck {
            state.failed += 1;
            return Err(Errno::ROFS.into());
        }
        end(&course, ())
    }
}

impl Files for FaultyDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = locked(&self.0);
        let course = state.begin(Call::MakeDir, || dir.display().to_string())?;
        match state.names.get(dir) {
            Some(Node::Dir) => return end(&course, ()),
            Some(Node::File(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            None => state.names.dir(dir.parent().unwrap_or(dir))?,
        }
        if !matches!(course, Course::Fail) {
            state.names.put(dir, Node::Dir);
        }
        end(&course, ())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = locked(&self.0);
        let course = state.begin(Call::List, || dir.display().to_string())?;
        state.names.dir(dir)?;
        end(&course, state.names.within(dir))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn StoreFile>> {
        let mut state = locked(&self.0);
        let course = state.begin(Call::Create, || path.display().to_string())?;
        state.names.dir(path.parent().unwrap_or(path))?;
        if state.names.get(path).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if state.free() == 0 {
            return Err(state.full());
        }
        if matches!(course, Course::Fail) {
            return Err(Errno::IO.into());
        }
        let inode = state.make(path);
        end(&course, Arc::new(Handle { disk: self.clone(), inode }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StoreFile>> {
        let mut state = locked(&self.0);
        let course = state.begin(Call::Open, || path.display().to_string())?;
        let inode = state.names.file(path)?;
        end(&course, Arc::new(Handle { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = locked(&self.0);
        let course = state.begin(Call::Rename, || format!("{} {}", from.display(), to.display()))?;
        let node = state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.dir(to.parent().unwrap_or(to))?;
        if !matches!(course, Course::Fail) {
            state.names.move_to(from, to, node);
        }
        end(&course, ())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = locked(&self.0);
        let course = state.begin(Call::Remove, || path.display().to_string())?;
        state.names.file(path)?;
        if !matches!(course, Course::Fail) {
            state.names.take(path);
        }
        end(&course, ())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = locked(&self.0);
        let course = state.begin(Call::SyncDir, || dir.display().to_string())?;
        state.names.dir(dir)?;
        if matches!(course, Course::Do) {
            state.names.sync(dir);
        }
        end(&course, ())
    }

    fn room(&self, dir: &Path) -> io::Result<Room> {
        let mut state = locked(&self.0);
        let course = state.begin(Call::Room, || dir.display().to_string())?;
        let free = state.free() * PAGE as u64;
        end(&course, Room { free, whole: state.plan.capacity.unwrap_or(ENDLESS) })
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let mut state = locked(&self.0);
        let course = state.begin(Call::Lock, || path.display().to_string())?;
        if state.names.get(path).is_none() {
            if state.is_read_only() {
                state.failed += 1;
                return Err(Errno::ROFS.into());
            }
            state.names.dir(path.parent().unwrap_or(path))?;
            state.make(path);
        }
        if !matches!(course, Course::Do) {
            return Err(Errno::IO.into());
        }
        let free = state.locks.insert(path.to_owned());
        Ok(free.then(|| Box::new(Held { disk: self.clone(), path: path.to_owned() }) as Box<_>))
    }
}

impl State {
    fn make(&mut self, path: &Path) -> Inode {
        self.inodes += 1;
        self.images.insert(self.inodes, Image::default());
        self.names.put(path, Node::File(self.inodes));
        self.inodes
    }
}

/// The right to a name.
struct Held {
    disk: FaultyDisk,
    path: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        locked(&self.disk.0).locks.remove(&self.path);
    }
}
