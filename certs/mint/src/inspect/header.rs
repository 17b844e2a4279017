//! The header of an envelope: all that a relay sees of a message. What is in the envelope cannot be shown, here or
//! there.

use bytes::Bytes;
use prost::Message;
use serde::Serialize;
use valise_certs::leaf::{Leaf, Usage};
use valise_certs::profile::Entity;
use valise_proto::header::{Header, SignedHeader};
use valise_proto::limits::{AUDIT_PATH_MAX, PARTS_MAX, RECIPIENTS_MAX};
use valise_proto::receipt::SignedReceipt;
use valise_proto::wire;

use super::certificate::chain;
use super::{Bench, Found, Signature, hex};
use crate::moment::{ahead, stamp};
use crate::told::{Sheet, Told};

#[derive(Serialize)]
struct Said {
    kind: &'static str,
    version: u32,
    suite: u32,
    id: String,
    sender: String,
    device: String,
    key: String,
    created: String,
    expires: String,
    class: String,
    precedence: String,
    roster: u64,
    recipients: Vec<Recipient>,
    parts: Vec<Part>,
    hash: String,
    relayed: Option<Relayed>,
    warnings: Vec<String>,
    signature: Signature,
}

#[derive(Serialize)]
struct Recipient {
    mailbox: String,
    addressing: String,
    pair_seq: u64,
}

#[derive(Serialize)]
struct Part {
    bytes: u64,
    segments: u64,
    root: String,
}

/// What a relay states in front of it; shown as it claims.
#[derive(Serialize)]
struct Relayed {
    by: String,
    sequence: u64,
    time: String,
}

/// The first frame of an envelope as bytes; none when it is none.
pub(super) fn opening(bytes: &Bytes, bench: &Bench) -> Option<Found> {
    let opening = wire::Begin::decode(bytes.clone()).ok()?;
    let short = opening.relayed.as_ref().is_none_or(|relayed| relayed.path.len() <= AUDIT_PATH_MAX);
    // Written again it must be the same: a roster or a bundle reads as one with most of it left out.
    if !short || wire::encode(&opening) != bytes || opening.header.is_empty() {
        return None;
    }
    begin(&opening, bench).ok()
}

/// The first frame of an envelope.
pub(super) fn begin(begin: &wire::Begin, bench: &Bench) -> Result<Found, String> {
    let wrong = |error: wire::ReadError| format!("it holds a header that is {error}");
    let signed = SignedHeader::received(begin.header.clone(), &begin.signature).map_err(wrong)?;
    let facts = signed.read().map_err(wrong)?;
    let relayed =
        begin.relayed.clone().and_then(|receipt| SignedReceipt::received(receipt).ok()?.claim().ok());
    let relayed = relayed.map(|claim| Relayed {
        by: claim.by.to_string(),
        sequence: claim.sequence,
        time: stamp(claim.time_ms),
    });
    let signature = signature(&facts, &signed, bench);
    Ok(told(&facts, &signed, relayed, signature, Some(bench.now_ms)))
}

/// A header without its signature.
pub(super) fn unsigned(facts: &Header, bare: &SignedHeader) -> Found {
    told(
        facts,
        bare,
        None,
        Signature::unverified("the file holds the header alone, without its signature"),
        None,
    )
}

fn told(
    facts: &Header,
    signed: &SignedHeader,
    relayed: Option<Relayed>,
    signature: Signature,
    now_ms: Option<u64>,
) -> Found {
    let recipients = facts.recipients.iter().map(|one| Recipient {
        mailbox: one.mailbox.to_string(),
        addressing: one.addressing.to_string(),
        pair_seq: one.pair_seq,
    });
    let parts = facts.parts.iter().map(|part| Part {
        bytes: part.ct_len,
        segments: part.segments(),
        root: hex(&part.ct_root.0),
    });
    let expired = now_ms.is_some_and(|now| now > facts.expires_ms);
    let said = Said {
        kind: "header",
        version: valise_proto::limits::VERSION,
        suite: facts.suite,
        id: facts.message_id.to_string(),
        sender: facts.sender.to_string(),
        device: facts.sender_device.to_string(),
        key: facts.sender_key_id.to_string(),
        created: stamp(facts.created_ms),
        expires: stamp(facts.expires_ms),
        class: facts.class.to_string(),
        precedence: facts.precedence.to_string(),
        roster: facts.roster_no,
        recipients: recipients.collect(),
        parts: parts.collect(),
        hash: hex(&signed.hash().0),
        relayed,
        warnings: if expired { vec!["it has expired".to_owned()] } else { Vec::new() },
        signature,
    };
    let table = table(&said, facts.expires_ms, now_ms);
    Found { told: Told::of(table, &[&said]), signature: said.signature }
}

fn table(said: &Said, expires_ms: u64, now_ms: Option<u64>) -> Vec<String> {
    let mut sheet = Sheet::default();
    sheet.row("header", format!("version {}, suite {}", said.version, said.suite));
    sheet.row("message", &said.id);
    sheet.row("from", format!("{}, device {}, key {}", said.sender, said.device, said.key));
    sheet.row("signature", said.signature.words());
    sheet.row("class", format!("{}, {}", said.class, said.precedence));
    sheet.row("created", &said.created);
    let left = now_ms.map_or_else(String::new, |now| format!(" ({})", ahead(expires_ms, now)));
    sheet.row("expires", format!("{}{left}", said.expires));
    sheet.row("roster", said.roster.to_string());
    let recipient = |one: &Recipient| {
        format!("{}, {}, number {} of this pair", one.mailbox, one.addressing, one.pair_seq)
    };
    sheet.rows("to", said.recipients.iter().map(recipient), RECIPIENTS_MAX);
    let part =
        |one: &Part| format!("{} bytes sealed, {} segments, root {}", one.bytes, one.segments, one.root);
    sheet.rows("part", said.parts.iter().map(part), PARTS_MAX);
    sheet.row("hash", &said.hash);
    if let Some(relayed) = &said.relayed {
        let text = format!("{} as number {} on {}; not verified", relayed.by, relayed.sequence, relayed.time);
        sheet.row("accepted by", text);
    }
    sheet.rows("WARNING", said.warnings.iter(), PARTS_MAX);
    sheet.lines()
}

/// Under the certificate of `--signer`, which must be the author's; the CA behind it, if it is there, is judged too.
fn signature(facts: &Header, signed: &SignedHeader, bench: &Bench) -> Signature {
    let Some(der) = bench.signer.first() else {
        return Signature::unverified(
            "its author's certificate does not travel with it; give it with --signer",
        );
    };
    let leaf = match Leaf::read(der) {
        Ok(leaf) => leaf,
        Err(fault) => return Signature::unverified(format!("the certificate of --signer: {fault}")),
    };
    if leaf.key_id() != facts.sender_key_id {
        return Signature::unverified("the certificate of --signer is not the one that it names");
    }
    if signed.verify(leaf.key()).is_err() {
        return Signature::invalid("its signature does not hold");
    }
    match leaf.entity() {
        Entity::Device { device, .. } if *device == facts.author() => {}
        other => {
            return Signature::invalid(format!(
                "it says that {} wrote it, and {other} signed",
                facts.author()
            ));
        }
    }
    match &bench.roots {
        Some(roots) => {
            let ca = bench.signer.get(1).map(Vec::as_slice);
            chain(roots.vouch(der, ca, Usage::DocumentSigning, bench.now_ms))
        }
        None => Signature::unverified(
            "it holds under the certificate of --signer; give --root to have that judged",
        ),
    }
}
