//! Processes: our own programs as built, started with their output in a file, and ended by their own process id.
//!
//! No process outlives its `Process`; nothing here is ended by name.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::until::until;

/// A program of ours as it was built beside this one: `target/release/NAME`.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find the program that runs now")?;
    // The demonstration lies in target/release, a test in target/release/deps.
    let beside = own.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.is_file());
    beside.with_context(|| {
        format!(
            "`{name}` is not built beside {}; build the programs first: \
             cargo build --release -p valise-mint -p valise-relay -p valise-client -p valise-tests",
            own.display()
        )
    })
}

/// Programs that run now, by process id, for whoever has to go at once; none once nothing more may start.
static RUNNING: Mutex<Option<BTreeSet<u32>>> = Mutex::new(Some(BTreeSet::new()));

fn running() -> MutexGuard<'static, Option<BTreeSet<u32>>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills every program that was started here and still runs, and lets no other start; for the way out after a signal.
pub fn kill_all() {
    for id in running().take().into_iter().flatten() {
        let id = i32::try_from(id).ok().and_then(Pid::from_raw);
        id.and_then(|id| kill_process(id, Signal::KILL).ok()); // gone already is as good
    }
}

/// A running program. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    started: Instant,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it says is added to the log.
    pub fn start<A: AsRef<OsStr>>(name: &str, args: &[A], log: &Path) -> Result<Self> {
        let out = append(log)?;
        let err = out.try_clone().context("cannot share the log")?;
        let path = program(name)?;
        let mut command = Command::new(&path);
        command.args(args).stdin(Stdio::null()).stdout(out).stderr(err);
        let mut running = running();
        let ids = running.as_mut().context("we are on our way out")?;
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot start {}", path.display()))?;
        ids.insert(child.id());
        Ok(Self { name: name.to_owned(), child, started, log: log.to_owned() })
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails when it has ended by itself: whoever waits for its answer waits in vain.
    pub fn check_runs(&mut self) -> Result<()> {
        match self.child.try_wait().context("cannot ask for a process")? {
            None => Ok(()),
            Some(status) => {
                bail!("{} ended by itself ({status}); its log is {}", self.name, self.log.display())
            }
        }
    }

    /// Kills it as `kill -9` does: it has no say in it.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill().context("cannot kill a process")?;
        self.child.wait().context("cannot wait for a process")?;
        Ok(())
    }

    /// Asks it to stop (SIGTERM); how it ended, and how long that took.
    pub fn stop(mut self, limit: Duration) -> Result<(ExitStatus, Duration)> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        let asked = Instant::now();
        kill_process(id, Signal::TERM).context("cannot signal a process")?;
        let what = format!("{} ends after SIGTERM", self.name);
        let status = until(&what, limit, || Ok(self.child.try_wait()?))?;
        Ok((status, asked.elapsed()))
    }

    /// Waits until it ends by itself.
    pub fn ended(mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("{} ends by itself", self.name);
        until(&what, limit, || Ok(self.child.try_wait()?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
        if let Some(ids) = running().as_mut() {
            ids.remove(&self.child.id());
        }
    }
}

fn append(log: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(log);
    file.with_context(|| format!("cannot open the log {}", log.display()))
}

/// Runs a program to its end and gives its exit code; what it says goes to the log.
pub fn run_to_end<A: AsRef<OsStr>>(name: &str, args: &[A], log: &Path, limit: Duration) -> Result<i32> {
    let status = Process::start(name, args, log)?.ended(limit)?;
    status.code().with_context(|| format!("{name} was ended by a signal: {status}"))
}
