//! What one leaf certificate says, read once: one URI, one DNS name, one usage, one Ed25519 key.
//!
//! Says nothing about who issued it or whether it holds now; that is for `path`, `identity` and `signer`.

use std::fmt;

use valise_proto::limits::CERTIFICATE_MAX;
use valise_proto::names::TrustDomain;
use valise_proto::signing::{KeyId, VerifyKey};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::time::ASN1Time;

use crate::fault::PaperFault;
use crate::profile::Entity;

/// What a certificate is made for: its one extended key usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// TLS, the calling side: devices.
    ClientAuth,
    /// TLS, the answering side: relays.
    ServerAuth,
    /// Signing headers, receipts and bundles (RFC 9336).
    DocumentSigning,
    /// Signing rosters. Ours alone, so that no other certificate can be taken for one.
    RosterSigning,
}

impl Usage {
    /// All there are.
    pub const ALL: [Self; 4] =
        [Self::ClientAuth, Self::ServerAuth, Self::DocumentSigning, Self::RosterSigning];

    /// Object identifier, in numbers. Roster signing lies under 32473, the number that RFC 5612 keeps for nobody:
    /// a federation that registers its own changes it here and in `der`.
    pub const fn oid(self) -> &'static [u64] {
        match self {
            Self::ServerAuth => &[1, 3, 6, 1, 5, 5, 7, 3, 1],
            Self::ClientAuth => &[1, 3, 6, 1, 5, 5, 7, 3, 2],
            Self::DocumentSigning => &[1, 3, 6, 1, 5, 5, 7, 3, 36],
            Self::RosterSigning => &[1, 3, 6, 1, 4, 1, 32473, 24, 1],
        }
    }

    /// The same in DER, without tag and length.
    pub(crate) const fn der(self) -> &'static [u8] {
        match self {
            Self::ServerAuth => &[0x2b, 6, 1, 5, 5, 7, 3, 1],
            Self::ClientAuth => &[0x2b, 6, 1, 5, 5, 7, 3, 2],
            Self::DocumentSigning => &[0x2b, 6, 1, 5, 5, 7, 3, 36],
            Self::RosterSigning => &[0x2b, 6, 1, 4, 1, 0x81, 0xfd, 0x59, 24, 1],
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientAuth => "clientAuth",
            Self::ServerAuth => "serverAuth",
            Self::DocumentSigning => "documentSigning",
            Self::RosterSigning => "roster signing",
        })
    }
}

/// A leaf certificate whose names and usage keep the profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    domain: TrustDomain,
    entity: Entity,
    usage: Usage,
    key: VerifyKey,
    serial: Vec<u8>,
    not_before_ms: u64,
    not_after_ms: u64,
}

impl Leaf {
    /// Reads DER of at most `CERTIFICATE_MAX` bytes.
    pub fn read(der: &[u8]) -> Result<Self, PaperFault> {
        let certificate = parse(der)?;
        if certificate.is_ca() {
            return Err(PaperFault::BadIdentity("it is the certificate of a CA".into()));
        }
        let (domain, entity) = names(&certificate)?;
        let key = VerifyKey::from_spki(certificate.public_key().raw).map_err(|_| PaperFault::BadKey)?;
        let validity = certificate.validity();
        Ok(Self {
            domain,
            entity,
            usage: usage(&certificate)?,
            key,
            serial: certificate.raw_serial().to_vec(),
            not_before_ms: unix_ms(validity.not_before),
            not_after_ms: unix_ms(validity.not_after),
        })
    }

    /// Trust domain of the names.
    pub fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// Who it names.
    pub fn entity(&self) -> &Entity {
        &self.entity
    }

    /// What it is made for.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Refuses another usage than the one that is due.
    pub fn require(&self, due: Usage) -> Result<(), PaperFault> {
        if self.usage == due {
            return Ok(());
        }
        Err(PaperFault::WrongUsage(format!("it is made for {}, not for {due}", self.usage)))
    }

    /// Its public key.
    pub fn key(&self) -> &VerifyKey {
        &self.key
    }

    /// The name of that key.
    pub fn key_id(&self) -> KeyId {
        self.key.id()
    }

    /// Serial number as in DER, big-endian.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// First moment of validity, Unix milliseconds.
    pub fn not_before_ms(&self) -> u64 {
        self.not_before_ms
    }

    /// Last moment of validity, Unix milliseconds.
    pub fn not_after_ms(&self) -> u64 {
        self.not_after_ms
    }
}

/// Parses one certificate and nothing after it.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, PaperFault> {
    if der.len() > CERTIFICATE_MAX {
        return Err(PaperFault::BadCert(format!("{} bytes, {CERTIFICATE_MAX} at most", der.len())));
    }
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(PaperFault::BadCert("bytes follow it".into())),
        Err(_) => Err(PaperFault::BadCert("not an X.509 certificate".into())),
    }
}

/// Names the key of any certificate, and says when it ends (Unix milliseconds).
pub(crate) fn key_and_end(der: &[u8]) -> Result<(KeyId, u64), PaperFault> {
    let certificate = parse(der)?;
    Ok((KeyId::of_spki(certificate.public_key().raw), unix_ms(certificate.validity().not_after)))
}

/// Times before 1970 become zero: such a certificate has long expired.
pub(crate) fn unix_ms(time: ASN1Time) -> u64 {
    u64::try_from(time.timestamp()).unwrap_or(0).saturating_mul(1000)
}

fn names(certificate: &X509Certificate<'_>) -> Result<(TrustDomain, Entity), PaperFault> {
    let bad = |text: &str| PaperFault::BadIdentity(text.into());
    let found = certificate.subject_alternative_name();
    let names = found.map_err(|_| bad("the subject alternative names are stated twice or unreadable"))?;
    let names = names.ok_or_else(|| bad("it has no subject alternative name"))?;
    let (mut uri, mut dns) = (None, None);
    for name in &names.value.general_names {
        let twice = match name {
            GeneralName::URI(text) => uri.replace(*text).is_some(),
            GeneralName::DNSName(text) => dns.replace(*text).is_some(),
            _ => return Err(bad("it has a name that is neither URI nor DNS name")),
        };
        if twice {
            return Err(bad("it has two URIs or two DNS names; one of each is due"));
        }
    }
    let uri = uri.ok_or_else(|| bad("it has no URI"))?;
    let dns = dns.ok_or_else(|| bad("it has no DNS name"))?;
    let (domain, entity) = Entity::from_uri(uri).ok_or_else(|| bad("its URI is not one of the profile"))?;
    if Entity::from_dns(dns, &domain).as_ref() != Some(&entity) {
        return Err(bad("URI and DNS name do not name the same entity"));
    }
    Ok((domain, entity))
}

fn usage(certificate: &X509Certificate<'_>) -> Result<Usage, PaperFault> {
    let bad = |text: &str| PaperFault::WrongUsage(text.into());
    let found = certificate.extended_key_usage();
    let found = found.map_err(|_| bad("its usage is stated twice or unreadable"))?;
    let found = found.ok_or_else(|| bad("it does not say what it is made for"))?.value;
    let named =
        [found.any, found.code_signing, found.email_protection, found.time_stamping, found.ocsp_signing];
    let tls = [(found.client_auth, Usage::ClientAuth), (found.server_auth, Usage::ServerAuth)];
    let mut usages: Vec<Usage> = tls.iter().filter(|(set, _)| *set).map(|(_, usage)| *usage).collect();
    for oid in &found.other {
        let known = Usage::ALL.into_iter().find(|usage| usage.der() == oid.as_bytes());
        usages.push(known.ok_or_else(|| bad("it is made for a purpose that is unknown here"))?);
    }
    match usages[..] {
        [usage] if !named.contains(&true) => Ok(usage),
        _ => Err(bad("it is made for more than one purpose, or for none of ours")),
    }
}
