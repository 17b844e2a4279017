//! Hands one envelope to its recipient's device, on a stream of its own, segment by segment from the queue.
//!
//! The author's signing certificate rides in front until the device has stored one envelope that carried it: streams
//! overtake one another, and an envelope must never arrive before the papers that judge it ([P-29]).

use std::collections::BTreeSet;

use quinn::Connection;
use valise_host::framing::{FrameSender, transfer_priority};
use valise_proto::header::Header;
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
    let facts = outgoing.facts;
    let key = facts.sender_key_id;
    let carried = (!shown.contains(&key)).then_some(key);
    // What leads up to the second segment goes out in one write: of most envelopes that is all.
    let mut frames = Vec::with_capacity(6);
    if carried.is_some() {
        frames.push(Kind::SigningLeaf(hub.leaf(key).await.ok()??));
    }
    let proof_key = outgoing.relayed.signer();
    if proof_key != hub.signer_key() {
        // Accepted under an earlier certificate of ours, which this device may never have seen.
        frames.push(Kind::SigningLeaf(hub.leaf(proof_key).await.ok()??));
    }
    // The number of the transfer is the relay's number of the envelope: unique in the session.
    frames.extend(transfer::opening(sequence, &outgoing.header, Some(&outgoing.relayed), [outgoing.wrap]));
    let mut bytes = outgoing.first.len() as u64;
    frames.push(transfer::segment(sequence, 0, 0, outgoing.first));
    let stream = connection.open_uni().await.ok()?;
    let mut stream = FrameSender::new(stream, transfer_priority(facts.precedence));
    for (part, index) in places(&facts).skip(1) {
        stream.send_all(frames.drain(..)).await.ok()?;
        hub.metrics().delivered_bytes.add(bytes);
        let Some(data) = hub.noted(hub.queue().segment(sequence, part, index).await).ok()? else {
            stream.reset(GIVEN_UP);
            return Some(Sent::Settled);
        };
        bytes = data.len() as u64;
        frames.push(transfer::segment(sequence, part, index, data));
    }
    frames.push(transfer::end(sequence));
    stream.send_all(frames).await.ok()?;
    hub.metrics().delivered_bytes.add(bytes);
    stream.finish().ok()?;
    Some(Sent::Whole { carried })
}

/// Part and index of every segment, in order.
fn places(facts: &Header) -> impl Iterator<Item = (u32, u32)> {
    let parts = (0_u32..).zip(&facts.parts);
    parts.flat_map(|(part, of)| {
        (0_u32..).take_while(move |at| u64::from(*at) < of.segments()).map(move |at| (part, at))
    })
}
