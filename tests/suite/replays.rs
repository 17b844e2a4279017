//! Every fault that a run ever found, as the few operations that show it. Each was mended; none may come back.

use valise_host::ledger::CommitPoint;
use valise_lab::sim::federation::Federation;
use valise_lab::sim::ops::{Op, RELAY, send};
use valise_lab::sim::run::{PARTIES, Told, play};
use valise_proto::kinds::Precedence;

/// Chances under which each list is played: the first that showed it was one of these.
const SEEDS: u64 = 16;

fn never_again(ops: &[Op]) {
    let federation = Federation::new(&PARTIES).unwrap();
    for seed in 0..SEEDS {
        let outcome = play(&federation, &PARTIES, seed, ops);
        assert!(outcome.is_good(), "{}", Told { seed, ops, outcome: &outcome });
    }
}

/// A delivery has a stream of its own and came before Welcome: judged without the relay's signer, it was buried as
/// unopenable.
#[test]
fn a_delivery_that_overtakes_welcome_waits_for_it() {
    never_again(&[
        send("fr", &["br", "de", "minustah", "monusco"], 2_000, Precedence::Override),
        Op::Wait(5),
        Op::Kill(RELAY, 20),
    ]);
}

/// A late wrap for an entry that had ended drew no answer; the author then held the message as under way, and wraps for
/// its other recipients never went.
#[test]
fn a_late_wrap_for_what_has_ended_is_answered() {
    never_again(&[
        Op::KillAt { node: RELAY, after: 0, point: CommitPoint::Before, down_ms: 700 },
        send("monusco", &["br", "de", "minustah"], 2_000, Precedence::Immediate),
        Op::Wait(4_300),
        Op::Stop("monusco", 20),
    ]);
}
