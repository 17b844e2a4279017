//! Strangers at the door: each kind of wrong papers is refused by the relay, and no Welcome comes. The rightful device
//! is not disturbed.

use valise_lab::impostor::{Answer, Shown, call, call_with, foreign, genuine, posing, stolen_from_the_relay};
use valise_lab::{Lab, eventually};
use valise_proto::limits::ALPN;
use valise_proto::session::Close;

/// TLS alerts (RFC 8446, 6.2).
const UNSUPPORTED_CERTIFICATE: u8 = 43;
const UNKNOWN_CA: u8 = 48;
const DECRYPT_ERROR: u8 = 51;
const CERTIFICATE_REQUIRED: u8 = 116;
const NO_APPLICATION_PROTOCOL: u8 = 120;

#[test]
fn strangers_are_refused_and_the_rightful_device_is_not_disturbed() {
    let mut lab = Lab::running(&["fr", "de"]).unwrap();

    assert_eq!(call(&mut lab, Shown::Nothing, "fr").unwrap(), Answer::Alert(CERTIFICATE_REQUIRED));

    let other = foreign(&lab, "fr", 2).unwrap();
    assert_eq!(call(&mut lab, Shown::Papers(other, ALPN), "fr").unwrap(), Answer::Alert(UNKNOWN_CA));
    // A root that is called like ours does not help: its signature is not ours.
    let namesake = foreign(&lab, "fr", 1).unwrap();
    assert_eq!(call(&mut lab, Shown::Papers(namesake, ALPN), "fr").unwrap(), Answer::Alert(DECRYPT_ERROR));

    // The TLS library finds nothing wrong with this one: the name in the URI is our own check.
    let posed = posing(&lab, "fr", "de").unwrap();
    assert_eq!(call(&mut lab, Shown::Papers(posed, ALPN), "de").unwrap(), Answer::Closed(Close::BadIdentity));

    let relays = stolen_from_the_relay(&mut lab).unwrap();
    assert_eq!(
        call(&mut lab, Shown::Papers(relays, ALPN), "fr").unwrap(),
        Answer::Alert(UNSUPPORTED_CERTIFICATE)
    );

    let right = genuine(&lab, "fr").unwrap();
    assert_eq!(
        call(&mut lab, Shown::Papers(right, b"h3"), "fr").unwrap(),
        Answer::Alert(NO_APPLICATION_PROTOCOL)
    );

    // Its own papers, and the name or the signing certificate of another behind them.
    let own = || Shown::Papers(genuine(&lab, "fr").unwrap(), ALPN);
    let (as_de, with_de) = (own(), own());
    assert_eq!(call(&mut lab, as_de, "de").unwrap(), Answer::Closed(Close::Protocol));
    assert_eq!(call_with(&mut lab, with_de, "fr", "de").unwrap(), Answer::Closed(Close::BadIdentity));

    eventually("the relay has logged all six", || {
        let refused = valise_lab::relay::logged(lab.relay().log(), "handshake-refused")?.len();
        let posed = valise_lab::relay::logged(lab.relay().log(), "device-refused")?.len();
        Ok((refused, posed) == (5, 1))
    })
    .unwrap();
    lab.party("fr").send(&["de", "--wait", "delivered"], "nobody but us").unwrap();

    // The same caller with the right papers and protocol is welcomed: it was the papers that failed above.
    let right = genuine(&lab, "fr").unwrap();
    lab.party_mut("fr").stop().unwrap();
    assert_eq!(call(&mut lab, Shown::Papers(right, ALPN), "fr").unwrap(), Answer::Welcome);
}
