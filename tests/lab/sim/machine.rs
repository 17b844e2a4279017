//! What one simulated program is given in place of its machine: clock, chance, sockets, and a fuse on its store.
//!
//! Everything of one life of a program hangs on one flag: when it falls, nothing of it sends, commits or runs any more.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use quinn::{AsyncTimer, AsyncUdpSocket, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until};
use valise_host::clock::Clock;
use valise_host::entropy::SeededEntropy;
use valise_host::executor::Seats;
use valise_host::ledger::{CommitPoint, CommitWatch};
use valise_host::machine::{Machine, Network};

use super::net::Net;
use super::node::Ground;

/// The moment at which every run begins: 2027-03-01T06:00:00Z, Unix milliseconds.
pub const BEGIN_MS: u64 = 1_803_880_800_000;

/// Wall time of a run: its paused clock, counted from [`BEGIN_MS`].
#[derive(Debug)]
pub struct SimClock(Instant);

impl SimClock {
    /// Begins now.
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Default for SimClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SimClock {
    fn now_ms(&self) -> u64 {
        BEGIN_MS + u64::try_from(self.0.elapsed().as_millis()).expect("invariant: a run of less than an age")
    }
}

/// Stops a program at a commit of its store.
#[derive(Debug)]
pub struct Fuse {
    alive: Arc<AtomicBool>,
    armed: Mutex<Option<(u64, CommitPoint)>>,
    commits: AtomicU64,
    blown: Arc<Notify>,
}

impl Fuse {
    /// Blows at this point of the commit after so many others.
    pub fn arm(&self, after: u64, point: CommitPoint) {
        *locked(&self.armed) = Some((after, point));
    }

    /// Lets it be.
    pub fn disarm(&self) {
        *locked(&self.armed) = None;
    }

    /// Commits begun in this life.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

impl CommitWatch for Fuse {
    fn goes_on(&self, _: &Path, point: CommitPoint) -> bool {
        if !self.alive.load(Ordering::Relaxed) {
            return false;
        }
        if point == CommitPoint::Before {
            self.commits.fetch_add(1, Ordering::Relaxed);
        }
        let mut armed = locked(&self.armed);
        match *armed {
            Some((0, at)) if at == point => {
                *armed = None;
                self.alive.store(false, Ordering::Relaxed);
                self.blown.notify_one();
                false
            }
            Some((left, at)) if point == CommitPoint::After && left > 0 => {
                *armed = Some((left - 1, at));
                true
            }
            _ => true,
        }
    }
}

/// One life of a program: from its start until it is killed or ends.
pub struct Life {
    alive: Arc<AtomicBool>,
    fuse: Arc<Fuse>,
    tasks: Arc<Mutex<JoinSet<()>>>,
    machine: Machine,
}

impl Life {
    /// A life of a program at this address of the network.
    pub fn new(ground: &Ground, at: IpAddr, seed: u64) -> Self {
        let Ground { net, clock, blown, disk, store_ms, .. } = ground.clone();
        let alive = Arc::new(AtomicBool::new(true));
        let tasks = Arc::new(Mutex::new(JoinSet::new()));
        let network =
            SimNetwork { net: net.clone(), at, alive: Arc::clone(&alive), tasks: Arc::clone(&tasks) };
        let fuse = Arc::new(Fuse {
            alive: Arc::clone(&alive),
            armed: Mutex::default(),
            commits: AtomicU64::new(0),
            blown,
        });
        let machine = Machine {
            clock,
            entropy: Arc::new(SeededEntropy::new(seed)),
            network: Arc::new(network),
            files: Arc::new(disk),
            seats: Seats::Late(Duration::from_millis(store_ms)),
            watch: Some(Arc::clone(&fuse) as Arc<dyn CommitWatch>),
        };
        Self { alive, fuse, tasks, machine }
    }

    /// What the program is given.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The fuse on its store.
    pub fn fuse(&self) -> &Fuse {
        &self.fuse
    }

    /// Whether it may still do anything.
    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    /// Ends it as a power cut does: what is under way stays where it is.
    pub fn end(&self) {
        self.alive.store(false, Ordering::Relaxed);
        locked(&self.tasks).abort_all();
    }

    /// Whether the tasks of its endpoint are gone.
    pub fn is_over(&self) -> bool {
        let mut tasks = locked(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.is_empty()
    }
}

struct SimNetwork {
    net: Net,
    at: IpAddr,
    alive: Arc<AtomicBool>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl Network for SimNetwork {
    fn bind(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let address =
            if address.ip().is_unspecified() { SocketAddr::new(self.at, address.port()) } else { address };
        Ok(self.net.bind(address, Arc::clone(&self.alive))?)
    }

    fn runtime(&self) -> Arc<dyn Runtime> {
        Arc::new(SimRuntime { tasks: Arc::clone(&self.tasks) })
    }
}

/// Runs the endpoint's tasks on the paused runtime, and keeps hold of them.
struct SimRuntime {
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl fmt::Debug for SimRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimRuntime")
    }
}

impl Runtime for SimRuntime {
    fn new_timer(&self, at: std::time::Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer(Box::pin(sleep_until(Instant::from_std(at)))))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let mut tasks = locked(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(future);
    }

    fn wrap_udp_socket(&self, _: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::ErrorKind::Unsupported.into()) // a simulated endpoint has no socket of the system
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

#[derive(Debug)]
struct Timer(Pin<Box<Sleep>>);

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: std::time::Instant) {
        self.0.as_mut().reset(Instant::from_std(at));
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Future::poll(self.0.as_mut(), cx)
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
