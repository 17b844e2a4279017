//! Messages of `fr` that wait: for their turn, for the relay, for a recipient's key.

use std::collections::BTreeSet;

use super::*;

#[test]
fn every_pair_is_counted_without_a_gap() {
    let dir = Scratch::new("boxes-pairs");
    let mut boxes = dir.open();
    let seqs_of = |boxes: &mut Boxes, no: u8, names: &[&str]| {
        let to = to(names);
        let mut given = Vec::new();
        let queued = boxes.queue(&to, None, |seqs| {
            given = seqs.to_vec();
            Ok::<_, Infallible>(letter(no, &to, seqs, &[], Precedence::Routine))
        });
        queued.unwrap().into_inner();
        given
    };
    assert_eq!(seqs_of(&mut boxes, 1, &["us", "br"]), [1, 1]);
    assert_eq!(seqs_of(&mut boxes, 2, &["br"]), [2]);
    let failed = boxes.queue(&to(&["br", "us"]), None, |seqs| {
        assert_eq!(seqs, [3, 2]);
        Err("no roster yet")
    });
    assert!(matches!(failed, Err(QueueFault::Make("no roster yet"))));
    drop(boxes);
    let mut boxes = dir.open();
    assert_eq!(seqs_of(&mut boxes, 3, &["br", "minustah", "us"]), [3, 1, 2]);
    assert_eq!(boxes.correspondents().unwrap(), [mailbox("br"), mailbox("minustah"), mailbox("us")]);
    assert_eq!(boxes.sent(2).unwrap().iter().map(|sent| sent.id).collect::<Vec<_>>(), [id(2), id(3)]);
}

#[test]
fn what_does_not_belong_together_is_not_queued() {
    type Breaks = fn(&mut NewMessage);
    let dir = Scratch::new("boxes-unfit");
    let mut boxes = dir.open();
    let breaks: [(&str, Breaks); 6] = [
        ("header", |new| new.facts.roster_no += 1),
        ("recipients", |new| {
            new.facts.recipients[0].pair_seq += 1;
            new.header = new.facts.sign(&SigningKey::from_seed(&[1; 32]));
        }),
        ("parts", |new| new.parts[0].truncate(1)),
        ("parts", |new| new.parts.clear()),
        ("wraps", |new| new.wraps.push(wrap("us"))),
        ("wraps", |new| new.wraps.push(wrap("br"))),
    ];
    for (what, breaks) in breaks {
        let to = to(&["br"]);
        let queued = boxes.queue(&to, None, |seqs| {
            assert_eq!(seqs, [1], "no number is used up");
            let mut new = letter(1, &to, seqs, &["br"], Precedence::Routine);
            breaks(&mut new);
            Ok::<_, Infallible>(new)
        });
        let fault = queued.unwrap_err();
        assert!(matches!(&fault, QueueFault::Boxes(BoxesError::Unfit(found)) if *found == what), "{fault:?}");
    }
    let twice = to(&["br", "br"]);
    let queued = boxes.queue(&twice, None, |_| Err::<NewMessage, _>("not asked"));
    assert!(matches!(queued, Err(QueueFault::Boxes(BoxesError::Unfit("recipients")))));
    queue(&mut boxes, 1, &["br"], &[]);
    let to = to(&["br"]);
    let again =
        boxes.queue(&to, None, |seqs| Ok::<_, Infallible>(letter(1, &to, seqs, &[], Precedence::Flash)));
    assert!(matches!(again, Err(QueueFault::Boxes(BoxesError::IdTaken(taken))) if taken == id(1)));
}

#[test]
fn the_urgent_go_first_then_the_oldest_and_the_postponed_wait() {
    let dir = Scratch::new("boxes-turn");
    let mut boxes = dir.open();
    queue_as(&mut boxes, 1, &["br"], &["br"], Precedence::Routine);
    queue_as(&mut boxes, 2, &["br"], &["br"], Precedence::Flash);
    queue_as(&mut boxes, 3, &["br"], &["br"], Precedence::Routine);
    queue_as(&mut boxes, 4, &["br"], &["br"], Precedence::Flash);
    let turn = |boxes: &Boxes, max: usize, now: u64| {
        boxes.to_submit(max, &none(), now).unwrap().iter().map(|one| one.id).collect::<Vec<_>>()
    };
    assert_eq!(turn(&boxes, 10, NOW), [id(2), id(4), id(1), id(3)]);
    assert_eq!(turn(&boxes, 2, NOW), [id(2), id(4)]);
    boxes.postpone(&id(2), NOW + 1_000, Some(Refusal::MailboxFull)).unwrap().into_inner();
    drop(boxes);
    let mut boxes = dir.open();
    assert_eq!(turn(&boxes, 10, NOW), [id(4), id(1), id(3)]);
    assert_eq!(turn(&boxes, 1, NOW + 1_000), [id(2)]);
    let why = |boxes: &Boxes| boxes.track(&id(2)).unwrap().unwrap()[0].reason.clone();
    assert_eq!(why(&boxes).as_deref(), Some("mailbox-full"));
    boxes.postpone(&id(2), NOW + 2_000, None).unwrap().into_inner();
    assert_eq!(why(&boxes), None);
}

#[test]
fn recipients_with_keys_do_not_wait_for_those_without() {
    let dir = Scratch::new("boxes-keys");
    let mut boxes = dir.open();
    let hash = queue(&mut boxes, 1, &["br", "minustah", "us"], &["br"]);
    assert_eq!(boxes.needs_keys().unwrap(), [mailbox("minustah"), mailbox("us")]);
    let tracked = boxes.track(&id(1)).unwrap().unwrap();
    let reasons: Vec<_> = tracked.iter().map(|one| one.reason.as_deref()).collect();
    assert_eq!(reasons, [None, Some("waiting-for-key"), Some("waiting-for-key")]);
    let counts = OutboxCounts { queued: 1, waiting_for_key: 1, ..OutboxCounts::default() };
    assert_eq!(boxes.counts().unwrap().outbox, counts);

    let waiting = boxes.messages_waiting_for(&mailbox("us"), 10).unwrap();
    assert_eq!((waiting[0].id, waiting[0].header_hash, *waiting[0].cek), (id(1), hash, [1; 32]));
    assert!(boxes.messages_waiting_for(&mailbox("br"), 10).unwrap().is_empty());

    // The key of us comes while the submission for br may be under way: its wrap must not be taken for sent.
    assert_eq!(boxes.add_wraps(&id(1), vec![wrap("us"), wrap("br")]).unwrap().into_inner(), 1);
    assert_eq!(boxes.submission(&id(1)).unwrap().unwrap().wraps, [wrap("br")]);
    assert!(
        boxes.late_wraps(10, &BTreeSet::new(), NOW).unwrap().is_empty(),
        "nothing follows what is not there"
    );
    relayed(&mut boxes, 1, hash, None);
    assert_eq!(words(&boxes, 1), ["relayed", "queued", "queued"]);
    drop(boxes);

    let mut boxes = dir.open();
    let late = boxes.late_wraps(10, &BTreeSet::new(), NOW).unwrap();
    assert_eq!((late.len(), late[0].id), (1, id(1)));
    assert_eq!(late[0].wraps, [wrap("us")]);
    boxes.postpone(&id(1), NOW + 1, Some(Refusal::SlowDown)).unwrap().into_inner();
    assert!(boxes.late_wraps(10, &BTreeSet::new(), NOW).unwrap().is_empty());
    assert_eq!(boxes.late_wraps(10, &BTreeSet::new(), NOW + 1).unwrap().len(), 1);
    let reasons: Vec<_> = boxes.track(&id(1)).unwrap().unwrap().into_iter().map(|one| one.reason).collect();
    assert_eq!(reasons, [None, Some("waiting-for-key".to_owned()), Some("slow-down".to_owned())]);
    boxes.postpone(&id(1), 0, None).unwrap().into_inner();
    assert_eq!(relayed(&mut boxes, 1, hash, Some("us")), Noted::Advanced);
    assert!(boxes.late_wraps(10, &BTreeSet::new(), NOW).unwrap().is_empty());
    assert_eq!(words(&boxes, 1), ["relayed", "queued", "relayed"]);
    assert_eq!(boxes.needs_keys().unwrap(), [mailbox("minustah")]);
}

#[test]
fn a_key_that_came_while_a_message_was_written_is_asked_for_again() {
    let dir = Scratch::new("boxes-key-race");
    let mut boxes = dir.open();
    queue(&mut boxes, 1, &["br", "minustah"], &["minustah"]);
    for name in ["br", "minustah"] {
        boxes.keep_bundle(&mailbox(name), 3, &held::bundle(name, 3)).unwrap().into_inner();
    }
    let wanted = |boxes: &Boxes| boxes.wanted(&[mailbox("fr")], 10).unwrap();
    assert_eq!(wanted(&boxes), [(mailbox("br"), 0), (mailbox("minustah"), 3)]);
    boxes.add_wraps(&id(1), vec![wrap("br")]).unwrap().into_inner();
    assert_eq!(wanted(&boxes), [(mailbox("br"), 3), (mailbox("minustah"), 3)]);
    assert_eq!(boxes.wanted(&[mailbox("br")], 2).unwrap(), [(mailbox("minustah"), 3)]);
}

#[test]
fn a_message_without_any_key_goes_with_the_first_that_come() {
    let dir = Scratch::new("boxes-no-key");
    let mut boxes = dir.open();
    queue(&mut boxes, 1, &["br", "minustah"], &[]);
    assert!(boxes.to_submit(10, &none(), NOW).unwrap().is_empty());
    assert!(boxes.submission(&id(1)).unwrap().is_none());
    boxes.add_wraps(&id(1), vec![wrap("minustah")]).unwrap().into_inner();
    boxes.add_wraps(&id(1), vec![wrap("br")]).unwrap().into_inner();
    assert_eq!(boxes.submission(&id(1)).unwrap().unwrap().wraps, [wrap("minustah")]);
    assert!(boxes.needs_keys().unwrap().is_empty());
    assert_eq!(boxes.add_wraps(&id(9), vec![wrap("br")]).unwrap().into_inner(), 0);
    let swapped = vec![(mailbox("br"), wrap("us").1)];
    assert!(matches!(boxes.add_wraps(&id(1), swapped), Err(BoxesError::Unfit("wraps"))));
}

#[test]
fn a_lost_acceptance_leaves_no_wrap_behind() {
    let dir = Scratch::new("boxes-lost-acceptance");
    let mut boxes = dir.open();
    let hash = queue(&mut boxes, 1, &["br", "us"], &["br"]);
    boxes.add_wraps(&id(1), vec![wrap("us")]).unwrap().into_inner();
    // br has it, so the relay had it; but its acceptance was lost, so the same submission goes again.
    hear(&mut boxes, &by("br", ReceiptKind::Delivered, 1, hash));
    assert_eq!(boxes.submission(&id(1)).unwrap().unwrap().wraps, [wrap("br")]);
    relayed(&mut boxes, 1, hash, None);
    assert_eq!(boxes.late_wraps(10, &BTreeSet::new(), NOW).unwrap()[0].wraps, [wrap("us")]);
    assert_eq!(words(&boxes, 1), ["delivered", "queued"]);
    // The relay says that it knows no such message: it goes as a whole, with what it lacks.
    boxes.resubmit(&id(1)).unwrap().into_inner();
    assert_eq!(boxes.submission(&id(1)).unwrap().unwrap().wraps, [wrap("us")]);
    relayed(&mut boxes, 1, hash, None);
    assert_eq!(words(&boxes, 1), ["delivered", "relayed"]);
    assert!(boxes.to_submit(10, &none(), NOW).unwrap().is_empty());
}

#[test]
fn a_request_asked_twice_makes_one_message() {
    let dir = Scratch::new("boxes-request");
    let to = to(&["br"]);
    let ask = |boxes: &mut Boxes, key: &str, no: u8| {
        let make = |seqs: &[u64]| Ok::<_, Infallible>(letter(no, &to, seqs, &["br"], Precedence::Routine));
        boxes.queue(&to, Some(key), make).unwrap().into_inner()
    };
    assert_eq!(ask(&mut dir.open(), "case-4711", 1), id(1));
    let mut boxes = dir.open();
    assert_eq!(ask(&mut boxes, "case-4711", 2), id(1), "the first answer again");
    assert_eq!(ask(&mut boxes, "case-4712", 3), id(3));
    assert_eq!(boxes.request("case-4712").unwrap(), Some(id(3)));
    assert_eq!(boxes.request("case-4713").unwrap(), None);
    let sent = boxes.sent(10).unwrap();
    assert_eq!(sent.iter().map(|one| one.id).collect::<Vec<_>>(), [id(1), id(3)]);
    assert_eq!(boxes.purge(NOW + l::MESSAGE_LIFE_MS + 1).unwrap().into_inner().requests, 2);
    assert_eq!(boxes.request("case-4711").unwrap(), None);
}
