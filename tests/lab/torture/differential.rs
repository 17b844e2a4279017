//! The log beside SQLite: one sequence of operations on both, and every answer and all that can be seen must be the same.
//!
//! SQLite is the oracle; the reference of `queue::world` judges both besides. Nothing fails here: faults are
//! `power_cut`'s.

use std::time::Instant;

use anyhow::Result;

use super::Options;
use super::findings::{Tally, guarded, spread};
use super::power_cut::run::Counts;
use super::table::{Figure, Table};
use crate::disk::FaultyDisk;
use crate::queue::Ground;
use crate::queue::ask::{Answer, Ask, put};
use crate::queue::grounds::{Log, Sqlite};
use crate::queue::script::{Measure, Op, Script};
use crate::queue::sight::{Finding, Sight, Wrong};
use crate::queue::world::World;
use crate::sim::chance::Chance;
use crate::sim::ops::shrink;
use crate::voice::Voice;

/// Sequences when no number is given.
const RUNS: u64 = 10_000;
/// Sequences between two lines that say how far it is.
const TELL_EVERY: u64 = 2_000;
/// Runs at most spent on making a failing sequence smaller.
const SHRINK_RUNS: usize = 300;

/// One backend under way, and what it must hold.
struct Side<'a, G: Ground> {
    ground: &'a G,
    disk: FaultyDisk,
    queue: Option<G::Queue>,
    world: World,
    opened: u64,
}

impl<'a, G: Ground> Side<'a, G> {
    fn new(ground: &'a G, seed: u64) -> Self {
        Self { ground, disk: FaultyDisk::new(seed), queue: None, world: World::default(), opened: seed }
    }

    fn open(&mut self) -> Result<&G::Queue, Finding> {
        if self.queue.is_none() {
            self.opened = self.opened.wrapping_add(1);
            let opened = self.ground.open(&self.disk, self.opened);
            let unreadable =
                |fault: valise_host::ledger::StoreError| Finding::new(Wrong::Unreadable, fault.to_string());
            self.queue = Some(opened.map_err(unreadable)?);
        }
        Ok(self.queue.as_ref().expect("invariant: opened above"))
    }

    fn close(&mut self) {
        self.queue.take().into_iter().for_each(|queue| self.ground.close(queue));
    }

    /// The answer, which the reference must give too.
    fn put(&mut self, ask: &Ask) -> Result<Answer, Finding> {
        let answer =
            put(self.open()?, ask).map_err(|fault| Finding::new(Wrong::Answer, fault.to_string()))?;
        let expected = self.world.apply(ask, Some(&answer));
        if answer == expected {
            return Ok(answer);
        }
        Err(Finding::new(Wrong::Answer, format!("{ask:?} was answered by {answer:?}, not by {expected:?}")))
    }

    fn look(&mut self) -> Result<Sight, Finding> {
        let sight = Sight::take(self.open()?);
        let sight = sight.map_err(|fault| Finding::new(Wrong::Unreadable, fault.to_string()))?;
        match sight.judge(&mut self.world) {
            None => Ok(sight),
            Some(finding) => Err(finding),
        }
    }
}

fn named<T>(who: &str, done: Result<T, Finding>) -> Result<T, Finding> {
    done.map_err(|finding| Finding { what: format!("{who}: {}", finding.what), ..finding })
}

/// Plays operations on both.
fn side_by_side(script: &Script, ops: &[Op], counts: &mut Counts) -> Result<(), Finding> {
    let unmade = |fault: std::io::Error| Finding::new(Wrong::Unreadable, format!("no directory: {fault}"));
    let sqlite = Sqlite::new(&format!("differential-{}", script.seed)).map_err(unmade)?;
    let log = Log::default();
    let (mut oracle, mut tried) = (Side::new(&sqlite, script.seed), Side::new(&log, script.seed));
    for op in ops {
        let Some(ask) = Ask::of(script, op, &oracle.world) else {
            oracle.close();
            tried.close();
            counts.closed += 1;
            continue;
        };
        let expected = named("SQLite", oracle.put(&ask))?.claims();
        let answer = named("the log", tried.put(&ask))?.claims();
        counts.acknowledged += 1;
        counts.accepted += u64::from(matches!(answer, Answer::Stored { fresh: true, .. }));
        if answer != expected {
            let what = format!("{ask:?}: the log says {answer:?}, SQLite {expected:?}");
            return Err(Finding::new(Wrong::Answer, what));
        }
    }
    for _ in 0..2 {
        let (expected, seen) = (named("SQLite", oracle.look())?, named("the log", tried.look())?);
        if expected.depth() != seen.depth() {
            let what = format!("the log has {:?}, SQLite {:?}", seen.depth(), expected.depth());
            return Err(Finding::new(Wrong::Changed, what));
        }
        oracle.close();
        tried.close();
    }
    Ok(())
}

fn drawn(seed: u64) -> Script {
    let mut chance = Chance::of(seed, "differential", 0);
    let measure = Measure {
        letters: 4 + chance.index(16),
        large_percent: chance.pick(&[0, 0, 10]),
        segments_max: 3,
        sweeps: true,
    };
    Script::draw(seed, measure)
}

/// Plays the sequences of these seeds.
pub fn play_all(seeds: std::ops::Range<u64>, until: Option<Instant>) -> Tally {
    spread(seeds, until, |seed| {
        let script = drawn(seed);
        let (mut tally, mut counts) = (Tally::default(), Counts::default());
        let found = guarded(|| side_by_side(&script, &script.ops, &mut counts));
        tally.add(seed, &counts, found);
        tally
    })
}

/// A sequence that found something, made small and told.
pub fn explain(seed: u64) -> Vec<String> {
    let script = drawn(seed);
    let play = |ops: &[Op]| guarded(|| side_by_side(&script, ops, &mut Counts::default()));
    let ops = shrink(&script.ops, SHRINK_RUNS, |ops| play(ops).is_some());
    let mut told = vec![format!("differential: seed {seed}, {} operations", ops.len())];
    told.extend(script.told(&ops));
    told.push(play(&ops).map_or_else(|| "nothing is wrong".to_owned(), |finding| finding.to_string()));
    told
}

/// The whole of it.
pub(super) fn play(options: &Options, voice: &Voice) -> Result<Table> {
    let mut table = Table::default();
    if options.numbers.contains_key("tell") {
        explain(options.seed).iter().for_each(|line| voice.say(line));
        return Ok(table);
    }
    let until = options.limit.map(|limit| Instant::now() + limit);
    let end = options.seed.saturating_add(options.number("runs", RUNS));
    let (mut total, mut next) = (Tally::default(), options.seed);
    while next < end && until.is_none_or(|until| Instant::now() < until) {
        let some = next..end.min(next.saturating_add(TELL_EVERY));
        next = some.end;
        total.merge(play_all(some, until));
        voice.say(&format!("torture differential: {} sequences, {} differ", total.runs, total.found.len()));
    }
    if let Some((seed, _)) = total.found.first() {
        explain(*seed).iter().for_each(|line| voice.say(line));
    }
    let seeds: Vec<u64> = total.found.iter().map(|(seed, _)| *seed).take(12).collect();
    table.figure("runs", "sequences of operations", Figure::Count(total.runs));
    table.figure("operations", "operations answered by both", Figure::Count(total.counts.acknowledged));
    table.figure("accepted", "letters accepted by both", Figure::Count(total.counts.accepted));
    table.figure("reopened", "closed and opened again", Figure::Count(total.counts.closed));
    let what = if seeds.is_empty() {
        "sequences that differ".to_owned()
    } else {
        format!("differ: seeds {seeds:?}")
    };
    table.bar("differ", what, Figure::Count(total.found.len() as u64), "0", total.found.is_empty());
    Ok(table)
}
