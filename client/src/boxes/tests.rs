//! Stories about the boxes of `fr`, which writes to `br`, `minustah` and `us`, and hears from them.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use valise_host::entropy::{OsEntropy, random};
use valise_host::keyfile::KeyFile;
use valise_host::rest::{RestKey, Sealer};
use valise_proto::header::{Header, Part, Recipient, SUITE_1, SignedHeader};
use valise_proto::kinds::{Addressing, Class, Precedence, Reason, ReceiptKind};
use valise_proto::limits as l;
use valise_proto::names::{DeviceName, Mailbox, MessageId, RelayId};
use valise_proto::receipt::{Receipt, SignedReceipt, Speaker};
use valise_proto::refusal::Refusal;
use valise_proto::signing::{Hash, SigningKey};
use valise_proto::wire;
use zeroize::Zeroizing;

use super::*;

mod came;
mod held;
mod ladder;
mod lost;
mod waits;

const NOW: u64 = 1_790_000_000_000;
const RELAY_SEED: u8 = 90;

/// A directory for one test, gone when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("valise-{name}-{:016x}", u64::from_le_bytes(random())));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn store(&self) -> PathBuf {
        self.0.join("boxes.db")
    }

    fn open(&self) -> Boxes {
        Boxes::open(&self.store(), &sealer(1)).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn sealer(byte: u8) -> Sealer {
    Sealer::new(&RestKey::new(&KeyFile::from_bytes([byte; 32])), Arc::new(OsEntropy))
}

fn mailbox(name: &str) -> Mailbox {
    Mailbox::new(name).unwrap()
}

fn id(byte: u8) -> MessageId {
    MessageId::new([byte; 16])
}

fn to(names: &[&str]) -> Vec<(Mailbox, Addressing)> {
    names.iter().map(|name| (mailbox(name), Addressing::Action)).collect()
}

fn none() -> BTreeSet<MessageId> {
    BTreeSet::new()
}

fn wrap(name: &str) -> (Mailbox, wire::KeyWrap) {
    let wrap = wire::KeyWrap {
        mailbox: name.to_owned(),
        prekey_id: vec![3; 16].into(),
        psk_id: Bytes::new(),
        enc: vec![4; l::XWING_ENC_BYTES].into(),
        ct: vec![5; l::WRAP_CT_BYTES].into(),
    };
    (mailbox(name), wrap)
}

/// A header as `author` would sign it, to these, with two segments of content.
fn header(
    author: &str,
    no: u8,
    recipients: Vec<Recipient>,
    precedence: Precedence,
) -> (SignedHeader, Header) {
    let key = SigningKey::from_seed(&[author.as_bytes()[0]; 32]);
    let facts = Header {
        suite: SUITE_1,
        message_id: id(no),
        sender: mailbox(author),
        sender_device: DeviceName::new("gw1").unwrap(),
        sender_key_id: key.verify_key().id(),
        created_ms: NOW,
        expires_ms: NOW + l::MESSAGE_LIFE_MS,
        class: Class::Message,
        precedence,
        roster_no: 1,
        recipients,
        parts: vec![Part { ct_len: l::SEGMENT_CT_BYTES as u64 + 272, ct_root: Hash([3; 32]) }],
        cek_commit: [4; 32],
        log: None,
        fanout_agent: None,
    };
    (facts.sign(&key), facts)
}

fn parts(no: u8) -> Vec<Vec<Bytes>> {
    vec![vec![Bytes::from(vec![no; l::SEGMENT_CT_BYTES]), Bytes::from(vec![no + 100; 272])]]
}

/// A message of `fr`, sealed for those in `keys`.
fn letter(
    no: u8,
    to: &[(Mailbox, Addressing)],
    seqs: &[u64],
    keys: &[&str],
    precedence: Precedence,
) -> NewMessage {
    let recipient = |((mailbox, addressing), seq): (&(Mailbox, Addressing), &u64)| Recipient {
        mailbox: mailbox.clone(),
        addressing: *addressing,
        pair_seq: *seq,
    };
    let mut recipients: Vec<_> = to.iter().zip(seqs).map(recipient).collect();
    recipients.sort_by(|a, b| a.mailbox.cmp(&b.mailbox));
    let (header, facts) = header("fr", no, recipients, precedence);
    NewMessage {
        header,
        facts,
        cek: Zeroizing::new([no; 32]),
        parts: parts(no),
        wraps: keys.iter().map(|name| wrap(name)).collect(),
        summary: Summary {
            subject: "Stolen vehicle".to_owned(),
            type_name: "text".to_owned(),
            body_bytes: 11,
            attachments: vec![FileNote {
                name: "plate.jpg".to_owned(),
                media_type: "image/jpeg".to_owned(),
                bytes: 7,
                sha256: [9; 32],
            }],
        },
        bytes_uploaded: 66_000,
        now_ms: NOW,
    }
}

/// `fr` queues message `no` to these, with keys for some.
fn queue(boxes: &mut Boxes, no: u8, names: &[&str], keys: &[&str]) -> Hash {
    queue_as(boxes, no, names, keys, Precedence::Routine)
}

fn queue_as(boxes: &mut Boxes, no: u8, names: &[&str], keys: &[&str], precedence: Precedence) -> Hash {
    let to = to(names);
    let mut hash = None;
    let queued = boxes
        .queue(&to, None, |seqs| {
            let letter = letter(no, &to, seqs, keys, precedence);
            hash = Some(letter.header.hash());
            Ok::<_, Infallible>(letter)
        })
        .unwrap();
    assert_eq!(queued.into_inner(), id(no));
    hash.unwrap()
}

/// A receipt of the relay about message `no`.
fn by_relay(kind: ReceiptKind, no: u8, header_hash: Hash, about: Option<&str>) -> (SignedReceipt, Receipt) {
    let receipt = Receipt {
        kind,
        message_id: id(no),
        header_hash,
        sequence: 40 + u64::from(no),
        time_ms: NOW + 1,
        by: Speaker::Relay(RelayId::new("hub-1").unwrap()),
        mailbox: about.map(mailbox),
        reason: kind.is_bad_end().then_some(Reason::NotPermittedOrUnknown),
        operator_ref: None,
    };
    (SignedReceipt::sign(&receipt, &SigningKey::from_seed(&[RELAY_SEED; 32])), receipt)
}

/// A receipt of a mailbox about message `no`.
fn by(name: &str, kind: ReceiptKind, no: u8, header_hash: Hash) -> (SignedReceipt, Receipt) {
    let receipt = Receipt {
        kind,
        message_id: id(no),
        header_hash,
        sequence: 40 + u64::from(no),
        time_ms: NOW + 2,
        by: Speaker::Mailbox(mailbox(name)),
        mailbox: Some(mailbox(name)),
        reason: kind.is_bad_end().then_some(Reason::Unopenable),
        operator_ref: None,
    };
    (signed(&receipt), receipt)
}

/// Signed by whoever it says, with a key made for the test.
fn signed(receipt: &Receipt) -> SignedReceipt {
    SignedReceipt::sign(receipt, &SigningKey::from_seed(&[receipt.by.to_string().as_bytes()[0]; 32]))
}

fn hear(boxes: &mut Boxes, said: &(SignedReceipt, Receipt)) -> Noted {
    boxes.statement_in(&said.0, &said.1).unwrap().into_inner()
}

fn relayed(boxes: &mut Boxes, no: u8, hash: Hash, about: Option<&str>) -> Noted {
    let (signed, receipt) = by_relay(ReceiptKind::Relayed, no, hash, about);
    boxes.relayed(&id(no), &signed, &receipt).unwrap().into_inner()
}

/// The words of a message's recipients, by mailbox.
fn words(boxes: &Boxes, no: u8) -> Vec<&'static str> {
    boxes.track(&id(no)).unwrap().unwrap().iter().map(|one| one.state.as_str()).collect()
}

/// An opened message from `author` to `fr`, with two files.
fn incoming(author: &str, no: u8, sequence: u64) -> Incoming {
    let recipient = Recipient { mailbox: mailbox("fr"), addressing: Addressing::Action, pair_seq: 1 };
    let (header, facts) = header(author, no, vec![recipient], Precedence::Flash);
    let file = |name: &str, bytes: Vec<u8>| NewFile {
        name: name.to_owned(),
        media_type: "application/pdf".to_owned(),
        sha256: Hash::of(&[&bytes]).0,
        data: bytes.into(),
    };
    let mut relayed = by_relay(ReceiptKind::Relayed, no, header.hash(), None).1;
    relayed.sequence = sequence;
    Incoming {
        sequence,
        delivered: stated(ReceiptKind::Delivered, &header, no, sequence),
        relayed: SignedReceipt::sign(&relayed, &SigningKey::from_seed(&[RELAY_SEED; 32])),
        mailbox: mailbox("fr"),
        content: Content {
            type_name: "text".to_owned(),
            subject: "Wanted person".to_owned(),
            body: (0..150_000u32).map(|at| at.to_le_bytes()[0]).collect(),
            lang: "fr".to_owned(),
            in_reply_to: String::new(),
            files: vec![file("minutes.pdf", vec![7; 70_000]), file("empty.txt", vec![])],
        },
        leaf: wire::SigningLeaf { leaf: vec![1; 500].into(), issuer: vec![2; 500].into() },
        clock_suspect: false,
        now_ms: NOW + 5,
        header,
        facts,
    }
}

/// What `fr` states about a message that came.
fn stated(kind: ReceiptKind, header: &SignedHeader, no: u8, sequence: u64) -> SignedReceipt {
    let mut receipt = by("fr", kind, no, header.hash()).1;
    receipt.sequence = sequence;
    receipt.operator_ref = (kind == ReceiptKind::Acknowledged).then_some([6; 16]);
    signed(&receipt)
}

/// Ids of the statements that wait.
fn waiting(boxes: &Boxes) -> Vec<[u8; 16]> {
    boxes.statements(100, &BTreeSet::new()).unwrap().iter().map(SignedReceipt::id).collect()
}

fn files_of(store: &Path) -> Vec<PathBuf> {
    let dir = std::fs::read_dir(store.parent().unwrap()).unwrap();
    let mut files: Vec<_> = dir.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
