//! Keys, papers and times that `fr` holds.

use valise_host::executor::Worker;
use valise_proto::bundle::{Bundle, Epoch, SignedBundle};

use super::*;

pub(super) fn bundle(name: &str, batch_no: u64) -> SignedBundle {
    let filled = u8::try_from(batch_no).unwrap();
    let epoch = Epoch {
        no: batch_no,
        not_before_ms: NOW,
        not_after_ms: NOW + l::EPOCH_MS,
        xwing: Box::new([filled; l::XWING_PUBLIC_BYTES]),
        x25519: [filled; 32],
    };
    let bundle = Bundle {
        mailbox: mailbox(name),
        batch_no,
        prev: None,
        epochs: vec![epoch],
        drain_hours: 48,
        max_ttl_days: 30,
        devices: vec![],
    };
    SignedBundle::sign(&bundle, &SigningKey::from_seed(&[1; 32]), Bytes::new(), Bytes::new())
}

#[test]
fn an_epoch_and_its_bundle_rest_together() {
    let dir = Scratch::new("boxes-epochs");
    let mut boxes = dir.open();
    assert_eq!(boxes.own_bundle(&mailbox("fr")).unwrap(), None);
    for no in 1..=2 {
        let prekey = [u8::try_from(no).unwrap(); 16];
        boxes
            .add_epoch(&mailbox("fr"), no, &prekey, b"the secret", no, &bundle("fr", no))
            .unwrap()
            .into_inner();
    }
    let desk = mailbox("fr/fugitives");
    boxes.add_epoch(&desk, 1, &[9; 16], b"of a desk", 1, &bundle("fr/fugitives", 1)).unwrap().into_inner();
    drop(boxes);

    let mut boxes = dir.open();
    let held: Vec<_> = boxes
        .epochs()
        .unwrap()
        .into_iter()
        .map(|epoch| (epoch.mailbox.to_string(), epoch.no, epoch.prekey_id, epoch.secret.to_vec()))
        .collect();
    let expected = [
        ("fr".to_owned(), 1, [1; 16], b"the secret".to_vec()),
        ("fr".to_owned(), 2, [2; 16], b"the secret".to_vec()),
        ("fr/fugitives".to_owned(), 1, [9; 16], b"of a desk".to_vec()),
    ];
    assert_eq!(held, expected);
    assert_eq!(format!("{:?}", boxes.epochs().unwrap()[0]), "OwnEpoch(..)");
    let own = boxes.own_bundle(&mailbox("fr")).unwrap().unwrap();
    assert_eq!((own.batch_no, own.published, own.signed), (2, false, bundle("fr", 2)));
    assert!(!boxes.bundle_published(&mailbox("fr"), 1).unwrap().into_inner(), "not our newest");
    assert!(boxes.bundle_published(&mailbox("fr"), 2).unwrap().into_inner());
    assert!(boxes.own_bundle(&mailbox("fr")).unwrap().unwrap().published);
    let old = boxes.add_epoch(&mailbox("fr"), 3, &[3; 16], b"x", 2, &bundle("fr", 2)).unwrap_err();
    assert!(matches!(old, BoxesError::OldBatch { given: 2, held: 2, .. }), "{old}");
    assert_eq!((boxes.epochs().unwrap().len(), boxes.own_bundles().unwrap().len()), (3, 2));
}

#[test]
fn only_a_newer_bundle_replaces_an_older() {
    let dir = Scratch::new("boxes-bundles");
    let mut boxes = dir.open();
    let br = mailbox("br");
    let mut keep = |no| boxes.keep_bundle(&br, no, &bundle("br", no)).unwrap().into_inner();
    assert_eq!([keep(2), keep(1), keep(2), keep(3)], [true, false, false, true]);
    drop(boxes);
    let boxes = dir.open();
    assert_eq!(boxes.bundle(&br).unwrap(), Some((3, bundle("br", 3))));
    assert_eq!(boxes.bundle(&mailbox("us")).unwrap(), None);
}

#[test]
fn papers_and_the_newest_time_are_remembered() {
    let dir = Scratch::new("boxes-papers");
    let mut boxes = dir.open();
    let key = SigningKey::from_seed(&[4; 32]).verify_key().id();
    let papers = |no: u8| wire::SigningLeaf { leaf: vec![no; 500].into(), issuer: vec![8; 500].into() };
    assert_eq!(boxes.leaf(&key).unwrap(), None);
    boxes.keep_leaf(&key, &papers(1)).unwrap().into_inner();
    boxes.keep_leaf(&key, &papers(2)).unwrap().into_inner();
    assert_eq!(boxes.newest_time_seen().unwrap(), 0);
    assert_eq!(boxes.hear_time(NOW).unwrap().into_inner(), NOW);
    assert_eq!(boxes.hear_time(NOW - 1).unwrap().into_inner(), NOW, "never back");
    drop(boxes);
    let boxes = dir.open();
    assert_eq!(boxes.leaf(&key).unwrap(), Some(papers(2)));
    assert_eq!(boxes.newest_time_seen().unwrap(), NOW);
}

#[tokio::test]
async fn the_boxes_run_on_a_worker() {
    let dir = Scratch::new("boxes-worker");
    let inline = Worker::inline(dir.open());
    inline.call(|boxes| queue(boxes, 1, &["br"], &["br"])).await.unwrap();
    inline.stop().await;
    let threaded = Worker::threaded("boxes", dir.open()).unwrap();
    let sent = threaded.call(|boxes| boxes.sent(10)).await.unwrap().unwrap();
    assert_eq!(sent[0].id, id(1));
    threaded.stop().await;
}
