//! Opens the rooms in order, announces the addresses, runs, drains. Everything that can be wrong is found before a
//! port is bound.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quinn::Endpoint;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use valise_certs::fault::PaperFault;
use valise_certs::identity::admit_relay;
use valise_certs::load::TrustFiles;
use valise_certs::signer::verify_signer;
use valise_certs::tls::{TlsPapers, read_chain, server_config, time_from};
use valise_certs::trust::Trust;
use valise_host::clock::{Clock, SystemClock};
use valise_host::config::ConfigError;
use valise_host::endpoint::{EndpointKeys, endpoint_config};
use valise_host::entropy::OsEntropy;
use valise_host::exit::ExitCode;
use valise_host::keyfile::{KeyFile, KeyFileError, load_private_key};
use valise_host::ledger::StoreError;
use valise_host::rest::RestKey;
use valise_proto::signing::{KeyId, SigningKey};
use valise_proto::wire;

use crate::config::RelayConfig;
use crate::health;
use crate::hub::{Hub, HubParts};
use crate::listener::{Doors, listen};
use crate::queue::sqlite::{Mode, SqliteQueue};
use crate::queue::{Queue, Stamp};
use crate::stamp::RelayStamp;

/// How often what is past its time is ended.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);
/// How often the state of papers and lists is logged when it needs a person.
const REMIND_EVERY: Duration = Duration::from_secs(3600);
/// For the sessions to leave; a little more than they take themselves.
const LEAVE_WAIT: Duration = Duration::from_secs(5);
/// After the sessions have left: for the last close frames to go out.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// Why the relay did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// A certificate file cannot be read.
    #[error("cannot read {path}: {source}; correct the path or its permissions")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Papers, roster or lists cannot be used.
    #[error("{0}; {help}", help = .0.help())]
    Papers(#[from] PaperFault),
    /// The roster that was kept cannot be used, and it is the newer one.
    #[error(
        "the roster kept in {path} cannot be used ({fault}); install a newer roster file, or restore this one"
    )]
    KeptRoster {
        /// The file beside the store.
        path: PathBuf,
        /// Why not.
        fault: PaperFault,
    },
    /// The key is not the one of the certificate.
    #[error("{path} is not the key of the receipt-signing certificate; configure the key that belongs to it")]
    SigningKey {
        /// The key file.
        path: PathBuf,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store failed while running.
    #[error("{0}")]
    Queue(String),
    /// An address cannot be bound.
    #[error("cannot listen on {address}: {source}; choose a free address")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The operating system refused something else.
    #[error("the operating system refused: {0}")]
    System(#[from] std::io::Error),
}

impl RunError {
    /// How the program ends on it.
    pub fn exit(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Read { .. } | Self::SigningKey { .. } => ExitCode::InvalidInput,
            Self::Key(error) => error.exit(),
            Self::Papers(PaperFault::TrustUnreadable { .. }) => ExitCode::InvalidInput,
            Self::Papers(_) | Self::KeptRoster { .. } => ExitCode::NotTrusted,
            Self::Store(_) | Self::Queue(_) => ExitCode::Store,
            Self::Listen { .. } | Self::System(_) => ExitCode::Internal,
        }
    }
}

/// Everything the configuration points to, read and found fit.
struct Papers {
    tls: TlsPapers,
    tls_ends_ms: u64,
    trust: Trust,
    kept_roster: PathBuf,
    stamp: Arc<dyn Stamp>,
    signer: wire::SigningLeaf,
    signer_key: KeyId,
    rest: RestKey,
}

fn read(path: &Path) -> Result<Vec<u8>, RunError> {
    std::fs::read(path).map_err(|source| RunError::Read { path: path.to_owned(), source })
}

/// Reads papers, roster and lists; the higher roster of file and store is taken.
fn papers(config: &RelayConfig, now_ms: u64) -> Result<Papers, RunError> {
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
    Ok(Papers { tls_ends_ms: own.not_after_ms(), tls, trust, kept_roster, stamp, signer, signer_key, rest })
}

/// Reads everything and binds nothing: `--check`.
pub fn check(path: &Path) -> Result<(), RunError> {
    let config = RelayConfig::load(path)?;
    papers(&config, SystemClock.now_ms()).map(drop)
}

/// Runs until told to stop, or until the store fails.
pub async fn run(path: &Path) -> Result<(), RunError> {
    let config = RelayConfig::load(path)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let papers = papers(&config, clock.now_ms())?;
    let stamp = Arc::clone(&papers.stamp);
    let queue = SqliteQueue::open(&config.store.path, &papers.rest, stamp, Mode::Threaded)?;
    // Our own statements outlive this key's certificate: whoever judges them later is shown it too.
    let own = papers.signer_key;
    let kept = queue.keep_leaf(own, papers.signer.clone()).await;
    kept.map_err(|error| RunError::Queue(error.to_string()))?;
    let time = Arc::clone(&clock);
    let tls = server_config(&papers.tls, &papers.trust, time_from(move || time.now_ms()))?;
    let keys = EndpointKeys::derived(&papers.rest);
    let endpoint = bind(&config, tls, &keys)?;
    let health = match config.relay.http {
        Some(address) => {
            Some(health::bind(address).await.map_err(|source| RunError::Listen { address, source })?)
        }
        None => None,
    };
    let hub = Arc::new(Hub::new(HubParts {
        queue,
        trust: papers.trust,
        kept_roster: papers.kept_roster,
        clock,
        stamp: papers.stamp,
        signer: papers.signer,
        signer_key: own,
        incoming_kib: config.limits.incoming_mib.saturating_mul(1024),
    }));
    let stop = CancellationToken::new();
    if let Some(listener) = health {
        tokio::spawn(health::serve(listener, Arc::clone(&hub), papers.tls_ends_ms, stop.clone()));
    }
    let doors = Doors {
        connections: config.limits.connections as usize,
        unproven: config.limits.unproven_handshakes as usize,
    };
    let address = endpoint.local_addr()?;
    tracing::info!(event = "listening", relay = %config.relay.id, %address, roster = hub.trust().roster().number);
    let listening = tokio::spawn(listen(endpoint.clone(), Arc::clone(&hub), doors, stop.clone()));
    let ended = attend(&hub).await;
    hub.drain();
    stop.cancel();
    // Each session leaves by its own deadline; then the endpoint says its last words.
    tokio::time::timeout(LEAVE_WAIT, listening).await.ok();
    endpoint.close(valise_proto::session::Close::GoingAway.code().into(), b"GOING_AWAY");
    tokio::time::timeout(CLOSE_WAIT, endpoint.wait_idle()).await.ok();
    let queue = hub.queue().clone();
    drop(hub);
    // Folds its log in. In vain costs nothing: what was acknowledged was synced before.
    tokio::time::timeout(CLOSE_WAIT, queue.close()).await.ok();
    tracing::info!(event = "stopped");
    ended
}

fn bind(config: &RelayConfig, tls: rustls::ServerConfig, keys: &EndpointKeys) -> Result<Endpoint, RunError> {
    let address = config.relay.listen;
    let fault = |source| RunError::Listen { address, source };
    let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls);
    let tls = Arc::new(tls.expect("TLS 1.3 with its first cipher suites is what QUIC needs"));
    let server = valise_host::endpoint::server_config(tls, keys);
    let socket = std::net::UdpSocket::bind(address).map_err(fault)?;
    let runtime = Arc::new(quinn::TokioRuntime);
    let endpoint = Endpoint::new(endpoint_config(keys, Arc::new(OsEntropy)), Some(server), socket, runtime);
    endpoint.map_err(fault)
}

/// Minds the clock until a signal or a failure.
async fn attend(hub: &Hub<SqliteQueue>) -> Result<(), RunError> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let (mut expire, mut remind) = (interval(EXPIRE_EVERY), interval(REMIND_EVERY));
    loop {
        tokio::select! {
            biased;
            _ = term.recv() => return Ok(()),
            _ = int.recv() => return Ok(()),
            why = hub.queue().failure() => {
                tracing::error!(event = "store-failed", why);
                return Err(RunError::Queue(why));
            }
            _ = expire.tick() => hub.expire().await,
            _ = remind.tick() => remind_of(hub),
        }
    }
}

fn remind_of(hub: &Hub<SqliteQueue>) {
    let late = health::late_lists(hub);
    if !late.is_empty() {
        tracing::warn!(event = "revocation-list-late", owners = late.join(" "));
    }
}
