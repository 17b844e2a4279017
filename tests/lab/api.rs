//! Asks a daemon on its socket, as a case system does: one connection, one request, one answer. Far lighter than the
//! command line, and it says whether a request that was cut short may have been heard.
//!
//! Never repeats a request by itself.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use serde::de::DeserializeOwned;
use valise_client::answer::{
    AckAnswer, ErrorAnswer, ErrorBody, InboxLine, SendAnswer, SendRequest, ShowAnswer, StatusAnswer,
    TrackLine, WaitAnswer,
};

/// A busy daemon answers sooner, beyond any waiting that was asked for.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// Separates the parts of a form; no body of ours holds it.
const BOUNDARY: &str = "valise-lab-4f1d5a60c2b94e0e";

/// Why there is no answer to use.
#[derive(Debug)]
pub enum Fault {
    /// The connection was cut before the whole answer had come: what was asked for may have happened or not.
    Cut,
    /// The daemon refused.
    Refused(ErrorBody),
    /// Nobody listens: nothing was asked.
    Unreachable,
}

impl Fault {
    /// Whether a daemon that was killed explains it.
    pub fn is_of_a_kill(&self) -> bool {
        matches!(self, Self::Cut | Self::Unreachable)
    }
}

impl From<Fault> for anyhow::Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Cut => anyhow!("the daemon broke off before it had answered"),
            Fault::Refused(error) => anyhow!("the daemon refused: {}: {}", error.code, error.message),
            Fault::Unreachable => anyhow!("nobody answers on the socket of the daemon"),
        }
    }
}

/// The socket of a daemon, running or not.
#[derive(Clone, Debug)]
pub struct Api {
    socket: PathBuf,
}

impl Api {
    /// Asks on this socket.
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Sends a message; the same key again is the same message.
    pub fn send(
        &self,
        key: &str,
        request: &SendRequest,
        body: &str,
        file: Option<&[u8]>,
    ) -> Result<SendAnswer, Fault> {
        let message = serde_json::to_string(request).expect("invariant: a request holds strings only");
        let mut form = Vec::new();
        let mut part = |disposition: &str, content: &[u8]| {
            form.extend_from_slice(format!("--{BOUNDARY}\r\n").as_bytes());
            form.extend_from_slice(
                format!("Content-Disposition: form-data; {disposition}\r\n\r\n").as_bytes(),
            );
            form.extend_from_slice(content);
            form.extend_from_slice(b"\r\n");
        };
        part("name=\"message\"", message.as_bytes());
        part("name=\"body\"", body.as_bytes());
        if let Some(file) = file {
            part("name=\"attachment\"; filename=\"photo.bin\"", file);
        }
        form.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nIdempotency-Key: {key}\r\n\
             Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        );
        self.exchange(&head, &form, Duration::ZERO).and_then(|bytes| read(&bytes))
    }

    /// Waits until a message sent here reached a state with every recipient, or the time is up.
    pub fn wait(&self, id: &str, state: &str, timeout: Duration) -> Result<WaitAnswer, Fault> {
        let path = format!("/v1/messages/{id}/state?wait={state}&timeout_ms={}", timeout.as_millis());
        self.get(&path, timeout).and_then(|bytes| read(&bytes))
    }

    /// Where a message stands with each recipient.
    pub fn track(&self, id: &str) -> Result<Vec<TrackLine>, Fault> {
        self.asked(&format!("/v1/messages/{id}/track"))
    }

    /// What came, the newest so many or all of it.
    pub fn inbox(&self, limit: Option<usize>) -> Result<Vec<InboxLine>, Fault> {
        self.asked(&limit.map_or("/v1/inbox".to_owned(), |limit| format!("/v1/inbox?limit={limit}")))
    }

    /// Opens a message, as its reader does.
    pub fn show(&self, id: &str) -> Result<ShowAnswer, Fault> {
        self.asked(&format!("/v1/messages/{id}"))
    }

    /// Acknowledges a message.
    pub fn ack(&self, id: &str) -> Result<AckAnswer, Fault> {
        let head = format!("POST /v1/messages/{id}/ack HTTP/1.1\r\n");
        self.exchange(&head, &[], Duration::ZERO).and_then(|bytes| read(&bytes))
    }

    /// The exact bytes of a body.
    pub fn body(&self, id: &str) -> Result<Vec<u8>, Fault> {
        self.get(&format!("/v1/messages/{id}/body"), Duration::ZERO)
    }

    /// The exact bytes of an attachment, counted from 0.
    pub fn file(&self, id: &str, number: usize) -> Result<Vec<u8>, Fault> {
        self.get(&format!("/v1/messages/{id}/files/{number}"), Duration::ZERO)
    }

    /// How link and boxes stand.
    pub fn status(&self) -> Result<StatusAnswer, Fault> {
        self.asked("/v1/status")
    }

    fn asked<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        self.get(path, Duration::ZERO).and_then(|bytes| read(&bytes))
    }

    fn get(&self, path: &str, waiting: Duration) -> Result<Vec<u8>, Fault> {
        self.exchange(&format!("GET {path} HTTP/1.1\r\n"), &[], waiting)
    }

    fn exchange(&self, head: &str, body: &[u8], waiting: Duration) -> Result<Vec<u8>, Fault> {
        let mut stream = UnixStream::connect(&self.socket).map_err(|_| Fault::Unreachable)?;
        let answer = converse(&mut stream, head, body, waiting + ANSWER_PATIENCE).map_err(|_| Fault::Cut)?;
        let (status, content) = whole(answer).ok_or(Fault::Cut)?;
        if (200..300).contains(&status) {
            return Ok(content);
        }
        Err(read::<ErrorAnswer>(&content).map_or_else(|fault| fault, |said| Fault::Refused(said.error)))
    }
}

fn converse(
    stream: &mut UnixStream,
    head: &str,
    body: &[u8],
    patience: Duration,
) -> std::io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let rest = format!("Host: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), rest.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Status and content of an answer; none when its end is missing.
fn whole(mut answer: Vec<u8>) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let content = answer.split_off(end + 4);
    let head = String::from_utf8(answer).ok()?.to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length: usize =
        head.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse().ok()?;
    (content.len() == length).then_some((status, content))
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|error| {
        Fault::Refused(ErrorBody {
            code: "strange-answer".to_owned(),
            message: error.to_string(),
            help: "compare the shapes of valise_client::answer".to_owned(),
            exit: 1,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_its_end_is_none() {
        let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 4\r\n\r\nnote".to_vec();
        assert_eq!(whole(answer.clone()), Some((202, b"note".to_vec())));
        for cut in 0..answer.len() {
            assert_eq!(whole(answer[..cut].to_vec()), None, "{cut} bytes");
        }
    }
}
