//! Why a daemon did not start, or ended, and its exit code.

use valise_host::config::ConfigError;
use valise_host::exit::ExitCode;

use crate::boxes::BoxesError;
use crate::exit::DeskError;
use crate::link::LinkError;
use crate::office::OfficeError;
use crate::papers::PapersError;

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
