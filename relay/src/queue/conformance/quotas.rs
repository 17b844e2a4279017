//! Stories of quotas: what is too much for a mailbox or of a sender is not stored, to the entry and to the byte, and
//! what ends makes room again.

use bytes::Bytes;
use valise_proto::kinds::Precedence;
use valise_proto::kinds::ReceiptKind::{Delivered, Unopenable};

use super::Lab;
use super::cast::{EXPIRES, Message, NOW, device, fr, mail, mailbox, message, next, wrap};
use crate::queue::{Depth, Noted, Over, Placed, Queue, Quota, Quotas, Sequence};

/// So many entries for a mailbox, whatever their bytes.
fn for_mailbox(entries: u64) -> Quotas {
    Quotas { mailbox: Quota { entries, ..Quota::NONE }, ..Quotas::NONE }
}

/// So many entries of a sender, whatever their bytes.
fn of_sender(entries: u64) -> Quotas {
    Quotas { sender: Quota { entries, ..Quota::NONE }, ..Quotas::NONE }
}

/// A message under quotas.
fn under(quotas: Quotas, id: u8) -> Message {
    Message { quotas, ..message(id) }
}

/// Submits it; its number, or the quota that stands in the way.
async fn tried(queue: &impl Queue, message: &Message) -> Result<Sequence, Over> {
    match queue.enqueue(message.submission()).await.unwrap() {
        Placed::Stored { sequence, fresh: true, .. } => Ok(sequence),
        Placed::Over(over) => Err(over),
        other => panic!("message {} is new: {other:?}", message.id),
    }
}

pub(crate) async fn a_mailbox_is_full_to_the_entry_and_to_the_byte_even_after_a_restart(lab: &impl Lab) {
    let queue = lab.open();
    let three = for_mailbox(3);
    for id in 1..=3 {
        under(three, id).place(&queue).await;
    }
    assert_eq!(tried(&queue, &under(three, 4)).await, Err(Over::Mailboxes));
    let mut elsewhere = under(three, 5);
    elsewhere.to = vec![("minustah", true)];
    assert_eq!(tried(&queue, &elsewhere).await, Ok(4), "no number was given for what was not stored");
    assert_eq!(queue.depth().await.unwrap(), Depth { entries: 4, receipts: 0, sequence: 4 });
    assert_eq!(next(&queue, "br").await, [1, 2, 3]);
    lab.close(queue).await;

    let queue = lab.open();
    assert_eq!(tried(&queue, &under(three, 4)).await, Err(Over::Mailboxes));
    queue.note(2, mailbox("br"), message(2).stated(2, "br", Delivered)).await.unwrap();
    assert_eq!(tried(&queue, &under(three, 4)).await, Ok(5), "the same bytes, once there is room");

    // Three entries of 272 bytes wait for br; another may be of as many as are left.
    let bytes = Quotas { mailbox: Quota { bytes: 4000, ..Quota::NONE }, ..Quotas::NONE };
    let mut sized = under(bytes, 6);
    let left = 3600 - 3 * 272;
    sized.parts = vec![vec![Bytes::from(vec![6; left + 1])]];
    assert_eq!(tried(&queue, &sized).await, Err(Over::Mailboxes));
    sized.parts = vec![vec![Bytes::from(vec![6; left])]];
    assert_eq!(tried(&queue, &sized).await, Ok(6));
}

pub(crate) async fn a_retry_of_what_is_stored_is_never_refused(lab: &impl Lab) {
    let queue = lab.open();
    let mut partial = under(for_mailbox(1), 1);
    partial.to = vec![("br", false)];
    partial.place(&queue).await;
    let mut retry = partial.submission();
    retry.wraps = vec![wrap("br", 1)];
    retry.quotas = for_mailbox(0);
    assert!(matches!(queue.enqueue(retry).await.unwrap(), Placed::Stored { fresh: false, .. }));
    assert_eq!(next(&queue, "br").await, [1], "and it brings the wrap that was missing");

    queue.note(1, mailbox("br"), partial.stated(1, "br", Delivered)).await.unwrap();
    under(for_mailbox(1), 2).place(&queue).await;
    let again = queue.enqueue(partial.submission()).await.unwrap();
    assert!(matches!(again, Placed::Stored { fresh: false, sequence: 1, .. }), "{again:?}");
    assert_eq!(queue.depth().await.unwrap().entries, 1);
}

pub(crate) async fn a_full_mailbox_takes_what_others_with_room_get_too(lab: &impl Lab) {
    let queue = lab.open();
    let one = for_mailbox(1);
    let mut alone = under(one, 1);
    alone.to = vec![("minustah", true)];
    alone.place(&queue).await;
    alone.id = 2;
    assert_eq!(tried(&queue, &alone).await, Err(Over::Mailboxes));

    let mut circular = under(one, 3);
    circular.to = vec![("br", true), ("minustah", true)];
    assert_eq!(tried(&queue, &circular).await, Ok(2), "br has room");
    circular.id = 4;
    assert_eq!(tried(&queue, &circular).await, Err(Over::Mailboxes), "none of them has");
    assert_eq!((next(&queue, "minustah").await, next(&queue, "br").await), (vec![1, 2], vec![2]));

    // A sender's quota lets nothing pass, whoever has room.
    circular.id = 5;
    circular.to.push(("jp", true));
    circular.quotas.sender.entries = 5;
    assert_eq!(tried(&queue, &circular).await, Err(Over::Sender));
}

pub(crate) async fn a_sender_is_charged_for_each_recipient_and_once_for_the_bytes(lab: &impl Lab) {
    let queue = lab.open();
    let mut circular = under(of_sender(5), 1);
    circular.to = vec![("br", true), ("jp", false), ("minustah", true)];
    circular.place(&queue).await;
    let mut second = Message { id: 2, ..circular };
    assert_eq!(tried(&queue, &second).await, Err(Over::Sender), "six entries, one of which waits for a key");
    second.to = vec![("br", true), ("minustah", true)];
    assert_eq!(tried(&queue, &second).await, Ok(2));
    assert_eq!(tried(&queue, &under(of_sender(5), 3)).await, Err(Over::Sender));
    lab.close(queue).await;

    let queue = lab.open();
    let mut other = under(of_sender(5), 3);
    other.from = device("fr", "gw2");
    assert_eq!(tried(&queue, &other).await, Err(Over::Sender), "the devices of a party share");
    other.from = device("us", "gw1");
    assert_eq!(tried(&queue, &other).await, Ok(3));

    // Two envelopes of 272 bytes wait for five recipients; 900 of 1000 are for what is not urgent.
    let bytes = Quotas { sender: Quota { bytes: 1000, ..Quota::NONE }, ..Quotas::NONE };
    let sized = |id, bytes_left: usize| Message {
        parts: vec![vec![Bytes::from(vec![id; bytes_left])]],
        ..under(bytes, id)
    };
    let settle = async |by: &'static str| {
        let noted = queue.note(2, mailbox(by), second.stated(2, by, Delivered)).await.unwrap();
        assert_eq!(noted, Noted::Kept { author: fr() });
    };
    assert_eq!(tried(&queue, &sized(4, 900 - 2 * 272 + 1)).await, Err(Over::Sender));
    settle("br").await;
    assert_eq!(
        tried(&queue, &sized(4, 900 - 2 * 272 + 1)).await,
        Err(Over::Sender),
        "minustah has it to get"
    );
    settle("minustah").await;
    assert_eq!(tried(&queue, &sized(4, 900 - 272 + 1)).await, Err(Over::Sender), "of the first, all wait");
    assert_eq!(tried(&queue, &sized(4, 900 - 272)).await, Ok(4));
}

pub(crate) async fn what_ends_makes_room_again_however_it_ends(lab: &impl Lab) {
    let queue = lab.open();
    let two = Quotas { mailbox: Quota { entries: 2, bytes: 700 }, sender: Quota { entries: 2, bytes: 700 } };
    let mut numbers = Vec::new();
    for id in 1..=2 {
        numbers.push(under(two, id).place(&queue).await);
    }
    assert_eq!(tried(&queue, &under(two, 3)).await, Err(Over::Sender));
    queue.note(1, mailbox("br"), message(1).stated(1, "br", Unopenable)).await.unwrap();
    queue.note(2, mailbox("br"), message(2).stated(2, "br", Delivered)).await.unwrap();
    // Told twice, an end makes room once.
    queue.note(2, mailbox("br"), message(2).stated(2, "br", Delivered)).await.unwrap();
    queue.note(2, mailbox("br"), message(2).stated(2, "br", Unopenable)).await.unwrap();

    let mut brief = under(two, 3);
    brief.expires_ms = EXPIRES - 1000;
    brief.place(&queue).await;
    let mut keyless = under(two, 4);
    (keyless.to, keyless.expires_ms) = (vec![("br", false)], EXPIRES - 1000);
    keyless.place(&queue).await;
    assert_eq!(tried(&queue, &under(two, 5)).await, Err(Over::Sender));
    assert_eq!(queue.expire(EXPIRES - 1000, 10).await.unwrap().entries, 2);
    for id in 5..=6 {
        under(two, id).place(&queue).await;
    }
    assert_eq!(tried(&queue, &under(two, 7)).await, Err(Over::Sender));
    assert_eq!(mail(&queue, fr()).await.len(), 5, "three were stated, two expired");
}

pub(crate) async fn the_last_place_is_given_once(lab: &impl Lab) {
    let queue = lab.open();
    let at_once = |id| {
        let mut message = under(for_mailbox(2), id);
        message.from = device(["fr", "us", "jp", "de", "es"][usize::from(id - 1)], "gw1");
        message.submission()
    };
    let (a, b, c, d, e) = tokio::join!(
        queue.enqueue(at_once(1)),
        queue.enqueue(at_once(2)),
        queue.enqueue(at_once(3)),
        queue.enqueue(at_once(4)),
        queue.enqueue(at_once(5)),
    );
    let placed = [a, b, c, d, e].map(|placed| placed.unwrap());
    let stored = placed.iter().filter(|one| matches!(one, Placed::Stored { fresh: true, .. })).count();
    let refused = placed.iter().filter(|one| matches!(one, Placed::Over(Over::Mailboxes))).count();
    assert_eq!((stored, refused), (2, 3), "in one commit or in several");
    assert_eq!(next(&queue, "br").await.len(), 2);
}

pub(crate) async fn what_is_urgent_finds_a_tenth_left(lab: &impl Lab) {
    let queue = lab.open();
    let ten = for_mailbox(10);
    for id in 1..=9 {
        under(ten, id).place(&queue).await;
    }
    for precedence in [Precedence::Deferred, Precedence::Routine, Precedence::Priority] {
        let message = Message { precedence, ..under(ten, 10) };
        assert_eq!(tried(&queue, &message).await, Err(Over::Mailboxes), "{precedence}");
    }
    let flash = Message { precedence: Precedence::Flash, ..under(ten, 11) };
    flash.place(&queue).await;
    let another = Message { precedence: Precedence::Override, ..under(ten, 12) };
    assert_eq!(tried(&queue, &another).await, Err(Over::Mailboxes), "the whole is full");
    assert_eq!(next(&queue, "br").await[0], 10, "the flash goes first");
}

pub(crate) async fn a_quota_that_was_lowered_takes_nothing_until_enough_has_gone(lab: &impl Lab) {
    let queue = lab.open();
    for id in 1..=4 {
        message(id).place(&queue).await;
    }
    let lowered = for_mailbox(2);
    for sequence in 1..=2 {
        assert_eq!(tried(&queue, &under(lowered, 5)).await, Err(Over::Mailboxes));
        let id = u8::try_from(sequence).unwrap();
        queue.note(sequence, mailbox("br"), message(id).stated(sequence, "br", Delivered)).await.unwrap();
    }
    assert_eq!(tried(&queue, &under(lowered, 5)).await, Err(Over::Mailboxes), "two wait, and two may");
    queue.note(3, mailbox("br"), message(3).stated(3, "br", Delivered)).await.unwrap();
    assert_eq!(tried(&queue, &under(lowered, 5)).await, Ok(5));
    assert_eq!(queue.next(mailbox("br"), [].into(), 9, NOW).await.unwrap().len(), 2);
}
