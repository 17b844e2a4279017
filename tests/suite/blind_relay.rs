//! The relay cannot read: a word that stands in subject, body, attachment name and attachment is in no file, no log and
//! no metric of the relay, on no wire, and in no daemon's store or log either.

use std::fs;
use std::path::{Path, PathBuf};

use valise_lab::sim::federation::Federation;
use valise_lab::sim::judge;
use valise_lab::sim::run::{calm, on_paused_clock};
use valise_lab::sim::world::World;
use valise_lab::{Lab, eventually};
use valise_proto::kinds::Precedence;

/// Stands nowhere else in the world.
const CANARY: &str = "quetzalcoatlus-4711-canary";

#[test]
fn a_word_of_a_message_is_in_no_file_but_the_readers() {
    let mut lab = Lab::running(&["fr", "br", "minustah"]).unwrap();
    lab.party("fr").send(&["minustah", "--wait", "delivered"], CANARY).unwrap();
    lab.party_mut("minustah").stop().unwrap();
    let note = lab.dir().join(format!("{CANARY}.txt"));
    fs::write(&note, format!("the attachment says {CANARY}")).unwrap();
    let fr = lab.party("fr");
    let subject = format!("re {CANARY}");
    let words =
        ["br", "minustah", "--subject", &subject, "--attach", note.to_str().unwrap(), "--wait", "relayed"];
    let id = fr.send(&words, &format!("the body says {CANARY}")).unwrap();
    lab.party("br").receives(&id).unwrap();
    // Read and acknowledged while the mission's copy is still held.
    let shown = lab.party("br").done(&["show", &id], b"").unwrap().remove(0);
    assert!(
        shown["body"].as_str().unwrap().contains(CANARY)
            && shown["subject"].as_str().unwrap().contains(CANARY)
    );
    lab.party("br").done(&["ack", &id], b"").unwrap();
    fr.reaches(&id, "br", "acknowledged").unwrap();
    fs::remove_file(&note).unwrap();

    // While everything runs (journals as they are), and again after the mission has it and all is closed.
    let mut places = vec![lab.relay().dir().to_owned(), lab.dir().join("logs")];
    places.extend(lab.parties().map(|party| party.dir().to_owned()));
    let running = search(&places);
    for page in ["/metrics", "/readyz?verbose=1"] {
        let (status, text) = lab.relay().ask(page).unwrap();
        assert_eq!(status, 200, "{page}");
        for word in [CANARY, "minustah", &id] {
            assert!(!text.contains(word), "{page} holds {word}");
        }
    }
    lab.party_mut("minustah").start().unwrap();
    eventually("the mission has it", || Ok(lab.party("minustah").copies(&id)? == 1)).unwrap();
    lab.relay().stop().unwrap();
    for party in ["fr", "br", "minustah"] {
        lab.party_mut(party).stop().unwrap();
    }
    let closed = search(&places);
    for (files, bytes) in [running, closed] {
        assert!(
            files > 20 && bytes > 100_000,
            "{files} files with {bytes} bytes is too little to have searched"
        );
    }
    println!("searched {} files and {} bytes, twice: no canary", closed.0, closed.1);
}

#[test]
fn a_word_of_a_message_is_on_no_wire() {
    let parties = ["fr", "br"];
    let federation = Federation::new(&parties).unwrap();
    on_paused_clock(async {
        let mut world = World::new(&federation, &parties, 7).unwrap();
        world.net.tap();
        world.start_all().await.unwrap();
        world.pass(1_000).await.unwrap();
        let number = world.model.lock().unwrap().ask("fr", &["br"], 5_000);
        let written = world.model.lock().unwrap().asked(number).body.clone();
        let send = world.operator("fr").send(number, Precedence::Flash);
        world.beside(send);
        calm(&mut world).await.unwrap();
        assert_eq!(judge::judge(&mut world).await, (0, 0));
        let wire = world.net.tapped();
        assert!(wire.len() > 2 * written.len(), "{} bytes are too little to have listened to", wire.len());
        assert!(!holds(&wire, &written[..12]), "the wire holds what was written");
        assert!(!holds(&wire, b"request 0"), "the wire holds the subject");
    });
}

/// Looks for the canary in every file, and gives how many files and bytes that were. Fails on the first find.
fn search(places: &[PathBuf]) -> (usize, usize) {
    let mut found = (0, 0);
    for path in places.iter().flat_map(|place| files(place)) {
        // A journal may go while we look.
        let Ok(bytes) = fs::read(&path) else { continue };
        assert!(!holds(&bytes, CANARY.as_bytes()), "{} holds the canary", path.display());
        found = (found.0 + 1, found.1 + bytes.len());
    }
    found
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        match (kind.is_dir(), kind.is_file()) {
            (true, _) => found.extend(files(&entry.path())),
            (_, true) => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

#[test]
fn the_search_finds_what_is_there() {
    assert!(holds(b"..quetzalcoatlus-4711-canary..", CANARY.as_bytes()));
    assert!(!holds(b"..quetzalcoatlus-4711-canar", CANARY.as_bytes()));
}
