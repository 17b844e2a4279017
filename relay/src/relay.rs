//! A relay put together: queue, hub, endpoint and door, on whatever machine it is given. Opens them in order and closes
//! them in reverse.
//!
//! Hears no signal and reads no file but its store's: `run` does, and the simulator needs neither.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quinn::Endpoint;
use tokio::time::interval;
use tokio_util::sync::{CancellationToken, DropGuard};
use valise_certs::tls::{server_config, time_from};
use valise_host::endpoint::{EndpointKeys, endpoint_config};
use valise_host::files::Files;
use valise_host::machine::Machine;

use crate::config::RelayConfig;
use crate::fault::RunError;
use crate::health;
use crate::hub::{Hub, HubParts};
use crate::listener::{Doors, listen};
use crate::papers::Papers;
use crate::queue::Queue;
use crate::queue::backend::Backend;

/// How often what is past its time is ended.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);
/// How often the state of papers and lists is logged when it needs a person.
const REMIND_EVERY: Duration = Duration::from_secs(3600);
/// How often the disk is asked how much room there is: a full gigabit fills a gigabyte in eight seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// For the sessions to leave; a little more than they take themselves.
const LEAVE_WAIT: Duration = Duration::from_secs(5);
/// After the sessions have left: for the last close frames to go out.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// For the store to fold its log in, 32 MiB and more, on a disk in trouble.
const STORE_WAIT: Duration = Duration::from_secs(10);

/// How a relay left its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Its log is folded in and gone.
    Whole,
    /// Its log is still there: the next start reads it.
    LogLeft,
}

/// A relay that is bound and not yet serving.
pub struct Relay {
    hub: Arc<Hub<Backend>>,
    endpoint: Endpoint,
    doors: Doors,
    disk: Disk,
    // What sessions left running ends with the relay.
    errands: DropGuard,
}

/// The disk under the store.
struct Disk {
    files: Arc<dyn Files>,
    dir: PathBuf,
}

impl Disk {
    fn of(config: &RelayConfig, machine: &Machine) -> Self {
        let dir = config.store.path.parent().unwrap_or(Path::new("/"));
        Self { files: Arc::clone(&machine.files), dir: dir.to_owned() }
    }
}

impl Relay {
    /// Opens the queue, then the door.
    pub async fn open(config: &RelayConfig, papers: Papers, machine: &Machine) -> Result<Self, RunError> {
        let stamp = Arc::clone(&papers.stamp);
        let queue = Backend::open(&config.store, &papers.rest, stamp, machine)?;
        // Our own statements outlive this key's certificate: whoever judges them later is shown it too.
        let kept = queue.keep_leaf(papers.signer_key, papers.signer.clone()).await;
        kept.map_err(|error| RunError::Queue(error.to_string()))?;
        let endpoint = bind(config, &papers, machine)?;
        let hub = Hub::new(HubParts {
            queue,
            trust: papers.trust,
            kept_roster: papers.kept_roster,
            clock: Arc::clone(&machine.clock),
            stamp: papers.stamp,
            signer: papers.signer,
            signer_key: papers.signer_key,
            incoming_kib: config.limits.incoming_mib.saturating_mul(1024),
            quotas: config.limits.quotas(),
            disk: config.limits.disk(),
        });
        let disk = Disk::of(config, machine);
        hub.look_at_disk(&*disk.files, &disk.dir); // before anybody is let in
        let errands = hub.errands().clone().drop_guard();
        let doors = Doors {
            connections: config.limits.connections as usize,
            unproven: config.limits.unproven_handshakes as usize,
        };
        Ok(Self { hub: Arc::new(hub), endpoint, doors, disk, errands })
    }

    /// Where sessions, queue and trust meet.
    pub fn hub(&self) -> &Arc<Hub<Backend>> {
        &self.hub
    }

    /// Where it listens.
    pub fn address(&self) -> Result<SocketAddr, RunError> {
        Ok(self.endpoint.local_addr()?)
    }

    /// Serves until told to stop, or until the store fails; then lets the sessions leave and closes.
    pub async fn serve(self, stop: CancellationToken) -> Result<Closed, RunError> {
        let Self { hub, endpoint, doors, disk, errands } = self;
        let leave = CancellationToken::new();
        let listening = listen(endpoint.clone(), Arc::clone(&hub), doors, leave.clone());
        tokio::pin!(listening);
        let ended = tokio::select! {
            biased;
            ended = attend(&hub, &disk, &stop) => ended,
            () = &mut listening => Ok(()), // the endpoint is gone
        };
        hub.drain();
        leave.cancel();
        // Each session leaves by its own deadline; then the endpoint says its last words.
        tokio::time::timeout(LEAVE_WAIT, listening).await.ok();
        endpoint.close(valise_proto::session::Close::GoingAway.code().into(), b"GOING_AWAY");
        tokio::time::timeout(CLOSE_WAIT, endpoint.wait_idle()).await.ok();
        let queue = hub.queue().clone();
        // What still waits for room on a full disk would hold the store open.
        drop(errands);
        drop(hub);
        // Folds its log in. In vain loses nothing: what was acknowledged was synced before.
        let closed = tokio::time::timeout(STORE_WAIT, queue.close()).await.is_ok();
        if !closed {
            tracing::warn!(event = "store-not-closed");
        }
        ended.map(|()| if closed { Closed::Whole } else { Closed::LogLeft })
    }
}

fn bind(config: &RelayConfig, papers: &Papers, machine: &Machine) -> Result<Endpoint, RunError> {
    let clock = Arc::clone(&machine.clock);
    let tls = server_config(&papers.tls, &papers.trust, time_from(move || clock.now_ms()))?;
    let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls);
    let tls = Arc::new(tls.expect("invariant: TLS 1.3 with its first cipher suites is what QUIC needs"));
    let keys = EndpointKeys::derived(&papers.rest);
    let server = valise_host::endpoint::server_config(tls, &keys);
    let own = endpoint_config(&keys, Arc::clone(&machine.entropy));
    let address = config.relay.listen;
    machine.endpoint(address, own, Some(server)).map_err(|source| RunError::Listen { address, source })
}

/// Minds the clock until told to stop, or a failure.
async fn attend(hub: &Hub<Backend>, disk: &Disk, stop: &CancellationToken) -> Result<(), RunError> {
    let (mut expire, mut remind) = (interval(EXPIRE_EVERY), interval(REMIND_EVERY));
    let mut look = interval(LOOK_EVERY);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            why = hub.queue().failure() => {
                tracing::error!(event = "store-failed", why);
                return Err(RunError::Queue(why));
            }
            _ = look.tick() => hub.look_at_disk(&*disk.files, &disk.dir),
            _ = expire.tick() => hub.expire().await,
            _ = remind.tick() => remind_of(hub),
        }
    }
}

fn remind_of(hub: &Hub<Backend>) {
    let late = health::late_lists(hub);
    if !late.is_empty() {
        tracing::warn!(event = "revocation-list-late", owners = late.join(" "));
    }
}
