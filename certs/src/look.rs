//! For people who look at a file: what its papers are worth under a pinned root, without a roster and without lists.
//!
//! Never for a decision: nothing here says whether a certificate is revoked or its CA still speaks, and nothing that
//! can be built here opens a session. That is for `identity` and `signer`.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use valise_proto::signing::VerifyKey;

use crate::crl::CrlSet;
use crate::fault::PaperFault;
use crate::leaf::{Usage, parse};
use crate::path::{Anchors, Revocation};

/// Pinned roots, and nothing else.
pub struct Roots {
    anchors: Anchors,
    certificates: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// From the PEM that a configuration would pin.
    pub fn read(pem: &[u8]) -> Result<Self, PaperFault> {
        let anchors = Anchors::new(pem, CrlSet::read([])?)?;
        let certificates = CertificateDer::pem_slice_iter(pem).flatten().collect();
        Ok(Self { anchors, certificates })
    }

    /// Whether leaf and CA (none: the root itself issues) chain to a pinned root, for this usage and at this time, Unix
    /// milliseconds. Whether one of them is revoked is not asked.
    pub fn vouch(&self, leaf: &[u8], ca: Option<&[u8]>, usage: Usage, at_ms: u64) -> Result<(), PaperFault> {
        parse(leaf)?;
        ca.map(parse).transpose()?;
        let cas: Vec<CertificateDer<'_>> = ca.into_iter().map(CertificateDer::from).collect();
        let leaf = CertificateDer::from(leaf);
        self.anchors.verify(&leaf, &cas, usage, at_ms, Revocation::NotAsked).map(drop)
    }

    /// Whether a pinned root signed this certificate, or it is one.
    pub fn issued(&self, certificate: &[u8]) -> bool {
        self.certificates.iter().any(|root| signed_by(certificate, root).unwrap_or(false))
    }

    /// Whether a pinned root signed this revocation list.
    pub fn signed_list(&self, list: &[u8]) -> bool {
        self.certificates.iter().any(|root| list_signed_by(list, root).unwrap_or(false))
    }
}

/// Whether one certificate was signed by the key of another, both DER.
pub fn signed_by(certificate: &[u8], issuer: &[u8]) -> Result<bool, PaperFault> {
    let (certificate, issuer) = (parse(certificate)?, parse(issuer)?);
    let key = VerifyKey::from_spki(issuer.public_key().raw).map_err(|_| PaperFault::BadKey)?;
    let named = certificate.issuer().as_raw() == issuer.subject().as_raw();
    let (signed, signature) = (certificate.tbs_certificate.as_ref(), &certificate.signature_value.data);
    Ok(named && holds(&key, signed, signature))
}

/// Whether a revocation list was signed by the key of a certificate, both DER.
pub fn list_signed_by(list: &[u8], issuer: &[u8]) -> Result<bool, PaperFault> {
    let bad = || PaperFault::CrlRejected("it cannot be read".into());
    let (rest, list) = x509_parser::parse_x509_crl(list).map_err(|_| bad())?;
    let issuer = parse(issuer)?;
    let key = VerifyKey::from_spki(issuer.public_key().raw).map_err(|_| PaperFault::BadKey)?;
    let named = rest.is_empty() && list.issuer().as_raw() == issuer.subject().as_raw();
    Ok(named && holds(&key, list.tbs_cert_list.as_ref(), &list.signature_value.data))
}

fn holds(key: &VerifyKey, signed: &[u8], signature: &[u8]) -> bool {
    webpki::aws_lc_rs::ED25519.verify_signature(key.as_bytes(), signed, signature).is_ok()
}
