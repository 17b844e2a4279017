//! Chains: leaf, issuing CA, pinned root, at a moment in time. The chain itself is webpki's to judge.
//!
//! Two ways to ask about revocation: now (a revoked certificate is refused, whenever that was) and at a time in the
//! past (what was signed before the revocation took effect stays valid). An unknown answer is a refusal in both.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use valise_proto::signing::KeyId;
use webpki::{EndEntityCert, KeyUsage, RevocationOptions, RevocationOptionsBuilder, VerifiedPath};

use crate::crl::CrlSet;
use crate::fault::PaperFault;
use crate::leaf::{Usage, key_and_end};

/// Most pinned roots: an old and a new generation, and their successors.
pub(crate) const ROOTS_MAX: usize = 4;

/// How revocation is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// Revoked at any time = refused.
    Now,
    /// Revoked with effect at or before the time of the question = refused.
    AtTheTime,
    /// Nobody asks: for people who look at a file, never for a decision.
    NotAsked,
}

/// What is trusted before any roster: pinned roots, and revocation lists.
#[derive(Clone)]
pub(crate) struct Anchors {
    store: Arc<RootCertStore>,
    keys: Vec<KeyId>,
    crls: CrlSet,
}

impl Anchors {
    /// From the pinned PEM and the lists.
    pub(crate) fn new(root_pem: &[u8], crls: CrlSet) -> Result<Self, PaperFault> {
        let refused = |why: String| PaperFault::RootRejected(why);
        let roots: Vec<_> = CertificateDer::pem_slice_iter(root_pem)
            .collect::<Result<_, _>>()
            .map_err(|_| refused("the file is not PEM".into()))?;
        if roots.is_empty() || roots.len() > ROOTS_MAX {
            return Err(refused(format!(
                "the file holds {} certificates, 1 to {ROOTS_MAX} are due",
                roots.len()
            )));
        }
        let mut store = RootCertStore::empty();
        let mut keys = Vec::with_capacity(roots.len());
        for root in roots {
            keys.push(key_and_end(&root).map_err(|fault| refused(fault.to_string()))?.0);
            store.add(root).map_err(|fault| refused(fault.to_string()))?;
        }
        Ok(Self { store: Arc::new(store), keys, crls })
    }

    /// The roots as the TLS library takes them.
    pub(crate) fn store(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.store)
    }

    /// Names of the pinned roots' keys.
    pub(crate) fn keys(&self) -> &[KeyId] {
        &self.keys
    }

    /// The revocation lists.
    pub(crate) fn crls(&self) -> &CrlSet {
        &self.crls
    }

    /// Verifies leaf and intermediates up to a pinned root; gives the key of the leaf's issuer.
    pub(crate) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: Usage,
        at_ms: u64,
        revocation: Revocation,
    ) -> Result<KeyId, PaperFault> {
        let end_entity = EndEntityCert::try_from(leaf)?;
        let lists = self.crls.read_lists();
        let options = match revocation {
            Revocation::Now => Some(strict(&lists)?),
            Revocation::AtTheTime | Revocation::NotAsked => None,
        };
        let path = end_entity.verify_for_usage(
            &[webpki::aws_lc_rs::ED25519],
            &self.store.roots,
            intermediates,
            UnixTime::since_unix_epoch(Duration::from_millis(at_ms)),
            KeyUsage::required(usage.der()),
            options,
            None,
        );
        let path = path.map_err(|error| usage_fault(error, usage))?;
        if revocation == Revocation::AtTheTime {
            self.not_revoked_at(&path, at_ms)?;
        }
        Ok(KeyId::of_spki(&path.issuer_spki()))
    }

    /// Every certificate below the root, asked of its issuer's list.
    fn not_revoked_at(&self, path: &VerifiedPath<'_>, at_ms: u64) -> Result<(), PaperFault> {
        let root = webpki::spki_for_anchor(path.anchor());
        let above: Vec<_> = path.intermediate_certificates().collect();
        let keys = above.iter().map(|ca| ca.subject_public_key_info()).chain([root]);
        let leaf = path.end_entity();
        let below = [(leaf.issuer(), leaf.serial())].into_iter();
        let below = below.chain(above.iter().map(|ca| (ca.issuer(), ca.serial())));
        for ((issuer, serial), key) in below.zip(keys) {
            if self.crls.revoked_at(issuer, &key, serial, at_ms)? {
                return Err(PaperFault::Revoked);
            }
        }
        Ok(())
    }
}

/// Every certificate of the chain must be known not to be revoked; a list past its date still counts.
fn strict<'a>(
    lists: &'a [&'a webpki::CertRevocationList<'static>],
) -> Result<RevocationOptions<'a>, PaperFault> {
    // The defaults are the full chain, unknown denied, dates ignored; a change of them would fail the matrix test.
    let builder = RevocationOptionsBuilder::new(lists).map_err(|_| PaperFault::RevocationUnknown)?;
    Ok(builder.build())
}

fn usage_fault(error: webpki::Error, due: Usage) -> PaperFault {
    match error {
        webpki::Error::RequiredEkuNotFoundContext(_) => {
            PaperFault::WrongUsage(format!("it or its CA is not made for {due}"))
        }
        other => other.into(),
    }
}

/// Cuts a chain as shown into leaf and issuing CA.
pub(crate) fn leaf_and_ca<'a, 'c>(
    chain: &'a [CertificateDer<'c>],
) -> Result<(&'a CertificateDer<'c>, &'a [CertificateDer<'c>]), PaperFault> {
    match chain {
        [] => Err(PaperFault::NoClientCert),
        [leaf, cas @ ..] if cas.len() == 1 => Ok((leaf, cas)),
        _ => Err(PaperFault::BadChain(chain.len())),
    }
}
