//! The machine under a program: time, chance, sockets, threads, handed in at one place.
//!
//! A program takes the real one. The simulator gives its own, and the same seed then plays the same run again. Decides
//! nothing.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use quinn::{AsyncUdpSocket, Endpoint, EndpointConfig, Runtime, ServerConfig, TokioRuntime};

use crate::clock::{Clock, SystemClock};
use crate::entropy::{Entropy, OsEntropy};
use crate::executor::Seats;
use crate::files::{Files, SystemFiles};
use crate::ledger::CommitWatch;

/// Where datagrams go, and who runs what carries them.
pub trait Network: Send + Sync {
    /// A socket at this address; port 0 takes any that is free.
    ///
    /// # Errors
    /// The address is taken or not ours.
    fn bind(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>>;

    /// Runs the tasks and timers of endpoints.
    fn runtime(&self) -> Arc<dyn Runtime>;
}

/// The operating system's sockets under tokio.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNetwork;

impl Network for SystemNetwork {
    fn bind(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(UdpSocket::bind(address)?)
    }

    fn runtime(&self) -> Arc<dyn Runtime> {
        Arc::new(TokioRuntime)
    }
}

/// What a program has of its machine.
#[derive(Clone)]
pub struct Machine {
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Datagrams.
    pub network: Arc<dyn Network>,
    /// The disk.
    pub files: Arc<dyn Files>,
    /// Who runs the stores.
    pub seats: Seats,
    /// Told of every commit of a store, and may refuse one; the product has none.
    pub watch: Option<Arc<dyn CommitWatch>>,
}

impl Machine {
    /// The one that the program runs on.
    pub fn real() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
            network: Arc::new(SystemNetwork),
            files: Arc::new(SystemFiles),
            seats: Seats::Threaded,
            watch: None,
        }
    }

    /// A QUIC endpoint at this address; with a server configuration it also accepts.
    ///
    /// # Errors
    /// As [`Network::bind`].
    pub fn endpoint(
        &self,
        address: SocketAddr,
        config: EndpointConfig,
        server: Option<ServerConfig>,
    ) -> io::Result<Endpoint> {
        let socket = self.network.bind(address)?;
        Endpoint::new_with_abstract_socket(config, server, socket, self.network.runtime())
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Machine({:?})", self.seats)
    }
}
