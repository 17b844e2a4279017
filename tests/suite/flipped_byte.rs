//! A relay operator alters one bit of what the relay holds, and seals it again as the relay would: the recipient finds
//! it, shows nothing of it, and the sender is told.

use valise_lab::{Lab, eventually, tamper};

#[test]
fn a_flipped_bit_is_found_and_the_sender_is_told() {
    let mut lab = Lab::new(&["fr", "minustah"]).unwrap();
    lab.keep_in_sqlite().unwrap();
    lab.start().unwrap();
    lab.party("fr").send(&["minustah", "--wait", "delivered"], "good morning").unwrap();
    lab.party_mut("minustah").stop().unwrap();
    let whole = lab.party("fr").send(&["minustah", "--wait", "relayed"], "first").unwrap();
    let altered = lab.party("fr").send(&["minustah", "--wait", "relayed"], "second").unwrap();
    let told = lab.party("fr").ask(&["send", "minustah", "--wait", "opened"], b"third").unwrap();
    eventually("three wait", || Ok(lab.relay().waiting()? == 3)).unwrap();
    lab.relay().stop().unwrap();
    tamper::flip_a_byte(&mut lab).unwrap();
    lab.relay().start().unwrap();
    lab.party_mut("minustah").start().unwrap();

    // The last was altered: whoever waits for it ends with 8 and the reason.
    let told = told.answer().unwrap();
    assert_eq!(told.code, 8, "{told:?}");
    assert_eq!(told.error().unwrap().0, "ended-badly");
    let id = told.lines[0]["id"].as_str().unwrap();
    let line = lab.party("fr").tracked(id, "minustah").unwrap();
    assert_eq!((line["state"].as_str(), line["by"].as_str()), (Some("unopenable"), Some("minustah")));
    assert!(line["reason"].is_string(), "{line}");

    // The others arrived; nothing of the altered one is shown.
    for id in [&whole, &altered] {
        lab.party("fr").reaches(id, "minustah", "delivered").unwrap();
    }
    let minustah = lab.party("minustah");
    assert_eq!((minustah.copies(id).unwrap(), minustah.inbox().unwrap().len()), (0, 3));
    assert_eq!(minustah.status().unwrap()["inbox"]["unopenable"], 1);
    assert_eq!(lab.relay().waiting().unwrap(), 0);
}
