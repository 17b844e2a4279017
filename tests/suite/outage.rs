//! Programs die at the worst moment: with mail queued, right after an answer, in the middle of a delivery. What was
//! answered for arrives, and arrives once.

use std::fs;

use valise_lab::{Lab, eventually};

/// How often a daemon is killed right behind an answer.
const TIMES: usize = 6;

#[test]
fn a_relay_killed_with_mail_in_its_queue_hands_it_out_once() {
    let mut lab = Lab::running(&["fr", "minustah"]).unwrap();
    lab.party("fr").send(&["minustah", "--wait", "delivered"], "good morning").unwrap();
    lab.party_mut("minustah").stop().unwrap();
    let send =
        |number: usize| lab.party("fr").send(&["minustah", "--wait", "relayed"], &format!("note {number}"));
    let ids: Vec<String> = (0..TIMES).map(|number| send(number).unwrap()).collect();
    lab.relay().kill().unwrap();
    lab.relay().start().unwrap();
    assert_eq!(lab.relay().waiting().unwrap(), TIMES as u64);
    lab.party_mut("minustah").start().unwrap();
    for id in &ids {
        lab.party("fr").reaches(id, "minustah", "delivered").unwrap();
        assert_eq!(lab.party("minustah").copies(id).unwrap(), 1);
    }
    eventually("the queue is empty", || Ok(lab.relay().waiting()? == 0)).unwrap();
    assert_eq!(lab.party("minustah").inbox().unwrap().len(), TIMES + 1);
}

#[test]
fn a_sender_killed_right_after_its_answer_still_sends_once() {
    let mut lab = Lab::running(&["fr", "br"]).unwrap();
    let mut ids = Vec::new();
    for number in 0..TIMES {
        // Every second time there is no relay, so that the message can only have been in the outbox.
        let alone = number % 2 == 0;
        if alone {
            lab.relay().kill().unwrap();
        }
        ids.push(lab.party("fr").send(&["br"], &format!("note {number}")).unwrap());
        lab.party_mut("fr").kill().unwrap();
        if alone {
            lab.relay().start().unwrap();
        }
        lab.party_mut("fr").start().unwrap();
    }
    for id in &ids {
        lab.party("fr").reaches(id, "br", "delivered").unwrap();
        assert_eq!(lab.party("br").copies(id).unwrap(), 1);
    }
    assert_eq!(lab.party("br").inbox().unwrap().len(), TIMES);
}

#[test]
fn a_recipient_killed_in_the_middle_of_a_delivery_has_each_message_once() {
    let mut lab = Lab::running(&["fr", "br"]).unwrap();
    let mut ids = Vec::new();
    for number in 0..TIMES {
        let note = lab.dir().join("note.bin");
        fs::write(&note, vec![u8::try_from(number).unwrap(); 300_000]).unwrap();
        let words = ["br", "--attach", note.to_str().unwrap(), "--wait", "relayed"];
        ids.push(lab.party("fr").send(&words, "see the file").unwrap());
        lab.party_mut("br").kill().unwrap();
        lab.party_mut("br").start().unwrap();
    }
    for id in &ids {
        lab.party("fr").reaches(id, "br", "delivered").unwrap();
    }
    // Twice more from the start: what has come does not come again.
    for _ in 0..2 {
        lab.party_mut("br").kill().unwrap();
        lab.party_mut("br").start().unwrap();
        lab.party("br").linked().unwrap();
    }
    let last = lab.party("fr").send(&["br", "--wait", "delivered"], "that was all").unwrap();
    let inbox = lab.party("br").inbox().unwrap();
    let mut came: Vec<&str> = inbox.iter().filter_map(|line| line["id"].as_str()).collect();
    let mut due: Vec<&str> = ids.iter().chain([&last]).map(String::as_str).collect();
    came.sort_unstable();
    due.sort_unstable();
    assert_eq!(came, due);
}

#[test]
fn all_of_them_killed_at_once_lose_nothing() {
    let mut lab = Lab::running(&["fr", "br", "minustah"]).unwrap();
    lab.party("fr").send(&["br", "minustah", "--wait", "delivered"], "good morning").unwrap();
    lab.party_mut("minustah").kill().unwrap();
    let held = lab.party("fr").send(&["br", "minustah", "--wait", "relayed"], "held").unwrap();
    lab.relay().kill().unwrap();
    let queued = lab.party("fr").send(&["br", "minustah"], "queued").unwrap();
    lab.party_mut("fr").kill().unwrap();
    lab.party_mut("br").kill().unwrap();

    lab.relay().start().unwrap();
    for party in ["fr", "br", "minustah"] {
        lab.party_mut(party).start().unwrap();
    }
    for id in [&held, &queued] {
        for party in ["br", "minustah"] {
            lab.party("fr").reaches(id, party, "delivered").unwrap();
            assert_eq!(lab.party(party).copies(id).unwrap(), 1);
        }
    }
}
