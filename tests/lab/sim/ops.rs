//! Everything that can happen in a run, as data: written down, drawn from a seed, printed as the code that says it
//! again.

use std::fmt;

use valise_host::ledger::CommitPoint;
use valise_proto::kinds::Precedence;

use super::chance::Chance;
use super::link::{Hop, Way, lan, satellite};

/// The relay, where a node is named.
pub const RELAY: &str = "relay";

/// One thing that happens. Milliseconds are those of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Time passes.
    Wait(u64),
    /// An operator sends a message with a body of so many bytes.
    Send {
        /// From whom.
        from: &'static str,
        /// To whom.
        to: Vec<&'static str>,
        /// Bytes of the body.
        bytes: usize,
        /// How urgent.
        precedence: Precedence,
    },
    /// An operator reads the oldest message that was not read.
    Read(&'static str),
    /// An operator acknowledges the oldest message that was not acknowledged.
    Acknowledge(&'static str),
    /// A program is killed, and started again later.
    Kill(&'static str, u64),
    /// A program is killed at this point of a commit of its store, so many commits from now, and started again later.
    KillAt {
        /// Which.
        node: &'static str,
        /// Commits that still pass.
        after: u64,
        /// Where in the next.
        point: CommitPoint,
        /// Until it is started again.
        down_ms: u64,
    },
    /// A program is killed, started, killed at this commit of its new life, and started again.
    KillAtStart {
        /// Which.
        node: &'static str,
        /// Commits that still pass.
        after: u64,
        /// Where in the next.
        point: CommitPoint,
    },
    /// Everything is killed at once, and started again after so long, the relay first.
    KillAll(u64),
    /// A program is stopped in order, and started again later.
    Stop(&'static str, u64),
    /// One way of a party's link is cut for so long.
    Cut(&'static str, Way, u64),
    /// Both ways.
    Outage(&'static str, u64),
    /// A party's link changes.
    Link(&'static str, Vec<Hop>),
    /// A party comes from another address.
    Move(&'static str),
    /// A program is killed and its disk loses the end of its log, acknowledged commits with it.
    Damage(&'static str),
    /// A device states that it has a message which it does not have: under another header.
    Forge(&'static str),
}

/// Sends, in the words in which a failing run is printed.
pub fn send(from: &'static str, to: &[&'static str], bytes: usize, precedence: Precedence) -> Op {
    Op::Send { from, to: to.to_vec(), bytes, precedence }
}

/// As code: a failing run can be pasted into a test.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { from, to, bytes, precedence } => {
                write!(f, "send({from:?}, &{to:?}, {bytes}, Precedence::{precedence:?})")
            }
            Self::KillAt { node, after, point, down_ms } => {
                let point = format!("CommitPoint::{point:?}");
                write!(
                    f,
                    "Op::KillAt {{ node: {node:?}, after: {after}, point: {point}, down_ms: {down_ms} }}"
                )
            }
            Self::KillAtStart { node, after, point } => {
                write!(
                    f,
                    "Op::KillAtStart {{ node: {node:?}, after: {after}, point: CommitPoint::{point:?} }}"
                )
            }
            Self::Cut(party, way, ms) => write!(f, "Op::Cut({party:?}, Way::{way:?}, {ms})"),
            Self::Link(party, hops) => {
                let hops: Vec<String> = hops.iter().map(|hop| format!("Hop::{hop:?}")).collect();
                write!(f, "Op::Link({party:?}, vec![{}])", hops.join(", "))
            }
            other => write!(f, "Op::{other:?}"),
        }
    }
}

/// The operations of a seed among these parties.
pub fn draw(seed: u64, parties: &[&'static str]) -> Vec<Op> {
    let mut chance = Chance::new(seed);
    let count = chance.within(16, 33);
    (0..count).map(|_| draw_one(&mut chance, parties)).collect()
}

fn draw_one(chance: &mut Chance, parties: &[&'static str]) -> Op {
    let party = chance.pick(parties);
    let node = if chance.below(2) == 0 { RELAY } else { party };
    let down_ms = chance.pick(&[20, 200, 700, 3_000]);
    match chance.below(100) {
        0..30 => draw_send(chance, parties),
        30..46 => Op::Wait(chance.pick(&[5, 50, 300, 1_000, 3_000])),
        46..53 => Op::Read(party),
        53..58 => Op::Acknowledge(party),
        58..63 => Op::Kill(node, down_ms),
        63..78 => Op::KillAt { node, after: chance.below(6), point: point(chance), down_ms },
        78..81 => Op::KillAtStart { node, after: chance.below(3), point: point(chance) },
        81..83 => Op::KillAll(down_ms),
        83..86 => Op::Stop(node, down_ms),
        86..88 => Op::Cut(party, chance.pick(&[Way::Up, Way::Down]), chance.pick(&[300, 2_000, 8_000])),
        88..91 => Op::Outage(party, chance.pick(&[300, 2_000, 15_000])),
        91..94 => Op::Link(party, draw_link(chance)),
        94..96 => Op::Move(party),
        96..98 => Op::Damage(node),
        _ => Op::Forge(party),
    }
}

fn point(chance: &mut Chance) -> CommitPoint {
    chance.pick(&[CommitPoint::Before, CommitPoint::Synced, CommitPoint::After])
}

fn draw_send(chance: &mut Chance, parties: &[&'static str]) -> Op {
    let from = chance.pick(parties);
    let others: Vec<&'static str> = parties.iter().copied().filter(|party| *party != from).collect();
    let first = chance.index(others.len());
    let count = if chance.below(3) == 0 { chance.index(others.len()) + 1 } else { 1 };
    let to = (0..count).map(|at| others[(first + at) % others.len()]).collect();
    let bytes = chance.pick(&[1, 200, 200, 2_000, 2_000, 30_000, 200_000]);
    Op::Send { from, to, bytes, precedence: chance.pick(Precedence::ALL) }
}

fn draw_link(chance: &mut Chance) -> Vec<Hop> {
    match chance.below(5) {
        0 => lan(),
        1 => satellite(),
        2 => vec![Hop::Delay(20), Hop::Jitter(40), Hop::Loss(chance.within(10, 100))],
        3 => vec![Hop::Delay(50), Hop::Reordering { share: 200, ms: 30 }, Hop::Duplicates(100)],
        _ => vec![Hop::Rate(256_000), Hop::Delay(80), Hop::Loss(10)],
    }
}

/// Fewer operations that still fail: halves, then quarters, down to single ones. `fails` plays a run; at most `runs`.
pub fn shrink<T: Clone>(ops: &[T], mut runs: usize, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut ops = ops.to_vec();
    let mut piece = ops.len().div_ceil(2);
    while piece > 0 && runs > 0 {
        let mut at = 0;
        let mut shorter = false;
        while at < ops.len() && runs > 0 {
            let end = (at + piece).min(ops.len());
            let fewer: Vec<T> = [&ops[..at], &ops[end..]].concat();
            runs -= 1;
            if !fewer.is_empty() && fails(&fewer) {
                ops = fewer;
                shorter = true;
            } else {
                at = end;
            }
        }
        if !shorter || piece > 1 {
            piece /= 2;
        }
    }
    ops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_operations_again() {
        let parties = ["fr", "br", "minustah"];
        assert_eq!(draw(7, &parties), draw(7, &parties));
        assert_ne!(draw(7, &parties), draw(8, &parties));
    }

    #[test]
    fn what_is_not_needed_for_the_failure_is_left_out() {
        let ops = draw(3, &["fr", "br"]);
        let needed = [ops[2].clone(), ops[9].clone()];
        let fails = |ops: &[Op]| needed.iter().all(|one| ops.contains(one));
        let small = shrink(&ops, 200, fails);
        assert!(fails(&small) && small.len() <= 3, "{small:?}");
    }

    #[test]
    fn an_operation_is_printed_as_the_code_that_says_it() {
        let text = send("fr", &["br"], 200, Precedence::Flash).to_string();
        assert_eq!(text, r#"send("fr", &["br"], 200, Precedence::Flash)"#);
        let text = Op::Cut("br", Way::Up, 300).to_string();
        assert_eq!(text, r#"Op::Cut("br", Way::Up, 300)"#);
        let link = Op::Link("br", vec![Hop::Delay(5), Hop::Reordering { share: 1, ms: 2 }]).to_string();
        assert_eq!(link, r#"Op::Link("br", vec![Hop::Delay(5), Hop::Reordering { share: 1, ms: 2 }])"#);
    }
}
