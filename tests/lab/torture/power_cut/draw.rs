//! What a drawn run is to be: a script, and how the lives end in which it is played. Chance alone; knows no queue.

use std::collections::BTreeSet;

use super::run::{End, Life};
use crate::disk::{Kept, Plan};
use crate::queue::script::{Measure, Script};
use crate::sim::chance::Chance;

/// Lives with faults at most; those that follow have none.
const LIVES_MAX: u64 = 4;
/// File calls that a start takes, about, and a whole script.
const START_CALLS: u64 = 60;
const SCRIPT_CALLS: u64 = 500;
/// A disk that is too small has room for so many of these.
const CAPACITY_STEP: u64 = 64 * 1024;

/// The run of a seed.
pub fn drawn(seed: u64) -> (Script, Vec<Life>) {
    let mut chance = Chance::of(seed, "power cut", 0);
    let measure = Measure {
        letters: 12 + chance.index(40),
        large_percent: chance.pick(&[0, 0, 4, 25]),
        segments_max: 5,
        sweeps: false,
    };
    let lives = (0..=chance.below(LIVES_MAX)).map(|_| life(&mut chance)).collect();
    (Script::draw(seed, measure), lives)
}

fn at(chance: &mut Chance) -> u64 {
    let calls = chance.pick(&[START_CALLS, SCRIPT_CALLS, SCRIPT_CALLS]);
    chance.below(calls)
}

fn life(chance: &mut Chance) -> Life {
    let mut plan = Plan::default();
    let mut refusals = 0;
    match chance.below(100) {
        0..50 => plan.stop_at = Some(at(chance)),
        50..65 => plan.fail_at = BTreeSet::from([at(chance)]),
        65..72 => {
            plan.fail_at = (0..3).map(|_| at(chance)).collect();
            plan.stop_at = Some(at(chance));
        }
        72..90 => {
            plan.capacity = Some(chance.within(4, 50) * CAPACITY_STEP);
            plan.stop_at = chance.percent(30).then(|| at(chance));
            refusals = chance.within(1, 20);
        }
        _ => plan.read_only_from = Some(at(chance)),
    }
    if chance.percent(30) {
        plan.short_percent = chance.pick(&[5, 40]);
    }
    Life { plan, refusals, end: end(chance) }
}

fn end(chance: &mut Chance) -> End {
    if chance.percent(70) { End::Cut(Kept::draw(chance), chance.draw()) } else { End::Kill(chance.draw()) }
}

/// The ways in which a machine stops at each call of a script, those that tell most first.
pub fn ways(seed: u64) -> [End; 6] {
    [
        End::Cut(Kept::Nothing, seed),
        End::Cut(Kept::Any(50), seed),
        End::Kill(seed),
        End::Cut(Kept::Upto, seed),
        End::Cut(Kept::All, seed),
        End::Cut(Kept::Any(90), seed),
    ]
}
