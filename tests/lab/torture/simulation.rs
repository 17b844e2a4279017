//! Drawn runs of the simulator, as many as time allows: what they did together, and a failing one made small and told.

use std::time::Instant;

use anyhow::Result;

use super::Options;
use super::table::{Figure, Table};
use crate::sim::campaign::{SHRINK_RUNS, Tally, explain, play_all};
use crate::sim::federation::Federation;
use crate::sim::ops::draw;
use crate::sim::run::{PARTIES, play_seed, tell};
use crate::voice::Voice;

/// Runs when neither a number nor a time is given.
const RUNS: u64 = 1_000;
/// Runs between two lines that say how far it is.
const TELL_EVERY: u64 = 500;

/// Plays seeds one after another from the first.
pub(super) fn play(options: &Options, voice: &Voice) -> Result<Table> {
    let federation = Federation::new(&PARTIES)?;
    let traces = options.number("traces", 0);
    if traces > 0 {
        return Ok(tell_traces(&federation, options.seed, traces, voice));
    }
    if options.number("tell", 0) > 0 {
        let outcome = tell(&federation, &PARTIES, options.seed, &draw(options.seed, &PARTIES));
        outcome.story.iter().chain(&outcome.faults).for_each(|line| voice.say(line));
        let mut total = Tally::default();
        total.add(&outcome);
        let failed = if outcome.is_good() { Vec::new() } else { vec![options.seed] };
        return Ok(table(options.seed, &total, &failed));
    }
    let deadline = options.limit.map(|limit| Instant::now() + limit);
    let most = options.number("runs", if deadline.is_some() { u64::MAX - options.seed } else { RUNS });
    let end = options.seed.saturating_add(most);
    let (mut total, mut failed, mut next) = (Tally::default(), Vec::new(), options.seed);
    while next < end && deadline.is_none_or(|at| Instant::now() < at) {
        let batch = next..end.min(next.saturating_add(TELL_EVERY));
        next = batch.end;
        let (tally, found) = play_all(&federation, batch, deadline);
        total.merge(&tally);
        failed.extend(found);
        voice.say(&format!("torture simulation: {total}"));
    }
    if let Some(seed) = failed.first() {
        voice.say(&explain(&federation, *seed, SHRINK_RUNS).to_string());
    }
    Ok(table(options.seed, &total, &failed))
}

/// The trace of each seed, a line each: two processes must say the same.
fn tell_traces(federation: &Federation, first: u64, count: u64, voice: &Voice) -> Table {
    for seed in first..first.saturating_add(count) {
        let (_, outcome) = play_seed(federation, seed);
        voice.say(&format!("trace {seed} {} {} ms", outcome.trace, outcome.elapsed.as_millis()));
    }
    let mut table = Table::default();
    table.figure("traces", "traces told", Figure::Count(count));
    table
}

fn table(first: u64, total: &Tally, failed: &[u64]) -> Table {
    let mut table = Table::default();
    let seeds = format!("runs, seeds {first} to {}", first + total.runs.saturating_sub(1));
    table.figure("runs", seeds, Figure::Count(total.runs));
    table.figure("messages", "messages", Figure::Count(total.messages));
    table.figure("deliveries", "deliveries due", Figure::Count(total.deliveries));
    table.figure("virtual_hours", "virtual time", Figure::Amount(total.virtual_hours(), "h"));
    table.figure("kills", "kills", Figure::Count(total.kills));
    table.figure("kills_at_commits", "of these, at a commit of the store", Figure::Count(total.at_commits));
    table.figure("cuts", "cuts of a link", Figure::Count(total.cuts));
    table.figure("refused_stores", "damaged stores refused", Figure::Count(total.refused_stores));
    table.figure("datagrams", "datagrams", Figure::Count(total.datagrams));
    table.bar("lost", "lost", Figure::Count(total.lost), "0", total.lost == 0);
    table.bar("doubled", "doubled", Figure::Count(total.doubled), "0", total.doubled == 0);
    let what = match failed {
        [] => "runs that found something".to_owned(),
        some => format!("runs that found something: seeds {some:?}"),
    };
    table.bar("failed", what, Figure::Count(failed.len() as u64), "0", failed.is_empty());
    table
}
