//! The drawing of both machines, and sentences about them: given this, exactly that comes out.

use super::device::{self, DeviceSession};
use super::relay::{self, RelaySession};
use super::*;
use crate::header::tests::sample;
use crate::kinds::Precedence;
use crate::names::{DeviceId, DeviceName, Mailbox, MessageId, PartyName, RelayId};
use crate::signing::{KeyId, SigningKey};
use crate::transfer::{Joiner, Step, Transfer, end, opening, segment};
use crate::wire::{self, frame::Kind};

fn gw1_of_fr() -> DeviceId {
    DeviceId { party: PartyName::new("fr").unwrap(), device: DeviceName::new("gw1").unwrap() }
}

fn key_of_fr() -> KeyId {
    sample().sender_key_id
}

fn hub() -> RelayId {
    RelayId::new("hub-1").unwrap()
}

fn hello(mailbox: &str) -> wire::Hello {
    let mailboxes = vec![wire::MailboxName { name: mailbox.into() }];
    wire::Hello { version: 1, mailboxes, link_profile: "lan".into(), ..Default::default() }
}

fn welcome() -> wire::Welcome {
    wire::Welcome { relay: "hub-1".into(), signer: Some(Default::default()), ..Default::default() }
}

fn transfer() -> Box<Transfer> {
    let header = sample().sign(&SigningKey::from_seed(&[1; 32]));
    let mut frames = opening(1, &header, None, []).into_iter();
    let Some(Kind::Begin(begin)) = frames.next() else { panic!("opening starts with Begin") };
    let joiner = Joiner::begin(begin).unwrap();
    let Ok(Step::More(joiner)) = joiner.push(segment(1, 0, 0, vec![0; 272].into())) else {
        panic!("segment")
    };
    let Ok(Step::Whole(whole)) = joiner.push(end(1)) else { panic!("end") };
    whole
}

/// An entry that was not passed over, routine.
fn offer(sequence: u64, bulk: bool) -> relay::Offer {
    relay::Offer { sequence, bulk, rank: relay::Rank::of(Precedence::Routine) }
}

/// The name of an enum value, without what it carries.
fn word(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    let end = text.find([' ', '(', '{']).unwrap_or(text.len());
    text[..end].to_owned()
}

/// What an action is, as the drawing shows it: sent frames and closes by their kind.
fn shown(action: &impl std::fmt::Debug) -> String {
    let text = format!("{action:?}");
    match word(action).as_str() {
        "Send" => format!("Send({})", word(&text.trim_start_matches("Send(").to_owned()).replace('"', "")),
        "Close" => text,
        other => other.to_owned(),
    }
}

fn relay_in(state: relay::State) -> RelaySession {
    let mut session = RelaySession::new(gw1_of_fr());
    let steps = [
        relay::Event::Control(Kind::Hello(hello("fr"))),
        relay::Event::Control(Kind::SigningLeaf(Default::default())),
        relay::Event::LeafJudged(Some(key_of_fr())),
        relay::Event::Offers(Mailbox::new("fr").unwrap(), vec![offer(9, false)], true),
        relay::Event::Submitted(transfer()),
        relay::Event::Drain { retry_after_ms: 1000 },
        relay::Event::Close(Close::Done),
    ];
    for step in steps {
        let reached = session.state() >= state;
        if reached && !matches!(step, relay::Event::Offers(..)) {
            break;
        }
        session.handle(step);
    }
    assert_eq!(session.state(), state);
    session
}

fn relay_events() -> Vec<(&'static str, relay::Event)> {
    use relay::Event as E;
    let fr = || Mailbox::new("fr").unwrap();
    vec![
        ("Hello", E::Control(Kind::Hello(hello("fr")))),
        ("Hello of another party", E::Control(Kind::Hello(hello("br")))),
        ("SigningLeaf", E::Control(Kind::SigningLeaf(Default::default()))),
        ("LeafJudged good", E::LeafJudged(Some(key_of_fr()))),
        ("LeafJudged bad", E::LeafJudged(None)),
        ("HelloDeadline", E::HelloDeadline),
        ("Submitted", E::Submitted(transfer())),
        ("Wake", E::Wake),
        ("Offers", E::Offers(fr(), vec![offer(12, true)], true)),
        (
            "Stored",
            E::Control(Kind::Stored(wire::Stored { deliveries: vec![wire::Delivery { sequence: 9 }] })),
        ),
        ("Receipts", E::Control(Kind::Receipts(Default::default()))),
        ("ReceiptsTaken", E::Control(Kind::ReceiptsTaken(Default::default()))),
        ("Noted", E::Noted(vec![[0; 16]], vec![9])),
        ("NotSent", E::NotSent(9)),
        ("Welcome from a device", E::Control(Kind::Welcome(welcome()))),
        ("Drain", E::Drain { retry_after_ms: 1000 }),
        ("Close", E::Close(Close::Superseded)),
    ]
}

fn device_in(state: device::State) -> DeviceSession {
    let mut session = DeviceSession::new(hub(), 500);
    let steps = [
        device::Event::Control(Kind::Welcome(welcome())),
        device::Event::Control(Kind::GoAway(wire::GoAway { retry_after_ms: 1000 })),
        device::Event::Close(Close::Done),
    ];
    for step in steps {
        if session.state() >= state {
            break;
        }
        session.handle(step);
    }
    assert_eq!(session.state(), state);
    session
}

fn device_events() -> Vec<(&'static str, device::Event)> {
    use device::Event as E;
    let offer = device::Offer { id: sample().message_id, bulk: true };
    let other = wire::Welcome { relay: "hub-2".into(), ..welcome() };
    vec![
        ("Connected", E::Connected { hello: hello("fr"), leaf: Default::default() }),
        ("Welcome", E::Control(Kind::Welcome(welcome()))),
        ("Welcome of another relay", E::Control(Kind::Welcome(other))),
        ("Wake", E::Wake),
        ("Offers", E::Offers(vec![offer])),
        ("Acceptances", E::Control(Kind::Acceptances(Default::default()))),
        ("Receipts", E::Control(Kind::Receipts(Default::default()))),
        ("Kept", E::Kept(4)),
        ("Arrived without proof", E::Arrived(transfer())),
        ("WakeStatements", E::WakeStatements),
        ("GoAway", E::Control(Kind::GoAway(wire::GoAway { retry_after_ms: 1000 }))),
        ("Hello from a relay", E::Control(Kind::Hello(hello("fr")))),
        ("Tick", E::Tick { now_ms: 10_000, heard_ms: 0 }),
        ("Close", E::Close(Close::Done)),
    ]
}

fn line(from: &str, event: &str, to: &str, actions: &[String]) -> String {
    let doing = if actions.is_empty() { String::new() } else { format!(": {}", actions.join(", ")) };
    format!("{from:<10} + {event:<24} -> {to}{doing}\n")
}

/// Whoever changes a machine looks at the changed drawing: replace `transitions.txt` by what the failure prints.
#[test]
fn the_drawing_is_up_to_date() {
    let mut drawing = String::from("relay\n");
    use relay::State as R;
    for state in [R::AwaitHello, R::AwaitLeaf, R::Judging, R::Live, R::Draining, R::Closed] {
        for (name, event) in relay_events() {
            let mut session = relay_in(state);
            let actions: Vec<_> = session.handle(event).iter().map(shown).collect();
            drawing += &line(&word(&state), name, &word(&session.state()), &actions);
        }
    }
    drawing += "\ndevice\n";
    use device::State as D;
    for state in [D::Greeting, D::Live, D::GoingAway, D::Closed] {
        for (name, event) in device_events() {
            let mut session = device_in(state);
            let actions: Vec<_> = session.handle(event).iter().map(shown).collect();
            drawing += &line(&word(&state), name, &word(&session.state()), &actions);
        }
    }
    let kept = include_str!("transitions.txt");
    assert!(drawing == kept, "proto/src/session/transitions.txt should now read:\n{drawing}");
}

#[test]
fn a_device_submits_before_it_is_welcomed() {
    let mut session = DeviceSession::new(hub(), 500);
    let actions = session.handle(device::Event::Connected { hello: hello("fr"), leaf: Default::default() });
    let words: Vec<_> = actions.iter().map(shown).collect();
    assert_eq!(words, ["Send(Hello)", "Send(SigningLeaf)", "PullOutbox", "PullStatements"]);
    let offer = device::Offer { id: sample().message_id, bulk: true };
    let actions = session.handle(device::Event::Offers(vec![offer]));
    assert_eq!(actions.iter().map(shown).collect::<Vec<_>>(), ["Submit"]);
}

#[test]
fn an_accepted_message_is_asked_for_again_only_when_that_is_durable_here() {
    let mut session = device_in(device::State::Live);
    let id = sample().message_id;
    session.handle(device::Event::Offers(vec![device::Offer { id, bulk: true }]));
    let receipt = crate::receipt::tests::relayed().to_wire();
    let message_id = id.as_bytes().to_vec().into();
    let accepted = vec![wire::Acceptance { message_id, relayed: Some(receipt) }];
    let frame = Kind::Acceptances(wire::Acceptances { accepted });
    let actions = session.handle(device::Event::Control(frame));
    assert_eq!(actions.iter().map(shown).collect::<Vec<_>>(), ["Accepted"]);
    let again = session.handle(device::Event::Offers(vec![device::Offer { id, bulk: true }]));
    assert!(again.is_empty(), "the store has not noted it yet");
    let actions = session.handle(device::Event::Over(id));
    assert_eq!(actions.iter().map(shown).collect::<Vec<_>>(), ["PullOutbox", "PullLateWraps"]);
}

#[test]
fn late_wraps_of_few_messages_are_under_way_at_once() {
    let mut session = device_in(device::State::Live);
    let message = |n| (MessageId::new([n; 16]), vec![wire::KeyWrap::default(); 2]);
    let actions = session.handle(device::Event::WakeLateWraps);
    assert_eq!(actions.iter().map(shown).collect::<Vec<_>>(), ["PullLateWraps"]);
    assert!(session.handle(device::Event::WakeLateWraps).is_empty(), "one question at a time");
    let actions = session.handle(device::Event::LateWraps((1..=4).map(message).collect()));
    assert_eq!(actions.len(), 4);
    assert!(session.handle(device::Event::WakeLateWraps).is_empty(), "as many as may be");
    assert!(session.handle(device::Event::Over(message(1).0)).iter().all(|a| shown(a) != "PullLateWraps"));
    let actions = session.handle(device::Event::Over(message(1).0));
    assert!(actions.iter().any(|a| shown(a) == "PullLateWraps"), "both wraps of the first are answered for");
}

#[test]
fn silence_after_a_submission_ends_the_session_and_a_heard_packet_does_not() {
    let mut session = device_in(device::State::Live);
    let id = sample().message_id;
    session.handle(device::Event::Offers(vec![device::Offer { id, bulk: true }]));
    session.handle(device::Event::Submitted(id, 1_000));
    let tick = |now_ms, heard_ms| device::Event::Tick { now_ms, heard_ms };
    assert!(session.handle(tick(1_400, 1_200)).is_empty());
    let words: Vec<_> = session.handle(tick(1_600, 1_200)).iter().map(shown).collect();
    assert_eq!(words, ["Send(ReceiptsTaken)"], "asks whether the relay is there");
    assert!(session.handle(tick(1_650, 1_200)).is_empty(), "once");
    let actions = session.handle(tick(1_701, 1_200));
    assert_eq!(actions.iter().map(shown).collect::<Vec<_>>(), ["Close(Done)"]);
}

#[test]
fn a_wake_during_a_pull_is_not_lost() {
    let mut session = relay_in(relay::State::Live);
    let fr = Mailbox::new("fr").unwrap();
    session.handle(relay::Event::Offers(fr.clone(), vec![], true)); // answers the pull of the greeting
    assert_eq!(session.handle(relay::Event::Wake).len(), 1);
    assert!(session.handle(relay::Event::Wake).is_empty());
    let actions = session.handle(relay::Event::Offers(fr, vec![], true));
    assert_eq!(actions.iter().map(shown).collect::<Vec<_>>(), ["Pull"]);
}

#[test]
fn a_queue_that_gave_all_it_had_is_asked_again_after_a_wake() {
    let mut session = relay_in(relay::State::Live); // one offer answered the pull of the greeting
    let stored = wire::Stored { deliveries: vec![wire::Delivery { sequence: 9 }] };
    assert!(session.handle(relay::Event::Control(Kind::Stored(stored))).is_empty());
    let noted = session.handle(relay::Event::Noted(vec![], vec![9]));
    assert_eq!(noted.iter().map(shown).collect::<Vec<_>>(), ["Send(ReceiptsTaken)"]);
    let woken = session.handle(relay::Event::Wake);
    assert_eq!(woken.iter().map(shown).collect::<Vec<_>>(), ["Pull"]);
}

#[test]
fn a_queue_that_has_more_than_there_is_room_for_is_asked_when_there_is_room() {
    let mut session = relay_in(relay::State::Live);
    let fr = Mailbox::new("fr").unwrap();
    session.handle(relay::Event::Wake);
    let offers = (20..30).map(|sequence| offer(sequence, true)).collect();
    let actions = session.handle(relay::Event::Offers(fr, offers, true));
    let handed_out = actions.iter().filter(|a| shown(a) == "Deliver").count();
    assert_eq!(handed_out, crate::limits::BULK_TRANSFERS_MAX as usize);
    let stored = wire::Stored { deliveries: vec![wire::Delivery { sequence: 20 }] };
    let actions = session.handle(relay::Event::Control(Kind::Stored(stored)));
    assert_eq!(actions.iter().map(shown).collect::<Vec<_>>(), ["Pull"]);
}

/// What is handed out by these actions, in order.
fn handed(actions: &[relay::Action]) -> Vec<u64> {
    let sequence = |action: &relay::Action| match action {
        relay::Action::Deliver(_, offer) => Some(offer.sequence),
        _ => None,
    };
    actions.iter().filter_map(sequence).collect()
}

/// A live session of `fr` and a desk of it, whose mailboxes have been asked.
fn of_two_mailboxes() -> (RelaySession, [Mailbox; 2]) {
    let mut session = RelaySession::new(gw1_of_fr());
    let names = ["fr", "fr/fugitives"];
    let mailboxes = names.map(|name| wire::MailboxName { name: name.into() }).into();
    session.handle(relay::Event::Control(Kind::Hello(wire::Hello { mailboxes, ..hello("fr") })));
    session.handle(relay::Event::Control(Kind::SigningLeaf(Default::default())));
    let actions = session.handle(relay::Event::LeafJudged(Some(key_of_fr())));
    assert_eq!(actions.iter().filter(|action| shown(*action) == "Pull").count(), 2);
    (session, names.map(|name| Mailbox::new(name).unwrap()))
}

#[test]
fn the_most_urgent_over_all_mailboxes_goes_first() {
    let (mut session, [fr, desk]) = of_two_mailboxes();
    let ranked =
        |sequence, precedence| relay::Offer { rank: relay::Rank::of(precedence), ..offer(sequence, false) };
    let many = (1..=30).map(|sequence| ranked(sequence, Precedence::Immediate)).collect();
    let actions = session.handle(relay::Event::Offers(fr.clone(), many, false));
    assert!(actions.is_empty(), "the desk has still to answer");
    // A wake meanwhile asks nobody twice, and is not lost.
    assert!(session.handle(relay::Event::Wake).is_empty());
    let urgent = vec![ranked(40, Precedence::Flash), ranked(41, Precedence::Routine)];
    let actions = session.handle(relay::Event::Offers(desk, urgent, true));
    let most: Vec<u64> = std::iter::once(40).chain(1..=14).collect();
    assert_eq!(handed(&actions), most, "a flash, and as many as there is room for but one");
    assert_eq!(
        actions.iter().filter(|action| shown(*action) == "Pull").count(),
        2,
        "the wake asks both again"
    );

    // The place that is left is for a flash alone.
    let next = vec![ranked(15, Precedence::Immediate)];
    let none = relay::Event::Offers(Mailbox::new("fr/fugitives").unwrap(), vec![], true);
    assert!(session.handle(none).is_empty());
    assert!(handed(&session.handle(relay::Event::Offers(fr.clone(), next, true))).is_empty());
    session.handle(relay::Event::Wake);
    let none = relay::Event::Offers(Mailbox::new("fr/fugitives").unwrap(), vec![], true);
    session.handle(none);
    let flash = vec![ranked(15, Precedence::Immediate), ranked(50, Precedence::Flash)];
    assert_eq!(handed(&session.handle(relay::Event::Offers(fr, flash, true))), [50]);
}

#[test]
fn a_mailbox_that_never_answers_in_its_turn_holds_up_nobody_for_ever() {
    let (mut session, [fr, desk]) = of_two_mailboxes();
    // Wakes without end, and answers one by one: each round ends all the same.
    let mut given = 0;
    for round in 0..50 {
        session.handle(relay::Event::Wake);
        let one = relay::Event::Offers(fr.clone(), vec![offer(2 * round, false)], true);
        given += handed(&session.handle(one)).len();
        session.handle(relay::Event::Wake);
        let other = relay::Event::Offers(desk.clone(), vec![offer(2 * round + 1, false)], true);
        given += handed(&session.handle(other)).len();
        for sequence in [2 * round, 2 * round + 1] {
            let stored = wire::Stored { deliveries: vec![wire::Delivery { sequence }] };
            session.handle(relay::Event::Control(Kind::Stored(stored)));
            session.handle(relay::Event::Noted(vec![], vec![sequence]));
        }
    }
    assert_eq!(given, 100);
}

#[test]
fn what_was_passed_over_for_long_goes_before_what_is_immediate_and_behind_a_flash() {
    let mut session = relay_in(relay::State::Live);
    let fr = Mailbox::new("fr").unwrap();
    session.handle(relay::Event::Wake);
    let aged = |sequence, precedence, steps| relay::Offer {
        rank: relay::Rank::aged(precedence, steps),
        ..offer(sequence, false)
    };
    let offers = vec![
        aged(20, Precedence::Routine, 0),
        aged(21, Precedence::Immediate, 9),
        aged(22, Precedence::Routine, 3),
        aged(23, Precedence::Deferred, 4),
        aged(24, Precedence::Flash, 0),
    ];
    assert_eq!(handed(&session.handle(relay::Event::Offers(fr, offers, true))), [24, 22, 23, 21, 20]);
}

#[test]
fn receipts_that_found_no_room_are_asked_for_when_the_device_has_taken_some() {
    let mut session = relay_in(relay::State::Live);
    session.handle(relay::Event::Receipts(vec![])); // answers the pull of the greeting
    assert!(session.handle(relay::Event::Forgotten(vec![[1; 16]])).is_empty(), "none was held back");
    let mut receipt = crate::receipt::tests::delivered("br", 1);
    let mut receipts = || {
        receipt.sequence += 1;
        crate::receipt::SignedReceipt::sign(&receipt, &SigningKey::from_seed(&[1; 32]))
    };
    let mut last = [0; 16];
    session.handle(relay::Event::WakeReceipts);
    for _ in 0..crate::limits::UNSETTLED_MAX / crate::limits::BATCH_MAX {
        let batch: Vec<_> = (0..crate::limits::BATCH_MAX).map(|_| receipts()).collect();
        last = batch[0].id();
        session.handle(relay::Event::Receipts(batch));
    }
    let actions = session.handle(relay::Event::Forgotten(vec![last]));
    assert_eq!(actions.iter().map(shown).collect::<Vec<_>>(), ["PullReceipts"]);
}

#[test]
fn an_entry_is_offered_once_while_it_is_unsettled() {
    let mut session = relay_in(relay::State::Live);
    let fr = Mailbox::new("fr").unwrap();
    let offers = || vec![offer(12, true)];
    let first = session.handle(relay::Event::Offers(fr.clone(), offers(), true));
    assert_eq!(first.iter().filter(|a| shown(a) == "Deliver").count(), 1);
    let stored = wire::Stored { deliveries: vec![wire::Delivery { sequence: 12 }] };
    session.handle(relay::Event::Control(Kind::Stored(stored)));
    let again = session.handle(relay::Event::Offers(fr.clone(), offers(), true));
    assert!(again.iter().all(|a| shown(a) != "Deliver"), "stored, not yet settled");
    session.handle(relay::Event::Noted(vec![], vec![12]));
    let settled = session.handle(relay::Event::Offers(fr, offers(), true));
    assert_eq!(
        settled.iter().filter(|a| shown(a) == "Deliver").count(),
        1,
        "the queue would not offer it again"
    );
}

#[test]
fn acceptances_in_a_row_share_a_frame() {
    let mut session = relay_in(relay::State::Live);
    for _ in 0..100 {
        session.handle(relay::Event::Accepted(wire::Acceptance::default()));
    }
    let frames = session.flush();
    assert_eq!(frames.len(), 2);
    assert!(session.flush().is_empty());
}

#[test]
fn a_device_cannot_submit_under_a_key_that_it_did_not_show() {
    let mut session = RelaySession::new(gw1_of_fr());
    session.handle(relay::Event::Control(Kind::Hello(hello("fr"))));
    session.handle(relay::Event::Control(Kind::SigningLeaf(Default::default())));
    session.handle(relay::Event::LeafJudged(Some(KeyId([9; 32]))));
    let actions = session.handle(relay::Event::Submitted(transfer()));
    assert_eq!(actions.iter().map(shown).collect::<Vec<_>>(), ["Refuse"]);
}

#[test]
fn entries_that_cannot_be_read_do_not_close_the_mailbox() {
    let mut session = relay_in(relay::State::Live);
    let fr = Mailbox::new("fr").unwrap();
    session.handle(relay::Event::NotSent(9));
    for sequence in 100..100 + crate::limits::UNSETTLED_MAX as u64 {
        session.handle(relay::Event::Offers(fr.clone(), vec![offer(sequence, false)], true));
        assert!(session.handle(relay::Event::Unsendable(sequence)).is_empty(), "{sequence}");
        let actions = session.handle(relay::Event::Wake);
        assert_eq!(actions.iter().map(shown).collect::<Vec<_>>(), ["Pull"], "{sequence}");
    }
    session.handle(relay::Event::Offers(fr, vec![offer(999, false)], true));
    let actions = session.handle(relay::Event::Unsendable(999));
    assert_eq!(actions.iter().map(shown).collect::<Vec<_>>(), ["Close(OurFault)"]);
}

#[test]
fn a_device_cannot_submit_in_the_name_of_another() {
    let other = DeviceId { party: PartyName::new("fr").unwrap(), device: DeviceName::new("gw2").unwrap() };
    let mut session = RelaySession::new(other);
    session.handle(relay::Event::Control(Kind::Hello(hello("fr"))));
    session.handle(relay::Event::Control(Kind::SigningLeaf(Default::default())));
    session.handle(relay::Event::LeafJudged(Some(key_of_fr())));
    let actions = session.handle(relay::Event::Submitted(transfer()));
    let [relay::Action::Refuse(_, refusal)] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(*refusal, crate::refusal::Refusal::SenderMismatch);
}
