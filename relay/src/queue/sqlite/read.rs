//! What is handed out: entries, envelopes, segments, receipts. Reads what is durable, changes nothing.
//!
//! The store's thread only finds; sealed values are opened by whoever asked, so that the store goes on meanwhile.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};
use valise_host::ledger::StoreError;
use valise_proto::header::SignedHeader;
use valise_proto::kinds::Precedence;

use super::group::read_proof;
use super::place::stored_ms;
use super::rows::{Blind, Vault, entry_row, envelope_row};
use super::schema::place;
use crate::queue::{Entry, Outgoing, Outlook, Sequence};

/// The oldest envelope that waits: a header stays for as long as an entry of its envelope does.
const OLDEST: &str = "SELECT MIN(sequence) FROM headers";
/// `state < 2` is written out: a bound value would not let the partial index be used.
const NEXT_EXPIRY: &str = "SELECT MIN(expires_ms) FROM entries WHERE state < 2";

/// The next entries of a mailbox ([P-36]), at most `max` of each precedence.
pub(super) fn next(
    conn: &Connection,
    vault: &Vault,
    mailbox: &Blind,
    skip: &BTreeSet<Sequence>,
    max: usize,
    now_ms: u64,
) -> Result<Vec<Entry>, StoreError> {
    // `state = 1` is written out: a bound value would not let the partial index be used.
    let mut find = conn.prepare_cached(
        "SELECT precedence, sequence, expires_ms, bytes FROM entries
         WHERE mailbox = ?1 AND state = 1 AND precedence < ?2 AND expires_ms > ?3
         ORDER BY precedence DESC, sequence",
    )?;
    let mut entries = Vec::new();
    if max == 0 {
        return Ok(entries);
    }
    let mut below = i32::MAX;
    'bands: loop {
        let mut rows = find.query((mailbox, below, stored_ms(now_ms)))?;
        let mut of_this = 0;
        while let Some(row) = rows.next()? {
            let precedence: i32 = row.get(0)?;
            if precedence != below {
                (below, of_this) = (precedence, 0);
            } else if of_this == max {
                continue 'bands; // there may be much more of it: look below
            }
            let sequence = row.get::<_, i64>(1)?.cast_unsigned();
            if !skip.contains(&sequence) {
                entries.push(entry(vault, row, sequence, precedence)?);
                of_this += 1;
            }
        }
        return Ok(entries);
    }
}

fn entry(
    vault: &Vault,
    row: &rusqlite::Row<'_>,
    sequence: Sequence,
    precedence: i32,
) -> Result<Entry, StoreError> {
    let unknown = |_| vault.damaged(format!("envelope {sequence} has a precedence that does not exist"));
    Ok(Entry {
        sequence,
        precedence: Precedence::from_wire(precedence).map_err(unknown)?,
        expires_ms: row.get::<_, i64>(2)?.cast_unsigned(),
        bytes: row.get::<_, i64>(3)?.cast_unsigned(),
    })
}

/// An envelope as it rests, for one mailbox.
pub(super) struct Resting {
    sequence: Sequence,
    mailbox: Blind,
    wrap: Option<Vec<u8>>,
    header: Option<Vec<u8>>,
    proof: Option<Vec<u8>>,
    first: Option<Vec<u8>>,
}

/// An envelope for one mailbox whose entry is still to be handed out.
pub(super) fn outgoing(
    conn: &Connection,
    sequence: Sequence,
    mailbox: &Blind,
) -> Result<Option<Resting>, StoreError> {
    let Some(first) = place(sequence, 0, 0) else { return Ok(None) };
    let mut find = conn.prepare_cached(
        "SELECT entries.wrap, headers.sealed, proofs.sealed, segments.sealed FROM entries
         LEFT JOIN headers ON headers.sequence = entries.sequence
         LEFT JOIN proofs ON proofs.sequence = entries.sequence
         LEFT JOIN segments ON segments.place = ?3
         WHERE entries.sequence = ?1 AND entries.mailbox = ?2 AND entries.state = 1",
    )?;
    let found = find.query_row((sequence.cast_signed(), mailbox, first), |row| {
        Ok(Resting {
            sequence,
            mailbox: *mailbox,
            wrap: row.get(0)?,
            header: row.get(1)?,
            proof: row.get(2)?,
            first: row.get(3)?,
        })
    });
    Ok(found.optional()?)
}

impl Resting {
    /// Opens all of it.
    pub(super) fn open(self, vault: &Vault) -> Result<Outgoing, StoreError> {
        let sequence = self.sequence;
        let whole = |column: Option<Vec<u8>>| {
            column.ok_or_else(|| vault.damaged(format!("envelope {sequence} has lost a part of it")))
        };
        let row = envelope_row(sequence);
        let header: SignedHeader = vault.open(&row, &whole(self.header)?)?;
        let place = place(sequence, 0, 0).unwrap_or_default();
        Ok(Outgoing {
            facts: header.read().map_err(|_| {
                vault.damaged(format!("the header of envelope {sequence} is not the one that was taken"))
            })?,
            header,
            relayed: vault.open(&row, &whole(self.proof)?)?,
            wrap: vault.open(&entry_row(sequence, &self.mailbox), &whole(self.wrap)?)?,
            first: vault.open(&place.to_be_bytes(), &whole(self.first)?)?,
        })
    }
}

/// One ciphertext segment as it rests.
pub(super) fn segment(conn: &Connection, place: i64) -> Result<Option<Vec<u8>>, StoreError> {
    let mut find = conn.prepare_cached("SELECT sealed FROM segments WHERE place = ?1")?;
    Ok(find.query_row([place], |row| row.get(0)).optional()?)
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

/// Receipts kept for a device, as they rest, the oldest first; each with its key. Those to skip are known by theirs.
pub(super) fn receipts(
    conn: &Connection,
    device: &Blind,
    skip: &BTreeSet<Blind>,
    max: usize,
) -> Result<Vec<(Blind, Vec<u8>)>, StoreError> {
    let mut find =
        conn.prepare_cached("SELECT id, sealed FROM receipts WHERE device = ?1 ORDER BY ordinal")?;
    let mut rows = find.query([device])?;
    let mut receipts = Vec::new();
    while receipts.len() < max {
        let Some(row) = rows.next()? else { break };
        let id: Blind = row.get(0)?;
        if !skip.contains(&id) {
            receipts.push((id, row.get(1)?));
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
        for (sql, plan) in [(OLDEST, "SEARCH headers"), (NEXT_EXPIRY, "SEARCH entries USING INDEX unsettled")]
        {
            let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let said: String = explain.query_row([], |row| row.get(3)).unwrap();
            assert!(said.contains(plan) && !said.contains("SCAN"), "{sql}: {said}");
        }
    }
}
