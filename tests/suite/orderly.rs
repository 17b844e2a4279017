//! What an operator's machine expects of well-behaved programs: they stop when asked, say how they are, and take a
//! change of roster without being restarted.

use valise_lab::relay::logged;
use valise_lab::{Lab, eventually, papers};

/// Agreements that differ from the lab's: fr may write to br, and nobody else to anybody.
const ONE_WAY: &str = r#"
[[agreement]]
article = "one-way"
from = ["fr"]
to = ["br"]
classes = { message = "all" }
"#;
/// Two days.
const LATE_BY_MS: u64 = 2 * 24 * 60 * 60 * 1000;

#[test]
fn programs_end_with_zero_when_they_are_asked_to() {
    let mut lab = Lab::running(&["fr", "br"]).unwrap();
    lab.party("fr").send(&["br", "--wait", "delivered"], "before").unwrap();
    assert_eq!(lab.relay().ask("/livez").unwrap().0, 200);
    let (status, _) = lab.relay().ask("/readyz").unwrap();
    assert_eq!((status, lab.relay().readiness().unwrap()["state"].as_str()), (200, Some("green")));

    // `stop` fails when it takes longer than five seconds.
    let (relay, took) = lab.relay().stop().unwrap();
    println!("relay with two sessions: stopped in {} ms", took.as_millis());
    assert_eq!(relay.code(), Some(0));
    assert!(lab.relay().has_logged("stopped").unwrap());
    assert!(lab.relay().ask("/livez").is_err());

    // A daemon stops as well without a relay, and takes its socket away.
    let (daemon, took) = lab.party_mut("br").stop().unwrap();
    println!("daemon without a relay: stopped in {} ms", took.as_millis());
    assert_eq!(daemon.code(), Some(0));
    assert!(!lab.party("br").socket().exists());

    let id = lab.party("fr").send(&["br"], "in between").unwrap();
    lab.relay().start().unwrap();
    lab.party_mut("br").start().unwrap();
    lab.party("fr").reaches(&id, "br", "delivered").unwrap();
    let (daemon, _) = lab.party_mut("fr").stop().unwrap();
    assert_eq!(daemon.code(), Some(0));
}

#[test]
fn a_late_revocation_list_makes_ready_yellow_and_traffic_goes_on() {
    let mut lab = Lab::new(&["fr", "br"]).unwrap();
    let made = papers::now_ms() - LATE_BY_MS;
    papers::write_list(&lab, "br", 2, made, LATE_BY_MS / 2).unwrap();
    lab.relay().start().unwrap();
    for party in ["fr", "br"] {
        lab.party_mut(party).start().unwrap();
    }
    let ready = lab.relay().readiness().unwrap();
    assert_eq!(
        (lab.relay().ask("/readyz").unwrap().0, ready["state"].as_str()),
        (200, Some("yellow")),
        "{ready}"
    );
    let revocation =
        ready["checks"].as_array().unwrap().iter().find(|one| one["name"] == "revocation").unwrap();
    assert!(revocation["detail"].as_str().unwrap().contains("br"), "{revocation}");
    eventually("it is in the log too", || lab.relay().has_logged("revocation-list-late")).unwrap();
    lab.party("fr").send(&["br", "--wait", "delivered"], "a late list stops nobody").unwrap();
}

#[test]
fn a_missing_revocation_list_refuses_whoever_it_is_about() {
    let mut lab = Lab::new(&["fr", "br", "de"]).unwrap();
    std::fs::remove_file(lab.dir().join("crl/br.crl")).unwrap();
    lab.relay().start().unwrap();
    for party in ["fr", "de"] {
        lab.party_mut(party).start().unwrap();
        lab.party(party).linked().unwrap();
    }
    lab.party("fr").send(&["de", "--wait", "delivered"], "between those who can be judged").unwrap();
    assert_eq!(lab.party("br").refused().unwrap(), 6, "it cannot judge its own papers");
    let ready = lab.relay().readiness().unwrap();
    assert_eq!(ready["state"], "yellow", "{ready}");
}

#[test]
fn a_newer_roster_is_handed_from_one_to_all() {
    let mut lab = Lab::running(&["fr", "br"]).unwrap();
    lab.party("br").send(&["fr", "--wait", "delivered"], "still allowed").unwrap();
    papers::write_agreements(&lab, ONE_WAY).unwrap();
    // Only fr reads the new file; nobody else is restarted.
    lab.party_mut("fr").stop().unwrap();
    lab.party_mut("fr").start().unwrap();

    eventually("the relay took it", || lab.relay().has_logged("roster-taken")).unwrap();
    let br = lab.party("br").log().to_owned();
    eventually("br took it", || Ok(logged(&br, "roster-taken")?.len() == 1)).unwrap();
    assert_eq!(lab.party("br").status().unwrap()["relay"]["roster_no"], 2);

    lab.party("fr").send(&["br", "--wait", "delivered"], "the way that is left").unwrap();
    let refused = lab.party("br").valise(&["send", "fr"], b"not any more").unwrap();
    assert_eq!(refused.code, 5, "{refused:?}");

    // Both keep it: the file they started from is older.
    lab.relay().stop().unwrap();
    lab.party_mut("br").stop().unwrap();
    let path = lab.dir().join("roster.bin");
    let newer = std::fs::read(&path).unwrap();
    assert_eq!(papers::trust(&lab).unwrap().roster().number, 2);
    lab.relay().start().unwrap();
    lab.party_mut("br").start().unwrap();
    assert_eq!(lab.party("br").status().unwrap()["relay"]["roster_no"], 2);
    assert_eq!(std::fs::read(&path).unwrap(), newer, "nobody writes to the administrator's file");
}
