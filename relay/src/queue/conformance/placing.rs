//! Stories of placing: order, retries, wraps that come late, bytes that come out as they went in.

use bytes::Bytes;
use valise_proto::kinds::{Precedence, ReceiptKind};
use valise_proto::limits::SEGMENT_CT_BYTES;
use valise_proto::signing::KeyId;

use super::Lab;
use super::cast::{
    EXPIRES, Message, NOW, device, fr, fr_leaf, hub_key, mailbox, message, next, none, segments, wrap,
};
use crate::queue::{Depth, Entry, Placed, Queue, Sequence, Wrapped};

pub(crate) async fn the_highest_precedence_goes_first_then_the_lowest_number(lab: &impl Lab) {
    let queue = lab.open();
    let order = [Precedence::Routine, Precedence::Flash, Precedence::Routine, Precedence::Immediate];
    let mut numbers = Vec::new();
    for (id, precedence) in (1..).zip(order) {
        let mut message = message(id);
        message.precedence = precedence;
        numbers.push(message.place(&queue).await);
    }
    assert_eq!(numbers, [1, 2, 3, 4], "numbers are given in order of acceptance, from 1");
    assert_eq!(next(&queue, "br").await, [2, 4, 1, 3]);
    assert!(next(&queue, "minustah").await.is_empty());

    let two = queue.next(mailbox("br"), [2, 1].into(), 2, NOW).await.unwrap();
    let of = |sequence, precedence| Entry { sequence, precedence, expires_ms: EXPIRES, bytes: 272 };
    assert_eq!(two, [of(4, Precedence::Immediate), of(3, Precedence::Routine)]);
    assert!(queue.next(mailbox("br"), none(), 0, NOW).await.unwrap().is_empty());
}

pub(crate) async fn what_waits_behind_the_more_urgent_is_seen_too(lab: &impl Lab) {
    let queue = lab.open();
    let of = [Precedence::Routine, Precedence::Immediate, Precedence::Deferred];
    for id in 1..=12 {
        let precedence = of[usize::from(id) % 3];
        Message { precedence, ..message(id) }.place(&queue).await;
    }
    // 1, 4, 7, 10 are immediate, 2, 5, 8, 11 deferred, 3, 6, 9, 12 routine.
    let seen = async |skip: &[Sequence], max| {
        let entries = queue.next(mailbox("br"), skip.iter().copied().collect(), max, NOW).await.unwrap();
        entries.iter().map(|entry| entry.sequence).collect::<Vec<_>>()
    };
    assert_eq!(seen(&[], 1).await, [1, 3, 2]);
    assert_eq!(seen(&[], 3).await, [1, 4, 7, 3, 6, 9, 2, 5, 8]);
    assert_eq!(seen(&[1, 4, 3, 2, 5, 8, 11], 2).await, [7, 10, 6, 9]);
    assert_eq!(seen(&[], 4).await, seen(&[], 100).await);
    assert_eq!(seen(&[], 100).await.len(), 12);
    let ends = message(3).expires_ms;
    let mut brief = Message { precedence: Precedence::Routine, ..message(13) };
    brief.expires_ms = ends - 1;
    brief.place(&queue).await;
    let late = queue.next(mailbox("br"), none(), 1, ends - 1).await.unwrap();
    assert_eq!(late.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [1, 3, 2], "13 is over");
}

pub(crate) async fn a_retry_has_the_same_answer_even_after_a_restart(lab: &impl Lab) {
    let queue = lab.open();
    let mut retried = message(1);
    let Placed::Stored { sequence, relayed, fresh: true, .. } =
        queue.enqueue(retried.submission()).await.unwrap()
    else {
        panic!("the first submission is new");
    };
    let receipt = relayed.verify(&hub_key()).unwrap();
    assert_eq!((receipt.kind, receipt.sequence, receipt.time_ms), (ReceiptKind::Relayed, 1, NOW));
    assert_eq!(receipt.header_hash, retried.submission().header.hash());
    assert_eq!((receipt.message_id, receipt.mailbox), (retried.message_id(), None));

    let mut queue = queue;
    retried.now_ms += 60_000;
    for _ in 0..2 {
        match queue.enqueue(retried.submission()).await.unwrap() {
            Placed::Stored { sequence: again, relayed: same, fresh: false, .. } => {
                assert_eq!((again, same.to_bytes()), (sequence, relayed.to_bytes()));
            }
            other => panic!("a retry was taken for {other:?}"),
        }
        assert_eq!(next(&queue, "br").await, [1]);
        lab.close(queue).await;
        queue = lab.open();
    }
}

pub(crate) async fn an_id_is_bound_to_its_bytes_and_to_its_device(lab: &impl Lab) {
    let queue = lab.open();
    message(1).place(&queue).await;
    let mut other_bytes = message(1);
    other_bytes.parts = vec![vec![Bytes::from(vec![9; 300])]];
    assert!(matches!(queue.enqueue(other_bytes.submission()).await.unwrap(), Placed::IdReused));
    let mut other_device = message(1);
    other_device.from = device("fr", "gw2");
    assert_eq!(other_device.place(&queue).await, 2);
    assert_eq!(next(&queue, "br").await, [1, 2]);
}

pub(crate) async fn a_recipient_without_a_wrap_waits_for_it(lab: &impl Lab) {
    let queue = lab.open();
    let mut partial = message(1);
    partial.to = vec![("br", true), ("minustah", false)];
    partial.place(&queue).await;
    assert_eq!(next(&queue, "br").await, [1]);
    assert!(next(&queue, "minustah").await.is_empty());
    assert!(queue.outgoing(1, mailbox("minustah")).await.unwrap().is_none());
    lab.close(queue).await;

    let queue = lab.open();
    let late = partial.late(vec![wrap("minustah", 2)]);
    let Wrapped::Stored { sequence: 1, relayed, mailboxes } = queue.add_wraps(late).await.unwrap() else {
        panic!("the message is known");
    };
    assert_eq!(mailboxes, [mailbox("minustah")]);
    let receipt = relayed[0].verify(&hub_key()).unwrap();
    assert_eq!((receipt.kind, receipt.mailbox), (ReceiptKind::Relayed, Some(mailbox("minustah"))));
    assert_eq!((receipt.sequence, receipt.time_ms, relayed.len()), (1, NOW + 5000, 1));
    assert_eq!(receipt.header_hash, partial.submission().header.hash());
    assert_eq!(next(&queue, "minustah").await, [1]);
    let outgoing = queue.outgoing(1, mailbox("minustah")).await.unwrap().unwrap();
    assert_eq!(outgoing.wrap, wrap("minustah", 2).1);
}

pub(crate) async fn a_retry_brings_wraps_that_were_missing(lab: &impl Lab) {
    let queue = lab.open();
    let mut learning = message(1);
    learning.to = vec![("br", true), ("minustah", false)];
    learning.place(&queue).await;
    let mut retry = learning.submission();
    retry.wraps = vec![wrap("br", 7), wrap("minustah", 7), wrap("jp", 7)];
    assert!(matches!(queue.enqueue(retry).await.unwrap(), Placed::Stored { fresh: false, .. }));
    assert_eq!(next(&queue, "minustah").await, [1]);
    assert!(next(&queue, "jp").await.is_empty(), "a wrap makes nobody a recipient");
    let kept = queue.outgoing(1, mailbox("br")).await.unwrap().unwrap();
    assert_eq!(kept.wrap, wrap("br", 1).1, "a retry replaces no wrap");
}

pub(crate) async fn a_late_wrap_replaces_the_one_before(lab: &impl Lab) {
    let queue = lab.open();
    message(1).place(&queue).await;
    let late = message(1).late(vec![wrap("br", 2), wrap("br", 3)]);
    let Wrapped::Stored { relayed, mailboxes, .. } = queue.add_wraps(late).await.unwrap() else {
        panic!("the message is known");
    };
    assert_eq!((relayed.len(), mailboxes), (1, vec![mailbox("br")]));
    let outgoing = queue.outgoing(1, mailbox("br")).await.unwrap().unwrap();
    assert_eq!(outgoing.wrap, wrap("br", 3).1);

    let end = message(1).stated(1, "br", ReceiptKind::Delivered);
    queue.note(1, mailbox("br"), end).await.unwrap();
    let late = message(1).late(vec![wrap("br", 4)]);
    let Wrapped::Stored { relayed, mailboxes, .. } = queue.add_wraps(late).await.unwrap() else {
        panic!("the message is known");
    };
    assert_eq!(relayed.len(), 1, "its author waits for a word on each wrap");
    assert!(mailboxes.is_empty(), "what ended stays ended");
    assert!(next(&queue, "br").await.is_empty());
}

pub(crate) async fn late_wraps_without_ground_change_nothing(lab: &impl Lab) {
    let queue = lab.open();
    let mut partial = message(1);
    partial.to = vec![("br", false)];
    partial.place(&queue).await;
    let mut foreign = partial.late(vec![wrap("br", 2)]);
    foreign.submitter = device("us", "gw1");
    let not_a_recipient = partial.late(vec![wrap("br", 2), wrap("minustah", 2)]);
    let unknown = message(2).late(vec![wrap("br", 2)]);
    for late in [foreign, not_a_recipient, unknown] {
        assert!(matches!(queue.add_wraps(late).await.unwrap(), Wrapped::NoSuchMessage));
        assert!(next(&queue, "br").await.is_empty());
    }
}

pub(crate) async fn an_envelope_comes_out_as_it_went_in(lab: &impl Lab) {
    let queue = lab.open();
    let mut large = message(1);
    large.to = vec![("br", true), ("minustah", true)];
    large.parts = vec![segments(0, 272), segments(3, 17), segments(1, SEGMENT_CT_BYTES)];
    large.place(&queue).await;
    lab.close(queue).await;

    let queue = lab.open();
    for name in ["br", "minustah"] {
        let outgoing = queue.outgoing(1, mailbox(name)).await.unwrap().unwrap();
        assert_eq!(outgoing.header, large.submission().header);
        assert_eq!(outgoing.wrap, wrap(name, 1).1, "each sees its own wrap");
        assert_eq!(outgoing.facts, large.submission().facts);
        assert_eq!(outgoing.first, large.parts[0][0]);
        assert_eq!(queue.leaf(outgoing.facts.sender_key_id).await.unwrap(), Some(fr_leaf()));
        assert_eq!(outgoing.relayed.verify(&hub_key()).unwrap().sequence, 1);
    }
    for (part, segments) in (0..).zip(&large.parts) {
        for (index, segment) in (0..).zip(segments) {
            assert_eq!(queue.segment(1, part, index).await.unwrap().as_ref(), Some(segment));
        }
    }
    for (sequence, part, index) in
        [(1, 0, 1), (1, 3, 0), (1, 64, 0), (1, 0, 1024), (2, 0, 0), (u64::MAX, 0, 0)]
    {
        assert_eq!(queue.segment(sequence, part, index).await.unwrap(), None);
    }
    assert!(queue.outgoing(1, mailbox("fr")).await.unwrap().is_none());
    assert!(queue.outgoing(2, mailbox("br")).await.unwrap().is_none());
}

pub(crate) async fn envelopes_of_one_group_have_proofs_of_their_own(lab: &impl Lab) {
    let queue = lab.open();
    let retried = message(1).submission();
    let (a, b, c, same) = tokio::join!(
        queue.enqueue(retried.clone()),
        queue.enqueue(message(2).submission()),
        queue.enqueue(message(3).submission()),
        queue.enqueue(retried),
    );
    let mut numbers: Vec<Sequence> = Vec::new();
    for (id, placed) in [(1, a), (2, b), (3, c), (1, same)] {
        let Placed::Stored { sequence, relayed, .. } = placed.unwrap() else { panic!("{id} is sound") };
        let receipt = relayed.verify(&hub_key()).unwrap();
        assert_eq!((receipt.message_id, receipt.sequence), (message(id).message_id(), sequence));
        assert_eq!(receipt.header_hash, message(id).submission().header.hash());
        numbers.push(sequence);
    }
    assert_eq!(numbers[0], numbers[3], "a retry in the same breath is a retry");
    numbers.truncate(3);
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3]);
}

pub(crate) async fn an_envelope_for_nobody_is_proven_and_not_kept(lab: &impl Lab) {
    let queue = lab.open();
    let mut refused = message(1).submission();
    refused.recipients.clear();
    queue.keep_leaf(KeyId([0; 32]), fr_leaf()).await.unwrap();
    assert!(matches!(queue.enqueue(refused).await.unwrap(), Placed::Stored { sequence: 1, .. }));
    assert!(next(&queue, "br").await.is_empty());
    assert_eq!(queue.segment(1, 0, 0).await.unwrap(), None);
    assert_eq!(queue.depth().await.unwrap(), Depth { entries: 0, receipts: 0, sequence: 1 });
    assert!(queue.receipts(fr(), none(), 9).await.unwrap().is_empty());
}
