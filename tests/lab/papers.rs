//! The federation's keys at work after `init`: leaves of any kind, revocation lists, rosters. From the lab's own files,
//! by the library that made them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use valise_certs::Trust;
use valise_certs::load::TrustFiles;
use valise_certs::tls::read_chain;
use valise_host::clock::{Clock, SystemClock};
use valise_host::entropy::OsEntropy;
use valise_host::keyfile::load_private_key;
use valise_mint::crl::{LAB_CRL_LIFE_MS, Revoked};
use valise_mint::layout as at;
use valise_mint::mint::Mint;
use valise_mint::papers::Authority;
use valise_mint::roster::compile_agreements;
use valise_proto::kinds::PartyKind;
use valise_proto::names::{DeviceId, DeviceName, PartyName, RelayId};
use valise_proto::roster::{Roster, SignedRoster};
use valise_proto::signing::SigningKey;

use crate::lab::Lab;

/// The relay of every lab.
pub const RELAY: &str = "hub-1";

/// Now, Unix milliseconds.
pub fn now_ms() -> u64 {
    SystemClock.now_ms()
}

/// What the lab's programs believe, read as they read it.
pub fn trust(lab: &Lab) -> Result<Trust> {
    let dir = lab.dir();
    let root = dir.join(at::ROOT_DIR).join(at::ROOT_FILE);
    let files = TrustFiles::read(&root, &dir.join(at::ROSTER_FILE), &dir.join(at::CRL_DIR))?;
    Ok(Trust::new(&files, now_ms())?)
}

/// A mint for the lab's federation, at this moment.
pub fn mint(lab: &Lab) -> Result<Mint> {
    Ok(Mint::new(trust(lab)?.roster().domain.clone(), now_ms(), Arc::new(OsEntropy)))
}

/// The lab's root.
pub fn root(lab: &Lab) -> Result<Authority> {
    authority(&lab.dir().join(at::ROOT_DIR), "root")
}

/// The CA of a party.
pub fn party_ca(lab: &Lab, party: &str) -> Result<Authority> {
    authority(&lab.party(party).dir().join(at::CA_DIR), "ca")
}

/// The CA of the lab's relay.
pub fn relay_ca(lab: &mut Lab) -> Result<Authority> {
    authority(&lab.relay().dir().join(at::CA_DIR), "ca")
}

fn authority(dir: &Path, name: &str) -> Result<Authority> {
    let chain = fs::read_to_string(dir.join(format!("{name}.pem")));
    let chain = chain.with_context(|| format!("cannot read {name}.pem in {}", dir.display()))?;
    Ok(Authority::read(&chain, &load_private_key(&dir.join(format!("{name}.key")))?)?)
}

/// The device of a party: `gw1` of a bureau, `u1` of a mission.
pub fn device(lab: &Lab, party: &str) -> Result<(PartyKind, DeviceId)> {
    let name = PartyName::new(party)?;
    let kind = trust(lab)?.roster().parties.get(&name).context("no such party in the roster")?.kind;
    let device = DeviceName::new(if kind == PartyKind::Bureau { "gw1" } else { "u1" })?;
    Ok((kind, DeviceId { party: name, device }))
}

/// The lab's relay by name.
pub fn relay_id() -> RelayId {
    RelayId::new(RELAY).expect("invariant: the name of the lab's relay keeps the rule")
}

/// Signs a changed roster with the lab's roster signer and gives it as a file holds it.
pub fn signed_roster(lab: &Lab, change: impl FnOnce(&mut Roster)) -> Result<Vec<u8>> {
    let mut roster = Roster::clone(trust(lab)?.roster());
    roster.number += 1;
    roster.issued_ms = now_ms();
    change(&mut roster);
    let dir = lab.dir().join(at::ROOT_DIR);
    let chain = read_chain(&fs::read(dir.join("roster-signer.pem"))?)?;
    let key = load_private_key(&dir.join("roster-signer.key"))?;
    let key = SigningKey::from_pkcs8(&key).map_err(|_| anyhow::anyhow!("the roster signer's key is none"))?;
    let leaf = |at: usize| chain[at].to_vec().into();
    Ok(SignedRoster::sign(&roster, &key, leaf(0), leaf(1)).to_bytes().to_vec())
}

/// Puts a roster of the next number with other agreements in the lab's place for it. Running programs keep theirs.
pub fn write_agreements(lab: &Lab, agreements: &str) -> Result<()> {
    let parties = trust(lab)?.roster().parties.clone();
    let rules = compile_agreements(agreements, |name| parties.contains_key(name))?;
    let bytes = signed_roster(lab, |roster| roster.agreements = rules)?;
    fs::write(lab.dir().join(at::ROSTER_FILE), bytes).context("cannot write the roster")
}

/// Puts a revocation list of any CA in its place, under a name of choice: all lists of the directory are read.
pub fn write_list_of(lab: &Lab, name: &str, ca: &Authority, number: u64, revoked: &[Revoked]) -> Result<()> {
    let list = mint(lab)?.crl(ca, number, revoked, LAB_CRL_LIFE_MS)?;
    fs::write(lab.dir().join(at::CRL_DIR).join(format!("{name}.crl")), list).context("cannot write the list")
}

/// Puts a revocation list of a party's CA in its place; with `life_ms` of zero it is late already.
pub fn write_list(lab: &Lab, party: &str, number: u64, made_ms: u64, life_ms: u64) -> Result<PathBuf> {
    let list = mint(lab)?.at(made_ms).crl(&party_ca(lab, party)?, number, &[], life_ms)?;
    let path = lab.dir().join(at::CRL_DIR).join(format!("{party}.crl"));
    fs::write(&path, list).context("cannot write the list")?;
    Ok(path)
}
