//! Stories of settling: what lets an entry go, what reaches the author, what has no ground, what runs out of time.

use valise_proto::kinds::{Reason, ReceiptKind};
use valise_proto::limits::{DAY_MS, REPLAY_KEPT_MS};
use valise_proto::names::RelayId;
use valise_proto::receipt::Speaker;
use valise_proto::signing::Hash;

use super::Lab;
use super::cast::{EXPIRES, NOW, device, fr, hub_key, mail, mailbox, message, next, none, signed};
use crate::queue::{Noted, Placed, Queue, Wrapped};

use ReceiptKind::{Acknowledged, Delivered, Expired, Opened, Relayed, Unopenable};

fn kept() -> Noted {
    Noted::Kept { author: fr() }
}

pub(crate) async fn delivered_lets_go_and_reaches_the_author(lab: &impl Lab) {
    let queue = lab.open();
    message(1).place(&queue).await;
    let receipt = message(1).stated(1, "br", Delivered);
    assert_eq!(queue.note(1, mailbox("br"), receipt.clone()).await.unwrap(), kept());
    assert!(next(&queue, "br").await.is_empty());
    assert!(queue.outgoing(1, mailbox("br")).await.unwrap().is_none());
    assert_eq!(queue.segment(1, 0, 0).await.unwrap(), None, "the last recipient has the body");
    lab.close(queue).await;

    let queue = lab.open();
    assert_eq!(mail(&queue, fr()).await, std::slice::from_ref(&receipt));
    assert_eq!(queue.note(1, mailbox("br"), receipt.clone()).await.unwrap(), Noted::Known { author: fr() });
    queue.forget(fr(), vec![receipt.id()]).await.unwrap();
    assert!(mail(&queue, fr()).await.is_empty());
    assert_eq!(queue.note(1, mailbox("br"), receipt).await.unwrap(), Noted::Known { author: fr() });
    assert!(mail(&queue, fr()).await.is_empty(), "what the author took does not come back");
}

pub(crate) async fn the_body_stays_until_the_last_recipient_has_it(lab: &impl Lab) {
    let queue = lab.open();
    let mut shared = message(1);
    shared.to = vec![("br", true), ("minustah", true)];
    shared.place(&queue).await;
    queue.note(1, mailbox("br"), shared.stated(1, "br", Delivered)).await.unwrap();
    assert!(next(&queue, "br").await.is_empty());
    assert_eq!(next(&queue, "minustah").await, [1]);
    assert!(queue.outgoing(1, mailbox("minustah")).await.unwrap().is_some());
    assert!(queue.segment(1, 0, 0).await.unwrap().is_some());
    queue.note(1, mailbox("minustah"), shared.stated(1, "minustah", Delivered)).await.unwrap();
    assert_eq!(queue.segment(1, 0, 0).await.unwrap(), None);
    assert_eq!(mail(&queue, fr()).await.len(), 2);
}

pub(crate) async fn each_statement_is_kept_once_and_late_ones_still_arrive(lab: &impl Lab) {
    let queue = lab.open();
    message(1).place(&queue).await;
    for kind in [Opened, Delivered, Acknowledged] {
        let receipt = message(1).stated(1, "br", kind);
        assert_eq!(queue.note(1, mailbox("br"), receipt.clone()).await.unwrap(), kept(), "{kind}");
        let mut later = message(1).statement(1, "br", kind);
        later.time_ms += 1;
        assert_eq!(
            queue.note(1, mailbox("br"), signed(&later)).await.unwrap(),
            Noted::Known { author: fr() },
            "{kind}"
        );
        assert_eq!(
            queue.note(1, mailbox("br"), receipt).await.unwrap(),
            Noted::Known { author: fr() },
            "{kind}"
        );
    }
    let kinds: Vec<_> = mail(&queue, fr()).await.iter().map(|r| r.claim().unwrap().kind).collect();
    assert_eq!(kinds, [Opened, Delivered, Acknowledged]);
    assert_eq!(queue.depth().await.unwrap().entries, 0, "it was settled once");
}

pub(crate) async fn a_statement_without_ground_is_not_kept(lab: &impl Lab) {
    let queue = lab.open();
    let mut about = message(1);
    about.to = vec![("br", true), ("minustah", false)];
    about.place(&queue).await;
    let sound = || about.statement(1, "br", Delivered);

    let mut other_header = sound();
    other_header.header_hash = Hash([0; 32]);
    let mut other_message = sound();
    other_message.message_id = message(2).message_id();
    let mut other_number = sound();
    other_number.sequence = 2;
    let mut by_a_relay = sound();
    by_a_relay.kind = Relayed;
    by_a_relay.by = Speaker::Relay(RelayId::new("hub-2").unwrap());
    let by_another = about.statement(1, "minustah", Delivered);
    for receipt in [other_header, other_message, other_number, by_a_relay, by_another] {
        let noted = queue.note(1, mailbox("br"), signed(&receipt)).await.unwrap();
        assert_eq!(noted, Noted::Groundless, "{receipt:?}");
    }
    let never_accepted = about.stated(7, "br", Delivered);
    assert_eq!(queue.note(7, mailbox("br"), never_accepted).await.unwrap(), Noted::Groundless);
    for (name, why) in [("us", "it is no recipient"), ("minustah", "it waits for its wrap")] {
        let receipt = about.stated(1, name, Delivered);
        assert_eq!(queue.note(1, mailbox(name), receipt).await.unwrap(), Noted::Groundless, "{why}");
    }
    assert!(mail(&queue, fr()).await.is_empty());
    assert_eq!(next(&queue, "br").await, [1]);
}

pub(crate) async fn a_bad_end_lets_go_too(lab: &impl Lab) {
    let queue = lab.open();
    message(1).place(&queue).await;
    let end = message(1).stated(1, "br", Unopenable);
    assert_eq!(queue.note(1, mailbox("br"), end.clone()).await.unwrap(), kept());
    assert!(next(&queue, "br").await.is_empty());
    assert_eq!(mail(&queue, fr()).await, [end]);
}

pub(crate) async fn what_runs_out_of_time_is_reported(lab: &impl Lab) {
    let queue = lab.open();
    let mut about = message(1);
    about.to = vec![("br", true), ("jp", true), ("minustah", false)];
    about.place(&queue).await;
    queue.note(1, mailbox("jp"), about.stated(1, "jp", Delivered)).await.unwrap();
    assert!(queue.expire(EXPIRES - 1, 100).await.unwrap().authors.is_empty());
    assert_eq!(next(&queue, "br").await, [1]);
    let unswept = queue.next(mailbox("br"), none(), 9, EXPIRES).await.unwrap();
    assert!(unswept.is_empty(), "it is not handed out, though nobody swept yet");

    assert_eq!(queue.expire(EXPIRES, 100).await.unwrap().authors, [fr()]);
    assert!(queue.expire(EXPIRES, 100).await.unwrap().authors.is_empty(), "it ends once");
    lab.close(queue).await;
    let queue = lab.open();
    assert!(next(&queue, "br").await.is_empty());
    assert_eq!(queue.segment(1, 0, 0).await.unwrap(), None);
    let mut ended = Vec::new();
    for receipt in &mail(&queue, fr()).await[1..] {
        let receipt = receipt.verify(&hub_key()).unwrap();
        assert_eq!((receipt.kind, receipt.reason), (Expired, Some(Reason::Expired)));
        assert_eq!((receipt.sequence, receipt.time_ms), (1, EXPIRES));
        assert_eq!(receipt.header_hash, about.submission().header.hash());
        ended.push(receipt.mailbox.unwrap());
    }
    ended.sort_unstable();
    assert_eq!(ended, [mailbox("br"), mailbox("minustah")]);
    let too_late = about.late(vec![super::cast::wrap("minustah", 2)]);
    let Wrapped::Stored { mailboxes, .. } = queue.add_wraps(too_late).await.unwrap() else { panic!("known") };
    assert!(mailboxes.is_empty());
}

pub(crate) async fn the_author_of_many_is_told_once_and_bounds_are_kept(lab: &impl Lab) {
    let queue = lab.open();
    for id in 1..=5 {
        message(id).place(&queue).await;
    }
    let mut of_us = message(6);
    of_us.from = device("us", "gw1");
    of_us.expires_ms += 1;
    of_us.place(&queue).await;
    let ended = queue.expire(EXPIRES + 1, 2).await.unwrap();
    assert_eq!((ended.authors, ended.entries), (vec![fr()], 2));
    assert_eq!(mail(&queue, fr()).await.len(), 2, "no more were ended than asked for");
    assert_eq!(queue.expire(EXPIRES + 1, 100).await.unwrap().authors, [fr(), device("us", "gw1")]);
    assert_eq!(mail(&queue, fr()).await.len(), 5);
    assert_eq!(mail(&queue, device("us", "gw1")).await.len(), 1);
}

pub(crate) async fn delivery_wins_over_an_expiry_that_came_first(lab: &impl Lab) {
    let queue = lab.open();
    message(1).place(&queue).await;
    queue.expire(EXPIRES, 100).await.unwrap();
    // The device had it in time; only its receipt was late.
    let receipt = message(1).stated(1, "br", Delivered);
    assert_eq!(queue.note(1, mailbox("br"), receipt.clone()).await.unwrap(), kept());
    let receipts = mail(&queue, fr()).await;
    assert_eq!((receipts.len(), &receipts[1]), (2, &receipt));
    assert_eq!(queue.depth().await.unwrap().entries, 0);
}

pub(crate) async fn what_no_replay_can_bring_back_is_forgotten(lab: &impl Lab) {
    let queue = lab.open();
    message(1).place(&queue).await;
    queue.note(1, mailbox("br"), message(1).stated(1, "br", Delivered)).await.unwrap();
    let forgotten = EXPIRES + REPLAY_KEPT_MS;
    queue.expire(forgotten - 1, 100).await.unwrap();
    let retry = queue.enqueue(message(1).submission()).await.unwrap();
    assert!(
        matches!(retry, Placed::Stored { fresh: false, .. }),
        "an id is remembered while a replay may come"
    );
    assert_eq!(queue.note(1, mailbox("br"), message(1).stated(1, "br", Opened)).await.unwrap(), kept());

    queue.expire(forgotten, 100).await.unwrap();
    let late = message(1).stated(1, "br", Acknowledged);
    assert_eq!(queue.note(1, mailbox("br"), late).await.unwrap(), Noted::Groundless);
    assert_eq!(mail(&queue, fr()).await.len(), 2, "receipts stay until their author took them");

    message(2).place(&queue).await;
    queue.expire(forgotten, 100).await.unwrap();
    assert_eq!(mail(&queue, fr()).await.len(), 3, "what is not ended is ended, never just forgotten");
}

pub(crate) async fn a_number_is_never_given_twice(lab: &impl Lab) {
    let queue = lab.open();
    message(1).place(&queue).await;
    queue.note(1, mailbox("br"), message(1).stated(1, "br", Delivered)).await.unwrap();
    queue.expire(NOW + 400 * DAY_MS, 100).await.unwrap();
    lab.close(queue).await;
    let queue = lab.open();
    assert_eq!(message(1).place(&queue).await, 2);
}
