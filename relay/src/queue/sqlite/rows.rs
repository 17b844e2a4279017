//! What a row holds, and how it rests: each value sealed for its column and its row, each lookup key blind.
//!
//! Never runs a statement. A value that does not open, or opens to nonsense, is damage and is said to be.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;
use valise_host::ledger::StoreError;
use valise_host::rest::{BLIND_BYTES, Sealer};
use valise_proto::bundle::SignedBundle;
use valise_proto::header::SignedHeader;
use valise_proto::kinds::ReceiptKind;
use valise_proto::limits::SIGNATURE_BYTES;
use valise_proto::names::{DeviceId, DeviceName, Mailbox, MessageId, PartyName};
use valise_proto::receipt::SignedReceipt;
use valise_proto::signing::{Hash, KeyId};
use valise_proto::wire;

use crate::queue::Sequence;

/// A lookup key: tells equality of what was looked up, nothing else.
pub(super) type Blind = [u8; BLIND_BYTES];

/// The keys of rest, and where the store lies.
pub(super) struct Vault {
    sealer: Sealer,
    path: PathBuf,
}

/// A value that rests in a column of its own.
pub(super) trait Rests: Sized {
    /// Stands in the associated data: a value opens in its own column only.
    const COLUMN: &'static str;
    /// As it is sealed.
    fn bytes(&self) -> Bytes;
    /// From what opened; `None` when it is not what was written.
    fn read(bytes: Bytes) -> Option<Self>;
}

impl Vault {
    pub(super) fn new(sealer: Sealer, path: &Path) -> Self {
        Self { sealer, path: path.to_owned() }
    }

    pub(super) fn seal<T: Rests>(&self, row: &[u8], value: &T) -> Vec<u8> {
        self.sealer.seal(T::COLUMN, row, &value.bytes())
    }

    pub(super) fn open<T: Rests>(&self, row: &[u8], sealed: &[u8]) -> Result<T, StoreError> {
        let bytes = self.sealer.open(T::COLUMN, row, sealed)?;
        T::read(bytes.into()).ok_or_else(|| self.damaged(format!("a row of `{}` is not one", T::COLUMN)))
    }

    /// A fault that only missing or foreign rows explain.
    pub(super) fn damaged(&self, what: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), what: what.into() }
    }

    pub(super) fn mailbox_key(&self, mailbox: &Mailbox) -> Blind {
        self.sealer.blind("mailbox", mailbox.as_str().as_bytes())
    }

    pub(super) fn device_key(&self, device: &DeviceId) -> Blind {
        self.sealer.blind("device", device.to_string().as_bytes())
    }

    /// Of a party that submits.
    pub(super) fn sender_key(&self, party: &PartyName) -> Blind {
        self.sealer.blind("sender", party.as_str().as_bytes())
    }

    /// Of a message of one submitter. Names have no NUL, so no two pairs share an encoding.
    pub(super) fn message_key(&self, submitter: &DeviceId, id: &MessageId) -> Blind {
        let text = [submitter.to_string().as_bytes(), b"\0", id.as_bytes()].concat();
        self.sealer.blind("message", &text)
    }

    /// Of a receipt kept for one device.
    pub(super) fn receipt_key(&self, device: &DeviceId, id: &[u8; 16]) -> Blind {
        let text = [device.to_string().as_bytes(), b"\0", id].concat();
        self.sealer.blind("receipt", &text)
    }

    /// Of the statement of one kind about one entry.
    pub(super) fn statement_key(&self, entry: &[u8], kind: ReceiptKind) -> Blind {
        let text = [kind.as_str().as_bytes(), b"\0", entry].concat();
        self.sealer.blind("statement", &text)
    }

    pub(super) fn signer_key(&self, key: &KeyId) -> Blind {
        self.sealer.blind("signer", &key.0)
    }
}

/// The row of an envelope, in associated data.
pub(super) fn envelope_row(sequence: Sequence) -> [u8; 8] {
    sequence.to_be_bytes()
}

/// The row of one recipient's entry.
pub(super) fn entry_row(sequence: Sequence, mailbox: &Blind) -> Vec<u8> {
    [&sequence.to_be_bytes()[..], mailbox].concat()
}

/// What is known of an accepted envelope for as long as a statement about it may come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Author {
    pub(super) submitter: DeviceId,
    pub(super) message_id: MessageId,
    pub(super) header_hash: Hash,
    pub(super) signer: KeyId,
    /// How many segments each part has.
    pub(super) segments: Vec<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AuthorRow {
    #[prost(string, tag = "1")]
    party: String,
    #[prost(string, tag = "2")]
    device: String,
    #[prost(bytes = "bytes", tag = "3")]
    message_id: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    header_hash: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    signer: Bytes,
    #[prost(uint32, repeated, tag = "6")]
    segments: Vec<u32>,
}

impl Rests for Author {
    const COLUMN: &'static str = "accepted.author";

    fn bytes(&self) -> Bytes {
        let row = AuthorRow {
            party: self.submitter.party.to_string(),
            device: self.submitter.device.to_string(),
            message_id: Bytes::copy_from_slice(self.message_id.as_bytes()),
            header_hash: Bytes::copy_from_slice(&self.header_hash.0),
            signer: Bytes::copy_from_slice(&self.signer.0),
            segments: self.segments.clone(),
        };
        row.encode_to_vec().into()
    }

    fn read(bytes: Bytes) -> Option<Self> {
        let row = AuthorRow::decode(bytes).ok()?;
        let party = PartyName::new(&row.party).ok()?;
        let device = DeviceName::new(&row.device).ok()?;
        Some(Self {
            submitter: DeviceId { party, device },
            message_id: MessageId::try_from(&row.message_id[..]).ok()?,
            header_hash: Hash::try_from(&row.header_hash[..]).ok()?,
            signer: KeyId::try_from(&row.signer[..]).ok()?,
            segments: row.segments,
        })
    }
}

impl Rests for SignedHeader {
    const COLUMN: &'static str = "headers";

    fn bytes(&self) -> Bytes {
        [&self.signature()[..], SignedHeader::bytes(self)].concat().into()
    }

    fn read(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() < SIGNATURE_BYTES {
            return None;
        }
        let signature = bytes.split_to(SIGNATURE_BYTES);
        Self::received(bytes, &signature).ok()
    }
}

/// In `proofs` by its envelope, in `receipts` by its key: the rows differ in length, so neither opens as the other.
impl Rests for SignedReceipt {
    const COLUMN: &'static str = "receipts";

    fn bytes(&self) -> Bytes {
        self.to_bytes()
    }

    fn read(bytes: Bytes) -> Option<Self> {
        Self::from_bytes(bytes).ok()
    }
}

/// Ciphertext of a segment, as received.
impl Rests for Bytes {
    const COLUMN: &'static str = "segments";

    fn bytes(&self) -> Bytes {
        self.clone()
    }

    fn read(bytes: Bytes) -> Option<Self> {
        Some(bytes)
    }
}

impl Rests for Mailbox {
    const COLUMN: &'static str = "entries.name";

    fn bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.as_str().as_bytes())
    }

    fn read(bytes: Bytes) -> Option<Self> {
        Self::new(std::str::from_utf8(&bytes).ok()?).ok()
    }
}

impl Rests for wire::KeyWrap {
    const COLUMN: &'static str = "entries.wrap";

    fn bytes(&self) -> Bytes {
        wire::encode(self)
    }

    fn read(bytes: Bytes) -> Option<Self> {
        Self::decode(bytes).ok()
    }
}

impl Rests for wire::SigningLeaf {
    const COLUMN: &'static str = "leaves";

    fn bytes(&self) -> Bytes {
        wire::encode(self)
    }

    fn read(bytes: Bytes) -> Option<Self> {
        Self::decode(bytes).ok()
    }
}

/// A mailbox's newest bundle with its number.
pub(super) struct HeldBundle {
    pub(super) batch_no: u64,
    pub(super) bundle: SignedBundle,
}

impl Rests for HeldBundle {
    const COLUMN: &'static str = "bundles";

    fn bytes(&self) -> Bytes {
        [&self.batch_no.to_be_bytes()[..], &self.bundle.to_bytes()].concat().into()
    }

    fn read(bytes: Bytes) -> Option<Self> {
        let batch_no = u64::from_be_bytes(*bytes.first_chunk()?);
        Some(Self { batch_no, bundle: SignedBundle::from_bytes(bytes.slice(8..)).ok()? })
    }
}
