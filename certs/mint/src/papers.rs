//! What the mint hands out: a certificate with its key, and an authority that issues more.
//!
//! Keys are wiped when dropped; nothing here touches a file.

use rcgen::{CertificateParams, Issuer, SerialNumber};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
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

    /// From its files: its certificate, behind it its issuer's (PEM; a root stands alone), and its key (PKCS#8, DER).
    pub fn read(chain_pem: &str, key_pkcs8: &[u8]) -> Result<Self, MintFault> {
        let unfit = |what: &str| MintFault::input("BAD_CA", what, "give a CA's certificate file and its key");
        let key =
            PrivateKey::from_pkcs8(key_pkcs8).ok_or_else(|| unfit("the key is not Ed25519 in PKCS#8"))?;
        let pem: Vec<String> = chain_pem.split_inclusive(PEM_END).map(str::to_owned).collect();
        let read = |pem: &String| CertificateDer::from_pem_slice(pem.as_bytes());
        let chain: Vec<_> = pem.iter().filter_map(|pem| read(pem).ok()).collect();
        let (Some(own), Some(over)) = (chain.first(), chain.last()) else {
            return Err(unfit("the certificate file holds no certificate"));
        };
        let issuer = Issuer::from_ca_cert_der(own, key.clone())?;
        let parsed = x509_parser::parse_x509_certificate(own);
        let serial = parsed.map_err(|_| unfit("the file holds no certificate"))?.1.raw_serial().to_vec();
        let texts = [pem[0].clone(), pem[chain.len() - 1].clone()];
        let papers = Papers { cert: own.clone(), issuer: over.clone(), pem: texts, key, serial };
        Ok(Self { papers, issuer })
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

/// Ends each certificate of a file (RFC 7468).
const PEM_END: &str = "-----END CERTIFICATE-----\n";

fn serial_of(params: &CertificateParams) -> Vec<u8> {
    params.serial_number.as_ref().map(SerialNumber::to_bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use valise_host::entropy::SeededEntropy;
    use valise_proto::kinds::PartyKind;
    use valise_proto::names::{PartyName, TrustDomain};

    use super::*;
    use crate::mint::Mint;

    #[test]
    fn a_ca_read_from_its_files_issues_as_before() {
        let domain = TrustDomain::new("i24.example").unwrap();
        let mint = Mint::new(domain, 1_790_000_000_000, Arc::new(SeededEntropy::new(7)));
        let root = mint.root(1).unwrap();
        let fr = mint.party_ca(&root, PartyKind::Bureau, &PartyName::new("fr").unwrap(), 1).unwrap();
        let (chain, key) = (fr.papers().chain_pem(), fr.papers().key.pkcs8());
        let read = Authority::read(&chain, &key).unwrap();
        assert_eq!((read.papers().chain_pem(), read.key_id()), (chain.clone(), fr.key_id()));
        assert_eq!(
            (read.papers().chain(), &read.papers().serial),
            (fr.papers().chain(), &fr.papers().serial)
        );
        let lists = [&fr, &read].map(|ca| mint.crl(ca, 1, &[], 1000).unwrap());
        assert_eq!(lists[0], lists[1], "Ed25519 signs the same text the same way");
        let alone = Authority::read(root.papers().cert_pem(), &root.papers().key.pkcs8()).unwrap();
        assert_eq!(alone.papers().chain(), root.papers().chain());
        for (chain, key) in [("", &key[..]), (&chain, &[0; 48])] {
            assert_eq!(Authority::read(chain, key).unwrap_err().code(), "BAD_CA");
        }
    }
}
