//! What a device's session is told, and what it asks to be done.

use std::collections::BTreeSet;

use super::super::{Close, ReceiptId};
use crate::bundle::SignedBundle;
use crate::names::{Mailbox, MessageId};
use crate::receipt::SignedReceipt;
use crate::roster::SignedRoster;
use crate::transfer::Transfer;
use crate::wire::{self, frame::Kind};

/// Where the conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Hello is out; submissions flow already.
    Greeting,
    /// Welcome is in.
    Live,
    /// The relay is about to stop: nothing new is submitted.
    GoingAway,
    /// Over.
    Closed,
}

/// A message of the outbox as the session needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which message.
    pub id: MessageId,
    /// Whether it counts as bulk.
    pub bulk: bool,
}

/// What happens to a session.
#[derive(Clone, Debug)]
pub enum Event {
    /// The connection is up: greet.
    Connected {
        /// What to say.
        hello: wire::Hello,
        /// Which papers to show.
        leaf: wire::SigningLeaf,
    },
    /// A frame on the control stream.
    Control(Kind),
    /// An envelope came whole.
    Arrived(Box<Transfer>),
    /// An arrived envelope is durable here, opened or not, with its statement; or it was before.
    Kept(u64),
    /// The outbox may have something to submit.
    Wake,
    /// The outbox's answer to `PullOutbox`.
    Offers(Vec<Offer>),
    /// A submission is under way, its last frame written at this time (Unix milliseconds).
    Submitted(MessageId, u64),
    /// A submission could not be written.
    NotSent(MessageId),
    /// What the relay said of a submission is durable here: it may be asked for again, or is done.
    Over(MessageId),
    /// Statements may wait to be sent.
    WakeStatements,
    /// The store's answer to `PullStatements`.
    Statements(Vec<SignedReceipt>),
    /// It is durable here that the relay holds these statements.
    StatementsOver(Vec<ReceiptId>),
    /// Receipts that came are durable here.
    Noted(Vec<ReceiptId>),
    /// Mailboxes whose keys are needed, with the newest batch held.
    Want(Vec<(Mailbox, u64)>),
    /// There may be wraps that follow a message.
    WakeLateWraps,
    /// The outbox's answer to `PullLateWraps`.
    LateWraps(Vec<(MessageId, Vec<wire::KeyWrap>)>),
    /// The own bundle is to be published.
    Publish(Box<SignedBundle>),
    /// Time passes: now, and when anything last came from the relay (Unix milliseconds).
    Tick {
        /// Now.
        now_ms: u64,
        /// When a packet last came.
        heard_ms: u64,
    },
    /// Close from this side.
    Close(Close),
}

/// What the body is to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Write a frame to the control stream.
    Send(Kind),
    /// The relay is found fit: note its time and its signer, hand over what it lacks.
    Welcomed(wire::Welcome),
    /// Ask the outbox; answer with `Offers`.
    PullOutbox {
        /// Not these.
        skip: BTreeSet<MessageId>,
        /// At most so many.
        max: usize,
    },
    /// Ask the outbox for wraps that follow; answer with `LateWraps`.
    PullLateWraps {
        /// Not of these messages.
        skip: BTreeSet<MessageId>,
        /// Of at most so many.
        max: usize,
    },
    /// Send a message on a stream of its own.
    Submit(Offer),
    /// A message is durable at the relay; the receipt is not yet judged. Answer with `Over`.
    Accepted(MessageId, Box<SignedReceipt>),
    /// A message was not taken: code, when to try again (0 = never), the statement, not yet judged. Answer with `Over`.
    Refused(MessageId, u32, u32, Option<Box<SignedReceipt>>),
    /// Open, verify and keep an envelope; answer with `Kept`.
    Keep(Box<Transfer>),
    /// Judge and keep receipts; answer with `Noted`.
    Note(Vec<SignedReceipt>),
    /// Ask the store; answer with `Statements`.
    PullStatements {
        /// Not these.
        skip: BTreeSet<ReceiptId>,
        /// At most so many.
        max: usize,
    },
    /// A signing certificate that what follows is judged by.
    KeepLeaf(wire::SigningLeaf),
    /// The relay holds these statements. Answer with `StatementsOver`.
    StatementsTaken(Vec<ReceiptId>),
    /// Judge and keep a bundle.
    TakeBundle(Box<SignedBundle>),
    /// The relay holds the own batch.
    BundleTaken(Mailbox, u64),
    /// Judge and keep a newer roster.
    TakeRoster(Box<SignedRoster>),
    /// The relay will stop: come back after so many milliseconds.
    ComeBack(u32),
    /// Close the connection; nothing follows.
    Close(Close),
}
