//! The relay's own papers, keys and trust, read from the files of the configuration and found fit, before anything is
//! opened or bound.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use valise_certs::identity::admit_relay;
use valise_certs::load::TrustFiles;
use valise_certs::signer::verify_signer;
use valise_certs::tls::{TlsPapers, read_chain};
use valise_certs::trust::Trust;
use valise_host::keyfile::{KeyFile, load_private_key};
use valise_host::rest::RestKey;
use valise_proto::signing::{KeyId, SigningKey};
use valise_proto::wire;

use crate::config::RelayConfig;
use crate::fault::RunError;
use crate::queue::Stamp;
use crate::stamp::RelayStamp;

/// Everything the configuration points to, read and found fit.
pub struct Papers {
    /// For QUIC.
    pub tls: TlsPapers,
    /// End of the TLS certificate, Unix milliseconds.
    pub tls_ends_ms: u64,
    /// Whom to believe.
    pub trust: Trust,
    /// Where a newer roster is kept.
    pub kept_roster: PathBuf,
    /// Signs the relay's statements.
    pub stamp: Arc<dyn Stamp>,
    /// The certificate behind those signatures.
    pub signer: wire::SigningLeaf,
    /// Its key.
    pub signer_key: KeyId,
    /// For the store.
    pub rest: RestKey,
}

impl Papers {
    /// Reads papers, roster and lists; the higher roster of file and store is taken.
    pub fn load(config: &RelayConfig, now_ms: u64) -> Result<Self, RunError> {
        let files = TrustFiles::read(&config.trust.root, &config.trust.roster, &config.trust.crl_dir)?;
        let mut trust = Trust::new(&files, now_ms)?;
        let kept_roster = config.store.path.with_extension("roster");
        if kept_roster.exists() {
            let fault = |fault| RunError::KeptRoster { path: kept_roster.clone(), fault };
            if let Some(newer) = trust.with_kept_roster(read(&kept_roster)?.into(), now_ms).map_err(fault)? {
                trust = newer;
            }
        }
        let key = load_private_key(&config.tls.key)?;
        let tls = TlsPapers::new(&read(&config.tls.cert)?, &key)?;
        let own = admit_relay(tls.chain(), &config.relay.id, &trust, now_ms)?;
        let key = SigningKey::from_pkcs8(&load_private_key(&config.keys.sign_key)?);
        let mismatch = || RunError::SigningKey { path: config.keys.sign_key.clone() };
        let key = key.map_err(|_| mismatch())?;
        let chain = read_chain(&read(&config.keys.sign_cert)?)?;
        let signer = wire::SigningLeaf { leaf: chain[0].to_vec().into(), issuer: chain[1].to_vec().into() };
        let verified = verify_signer(&signer.leaf, &signer.issuer, &trust, now_ms)?;
        if verified.relay() != Some(&config.relay.id) || *verified.key() != key.verify_key() {
            return Err(mismatch());
        }
        let rest = RestKey::new(&KeyFile::load(&config.store.key_file)?);
        let signer_key = verified.key_id();
        let stamp = Arc::new(RelayStamp::new(config.relay.id.clone(), key));
        Ok(Self { tls_ends_ms: own.not_after_ms(), tls, trust, kept_roster, stamp, signer, signer_key, rest })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, RunError> {
    std::fs::read(path).map_err(|source| RunError::Read { path: path.to_owned(), source })
}
