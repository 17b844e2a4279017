//! How a program of the desk ends, and what it says when it refuses: the exit codes that scripts rely on, each
//! with its name, and the one shape of a refusal. Knows no HTTP and prints nothing.

use std::fmt;

/// The exit codes of all tools; the numbers never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// What was asked for is done.
    Done = 0,
    /// A fault of ours.
    Internal = 1,
    /// The command line or the request is not one we know.
    Usage = 2,
    /// The daemon (or the relay) cannot be reached.
    Unreachable = 3,
    /// The operating system, or the owner of a socket or file, does not let this user do it.
    LocalPermission = 4,
    /// No agreement allows it.
    NotAllowed = 5,
    /// A peer's papers are not trusted.
    NotTrusted = 6,
    /// The state asked for was not reached in time; the message goes on.
    NotInTime = 7,
    /// Refused, unopenable or expired.
    EndedBadly = 8,
    /// A store is locked, in use or unreadable.
    Store = 9,
    /// Nothing found, and the caller asked to be told.
    NothingFound = 10,
    /// What was handed in is not valid.
    InvalidInput = 11,
    /// `doctor` found faults.
    Faults = 12,
    /// Some parts were done and some were not.
    Partly = 13,
    /// Try again later.
    TryLater = 75,
}

impl ExitCode {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Done,
        Self::Internal,
        Self::Usage,
        Self::Unreachable,
        Self::LocalPermission,
        Self::NotAllowed,
        Self::NotTrusted,
        Self::NotInTime,
        Self::EndedBadly,
        Self::Store,
        Self::NothingFound,
        Self::InvalidInput,
        Self::Faults,
        Self::Partly,
        Self::TryLater,
    ];

    /// The number a process ends with.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The exit code of a number; a number that is none of ours is `None`.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    /// Its name in the documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::Unreachable => "unreachable",
            Self::LocalPermission => "local permission",
            Self::NotAllowed => "not allowed by agreement",
            Self::NotTrusted => "peer not trusted",
            Self::NotInTime => "not reached in time",
            Self::EndedBadly => "refused, unopenable or expired",
            Self::Store => "store locked or unreadable",
            Self::NothingFound => "nothing found",
            Self::InvalidInput => "input invalid",
            Self::Faults => "faults found",
            Self::Partly => "partly applied",
            Self::TryLater => "try later",
        }
    }
}

impl fmt::Display for ExitCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_may_rely_on_the_numbers() {
        let numbers: Vec<u8> = ExitCode::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 75]);
        for code in ExitCode::ALL {
            assert_eq!(ExitCode::from_number(code.number()), Some(code));
        }
        assert_eq!(ExitCode::from_number(14), None);
    }
}
