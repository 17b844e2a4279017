//! Hands one envelope to its recipient's device, on a stream of its own, segment by segment from the queue.
//!
//! The author's signing certificate rides in front until the device has stored one envelope that carried it: streams
//! overtake one another, and an envelope must never arrive before the papers that judge it.

use std::collections::BTreeSet;

use quinn::Connection;
use valise_host::framing::{FrameSender, transfer_priority};
use valise_proto::names::Mailbox;
use valise_proto::signing::KeyId;
use valise_proto::transfer;
use valise_proto::wire::frame::Kind;

use crate::hub::Hub;
use crate::queue::Queue;

/// Stream reset: the envelope was settled meanwhile, or the queue failed.
const GIVEN_UP: u32 = 0;

/// A delivery whose last frame is on its way.
#[derive(Clone, Copy, Debug)]
pub struct Delivered {
    /// Which envelope.
    pub sequence: u64,
    /// The signing key whose certificate it carried.
    pub carried: Option<KeyId>,
}

/// Sends; none when there is nothing to send any more, or nobody to send to.
pub async fn deliver<Q: Queue>(
    hub: &Hub<Q>,
    connection: &Connection,
    mailbox: Mailbox,
    sequence: u64,
    shown: &BTreeSet<KeyId>,
) -> Option<Delivered> {
    let outgoing = hub.noted(hub.queue().outgoing(sequence, mailbox).await).ok()??;
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
            let segment = hub.noted(hub.queue().segment(sequence, part, index).await).ok().flatten();
            let Some(data) = segment else {
                stream.reset(GIVEN_UP);
                return None;
            };
            stream.send(transfer::segment(sequence, part, index, data)).await.ok()?;
        }
    }
    stream.send(transfer::end(sequence)).await.ok()?;
    stream.finish().ok()?;
    Some(Delivered { sequence, carried })
}
