//! What the rooms of the daemon share: who we are, the boxes, the book, the keys, and the bells between rooms.
//!
//! Decides nothing; the rooms around it do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use valise_host::clock::Clock;
use valise_host::entropy::{Dice, Entropy};
use valise_host::executor::Worker;
use valise_host::ledger::{Committed, StoreError};
use valise_proto::kinds::{Reason, ReceiptKind};
use valise_proto::names::{DeviceId, Mailbox, MessageId};
use valise_proto::receipt::{Receipt, SignedReceipt, Speaker};
use valise_proto::signing::{Hash, KeyId, SigningKey};
use valise_proto::wire;
use valise_seal::keyring::Keyring;
use valise_seal::keys::DeviceKemSecret;

use crate::book::Book;
use crate::boxes::{Boxes, BoxesError};

/// Most signing certificates held in memory: every device of the federation, and room to grow.
const LEAVES_MAX: usize = 1024;

/// How the link stands, for `status`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkState {
    /// `connecting`, `live`, `away` (told to come back later) or `down`.
    pub state: &'static str,
    /// `quic` when there is a path.
    pub path: Option<&'static str>,
    /// Round trip, milliseconds.
    pub rtt_ms: Option<f64>,
}

/// Rung by one room, heard by another; each is remembered until it is heard.
#[derive(Debug, Default)]
pub struct Bells {
    /// The outbox may have something to submit.
    pub outbox: Notify,
    /// Statements may wait to be sent.
    pub statements: Notify,
    /// Late wraps may wait to be sent.
    pub late_wraps: Notify,
    /// Keys of more mailboxes are needed.
    pub wanted: Notify,
    /// The own bundle is to be published.
    pub publish: Notify,
    /// Something of the outbox or inbox changed: those who wait look again.
    pub changed: watch::Sender<u64>,
}

/// A signing certificate that was shown.
pub struct Shown {
    leaf: wire::SigningLeaf,
    /// It is in the store.
    kept: bool,
}

/// The daemon's shared middle.
pub struct Office {
    /// Who we are.
    pub device: DeviceId,
    /// Our mailboxes; we write from the first.
    pub mailboxes: Vec<Mailbox>,
    /// Signs headers, statements and bundles.
    pub signing: Arc<SigningKey>,
    /// The certificate behind that key.
    pub leaf: wire::SigningLeaf,
    /// The device's own KEM key.
    pub kem: DeviceKemSecret,
    /// Our epochs.
    pub keyring: Mutex<Keyring>,
    /// Who is who.
    pub book: Book,
    /// The durable store.
    pub boxes: Worker<Boxes>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Between rooms.
    pub bells: Bells,
    /// How the link stands.
    pub link: watch::Sender<LinkState>,
    /// Set once when the store has failed: the process ends.
    pub failed: watch::Sender<Option<String>>,
    /// Signing certificates that were shown.
    pub leaves: Mutex<BTreeMap<KeyId, Shown>>,
}

/// The store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum OfficeError {
    /// The boxes said why.
    #[error(transparent)]
    Boxes(#[from] BoxesError),
    /// The store's thread has ended: the process is ending too.
    #[error("the store is closed; the daemon is ending")]
    Gone,
}

/// A poisoned lock means a panic, and a panic ends the process: nobody sees the value behind it.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Office {
    /// Runs on the store; a final failure ends the process.
    pub async fn store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Boxes) -> Result<T, BoxesError> + Send + 'static,
    ) -> Result<T, OfficeError> {
        let done = self.boxes.call(work).await.map_err(|_| OfficeError::Gone)?;
        if let Err(error) = &done
            && error.is_final()
        {
            self.failed.send_replace(Some(error.to_string()));
        }
        Ok(done?)
    }

    /// Runs a write on the store, and takes its answer out of the proof of commit.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Boxes) -> Result<Committed<T>, BoxesError> + Send + 'static,
    ) -> Result<T, OfficeError> {
        Ok(self.store(work).await?.into_inner())
    }

    /// Chance, as libraries ask for it.
    pub fn dice(&self) -> Dice {
        Dice(Arc::clone(&self.entropy))
    }

    /// Those who wait for a state look again.
    pub fn changed(&self) {
        self.bells.changed.send_modify(|count| *count += 1);
    }

    /// A statement of ours about an envelope, signed.
    pub fn state(&self, about: &About, kind: ReceiptKind, reason: Option<Reason>) -> SignedReceipt {
        self.sign(about, kind, reason, None)
    }

    /// Our `acknowledged`, with a random reference that only our own audit resolves.
    pub fn acknowledge(&self, about: &About, operator_ref: [u8; 16]) -> SignedReceipt {
        self.sign(about, ReceiptKind::Acknowledged, None, Some(operator_ref))
    }

    fn sign(
        &self,
        about: &About,
        kind: ReceiptKind,
        reason: Option<Reason>,
        operator_ref: Option<[u8; 16]>,
    ) -> SignedReceipt {
        let receipt = Receipt {
            kind,
            message_id: about.message_id,
            header_hash: about.header_hash,
            sequence: about.sequence,
            time_ms: self.book.own_ms(),
            by: Speaker::Mailbox(about.mailbox.clone()),
            mailbox: Some(about.mailbox.clone()),
            reason,
            operator_ref,
        };
        SignedReceipt::sign(&receipt, &self.signing)
    }

    /// Holds a certificate until something is judged by it. Who shows many pushes out others that can be shown again.
    pub fn note_leaf(&self, key: KeyId, leaf: wire::SigningLeaf) {
        let mut leaves = locked(&self.leaves);
        if leaves.len() >= LEAVES_MAX {
            leaves.retain(|_, shown| !shown.kept); // the store still has these
        }
        if leaves.len() >= LEAVES_MAX {
            leaves.pop_first();
        }
        leaves.entry(key).or_insert(Shown { leaf, kept: false });
    }

    /// Keeps a certificate by which something was found good, once.
    pub async fn keep_leaf(&self, key: KeyId, leaf: &wire::SigningLeaf) -> Result<(), OfficeError> {
        if locked(&self.leaves).get(&key).is_some_and(|shown| shown.kept) {
            return Ok(());
        }
        let kept = leaf.clone();
        self.write(move |boxes| boxes.keep_leaf(&key, &kept)).await?;
        locked(&self.leaves).insert(key, Shown { leaf: leaf.clone(), kept: true });
        Ok(())
    }

    /// The certificate of a key, if it was ever shown and held.
    pub async fn leaf_of(&self, key: KeyId) -> Result<Option<wire::SigningLeaf>, OfficeError> {
        if let Some(shown) = locked(&self.leaves).get(&key) {
            return Ok(Some(shown.leaf.clone()));
        }
        self.store(move |boxes| boxes.leaf(&key)).await
    }
}

/// What a statement of ours is about.
#[derive(Clone, Debug)]
pub struct About {
    /// Which message.
    pub message_id: MessageId,
    /// Hash of its header as we received it.
    pub header_hash: Hash,
    /// The relay's number of it.
    pub sequence: u64,
    /// Which of our mailboxes speaks.
    pub mailbox: Mailbox,
}

impl From<StoreError> for OfficeError {
    fn from(error: StoreError) -> Self {
        Self::Boxes(error.into())
    }
}
