//! Waiting: 0 when every recipient got there, 8 as soon as one ended badly, 7 when the time is up.

use super::{Office, SENT, valise};
use crate::answer::State;

const SEND: [&str; 6] = ["send", "br", "minustah", "--wait", "delivered", "--timeout"];

#[test]
fn it_ends_when_the_last_recipient_got_there_or_further() {
    let office = Office::open();
    office.desk.books().plan = [
        ("br", State::Opened, None),
        ("minustah", State::Relayed, None),
        ("minustah", State::Delivered, None),
    ]
    .into();
    let said = valise(&office, &[&SEND[..], &["60s", "--json"]].concat(), b"x");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(
        said.out,
        format!(
            concat!(
                r#"{{"id":"{}","state":"delivered","recipients":[{{"to":"br","state":"opened"}},"#,
                r#"{{"to":"minustah","state":"delivered"}}],"bytes":1234}}"#,
                "\n"
            ),
            SENT
        )
    );
}

#[test]
fn it_ends_as_soon_as_one_ended_badly() {
    let office = Office::open();
    office.desk.books().plan =
        [("br", State::Relayed, None), ("minustah", State::Unopenable, Some("key-retired"))].into();
    let said = valise(&office, &[&SEND[..], &["60s", "--json"]].concat(), b"x");
    assert_eq!((said.code, said.error().as_str()), (8, "ended-badly"));
    assert!(said.err.contains("minustah (unopenable: key-retired)"), "{}", said.err);
    assert!(
        said.out.contains(r#""state":"unopenable","recipients":[{"to":"br","state":"relayed"}"#),
        "{}",
        said.out
    );
    assert_eq!(said.out.lines().count(), 1);
}

#[test]
fn the_time_is_up_with_the_answer_and_a_word() {
    let office = Office::open();
    office.desk.books().plan = [("br", State::Delivered, None)].into();
    for timeout in ["0s", "20ms"] {
        let said = valise(&office, &[&SEND[..], &[timeout, "--json"]].concat(), b"x");
        assert_eq!((said.code, said.error().as_str()), (7, "not-in-time"));
        assert!(said.err.contains("did not reach delivered at"), "{}", said.err);
        assert!(said.out.starts_with(&format!(r#"{{"id":"{SENT}","state":"queued""#)), "{}", said.out);
    }
}

#[test]
fn a_state_already_reached_needs_no_waiting() {
    let office = Office::open();
    let said = valise(&office, &["send", "br", "--wait", "queued", "--timeout", "0s"], b"x");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
}

#[test]
fn a_person_sees_what_moves() {
    let office = Office::open();
    office.desk.books().plan = [
        ("br", State::Relayed, None),
        ("br", State::Relayed, None),
        ("br", State::Delivered, None),
        ("minustah", State::Delivered, None),
    ]
    .into();
    let said = valise(&office, &[&SEND[..], &["60s"]].concat(), b"x");
    assert_eq!(said.code, 0);
    assert_eq!(
        said.err,
        "waiting for delivered (Ctrl-C is safe, the message stays queued)\n  \
         br relayed, minustah queued\n  br delivered, minustah queued\n"
    );
    assert_eq!(
        said.out,
        format!("{SENT}  delivered  1234 bytes uploaded\n  br        delivered\n  minustah  delivered\n")
    );
}
