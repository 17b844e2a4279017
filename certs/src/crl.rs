//! Revocation lists: read once, the newest of each issuer kept, and asked at a moment in time.
//!
//! A list past its date still counts (the caller reports it); a list that cannot be read refuses the whole set, because
//! nobody can tell whose it was. Signatures are checked where a chain names the issuer.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;
use valise_proto::limits::CRLS_MAX;
use valise_proto::signing::{KeyId, VerifyKey};
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::extensions::ParsedExtension;
use x509_parser::revocation_list::CertificateRevocationList as Parsed;

use crate::fault::PaperFault;
use crate::leaf::unix_ms;

/// Most bytes of one list: 160,000 entries, far beyond what one CA issues.
pub const CRL_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of a key identifier: the first 20 of SHA-256 over the SubjectPublicKeyInfo, so of our key ids.
const KEY_IDENTIFIER_BYTES: usize = 20;

/// How far one list can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrlState {
    /// Within its dates.
    Fresh,
    /// Past its next update: still used, and to be shown as a warning.
    Late,
    /// Not here: certificates of this issuer are refused.
    Missing,
}

/// The list of one issuer, for status and for telling a relay how far we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlStatus {
    /// `root`, a party or a relay.
    pub owner: String,
    /// The issuer's key.
    pub key: KeyId,
    /// Number of the list; 0 = missing.
    pub number: u64,
    /// When a newer one is due, Unix milliseconds; 0 = missing.
    pub next_update_ms: u64,
    /// Judged now.
    pub state: CrlState,
}

/// One list.
struct Crl {
    der: CertificateRevocationListDer<'static>,
    read: CertRevocationList<'static>,
    signed: Vec<u8>,
    signature: Vec<u8>,
    issuer_key: Vec<u8>,
    number: u64,
    next_update_ms: u64,
}

/// The newest list of every issuer.
#[derive(Clone)]
pub struct CrlSet(Arc<Vec<Crl>>);

impl CrlSet {
    /// Reads lists in DER or PEM, each with a name for error lines.
    pub fn read<'a>(lists: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, PaperFault> {
        let mut newest: BTreeMap<Vec<u8>, Crl> = BTreeMap::new();
        for (name, bytes) in lists {
            let crl = Crl::read(bytes).map_err(|why| PaperFault::CrlRejected(format!("`{name}` {why}")))?;
            let issuer = crl.read.issuer().to_vec();
            if newest.get(&issuer).is_none_or(|known| known.number < crl.number) {
                newest.insert(issuer, crl);
            }
        }
        if newest.len() > CRLS_MAX {
            return Err(PaperFault::CrlRejected(format!("{} issuers, {CRLS_MAX} at most", newest.len())));
        }
        Ok(Self(Arc::new(newest.into_values().collect())))
    }

    /// The lists as the TLS library takes them.
    pub(crate) fn ders(&self) -> impl Iterator<Item = CertificateRevocationListDer<'static>> {
        self.0.iter().map(|crl| crl.der.clone())
    }

    /// The lists as the chain verifier takes them.
    pub(crate) fn read_lists(&self) -> Vec<&CertRevocationList<'static>> {
        self.0.iter().map(|crl| &crl.read).collect()
    }

    /// Whether an issuer's list, checked with its key, had revoked a serial number at this time (Unix milliseconds).
    /// The earlier of revocation and invalidity date counts: statements accepted before it stay valid.
    pub(crate) fn revoked_at(
        &self,
        issuer: &[u8],
        issuer_spki: &[u8],
        serial: &[u8],
        at_ms: u64,
    ) -> Result<bool, PaperFault> {
        let crl = self.0.iter().find(|crl| crl.read.issuer() == issuer);
        let crl = crl.ok_or(PaperFault::RevocationUnknown)?;
        let key = VerifyKey::from_spki(issuer_spki).map_err(|_| PaperFault::BadKey)?;
        webpki::aws_lc_rs::ED25519
            .verify_signature(key.as_bytes(), &crl.signed, &crl.signature)
            .map_err(|_| PaperFault::from(webpki::Error::InvalidCrlSignatureForPublicKey))?;
        let Some(entry) = crl.read.find_serial(serial)? else { return Ok(false) };
        let since = entry.invalidity_date.map_or(entry.revocation_date, |date| {
            if date.as_secs() < entry.revocation_date.as_secs() { date } else { entry.revocation_date }
        });
        Ok(since.as_secs().saturating_mul(1000) <= at_ms)
    }

    /// How the list of one issuer stands.
    pub(crate) fn status(&self, owner: String, key: KeyId, now_ms: u64) -> CrlStatus {
        let found = self.0.iter().find(|crl| crl.issuer_key == key.0[..KEY_IDENTIFIER_BYTES]);
        let Some(crl) = found else {
            return CrlStatus { owner, key, number: 0, next_update_ms: 0, state: CrlState::Missing };
        };
        let state = if now_ms > crl.next_update_ms { CrlState::Late } else { CrlState::Fresh };
        CrlStatus { owner, key, number: crl.number, next_update_ms: crl.next_update_ms, state }
    }
}

impl Crl {
    fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() > CRL_BYTES_MAX {
            return Err("is larger than 8 MiB");
        }
        let der = if bytes.first() == Some(&0x30) {
            CertificateRevocationListDer::from(bytes.to_vec())
        } else {
            CertificateRevocationListDer::from_pem_slice(bytes)
                .map_err(|_| "is neither DER nor PEM of a list")?
        };
        let read = OwnedCertRevocationList::from_der(&der)
            .map_err(|_| "is not a revocation list that can be read (RFC 5280, version 2, complete)")?;
        let Ok(([], parsed)) = x509_parser::parse_x509_crl(&der) else {
            return Err("is not a revocation list, or bytes follow it");
        };
        let number = parsed.crl_number().ok_or("has no number")?;
        let number = u64::try_from(number).map_err(|_| "has a number above 64 bits")?;
        let next_update_ms = parsed.next_update().map(unix_ms).ok_or("does not say when the next is due")?;
        let issuer_key = issuer_key(&parsed).ok_or("does not name its issuer's key")?;
        let signed = parsed.tbs_cert_list.as_ref().to_vec();
        let signature = parsed.signature_value.data.to_vec();
        Ok(Self { read: read.into(), signed, signature, issuer_key, number, next_update_ms, der })
    }
}

/// The authority key identifier.
fn issuer_key(crl: &Parsed<'_>) -> Option<Vec<u8>> {
    crl.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => Some(id.key_identifier.as_ref()?.0.to_vec()),
        _ => None,
    })
}
