//! The queue as our own log: segments of sealed records, one write and one sync for all that waits, an index in memory.
//! The default backend.
//!
//! Only carries questions to the store and answers back; what they mean lies in the rooms below: `decide` what a verb
//! changes · `group` what shares a sync · `store` the one that writes · `writer` the end of a stream · `facts`,
//! `payload` what records say · `segment`, `scan`, `sidecar`, `label`, `names` how they lie on the disk · `index` what
//! is held, in memory · `reader`, `read` what is handed out · `opening`, `replay` after a stop · `verify` every record · `collect`, `keeper` room made
//! behind · `shape` sizes.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use valise_host::executor::{Batcher, WorkerGone};
use valise_host::ledger::StoreError;
use valise_host::machine::Machine;
use valise_host::rest::RestKey;
use valise_proto::bundle::SignedBundle;
use valise_proto::limits::WRAP_MAX;
use valise_proto::names::{DeviceId, Mailbox};
use valise_proto::receipt::SignedReceipt;
use valise_proto::signing::KeyId;
use valise_proto::wire;

use super::{
    Answer, Census, Depth, Ended, Entry, LateWraps, Noted, Outgoing, Outlook, Placed, Queue, QueueError,
    Sequence, Stamp, Submission, Wrapped,
};
use crate::counts::Commits;
use decide::{keep, place, settle};
use group::{Decided, Group};
use read::View;
use store::{Op, Store, damage};

mod collect;
mod decide;
mod facts;
mod group;
mod index;
mod keeper;
mod label;
mod names;
mod notes;
mod opening;
mod payload;
mod read;
mod reader;
mod replay;
mod scan;
mod segment;
mod shape;
mod sidecar;
mod store;
mod verify;
mod writer;

pub use shape::{SEGMENT_BYTES_MIN, Shape};
pub use verify::verify;

/// A queue in a directory of its own. Clones share it; the last one dropped closes it.
#[derive(Clone)]
pub struct LogQueue {
    batcher: Batcher<Store>,
    view: View,
    failed: watch::Receiver<Option<String>>,
    commits: Arc<Commits>,
}

impl LogQueue {
    /// Opens the queue in a directory, or makes it. Blocks on the disk.
    ///
    /// # Errors
    /// `WrongKey`, `StoreNewer`, `InUse`, and `Damaged` where nothing can be told of the store, leave it as it was;
    /// damage to some of it is reported and passed by.
    pub fn open(
        dir: &Path,
        key: &RestKey,
        stamp: Arc<dyn Stamp>,
        machine: &Machine,
        shape: Shape,
    ) -> Result<Self, StoreError> {
        let (failing, failed) = watch::channel(None);
        let store = opening::open(dir, key, stamp, machine, shape, failing)?;
        let (view, commits) = (store.view(), Arc::clone(&store.commits));
        let batcher = Batcher::seated(machine.seats, "queue", store);
        let no_thread = |source| StoreError::Io { path: dir.to_owned(), doing: "start a thread for", source };
        Ok(Self { batcher: batcher.map_err(no_thread)?, view, failed, commits })
    }

    /// Gives up this handle and waits until the files are closed: all clones gone, all that waited done.
    pub async fn close(self) {
        self.batcher.stop().await;
    }

    async fn write<T: Send + 'static>(
        &self,
        weight: usize,
        fills: bool,
        work: impl FnMut(&mut Group<'_>) -> Result<Decided<T>, StoreError> + Send + 'static,
    ) -> Answer<T> {
        let (reply, answered) = oneshot::channel();
        let gone = |_| QueueError::Failed(WorkerGone.to_string());
        self.batcher.submit(Op::new(weight, fills, work, reply)).await.map_err(gone)?;
        answered.await.unwrap_or_else(|_| Err(gone(WorkerGone)))
    }

    /// Reads what is durable, where the caller stands: from the system's memory in almost every case, and never behind
    /// a commit.
    fn read<T>(&self, look: impl FnOnce(&View) -> Result<T, StoreError>) -> Answer<T> {
        if let Some(what) = self.failed.borrow().as_ref() {
            return Err(QueueError::Failed(what.clone()));
        }
        look(&self.view).map_err(|fault| damage(&fault))
    }
}

impl fmt::Debug for LogQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogQueue({:?})", self.batcher)
    }
}

/// Bytes that a submission brings to its group.
fn weigh(submission: &Submission) -> usize {
    let segments = submission.parts.iter().flatten().map(Bytes::len).sum::<usize>();
    segments + submission.header.bytes().len() + submission.wraps.len() * WRAP_MAX
}

impl Queue for LogQueue {
    async fn enqueue(&self, submission: Submission) -> Answer<Placed> {
        self.write(weigh(&submission), true, move |group| place::enqueue(group, &submission)).await
    }

    async fn add_wraps(&self, wraps: LateWraps) -> Answer<Wrapped> {
        let weight = wraps.wraps.len() * WRAP_MAX;
        self.write(weight, true, move |group| place::add_wraps(group, &wraps)).await
    }

    async fn note(&self, sequence: Sequence, mailbox: Mailbox, receipt: SignedReceipt) -> Answer<Noted> {
        self.write(0, false, move |group| settle::note(group, sequence, &mailbox, &receipt)).await
    }

    async fn expire(&self, now_ms: u64, max: usize) -> Answer<Ended> {
        // Asked for even when nothing is due: it is also the beat at which an idle log tidies up.
        let due = self.read(|view| Ok(view.due(now_ms, max)))?;
        self.write(0, false, move |group| settle::expire(group, &due, now_ms, max)).await
    }

    async fn next(
        &self,
        mailbox: Mailbox,
        skip: BTreeSet<Sequence>,
        max: usize,
        now_ms: u64,
    ) -> Answer<Vec<Entry>> {
        self.read(|view| Ok(view.index().next(&mailbox, &skip, max, now_ms)))
    }

    async fn outgoing(&self, sequence: Sequence, mailbox: Mailbox) -> Answer<Option<Outgoing>> {
        self.read(|view| view.outgoing(sequence, &mailbox))
    }

    async fn segment(&self, sequence: Sequence, part: u32, index: u32) -> Answer<Option<Bytes>> {
        self.read(|view| view.segment(sequence, part, index))
    }

    async fn receipts(
        &self,
        device: DeviceId,
        skip: BTreeSet<[u8; 16]>,
        max: usize,
    ) -> Answer<Vec<SignedReceipt>> {
        self.read(|view| view.receipts(&device, &skip, max))
    }

    async fn forget(&self, device: DeviceId, ids: Vec<[u8; 16]>) -> Answer<()> {
        self.write(0, false, move |group| keep::forget(group, &device, &ids)).await
    }

    async fn keep_leaf(&self, key: KeyId, leaf: wire::SigningLeaf) -> Answer<()> {
        self.write(0, false, move |group| keep::keep_leaf(group, &key, &leaf)).await
    }

    async fn leaf(&self, key: KeyId) -> Answer<Option<wire::SigningLeaf>> {
        self.read(|view| view.leaf(&key))
    }

    async fn keep_bundle(&self, mailbox: Mailbox, batch_no: u64, bundle: SignedBundle) -> Answer<u64> {
        self.write(0, false, move |group| keep::keep_bundle(group, &mailbox, batch_no, &bundle)).await
    }

    async fn bundle(&self, mailbox: Mailbox) -> Answer<Option<(u64, SignedBundle)>> {
        self.read(|view| view.bundle(&mailbox))
    }

    async fn depth(&self) -> Answer<Depth> {
        self.read(|view| Ok(view.index().depth()))
    }

    async fn outlook(&self) -> Answer<Outlook> {
        self.read(View::outlook)
    }

    async fn census(&self, max: usize) -> Answer<Census> {
        self.read(|view| view.census(max))
    }

    fn commits(&self) -> &Commits {
        &self.commits
    }

    async fn failure(&self) -> String {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await {
            Ok(what) => what.clone().unwrap_or_default(),
            Err(_) => WorkerGone.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
