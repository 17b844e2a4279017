//! What the queue keeps beside envelopes: signing certificates, bundles; and receipts that it may forget.

use rusqlite::{Connection, OptionalExtension};
use valise_host::ledger::StoreError;
use valise_proto::bundle::SignedBundle;
use valise_proto::names::{DeviceId, Mailbox};
use valise_proto::signing::KeyId;
use valise_proto::wire;

use super::group::{Draft, Group};
use super::rows::{HeldBundle, Vault};

/// Forgets receipts that a device holds.
pub(super) fn forget(
    group: &mut Group<'_>,
    device: &DeviceId,
    ids: &[[u8; 16]],
) -> Result<Draft<()>, StoreError> {
    let mut delete = group.tx.prepare_cached("DELETE FROM receipts WHERE id = ?1")?;
    for id in ids {
        group.depth.receipts -= delete.execute([group.vault.receipt_key(device, id)])? as u64;
    }
    Ok(Draft::of(()))
}

/// Keeps a signing certificate; a renewed one replaces the one before.
pub(super) fn keep_leaf(
    group: &Group<'_>,
    key: &KeyId,
    leaf: &wire::SigningLeaf,
) -> Result<Draft<()>, StoreError> {
    if read_leaf(group.tx, group.vault, key)?.as_ref() != Some(leaf) {
        let row = group.vault.signer_key(key);
        let mut insert = group.tx.prepare_cached("INSERT OR REPLACE INTO leaves VALUES (?1, ?2)")?;
        insert.execute((row, group.vault.seal(&row, leaf)))?;
    }
    Ok(Draft::of(()))
}

/// The certificate of a signing key.
pub(super) fn read_leaf(
    conn: &Connection,
    vault: &Vault,
    key: &KeyId,
) -> Result<Option<wire::SigningLeaf>, StoreError> {
    let row = vault.signer_key(key);
    let mut find = conn.prepare_cached("SELECT sealed FROM leaves WHERE key = ?1")?;
    let sealed: Option<Vec<u8>> = find.query_row([row], |row| row.get(0)).optional()?;
    sealed.map(|sealed| vault.open(&row, &sealed)).transpose()
}

/// Keeps a bundle when its batch is newer; gives the newest batch held.
pub(super) fn keep_bundle(
    group: &Group<'_>,
    mailbox: &Mailbox,
    batch_no: u64,
    bundle: &SignedBundle,
) -> Result<Draft<u64>, StoreError> {
    let held = read_bundle(group.tx, group.vault, mailbox)?.map_or(0, |(batch_no, _)| batch_no);
    if batch_no > held {
        let row = group.vault.mailbox_key(mailbox);
        let sealed = group.vault.seal(&row, &HeldBundle { batch_no, bundle: bundle.clone() });
        let mut insert = group.tx.prepare_cached("INSERT OR REPLACE INTO bundles VALUES (?1, ?2)")?;
        insert.execute((row, sealed))?;
    }
    Ok(Draft::of(held.max(batch_no)))
}

/// The newest bundle of a mailbox.
pub(super) fn read_bundle(
    conn: &Connection,
    vault: &Vault,
    mailbox: &Mailbox,
) -> Result<Option<(u64, SignedBundle)>, StoreError> {
    let row = vault.mailbox_key(mailbox);
    let mut find = conn.prepare_cached("SELECT sealed FROM bundles WHERE mailbox = ?1")?;
    let sealed: Option<Vec<u8>> = find.query_row([row], |row| row.get(0)).optional()?;
    let held: Option<HeldBundle> = sealed.map(|sealed| vault.open(&row, &sealed)).transpose()?;
    Ok(held.map(|held| (held.batch_no, held.bundle)))
}
