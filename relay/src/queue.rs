//! The queue: envelopes accepted and not yet delivered, and the receipts on their way back. The contract.
//!
//! Every verb is durable when it resolves: its answer is made from the store's own proof of commit. Reads see what
//! is durable. Never opens an envelope, never judges an agreement.

use std::collections::BTreeSet;

use bytes::Bytes;
use valise_proto::bundle::SignedBundle;
use valise_proto::header::{Header, SignedHeader};
use valise_proto::kinds::Precedence;
use valise_proto::names::{DeviceId, Mailbox, MessageId, RelayId};
use valise_proto::receipt::{Receipt, SignedReceipt};
use valise_proto::signing::KeyId;
use valise_proto::wire;

use crate::counts::Commits;

pub mod backend;
#[cfg(test)]
mod conformance;
pub mod log;
mod quota;
pub mod sqlite;

pub use quota::{Held, Over, Quota, Quotas};

/// The relay's number of an envelope, from 1, in order of acceptance.
pub type Sequence = u64;

/// An envelope that was found fit to be queued.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The header as received.
    pub header: SignedHeader,
    /// What it says.
    pub facts: Header,
    /// The device that submitted it; receipts go back to it.
    pub submitter: DeviceId,
    /// The addressees that agreements allow. Those refused are not here.
    pub recipients: Vec<Mailbox>,
    /// Wraps that came with it, for some or all of `recipients`; one for another mailbox is dropped.
    pub wraps: Vec<(Mailbox, wire::KeyWrap)>,
    /// Ciphertext segments of each part, in order.
    pub parts: Vec<Vec<Bytes>>,
    /// How much may wait, this envelope included.
    pub quotas: Quotas,
    /// Unix milliseconds by the relay's clock.
    pub now_ms: u64,
}

/// What became of a submission.
#[derive(Clone, Debug)]
pub enum Placed {
    /// Durable; `fresh` is false when it had been before (a retry): same number, same receipt.
    Stored {
        /// Its number.
        sequence: Sequence,
        /// The proof.
        relayed: SignedReceipt,
        /// Whether this submission stored it.
        fresh: bool,
        /// Recipients of the header that have no entry: refused at the first submission, whatever is allowed now.
        denied: Vec<Mailbox>,
    },
    /// The same device used the id before for other bytes.
    IdReused,
    /// Nothing of it was stored, and no number given: a quota stands in the way for now.
    Over(Over),
}

/// Wraps that follow a message accepted before.
#[derive(Clone, Debug)]
pub struct LateWraps {
    /// Which message of the submitter.
    pub message_id: MessageId,
    /// Who submitted the message, and now these.
    pub submitter: DeviceId,
    /// The wraps; one for a mailbox that has one already replaces it.
    pub wraps: Vec<(Mailbox, wire::KeyWrap)>,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// What became of late wraps.
#[derive(Clone, Debug)]
pub enum Wrapped {
    /// Durable: one `relayed` receipt for each mailbox of the wraps.
    Stored {
        /// The message's number.
        sequence: Sequence,
        /// The proofs.
        relayed: Vec<SignedReceipt>,
        /// The mailboxes that can read now, to be woken.
        mailboxes: Vec<Mailbox>,
    },
    /// No such message of this device, or a mailbox that is not among its recipients.
    NoSuchMessage,
}

/// What a statement did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noted {
    /// Durable, and kept for its author's device.
    Kept {
        /// To be told.
        author: DeviceId,
    },
    /// The same statement had been kept before.
    Known {
        /// To be told again: the first telling may have been cut off.
        author: DeviceId,
    },
    /// No envelope was accepted in the other direction: the receipt has no ground.
    Groundless,
}

/// What the clock ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Devices to be told.
    pub authors: Vec<DeviceId>,
    /// How many entries.
    pub entries: usize,
}

/// An entry that may be handed out now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which envelope.
    pub sequence: Sequence,
    /// Its order.
    pub precedence: Precedence,
    /// Unix milliseconds; not handed out from then on.
    pub expires_ms: u64,
    /// Ciphertext bytes, for scheduling.
    pub bytes: u64,
}

/// An envelope for one recipient; of its segments only the first, which is all of a small one.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The header as received.
    pub header: SignedHeader,
    /// What it says.
    pub facts: Header,
    /// The proof of acceptance.
    pub relayed: SignedReceipt,
    /// The one wrap that is the recipient's.
    pub wrap: wire::KeyWrap,
    /// The first segment of the first part; every envelope has one.
    pub first: Bytes,
}

/// How much is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Entries that wait for a recipient.
    pub entries: u64,
    /// Receipts that wait for an author.
    pub receipts: u64,
    /// Highest number given.
    pub sequence: Sequence,
}

/// What waits longest, and what runs out first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// When the oldest envelope with an entry that waits was accepted, Unix milliseconds.
    pub oldest_ms: Option<u64>,
    /// When the next entry that waits expires, Unix milliseconds.
    pub next_expiry_ms: Option<u64>,
}

/// What waits, as an administrator asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// By precedence, the highest first, without those of which nothing waits.
    pub precedences: Vec<(Precedence, Held)>,
    /// The fullest mailboxes, by entries, then bytes; among equals in any order.
    pub mailboxes: Vec<MailboxHeld>,
    /// How many mailboxes something waits for.
    pub mailboxes_in_all: u64,
}

/// What waits for one mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxHeld {
    /// Which.
    pub mailbox: Mailbox,
    /// How much.
    pub held: Held,
    /// When the oldest of it was accepted, Unix milliseconds.
    pub oldest_ms: u64,
}

/// What a walk over a store that nobody has open has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Files of records; 1 of a database.
    pub segments: u64,
    /// Records, or sealed rows, that open.
    pub records: u64,
    /// Envelopes that are held or remembered.
    pub envelopes: u64,
    /// Entries that wait for a recipient.
    pub entries: u64,
    /// Receipts that wait for an author.
    pub receipts: u64,
    /// Highest number given.
    pub sequence: Sequence,
    /// What is missing or does not open, one sentence each.
    pub damage: Vec<String>,
    /// What is worth knowing and no damage.
    pub notes: Vec<String>,
}

/// Why a verb failed. `Full` may be tried again; after `Failed` the process ends and a restart reads again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// What rests is not what was written. Of this question only: others go on.
    #[error("the queue is damaged: {0}; keep its files, then restore all of them from one backup")]
    Damaged(String),
    /// A write or sync failed; nothing is acknowledged any more.
    #[error("the queue failed and takes no more: {0}; the relay ends and must be started again")]
    Failed(String),
    /// The disk is full; noticed before the sync, so nothing was promised.
    #[error("the disk of the queue is full; free space, submissions are taken again by themselves")]
    Full,
}

/// Signs what the queue itself states: `relayed` and `expired`. One signature may cover a commit group, of at most
/// `RECEIPT_LEAVES_MAX` receipts; as many come back, in order.
pub trait Stamp: Send + Sync + 'static {
    /// Which relay speaks.
    fn relay(&self) -> &RelayId;
    /// Signs all of these.
    fn sign_all(&self, receipts: &[Receipt]) -> Vec<SignedReceipt>;
}

type Answer<T> = Result<T, QueueError>;

/// The contract every backend keeps; `conformance` holds each to it.
pub trait Queue: Send + Sync + 'static {
    /// Stores an envelope: body once, an entry per recipient, wrap once per mailbox. An entry without its wrap is
    /// not handed out. Idempotent by submitter and message id; a retry fills wraps that were still missing, so
    /// the mailboxes of its wraps are to be woken whether it was fresh or not. `keep_leaf` of the author comes first.
    /// Quotas are judged by [`Quotas::judge`] over what the same commit holds, for what is fresh alone: of what came
    /// before, a retry is never refused.
    fn enqueue(&self, submission: Submission) -> impl Future<Output = Answer<Placed>> + Send;

    /// Adds or replaces wraps of a message accepted before: all, or none when one is for another mailbox. An entry
    /// that ended meanwhile takes none, and is answered like the others.
    fn add_wraps(&self, wraps: LateWraps) -> impl Future<Output = Answer<Wrapped>> + Send;

    /// Keeps a recipient's statement for the author's device. `sequence` and `mailbox` say which entry it is about;
    /// one that settles lets the entry go in the same commit. At most one statement of a kind per entry. Groundless
    /// unless the entry was handed out and the receipt is that mailbox's, about that message, header and number (a
    /// bad end may name another header: the author must hear of a changed one).
    /// Whether its signature holds was judged before.
    fn note(
        &self,
        sequence: Sequence,
        mailbox: Mailbox,
        receipt: SignedReceipt,
    ) -> impl Future<Output = Answer<Noted>> + Send;

    /// Ends what is past its time at `now_ms`, at most `max` entries, with signed receipts; the authors to be told.
    /// Forgets, as many at most, envelopes that ended and are so old that no replay of them would be taken.
    fn expire(&self, now_ms: u64, max: usize) -> impl Future<Output = Answer<Ended>> + Send;

    /// The next entries of a mailbox by precedence, then number, without those in `skip` and the expired; at most `max`
    /// of each precedence, so that whoever schedules sees what waits behind a stream of more urgent ones.
    fn next(
        &self,
        mailbox: Mailbox,
        skip: BTreeSet<Sequence>,
        max: usize,
        now_ms: u64,
    ) -> impl Future<Output = Answer<Vec<Entry>>> + Send;

    /// An entry's envelope, with its first segment; none when it was settled meanwhile, or waits for its wrap.
    fn outgoing(
        &self,
        sequence: Sequence,
        mailbox: Mailbox,
    ) -> impl Future<Output = Answer<Option<Outgoing>>> + Send;

    /// One ciphertext segment, exactly as submitted; none when every entry of the envelope was settled meanwhile.
    fn segment(
        &self,
        sequence: Sequence,
        part: u32,
        index: u32,
    ) -> impl Future<Output = Answer<Option<Bytes>>> + Send;

    /// Receipts for a device, oldest first, without those in `skip`.
    fn receipts(
        &self,
        device: DeviceId,
        skip: BTreeSet<[u8; 16]>,
        max: usize,
    ) -> impl Future<Output = Answer<Vec<SignedReceipt>>> + Send;

    /// Forgets receipts that the device holds durably.
    fn forget(&self, device: DeviceId, ids: Vec<[u8; 16]>) -> impl Future<Output = Answer<()>> + Send;

    /// Keeps the certificate of a signing key: delivered ahead of what that key signed.
    fn keep_leaf(&self, key: KeyId, leaf: wire::SigningLeaf) -> impl Future<Output = Answer<()>> + Send;

    /// The certificate of a signing key; shown ahead of receipts under that key.
    fn leaf(&self, key: KeyId) -> impl Future<Output = Answer<Option<wire::SigningLeaf>>> + Send;

    /// Keeps a mailbox's bundle when its batch is newer; the newest batch number held afterwards.
    fn keep_bundle(
        &self,
        mailbox: Mailbox,
        batch_no: u64,
        bundle: SignedBundle,
    ) -> impl Future<Output = Answer<u64>> + Send;

    /// A mailbox's newest bundle and its batch number.
    fn bundle(&self, mailbox: Mailbox) -> impl Future<Output = Answer<Option<(u64, SignedBundle)>>> + Send;

    /// How much is held.
    fn depth(&self) -> impl Future<Output = Answer<Depth>> + Send;

    /// What waits longest, and what runs out first. Cheap, however much is held.
    fn outlook(&self) -> impl Future<Output = Answer<Outlook>> + Send;

    /// What waits, counted, with at most `max` mailboxes. Cheap beside what is held: it grows with the mailboxes.
    fn census(&self, max: usize) -> impl Future<Output = Answer<Census>> + Send;

    /// What its commits took since it was opened.
    fn commits(&self) -> &Commits;

    /// Resolves, with the reason, once the backend takes nothing more; never before. The relay then ends.
    fn failure(&self) -> impl Future<Output = String> + Send;
}
