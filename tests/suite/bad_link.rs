//! A mission behind a satellite of 600 ms, 1 Mbit/s and losses, cut again and again, seen from ever new addresses: a
//! bad link only slows it. Time is the run's own.

use valise_lab::sim::federation::Federation;
use valise_lab::sim::link::{Hop, Way};
use valise_lab::sim::ops::{Op, send};
use valise_lab::sim::run::{Told, play};
use valise_proto::kinds::Precedence;

const PARTIES: [&str; 3] = ["fr", "br", "minustah"];
/// Chances under which each story is told.
const SEEDS: u64 = 12;

fn told(name: &str, ops: &[Op]) -> String {
    let federation = Federation::new(&PARTIES).unwrap();
    let mut longest = 0.0_f64;
    for seed in 0..SEEDS {
        let outcome = play(&federation, &PARTIES, seed, ops);
        assert!(outcome.is_good(), "{}", Told { seed, ops, outcome: &outcome });
        longest = longest.max(outcome.elapsed.as_secs_f64());
    }
    format!("{name}: {SEEDS} times, 0 lost, 0 doubled, all over within {longest:.0} s")
}

#[test]
fn a_narrow_lossy_link_loses_nothing() {
    let link = vec![Hop::Rate(1_000_000), Hop::Delay(300), Hop::Jitter(40), Hop::Loss(100)];
    let ops = [
        Op::Link("minustah", link),
        send("minustah", &["fr"], 200_000, Precedence::Routine),
        send("minustah", &["fr", "br"], 300, Precedence::Flash),
        send("fr", &["minustah"], 200_000, Precedence::Deferred),
        send("br", &["minustah"], 300, Precedence::Flash),
        Op::Wait(20_000),
        Op::Read("minustah"),
        Op::Acknowledge("fr"),
    ];
    println!("{}", told("one in ten lost", &ops));
}

#[test]
fn a_link_that_is_cut_again_and_again_loses_nothing() {
    let mut ops = Vec::new();
    for _ in 0..4 {
        ops.push(send("minustah", &["fr"], 30_000, Precedence::Immediate));
        ops.push(send("fr", &["minustah"], 30_000, Precedence::Immediate));
        ops.push(Op::Wait(1_000));
        ops.push(Op::Outage("minustah", 15_000));
        ops.push(Op::Wait(17_000));
    }
    println!("{}", told("15 s of outage, four times", &ops));
}

#[test]
fn a_link_that_is_cut_one_way_loses_nothing() {
    let mut ops = Vec::new();
    for way in [Way::Up, Way::Down, Way::Up, Way::Down] {
        ops.push(send("minustah", &["br"], 2_000, Precedence::Priority));
        ops.push(send("br", &["minustah"], 2_000, Precedence::Priority));
        ops.push(Op::Cut("minustah", way, 8_000));
        ops.push(Op::Cut("br", way, 1_500));
        ops.push(Op::Wait(10_000));
    }
    println!("{}", told("cut one way", &ops));
}

#[test]
fn a_device_that_comes_from_ever_new_addresses_loses_nothing() {
    let mut ops = vec![send("minustah", &["fr"], 200_000, Precedence::Routine)];
    for _ in 0..6 {
        ops.push(Op::Move("minustah"));
        ops.push(send("fr", &["minustah"], 2_000, Precedence::Priority));
        ops.push(Op::Wait(700));
        ops.push(Op::Move("fr"));
    }
    println!("{}", told("seven addresses", &ops));
}
