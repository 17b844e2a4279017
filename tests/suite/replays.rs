//! Every fault that a run ever found, as the few operations that show it. Each was mended; none may come back.

use valise_host::ledger::CommitPoint;
use valise_lab::sim::federation::Federation;
use valise_lab::sim::ops::{Op, RELAY, send};
use valise_lab::sim::run::{PARTIES, Told, play, play_on_disks};
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

/// A disk so slow that a session can end between a commit and its answer, milliseconds.
const SLOW_DISK_MS: u64 = 900;
/// From a mailbox's coming to the last commit of an exchange on such a disk, and the grain of the search in it.
const SEARCHED_MS: u64 = 14_000;
const EVERY_MS: usize = 200;

/// A bundle was committed while the session that brought it ended: nobody was woken, then or at its next coming, and
/// what waited for the key waited on. A desk that is stopped in order ends its session at once.
#[test]
fn a_bundle_kept_as_its_session_ends_wakes_who_waits_for_it() {
    let parties = ["fr", "br"];
    let federation = Federation::new(&parties).unwrap();
    for ms in (0..SEARCHED_MS).step_by(EVERY_MS) {
        let ops = [
            Op::Stop("br", 2_000), // before it has handed over its keys
            send("fr", &["br"], 300, Precedence::Routine),
            Op::Wait(7_000 + ms),
            Op::Stop("br", 50),
            Op::Wait(9_000),
        ];
        let outcome = play_on_disks(&federation, &parties, ms, &ops, SLOW_DISK_MS);
        assert!(outcome.is_good(), "{}", Told { seed: ms, ops: &ops, outcome: &outcome });
    }
}
