//! The relay's administrator: sees how it stands and who is connected, drains it; and nobody else does, by whatever
//! door.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use valise_lab::admin::valisectl;
use valise_lab::greedy::Greedy;
use valise_lab::impostor::{Answer, speak};
use valise_lab::relay::logged;
use valise_lab::{Lab, eventually};
use valise_proto::admin::{self, AskDrain, FaultCode, answer::Kind, question::Verb};
use valise_proto::session::Close;

#[test]
fn the_administrator_sees_what_waits_who_is_here_and_what_runs_out() {
    let mut lab = Lab::running(&["fr", "br", "minustah"]).unwrap();
    let found = std::fs::symlink_metadata(lab.admin_socket()).unwrap();
    assert!(found.file_type().is_socket() && found.permissions().mode() & 0o777 == 0o600);
    lab.party("fr").send(&["minustah", "--wait", "delivered"], "so that its key is known").unwrap();
    lab.party_mut("minustah").stop().unwrap();
    lab.party("fr").send(&["minustah", "--wait", "relayed"], "it waits").unwrap();

    let config = lab.relay().config().to_str().unwrap().to_owned();
    let said = valisectl(&["relay", "status", "--config", &config]).unwrap();
    assert_eq!((said.code, said.lines.len()), (0, 1), "{said:?}");
    let status = &said.lines[0];
    assert_eq!(status["relay"], "hub-1");
    assert_eq!((status["state"].as_str(), status["draining"].as_bool()), (Some("green"), Some(false)));
    assert_eq!((status["sessions"].as_u64(), status["roster"].as_u64()), (Some(2), Some(1)));
    assert_eq!(
        (status["queue"]["entries"].as_u64(), status["queue"]["sequence"].as_u64()),
        (Some(1), Some(2))
    );
    assert!(status["queue"]["oldest"].as_str().unwrap() >= status["started"].as_str().unwrap(), "{status}");
    let what: Vec<_> =
        status["expires"].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect();
    for due in ["entry", "tls-certificate", "revocation-list"] {
        assert!(what.contains(&due), "{due} is not among {what:?}");
    }

    let here = lab.ask_relay(&["connections"]).unwrap();
    let mut parties: Vec<_> = here.lines.iter().map(|one| one["party"].as_str().unwrap()).collect();
    parties.sort_unstable();
    assert_eq!((here.code, parties), (0, vec!["br", "fr"]));
    for one in &here.lines {
        assert_eq!(one["mailboxes"][0], one["party"]);
        assert!(one["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{one}");
        assert!(one["rtt_ms"].as_f64().is_some_and(|rtt| rtt > 0.0 && rtt < 10_000.0), "{one}");
    }
}

#[test]
fn a_drained_relay_ends_in_order_and_its_devices_come_back_to_the_next() {
    let mut lab = Lab::running(&["fr", "br"]).unwrap();
    lab.party("fr").send(&["br", "--wait", "delivered"], "before").unwrap();
    let said = lab.ask_relay(&["drain", "--wait", "--timeout", "20"]).unwrap();
    let states: Vec<_> = said.lines.iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!((said.code, states), (0, vec!["draining", "stopped"]), "{said:?}");
    assert_eq!(said.lines[0]["sessions"], 2);
    assert_eq!(lab.relay().ended().unwrap().code(), Some(0), "as a supervisor sees it");
    assert!(lab.relay().has_logged("drain-asked").unwrap() && lab.relay().has_logged("stopped").unwrap());
    assert!(!lab.admin_socket().exists(), "the socket goes with the relay");
    assert_eq!(lab.ask_relay(&["status"]).unwrap().code, 3);

    lab.relay().start().unwrap();
    lab.party("fr").send(&["br", "--wait", "delivered"], "after").unwrap();
}

#[test]
fn a_dead_relays_socket_is_in_nobodys_way() {
    let mut lab = Lab::running(&["fr"]).unwrap();
    lab.relay().kill().unwrap();
    assert!(lab.admin_socket().exists());
    assert_eq!(lab.ask_relay(&["connections"]).unwrap().code, 3);
    lab.relay().start().unwrap();
    assert_eq!(lab.ask_relay(&["status"]).unwrap().code, 0);
}

#[test]
fn a_device_cannot_ask_what_an_administrator_may() {
    let mut lab = Lab::running(&["fr", "minustah"]).unwrap();
    let drain = admin::ask(Verb::Drain(AskDrain { wait: false }));
    assert_eq!(speak(&mut lab, "minustah", &drain).unwrap(), Answer::Closed(Close::Protocol));
    assert_eq!(lab.ask_relay(&["status"]).unwrap().lines[0]["draining"], false);
    assert!(!lab.relay().has_logged("drain-asked").unwrap());
}

/// What the relay answers to a caller that asks nothing.
fn not_understood() -> Vec<u8> {
    admin::say(Kind::Fault(admin::Fault { code: FaultCode::NotUnderstood.into() })).to_vec()
}

#[test]
fn callers_that_ask_nothing_are_told_so_and_lose_their_place() {
    let lab = Lab::running(&["fr", "br"]).unwrap();
    let noise: [&[u8]; 5] = [
        &[0, 0, 0, 0],
        &[0xff, 0xff, 0xff, 0xff, 1, 2, 3],
        &[0, 0, 0, 2, 0xff, 0xff],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0, 0, 0, 3, 0xfa, 0x3f, 0x00],
    ];
    for bytes in noise {
        assert_eq!(lab.knock(bytes).unwrap(), not_understood(), "{bytes:?}");
    }
    // More than there are places, each silent: all are sent away, and whoever asks meanwhile waits for no longer.
    let begun = Instant::now();
    let silent: Vec<UnixStream> = (0..12).map(|_| UnixStream::connect(lab.admin_socket()).unwrap()).collect();
    assert_eq!(lab.ask_relay(&["status"]).unwrap().code, 0);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    drop(silent);
    lab.party("fr").send(&["br", "--wait", "delivered"], "undisturbed").unwrap();
}

#[test]
fn while_it_drains_it_says_so_and_takes_nobody_in() {
    let mut lab = Lab::running(&["fr", "br", "minustah"]).unwrap();
    lab.party("fr").send(&["minustah", "--wait", "delivered"], "so that its key is known").unwrap();
    for party in ["minustah", "br"] {
        lab.party_mut(party).stop().unwrap();
    }
    lab.party("fr").send(&["minustah", "--wait", "relayed"], "it will be under way").unwrap();
    // It is handed the envelope and never says that it has it: what is in flight holds the drain open for its 4 s.
    let _greedy = Greedy::greet(&mut lab, "minustah").unwrap();
    eventually("it is on its way", || {
        let here = lab.ask_relay(&["connections"])?.lines;
        Ok(here.iter().any(|one| one["party"] == "minustah" && one["delivering"] == 1))
    })
    .unwrap();

    assert_eq!(lab.ask_relay(&["drain"]).unwrap().code, 0, "it returns at once");
    let status = lab.ask_relay(&["status"]).unwrap().lines[0].clone();
    assert_eq!(
        (status["draining"].as_bool(), status["state"].as_str()),
        (Some(true), Some("red")),
        "{status}"
    );
    let (code, text) = lab.relay().ask("/readyz?verbose=1").unwrap();
    assert!(code == 503 && text.contains("draining"), "{code} {text}");
    assert_eq!(lab.relay().ask("/livez").unwrap().0, 200);
    lab.party_mut("br").spawn().unwrap();
    assert_eq!(
        lab.ask_relay(&["drain", "--wait", "--timeout", "20"]).unwrap().code,
        0,
        "to ask twice does no harm"
    );
    assert_eq!(lab.relay().ended().unwrap().code(), Some(0));
    let opened = logged(lab.relay().log(), "session-opened").unwrap();
    assert_eq!(
        opened.iter().filter(|one| one["party"] == "br").count(),
        1,
        "br came before, not during the drain"
    );
}
