//! Opens the rooms in order and closes them in reverse. Everything that can be wrong is found before a socket appears.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use valise_certs::crl::CrlState;
use valise_host::clock::{Clock, SystemClock};
use valise_host::config::ConfigError;
use valise_host::entropy::{Entropy, OsEntropy};
use valise_host::executor::Worker;
use valise_host::exit::ExitCode;
use valise_host::rest::Sealer;
use valise_proto::limits::DAY_MS;

use crate::api;
use crate::book::Book;
use crate::boxes::{Boxes, BoxesError};
use crate::config::ClientConfig;
use crate::desk::RealDesk;
use crate::epochs;
use crate::exit::DeskError;
use crate::link::{Link, LinkError};
use crate::office::{Bells, LinkState, Office, OfficeError};
use crate::papers::{Papers, PapersError};

/// How often old dedupe marks and ended bookkeeping are cleared, and overdue messages ended.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// How often late revocation lists are logged again.
const REMIND_EVERY: Duration = Duration::from_secs(3600);
/// A certificate with fewer days left is logged: it lives 30 and is due at a third.
const CERTIFICATE_WARN_DAYS: u64 = 10;
/// After a stop was asked for: for the link's last words and requests under way.
const CLOSE_WAIT: Duration = Duration::from_secs(5);
/// Then, for the store to be closed. In vain costs nothing: what was answered for is synced.
const STORE_WAIT: Duration = Duration::from_secs(1);

/// Why the daemon did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Configuration, keys or papers.
    #[error(transparent)]
    Papers(#[from] PapersError),
    /// The store.
    #[error(transparent)]
    Boxes(#[from] BoxesError),
    /// The store, while running.
    #[error("{0}")]
    Store(String),
    /// The link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The local API.
    #[error("{0}; {help}", help = .0.help)]
    Api(#[from] DeskError),
    /// The operating system refused something else.
    #[error("the operating system refused: {0}")]
    System(#[from] std::io::Error),
}

impl From<OfficeError> for DaemonError {
    fn from(error: OfficeError) -> Self {
        match error {
            OfficeError::Boxes(error) => Self::Boxes(error),
            OfficeError::Gone => Self::Store(error.to_string()),
        }
    }
}

impl From<ConfigError> for DaemonError {
    fn from(error: ConfigError) -> Self {
        Self::Papers(error.into())
    }
}

impl DaemonError {
    /// How the program ends on it.
    pub fn exit(&self) -> ExitCode {
        match self {
            Self::Papers(PapersError::Key(_)) => ExitCode::LocalPermission,
            Self::Papers(PapersError::Papers(_) | PapersError::NotOurs { .. }) => ExitCode::NotTrusted,
            Self::Papers(_) => ExitCode::InvalidInput,
            Self::Boxes(error) => ExitCode::from_number(error.exit()).unwrap_or(ExitCode::Store),
            Self::Store(_) => ExitCode::Store,
            Self::Link(LinkError::Papers(_)) => ExitCode::NotTrusted,
            Self::Link(_) | Self::System(_) => ExitCode::Internal,
            Self::Api(error) => error.exit,
        }
    }
}

/// Reads everything and opens nothing: `--check`.
pub fn check(path: &Path) -> Result<(), DaemonError> {
    let config = ClientConfig::load(path)?;
    Papers::load(&config, SystemClock.now_ms())?;
    Ok(())
}

/// Runs until told to stop, or until the store fails.
pub async fn run(path: &Path) -> Result<(), DaemonError> {
    let config = ClientConfig::load(path)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let papers = Papers::load(&config, clock.now_ms())?;
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let boxes = Boxes::open(&config.store.path, &Sealer::new(&papers.rest, Arc::clone(&entropy)))?;
    let newest_ms = boxes.newest_time_seen()?;
    let tls = papers.tls;
    let office = Arc::new(Office {
        device: config.device(),
        mailboxes: config.mailboxes(),
        signing: Arc::new(papers.signing),
        leaf: papers.leaf,
        kem: papers.kem,
        keyring: Mutex::default(),
        book: Book::new(
            papers.trust,
            papers.kept_roster,
            config.relay.id.clone(),
            Arc::clone(&clock),
            newest_ms,
        ),
        boxes: Worker::threaded("boxes", boxes)?,
        entropy,
        clock,
        bells: Bells::default(),
        link: watch::Sender::new(LinkState { state: "down", path: None, rtt_ms: None }),
        failed: watch::Sender::new(None),
        leaves: Mutex::default(),
    });
    epochs::prepare(&office).await?;
    let link = Link::new(Arc::clone(&office), &tls, config.relay.address, config.link.profile)?;
    let group = config.api.group.as_deref().map(api::group_id).transpose()?;
    let socket = api::LocalSocket::bind(&config.api.socket, group).await?;
    let stop = CancellationToken::new();
    let desk = RealDesk::new(Arc::clone(&office), config.relay.address.to_string());
    let answering = tokio::spawn(api::serve(socket, Arc::new(desk), stop.clone().cancelled_owned()));
    let calling = tokio::spawn(link.run(stop.clone()));
    tracing::info!(event = "desk-open", party = %office.device.party, device = %office.device.device);
    let ended = attend(&office, papers.tls_ends_ms).await;
    stop.cancel();
    let closing = async {
        calling.await.ok();
        answering.await.ok();
    };
    tokio::time::timeout(CLOSE_WAIT, closing).await.ok(); // what is durable stays durable
    let boxes = office.boxes.clone();
    drop(office);
    tokio::time::timeout(STORE_WAIT, boxes.stop()).await.ok(); // folds its log in
    tracing::info!(event = "stopped");
    ended
}

/// Minds the clock until a signal or a failure.
async fn attend(office: &Office, tls_ends_ms: u64) -> Result<(), DaemonError> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut failed = office.failed.subscribe();
    let (mut look, mut tidy) = (interval(epochs::LOOK_EVERY), interval(TIDY_EVERY));
    let mut remind = interval(REMIND_EVERY);
    loop {
        tokio::select! {
            biased;
            _ = term.recv() => return Ok(()),
            _ = int.recv() => return Ok(()),
            why = failed.wait_for(Option::is_some) => {
                let why = why.ok().and_then(|why| why.clone()).unwrap_or_default();
                tracing::error!(event = "store-failed", why);
                return Err(DaemonError::Store(why));
            }
            _ = look.tick() => {
                if epochs::renew(office).await? {
                    office.bells.publish.notify_one();
                }
            }
            _ = tidy.tick() => tidy_up(office).await?,
            _ = remind.tick() => remind_of(office, tls_ends_ms),
        }
    }
}

/// Lists past their date still count, and a certificate near its end still works; somebody has to bring newer ones.
fn remind_of(office: &Office, tls_ends_ms: u64) {
    let days = tls_ends_ms.saturating_sub(office.book.own_ms()) / DAY_MS;
    if days < CERTIFICATE_WARN_DAYS {
        tracing::warn!(event = "certificate-ends", days);
    }
    let all = office.book.trust().crl_status(office.book.own_ms());
    let late = all.into_iter().filter(|one| one.state != CrlState::Fresh).map(|one| one.owner);
    let owners = late.collect::<Vec<_>>().join(" ");
    if !owners.is_empty() {
        tracing::warn!(event = "revocation-list-late", owners);
    }
}

/// Ends what ran out of time before the relay took it, forgets what need not be known, and submits what was put off.
async fn tidy_up(office: &Office) -> Result<(), OfficeError> {
    let now_ms = office.book.now_ms();
    let expired = office.write(move |boxes| boxes.expire(now_ms)).await?;
    if !expired.is_empty() {
        tracing::warn!(event = "outbox-expired", count = expired.len());
        office.changed();
    }
    office.write(move |boxes| boxes.purge(now_ms)).await?;
    office.bells.outbox.notify_one();
    office.bells.late_wraps.notify_one();
    Ok(())
}
