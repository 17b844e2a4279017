//! What is looked at: while a run goes on, what an author's desk believes; at its end, every inbox, every state, every
//! receipt that was kept.

use std::collections::BTreeMap;

use valise_client::answer::State;
use valise_client::contract::Desk;
use valise_proto::kinds::ReceiptKind;
use valise_proto::names::MessageId;
use valise_relay::queue::Queue;

use super::machine::locked;
use super::model::Asked;
use super::world::World;

/// No author's desk believes that a message was delivered which its recipient's desk does not have.
pub async fn believed(world: &mut World) {
    let asked: Vec<Asked> =
        locked(&world.model).requests().filter(|asked| asked.id.is_some()).cloned().collect();
    let mut beliefs: BTreeMap<&'static str, Vec<(&'static str, MessageId)>> = BTreeMap::new();
    for asked in asked {
        let Some(id) = asked.id else { continue };
        let Some(desk) = world.party(asked.from).desk() else { continue };
        let Ok(lines) = desk.track(id).await else { continue };
        for to in asked.to {
            if lines.iter().any(|line| line.to == to && line.state >= State::Delivered) {
                beliefs.entry(to).or_default().push((asked.from, id));
            }
        }
    }
    // Looked at after what is believed: on slow disks time passes between two looks.
    for (to, beliefs) in beliefs {
        let Some(held) = inbox(world, to).await else { continue };
        for (from, id) in beliefs {
            if !held.contains(&id) {
                world.fault(format!("{from} believes that {to} has a message which it does not have"));
            }
        }
    }
}

async fn inbox(world: &mut World, party: &'static str) -> Option<Vec<MessageId>> {
    let lines = world.party(party).desk()?.inbox(None).await.ok()?;
    Some(lines.iter().filter_map(|line| line.id.parse().ok()).collect())
}

/// The end: lost and doubled copies; whatever else is wrong becomes a fault.
pub async fn judge(world: &mut World) -> (u64, u64) {
    let (mut lost, mut doubled) = (0, 0);
    let names: Vec<&'static str> = world.parties.iter().map(super::node::PartyNode::name).collect();
    for party in &names {
        let Some(ids) = inbox(world, party).await else {
            world.fault(format!("{party} cannot read its inbox"));
            continue;
        };
        let (missing, twice) = locked(&world.model).judge_inbox(party, &ids);
        (lost, doubled) = (lost + missing, doubled + twice);
    }
    for party in names {
        bodies(world, party).await;
    }
    states(world).await;
    receipts(world).await;
    emptied(world).await;
    (lost, doubled)
}

/// What was written is what is read.
async fn bodies(world: &mut World, party: &'static str) {
    let due: Vec<(MessageId, Vec<u8>)> = {
        let model = locked(&world.model);
        model.inbox_due(party).into_iter().map(|(id, asked)| (id, asked.body.clone())).collect()
    };
    for (id, written) in due {
        let Some(desk) = world.party(party).desk() else { continue };
        match desk.body(id).await {
            Ok(body) if body == written => {}
            Ok(_) => world.fault(format!("{party} reads another body than was written")),
            Err(_) => {} // it is lost, and was counted
        }
    }
}

/// The author's desk knows how far each recipient went, and nothing beyond it.
async fn states(world: &mut World) {
    let asked: Vec<Asked> = locked(&world.model).requests().cloned().collect();
    for asked in asked {
        let Some(id) = asked.id else {
            world.fault(format!("{} was never answered", asked.from));
            continue;
        };
        let Some(desk) = world.party(asked.from).desk() else { continue };
        let Ok(lines) = desk.track(id).await else {
            world.fault(format!("{} does not know a message that it was answered for", asked.from));
            continue;
        };
        for to in asked.to {
            let due = locked(&world.model).due(id, to);
            let state = lines.iter().find(|line| line.to == to).map(|line| line.state);
            if state != Some(due) {
                let (from, found) = (asked.from, state.map_or("nothing", State::as_str));
                world.fault(format!("{from} sees {found} where {to} has {due}"));
            }
        }
    }
}

/// Every receipt that an author keeps is about exactly the envelope that was sent.
async fn receipts(world: &mut World) {
    let asked: Vec<Asked> =
        locked(&world.model).requests().filter(|asked| asked.id.is_some()).cloned().collect();
    for asked in asked {
        let (Some(id), Some(office)) = (asked.id, world.party(asked.from).office()) else { continue };
        let Ok(kept) = office.store(move |boxes| boxes.receipts(&id)).await else { continue };
        let claims: Vec<_> = kept.iter().filter_map(|receipt| receipt.claim().ok()).collect();
        // The relay's proof is about the header that it took from this very device.
        let proof = claims.iter().find(|claim| claim.kind == ReceiptKind::Relayed);
        let Some(sent) = proof.map(|claim| claim.header_hash) else { continue };
        for claim in claims {
            let ours = claim.message_id == id && claim.header_hash == sent;
            if !ours && !claim.kind.is_bad_end() {
                world.fault(format!("{} keeps a receipt for another envelope", asked.from));
            }
            if claim.kind == ReceiptKind::Relayed
                && claim.mailbox.is_some_and(|to| !asked.to.contains(&to.as_str()))
            {
                world.fault(format!("{} keeps a receipt about a stranger", asked.from));
            }
        }
    }
}

/// The relay holds nothing of what has ended.
async fn emptied(world: &mut World) {
    let Some(hub) = world.relay.hub() else { return };
    match hub.queue().depth().await {
        Ok(depth) if depth.entries == 0 && depth.receipts == 0 => {}
        Ok(depth) => {
            world.fault(format!("{} entries and {} receipts are left over", depth.entries, depth.receipts))
        }
        Err(error) => world.fault(format!("the queue does not answer: {error}")),
    }
}
