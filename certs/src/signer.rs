//! Who signed: a signing certificate judged at the time the relay accepted what it signed.
//!
//! Valid then and not revoked with effect by then; what happened to it later does not unsay the statement.

use rustls_pki_types::CertificateDer;
use valise_proto::names::{DeviceId, RelayId};
use valise_proto::signing::{KeyId, VerifyKey};

use crate::fault::PaperFault;
use crate::identity::require_issuer;
use crate::leaf::{Leaf, Usage};
use crate::path::Revocation;
use crate::profile::Entity;
use crate::trust::Trust;

/// Who may sign: devices sign headers, bundles and receipts; relays sign receipts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// A device of a party.
    Device(DeviceId),
    /// A relay.
    Relay(RelayId),
}

/// A key that may be believed, and for whom. Built here alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    author: Author,
    key: VerifyKey,
}

impl Signer {
    /// For whom it signs.
    pub fn author(&self) -> &Author {
        &self.author
    }

    /// The device, if it is one.
    pub fn device(&self) -> Option<&DeviceId> {
        match &self.author {
            Author::Device(device) => Some(device),
            Author::Relay(_) => None,
        }
    }

    /// The relay, if it is one.
    pub fn relay(&self) -> Option<&RelayId> {
        match &self.author {
            Author::Device(_) => None,
            Author::Relay(relay) => Some(relay),
        }
    }

    /// The key to verify with.
    pub fn key(&self) -> &VerifyKey {
        &self.key
    }

    /// Its name, as a header or receipt states it.
    pub fn key_id(&self) -> KeyId {
        self.key.id()
    }
}

/// Verifies a signing certificate and its CA, both DER, at a time: when the relay accepted what was signed, or now.
pub fn verify_signer(leaf: &[u8], issuer: &[u8], trust: &Trust, at_ms: u64) -> Result<Signer, PaperFault> {
    let read = Leaf::read(leaf)?;
    read.require(Usage::DocumentSigning)?;
    trust.require_domain(&read)?;
    crate::leaf::parse(issuer)?; // bounds its size before the chain is built
    let (leaf, issuer) = (CertificateDer::from(leaf), CertificateDer::from(issuer));
    let usage = Usage::DocumentSigning;
    let ca_key = trust.anchors().verify(&leaf, &[issuer], usage, at_ms, Revocation::AtTheTime)?;
    require_issuer(&read, &ca_key, trust, at_ms)?;
    let author = match read.entity() {
        Entity::Device { device, .. } => Author::Device(device.clone()),
        Entity::Relay(relay) => Author::Relay(relay.clone()),
        other => return Err(PaperFault::WrongRole(other.to_string())),
    };
    Ok(Signer { author, key: *read.key() })
}
