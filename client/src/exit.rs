//! What the desk says when it refuses: the one shape of a refusal, with the exit code that scripts rely on. Knows no
//! HTTP and prints nothing.

use std::fmt;

pub use valise_host::exit::ExitCode;

/// Why the desk did not do what was asked: a stable word, what happened, what to do. Holds no plaintext of a
/// message; a name that the caller gave may stand in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DeskError {
    /// The stable word that scripts match: `unknown-recipient`, `file-too-large`, …
    pub code: &'static str,
    /// One plain sentence: what happened. No full stop at the end.
    pub message: String,
    /// One plain sentence: what to do. No full stop at the end.
    pub help: String,
    /// How a program ends on it.
    pub exit: ExitCode,
}

impl DeskError {
    /// A refusal.
    pub fn new(
        exit: ExitCode,
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { code, message: message.into(), help: help.into(), exit }
    }

    /// What was handed in is not valid ([`ExitCode::InvalidInput`]).
    pub fn invalid(code: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(ExitCode::InvalidInput, code, message, help)
    }

    /// The request is not one we know ([`ExitCode::Usage`]).
    pub fn usage(code: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, code, message, help)
    }

    /// A fault of ours ([`ExitCode::Internal`]); the help is the same each time.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(
            ExitCode::Internal,
            "internal",
            message,
            "look at the daemon's log for the event that belongs to it, and report it",
        )
    }

    /// No message of this id is kept here.
    pub fn no_such_message(id: impl fmt::Display) -> Self {
        Self::invalid(
            codes::NO_SUCH_MESSAGE,
            format!("no message {id} is kept at this desk"),
            "take the id from `valise inbox` or from the answer of `valise send`",
        )
    }

    /// The message has no attachment of this number.
    pub fn no_such_file(id: impl fmt::Display, number: impl fmt::Display) -> Self {
        Self::invalid(
            codes::NO_SUCH_FILE,
            format!("message {id} has no attachment number {number}"),
            "attachments are numbered from 0, in the order of `files` in `valise show ID --json`",
        )
    }
}

/// Stable words that more than one room speaks.
pub mod codes {
    /// No message of this id is kept here.
    pub const NO_SUCH_MESSAGE: &str = "no-such-message";
    /// The message has fewer attachments.
    pub const NO_SUCH_FILE: &str = "no-such-file";
    /// Body and attachments together are over the limit.
    pub const FILE_TOO_LARGE: &str = "file-too-large";
    /// Neither body nor attachment.
    pub const EMPTY_MESSAGE: &str = "empty-message";
    /// This user may not use the desk.
    pub const NOT_THIS_USER: &str = "not-this-user";
    /// The local API has no such route.
    pub const UNKNOWN_ROUTE: &str = "unknown-route";
    /// The route is there, the method is not.
    pub const UNKNOWN_METHOD: &str = "unknown-method";
    /// A daemon answers on the socket already.
    pub const DAEMON_RUNNING: &str = "daemon-running";
    /// No daemon answers on the socket.
    pub const DAEMON_UNREACHABLE: &str = "daemon-unreachable";
}
