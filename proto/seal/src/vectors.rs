//! Known answers: one envelope with every value on the way, in `vectors/envelope-1-draft.json`. The file is opened
//! again as a stranger would, and made again from its chance.
//!
//! The file changes only when the construction does; then its version changes too.

use std::fmt::Write as _;

use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};
use valise_proto::header::SignedHeader;
use valise_proto::names::Mailbox;
use valise_proto::signing::{SigningKey, VerifyKey};
use valise_proto::wire::KeyWrap;

use crate::content::Message;
use crate::keyring::Keyring;
use crate::keys::EpochSecret;
use crate::open::{Arrival, Desk, Outcome, Signer, open};
use crate::schedule::{Context, Schedule};
use crate::seal::seal;
use crate::testing::{Chance, NOW, Party, device, file, text};

const STORED: &str = include_str!("../vectors/envelope-1-draft.json");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

fn unhex(value: &Value) -> Bytes {
    let text = value.as_str().unwrap();
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap()).collect()
}

fn message() -> Message {
    text(b"See the annex.").with_lang("en").unwrap().attach(file("annex.bin", (0..=255).collect())).unwrap()
}

/// The whole vector, made from fixed chance.
fn generate() -> Value {
    let (fr, br) = (Party::new("fr"), Party::new("br"));
    let seed: [u8; 32] = Chance::new("fr").draw();
    assert_eq!(SigningKey::from_seed(&seed).verify_key(), fr.key.verify_key());
    let mut chance = Chance::new("envelope-1-draft");
    let sealed = seal(&fr.draft(&[&br], message()), &fr.key, &mut chance).unwrap();
    let wrap = sealed.wrap_for(&br.mailbox, &br.epoch, &mut chance).unwrap();
    let context = Context::of(sealed.fields());
    let schedule = Schedule::new(context, sealed.cek());
    let epoch = br.keyring.find(&br.mailbox, &br.epoch.prekey_id()).unwrap().to_bytes();
    let parts: Vec<Value> = (0..)
        .zip(sealed.parts().iter().zip(message().to_parts()))
        .map(|(no, (segments, plain))| {
            json!({
                "key": hex(&schedule.part_key(no)[..]),
                "plaintext": hex(&plain),
                "segments": segments.iter().map(|segment| hex(segment)).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "version": "1-draft",
        "sender": { "mailbox": "fr", "device": "gw1", "signing_seed": hex(&seed),
            "signing_public": hex(fr.key.verify_key().as_bytes()) },
        "recipient": { "mailbox": "br", "prekey_id": hex(&br.epoch.prekey_id()),
            "xwing_seed": hex(&epoch[25..57]), "x25519_secret": hex(&epoch[57..]),
            "xwing_public": hex(&br.epoch.xwing[..]), "x25519_public": hex(&br.epoch.x25519),
            "epoch_at_rest": hex(&epoch[..]) },
        "header": hex(sealed.header().bytes()),
        "signature": hex(sealed.header().signature()),
        "header_hash": hex(&sealed.header().hash().0),
        "ctx": hex(context.as_bytes()),
        "cek": hex(sealed.cek().as_bytes()),
        "commitment": hex(&schedule.commitment()),
        "wrap": { "enc": hex(&wrap.enc), "ct": hex(&wrap.ct), "encoded": hex(&wrap.encode_to_vec()) },
        "parts": parts,
    })
}

#[test]
fn the_stored_envelope_is_made_again_from_its_chance() {
    let made = generate();
    let stored: Value = serde_json::from_str(STORED).unwrap_or_default();
    assert!(
        stored == made,
        "the construction changed; if that is meant, change the version and store this:\n{made:#}"
    );
}

#[test]
fn the_stored_envelope_opens() {
    let stored: Value = serde_json::from_str(STORED).unwrap();
    assert_eq!(stored["version"], "1-draft");
    let (sender, recipient) = (&stored["sender"], &stored["recipient"]);
    let mailbox: Mailbox = recipient["mailbox"].as_str().unwrap().parse().unwrap();
    let epoch = EpochSecret::from_bytes(&unhex(&recipient["epoch_at_rest"])).unwrap();
    assert_eq!(epoch.public().xwing[..], unhex(&recipient["xwing_public"])[..]);
    assert_eq!(epoch.public().x25519[..], unhex(&recipient["x25519_public"])[..]);
    assert_eq!(epoch.prekey_id()[..], unhex(&recipient["prekey_id"])[..]);
    let mut keyring = Keyring::default();
    keyring.add(mailbox.clone(), epoch);

    let header = SignedHeader::received(unhex(&stored["header"]), &unhex(&stored["signature"])).unwrap();
    assert_eq!(header.hash().0[..], unhex(&stored["header_hash"])[..]);
    let key = VerifyKey::from_bytes(unhex(&sender["signing_public"])[..].try_into().unwrap()).unwrap();
    let author: Mailbox = sender["mailbox"].as_str().unwrap().parse().unwrap();
    let arrival = Arrival {
        header: &header,
        wraps: &[KeyWrap::decode(unhex(&stored["wrap"]["encoded"])).unwrap()],
        segments: &|part, index| stored["parts"][part]["segments"].get(index).map(unhex),
    };
    let desk = Desk { mailboxes: &[mailbox], keyring: &keyring, now_ms: NOW, seen: &|_, _| false };
    let signer = Signer { key, device: device(&author) };
    let Ok(Outcome::Opened(opened)) = open(&arrival, &signer, &desk) else { panic!("it opens") };
    assert_eq!(opened.message(), &message());
}
