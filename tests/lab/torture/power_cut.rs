//! Power cuts: the machine stops at every file call of one script, and at drawn calls of many, with disks that fail,
//! fill up and answer in part besides. What was acknowledged is there at the next start, wholly and once.
//!
//! Rooms: [`run`] one run and its judge · [`draw`] what a run is to be.

use std::ops::Range;
use std::time::Instant;

use anyhow::Result;

use super::Options;
use super::findings::{Tally, guarded, spread};
use super::table::{Figure, Table};
use crate::disk::Plan;
use crate::queue::Ground;
use crate::queue::grounds::Log;
use crate::queue::script::{Measure, Op, Script};
use crate::queue::sight::{Finding, Wrong};
use crate::sim::ops::shrink;
use crate::voice::Voice;
use draw::drawn;
use run::{Counts, Life, Run};

pub mod draw;
pub mod run;

/// Drawn runs when no number is given.
const RUNS: u64 = 50_000;
/// Letters of the script that is cut at every call.
const LETTERS: u64 = 300;
/// Operations of the script that are still played after a cut.
const AFTER_CUT: usize = 12;
/// Runs between two lines that say how far it is.
const TELL_EVERY: u64 = 10_000;
/// Runs at most spent on making a failing run smaller.
const SHRINK_RUNS: usize = 2_000;
/// Findings that are told one by one.
const TOLD_MAX: usize = 12;

/// File calls of a script on a sound machine.
///
/// # Errors
/// What the queue did wrong, without any fault.
pub fn calls_of<G: Ground>(ground: &G, script: &Script) -> Result<u64, Finding> {
    let mut run = Run::new(ground, script, &script.ops, Vec::new(), false);
    run.play()?;
    Ok(run.calls())
}

/// Stops the machine at each of these file calls, in so many ways. Findings are named by their call.
pub fn at_every_call<G: Ground>(
    ground: &G,
    script: &Script,
    calls: Range<u64>,
    ways: usize,
    until: Option<Instant>,
) -> Tally {
    spread(calls, until, |call| {
        let mut tally = Tally::default();
        at_call(ground, script, call, ways, false, |run, found| {
            tally.add(call, &run.counts, found);
        });
        tally
    })
}

fn at_call<'a, G: Ground>(
    ground: &'a G,
    script: &'a Script,
    call: u64,
    ways: usize,
    tell: bool,
    mut ended: impl FnMut(&Run<'a, G>, Option<Finding>),
) {
    let all = draw::ways(script.seed.wrapping_add(call));
    let life = Life { plan: Plan { stop_at: Some(call), ..Plan::default() }, refusals: 0, end: all[0] };
    let mut run = Run::new(ground, script, &script.ops, vec![life], tell);
    if let Some(found) = guarded(|| run.play()) {
        return ended(&run, Some(found));
    }
    for end in all.into_iter().take(ways) {
        let mut branch = run.branch(end, AFTER_CUT);
        let found = guarded(|| {
            branch.end_life();
            branch.play_on()
        });
        ended(&branch, found);
    }
}

/// Plays the drawn runs of these seeds.
pub fn at_random<G: Ground>(ground: &G, seeds: Range<u64>, until: Option<Instant>) -> Tally {
    spread(seeds, until, |seed| {
        let (script, lives) = drawn(seed);
        let mut tally = Tally::default();
        let (counts, found, _) = one(ground, &script, &script.ops, &lives, false);
        tally.add(seed, &counts, found);
        tally
    })
}

fn one<G: Ground>(
    ground: &G,
    script: &Script,
    ops: &[Op],
    lives: &[Life],
    tell: bool,
) -> (Counts, Option<Finding>, Vec<String>) {
    let mut run = Run::new(ground, script, ops, lives.to_vec(), tell);
    let found = guarded(|| run.play_on());
    (run.counts, found, run.story)
}

/// Plays the drawn run of a seed on this thread.
pub fn of_seed<G: Ground>(ground: &G, seed: u64) -> Option<Finding> {
    let (script, lives) = drawn(seed);
    one(ground, &script, &script.ops, &lives, false).1
}

/// A drawn run that found something, made small and told.
pub fn explain<G: Ground>(ground: &G, seed: u64) -> Vec<String> {
    let (script, lives) = drawn(seed);
    let fails = |ops: &[Op], lives: &[Life]| one(ground, &script, ops, lives, false).1.is_some();
    let mut ops = shrink(&script.ops, SHRINK_RUNS, |ops| fails(ops, &lives));
    let lives = shrink(&lives, SHRINK_RUNS, |lives| fails(&ops, lives));
    ops = shrink(&ops, SHRINK_RUNS, |ops| fails(ops, &lives));
    let (_, found, story) = one(ground, &script, &ops, &lives, true);
    let mut told = vec![format!("power-cut: seed {seed}, {} operations, {} lives", ops.len(), lives.len())];
    told.extend(script.told(&ops));
    told.extend(story);
    told.extend(found.map(|found| found.to_string()));
    told
}

/// The whole of it.
pub(super) fn play(options: &Options, voice: &Voice) -> Result<Table> {
    let until = options.limit.map(|limit| Instant::now() + limit);
    let ground = Log::default();
    let letters = usize::try_from(options.number("letters", LETTERS)).unwrap_or(usize::MAX);
    let script = Script::draw(options.seed, Measure { letters, ..Measure::default() });
    if options.numbers.contains_key("tell") {
        explain(&ground, options.seed).iter().for_each(|line| voice.say(line));
        return Ok(Table::default());
    }
    if let Some(call) = options.numbers.get("call") {
        at_call(&ground, &script, *call, usize::MAX, true, |run, found| {
            if let Some(found) = found {
                run.story.iter().for_each(|line| voice.say(line));
                voice.say(&found.to_string());
            }
        });
        return Ok(Table::default());
    }
    let calls = calls_of(&ground, &script).map_err(|found| anyhow::anyhow!("without any fault: {found}"))?;
    let begun = Instant::now();
    let every = at_every_call(&ground, &script, 0..calls, usize::MAX, until);
    voice.say(&format!(
        "torture power-cut: at each of {calls} calls: {every} ({:.0} s)",
        begun.elapsed().as_secs_f64()
    ));
    let end = options.seed.saturating_add(options.number("runs", RUNS));
    let (mut random, mut next) = (Tally::default(), options.seed);
    while next < end && until.is_none_or(|until| Instant::now() < until) {
        let some = next..end.min(next.saturating_add(TELL_EVERY));
        next = some.end;
        random.merge(at_random(&ground, some, until));
        voice.say(&format!("torture power-cut: {random} ({:.0} s)", begun.elapsed().as_secs_f64()));
    }
    for (call, found) in every.found.iter().take(TOLD_MAX) {
        voice.say(&format!("at call {call}: {found}"));
    }
    for (seed, found) in random.found.iter().take(TOLD_MAX) {
        voice.say(&format!("seed {seed}: {found}"));
    }
    Ok(table(calls, every, random))
}

fn table(calls: u64, every: Tally, random: Tally) -> Table {
    let mut table = Table::default();
    table.figure("calls", "file calls of the script, each cut at", Figure::Count(calls));
    table.figure("cuts_of_script", "stops of the script, each call in each way", Figure::Count(every.runs));
    table.figure("runs", "drawn runs", Figure::Count(random.runs));
    let mut total = every;
    total.found.iter_mut().for_each(|(name, _)| *name = u64::MAX - *name);
    let drawn: Vec<u64> = random.found.iter().map(|(seed, _)| *seed).take(TOLD_MAX).collect();
    total.merge(random);
    let counts = total.counts;
    table.figure("power_cuts", "power cuts", Figure::Count(counts.cuts));
    table.figure("kills", "ends of the process alone", Figure::Count(counts.kills));
    table.figure("errors", "errors of the disk", Figure::Count(counts.errors));
    table.figure("failures", "queues that failed and were started again", Figure::Count(counts.failures));
    table.figure("refused", "operations refused on a full disk", Figure::Count(counts.refused));
    table.figure("closed", "closed in good order", Figure::Count(counts.closed));
    table.figure("file_calls", "file calls", Figure::Count(counts.calls));
    table.figure("accepted", "letters accepted", Figure::Count(counts.accepted));
    table.figure("acknowledged", "operations acknowledged", Figure::Count(counts.acknowledged));
    table.figure("sealed", "records sealed, their nonces compared", Figure::Count(counts.sealed));
    table.figure("done", "under way at a stop and found done", Figure::Count(counts.done));
    table.figure("undone", "under way at a stop and found not done", Figure::Count(counts.undone));
    let mut bar = |key, what: &str, count| table.bar(key, what, Figure::Count(count), "0", count == 0);
    bar("lost", "acknowledged and lost", total.of(Wrong::Lost));
    bar("back", "ended, or never taken, and there", total.of(Wrong::Back));
    bar("changed", "other than it was", total.of(Wrong::Changed));
    bar("unreadable", "unreadable stores", total.of(Wrong::Unreadable));
    bar("answers", "wrong answers", total.of(Wrong::Answer));
    bar("nonces", "nonces used twice", total.of(Wrong::Nonce));
    bar("panics", "panics", total.of(Wrong::Panic));
    let what = if drawn.is_empty() {
        "drawn runs that found something".to_owned()
    } else {
        format!("seeds {drawn:?}")
    };
    table.figure("seeds", what, Figure::Count(drawn.len() as u64));
    table
}
