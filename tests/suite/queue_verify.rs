//! An administrator walks the store of a relay that is stopped: it is sound, or what is damaged is named.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use valise_lab::{Lab, child};

fn walk(lab: &mut Lab) -> (Option<i32>, String) {
    let mut command = Command::new(child::program("valise-relay").unwrap());
    command.args(["queue", "verify", "--config"]).arg(lab.relay().config());
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn waiting(lab: &mut Lab) {
    lab.start().unwrap();
    lab.party("fr").send(&["minustah", "--wait", "delivered"], "good morning").unwrap();
    lab.party_mut("minustah").stop().unwrap();
    for text in ["first", "second"] {
        lab.party("fr").send(&["minustah", "--wait", "relayed"], text).unwrap();
    }
}

#[test]
fn a_log_is_walked_and_damage_is_named() {
    let mut lab = Lab::new(&["fr", "minustah"]).unwrap();
    waiting(&mut lab);
    let (code, _) = walk(&mut lab);
    assert_eq!(code, Some(9), "a relay that runs has its store");
    lab.relay().stop().unwrap();
    let (code, said) = walk(&mut lab);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 entries") && said.ends_with("sound\n"), "{said}");

    let store = lab.relay().dir().join("store/queue");
    let segments = fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().path());
    let segment: PathBuf =
        segments.filter(|path| path.to_string_lossy().contains("seg-")).min().expect("there is a segment");
    let segment = segment.with_extension("log");
    let whole = fs::read(&segment).unwrap();
    let mut bytes = whole.clone();
    bytes[9000] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let (code, said) = walk(&mut lab);
    assert_eq!(code, Some(9), "{said}");
    assert!(said.contains("damage     seg-") && said.ends_with("DAMAGED\n"), "{said}");
    fs::write(&segment, &whole).unwrap();
    assert_eq!(walk(&mut lab).0, Some(0), "walking changed nothing");
}

#[test]
fn a_database_is_walked_too() {
    let mut lab = Lab::new(&["fr", "minustah"]).unwrap();
    lab.keep_in_sqlite().unwrap();
    waiting(&mut lab);
    lab.relay().stop().unwrap();
    let (code, said) = walk(&mut lab);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 entries") && said.ends_with("sound\n"), "{said}");
}
