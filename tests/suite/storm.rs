//! The short form of `cargo torture kill9`: relay and daemons are killed again and again under load. Nothing is lost,
//! nothing comes twice, both ends agree, and after every restart of the relay traffic flows again within a second.
//! `VALISE_SEED` replays the moments.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use valise_lab::Lab;
use valise_lab::torture::Spread;
use valise_lab::torture::kill9::plan::Victim;
use valise_lab::torture::kill9::{self, Scale, TRAFFIC_LIMIT};

/// The cast of the long form, struck more seldom and in a faster row.
const STORM: Scale = Scale {
    relay: 24,
    each: 4,
    writers: 1,
    pause_ms: 150,
    cradles: 4,
    limit: Duration::from_secs(60),
    ..Scale::FULL
};

#[test]
fn programs_that_are_killed_again_and_again_lose_and_double_nothing() {
    let seed = std::env::var("VALISE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(of_now);
    println!("storm: seed {seed} (VALISE_SEED={seed} replays it)");
    let mut lab = Lab::new(&STORM.cast()).unwrap();
    let outcome = kill9::run(&mut lab, &STORM, seed, &|line| println!("storm: {line}")).unwrap();
    outcome.table(&STORM, false).lines().iter().for_each(|line| println!("storm: {line}"));

    let account = &outcome.account;
    assert_eq!((account.letters, account.wrong()), (outcome.asked, 0), "{account:?} (seed {seed})");
    assert!(account.letters > 100 && account.deliveries > account.letters, "hardly a load: {account:?}");
    assert_eq!((outcome.kills_of(Victim::Relay), outcome.left_out), (STORM.relay, 0), "seed {seed}");
    let slowest = Spread::new(outcome.times.relay_traffic).max();
    assert!(slowest < TRAFFIC_LIMIT, "traffic came back after {slowest:?} (seed {seed})");
}

fn of_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs())
}
