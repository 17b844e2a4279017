//! Why a request is turned away: a number on the wire, whose fault, whether to try again. One plain sentence each.

use std::fmt;

/// A submission that was not taken. The peer stays connected: the fault lies in the request, or the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The envelope breaks the protocol.
    Malformed,
    /// The header names another sender than the certificate.
    SenderMismatch,
    /// More ciphertext than the relay takes.
    TooLarge,
    /// Its time has run out.
    Expired,
    /// No such mailbox, or no agreement; never said which.
    NotPermittedOrUnknown,
    /// The same message id came before with other bytes.
    IdReused,
    /// Wraps for a message the relay does not hold.
    NoSuchMessage,
    /// The disk of the relay is full.
    StoreFull,
    /// The relay holds as much as it may for now.
    SlowDown,
    /// The relay is about to stop.
    Draining,
    /// The mailbox of every recipient holds as much as it may for now.
    MailboxFull,
}

impl Refusal {
    /// Every refusal, by number.
    pub const ALL: &'static [Self] = &[
        Self::Malformed,
        Self::SenderMismatch,
        Self::TooLarge,
        Self::Expired,
        Self::NotPermittedOrUnknown,
        Self::IdReused,
        Self::NoSuchMessage,
        Self::StoreFull,
        Self::SlowDown,
        Self::Draining,
        Self::MailboxFull,
    ];

    /// Its number on the wire: 1xx final, 2xx to be tried again ([P-50]).
    pub const fn code(self) -> u32 {
        match self {
            Self::Malformed => 100,
            Self::SenderMismatch => 101,
            Self::TooLarge => 102,
            Self::Expired => 103,
            Self::NotPermittedOrUnknown => 104,
            Self::IdReused => 105,
            Self::NoSuchMessage => 106,
            Self::StoreFull => 200,
            Self::SlowDown => 201,
            Self::Draining => 202,
            Self::MailboxFull => 203,
        }
    }

    /// From its number; an unknown one is taken as final or not by its hundred.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|refusal| refusal.code() == code)
    }

    /// When to try again with the same bytes, milliseconds, unless the relay knows better; none = never.
    pub const fn retry_after_ms(self) -> Option<u32> {
        match self {
            Self::StoreFull => Some(10_000),
            Self::SlowDown | Self::Draining => Some(1_000),
            // A mailbox has room again once its device is back: not within seconds, and each try sends all of it.
            Self::MailboxFull => Some(60_000),
            _ => None,
        }
    }

    /// The word for logs and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::SenderMismatch => "sender-mismatch",
            Self::TooLarge => "too-large",
            Self::Expired => "expired",
            Self::NotPermittedOrUnknown => "not-permitted-or-unknown",
            Self::IdReused => "id-reused",
            Self::NoSuchMessage => "no-such-message",
            Self::StoreFull => "store-full",
            Self::SlowDown => "slow-down",
            Self::Draining => "draining",
            Self::MailboxFull => "mailbox-full",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_their_hundred_says_whether_to_retry() {
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::from_code(refusal.code()), Some(*refusal));
            assert_eq!(refusal.code() >= 200, refusal.retry_after_ms().is_some(), "{refusal}");
        }
        assert!(Refusal::ALL.is_sorted_by_key(|refusal| refusal.code()));
    }
}
