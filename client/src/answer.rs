//! The shapes of the local API: one place for field names and their order, read and written by daemon and command
//! line alike. Only data; nothing here decides or prints.

mod moment;
mod state;

pub use moment::Moment;
pub use state::{Outcome, State, UnknownState};

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::exit::DeskError;

/// One recipient of a message that was sent here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The mailbox.
    pub to: String,
    /// Where the message stands with it.
    pub state: State,
    /// Why it waits or ended, a stable word: `waiting-for-key`, `not-permitted-or-unknown`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer to `send`, and where the message stands later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendAnswer {
    /// The message id.
    pub id: String,
    /// The lowest of all recipients, an end below every rung.
    pub state: State,
    /// Every recipient, in the order of the header.
    pub recipients: Vec<Recipient>,
    /// Envelope bytes uploaded.
    pub bytes: u64,
}

impl SendAnswer {
    /// Builds the answer; `state` follows from the recipients.
    pub fn new(id: impl fmt::Display, recipients: Vec<Recipient>, bytes: u64) -> Self {
        let state = recipients.iter().map(|recipient| recipient.state).min().unwrap_or(State::Queued);
        Self { id: id.to_string(), state, recipients, bytes }
    }

    /// How waiting for `target` stands: reached by all, ended badly for one, or (`None`) neither yet.
    pub fn outcome(&self, target: State) -> Option<Outcome> {
        if self.recipients.iter().any(|recipient| recipient.state.is_bad_end()) {
            return Some(Outcome::EndedBadly);
        }
        let reached = self.recipients.iter().all(|recipient| recipient.state >= target);
        reached.then_some(Outcome::Reached)
    }
}

/// The answer to a wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitAnswer {
    /// Why it ended.
    pub outcome: Outcome,
    /// Where the message stands now.
    pub answer: SendAnswer,
}

/// One received message, without its content. Times are UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxLine {
    /// The message id.
    pub id: String,
    /// The sender's mailbox.
    pub from: String,
    /// Our mailbox that it came to.
    pub to: String,
    /// The subject, empty when there is none. Foreign text.
    pub subject: String,
    /// What the relay saw of its kind: `message`, `notice`, …
    pub class: String,
    /// What only the ends see of it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The precedence.
    pub precedence: String,
    /// When the author says it was made.
    pub created: Moment,
    /// When this desk had it decrypted and verified.
    pub delivered: Moment,
    /// `delivered`, `opened` or `acknowledged`.
    pub state: State,
    /// How many attachments it has.
    pub attachments: u32,
}

/// One attachment, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLine {
    /// The name the sender gave. Foreign text, never used as a path.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// The media type the sender stated.
    #[serde(rename = "type")]
    pub media_type: String,
    /// SHA-256 of its bytes, 64 hexadecimal digits.
    pub sha256: String,
}

/// Whose signature the message carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The party on the certificate.
    pub party: String,
    /// The device on it.
    pub device: String,
    /// The id of the signing key, hexadecimal.
    pub key: String,
    /// Whether signature, certificate and chain held when the message was accepted.
    pub valid: bool,
}

/// A received message with its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowAnswer {
    /// The fields of its inbox line.
    #[serde(flatten)]
    pub line: InboxLine,
    /// The body as text; what is not UTF-8 is replaced. The exact bytes have a route of their own.
    pub body: String,
    /// The attachments, numbered from 0.
    pub files: Vec<FileLine>,
    /// The author's signature.
    pub signature: Signature,
}

/// One recipient's rung, and who stated it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackLine {
    /// The message id.
    pub id: String,
    /// The recipient's mailbox.
    pub to: String,
    /// Where the message stands with it.
    pub state: State,
    /// Since when.
    pub time: Moment,
    /// Who states it: a mailbox (`br`), a relay (`relay/hub-1`), or this desk's own (`fr`).
    pub by: String,
    /// Why it waits or ended, a stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer to `ack`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckAnswer {
    /// The message id.
    pub id: String,
    /// Always `acknowledged`.
    pub state: State,
}

impl AckAnswer {
    /// The message is acknowledged.
    pub fn new(id: impl fmt::Display) -> Self {
        Self { id: id.to_string(), state: State::Acknowledged }
    }
}

/// The link to the relay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// `up`, `connecting` or `down`.
    pub state: String,
    /// How it goes, `quic`; none while there is no link.
    pub path: Option<String>,
    /// Round trip in milliseconds; none while there is no link.
    pub rtt_ms: Option<f64>,
}

/// What was sent, by the lowest rung over all recipients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxStatus {
    /// Synced here, not yet at the relay for every recipient.
    pub queued: u64,
    /// At the relay for every recipient, not yet delivered to every one.
    pub relayed: u64,
    /// Delivered to every recipient, or further.
    pub delivered: u64,
    /// Ended badly for at least one.
    pub ended: u64,
    /// Of all, those that lack a recipient's key.
    pub waiting_for_key: u64,
}

/// What came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxStatus {
    /// Messages not opened yet.
    pub delivered: u64,
    /// Opened, not acknowledged.
    pub opened: u64,
    /// Acknowledged.
    pub acknowledged: u64,
    /// Envelopes that could not be opened.
    pub unopenable: u64,
}

/// The relay this desk speaks to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayStatus {
    /// Its id.
    pub id: String,
    /// Its address, `host:port`.
    pub address: String,
    /// The number of the roster in force here.
    pub roster_no: u64,
}

/// The answer to `status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusAnswer {
    /// Our party.
    pub party: String,
    /// Our device.
    pub device: String,
    /// The link to the relay.
    pub link: LinkStatus,
    /// Messages sent from here.
    pub outbox: OutboxStatus,
    /// Messages received here.
    pub inbox: InboxStatus,
    /// The relay.
    pub relay: RelayStatus,
}

/// A name and a type for an attachment whose name no part header can carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRequest {
    /// Its name.
    pub name: String,
    /// Its media type.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
}

/// What a sender asks for: the `message` part of a form, or the whole of a JSON request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendRequest {
    /// Mailboxes that are to act.
    #[serde(default)]
    pub to: Vec<String>,
    /// Mailboxes that are to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub info: Vec<String>,
    /// The precedence; `routine` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precedence: Option<String>,
    /// The subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The body as text; in a form it is a part of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Names of the attachment parts, in their order; the parts' own file names when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<FileRequest>>,
}

/// The daemon is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveAnswer {
    /// Always true: a daemon that is not alive does not answer.
    pub live: bool,
}

/// What went wrong, inside [`ErrorAnswer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The stable word.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do.
    pub help: String,
    /// The exit code of the command line.
    pub exit: u8,
}

/// A refusal as JSON: `{"error":{"code","message","help","exit"}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorAnswer {
    /// What went wrong.
    pub error: ErrorBody,
}

impl From<DeskError> for ErrorBody {
    fn from(error: DeskError) -> Self {
        let DeskError { code, message, help, exit } = error;
        Self { code: code.to_owned(), message, help, exit: exit.number() }
    }
}

impl From<DeskError> for ErrorAnswer {
    fn from(error: DeskError) -> Self {
        Self { error: error.into() }
    }
}
