//! Strangers at the relay's door, with papers of every wrong kind.

use valise_certs::leaf::Usage;
use valise_lab::forged::{self, foreign, made_for, posing, signing_as_tls, stolen_from_the_relay};
use valise_lab::impostor::{Answer, Shown, call, call_with, genuine};
use valise_lab::odd_tls::{call_by_1_2, speak_early};
use valise_lab::relay::logged;
use valise_lab::{Lab, eventually};
use valise_proto::limits::ALPN;
use valise_proto::session::Close;

use super::codes;

/// TLS alerts (RFC 8446, 6.2).
const UNSUPPORTED_CERTIFICATE: u8 = 43;
const CERTIFICATE_REVOKED: u8 = 44;
const CERTIFICATE_EXPIRED: u8 = 45;
const CERTIFICATE_UNKNOWN: u8 = 46;
const UNKNOWN_CA: u8 = 48;
const DECRYPT_ERROR: u8 = 51;
const PROTOCOL_VERSION: u8 = 70;
const CERTIFICATE_REQUIRED: u8 = 116;
const NO_APPLICATION_PROTOCOL: u8 = 120;

/// TLS refused.
const HANDSHAKE: &str = "handshake-refused";
/// We refused, after TLS had not.
const DEVICE: &str = "device-refused";

/// The relay's log gets this code next, under this event.
fn logs_next(lab: &mut Lab, event: &str, code: &str, call: impl FnOnce(&mut Lab) -> Answer) -> Answer {
    let before = codes(lab.relay().log(), event).len();
    let answer = call(lab);
    let what = format!("the relay logs {event} with {code}");
    eventually(&what, || Ok(codes(lab.relay().log(), event).get(before).is_some_and(|found| found == code)))
        .unwrap();
    answer
}

#[test]
fn papers_that_should_not_count_open_no_door() {
    let mut lab = Lab::new(&["fr", "de"]).unwrap();
    // Lists and roster first: they are read at the start.
    let listed = forged::revoked_in_list(&lab, "de").unwrap();
    let in_roster = forged::revoked_in_roster(&lab, "de").unwrap();
    let of_nobody = forged::of_nobody(&lab, "jp").unwrap();
    let second_ca = forged::of_a_second_ca(&lab, "de").unwrap();
    lab.start().unwrap();
    let shown = |papers| Shown::Papers(papers, ALPN);
    let stolen = stolen_from_the_relay(&mut lab).unwrap();
    let cases = [
        ("NO_CLIENT_CERT", CERTIFICATE_REQUIRED, Shown::Nothing),
        ("CERT_EXPIRED", CERTIFICATE_EXPIRED, shown(forged::expired(&lab, "de").unwrap())),
        ("CERT_NOT_YET_VALID", CERTIFICATE_EXPIRED, shown(forged::not_yet_valid(&lab, "de").unwrap())),
        ("UNKNOWN_ISSUER", CERTIFICATE_UNKNOWN, shown(forged::self_signed(&lab).unwrap())),
        ("UNKNOWN_ISSUER", UNKNOWN_CA, shown(foreign(&lab, "de", 2).unwrap())),
        // A root that is called like ours does not help: its signature is not ours.
        ("UNKNOWN_ISSUER", DECRYPT_ERROR, shown(foreign(&lab, "de", 1).unwrap())),
        ("CERT_REVOKED", CERTIFICATE_REVOKED, shown(listed)),
        ("WRONG_USAGE", UNSUPPORTED_CERTIFICATE, shown(stolen)),
        ("WRONG_USAGE", UNSUPPORTED_CERTIFICATE, shown(made_for(&lab, "de", Usage::ServerAuth).unwrap())),
        ("WRONG_USAGE", UNSUPPORTED_CERTIFICATE, shown(signing_as_tls(&lab, "de").unwrap())),
        ("WRONG_ALPN", NO_APPLICATION_PROTOCOL, Shown::Papers(genuine(&lab, "de").unwrap(), b"h3")),
    ];
    for (code, alert, shown) in cases {
        let answer = logs_next(&mut lab, HANDSHAKE, code, |lab| call(lab, shown, "de").unwrap());
        assert_eq!(answer, Answer::Alert(alert), "{code}");
    }
    let old = logs_next(&mut lab, HANDSHAKE, "WRONG_TLS_VERSION", |lab| call_by_1_2(lab, "de").unwrap());
    assert_eq!(old, Answer::Alert(PROTOCOL_VERSION));

    // The TLS library finds nothing wrong with these: names, roster and its revocations are our own checks.
    let cases = [
        ("CERT_REVOKED", Close::Revoked, in_roster),
        ("NOT_ENROLLED", Close::NotEnrolled, of_nobody),
        ("WRONG_ISSUER", Close::BadIdentity, second_ca),
        ("BAD_IDENTITY", Close::BadIdentity, posing(&lab, "fr", "de").unwrap()),
    ];
    for (code, close, papers) in cases {
        let answer = logs_next(&mut lab, DEVICE, code, |lab| call(lab, shown(papers), "de").unwrap());
        assert_eq!(answer, Answer::Closed(close), "{code}");
    }
    assert_dates_are_told_with_our_clock(&mut lab);
    assert_nobody_noticed(&mut lab);
}

/// Who reads that a certificate has expired asks first whether the clock is right.
fn assert_dates_are_told_with_our_clock(lab: &mut Lab) {
    let refused = logged(lab.relay().log(), HANDSHAKE).unwrap();
    let of_dates = refused
        .iter()
        .filter(|line| ["CERT_EXPIRED", "CERT_NOT_YET_VALID"].iter().any(|c| line["code"] == *c));
    let reasons: Vec<&str> = of_dates.filter_map(|line| line["reason"].as_str()).collect();
    assert_eq!(reasons.len(), 2);
    assert!(reasons.iter().all(|reason| reason.contains("verification time")), "{reasons:?}");
}

/// Two parties, their first sessions, no other and none ended; and a message goes as if nothing had been.
fn assert_nobody_noticed(lab: &mut Lab) {
    assert_eq!(lab.relay().depth().unwrap().0, 0, "a stranger left something in the queue");
    lab.party("fr").send(&["de", "--wait", "delivered"], "nobody but us").unwrap();
    let log = lab.relay().log().to_owned();
    assert_eq!(logged(&log, "session-opened").unwrap().len(), 2);
    assert_eq!(logged(&log, "session-ended").unwrap().len(), 0);
}

#[test]
fn papers_of_its_own_do_not_open_anothers_name() {
    let mut lab = Lab::running(&["fr", "de"]).unwrap();
    let own = |lab: &Lab| Shown::Papers(genuine(lab, "fr").unwrap(), ALPN);
    let (as_de, with_de) = (own(&lab), own(&lab));
    assert_eq!(call(&mut lab, as_de, "de").unwrap(), Answer::Closed(Close::Protocol));
    assert_eq!(call_with(&mut lab, with_de, "fr", "de").unwrap(), Answer::Closed(Close::BadIdentity));
    eventually("the relay has logged both", || {
        let ended = logged(lab.relay().log(), "session-ended")?;
        let why: Vec<&str> = ended.iter().filter_map(|line| line["why"].as_str()).collect();
        Ok(why == ["PROTOCOL", "BAD_IDENTITY"])
    })
    .unwrap();
    lab.party("fr").send(&["de", "--wait", "delivered"], "nobody but us").unwrap();
    assert_eq!(logged(lab.relay().log(), "session-opened").unwrap().len(), 2);

    // The same caller with the right papers and name is welcomed: it was those that failed above.
    lab.party_mut("fr").stop().unwrap();
    let right = own(&lab);
    assert_eq!(call(&mut lab, right, "fr").unwrap(), Answer::Welcome);
}

#[test]
fn what_is_said_before_the_handshake_is_over_is_never_heard() {
    let mut lab = Lab::running(&["fr", "de"]).unwrap();
    lab.party_mut("fr").stop().unwrap();
    // No frame at all: had the relay heard it, it would have closed.
    let (taken, answer) = speak_early(&mut lab, "fr", &[0; 64]).unwrap();
    assert!(!taken, "the relay took early data");
    assert_eq!(answer, Answer::Welcome);
    assert_eq!(codes(lab.relay().log(), "frame-refused"), [""; 0]);
    lab.party_mut("fr").start().unwrap();
    lab.party("fr").send(&["de", "--wait", "delivered"], "undisturbed").unwrap();
}
