//! Errands of a session: what runs beside its loop against hub and queue, and the events that come of it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;
use valise_certs::signer::verify_signer;
use valise_proto::kinds::Precedence;
use valise_proto::limits as l;
use valise_proto::names::{DeviceId, MessageId};
use valise_proto::receipt::SignedReceipt;
use valise_proto::session::Close;
use valise_proto::session::relay::{Event, Offer};
use valise_proto::wire;

use crate::hub::{Answer, Hub};
use crate::queue::{Entry, Queue};

/// An entry as the session knows it.
pub fn offer(entry: &Entry) -> Offer {
    let large = entry.bytes > l::SEGMENT_BYTES as u64;
    let bulk = large || entry.precedence < Precedence::Immediate;
    Offer { sequence: entry.sequence, bulk }
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
        Err((refusal, statement)) => vec![Event::Refused(id, refusal, statement)],
    }
}

/// The signing certificate must be the device's own; it is kept, to travel ahead of what it signed ([P-16]).
pub async fn judge_leaf<Q: Queue>(hub: &Hub<Q>, device: &DeviceId, leaf: wire::SigningLeaf) -> Event {
    let signer = match verify_signer(&leaf.leaf, &leaf.issuer, &hub.trust(), hub.now_ms()) {
        Ok(signer) if signer.device() == Some(device) => signer,
        Ok(_) => return Event::LeafJudged(false),
        Err(fault) => {
            tracing::warn!(event = "signing-certificate-refused", party = %device.party, code = fault.code());
            return Event::LeafJudged(false);
        }
    };
    let kept = hub.queue().keep_leaf(signer.key_id(), leaf).await;
    match hub.noted(kept) {
        Ok(()) => Event::LeafJudged(true),
        Err(_) => Event::Close(Close::OurFault),
    }
}

/// All at once, so that they share a commit.
pub async fn note<Q: Queue>(hub: Arc<Hub<Q>>, receipts: Vec<SignedReceipt>) -> Event {
    let mut notes = JoinSet::new();
    for receipt in receipts {
        let hub = Arc::clone(&hub);
        notes.spawn(async move { hub.note(receipt).await });
    }
    let (mut ids, mut settled) = (Vec::new(), Vec::new());
    while let Some(noted) = notes.join_next().await {
        if let Ok(Some((id, number))) = noted {
            ids.push(id);
            settled.extend(number);
        }
    }
    Event::Noted(ids, settled)
}
