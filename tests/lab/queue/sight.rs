//! Everything that a queue shows, and what of it is not as it should be: lost, back again, or other than it was.
//!
//! Taken through the reading verbs alone. Knows no backend.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};

use bytes::Bytes;
use valise_proto::bundle::SignedBundle;
use valise_proto::names::{DeviceId, Mailbox};
use valise_proto::signing::KeyId;
use valise_proto::wire;
use valise_relay::queue::{Census, Depth, Entry, Outlook, Queue, QueueError, Sequence};

use super::ask::{ALL, Proof, census};
use super::at_once;
use super::cast::{MAILBOXES, WRITERS};
use super::world::{Kept, State, World};

/// An envelope for one mailbox, its segments aside.
#[derive(Clone, Debug, PartialEq)]
struct Parcel {
    header: Bytes,
    /// Whether what the queue says of the header is what stands in it.
    facts_hold: bool,
    relayed: Proof,
    wrap: wire::KeyWrap,
    first: Bytes,
}

/// All that a queue shows.
#[derive(Clone, Debug)]
pub struct Sight {
    entries: BTreeMap<(Mailbox, Sequence), Entry>,
    order: BTreeMap<Mailbox, Vec<Sequence>>,
    parcels: BTreeMap<(Sequence, Mailbox), Parcel>,
    segments: BTreeMap<(Sequence, u32, u32), Bytes>,
    mail: BTreeMap<DeviceId, Vec<Kept>>,
    leaves: BTreeMap<KeyId, wire::SigningLeaf>,
    bundles: BTreeMap<Mailbox, (u64, SignedBundle)>,
    depth: Depth,
    outlook: Outlook,
    census: Census,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// What was acknowledged is not there.
    Lost,
    /// What ended, or never was, is there.
    Back,
    /// It is there and is other than it was.
    Changed,
    /// The store cannot be opened or read.
    Unreadable,
    /// An answer that the contract does not allow.
    Answer,
    /// A nonce was used twice.
    Nonce,
    /// The program broke off.
    Panic,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its kind.
    pub wrong: Wrong,
    /// What exactly.
    pub what: String,
}

impl Finding {
    /// Of this kind.
    pub fn new(wrong: Wrong, what: impl Into<String>) -> Self {
        Self { wrong, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.wrong, self.what)
    }
}

impl Sight {
    /// Takes in all of a queue.
    ///
    /// # Errors
    /// It did not answer.
    pub fn take(queue: &impl Queue) -> Result<Self, QueueError> {
        let depth = at_once(queue.depth())?;
        let mut sight = Self {
            entries: BTreeMap::new(),
            order: BTreeMap::new(),
            parcels: BTreeMap::new(),
            segments: BTreeMap::new(),
            mail: BTreeMap::new(),
            leaves: BTreeMap::new(),
            bundles: BTreeMap::new(),
            depth,
            outlook: at_once(queue.outlook())?,
            census: census(queue)?,
        };
        for mailbox in MAILBOXES.iter().map(|one| &one.name) {
            let entries = at_once(queue.next(mailbox.clone(), BTreeSet::new(), ALL, 0))?;
            sight.order.insert(mailbox.clone(), entries.iter().map(|entry| entry.sequence).collect());
            let keyed = entries.into_iter().map(|entry| ((mailbox.clone(), entry.sequence), entry));
            sight.entries.extend(keyed);
            if let Some(bundle) = at_once(queue.bundle(mailbox.clone()))? {
                sight.bundles.insert(mailbox.clone(), bundle);
            }
        }
        for writer in WRITERS.iter() {
            let receipts = at_once(queue.receipts(writer.id.clone(), BTreeSet::new(), ALL))?;
            let kept = receipts.into_iter().map(|one| Ok(Kept { proof: Proof::seen(one)?, batch: 0 }));
            sight.mail.insert(writer.id.clone(), kept.collect::<Result<_, QueueError>>()?);
            if let Some(leaf) = at_once(queue.leaf(writer.key_id))? {
                sight.leaves.insert(writer.key_id, leaf);
            }
        }
        for sequence in 1..=depth.sequence {
            sight.take_envelope(queue, sequence)?;
        }
        Ok(sight)
    }

    fn take_envelope(&mut self, queue: &impl Queue, sequence: Sequence) -> Result<(), QueueError> {
        for mailbox in MAILBOXES.iter().map(|one| &one.name) {
            let Some(outgoing) = at_once(queue.outgoing(sequence, mailbox.clone()))? else { continue };
            let parcel = Parcel {
                facts_hold: outgoing.header.read().is_ok_and(|facts| facts == outgoing.facts),
                header: [outgoing.header.bytes(), &outgoing.header.signature()[..]].concat().into(),
                relayed: Proof::seen(outgoing.relayed)?,
                wrap: outgoing.wrap,
                first: outgoing.first,
            };
            self.parcels.insert((sequence, mailbox.clone()), parcel);
        }
        for part in 0.. {
            let mut index = 0;
            while let Some(segment) = at_once(queue.segment(sequence, part, index))? {
                self.segments.insert((sequence, part, index), segment);
                index += 1;
            }
            if index == 0 {
                break;
            }
        }
        Ok(())
    }

    /// How much is held.
    pub fn depth(&self) -> Depth {
        self.depth
    }

    /// What is not as it should be in this world, if anything: the first of it. Doubts of the world end here.
    pub fn judge(&self, world: &mut World) -> Option<Finding> {
        let claims: BTreeSet<_> =
            self.mail.values().flatten().map(|kept| kept.proof.claim.encode()).collect();
        world.settle_doubts(|claim| claims.contains(&claim.encode()));
        self.differs(&world.sight())
    }

    /// What is not as it should be, if anything: the first of it.
    pub fn differs(&self, expected: &Self) -> Option<Finding> {
        self.mail_differs(expected)
            .or_else(|| differ("entry", &expected.entries, &self.entries))
            .or_else(|| differ("envelope", &expected.parcels, &self.parcels))
            .or_else(|| differ("segment", &expected.segments, &self.segments))
            .or_else(|| differ("order", &expected.order, &self.order))
            .or_else(|| differ("certificate", &expected.leaves, &self.leaves))
            .or_else(|| differ("bundle", &expected.bundles, &self.bundles))
            .or_else(|| self.numbers_differ(expected))
    }

    /// Receipts of one batch may come in any order.
    fn mail_differs(&self, expected: &Self) -> Option<Finding> {
        for (device, mail) in &expected.mail {
            let seen = self.mail.get(device).map_or(&[][..], Vec::as_slice);
            let by_claim = |mail: &[Kept]| -> BTreeMap<Bytes, Proof> {
                mail.iter().map(|kept| (kept.proof.claim.encode(), kept.proof.clone())).collect()
            };
            let (had, has) = (by_claim(mail), by_claim(seen));
            if let Some(claim) = has.values().find(|one| !had.contains_key(&one.claim.encode())) {
                return Some(Finding::new(Wrong::Back, format!("receipt for {device}: {:?}", claim.claim)));
            }
            if let Some(claim) = had.values().find(|one| !has.contains_key(&one.claim.encode())) {
                return Some(Finding::new(Wrong::Lost, format!("receipt for {device}: {:?}", claim.claim)));
            }
            if seen.len() != mail.len() {
                return Some(Finding::new(Wrong::Back, format!("a receipt for {device} is there twice")));
            }
            if let Some((claim, _)) = had.iter().find(|(claim, proof)| has.get(*claim) != Some(proof)) {
                let claim = &had[claim].claim;
                return Some(Finding::new(Wrong::Changed, format!("receipt for {device}: {claim:?}")));
            }
            let mut from = 0;
            while from < mail.len() {
                let batch = mail[from..].iter().take_while(|kept| kept.batch == mail[from].batch).count();
                let (group, there) =
                    (by_claim(&mail[from..from + batch]), by_claim(&seen[from..from + batch]));
                if group.keys().ne(there.keys()) {
                    return Some(Finding::new(Wrong::Changed, format!("order of receipts for {device}")));
                }
                from += batch;
            }
        }
        None
    }

    fn numbers_differ(&self, expected: &Self) -> Option<Finding> {
        let Depth { entries, receipts, sequence } = expected.depth;
        if self.depth.sequence < sequence {
            let what =
                format!("numbers up to {sequence} were given, up to {} are known", self.depth.sequence);
            return Some(Finding::new(Wrong::Lost, what));
        }
        let counts = (self.depth.entries, self.depth.receipts);
        if counts != (entries, receipts) {
            return Some(Finding::new(Wrong::Changed, format!("counts {counts:?} of {:?}", expected.depth)));
        }
        if self.census != expected.census {
            let what = format!("{:?} instead of {:?}", self.census, expected.census);
            return Some(Finding::new(Wrong::Changed, what));
        }
        let (expected, seen) = (expected.outlook, self.outlook);
        (seen != expected).then(|| Finding::new(Wrong::Changed, format!("{seen:?} instead of {expected:?}")))
    }
}

fn differ<K: Ord + Debug, V: PartialEq + Debug>(
    what: &str,
    expected: &BTreeMap<K, V>,
    seen: &BTreeMap<K, V>,
) -> Option<Finding> {
    if let Some(key) = expected.keys().find(|key| !seen.contains_key(*key)) {
        return Some(Finding::new(Wrong::Lost, format!("{what} {key:?}")));
    }
    if let Some(key) = seen.keys().find(|key| !expected.contains_key(*key)) {
        return Some(Finding::new(Wrong::Back, format!("{what} {key:?}")));
    }
    let (key, value) = expected.iter().find(|(key, value)| seen.get(*key) != Some(*value))?;
    let [value, instead] = [format!("{value:?}"), format!("{:?}", seen.get(key))]
        .map(|text| text.chars().take(600).collect::<String>());
    Some(Finding::new(Wrong::Changed, format!("{what} {key:?}: {instead} instead of {value}")))
}

impl World {
    /// What a queue that holds this shows.
    pub fn sight(&self) -> Sight {
        let mut sight = Sight {
            entries: BTreeMap::new(),
            order: BTreeMap::new(),
            parcels: BTreeMap::new(),
            segments: BTreeMap::new(),
            mail: self.mail.clone(),
            leaves: self.leaves.clone(),
            bundles: self.bundles.clone(),
            depth: self.depth(),
            outlook: self.outlook(),
            census: self.census(),
        };
        for mailbox in MAILBOXES.iter().map(|one| &one.name) {
            let entries = self.next(mailbox, 0);
            sight.order.insert(mailbox.clone(), entries.iter().map(|entry| entry.sequence).collect());
            let keyed = entries.into_iter().map(|entry| ((mailbox.clone(), entry.sequence), entry));
            sight.entries.extend(keyed);
        }
        for (sequence, envelope) in self.envelopes.iter().filter(|(_, one)| one.open() > 0) {
            let submission = &envelope.submission;
            let header = &submission.header;
            let header: Bytes = [header.bytes(), &header.signature()[..]].concat().into();
            let first = submission.parts.first().and_then(|part| part.first());
            for (mailbox, state) in &envelope.entries {
                let (State::Queued(wrap), Some(first)) = (state, first) else { continue };
                let parcel = Parcel {
                    header: header.clone(),
                    facts_hold: true,
                    relayed: envelope.relayed.clone(),
                    wrap: wrap.clone(),
                    first: first.clone(),
                };
                sight.parcels.insert((*sequence, mailbox.clone()), parcel);
            }
            for (part, segments) in (0..).zip(&submission.parts) {
                for (index, segment) in (0..).zip(segments) {
                    sight.segments.insert((*sequence, part, index), segment.clone());
                }
            }
        }
        sight
    }

    /// Takes over what a queue that was found to hold this has chosen by itself: the bytes of receipts that nobody
    /// had seen, and numbers that it passed over.
    pub fn adopt(&mut self, sight: &Sight) {
        self.highest = self.highest.max(sight.depth.sequence);
        for ((sequence, _), parcel) in &sight.parcels {
            if let Some(envelope) = self.envelopes.get_mut(sequence) {
                envelope.relayed.signed.clone_from(&parcel.relayed.signed);
            }
        }
        for (device, mail) in &mut self.mail {
            let seen = sight.mail.get(device).map_or(&[][..], Vec::as_slice);
            for (kept, seen) in mail.iter_mut().zip(seen) {
                kept.proof.clone_from(&seen.proof);
            }
        }
    }
}
