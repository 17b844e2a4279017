//! What the local API asks of the desk behind it. The desk decides and stores; the API and the command line never
//! reach past this trait.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use valise_proto::kinds::Precedence;
use valise_proto::limits::{ATTACHMENTS_MAX, FILE_NAME_MAX, MESSAGE_MAX, RECIPIENTS_MAX, SUBJECT_MAX};
use valise_proto::names::MessageId;

use crate::answer::{
    AckAnswer, InboxLine, SendAnswer, ShowAnswer, State, StatusAnswer, TrackLine, WaitAnswer,
};
use crate::exit::{DeskError, codes};

/// Most bytes of an idempotency key: a UUID or a hash, with room for a prefix.
pub const IDEMPOTENCY_KEY_MAX: usize = 128;
/// Most bytes of a media type: RFC 6838 allows two names of 127, none in use is near this.
pub const MEDIA_TYPE_MAX: usize = 127;
/// Stated for an attachment of which nothing is known.
pub const MEDIA_TYPE_UNKNOWN: &str = "application/octet-stream";

/// A message as it was handed in; nothing in it is checked against roster or agreements yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Compose {
    /// Mailboxes that are to act, as typed.
    pub to: Vec<String>,
    /// Mailboxes that are to know, as typed.
    pub info: Vec<String>,
    /// The precedence; `routine` when absent.
    pub precedence: Option<Precedence>,
    /// The subject.
    pub subject: Option<String>,
    /// The body.
    pub body: Bytes,
    /// The attachments, in order.
    pub attachments: Vec<Attached>,
    /// Names this request: the same key again is the same message, answered as the first time.
    pub idempotency: Option<String>,
}

/// One attachment.
#[derive(Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its name, no path.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Compose {
    /// The checks that need no roster: something to send, someone to send it to, nothing over its limit.
    pub fn check(&self) -> Result<(), DeskError> {
        let addressees = self.to.len() + self.info.len();
        if addressees == 0 {
            let help = "name at least one mailbox to send to";
            return Err(DeskError::invalid("no-recipient", "the message has no recipient", help));
        }
        if addressees > RECIPIENTS_MAX {
            let message =
                format!("{addressees} recipients are more than the {RECIPIENTS_MAX} of one message");
            return Err(DeskError::invalid("too-many-recipients", message, "send it as several messages"));
        }
        if self.body.is_empty() && self.attachments.is_empty() {
            return Err(empty_message());
        }
        if let Some(len) = self.subject.as_ref().map(String::len).filter(|len| *len > SUBJECT_MAX) {
            let message = format!("a subject of {len} bytes is over the limit of {SUBJECT_MAX}");
            return Err(DeskError::invalid("subject-too-long", message, "shorten the subject"));
        }
        if self.attachments.len() > ATTACHMENTS_MAX {
            let count = self.attachments.len();
            let message = format!("{count} attachments are more than the {ATTACHMENTS_MAX} of one message");
            return Err(DeskError::invalid("too-many-files", message, "send it as several messages"));
        }
        if self.attachments.iter().any(|file| file.name.len() > FILE_NAME_MAX) {
            let message = format!("an attachment's name is over {FILE_NAME_MAX} bytes");
            return Err(DeskError::invalid("file-name-too-long", message, "give the file a shorter name"));
        }
        let bytes = self.attachments.iter().fold(self.body.len(), |sum, file| sum + file.bytes.len());
        if bytes as u64 > MESSAGE_MAX { Err(too_large()) } else { Ok(()) }
    }
}

/// Body and attachments together are over the limit.
pub fn too_large() -> DeskError {
    let message = format!("body and attachments together are over {} MiB", MESSAGE_MAX / (1024 * 1024));
    DeskError::invalid(codes::FILE_TOO_LARGE, message, "send less, or send it as several messages")
}

/// Neither body nor attachment.
pub fn empty_message() -> DeskError {
    let help = "write the body to standard input, or attach a file";
    DeskError::invalid(codes::EMPTY_MESSAGE, "the message has neither body nor attachment", help)
}

/// The desk. Every call is independent of every other; dropping a future abandons the answer, never what is stored.
pub trait Desk: Send + Sync + 'static {
    /// Takes a message that passed [`Compose::check`] and answers once it is synced here (`queued`).
    fn send(&self, message: Compose) -> impl Future<Output = Result<SendAnswer, DeskError>> + Send;

    /// Waits until every recipient of a message sent here reached the state, one ended badly, or the time is up
    /// ([`SendAnswer::outcome`] decides). A zero timeout answers at once.
    fn wait(
        &self,
        id: MessageId,
        state: State,
        timeout: Duration,
    ) -> impl Future<Output = Result<WaitAnswer, DeskError>> + Send;

    /// The received messages in order of arrival, the oldest first; with a limit, the newest so many.
    fn inbox(&self, limit: Option<usize>) -> impl Future<Output = Result<Vec<InboxLine>, DeskError>> + Send;

    /// A received message for a person to see: makes it `opened`.
    fn show(&self, id: MessageId) -> impl Future<Output = Result<ShowAnswer, DeskError>> + Send;

    /// The exact bytes of a received body.
    fn body(&self, id: MessageId) -> impl Future<Output = Result<Bytes, DeskError>> + Send;

    /// The exact bytes of an attachment, counted from 0.
    fn file(&self, id: MessageId, number: usize) -> impl Future<Output = Result<Bytes, DeskError>> + Send;

    /// The operator with this user id acknowledges a received message. Again is no fault.
    fn ack(&self, id: MessageId, uid: u32) -> impl Future<Output = Result<AckAnswer, DeskError>> + Send;

    /// Where a message sent from here stands, one line for each recipient.
    fn track(&self, id: MessageId) -> impl Future<Output = Result<Vec<TrackLine>, DeskError>> + Send;

    /// Link, outbox, inbox, relay.
    fn status(&self) -> impl Future<Output = Result<StatusAnswer, DeskError>> + Send;
}
