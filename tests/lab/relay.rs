//! The relay of a lab: started, killed, stopped and asked, always at the same address.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::child::{self, Process};
use crate::until::{PATIENCE, until};

/// An answer of the relay's health page takes no longer on a busy machine.
const HTTP_PATIENCE: Duration = Duration::from_secs(5);
/// An orderly stop takes no longer.
pub const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A relay, running or not.
#[derive(Debug)]
pub struct Relay {
    config: PathBuf,
    listen: SocketAddr,
    log: PathBuf,
    process: Option<Process>,
}

impl Relay {
    pub(crate) fn new(config: PathBuf, listen: SocketAddr, log: PathBuf) -> Self {
        Self { config, listen, log, process: None }
    }

    /// Starts it and returns at once with the moment of its start; for whoever measures what follows.
    pub fn spawn(&mut self) -> Result<Instant> {
        if self.process.is_some() {
            bail!("the relay runs already");
        }
        let process = Process::start("valise-relay", &[Path::new("--config"), &self.config], &self.log)?;
        let started = process.started();
        self.process = Some(process);
        Ok(started)
    }

    /// Starts it and waits until it says that it is ready.
    pub fn start(&mut self) -> Result<Duration> {
        let started = self.spawn()?;
        self.ready()?;
        Ok(started.elapsed())
    }

    /// Waits until it says that it is ready.
    pub fn ready(&mut self) -> Result<()> {
        until("the relay is ready", PATIENCE, || Ok(self.is_ready()?.then_some(())))
    }

    /// Whether it says that it is ready; fails when it has ended by itself.
    pub fn is_ready(&mut self) -> Result<bool> {
        self.process.as_mut().context("the relay does not run")?.check_runs()?;
        Ok(get(self.listen, "/readyz").is_ok_and(|(status, _)| status == 200))
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("the relay does not run")?.kill()
    }

    /// Stops it with SIGTERM; how it ended and how long that took.
    pub fn stop(&mut self) -> Result<(ExitStatus, Duration)> {
        self.process.take().context("the relay does not run")?.stop(STOP_LIMIT)
    }

    /// Waits until it ends by itself; how.
    pub fn ended(&mut self) -> Result<ExitStatus> {
        self.process.take().context("the relay does not run")?.ended(PATIENCE)
    }

    /// Runs it to its end, for configurations that it has to refuse; gives the exit code.
    pub fn refused(&self) -> Result<i32> {
        child::run_to_end("valise-relay", &[Path::new("--config"), &self.config], &self.log, PATIENCE)
    }

    /// What it answers on a path of its health page: status and text.
    pub fn ask(&self, path: &str) -> Result<(u16, String)> {
        get(self.listen, path)
    }

    /// Its readiness in detail.
    pub fn readiness(&self) -> Result<Value> {
        let (_, text) = self.ask("/readyz?verbose=1")?;
        serde_json::from_str(&text).with_context(|| format!("readiness is no JSON: {text}"))
    }

    /// Entries that wait in its queue, as it says itself.
    pub fn waiting(&self) -> Result<u64> {
        self.depth().map(|(entries, _)| entries)
    }

    /// Entries and receipts that wait in its queue, as it says itself.
    pub fn depth(&self) -> Result<(u64, u64)> {
        let ready = self.readiness()?;
        let checks = ready["checks"].as_array().cloned().unwrap_or_default();
        let store = checks.iter().find(|check| check["name"] == "store");
        let detail = store.and_then(|store| store["detail"].as_str()).unwrap_or_default();
        let mut counts = detail.split(' ').filter_map(|word| word.parse().ok());
        let both = counts.next().zip(counts.next());
        both.with_context(|| format!("readiness counts no entries and receipts: {ready}"))
    }

    /// Whether it was started and neither killed nor stopped.
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Its process id, for the story.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Its address, for QUIC by UDP and for health by TCP.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Its configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        self.config.parent().unwrap_or(Path::new("/"))
    }

    /// Its log, a JSON object per line.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether its log has an event.
    pub fn has_logged(&self, event: &str) -> Result<bool> {
        logged(&self.log, event).map(|found| !found.is_empty())
    }
}

/// The events of one name in a log.
pub fn logged(log: &Path, event: &str) -> Result<Vec<Value>> {
    let text = fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(lines.filter(|line| line["event"] == event).collect())
}

/// One GET, HTTP/1.0 in spirit: the server closes when it has answered.
fn get(at: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&at, HTTP_PATIENCE)?;
    stream.set_read_timeout(Some(HTTP_PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no head")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.context("the answer has no status")?, body.to_owned()))
}
