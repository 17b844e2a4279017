//! Who answers in the relay's place: a desk finds out before it has said a word, keeps what it was given to send, and
//! hands it to the true relay.

use valise_lab::false_relay::FalseRelay;
use valise_lab::forged::{expired_relay, foreign_relay, other_relay, relay_of_a_second_ca};
use valise_lab::impostor::genuine;
use valise_lab::{Lab, eventually};
use valise_proto::session::Close;

use super::codes;

#[test]
fn a_false_relay_is_told_nothing_and_the_true_one_gets_it_all() {
    let mut lab = Lab::new(&["fr", "de"]).unwrap();
    // Their lists first: lists are read at the start, and without one all would be refused for that.
    let (other, second_ca) = (other_relay(&lab).unwrap(), relay_of_a_second_ca(&lab).unwrap());
    lab.start().unwrap();
    lab.party("fr").send(&["de", "--wait", "delivered"], "before").unwrap();
    lab.relay().stop().unwrap();
    let id = lab.party("fr").send(&["de"], "for the true relay alone").unwrap();

    let cases = [
        ("UNKNOWN_ISSUER", foreign_relay(&lab, 2).unwrap()),
        ("UNKNOWN_ISSUER", foreign_relay(&lab, 1).unwrap()),
        ("RELAY_NOT_TRUSTED", other),
        ("CERT_EXPIRED", expired_relay(&mut lab).unwrap()),
        ("WRONG_USAGE", genuine(&lab, "de").unwrap()),
        ("WRONG_ISSUER", second_ca),
    ];
    for (code, papers) in cases {
        lab.party("fr").clear_log().unwrap();
        let relay = FalseRelay::start(&mut lab, &papers).unwrap();
        let what = format!("fr finds {code} with who answers");
        eventually(&what, || Ok(codes(lab.party("fr").log(), "relay-not-trusted").len() >= 2)).unwrap();
        let found = codes(lab.party("fr").log(), "relay-not-trusted");
        assert!(found.iter().all(|found| found == code), "{found:?} in place of {code}");
        assert_eq!(relay.streams(), 0, "{code}: something was said to a false relay");
        // Only the last one passes TLS; then a code says why, as to a device with such papers.
        let closes = relay.closes();
        let expected = if code == "WRONG_ISSUER" { Some(Close::BadIdentity) } else { None };
        assert!(closes.iter().all(|close| close.is_some() && *close == expected), "{code}: {closes:?}");
        assert_eq!(closes.is_empty(), expected.is_none(), "{code}");
        let outbox = lab.party("fr").status().unwrap()["outbox"].clone();
        assert_eq!(outbox["queued"], 1, "{code}: {outbox}");
        drop(relay);
    }

    lab.relay().start().unwrap();
    lab.party("fr").reaches(&id, "de", "delivered").unwrap();
    assert_eq!(lab.party("de").copies(&id).unwrap(), 1);
}
