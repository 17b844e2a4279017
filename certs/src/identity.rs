//! Who a session is: the checks after the TLS handshake, and again on every change of the trust.
//!
//! An `AdmittedDevice` or `AdmittedRelay` is built here and nowhere else. Verifies the whole chain itself, so that a
//! session never rests on a trust that was replaced while its handshake ran.

use rustls_pki_types::CertificateDer;
use valise_proto::kinds::PartyKind;
use valise_proto::names::{DeviceId, RelayId};
use valise_proto::signing::KeyId;

use crate::fault::PaperFault;
use crate::leaf::{Leaf, Usage, key_and_end};
use crate::path::{Revocation, leaf_and_ca};
use crate::profile::Entity;
use crate::trust::Trust;

/// A device whose papers hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmittedDevice {
    device: DeviceId,
    kind: PartyKind,
    papers: Papers,
}

/// A relay whose papers hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmittedRelay {
    relay: RelayId,
    papers: Papers,
}

/// What is kept of a certificate for the life of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Papers {
    /// The leaf's key.
    pub key_id: KeyId,
    /// The issuing CA's key.
    pub ca_key_id: KeyId,
    /// The leaf's serial number, big-endian.
    pub serial: Vec<u8>,
    /// When leaf or CA ends, whichever is first; Unix milliseconds. The session is judged again then.
    pub not_after_ms: u64,
}

impl AdmittedDevice {
    /// Whose, and which.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Bureau or mission.
    pub fn kind(&self) -> PartyKind {
        self.kind
    }

    /// Its certificate.
    pub fn papers(&self) -> &Papers {
        &self.papers
    }

    /// When the session is to be judged again, Unix milliseconds.
    pub fn not_after_ms(&self) -> u64 {
        self.papers.not_after_ms
    }
}

impl AdmittedRelay {
    /// Which.
    pub fn relay(&self) -> &RelayId {
        &self.relay
    }

    /// Its certificate.
    pub fn papers(&self) -> &Papers {
        &self.papers
    }

    /// When the session is to be judged again, Unix milliseconds.
    pub fn not_after_ms(&self) -> u64 {
        self.papers.not_after_ms
    }
}

/// Admits the calling side of a connection, from the chain that it showed: leaf first, then its CA.
pub fn admit_device(
    chain: &[CertificateDer<'_>],
    trust: &Trust,
    now_ms: u64,
) -> Result<AdmittedDevice, PaperFault> {
    let (leaf, papers) = admit(chain, Usage::ClientAuth, trust, now_ms)?;
    match leaf.entity() {
        Entity::Device { kind, device } => Ok(AdmittedDevice { device: device.clone(), kind: *kind, papers }),
        other => Err(PaperFault::WrongRole(other.to_string())),
    }
}

/// Admits the answering side of a connection, which has to be the relay that was called.
pub fn admit_relay(
    chain: &[CertificateDer<'_>],
    expected: &RelayId,
    trust: &Trust,
    now_ms: u64,
) -> Result<AdmittedRelay, PaperFault> {
    let (leaf, papers) = admit(chain, Usage::ServerAuth, trust, now_ms)?;
    match leaf.entity() {
        Entity::Relay(relay) if relay == expected => Ok(AdmittedRelay { relay: relay.clone(), papers }),
        other => {
            let (expected, found) = (expected.to_string(), other.to_string());
            Err(PaperFault::RelayNotTrusted { expected, found })
        }
    }
}

/// Names and usage, then the chain, then the roster: the cheapest first, and the plainest reason first.
fn admit(
    chain: &[CertificateDer<'_>],
    usage: Usage,
    trust: &Trust,
    now_ms: u64,
) -> Result<(Leaf, Papers), PaperFault> {
    let (leaf_der, cas) = leaf_and_ca(chain)?;
    let leaf = Leaf::read(leaf_der)?;
    leaf.require(usage)?;
    trust.require_domain(&leaf)?;
    let ca_key = trust.anchors().verify(leaf_der, cas, usage, now_ms, Revocation::Now)?;
    require_issuer(&leaf, &ca_key, trust, now_ms)?;
    let ca_end_ms = key_and_end(&cas[0])?.1;
    let papers = Papers {
        key_id: leaf.key_id(),
        ca_key_id: ca_key,
        serial: leaf.serial().to_vec(),
        not_after_ms: leaf.not_after_ms().min(ca_end_ms),
    };
    Ok((leaf, papers))
}

/// The issuing CA has to be the one that the roster states for the entity, and neither key revoked at that time.
pub(crate) fn require_issuer(
    leaf: &Leaf,
    ca_key: &KeyId,
    trust: &Trust,
    at_ms: u64,
) -> Result<(), PaperFault> {
    if !trust.ca_keys(leaf.entity())?.contains(ca_key) {
        return Err(PaperFault::WrongIssuer(leaf.entity().to_string()));
    }
    let roster = trust.roster();
    if roster.revoked(&leaf.key_id(), at_ms) || roster.revoked(ca_key, at_ms) {
        return Err(PaperFault::Revoked);
    }
    Ok(())
}
