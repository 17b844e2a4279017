//! Asks a running relay over its local socket: how it stands, who is connected, and to let itself be drained.
//!
//! Bounded in bytes and time whatever answers. Shows nothing: that is `told`.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use valise_host::config::{self, ConfigError};
use valise_host::exit::ExitCode;
use valise_host::socket::{SocketFault, check_path};
use valise_proto::admin::{self, FaultCode, answer::Kind, question::Verb};

pub mod told;

/// A relay that runs answers at once; one that is busy with its disk, a little later.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most answers to one question: more devices than a federation has, and room.
const ANSWERS_MAX: usize = 65_536;

/// Why a relay was not asked, or gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum RelayFault {
    /// The configuration that names the socket cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The operating system, or the relay, does not let this user ask.
    #[error("this user may not ask the relay at {}", .0.display())]
    Denied(PathBuf),
    /// It went away in the middle.
    #[error("the relay went away before it had answered")]
    Gone,
    /// The configuration names no socket.
    #[error("{} names no `admin_socket` in [relay]", .0.display())]
    NoSocket(PathBuf),
    /// It did not stop in time.
    #[error("the relay has not stopped within {} s", .0.as_secs())]
    NotInTime(Duration),
    /// Something answers that is no relay of this version.
    #[error("what answers at {} does not speak as a relay of this version", .0.display())]
    NotUnderstood(PathBuf),
    /// No such path can be a socket.
    #[error(transparent)]
    Path(#[from] SocketFault),
    /// It is about to end, and answers no more.
    #[error("the relay has closed its store and is about to end")]
    Stopping,
    /// Nobody answers.
    #[error("no relay answers at {}: {source}", .path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl RelayFault {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(_) | Self::NoSocket(_) => "RELAY_CONFIG",
            Self::Denied(_) => "PERMISSION",
            Self::Gone | Self::Stopping | Self::Unreachable { .. } => "RELAY_UNREACHABLE",
            Self::NotInTime(_) => "NOT_IN_TIME",
            Self::NotUnderstood(_) => "NOT_UNDERSTOOD",
            Self::Path(_) => "SOCKET_PATH",
        }
    }

    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Config(_) => "name the relay's own relay.toml after --config",
            Self::Denied(_) => "run the command as the user that the relay runs as, or as root",
            Self::Gone | Self::Stopping => "look at the relay's log: its last line says how it ended",
            Self::NoSocket(_) => "add `admin_socket = \"admin.sock\"` there and restart the relay",
            Self::NotInTime(_) => "it goes on; ask `valisectl relay status`, or wait longer with --timeout",
            Self::NotUnderstood(_) => "compare the versions of valisectl and valise-relay, and the path",
            Self::Path(_) => "name the socket by a shorter path",
            Self::Unreachable { .. } => "start the relay, or name its socket: `[relay] admin_socket`",
        }
    }

    /// Exit code.
    pub fn exit(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::NoSocket(_) | Self::Path(_) => ExitCode::InvalidInput,
            Self::Denied(_) => ExitCode::LocalPermission,
            Self::Gone | Self::Stopping | Self::Unreachable { .. } => ExitCode::Unreachable,
            Self::NotInTime(_) => ExitCode::NotInTime,
            Self::NotUnderstood(_) => ExitCode::Internal,
        }
    }
}

/// What of relay.toml is needed here; the relay itself reads and judges the rest.
#[derive(Deserialize)]
struct Config {
    relay: Section,
}

#[derive(Deserialize)]
struct Section {
    admin_socket: Option<PathBuf>,
}

/// The socket that a relay's configuration names.
pub fn socket_of(config: &Path) -> Result<PathBuf, RelayFault> {
    let named = config::load::<Config>(config)?.relay.admin_socket;
    let named = named.ok_or_else(|| RelayFault::NoSocket(config.to_owned()))?;
    Ok(config::resolve(config, &named))
}

/// One question to a relay, and its answers one by one.
#[derive(Debug)]
pub struct Asked {
    stream: UnixStream,
    path: PathBuf,
    left: usize,
}

impl Asked {
    /// Asks.
    pub fn relay(path: &Path, verb: Verb) -> Result<Self, RelayFault> {
        check_path(path)?;
        let fault = |source: io::Error| match source.kind() {
            io::ErrorKind::PermissionDenied => RelayFault::Denied(path.to_owned()),
            _ => RelayFault::Unreachable { path: path.to_owned(), source },
        };
        let mut stream = UnixStream::connect(path).map_err(fault)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(fault)?;
        // A relay that refuses this user may close before it has read: its answer counts, not the broken pipe.
        match stream.write_all(&admin::ask(verb)) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(fault(error)),
            Ok(()) | Err(_) => {}
        }
        Ok(Self { stream, path: path.to_owned(), left: ANSWERS_MAX })
    }

    /// The next answer; none after the last. A refusal is a fault.
    pub fn hear(&mut self) -> Result<Option<Kind>, RelayFault> {
        self.by(Instant::now() + PATIENCE, RelayFault::Gone)
    }

    /// The word that the relay has stopped, by then at the latest.
    pub fn stopped(&mut self, limit: Duration) -> Result<(), RelayFault> {
        match self.by(Instant::now() + limit, RelayFault::NotInTime(limit))? {
            Some(Kind::Stopped(_)) => Ok(()),
            _ => Err(self.not_understood()),
        }
    }

    fn by(&mut self, deadline: Instant, late: RelayFault) -> Result<Option<Kind>, RelayFault> {
        if self.left == 0 {
            return Err(self.not_understood());
        }
        self.left -= 1;
        let mut prefix = [0; admin::LENGTH_BYTES];
        let mut bytes = Vec::new();
        let whole = self.fill(&mut prefix, deadline).and_then(|()| {
            bytes = vec![0; admin::announced(prefix).map_err(|_| io::ErrorKind::InvalidData)?];
            self.fill(&mut bytes, deadline)
        });
        match whole.map_err(|error| error.kind()) {
            Ok(()) => {}
            Err(io::ErrorKind::InvalidData) => return Err(self.not_understood()),
            Err(io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => return Err(late),
            Err(_) => return Err(RelayFault::Gone),
        }
        match admin::answer(&bytes).map_err(|_| self.not_understood())? {
            Kind::End(_) => Ok(None),
            Kind::Fault(fault) => Err(match fault.code() {
                FaultCode::NotThisUser => RelayFault::Denied(self.path.clone()),
                FaultCode::Stopping => RelayFault::Stopping,
                FaultCode::NotUnderstood | FaultCode::Unspecified => self.not_understood(),
            }),
            kind => Ok(Some(kind)),
        }
    }

    /// Reads exactly so much before the deadline: one that sends a byte now and then does not hold us for ever.
    fn fill(&mut self, mut space: &mut [u8], deadline: Instant) -> io::Result<()> {
        while !space.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(space) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => space = &mut space[read..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What answered is no relay of this version.
    pub fn not_understood(&self) -> RelayFault {
        RelayFault::NotUnderstood(self.path.clone())
    }
}

#[cfg(test)]
mod tests;
