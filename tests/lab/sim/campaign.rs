//! Many runs, one after another on each core: what they did together, and the first that failed, made small and told.

use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::federation::Federation;
use super::machine::locked;
use super::ops::{Op, draw, shrink};
use super::run::{Outcome, PARTIES, Told, play, play_seed, tell};

/// Runs at most spent on making a failing run smaller; a run that hangs costs most.
pub const SHRINK_RUNS: usize = 150;
/// Threads at most: a run is one thread, and more than the cores of a small server gain nothing here.
const THREADS_MAX: usize = 8;

/// What all runs did together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Runs.
    pub runs: u64,
    /// Messages that operators were answered for.
    pub messages: u64,
    /// Copies due at recipients.
    pub deliveries: u64,
    /// Never delivered.
    pub lost: u64,
    /// Delivered more than once.
    pub doubled: u64,
    /// Programs killed.
    pub kills: u64,
    /// Of these, at a commit of their store.
    pub at_commits: u64,
    /// Links cut.
    pub cuts: u64,
    /// Damaged stores that were refused.
    pub refused_stores: u64,
    /// Datagrams sent.
    pub datagrams: u64,
    /// Time of the runs.
    pub elapsed: Duration,
    /// Runs that found something.
    pub failed: u64,
}

impl Tally {
    /// Adds a run.
    pub fn add(&mut self, outcome: &Outcome) {
        self.merge(&Self {
            runs: 1,
            messages: outcome.messages,
            deliveries: outcome.deliveries,
            lost: outcome.lost,
            doubled: outcome.doubled,
            kills: outcome.counts.kills,
            at_commits: outcome.counts.at_commits,
            cuts: outcome.counts.cuts,
            refused_stores: outcome.counts.refused_stores,
            datagrams: outcome.trace.sent,
            elapsed: outcome.elapsed,
            failed: u64::from(!outcome.is_good()),
        });
    }

    /// Adds the runs of another.
    pub fn merge(&mut self, other: &Self) {
        self.runs += other.runs;
        self.messages += other.messages;
        self.deliveries += other.deliveries;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.kills += other.kills;
        self.at_commits += other.at_commits;
        self.cuts += other.cuts;
        self.refused_stores += other.refused_stores;
        self.datagrams += other.datagrams;
        self.elapsed += other.elapsed;
        self.failed += other.failed;
    }

    /// Hours of the runs' own time.
    pub fn virtual_hours(&self) -> f64 {
        self.elapsed.as_secs_f64() / 3600.0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} runs, {} messages, {} deliveries, {:.1} virtual hours, {} kills ({} at a commit), {} cuts, {} damaged \
             stores refused, {} datagrams: {} lost, {} doubled, {} runs failed",
            self.runs,
            self.messages,
            self.deliveries,
            self.virtual_hours(),
            self.kills,
            self.at_commits,
            self.cuts,
            self.refused_stores,
            self.datagrams,
            self.lost,
            self.doubled,
            self.failed
        )
    }
}

/// A run that failed, small.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its seed.
    pub seed: u64,
    /// The operations that are needed.
    pub ops: Vec<Op>,
    /// What came of them.
    pub outcome: Outcome,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Told { seed: self.seed, ops: &self.ops, outcome: &self.outcome }.fmt(f)
    }
}

/// Plays these seeds until `deadline`, on as many threads as there are cores. The seeds of runs that failed come back
/// in order.
pub fn play_all(federation: &Federation, seeds: Range<u64>, deadline: Option<Instant>) -> (Tally, Vec<u64>) {
    let next = AtomicU64::new(seeds.start);
    let (tally, failed) = (Mutex::new(Tally::default()), Mutex::new(Vec::new()));
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || deadline.is_some_and(|at| Instant::now() >= at) {
                        return;
                    }
                    let (_, outcome) = play_seed(federation, seed);
                    locked(&tally).add(&outcome);
                    if !outcome.is_good() {
                        locked(&failed).push(seed);
                    }
                }
            });
        }
    });
    let mut failed = locked(&failed).clone();
    failed.sort_unstable();
    (*locked(&tally), failed)
}

/// Makes a failing seed small with at most so many runs, and tells it.
pub fn explain(federation: &Federation, seed: u64, runs: usize) -> Found {
    let fails = |ops: &[Op]| !play(federation, &PARTIES, seed, ops).is_good();
    let ops = shrink(&draw(seed, &PARTIES), runs, fails);
    let outcome = tell(federation, &PARTIES, seed, &ops);
    Found { seed, ops, outcome }
}
