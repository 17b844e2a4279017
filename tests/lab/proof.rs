//! Reads the signed receipts that a party's desk keeps as proof, and verifies each against the certificates on disk:
//! the same answer as the client's, by another way. Works on a stopped daemon only.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use valise_certs::Trust;
use valise_certs::signer::verify_signer;
use valise_certs::tls::read_chain;
use valise_client::boxes::Boxes;
use valise_host::entropy::OsEntropy;
use valise_host::keyfile::KeyFile;
use valise_host::rest::{RestKey, Sealer};
use valise_mint::layout as at;
use valise_proto::names::MessageId;
use valise_proto::receipt::Receipt;
use valise_proto::signing::{KeyId, VerifyKey};

use crate::lab::Lab;
use crate::papers::{now_ms, trust};

/// The receipts for messages that a party sent, each verified; a signature that does not hold is an error.
pub fn receipts(lab: &mut Lab, party: &str, ids: &[String]) -> Result<Vec<Receipt>> {
    ensure!(!lab.party(party).is_running(), "stop the daemon first: it has its store open");
    let signers = signers(lab)?;
    let dir = lab.party(party).dir();
    let key = RestKey::new(&KeyFile::load(&dir.join(at::KEYS_DIR).join("store.key"))?);
    let boxes =
        Boxes::open(&dir.join(at::STORE_DIR).join("desk.db"), &Sealer::new(&key, Arc::new(OsEntropy)))?;
    let mut verified = Vec::new();
    for id in ids {
        let id: MessageId = id.parse().context("no message id")?;
        for receipt in boxes.receipts(&id)? {
            let key = signers.get(&receipt.signer()).context("a receipt is signed by nobody of this lab")?;
            verified.push(receipt.verify(key).context("the signature of a receipt does not hold")?);
        }
    }
    Ok(verified)
}

/// Every signing key of the lab whose certificate holds.
fn signers(lab: &mut Lab) -> Result<BTreeMap<KeyId, VerifyKey>> {
    let trust = trust(lab)?;
    let mut dirs: Vec<PathBuf> = lab.parties().map(|party| party.dir().to_owned()).collect();
    dirs.push(lab.relay().dir().to_owned());
    dirs.iter().map(|dir| signer(&dir.join(at::KEYS_DIR).join("sign.pem"), &trust)).collect()
}

fn signer(path: &PathBuf, trust: &Trust) -> Result<(KeyId, VerifyKey)> {
    let chain = read_chain(&fs::read(path).with_context(|| format!("cannot read {}", path.display()))?)?;
    let signer = verify_signer(&chain[0], &chain[1], trust, now_ms())?;
    Ok((signer.key_id(), *signer.key()))
}
