//! Statements: our own receipts about what came, waiting until the relay holds them, then kept to be repeated.
//!
//! Signs nothing; stores each with the event it is about, in that event's commit.

use std::collections::BTreeSet;

use rusqlite::{Connection, Transaction, params};
use valise_host::ledger::{Committed, StoreError};
use valise_proto::receipt::SignedReceipt;

use super::records::Stated;
use super::vault::{Blind, Vault};
use super::{Boxes, BoxesError};

/// What a statement is about.
#[derive(Clone, Copy)]
pub(super) enum About {
    /// A row of the inbox.
    Inbox(i64),
    /// A row of the dead letters.
    Dead(i64),
}

impl Boxes {
    /// Statements that the relay does not hold yet, oldest first, without those in `skip` (already under way).
    pub fn statements(
        &self,
        max: usize,
        skip: &BTreeSet<[u8; 16]>,
    ) -> Result<Vec<SignedReceipt>, BoxesError> {
        self.read(|conn, vault| {
            let skip: BTreeSet<Blind> = skip.iter().map(|id| vault.receipt(id)).collect();
            let mut query =
                conn.prepare_cached("SELECT receipt, data FROM statement WHERE waiting = 1 ORDER BY id")?;
            let mut rows = query.query([])?;
            let mut waiting = Vec::new();
            while waiting.len() < max
                && let Some(row) = rows.next()?
            {
                let place: Blind = row.get(0)?;
                if !skip.contains(&place) {
                    waiting.push(open(vault, &place, &row.get::<_, Vec<u8>>(1)?)?);
                }
            }
            Ok(waiting)
        })
    }

    /// Takes the relay's word that it holds these durably. Unknown ids change nothing; how many were ours.
    pub fn statements_taken(&mut self, ids: &[[u8; 16]]) -> Result<Committed<usize>, BoxesError> {
        self.commit(|tx, vault| {
            let mut update =
                tx.prepare_cached("UPDATE statement SET waiting = 0 WHERE receipt = ?1 AND waiting = 1")?;
            ids.iter().try_fold(0, |taken, id| Ok(taken + update.execute([vault.receipt(id)])?))
        })
    }
}

/// Stores a statement to be sent; one stored before is sent again.
pub(super) fn put(
    tx: &Transaction<'_>,
    vault: &Vault,
    about: About,
    signed: &SignedReceipt,
) -> Result<(), StoreError> {
    let receipt = vault.receipt(&signed.id());
    let sealed = vault.seal(&receipt, &Stated { receipt: signed.to_bytes() });
    let (inbox, dead) = match about {
        About::Inbox(row) => (Some(row), None),
        About::Dead(row) => (None, Some(row)),
    };
    tx.prepare_cached(
        "INSERT INTO statement (receipt, waiting, inbox, dead_letter, data) VALUES (?1, 1, ?2, ?3, ?4)
         ON CONFLICT (receipt) DO UPDATE SET waiting = 1",
    )?
    .execute(params![receipt, inbox, dead, sealed])?;
    Ok(())
}

/// Sends again all that was stated about this; how many.
pub(super) fn repeat(tx: &Transaction<'_>, about: About) -> Result<usize, StoreError> {
    let (again, row) = match about {
        About::Inbox(row) => ("UPDATE statement SET waiting = 1 WHERE inbox = ?1", row),
        About::Dead(row) => ("UPDATE statement SET waiting = 1 WHERE dead_letter = ?1", row),
    };
    Ok(tx.prepare_cached(again)?.execute([row])?)
}

/// All that was stated about this, oldest first.
pub(super) fn about(
    conn: &Connection,
    vault: &Vault,
    about: About,
) -> Result<Vec<SignedReceipt>, StoreError> {
    let (query, row) = match about {
        About::Inbox(row) => ("SELECT receipt, data FROM statement WHERE inbox = ?1 ORDER BY id", row),
        About::Dead(row) => ("SELECT receipt, data FROM statement WHERE dead_letter = ?1 ORDER BY id", row),
    };
    let mut query = conn.prepare_cached(query)?;
    let mut rows = query.query([row])?;
    let mut stated = Vec::new();
    while let Some(row) = rows.next()? {
        stated.push(open(vault, &row.get(0)?, &row.get::<_, Vec<u8>>(1)?)?);
    }
    Ok(stated)
}

fn open(vault: &Vault, place: &Blind, sealed: &[u8]) -> Result<SignedReceipt, StoreError> {
    let stated: Stated = vault.open(place, sealed)?;
    SignedReceipt::from_bytes(stated.receipt).map_err(|_| vault.broken("statement"))
}
