//! What a program is given to start with, and is not fit: one code, one plain sentence, nothing stored is changed, and
//! nothing starts empty.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use valise_lab::child::program;
use valise_lab::relay::logged;
use valise_lab::{Lab, papers};

/// How the relay refuses to start: code and sentence.
fn relay_refusal(lab: &mut Lab) -> (i32, String) {
    let code = lab.relay().refused().unwrap();
    (code, sentence(lab.relay().log()))
}

/// How a party's daemon refuses to start: code and sentence.
fn daemon_refusal(lab: &Lab, party: &str) -> (i32, String) {
    let code = lab.party(party).refused().unwrap();
    (code, sentence(lab.party(party).log()))
}

/// The last word in a log: one plain sentence, its exit code beside it.
fn sentence(log: &Path) -> String {
    let ended: Vec<Value> = logged(log, "ended").unwrap();
    let said = ended.last().expect("it says why")["error"].as_str().unwrap().to_owned();
    assert!(!said.contains('\n') && said.len() < 400, "{said}");
    said
}

fn change(path: &Path, from: &str, to: &str) -> String {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from} is in {}", path.display());
    fs::write(path, text.replacen(from, to, 1)).unwrap();
    text
}

#[test]
fn a_wrong_or_missing_key_of_a_configuration_is_named_with_its_place() {
    let mut lab = Lab::new(&["fr"]).unwrap();
    let relay = lab.relay().config().to_owned();
    let client = lab.party("fr").config().to_owned();
    for (from, to, words) in [
        ("listen = ", "lisen = ", ["relay.toml:5:1:", "`lisen`", "`listen`"]),
        ("kind = \"log\"", "kind = \"sqlight\"", ["relay.toml:23:8:", "sqlight", "sqlite"]),
        ("[limits]", "[limit]", ["relay.toml:27:2:", "`limit`", "`limits`"]),
        ("id = \"hub-1\"\n", "", ["relay.toml:", "`id` in section [relay]", "missing"]),
    ] {
        let before = change(&relay, from, to);
        let (code, said) = relay_refusal(&mut lab);
        assert_eq!(code, 11, "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        fs::write(&relay, before).unwrap();
    }
    for (from, to, words) in [
        ("profile = \"lan\"", "profil = \"lan\"", ["client.toml:", ":1:", "`profile`"]),
        (
            "profile = \"lan\"",
            "profile = \"carrier-pigeon\"",
            ["client.toml:", "carrier-pigeon", "satellite"],
        ),
        ("device = \"gw1\"\n", "", ["client.toml:", "`device` in section [party]", "missing"]),
        ("mailboxes = [\"fr\"]", "mailboxes = [\"br\"]", ["party.mailboxes", "br", "fr"]),
    ] {
        let before = change(&client, from, to);
        let (code, said) = daemon_refusal(&lab, "fr");
        assert_eq!(code, 11, "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        fs::write(&client, before).unwrap();
    }
    fs::rename(&relay, relay.with_extension("away")).unwrap();
    let (code, said) = relay_refusal(&mut lab);
    assert_eq!(code, 11, "{said}");
    assert!(said.contains("relay.toml"), "{said}");
}

#[test]
fn a_key_that_others_may_read_is_not_used() {
    let mut lab = Lab::new(&["fr"]).unwrap();
    let dirs = [lab.relay().dir().to_owned(), lab.party("fr").dir().to_owned()];
    for name in ["tls.key", "sign.key", "store.key"] {
        for (at, dir) in dirs.iter().enumerate() {
            let key = dir.join("keys").join(name);
            fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
            let (code, said) = if at == 0 { relay_refusal(&mut lab) } else { daemon_refusal(&lab, "fr") };
            assert_eq!(code, 4, "{said}");
            assert!(said.contains(name) && said.contains("chmod"), "it says what to do: {said}");
            fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

#[test]
fn a_store_in_use_is_left_to_whoever_has_it() {
    let mut lab = Lab::running(&["fr", "br"]).unwrap();
    let id = lab.party("fr").send(&["br", "--wait", "delivered"], "before").unwrap();
    for (code, said) in [relay_refusal(&mut lab), daemon_refusal(&lab, "fr")] {
        assert_eq!(code, 9, "{said}");
        assert!(said.contains("in use"), "{said}");
    }
    // Those who have them were not disturbed.
    assert_eq!(lab.party("fr").tracked(&id, "br").unwrap()["state"], "delivered");
    lab.party("fr").send(&["br", "--wait", "delivered"], "after").unwrap();
}

#[test]
fn a_damaged_store_is_refused_and_left_as_it_is() {
    let mut lab = Lab::new(&["fr", "minustah"]).unwrap();
    lab.keep_in_sqlite().unwrap();
    lab.start().unwrap();
    lab.party("fr").send(&["minustah", "--wait", "delivered"], "good morning").unwrap();
    lab.party_mut("minustah").stop().unwrap();
    let held = lab.party("fr").send(&["minustah", "--wait", "relayed"], "held").unwrap();
    lab.relay().stop().unwrap();
    lab.party_mut("fr").stop().unwrap();
    let stores: [PathBuf; 2] =
        [lab.relay().dir().join("store/queue.db"), lab.party("fr").dir().join("store/desk.db")];
    for (at, store) in stores.iter().enumerate() {
        let refusal = |lab: &mut Lab| if at == 0 { relay_refusal(lab) } else { daemon_refusal(lab, "fr") };
        // Closed in order, all of it stands in one file.
        assert!(!PathBuf::from(format!("{}-wal", store.display())).exists());
        damage(&mut lab, store, refusal);
    }
    // Put back, everything goes on where it stood.
    lab.relay().start().unwrap();
    assert_eq!(lab.relay().waiting().unwrap(), 1);
    lab.party_mut("fr").start().unwrap();
    lab.party_mut("minustah").start().unwrap();
    lab.party("fr").reaches(&held, "minustah", "delivered").unwrap();
}

#[test]
fn a_log_that_lost_its_end_is_noticed() {
    let mut lab = Lab::new(&["fr", "minustah"]).unwrap();
    lab.keep_in_sqlite().unwrap();
    lab.start().unwrap();
    lab.party("fr").send(&["minustah", "--wait", "delivered"], "good morning").unwrap();
    lab.party_mut("minustah").stop().unwrap();
    lab.party("fr").send(&["minustah", "--wait", "relayed"], "held").unwrap();
    // Killed, so that what was acknowledged last stands in the log beside the database.
    lab.relay().kill().unwrap();
    lab.party_mut("fr").kill().unwrap();
    let logs =
        [lab.relay().dir().join("store/queue.db-wal"), lab.party("fr").dir().join("store/desk.db-wal")];
    for (at, log) in logs.iter().enumerate() {
        damage(&mut lab, log, |lab| if at == 0 { relay_refusal(lab) } else { daemon_refusal(lab, "fr") });
    }
    lab.relay().start().unwrap();
    assert_eq!(lab.relay().waiting().unwrap(), 1);
    lab.party_mut("fr").start().unwrap();
}

/// Damages a file in several ways: each time the program refuses to start, and the file is as it was left.
fn damage(lab: &mut Lab, file: &Path, refusal: impl Fn(&mut Lab) -> (i32, String)) {
    let whole = fs::read(file).unwrap();
    assert!(whole.len() > 8192, "{} holds {} bytes", file.display(), whole.len());
    for (name, damaged) in [
        ("cut short", whole[..whole.len() / 2].to_vec()),
        ("emptied", Vec::new()),
        ("noise", vec![0x55; whole.len()]),
    ] {
        fs::write(file, &damaged).unwrap();
        let (code, said) = refusal(lab);
        assert_eq!(code, 9, "{} {name}: {said}", file.display());
        assert!(fs::read(file).unwrap() == damaged, "{} {name}: it was changed", file.display());
    }
    fs::remove_file(file).unwrap();
    let (code, said) = refusal(lab);
    let began_anew = fs::metadata(file).is_ok_and(|found| found.len() > 0);
    assert_eq!((code, began_anew), (9, false), "{} gone: {said}", file.display());
    fs::write(file, &whole).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn another_stores_key_opens_nothing() {
    let mut lab = Lab::running(&["fr", "br"]).unwrap();
    lab.party("fr").send(&["br", "--wait", "delivered"], "before").unwrap();
    lab.relay().stop().unwrap();
    lab.party_mut("fr").stop().unwrap();
    let keys = [lab.relay().dir().join("keys/store.key"), lab.party("fr").dir().join("keys/store.key")];
    let whole = keys.each_ref().map(|key| fs::read(key).unwrap());
    fs::write(&keys[0], &whole[1]).unwrap();
    fs::write(&keys[1], &whole[0]).unwrap();
    for (code, said) in [relay_refusal(&mut lab), daemon_refusal(&lab, "fr")] {
        assert_eq!(code, 9, "{said}");
        assert!(said.contains("key"), "{said}");
    }
    fs::write(&keys[0], &whole[0]).unwrap();
    fs::write(&keys[1], &whole[1]).unwrap();
    lab.relay().start().unwrap();
    lab.party_mut("fr").start().unwrap();
    lab.party("fr").send(&["br", "--wait", "delivered"], "after").unwrap();
}

#[test]
fn papers_of_another_party_are_not_used() {
    let lab = Lab::new(&["fr", "br"]).unwrap();
    let client = lab.party("fr").config().to_owned();
    let before = change(&client, "tls_cert = \"keys/", "tls_cert = \"../br/keys/");
    change(&client, "tls_key = \"keys/", "tls_key = \"../br/keys/");
    let (code, said) = daemon_refusal(&lab, "fr");
    assert_eq!(code, 6, "{said}");
    assert!(said.contains("br"), "{said}");
    // The certificate of another with one's own key.
    fs::write(&client, before).unwrap();
    change(&client, "tls_cert = \"keys/", "tls_cert = \"../br/keys/");
    let (code, said) = daemon_refusal(&lab, "fr");
    assert_eq!(code, 6, "{said}");
}

#[test]
fn a_roster_that_the_root_did_not_sign_for_is_refused() {
    let mut lab = Lab::new(&["fr"]).unwrap();
    let path = lab.dir().join("roster.bin");
    let mut roster = papers::signed_roster(&lab, |_| {}).unwrap();
    let middle = roster.len() / 2;
    roster[middle] ^= 1;
    fs::write(&path, roster).unwrap();
    for (code, said) in [relay_refusal(&mut lab), daemon_refusal(&lab, "fr")] {
        assert_eq!(code, 6, "{said}");
        assert!(said.contains("roster"), "{said}");
    }
}

#[test]
fn a_word_that_is_nearly_right_is_answered_with_the_right_one() {
    let words: [(&str, &[&str], &str); 5] = [
        ("valise-relay", &["--confg", "relay.toml"], "'--config'"),
        ("valised", &["--config", "client.toml", "--chek"], "'--check'"),
        ("valisectl", &["innit", "LAB"], "'init'"),
        ("valisectl", &["relay", "staus", "--socket", "admin.sock"], "'status'"),
        ("valise", &["--socket", "api.sock", "inobx"], "'inbox'"),
    ];
    for (name, words, meant) in words {
        let output = Command::new(program(name).unwrap()).args(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{name}: {said}");
        assert!(said.contains(meant), "{name}: {said}");
    }
}
