//! Certificates: root, CAs with name constraints, leaves. Time, chance and names are handed in.
//!
//! Each kind of paper has its own call with the profile's names and life. `leaf` and `authority` below them take any
//! request, sound or not: tests forge with them what the checks have to refuse.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyUsagePurpose, NameConstraints, SanType, SerialNumber,
};
use time::OffsetDateTime;
use valise_certs::leaf::Usage;
use valise_certs::profile::Entity;
use valise_host::entropy::Entropy;
use valise_proto::kinds::PartyKind;
use valise_proto::limits::DAY_MS;
use valise_proto::names::{DeviceId, DeviceName, PartyName, RelayId, TrustDomain};
use zeroize::Zeroizing;

use crate::fault::MintFault;
use crate::keys::PrivateKey;
use crate::papers::{Authority, Papers};

/// Life of a root.
pub const ROOT_LIFE_MS: u64 = 3650 * DAY_MS;
/// Life of a CA.
pub const CA_LIFE_MS: u64 = 730 * DAY_MS;
/// Life of a TLS certificate: short, so that a stolen key dies soon even unnoticed.
pub const TLS_LIFE_MS: u64 = 30 * DAY_MS;
/// Life of a signing certificate: statements are judged at their time, so it may live longer.
pub const SIGNING_LIFE_MS: u64 = 365 * DAY_MS;
/// Life of a roster signer.
pub const ROSTER_SIGNER_LIFE_MS: u64 = 90 * DAY_MS;
/// Certificates are valid this long before they are made: clocks differ.
pub const BACKDATE_MS: u64 = 60 * 60 * 1000;

/// Makes papers for one federation, at one moment.
#[derive(Clone)]
pub struct Mint {
    domain: TrustDomain,
    now_ms: u64,
    entropy: Arc<dyn Entropy>,
}

/// What a leaf is to say; anything goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafRequest {
    /// For people.
    pub common_name: String,
    /// URI names.
    pub uris: Vec<String>,
    /// DNS names.
    pub dns: Vec<String>,
    /// IP addresses.
    pub ips: Vec<IpAddr>,
    /// Extended key usages; none = the extension is left out.
    pub usages: Vec<Usage>,
    /// Whether it claims to be a CA.
    pub is_ca: bool,
    /// Unix milliseconds, seconds count.
    pub not_before_ms: u64,
    /// Unix milliseconds, seconds count.
    pub not_after_ms: u64,
}

/// What a CA is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityRequest {
    /// Subject name; a new key takes a new one.
    pub common_name: String,
    /// DNS subtrees it may name; none = no constraint.
    pub permitted_dns: Vec<String>,
    /// Extended key usages of its leaves.
    pub usages: Vec<Usage>,
    /// Unix milliseconds, seconds count.
    pub not_before_ms: u64,
    /// Unix milliseconds, seconds count.
    pub not_after_ms: u64,
}

impl Mint {
    /// For a federation, at a time in Unix milliseconds.
    pub fn new(domain: TrustDomain, now_ms: u64, entropy: Arc<dyn Entropy>) -> Self {
        Self { domain, now_ms, entropy }
    }

    /// The same at another time.
    pub fn at(&self, now_ms: u64) -> Self {
        Self { now_ms, ..self.clone() }
    }

    /// The trust domain.
    pub fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// The time, Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Random bytes from the mint's source.
    pub fn random<const N: usize>(&self) -> Zeroizing<[u8; N]> {
        let mut bytes = Zeroizing::new([0; N]);
        self.entropy.fill(bytes.as_mut());
        bytes
    }

    /// A root, `Valise Root G1`. A new generation has a new name: one name with two keys breaks revocation.
    pub fn root(&self, generation: u32) -> Result<Authority, MintFault> {
        let name = format!("Valise Root G{generation}");
        let mut params = self.params(&name, self.since(), self.now_ms + ROOT_LIFE_MS)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Authority::self_signed(params, PrivateKey::generate(&*self.entropy))
    }

    /// The CA of a party, bound to its part of the DNS.
    pub fn party_ca(
        &self,
        root: &Authority,
        kind: PartyKind,
        party: &PartyName,
        generation: u32,
    ) -> Result<Authority, MintFault> {
        let kind_name = match kind {
            PartyKind::Bureau => "Bureau",
            PartyKind::Mission => "Mission",
        };
        let common_name = format!("{kind_name} {} CA G{generation}", party.as_str().to_uppercase());
        let permitted = format!("{party}.{kind}.{}", self.domain);
        self.authority(root, &self.ca_request(common_name, permitted, Usage::ClientAuth))
    }

    /// The CA of a relay's operator.
    pub fn relay_ca(
        &self,
        root: &Authority,
        relay: &RelayId,
        generation: u32,
    ) -> Result<Authority, MintFault> {
        let common_name = format!("Relay {} CA G{generation}", relay.as_str().to_uppercase());
        let permitted = format!("{relay}.relay.{}", self.domain);
        self.authority(root, &self.ca_request(common_name, permitted, Usage::ServerAuth))
    }

    /// A device's TLS certificate.
    pub fn device_tls(
        &self,
        ca: &Authority,
        kind: PartyKind,
        device: &DeviceId,
    ) -> Result<Papers, MintFault> {
        let entity = Entity::Device { kind, device: device.clone() };
        self.leaf(ca, &self.request(&entity, Usage::ClientAuth, TLS_LIFE_MS))
    }

    /// A device's signing certificate.
    pub fn device_signing(
        &self,
        ca: &Authority,
        kind: PartyKind,
        device: &DeviceId,
    ) -> Result<Papers, MintFault> {
        let entity = Entity::Device { kind, device: device.clone() };
        self.leaf(ca, &self.request(&entity, Usage::DocumentSigning, SIGNING_LIFE_MS))
    }

    /// A relay's TLS certificate.
    pub fn relay_tls(&self, ca: &Authority, relay: &RelayId) -> Result<Papers, MintFault> {
        self.leaf(ca, &self.request(&Entity::Relay(relay.clone()), Usage::ServerAuth, TLS_LIFE_MS))
    }

    /// A relay's receipt-signing certificate.
    pub fn relay_signing(&self, ca: &Authority, relay: &RelayId) -> Result<Papers, MintFault> {
        self.leaf(ca, &self.request(&Entity::Relay(relay.clone()), Usage::DocumentSigning, SIGNING_LIFE_MS))
    }

    /// A roster signer, certified by the root itself.
    pub fn roster_signer(&self, root: &Authority, name: &DeviceName) -> Result<Papers, MintFault> {
        let entity = Entity::RosterSigner(name.clone());
        self.leaf(root, &self.request(&entity, Usage::RosterSigning, ROSTER_SIGNER_LIFE_MS))
    }

    /// The request that the profile makes for an entity; change a field to forge.
    pub fn request(&self, entity: &Entity, usage: Usage, life_ms: u64) -> LeafRequest {
        let dns = entity.dns(&self.domain);
        LeafRequest {
            common_name: dns.split('.').next().unwrap_or_default().to_owned(),
            uris: vec![entity.uri(&self.domain)],
            dns: vec![dns],
            ips: Vec::new(),
            usages: vec![usage],
            is_ca: false,
            not_before_ms: self.since(),
            not_after_ms: self.now_ms + life_ms,
        }
    }

    /// Issues any leaf, with a new key.
    pub fn leaf(&self, issuer: &Authority, request: &LeafRequest) -> Result<Papers, MintFault> {
        let mut params = self.params(&request.common_name, request.not_before_ms, request.not_after_ms)?;
        params.is_ca =
            if request.is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = request.usages.iter().copied().map(purpose).collect();
        params.use_authority_key_identifier_extension = true;
        for dns in &request.dns {
            params.subject_alt_names.push(SanType::DnsName(dns.as_str().try_into()?));
        }
        for uri in &request.uris {
            params.subject_alt_names.push(SanType::URI(uri.as_str().try_into()?));
        }
        params.subject_alt_names.extend(request.ips.iter().copied().map(SanType::IpAddress));
        issuer.issue(&params, PrivateKey::generate(&*self.entropy))
    }

    /// Issues any CA, with a new key. Path length 0: it issues leaves and no CA.
    pub fn authority(&self, root: &Authority, request: &AuthorityRequest) -> Result<Authority, MintFault> {
        let mut params = self.params(&request.common_name, request.not_before_ms, request.not_after_ms)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.extended_key_usages = request.usages.iter().copied().map(purpose).collect();
        params.use_authority_key_identifier_extension = true;
        if !request.permitted_dns.is_empty() {
            let any_v4 = CidrSubnet::V4([0; 4], [0; 4]);
            let any_v6 = CidrSubnet::V6([0; 16], [0; 16]);
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: request
                    .permitted_dns
                    .iter()
                    .cloned()
                    .map(GeneralSubtree::DnsName)
                    .collect(),
                excluded_subtrees: vec![GeneralSubtree::IpAddress(any_v4), GeneralSubtree::IpAddress(any_v6)],
            });
        }
        root.issue_authority(params, PrivateKey::generate(&*self.entropy))
    }

    /// The request that the profile makes for a CA: the usages of its leaves, because chains are checked for them too.
    pub fn ca_request(&self, common_name: String, permitted_dns: String, tls: Usage) -> AuthorityRequest {
        AuthorityRequest {
            common_name,
            permitted_dns: vec![permitted_dns],
            usages: vec![tls, Usage::DocumentSigning],
            not_before_ms: self.since(),
            not_after_ms: self.now_ms + CA_LIFE_MS,
        }
    }

    fn since(&self) -> u64 {
        self.now_ms.saturating_sub(BACKDATE_MS)
    }

    fn params(
        &self,
        name: &str,
        not_before_ms: u64,
        not_after_ms: u64,
    ) -> Result<CertificateParams, MintFault> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, self.domain.as_str());
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(self.serial());
        params.not_before = moment(not_before_ms)?;
        params.not_after = moment(not_after_ms)?;
        Ok(params)
    }

    /// 128 random bits behind a leading 1, so that every serial number is positive and of one length.
    fn serial(&self) -> SerialNumber {
        let random = self.random::<16>();
        SerialNumber::from([&[1], &random[..]].concat())
    }
}

/// A time that certificates can state.
pub(crate) fn moment(ms: u64) -> Result<OffsetDateTime, MintFault> {
    let seconds = i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| {
        MintFault::input("TIME", "the time lies outside what a certificate can state", "set the clock right")
    })
}

fn purpose(usage: Usage) -> ExtendedKeyUsagePurpose {
    ExtendedKeyUsagePurpose::Other(usage.oid().to_vec())
}
