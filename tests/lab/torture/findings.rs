//! Many runs of a queue, on as many threads as there are cores, and what they found. Knows nothing of what a run is.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::power_cut::run::Counts;
use crate::queue::sight::{Finding, Wrong};
use crate::sim::machine::locked;

/// Threads at most: more than the cores of a small server gain nothing.
const THREADS_MAX: usize = 8;

/// What many runs came to.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Runs; of an exhaustive one every cut in every way.
    pub runs: u64,
    /// What they did together.
    pub counts: Counts,
    /// Which run found what.
    pub found: Vec<(u64, Finding)>,
}

impl Tally {
    /// Adds one.
    pub fn add(&mut self, name: u64, counts: &Counts, found: Option<Finding>) {
        self.runs += 1;
        self.counts.add(counts);
        self.found.extend(found.map(|found| (name, found)));
    }

    /// Adds the runs of another.
    pub fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.counts.add(&other.counts);
        self.found.extend(other.found);
        self.found.sort_by_key(|(name, _)| *name);
    }

    /// Findings of a kind.
    pub fn of(&self, wrong: Wrong) -> u64 {
        self.found.iter().filter(|(_, found)| found.wrong == wrong).count() as u64
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { acknowledged, cuts, kills, errors, refused, .. } = self.counts;
        write!(
            f,
            "{} runs, {cuts} power cuts, {kills} kills, {errors} errors of the disk, {refused} refusals, {acknowledged} \
             acknowledged: {} lost, {} back again, {} changed, {} unreadable, {} wrong answers, {} nonces used twice, {} panics",
            self.runs,
            self.of(Wrong::Lost),
            self.of(Wrong::Back),
            self.of(Wrong::Changed),
            self.of(Wrong::Unreadable),
            self.of(Wrong::Answer),
            self.of(Wrong::Nonce),
            self.of(Wrong::Panic),
        )
    }
}

/// Plays a run to its end; one that panics has found something too.
pub(super) fn guarded(play: impl FnOnce() -> Result<(), Finding>) -> Option<Finding> {
    match catch_unwind(AssertUnwindSafe(play)) {
        Ok(done) => done.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(Finding::new(Wrong::Panic, text.unwrap_or_default()))
        }
    }
}

/// Does each piece of work of a range, on as many threads as there are cores.
pub(super) fn spread(work: Range<u64>, until: Option<Instant>, each: impl Fn(u64) -> Tally + Sync) -> Tally {
    let (next, total) = (AtomicU64::new(work.start), Mutex::new(Tally::default()));
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= work.end || until.is_some_and(|until| Instant::now() >= until) {
                        return;
                    }
                    let tally = each(at);
                    locked(&total).merge(tally);
                }
            });
        }
    });
    total.into_inner().unwrap_or_default()
}
