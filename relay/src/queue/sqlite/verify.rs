//! Walks every sealed row of a database that nobody has open, and names what does not open. Changes nothing.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use valise_host::ledger::{Ledger, StoreError};
use valise_host::machine::Machine;
use valise_host::rest::{RestKey, Sealer};

use super::rows::{Author, Blind, HeldBundle, Rests, Vault, entry_row};
use super::schema::SCHEMA;
use crate::queue::Findings;
use valise_proto::header::SignedHeader;
use valise_proto::names::Mailbox;
use valise_proto::receipt::SignedReceipt;
use valise_proto::wire;

/// Walks the database at a path.
///
/// # Errors
/// As [`SqliteQueue::open`](super::SqliteQueue::open): a log that lost its end is found there.
pub fn verify(path: &Path, key: &RestKey, machine: &Machine) -> Result<Findings, StoreError> {
    if !path.exists() {
        let what = "there is no store at this path".to_owned();
        return Err(StoreError::Damaged { path: path.to_owned(), what });
    }
    let sealer = Sealer::new(key, Arc::clone(&machine.entropy));
    let ledger = Ledger::open(path, &SCHEMA, &sealer)?;
    let vault = Vault::new(sealer, path);
    ledger.read(|conn| walk(conn, &vault))
}

fn walk(conn: &Connection, vault: &Vault) -> Result<Findings, StoreError> {
    let mut findings = Findings { segments: 1, ..Findings::default() };
    let mut check = conn.prepare("PRAGMA integrity_check(20)")?;
    let said: Vec<String> = check.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    findings.damage.extend(said.into_iter().filter(|line| line != "ok"));
    by_number::<Author>(conn, vault, "SELECT sequence, author FROM accepted", &mut findings)?;
    findings.envelopes = findings.records;
    by_number::<SignedHeader>(conn, vault, "SELECT sequence, sealed FROM headers", &mut findings)?;
    by_number::<SignedReceipt>(conn, vault, "SELECT sequence, sealed FROM proofs", &mut findings)?;
    by_number::<bytes::Bytes>(conn, vault, "SELECT place, sealed FROM segments", &mut findings)?;
    by_key::<SignedReceipt>(conn, vault, "SELECT id, sealed FROM receipts", &mut findings)?;
    by_key::<wire::SigningLeaf>(conn, vault, "SELECT key, sealed FROM leaves", &mut findings)?;
    by_key::<HeldBundle>(conn, vault, "SELECT mailbox, sealed FROM bundles", &mut findings)?;
    entries(conn, vault, &mut findings)?;
    let tally = "SELECT highest, entries, receipts FROM tally WHERE id = 1";
    let number = |row: &rusqlite::Row<'_>, at| row.get::<_, i64>(at).map(i64::cast_unsigned);
    let (highest, entries, receipts) =
        conn.query_row(tally, [], |row| Ok((number(row, 0)?, number(row, 1)?, number(row, 2)?)))?;
    (findings.sequence, findings.entries, findings.receipts) = (highest, entries, receipts);
    Ok(findings)
}

fn judge<T: Rests>(findings: &mut Findings, vault: &Vault, row: &[u8], sealed: &[u8], which: &str) {
    match vault.open::<T>(row, sealed) {
        Ok(_) => findings.records += 1,
        Err(_) => findings.damage.push(format!("{which}: its row of `{}` does not open", T::COLUMN)),
    }
}

fn by_number<T: Rests>(
    conn: &Connection,
    vault: &Vault,
    select: &str,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let mut find = conn.prepare(select)?;
    let mut rows = find.query([])?;
    while let Some(row) = rows.next()? {
        let (number, sealed): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        judge::<T>(findings, vault, &number.to_be_bytes(), &sealed, &format!("number {number}"));
    }
    Ok(())
}

fn by_key<T: Rests>(
    conn: &Connection,
    vault: &Vault,
    select: &str,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let mut find = conn.prepare(select)?;
    let mut rows = find.query([])?;
    while let Some(row) = rows.next()? {
        let (key, sealed): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
        judge::<T>(findings, vault, &key, &sealed, "one");
    }
    Ok(())
}

fn entries(conn: &Connection, vault: &Vault, findings: &mut Findings) -> Result<(), StoreError> {
    let mut find = conn.prepare("SELECT sequence, mailbox, name, wrap FROM entries")?;
    let mut rows = find.query([])?;
    while let Some(row) = rows.next()? {
        let (sequence, key): (i64, Blind) = (row.get(0)?, row.get(1)?);
        let at = entry_row(sequence.cast_unsigned(), &key);
        let which = format!("envelope {sequence}");
        let (name, wrap): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.get(2)?, row.get(3)?);
        if let Some(name) = name {
            judge::<Mailbox>(findings, vault, &at, &name, &which);
        }
        if let Some(wrap) = wrap {
            judge::<wire::KeyWrap>(findings, vault, &at, &wrap, &which);
        }
    }
    Ok(())
}
