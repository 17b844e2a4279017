//! What a relay's session is told, and what it asks to be done.

use std::collections::BTreeSet;

use super::super::{Close, ReceiptId};
use super::rank::Rank;
use crate::bundle::SignedBundle;
use crate::names::{Mailbox, MessageId};
use crate::receipt::SignedReceipt;
use crate::refusal::Refusal;
use crate::roster::SignedRoster;
use crate::signing::KeyId;
use crate::transfer::Transfer;
use crate::wire::{self, frame::Kind};

/// Where the conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The device has to say Hello.
    AwaitHello,
    /// The device has to show its signing certificate.
    AwaitLeaf,
    /// Its signing certificate is being judged.
    Judging,
    /// Everything flows.
    Live,
    /// No new submissions; deliveries in flight end.
    Draining,
    /// Over.
    Closed,
}

/// An entry of the queue as the session needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The relay's number.
    pub sequence: u64,
    /// Whether it counts as bulk.
    pub bulk: bool,
    /// How urgent it has become.
    pub rank: Rank,
}

/// What happens to a session.
#[derive(Clone, Debug)]
pub enum Event {
    /// A frame on the control stream.
    Control(Kind),
    /// The verdict on the device's signing certificate: its key, when it is good.
    LeafJudged(Option<KeyId>),
    /// The time for Hello is over.
    HelloDeadline,
    /// A transfer came whole.
    Submitted(Box<Transfer>),
    /// A submission is durable.
    Accepted(wire::Acceptance),
    /// Signed refusals of single recipients; they go out ahead of the acceptance.
    Denied(Vec<SignedReceipt>),
    /// A submission was not taken: why, when to try again (milliseconds; none = as the refusal says), and the statement,
    /// when it is final.
    Refused(MessageId, Refusal, Option<u32>, Option<SignedReceipt>),
    /// The queue may have entries for a mailbox of the device.
    Wake,
    /// The queue's answer to `Pull`, and whether that is all it has.
    Offers(Mailbox, Vec<Offer>, bool),
    /// An entry was settled before it was sent.
    NotSent(u64),
    /// An entry could not be read or sent: it waits for another session.
    Unsendable(u64),
    /// Statements of the device are durable; with the numbers whose entry they settled.
    Noted(Vec<ReceiptId>, Vec<u64>),
    /// The queue may have receipts for the device.
    WakeReceipts,
    /// The queue has forgotten these receipts.
    Forgotten(Vec<ReceiptId>),
    /// The queue's answer to `PullReceipts`.
    Receipts(Vec<SignedReceipt>),
    /// The device's bundle is durable, with the newest batch held.
    BundleKept(Mailbox, u64),
    /// These mailboxes published a bundle: those the device wants are looked up again.
    WakeBundles(Vec<Mailbox>),
    /// A bundle is there that the device may want.
    Bundle(Mailbox, u64, Box<SignedBundle>),
    /// A newer roster is in force.
    Roster(Vec<wire::RosterPiece>),
    /// The relay is about to stop.
    Drain {
        /// When to come back, milliseconds.
        retry_after_ms: u32,
    },
    /// Close from outside: superseded, revoked, expired, a failed store.
    Close(Close),
}

/// What the body is to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Write a frame to the control stream.
    Send(Kind),
    /// Judge the device's signing certificate; answer with `LeafJudged`.
    JudgeLeaf(wire::SigningLeaf),
    /// The device is greeted: register it, send Welcome, then hand over what it lacks.
    Open {
        /// Its mailboxes.
        mailboxes: Vec<Mailbox>,
        /// What it said.
        hello: wire::Hello,
    },
    /// Route and queue; answer with `Accepted` or `Refused`.
    Submit(Box<Transfer>),
    /// Refuse in writing; answer with `Refused`.
    Refuse(Box<Transfer>, Refusal),
    /// Add wraps; answer with `Accepted` per mailbox or `Refused`.
    AddWraps(MessageId, Vec<(Mailbox, wire::KeyWrap)>),
    /// Keep statements for their authors; answer with `Noted`.
    Note(Vec<SignedReceipt>),
    /// The device holds these receipts: forget them; answer with `Forgotten`.
    Forget(Vec<ReceiptId>),
    /// Keep a bundle; answer with `BundleKept`.
    KeepBundle(Box<SignedBundle>),
    /// Look a bundle up that is newer than the batch; answer with `Bundle`, or not at all.
    FindBundle(Mailbox, u64),
    /// Judge a roster that a device holds and we lack.
    TakeRoster(Box<SignedRoster>),
    /// Ask the queue; answer with `Offers`.
    Pull {
        /// Whose entries.
        mailbox: Mailbox,
        /// Not these.
        skip: BTreeSet<u64>,
        /// At most so many of each precedence.
        max: usize,
    },
    /// Ask the queue; answer with `Receipts`.
    PullReceipts {
        /// Not these.
        skip: BTreeSet<ReceiptId>,
        /// At most so many.
        max: usize,
    },
    /// Send an entry's envelope on a stream of its own.
    Deliver(Mailbox, Offer),
    /// Close the connection; nothing follows.
    Close(Close),
}
