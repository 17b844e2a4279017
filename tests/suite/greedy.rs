//! A device with genuine papers that takes more than its share does not hurt the others; and a crowd whose keys are not
//! known yet gets its mail all the same.

use std::time::Duration;

use valise_lab::greedy::Greedy;
use valise_lab::{Lab, eventually};
use valise_proto::refusal::Refusal;

/// Recipients that a newcomer writes to at once.
const CROWD: [&str; 12] = ["br", "de", "es", "it", "jp", "ke", "mx", "ng", "pt", "se", "us", "za"];

#[test]
fn memory_reserved_by_one_device_is_not_taken_from_the_others() {
    let mut lab = Lab::running(&["fr", "br", "minustah"]).unwrap();
    lab.party_mut("minustah").stop().unwrap();
    let mut greedy = Greedy::greet(&mut lab, "minustah").unwrap();
    greedy.reserve(&lab, "minustah", "br").unwrap();
    lab.party("fr").send(&["br", "--wait", "delivered", "--timeout", "5s"], "undisturbed").unwrap();
}

#[test]
fn a_device_that_never_reads_stalls_nobody_and_no_stop() {
    let mut lab = Lab::running(&["fr", "br", "minustah"]).unwrap();
    lab.party_mut("minustah").stop().unwrap();
    let mut greedy = Greedy::greet(&mut lab, "minustah").unwrap();
    let taken = greedy.ask_and_not_read("br").unwrap();
    lab.party("fr").send(&["br", "--wait", "delivered", "--timeout", "5s"], "undisturbed").unwrap();
    let (status, took) = lab.relay().stop().unwrap();
    assert!(status.success() && took < Duration::from_secs(8), "{status} after {took:?}; {taken} questions");
}

#[test]
fn a_key_that_was_not_shown_is_refused_and_the_mailbox_stays_open() {
    let mut lab = Lab::running(&["fr", "br", "minustah"]).unwrap();
    lab.party_mut("minustah").stop().unwrap();
    let mut greedy = Greedy::greet(&mut lab, "minustah").unwrap();
    for _ in 0..20 {
        let refused = greedy.submit_unsigned(&lab, "minustah", "br").unwrap();
        assert_eq!(refused, Some(Refusal::SenderMismatch.code()));
    }
    assert_eq!(lab.relay().waiting().unwrap(), 0);
    lab.party("fr").send(&["br", "--wait", "delivered", "--timeout", "5s"], "undisturbed").unwrap();
}

/// Once, frames for late keys filled both control streams and each side waited for the other to read.
#[test]
fn a_newcomer_writes_to_a_crowd_whose_keys_it_learns_meanwhile() {
    let parties: Vec<&str> = CROWD.into_iter().chain(["fr"]).collect();
    let mut lab = Lab::new(&parties).unwrap();
    lab.relay().start().unwrap();
    for name in CROWD {
        lab.party_mut(name).start().unwrap();
        lab.party(name).linked().unwrap();
    }
    lab.relay().kill().unwrap();
    lab.party_mut("fr").start().unwrap();
    let send = |number: usize| lab.party("fr").send(&["@all"], &format!("note {number}")).unwrap();
    let ids: Vec<String> = (0..30).map(send).collect();
    lab.relay().start().unwrap();
    for id in &ids {
        for name in CROWD {
            lab.party("fr").reaches(id, name, "delivered").unwrap();
        }
    }
    for name in CROWD {
        assert_eq!(lab.party(name).inbox().unwrap().len(), ids.len(), "{name}");
    }
    eventually("the queue is empty", || Ok(lab.relay().waiting()? == 0)).unwrap();
}
