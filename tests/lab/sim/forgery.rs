//! A device that lies about its own mail: it states `delivered` for what it does not have, under a header of its own
//! invention. Its keys are genuine; what it says is not bound to any envelope that was sent.

use valise_client::boxes::NewDeadLetter;
use valise_client::office::{About, Office};
use valise_proto::kinds::ReceiptKind;
use valise_proto::signing::Hash;
use valise_relay::hub::Hub;
use valise_relay::queue::Queue;

/// Entries looked at for one to lie about.
const LOOKED_AT: usize = 1;

/// Has the device state that it has the first message that waits for it.
pub async fn state<Q: Queue>(hub: &Hub<Q>, office: &Office) {
    let mailbox = office.mailboxes[0].clone();
    let waiting = hub.queue().next(mailbox.clone(), Default::default(), LOOKED_AT, hub.now_ms()).await;
    let Some(entry) = waiting.ok().and_then(|entries| entries.first().cloned()) else { return };
    let found = hub.queue().outgoing(entry.sequence, mailbox.clone()).await;
    let Some(outgoing) = found.ok().flatten() else { return };
    let Ok(facts) = outgoing.header.read() else { return };
    let about = About {
        message_id: facts.message_id,
        header_hash: Hash::of(&[b"a header that nobody sent"]),
        sequence: entry.sequence,
        mailbox,
    };
    let letter = NewDeadLetter {
        sequence: entry.sequence,
        header: outgoing.header,
        detail: "a lie of the simulator".to_owned(),
        statement: office.state(&about, ReceiptKind::Delivered, None),
        now_ms: office.clock.now_ms(),
    };
    // A store that dies meanwhile tells no lie.
    if office.write(move |boxes| boxes.dead_letter(letter)).await.is_ok() {
        office.bells.statements.notify_one();
    }
}
