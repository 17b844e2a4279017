//! Numbers that are counted while others work: without a lock, and without a label that is not a word of a closed set.
//!
//! Knows nothing of what is counted but the commits of a queue, which every backend counts alike.

use std::sync::atomic::{AtomicU64, Ordering};

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

    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(word, counter)| (word.word(), counter.count()))
    }
}

/// How often a measure fell below each of some bounds.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds, ascending; what is above the last is in `all` alone.
    pub(crate) bounds: &'static [u64],
    pub(crate) below: Vec<Counter>,
    pub(crate) all: Counter,
    pub(crate) sum: Counter,
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
    pub(crate) operations: Histogram,
    pub(crate) micros: Histogram,
}

impl Default for Commits {
    fn default() -> Self {
        Self { operations: Histogram::new(COMMIT_OPERATIONS), micros: Histogram::new(COMMIT_MICROS) }
    }
}

impl Commits {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.micros.all.count()
    }

    /// A group of so many operations was committed, in this time.
    pub fn note(&self, operations: usize, took: std::time::Duration) {
        self.operations.note(operations as u64);
        self.micros.note(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_counts_below_its_bound_and_above_the_last_in_the_whole_alone() {
        let histogram = Histogram::new(&[1, 4]);
        [0, 1, 2, 9].into_iter().for_each(|measure| histogram.note(measure));
        let below: Vec<_> = histogram.below.iter().map(Counter::count).collect();
        assert_eq!((below, histogram.all.count(), histogram.sum.count()), (vec![2, 1], 4, 12));
    }
}
