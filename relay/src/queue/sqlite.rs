//! The queue in SQLite: sealed at rest, one owner, one transaction for all that waits. The reference backend, and
//! the oracle for those to come.
//!
//! Only carries questions to the store and answers back; what they mean lies in the rooms below.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::{oneshot, watch};
use valise_host::executor::{Batcher, WorkerGone};
use valise_host::ledger::StoreError;
use valise_host::machine::Machine;
use valise_host::planted::Planted;
use valise_host::rest::{RestKey, Sealer};
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
use group::{Draft, Group};
use rows::Vault;
use store::{Op, Store, damage};

mod apart;
mod group;
mod held;
mod keep;
mod place;
mod read;
mod rows;
mod schema;
mod settle;
mod store;
mod verify;

pub use verify::verify;

/// A queue in one SQLite file. Clones share it; the last one dropped closes it.
#[derive(Clone)]
pub struct SqliteQueue {
    batcher: Batcher<Store>,
    vault: Arc<Vault>,
    failed: watch::Receiver<Option<String>>,
    commits: Arc<Commits>,
}

impl SqliteQueue {
    /// Opens the queue at a path, or makes it. Blocks on the disk.
    ///
    /// # Errors
    /// As [`Ledger::open`](valise_host::ledger::Ledger::open); a store that is refused is left as it was.
    pub fn open(
        path: &Path,
        key: &RestKey,
        stamp: Arc<dyn Stamp>,
        machine: &Machine,
    ) -> Result<Self, StoreError> {
        let sealer = Sealer::new(key, Arc::clone(&machine.entropy));
        let (failing, failed) = watch::channel(None);
        let store = Store::open(path, sealer, stamp, failing)?.watched(machine.watch.clone());
        let (vault, commits) = (store.vault(), Arc::clone(store.commits()));
        let batcher = Batcher::seated(machine.seats, "queue", store);
        let no_thread =
            |source| StoreError::Io { path: path.to_owned(), doing: "start a thread for", source };
        Ok(Self { batcher: batcher.map_err(no_thread)?, vault, failed, commits })
    }

    /// Gives up this handle and waits until the file is closed: all clones gone, all that waited done.
    pub async fn close(self) {
        self.batcher.stop().await;
    }

    async fn ask<T>(&self, op: impl FnOnce(oneshot::Sender<Answer<T>>) -> Op) -> Answer<T> {
        let (reply, answered) = oneshot::channel();
        let gone = |_| QueueError::Failed(WorkerGone.to_string());
        self.batcher.submit(op(reply)).await.map_err(gone)?;
        answered.await.unwrap_or_else(|_| Err(gone(WorkerGone)))
    }

    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection, &Vault) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        self.ask(|reply| Op::read(look, reply)).await
    }

    async fn write<T: Send + 'static>(
        &self,
        weight: usize,
        work: impl FnMut(&mut Group<'_>) -> Result<Draft<T>, StoreError> + Send + 'static,
    ) -> Answer<T> {
        self.ask(|reply| Op::write(weight, work, reply)).await
    }
}

impl fmt::Debug for SqliteQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqliteQueue({:?})", self.batcher)
    }
}

/// Bytes that a submission brings to its group.
fn weigh(submission: &Submission) -> usize {
    let segments = submission.parts.iter().flatten().map(Bytes::len).sum::<usize>();
    segments + submission.header.bytes().len() + submission.recipients.len() * WRAP_MAX
}

impl Queue for SqliteQueue {
    async fn enqueue(&self, submission: Submission) -> Answer<Placed> {
        self.write(weigh(&submission), move |group| place::enqueue(group, &submission)).await
    }

    async fn add_wraps(&self, wraps: LateWraps) -> Answer<Wrapped> {
        self.write(wraps.wraps.len() * WRAP_MAX, move |group| place::add_wraps(group, &wraps)).await
    }

    async fn note(&self, sequence: Sequence, mailbox: Mailbox, receipt: SignedReceipt) -> Answer<Noted> {
        if Planted::DropBeforeReceipt.here() {
            return self.note_apart(sequence, mailbox, receipt).await;
        }
        self.write(0, move |group| settle::note(group, sequence, &mailbox, &receipt)).await
    }

    async fn expire(&self, now_ms: u64, max: usize) -> Answer<Ended> {
        self.write(0, move |group| settle::expire(group, now_ms, max)).await
    }

    async fn next(
        &self,
        mailbox: Mailbox,
        skip: BTreeSet<Sequence>,
        max: usize,
        now_ms: u64,
    ) -> Answer<Vec<Entry>> {
        let mailbox = self.vault.mailbox_key(&mailbox);
        self.read(move |conn, vault| read::next(conn, vault, &mailbox, &skip, max, now_ms)).await
    }

    async fn outgoing(&self, sequence: Sequence, mailbox: Mailbox) -> Answer<Option<Outgoing>> {
        let mailbox = self.vault.mailbox_key(&mailbox);
        let resting = self.read(move |conn, _| read::outgoing(conn, sequence, &mailbox)).await?;
        resting.map(|resting| resting.open(&self.vault)).transpose().map_err(|fault| damage(&fault))
    }

    async fn segment(&self, sequence: Sequence, part: u32, index: u32) -> Answer<Option<Bytes>> {
        let Some(place) = schema::place(sequence, part, index) else { return Ok(None) };
        let sealed = self.read(move |conn, _| read::segment(conn, place)).await?;
        let opened = sealed.map(|sealed| self.vault.open(&place.to_be_bytes(), &sealed));
        opened.transpose().map_err(|fault| damage(&fault))
    }

    async fn receipts(
        &self,
        device: DeviceId,
        skip: BTreeSet<[u8; 16]>,
        max: usize,
    ) -> Answer<Vec<SignedReceipt>> {
        let skip: BTreeSet<_> = skip.iter().map(|id| self.vault.receipt_key(&device, id)).collect();
        let device = self.vault.device_key(&device);
        let sealed = self.read(move |conn, _| read::receipts(conn, &device, &skip, max)).await?;
        let opened = sealed.iter().map(|(id, sealed)| self.vault.open(id, sealed));
        opened.collect::<Result<_, _>>().map_err(|fault| damage(&fault))
    }

    async fn forget(&self, device: DeviceId, ids: Vec<[u8; 16]>) -> Answer<()> {
        self.write(0, move |group| keep::forget(group, &device, &ids)).await
    }

    async fn keep_leaf(&self, key: KeyId, leaf: wire::SigningLeaf) -> Answer<()> {
        self.write(0, move |group| keep::keep_leaf(group, &key, &leaf)).await
    }

    async fn leaf(&self, key: KeyId) -> Answer<Option<wire::SigningLeaf>> {
        self.read(move |conn, vault| keep::read_leaf(conn, vault, &key)).await
    }

    async fn keep_bundle(&self, mailbox: Mailbox, batch_no: u64, bundle: SignedBundle) -> Answer<u64> {
        self.write(0, move |group| keep::keep_bundle(group, &mailbox, batch_no, &bundle)).await
    }

    async fn bundle(&self, mailbox: Mailbox) -> Answer<Option<(u64, SignedBundle)>> {
        self.read(move |conn, vault| keep::read_bundle(conn, vault, &mailbox)).await
    }

    async fn depth(&self) -> Answer<Depth> {
        self.ask(Op::depth).await
    }

    async fn outlook(&self) -> Answer<Outlook> {
        self.read(read::outlook).await
    }

    async fn census(&self, max: usize) -> Answer<Census> {
        self.read(move |conn, vault| held::census(conn, vault, max)).await
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
