//! Messages for the queue, made as they are needed: nothing of a run's memory is theirs. Their bytes mean nothing: the
//! queue opens none and judges no signature.

use bytes::Bytes;
use valise_proto::header::{Header, Part, Recipient, SUITE_1, SignedHeader};
use valise_proto::kinds::{Addressing, Class, Precedence, ReceiptKind};
use valise_proto::limits::{
    HASH_BYTES, MESSAGE_LIFE_MS, PREKEY_ID_BYTES, SIGNATURE_BYTES, TAG_BYTES, WRAP_CT_BYTES, XWING_ENC_BYTES,
};
use valise_proto::names::{DeviceId, DeviceName, Mailbox, MessageId, PartyName};
use valise_proto::receipt::{Receipt, SignedReceipt, Speaker};
use valise_proto::signing::{Hash, KeyId};
use valise_proto::wire;
use valise_relay::queue::{Quotas, Submission};

/// The author's key, by name.
const SIGNER: KeyId = KeyId([3; HASH_BYTES]);
/// The moment at which all of it happens, Unix milliseconds.
const NOW_MS: u64 = 1_803_880_800_000;
/// Bytes from which all others are cut.
static BYTES: [u8; 64 * 1024] = [0x5a; 64 * 1024];

/// What messages are like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Supply {
    /// Bytes of each text.
    pub(crate) text: usize,
    /// Recipients of each message; with one, every worker has a mailbox of its own.
    pub(crate) recipients: usize,
    /// Whether their wraps come with it.
    pub(crate) wrapped: bool,
}

impl Supply {
    /// Texts to one mailbox each.
    pub(crate) const fn texts(bytes: usize) -> Self {
        Self { text: bytes, recipients: 1, wrapped: true }
    }

    pub(crate) fn now_ms(self) -> u64 {
        NOW_MS
    }

    pub(crate) fn signer(self) -> KeyId {
        SIGNER
    }

    /// A certificate as large as a real one.
    pub(crate) fn leaf(self) -> wire::SigningLeaf {
        wire::SigningLeaf {
            leaf: Bytes::from_static(&BYTES[..500]),
            issuer: Bytes::from_static(&BYTES[..500]),
        }
    }

    /// Bytes of a message that a user would count: ciphertext and wraps.
    pub(crate) fn payload(self) -> usize {
        let wrap = PREKEY_ID_BYTES + XWING_ENC_BYTES + WRAP_CT_BYTES;
        self.text + TAG_BYTES + if self.wrapped { self.recipients * wrap } else { 0 }
    }

    /// A message by its number, from a worker's own device.
    pub(crate) fn submission(self, number: usize, worker: usize) -> Submission {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        let (from, device) = (name("from", worker), DeviceName::new("gw1").expect("a name"));
        let to: Vec<Mailbox> = match self.recipients {
            1 => vec![Mailbox::from(&name("to", worker))],
            several => (0..several).map(|one| Mailbox::from(&name("b", 1000 + one))).collect(),
        };
        let body = Bytes::from_static(&BYTES[..self.text + TAG_BYTES]);
        let recipient =
            |to: &Mailbox| Recipient { mailbox: to.clone(), addressing: Addressing::Action, pair_seq: 1 };
        let facts = Header {
            suite: SUITE_1,
            message_id: MessageId::new(id),
            sender: Mailbox::from(&from),
            sender_device: device.clone(),
            sender_key_id: SIGNER,
            created_ms: NOW_MS,
            expires_ms: NOW_MS + MESSAGE_LIFE_MS,
            class: Class::Message,
            precedence: Precedence::Routine,
            roster_no: 1,
            recipients: to.iter().map(recipient).collect(),
            parts: vec![Part { ct_len: body.len() as u64, ct_root: Hash([4; HASH_BYTES]) }],
            cek_commit: [5; HASH_BYTES],
            log: None,
            fanout_agent: None,
        };
        let header = SignedHeader::received(facts.encode(), &[6; SIGNATURE_BYTES]);
        let wraps = to.iter().filter(|_| self.wrapped).map(|to| (to.clone(), wrap(to))).collect();
        Submission {
            header: header.expect("a header within bounds"),
            facts,
            submitter: DeviceId { party: from, device },
            recipients: to,
            wraps,
            parts: vec![vec![body]],
            quotas: Quotas::NONE,
            now_ms: NOW_MS,
        }
    }

    /// The recipient's statement about a message.
    pub(crate) fn delivered(
        self,
        (message_id, header_hash): (MessageId, Hash),
        sequence: u64,
        mailbox: &Mailbox,
    ) -> SignedReceipt {
        let receipt = Receipt {
            kind: ReceiptKind::Delivered,
            message_id,
            header_hash,
            sequence,
            time_ms: NOW_MS,
            by: Speaker::Mailbox(mailbox.clone()),
            mailbox: Some(mailbox.clone()),
            reason: None,
            operator_ref: None,
        };
        let signed = wire::SignedReceipt {
            receipt: receipt.encode(),
            signer_key_id: Bytes::copy_from_slice(&SIGNER.0),
            signature: Bytes::from_static(&BYTES[..SIGNATURE_BYTES]),
            leaf_index: 0,
            leaf_count: 1,
            path: Vec::new(),
        };
        SignedReceipt::received(signed).expect("a receipt within bounds")
    }
}

fn name(what: &str, number: usize) -> PartyName {
    PartyName::new(&format!("{what}{number}")).expect("letters and digits are a name")
}

fn wrap(to: &Mailbox) -> wire::KeyWrap {
    wire::KeyWrap {
        mailbox: to.to_string(),
        prekey_id: Bytes::from_static(&BYTES[..PREKEY_ID_BYTES]),
        psk_id: Bytes::new(),
        enc: Bytes::from_static(&BYTES[..XWING_ENC_BYTES]),
        ct: Bytes::from_static(&BYTES[..WRAP_CT_BYTES]),
    }
}
