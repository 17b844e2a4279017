//! What the mint hands out: a certificate with its key, and an authority that issues more.
//!
//! Keys are wiped when dropped; nothing here touches a file.

use rcgen::{CertificateParams, Issuer, SerialNumber};
use rustls_pki_types::CertificateDer;
use valise_proto::signing::KeyId;
use zeroize::Zeroizing;

use crate::fault::MintFault;
use crate::keys::PrivateKey;

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Papers {
    /// The certificate, DER.
    pub cert: CertificateDer<'static>,
    /// The certificate of its issuer, DER; its own for a root.
    pub issuer: CertificateDer<'static>,
    /// Both as PEM, the issuer second.
    pem: [String; 2],
    /// The private key.
    pub key: PrivateKey,
    /// Serial number.
    pub serial: Vec<u8>,
}

/// A root or a CA: papers that can issue.
#[derive(Debug)]
pub struct Authority {
    papers: Papers,
    issuer: Issuer<'static, PrivateKey>,
}

impl Papers {
    /// The certificate and its issuer's, PEM: what a TLS configuration shows.
    pub fn chain_pem(&self) -> String {
        self.pem.concat()
    }

    /// The certificate alone, PEM.
    pub fn cert_pem(&self) -> &str {
        &self.pem[0]
    }

    /// Leaf and issuer, as shown in a handshake.
    pub fn chain(&self) -> [CertificateDer<'static>; 2] {
        [self.cert.clone(), self.issuer.clone()]
    }

    /// The private key, PEM.
    pub fn key_pem(&self) -> Zeroizing<String> {
        self.key.pem()
    }
}

impl Authority {
    /// Its certificate and key.
    pub fn papers(&self) -> &Papers {
        &self.papers
    }

    /// Its key's name, as a roster states it.
    pub fn key_id(&self) -> KeyId {
        self.papers.key.key_id()
    }

    pub(crate) fn self_signed(params: CertificateParams, key: PrivateKey) -> Result<Self, MintFault> {
        let cert = params.self_signed(&key)?;
        let pem = [cert.pem(), cert.pem()];
        let der = cert.der().clone();
        let papers =
            Papers { cert: der.clone(), issuer: der, pem, key: key.clone(), serial: serial_of(&params) };
        Ok(Self { papers, issuer: Issuer::new(params, key) })
    }

    pub(crate) fn issue(&self, params: &CertificateParams, key: PrivateKey) -> Result<Papers, MintFault> {
        let cert = params.signed_by(&key, &self.issuer)?;
        let pem = [cert.pem(), self.papers.pem[0].clone()];
        let issuer = self.papers.cert.clone();
        Ok(Papers { cert: cert.der().clone(), issuer, pem, serial: serial_of(params), key })
    }

    pub(crate) fn issue_authority(
        &self,
        params: CertificateParams,
        key: PrivateKey,
    ) -> Result<Self, MintFault> {
        let papers = self.issue(&params, key.clone())?;
        Ok(Self { papers, issuer: Issuer::new(params, key) })
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, PrivateKey> {
        &self.issuer
    }
}

fn serial_of(params: &CertificateParams) -> Vec<u8> {
    params.serial_number.as_ref().map(SerialNumber::to_bytes).unwrap_or_default()
}
