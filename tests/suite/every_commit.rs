//! Relay, sender and recipient are each killed at every commit of their store, before it, between database and mark,
//! and after it: in the middle of an exchange, and while they start. Every run must end as if nothing had been.

use valise_host::ledger::CommitPoint;
use valise_lab::sim::federation::Federation;
use valise_lab::sim::ops::{Op, RELAY, send};
use valise_lab::sim::run::{Told, play};
use valise_proto::kinds::Precedence;

const PARTIES: [&str; 2] = ["fr", "br"];
const POINTS: [CommitPoint; 3] = [CommitPoint::Before, CommitPoint::Synced, CommitPoint::After];
/// No exchange of three messages takes more commits of one store.
const COMMITS_MAX: u64 = 200;

/// Two letters and a file one way, an answer back; one is read, one acknowledged.
fn exchange(kill: Op) -> Vec<Op> {
    vec![
        kill,
        send("fr", &["br"], 300, Precedence::Routine),
        send("fr", &["br"], 150_000, Precedence::Priority),
        Op::Wait(150),
        Op::Read("br"),
        send("br", &["fr"], 40, Precedence::Flash),
        Op::Wait(400),
        Op::Acknowledge("br"),
        Op::Wait(400),
    ]
}

/// Kills at the first commit, the second, and so on, until there is none left to kill at.
fn at_every_commit(node: &'static str, kill: impl Fn(u64, CommitPoint) -> Op) -> String {
    let federation = Federation::new(&PARTIES).unwrap();
    let mut told = Vec::new();
    for point in POINTS {
        let mut kills = 0;
        for after in 0..COMMITS_MAX {
            let ops = exchange(kill(after, point));
            let outcome = play(&federation, &PARTIES, after, &ops);
            assert!(outcome.is_good(), "{}", Told { seed: after, ops: &ops, outcome: &outcome });
            if outcome.counts.at_commits == 0 {
                break;
            }
            kills += 1;
        }
        told.push(format!("{node} killed {point:?} each of {kills} commits: 0 lost, 0 doubled"));
        assert!((3..COMMITS_MAX).contains(&kills), "{kills} commits are not those of the exchange");
    }
    told.join("\n")
}

fn under_way(node: &'static str) -> String {
    at_every_commit(node, |after, point| Op::KillAt { node, after, point, down_ms: 300 })
}

fn from_its_start(node: &'static str) -> String {
    at_every_commit(node, |after, point| Op::KillAtStart { node, after, point })
}

#[test]
fn the_relay_dies_at_each_commit_of_an_exchange() {
    println!("{}", under_way(RELAY));
}

#[test]
fn the_sender_dies_at_each_commit_of_an_exchange() {
    println!("{}", under_way("fr"));
}

#[test]
fn the_recipient_dies_at_each_commit_of_an_exchange() {
    println!("{}", under_way("br"));
}

#[test]
fn the_relay_dies_at_each_commit_from_its_start() {
    println!("{}", from_its_start(RELAY));
}

#[test]
fn the_sender_dies_at_each_commit_from_its_start() {
    println!("{}", from_its_start("fr"));
}

#[test]
fn the_recipient_dies_at_each_commit_from_its_start() {
    println!("{}", from_its_start("br"));
}
