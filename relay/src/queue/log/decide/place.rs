//! Placing an envelope: body once, an entry for each recipient, wraps now or later. Idempotent.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use valise_host::ledger::StoreError;
use valise_proto::kinds::ReceiptKind;
use valise_proto::names::{DeviceId, Mailbox, MessageId};
use valise_proto::receipt::{Receipt, SignedReceipt, Speaker};
use valise_proto::signing::Hash;
use valise_proto::wire;

use crate::queue::log::facts::{EntryFact, EnvelopeFact, Fact, State, WrapsFact};
use crate::queue::log::group::{Decided, Draft, Group, NewEnvelope, Plan, Signed, Ticket};
use crate::queue::log::index::shelves::Slot;
use crate::queue::log::payload::{header_bytes, several};
use crate::queue::{LateWraps, Placed, Sequence, Submission, Wrapped};

type Wraps<'a> = BTreeMap<&'a Mailbox, &'a wire::KeyWrap>;

/// Stores an envelope, or finds that it is stored ([P-26]).
pub(in crate::queue::log) fn enqueue(
    group: &mut Group<'_>,
    submission: &Submission,
) -> Result<Decided<Placed>, StoreError> {
    let facts = &submission.facts;
    let hash = submission.header.hash();
    let key = group.index.key(&submission.submitter, &facts.message_id);
    if !group.touch(("message", key)) {
        return Ok(Decided::Wait);
    }
    let wraps = one_each(&submission.wraps);
    if let Some((sequence, slot)) = find(group, &submission.submitter, &facts.message_id, &hash)? {
        if slot.bound != group.index.bound(&facts.message_id, &hash) {
            return Ok(Decided::of(Placed::IdReused));
        }
        return again(group, submission, sequence, slot, &wraps).map(Decided::Draft);
    }
    if let Some(over) = group.admits(submission) {
        return Ok(Decided::of(Placed::Over(over)));
    }
    group.charge(submission);
    let sequence = group.next_sequence();
    let receipt = relayed(group, sequence, &facts.message_id, hash, submission.now_ms);
    let proof = group.state(receipt);
    let new = new_envelope(submission, sequence, hash, &wraps, proof);
    group.plan(Plan::Envelope(Box::new(new)));
    let named = facts.recipients.iter().map(|recipient| &recipient.mailbox);
    let denied = named.filter(|mailbox| !submission.recipients.contains(mailbox)).cloned().collect();
    Ok(Decided::Draft(Draft::signed(move |signed| {
        let relayed = signed.take(proof);
        Placed::Stored { sequence, relayed, fresh: true, denied }
    })))
}

/// What is answered to a retry. A client that learnt a key meanwhile brings the wrap that was missing.
fn again(
    group: &mut Group<'_>,
    submission: &Submission,
    sequence: Sequence,
    slot: &Slot,
    wraps: &Wraps<'_>,
) -> Result<Draft<Placed>, StoreError> {
    let proof = proof(group, sequence, slot)?;
    let place = |mailbox: &Mailbox| group.index.entry(sequence, mailbox).map(|(_, place)| place);
    let waiting: Vec<_> = wraps
        .iter()
        .filter_map(|(mailbox, wrap)| Some((place(mailbox)?, *wrap)))
        .filter(|(place, _)| slot.entries()[*place].state == State::Waiting)
        .collect();
    let recipients = submission.facts.recipients.iter().map(|recipient| &recipient.mailbox);
    let denied = recipients.filter(|mailbox| place(mailbox).is_none()).cloned().collect();
    plan_wraps(group, sequence, waiting);
    Ok(Draft::signed(move |signed| {
        let relayed = proof.take(signed);
        Placed::Stored { sequence, relayed, fresh: false, denied }
    }))
}

/// The proof of an accepted envelope: as it rests, or signed anew when its bytes are gone. The statement is the same.
enum Proof {
    Kept(Box<SignedReceipt>),
    Anew(Ticket),
}

impl Proof {
    fn take(self, signed: &Signed) -> SignedReceipt {
        match self {
            Self::Kept(receipt) => *receipt,
            Self::Anew(ticket) => signed.take(ticket),
        }
    }
}

fn proof(group: &mut Group<'_>, sequence: Sequence, slot: &Slot) -> Result<Proof, StoreError> {
    let (fact, payload) = group.reader.envelope(sequence, slot.base)?;
    if let Some(payload) = payload {
        let receipt = SignedReceipt::from_bytes(payload.proof);
        let receipt =
            receipt.map_err(|_| group.reader.damaged(format!("the proof of envelope {sequence} is none")))?;
        return Ok(Proof::Kept(Box::new(receipt)));
    }
    let missing = || group.reader.damaged(format!("what is remembered of envelope {sequence} is incomplete"));
    let (id, hash) = (fact.id().ok_or_else(missing)?, fact.hash().ok_or_else(missing)?);
    let receipt = relayed(group, sequence, &id, hash, fact.accepted_ms);
    Ok(Proof::Anew(group.state(receipt)))
}

/// Adds or replaces wraps; all of them or, when one has no ground, none ([P-34]).
pub(in crate::queue::log) fn add_wraps(
    group: &mut Group<'_>,
    late: &LateWraps,
) -> Result<Decided<Wrapped>, StoreError> {
    let key = group.index.key(&late.submitter, &late.message_id);
    if !group.touch(("message", key)) {
        return Ok(Decided::Wait);
    }
    let Some((sequence, hash)) = accepted(group, &late.submitter, &late.message_id)? else {
        return Ok(Decided::of(Wrapped::NoSuchMessage));
    };
    let wraps = one_each(&late.wraps);
    let mut open = Vec::with_capacity(wraps.len());
    let mut mailboxes = Vec::with_capacity(wraps.len());
    for (mailbox, wrap) in &wraps {
        let Some((slot, place)) = group.index.entry(sequence, mailbox) else {
            return Ok(Decided::of(Wrapped::NoSuchMessage));
        };
        // One that ended meanwhile takes no wrap and is answered all the same: its author waits for a word on each.
        if slot.entries()[place].state != State::Settled {
            open.push((place, *wrap));
            mailboxes.push((*mailbox).clone());
        }
    }
    plan_wraps(group, sequence, open);
    let mut tickets = Vec::with_capacity(wraps.len());
    for mailbox in wraps.into_keys() {
        let mut receipt = relayed(group, sequence, &late.message_id, hash, late.now_ms);
        receipt.mailbox = Some(mailbox.clone());
        tickets.push(group.state(receipt));
    }
    Ok(Decided::Draft(Draft::signed(move |signed| {
        let relayed = tickets.into_iter().map(|ticket| signed.take(ticket)).collect();
        Wrapped::Stored { sequence, relayed, mailboxes }
    })))
}

fn plan_wraps(group: &mut Group<'_>, sequence: Sequence, wraps: Vec<(usize, &wire::KeyWrap)>) {
    if wraps.is_empty() {
        return;
    }
    let number =
        |place: usize| u32::try_from(place).expect("invariant: an envelope has at most RECIPIENTS_MAX");
    let entries = wraps.iter().map(|(place, _)| number(*place)).collect();
    let items = wraps.iter().map(|(_, wrap)| wire::encode(*wrap)).collect();
    group.plan(Plan::Plain(Fact::Wraps(WrapsFact { sequence, entries }), several(items)));
}

/// The wraps by mailbox; of two for one mailbox the later holds.
fn one_each(wraps: &[(Mailbox, wire::KeyWrap)]) -> Wraps<'_> {
    wraps.iter().map(|(mailbox, wrap)| (mailbox, wrap)).collect()
}

fn relayed(group: &Group<'_>, sequence: Sequence, id: &MessageId, header_hash: Hash, now_ms: u64) -> Receipt {
    Receipt {
        kind: ReceiptKind::Relayed,
        message_id: *id,
        header_hash,
        sequence,
        time_ms: now_ms,
        by: Speaker::Relay(group.relay.clone()),
        mailbox: None,
        reason: None,
        operator_ref: None,
    }
}

/// A message accepted before, by its submitter and id. What is in memory is believed where it binds this very header;
/// otherwise its record is asked, since two messages may meet under one key.
fn find<'a>(
    group: &Group<'a>,
    submitter: &DeviceId,
    id: &MessageId,
    hash: &Hash,
) -> Result<Option<(Sequence, &'a Slot)>, StoreError> {
    let (index, bound) = (group.index, group.index.bound(id, hash));
    for (sequence, slot) in index.under(index.key(submitter, id)) {
        if slot.bound == bound || is_of(group, sequence, slot, submitter, id)?.is_some() {
            return Ok(Some((sequence, slot)));
        }
    }
    Ok(None)
}

/// The same for one of whose header nothing is known: its number and the hash of its header.
fn accepted(
    group: &Group<'_>,
    submitter: &DeviceId,
    id: &MessageId,
) -> Result<Option<(Sequence, Hash)>, StoreError> {
    let index = group.index;
    for (sequence, slot) in index.under(index.key(submitter, id)) {
        if let Some(hash) = is_of(group, sequence, slot, submitter, id)? {
            return Ok(Some((sequence, hash)));
        }
    }
    Ok(None)
}

fn is_of(
    group: &Group<'_>,
    sequence: Sequence,
    slot: &Slot,
    submitter: &DeviceId,
    id: &MessageId,
) -> Result<Option<Hash>, StoreError> {
    let (fact, _) = group.reader.envelope(sequence, slot.base)?;
    let same = fact.submitter().as_ref() == Some(submitter) && fact.id().as_ref() == Some(id);
    Ok(fact.hash().filter(|_| same))
}

fn new_envelope(
    submission: &Submission,
    sequence: Sequence,
    header_hash: Hash,
    wraps: &Wraps<'_>,
    proof: Ticket,
) -> NewEnvelope {
    let facts = &submission.facts;
    let recipients: BTreeSet<_> = submission.recipients.iter().collect();
    let entry = |mailbox: &&Mailbox| EntryFact {
        mailbox: mailbox.to_string(),
        state: if wraps.contains_key(*mailbox) { State::Queued } else { State::Waiting }.into(),
        stated: 0,
        wrap: None,
        here: false,
    };
    let placed = (0..).zip(&recipients);
    let wraps = placed.filter_map(|(place, mailbox)| Some((place, wire::encode(*wraps.get(*mailbox)?))));
    let wraps = wraps.collect();
    let kept = !recipients.is_empty(); // otherwise nobody will ask for the rest
    let length = |part: &Vec<Bytes>| u32::try_from(part.len()).unwrap_or(u32::MAX);
    NewEnvelope {
        fact: EnvelopeFact {
            sequence,
            party: submission.submitter.party.to_string(),
            device: submission.submitter.device.to_string(),
            message_id: Bytes::copy_from_slice(facts.message_id.as_bytes()),
            header_hash: Bytes::copy_from_slice(&header_hash.0),
            precedence: facts.precedence.to_wire(),
            expires_ms: facts.expires_ms,
            accepted_ms: submission.now_ms,
            bytes: facts.ct_len(),
            entries: recipients.iter().map(entry).collect(),
            parts: submission.parts.iter().map(length).collect(),
            chunks: Vec::new(),
            state_only: false,
        },
        header: header_bytes(&submission.header),
        proof,
        wraps,
        segments: if kept { submission.parts.iter().flatten().cloned().collect() } else { Vec::new() },
    }
}
