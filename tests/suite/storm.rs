//! Eight bureaus write to each other while the relay is killed again and again at random moments. Nothing is lost,
//! nothing comes twice, and after every restart traffic flows again within a second. `VALISE_SEED` replays the moments.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use valise_host::entropy::{Entropy, SeededEntropy};
use valise_lab::party::id_of;
use valise_lab::{Lab, Party, Relay, eventually};

const PARTIES: [&str; 8] = ["ar", "br", "cl", "de", "es", "fr", "gb", "it"];
/// Of every sender, one after each kill.
const MESSAGES_EACH: usize = 22;
/// After each kill one more is written while the relay is down: it shows when traffic flows again.
const PROBES: usize = 24;
const MESSAGES: usize = PARTIES.len() * MESSAGES_EACH + PROBES;
/// From the start of the relay's process until a message that waited is relayed.
const RESTART_LIMIT: Duration = Duration::from_secs(1);
/// A storm that takes longer is stuck.
const STORM_LIMIT: Duration = Duration::from_secs(40);
/// Longest random pause of a sender before it writes, and of the relay's life before it is killed.
const PAUSE_MS: u64 = 150;

const _: () = assert!(MESSAGES == 200 && PROBES >= 20);

/// What was sent: id, and to whom.
type Sent = Mutex<Vec<(String, Vec<&'static str>)>>;

#[test]
fn a_relay_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let seed = std::env::var("VALISE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(of_now);
    println!("storm: seed {seed} (VALISE_SEED={seed} replays it)");
    let mut lab = Lab::running(&PARTIES).unwrap();
    let start = Instant::now();
    let (relay, parties) = lab.split();
    let (sent, kills) = (Sent::default(), AtomicUsize::new(0));
    let restarts = thread::scope(|scope| {
        let (sent, kills) = (&sent, &kills);
        let senders: Vec<_> = (0..PARTIES.len())
            .map(|at| scope.spawn(move || write(&parties[PARTIES[at]], at, seed, kills, sent)))
            .collect();
        let restarts = storm(relay, parties, seed, kills, sent);
        for sender in senders {
            sender.join().expect("a sender panicked").unwrap();
        }
        restarts.unwrap()
    });
    let sent = sent.into_inner().unwrap();
    let (lost, doubled, deliveries) = count(parties, &sent).unwrap();
    let mut sorted = restarts.clone();
    sorted.sort_unstable();
    let (kills, took) = (restarts.len(), start.elapsed());
    println!(
        "storm: {} messages, {deliveries} deliveries, {kills} kills, {lost} lost, {doubled} doubled; \
         traffic again after p50 {} ms, max {} ms; {:.1} s",
        sent.len(),
        sorted[kills / 2].as_millis(),
        sorted[kills - 1].as_millis(),
        took.as_secs_f64()
    );
    assert_eq!((sent.len(), lost, doubled), (MESSAGES, 0, 0));
    assert!(kills >= PROBES && took < STORM_LIMIT, "{kills} kills in {took:?}");
    let slow: Vec<_> = restarts.iter().filter(|one| **one >= RESTART_LIMIT).collect();
    assert!(slow.is_empty(), "slow restarts: {slow:?} (seed {seed})");
}

fn of_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs())
}

fn pause(chance: &SeededEntropy) {
    let mut bytes = [0; 8];
    chance.fill(&mut bytes);
    thread::sleep(Duration::from_millis(u64::from_le_bytes(bytes) % PAUSE_MS));
}

/// One sender: writes its next message, to one party or two, after each kill.
fn write(party: &Party, at: usize, seed: u64, kills: &AtomicUsize, sent: &Sent) -> Result<()> {
    let chance = SeededEntropy::new(seed.wrapping_add(1 + at as u64));
    for number in 0..MESSAGES_EACH {
        eventually("the next kill comes", || Ok(kills.load(Ordering::Relaxed) >= number))?;
        pause(&chance);
        let to = |step: usize| PARTIES[(at + 1 + (number + step) % (PARTIES.len() - 1)) % PARTIES.len()];
        let to = if number % 4 == 0 { vec![to(0), to(3)] } else { vec![to(0)] };
        let id = party.send(&to, &format!("message {number} of {}", party.name()))?;
        sent.lock().unwrap().push((id, to));
    }
    Ok(())
}

/// Kills and restarts; gives how long each restart took until a message that had waited was relayed.
fn storm(
    relay: &mut Relay,
    parties: &BTreeMap<String, Party>,
    seed: u64,
    kills: &AtomicUsize,
    sent: &Sent,
) -> Result<Vec<Duration>> {
    let chance = SeededEntropy::new(seed);
    let mut restarts = Vec::new();
    for round in 0..PROBES {
        pause(&chance);
        relay.kill()?;
        let (from, to) = (PARTIES[round % PARTIES.len()], PARTIES[(round + 3) % PARTIES.len()]);
        let probe = parties[from].ask(&["send", to, "--wait", "relayed", "--timeout", "20s"], b"probe")?;
        let started = relay.spawn()?;
        kills.fetch_add(1, Ordering::Relaxed);
        let answer = probe.answer()?;
        restarts.push(started.elapsed());
        anyhow::ensure!(answer.code == 0, "a probe was not relayed: {answer:?}");
        let id = id_of(answer.lines.first().context("no answer")?)?;
        sent.lock().unwrap().push((id, vec![to]));
    }
    Ok(restarts)
}

/// Waits until everything that was sent has come, then counts: missing, more than once, and all.
fn count(parties: &BTreeMap<String, Party>, sent: &[(String, Vec<&str>)]) -> Result<(usize, usize, usize)> {
    let mut due: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, to) in sent {
        to.iter().for_each(|to| due.entry(to).or_default().push(id));
    }
    let (mut lost, mut doubled, mut deliveries) = (0, 0, 0);
    for (to, ids) in due {
        let party = &parties[to];
        // In vain means lost, and is counted below.
        eventually("all have come", || Ok(party.inbox()?.len() >= ids.len())).ok();
        let mut copies: BTreeMap<String, usize> = BTreeMap::new();
        for line in party.inbox()? {
            *copies.entry(id_of(&line)?).or_default() += 1;
        }
        deliveries += copies.values().sum::<usize>();
        lost += ids.iter().filter(|id| !copies.contains_key(**id)).count();
        doubled += copies.values().filter(|count| **count > 1).count();
        let strange = copies.keys().filter(|id| !ids.contains(&id.as_str())).count();
        anyhow::ensure!(strange == 0, "{to} has {strange} messages that nobody sent to it");
    }
    Ok((lost, doubled, deliveries))
}
