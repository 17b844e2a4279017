//! The cast of this crate's tests: repeatable chance, and parties with their keys. Compiled for tests only.
//!
//! Never a source of real keys.

use std::convert::Infallible;

use bytes::Bytes;
use rand_core::{TryCryptoRng, TryRng};
use valise_proto::bundle::Epoch;
use valise_proto::header::{Header, Part, Recipient, SUITE_1};
use valise_proto::kinds::{Addressing, Class, Precedence};
use valise_proto::limits as l;
use valise_proto::names::{DeviceId, Mailbox, MessageId};
use valise_proto::signing::{Hash, SigningKey};
use valise_proto::wire;

use crate::content::{Attachment, Message, TypeName};
use crate::keyring::Keyring;
use crate::keys::EpochSecret;
use crate::open::{Arrival, Desk, Fault, Opened, Outcome, Signer, open};
use crate::seal::{Draft, Sealed, seal};

/// When the stories happen, Unix milliseconds.
pub(crate) const NOW: u64 = 1_790_000_000_000;

/// Repeatable bytes: SHA-256 over a label and a counter.
pub(crate) struct Chance(Hash, u64);

impl Chance {
    pub(crate) fn new(label: &str) -> Self {
        Self(Hash::of(&[b"valise test chance\0", label.as_bytes()]), 0)
    }

    pub(crate) fn draw<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        for piece in out.chunks_mut(32) {
            let block = Hash::of(&[&self.0.0, &self.1.to_be_bytes()]);
            self.1 += 1;
            piece.copy_from_slice(&block.0[..piece.len()]);
        }
        out
    }
}

impl TryRng for Chance {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_be_bytes(self.draw()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_be_bytes(self.draw()))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for piece in out.chunks_mut(32) {
            piece.copy_from_slice(&self.draw::<32>()[..piece.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Chance {}

/// A party with one device `gw1`, one mailbox and one epoch.
pub(crate) struct Party {
    pub(crate) mailbox: Mailbox,
    pub(crate) key: SigningKey,
    pub(crate) keyring: Keyring,
    pub(crate) epoch: Epoch,
}

impl Party {
    pub(crate) fn new(name: &str) -> Self {
        let mut chance = Chance::new(name);
        let key = SigningKey::from_seed(&chance.draw());
        let mailbox = Mailbox::new(name).unwrap();
        let secret = EpochSecret::generate(1, NOW - l::DAY_MS, NOW - l::DAY_MS + l::EPOCH_MS, &mut chance);
        let epoch = secret.public().clone();
        let mut keyring = Keyring::default();
        keyring.add(mailbox.clone(), secret);
        Self { mailbox, key, keyring, epoch }
    }

    pub(crate) fn signer(&self) -> Signer {
        Signer { key: self.key.verify_key(), device: device(&self.mailbox) }
    }

    pub(crate) fn draft(&self, to: &[&Party], message: Message) -> Draft {
        Draft {
            message_id: MessageId::new([5; 16]),
            message,
            sender: self.mailbox.clone(),
            device: "gw1".parse().unwrap(),
            recipients: to.iter().map(|party| addressee(party.mailbox.as_str())).collect(),
            class: Class::Message,
            precedence: Precedence::Routine,
            created_ms: NOW,
            expires_ms: NOW + l::MESSAGE_LIFE_MS,
            roster_no: 1,
        }
    }

    /// Seals to these parties and wraps for each.
    pub(crate) fn send(&self, to: &[&Party], message: Message) -> Envelope {
        let mut chance = Chance::new("a message");
        let sealed = seal(&self.draft(to, message), &self.key, &mut chance).unwrap();
        let wraps = to
            .iter()
            .map(|party| sealed.wrap_for(&party.mailbox, &party.epoch, &mut chance).unwrap())
            .collect();
        Envelope { sealed, wraps }
    }

    pub(crate) fn open(&self, envelope: &Envelope, author: &Party) -> Result<Opened, Fault> {
        let arrival = Arrival {
            header: envelope.sealed.header(),
            wraps: &envelope.wraps,
            segments: &|part, index| envelope.segment(part, index),
        };
        self.open_arrival(&arrival, author)
    }

    pub(crate) fn open_arrival(&self, arrival: &Arrival<'_>, author: &Party) -> Result<Opened, Fault> {
        let mailboxes = std::slice::from_ref(&self.mailbox);
        let desk = Desk { mailboxes, keyring: &self.keyring, now_ms: NOW, seen: &|_, _| false };
        match open(arrival, &author.signer(), &desk)? {
            Outcome::Opened(opened) => Ok(*opened),
            other => panic!("neither opened nor refused: {other:?}"),
        }
    }
}

/// An envelope on its way.
pub(crate) struct Envelope {
    pub(crate) sealed: Sealed,
    pub(crate) wraps: Vec<wire::KeyWrap>,
}

impl Envelope {
    pub(crate) fn segment(&self, part: usize, index: usize) -> Option<Bytes> {
        self.sealed.parts().get(part)?.get(index).cloned()
    }
}

pub(crate) fn device(mailbox: &Mailbox) -> DeviceId {
    DeviceId { party: mailbox.party(), device: "gw1".parse().unwrap() }
}

pub(crate) fn addressee(mailbox: &str) -> Recipient {
    Recipient { mailbox: mailbox.parse().unwrap(), addressing: Addressing::Action, pair_seq: 1 }
}

pub(crate) fn text(body: &'static [u8]) -> Message {
    Message::new(TypeName::text(), "Stolen passport", Bytes::from_static(body)).unwrap()
}

pub(crate) fn file(name: &str, data: Vec<u8>) -> Attachment {
    Attachment::new(name, "application/octet-stream", data.into()).unwrap()
}

/// A header by this mailbox, whose values are in their bounds and mean nothing.
pub(crate) fn header_of(mailbox: &str) -> Header {
    Header {
        suite: SUITE_1,
        message_id: MessageId::new([5; 16]),
        sender: mailbox.parse().unwrap(),
        sender_device: "gw1".parse().unwrap(),
        sender_key_id: SigningKey::from_seed(&[1; 32]).verify_key().id(),
        created_ms: NOW,
        expires_ms: NOW + l::MESSAGE_LIFE_MS,
        class: Class::Message,
        precedence: Precedence::Routine,
        roster_no: 1,
        recipients: vec![addressee("br")],
        parts: vec![Part { ct_len: 272, ct_root: Hash([3; 32]) }],
        cek_commit: [4; 32],
        log: None,
        fanout_agent: None,
    }
}
