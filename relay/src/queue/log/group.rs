//! A commit group at work: what its operations decided against what is durable, and the receipts that one signature
//! makes true.
//!
//! Two operations on one thing never share a group: the later waits, so that each sees what is durable alone. Nothing
//! leaves a group before its sync: an operation gives a draft, and only the writer's proof turns it into an answer.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::hash::{BuildHasher, Hash, RandomState};

use bytes::Bytes;
use valise_host::ledger::StoreError;
use valise_proto::limits::AUDIT_PATH_MAX;
use valise_proto::names::{Mailbox, PartyName, RelayId};
use valise_proto::receipt::{Receipt, SignedReceipt};

use super::facts::{EndedFact, EnvelopeFact, Fact};
use super::index::Index;
use super::reader::Reader;
use super::writer::Synced;
use crate::queue::{Held, Over, QueueError, Quotas, Sequence, Stamp, Submission};

/// Receipts of one signature: `RECEIPT_LEAVES_MAX`.
const LEAVES: usize = 1 << AUDIT_PATH_MAX;

/// What a group's signature made true, by ticket.
pub(super) struct Signed(Vec<SignedReceipt>);

/// Claims one receipt of the group once it is signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(usize);

impl Signed {
    pub(super) fn take(&self, ticket: Ticket) -> SignedReceipt {
        self.0[ticket.0].clone()
    }

    pub(super) fn see(&self, ticket: Ticket) -> &SignedReceipt {
        &self.0[ticket.0]
    }
}

/// An answer that waits for the signature and the sync.
pub(super) struct Draft<T>(Box<dyn FnOnce(&Signed) -> T + Send>);

impl<T: Send + 'static> Draft<T> {
    /// An answer that is complete but for the sync.
    pub(super) fn of(answer: T) -> Self {
        Self(Box::new(move |_| answer))
    }

    /// An answer that carries receipts of the group.
    pub(super) fn signed(answer: impl FnOnce(&Signed) -> T + Send + 'static) -> Self {
        Self(Box::new(answer))
    }

    /// The answer. Only a proof of the sync gives it ([P-27]).
    pub(super) fn release(self, proof: &Synced<Signed>) -> T {
        (self.0)(proof.as_ref())
    }
}

/// What became of an operation in a group.
pub(super) enum Decided<T> {
    /// Its answer, once the group is on the disk.
    Draft(Draft<T>),
    /// It is about something that this group changes: it joins the next.
    Wait,
}

impl<T: Send + 'static> Decided<T> {
    /// An answer that is complete but for the sync.
    pub(super) fn of(answer: T) -> Self {
        Self::Draft(Draft::of(answer))
    }
}

/// An operation: decides against what is durable, answers after the sync. Deciding may be asked for again.
pub(super) trait Operation: Send {
    /// Whether it has joined this group.
    fn decide(&mut self, group: &mut Group<'_>) -> Result<bool, StoreError>;
    fn release(self: Box<Self>, proof: &Synced<Signed>);
    fn fail(self: Box<Self>, fault: QueueError);
    /// Whether it takes room that only a delivery gives back.
    fn fills(&self) -> bool;
}

/// A record to be, in the order in which they are written.
pub(super) enum Plan {
    /// A fact and the bytes that go with it.
    Plain(Fact, Vec<u8>),
    /// A new envelope.
    Envelope(Box<NewEnvelope>),
    /// Entries that the clock ended, and the receipts about them.
    Ended(EndedFact, Vec<Ticket>),
}

/// A new envelope, all of it.
pub(super) struct NewEnvelope {
    pub(super) fact: EnvelopeFact,
    /// Signature and header.
    pub(super) header: Vec<u8>,
    pub(super) proof: Ticket,
    /// Wraps that came with it, by the place of their entry.
    pub(super) wraps: Vec<(u32, Bytes)>,
    /// Segments of all parts, in order; none when nobody will ask for them.
    pub(super) segments: Vec<Bytes>,
}

/// One group at work.
pub(super) struct Group<'a> {
    pub(super) index: &'a Index,
    pub(super) reader: &'a Reader,
    pub(super) relay: &'a RelayId,
    sequence: Sequence,
    plans: Vec<Plan>,
    receipts: Vec<Receipt>,
    touched: HashSet<u64>,
    hashes: RandomState,
    alone: bool,
    /// What this group adds, and is not counted in the index yet.
    entered: HashMap<Mailbox, Held>,
    sent: HashMap<PartyName, Held>,
}

impl<'a> Group<'a> {
    pub(super) fn new(index: &'a Index, reader: &'a Reader, relay: &'a RelayId, sequence: Sequence) -> Self {
        Self {
            index,
            reader,
            relay,
            sequence,
            plans: Vec::new(),
            receipts: Vec::new(),
            touched: HashSet::new(),
            hashes: RandomState::new(),
            alone: false,
            entered: HashMap::new(),
            sent: HashMap::new(),
        }
    }

    /// Whether a thing may still be changed by this group; from now on it may not.
    pub(super) fn touch(&mut self, thing: impl Hash) -> bool {
        !self.alone && self.touched.insert(self.hashes.hash_one(thing))
    }

    /// Whether another operation has this group to itself.
    pub(super) fn is_taken(&self) -> bool {
        self.alone
    }

    /// Whether this operation can have the group to itself; from now on it has.
    pub(super) fn take_alone(&mut self) -> bool {
        let free = !self.alone && self.touched.is_empty();
        self.alone |= free;
        free
    }

    /// Whether an envelope that is new may be stored beside what waits, and what this group adds to it.
    pub(super) fn admits(&self, submission: &Submission) -> Option<Over> {
        let facts = &submission.facts;
        let held = |mailbox: &Mailbox| -> Result<Held, Infallible> {
            Ok(plus(self.index.held(mailbox), self.entered.get(mailbox)))
        };
        let party = &submission.submitter.party;
        let sent = plus(self.index.sent(party), self.sent.get(party));
        let mailboxes = submission.recipients.iter().map(held);
        let Ok(over) = submission.quotas.judge(facts.precedence, facts.ct_len(), sent, mailboxes);
        over
    }

    /// Counts an envelope that this group stores.
    pub(super) fn charge(&mut self, submission: &Submission) {
        if submission.quotas == Quotas::NONE {
            return; // nothing of this group is judged by it
        }
        let bytes = submission.facts.ct_len();
        for mailbox in &submission.recipients {
            let held = self.entered.entry(mailbox.clone()).or_default();
            *held = plus(*held, Some(&Held { entries: 1, bytes }));
        }
        let entries = submission.recipients.len() as u64;
        let sent = self.sent.entry(submission.submitter.party.clone()).or_default();
        *sent = plus(*sent, Some(&Held { entries, bytes: if entries == 0 { 0 } else { bytes } }));
    }

    /// The next number; none is given twice, whatever is forgotten or refused.
    pub(super) fn next_sequence(&mut self) -> Sequence {
        self.sequence += 1;
        self.sequence
    }

    /// Has a receipt signed.
    pub(super) fn state(&mut self, receipt: Receipt) -> Ticket {
        self.receipts.push(receipt);
        Ticket(self.receipts.len() - 1)
    }

    /// Has a record written.
    pub(super) fn plan(&mut self, plan: Plan) {
        self.plans.push(plan);
    }

    /// Signs what is due, once for all. The highest number given, what is to be written, and the receipts.
    pub(super) fn close(self, stamp: &dyn Stamp) -> (Sequence, Vec<Plan>, Signed) {
        let due = self.receipts;
        let receipts: Vec<_> = due.chunks(LEAVES).flat_map(|leaves| stamp.sign_all(leaves)).collect();
        assert_eq!(receipts.len(), due.len(), "a stamp signs each receipt that it is given");
        (self.sequence, self.plans, Signed(receipts))
    }
}

fn plus(held: Held, more: Option<&Held>) -> Held {
    let more = more.copied().unwrap_or_default();
    Held { entries: held.entries + more.entries, bytes: held.bytes + more.bytes }
}
