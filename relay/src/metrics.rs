//! What the relay counts while it works. Labels are words of closed sets, so their number is known and none can be a
//! name, an id or a pair of parties. Counting never waits and never decides anything.

use std::sync::atomic::{AtomicU64, Ordering};

use valise_proto::kinds::ReceiptKind;
use valise_proto::refusal::Refusal;
use valise_proto::session::Close;

use crate::queue::QueueError;

pub mod text;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A closed set of words that may stand in a label.
pub trait Word: Copy + PartialEq + 'static {
    /// All of them.
    const ALL: &'static [Self];
    /// As it is written.
    fn word(self) -> &'static str;
}

/// A counter for each word of a set.
#[derive(Debug)]
pub struct Tally<W>(Vec<(W, Counter)>);

impl<W: Word> Default for Tally<W> {
    fn default() -> Self {
        Self(W::ALL.iter().map(|word| (*word, Counter::default())).collect())
    }
}

impl<W: Word> Tally<W> {
    /// The counter of one word.
    pub fn of(&self, word: W) -> &Counter {
        let found = self.0.iter().find(|(known, _)| *known == word);
        &found.expect("invariant: a set lists each of its words").1
    }

    fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(word, counter)| (word.word(), counter.count()))
    }
}

/// How often a measure fell below each of some bounds.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds, ascending; what is above the last is in `all` alone.
    bounds: &'static [u64],
    below: Vec<Counter>,
    all: Counter,
    sum: Counter,
}

impl Histogram {
    fn new(bounds: &'static [u64]) -> Self {
        let below = bounds.iter().map(|_| Counter::default()).collect();
        Self { bounds, below, all: Counter::default(), sum: Counter::default() }
    }

    fn note(&self, measure: u64) {
        if let Some(at) = self.bounds.iter().position(|bound| measure <= *bound) {
            self.below[at].one();
        }
        self.sum.add(measure);
        self.all.one();
    }
}

/// Bounds of a commit's time, microseconds: from a fast disk to one in trouble.
const COMMIT_MICROS: &[u64] = &[
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];
/// Bounds of a commit's size, operations.
const COMMIT_OPERATIONS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];

/// What a queue's commits took.
#[derive(Debug)]
pub struct Commits {
    operations: Histogram,
    micros: Histogram,
}

impl Default for Commits {
    fn default() -> Self {
        Self { operations: Histogram::new(COMMIT_OPERATIONS), micros: Histogram::new(COMMIT_MICROS) }
    }
}

impl Commits {
    /// A group of so many operations was committed, in this time.
    pub fn note(&self, operations: usize, took: std::time::Duration) {
        self.operations.note(operations as u64);
        self.micros.note(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}

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

/// Everything counted.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Submissions that became durable.
    pub accepted: Counter,
    /// Submissions that were durable before.
    pub repeated: Counter,
    /// Submissions that were not taken, by reason.
    pub refused: Tally<Refusal>,
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
        assert_eq!(words::<Refusal>() + words::<ReceiptKind>() + words::<Trouble>(), 10 + 7 + 3);
        assert_eq!(words::<Close>() + words::<Turned>(), 11 + 8);
    }

    #[test]
    fn a_measure_counts_below_its_bound_and_above_the_last_in_the_whole_alone() {
        let histogram = Histogram::new(&[1, 4]);
        [0, 1, 2, 9].into_iter().for_each(|measure| histogram.note(measure));
        let below: Vec<_> = histogram.below.iter().map(Counter::count).collect();
        assert_eq!((below, histogram.all.count(), histogram.sum.count()), (vec![2, 1], 4, 12));
    }
}
