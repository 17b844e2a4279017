//! Why minting failed: a code, a sentence, what to do, and the exit code that scripts rely on.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use valise_host::exit::ExitCode;
use valise_host::keyfile::KeyFileError;

use crate::relay::RelayFault;

/// Minting or writing failed.
#[derive(Debug, thiserror::Error)]
pub enum MintFault {
    /// A request that no certificate can carry.
    #[error("a certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// What was given is not valid.
    #[error("{what}")]
    Input {
        /// Stable.
        code: &'static str,
        /// What happened.
        what: String,
        /// What to do.
        help: &'static str,
    },
    /// A file or directory.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// As given.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A relay was not asked, or gave no answer.
    #[error(transparent)]
    Relay(#[from] RelayFault),
    /// A secret file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// What was looked at is shown, and its signature does not hold.
    #[error("{}: {why}", .path.display())]
    Untrusted {
        /// As given.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// A thing that was just made does not pass the checks of `valise-certs`.
    #[error("the papers that were just made do not pass the check: {0}")]
    Unsound(#[from] valise_certs::PaperFault),
}

impl MintFault {
    /// Refuses input.
    pub fn input(code: &'static str, what: impl fmt::Display, help: &'static str) -> Self {
        Self::Input { code, what: what.to_string(), help }
    }

    /// For `map_err` on file operations.
    pub fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, doing, source }
    }

    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Input { code, .. } => code,
            Self::Certificate(_) => "CERTIFICATE",
            Self::Relay(fault) => fault.code(),
            Self::Untrusted { .. } => "NOT_TRUSTED",
            Self::Unsound(fault) => fault.code(),
            Self::Io { .. } | Self::KeyFile(_) if self.is_permission() => "PERMISSION",
            Self::Io { .. } | Self::KeyFile(_) => "FILE",
        }
    }

    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Input { help, .. } => help,
            Self::Relay(fault) => fault.help(),
            Self::Untrusted { .. } => "do not use it; fetch it again from whoever made it",
            Self::Certificate(_) | Self::Unsound(_) => {
                "this is a fault of valisectl; report it with the command"
            }
            Self::Io { .. } | Self::KeyFile(_) if self.is_permission() => {
                "choose a directory that this user may write to"
            }
            Self::Io { .. } | Self::KeyFile(_) => "look at the disk and the path, then run the command again",
        }
    }

    /// Exit code.
    pub fn exit(&self) -> ExitCode {
        match self {
            Self::Input { .. } => ExitCode::InvalidInput,
            Self::Relay(fault) => fault.exit(),
            Self::Untrusted { .. } => ExitCode::NotTrusted,
            Self::Io { .. } | Self::KeyFile(_) if self.is_permission() => ExitCode::LocalPermission,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => ExitCode::InvalidInput,
            _ => ExitCode::Internal,
        }
    }

    fn is_permission(&self) -> bool {
        let source = match self {
            Self::Io { source, .. } | Self::KeyFile(KeyFileError::Io { source, .. }) => source,
            _ => return false,
        };
        matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
    }
}
