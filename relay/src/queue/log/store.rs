//! The one that writes: takes whatever waits, and commits all of it as one group with one sync.
//!
//! Decides against what is durable; the index learns of a group after its sync, and answers are released then. After
//! the first failure nothing is answered but that.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use bytes::Bytes;
use prost::Message;
use tokio::sync::{oneshot, watch};
use valise_host::executor::Batched;
use valise_host::ledger::{CommitPoint, CommitWatch, StoreError};

use super::collect::Collector;
use super::facts::{EnvelopeFact, Fact, Loc, StagedFact};
use super::group::{Decided, Draft, Group, NewEnvelope, Operation, Plan, Signed};
use super::index::Index;
use super::payload::{EnvelopePayload, Payload, WrapHere, several};
use super::read::View;
use super::segment::footprint;
use super::writer::{Common, Synced, Writer};
use crate::counts::Commits;
use crate::queue::{Answer, QueueError, Stamp};

/// Facts applied before readers get a turn: keeps them from waiting for a whole group.
const APPLIED_AT_ONCE: usize = 256;
/// Operations of a batch that is no load.
const FEW: usize = 1;
/// Steps of tidying behind such a batch: some ten milliseconds at most.
const STEPS_WHEN_IDLE: usize = 8;
/// Bytes that protobuf adds to an entry of an envelope beside its name.
const ENTRY_BYTES: usize = 48;
/// Bytes that a record may take beside what is counted of it.
const RECORD_BYTES: usize = 256;

/// The open log.
pub(super) struct Store {
    pub(super) path: PathBuf,
    pub(super) index: Arc<RwLock<Index>>,
    pub(super) common: Common,
    pub(super) hot: Writer,
    pub(super) cold: Writer,
    pub(super) collector: Collector,
    pub(super) stamp: Arc<dyn Stamp>,
    pub(super) failed: watch::Sender<Option<String>>,
    pub(super) commits: Arc<Commits>,
    pub(super) watch: Option<Arc<dyn CommitWatch>>,
    // Dropped last: the lock goes when the files are closed.
    pub(super) _lock: Box<dyn std::any::Any + Send + Sync>,
}

/// What is asked of the store.
pub(super) struct Op {
    /// Bytes it brings.
    pub(super) weight: usize,
    pub(super) operation: Box<dyn Operation>,
}

impl Op {
    /// A write, with the way to its answer. `fills`: it takes room that only a delivery gives back.
    pub(super) fn new<T: Send + 'static>(
        weight: usize,
        fills: bool,
        work: impl FnMut(&mut Group<'_>) -> Result<Decided<T>, StoreError> + Send + 'static,
        reply: oneshot::Sender<Answer<T>>,
    ) -> Self {
        Self { weight, operation: Box::new(Verb { work, draft: None, reply, fills }) }
    }
}

/// A write of one kind: its work, what the work decided, who waits.
struct Verb<T, F> {
    work: F,
    draft: Option<Draft<T>>,
    reply: oneshot::Sender<Answer<T>>,
    fills: bool,
}

impl<T, F> Operation for Verb<T, F>
where
    T: Send + 'static,
    F: FnMut(&mut Group<'_>) -> Result<Decided<T>, StoreError> + Send,
{
    fn decide(&mut self, group: &mut Group<'_>) -> Result<bool, StoreError> {
        if group.is_taken() {
            return Ok(false);
        }
        match (self.work)(group)? {
            Decided::Draft(draft) => self.draft = Some(draft),
            Decided::Wait => return Ok(false),
        }
        Ok(true)
    }

    fn release(self: Box<Self>, proof: &Synced<Signed>) {
        let draft = self.draft.expect("invariant: a group is written after each of its operations decided");
        self.reply.send(Ok(draft.release(proof))).ok(); // what was committed stands, heard or not
    }

    fn fail(self: Box<Self>, fault: QueueError) {
        self.reply.send(Err(fault)).ok(); // a caller that left needs no answer
    }

    fn fills(&self) -> bool {
        self.fills
    }
}

/// A group that was decided and is to be written.
struct Work {
    operations: Vec<Box<dyn Operation>>,
    sequence: u64,
    plans: Vec<Plan>,
    signed: Signed,
}

impl Store {
    /// What is durable, for reading.
    pub(super) fn view(&self) -> View {
        View { index: Arc::clone(&self.index), reader: Arc::clone(&self.common.reader) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits these, as few groups as can be.
    fn commit(&mut self, mut waiting: VecDeque<Box<dyn Operation>>) {
        while !waiting.is_empty() {
            if let Err(fault) = self.sound() {
                waiting.drain(..).for_each(|operation| operation.fail(fault.clone()));
                return;
            }
            let begun = Instant::now();
            let work = self.decide(&mut waiting);
            if work.operations.is_empty() {
                continue;
            }
            self.carry_out(work, begun);
        }
    }

    /// Takes from the front whatever can share a group.
    fn decide(&self, waiting: &mut VecDeque<Box<dyn Operation>>) -> Work {
        let index = self.read();
        let mut group = Group::new(&index, &self.common.reader, self.stamp.relay(), self.common.sequence);
        let mut operations = Vec::with_capacity(waiting.len());
        while let Some(mut operation) = waiting.pop_front() {
            match operation.decide(&mut group) {
                Ok(true) => operations.push(operation),
                Ok(false) => {
                    waiting.push_front(operation);
                    break;
                }
                // Damage met by one of many must not fail the others: it has changed nothing.
                Err(fault) => operation.fail(self.judge(&fault)),
            }
        }
        let (sequence, plans, signed) = group.close(&*self.stamp);
        Work { operations, sequence, plans, signed }
    }

    fn carry_out(&mut self, work: Work, begun: Instant) {
        let Work { operations, sequence, plans, signed } = work;
        let fills = operations.iter().any(|operation| operation.fills());
        match self.write(sequence, plans, signed, fills) {
            Ok(proof) => {
                self.commits.note(operations.len(), begun.elapsed());
                operations.into_iter().for_each(|operation| operation.release(&proof));
            }
            // The last room is for those that make room: they are tried again without the others.
            Err(StoreError::Full) if fills && operations.iter().any(|operation| !operation.fills()) => {
                let (filling, others): (Vec<_>, Vec<_>) = operations.into_iter().partition(|one| one.fills());
                filling.into_iter().for_each(|operation| operation.fail(QueueError::Full));
                self.commit(others.into());
            }
            Err(fault) => {
                let fault = self.judge(&fault);
                operations.into_iter().for_each(|operation| operation.fail(fault.clone()));
            }
        }
    }

    /// Writes a group, syncs it, and lets the index know.
    fn write(
        &mut self,
        sequence: u64,
        plans: Vec<Plan>,
        signed: Signed,
        fills: bool,
    ) -> Result<Synced<Signed>, StoreError> {
        if plans.is_empty() {
            return Ok(self.hot.unchanged(signed)); // what is answered is durable already
        }
        self.pass(CommitPoint::Before)?;
        let (bytes, largest) = plans
            .iter()
            .map(|plan| plan.size(&signed))
            .fold((0, 0), |(sum, most), size| (sum + size.0, most.max(size.1)));
        self.hot.reserve(&mut self.common, bytes, largest, fills)?;
        self.common.sequence = sequence;
        let mut changes = Vec::with_capacity(plans.len());
        let mut scratch = Vec::new();
        for plan in plans {
            let mut page = Page { common: &mut self.common, hot: &mut self.hot, scratch: &mut scratch };
            changes.push(page.carry(plan, &signed)?);
        }
        let proof = self.hot.finish(signed)?;
        self.pass(CommitPoint::Synced)?;
        self.pass(CommitPoint::After)?;
        self.publish(&changes);
        Ok(proof)
    }

    pub(super) fn publish(&self, changes: &[(u64, Loc, Fact)]) {
        for some in changes.chunks(APPLIED_AT_ONCE) {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            some.iter().for_each(|(number, loc, fact)| index.apply(*number, *loc, fact));
        }
    }

    pub(super) fn pass(&self, point: CommitPoint) -> Result<(), StoreError> {
        match &self.watch {
            Some(watch) if !watch.goes_on(&self.path, point) => {
                Err(StoreError::Failed { what: "the machine stopped".to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Refuses everything after a failure.
    pub(super) fn sound(&self) -> Answer<()> {
        self.failed.borrow().as_ref().map_or(Ok(()), |what| Err(QueueError::Failed(what.clone())))
    }

    /// Which of the three faults it is; the final one is remembered and announced.
    pub(super) fn judge(&self, fault: &StoreError) -> QueueError {
        let what = match fault {
            StoreError::Full => return QueueError::Full,
            StoreError::Row(_) | StoreError::Damaged { .. } => return damage(fault),
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

/// What one record is found to be: of this question only.
pub(super) fn damage(fault: &StoreError) -> QueueError {
    match fault {
        StoreError::Damaged { what, .. } => QueueError::Damaged(what.clone()),
        other => QueueError::Damaged(other.to_string()),
    }
}

/// A group being written.
struct Page<'a> {
    common: &'a mut Common,
    hot: &'a mut Writer,
    scratch: &'a mut Vec<u8>,
}

impl Page<'_> {
    fn carry(&mut self, plan: Plan, signed: &Signed) -> Result<(u64, Loc, Fact), StoreError> {
        match plan {
            Plan::Plain(fact, payload) => self.put(fact, Payload::Bytes(&payload)),
            Plan::Envelope(new) => self.envelope(*new, signed),
            Plan::Ended(mut fact, tickets) => {
                let receipts = tickets.iter().map(|ticket| signed.see(*ticket));
                fact.receipts =
                    receipts.clone().map(|receipt| Bytes::copy_from_slice(&receipt.id())).collect();
                let payload = several(receipts.map(|receipt| receipt.to_bytes()).collect());
                self.put(Fact::Ended(fact), Payload::Bytes(&payload))
            }
        }
    }

    fn put(&mut self, fact: Fact, payload: Payload<'_>) -> Result<(u64, Loc, Fact), StoreError> {
        let (number, loc) = self.hot.append(self.common, &fact, payload, self.scratch)?;
        Ok((number, loc, fact))
    }

    /// Its pieces first, then the record that makes them visible. One wrap and one segment lie in that record itself.
    fn envelope(&mut self, new: NewEnvelope, signed: &Signed) -> Result<(u64, Loc, Fact), StoreError> {
        let NewEnvelope { mut fact, header, proof, wraps, segments } = new;
        let staged = Fact::Staged(StagedFact { sequence: fact.sequence });
        let mut payload = EnvelopePayload {
            header: header.into(),
            proof: signed.see(proof).to_bytes(),
            wraps: Vec::new(),
            only: None,
        };
        match <[Bytes; 1]>::try_from(segments) {
            Ok([only]) => payload.only = Some(only),
            Err(several) => {
                for segment in several {
                    let (_, loc) =
                        self.hot.append(self.common, &staged, Payload::Bytes(&segment), self.scratch)?;
                    fact.chunks.push(loc);
                }
            }
        }
        match <[(u32, Bytes); 1]>::try_from(wraps) {
            Ok([(entry, wrap)]) => {
                fact.entries[entry as usize].here = true;
                payload.wraps.push(WrapHere { entry, wrap });
            }
            Err(several) => {
                for (entry, wrap) in several {
                    let (_, loc) =
                        self.hot.append(self.common, &staged, Payload::Bytes(&wrap), self.scratch)?;
                    fact.entries[entry as usize].wrap = Some(loc);
                }
            }
        }
        // With no recipient nobody will ask for the bytes.
        let kept = if fact.entries.is_empty() { Payload::Bytes(&[]) } else { Payload::Envelope(&payload) };
        self.put(Fact::Envelope(Box::new(fact)), kept)
    }
}

impl Plan {
    /// At most so many bytes of segments, and of its largest record.
    fn size(&self, signed: &Signed) -> (usize, usize) {
        let one = |bytes: usize| (footprint(bytes + RECORD_BYTES), footprint(bytes + RECORD_BYTES));
        match self {
            Self::Plain(Fact::Taken(fact), _) => one(fact.encoded_len()),
            Self::Plain(Fact::Purged(fact), _) => one(fact.encoded_len()),
            Self::Plain(_, payload) => one(payload.len() + payload.len() / 64),
            Self::Ended(_, tickets) => {
                one(tickets.iter().map(|ticket| signed.see(*ticket).to_bytes().len() + 64).sum())
            }
            Self::Envelope(new) => new.size(signed.see(new.proof).to_bytes().len()),
        }
    }
}

impl NewEnvelope {
    fn size(&self, proof: usize) -> (usize, usize) {
        let piece = |bytes: &Bytes| footprint(bytes.len() + RECORD_BYTES);
        let pieces = self.segments.iter().chain(self.wraps.iter().map(|(_, wrap)| wrap)).map(piece);
        let own = fact_size(&self.fact) + self.header.len() + proof + 32 * self.segments.len() + RECORD_BYTES;
        let here = [self.segments.first(), self.wraps.first().map(|(_, wrap)| wrap)];
        let here: usize = here.into_iter().flatten().map(Bytes::len).sum();
        let (sum, most) = pieces.fold((0, 0), |(sum, most), size| (sum + size, most.max(size)));
        (sum + footprint(own), most.max(footprint(own + here)))
    }
}

fn fact_size(fact: &EnvelopeFact) -> usize {
    RECORD_BYTES + fact.entries.iter().map(|entry| entry.mailbox.len() + ENTRY_BYTES).sum::<usize>()
}

impl Batched for Store {
    type Op = Op;

    fn weigh(op: &Op) -> usize {
        op.weight
    }

    fn apply(&mut self, ops: Vec<Op>) {
        // Whoever is not busy tidies up.
        let steps = if ops.len() > FEW { 1 } else { STEPS_WHEN_IDLE };
        self.commit(ops.into_iter().map(|op| op.operation).collect());
        for _ in 0..steps {
            if !self.collect() {
                break;
            }
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let goes_on = self.watch.as_ref().is_none_or(|one| one.goes_on(&self.path, CommitPoint::Closing));
        if goes_on && self.sound().is_ok() {
            self.close();
        }
    }
}

impl Store {
    /// Says at the end of each stream that it ends there: whatever is missing before is damage. In vain loses nothing.
    fn close(&mut self) {
        for writer in [&mut self.hot, &mut self.cold] {
            if !writer.is_open() {
                continue;
            }
            let mut scratch = Vec::new();
            let size = footprint(RECORD_BYTES);
            let closed = writer
                .reserve(&mut self.common, size, size, false)
                .and_then(|()| {
                    writer.append(&mut self.common, &Fact::Closed, Payload::Bytes(&[]), &mut scratch)
                })
                .and_then(|_| writer.finish(()));
            if let Err(fault) = closed {
                tracing::warn!(event = "queue-upkeep-failed", what = "the end of a segment", why = %fault);
                return;
            }
            writer.seal_off(&self.common);
        }
    }
}
