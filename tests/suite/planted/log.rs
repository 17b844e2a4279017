//! The faults of the log that the power cuts must find.

use valise_host::planted::Planted;
use valise_lab::queue::grounds::Log;
use valise_lab::torture::power_cut::{explain, of_seed};

/// Drawn runs in which each is found.
const SEEDS: u64 = 400;

fn is_found(fault: Planted) {
    let ground = Log::default();
    let found = fault.while_in(|| (0..SEEDS).find_map(|seed| Some(seed).zip(of_seed(&ground, seed))));
    let Some((seed, finding)) = found else { panic!("{SEEDS} runs do not find {fault:?}") };
    assert_eq!(of_seed(&ground, seed), None, "without the fault the run of that seed is good");
    println!("{fault:?} is found by seed {seed}: {finding}");
    let told = fault.while_in(|| explain(&ground, seed));
    told.iter().take_while(|line| !line.starts_with("--")).for_each(|line| println!("    {line}"));
}

#[test]
fn an_acknowledgement_before_the_sync_is_found() {
    is_found(Planted::AcknowledgeBeforeSync);
}

#[test]
fn a_second_try_of_a_sync_that_failed_is_found() {
    is_found(Planted::SyncRetried);
}

#[test]
fn a_nonce_that_seals_twice_is_found() {
    is_found(Planted::NonceReused);
}

#[test]
fn a_side_car_that_is_believed_unchecked_is_found() {
    is_found(Planted::SideCarUnchecked);
}
