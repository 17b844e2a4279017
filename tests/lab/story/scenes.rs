//! The scenes, in order. Each does one thing to the lab, looks whether it held, and gives the sentence that tells it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use valise_host::entropy::{Entropy, SeededEntropy};
use valise_proto::kinds::ReceiptKind;
use valise_proto::limits::ALPN;

use crate::forged::foreign;
use crate::impostor::{Answer, Shown, call};
use crate::interrupt;
use crate::lab::Lab;
use crate::party::id_of;
use crate::until::eventually;
use crate::{proof, tamper};

/// What a message says.
const SHEET: &[u8] = include_bytes!("../../data/fact-sheet.md");
/// What goes with it.
const LIST: &[u8] = include_bytes!("../../data/parties.csv");
/// Bytes of the second attachment, of a photograph's size and as hard to compress.
const PHOTO_BYTES: usize = 200 * 1024;
/// Messages whose way is timed.
const TIMED: usize = 20;
/// Sender and recipients.
const PARTIES: [&str; 3] = ["fr", "br", "minustah"];

/// Everything the scenes share.
#[derive(Default)]
pub(super) struct Stage {
    pub(super) lab: Option<Lab>,
    /// Message and recipients, of all that are to arrive.
    pub(super) sent: Vec<(String, Vec<&'static str>)>,
    pub(super) latencies: Vec<Duration>,
    pub(super) restart: Option<Duration>,
    /// Lost and doubled.
    pub(super) counted: Option<(usize, usize)>,
    held: String,
    /// Altered on purpose: it is not to arrive.
    altered: String,
}

/// A scene: a stable name for scripts, and what happens.
type Scene = (&'static str, fn(&mut Stage) -> Result<String>);

/// All scenes, in order.
pub(super) const SCENES: &[Scene] = &[
    ("papers", papers),
    ("relay", relay),
    ("parties", parties),
    ("delivered", delivered),
    ("identical", identical),
    ("acknowledged", acknowledged),
    ("latency", latency),
    ("held", held),
    ("restart", restart),
    ("once", once),
    ("stranger", stranger),
    ("flipped", flipped),
    ("receipts", receipts),
    ("counted", counted),
];

impl Stage {
    fn lab(&mut self) -> Result<&mut Lab> {
        self.lab.as_mut().context("the lab was not made")
    }

    /// Sends from fr and notes it.
    fn send(&mut self, to: &[&'static str], words: &[&str], body: &[u8]) -> Result<String> {
        let words: Vec<&str> = ["send"].iter().chain(to).chain(words).copied().collect();
        let lines = self.lab()?.party("fr").done(&words, body)?;
        let id = id_of(lines.first().context("no answer to send")?)?;
        self.sent.push((id.clone(), to.to_vec()));
        Ok(id)
    }
}

fn papers(stage: &mut Stage) -> Result<String> {
    let lab = Lab::new(&PARTIES)?;
    lab.keep_in_sqlite()?; // a later scene alters what the relay holds, by SQL
    interrupt::clears(lab.dir());
    stage.lab = Some(lab);
    Ok("papers made: a root, a relay, bureaus fr and br, mission minustah".to_owned())
}

fn relay(stage: &mut Stage) -> Result<String> {
    let relay = stage.lab()?.relay();
    relay.start()?;
    let process = relay.process_id().unwrap_or_default();
    Ok(format!("relay up on {}, QUIC with mutual TLS, process {process}", relay.listen()))
}

fn parties(stage: &mut Stage) -> Result<String> {
    let lab = stage.lab()?;
    for party in PARTIES {
        lab.party_mut(party).start()?;
    }
    for party in PARTIES {
        lab.party(party).linked()?;
    }
    Ok("parties up: a daemon for each, welcomed by the relay".to_owned())
}

/// Writes the documents that are attached, and gives their paths.
fn documents(dir: &Path) -> Result<[PathBuf; 2]> {
    let dir = dir.join("documents");
    fs::create_dir_all(&dir)?;
    let paths = [dir.join("parties.csv"), dir.join("photo.jpg")];
    fs::write(&paths[0], LIST)?;
    fs::write(&paths[1], photo())?;
    Ok(paths)
}

fn photo() -> Vec<u8> {
    let mut bytes = vec![0; PHOTO_BYTES];
    SeededEntropy::new(7).fill(&mut bytes);
    bytes[..3].copy_from_slice(&[0xff, 0xd8, 0xff]); // as a JPEG begins
    bytes
}

fn delivered(stage: &mut Stage) -> Result<String> {
    let paths = documents(stage.lab()?.dir())?;
    let [list, photo] = paths.each_ref().map(|path| path.to_string_lossy().into_owned());
    let words = ["--subject", "fact sheet", "--attach", &list, "--attach", &photo, "--wait", "delivered"];
    let start = Instant::now();
    stage.send(&["br", "minustah"], &words, SHEET)?;
    let (took, kilobytes) = (start.elapsed(), (SHEET.len() + LIST.len() + PHOTO_BYTES) / 1024);
    stage.latencies.push(took);
    Ok(format!(
        "fr → br, minustah: fact sheet, two attachments, {kilobytes} KiB: delivered in {} ms",
        took.as_millis()
    ))
}

fn identical(stage: &mut Stage) -> Result<String> {
    let id = stage.sent.last().context("nothing was sent")?.0.clone();
    let lab = stage.lab()?;
    for party in ["br", "minustah"] {
        let out = lab.dir().join(format!("saved-{party}"));
        let shown = lab.party(party).done(&["show", &id, "--save", &out.to_string_lossy()], b"")?;
        let signature = &shown.first().context("no answer to show")?["signature"];
        ensure!(signature["valid"] == true && signature["party"] == "fr", "{party} sees {signature}");
        for (name, bytes) in [("body", SHEET), ("parties.csv", LIST), ("photo.jpg", &photo())] {
            let same = fs::read(out.join(name)).with_context(|| format!("{party} saved no {name}"))? == bytes;
            ensure!(same, "{name} came to {party} with other bytes");
        }
        lab.party("fr").reaches(&id, party, "opened")?;
    }
    Ok("opened by both: all files the same byte for byte, fr's signature valid".to_owned())
}

fn acknowledged(stage: &mut Stage) -> Result<String> {
    let id = stage.sent.last().context("nothing was sent")?.0.clone();
    let lab = stage.lab()?;
    for party in ["br", "minustah"] {
        lab.party(party).done(&["ack", &id], b"")?;
        lab.party("fr").reaches(&id, party, "acknowledged")?;
    }
    Ok("acknowledged by both operators; fr's track says so".to_owned())
}

fn latency(stage: &mut Stage) -> Result<String> {
    for number in 0..TIMED {
        let to = if number % 2 == 0 { "br" } else { "minustah" };
        let start = Instant::now();
        stage.send(&[to], &["--wait", "delivered"], format!("note {number}").as_bytes())?;
        stage.latencies.push(start.elapsed());
    }
    Ok(format!("{TIMED} more messages, each timed from the command to its delivered receipt"))
}

fn held(stage: &mut Stage) -> Result<String> {
    stage.lab()?.party_mut("minustah").stop()?;
    stage.held = stage.send(&["minustah"], &["--wait", "relayed"], b"while you were away")?;
    let waiting = stage.lab()?.relay().waiting()?;
    ensure!(waiting == 1, "{waiting} entries wait at the relay");
    Ok("minustah away: fr's message is relayed, held sealed in the relay's queue (1 entry)".to_owned())
}

fn restart(stage: &mut Stage) -> Result<String> {
    let relay = stage.lab()?.relay();
    let before = relay.process_id().unwrap_or_default();
    relay.kill()?;
    // Written while there is no relay: the moment it is relayed is the moment traffic flows again.
    let words = ["send", "br", "--wait", "relayed", "--timeout", "20s"];
    let waiting = stage.lab()?.party("fr").ask(&words, b"into the dark")?;
    let started = stage.lab()?.relay().spawn()?;
    let answer = waiting.answer()?;
    let took = started.elapsed();
    ensure!(answer.code == 0, "the message was not relayed: {}", answer.stderr);
    let id = id_of(answer.lines.first().context("no answer to send")?)?;
    stage.sent.push((id, vec!["br"]));
    stage.restart = Some(took);
    let held = stage.held.clone();
    let lab = stage.lab()?;
    lab.relay().ready()?;
    let line = lab.party("fr").tracked(&held, "minustah")?;
    ensure!(line["state"] == "relayed", "the held message stands at {line}");
    Ok(format!(
        "relay (process {before}) killed -9 and restarted: traffic again after {} ms",
        took.as_millis()
    ))
}

fn once(stage: &mut Stage) -> Result<String> {
    let id = stage.held.clone();
    let lab = stage.lab()?;
    lab.party_mut("minustah").start()?;
    lab.party("fr").reaches(&id, "minustah", "delivered")?;
    let copies = lab.party("minustah").copies(&id)?;
    ensure!(copies == 1, "it stands {copies} times in the inbox");
    eventually("the queue is empty", || Ok(lab.relay().waiting()? == 0))?;
    Ok("minustah back: the held message is delivered, and stands in its inbox once".to_owned())
}

fn stranger(stage: &mut Stage) -> Result<String> {
    let lab = stage.lab()?;
    let papers = foreign(lab, "fr", 2)?;
    match call(lab, Shown::Papers(papers, ALPN), "fr")? {
        Answer::Alert(alert) => Ok(format!(
            "a stranger calls itself fr, with a certificate of another root: refused (TLS alert {alert})"
        )),
        other => anyhow::bail!("the relay answered a stranger with {other:?}"),
    }
}

fn flipped(stage: &mut Stage) -> Result<String> {
    stage.lab()?.party_mut("minustah").stop()?;
    let lab = stage.lab()?;
    let words = ["send", "minustah", "--wait", "delivered", "--timeout", "30s"];
    let told = lab.party("fr").ask(&words, b"altered on its way")?;
    eventually("the message is at the relay", || Ok(lab.relay().waiting()? == 1))?;
    lab.relay().stop()?;
    tamper::flip_a_byte(lab)?;
    lab.relay().start()?;
    lab.party_mut("minustah").start()?;
    let answer = told.answer()?;
    ensure!(answer.code == 8, "fr was told {} instead of 8: {}", answer.code, answer.stderr);
    let id = id_of(answer.lines.first().context("no answer to send")?)?;
    let line = lab.party("fr").tracked(&id, "minustah")?;
    ensure!(line["state"] == "unopenable" && line["by"] == "minustah", "fr sees {line}");
    ensure!(lab.party("minustah").copies(&id)? == 0, "an altered message is shown");
    stage.altered = id;
    Ok("a bit flipped in the relay's store: unopenable, shown to nobody, fr told so (exit 8)".to_owned())
}

fn receipts(stage: &mut Stage) -> Result<String> {
    let mut ids: Vec<String> = stage.sent.iter().map(|(id, _)| id.clone()).collect();
    ids.push(stage.altered.clone());
    let deliveries: usize = stage.sent.iter().map(|(_, to)| to.len()).sum();
    let lab = stage.lab()?;
    // The daemon itself verifies each signature before a state moves; this looks again, by another way.
    lab.party_mut("fr").stop()?;
    let found = proof::receipts(lab, "fr", &ids)?;
    lab.party_mut("fr").start()?;
    let count = |kind| found.iter().filter(|receipt| receipt.kind == kind).count();
    let counts = [ReceiptKind::Relayed, ReceiptKind::Delivered, ReceiptKind::Unopenable].map(count);
    // A recipient whose key came late has a `relayed` of its own, so there may be more than one for a message.
    let due = counts[0] >= ids.len() && counts[1..] == [deliveries, 1];
    ensure!(due, "relayed, delivered, unopenable: {counts:?}");
    Ok(format!(
        "{} signed receipts read from fr's desk, each verified against its signer's papers",
        found.len()
    ))
}

fn counted(stage: &mut Stage) -> Result<String> {
    let sent = stage.sent.clone();
    let lab = stage.lab()?;
    let (mut lost, mut doubled) = (0, 0);
    for (id, to) in &sent {
        for party in to {
            let copies = lab.party(party).copies(id)?;
            lost += usize::from(copies == 0);
            doubled += usize::from(copies > 1);
        }
    }
    stage.counted = Some((lost, doubled));
    ensure!((lost, doubled) == (0, 0), "{lost} lost, {doubled} doubled");
    Ok("counted in the inboxes: every message that fr sent, once for each recipient".to_owned())
}
