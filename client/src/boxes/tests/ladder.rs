//! Messages of `fr` on their way up the ladder, and off it.

use super::*;

#[test]
fn a_message_climbs_the_ladder_across_restarts() {
    let dir = Scratch::new("boxes-ladder");
    let hash = queue(&mut dir.open(), 1, &["minustah", "br"], &["br", "minustah"]);

    let boxes = dir.open();
    let submit = boxes.to_submit(10, &none(), NOW).unwrap();
    let expected = ToSubmit { id: id(1), precedence: Precedence::Routine, bulk: true, created_ms: NOW };
    assert_eq!(submit, [expected]);
    assert!(boxes.to_submit(10, &BTreeSet::from([id(1)]), NOW).unwrap().is_empty());
    let submission = boxes.submission(&id(1)).unwrap().unwrap();
    assert_eq!(submission.header.hash(), hash);
    assert_eq!(submission.wraps, [wrap("br"), wrap("minustah")]);
    assert_eq!(submission.segments, [2]);
    for index in 0..2 {
        let segment = boxes.out_segment(&id(1), 0, index).unwrap().unwrap();
        assert_eq!(segment, parts(1)[0][index as usize]);
    }
    assert_eq!(boxes.out_segment(&id(1), 0, 2).unwrap(), None);
    drop(boxes);

    assert_eq!(relayed(&mut dir.open(), 1, hash, None), Noted::Advanced);
    let mut boxes = dir.open();
    assert_eq!(words(&boxes, 1), ["relayed", "relayed"]);
    assert!(boxes.to_submit(10, &none(), NOW).unwrap().is_empty());
    assert!(boxes.submission(&id(1)).unwrap().is_none());
    assert_eq!(relayed(&mut boxes, 1, hash, None), Noted::Known);
    assert_eq!(boxes.newest_time_seen().unwrap(), NOW + 1, "the relay's time, in the same commit");
    assert_eq!(boxes.counts().unwrap().outbox, OutboxCounts { relayed: 1, ..OutboxCounts::default() });

    for kind in [ReceiptKind::Delivered, ReceiptKind::Opened, ReceiptKind::Acknowledged] {
        assert_eq!(hear(&mut dir_again(&dir, boxes), &by("br", kind, 1, hash)), Noted::Advanced);
        boxes = dir.open();
        assert_eq!(words(&boxes, 1), [kind.as_str(), "relayed"]);
    }
    let sent = boxes.sent_message(&id(1)).unwrap().unwrap();
    assert_eq!((sent.state, sent.bytes), (State::Relayed, 66_000), "the lowest rung over all recipients");
    assert_eq!(boxes.receipts(&id(1)).unwrap().len(), 4, "every proof is kept");
}

/// The same store, closed and opened again.
fn dir_again(dir: &Scratch, boxes: Boxes) -> Boxes {
    drop(boxes);
    dir.open()
}

#[test]
fn receipts_in_any_order_never_lead_down() {
    let dir = Scratch::new("boxes-order");
    let mut boxes = dir.open();
    let hash = queue(&mut boxes, 1, &["br"], &["br"]);
    let opened = by("br", ReceiptKind::Opened, 1, hash);
    assert_eq!(hear(&mut boxes, &opened), Noted::Advanced);
    assert_eq!(hear(&mut boxes, &opened), Noted::Known);
    assert_eq!(hear(&mut boxes, &by("br", ReceiptKind::Delivered, 1, hash)), Noted::Known);
    assert_eq!(hear(&mut boxes, &by("br", ReceiptKind::Unopenable, 1, hash)), Noted::Known);
    assert_eq!(hear(&mut boxes, &by_relay(ReceiptKind::Expired, 1, hash, Some("br"))), Noted::Known);
    assert_eq!(relayed(&mut boxes, 1, hash, None), Noted::Known);
    assert_eq!(words(&boxes, 1), ["opened"]);
    assert_eq!(boxes.receipts(&id(1)).unwrap().len(), 5);
}

#[test]
fn a_bad_end_holds_until_a_device_proves_that_it_has_the_message() {
    let dir = Scratch::new("boxes-bad-end");
    let mut boxes = dir.open();
    let hash = queue(&mut boxes, 1, &["br", "us"], &["br", "us"]);
    relayed(&mut boxes, 1, hash, None);
    assert_eq!(hear(&mut boxes, &by("br", ReceiptKind::Unopenable, 1, hash)), Noted::Advanced);
    assert_eq!(hear(&mut boxes, &by_relay(ReceiptKind::Refused, 1, hash, Some("us"))), Noted::Advanced);
    assert_eq!(hear(&mut boxes, &by_relay(ReceiptKind::Expired, 1, hash, Some("br"))), Noted::Known);
    let tracked = boxes.track(&id(1)).unwrap().unwrap();
    let told: Vec<_> =
        tracked.iter().map(|one| (one.state.as_str(), one.reason.as_deref(), one.by.as_str())).collect();
    let expected = [
        ("unopenable", Some("unopenable"), "br"),
        ("refused", Some("not-permitted-or-unknown"), "relay/hub-1"),
    ];
    assert_eq!(told, expected);
    assert!(boxes.sent_message(&id(1)).unwrap().unwrap().state.is_bad_end());
    assert_eq!(hear(&mut boxes, &by("br", ReceiptKind::Delivered, 1, hash)), Noted::Advanced);
    assert_eq!(words(&boxes, 1), ["delivered", "refused"]);
    assert_eq!(boxes.track(&id(1)).unwrap().unwrap()[0].reason, None);
}

#[test]
fn a_receipt_without_ground_moves_nothing() {
    let dir = Scratch::new("boxes-ground");
    let mut boxes = dir.open();
    let hash = queue(&mut boxes, 1, &["br"], &["br"]);
    relayed(&mut boxes, 1, hash, None);
    let groundless = [
        by("br", ReceiptKind::Delivered, 2, hash),          // no such message
        by("br", ReceiptKind::Delivered, 1, Hash([8; 32])), // another header, and no end
        by("us", ReceiptKind::Delivered, 1, hash),          // not a recipient
        by("us", ReceiptKind::Unopenable, 1, Hash([8; 32])), // not a recipient, by the number
        by_relay(ReceiptKind::Expired, 1, Hash([8; 32]), None), // a relay knows what it accepted
    ];
    for said in &groundless {
        assert_eq!(hear(&mut boxes, said), Noted::Unmatched, "{:?}", said.1);
    }
    let (signed, receipt) = by("br", ReceiptKind::Delivered, 1, hash);
    assert_eq!(boxes.relayed(&id(1), &signed, &receipt).unwrap().into_inner(), Noted::Unmatched);
    assert_eq!(words(&boxes, 1), ["relayed"]);
    assert_eq!(boxes.receipts(&id(1)).unwrap().len(), 1);
}

#[test]
fn a_header_changed_on_its_way_reaches_its_author() {
    let dir = Scratch::new("boxes-changed");
    let mut boxes = dir.open();
    let hash = queue(&mut boxes, 1, &["br", "us"], &["br", "us"]);
    let unopenable = by("br", ReceiptKind::Unopenable, 1, Hash([8; 32]));
    assert_eq!(
        hear(&mut boxes, &unopenable),
        Noted::Unmatched,
        "without the relay's number it leads nowhere"
    );
    relayed(&mut boxes, 1, hash, None);
    assert_eq!(hear(&mut boxes, &unopenable), Noted::Advanced);
    let mut other_id = by("us", ReceiptKind::Unopenable, 1, Hash([8; 32])).1;
    other_id.message_id = id(77);
    assert_eq!(
        hear(&mut boxes, &(signed(&other_id), other_id)),
        Noted::Advanced,
        "even with another id in it"
    );
    let tracked = boxes.track(&id(1)).unwrap().unwrap();
    assert!(tracked.iter().all(|one| one.changed_header && one.state == State::Unopenable));
}

#[test]
fn ciphertext_and_key_go_when_the_last_recipient_has_ended() {
    let dir = Scratch::new("boxes-ended");
    let mut boxes = dir.open();
    let hash = queue(&mut boxes, 1, &["br", "us"], &["br", "us"]);
    relayed(&mut boxes, 1, hash, None);
    hear(&mut boxes, &by("br", ReceiptKind::Delivered, 1, hash));
    assert!(boxes.out_segment(&id(1), 0, 0).unwrap().is_some());
    hear(&mut boxes, &by_relay(ReceiptKind::Expired, 1, hash, Some("us")));
    drop(boxes);

    let mut boxes = dir.open();
    let left = |query: &str| {
        boxes.read(|conn, _| Ok(conn.query_row(query, [], |row| row.get::<_, i64>(0))?)).unwrap()
    };
    assert_eq!(left("SELECT count(*) FROM segment"), 0);
    assert_eq!(left("SELECT count(*) FROM outbox WHERE cek IS NOT NULL OR live = 1"), 0);
    assert_eq!(left("SELECT count(*) FROM recipient WHERE keywrap IS NOT NULL"), 0);
    assert_eq!(boxes.counts().unwrap().outbox, OutboxCounts { ended: 1, ..OutboxCounts::default() });
    assert_eq!(boxes.sent_message(&id(1)).unwrap().unwrap().summary.subject, "Stolen vehicle");
    assert_eq!(hear(&mut boxes, &by("br", ReceiptKind::Acknowledged, 1, hash)), Noted::Advanced);
    assert_eq!(words(&boxes, 1), ["acknowledged", "expired"]);
}

#[test]
fn a_refused_submission_ends_for_all() {
    let dir = Scratch::new("boxes-refused");
    let mut boxes = dir.open();
    let hash = queue(&mut boxes, 1, &["br", "us"], &["br"]);
    let statement = by_relay(ReceiptKind::Refused, 1, hash, None).0;
    let reason = Reason::NotPermittedOrUnknown;
    for expected in [Noted::Advanced, Noted::Known] {
        let noted = boxes.refuse(&id(1), reason, Some(&statement), NOW).unwrap();
        assert_eq!(noted.into_inner(), expected);
    }
    let tracked = boxes.track(&id(1)).unwrap().unwrap();
    assert!(tracked.iter().all(|one| one.reason.as_deref() == Some("not-permitted-or-unknown")));
    assert!(tracked.iter().all(|one| one.state == State::Refused && one.by == "relay/hub-1"));
    assert_eq!(boxes.receipts(&id(1)).unwrap(), [statement]);
    assert!(boxes.needs_keys().unwrap().is_empty() && boxes.to_submit(9, &none(), NOW).unwrap().is_empty());
    let unknown = boxes.refuse(&id(2), reason, None, NOW).unwrap();
    assert_eq!(unknown.into_inner(), Noted::Unmatched);
}

#[test]
fn what_no_relay_took_in_time_expires_here() {
    let dir = Scratch::new("boxes-expired");
    let mut boxes = dir.open();
    let hash = queue(&mut boxes, 1, &["br", "us"], &["br"]);
    relayed(&mut boxes, 1, hash, None);
    let over = NOW + l::MESSAGE_LIFE_MS + l::REPLAY_KEPT_MS;
    assert!(boxes.expire(over).unwrap().into_inner().is_empty(), "the relay's word comes first");
    assert_eq!(boxes.expire(over + 1).unwrap().into_inner(), [id(1)]);
    assert_eq!(words(&boxes, 1), ["relayed", "expired"]);
    assert!(boxes.expire(over + 1).unwrap().into_inner().is_empty());
}
