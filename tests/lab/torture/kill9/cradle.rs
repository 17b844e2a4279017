//! Programs killed while they start for the very first time and make their stores. Whatever was half made, the next
//! start takes it up, and mail flows.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use valise_client::answer::{Outcome, State};

use super::load::{Ledger, Letter};
use crate::api::Api;
use crate::interrupt;
use crate::lab::Lab;
use crate::sim::chance::Chance;
use crate::until::PATIENCE;

/// Longest life of a program that is killed in its first start, milliseconds: in about that time it is ready.
const LIFE_MS: u64 = 40;
/// How often a program is killed before it may live: the second start meets what the first left behind.
const KILLS: u64 = 2;

/// Makes so many federations whose programs die at birth. Gives the number of kills.
pub fn first_starts(federations: u64, seed: u64) -> Result<u64> {
    for number in 0..federations {
        let mut lab = Lab::new(&["fr", "br"])?;
        interrupt::clears(lab.dir());
        let told = first_start(&mut lab, &mut Chance::of(seed, "cradle", number));
        if told.is_err() {
            lab.keep();
        }
        let dir = lab.dir().display();
        told.with_context(|| {
            format!("a program killed in its first start ({number}) did not recover; see {dir}")
        })?;
    }
    Ok(federations * KILLS * 3)
}

fn first_start(lab: &mut Lab, chance: &mut Chance) -> Result<()> {
    let mut life = || sleep(Duration::from_millis(chance.below(LIFE_MS)));
    for _ in 0..KILLS {
        lab.relay().spawn()?;
        life();
        lab.relay().kill()?;
        for party in ["fr", "br"] {
            lab.party_mut(party).spawn()?;
            life();
            lab.party_mut(party).kill()?;
        }
    }
    lab.start()?;
    let letter =
        Letter { name: "first".to_owned(), from: "fr", to: vec!["br"], text_bytes: 16, file_bytes: 0 };
    let api = Api::new(lab.party("fr").socket());
    let sent = Ledger::default().hand_in(&api, letter)?;
    let answer = api.wait(&sent.id, State::Delivered.as_str(), PATIENCE)?;
    ensure!(answer.outcome == Outcome::Reached, "the first message did not arrive: {answer:?}");
    Ok(())
}
