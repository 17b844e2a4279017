//! The log beside SQLite: the same operations, the same answers, the same to be seen, over closing and opening again.
//! `cargo torture differential` is the long form.

use std::time::Instant;

use valise_lab::torture::differential::{explain, play_all};

/// Sequences. The long form goes on where these end.
const RUNS: u64 = 400;

#[test]
fn the_log_answers_as_sqlite_does() {
    let begun = Instant::now();
    let one = std::env::var("VALISE_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = one.map_or(0..RUNS, |seed| seed..seed + 1);
    let tally = play_all(seeds, None);
    let told = tally.counts.acknowledged;
    println!(
        "differential: {} sequences, {told} operations; {:.1} s",
        tally.runs,
        begun.elapsed().as_secs_f64()
    );
    if let Some((seed, _)) = tally.found.first() {
        println!("VALISE_SEED={seed} replays the first\n{}", explain(*seed).join("\n"));
    }
    assert!(tally.found.is_empty(), "{:#?}", tally.found);
    assert!(one.is_some() || told > 20 * RUNS, "{told} operations are not {RUNS} sequences");
}
