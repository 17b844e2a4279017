//! The programs of a run: started from their papers, killed between any two instructions that touch the world, started
//! again on what their disk holds.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};

use anyhow::{Context, Result, anyhow, bail};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, yield_now};
use tokio_util::sync::CancellationToken;
use valise_client::config::ClientConfig;
use valise_client::daemon::{Daemon, DaemonError};
use valise_client::desk::RealDesk;
use valise_client::office::Office;
use valise_client::papers::Papers as DevicePapers;
use valise_host::clock::Clock;
use valise_host::ledger::CommitPoint;
use valise_host::transport::LinkProfile;
use valise_relay::config::{LimitsSection, RelayConfig};
use valise_relay::fault::RunError;
use valise_relay::hub::Hub;
use valise_relay::papers::Papers as RelayPapers;
use valise_relay::queue::backend::Backend;
use valise_relay::relay::Relay;

use super::disk::Disk;
use super::machine::{Life, locked};
use super::net::Net;

/// Turns of the scheduler within which everything of a killed program must be gone.
const TURNS_MAX: usize = 10_000;

/// What a node of a run stands on.
#[derive(Clone)]
pub struct Ground {
    /// The network.
    pub net: Net,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// The run's seed.
    pub seed: u64,
    /// Rung when a fuse blows.
    pub blown: Arc<Notify>,
    /// Every program's disk.
    pub disk: Disk,
    /// How long after a commit a store answers, milliseconds of the run.
    pub store_ms: u64,
}

/// A program that runs.
struct Running {
    life: Life,
    stop: CancellationToken,
    gone: CancellationToken,
    main: JoinHandle<Result<(), String>>,
}

impl Running {
    /// Ends all of it; `held` says whether something of it is still there.
    async fn kill(self, held: impl Fn() -> bool) -> Result<()> {
        self.life.end();
        self.gone.cancel();
        self.main.abort();
        until(|| !held() && self.life.is_over() && self.main.is_finished()).await
    }

    /// Asks it to stop and waits until it has.
    async fn stop(self) -> Result<()> {
        self.stop.cancel();
        let ended = self.main.await.context("a program that was asked to stop panicked")?;
        self.gone.cancel();
        self.life.end();
        // A process that ends takes its socket with it, whatever its endpoint still wanted to say.
        until(|| self.life.is_over()).await?;
        ended.map_err(|why| anyhow!("a program that was asked to stop failed: {why}"))
    }
}

/// Lets others run until it is so.
async fn until(so: impl Fn() -> bool) -> Result<()> {
    for _ in 0..TURNS_MAX {
        if so() {
            return Ok(());
        }
        yield_now().await;
    }
    bail!("something of a program that is gone runs on: a task has no owner")
}

/// The relay of a run.
pub struct RelayNode {
    ground: Ground,
    config: RelayConfig,
    lives: u64,
    next_fuse: Option<(u64, CommitPoint)>,
    running: Option<(Running, Weak<Hub<Backend>>)>,
}

impl RelayNode {
    /// Not started yet.
    pub fn new(ground: Ground, config: RelayConfig) -> Self {
        Self { ground, config, lives: 0, next_fuse: None, running: None }
    }

    /// Its address.
    pub fn at(&self) -> IpAddr {
        self.config.relay.listen.ip()
    }

    /// Its store.
    pub fn store(&self) -> PathBuf {
        self.config.store.path.clone()
    }

    /// Its disk.
    pub fn disk(&self) -> &Disk {
        &self.ground.disk
    }

    /// How much it takes, from its next start on.
    pub fn limits(&mut self) -> &mut LimitsSection {
        &mut self.config.limits
    }

    /// Lets its next life end at a commit.
    pub fn arm_next(&mut self, after: u64, point: CommitPoint) {
        self.next_fuse = Some((after, point));
    }

    /// Starts it; false when its fuse blew meanwhile. An error is what its operator would read.
    pub async fn start(&mut self) -> Result<bool, RunError> {
        self.lives += 1;
        let seed = self.ground.seed ^ (self.lives << 32);
        let clock = Arc::clone(&self.ground.clock);
        let papers = RelayPapers::load(&self.config, clock.now_ms())?;
        let life = Life::new(&self.ground, self.at(), seed);
        if let Some((after, point)) = self.next_fuse.take() {
            life.fuse().arm(after, point);
        }
        let relay = match Relay::open(&self.config, papers, life.machine()).await {
            Err(_) if !life.is_alive() => return Ok(false),
            opened => opened?,
        };
        let hub = Arc::downgrade(relay.hub());
        let (stop, gone) = (CancellationToken::new(), CancellationToken::new());
        let serving = relay.serve(stop.clone());
        let main = tokio::spawn(async move { serving.await.map(drop).map_err(|error| error.to_string()) });
        self.running = Some((Running { life, stop, gone, main }, hub));
        Ok(true)
    }

    /// Its life, if it has one.
    pub fn life(&self) -> Option<&Life> {
        self.running.as_ref().map(|(running, _)| &running.life)
    }

    /// Whether it ended without being asked to.
    pub fn ended(&self) -> bool {
        self.running.as_ref().is_some_and(|(running, _)| running.main.is_finished())
    }

    /// Its middle, while it runs.
    pub fn hub(&self) -> Option<Arc<Hub<Backend>>> {
        self.running.as_ref().and_then(|(_, hub)| hub.upgrade())
    }

    /// Kills it.
    pub async fn kill(&mut self) -> Result<()> {
        let Some((running, hub)) = self.running.take() else { return Ok(()) };
        running.kill(|| hub.strong_count() > 0).await
    }

    /// Stops it in order.
    pub async fn stop(&mut self) -> Result<()> {
        match self.running.take() {
            Some((running, _)) => running.stop().await,
            None => Ok(()),
        }
    }
}

/// A place at a desk through all lives of its daemon: the desk of now, and what falls when it goes.
///
/// No watch channel: that wakes those who wait in an order which no seed decides.
#[derive(Debug, Default)]
pub struct Seat {
    now: Mutex<Option<(Weak<RealDesk>, CancellationToken)>>,
    changed: Notify,
}

impl Seat {
    fn set(&self, now: Option<(Weak<RealDesk>, CancellationToken)>) {
        *locked(&self.now) = now;
        self.changed.notify_waiters();
    }

    /// The desk, once there is one.
    pub async fn desk(&self) -> (Arc<RealDesk>, CancellationToken) {
        loop {
            let changed = self.changed.notified();
            let now = locked(&self.now).clone();
            if let Some((desk, gone)) = now
                && let Some(desk) = desk.upgrade()
            {
                return (desk, gone);
            }
            changed.await;
        }
    }
}

/// A party of a run.
pub struct PartyNode {
    name: &'static str,
    number: u64,
    ground: Ground,
    config: ClientConfig,
    lives: u64,
    next_fuse: Option<(u64, CommitPoint)>,
    running: Option<(Running, Arc<RealDesk>, Weak<Office>)>,
    seat: Arc<Seat>,
}

impl PartyNode {
    /// Not started yet. `number` counts the parties of the run from 0.
    pub fn new(ground: Ground, name: &'static str, number: u64, config: ClientConfig) -> Self {
        let seat = Arc::default();
        Self { name, number, ground, config, lives: 0, next_fuse: None, running: None, seat }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its address.
    pub fn at(&self) -> IpAddr {
        let number = u8::try_from(self.number % 200).expect("invariant: below 200");
        let net = u8::try_from(self.number / 200).expect("invariant: a federation of less than 50,000");
        Ipv4Addr::new(10, 0, 1 + net, 1 + number).into()
    }

    /// Its store.
    pub fn store(&self) -> PathBuf {
        self.config.store.path.clone()
    }

    /// Whether it stands behind a satellite.
    pub fn is_far(&self) -> bool {
        self.config.link.profile == LinkProfile::Satellite
    }

    /// Lets its next life end at a commit.
    pub fn arm_next(&mut self, after: u64, point: CommitPoint) {
        self.next_fuse = Some((after, point));
    }

    /// Starts it; false when its fuse blew meanwhile. An error is what its operator would read.
    pub async fn start(&mut self) -> Result<bool, DaemonError> {
        self.lives += 1;
        let seed = self.ground.seed ^ (self.lives << 32) ^ ((self.number + 1) << 48);
        let clock = Arc::clone(&self.ground.clock);
        let papers = DevicePapers::load(&self.config, clock.now_ms())?;
        let life = Life::new(&self.ground, self.at(), seed);
        if let Some((after, point)) = self.next_fuse.take() {
            life.fuse().arm(after, point);
        }
        let daemon = match Daemon::open(&self.config, papers, life.machine()).await {
            Err(_) if !life.is_alive() => return Ok(false),
            opened => opened?,
        };
        let (desk, office) = (Arc::new(daemon.desk()), Arc::downgrade(daemon.office()));
        let (stop, gone) = (CancellationToken::new(), CancellationToken::new());
        let serving = daemon.serve(stop.clone());
        let main = tokio::spawn(async move { serving.await.map(drop).map_err(|error| error.to_string()) });
        self.seat.set(Some((Arc::downgrade(&desk), gone.clone())));
        self.running = Some((Running { life, stop, gone, main }, desk, office));
        Ok(true)
    }

    /// Its life, if it has one.
    pub fn life(&self) -> Option<&Life> {
        self.running.as_ref().map(|(running, ..)| &running.life)
    }

    /// Whether it ended without being asked to.
    pub fn ended(&self) -> bool {
        self.running.as_ref().is_some_and(|(running, ..)| running.main.is_finished())
    }

    /// Its desk, while it runs.
    pub fn desk(&self) -> Option<&RealDesk> {
        self.running.as_ref().map(|(_, desk, _)| &**desk)
    }

    /// Its middle, while it runs.
    pub fn office(&self) -> Option<Arc<Office>> {
        self.running.as_ref().and_then(|(_, _, office)| office.upgrade())
    }

    /// For whoever sits at this desk, through all its lives.
    pub fn seat(&self) -> Arc<Seat> {
        Arc::clone(&self.seat)
    }

    /// Kills it.
    pub async fn kill(&mut self) -> Result<()> {
        self.seat.set(None);
        let Some((running, desk, office)) = self.running.take() else { return Ok(()) };
        drop(desk);
        running.kill(|| office.strong_count() > 0).await
    }

    /// Stops it in order.
    pub async fn stop(&mut self) -> Result<()> {
        self.seat.set(None);
        match self.running.take() {
            Some((running, desk, _)) => {
                running.gone.cancel();
                drop(desk);
                running.stop().await
            }
            None => Ok(()),
        }
    }
}
