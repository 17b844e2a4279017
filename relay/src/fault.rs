//! Why a relay did not start, or ended: each with its sentence, what to do, and its exit code.

use std::path::PathBuf;

use valise_certs::fault::PaperFault;
use valise_host::config::ConfigError;
use valise_host::exit::ExitCode;
use valise_host::keyfile::KeyFileError;
use valise_host::ledger::StoreError;
use valise_host::socket::SocketFault;

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
    /// A walk over the store has found damage.
    #[error(
        "the store {path} is damaged in {count} places, named above; keep its files, what is whole is served all the same"
    )]
    Unsound {
        /// The store.
        path: PathBuf,
        /// How many.
        count: usize,
    },
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
    /// The administrator's socket cannot be opened.
    #[error("{0}; {help}", help = socket_help(.0))]
    Socket(#[from] SocketFault),
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
            Self::Store(_) | Self::Queue(_) | Self::Unsound { .. } => ExitCode::Store,
            Self::Socket(SocketFault::Answered { .. }) => ExitCode::Store,
            Self::Socket(SocketFault::Denied { .. }) => ExitCode::LocalPermission,
            Self::Socket(_) => ExitCode::InvalidInput,
            Self::Listen { .. } | Self::System(_) => ExitCode::Internal,
        }
    }
}

fn socket_help(fault: &SocketFault) -> &'static str {
    match fault {
        SocketFault::Answered { .. } => "stop that relay, or configure another `[relay] admin_socket`",
        SocketFault::Denied { .. } => "give the relay's user the right to write in that directory",
        SocketFault::PathTooLong { .. } => "choose a shorter directory for the socket",
        SocketFault::Taken { .. } => "choose another path for `[relay] admin_socket`",
        SocketFault::Unusable { .. } => "check `[relay] admin_socket`: its directory must exist",
    }
}
