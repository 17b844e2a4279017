//! A party of a lab: its daemon, and its operator at the command line. Everything is asked through the real `valise`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::child::{self, Process, program};
use crate::relay::STOP_LIMIT;
use crate::until::{PATIENCE, until};

/// A party, its daemon running or not.
#[derive(Debug)]
pub struct Party {
    name: String,
    config: PathBuf,
    socket: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

/// What the command line answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// How it ended.
    pub code: i32,
    /// Standard output, an object per line.
    pub lines: Vec<Value>,
    /// Standard error.
    pub stderr: String,
}

/// A command line that runs beside us.
#[derive(Debug)]
pub struct Asking(Child);

impl Party {
    pub(crate) fn new(name: String, config: PathBuf, socket: PathBuf, log: PathBuf) -> Self {
        Self { name, config, socket, log, process: None }
    }

    /// Starts its daemon and waits until it answers on its socket.
    pub fn start(&mut self) -> Result<()> {
        self.spawn()?;
        self.ready()
    }

    /// Starts its daemon and returns at once with the moment of its start.
    pub fn spawn(&mut self) -> Result<Instant> {
        if self.process.is_some() {
            bail!("the daemon of {} runs already", self.name);
        }
        let args = [Path::new("--config"), &self.config];
        let process = Process::start("valised", &args, &self.log)?;
        let started = process.started();
        self.process = Some(process);
        Ok(started)
    }

    /// Waits until its daemon answers on its socket.
    pub fn ready(&mut self) -> Result<()> {
        let what = format!("the daemon of {} answers", self.name);
        until(&what, PATIENCE, || Ok(self.is_ready()?.then_some(())))
    }

    /// Whether its daemon answers on its socket; fails when it has ended by itself.
    pub fn is_ready(&mut self) -> Result<bool> {
        self.process.as_mut().context("the daemon does not run")?.check_runs()?;
        Ok(UnixStream::connect(&self.socket).is_ok())
    }

    /// Waits until its daemon has been welcomed by the relay.
    pub fn linked(&self) -> Result<()> {
        until(&format!("{} is linked with the relay", self.name), PATIENCE, || {
            Ok((self.status()?["link"]["state"] == "live").then_some(()))
        })
    }

    /// Kills its daemon as `kill -9` does.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("the daemon does not run")?.kill()
    }

    /// Stops its daemon with SIGTERM; how it ended and how long that took.
    pub fn stop(&mut self) -> Result<(ExitStatus, Duration)> {
        self.process.take().context("the daemon does not run")?.stop(STOP_LIMIT)
    }

    /// Runs its daemon to its end, for configurations that it has to refuse; gives the exit code.
    pub fn refused(&self) -> Result<i32> {
        child::run_to_end("valised", &[Path::new("--config"), &self.config], &self.log, PATIENCE)
    }

    /// Asks the daemon and waits for the answer.
    pub fn valise(&self, args: &[&str], stdin: &[u8]) -> Result<Output> {
        self.ask(args, stdin)?.answer()
    }

    /// Asks the daemon; the answer may come later.
    pub fn ask(&self, args: &[&str], stdin: &[u8]) -> Result<Asking> {
        let mut command = Command::new(program("valise")?);
        command.arg("--socket").arg(&self.socket).arg("--json").args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start valise")?;
        let mut pipe = child.stdin.take().context("valise takes no input")?;
        // It reads all its input before it writes a word; one that refuses earlier closes the pipe.
        pipe.write_all(stdin).ok();
        Ok(Asking(child))
    }

    /// Asks for something that has to work, and gives the lines of the answer.
    pub fn done(&self, args: &[&str], stdin: &[u8]) -> Result<Vec<Value>> {
        let output = self.valise(args, stdin)?;
        if output.code != 0 {
            bail!("{}: `valise {}` ended with {}: {}", self.name, args.join(" "), output.code, output.stderr);
        }
        Ok(output.lines)
    }

    /// Sends a text and gives the message id. `args` are recipients and options.
    pub fn send(&self, args: &[&str], body: &str) -> Result<String> {
        let words: Vec<&str> = std::iter::once("send").chain(args.iter().copied()).collect();
        let lines = self.done(&words, body.as_bytes())?;
        id_of(lines.first().context("`valise send` answered nothing")?)
    }

    /// What came.
    pub fn inbox(&self) -> Result<Vec<Value>> {
        self.done(&["inbox"], b"")
    }

    /// How often a message stands in the inbox.
    pub fn copies(&self, id: &str) -> Result<usize> {
        Ok(self.inbox()?.iter().filter(|line| line["id"] == id).count())
    }

    /// Where a message stands with each recipient.
    pub fn track(&self, id: &str) -> Result<Vec<Value>> {
        self.done(&["track", id], b"")
    }

    /// The line of one recipient in `track`.
    pub fn tracked(&self, id: &str, to: &str) -> Result<Value> {
        let lines = self.track(id)?;
        let line = lines.into_iter().find(|line| line["to"] == to);
        line.with_context(|| format!("{to} is no recipient of {id}"))
    }

    /// Waits until a message stands at exactly this state with a recipient; gives the line of `track`.
    pub fn reaches(&self, id: &str, to: &str, state: &str) -> Result<Value> {
        let what = format!("message {id} is {state} at {to}, as {} sees it", self.name);
        until(&what, PATIENCE, || Ok(Some(self.tracked(id, to)?).filter(|line| line["state"] == state)))
    }

    /// Waits until a message came here; gives its line of the inbox.
    pub fn receives(&self, id: &str) -> Result<Value> {
        until(&format!("message {id} is in the inbox of {}", self.name), PATIENCE, || {
            Ok(self.inbox()?.into_iter().find(|line| line["id"] == id))
        })
    }

    /// How link and boxes stand.
    pub fn status(&self) -> Result<Value> {
        self.done(&["status"], b"")?.pop().context("`valise status` answered nothing")
    }

    /// Whether its daemon was started and neither killed nor stopped.
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        self.config.parent().unwrap_or(Path::new("/"))
    }

    /// Its daemon's socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its daemon's log, a JSON object per line.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Empties its daemon's log, so that what is read later was said later.
    pub fn clear_log(&self) -> Result<()> {
        OpenOptions::new().write(true).create(true).truncate(true).open(&self.log)?;
        Ok(())
    }
}

/// The id in an answer.
pub fn id_of(line: &Value) -> Result<String> {
    Ok(line["id"].as_str().with_context(|| format!("no id in {line}"))?.to_owned())
}

impl Asking {
    /// Waits for the answer.
    pub fn answer(self) -> Result<Output> {
        let output = self.0.wait_with_output().context("cannot wait for valise")?;
        let stdout = String::from_utf8(output.stdout).context("the answer is not UTF-8")?;
        let lines = stdout.lines().map(serde_json::from_str);
        Ok(Output {
            code: output.status.code().context("valise was ended by a signal")?,
            lines: lines.collect::<Result<_, _>>().with_context(|| format!("no JSON: {stdout}"))?,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

impl Output {
    /// The error that was said: code word and sentence.
    pub fn error(&self) -> Result<(String, String)> {
        let said: Value = serde_json::from_str(self.stderr.trim())
            .with_context(|| format!("standard error is not one line of JSON: {}", self.stderr))?;
        let word = |name: &str| said["error"][name].as_str().unwrap_or_default().to_owned();
        Ok((word("code"), word("message")))
    }
}
