//! The simulator at work: drawn runs, each judged against the reference model.

use valise_lab::sim::federation::Federation;
use valise_lab::sim::ops::shrink;
use valise_lab::sim::run::{PARTIES, Told, play, play_seed, tell};

#[test]
fn drawn_runs_lose_and_double_nothing() {
    let federation = Federation::new(&PARTIES).unwrap();
    let first: u64 = std::env::var("VALISE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let count: u64 = std::env::var("VALISE_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let mut bad = 0;
    for seed in first..first + count {
        let begun = std::time::Instant::now();
        let (ops, outcome) = play_seed(&federation, seed);
        println!(
            "seed {seed}: {} messages, {} ops, {:.1} s virtual, {:.0} ms, {:?}, {}",
            outcome.messages,
            ops.len(),
            outcome.elapsed.as_secs_f64(),
            begun.elapsed().as_secs_f64() * 1e3,
            outcome.counts,
            outcome.trace
        );
        if !outcome.is_good() {
            bad += 1;
            let ops = shrink(&ops, 150, |ops| !play(&federation, &PARTIES, seed, ops).is_good());
            let outcome = tell(&federation, &PARTIES, seed, &ops);
            println!("{}", Told { seed, ops: &ops, outcome: &outcome });
        }
    }
    assert_eq!(bad, 0);
}
