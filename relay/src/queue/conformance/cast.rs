//! Who appears in the stories: `fr` writes, `br` and `minustah` receive, `hub-1` relays. All keys are fixed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use valise_proto::bundle::{Bundle, Epoch, SignedBundle};
use valise_proto::header::{Header, Part, Recipient, SUITE_1};
use valise_proto::kinds::{Addressing, Class, Precedence, Reason, ReceiptKind};
use valise_proto::limits::{DAY_MS, EPOCH_MS, SEGMENT_CT_BYTES, XWING_PUBLIC_BYTES};
use valise_proto::merkle::RootBuilder;
use valise_proto::names::{DeviceId, DeviceName, Mailbox, MessageId, PartyName, RelayId};
use valise_proto::receipt::{Receipt, SignedReceipt, Speaker};
use valise_proto::signing::{SigningKey, VerifyKey};
use valise_proto::wire;

use crate::queue::{Entry, LateWraps, Placed, Queue, Quotas, Sequence, Stamp, Submission};

/// The hour of the stories, Unix milliseconds.
pub(crate) const NOW: u64 = 1_790_000_000_000;
/// When their messages expire, unless said otherwise.
pub(crate) const EXPIRES: u64 = NOW + DAY_MS;

/// The voice of `hub-1`; counts how often it signed.
pub(crate) struct HubStamp {
    relay: RelayId,
    key: SigningKey,
    signatures: AtomicUsize,
}

impl HubStamp {
    pub(crate) fn signatures(&self) -> usize {
        self.signatures.load(Ordering::Relaxed)
    }
}

impl Stamp for HubStamp {
    fn relay(&self) -> &RelayId {
        &self.relay
    }

    fn sign_all(&self, receipts: &[Receipt]) -> Vec<SignedReceipt> {
        self.signatures.fetch_add(1, Ordering::Relaxed);
        SignedReceipt::sign_all(receipts, &self.key)
    }
}

pub(crate) fn stamp() -> Arc<HubStamp> {
    let relay = RelayId::new("hub-1").unwrap();
    Arc::new(HubStamp { relay, key: key("hub-1"), signatures: AtomicUsize::new(0) })
}

/// The signing key of a name.
fn key(name: &str) -> SigningKey {
    let mut seed = [0; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    SigningKey::from_seed(&seed)
}

/// The key that proves what `hub-1` says.
pub(crate) fn hub_key() -> VerifyKey {
    key("hub-1").verify_key()
}

pub(crate) fn mailbox(name: &str) -> Mailbox {
    Mailbox::new(name).unwrap()
}

pub(crate) fn device(party: &str, device: &str) -> DeviceId {
    DeviceId { party: PartyName::new(party).unwrap(), device: DeviceName::new(device).unwrap() }
}

/// The device that writes.
pub(crate) fn fr() -> DeviceId {
    device("fr", "gw1")
}

/// The papers of the device that writes.
pub(crate) fn fr_leaf() -> wire::SigningLeaf {
    wire::SigningLeaf { leaf: Bytes::from_static(b"leaf of fr/gw1"), issuer: Bytes::from_static(b"ca of fr") }
}

/// Nothing to skip.
pub(crate) fn none<T: Ord>() -> BTreeSet<T> {
    BTreeSet::new()
}

/// A message of `fr`, routine, to `br`, whose key is known; each story changes what it is about.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) id: u8,
    pub(crate) from: DeviceId,
    /// Recipients, and whether their wraps come along.
    pub(crate) to: Vec<(&'static str, bool)>,
    pub(crate) precedence: Precedence,
    pub(crate) expires_ms: u64,
    pub(crate) parts: Vec<Vec<Bytes>>,
    pub(crate) quotas: Quotas,
    pub(crate) now_ms: u64,
}

pub(crate) fn message(id: u8) -> Message {
    Message {
        id,
        from: fr(),
        to: vec![("br", true)],
        precedence: Precedence::Routine,
        expires_ms: EXPIRES,
        parts: vec![vec![Bytes::from(vec![id; 272])]],
        quotas: Quotas::NONE,
        now_ms: NOW,
    }
}

/// Ciphertext of so many segments, each with bytes of its own.
pub(crate) fn segments(full: usize, last: usize) -> Vec<Bytes> {
    let mut segments: Vec<_> =
        (0..full).map(|at| Bytes::from(vec![u8::try_from(at).unwrap(); SEGMENT_CT_BYTES])).collect();
    segments.push(Bytes::from(vec![0xee; last]));
    segments
}

/// A wrap that tells which story and which mailbox it is of.
pub(crate) fn wrap(name: &str, version: u8) -> (Mailbox, wire::KeyWrap) {
    let wrap = wire::KeyWrap {
        mailbox: name.to_owned(),
        prekey_id: vec![version; 16].into(),
        psk_id: Bytes::new(),
        enc: vec![version; 1120].into(),
        ct: vec![version; 49].into(),
    };
    (mailbox(name), wrap)
}

impl Message {
    pub(crate) fn message_id(&self) -> MessageId {
        MessageId::new([self.id; 16])
    }

    pub(crate) fn submission(&self) -> Submission {
        let mut to: Vec<_> = self.to.iter().map(|(name, _)| *name).collect();
        to.sort_unstable();
        let recipient =
            |name| Recipient { mailbox: mailbox(name), addressing: Addressing::Action, pair_seq: 1 };
        let part = |segments: &Vec<Bytes>| {
            let mut root = RootBuilder::new();
            segments.iter().for_each(|segment| root.push(segment));
            Part { ct_len: segments.iter().map(|s| s.len() as u64).sum(), ct_root: root.root() }
        };
        let key = key(&self.from.to_string());
        let facts = Header {
            suite: SUITE_1,
            message_id: self.message_id(),
            sender: Mailbox::from(&self.from.party),
            sender_device: self.from.device.clone(),
            sender_key_id: key.verify_key().id(),
            created_ms: self.expires_ms - DAY_MS,
            expires_ms: self.expires_ms,
            class: Class::Message,
            precedence: self.precedence,
            roster_no: 1,
            recipients: to.into_iter().map(recipient).collect(),
            parts: self.parts.iter().map(part).collect(),
            cek_commit: [4; 32],
            log: None,
            fanout_agent: None,
        };
        Submission {
            header: facts.sign(&key),
            facts,
            submitter: self.from.clone(),
            recipients: self.to.iter().map(|(name, _)| mailbox(name)).collect(),
            wraps: self.to.iter().filter(|(_, known)| *known).map(|(name, _)| wrap(name, 1)).collect(),
            parts: self.parts.clone(),
            quotas: self.quotas,
            now_ms: self.now_ms,
        }
    }

    /// Submits it, with its author's papers; its number.
    pub(crate) async fn place(&self, queue: &impl Queue) -> Sequence {
        queue.keep_leaf(key(&self.from.to_string()).verify_key().id(), fr_leaf()).await.unwrap();
        match queue.enqueue(self.submission()).await.unwrap() {
            Placed::Stored { sequence, fresh: true, .. } => sequence,
            other => panic!("message {} is not new: {other:?}", self.id),
        }
    }

    /// Wraps that follow it.
    pub(crate) fn late(&self, wraps: Vec<(Mailbox, wire::KeyWrap)>) -> LateWraps {
        LateWraps { message_id: self.message_id(), submitter: self.from.clone(), wraps, now_ms: NOW + 5000 }
    }

    /// What a mailbox states about it.
    pub(crate) fn statement(&self, sequence: Sequence, by: &str, kind: ReceiptKind) -> Receipt {
        Receipt {
            kind,
            message_id: self.message_id(),
            header_hash: self.submission().header.hash(),
            sequence,
            time_ms: NOW + 1000,
            by: Speaker::Mailbox(mailbox(by)),
            mailbox: Some(mailbox(by)),
            reason: kind.is_bad_end().then_some(Reason::Unopenable),
            operator_ref: None,
        }
    }

    /// The same under the mailbox's signature.
    pub(crate) fn stated(&self, sequence: Sequence, by: &str, kind: ReceiptKind) -> SignedReceipt {
        signed(&self.statement(sequence, by, kind))
    }
}

/// Any statement, signed by its speaker.
pub(crate) fn signed(receipt: &Receipt) -> SignedReceipt {
    SignedReceipt::sign(receipt, &key(&receipt.by.to_string()))
}

/// The numbers that a mailbox would be handed now.
pub(crate) async fn next(queue: &impl Queue, name: &str) -> Vec<Sequence> {
    let entries = queue.next(mailbox(name), none(), 100, NOW).await.unwrap();
    entries.iter().map(|entry: &Entry| entry.sequence).collect()
}

/// The receipts that wait for a device.
pub(crate) async fn mail(queue: &impl Queue, device: DeviceId) -> Vec<SignedReceipt> {
    queue.receipts(device, none(), 100).await.unwrap()
}

/// A bundle of a mailbox.
pub(crate) fn bundle(name: &str, batch_no: u64) -> SignedBundle {
    let filled = u8::try_from(batch_no).unwrap();
    let epoch = Epoch {
        no: 1,
        not_before_ms: NOW,
        not_after_ms: NOW + EPOCH_MS,
        xwing: Box::new([filled; XWING_PUBLIC_BYTES]),
        x25519: [filled; 32],
    };
    let bundle = Bundle {
        mailbox: mailbox(name),
        batch_no,
        prev: None,
        epochs: vec![epoch],
        drain_hours: 48,
        max_ttl_days: 30,
        devices: Vec::new(),
    };
    SignedBundle::sign(&bundle, &key(name), Bytes::from_static(b"leaf"), Bytes::from_static(b"ca"))
}
