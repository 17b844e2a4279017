//! Hands one envelope to its recipient's device, on a stream of its own, segment by segment from the queue.
//!
//! The author's signing certificate rides in front until the device has stored one envelope that carried it: streams
//! overtake one another, and an envelope must never arrive before the papers that judge it ([P-29]).

use std::collections::BTreeSet;

use quinn::Connection;
use valise_host::framing::{FrameSender, transfer_priority};
use valise_proto::names::Mailbox;
use valise_proto::signing::KeyId;
use valise_proto::transfer;
use valise_proto::wire::frame::Kind;

use crate::hub::Hub;
use crate::queue::{Outgoing, Queue};

/// Stream reset: the envelope was settled meanwhile, or the queue failed.
const GIVEN_UP: u32 = 0;

/// What became of a delivery.
#[derive(Clone, Copy, Debug)]
pub enum Sent {
    /// Its last frame is on its way.
    Whole {
        /// The signing key whose certificate rode in front.
        carried: Option<KeyId>,
    },
    /// It was settled before.
    Settled,
    /// It could not be read, or nobody takes it any more.
    Failed,
}

/// Sends one entry.
pub async fn deliver<Q: Queue>(
    hub: &Hub<Q>,
    connection: &Connection,
    mailbox: Mailbox,
    sequence: u64,
    shown: &BTreeSet<KeyId>,
) -> Sent {
    let sent = match hub.noted(hub.queue().outgoing(sequence, mailbox).await) {
        Ok(Some(outgoing)) => send(hub, connection, sequence, outgoing, shown).await.unwrap_or(Sent::Failed),
        Ok(None) => Sent::Settled,
        Err(_) => Sent::Failed,
    };
    match sent {
        Sent::Whole { .. } => hub.metrics().delivered.one(),
        Sent::Failed => hub.metrics().undelivered.one(),
        Sent::Settled => {}
    }
    sent
}

async fn send<Q: Queue>(
    hub: &Hub<Q>,
    connection: &Connection,
    sequence: u64,
    outgoing: Outgoing,
    shown: &BTreeSet<KeyId>,
) -> Option<Sent> {
    let facts = outgoing.header.read().ok()?;
    let key = facts.sender_key_id;
    let carried = (!shown.contains(&key)).then_some(key);
    let stream = connection.open_uni().await.ok()?;
    let mut stream = FrameSender::new(stream, transfer_priority(facts.precedence));
    if carried.is_some() {
        stream.send(Kind::SigningLeaf(outgoing.leaf)).await.ok()?;
    }
    let proof_key = outgoing.relayed.signer();
    if proof_key != hub.signer_key() {
        // Accepted under an earlier certificate of ours, which this device may never have seen.
        let earlier = hub.noted(hub.queue().leaf(proof_key).await).ok()?;
        stream.send(Kind::SigningLeaf(earlier?)).await.ok()?;
    }
    // The number of the transfer is the relay's number of the envelope: unique in the session.
    for kind in transfer::opening(sequence, &outgoing.header, Some(&outgoing.relayed), [outgoing.wrap]) {
        stream.send(kind).await.ok()?;
    }
    for (part, count) in (0_u32..).zip(outgoing.segments) {
        for index in 0..count {
            let Some(data) = hub.noted(hub.queue().segment(sequence, part, index).await).ok()? else {
                stream.reset(GIVEN_UP);
                return Some(Sent::Settled);
            };
            let bytes = data.len() as u64;
            stream.send(transfer::segment(sequence, part, index, data)).await.ok()?;
            hub.metrics().delivered_bytes.add(bytes);
        }
    }
    stream.send(transfer::end(sequence)).await.ok()?;
    stream.finish().ok()?;
    Some(Sent::Whole { carried })
}
