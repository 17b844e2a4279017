//! A desk in memory behind a real socket, for the tests of API and command line. It believes everything it is told
//! and steps through states as planned.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use valise_host::socket::LocalSocket;
use valise_proto::names::MessageId;

use super::serve;
use crate::answer::{
    AckAnswer, FileLine, InboxLine, InboxStatus, LinkStatus, Moment, OutboxStatus, Outcome, Recipient,
    RelayStatus, SendAnswer, ShowAnswer, Signature, State, StatusAnswer, TrackLine, WaitAnswer,
};
use crate::contract::{Compose, Desk};
use crate::exit::{DeskError, ExitCode};

/// The id of the only message that this desk ever sends.
pub(crate) const SENT: &str = "0c51t3g0r40m30e209185gr38e";
/// The id of the message that waits in the inbox.
pub(crate) const RECEIVED: &str = "7zzzzzzzzzzzzzzzzzzzzzzzzz";

/// One planned step: this recipient, to this state, for this reason.
pub(crate) type Step = (&'static str, State, Option<&'static str>);

pub(crate) struct Received {
    pub(crate) line: InboxLine,
    pub(crate) body: Bytes,
    pub(crate) files: Vec<(FileLine, Bytes)>,
}

#[derive(Default)]
pub(crate) struct Books {
    /// What was handed in.
    pub(crate) sent: Vec<Compose>,
    /// Where it stands.
    pub(crate) answer: Option<SendAnswer>,
    /// What each further wait finds.
    pub(crate) plan: VecDeque<Step>,
    /// The received message.
    pub(crate) received: Option<Received>,
    /// How many waits found nothing and sleep.
    pub(crate) sleepers: usize,
    /// Who acknowledged.
    pub(crate) acks: Vec<u32>,
    /// Whether the store cannot be opened.
    pub(crate) locked: bool,
}

#[derive(Default)]
pub(crate) struct FakeDesk {
    books: Mutex<Books>,
}

impl FakeDesk {
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    /// Puts one message with these files into the inbox.
    pub(crate) fn receive(&self, subject: &str, body: &[u8], files: &[(&str, &[u8])]) {
        use sha2::{Digest, Sha256};
        let files: Vec<_> = files
            .iter()
            .map(|(name, bytes)| {
                let sha256 = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
                let media_type = "text/plain".to_owned();
                let line =
                    FileLine { name: (*name).to_owned(), bytes: bytes.len() as u64, media_type, sha256 };
                (line, Bytes::copy_from_slice(bytes))
            })
            .collect();
        let line = InboxLine {
            id: RECEIVED.to_owned(),
            from: "fr".to_owned(),
            to: "br".to_owned(),
            subject: subject.to_owned(),
            class: "message".to_owned(),
            kind: "text".to_owned(),
            precedence: "routine".to_owned(),
            created: Moment::from_unix_ms(1_763_935_854_070),
            delivered: Moment::from_unix_ms(1_763_935_855_000),
            state: State::Delivered,
            attachments: u32::try_from(files.len()).unwrap(),
        };
        self.books().received = Some(Received { line, body: Bytes::copy_from_slice(body), files });
    }
}

fn known(id: MessageId, known: &str) -> Result<(), DeskError> {
    if id.to_string() == known { Ok(()) } else { Err(DeskError::no_such_message(id)) }
}

impl Desk for FakeDesk {
    async fn send(&self, message: Compose) -> Result<SendAnswer, DeskError> {
        let mut books = self.books();
        if books.locked {
            let help = "stop the other daemon";
            return Err(DeskError::new(ExitCode::Store, "store-locked", "the store is in use", help));
        }
        if message.to.iter().any(|to| to == "xx") {
            let help = "`br` and `minustah` are known";
            return Err(DeskError::invalid("unknown-recipient", "`xx` is not in the roster", help));
        }
        if message.to.iter().any(|to| to == "de") {
            let (text, help) = ("no agreement lets fr write to de", "ask for one");
            return Err(DeskError::new(ExitCode::NotAllowed, "not-permitted", text, help));
        }
        let queued = |to: &String| {
            let reason = (to == "minustah").then(|| "waiting-for-key".to_owned());
            Recipient { to: to.clone(), state: State::Queued, reason }
        };
        let recipients = message.to.iter().chain(&message.info).map(queued).collect();
        let answer = SendAnswer::new(SENT, recipients, 1234);
        books.sent.push(message);
        books.answer = Some(answer.clone());
        Ok(answer)
    }

    async fn wait(&self, id: MessageId, state: State, timeout: Duration) -> Result<WaitAnswer, DeskError> {
        known(id, SENT)?;
        let (answer, stepped) = {
            let mut books = self.books();
            let step = books.plan.pop_front();
            let mut answer = books.answer.clone().ok_or_else(|| DeskError::no_such_message(id))?;
            if let Some((to, state, reason)) = step {
                for one in answer.recipients.iter_mut().filter(|one| one.to == to) {
                    (one.state, one.reason) = (state, reason.map(str::to_owned));
                }
                answer = SendAnswer::new(id, answer.recipients, answer.bytes);
                books.answer = Some(answer.clone());
            }
            (answer, step.is_some())
        };
        let outcome = answer.outcome(state);
        if outcome.is_none() && !stepped {
            self.books().sleepers += 1;
            tokio::time::sleep(timeout).await;
        }
        Ok(WaitAnswer { outcome: outcome.unwrap_or(Outcome::TimedOut), answer })
    }

    async fn inbox(&self, limit: Option<usize>) -> Result<Vec<InboxLine>, DeskError> {
        let line = self.books().received.as_ref().map(|one| one.line.clone());
        Ok(line.into_iter().take(limit.unwrap_or(usize::MAX)).collect())
    }

    async fn show(&self, id: MessageId) -> Result<ShowAnswer, DeskError> {
        known(id, RECEIVED)?;
        let mut books = self.books();
        let Received { line, body, files } =
            books.received.as_mut().ok_or_else(|| DeskError::no_such_message(id))?;
        line.state = line.state.max(State::Opened);
        let (party, device, key) = ("fr".to_owned(), "gw1".to_owned(), "a1b2".to_owned());
        Ok(ShowAnswer {
            line: line.clone(),
            body: String::from_utf8_lossy(body).into_owned(),
            files: files.iter().map(|(line, _)| line.clone()).collect(),
            signature: Signature { party, device, key, valid: true },
        })
    }

    async fn body(&self, id: MessageId) -> Result<Bytes, DeskError> {
        known(id, RECEIVED)?;
        let books = self.books();
        books.received.as_ref().map(|one| one.body.clone()).ok_or_else(|| DeskError::no_such_message(id))
    }

    async fn file(&self, id: MessageId, number: usize) -> Result<Bytes, DeskError> {
        known(id, RECEIVED)?;
        let books = self.books();
        let file = books.received.as_ref().and_then(|one| one.files.get(number));
        file.map(|(_, bytes)| bytes.clone()).ok_or_else(|| DeskError::no_such_file(id, number))
    }

    async fn ack(&self, id: MessageId, uid: u32) -> Result<AckAnswer, DeskError> {
        known(id, RECEIVED)?;
        self.books().acks.push(uid);
        Ok(AckAnswer::new(id))
    }

    async fn track(&self, id: MessageId) -> Result<Vec<TrackLine>, DeskError> {
        known(id, SENT)?;
        let time = Moment::from_unix_ms(1_763_935_855_000);
        let line = |to: &str, state, by: &str, reason: Option<&str>| TrackLine {
            id: SENT.to_owned(),
            to: to.to_owned(),
            state,
            time,
            by: by.to_owned(),
            reason: reason.map(str::to_owned),
        };
        let refused = line("minustah", State::Unopenable, "minustah/u7", Some("unopenable"));
        Ok(vec![line("br", State::Delivered, "br/gw1", None), refused])
    }

    async fn status(&self) -> Result<StatusAnswer, DeskError> {
        Ok(StatusAnswer {
            party: "fr".to_owned(),
            device: "gw1".to_owned(),
            link: LinkStatus { state: "up".to_owned(), path: Some("quic".to_owned()), rtt_ms: Some(0.5) },
            outbox: OutboxStatus { queued: 1, relayed: 2, delivered: 3, ended: 0, waiting_for_key: 1 },
            inbox: InboxStatus { delivered: 4, opened: 5, acknowledged: 6, unopenable: 0 },
            relay: RelayStatus { id: "hub-1".to_owned(), address: "127.0.0.1:4433".to_owned(), roster_no: 1 },
        })
    }
}

/// A directory that goes with its test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("valise-desk-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A desk that answers on a socket, from a thread of its own.
pub(crate) struct Office {
    pub(crate) desk: Arc<FakeDesk>,
    pub(crate) scratch: Scratch,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
    runtime: Runtime,
}

impl Office {
    pub(crate) fn open() -> Self {
        let scratch = Scratch::new();
        let desk = Arc::new(FakeDesk::default());
        let stop = CancellationToken::new();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let socket = runtime.block_on(LocalSocket::bind(&scratch.path().join("api.sock"), None)).unwrap();
        let serving = runtime.spawn(serve(socket, Arc::clone(&desk), stop.clone().cancelled_owned()));
        Self { desk, scratch, stop, serving: Some(serving), runtime }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.scratch.path().join("api.sock")
    }

    /// Stops the daemon in an orderly way.
    pub(crate) fn close(&mut self) {
        self.stop.cancel();
        if let Some(serving) = self.serving.take() {
            self.runtime.block_on(serving).unwrap();
        }
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        self.close();
    }
}
