//! The one owner of the database: takes whatever waits, reads first, then commits all writes as one group.
//!
//! Answers to writes are released by the group's proof alone. After the first failure nothing is answered but that.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rusqlite::{Connection, OptionalExtension};
use tokio::sync::{oneshot, watch};
use valise_host::executor::Batched;
use valise_host::ledger::{CommitWatch, Committed, Ledger, StoreError};
use valise_host::rest::Sealer;

use super::group::{Draft, Group, Operation, Signed};
use super::held;
use super::rows::Vault;
use super::schema::SCHEMA;
use crate::counts::Commits;
use crate::queue::{Answer, Depth, QueueError, Stamp};

/// Statements kept prepared: all there are, and room.
const STATEMENTS: usize = 64;

/// The open queue.
pub(super) struct Store {
    ledger: Ledger,
    vault: Arc<Vault>,
    stamp: Arc<dyn Stamp>,
    depth: Depth,
    failed: watch::Sender<Option<String>>,
    commits: Arc<Commits>,
}

/// What is asked of the store.
pub(super) enum Op {
    /// Sees what is durable.
    Read(Box<dyn FnOnce(&Store) + Send>),
    /// Joins the group that is committed next.
    Write {
        /// Bytes it brings.
        weight: usize,
        /// What it does.
        operation: Box<dyn Operation>,
    },
}

impl Op {
    /// A read, with the way to its answer.
    pub(super) fn read<T: Send + 'static>(
        look: impl FnOnce(&Connection, &Vault) -> Result<T, StoreError> + Send + 'static,
        reply: oneshot::Sender<Answer<T>>,
    ) -> Self {
        Self::Read(Box::new(move |store| {
            let found = store.sound().and_then(|()| {
                let found = store.ledger.read(|conn| look(conn, &store.vault));
                found.map_err(|fault| store.judge(&fault))
            });
            reply.send(found).ok(); // a caller that left needs no answer
        }))
    }

    /// How much is held, which the store knows without asking the disk.
    pub(super) fn depth(reply: oneshot::Sender<Answer<Depth>>) -> Self {
        Self::Read(Box::new(move |store| {
            reply.send(store.sound().map(|()| store.depth)).ok(); // as above
        }))
    }

    /// A write, with the way to its answer.
    pub(super) fn write<T: Send + 'static>(
        weight: usize,
        work: impl FnMut(&mut Group<'_>) -> Result<Draft<T>, StoreError> + Send + 'static,
        reply: oneshot::Sender<Answer<T>>,
    ) -> Self {
        Self::Write { weight, operation: Box::new(Verb { work, draft: None, reply }) }
    }
}

/// A write of one kind: its work, what the work decided, who waits.
struct Verb<T, F> {
    work: F,
    draft: Option<Draft<T>>,
    reply: oneshot::Sender<Answer<T>>,
}

impl<T, F> Operation for Verb<T, F>
where
    T: Send + 'static,
    F: FnMut(&mut Group<'_>) -> Result<Draft<T>, StoreError> + Send,
{
    fn decide(&mut self, group: &mut Group<'_>) -> Result<(), StoreError> {
        self.draft = Some((self.work)(group)?);
        Ok(())
    }

    fn release(self: Box<Self>, proof: &Committed<Signed>) {
        let draft = self.draft.expect("invariant: a group commits after each of its operations decided");
        self.reply.send(Ok(draft.release(proof))).ok(); // what was committed stands, heard or not
    }

    fn fail(self: Box<Self>, fault: QueueError) {
        self.reply.send(Err(fault)).ok(); // a caller that left needs no answer
    }
}

impl Store {
    /// Opens the store at a path, or makes it. Blocks on the disk.
    pub(super) fn open(
        path: &Path,
        sealer: Sealer,
        stamp: Arc<dyn Stamp>,
        failed: watch::Sender<Option<String>>,
    ) -> Result<Self, StoreError> {
        let mut ledger = Ledger::open(path, &SCHEMA, &sealer)?;
        let vault = Arc::new(Vault::new(sealer, path));
        let counted: Option<bool> = ledger.read(|conn| {
            Ok(conn.query_row("SELECT counted FROM tally", [], |row| row.get(0)).optional()?)
        })?;
        if counted == Some(false) {
            ledger.commit(|tx| held::count_senders(tx, &vault))?;
        }
        let depth = ledger.read(|conn| {
            conn.set_prepared_statement_cache_capacity(STATEMENTS);
            let number = |row: &rusqlite::Row<'_>, at| row.get::<_, i64>(at).map(i64::cast_unsigned);
            let held =
                conn.query_row("SELECT highest, entries, receipts FROM tally WHERE id = 1", [], |row| {
                    Ok(Depth {
                        sequence: number(row, 0)?,
                        entries: number(row, 1)?,
                        receipts: number(row, 2)?,
                    })
                });
            held.optional()?.ok_or_else(|| vault.damaged("its tally is gone"))
        })?;
        Ok(Self { ledger, vault, stamp, depth, failed, commits: Arc::default() })
    }

    /// What its commits took.
    pub(super) fn commits(&self) -> &Arc<Commits> {
        &self.commits
    }

    /// The keys of rest, for whoever opens what was found.
    pub(super) fn vault(&self) -> Arc<Vault> {
        Arc::clone(&self.vault)
    }

    /// Tells this watch of every commit.
    pub(super) fn watched(self, watch: Option<Arc<dyn CommitWatch>>) -> Self {
        Self { ledger: self.ledger.watched(watch), ..self }
    }

    /// Commits these as one group. Damage met by one of many must not fail the others: they are tried one by one.
    fn commit(&mut self, mut group: Vec<Box<dyn Operation>>) {
        let begun = Instant::now();
        let done = self.sound().map_err(|fault| (fault, false)).and_then(|()| {
            let done = self.attempt(&mut group);
            done.map_err(|fault| {
                let fault = self.judge(&fault);
                let alone = group.len() > 1 && matches!(fault, QueueError::Damaged(_));
                (fault, alone)
            })
        });
        match done {
            Ok(proof) => {
                self.depth = proof.as_ref().depth;
                self.commits.note(group.len(), begun.elapsed());
                group.into_iter().for_each(|operation| operation.release(&proof));
            }
            Err((_, true)) => group.into_iter().for_each(|operation| self.commit(vec![operation])),
            Err((fault, false)) => group.into_iter().for_each(|operation| operation.fail(fault.clone())),
        }
    }

    fn attempt(&mut self, operations: &mut [Box<dyn Operation>]) -> Result<Committed<Signed>, StoreError> {
        let Self { ledger, vault, stamp, depth, .. } = self;
        ledger.commit(|tx| {
            let mut group = Group::new(tx, vault, stamp.relay(), *depth);
            operations.iter_mut().try_for_each(|operation| operation.decide(&mut group))?;
            group.close(&**stamp)
        })
    }

    /// Refuses everything after a failure.
    fn sound(&self) -> Answer<()> {
        self.failed.borrow().as_ref().map_or(Ok(()), |what| Err(QueueError::Failed(what.clone())))
    }

    /// Which of the three faults it is; the final one is remembered and announced.
    fn judge(&self, fault: &StoreError) -> QueueError {
        match fault {
            StoreError::Full => QueueError::Full,
            StoreError::Row(_) | StoreError::Damaged { .. } => damage(fault),
            StoreError::Engine { .. }
            | StoreError::Failed { .. }
            | StoreError::Foreign { .. }
            | StoreError::InUse { .. }
            | StoreError::Io { .. }
            | StoreError::Statement(_)
            | StoreError::StoreNewer { .. }
            | StoreError::WrongKey { .. } => {
                let what = match fault {
                    StoreError::Failed { what } => what.clone(),
                    other => other.to_string(),
                };
                self.failed.send_if_modified(|failed| {
                    let first = failed.is_none();
                    failed.get_or_insert_with(|| what.clone());
                    first
                });
                QueueError::Failed(what)
            }
        }
    }
}

/// What one row is found to be: of this question only.
pub(super) fn damage(fault: &StoreError) -> QueueError {
    match fault {
        StoreError::Row(fault) => {
            QueueError::Damaged(format!("a sealed row of `{}` does not open", fault.table))
        }
        StoreError::Damaged { what, .. } => QueueError::Damaged(what.clone()),
        other => QueueError::Damaged(other.to_string()),
    }
}

impl Batched for Store {
    type Op = Op;

    fn weigh(op: &Op) -> usize {
        match op {
            Op::Read(_) => 0,
            Op::Write { weight, .. } => *weight,
        }
    }

    fn apply(&mut self, ops: Vec<Op>) {
        let mut group = Vec::with_capacity(ops.len());
        for op in ops {
            match op {
                Op::Read(look) => look(self),
                Op::Write { operation, .. } => group.push(operation),
            }
        }
        if !group.is_empty() {
            self.commit(group);
        }
    }
}

#[cfg(test)]
mod tests;
