//! Messages for the queue, made ahead of the clock. Their bytes mean nothing: the queue opens none and judges no
//! signature.

use bytes::Bytes;
use valise_host::entropy::random;
use valise_proto::header::{Header, Part, Recipient, SUITE_1, SignedHeader};
use valise_proto::kinds::{Addressing, Class, Precedence, ReceiptKind};
use valise_proto::limits::{
    HASH_BYTES, MESSAGE_LIFE_MS, PREKEY_ID_BYTES, SIGNATURE_BYTES, TAG_BYTES, WRAP_CT_BYTES, XWING_ENC_BYTES,
};
use valise_proto::names::{DeviceId, DeviceName, Mailbox, MessageId, PartyName};
use valise_proto::receipt::{Receipt, SignedReceipt, Speaker};
use valise_proto::signing::{Hash, KeyId};
use valise_proto::wire;
use valise_relay::queue::Submission;

use crate::federation::now_ms;

/// Bytes of each text.
const TEXT_BYTES: usize = 1024;
/// The author's key, by name.
const SIGNER: KeyId = KeyId([3; HASH_BYTES]);

/// Messages, and what does not change between them.
pub(super) struct Supply {
    ids: Vec<MessageId>,
    body: Bytes,
    now_ms: u64,
}

impl Supply {
    pub(super) fn new(count: usize) -> Self {
        let ids = (0..count).map(|_| MessageId::new(random())).collect();
        let body = (0..TEXT_BYTES + TAG_BYTES).map(|at| at.to_le_bytes()[0]).collect();
        Self { ids, body, now_ms: now_ms() }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    pub(super) fn signer(&self) -> KeyId {
        SIGNER
    }

    /// A certificate as large as a real one.
    pub(super) fn leaf(&self) -> wire::SigningLeaf {
        wire::SigningLeaf { leaf: self.body.slice(..500), issuer: self.body.slice(..500) }
    }

    /// The next message, from a worker's own device to a worker's own mailbox; none when all are used up.
    pub(super) fn submission(&self, number: usize, worker: usize) -> Option<Submission> {
        let message_id = *self.ids.get(number)?;
        let name =
            |what: &str| PartyName::new(&format!("{what}{worker}")).expect("letters and digits are a name");
        let (from, to) = (name("from"), Mailbox::from(&name("to")));
        let device = DeviceName::new("gw1").expect("a name");
        let facts = Header {
            suite: SUITE_1,
            message_id,
            sender: Mailbox::from(&from),
            sender_device: device.clone(),
            sender_key_id: SIGNER,
            created_ms: self.now_ms,
            expires_ms: self.now_ms + MESSAGE_LIFE_MS,
            class: Class::Message,
            precedence: Precedence::Routine,
            roster_no: 1,
            recipients: vec![Recipient { mailbox: to.clone(), addressing: Addressing::Action, pair_seq: 1 }],
            parts: vec![Part { ct_len: self.body.len() as u64, ct_root: Hash([4; HASH_BYTES]) }],
            cek_commit: [5; HASH_BYTES],
            log: None,
            fanout_agent: None,
        };
        let bytes = facts.encode();
        let header = SignedHeader::received(bytes, &[6; SIGNATURE_BYTES]).expect("a header within bounds");
        let wrap = wire::KeyWrap {
            mailbox: to.to_string(),
            prekey_id: self.body.slice(..PREKEY_ID_BYTES),
            psk_id: Bytes::new(),
            enc: Bytes::from(vec![7; XWING_ENC_BYTES]),
            ct: self.body.slice(..WRAP_CT_BYTES),
        };
        Some(Submission {
            header,
            facts,
            submitter: DeviceId { party: from, device },
            recipients: vec![to.clone()],
            wraps: vec![(to, wrap)],
            parts: vec![vec![self.body.clone()]],
            now_ms: self.now_ms,
        })
    }

    /// The recipient's statement about a message.
    pub(super) fn delivered(
        &self,
        (message_id, header_hash): (MessageId, Hash),
        sequence: u64,
        mailbox: &Mailbox,
    ) -> SignedReceipt {
        let receipt = Receipt {
            kind: ReceiptKind::Delivered,
            message_id,
            header_hash,
            sequence,
            time_ms: self.now_ms,
            by: Speaker::Mailbox(mailbox.clone()),
            mailbox: Some(mailbox.clone()),
            reason: None,
            operator_ref: None,
        };
        let signed = wire::SignedReceipt {
            receipt: receipt.encode(),
            signer_key_id: Bytes::copy_from_slice(&SIGNER.0),
            signature: self.body.slice(..SIGNATURE_BYTES),
            leaf_index: 0,
            leaf_count: 1,
            path: Vec::new(),
        };
        SignedReceipt::received(signed).expect("a receipt within bounds")
    }
}
