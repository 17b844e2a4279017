//! Sealing: a draft becomes a signed header, a content key and ciphertext segments, all at once. Wraps are made
//! apart, when the recipient's keys are known.
//!
//! `Sealed` is built here only. It holds no plaintext.

use bytes::Bytes;
use rand_core::CryptoRng;
use valise_proto::bundle::Epoch;
use valise_proto::header::{Header, Recipient, SUITE_1, SignedHeader};
use valise_proto::kinds::{Class, Precedence};
use valise_proto::limits as l;
use valise_proto::names::{DeviceName, Mailbox, MessageId};
use valise_proto::signing::SigningKey;
use valise_proto::wire::{KeyWrap, ReadError};

use crate::content::Message;
use crate::schedule::{Cek, Context, Schedule};
use crate::stream::SegmentSealer;
use crate::wrap::{BadEpochKey, seal_wrap};

/// A message and all that its header is to say.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Names the message; see [`new_message_id`]. A retry sends the same bytes again, never the same id anew.
    pub message_id: MessageId,
    /// What was written.
    pub message: Message,
    /// The author's mailbox.
    pub sender: Mailbox,
    /// The author's device, whose key signs.
    pub device: DeviceName,
    /// Addressees in any order, each once, with the next number of each pair.
    pub recipients: Vec<Recipient>,
    /// Kind, as far as the relay sees it.
    pub class: Class,
    /// Order of delivery.
    pub precedence: Precedence,
    /// Unix milliseconds.
    pub created_ms: u64,
    /// Unix milliseconds, later than that by 90 days at most.
    pub expires_ms: u64,
    /// Roster in force here.
    pub roster_no: u64,
}

/// Why a draft cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A recipient would refuse the header: no addressee, too many, one twice, or a date outside its bounds.
    #[error("the header would be refused: {0}; check addressees and dates")]
    Header(#[from] ReadError),
}

/// Sixteen random bytes that name a message.
pub fn new_message_id(rng: &mut (impl CryptoRng + ?Sized)) -> MessageId {
    let mut bytes = [0; l::MESSAGE_ID_BYTES];
    rng.fill_bytes(&mut bytes);
    MessageId::new(bytes)
}

/// A sealed message, without its wraps.
#[derive(Debug)]
pub struct Sealed {
    header: SignedHeader,
    fields: Header,
    cek: Cek,
    parts: Vec<Vec<Bytes>>,
}

impl Sealed {
    /// The exact header and its signature.
    pub fn header(&self) -> &SignedHeader {
        &self.header
    }

    /// What the header says.
    pub fn fields(&self) -> &Header {
        &self.fields
    }

    /// The content key: in the sealed outbox until every recipient has it, then gone.
    pub fn cek(&self) -> &Cek {
        &self.cek
    }

    /// Ciphertext segments of each part, in order.
    pub fn parts(&self) -> &[Vec<Bytes>] {
        &self.parts
    }

    /// Wraps the content key for one mailbox; the same as [`seal_wrap`] from a stored key and header.
    pub fn wrap_for(
        &self,
        mailbox: &Mailbox,
        epoch: &Epoch,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<KeyWrap, BadEpochKey> {
        seal_wrap(&self.cek, mailbox, epoch, &self.header.hash(), rng)
    }
}

/// Seals a draft under a fresh content key and signs its header ([S-2], [S-15]).
pub fn seal(
    draft: &Draft,
    key: &SigningKey,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<Sealed, SealError> {
    let mut recipients = draft.recipients.clone();
    recipients.sort_by(|a, b| a.mailbox.cmp(&b.mailbox));
    let mut fields = Header {
        suite: SUITE_1,
        message_id: draft.message_id,
        sender: draft.sender.clone(),
        sender_device: draft.device.clone(),
        sender_key_id: key.verify_key().id(),
        created_ms: draft.created_ms,
        expires_ms: draft.expires_ms,
        class: draft.class,
        precedence: draft.precedence,
        roster_no: draft.roster_no,
        recipients,
        parts: Vec::new(),
        cek_commit: [0; l::HASH_BYTES],
        log: None,
        fanout_agent: None,
    };
    let cek = Cek::random(rng);
    let schedule = Schedule::new(Context::of(&fields), &cek);
    fields.cek_commit = schedule.commitment();
    let mut parts = Vec::new();
    for (index, plain) in (0..).zip(draft.message.to_parts()) {
        let mut segments = Vec::new();
        let mut sealer = SegmentSealer::new(&schedule, index);
        sealer.write(&plain, &mut |segment| segments.push(segment));
        fields.parts.push(sealer.finish(&mut |segment| segments.push(segment)));
        parts.push(segments);
    }
    let header = fields.sign(key);
    // What a recipient would not read is never sent: the same check, here.
    let header = SignedHeader::received(header.bytes().clone(), header.signature())?;
    let fields = header.read()?;
    Ok(Sealed { header, fields, cek, parts })
}

#[cfg(test)]
mod tests;
