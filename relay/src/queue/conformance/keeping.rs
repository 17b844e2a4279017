//! Stories of keeping: receipts until they are taken, bundles, certificates; all of it over a restart.

use bytes::Bytes;
use valise_proto::kinds::Precedence;
use valise_proto::kinds::ReceiptKind::{Delivered, Opened};
use valise_proto::wire;

use super::Lab;
use super::cast::{EXPIRES, Message, NOW, bundle, device, fr, fr_leaf, mail, mailbox, message, next};
use crate::queue::{Census, Depth, Held, MailboxHeld, Outlook, Queue};

pub(crate) async fn receipts_come_oldest_first_to_their_own_device(lab: &impl Lab) {
    let queue = lab.open();
    let mut expected = Vec::new();
    for id in 1..=4 {
        let sequence = message(id).place(&queue).await;
        let receipt = message(id).stated(sequence, "br", Delivered);
        queue.note(sequence, mailbox("br"), receipt.clone()).await.unwrap();
        expected.push(receipt);
    }
    assert_eq!(mail(&queue, fr()).await, expected);
    assert!(mail(&queue, device("fr", "gw2")).await.is_empty());
    let some = queue.receipts(fr(), [expected[0].id(), expected[2].id()].into(), 1).await.unwrap();
    assert_eq!(some, [expected[1].clone()]);

    queue.forget(device("fr", "gw2"), vec![expected[0].id()]).await.unwrap();
    assert_eq!(mail(&queue, fr()).await.len(), 4, "another device forgets nothing of ours");
    let taken = vec![expected[0].id(), expected[3].id(), [0; 16]];
    queue.forget(fr(), taken.clone()).await.unwrap();
    queue.forget(fr(), taken).await.unwrap();
    assert_eq!(mail(&queue, fr()).await, expected[1..3]);
}

pub(crate) async fn only_a_newer_bundle_is_kept(lab: &impl Lab) {
    let queue = lab.open();
    assert!(queue.bundle(mailbox("br")).await.unwrap().is_none());
    for (batch_no, newest) in [(2, 2), (1, 2), (2, 2), (5, 5), (4, 5)] {
        let held = queue.keep_bundle(mailbox("br"), batch_no, bundle("br", batch_no)).await.unwrap();
        assert_eq!(held, newest, "batch {batch_no}");
    }
    lab.close(queue).await;
    let queue = lab.open();
    assert_eq!(queue.bundle(mailbox("br")).await.unwrap(), Some((5, bundle("br", 5))));
    assert!(queue.bundle(mailbox("br/fugitives")).await.unwrap().is_none());
}

pub(crate) async fn a_renewed_certificate_replaces_the_one_before(lab: &impl Lab) {
    let queue = lab.open();
    message(1).place(&queue).await;
    let signer = message(1).submission().facts.sender_key_id;
    let renewed = wire::SigningLeaf { leaf: Bytes::from_static(b"renewed"), issuer: fr_leaf().issuer };
    for leaf in [fr_leaf(), renewed] {
        queue.keep_leaf(signer, leaf.clone()).await.unwrap();
        assert_eq!(queue.leaf(signer).await.unwrap(), Some(leaf));
    }
}

pub(crate) async fn a_restart_keeps_everything(lab: &impl Lab) {
    let queue = lab.open();
    for id in 1..=3 {
        message(id).place(&queue).await;
    }
    let opened = message(2).stated(2, "br", Opened);
    queue.note(2, mailbox("br"), opened.clone()).await.unwrap();
    let delivered = message(1).stated(1, "br", Delivered);
    queue.note(1, mailbox("br"), delivered.clone()).await.unwrap();
    queue.keep_bundle(mailbox("br"), 1, bundle("br", 1)).await.unwrap();
    let before = queue.depth().await.unwrap();
    lab.close(queue).await;

    let queue = lab.open();
    assert_eq!(next(&queue, "br").await, [2, 3]);
    assert_eq!(mail(&queue, fr()).await, [opened, delivered]);
    assert_eq!(queue.segment(3, 0, 0).await.unwrap(), Some(Bytes::from(vec![3; 272])));
    assert_eq!(queue.bundle(mailbox("br")).await.unwrap().map(|(batch_no, _)| batch_no), Some(1));
    assert_eq!(queue.depth().await.unwrap(), before);
}

pub(crate) async fn the_depth_is_what_is_held(lab: &impl Lab) {
    let queue = lab.open();
    let of = |entries, receipts, sequence| Depth { entries, receipts, sequence };
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
    let mut shared = message(1);
    shared.to = vec![("br", true), ("jp", true), ("minustah", false)];
    shared.place(&queue).await;
    message(2).place(&queue).await;
    assert_eq!(queue.depth().await.unwrap(), of(4, 0, 2));
    let receipt = shared.stated(1, "br", Delivered);
    queue.note(1, mailbox("br"), receipt.clone()).await.unwrap();
    queue.note(1, mailbox("br"), shared.stated(1, "br", Opened)).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), of(3, 2, 2));
    queue.forget(fr(), vec![receipt.id()]).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), of(3, 1, 2));
    queue.expire(u64::MAX, 2).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), of(1, 3, 2));
    queue.expire(u64::MAX, 2).await.unwrap();
    assert_eq!(queue.depth().await.unwrap(), of(0, 4, 2));
}

pub(crate) async fn the_outlook_names_what_waits_longest_and_what_runs_out_first(lab: &impl Lab) {
    let queue = lab.open();
    let of = |oldest, next| Outlook { oldest_ms: Some(oldest), next_expiry_ms: Some(next) };
    assert_eq!(queue.outlook().await.unwrap(), Outlook::default());
    let mut shared = message(1);
    shared.to = vec![("br", true), ("minustah", false)];
    shared.place(&queue).await;
    let mut brief = message(2);
    (brief.now_ms, brief.expires_ms) = (NOW + 500, EXPIRES - 1000);
    brief.place(&queue).await;
    assert_eq!(queue.outlook().await.unwrap(), of(NOW, EXPIRES - 1000));

    queue.note(1, mailbox("br"), shared.stated(1, "br", Delivered)).await.unwrap();
    assert_eq!(queue.outlook().await.unwrap().oldest_ms, Some(NOW), "minustah has it still to get");
    queue.note(2, mailbox("br"), brief.stated(2, "br", Delivered)).await.unwrap();
    lab.close(queue).await;
    let queue = lab.open();
    assert_eq!(queue.outlook().await.unwrap(), of(NOW, EXPIRES));
    queue.expire(EXPIRES, 10).await.unwrap();
    assert_eq!(queue.outlook().await.unwrap(), Outlook::default());
}

pub(crate) async fn a_census_counts_by_precedence_and_names_the_fullest_mailboxes(lab: &impl Lab) {
    let queue = lab.open();
    assert_eq!(queue.census(9).await.unwrap(), Census::default());
    let (routine, flash) = (Precedence::Routine, Precedence::Flash);
    for (id, precedence, to) in [
        (1, routine, vec![("br", true), ("jp", true), ("minustah", false)]),
        (2, routine, vec![("minustah", true)]),
        (3, flash, vec![("br", true), ("minustah", true)]),
    ] {
        Message { precedence, to, now_ms: NOW + u64::from(id), ..message(id) }.place(&queue).await;
    }
    let held = |entries| Held { entries, bytes: entries * 272 };
    let of = |name, entries, oldest| MailboxHeld {
        mailbox: mailbox(name),
        held: held(entries),
        oldest_ms: oldest,
    };
    let all = queue.census(9).await.unwrap();
    assert_eq!(all.precedences, [(flash, held(2)), (routine, held(4))]);
    assert_eq!(all.mailboxes, [of("minustah", 3, NOW + 1), of("br", 2, NOW + 1), of("jp", 1, NOW + 1)]);
    let some = queue.census(1).await.unwrap();
    assert_eq!((some.mailboxes.len(), some.mailboxes_in_all), (1, 3));

    let circular = Message { to: vec![("br", true), ("jp", true), ("minustah", false)], ..message(1) };
    for by in ["br", "jp"] {
        queue.note(1, mailbox(by), circular.stated(1, by, Delivered)).await.unwrap();
    }
    lab.close(queue).await;
    let queue = lab.open();
    let left = queue.census(9).await.unwrap();
    assert_eq!(left.precedences, [(flash, held(2)), (routine, held(2))]);
    assert_eq!(left.mailboxes, [of("minustah", 3, NOW + 1), of("br", 1, NOW + 3)]);
    assert_eq!(left.mailboxes_in_all, 2);
    queue.expire(EXPIRES, 10).await.unwrap();
    assert_eq!(queue.census(9).await.unwrap(), Census::default());
}
