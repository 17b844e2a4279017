//! What a session says on its control stream: frames wait for a task that writes them, so that no loop stops reading
//! because its peer does. Two loops that each wait for the other to read would wait for ever.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use valise_proto::limits::CONTROL_PENDING_BYTES;
use valise_proto::wire::{self, frame::Kind};

use crate::framing::FrameSender;

/// Frames handed to the writer ahead of the stream.
const AHEAD: usize = 16;
/// For the last frames of a session to go out before the connection is closed.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The peer left more unread than may wait for it: the session is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer reads too slowly")]
pub struct Unread;

/// The speaking half of a control stream.
#[derive(Debug)]
pub struct Speech {
    frames: mpsc::Sender<Kind>,
    // One task; it ends with its session.
    writer: JoinSet<()>,
    pending: VecDeque<(usize, Kind)>,
    bytes: usize,
}

impl Speech {
    /// Starts the writing task.
    pub fn start(mut stream: FrameSender) -> Self {
        let (frames, mut waiting) = mpsc::channel(AHEAD);
        let mut writer = JoinSet::new();
        writer.spawn(async move {
            while let Some(kind) = waiting.recv().await {
                if stream.send(kind).await.is_err() {
                    return; // the connection is gone, and the session's loop sees it
                }
            }
        });
        Self { frames, writer, pending: VecDeque::new(), bytes: 0 }
    }

    /// Takes a frame to be said; never waits.
    pub fn say(&mut self, kind: Kind) -> Result<(), Unread> {
        let kind = if self.pending.is_empty() {
            match self.frames.try_send(kind) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(kind)) => kind,
                Err(mpsc::error::TrySendError::Closed(_)) => return Ok(()), // the connection is gone: as in `start`
            }
        } else {
            kind
        };
        let len = wire::encoded_len(&wire::Frame { kind: Some(kind.clone()) });
        self.bytes += len;
        self.pending.push_back((len, kind));
        if self.bytes > CONTROL_PENDING_BYTES { Err(Unread) } else { Ok(()) }
    }

    /// Whether frames wait for the writer.
    pub fn waits(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Hands one waiting frame to the writer, once it takes one. May be dropped while waiting.
    pub async fn hand_over(&mut self) {
        let Ok(place) = self.frames.reserve().await else {
            self.pending.clear(); // the connection is gone
            return;
        };
        if let Some((len, kind)) = self.pending.pop_front() {
            self.bytes -= len;
            place.send(kind);
        }
    }

    /// Lets what was said go out, for a moment; then the connection may be closed.
    pub async fn end(mut self) {
        let last = async {
            while self.waits() {
                self.hand_over().await;
            }
            drop(self.frames);
            self.writer.join_next().await;
        };
        timeout(LAST_WORDS, last).await.ok(); // a peer that does not read misses the last words
    }
}
