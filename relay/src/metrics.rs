//! What the relay counts while it works. Labels are words of closed sets, so their number is known and none can be a
//! name, an id or a pair of parties. Counting never waits and never decides anything.

use valise_proto::kinds::ReceiptKind;
use valise_proto::refusal::Refusal;
use valise_proto::session::Close;

use crate::counts::{Counter, Tally, Word};
use crate::queue::{Over, QueueError};

pub mod text;

impl Word for Refusal {
    const ALL: &'static [Self] = Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Word for ReceiptKind {
    const ALL: &'static [Self] = Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Word for Close {
    const ALL: &'static [Self] = Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// Why a caller did not become a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// The relay is about to stop.
    Draining,
    /// As many connections or handshakes as there may be.
    Full,
    /// Not done in time.
    Late,
    /// Its papers: as the close code says.
    Papers(Close),
    /// TLS refused it.
    Tls,
}

impl Word for Turned {
    const ALL: &'static [Self] = &[
        Self::Draining,
        Self::Full,
        Self::Late,
        Self::Tls,
        Self::Papers(Close::BadIdentity),
        Self::Papers(Close::CertificateExpired),
        Self::Papers(Close::NotEnrolled),
        Self::Papers(Close::Revoked),
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Draining => "DRAINING",
            Self::Full => "FULL",
            Self::Late => "LATE",
            Self::Papers(close) => close.as_str(),
            Self::Tls => "TLS",
        }
    }
}

/// What the queue could not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A row is not what was written.
    Damaged,
    /// It takes nothing more.
    Failed,
    /// No room on the disk.
    Full,
}

impl Word for Trouble {
    const ALL: &'static [Self] = &[Self::Damaged, Self::Failed, Self::Full];

    fn word(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Failed => "failed",
            Self::Full => "full",
        }
    }
}

impl From<&QueueError> for Trouble {
    fn from(error: &QueueError) -> Self {
        match error {
            QueueError::Damaged(_) => Self::Damaged,
            QueueError::Failed(_) => Self::Failed,
            QueueError::Full => Self::Full,
        }
    }
}

/// What there is too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// On the disk, for a submission that is not more urgent.
    Disk,
    /// In the mailbox of every recipient.
    Mailbox,
    /// Of the sender.
    Sender,
}

impl Word for Bound {
    const ALL: &'static [Self] = &[Self::Disk, Self::Mailbox, Self::Sender];

    fn word(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Mailbox => "mailbox",
            Self::Sender => "sender",
        }
    }
}

impl From<Over> for Bound {
    fn from(over: Over) -> Self {
        match over {
            Over::Mailboxes => Self::Mailbox,
            Over::Sender => Self::Sender,
        }
    }
}

/// Everything counted.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Submissions that became durable.
    pub accepted: Counter,
    /// Submissions that were durable before.
    pub repeated: Counter,
    /// Submissions that were not taken, by reason.
    pub refused: Tally<Refusal>,
    /// Submissions of these that a bound held back, by what there is too much of.
    pub held_back: Tally<Bound>,
    /// Single recipients that were refused.
    pub recipients_refused: Counter,
    /// Ciphertext bytes accepted.
    pub submitted_bytes: Counter,
    /// Envelopes handed out whole.
    pub delivered: Counter,
    /// Envelopes that could not be read, or sent to their end.
    pub undelivered: Counter,
    /// Ciphertext bytes handed out.
    pub delivered_bytes: Counter,
    /// Statements kept for their authors, by kind.
    pub receipts_kept: Tally<ReceiptKind>,
    /// Receipts sent to authors.
    pub receipts_sent: Counter,
    /// Statements without ground, or not signed by their device.
    pub statements_refused: Counter,
    /// What the queue could not do.
    pub troubles: Tally<Trouble>,
    /// Sessions greeted.
    pub sessions_opened: Counter,
    /// Connections of admitted devices that we ended, by reason.
    pub sessions_ended: Tally<Close>,
    /// Connections of admitted devices that ended without us.
    pub sessions_left: Counter,
    /// Callers that did not become a session, by reason.
    pub turned_away: Tally<Turned>,
    /// Callers that had to prove their address first.
    pub retried: Counter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_for_papers_has_a_counter() {
        let metrics = Metrics::default();
        for close in [Close::BadIdentity, Close::CertificateExpired, Close::NotEnrolled, Close::Revoked] {
            metrics.turned_away.of(Turned::Papers(close)).one();
        }
        let counted: u64 = metrics.turned_away.counts().map(|(_, count)| count).sum();
        assert_eq!(counted, 4);
    }

    #[test]
    fn no_two_words_of_a_set_are_written_alike() {
        fn words<W: Word>() -> usize {
            let words: std::collections::BTreeSet<_> = W::ALL.iter().map(|word| word.word()).collect();
            assert_eq!(words.len(), W::ALL.len(), "{words:?}");
            words.len()
        }
        assert_eq!(words::<Refusal>() + words::<ReceiptKind>() + words::<Trouble>(), 11 + 7 + 3);
        assert_eq!(words::<Close>() + words::<Turned>() + words::<Bound>(), 11 + 8 + 3);
    }
}
