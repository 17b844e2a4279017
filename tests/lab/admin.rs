//! The relay's administrator: `valisectl relay` as typed, and raw callers at the relay's socket.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::child::program;
use crate::lab::Lab;
use crate::party::Output;

/// An answer on the socket takes no longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `valisectl` with `--json`; code, the objects on standard output, and what is on standard error.
pub fn valisectl(words: &[&str]) -> Result<Output> {
    let mut command = Command::new(program("valisectl")?);
    let output = command.args(words).arg("--json").stdin(Stdio::null()).output();
    let output = output.context("cannot run valisectl")?;
    let text = String::from_utf8(output.stdout).context("valisectl says what is no text")?;
    let lines = text.lines().map(serde_json::from_str::<Value>).collect::<Result<_, _>>();
    Ok(Output {
        code: output.status.code().context("valisectl was ended by a signal")?,
        lines: lines.with_context(|| format!("not JSON: {text}"))?,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

impl Lab {
    /// Where this lab's relay answers its administrator.
    pub fn admin_socket(&self) -> PathBuf {
        self.dir().join("relay/admin.sock")
    }

    /// Asks this lab's relay: `["status"]`, `["drain", "--wait"]`.
    pub fn ask_relay(&self, words: &[&str]) -> Result<Output> {
        let socket = self.admin_socket();
        let at = ["--socket", socket.to_str().context("the path of the lab is no text")?];
        valisectl(&[&["relay"], words, &at].concat())
    }

    /// Sends bytes to the relay's socket and gives what comes back until it closes.
    pub fn knock(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut stream = UnixStream::connect(self.admin_socket()).context("nobody opens")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(bytes)?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            // The relay read no further than it had to: that it closed over the rest is told after its answer.
            Err(error) if error.kind() != ErrorKind::ConnectionReset => {
                Err(error).context("the relay does not close")
            }
            Ok(_) | Err(_) => Ok(answer),
        }
    }
}
