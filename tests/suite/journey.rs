//! A message's whole way, rung by rung, by the commands an operator types: real programs, real certificates, real
//! files on disk.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use valise_lab::{Lab, eventually};

/// The documents that are sent, as they lie in the repository.
fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

fn states(lines: &[Value]) -> Vec<(String, String)> {
    let word = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    lines.iter().map(|line| (word(line, "to"), word(line, "state"))).collect()
}

#[test]
fn a_message_climbs_every_rung() {
    let lab = Lab::running(&["fr", "br", "minustah"]).unwrap();
    let (fr, br, minustah) = (lab.party("fr"), lab.party("br"), lab.party("minustah"));
    let (sheet, list) = (fs::read(data("fact-sheet.md")).unwrap(), fs::read(data("parties.csv")).unwrap());

    // The sequence of commands as an operator types it.
    let list_path = data("parties.csv");
    let attach = list_path.to_str().unwrap();
    let words =
        ["send", "br", "minustah", "--subject", "fact sheet", "--attach", attach, "--wait", "delivered"];
    let sent = fr.valise(&words, &sheet).unwrap();
    assert_eq!((sent.code, sent.lines.len(), sent.stderr.as_str()), (0, 1, ""));
    let answer = &sent.lines[0];
    let id = answer["id"].as_str().unwrap().to_owned();
    assert_eq!((answer["state"].as_str(), id.len()), (Some("delivered"), 26));
    assert!(answer["bytes"].as_u64().unwrap() > (sheet.len() + list.len()) as u64, "{answer}");

    for party in [br, minustah] {
        let inbox = party.inbox().unwrap();
        assert_eq!(inbox.len(), 1, "{inbox:?}");
        for (field, value) in [("from", "fr"), ("to", party.name()), ("subject", "fact sheet")] {
            assert_eq!(inbox[0][field], value);
        }
        for (field, value) in [("class", "message"), ("precedence", "routine"), ("state", "delivered")] {
            assert_eq!(inbox[0][field], value);
        }
        assert_eq!((&inbox[0]["id"], inbox[0]["attachments"].as_u64()), (&Value::from(id.clone()), Some(1)));
    }
    let delivered = fr.track(&id).unwrap();
    assert_eq!(
        states(&delivered),
        [("br".into(), "delivered".into()), ("minustah".into(), "delivered".into())]
    );
    assert_eq!((&delivered[0]["by"], &delivered[1]["by"]), (&"br".into(), &"minustah".into()));

    // Shown and saved: opened, and every file the same byte for byte.
    let out = lab.dir().join("saved");
    let shown = br.done(&["show", &id, "--save", out.to_str().unwrap()], b"").unwrap().remove(0);
    assert_eq!(fs::read(out.join("body")).unwrap(), sheet);
    assert_eq!(fs::read(out.join("parties.csv")).unwrap(), list);
    assert_eq!(shown["body"].as_str().unwrap().as_bytes(), sheet);
    assert_eq!(shown["files"][0]["name"], "parties.csv");
    assert_eq!(shown["signature"]["party"], "fr");
    assert_eq!((&shown["signature"]["device"], &shown["signature"]["valid"]), (&"gw1".into(), &true.into()));
    fr.reaches(&id, "br", "opened").unwrap();

    let acked = br.done(&["ack", &id], b"").unwrap();
    assert_eq!(acked, [serde_json::json!({"id": id, "state": "acknowledged"})]);
    let line = fr.reaches(&id, "br", "acknowledged").unwrap();
    assert_eq!(line["by"], "br");
    // What one recipient does says nothing about another.
    assert_eq!(fr.tracked(&id, "minustah").unwrap()["state"], "delivered");
    assert_eq!(br.inbox().unwrap()[0]["state"], "acknowledged");
}

#[test]
fn waiting_ends_with_the_codes_that_scripts_rely_on() {
    let mut lab = Lab::running(&["fr", "br", "minustah"]).unwrap();
    // Once, so that fr holds the mission's key before the mission leaves.
    lab.party("fr").send(&["minustah", "--wait", "delivered"], "good morning").unwrap();
    lab.party_mut("minustah").stop().unwrap();

    let fr = lab.party("fr");
    let queued = fr.valise(&["send", "minustah"], b"held").unwrap();
    assert_eq!((queued.code, queued.lines[0]["recipients"][0]["to"].as_str()), (0, Some("minustah")));
    let relayed = fr.valise(&["send", "minustah", "--wait", "relayed"], b"held").unwrap();
    assert_eq!((relayed.code, relayed.lines[0]["state"].as_str()), (0, Some("relayed")));
    let id = relayed.lines[0]["id"].as_str().unwrap();
    assert_eq!(fr.tracked(id, "minustah").unwrap()["by"], "relay/hub-1");

    let late =
        fr.valise(&["send", "br", "minustah", "--wait", "delivered", "--timeout", "300ms"], b"held").unwrap();
    assert_eq!((late.code, late.lines[0]["state"].as_str()), (7, Some("relayed")));
    assert_eq!(late.error().unwrap().0, "not-in-time");

    // Each waits for its own: the state of the whole is the lowest.
    let both = fr.valise(&["track", late.lines[0]["id"].as_str().unwrap()], b"").unwrap();
    assert_eq!(
        states(&both.lines),
        [("br".into(), "delivered".into()), ("minustah".into(), "relayed".into())]
    );

    let nothing = lab.party("br").valise(&["show", "00000000000000000000000000"], b"").unwrap();
    assert_eq!((nothing.code, nothing.error().unwrap().0.as_str()), (11, "no-such-message"));
    let away = lab.party("minustah").valise(&["inbox"], b"").unwrap();
    assert_eq!((away.code, away.error().unwrap().0.as_str()), (3, "daemon-unreachable"));

    // Back again: all three arrive, in one copy each.
    lab.party_mut("minustah").start().unwrap();
    eventually("the mission has all four", || Ok(lab.party("minustah").inbox()?.len() == 4)).unwrap();
}

#[test]
fn a_file_as_large_as_allowed_crosses() {
    let lab = Lab::running(&["fr", "br"]).unwrap();
    let photo: Vec<u8> =
        (0..15 * 1024 * 1024_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let path = lab.dir().join("photo.jpg");
    fs::write(&path, &photo).unwrap();
    let id = lab
        .party("fr")
        .send(&["br", "--attach", path.to_str().unwrap(), "--wait", "delivered"], "see photo")
        .unwrap();
    let out = lab.dir().join("saved");
    lab.party("br").done(&["show", &id, "--save", out.to_str().unwrap()], b"").unwrap();
    assert!(fs::read(out.join("photo.jpg")).unwrap() == photo, "15 MiB come out as they went in");
}
