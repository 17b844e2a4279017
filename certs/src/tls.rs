//! TLS configurations for both sides: TLS 1.3, post-quantum exchange first, Ed25519 papers, no tickets, no early data
//! ([P-4]).
//!
//! The identity behind a certificate is not judged here: `identity` does, after the handshake.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs::{self, kx_group, sign};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use valise_proto::limits::ALPN;
use valise_proto::names::RelayId;

use crate::fault::PaperFault;
use crate::path::leaf_and_ca;
use crate::profile::Entity;
use crate::trust::Trust;

/// A certificate, the CA over it, and the key: what this end shows.
#[derive(Clone)]
pub struct TlsPapers(Arc<CertifiedKey>);

impl TlsPapers {
    /// From the PEM of leaf and issuing CA, and the key as PKCS#8 in DER.
    pub fn new(chain_pem: &[u8], key_pkcs8: &[u8]) -> Result<Self, PaperFault> {
        let unfit = |why: &str| PaperFault::OwnPapers(why.to_owned());
        let chain = read_chain(chain_pem)?;
        let key = sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(key_pkcs8));
        let key = key.map_err(|_| unfit("the key is not an Ed25519 key in PKCS#8"))?;
        let papers = CertifiedKey::new(chain, key);
        papers.keys_match().map_err(|_| unfit("the key is not the one of the certificate"))?;
        Ok(Self(Arc::new(papers)))
    }

    /// Leaf and issuing CA; give it to `identity` to see whom it names.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.0.cert
    }

    fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from((*self.0).clone()))
    }
}

impl fmt::Debug for TlsPapers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsPapers(..)")
    }
}

/// Reads a certificate file: the leaf, then the CA that issued it.
pub fn read_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PaperFault> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| PaperFault::OwnPapers("the certificate file is not PEM".into()))?;
    leaf_and_ca(&chain)?;
    Ok(chain)
}

/// The one set of algorithms: X25519MLKEM768 before X25519, and no signature but Ed25519 on any certificate.
pub fn provider() -> Arc<CryptoProvider> {
    static ED25519: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
        all: &[webpki::aws_lc_rs::ED25519],
        mapping: &[(SignatureScheme::ED25519, &[webpki::aws_lc_rs::ED25519])],
    };
    Arc::new(CryptoProvider {
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519],
        signature_verification_algorithms: ED25519,
        ..aws_lc_rs::default_provider()
    })
}

/// A clock for the TLS library, from one that gives Unix milliseconds.
pub fn time_from(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Arc<dyn TimeProvider> {
    Arc::new(HandedTime(now_ms))
}

struct HandedTime<F>(F);

impl<F> fmt::Debug for HandedTime<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandedTime")
    }
}

impl<F: Fn() -> u64 + Send + Sync> TimeProvider for HandedTime<F> {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis((self.0)())))
    }
}

/// The name a client asks the TLS library to find on the relay's certificate.
pub fn relay_name(relay: &RelayId, trust: &Trust) -> ServerName<'static> {
    let dns = Entity::Relay(relay.clone()).dns(&trust.roster().domain);
    ServerName::try_from(dns).expect("invariant: a relay id under a trust domain is a DNS name")
}

/// The relay's side: asks every caller for a certificate, and names no CA when asking (the names of 187 CAs cost a
/// round trip).
pub fn server_config(
    papers: &TlsPapers,
    trust: &Trust,
    time: Arc<dyn TimeProvider>,
) -> Result<ServerConfig, PaperFault> {
    let anchors = trust.anchors();
    let verifier = WebPkiClientVerifier::builder_with_provider(anchors.store(), provider())
        .with_crls(anchors.crls().ders())
        .clear_root_hint_subjects()
        .build()
        .map_err(|error| PaperFault::CrlRejected(error.to_string()))?;
    let mut config = ServerConfig::builder_with_details(provider(), time)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| PaperFault::from(&error))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(papers.resolver());
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session is not asked for a certificate again: whoever was revoked since would come back in.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(config)
}

/// The device's side.
pub fn client_config(
    papers: &TlsPapers,
    trust: &Trust,
    time: Arc<dyn TimeProvider>,
) -> Result<ClientConfig, PaperFault> {
    let anchors = trust.anchors();
    let verifier = WebPkiServerVerifier::builder_with_provider(anchors.store(), provider())
        .with_crls(anchors.crls().ders())
        .build()
        .map_err(|error| PaperFault::CrlRejected(error.to_string()))?;
    let mut config = ClientConfig::builder_with_details(provider(), time)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| PaperFault::from(&error))?
        .with_webpki_verifier(verifier)
        .with_client_cert_resolver(papers.resolver());
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false; // the relay has one certificate, and its name is nobody's business on the way
    Ok(config)
}
