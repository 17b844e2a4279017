//! Who appears: devices that write, mailboxes that receive, `hub-1` that relays. All keys are fixed; what they write
//! tells whose and which it is, so that nothing can be taken for anything else.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use valise_host::clock::ManualClock;
use valise_host::entropy::SeededEntropy;
use valise_host::executor::Seats;
use valise_host::files::Files;
use valise_host::keyfile::KeyFile;
use valise_host::machine::Machine;
use valise_host::rest::RestKey;
use valise_proto::bundle::{Bundle, Epoch, SignedBundle};
use valise_proto::header::{Header, Part, Recipient, SUITE_1};
use valise_proto::kinds::{Addressing, Class, Precedence};
use valise_proto::limits::{EPOCH_MS, SEGMENT_CT_BYTES, XWING_PUBLIC_BYTES};
use valise_proto::merkle::RootBuilder;
use valise_proto::names::{DeviceId, DeviceName, Mailbox, MessageId, PartyName, RelayId};
use valise_proto::receipt::{Receipt, SignedReceipt};
use valise_proto::signing::{KeyId, SigningKey};
use valise_proto::wire;
use valise_relay::queue::{Quotas, Stamp, Submission};

/// When every script begins, Unix milliseconds.
pub const NOW: u64 = 1_790_000_000_000;

/// A mailbox and the key it states with.
#[derive(Debug)]
pub struct Addressee {
    /// Its name.
    pub name: Mailbox,
    pub(super) key: SigningKey,
}

/// A device and the key it signs with.
#[derive(Debug)]
pub struct Writer {
    /// Its name.
    pub id: DeviceId,
    /// Names its key.
    pub key_id: KeyId,
    key: SigningKey,
}

/// Mailboxes, sorted as in a header.
pub static MAILBOXES: LazyLock<Vec<Addressee>> = LazyLock::new(|| {
    let of = |name: &&str| Addressee { name: Mailbox::new(name).expect("invariant: a name"), key: key(name) };
    ["br", "br/fugitives", "jp", "minustah", "us"].iter().map(of).collect()
});

/// Devices that write.
pub static WRITERS: LazyLock<Vec<Writer>> = LazyLock::new(|| {
    let of = |(party, device): &(&str, &str)| {
        let party = PartyName::new(party).expect("invariant: a name");
        let device = DeviceName::new(device).expect("invariant: a name");
        let id = DeviceId { party, device };
        let key = key(&id.to_string());
        Writer { key_id: key.verify_key().id(), id, key }
    };
    [("de", "gw1"), ("fr", "gw1"), ("fr", "gw2")].iter().map(of).collect()
});

/// The signing key of a name.
fn key(name: &str) -> SigningKey {
    let mut seed = [0; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    SigningKey::from_seed(&seed)
}

struct Hub(RelayId, SigningKey);

impl Stamp for Hub {
    fn relay(&self) -> &RelayId {
        &self.0
    }

    fn sign_all(&self, receipts: &[Receipt]) -> Vec<SignedReceipt> {
        SignedReceipt::sign_all(receipts, &self.1)
    }
}

/// The name of `hub-1`.
pub fn relay() -> RelayId {
    RelayId::new("hub-1").expect("invariant: a name")
}

/// The voice of `hub-1`.
pub fn stamp() -> Arc<dyn Stamp> {
    Arc::new(Hub(relay(), key("hub-1")))
}

/// What `hub-1` seals its queue with.
pub fn rest_key() -> RestKey {
    RestKey::new(&KeyFile::from_bytes([7; 32]))
}

/// A machine without threads whose disk is this one.
pub fn machine(files: Arc<dyn Files>, seed: u64) -> Machine {
    Machine {
        clock: Arc::new(ManualClock::new(NOW)),
        entropy: Arc::new(SeededEntropy::new(seed)),
        files,
        seats: Seats::Inline,
        ..Machine::real()
    }
}

/// An addressee of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct To {
    /// Which of [`MAILBOXES`].
    pub mailbox: usize,
    /// Whether its wrap comes with the letter.
    pub wrapped: bool,
    /// Whether an agreement allows it.
    pub allowed: bool,
}

/// What a letter is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// No other letter of its device has it.
    pub number: u32,
    /// Which of [`WRITERS`].
    pub from: usize,
    /// Its addressees, ascending.
    pub to: Vec<To>,
    /// Its order.
    pub precedence: Precedence,
    /// When it was written, Unix milliseconds.
    pub created_ms: u64,
    /// When it expires.
    pub expires_ms: u64,
    /// For each part: full segments, then bytes of the last.
    pub parts: Vec<(usize, usize)>,
    /// How much may wait when it is submitted.
    pub quotas: Quotas,
}

impl Letter {
    /// Names it.
    pub fn message_id(&self) -> MessageId {
        let mut id = [0x5a; 16];
        id[..4].copy_from_slice(&self.number.to_be_bytes());
        MessageId::new(id)
    }

    /// As it is submitted; `salt` makes other bytes of it.
    pub fn submission(&self, salt: u8) -> Submission {
        let writer = &WRITERS[self.from];
        let parts: Vec<Vec<Bytes>> = (0..)
            .zip(&self.parts)
            .map(|(part, (full, last))| {
                let lens = std::iter::repeat_n(SEGMENT_CT_BYTES, *full).chain([*last]);
                (0..).zip(lens).map(|(index, len)| self.segment(salt, part, index, len)).collect()
            })
            .collect();
        let recipient = |to: &To| Recipient {
            mailbox: MAILBOXES[to.mailbox].name.clone(),
            addressing: Addressing::Action,
            pair_seq: 1,
        };
        let part = |segments: &Vec<Bytes>| {
            let mut root = RootBuilder::new();
            segments.iter().for_each(|segment| root.push(segment));
            Part { ct_len: segments.iter().map(|s| s.len() as u64).sum(), ct_root: root.root() }
        };
        let facts = Header {
            suite: SUITE_1,
            message_id: self.message_id(),
            sender: Mailbox::from(&writer.id.party),
            sender_device: writer.id.device.clone(),
            sender_key_id: writer.key_id,
            created_ms: self.created_ms,
            expires_ms: self.expires_ms,
            class: Class::Message,
            precedence: self.precedence,
            roster_no: 1,
            recipients: self.to.iter().map(recipient).collect(),
            parts: parts.iter().map(part).collect(),
            cek_commit: [4; 32],
            log: None,
            fanout_agent: None,
        };
        let allowed = || self.to.iter().filter(|to| to.allowed);
        Submission {
            header: facts.sign(&writer.key),
            facts,
            submitter: writer.id.clone(),
            recipients: allowed().map(|to| MAILBOXES[to.mailbox].name.clone()).collect(),
            wraps: allowed().filter(|to| to.wrapped).map(|to| self.wrap(to.mailbox, 1)).collect(),
            parts,
            quotas: self.quotas,
            now_ms: self.created_ms,
        }
    }

    fn segment(&self, salt: u8, part: u8, index: u8, len: usize) -> Bytes {
        let mut bytes = vec![self.number.to_le_bytes()[0] ^ index; len];
        let tag =
            [&self.number.to_be_bytes()[..], &[u8::try_from(self.from).unwrap_or(0), part, index, salt]];
        let tag = tag.concat();
        let count = tag.len().min(len);
        bytes[..count].copy_from_slice(&tag[..count]);
        bytes.into()
    }

    /// Its wrap for one of [`MAILBOXES`]; a later version is another.
    pub fn wrap(&self, mailbox: usize, version: u8) -> (Mailbox, wire::KeyWrap) {
        let mut enc = vec![version; 1120];
        enc[..4].copy_from_slice(&self.number.to_be_bytes());
        let name = MAILBOXES[mailbox].name.clone();
        let wrap = wire::KeyWrap {
            mailbox: name.to_string(),
            prekey_id: vec![version; 16].into(),
            psk_id: Bytes::new(),
            enc: enc.into(),
            ct: vec![version; 49].into(),
        };
        (name, wrap)
    }
}

/// A statement under the key of one of [`MAILBOXES`].
pub fn signed(receipt: &Receipt, by: usize) -> SignedReceipt {
    SignedReceipt::sign(receipt, &MAILBOXES[by].key)
}

/// The papers of one of [`WRITERS`]; a later version is another.
pub fn leaf(writer: usize, version: u8) -> wire::SigningLeaf {
    let leaf = format!("leaf {version} of {}", WRITERS[writer].id);
    wire::SigningLeaf { leaf: leaf.into(), issuer: vec![version; 300].into() }
}

/// A bundle of one of [`MAILBOXES`].
pub fn bundle(mailbox: usize, batch_no: u64) -> SignedBundle {
    let Addressee { name, key } = &MAILBOXES[mailbox];
    let filled = batch_no.to_le_bytes()[0];
    let epoch = Epoch {
        no: 1,
        not_before_ms: NOW,
        not_after_ms: NOW + EPOCH_MS,
        xwing: Box::new([filled; XWING_PUBLIC_BYTES]),
        x25519: [filled; 32],
    };
    let bundle = Bundle {
        mailbox: name.clone(),
        batch_no,
        prev: None,
        epochs: vec![epoch],
        drain_hours: 48,
        max_ttl_days: 30,
        devices: Vec::new(),
    };
    SignedBundle::sign(&bundle, key, Bytes::from_static(b"leaf"), Bytes::from_static(b"ca"))
}
