//! Settling: a statement is kept for its author and, when it is an end, lets the entry go in the same record.
//!
//! Never lets an entry go without a receipt for its author.

use std::collections::BTreeSet;

use bytes::Bytes;
use valise_host::ledger::StoreError;
use valise_host::planted::Planted;
use valise_proto::kinds::{Reason, ReceiptKind};
use valise_proto::names::{DeviceId, Mailbox};
use valise_proto::receipt::{Receipt, SignedReceipt, Speaker};

use crate::queue::log::facts::{EndedFact, EnvelopeFact, Fact, PurgedFact, State, StatedFact, bit};
use crate::queue::log::group::{Decided, Group, Plan, Ticket};
use crate::queue::log::index::shelves::Slot;
use crate::queue::{Ended, Noted, Sequence};

/// Keeps a recipient's statement about one entry, one of a kind ([P-39]).
pub(in crate::queue::log) fn note(
    group: &mut Group<'_>,
    sequence: Sequence,
    mailbox: &Mailbox,
    signed: &SignedReceipt,
) -> Result<Decided<Noted>, StoreError> {
    let Some((slot, place)) = group.index.entry(sequence, mailbox) else {
        return Ok(Decided::of(Noted::Groundless));
    };
    if !group.touch(("entry", sequence, place)) {
        return Ok(Decided::Wait);
    }
    let entry = slot.entries()[place];
    // An entry without a wrap was never handed out: there is nothing yet to say about it.
    if entry.state == State::Waiting {
        return Ok(Decided::of(Noted::Groundless));
    }
    let Some(kind) = claimed(group, signed, slot, sequence, mailbox) else {
        return Ok(Decided::of(Noted::Groundless));
    };
    let author = group.index.devices.name(slot.submitter).clone();
    if entry.stated & bit(kind) != 0 {
        return Ok(Decided::of(Noted::Known { author }));
    }
    let fact = StatedFact {
        sequence,
        entry: u32::try_from(place).expect("invariant: an envelope has at most RECIPIENTS_MAX"),
        kind: kind.to_wire(),
        receipt: Bytes::copy_from_slice(&signed.id()),
        party: author.party.to_string(),
        device: author.device.to_string(),
    };
    group.plan(Plan::Plain(Fact::Stated(fact), signed.to_bytes().into()));
    Ok(Decided::of(Noted::Kept { author }))
}

/// What kind of statement it is, if it is this mailbox's about this very envelope ([P-37]).
fn claimed(
    group: &Group<'_>,
    signed: &SignedReceipt,
    slot: &Slot,
    sequence: Sequence,
    mailbox: &Mailbox,
) -> Option<ReceiptKind> {
    let claim = signed.claim().ok()?;
    let theirs = matches!(&claim.by, Speaker::Mailbox(by) if by == mailbox);
    let bound = group.index.bound(&claim.message_id, &claim.header_hash) == slot.bound;
    let ours = bound || Planted::ReceiptUnbound.here();
    // A bad end names the header as it was received: were it changed on the way, its author must hear just that.
    ((ours || claim.kind.is_bad_end()) && theirs && claim.sequence == sequence).then_some(claim.kind)
}

/// Ends what is past its time, at most `max` entries, and forgets as many envelopes that no replay can bring back.
/// `due`: envelopes of which something is due.
pub(in crate::queue::log) fn expire(
    group: &mut Group<'_>,
    due: &[Sequence],
    now_ms: u64,
    max: usize,
) -> Result<Decided<Ended>, StoreError> {
    if !group.take_alone() {
        return Ok(Decided::Wait);
    }
    let (mut authors, mut entries) = (BTreeSet::new(), 0);
    let (mut purged, mut damage) = (PurgedFact::default(), None);
    for sequence in due {
        let Some(slot) = group.index.envelopes.get(*sequence) else { continue };
        if slot.open == 0 {
            if purged.sequences.len() < max {
                purged.sequences.push(*sequence);
                purged.origins.push(slot.base.segment);
            }
            continue;
        }
        if slot.expires_ms > now_ms || entries >= max {
            continue;
        }
        // A record that does not open must not keep the others from their end.
        match end(group, *sequence, slot, now_ms, max - entries) {
            Ok((author, ended)) => {
                authors.insert(author);
                entries += ended;
            }
            Err(fault) => damage = Some(fault),
        }
    }
    if !purged.sequences.is_empty() {
        group.plan(Plan::Plain(Fact::Purged(purged), Vec::new()));
    }
    match damage {
        Some(fault) if entries == 0 => Err(fault),
        _ => Ok(Decided::of(Ended { authors: authors.into_iter().collect(), entries })),
    }
}

/// Ends open entries of one envelope, at most `max`: its author, and how many.
fn end(
    group: &mut Group<'_>,
    sequence: Sequence,
    slot: &Slot,
    now_ms: u64,
    max: usize,
) -> Result<(DeviceId, usize), StoreError> {
    let (fact, _) = group.reader.envelope(sequence, slot.base)?;
    let author = group.index.devices.name(slot.submitter).clone();
    let open = (0_u32..).zip(slot.entries()).filter(|(_, entry)| entry.state != State::Settled).take(max);
    let mut ended = EndedFact {
        sequence,
        entries: Vec::new(),
        receipts: Vec::new(),
        party: author.party.to_string(),
        device: author.device.to_string(),
    };
    let mut tickets: Vec<Ticket> = Vec::new();
    for (place, entry) in open {
        let mailbox = group.index.mailboxes.name(entry.mailbox).clone();
        let receipt = expired(group, &fact, mailbox, now_ms)?;
        tickets.push(group.state(receipt));
        ended.entries.push(place);
    }
    let count = tickets.len();
    group.plan(Plan::Ended(ended, tickets));
    Ok((author, count))
}

fn expired(
    group: &Group<'_>,
    fact: &EnvelopeFact,
    mailbox: Mailbox,
    now_ms: u64,
) -> Result<Receipt, StoreError> {
    let missing = || group.reader.damaged(format!("the record of envelope {} is incomplete", fact.sequence));
    Ok(Receipt {
        kind: ReceiptKind::Expired,
        message_id: fact.id().ok_or_else(missing)?,
        header_hash: fact.hash().ok_or_else(missing)?,
        sequence: fact.sequence,
        time_ms: now_ms,
        by: Speaker::Relay(group.relay.clone()),
        mailbox: Some(mailbox),
        reason: Some(Reason::Expired),
        operator_ref: None,
    })
}
