//! Papers that nobody should have, or that should count no more, made with the lab's own keys: what a thief, a lying
//! bureau or a careless CA would bring. Makes them; what comes of showing them is for the stories.

use std::fs;

use anyhow::{Context, Result};
use valise_certs::leaf::Usage;
use valise_certs::profile::Entity;
use valise_certs::tls::TlsPapers;
use valise_host::keyfile::load_private_key;
use valise_mint::crl::Revoked;
use valise_mint::layout as at;
use valise_mint::mint::TLS_LIFE_MS;
use valise_mint::papers::Papers;
use valise_proto::kinds::PartyKind;
use valise_proto::names::{DeviceId, DeviceName, PartyName, RelayId};

use crate::lab::Lab;
use crate::papers::{device, mint, now_ms, party_ca, relay_ca, relay_id, root, signed_roster, write_list_of};

/// Long enough that no clock of the lab doubts it.
const HOUR_MS: u64 = 3_600_000;

/// The relay's own papers, used to call.
pub fn stolen_from_the_relay(lab: &mut Lab) -> Result<TlsPapers> {
    let keys = lab.relay().dir().join(at::KEYS_DIR);
    let chain = fs::read(keys.join("tls.pem")).context("cannot read tls.pem")?;
    Ok(TlsPapers::new(&chain, &load_private_key(&keys.join("tls.key"))?)?)
}

/// Papers that say what a party's device says, from a root that nobody here pinned. Of generation 1, that root and
/// its CA are called like ours.
pub fn foreign(lab: &Lab, party: &str, generation: u32) -> Result<TlsPapers> {
    let (mint, (kind, id)) = (mint(lab)?, device(lab, party)?);
    let ca = mint.party_ca(&mint.root(generation)?, kind, &id.party, generation)?;
    tls(&mint.device_tls(&ca, kind, &id)?)
}

/// A certificate that vouches for itself.
pub fn self_signed(lab: &Lab) -> Result<TlsPapers> {
    let root = mint(lab)?.root(7)?;
    let twice = root.papers().cert_pem().repeat(2);
    Ok(TlsPapers::new(twice.as_bytes(), &root.papers().key.pkcs8())?)
}

/// A leaf of one party's true CA whose URI names another party: what a bureau that lies would issue.
pub fn posing(lab: &Lab, party: &str, as_party: &str) -> Result<TlsPapers> {
    let (mint, (kind, id)) = (mint(lab)?, device(lab, party)?);
    let own = Entity::Device { kind, device: id };
    let posed = DeviceId { party: PartyName::new(as_party)?, device: DeviceName::new("gw1")? };
    let posed = Entity::Device { kind, device: posed };
    // The DNS name stays its own: name constraints on its CA would betray any other to the TLS library.
    let mut request = mint.request(&own, Usage::ClientAuth, TLS_LIFE_MS);
    request.uris = vec![posed.uri(mint.domain())];
    tls(&mint.leaf(&party_ca(lab, party)?, &request)?)
}

/// Of a party's true CA, for the usage of choice.
pub fn made_for(lab: &Lab, party: &str, usage: Usage) -> Result<TlsPapers> {
    let (mint, (kind, device)) = (mint(lab)?, device(lab, party)?);
    let request = mint.request(&Entity::Device { kind, device }, usage, TLS_LIFE_MS);
    tls(&mint.leaf(&party_ca(lab, party)?, &request)?)
}

/// The certificate with which a party's device signs, and its key, shown in place of those for TLS.
pub fn signing_as_tls(lab: &Lab, party: &str) -> Result<TlsPapers> {
    let keys = lab.party(party).dir().join(at::KEYS_DIR);
    let chain = fs::read(keys.join("sign.pem")).context("cannot read sign.pem")?;
    Ok(TlsPapers::new(&chain, &load_private_key(&keys.join("sign.key"))?)?)
}

/// Papers of a party's device that ended a minute ago.
pub fn expired(lab: &Lab, party: &str) -> Result<TlsPapers> {
    at_another_time(lab, party, now_ms() - TLS_LIFE_MS - 60_000)
}

/// Papers of a party's device that begin in an hour.
pub fn not_yet_valid(lab: &Lab, party: &str) -> Result<TlsPapers> {
    at_another_time(lab, party, now_ms() + 2 * HOUR_MS)
}

fn at_another_time(lab: &Lab, party: &str, made_ms: u64) -> Result<TlsPapers> {
    let (mint, (kind, id)) = (mint(lab)?.at(made_ms), device(lab, party)?);
    tls(&mint.device_tls(&party_ca(lab, party)?, kind, &id)?)
}

/// A second device of a party, `gw9`, whose certificate is on its CA's list. For a lab that does not run yet.
pub fn revoked_in_list(lab: &Lab, party: &str) -> Result<TlsPapers> {
    let papers = second_device(lab, party)?;
    let revoked = Revoked { serial: papers.serial.clone(), since_ms: now_ms() - HOUR_MS };
    write_list_of(lab, party, &party_ca(lab, party)?, 2, &[revoked])?;
    tls(&papers)
}

/// A second device of a party, `gw9`, whose key the roster revokes. For a lab that does not run yet.
pub fn revoked_in_roster(lab: &Lab, party: &str) -> Result<TlsPapers> {
    let papers = second_device(lab, party)?;
    let key = papers.key.key_id();
    let roster = signed_roster(lab, |roster| {
        roster.revocations.insert(key, now_ms() - HOUR_MS);
    })?;
    fs::write(lab.dir().join(at::ROSTER_FILE), roster).context("cannot write the roster")?;
    tls(&papers)
}

fn second_device(lab: &Lab, party: &str) -> Result<Papers> {
    let (kind, id) = device(lab, party)?;
    let second = DeviceId { device: DeviceName::new("gw9")?, ..id };
    Ok(mint(lab)?.device_tls(&party_ca(lab, party)?, kind, &second)?)
}

/// A device of a bureau whose CA our root certified, and that no roster names. For a lab that does not run yet.
pub fn of_nobody(lab: &Lab, party: &str) -> Result<TlsPapers> {
    let (mint, name) = (mint(lab)?, PartyName::new(party)?);
    let ca = mint.party_ca(&root(lab)?, PartyKind::Bureau, &name, 1)?;
    write_list_of(lab, party, &ca, 1, &[])?;
    let id = DeviceId { party: name, device: DeviceName::new("gw1")? };
    tls(&mint.device_tls(&ca, PartyKind::Bureau, &id)?)
}

/// A device of a party under a second CA of its name, which our root certified and the roster does not name. For a lab
/// that does not run yet.
pub fn of_a_second_ca(lab: &Lab, party: &str) -> Result<TlsPapers> {
    let (mint, (kind, id)) = (mint(lab)?, device(lab, party)?);
    let ca = mint.party_ca(&root(lab)?, kind, &id.party, 2)?;
    write_list_of(lab, &format!("{party}-g2"), &ca, 1, &[])?;
    tls(&mint.device_tls(&ca, kind, &id)?)
}

/// A relay of the lab's name, from a root that nobody here pinned. Of generation 1, all is called like ours.
pub fn foreign_relay(lab: &Lab, generation: u32) -> Result<TlsPapers> {
    let mint = mint(lab)?;
    let ca = mint.relay_ca(&mint.root(generation)?, &relay_id(), generation)?;
    tls(&mint.relay_tls(&ca, &relay_id())?)
}

/// Another relay that our root certified. For a lab that does not run yet.
pub fn other_relay(lab: &Lab) -> Result<TlsPapers> {
    let (mint, other) = (mint(lab)?, RelayId::new("hub-2")?);
    let ca = mint.relay_ca(&root(lab)?, &other, 1)?;
    write_list_of(lab, "relay.hub-2", &ca, 1, &[])?;
    tls(&mint.relay_tls(&ca, &other)?)
}

/// A relay of the lab's name under a second CA, which our root certified and the roster does not name: to the TLS
/// library nothing is wrong with it. For a lab that does not run yet.
pub fn relay_of_a_second_ca(lab: &Lab) -> Result<TlsPapers> {
    let mint = mint(lab)?;
    let ca = mint.relay_ca(&root(lab)?, &relay_id(), 2)?;
    write_list_of(lab, "relay.hub-1-g2", &ca, 1, &[])?;
    tls(&mint.relay_tls(&ca, &relay_id())?)
}

/// The lab's relay with papers that ended a minute ago.
pub fn expired_relay(lab: &mut Lab) -> Result<TlsPapers> {
    let mint = mint(lab)?.at(now_ms() - TLS_LIFE_MS - 60_000);
    tls(&mint.relay_tls(&relay_ca(lab)?, &relay_id())?)
}

fn tls(papers: &Papers) -> Result<TlsPapers> {
    Ok(TlsPapers::new(papers.chain_pem().as_bytes(), &papers.key.pkcs8())?)
}
