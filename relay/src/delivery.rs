//! Hands one envelope to its recipient's device, on a stream of its own, segment by segment from the queue.
//!
//! The author's signing certificate rides in front until the device has stored one envelope that carried it: streams
//! overtake one another, and an envelope must never arrive before the papers that judge it ([P-29]). One that others passed
//! for long goes on beside what is immediate.

use std::collections::BTreeSet;

use quinn::Connection;
use valise_host::framing::{CONTROL_PRIORITY, FrameSender};
use valise_proto::header::Header;
use valise_proto::kinds::Precedence;
use valise_proto::names::Mailbox;
use valise_proto::session::relay::{Offer, Rank};
use valise_proto::signing::KeyId;
use valise_proto::transfer;
use valise_proto::wire::frame::Kind;

use crate::hub::Hub;
use crate::queue::{Outgoing, Queue};
use crate::still::Still;

const _: () = assert!(Rank::PRIORITIES <= CONTROL_PRIORITY as usize, "nothing passes the control stream");

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

/// A stream whose frames were handed over to their end; some may still wait in the transport.
pub struct Tail<'a> {
    stream: FrameSender,
    rank: Rank,
    still: &'a Still,
}

impl Tail<'_> {
    /// Until the device has all of it, or wants no more.
    pub async fn taken(mut self) {
        self.still.watch(self.rank, self.stream.delivered()).await.0.ok(); // the session is told by the device
    }
}

/// Sends one entry. What became of it, and its stream when all was handed over.
pub async fn deliver<'a, Q: Queue>(
    hub: &Hub<Q>,
    connection: &Connection,
    (mailbox, offer): (Mailbox, Offer),
    shown: &BTreeSet<KeyId>,
    still: &'a Still,
) -> (Sent, Option<Tail<'a>>) {
    let (sent, tail) = match hub.noted(hub.queue().outgoing(offer.sequence, mailbox).await) {
        Ok(Some(outgoing)) => {
            let sent = send(hub, connection, offer, outgoing, shown, still).await;
            sent.unwrap_or((Sent::Failed, None))
        }
        Ok(None) => (Sent::Settled, None),
        Err(_) => (Sent::Failed, None),
    };
    match sent {
        Sent::Whole { .. } => hub.metrics().delivered.one(),
        Sent::Failed => hub.metrics().undelivered.one(),
        Sent::Settled => {}
    }
    (sent, tail)
}

async fn send<'a, Q: Queue>(
    hub: &Hub<Q>,
    connection: &Connection,
    offer: Offer,
    outgoing: Outgoing,
    shown: &BTreeSet<KeyId>,
    still: &'a Still,
) -> Option<(Sent, Option<Tail<'a>>)> {
    let Offer { sequence, mut rank, .. } = offer;
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
    let mut stream = FrameSender::new(stream, priority(rank));
    still.begin(rank);
    let mut passed = None;
    for (part, index) in places(&facts).skip(1) {
        let (handed, stood_still) = still.watch(rank, stream.send_all(frames.drain(..))).await;
        handed.ok()?;
        if stood_still.is_some() {
            rank = rank.max(Rank::of(Precedence::Immediate));
            stream.set_priority(priority(rank));
        }
        // Until the next step is done too: only then has the transport let go of what it held at the old priority.
        passed = stood_still;
        hub.metrics().delivered_bytes.add(bytes);
        let Some(data) = hub.noted(hub.queue().segment(sequence, part, index).await).ok()? else {
            stream.reset(GIVEN_UP);
            return Some((Sent::Settled, None));
        };
        bytes = data.len() as u64;
        frames.push(transfer::segment(sequence, part, index, data));
    }
    frames.push(transfer::end(sequence));
    still.watch(rank, stream.send_all(frames)).await.0.ok()?;
    drop(passed);
    hub.metrics().delivered_bytes.add(bytes);
    stream.finish().ok()?;
    Some((Sent::Whole { carried }, Some(Tail { stream, rank, still })))
}

fn priority(rank: Rank) -> i32 {
    i32::try_from(rank.priority()).unwrap_or(0) // there are less than a dozen
}

/// Part and index of every segment, in order.
fn places(facts: &Header) -> impl Iterator<Item = (u32, u32)> {
    let parts = (0_u32..).zip(&facts.parts);
    parts.flat_map(|(part, of)| {
        (0_u32..).take_while(move |at| u64::from(*at) < of.segments()).map(move |at| (part, at))
    })
}
