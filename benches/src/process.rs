//! Programs as built beside this one: started with their words in a file, ended by their own process id.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// An orderly stop takes no longer.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// Between two looks whether a process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A running program; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server(Child);

/// A program beside this one.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find the program that runs now")?;
    let path = own.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    bail!("`{name}` is not built beside {}; run `cargo build --release -p {name}` first", own.display())
}

impl Server {
    /// Starts a program.
    pub(crate) fn start(path: &Path, args: &[&OsStr], log: &Path) -> Result<Self> {
        let out = File::create(log).with_context(|| format!("cannot make the log {}", log.display()))?;
        let err = out.try_clone().context("cannot share a log")?;
        let mut command = Command::new(path);
        command.args(args).stdin(Stdio::null()).stdout(out).stderr(err);
        let child = command.spawn().with_context(|| format!("cannot start {}", path.display()))?;
        Ok(Self(child))
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Stops it by SIGTERM and waits until it is gone.
    pub(crate) fn stop(mut self) -> Result<()> {
        let id = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        kill_process(id, Signal::TERM).context("cannot stop a server")?;
        let asked = Instant::now();
        while asked.elapsed() < STOP_LIMIT {
            if self.0.try_wait().context("cannot ask for a process")?.is_some() {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("a server did not end within {} s after SIGTERM", STOP_LIMIT.as_secs())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
