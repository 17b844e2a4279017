//! How a program of ours ends: the exit codes that scripts rely on, each with its name. Prints nothing.

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
