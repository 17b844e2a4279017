//! Errands of a session: what runs beside its loop against hub and queue, and the events that come of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::sleep;
use valise_certs::signer::verify_signer;
use valise_proto::names::{DeviceId, MessageId};
use valise_proto::receipt::SignedReceipt;
use valise_proto::session::relay::Event;
use valise_proto::session::{Close, ReceiptId};
use valise_proto::signing::KeyId;
use valise_proto::wire::{self, frame::Kind};

use crate::hub::{Answer, Hub, Refused};
use crate::queue::{Queue, QueueError};

/// Pause before a full disk, or a queue that could not answer, is tried again.
pub const FULL_PAUSE: Duration = Duration::from_secs(1);

/// Says in the log how a device broke the protocol: its kind, never what was in the frame.
pub fn blame(device: &DeviceId, code: &'static str) {
    tracing::warn!(event = "frame-refused", party = %device.party, device = %device.device, code);
}

/// The events an answer becomes: refused recipients first, so that the author knows them before the acceptance
/// ([P-28]).
pub fn answers(id: MessageId, answer: Answer) -> Vec<Event> {
    let message_id = Bytes::copy_from_slice(id.as_bytes());
    let accepted = |relayed: SignedReceipt| {
        Event::Accepted(wire::Acceptance { message_id: message_id.clone(), relayed: Some(relayed.to_wire()) })
    };
    match answer.outcome {
        Ok(relayed) => {
            let denied = (!answer.denied.is_empty()).then_some(Event::Denied(answer.denied));
            denied.into_iter().chain(relayed.into_iter().map(accepted)).collect()
        }
        Err(Refused { refusal, retry_after_ms, statement }) => {
            vec![Event::Refused(id, refusal, retry_after_ms, statement)]
        }
    }
}

/// The signing certificate must be the device's own; it is kept, to travel ahead of what it signed ([P-16]).
pub async fn judge_leaf<Q: Queue>(hub: &Arc<Hub<Q>>, device: &DeviceId, leaf: wire::SigningLeaf) -> Event {
    let signer = match verify_signer(&leaf.leaf, &leaf.issuer, &hub.trust(), hub.now_ms()) {
        Ok(signer) if signer.device() == Some(device) => signer,
        Ok(_) => return Event::LeafJudged(None),
        Err(fault) => {
            tracing::warn!(event = "signing-certificate-refused", party = %device.party, code = fault.code());
            return Event::LeafJudged(None);
        }
    };
    let (own, key) = (Arc::clone(hub), signer.key_id());
    match hub.run_on(async move { own.keep_leaf(key, leaf).await }).await {
        Ok(Some(Ok(()))) => Event::LeafJudged(Some(key)),
        Ok(None | Some(Err(_))) | Err(_) => Event::Close(Close::OurFault),
    }
}

/// All at once, so that they share a commit. What finds the disk full is tried again: the device waits for its answer.
pub async fn note<Q: Queue>(hub: Arc<Hub<Q>>, device: DeviceId, receipts: Vec<SignedReceipt>) -> Event {
    let own = Arc::clone(&hub);
    // What is committed is told to the author even when this session is gone.
    let noting =
        hub.run_on(async move { join_all(receipts.into_iter().map(|r| note_one(&own, &device, r))).await });
    let noted = noting.await.ok().flatten().unwrap_or_default();
    let (ids, settled): (Vec<_>, Vec<_>) = noted.into_iter().flatten().unzip();
    Event::Noted(ids, settled.into_iter().flatten().collect())
}

async fn note_one<Q: Queue>(
    hub: &Hub<Q>,
    device: &DeviceId,
    receipt: SignedReceipt,
) -> Option<(ReceiptId, Option<u64>)> {
    loop {
        match hub.note(device, receipt.clone()).await {
            Err(QueueError::Full) => sleep(FULL_PAUSE).await,
            Err(_) => return None,
            Ok(noted) => return noted,
        }
    }
}

/// Forgets receipts that the device holds.
pub async fn forget<Q: Queue>(hub: Arc<Hub<Q>>, device: DeviceId, ids: Vec<ReceiptId>) -> Option<Event> {
    loop {
        match hub.noted(hub.queue().forget(device.clone(), ids.clone()).await) {
            Ok(()) => return Some(Event::Forgotten(ids)),
            Err(QueueError::Full) => sleep(FULL_PAUSE).await,
            Err(_) => return None,
        }
    }
}

/// The keys that signed the receipts in a frame.
pub fn signers(kind: &Kind) -> Vec<KeyId> {
    let receipts: Vec<&wire::SignedReceipt> = match kind {
        Kind::Receipts(receipts) => receipts.receipts.iter().collect(),
        Kind::Acceptances(acceptances) => {
            acceptances.accepted.iter().filter_map(|a| a.relayed.as_ref()).collect()
        }
        _ => Vec::new(), // a refusal is signed now, with today's key
    };
    receipts.iter().filter_map(|receipt| KeyId::try_from(&receipt.signer_key_id[..]).ok()).collect()
}
