//! What came to `fr`: kept once, read, stated about, or laid on the dead-letter desk.

use super::*;

#[test]
fn a_message_is_kept_once_whatever_comes_again() {
    let dir = Scratch::new("boxes-once");
    let came = incoming("br", 1, 7);
    let (key, hash) = (came.facts.sender_key_id, came.header.hash());
    let mut boxes = dir.open();
    assert_eq!(boxes.seen(&key, &id(1), &hash).unwrap(), Seen::New);
    assert_eq!(boxes.keep(came.clone()).unwrap().into_inner(), Kept::New(1));
    assert_eq!(waiting(&boxes), [came.delivered.id()]);
    assert_eq!(boxes.statements_taken(&[came.delivered.id(), [0; 16]]).unwrap().into_inner(), 1);
    assert!(waiting(&boxes).is_empty());
    drop(boxes);

    let mut boxes = dir.open();
    let kept = Seen::Kept { sequence: 7, statements: vec![came.delivered.clone()] };
    assert_eq!(boxes.seen(&key, &id(1), &hash).unwrap(), kept);
    let mut again = incoming("br", 1, 7);
    again.now_ms += 1_000;
    let mut anew = came.delivered.claim().unwrap();
    anew.time_ms += 1_000;
    again.delivered = signed(&anew); // made anew, and not needed
    assert_eq!(boxes.keep(again.clone()).unwrap().into_inner(), Kept::Already(1));
    assert_eq!(waiting(&boxes), [came.delivered.id()], "the earlier receipt goes again");
    boxes.statements_taken(&waiting(&boxes)).unwrap().into_inner();
    assert!(boxes.state_again(&key, &id(1), &came.delivered).unwrap().into_inner());
    assert_eq!(waiting(&boxes), [came.delivered.id()]);
    // The same message for another mailbox of this device: that mailbox's end must be stated too.
    let mut of_desk = came.delivered.claim().unwrap();
    (of_desk.by, of_desk.mailbox) =
        (Speaker::Mailbox(mailbox("fr/fugitives")), Some(mailbox("fr/fugitives")));
    assert!(boxes.state_again(&key, &id(1), &signed(&of_desk)).unwrap().into_inner());
    assert_eq!(waiting(&boxes).len(), 2);
    of_desk.header_hash = Hash([8; 32]);
    assert!(!boxes.state_again(&key, &id(1), &signed(&of_desk)).unwrap().into_inner(), "it was not kept");
    assert_eq!(waiting(&boxes).len(), 2);

    let renumbered = incoming("br", 1, 9);
    assert_eq!(boxes.keep(renumbered.clone()).unwrap().into_inner(), Kept::Already(1));
    assert!(waiting(&boxes).contains(&renumbered.delivered.id()), "another number needs its own receipt");
    assert_eq!(boxes.inbox(None).unwrap().len(), 1);
}

#[test]
fn an_id_used_twice_by_its_author_is_no_second_message() {
    let dir = Scratch::new("boxes-reused");
    let mut boxes = dir.open();
    boxes.keep(incoming("br", 1, 7)).unwrap().into_inner();
    let mut other = incoming("br", 1, 8);
    other.facts.created_ms += 1;
    other.header = other.facts.sign(&SigningKey::from_seed(&[b'b'; 32]));
    let (key, hash) = (other.facts.sender_key_id, other.header.hash());
    assert_eq!(boxes.seen(&key, &id(1), &hash).unwrap(), Seen::Reused);
    assert_eq!(boxes.keep(other.clone()).unwrap().into_inner(), Kept::Reused);
    assert_eq!((boxes.inbox(None).unwrap().len(), waiting(&boxes).len()), (1, 1));
}

#[test]
fn a_message_reads_as_it_was_written() {
    let dir = Scratch::new("boxes-read");
    let came = incoming("br", 1, 7);
    dir.open().keep(came.clone()).unwrap().into_inner();
    let boxes = dir.open();
    assert_eq!(boxes.body(&id(1)).unwrap().unwrap(), came.content.body);
    assert_eq!(boxes.attachment(&id(1), 0).unwrap().unwrap(), came.content.files[0].data);
    assert_eq!(boxes.attachment(&id(1), 1).unwrap().unwrap(), b"");
    assert_eq!(boxes.attachment(&id(1), 2).unwrap(), None);
    let message = boxes.message(&id(1)).unwrap().unwrap();
    assert_eq!((message.header, message.facts), (came.header.clone(), came.facts.clone()));
    assert_eq!((message.relayed, message.leaf), (came.relayed.clone(), came.leaf.clone()));
    assert_eq!((message.sequence, message.body_bytes, message.lang.as_str()), (7, 150_000, "fr"));
    assert_eq!(message.files[0].name, "minutes.pdf");
    assert_eq!(message.files[0].sha256, came.content.files[0].sha256);
    assert_eq!((message.opened_ms, message.acknowledged), (None, None));
    let line = message.line;
    assert_eq!((line.from.as_str(), line.device.as_str(), line.to.as_str()), ("br", "gw1", "fr"));
    assert_eq!((line.subject.as_str(), line.attachments), ("Wanted person", 2));
    assert_eq!((line.state, line.precedence), (State::Delivered, Precedence::Flash));
    assert_eq!((line.created_ms, line.delivered_ms), (NOW, NOW + 5));
    assert!(boxes.message(&id(2)).unwrap().is_none() && boxes.body(&id(2)).unwrap().is_none());
}

#[test]
fn the_newest_comes_last_and_two_authors_may_share_an_id() {
    let dir = Scratch::new("boxes-list");
    let mut boxes = dir.open();
    for (author, no) in [("us", 1), ("br", 1), ("minustah", 2)] {
        boxes.keep(incoming(author, no, u64::from(no))).unwrap().into_inner();
    }
    let from =
        |limit| boxes.inbox(limit).unwrap().iter().map(|line| line.from.to_string()).collect::<Vec<_>>();
    assert_eq!(from(None), ["us", "br", "minustah"]);
    assert_eq!(from(Some(2)), ["br", "minustah"]);
    assert_eq!(boxes.message(&id(1)).unwrap().unwrap().line.from, mailbox("us"), "the first that came");
    // A statement names its header, so it marks the message that it is about.
    let second = incoming("br", 1, 1);
    let opened = stated(ReceiptKind::Opened, &second.header, 1, 1);
    boxes.mark_opened(&id(1), std::slice::from_ref(&opened), NOW).unwrap().into_inner();
    let states: Vec<_> = boxes.inbox(None).unwrap().iter().map(|line| line.state).collect();
    assert_eq!(states, [State::Delivered, State::Opened, State::Delivered]);
}

#[test]
fn opened_and_acknowledged_are_stated_once_and_go_forward_only() {
    let dir = Scratch::new("boxes-steps");
    let came = incoming("br", 1, 7);
    let opened = stated(ReceiptKind::Opened, &came.header, 1, 7);
    let acknowledged = stated(ReceiptKind::Acknowledged, &came.header, 1, 7);
    let who = Acknowledger { operator_ref: [6; 16], uid: 1001 };
    let mut boxes = dir.open();
    boxes.keep(came.clone()).unwrap().into_inner();
    assert_eq!(
        boxes.counts().unwrap().inbox,
        InboxCounts { delivered: 1, statements: 1, ..InboxCounts::default() }
    );
    let mark = |boxes: &mut Boxes| {
        boxes.mark_opened(&id(1), std::slice::from_ref(&opened), NOW + 9).unwrap().into_inner()
    };
    assert_eq!(mark(&mut boxes), Marked::Advanced);
    assert_eq!(mark(&mut boxes), Marked::Known);
    drop(boxes);

    let mut boxes = dir.open();
    let acknowledge = |boxes: &mut Boxes| {
        boxes
            .mark_acknowledged(&id(1), std::slice::from_ref(&acknowledged), who, NOW + 10)
            .unwrap()
            .into_inner()
    };
    assert_eq!(acknowledge(&mut boxes), Marked::Advanced);
    assert_eq!(acknowledge(&mut boxes), Marked::Known);
    assert_eq!(mark(&mut boxes), Marked::Known, "never back");
    assert_eq!(waiting(&boxes), [came.delivered.id(), opened.id(), acknowledged.id()]);
    let skip = BTreeSet::from([came.delivered.id()]);
    assert_eq!(boxes.statements(1, &skip).unwrap(), std::slice::from_ref(&opened));
    let message = boxes.message(&id(1)).unwrap().unwrap();
    assert_eq!((message.line.state, message.opened_ms), (State::Acknowledged, Some(NOW + 9)));
    assert_eq!(message.acknowledged, Some((NOW + 10, who)));
    assert_eq!(message.statements.len(), 3);
    let counts = InboxCounts { acknowledged: 1, statements: 3, ..InboxCounts::default() };
    assert_eq!(boxes.counts().unwrap().inbox, counts);

    let wrong = boxes.mark_opened(&id(1), std::slice::from_ref(&acknowledged), NOW).unwrap_err();
    assert!(matches!(wrong, BoxesError::Unfit("statement")));
    let unknown = stated(ReceiptKind::Opened, &came.header, 2, 7);
    let fault = boxes.mark_opened(&id(2), std::slice::from_ref(&unknown), NOW).unwrap_err();
    assert!(matches!(fault, BoxesError::NoSuchMessage(missing) if missing == id(2)));
    assert_eq!(fault.exit(), 10);
}

fn dead(sequence: u64) -> NewDeadLetter {
    let came = incoming("br", 1, sequence);
    NewDeadLetter {
        sequence,
        statement: stated(ReceiptKind::Unopenable, &came.header, 1, sequence),
        header: came.header,
        detail: "the content key does not fit its commitment".to_owned(),
        now_ms: NOW,
    }
}

#[test]
fn a_dead_letter_is_kept_once_and_its_end_is_stated_again() {
    let dir = Scratch::new("boxes-dead");
    let mut boxes = dir.open();
    let letter = dead(7);
    assert_eq!(boxes.dead_lettered(7, &letter.header.hash()).unwrap(), None);
    assert_eq!(boxes.dead_letter(letter.clone()).unwrap().into_inner(), Buried::New);
    boxes.statements_taken(&[letter.statement.id()]).unwrap().into_inner();
    drop(boxes);

    let mut boxes = dir.open();
    let stated = boxes.dead_lettered(7, &letter.header.hash()).unwrap().unwrap();
    assert_eq!(stated, std::slice::from_ref(&letter.statement));
    assert_eq!(boxes.dead_letter(letter.clone()).unwrap().into_inner(), Buried::Already);
    assert_eq!(waiting(&boxes), [letter.statement.id()]);
    assert_eq!(boxes.dead_letter(dead(8)).unwrap().into_inner(), Buried::New);
    let shown = boxes.dead_letters(10).unwrap();
    assert_eq!(shown.iter().map(|one| one.sequence).collect::<Vec<_>>(), [7, 8]);
    assert_eq!((shown[0].detail.as_str(), shown[0].received_ms), (letter.detail.as_str(), NOW));
    let counts = boxes.counts().unwrap().inbox;
    assert_eq!((counts.delivered, counts.dead_letters), (0, 2), "never counted as delivered");
}

#[test]
fn marks_and_dead_letters_go_when_their_time_is_long_over() {
    let dir = Scratch::new("boxes-purge");
    let mut boxes = dir.open();
    let came = incoming("br", 1, 7);
    boxes.keep(came.clone()).unwrap().into_inner();
    boxes.dead_letter(dead(8)).unwrap().into_inner();
    boxes.dead_letter(dead(9)).unwrap().into_inner();
    boxes.statements_taken(&[came.delivered.id(), dead(8).statement.id()]).unwrap().into_inner();

    let over = came.facts.expires_ms + l::REPLAY_KEPT_MS;
    assert_eq!(boxes.purge(over).unwrap().into_inner(), Purged::default());
    let purged = Purged { marks: 1, statements: 1, ..Purged::default() };
    assert_eq!(boxes.purge(over + 1).unwrap().into_inner(), purged);
    let dead_over = NOW + l::MESSAGE_LIFE_MAX_MS + l::REPLAY_KEPT_MS + 1;
    let purged = Purged { statements: 1, dead_letters: 1, ..Purged::default() };
    assert_eq!(boxes.purge(dead_over).unwrap().into_inner(), purged, "what is still to be said stays");
    assert_eq!(waiting(&boxes), [dead(9).statement.id()]);
    // The message is here, so it comes no second time even now.
    assert_eq!(boxes.keep(came.clone()).unwrap().into_inner(), Kept::Already(1));
    assert_eq!(waiting(&boxes).len(), 2);
    assert_eq!(boxes.body(&id(1)).unwrap().unwrap(), came.content.body);
}
