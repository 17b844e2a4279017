//! What a bad disk does to a store at rest: the end of its log is gone, acknowledged commits with it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

fn log_of(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Cuts the last third off the log and gives the log as it was; none when there is no log to cut.
pub fn cut_log(store: &Path) -> Result<Option<Vec<u8>>> {
    let log = log_of(store);
    let Ok(whole) = fs::read(&log) else { return Ok(None) };
    if whole.is_empty() {
        return Ok(None);
    }
    fs::write(&log, &whole[..whole.len() - whole.len().div_ceil(3)]).context("cannot cut a log")?;
    Ok(Some(whole))
}

/// Puts the log back.
pub fn restore(store: &Path, whole: &[u8]) -> Result<()> {
    fs::write(log_of(store), whole).context("cannot put a log back")
}
