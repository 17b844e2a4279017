//! The administrator's door: a local socket where the relay says how it stands, who is connected, and lets itself be
//! drained. Only the relay's own user and root are answered.
//!
//! Bounded in callers, bytes and time. Knows no envelope and no key; what it tells of a session is who and how fast,
//! never to whom.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use valise_host::doorway::{Caller, Peer, Rights};
use valise_host::socket::LocalSocket;
use valise_proto::admin::{self, FaultCode, State, answer::Kind, question::Verb};

use crate::health::{Colour, Sight, View, worst};
use crate::queue::Queue;

/// Callers at once: a watching script, an administrator, and room.
const CALLERS_MAX: usize = 8;
/// For a question to come, and again for its answers to be read: a caller that stalls gives its place back.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of all that runs out, so many are told: the earliest.
const EXPIRIES_MAX: usize = 16;

/// Most characters of a check's detail: one that names every party whose list is missing fits a message still.
const DETAIL_CHARS: usize = 2000;

/// How far the relay's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It runs, or drains.
    NotYet,
    /// It stopped in order: its store is closed.
    Stopped,
    /// It ended otherwise.
    Failed,
}

/// The door and what lies behind it.
pub struct Door<Q> {
    /// What is seen.
    pub view: Arc<View<Q>>,
    /// Asks the relay to let its sessions leave and to stop.
    pub leave: CancellationToken,
    /// How far its end has come.
    pub ending: watch::Receiver<Ending>,
}

impl<Q> Clone for Door<Q> {
    fn clone(&self) -> Self {
        Self { view: Arc::clone(&self.view), leave: self.leave.clone(), ending: self.ending.clone() }
    }
}

impl<Q: Queue> Door<Q> {
    /// Answers until the relay has ended and whoever waited for that was told; then takes the socket away.
    pub async fn serve(self, socket: LocalSocket) {
        let (mut doorway, rights, place) = socket.into_parts(CALLERS_MAX);
        let mut ending = self.ending.clone();
        let mut calls = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                _ = ending.wait_for(|ending| *ending != Ending::NotYet) => break,
                Some(_) = calls.join_next() => {}
                (caller, peer) = doorway.accept() => {
                    calls.spawn(self.clone().answer(caller, peer, rights));
                }
            }
        }
        // Nobody new may find the door once we no longer answer behind it.
        place.take_away();
        while calls.join_next().await.is_some() {}
    }

    /// One question and its answers. A caller that stalls or leaves loses its place, nothing else.
    async fn answer(self, mut caller: Caller, peer: Peer, rights: Rights) {
        let verb = if rights.admits(peer) {
            match timeout(PATIENCE, read(&mut caller)).await {
                Ok(Ok(verb)) => Ok(verb),
                Ok(Err(())) | Err(_) => Err(FaultCode::NotUnderstood),
            }
        } else {
            tracing::warn!(event = "admin-refused", uid = peer.uid, "a local user may not ask this relay");
            Err(FaultCode::NotThisUser)
        };
        let (answers, waits) = match verb {
            Ok(verb) => {
                self.reply(verb, peer).await.unwrap_or_else(|| (vec![fault(FaultCode::Stopping)], false))
            }
            Err(code) => (vec![fault(code)], false),
        };
        if !write(&mut caller, answers).await || !waits {
            return;
        }
        let mut ending = self.ending;
        let ended = ending.wait_for(|ending| *ending != Ending::NotYet).await.map(|ending| *ending);
        if ended.is_ok_and(|ending| ending == Ending::Stopped) {
            write(&mut caller, vec![Kind::Stopped(admin::Stopped {})]).await;
        }
    }

    /// The answers to a question, and whether its caller waits for the end. None: the relay has ended.
    async fn reply(&self, verb: Verb, peer: Peer) -> Option<(Vec<Kind>, bool)> {
        let sight = self.view.look().await?;
        let (mut answers, waits) = match verb {
            Verb::Status(_) => (status(&sight), false),
            Verb::Connections(_) => (connections(&sight), false),
            Verb::Drain(drain) => {
                let sessions = sight.hub.connected() as u64;
                tracing::info!(event = "drain-asked", uid = peer.uid, sessions);
                sight.hub.drain(); // from this answer on, whoever looks sees it
                self.leave.cancel();
                (vec![Kind::Draining(admin::Draining { sessions })], drain.wait)
            }
        };
        if !waits {
            answers.push(Kind::End(admin::End {}));
        }
        Some((answers, waits))
    }
}

async fn read(caller: &mut Caller) -> Result<Verb, ()> {
    let mut prefix = [0; admin::LENGTH_BYTES];
    caller.read_exact(&mut prefix).await.map_err(drop)?;
    let mut bytes = vec![0; admin::announced(prefix).map_err(drop)?];
    caller.read_exact(&mut bytes).await.map_err(drop)?;
    admin::question(&bytes).map_err(drop)
}

/// Whether the caller took all of it in time.
async fn write(caller: &mut Caller, answers: Vec<Kind>) -> bool {
    let all = async {
        for answer in answers {
            caller.write_all(&admin::say(answer)).await?;
        }
        caller.flush().await
    };
    matches!(timeout(PATIENCE, all).await, Ok(Ok(())))
}

fn fault(code: FaultCode) -> Kind {
    Kind::Fault(admin::Fault { code: code.into() })
}

fn state(colour: Colour) -> i32 {
    match colour {
        Colour::Green => State::Green,
        Colour::Yellow => State::Yellow,
        Colour::Red => State::Red,
    }
    .into()
}

fn status<Q: Queue>(sight: &Sight<Q>) -> Vec<Kind> {
    let (hub, checks) = (&sight.hub, sight.checks());
    let depth = sight.depth.clone().unwrap_or_default(); // its check says why there is none
    let mut answers = vec![Kind::Status(admin::Status {
        relay: hub.relay().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_ms: sight.started_ms,
        now_ms: sight.now_ms,
        roster_no: hub.trust().roster().number,
        sessions: hub.connected() as u64,
        entries: depth.entries,
        receipts: depth.receipts,
        sequence: depth.sequence,
        oldest_ms: sight.outlook.oldest_ms.unwrap_or(0),
        draining: hub.is_draining(),
        state: state(worst(&checks)),
    })];
    answers.extend(checks.into_iter().map(|check| {
        let detail = check.detail.chars().take(DETAIL_CHARS).collect();
        Kind::Check(admin::Check { name: check.name.to_owned(), state: state(check.state), detail })
    }));
    answers.extend(sight.expiries().into_iter().take(EXPIRIES_MAX).map(|expiry| {
        let what = expiry.what.to_owned();
        Kind::Expiry(admin::Expiry { what, owner: expiry.owner, at_ms: expiry.at_ms })
    }));
    answers
}

fn connections<Q: Queue>(sight: &Sight<Q>) -> Vec<Kind> {
    let sessions = sight.hub.sessions();
    let connection = |(session, device, mailboxes, line): crate::line::Session| {
        let path = line.path();
        Kind::Connection(admin::Connection {
            session,
            party: device.party.to_string(),
            device: device.device.to_string(),
            mailboxes: mailboxes.iter().map(|name| admin::MailboxName { name: name.to_string() }).collect(),
            since_ms: path.since_ms,
            address: path.address.to_string(),
            rtt_us: u64::try_from(path.rtt.as_micros()).unwrap_or(u64::MAX),
            delivering: path.delivering,
            submitting: path.submitting,
        })
    };
    sessions.into_iter().map(connection).collect()
}
