//! The queue that a relay was configured to have: one of the backends, behind the one contract.
//!
//! Only passes questions on.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use valise_host::ledger::StoreError;
use valise_host::machine::Machine;
use valise_host::rest::RestKey;
use valise_proto::bundle::SignedBundle;
use valise_proto::names::{DeviceId, Mailbox};
use valise_proto::receipt::SignedReceipt;
use valise_proto::signing::KeyId;
use valise_proto::wire;

use super::log::LogQueue;
use super::sqlite::SqliteQueue;
use super::{
    Answer, Census, Depth, Ended, Entry, LateWraps, Noted, Outgoing, Outlook, Placed, Queue, Sequence, Stamp,
    Submission, Wrapped,
};
use crate::config::{StoreKind, StoreSection};
use crate::counts::Commits;

/// A queue of either kind. Clones share it; the last one dropped closes it.
#[derive(Clone, Debug)]
pub enum Backend {
    /// Our own log.
    Log(LogQueue),
    /// SQLite.
    Sqlite(SqliteQueue),
}

impl Backend {
    /// Opens the queue that the configuration names, or makes it. Blocks on the disk.
    ///
    /// # Errors
    /// As the backend's own.
    pub fn open(
        config: &StoreSection,
        key: &RestKey,
        stamp: Arc<dyn Stamp>,
        machine: &Machine,
    ) -> Result<Self, StoreError> {
        match config.kind {
            StoreKind::Log => {
                LogQueue::open(&config.path, key, stamp, machine, config.shape(machine.seats)).map(Self::Log)
            }
            StoreKind::Sqlite => SqliteQueue::open(&config.path, key, stamp, machine).map(Self::Sqlite),
        }
    }

    /// Gives up this handle and waits until the files are closed: all clones gone, all that waited done.
    pub async fn close(self) {
        match self {
            Self::Log(queue) => queue.close().await,
            Self::Sqlite(queue) => queue.close().await,
        }
    }
}

/// Passes one question to whichever backend there is.
macro_rules! pass {
    ($self:ident, $queue:ident => $question:expr) => {
        match $self {
            Backend::Log($queue) => $question,
            Backend::Sqlite($queue) => $question,
        }
    };
}

impl Queue for Backend {
    async fn enqueue(&self, submission: Submission) -> Answer<Placed> {
        pass!(self, queue => queue.enqueue(submission).await)
    }

    async fn add_wraps(&self, wraps: LateWraps) -> Answer<Wrapped> {
        pass!(self, queue => queue.add_wraps(wraps).await)
    }

    async fn note(&self, sequence: Sequence, mailbox: Mailbox, receipt: SignedReceipt) -> Answer<Noted> {
        pass!(self, queue => queue.note(sequence, mailbox, receipt).await)
    }

    async fn expire(&self, now_ms: u64, max: usize) -> Answer<Ended> {
        pass!(self, queue => queue.expire(now_ms, max).await)
    }

    async fn next(
        &self,
        mailbox: Mailbox,
        skip: BTreeSet<Sequence>,
        max: usize,
        now_ms: u64,
    ) -> Answer<Vec<Entry>> {
        pass!(self, queue => queue.next(mailbox, skip, max, now_ms).await)
    }

    async fn outgoing(&self, sequence: Sequence, mailbox: Mailbox) -> Answer<Option<Outgoing>> {
        pass!(self, queue => queue.outgoing(sequence, mailbox).await)
    }

    async fn segment(&self, sequence: Sequence, part: u32, index: u32) -> Answer<Option<Bytes>> {
        pass!(self, queue => queue.segment(sequence, part, index).await)
    }

    async fn receipts(
        &self,
        device: DeviceId,
        skip: BTreeSet<[u8; 16]>,
        max: usize,
    ) -> Answer<Vec<SignedReceipt>> {
        pass!(self, queue => queue.receipts(device, skip, max).await)
    }

    async fn forget(&self, device: DeviceId, ids: Vec<[u8; 16]>) -> Answer<()> {
        pass!(self, queue => queue.forget(device, ids).await)
    }

    async fn keep_leaf(&self, key: KeyId, leaf: wire::SigningLeaf) -> Answer<()> {
        pass!(self, queue => queue.keep_leaf(key, leaf).await)
    }

    async fn leaf(&self, key: KeyId) -> Answer<Option<wire::SigningLeaf>> {
        pass!(self, queue => queue.leaf(key).await)
    }

    async fn keep_bundle(&self, mailbox: Mailbox, batch_no: u64, bundle: SignedBundle) -> Answer<u64> {
        pass!(self, queue => queue.keep_bundle(mailbox, batch_no, bundle).await)
    }

    async fn bundle(&self, mailbox: Mailbox) -> Answer<Option<(u64, SignedBundle)>> {
        pass!(self, queue => queue.bundle(mailbox).await)
    }

    async fn depth(&self) -> Answer<Depth> {
        pass!(self, queue => queue.depth().await)
    }

    async fn outlook(&self) -> Answer<Outlook> {
        pass!(self, queue => queue.outlook().await)
    }

    async fn census(&self, max: usize) -> Answer<Census> {
        pass!(self, queue => queue.census(max).await)
    }

    fn commits(&self) -> &Commits {
        pass!(self, queue => queue.commits())
    }

    async fn failure(&self) -> String {
        pass!(self, queue => queue.failure().await)
    }
}
