//! The reference: a queue that is only a few maps, loses nothing, and answers as the contract says.
//!
//! Made from the contract in `valise_relay::queue`, not from a backend. Where the contract leaves a choice (a number,
//! the bytes of a receipt) it takes over what the queue chose, once it is a choice that is allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use valise_proto::bundle::SignedBundle;
use valise_proto::kinds::{Reason, ReceiptKind};
use valise_proto::limits::REPLAY_KEPT_MS;
use valise_proto::names::{DeviceId, Mailbox, MessageId};
use valise_proto::receipt::{Receipt, SignedReceipt, Speaker};
use valise_proto::signing::{Hash, KeyId};
use valise_proto::wire;
use valise_relay::queue::{Entry, LateWraps, Noted, Sequence, Submission};

use super::ask::{Answer, Ask, Look, Proof, Seen};
use super::cast::relay;

/// Where an entry stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    Waiting,
    Queued(wire::KeyWrap),
    Settled,
}

/// An envelope that is remembered.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    pub(super) submission: Arc<Submission>,
    pub(super) hash: Hash,
    pub(super) relayed: Proof,
    pub(super) entries: BTreeMap<Mailbox, State>,
    pub(super) stated: BTreeMap<(Mailbox, ReceiptKind), SignedReceipt>,
}

/// A receipt that waits. Those of one batch came at once and have no order among them.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) proof: Proof,
    pub(super) batch: u64,
}

/// What a queue holds.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub(super) envelopes: BTreeMap<Sequence, Envelope>,
    pub(super) ids: BTreeMap<(DeviceId, MessageId), Sequence>,
    pub(super) mail: BTreeMap<DeviceId, Vec<Kept>>,
    pub(super) leaves: BTreeMap<KeyId, wire::SigningLeaf>,
    pub(super) bundles: BTreeMap<Mailbox, (u64, SignedBundle)>,
    pub(super) highest: Sequence,
    batches: u64,
    /// Times at which the clock may have ended what was late then, all or some of it.
    doubts: Vec<u64>,
}

impl Envelope {
    pub(super) fn open(&self) -> usize {
        self.entries.values().filter(|state| **state != State::Settled).count()
    }

    pub(super) fn expires_ms(&self) -> u64 {
        self.submission.facts.expires_ms
    }

    pub(super) fn accepted_ms(&self) -> u64 {
        self.relayed.claim.time_ms
    }

    /// A statement of `hub-1` about it.
    fn states(&self, sequence: Sequence, kind: ReceiptKind, time_ms: u64, mailbox: Option<Mailbox>) -> Proof {
        let claim = Receipt {
            kind,
            message_id: self.submission.facts.message_id,
            header_hash: self.hash,
            sequence,
            time_ms,
            by: Speaker::Relay(relay()),
            mailbox,
            reason: (kind == ReceiptKind::Expired).then_some(Reason::Expired),
            operator_ref: None,
        };
        Proof { claim, signed: None }
    }
}

impl World {
    /// The number of a message, while it is remembered.
    pub fn number(&self, of: &DeviceId, id: &MessageId) -> Option<Sequence> {
        self.ids.get(&(of.clone(), *id)).copied()
    }

    /// Names of the receipts that wait for a device.
    pub fn waiting_for(&self, device: &DeviceId) -> Vec<[u8; 16]> {
        let kept = self.mail.get(device).into_iter().flatten();
        kept.map(|kept| Hash::of(&[&kept.proof.claim.encode()]).half()).collect()
    }

    /// Statements that were kept about messages that are remembered: number, mailbox, statement.
    pub fn stated(&self) -> Vec<(Sequence, Mailbox, SignedReceipt)> {
        let each = self.envelopes.iter().flat_map(|(sequence, envelope)| {
            envelope.stated.iter().map(|((mailbox, _), said)| (*sequence, mailbox.clone(), said.clone()))
        });
        each.collect()
    }

    /// What a queue that holds this answers. Of what a queue answered its choices are taken over.
    pub fn apply(&mut self, ask: &Ask, given: Option<&Answer>) -> Answer {
        match ask {
            Ask::Enqueue(submission) => self.enqueue(submission, given),
            Ask::AddWraps(late) => self.add_wraps(late, given),
            Ask::Note(sequence, mailbox, receipt) => Answer::Noted(self.note(*sequence, mailbox, receipt)),
            Ask::Expire(now_ms) => {
                self.purge(*now_ms);
                self.expire(*now_ms)
            }
            Ask::Sweep(now_ms, _) => {
                let ended = self.expire(*now_ms);
                self.purge(*now_ms);
                ended
            }
            Ask::Forget(device, ids) => {
                if let Some(mail) = self.mail.get_mut(device) {
                    mail.retain(|kept| !ids.contains(&Hash::of(&[&kept.proof.claim.encode()]).half()));
                }
                Answer::Done
            }
            Ask::KeepLeaf(key, leaf) => {
                self.leaves.insert(*key, leaf.clone());
                Answer::Done
            }
            Ask::KeepBundle(mailbox, batch_no, bundle) => {
                let held = self.bundles.get(mailbox).map_or(0, |(held, _)| *held);
                if *batch_no > held {
                    self.bundles.insert(mailbox.clone(), (*batch_no, bundle.clone()));
                }
                Answer::Batch(held.max(*batch_no))
            }
            Ask::Look(look) => Answer::Seen(self.look(look).into()),
        }
    }

    fn enqueue(&mut self, submission: &Arc<Submission>, given: Option<&Answer>) -> Answer {
        let id = (submission.submitter.clone(), submission.facts.message_id);
        let hash = submission.header.hash();
        let named = submission.facts.recipients.iter().map(|recipient| &recipient.mailbox);
        if let Some(sequence) = self.ids.get(&id).copied() {
            let Some(held) = self.envelopes.get_mut(&sequence) else { return Answer::IdReused };
            if held.hash != hash {
                return Answer::IdReused;
            }
            for (mailbox, wrap) in &submission.wraps {
                if let Some(state @ State::Waiting) = held.entries.get_mut(mailbox) {
                    *state = State::Queued(wrap.clone());
                }
            }
            // One that was kept in flight has a proof that nobody has seen.
            if let (None, Some(Answer::Stored { relayed, .. })) = (&held.relayed.signed, given) {
                held.relayed.signed.clone_from(&relayed.signed);
            }
            let denied = named.filter(|mailbox| !held.entries.contains_key(*mailbox)).cloned().collect();
            return Answer::Stored {
                sequence,
                relayed: Box::new(held.relayed.clone()),
                fresh: false,
                denied,
            };
        }
        if let Some(over) = self.over(submission) {
            return Answer::Over(over);
        }
        let next = self.highest + 1;
        let sequence = match given {
            Some(Answer::Stored { sequence, fresh: true, .. }) => next.max(*sequence),
            _ => next,
        };
        let wrap_of = |mailbox: &Mailbox| submission.wraps.iter().rev().find(|(of, _)| of == mailbox);
        let state =
            |mailbox| wrap_of(mailbox).map_or(State::Waiting, |(_, wrap)| State::Queued(wrap.clone()));
        let entries: BTreeMap<_, _> =
            submission.recipients.iter().map(|mailbox| (mailbox.clone(), state(mailbox))).collect();
        let denied = named.filter(|mailbox| !entries.contains_key(*mailbox)).cloned().collect();
        let relayed = Proof { claim: claim_of(submission, hash, sequence), signed: None };
        let mut envelope = Envelope {
            submission: Arc::clone(submission),
            hash,
            relayed: relayed.clone(),
            entries,
            stated: BTreeMap::new(),
        };
        if let Some(Answer::Stored { relayed, .. }) = given {
            envelope.relayed.signed.clone_from(&relayed.signed);
        }
        self.highest = sequence;
        self.ids.insert(id, sequence);
        self.envelopes.insert(sequence, envelope);
        Answer::Stored { sequence, relayed: Box::new(relayed), fresh: true, denied }
    }

    fn add_wraps(&mut self, late: &LateWraps, given: Option<&Answer>) -> Answer {
        let id = (late.submitter.clone(), late.message_id);
        let Some((sequence, envelope)) =
            self.ids.get(&id).and_then(|sequence| Some((*sequence, self.envelopes.get_mut(sequence)?)))
        else {
            return Answer::NoSuchMessage;
        };
        let wraps: BTreeMap<&Mailbox, &wire::KeyWrap> =
            late.wraps.iter().map(|(mailbox, wrap)| (mailbox, wrap)).collect();
        if wraps.keys().any(|mailbox| !envelope.entries.contains_key(*mailbox)) {
            return Answer::NoSuchMessage;
        }
        let (mut relayed, mut mailboxes) = (Vec::new(), BTreeSet::new());
        for (mailbox, wrap) in wraps {
            let about = Some(mailbox.clone());
            relayed.push(envelope.states(sequence, ReceiptKind::Relayed, late.now_ms, about));
            if let Some(state) = envelope.entries.get_mut(mailbox).filter(|state| **state != State::Settled) {
                *state = State::Queued(wrap.clone());
                mailboxes.insert(mailbox.clone());
            }
        }
        // Those receipts are in the answer alone: their bytes are whatever they are.
        if let Some(Answer::Wrapped { relayed: given, .. }) = given {
            for (expected, given) in relayed.iter_mut().zip(given) {
                expected.signed.clone_from(&given.signed);
            }
        }
        Answer::Wrapped { sequence, relayed, mailboxes }
    }

    fn note(&mut self, sequence: Sequence, mailbox: &Mailbox, receipt: &SignedReceipt) -> Noted {
        let Some(envelope) = self.envelopes.get_mut(&sequence) else { return Noted::Groundless };
        let Some(state) = envelope.entries.get_mut(mailbox) else { return Noted::Groundless };
        let Ok(claim) = receipt.claim() else { return Noted::Groundless };
        let ours = claim.message_id == envelope.submission.facts.message_id;
        let about = (ours && claim.header_hash == envelope.hash) || claim.kind.is_bad_end();
        let theirs = claim.by == Speaker::Mailbox(mailbox.clone());
        if *state == State::Waiting || !about || !theirs || claim.sequence != sequence {
            return Noted::Groundless;
        }
        let author = envelope.submission.submitter.clone();
        let key = (mailbox.clone(), claim.kind);
        if envelope.stated.contains_key(&key) {
            return Noted::Known { author };
        }
        envelope.stated.insert(key, receipt.clone());
        if claim.kind.settles() {
            *state = State::Settled;
        }
        self.batches += 1;
        let kept = Kept { proof: Proof { claim, signed: Some(receipt.clone()) }, batch: self.batches };
        self.mail.entry(author.clone()).or_default().push(kept);
        Noted::Kept { author }
    }

    fn expire(&mut self, now_ms: u64) -> Answer {
        let (authors, entries) = self.end(now_ms, |_| true);
        Answer::Ended { authors, entries }
    }

    /// Ends late entries, those whose receipt the queue has by its own account.
    fn end(&mut self, now_ms: u64, has: impl Fn(&Receipt) -> bool) -> (BTreeSet<DeviceId>, usize) {
        self.batches += 1;
        let (mut authors, mut entries) = (BTreeSet::new(), 0);
        let late = self.envelopes.iter_mut().filter(|(_, one)| one.expires_ms() <= now_ms && one.open() > 0);
        for (sequence, envelope) in late {
            let author = envelope.submission.submitter.clone();
            for mailbox in envelope.entries.keys().cloned().collect::<Vec<_>>() {
                let proof = envelope.states(*sequence, ReceiptKind::Expired, now_ms, Some(mailbox.clone()));
                if envelope.entries[&mailbox] == State::Settled || !has(&proof.claim) {
                    continue;
                }
                envelope.entries.insert(mailbox, State::Settled);
                self.mail.entry(author.clone()).or_default().push(Kept { proof, batch: self.batches });
                authors.insert(author.clone());
                entries += 1;
            }
        }
        (authors, entries)
    }

    /// The clock may have done its work, all or a part of it: each entry is ended with its receipt or not at all, but
    /// many entries are not one thing.
    pub fn doubt(&mut self, now_ms: u64) {
        self.doubts.push(now_ms);
    }

    /// Finds by what a queue shows which entries the clock had ended.
    pub(super) fn settle_doubts(&mut self, has: impl Fn(&Receipt) -> bool) {
        for now_ms in std::mem::take(&mut self.doubts) {
            self.end(now_ms, &has);
        }
    }

    /// Forgets what ended before and no replay can bring back.
    pub fn purge(&mut self, now_ms: u64) {
        self.envelopes.retain(|_, one| {
            let gone = one.open() == 0 && one.expires_ms().saturating_add(REPLAY_KEPT_MS) <= now_ms;
            if gone {
                let Submission { submitter, facts, .. } = &*one.submission;
                self.ids.remove(&(submitter.clone(), facts.message_id));
            }
            !gone
        });
    }

    /// The entries of a mailbox, in order.
    pub(super) fn next(&self, mailbox: &Mailbox, now_ms: u64) -> Vec<Entry> {
        let queued = self.envelopes.iter().filter(|(_, one)| {
            one.expires_ms() > now_ms && matches!(one.entries.get(mailbox), Some(State::Queued(_)))
        });
        let entry = |(sequence, one): (&Sequence, &Envelope)| Entry {
            sequence: *sequence,
            precedence: one.submission.facts.precedence,
            expires_ms: one.expires_ms(),
            bytes: one.submission.facts.ct_len(),
        };
        let mut entries: Vec<_> = queued.map(entry).collect();
        entries.sort_by(|one, other| {
            other.precedence.cmp(&one.precedence).then(one.sequence.cmp(&other.sequence))
        });
        entries
    }

    fn look(&self, look: &Look) -> Seen {
        let mut entries = self.next(&look.mailbox, look.now_ms);
        entries.retain(|entry| !look.skip.contains(&entry.sequence));
        let mut of_each = BTreeMap::new();
        entries.retain(|entry| {
            let count = of_each.entry(entry.precedence).or_insert(0);
            *count += 1;
            *count <= look.max
        });
        let mut seen = Seen {
            receipts_hold: true,
            leaf: self.leaves.get(&look.key).cloned(),
            bundle: self.bundles.get(&look.mailbox).cloned(),
            depth: self.depth(),
            outlook: self.outlook(),
            census: self.census(),
            ..Seen::default()
        };
        if let Some(envelope) = entries.first().and_then(|entry| self.envelopes.get(&entry.sequence)) {
            let parts = &envelope.submission.parts;
            seen.first = parts.first().and_then(|part| part.first()).cloned();
            seen.last_segment = parts.last().and_then(|part| part.last()).cloned();
            if let Some(State::Queued(wrap)) = envelope.entries.get(&look.mailbox) {
                seen.wrap = Some(wrap.clone());
            }
        }
        Seen { entries, ..seen }
    }
}

fn claim_of(submission: &Submission, hash: Hash, sequence: Sequence) -> Receipt {
    Receipt {
        kind: ReceiptKind::Relayed,
        message_id: submission.facts.message_id,
        header_hash: hash,
        sequence,
        time_ms: submission.now_ms,
        by: Speaker::Relay(relay()),
        mailbox: None,
        reason: None,
        operator_ref: None,
    }
}
