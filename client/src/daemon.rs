//! A daemon put together: boxes, keys, book and link, on whatever machine it is given. Opens them in order and closes
//! them in reverse.
//!
//! Everything that can be wrong is found before a socket appears. Signals and the local API are `run`'s alone: the
//! simulator needs neither.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use valise_certs::crl::CrlState;
use valise_host::executor::Worker;
use valise_host::machine::Machine;
use valise_host::rest::Sealer;
use valise_host::socket::LocalSocket;
use valise_proto::limits::DAY_MS;

use crate::api;
use crate::book::Book;
use crate::boxes::Boxes;
use crate::config::ClientConfig;
use crate::desk::RealDesk;
use crate::epochs;
use crate::exit::DeskError;
use crate::link::Link;
use crate::office::{Bells, LinkState, Office, OfficeError};
use crate::papers::Papers;

mod fault;

pub use fault::DaemonError;

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

/// A daemon that is open and not yet calling.
pub struct Daemon {
    office: Arc<Office>,
    link: Link,
    tls_ends_ms: u64,
    relay_address: String,
    // What answers this desk's users; it ends with the daemon.
    rooms: JoinSet<()>,
}

impl Daemon {
    /// Opens the boxes, makes what keys are due, and binds a socket for the link.
    pub async fn open(config: &ClientConfig, papers: Papers, machine: &Machine) -> Result<Self, DaemonError> {
        let sealer = Sealer::new(&papers.rest, Arc::clone(&machine.entropy));
        let boxes = Boxes::open(&config.store.path, &sealer)?.watched(machine.watch.clone());
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
                Arc::clone(&machine.clock),
                newest_ms,
            ),
            boxes: Worker::seated(machine.seats, "boxes", boxes)?,
            entropy: Arc::clone(&machine.entropy),
            clock: Arc::clone(&machine.clock),
            bells: Bells::default(),
            link: watch::Sender::new(LinkState { state: "down", path: None, rtt_ms: None }),
            failed: watch::Sender::new(None),
            leaves: Mutex::default(),
        });
        epochs::prepare(&office).await?;
        let link = Link::new(Arc::clone(&office), &tls, config.relay.address, config.link.profile, machine)?;
        let relay_address = config.relay.address.to_string();
        Ok(Self { office, link, tls_ends_ms: papers.tls_ends_ms, relay_address, rooms: JoinSet::new() })
    }

    /// What its users ask.
    pub fn desk(&self) -> RealDesk {
        RealDesk::new(Arc::clone(&self.office), self.relay_address.clone())
    }

    /// The daemon's shared middle.
    pub fn office(&self) -> &Arc<Office> {
        &self.office
    }

    /// Calls the relay until told to stop, or until the store fails; then closes.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), DaemonError> {
        let Self { office, link, tls_ends_ms, mut rooms, .. } = self;
        let leave = CancellationToken::new();
        rooms.spawn(link.run(leave.clone()));
        tracing::info!(event = "desk-open", party = %office.device.party, device = %office.device.device);
        let ended = attend(&office, tls_ends_ms, &stop).await;
        stop.cancel();
        leave.cancel();
        let closing = async { while rooms.join_next().await.is_some() {} };
        tokio::time::timeout(CLOSE_WAIT, closing).await.ok(); // what is durable stays durable
        let boxes = office.boxes.clone();
        drop(office);
        tokio::time::timeout(STORE_WAIT, boxes.stop()).await.ok(); // folds its log in
        tracing::info!(event = "stopped");
        ended
    }
}

/// Reads everything and opens nothing: `--check`.
pub fn check(path: &Path) -> Result<(), DaemonError> {
    let config = ClientConfig::load(path)?;
    Papers::load(&config, Machine::real().clock.now_ms())?;
    Ok(())
}

/// Runs as a program until a signal, or until the store fails.
pub async fn run(path: &Path) -> Result<(), DaemonError> {
    let machine = Machine::real();
    let config = ClientConfig::load(path)?;
    let papers = Papers::load(&config, machine.clock.now_ms())?;
    let mut daemon = Daemon::open(&config, papers, &machine).await?;
    let group = config.api.group.as_deref().map(api::group_id).transpose()?;
    let socket = LocalSocket::bind(&config.api.socket, group).await.map_err(DeskError::from)?;
    let stop = CancellationToken::new();
    let desk = Arc::new(daemon.desk());
    daemon.rooms.spawn(api::serve(socket, desk, stop.clone().cancelled_owned()));
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let serving = daemon.serve(stop.clone());
    tokio::pin!(serving);
    tokio::select! {
        biased;
        ended = &mut serving => return ended,
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    stop.cancel();
    serving.await
}

/// Minds the clock until told to stop, or a failure.
async fn attend(office: &Office, tls_ends_ms: u64, stop: &CancellationToken) -> Result<(), DaemonError> {
    let mut failed = office.failed.subscribe();
    let (mut look, mut tidy) = (interval(epochs::LOOK_EVERY), interval(TIDY_EVERY));
    let mut remind = interval(REMIND_EVERY);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            why = failure(&mut failed) => {
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

/// Resolves, with the reason, once the store takes nothing more.
async fn failure(failed: &mut watch::Receiver<Option<String>>) -> String {
    let why = failed.wait_for(Option::is_some).await;
    why.ok().and_then(|why| why.clone()).unwrap_or_default()
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
