//! What is handed out: entries, envelopes, segments, receipts. Reads what is durable, changes nothing.

use std::collections::BTreeSet;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};
use valise_host::ledger::StoreError;
use valise_proto::header::SignedHeader;
use valise_proto::kinds::Precedence;
use valise_proto::names::{DeviceId, Mailbox};
use valise_proto::receipt::SignedReceipt;

use super::group::read_proof;
use super::keep::read_leaf;
use super::place::stored_ms;
use super::rows::{Author, Blind, Vault, entry_row, envelope_row};
use super::schema::place;
use crate::queue::{Entry, Outgoing, Outlook, Sequence};

/// The oldest envelope that waits: a header stays for as long as an entry of its envelope does.
const OLDEST: &str = "SELECT MIN(sequence) FROM headers";
/// `state < 2` is written out: a bound value would not let the partial index be used.
const NEXT_EXPIRY: &str = "SELECT MIN(expires_ms) FROM entries WHERE state < 2";

/// The next entries of a mailbox ([P-36]).
pub(super) fn next(
    conn: &Connection,
    vault: &Vault,
    mailbox: &Mailbox,
    skip: &BTreeSet<Sequence>,
    max: usize,
    now_ms: u64,
) -> Result<Vec<Entry>, StoreError> {
    // `state = 1` is written out: a bound value would not let the partial index be used.
    let mut find = conn.prepare_cached(
        "SELECT precedence, sequence, expires_ms, bytes FROM entries
         WHERE mailbox = ?1 AND state = 1 AND expires_ms > ?2 ORDER BY precedence DESC, sequence",
    )?;
    let mut rows = find.query((vault.mailbox_key(mailbox), stored_ms(now_ms)))?;
    let mut entries = Vec::new();
    while entries.len() < max {
        let Some(row) = rows.next()? else { break };
        let sequence = row.get::<_, i64>(1)?.cast_unsigned();
        if skip.contains(&sequence) {
            continue;
        }
        let precedence = Precedence::from_wire(row.get(0)?).map_err(|_| {
            vault.damaged(format!("envelope {sequence} has a precedence that does not exist"))
        })?;
        entries.push(Entry {
            sequence,
            precedence,
            expires_ms: row.get::<_, i64>(2)?.cast_unsigned(),
            bytes: row.get::<_, i64>(3)?.cast_unsigned(),
        });
    }
    Ok(entries)
}

/// An envelope without its segments, for one mailbox whose entry is still to be handed out.
pub(super) fn outgoing(
    conn: &Connection,
    vault: &Vault,
    sequence: Sequence,
    mailbox: &Mailbox,
) -> Result<Option<Outgoing>, StoreError> {
    let mut find = conn.prepare_cached(
        "SELECT entries.wrap, accepted.author, headers.sealed FROM entries
         LEFT JOIN accepted ON accepted.sequence = entries.sequence
         LEFT JOIN headers ON headers.sequence = entries.sequence
         WHERE entries.sequence = ?1 AND entries.mailbox = ?2 AND entries.state = 1",
    )?;
    let key = vault.mailbox_key(mailbox);
    type Column = Option<Vec<u8>>;
    let found = find.query_row((sequence.cast_signed(), key), |row| {
        Ok::<(Column, Column, Column), _>((row.get(0)?, row.get(1)?, row.get(2)?))
    });
    let Some((wrap, author, header)) = found.optional()? else { return Ok(None) };
    let whole = |column: Column| {
        column.ok_or_else(|| vault.damaged(format!("envelope {sequence} has lost its header or a wrap")))
    };
    let (wrap, author, header) = (whole(wrap)?, whole(author)?, whole(header)?);
    let author: Author = vault.open(&envelope_row(sequence), &author)?;
    let header: SignedHeader = vault.open(&envelope_row(sequence), &header)?;
    let leaf = read_leaf(conn, vault, &author.signer)?.ok_or_else(|| {
        vault.damaged(format!("no certificate is held of the key that signed envelope {sequence}"))
    })?;
    Ok(Some(Outgoing {
        header,
        relayed: read_proof(conn, vault, sequence)?,
        wrap: vault.open(&entry_row(sequence, &key), &wrap)?,
        segments: author.segments,
        leaf,
    }))
}

/// One ciphertext segment.
pub(super) fn segment(
    conn: &Connection,
    vault: &Vault,
    sequence: Sequence,
    part: u32,
    index: u32,
) -> Result<Option<Bytes>, StoreError> {
    let Some(place) = place(sequence, part, index) else { return Ok(None) };
    let mut find = conn.prepare_cached("SELECT sealed FROM segments WHERE place = ?1")?;
    let sealed: Option<Vec<u8>> = find.query_row([place], |row| row.get(0)).optional()?;
    sealed.map(|sealed| vault.open(&place.to_be_bytes(), &sealed)).transpose()
}

/// What waits longest, and what runs out first: two steps down an index, however much is held.
pub(super) fn outlook(conn: &Connection, vault: &Vault) -> Result<Outlook, StoreError> {
    let mut first = conn.prepare_cached(OLDEST)?;
    let oldest: Option<i64> = first.query_row([], |row| row.get(0))?;
    let proof = oldest.map(|sequence| read_proof(conn, vault, sequence.cast_unsigned())).transpose()?;
    let accepted = proof.map(|proof| {
        let claim = proof.claim().map_err(|_| vault.damaged("a proof of acceptance is not one"));
        claim.map(|claim| claim.time_ms)
    });
    let mut next = conn.prepare_cached(NEXT_EXPIRY)?;
    let next: Option<i64> = next.query_row([], |row| row.get(0))?;
    Ok(Outlook { oldest_ms: accepted.transpose()?, next_expiry_ms: next.map(i64::cast_unsigned) })
}

/// Receipts kept for a device, the oldest first. Those to skip are known by their keys and never opened.
pub(super) fn receipts(
    conn: &Connection,
    vault: &Vault,
    device: &DeviceId,
    skip: &BTreeSet<[u8; 16]>,
    max: usize,
) -> Result<Vec<SignedReceipt>, StoreError> {
    let skip: BTreeSet<Blind> = skip.iter().map(|id| vault.receipt_key(device, id)).collect();
    let mut find =
        conn.prepare_cached("SELECT id, sealed FROM receipts WHERE device = ?1 ORDER BY ordinal")?;
    let mut rows = find.query([vault.device_key(device)])?;
    let mut receipts = Vec::new();
    while receipts.len() < max {
        let Some(row) = rows.next()? else { break };
        let id: Blind = row.get(0)?;
        if !skip.contains(&id) {
            receipts.push(vault.open(&id, &row.get::<_, Vec<u8>>(1)?)?);
        }
    }
    Ok(receipts)
}

#[cfg(test)]
mod tests {
    use super::super::schema::SCHEMA;
    use super::*;

    #[test]
    fn the_outlook_is_found_by_index_alone() {
        let conn = Connection::open_in_memory().unwrap();
        SCHEMA.steps.iter().for_each(|step| conn.execute_batch(step).unwrap());
        for (sql, plan) in [(OLDEST, "SEARCH headers"), (NEXT_EXPIRY, "USING COVERING INDEX unsettled")] {
            let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let said: String = explain.query_row([], |row| row.get(3)).unwrap();
            assert!(said.contains(plan) && !said.contains("SCAN"), "{sql}: {said}");
        }
    }
}
