//! The signed header of an envelope: checked values, exact bytes, one hash. All that a relay may decide by.
//!
//! Says nothing about keys or chains: who may sign is asked of the certificates.

use bytes::Bytes;

use crate::kinds::{Addressing, Class, Precedence};
use crate::limits as l;
use crate::names::{DeviceId, DeviceName, Mailbox, MessageId};
use crate::scan;
use crate::signing::{Hash, KeyId, Label, SigningKey, VerifyKey};
use crate::wire::{self, BadField, ReadError, canonical, fixed};

/// The one suite there is: X-Wing, HKDF-SHA256, ChaCha20-Poly1305, Ed25519.
pub const SUITE_1: u32 = 1;

/// One addressee of an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Where it goes.
    pub mailbox: Mailbox,
    /// To act, or to know.
    pub addressing: Addressing,
    /// Counts sender device → mailbox, from 1.
    pub pair_seq: u64,
}

/// One ciphertext stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Ciphertext bytes.
    pub ct_len: u64,
    /// RFC 6962 root over the ciphertext segments.
    pub ct_root: Hash,
}

impl Part {
    /// How many segments its ciphertext has.
    pub fn segments(&self) -> u64 {
        self.ct_len.div_ceil(l::SEGMENT_CT_BYTES as u64)
    }
}

/// A header whose every value keeps its rule ([P-11]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Cryptographic suite.
    pub suite: u32,
    /// Names the message everywhere.
    pub message_id: MessageId,
    /// The author's mailbox.
    pub sender: Mailbox,
    /// The author's device.
    pub sender_device: DeviceName,
    /// The key that signs.
    pub sender_key_id: KeyId,
    /// Unix milliseconds by the author's clock; marks, never refuses.
    pub created_ms: u64,
    /// Unix milliseconds.
    pub expires_ms: u64,
    /// Kind, as far as the relay sees it.
    pub class: Class,
    /// Order of delivery.
    pub precedence: Precedence,
    /// Roster in force at the author.
    pub roster_no: u64,
    /// Sorted by mailbox, unique.
    pub recipients: Vec<Recipient>,
    /// Part 0 is the content.
    pub parts: Vec<Part>,
    /// Commitment to the content key.
    pub cek_commit: [u8; l::HASH_BYTES],
    /// Directory checkpoint: size and root; none until the log exists.
    pub log: Option<(u64, Hash)>,
    /// Mailbox that may add wraps for the author.
    pub fanout_agent: Option<Mailbox>,
}

impl Header {
    /// The device that claims to have written it.
    pub fn author(&self) -> DeviceId {
        DeviceId { party: self.sender.party(), device: self.sender_device.clone() }
    }

    /// The addressee with this mailbox.
    pub fn recipient(&self, mailbox: &Mailbox) -> Option<&Recipient> {
        self.recipients.iter().find(|recipient| recipient.mailbox == *mailbox)
    }

    /// Ciphertext bytes of all parts.
    pub fn ct_len(&self) -> u64 {
        self.parts.iter().map(|part| part.ct_len).sum()
    }

    /// Whether it counts as bulk in the session's scheduling (DESIGN: below immediate, or over 64 KiB).
    pub fn is_bulk(&self) -> bool {
        self.precedence < Precedence::Immediate || self.ct_len() > l::SEGMENT_BYTES as u64
    }

    /// The one encoding.
    pub fn encode(&self) -> Bytes {
        let (log_size, log_root) = match &self.log {
            Some((size, root)) => (*size, Bytes::copy_from_slice(&root.0)),
            None => (0, Bytes::new()),
        };
        wire::encode(&wire::Header {
            version: l::VERSION,
            suite: self.suite,
            message_id: Bytes::copy_from_slice(self.message_id.as_bytes()),
            sender: self.sender.to_string(),
            sender_device: self.sender_device.to_string(),
            sender_key_id: Bytes::copy_from_slice(&self.sender_key_id.0),
            created_ms: self.created_ms,
            expires_ms: self.expires_ms,
            class: self.class.to_wire(),
            precedence: self.precedence.to_wire(),
            roster_no: self.roster_no,
            recipients: self.recipients.iter().map(Recipient::to_wire).collect(),
            parts: self.parts.iter().map(Part::to_wire).collect(),
            cek_commit: Bytes::copy_from_slice(&self.cek_commit),
            log_size,
            log_root,
            fanout_agent: self.fanout_agent.as_ref().map(ToString::to_string).unwrap_or_default(),
        })
    }

    /// Encodes and signs.
    pub fn sign(&self, key: &SigningKey) -> SignedHeader {
        let bytes = self.encode();
        let signature = key.sign(Label::Header, &bytes);
        SignedHeader { bytes, signature }
    }
}

impl Recipient {
    fn to_wire(&self) -> wire::Recipient {
        wire::Recipient {
            mailbox: self.mailbox.to_string(),
            addressing: self.addressing.to_wire(),
            pair_seq: self.pair_seq,
        }
    }

    fn read(wire: &wire::Recipient) -> Result<Self, BadField> {
        if wire.pair_seq == 0 {
            return Err(BadField("recipients.pair_seq"));
        }
        Ok(Self {
            mailbox: mailbox(&wire.mailbox, "recipients.mailbox")?,
            addressing: Addressing::from_wire(wire.addressing)?,
            pair_seq: wire.pair_seq,
        })
    }
}

impl Part {
    fn to_wire(&self) -> wire::Part {
        wire::Part { ct_len: self.ct_len, ct_root: Bytes::copy_from_slice(&self.ct_root.0) }
    }

    fn read(wire: &wire::Part) -> Result<Self, BadField> {
        let tail = wire.ct_len % l::SEGMENT_CT_BYTES as u64;
        // Every segment carries a tag, so a last one shorter than a tag cannot be.
        if wire.ct_len < l::TAG_BYTES as u64
            || wire.ct_len > l::MESSAGE_CT_MAX
            || (tail != 0 && tail < l::TAG_BYTES as u64)
        {
            return Err(BadField("parts.ct_len"));
        }
        Ok(Self { ct_len: wire.ct_len, ct_root: Hash(fixed(&wire.ct_root, "parts.ct_root")?) })
    }
}

fn mailbox(text: &str, field: &'static str) -> Result<Mailbox, BadField> {
    Mailbox::new(text).map_err(|_| BadField(field))
}

/// Header bytes and signature as they were received or made; they are never encoded again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHeader {
    bytes: Bytes,
    signature: [u8; l::SIGNATURE_BYTES],
}

impl SignedHeader {
    /// Takes what came; checks sizes only.
    pub fn received(bytes: Bytes, signature: &[u8]) -> Result<Self, ReadError> {
        if bytes.len() > l::HEADER_MAX {
            return Err(ReadError::TooLarge);
        }
        Ok(Self { bytes, signature: fixed(signature, "signature")? })
    }

    /// The exact bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The signature as it came.
    pub fn signature(&self) -> &[u8; l::SIGNATURE_BYTES] {
        &self.signature
    }

    /// SHA-256 over label and header: what receipts and wraps are bound to.
    pub fn hash(&self) -> Hash {
        Hash::of(&[Label::Header.as_bytes(), &self.bytes])
    }

    /// Which key claims to have signed: enough to look the key up, nothing to act on.
    pub fn claimed_key(&self) -> Option<KeyId> {
        scan::header(&self.bytes).ok()?;
        let header: wire::Header = prost::Message::decode(self.bytes.clone()).ok()?;
        KeyId::try_from(&header.sender_key_id[..]).ok()
    }

    /// Strict verification over the received bytes, before they are parsed ([S-20]).
    pub fn verify(&self, key: &VerifyKey) -> Result<(), ReadError> {
        Ok(key.verify(Label::Header, &self.bytes, &self.signature)?)
    }

    /// Reads the values: canonical encoding, bounds, order. States nothing about the signature.
    pub fn read(&self) -> Result<Header, ReadError> {
        scan::header(&self.bytes).map_err(|_| ReadError::Malformed)?;
        let wire: wire::Header = canonical(&self.bytes).ok_or(ReadError::Malformed)?;
        if wire.version != l::VERSION {
            return Err(BadField("version").into());
        }
        if wire.suite != SUITE_1 {
            return Err(BadField("suite").into());
        }
        let recipients = wire.recipients.iter().map(Recipient::read).collect::<Result<Vec<_>, _>>()?;
        let sorted = recipients.is_sorted_by(|a, b| a.mailbox < b.mailbox);
        if recipients.is_empty() || recipients.len() > l::RECIPIENTS_MAX || !sorted {
            return Err(BadField("recipients").into());
        }
        let parts = wire.parts.iter().map(Part::read).collect::<Result<Vec<_>, _>>()?;
        let total: u64 = parts.iter().map(|part| part.ct_len).sum();
        if parts.is_empty() || parts.len() > l::PARTS_MAX || total > l::MESSAGE_CT_MAX {
            return Err(BadField("parts").into());
        }
        if wire.expires_ms <= wire.created_ms || wire.expires_ms - wire.created_ms > l::MESSAGE_LIFE_MAX_MS {
            return Err(BadField("expires_ms").into());
        }
        let log = match (wire.log_size, &wire.log_root[..]) {
            (0, []) => None,
            (size, root) if size > 0 => Some((size, Hash(fixed(root, "log_root")?))),
            _ => return Err(BadField("log_size").into()),
        };
        let agent = Some(&wire.fanout_agent).filter(|text| !text.is_empty());
        Ok(Header {
            suite: wire.suite,
            message_id: MessageId::new(fixed(&wire.message_id, "message_id")?),
            sender: mailbox(&wire.sender, "sender")?,
            sender_device: DeviceName::new(&wire.sender_device).map_err(|_| BadField("sender_device"))?,
            sender_key_id: KeyId(fixed(&wire.sender_key_id, "sender_key_id")?),
            created_ms: wire.created_ms,
            expires_ms: wire.expires_ms,
            class: Class::from_wire(wire.class)?,
            precedence: Precedence::from_wire(wire.precedence)?,
            roster_no: wire.roster_no,
            recipients,
            parts,
            cek_commit: fixed(&wire.cek_commit, "cek_commit")?,
            log,
            fanout_agent: agent.map(|text| mailbox(text, "fanout_agent")).transpose()?,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A routine message from `fr` to `br` and `minustah`.
    pub(crate) fn sample() -> Header {
        let to = |name: &str, pair_seq| Recipient {
            mailbox: Mailbox::new(name).unwrap(),
            addressing: Addressing::Action,
            pair_seq,
        };
        Header {
            suite: SUITE_1,
            message_id: MessageId::new([5; 16]),
            sender: Mailbox::new("fr").unwrap(),
            sender_device: DeviceName::new("gw1").unwrap(),
            sender_key_id: SigningKey::from_seed(&[1; 32]).verify_key().id(),
            created_ms: 1_790_000_000_000,
            expires_ms: 1_790_000_000_000 + l::MESSAGE_LIFE_MS,
            class: Class::Message,
            precedence: Precedence::Routine,
            roster_no: 1,
            recipients: vec![to("br", 4), to("minustah", 9)],
            parts: vec![Part { ct_len: 272, ct_root: Hash([3; 32]) }],
            cek_commit: [4; 32],
            log: None,
            fanout_agent: None,
        }
    }

    #[test]
    fn a_header_reads_back_as_it_was_written() {
        let key = SigningKey::from_seed(&[1; 32]);
        let signed = sample().sign(&key);
        signed.verify(&key.verify_key()).unwrap();
        assert_eq!(signed.read().unwrap(), sample());
        assert_eq!(signed.claimed_key(), Some(key.verify_key().id()));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_refused_by_the_signature() {
        let key = SigningKey::from_seed(&[1; 32]);
        let signed = sample().sign(&key);
        for at in 0..signed.bytes().len() * 8 {
            let mut bytes = signed.bytes().to_vec();
            bytes[at / 8] ^= 1 << (at % 8);
            let flipped = SignedHeader::received(bytes.into(), signed.signature()).unwrap();
            assert_eq!(flipped.verify(&key.verify_key()), Err(ReadError::Signature), "bit {at}");
        }
    }

    #[test]
    fn each_rule_is_kept() {
        type Breaks = fn(&mut Header);
        let cases: [(&str, Breaks); 9] = [
            ("recipients", |h| h.recipients.reverse()),
            ("recipients", |h| h.recipients.clear()),
            ("recipients", |h| h.recipients[1] = h.recipients[0].clone()),
            ("recipients.pair_seq", |h| h.recipients[0].pair_seq = 0),
            ("parts", |h| h.parts.clear()),
            ("parts.ct_len", |h| h.parts[0].ct_len = 15),
            ("parts.ct_len", |h| h.parts[0].ct_len = l::SEGMENT_CT_BYTES as u64 + 3),
            ("expires_ms", |h| h.expires_ms = h.created_ms + l::MESSAGE_LIFE_MAX_MS + 1),
            ("suite", |h| h.suite = 0),
        ];
        for (field, breaks) in cases {
            let mut header = sample();
            breaks(&mut header);
            let signed = header.sign(&SigningKey::from_seed(&[1; 32]));
            assert_eq!(signed.read(), Err(BadField(field).into()), "{field}");
        }
    }

    #[test]
    fn bulk_is_low_or_large() {
        let mut header = sample();
        assert!(header.is_bulk());
        header.precedence = Precedence::Flash;
        assert!(!header.is_bulk());
        header.parts[0].ct_len = 100_000;
        assert!(header.is_bulk());
    }
}
