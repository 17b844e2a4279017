//! Statements of devices and the certificates behind them. A certificate is read once and kept at hand: every statement
//! and every delivery asks for one.
//!
//! Never holds what the queue does not hold: the queue is the truth, this is a memory of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use valise_certs::leaf::Leaf;
use valise_certs::profile::Entity;
use valise_proto::names::DeviceId;
use valise_proto::receipt::{Receipt, SignedReceipt, Speaker};
use valise_proto::session::ReceiptId;
use valise_proto::signing::{KeyId, VerifyKey};
use valise_proto::wire;

use super::{Event, Hub};
use crate::line::locked;
use crate::queue::{Noted, Queue, QueueError};

/// Certificates kept at hand, about 2 KiB each: those of every party, renewed ones beside the old. One more pushes
/// another out, to be read again.
const SIGNERS_MAX: usize = 1024;

/// A signing certificate, read.
#[derive(Debug)]
struct Signer {
    leaf: wire::SigningLeaf,
    /// Whose it is and its key; of a device only.
    device: Option<(DeviceId, VerifyKey)>,
}

impl Signer {
    fn read(leaf: wire::SigningLeaf) -> Self {
        let device = Leaf::read(&leaf.leaf).ok().and_then(|read| match read.entity() {
            Entity::Device { device, .. } => Some((device.clone(), *read.key())),
            _ => None,
        });
        Self { leaf, device }
    }
}

/// Certificates at hand, by key.
#[derive(Debug, Default)]
pub(super) struct Signers(Mutex<BTreeMap<KeyId, Arc<Signer>>>);

impl Signers {
    fn get(&self, key: &KeyId) -> Option<Arc<Signer>> {
        locked(&self.0).get(key).map(Arc::clone)
    }

    /// Keeps what was read from the queue, unless a newer one was kept meanwhile.
    fn remember(&self, key: KeyId, signer: Arc<Signer>) -> Arc<Signer> {
        let mut held = locked(&self.0);
        if held.len() >= SIGNERS_MAX && !held.contains_key(&key) {
            held.pop_first();
        }
        Arc::clone(held.entry(key).or_insert(signer))
    }

    /// Keeps what the queue holds now, over what was read before.
    fn replace(&self, key: KeyId, signer: Arc<Signer>) {
        locked(&self.0).remove(&key);
        self.remember(key, signer);
    }

    fn forget(&self, key: &KeyId) {
        locked(&self.0).remove(key);
    }
}

impl<Q: Queue> Hub<Q> {
    /// Keeps the certificate of a signing key.
    pub async fn keep_leaf(&self, key: KeyId, leaf: wire::SigningLeaf) -> Result<(), QueueError> {
        let kept = self.noted(self.queue.keep_leaf(key, leaf.clone()).await);
        match kept {
            Ok(()) => self.signers.replace(key, Arc::new(Signer::read(leaf))),
            Err(_) => self.signers.forget(&key),
        }
        kept
    }

    /// The certificate of a signing key.
    pub async fn leaf(&self, key: KeyId) -> Result<Option<wire::SigningLeaf>, QueueError> {
        Ok(self.signer_of(key).await?.map(|signer| signer.leaf.clone()))
    }

    async fn signer_of(&self, key: KeyId) -> Result<Option<Arc<Signer>>, QueueError> {
        if let Some(known) = self.signers.get(&key) {
            return Ok(Some(known));
        }
        let leaf = self.noted(self.queue.leaf(key).await)?;
        Ok(leaf.map(|leaf| self.signers.remember(key, Arc::new(Signer::read(leaf)))))
    }

    /// Keeps a statement for its author, if the device's signature holds: a false one would use up its place. Gives
    /// its id once it need not be sent again, and the number it settled; a full disk is told.
    pub async fn note(
        &self,
        device: &DeviceId,
        receipt: SignedReceipt,
    ) -> Result<Option<(ReceiptId, Option<u64>)>, QueueError> {
        let id = receipt.id();
        let Some(claim) = self.verified(device, &receipt).await? else {
            tracing::warn!(event = "receipt-not-signed", party = %device.party);
            self.metrics.statements_refused.one();
            return Ok(Some((id, None)));
        };
        let Speaker::Mailbox(mailbox) = claim.by else { return Ok(None) };
        match self.noted(self.queue.note(claim.sequence, mailbox, receipt).await)? {
            Noted::Kept { author } => {
                self.metrics.receipts_kept.of(claim.kind).one();
                self.route(Event::ReceiptFor(author));
            }
            Noted::Known { author } => self.route(Event::ReceiptFor(author)),
            Noted::Groundless => {
                self.metrics.statements_refused.one();
                tracing::warn!(event = "receipt-groundless", sequence = claim.sequence, kind = %claim.kind);
                return Ok(Some((id, None)));
            }
        }
        Ok(Some((id, claim.kind.settles().then_some(claim.sequence))))
    }

    /// What a device states under a key that was shown as its own.
    async fn verified(
        &self,
        device: &DeviceId,
        receipt: &SignedReceipt,
    ) -> Result<Option<Receipt>, QueueError> {
        let Some(signer) = self.signer_of(receipt.signer()).await? else { return Ok(None) };
        let own = signer.device.as_ref().filter(|(of, _)| of == device);
        Ok(own.and_then(|(_, key)| receipt.verify(key).ok()))
    }
}
