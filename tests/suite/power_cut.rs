//! The queue on a disk that loses, tears, fails and fills up: the power cut at every file call of a short script, and
//! at drawn calls of some hundred others. `cargo torture power-cut` is the long form.
//!
//! `VALISE_SEED` plays one drawn run, makes it small if it fails, and tells it.

use std::time::Instant;

use valise_lab::queue::grounds::{Log, Sqlite};
use valise_lab::queue::script::{Measure, Script};
use valise_lab::torture::power_cut::run::Run;
use valise_lab::torture::power_cut::{at_every_call, at_random, calls_of, explain};

/// The script that is cut at every call.
const SCRIPT: u64 = 20;
/// Its letters.
const LETTERS: usize = 40;
/// At each call the power is cut with nothing kept that was not synced, and with half of it; and the process alone is
/// ended.
const WAYS: usize = 3;
/// Drawn runs. `cargo torture power-cut --seed 300` goes on where these end.
const RUNS: u64 = 300;

#[test]
fn the_reference_answers_as_sqlite_does() {
    for seed in 0..20 {
        let ground = Sqlite::new(&format!("reference-{seed}")).unwrap();
        let script = Script::draw(seed, Measure { letters: 20, sweeps: true, ..Measure::default() });
        let mut run = Run::new(&ground, &script, &script.ops, Vec::new(), true);
        if let Err(finding) = run.play_on() {
            panic!("seed {seed}\n{}\n{finding}", run.story.join("\n"));
        }
        assert!(run.counts.acknowledged > 20 && run.counts.closed > 1, "{:?}", run.counts);
    }
}

#[test]
fn a_cut_at_every_file_call_loses_nothing_that_was_acknowledged() {
    let begun = Instant::now();
    let script = Script::draw(SCRIPT, Measure { letters: LETTERS, ..Measure::default() });
    let ground = Log::default();
    let calls = calls_of(&ground, &script).unwrap();
    let tally = at_every_call(&ground, &script, 0..calls, WAYS, None);
    println!("power cut at each of {calls} calls: {tally}; {:.1} s", begun.elapsed().as_secs_f64());
    assert!(tally.found.is_empty(), "{:#?}", tally.found);
    assert!(calls > 500 && tally.runs == WAYS as u64 * calls, "each of {calls} calls is cut at in each way");
    let counts = tally.counts;
    assert!(
        counts.done > 100 && counts.undone > 100,
        "what was under way is found done, and not: {counts:?}"
    );
}

#[test]
fn drawn_faults_of_the_disk_lose_nothing_that_was_acknowledged() {
    let begun = Instant::now();
    let one = std::env::var("VALISE_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = one.map_or(0..RUNS, |seed| seed..seed + 1);
    let tally = at_random(&Log::default(), seeds, None);
    println!("power cut: {tally}; {:.1} s", begun.elapsed().as_secs_f64());
    if let Some((seed, _)) = tally.found.first() {
        println!("VALISE_SEED={seed} replays the first\n{}", explain(&Log::default(), *seed).join("\n"));
    }
    assert!(tally.found.is_empty(), "{:#?}", tally.found);
    let counts = tally.counts;
    assert!(
        one.is_some() || counts.errors > 100 && counts.refused > 10 && counts.failures > 10,
        "{counts:?}"
    );
}
