//! Settling: a statement is kept for its author and, when it is an end, lets the entry go in the same commit.
//!
//! Never lets an entry go without a receipt for its author.

use std::collections::BTreeSet;

use rusqlite::OptionalExtension;
use valise_host::ledger::StoreError;
use valise_host::planted::Planted;
use valise_proto::kinds::{Reason, ReceiptKind};
use valise_proto::limits::REPLAY_KEPT_MS;
use valise_proto::names::{Mailbox, PartyName};
use valise_proto::receipt::{Receipt, SignedReceipt, Speaker};

use super::group::{Draft, Group};
use super::held;
use super::place::{entry_state, stored_ms};
use super::rows::{Author, Blind, entry_row, envelope_row};
use super::schema::{QUEUED, SETTLED, WAITING, places};
use crate::queue::{Ended, Noted, Sequence};

/// Keeps a recipient's statement about one entry, one of a kind ([P-39]).
pub(super) fn note(
    group: &mut Group<'_>,
    sequence: Sequence,
    mailbox: &Mailbox,
    signed: &SignedReceipt,
) -> Result<Draft<Noted>, StoreError> {
    let Some(author) = author(group, sequence)? else { return Ok(Draft::of(Noted::Groundless)) };
    // An entry without a wrap was never handed out: there is nothing yet to say about it.
    let state = match entry_state(group, sequence, mailbox)? {
        None | Some(WAITING) => return Ok(Draft::of(Noted::Groundless)),
        Some(state) => state,
    };
    let Some(kind) = claimed(signed, &author, sequence, mailbox) else {
        return Ok(Draft::of(Noted::Groundless));
    };
    let key = group.vault.mailbox_key(mailbox);
    let statement = group.vault.statement_key(&entry_row(sequence, &key), kind);
    let mut insert = group.tx.prepare_cached("INSERT OR IGNORE INTO stated VALUES (?1, ?2)")?;
    if insert.execute((sequence.cast_signed(), statement))? == 0 {
        return Ok(Draft::of(Noted::Known { author: author.submitter }));
    }
    drop(insert);
    group.keep_receipt(&author.submitter, signed)?;
    if kind.settles() && state == QUEUED {
        settle(group, sequence, &key, &author.submitter.party)?;
    }
    Ok(Draft::of(Noted::Kept { author: author.submitter }))
}

/// What kind of statement it is, if it is this mailbox's about this very envelope ([P-37]).
pub(super) fn claimed(
    signed: &SignedReceipt,
    author: &Author,
    sequence: Sequence,
    mailbox: &Mailbox,
) -> Option<ReceiptKind> {
    let claim = signed.claim().ok()?;
    let theirs = matches!(&claim.by, Speaker::Mailbox(by) if by == mailbox);
    let bound = Planted::ReceiptUnbound.here() || claim.header_hash == author.header_hash;
    let ours = claim.message_id == author.message_id && bound;
    // A bad end names the header as it was received: were it changed on the way, its author must hear just that.
    ((ours || claim.kind.is_bad_end()) && theirs && claim.sequence == sequence).then_some(claim.kind)
}

/// What is kept of the author of an accepted envelope.
pub(super) fn author(group: &Group<'_>, sequence: Sequence) -> Result<Option<Author>, StoreError> {
    let mut find = group.tx.prepare_cached("SELECT author FROM accepted WHERE sequence = ?1")?;
    let sealed: Option<Vec<u8>> = find.query_row([sequence.cast_signed()], |row| row.get(0)).optional()?;
    sealed.map(|sealed| group.vault.open(&envelope_row(sequence), &sealed)).transpose()
}

/// Lets an open entry go ([P-32]), and with the last of them the envelope's bytes.
pub(super) fn settle(
    group: &mut Group<'_>,
    sequence: Sequence,
    mailbox: &Blind,
    sender: &PartyName,
) -> Result<(), StoreError> {
    let tx = group.tx;
    let number = sequence.cast_signed();
    let mut end = tx.prepare_cached(
        "UPDATE entries SET state = ?1, wrap = NULL, name = NULL WHERE sequence = ?2 AND mailbox = ?3
         RETURNING precedence, bytes",
    )?;
    let (precedence, bytes): (i32, i64) =
        end.query_row((SETTLED, number, mailbox), |row| Ok((row.get(0)?, row.get(1)?)))?;
    held::drop_entry(group, mailbox, precedence, bytes)?;
    let mut count =
        tx.prepare_cached("UPDATE accepted SET open = open - 1 WHERE sequence = ?1 RETURNING open")?;
    let open: i64 = count.query_row([number], |row| row.get(0))?;
    held::drop_of_sender(group, sender, if open == 0 { bytes } else { 0 })?;
    if open == 0 {
        let (first, last) = places(sequence);
        tx.prepare_cached("DELETE FROM segments WHERE place BETWEEN ?1 AND ?2")?.execute((first, last))?;
        tx.prepare_cached("DELETE FROM headers WHERE sequence = ?1")?.execute([number])?;
    }
    group.depth.entries -= 1;
    Ok(())
}

/// An entry past its time.
struct Late {
    sequence: Sequence,
    key: Blind,
    mailbox: Mailbox,
    author: Author,
}

/// Ends what is past its time, at most `max` entries, and forgets as many envelopes that no replay can bring back.
pub(super) fn expire(group: &mut Group<'_>, now_ms: u64, max: usize) -> Result<Draft<Ended>, StoreError> {
    let mut authors = BTreeSet::new();
    let late = find_late(group, now_ms, max)?;
    let entries = late.len();
    for late in late {
        settle(group, late.sequence, &late.key, &late.author.submitter.party)?;
        authors.insert(late.author.submitter.clone());
        let receipt = Receipt {
            kind: ReceiptKind::Expired,
            message_id: late.author.message_id,
            header_hash: late.author.header_hash,
            sequence: late.sequence,
            time_ms: now_ms,
            by: Speaker::Relay(group.relay.clone()),
            mailbox: Some(late.mailbox),
            reason: Some(Reason::Expired),
            operator_ref: None,
        };
        group.tell(late.author.submitter, receipt);
    }
    purge(group, now_ms, max)?;
    Ok(Draft::of(Ended { authors: authors.into_iter().collect(), entries }))
}

/// The entries past their time, the oldest first. A row that does not open must not keep the others from their
/// end: it is passed over, and reported once nothing else is left to do.
fn find_late(group: &Group<'_>, now_ms: u64, max: usize) -> Result<Vec<Late>, StoreError> {
    let Group { tx, vault, .. } = group;
    let mut find = tx.prepare_cached(
        "SELECT entries.sequence, entries.mailbox, entries.name, accepted.author
         FROM entries LEFT JOIN accepted ON accepted.sequence = entries.sequence
         WHERE entries.state < 2 AND entries.expires_ms <= ?1 ORDER BY entries.expires_ms",
    )?;
    let mut rows = find.query([stored_ms(now_ms)])?;
    let (mut found, mut damage) = (Vec::new(), None);
    while found.len() < max {
        let Some(row) = rows.next()? else { break };
        let sequence = row.get::<_, i64>(0)?.cast_unsigned();
        let key: Blind = row.get(1)?;
        let (name, author): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.get(2)?, row.get(3)?);
        let open = || {
            let missing = || vault.damaged(format!("an entry of envelope {sequence} is incomplete"));
            let mailbox = vault.open(&entry_row(sequence, &key), &name.ok_or_else(missing)?)?;
            let author = vault.open(&envelope_row(sequence), &author.ok_or_else(missing)?)?;
            Ok(Late { sequence, key, mailbox, author })
        };
        match open() {
            Ok(late) => found.push(late),
            Err(fault) => damage = Some(fault),
        }
    }
    match damage {
        Some(fault) if found.is_empty() => Err(fault),
        _ => Ok(found),
    }
}

/// Forgets envelopes whose every entry ended and whose time is so long past that no replay would be taken.
fn purge(group: &Group<'_>, now_ms: u64, max: usize) -> Result<(), StoreError> {
    let Some(before) = now_ms.checked_sub(REPLAY_KEPT_MS) else { return Ok(()) };
    let tx = group.tx;
    let mut find = tx.prepare_cached(
        "SELECT sequence FROM accepted WHERE open = 0 AND expires_ms <= ?1 ORDER BY expires_ms LIMIT ?2",
    )?;
    let rows = find.query_map((stored_ms(before), stored_ms(max as u64)), |row| row.get::<_, i64>(0))?;
    let gone = rows.collect::<Result<Vec<_>, _>>()?;
    for sequence in gone {
        for delete in [
            "DELETE FROM stated WHERE sequence = ?1",
            "DELETE FROM entries WHERE sequence = ?1",
            "DELETE FROM proofs WHERE sequence = ?1",
            "DELETE FROM accepted WHERE sequence = ?1",
        ] {
            tx.prepare_cached(delete)?.execute([sequence])?;
        }
    }
    Ok(())
}
