//! What the queue keeps beside envelopes: signing certificates, bundles; and receipts that it may forget.

use bytes::Bytes;
use valise_host::ledger::StoreError;
use valise_proto::bundle::SignedBundle;
use valise_proto::names::{DeviceId, Mailbox};
use valise_proto::signing::{Hash, KeyId};
use valise_proto::wire;

use crate::queue::log::facts::{BundleFact, Fact, LeafFact, TakenFact};
use crate::queue::log::group::{Decided, Group, Plan};

/// Forgets receipts that a device holds.
pub(in crate::queue::log) fn forget(
    group: &mut Group<'_>,
    device: &DeviceId,
    ids: &[[u8; 16]],
) -> Result<Decided<()>, StoreError> {
    let (mut receipts, mut origins) = (Vec::new(), Vec::new());
    let number = group.index.devices.find(device);
    for id in ids {
        let waiting = number.and_then(|number| group.index.mail.find(number, id));
        let Some((_, waiting)) = waiting else { continue };
        if !group.touch(("receipt", number, id)) {
            continue; // this group lets it go already
        }
        receipts.push(Bytes::copy_from_slice(id));
        origins.push(waiting.loc.segment);
    }
    if !receipts.is_empty() {
        let (party, device) = (device.party.to_string(), device.device.to_string());
        let fact = TakenFact { party, device, receipts, origins };
        group.plan(Plan::Plain(Fact::Taken(fact), Vec::new()));
    }
    Ok(Decided::of(()))
}

/// Keeps a signing certificate; a renewed one replaces the one before.
pub(in crate::queue::log) fn keep_leaf(
    group: &mut Group<'_>,
    key: &KeyId,
    leaf: &wire::SigningLeaf,
) -> Result<Decided<()>, StoreError> {
    if !group.touch(("leaf", key.0)) {
        return Ok(Decided::Wait);
    }
    let bytes = wire::encode(leaf);
    let digest = Hash::of(&[&bytes]).half();
    if group.index.leaf(key).is_none_or(|held| held.digest != digest) {
        let fact = LeafFact { key: Bytes::copy_from_slice(&key.0), digest: Bytes::copy_from_slice(&digest) };
        group.plan(Plan::Plain(Fact::Leaf(fact), bytes.into()));
    }
    Ok(Decided::of(()))
}

/// Keeps a bundle when its batch is newer; gives the newest batch held.
pub(in crate::queue::log) fn keep_bundle(
    group: &mut Group<'_>,
    mailbox: &Mailbox,
    batch_no: u64,
    bundle: &SignedBundle,
) -> Result<Decided<u64>, StoreError> {
    if !group.touch(("bundle", mailbox)) {
        return Ok(Decided::Wait);
    }
    let held = group.index.bundle(mailbox).map_or(0, |(batch_no, _)| batch_no);
    if batch_no > held {
        let fact = BundleFact { mailbox: mailbox.to_string(), batch_no };
        group.plan(Plan::Plain(Fact::Bundle(fact), bundle.to_bytes().into()));
    }
    Ok(Decided::of(held.max(batch_no)))
}
