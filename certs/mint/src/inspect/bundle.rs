//! A bundle: whose keys, which epochs, for how long, and which device signed them. Public halves only.

use serde::Serialize;
use valise_certs::leaf::{Leaf, Usage};
use valise_certs::profile::Entity;
use valise_proto::bundle::{Bundle, SignedBundle};
use valise_proto::limits::{DEVICES_PER_MAILBOX, EPOCHS_MAX};
use valise_proto::wire::ReadError;

use super::certificate::chain;
use super::{Bench, Found, Signature, hex};
use crate::moment::{ahead, stamp};
use crate::told::{Sheet, Told};

#[derive(Serialize)]
struct Said {
    kind: &'static str,
    mailbox: String,
    batch: u64,
    sha256: String,
    previous: Option<String>,
    epochs: Vec<Epoch>,
    devices: Vec<String>,
    drain_hours: u32,
    max_ttl_days: u32,
    signer: Option<String>,
    warnings: Vec<String>,
    signature: Signature,
}

#[derive(Serialize)]
struct Epoch {
    number: u64,
    prekey: String,
    not_before: String,
    not_after: String,
}

/// Tells what it says; the error says that it is none.
pub(super) fn told(signed: &SignedBundle, bench: &Bench) -> Result<Found, ReadError> {
    let bundle = signed.claim()?;
    let leaf = Leaf::read(signed.signer().0).ok();
    let epochs = bundle.epochs.iter().map(|epoch| Epoch {
        number: epoch.no,
        prekey: hex(&epoch.prekey_id()),
        not_before: stamp(epoch.not_before_ms),
        not_after: stamp(epoch.not_after_ms),
    });
    let said = Said {
        kind: "bundle",
        mailbox: bundle.mailbox.to_string(),
        batch: bundle.batch_no,
        sha256: hex(&signed.digest().0),
        previous: bundle.prev.map(|hash| hex(&hash.0)),
        epochs: epochs.collect(),
        devices: bundle.devices.iter().map(|kem| kem.device.to_string()).collect(),
        drain_hours: bundle.drain_hours,
        max_ttl_days: bundle.max_ttl_days,
        signer: leaf.as_ref().map(|leaf| format!("{}, key {}", leaf.entity(), leaf.key_id())),
        warnings: warnings(&bundle, bench.now_ms),
        signature: signature(&bundle, signed, leaf.as_ref(), bench),
    };
    Ok(Found { told: Told::of(table(&said, &bundle, bench.now_ms), &[&said]), signature: said.signature })
}

fn table(said: &Said, bundle: &Bundle, now_ms: u64) -> Vec<String> {
    let mut sheet = Sheet::default();
    sheet.row("bundle", format!("batch {} of {}", said.batch, said.mailbox));
    sheet.row("signer", said.signer.as_deref().unwrap_or("its certificate cannot be read"));
    sheet.row("signature", said.signature.words());
    let epochs = said.epochs.iter().zip(&bundle.epochs).map(|(told, epoch)| {
        let ends = ahead(epoch.not_after_ms, now_ms);
        format!("{}, key {}, {} to {} ({ends})", told.number, told.prekey, told.not_before, told.not_after)
    });
    sheet.rows("epoch", epochs, EPOCHS_MAX);
    sheet.rows("device", said.devices.iter(), DEVICES_PER_MAILBOX);
    sheet.row(
        "kept",
        format!("{} hours after an epoch; messages of {} days at most", said.drain_hours, said.max_ttl_days),
    );
    sheet.row("SHA-256", &said.sha256);
    sheet.row("follows", said.previous.as_deref().unwrap_or("nothing: it is the first"));
    sheet.rows("WARNING", said.warnings.iter(), EPOCHS_MAX);
    sheet.lines()
}

fn warnings(bundle: &Bundle, now_ms: u64) -> Vec<String> {
    let newest = bundle.epochs.iter().map(|epoch| epoch.not_after_ms).max().unwrap_or(0);
    if now_ms > newest {
        return vec![format!(
            "its newest epoch ended on {}; it is sealed to only as the last resort",
            stamp(newest)
        )];
    }
    Vec::new()
}

fn signature(bundle: &Bundle, signed: &SignedBundle, leaf: Option<&Leaf>, bench: &Bench) -> Signature {
    let Some(leaf) = leaf else { return Signature::invalid("the certificate of its signer cannot be read") };
    if signed.verify(leaf.key()).is_err() {
        return Signature::invalid("its signature does not hold");
    }
    match leaf.entity() {
        Entity::Device { device, .. } if device.party == bundle.mailbox.party() => {}
        other => return Signature::invalid(format!("{other} may not sign for {}", bundle.mailbox)),
    }
    let Some(roots) = &bench.roots else {
        return Signature::unverified(
            "it holds under the certificate that it carries; give --root to have that judged",
        );
    };
    let (leaf, ca) = signed.signer();
    chain(roots.vouch(leaf, Some(ca), Usage::DocumentSigning, bench.now_ms))
}
