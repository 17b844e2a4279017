//! The bare disk under a queue: how often it syncs, and what was really written to it. Knows nothing of queues.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use valise_host::entropy::random;

/// Bytes of each write: about one message as the log has it.
const WRITE: usize = 2560;
/// Bytes of the file that is written over: made of zeros first, as segments are.
const FILE: usize = 16 * 1024 * 1024;
/// For one measure.
const LENGTH: Duration = Duration::from_millis(500);
/// Bytes of a sector in the kernel's books.
const SECTOR: u64 = 512;

/// A directory for one store, gone when dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// On the disk under the system's directory for such things.
    pub(crate) fn new() -> Result<Self> {
        let name = format!("valise-figures-{:08x}", u32::from_le_bytes(random()));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).context("cannot make a directory for the store")?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok(); // in vain costs a directory
    }
}

/// How often this disk syncs a second: one message written over zeros, one `fdatasync`, and so on.
pub(crate) fn syncs(dir: &Path) -> Result<f64> {
    let path = dir.join("disk");
    let mut file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path)?;
    file.write_all(&vec![0; FILE])?;
    file.sync_all()?;
    let (bytes, began, mut count) = ([0x5a; WRITE], Instant::now(), 0_u32);
    while began.elapsed() < LENGTH {
        let at = (count as usize * WRITE) % (FILE - WRITE);
        file.write_all_at(&bytes, at as u64)?;
        file.sync_data()?;
        count += 1;
    }
    let rate = f64::from(count) / began.elapsed().as_secs_f64();
    drop(file);
    fs::remove_file(path)?;
    Ok(rate)
}

/// Bytes written so far to the device under a directory, by everybody. All that waits in memory is written first.
pub(crate) fn written(dir: &Path) -> Result<u64> {
    rustix::fs::syncfs(File::open(dir)?)?;
    let device = fs::metadata(dir)?.st_dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"));
    let stat = stat.context("the store does not lie on a block device")?;
    let sectors = stat.split_whitespace().nth(6).context("the device has no count of sectors")?;
    Ok(sectors.parse::<u64>()? * SECTOR)
}
