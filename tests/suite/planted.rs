//! The tests tested: each planted fault breaks one promise, and the drawn runs of the suite must find it. Built with
//! the feature `planted` alone; `cargo verify` does.

use valise_host::planted::Planted;
use valise_lab::sim::campaign::explain;
use valise_lab::sim::federation::Federation;
use valise_lab::sim::run::{PARTIES, play_seed};

use super::simulation::SEEDS;

mod log;

/// Runs spent on making what was found smaller: it is shown, and need not be smallest.
const SMALLER_RUNS: usize = 25;

fn is_found(fault: Planted) -> String {
    let federation = Federation::new(&PARTIES).unwrap();
    let found = fault.while_in(|| (0..SEEDS).find(|seed| !play_seed(&federation, *seed).1.is_good()));
    let Some(seed) = found else { panic!("{SEEDS} seeds do not find {fault:?}") };
    let told = fault.while_in(|| explain(&federation, seed, SMALLER_RUNS));
    assert!(play_seed(&federation, seed).1.is_good(), "without the fault the run of that seed is good");
    let mut lines = vec![format!("{fault:?} is found by seed {seed}, with {} operations:", told.ops.len())];
    lines.extend(told.ops.iter().map(|op| format!("    {op}")));
    lines.extend(told.outcome.faults.iter().map(|fault| format!("  {fault}")));
    lines.join("\n")
}

#[test]
fn an_acknowledgement_before_the_sync_is_found() {
    println!("{}", is_found(Planted::AcknowledgeBeforeSync));
}

#[test]
fn a_mark_outside_its_messages_transaction_is_found() {
    println!("{}", is_found(Planted::DedupApart));
}

#[test]
fn an_entry_dropped_before_its_end_receipt_is_stored_is_found() {
    println!("{}", is_found(Planted::DropBeforeReceipt));
}

#[test]
fn a_highest_commit_that_is_not_kept_is_found() {
    println!("{}", is_found(Planted::MarkNotKept));
}

#[test]
fn a_receipt_that_is_bound_to_no_envelope_is_found() {
    println!("{}", is_found(Planted::ReceiptUnbound));
}

#[test]
fn each_planted_fault_has_its_test() {
    assert_eq!(Planted::ALL.len(), 8, "add a test above for a fault that is new");
}
