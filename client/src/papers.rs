//! The daemon's own papers, keys and trust, read from the files of the configuration and found fit, before anything
//! is opened or called.

use std::path::{Path, PathBuf};

use valise_certs::fault::PaperFault;
use valise_certs::identity::admit_device;
use valise_certs::load::TrustFiles;
use valise_certs::signer::verify_signer;
use valise_certs::tls::{TlsPapers, read_chain};
use valise_certs::trust::Trust;
use valise_host::config::ConfigError;
use valise_host::keyfile::{KeyFile, KeyFileError, load_private_key};
use valise_host::rest::RestKey;
use valise_proto::signing::SigningKey;
use valise_proto::wire;
use valise_seal::keys::DeviceKemSecret;

use crate::config::ClientConfig;

/// What cannot be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum PapersError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// A file that is not secret.
    #[error("cannot read {path}: {source}; correct the path or its permissions")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Certificates, roster or lists.
    #[error("{0}; {help}", help = .0.help())]
    Papers(#[from] PaperFault),
    /// Another party's or device's.
    #[error("{path} is not the paper of {device}; configure the one that was made for it")]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// Who we are.
        device: String,
    },
}

/// Everything a daemon is known by, and by which it knows others.
pub struct Papers {
    /// For QUIC.
    pub tls: TlsPapers,
    /// End of the TLS certificate, Unix milliseconds.
    pub tls_ends_ms: u64,
    /// For headers, receipts and bundles.
    pub signing: SigningKey,
    /// The certificate behind that key.
    pub leaf: wire::SigningLeaf,
    /// The device's own KEM key.
    pub kem: DeviceKemSecret,
    /// For the store.
    pub rest: RestKey,
    /// Whom to believe.
    pub trust: Trust,
    /// Where a newer roster is kept.
    pub kept_roster: PathBuf,
}

fn read(path: &Path) -> Result<Vec<u8>, PapersError> {
    std::fs::read(path).map_err(|source| PapersError::Read { path: path.to_owned(), source })
}

impl Papers {
    /// Reads and checks everything. The higher roster of file and store is taken.
    pub fn load(config: &ClientConfig, now_ms: u64) -> Result<Self, PapersError> {
        let device = config.device();
        let files = TrustFiles::read(&config.trust.root, &config.trust.roster, &config.trust.crl_dir)?;
        let mut trust = Trust::new(&files, now_ms)?;
        let kept_roster = config.store.path.with_extension("roster");
        if kept_roster.exists()
            && let Some(newer) = trust.with_newer_roster(read(&kept_roster)?.into(), now_ms)?
        {
            trust = newer;
        }
        let key = load_private_key(&config.keys.tls_key)?;
        let tls = TlsPapers::new(&read(&config.keys.tls_cert)?, &key)?;
        let admitted = admit_device(tls.chain(), &trust, now_ms)?;
        let not_ours =
            |path: &PathBuf| PapersError::NotOurs { path: path.clone(), device: device.to_string() };
        if *admitted.device() != device {
            return Err(not_ours(&config.keys.tls_cert));
        }
        let signing = SigningKey::from_pkcs8(&load_private_key(&config.keys.sign_key)?);
        let signing = signing.map_err(|_| not_ours(&config.keys.sign_key))?;
        let chain = read_chain(&read(&config.keys.sign_cert)?)?;
        let leaf = wire::SigningLeaf { leaf: chain[0].to_vec().into(), issuer: chain[1].to_vec().into() };
        let signer = verify_signer(&leaf.leaf, &leaf.issuer, &trust, now_ms)?;
        if signer.device() != Some(&device) {
            return Err(not_ours(&config.keys.sign_cert));
        }
        if *signer.key() != signing.verify_key() {
            return Err(not_ours(&config.keys.sign_key));
        }
        let kem = DeviceKemSecret::from_seed(KeyFile::load(&config.keys.kem_key)?.bytes());
        let rest = RestKey::new(&KeyFile::load(&config.store.key_file)?);
        Ok(Self { tls_ends_ms: admitted.not_after_ms(), tls, signing, leaf, kem, rest, trust, kept_roster })
    }
}
