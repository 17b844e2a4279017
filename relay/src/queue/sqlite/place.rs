//! Placing an envelope: body once, an entry for each recipient, wraps now or later. Idempotent.
//!
//! Judges nothing: who may write to whom was decided before.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::OptionalExtension;
use valise_host::ledger::StoreError;
use valise_proto::kinds::ReceiptKind;
use valise_proto::names::{DeviceId, Mailbox, MessageId};
use valise_proto::receipt::{Receipt, Speaker};
use valise_proto::signing::Hash;
use valise_proto::wire;

use super::group::{Draft, Group};
use super::held;
use super::rows::{Author, Vault, entry_row, envelope_row};
use super::schema::{QUEUED, SETTLED, WAITING, place};
use crate::queue::{Held, LateWraps, Placed, Sequence, Submission, Wrapped};

type Wraps<'a> = BTreeMap<&'a Mailbox, &'a wire::KeyWrap>;

/// A time as SQLite keeps it; one beyond its range is as good as never.
pub(super) fn stored_ms(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// Stores an envelope, or finds that it is stored ([P-26]).
pub(super) fn enqueue(group: &mut Group<'_>, submission: &Submission) -> Result<Draft<Placed>, StoreError> {
    let hash = submission.header.hash();
    let wraps = one_each(&submission.wraps);
    if let Some((sequence, author)) = find(group, &submission.submitter, &submission.facts.message_id)? {
        if author.header_hash != hash {
            return Ok(Draft::of(Placed::IdReused));
        }
        // A client that learnt a key meanwhile and tries again brings the wrap that was missing.
        for (mailbox, wrap) in wraps {
            set_wrap(group, sequence, mailbox, wrap, WAITING)?;
        }
        let denied = without_entry(group, sequence, submission)?;
        let proof = group.proof(sequence)?;
        return Ok(Draft::signed(move |signed| {
            let relayed = proof.take(signed);
            Placed::Stored { sequence, relayed, fresh: false, denied }
        }));
    }
    if let Some(over) = held::over(group, submission)? {
        return Ok(Draft::of(Placed::Over(over)));
    }
    let sequence = group.next_sequence();
    insert_envelope(group, sequence, submission, hash)?;
    insert_entries(group, sequence, submission, &wraps)?;
    let relayed = relayed(group, sequence, &submission.facts.message_id, hash, submission.now_ms);
    let ticket = group.prove(sequence, relayed);
    let named = submission.facts.recipients.iter().map(|recipient| &recipient.mailbox);
    let denied = named.filter(|mailbox| !submission.recipients.contains(mailbox)).cloned().collect();
    Ok(Draft::signed(move |signed| {
        let relayed = signed.take(ticket);
        Placed::Stored { sequence, relayed, fresh: true, denied }
    }))
}

/// Recipients of the header that were refused when the envelope was stored.
fn without_entry(
    group: &Group<'_>,
    sequence: Sequence,
    submission: &Submission,
) -> Result<Vec<Mailbox>, StoreError> {
    let mut denied = Vec::new();
    for recipient in &submission.facts.recipients {
        if entry_state(group, sequence, &recipient.mailbox)?.is_none() {
            denied.push(recipient.mailbox.clone());
        }
    }
    Ok(denied)
}

/// Adds or replaces wraps; all of them or, when one has no ground, none ([P-34]).
pub(super) fn add_wraps(group: &mut Group<'_>, late: &LateWraps) -> Result<Draft<Wrapped>, StoreError> {
    let Some((sequence, author)) = find(group, &late.submitter, &late.message_id)? else {
        return Ok(Draft::of(Wrapped::NoSuchMessage));
    };
    let wraps = one_each(&late.wraps);
    let mut entries = Vec::with_capacity(wraps.len());
    for mailbox in wraps.keys() {
        match entry_state(group, sequence, mailbox)? {
            None => return Ok(Draft::of(Wrapped::NoSuchMessage)),
            Some(state) => entries.push((*mailbox, state)),
        }
    }
    let mut tickets = Vec::with_capacity(entries.len());
    let mut mailboxes = Vec::with_capacity(entries.len());
    for (mailbox, state) in entries {
        // One that ended meanwhile takes no wrap and is answered all the same: its author waits for a word on each.
        if state != SETTLED {
            set_wrap(group, sequence, mailbox, wraps[mailbox], state)?;
            mailboxes.push(mailbox.clone());
        }
        let mut receipt = relayed(group, sequence, &late.message_id, author.header_hash, late.now_ms);
        receipt.mailbox = Some(mailbox.clone());
        tickets.push(group.state(receipt));
    }
    Ok(Draft::signed(move |signed| {
        let relayed = tickets.into_iter().map(|ticket| signed.take(ticket)).collect();
        Wrapped::Stored { sequence, relayed, mailboxes }
    }))
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

/// A message accepted before, by its submitter and id.
fn find(
    group: &Group<'_>,
    submitter: &DeviceId,
    id: &MessageId,
) -> Result<Option<(Sequence, Author)>, StoreError> {
    let mut find = group.tx.prepare_cached("SELECT sequence, author FROM accepted WHERE message = ?1")?;
    let key = group.vault.message_key(submitter, id);
    let row = find.query_row([key], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)));
    let Some((sequence, sealed)) = row.optional()? else { return Ok(None) };
    let sequence = sequence.cast_unsigned();
    Ok(Some((sequence, group.vault.open(&envelope_row(sequence), &sealed)?)))
}

/// The header, the segments, and what is kept of the author.
fn insert_envelope(
    group: &Group<'_>,
    sequence: Sequence,
    submission: &Submission,
    header_hash: Hash,
) -> Result<(), StoreError> {
    let Group { tx, vault, .. } = group;
    let facts = &submission.facts;
    let segments =
        submission.parts.iter().map(|part| u32::try_from(part.len()).unwrap_or(u32::MAX)).collect();
    let author = Author {
        submitter: submission.submitter.clone(),
        message_id: facts.message_id,
        header_hash,
        signer: facts.sender_key_id,
        segments,
    };
    let row = envelope_row(sequence);
    let open: BTreeSet<_> = submission.recipients.iter().collect();
    tx.prepare_cached("INSERT INTO accepted VALUES (?1, ?2, ?3, ?4, ?5)")?.execute((
        sequence.cast_signed(),
        vault.message_key(&submission.submitter, &facts.message_id),
        vault.seal(&row, &author),
        stored_ms(facts.expires_ms),
        (open.len() as u64).cast_signed(),
    ))?;
    if open.is_empty() {
        return Ok(()); // nobody will ask for the rest
    }
    let mut insert = tx.prepare_cached("INSERT INTO headers VALUES (?1, ?2)")?;
    insert.execute((sequence.cast_signed(), vault.seal(&row, &submission.header)))?;
    insert_segments(group, sequence, submission)
}

fn insert_segments(group: &Group<'_>, sequence: Sequence, submission: &Submission) -> Result<(), StoreError> {
    let mut insert = group.tx.prepare_cached("INSERT INTO segments VALUES (?1, ?2)")?;
    for (part, segments) in (0..).zip(&submission.parts) {
        for (index, segment) in (0..).zip(segments) {
            let place = place(sequence, part, index)
                .expect("invariant: a transfer has at most PARTS_MAX parts and MESSAGE_CT_MAX bytes");
            insert.execute((place, group.vault.seal(&place.to_be_bytes(), segment)))?;
        }
    }
    Ok(())
}

/// An entry for every recipient; without its wrap it waits.
fn insert_entries(
    group: &mut Group<'_>,
    sequence: Sequence,
    submission: &Submission,
    wraps: &Wraps<'_>,
) -> Result<(), StoreError> {
    let Group { tx, vault, .. } = group;
    let recipients: BTreeSet<_> = submission.recipients.iter().collect();
    let bytes = submission.facts.ct_len();
    let mut insert = tx.prepare_cached(
        "INSERT INTO entries (sequence, mailbox, name, wrap, precedence, expires_ms, bytes, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for mailbox in &recipients {
        let key = vault.mailbox_key(mailbox);
        let row = entry_row(sequence, &key);
        let wrap = wraps.get(mailbox).map(|wrap| vault.seal(&row, *wrap));
        let state = if wrap.is_some() { QUEUED } else { WAITING };
        insert.execute((
            sequence.cast_signed(),
            key,
            vault.seal(&row, *mailbox),
            wrap,
            submission.facts.precedence.to_wire(),
            stored_ms(submission.facts.expires_ms),
            bytes.cast_signed(),
            state,
        ))?;
        held::count_entry(tx, &key, submission.facts.precedence, bytes)?;
    }
    drop(insert);
    let entries = recipients.len() as u64;
    if entries > 0 {
        held::count_envelope(tx, vault, &submission.submitter.party, Held { entries, bytes })?;
    }
    group.depth.entries += entries;
    Ok(())
}

/// The state of an entry; none when there is no such entry.
pub(super) fn entry_state(
    group: &Group<'_>,
    sequence: Sequence,
    mailbox: &Mailbox,
) -> Result<Option<i64>, StoreError> {
    let Group { tx, vault, .. } = group;
    let mut find = tx.prepare_cached("SELECT state FROM entries WHERE sequence = ?1 AND mailbox = ?2")?;
    let found = find.query_row((sequence.cast_signed(), vault.mailbox_key(mailbox)), |row| row.get(0));
    Ok(found.optional()?)
}

/// Gives an entry in this state its wrap; from now on it is handed out.
fn set_wrap(
    group: &Group<'_>,
    sequence: Sequence,
    mailbox: &Mailbox,
    wrap: &wire::KeyWrap,
    state: i64,
) -> Result<(), StoreError> {
    let Group { tx, vault, .. } = group;
    let key = vault.mailbox_key(mailbox);
    let sealed = Vault::seal(vault, &entry_row(sequence, &key), wrap);
    let mut update = tx.prepare_cached(
        "UPDATE entries SET wrap = ?1, state = ?2 WHERE sequence = ?3 AND mailbox = ?4 AND state = ?5",
    )?;
    update.execute((sealed, QUEUED, sequence.cast_signed(), key, state))?;
    Ok(())
}
