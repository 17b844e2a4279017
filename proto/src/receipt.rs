//! Receipts: signed statements about one envelope. Many share a signature through an RFC 6962 tree, and each
//! is verifiable on its own ([P-30]).
//!
//! Says what was stated and by which key; whether that key may speak is asked of the certificates.

use bytes::Bytes;

use crate::kinds::{Reason, ReceiptKind};
use crate::limits as l;
use crate::merkle;
use crate::names::{Mailbox, MessageId, RelayId};
use crate::scan;
use crate::signing::{Hash, KeyId, Label, SigningKey, VerifyKey};
use crate::wire::{self, BadField, ReadError, canonical, fixed};

/// Who states a receipt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Speaker {
    /// A recipient's mailbox.
    Mailbox(Mailbox),
    /// A relay.
    Relay(RelayId),
}

impl std::fmt::Display for Speaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mailbox(mailbox) => mailbox.fmt(f),
            Self::Relay(id) => write!(f, "relay/{id}"),
        }
    }
}

/// One statement, every value within its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Rung or end.
    pub kind: ReceiptKind,
    /// Which message.
    pub message_id: MessageId,
    /// Hash of the header as the speaker received it.
    pub header_hash: Hash,
    /// The relay's number of the envelope; 0 = never accepted.
    pub sequence: u64,
    /// Unix milliseconds by the speaker's clock.
    pub time_ms: u64,
    /// Who says so.
    pub by: Speaker,
    /// Addressee it is about; none = all whose wraps came with the envelope.
    pub mailbox: Option<Mailbox>,
    /// For the bad ends, why.
    pub reason: Option<Reason>,
    /// With `acknowledged`: random, resolved in that bureau's audit only.
    pub operator_ref: Option<[u8; 16]>,
}

impl Receipt {
    /// The one encoding.
    pub fn encode(&self) -> Bytes {
        wire::encode(&wire::Receipt {
            kind: self.kind.to_wire(),
            message_id: Bytes::copy_from_slice(self.message_id.as_bytes()),
            header_hash: Bytes::copy_from_slice(&self.header_hash.0),
            sequence: self.sequence,
            time_ms: self.time_ms,
            by: self.by.to_string(),
            mailbox: self.mailbox.as_ref().map(ToString::to_string).unwrap_or_default(),
            reason: self.reason.map_or(0, Reason::to_wire),
            operator_ref: self.operator_ref.map(|r| Bytes::copy_from_slice(&r)).unwrap_or_default(),
        })
    }

    fn read(bytes: &[u8]) -> Result<Self, ReadError> {
        if bytes.len() > l::RECEIPT_MAX {
            return Err(ReadError::TooLarge);
        }
        scan::plain(bytes).map_err(|_| ReadError::Malformed)?;
        let wire: wire::Receipt = canonical(bytes).ok_or(ReadError::Malformed)?;
        let kind = ReceiptKind::from_wire(wire.kind)?;
        let by = match wire.by.strip_prefix("relay/") {
            Some(id) => RelayId::new(id).map(Speaker::Relay),
            None => Mailbox::new(&wire.by).map(Speaker::Mailbox),
        };
        let reason = if wire.reason == 0 { None } else { Some(Reason::from_wire(wire.reason)?) };
        if reason.is_some() != kind.is_bad_end() {
            return Err(BadField("reason").into());
        }
        let operator_ref = match &wire.operator_ref[..] {
            [] => None,
            bytes => Some(fixed(bytes, "operator_ref")?),
        };
        if operator_ref.is_some() && kind != ReceiptKind::Acknowledged {
            return Err(BadField("operator_ref").into());
        }
        let mailbox = Some(&wire.mailbox).filter(|text| !text.is_empty()).map(|text| Mailbox::new(text));
        let receipt = Self {
            kind,
            message_id: MessageId::new(fixed(&wire.message_id, "message_id")?),
            header_hash: Hash(fixed(&wire.header_hash, "header_hash")?),
            sequence: wire.sequence,
            time_ms: wire.time_ms,
            by: by.map_err(|_| BadField("by"))?,
            mailbox: mailbox.transpose().map_err(|_| BadField("mailbox"))?,
            reason,
            operator_ref,
        };
        receipt.speaker_fits()?;
        Ok(receipt)
    }

    /// A relay states `relayed`, `expired` and its own refusals; a mailbox all the rest, about itself ([P-31]).
    fn speaker_fits(&self) -> Result<(), BadField> {
        let by_relay = matches!(
            (self.kind, self.reason),
            (ReceiptKind::Relayed | ReceiptKind::Expired, _)
                | (
                    ReceiptKind::Refused,
                    Some(Reason::NotPermittedOrUnknown | Reason::Malformed | Reason::Expired)
                )
        );
        let fits = match &self.by {
            Speaker::Relay(_) => by_relay,
            Speaker::Mailbox(mailbox) => !by_relay && self.mailbox.as_ref() == Some(mailbox),
        };
        if fits { Ok(()) } else { Err(BadField("by")) }
    }
}

/// A receipt under its signature, as it rests and travels.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedReceipt(wire::SignedReceipt);

impl SignedReceipt {
    /// Signs these receipts with one signature; each result stands alone. At most `RECEIPT_LEAVES_MAX`.
    pub fn sign_all(receipts: &[Receipt], key: &SigningKey) -> Vec<Self> {
        let count = receipts.len() as u64;
        assert!(count <= l::RECEIPT_LEAVES_MAX, "one signature covers one commit group");
        let encoded: Vec<Bytes> = receipts.iter().map(Receipt::encode).collect();
        let leaves: Vec<Hash> = encoded.iter().map(|bytes| merkle::leaf(bytes)).collect();
        let statement = signed_bytes(count, &merkle::root(&leaves));
        let signature = Bytes::copy_from_slice(&key.sign(Label::Receipts, &statement));
        let signer_key_id = Bytes::copy_from_slice(&key.verify_key().id().0);
        let node = |hash: &Hash| wire::AuditNode { hash: Bytes::copy_from_slice(&hash.0) };
        let paths = merkle::paths(&leaves);
        encoded
            .into_iter()
            .zip(paths)
            .enumerate()
            .map(|(index, (receipt, path))| {
                Self(wire::SignedReceipt {
                    receipt,
                    signer_key_id: signer_key_id.clone(),
                    signature: signature.clone(),
                    leaf_index: index as u64,
                    leaf_count: count,
                    path: path.iter().map(node).collect(),
                })
            })
            .collect()
    }

    /// Signs one receipt.
    pub fn sign(receipt: &Receipt, key: &SigningKey) -> Self {
        Self::sign_all(std::slice::from_ref(receipt), key).remove(0)
    }

    /// Takes one that came in a frame; checks its shape, not its signature.
    pub fn received(wire: wire::SignedReceipt) -> Result<Self, ReadError> {
        if wire.receipt.len() > l::RECEIPT_MAX || wire.path.len() > l::AUDIT_PATH_MAX {
            return Err(ReadError::TooLarge);
        }
        fixed::<{ l::HASH_BYTES }>(&wire.signer_key_id, "signer_key_id")?;
        fixed::<{ l::SIGNATURE_BYTES }>(&wire.signature, "signature")?;
        if wire.leaf_count == 0
            || wire.leaf_count > l::RECEIPT_LEAVES_MAX
            || wire.leaf_index >= wire.leaf_count
        {
            return Err(BadField("leaf_count").into());
        }
        for node in &wire.path {
            fixed::<{ l::HASH_BYTES }>(&node.hash, "path")?;
        }
        Ok(Self(wire))
    }

    /// From the bytes in which it rests.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, ReadError> {
        Self::received(prost::Message::decode(bytes).map_err(|_| ReadError::Malformed)?)
    }

    /// The bytes in which it rests.
    pub fn to_bytes(&self) -> Bytes {
        wire::encode(&self.0)
    }

    /// For a frame.
    pub fn to_wire(&self) -> wire::SignedReceipt {
        self.0.clone()
    }

    /// Names the receipt: the same statement under another signature keeps its id.
    pub fn id(&self) -> [u8; 16] {
        Hash::of(&[&self.0.receipt]).half()
    }

    /// The key that claims to have signed.
    pub fn signer(&self) -> KeyId {
        KeyId::try_from(&self.0.signer_key_id[..]).expect("length was checked when it was received")
    }

    /// What it says, without any word on whether it is so. A relay routes by this; an end never believes it.
    pub fn claim(&self) -> Result<Receipt, ReadError> {
        Receipt::read(&self.0.receipt)
    }

    /// Verifies the signature through the audit path, then reads.
    pub fn verify(&self, key: &VerifyKey) -> Result<Receipt, ReadError> {
        if key.id() != self.signer() {
            return Err(ReadError::Signature);
        }
        let path = self.0.path.iter().map(|node| Hash::try_from(&node.hash[..]));
        let path = path.collect::<Result<Vec<_>, _>>().map_err(|_| BadField("path"))?;
        let leaf = merkle::leaf(&self.0.receipt);
        let root = merkle::root_from_path(leaf, self.0.leaf_index, self.0.leaf_count, &path);
        let statement = signed_bytes(self.0.leaf_count, &root.ok_or(ReadError::Signature)?);
        key.verify(Label::Receipts, &statement, &self.0.signature)?;
        self.claim()
    }
}

/// What is signed: the number of leaves, big-endian, and the root.
fn signed_bytes(count: u64, root: &Hash) -> [u8; 40] {
    let mut bytes = [0; 40];
    bytes[..8].copy_from_slice(&count.to_be_bytes());
    bytes[8..].copy_from_slice(&root.0);
    bytes
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The relay has it.
    pub(crate) fn relayed() -> SignedReceipt {
        let by = Speaker::Relay(RelayId::new("hub-1").unwrap());
        let receipt = Receipt { kind: ReceiptKind::Relayed, by, mailbox: None, ..delivered("br", 1) };
        SignedReceipt::sign(&receipt, &SigningKey::from_seed(&[2; 32]))
    }

    pub(crate) fn delivered(mailbox: &str, sequence: u64) -> Receipt {
        let mailbox = Mailbox::new(mailbox).unwrap();
        Receipt {
            kind: ReceiptKind::Delivered,
            message_id: MessageId::new([5; 16]),
            header_hash: Hash([6; 32]),
            sequence,
            time_ms: 1_790_000_000_000,
            by: Speaker::Mailbox(mailbox.clone()),
            mailbox: Some(mailbox),
            reason: None,
            operator_ref: None,
        }
    }

    #[test]
    fn each_receipt_of_a_batch_stands_alone() {
        let key = SigningKey::from_seed(&[2; 32]);
        let receipts: Vec<_> = (1..=37).map(|sequence| delivered("br", sequence)).collect();
        let signed = SignedReceipt::sign_all(&receipts, &key);
        for (receipt, signed) in receipts.iter().zip(&signed) {
            let rested = SignedReceipt::from_bytes(signed.to_bytes()).unwrap();
            assert_eq!(rested.verify(&key.verify_key()).unwrap(), *receipt);
        }
        let mut swapped = signed[3].to_wire();
        swapped.receipt = signed[4].to_wire().receipt;
        let swapped = SignedReceipt::received(swapped).unwrap();
        assert_eq!(swapped.verify(&key.verify_key()), Err(ReadError::Signature));
    }

    #[test]
    fn another_key_does_not_speak_for_br() {
        let signed = SignedReceipt::sign(&delivered("br", 1), &SigningKey::from_seed(&[2; 32]));
        let other = SigningKey::from_seed(&[3; 32]).verify_key();
        assert_eq!(signed.verify(&other), Err(ReadError::Signature));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let key = SigningKey::from_seed(&[2; 32]);
        let signed = SignedReceipt::sign_all(&[delivered("br", 1), delivered("br", 2)], &key)[1].to_bytes();
        for at in 0..signed.len() * 8 {
            let mut bytes = signed.to_vec();
            bytes[at / 8] ^= 1 << (at % 8);
            let read = SignedReceipt::from_bytes(bytes.into()).and_then(|r| r.verify(&key.verify_key()));
            // A flip may only survive where it does not change what is stated: nowhere in these fields.
            assert!(read.is_err() || read == Ok(delivered("br", 2)), "bit {at}: {read:?}");
        }
    }

    #[test]
    fn a_relay_never_states_delivered_and_a_mailbox_never_relayed() {
        let key = SigningKey::from_seed(&[2; 32]);
        let mut forged = delivered("br", 1);
        forged.by = Speaker::Relay(RelayId::new("hub-1").unwrap());
        let signed = SignedReceipt::sign(&forged, &key);
        assert_eq!(signed.verify(&key.verify_key()), Err(BadField("by").into()));
        let mut forged = delivered("br", 1);
        forged.kind = ReceiptKind::Relayed;
        let signed = SignedReceipt::sign(&forged, &key);
        assert_eq!(signed.verify(&key.verify_key()), Err(BadField("by").into()));
        let mut about_another = delivered("br", 1);
        about_another.mailbox = Some(Mailbox::new("minustah").unwrap());
        let signed = SignedReceipt::sign(&about_another, &key);
        assert_eq!(signed.verify(&key.verify_key()), Err(BadField("by").into()));
    }

    #[test]
    fn a_bad_end_has_a_reason_and_a_rung_has_none() {
        let key = SigningKey::from_seed(&[2; 32]);
        let mut end = delivered("br", 1);
        end.kind = ReceiptKind::Unopenable;
        let read = |receipt: &Receipt| SignedReceipt::sign(receipt, &key).verify(&key.verify_key());
        assert_eq!(read(&end), Err(BadField("reason").into()));
        end.reason = Some(Reason::Unopenable);
        assert_eq!(read(&end), Ok(end.clone()));
        let mut rung = delivered("br", 1);
        rung.reason = Some(Reason::Unopenable);
        assert_eq!(read(&rung), Err(BadField("reason").into()));
    }
}
