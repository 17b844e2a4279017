//! The file calls of a store, behind one small trait: the operating system's in the product, a faulty disk in tests.
//!
//! Carries calls out and says how they went; decides nothing, and never tries a call again.

use std::any::Any;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// Room on the disk under a directory, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Free for this program.
    pub free: u64,
    /// The whole disk.
    pub whole: u64,
}

/// One open file. Offsets and lengths are bytes; a call may do less than it was asked for, as the system's may.
pub trait StoreFile: Send + Sync {
    /// How long it is.
    fn length(&self) -> io::Result<u64>;
    /// Makes it this long; what is new reads as zeros.
    fn set_length(&self, bytes: u64) -> io::Result<()>;
    /// Reads from an offset; 0 at the end of the file.
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes at an offset. On the disk only after a sync.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize>;
    /// What was written is on the disk when this returns (`fdatasync`). After an error nobody knows what is.
    fn sync(&self) -> io::Result<()>;
}

/// Every call that a store makes of a file system. Paths are whole.
pub trait Files: Send + Sync {
    /// Makes a directory that only its owner may enter, if it is not there; its parent exists.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// Names of the files in a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// A new, empty file that only its owner may read; an error when the name is taken.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn StoreFile>>;
    /// A file that is there, for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn StoreFile>>;
    /// Gives a file another name; takes the place of what had it. Survives a power cut only after `sync_dir`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a name away. Survives a power cut only after `sync_dir`.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory are on the disk when this returns.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// How much room there is.
    fn room(&self, dir: &Path) -> io::Result<Room>;
    /// The right to a file's name, until what is given is dropped or the process ends; `None` when another has it.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;
}

/// Reads exactly so many bytes; the end of the file before them is an error.
pub fn read_all_at(file: &dyn StoreFile, into: &mut [u8], at: u64) -> io::Result<()> {
    let mut done = 0;
    while done < into.len() {
        match file.read_at(&mut into[done..], at + done as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => done += count,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

/// Writes all of these bytes.
pub fn write_all_at(file: &dyn StoreFile, bytes: &[u8], at: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write_at(&bytes[done..], at + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => done += count,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

/// The operating system's.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemFiles;

impl StoreFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(self, into, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Files for SystemFiles {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
            made => made,
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // A name that is no text is not ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn StoreFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        Ok(Arc::new(options.open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StoreFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn room(&self, dir: &Path) -> io::Result<Room> {
        let told = rustix::fs::statvfs(dir)?;
        Ok(Room {
            free: told.f_bavail.saturating_mul(told.f_frsize),
            whole: told.f_blocks.saturating_mul(told.f_frsize),
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(Locked(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(fault)) => Err(fault),
        }
    }
}

/// The kernel's lock, so that a killed process leaves none behind. Unlocked by name, because closing is not enough
/// while a child that is just being started still holds a copy of the file.
struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.unlock().ok(); // in vain only when it is unlocked already
    }
}

impl fmt::Debug for dyn Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Files(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_file_is_made_once_and_reads_back_what_was_written() {
        let scratch = Scratch::new("files");
        let dir = scratch.path().join("queue");
        SystemFiles.make_dir(&dir).unwrap();
        SystemFiles.make_dir(&dir).unwrap();
        let (first, second) = (dir.join("a"), dir.join("b"));
        let file = SystemFiles.create(&first).unwrap();
        assert!(SystemFiles.create(&first).is_err(), "a name is given once");
        file.set_length(8).unwrap();
        write_all_at(&*file, b"notice", 4).unwrap();
        file.sync().unwrap();
        let mut read = [0xff; 10];
        read_all_at(&*SystemFiles.open(&first).unwrap(), &mut read, 0).unwrap();
        assert_eq!(&read, b"\0\0\0\0notice");
        assert!(read_all_at(&*file, &mut [0; 11], 0).is_err(), "it ends before");

        SystemFiles.rename(&first, &second).unwrap();
        SystemFiles.sync_dir(&dir).unwrap();
        assert_eq!((SystemFiles.list(&dir).unwrap(), file.length().unwrap()), (vec!["b".to_owned()], 10));
        SystemFiles.remove(&second).unwrap();
        assert!(SystemFiles.open(&second).is_err());
        let room = SystemFiles.room(&dir).unwrap();
        assert!(room.free <= room.whole && room.whole > 0);
    }

    #[test]
    fn a_lock_is_held_by_one_and_given_up_when_dropped() {
        let scratch = Scratch::new("lock");
        let path = scratch.path().join("lock");
        let held = SystemFiles.lock(&path).unwrap();
        assert!(held.is_some() && SystemFiles.lock(&path).unwrap().is_none());
        drop(held);
        assert!(SystemFiles.lock(&path).unwrap().is_some());
    }
}
