//! Calls the daemon: one connection, one request, one answer. Turns what can go wrong on the way into a refusal that
//! says what to do; never repeats a request by itself.

use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::answer::{ErrorAnswer, ErrorBody};
use crate::exit::{DeskError, ExitCode, codes};

/// How long the daemon may take for an answer, beyond any waiting that was asked for: a store under load syncs
/// 16 MiB well within it.
const ANSWER_DEADLINE: Duration = Duration::from_secs(120);
/// Most bytes of an answer: a body of 16 MiB whose every byte needs a six-byte JSON escape, and room.
const ANSWER_MAX: usize = 128 * 1024 * 1024;

/// The daemon behind a socket.
pub(super) struct Daemon {
    socket: PathBuf,
}

impl Daemon {
    pub(super) const fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Asks for one shape of `answer`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ErrorBody> {
        decode(&self.get_bytes(path).await?)
    }

    /// Asks for bytes as they are.
    pub(super) async fn get_bytes(&self, path: &str) -> Result<Bytes, ErrorBody> {
        self.call(Method::GET, path, "application/json", Bytes::new()).await
    }

    /// Hands something in.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        media_type: &str,
        body: Bytes,
    ) -> Result<T, ErrorBody> {
        decode(&self.call(Method::POST, path, media_type, body).await?)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: Bytes,
    ) -> Result<Bytes, ErrorBody> {
        let exchange = self.exchange(method, path, media_type, body);
        let (status, bytes) = tokio::time::timeout(ANSWER_DEADLINE, exchange).await.map_err(|_| {
            let seconds = ANSWER_DEADLINE.as_secs();
            self.unreachable(&format!("took the request and gave no answer within {seconds} s"))
        })??;
        if status.is_success() {
            return Ok(bytes);
        }
        let refusal: ErrorAnswer = serde_json::from_slice(&bytes).map_err(|_| strange_answer())?;
        Err(refusal.error)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), ErrorBody> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|cause| self.not_connected(&cause))?;
        let cut = |cause: hyper::Error| self.unreachable(&format!("broke off the connection: {cause}"));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(cut)?;
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, media_type)
            .body(Full::new(body))
            .expect("invariant: paths and media types are ours and ASCII");
        let answer = sender.send_request(request).await.map_err(cut)?;
        let status = answer.status();
        let collected = Limited::new(answer.into_body(), ANSWER_MAX).collect().await.map_err(|cause| {
            if cause.is::<LengthLimitError>() {
                return too_much();
            }
            self.unreachable("broke off its answer")
        })?;
        driver.abort();
        Ok((status, collected.to_bytes()))
    }

    fn not_connected(&self, cause: &std::io::Error) -> ErrorBody {
        let socket = self.socket.display();
        match cause.kind() {
            ErrorKind::PermissionDenied => DeskError::new(
                ExitCode::LocalPermission,
                "socket-denied",
                format!("you are user {}, who may not open {socket}", rustix::process::geteuid().as_raw()),
                "run the command as the daemon's user, or share the desk with a group: `[api] group` in client.toml",
            )
            .into(),
            ErrorKind::NotFound => self.unreachable("is not running: its socket does not exist"),
            ErrorKind::ConnectionRefused if !self.is_socket() => self.unreachable("cannot be there: that is not a socket"),
            ErrorKind::ConnectionRefused => self.unreachable("is not running: nobody answers on its socket"),
            _ => self.unreachable(&format!("cannot be reached: {cause}")),
        }
    }

    fn is_socket(&self) -> bool {
        self.socket.metadata().is_ok_and(|found| found.file_type().is_socket())
    }

    fn unreachable(&self, what: &str) -> ErrorBody {
        DeskError::new(
            ExitCode::Unreachable,
            codes::DAEMON_UNREACHABLE,
            format!("the daemon at {} {what}", self.socket.display()),
            "start it with `valised --config FILE`, or name another one with `--socket PATH`",
        )
        .into()
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ErrorBody> {
    serde_json::from_slice(bytes).map_err(|_| strange_answer())
}

fn strange_answer() -> ErrorBody {
    let message = "the daemon gave an answer this command line does not understand";
    let help = "use the `valise` and `valised` of one release";
    DeskError::new(ExitCode::Internal, "strange-answer", message, help).into()
}

fn too_much() -> ErrorBody {
    let message = format!("the answer is over {} MiB", ANSWER_MAX / (1024 * 1024));
    DeskError::invalid("answer-too-large", message, "ask for less, with `--limit N`").into()
}
