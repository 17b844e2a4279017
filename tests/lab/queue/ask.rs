//! One operation put to a queue, and its answer in a form that two queues can be compared by.
//!
//! An operation is made concrete by what the reference knows: numbers, receipts. Judges nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use valise_proto::bundle::SignedBundle;
use valise_proto::kinds::{Reason, ReceiptKind};
use valise_proto::names::{DeviceId, Mailbox, MessageId};
use valise_proto::receipt::{Receipt, SignedReceipt, Speaker};
use valise_proto::signing::{Hash, KeyId};
use valise_proto::wire;
use valise_relay::queue::{
    Census, Depth, Entry, LateWraps, Noted, Outlook, Over, Placed, Queue, QueueError, Sequence, Submission,
    Wrapped,
};

use super::at_once;
use super::cast::{MAILBOXES, WRITERS, bundle, leaf, signed};
use super::script::{Op, Script, Twist};
use super::world::World;

/// More than any script has of anything.
pub const ALL: usize = 100_000;

/// An operation with all that it needs.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is a verb of `Queue` with its arguments")]
pub enum Ask {
    Enqueue(Arc<Submission>),
    AddWraps(LateWraps),
    Note(Sequence, Mailbox, SignedReceipt),
    Expire(u64),
    Sweep(u64, usize),
    Forget(DeviceId, Vec<[u8; 16]>),
    KeepLeaf(KeyId, wire::SigningLeaf),
    KeepBundle(Mailbox, u64, SignedBundle),
    Look(Look),
}

/// What is read in one go.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "arguments of the reading verbs")]
pub struct Look {
    pub mailbox: Mailbox,
    pub device: DeviceId,
    pub key: KeyId,
    pub skip: BTreeSet<Sequence>,
    pub max: usize,
    pub now_ms: u64,
}

/// A receipt: what it claims and, where that is known, its very bytes.
#[derive(Clone, Debug)]
pub struct Proof {
    /// What it says.
    pub claim: Receipt,
    /// Under its signature; none while nobody has seen it.
    pub signed: Option<SignedReceipt>,
}

impl Proof {
    /// Of a receipt that was seen. One that cannot be read claims nothing: the error is what is wrong with it.
    ///
    /// # Errors
    /// It does not read.
    pub fn seen(signed: SignedReceipt) -> Result<Self, QueueError> {
        let claim = signed.claim().map_err(|_| QueueError::Damaged("a receipt does not read".to_owned()))?;
        Ok(Self { claim, signed: Some(signed) })
    }
}

/// The same claim, and the same bytes where both are known.
impl PartialEq for Proof {
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.signed, &other.signed) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        same && self.claim == other.claim
    }
}

/// An answer. What has no order by contract is sorted.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named as in the answers of `Queue`")]
pub enum Answer {
    Stored { sequence: Sequence, relayed: Box<Proof>, fresh: bool, denied: BTreeSet<Mailbox> },
    IdReused,
    Over(Over),
    Wrapped { sequence: Sequence, relayed: Vec<Proof>, mailboxes: BTreeSet<Mailbox> },
    NoSuchMessage,
    Noted(Noted),
    Ended { authors: BTreeSet<DeviceId>, entries: usize },
    Done,
    Batch(u64),
    Seen(Box<Seen>),
}

impl Answer {
    /// What it says, whoever signed it how: two backends share signatures out in their own ways.
    #[must_use]
    pub fn claims(mut self) -> Self {
        match &mut self {
            Self::Stored { relayed, .. } => relayed.signed = None,
            Self::Wrapped { relayed, .. } => relayed.iter_mut().for_each(|proof| proof.signed = None),
            _ => {}
        }
        self
    }
}

/// What a [`Look`] showed.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the answers of the reading verbs")]
pub struct Seen {
    pub entries: Vec<Entry>,
    pub first: Option<Bytes>,
    pub wrap: Option<wire::KeyWrap>,
    pub last_segment: Option<Bytes>,
    /// Whether fewer receipts, without some, are those of all receipts in the same order.
    pub receipts_hold: bool,
    pub leaf: Option<wire::SigningLeaf>,
    pub bundle: Option<(u64, SignedBundle)>,
    pub depth: Depth,
    pub outlook: Outlook,
    pub census: Census,
}

impl Ask {
    /// An operation made concrete by what is held; none when it is none of a queue's verbs.
    pub fn of(script: &Script, op: &Op, world: &World) -> Option<Self> {
        Some(match op {
            Op::Submit { letter } => Self::Enqueue(Arc::clone(&script.submissions[*letter])),
            Op::Again { letter, wraps, at_ms } => {
                let mut submission = Submission::clone(&script.submissions[*letter]);
                let letter = &script.letters[*letter];
                submission.wraps = wraps.iter().map(|(of, version)| letter.wrap(*of, *version)).collect();
                submission.now_ms = *at_ms;
                Self::Enqueue(Arc::new(submission))
            }
            Op::Reuse { letter } => Self::Enqueue(Arc::new(script.letters[*letter].submission(1))),
            Op::Wraps { letter, wraps, writer, at_ms } => {
                let letter = &script.letters[*letter];
                Self::AddWraps(LateWraps {
                    message_id: letter.message_id(),
                    submitter: WRITERS[*writer].id.clone(),
                    wraps: wraps.iter().map(|(of, version)| letter.wrap(*of, *version)).collect(),
                    now_ms: *at_ms,
                })
            }
            Op::Note { letter, by, kind, twist, at_ms } => {
                let submission = &script.submissions[*letter];
                let number = world.number(&submission.submitter, &submission.facts.message_id);
                let sequence = number.unwrap_or(1_000_000);
                let (receipt, speaker) = statement(submission, sequence, *by, *kind, *twist, *at_ms);
                Self::Note(sequence, MAILBOXES[*by].name.clone(), signed(&receipt, speaker))
            }
            Op::Expire { at_ms } => Self::Expire(*at_ms),
            Op::Sweep { at_ms, max } => Self::Sweep(*at_ms, *max),
            Op::Forget { writer, first, step } => {
                let device = WRITERS[*writer].id.clone();
                let ids = world.waiting_for(&device);
                Self::Forget(device, ids.into_iter().skip(*first).step_by(*step).collect())
            }
            Op::Leaf { writer, version } => Self::KeepLeaf(WRITERS[*writer].key_id, leaf(*writer, *version)),
            Op::Bundle { mailbox, batch_no } => {
                let name = MAILBOXES[*mailbox].name.clone();
                Self::KeepBundle(name, *batch_no, bundle(*mailbox, *batch_no))
            }
            Op::Look { mailbox, writer, max, at_ms } => {
                let name = MAILBOXES[*mailbox].name.clone();
                let skip = world.next(&name, 0).iter().map(|entry| entry.sequence).step_by(3).collect();
                let (device, key) = (WRITERS[*writer].id.clone(), WRITERS[*writer].key_id);
                Self::Look(Look { mailbox: name, device, key, skip, max: *max, now_ms: *at_ms })
            }
            Op::Reopen => return None,
        })
    }

    /// Whether it changes nothing.
    pub fn reads(&self) -> bool {
        matches!(self, Self::Look(_))
    }
}

/// A statement, and the mailbox that signs it.
fn statement(
    about: &Submission,
    sequence: Sequence,
    by: usize,
    kind: ReceiptKind,
    twist: Twist,
    time_ms: u64,
) -> (Receipt, usize) {
    let speaker = if twist == Twist::Speaker { (by + 1) % MAILBOXES.len() } else { by };
    let name = &MAILBOXES[speaker].name;
    let mut receipt = Receipt {
        kind,
        message_id: about.facts.message_id,
        header_hash: about.header.hash(),
        sequence,
        time_ms,
        by: Speaker::Mailbox(name.clone()),
        mailbox: Some(name.clone()),
        reason: match kind {
            ReceiptKind::Refused => Some(Reason::NotForUs),
            ReceiptKind::Unopenable => Some(Reason::Unopenable),
            _ => None,
        },
        operator_ref: None,
    };
    match twist {
        Twist::None | Twist::Speaker => {}
        Twist::Header => receipt.header_hash = Hash([0; 32]),
        Twist::Message => receipt.message_id = MessageId::new([0; 16]),
        Twist::Number => receipt.sequence += 1,
    }
    (receipt, speaker)
}

/// Puts an operation to a queue that answers at once.
///
/// # Errors
/// As the queue's.
pub fn put(queue: &impl Queue, ask: &Ask) -> Result<Answer, QueueError> {
    Ok(match ask.clone() {
        Ask::Enqueue(submission) => match at_once(queue.enqueue(Submission::clone(&submission)))? {
            Placed::Stored { sequence, relayed, fresh, denied } => Answer::Stored {
                sequence,
                relayed: Box::new(Proof::seen(relayed)?),
                fresh,
                denied: denied.into_iter().collect(),
            },
            Placed::IdReused => Answer::IdReused,
            Placed::Over(over) => Answer::Over(over),
        },
        Ask::AddWraps(wraps) => match at_once(queue.add_wraps(wraps))? {
            Wrapped::Stored { sequence, relayed, mailboxes } => {
                let relayed = relayed.into_iter().map(Proof::seen);
                let mut relayed = relayed.collect::<Result<Vec<_>, _>>()?;
                relayed.sort_by(|one, other| one.claim.mailbox.cmp(&other.claim.mailbox));
                Answer::Wrapped { sequence, relayed, mailboxes: mailboxes.into_iter().collect() }
            }
            Wrapped::NoSuchMessage => Answer::NoSuchMessage,
        },
        Ask::Note(sequence, mailbox, receipt) => {
            Answer::Noted(at_once(queue.note(sequence, mailbox, receipt))?)
        }
        Ask::Expire(now_ms) => expire(queue, now_ms, ALL)?,
        Ask::Sweep(now_ms, max) => sweep(queue, now_ms, max)?,
        Ask::Forget(device, ids) => {
            at_once(queue.forget(device, ids))?;
            Answer::Done
        }
        Ask::KeepLeaf(key, leaf) => {
            at_once(queue.keep_leaf(key, leaf))?;
            Answer::Done
        }
        Ask::KeepBundle(mailbox, batch_no, bundle) => {
            Answer::Batch(at_once(queue.keep_bundle(mailbox, batch_no, bundle))?)
        }
        Ask::Look(look) => Answer::Seen(look_at(queue, look)?.into()),
    })
}

fn expire(queue: &impl Queue, now_ms: u64, max: usize) -> Result<Answer, QueueError> {
    let ended = at_once(queue.expire(now_ms, max))?;
    Ok(Answer::Ended { authors: ended.authors.into_iter().collect(), entries: ended.entries })
}

/// A few at a time until nothing is left to end; then forgets what may be forgotten.
fn sweep(queue: &impl Queue, now_ms: u64, max: usize) -> Result<Answer, QueueError> {
    let (mut all, mut entries) = (BTreeSet::new(), 0);
    loop {
        let ended = at_once(queue.expire(now_ms, max))?;
        if ended.entries > max {
            return Err(QueueError::Damaged(format!("{} entries were ended, not {max}", ended.entries)));
        }
        all.extend(ended.authors);
        entries += ended.entries;
        if ended.entries < max {
            break;
        }
    }
    (0..2).try_for_each(|_| expire(queue, now_ms, ALL).map(|_| ()))?;
    Ok(Answer::Ended { authors: all, entries })
}

fn look_at(queue: &impl Queue, look: Look) -> Result<Seen, QueueError> {
    let Look { mailbox, device, key, skip, max, now_ms } = look;
    let entries = at_once(queue.next(mailbox.clone(), skip, max, now_ms))?;
    let (mut first, mut wrap, mut last_segment) = (None, None, None);
    if let Some(entry) = entries.first() {
        let outgoing = at_once(queue.outgoing(entry.sequence, mailbox.clone()))?;
        if let Some(outgoing) = outgoing {
            let part = outgoing.facts.parts.len().saturating_sub(1);
            let index = outgoing.facts.parts.last().map_or(0, |part| part.segments().saturating_sub(1));
            let place = (u32::try_from(part).unwrap_or(0), u32::try_from(index).unwrap_or(0));
            last_segment = at_once(queue.segment(entry.sequence, place.0, place.1))?;
            (first, wrap) = (Some(outgoing.first), Some(outgoing.wrap));
        }
    }
    let all = at_once(queue.receipts(device.clone(), BTreeSet::new(), ALL))?;
    let known: BTreeSet<_> = all.iter().step_by(2).map(SignedReceipt::id).collect();
    let some = at_once(queue.receipts(device, known.clone(), max))?;
    let expected = all.into_iter().filter(|receipt| !known.contains(&receipt.id())).take(max);
    Ok(Seen {
        entries,
        first,
        wrap,
        last_segment,
        receipts_hold: expected.eq(some),
        leaf: at_once(queue.leaf(key))?,
        bundle: at_once(queue.bundle(mailbox))?,
        depth: at_once(queue.depth())?,
        outlook: at_once(queue.outlook())?,
        census: census(queue)?,
    })
}

/// What waits, counted; mailboxes by name. The fullest alone must be one of the fullest.
///
/// # Errors
/// As the queue's.
pub fn census(queue: &impl Queue) -> Result<Census, QueueError> {
    let mut all = at_once(queue.census(ALL))?;
    let fullest = at_once(queue.census(1))?.mailboxes;
    let most = all.mailboxes.iter().map(|one| (one.held.entries, one.held.bytes)).max();
    if fullest.first().map(|one| (one.held.entries, one.held.bytes)) != most {
        return Err(QueueError::Damaged(format!("{fullest:?} is not the fullest of {all:?}")));
    }
    all.mailboxes.sort_by(|one, other| one.mailbox.cmp(&other.mailbox));
    Ok(all)
}
