//! All 187 bureaus at one relay: it restarts, it is away for a quarter of an hour, everything restarts at once. They
//! all come back within seconds, none of them storms, and what they wrote meanwhile arrives once.

use std::time::Duration;

use valise_client::contract::Desk;
use valise_lab::sim::federation::Federation;
use valise_lab::sim::judge;
use valise_lab::sim::ops::RELAY;
use valise_lab::sim::run::{calm, on_paused_clock};
use valise_lab::sim::world::World;
use valise_proto::kinds::Precedence;

/// The federation's own list.
const LIST: &str = include_str!("../data/parties.csv");
const BUREAUS: usize = 187;
/// After a restart the last bureau is back within this, time of the run.
const BACK_LIMIT: Duration = Duration::from_secs(5);
/// After a long outage: the longest pause between two attempts, and a handshake.
const LATE_LIMIT: Duration = Duration::from_secs(6);
/// Attempts of one bureau at a restart that takes half a second: a few, all its own.
const ATTEMPTS_MAX: usize = 8;
/// Between two looks, milliseconds of the run.
const LOOK_EVERY_MS: u64 = 20;

fn bureaus() -> Vec<&'static str> {
    let names =
        LIST.lines().filter(|line| line.contains(",bureau,")).filter_map(|line| line.split(',').next());
    names.take(BUREAUS).collect()
}

/// Bureaus that have a session, as both ends see it: a device learns late that its relay is gone.
async fn live(world: &World) -> usize {
    let sessions = world.relay.hub().map_or(0, |hub| hub.connected());
    let mut live = 0;
    for party in &world.parties {
        let Some(desk) = party.desk() else { continue };
        live += usize::from(desk.status().await.is_ok_and(|status| status.link.state == "live"));
    }
    live.min(sessions)
}

/// Time until all are linked, from now.
async fn all_live(world: &mut World, limit: Duration) -> Duration {
    let begun = world.elapsed();
    while live(world).await < BUREAUS {
        let took = world.elapsed() - begun;
        assert!(took < limit, "{} of {BUREAUS} are back after {took:?}", live(world).await);
        world.pass(LOOK_EVERY_MS).await.unwrap();
    }
    world.elapsed() - begun
}

fn attempts(world: &World) -> Vec<usize> {
    world.parties.iter().map(|party| world.net.attempts(party.at())).collect()
}

/// Attempts of each bureau since then, sorted.
fn since(world: &World, before: &[usize]) -> Vec<usize> {
    let mut since: Vec<usize> = attempts(world).iter().zip(before).map(|(now, then)| now - then).collect();
    since.sort_unstable();
    since
}

/// Every bureau writes to the next one.
fn all_write(world: &mut World, names: &[&'static str]) {
    for (at, name) in names.iter().enumerate() {
        let to = names[(at + 1) % names.len()];
        let number = world.model.lock().unwrap().ask(name, &[to], 200);
        let send = world.operator(name).send(number, Precedence::Routine);
        world.beside(send);
    }
}

#[test]
fn all_bureaus_come_back_within_seconds_and_without_a_storm() {
    let names = bureaus();
    assert_eq!(names.len(), BUREAUS);
    let federation = Federation::new(&names).unwrap();
    on_paused_clock(async {
        let mut world = World::new(&federation, &names, 187).unwrap();
        world.start_all().await.unwrap();
        all_live(&mut world, LATE_LIMIT).await;
        world.pass(2_000).await.unwrap();

        let before = attempts(&world);
        world.kill(RELAY).await.unwrap();
        all_write(&mut world, &names);
        world.pass(500).await.unwrap();
        world.start(RELAY).await.unwrap();
        let took = all_live(&mut world, BACK_LIMIT).await;
        let tried = since(&world, &before);
        println!(
            "{BUREAUS} bureaus back {:.2} s after a restart; attempts each: p50 {}, max {}, together {}",
            took.as_secs_f64(),
            tried[BUREAUS / 2],
            tried[BUREAUS - 1],
            tried.iter().sum::<usize>()
        );
        assert!(tried[BUREAUS - 1] <= ATTEMPTS_MAX, "a storm: {tried:?}");

        let before = attempts(&world);
        world.kill(RELAY).await.unwrap();
        world.pass(15 * 60 * 1_000).await.unwrap();
        let away = since(&world, &before);
        world.start(RELAY).await.unwrap();
        let took = all_live(&mut world, LATE_LIMIT).await;
        println!(
            "{BUREAUS} bureaus back {:.2} s after 15 min away; attempts each meanwhile: p50 {}, max {}",
            took.as_secs_f64(),
            away[BUREAUS / 2],
            away[BUREAUS - 1]
        );

        for node in world.nodes() {
            world.kill(node).await.unwrap();
        }
        world.start_all().await.unwrap();
        let took = all_live(&mut world, BACK_LIMIT).await;
        println!("{BUREAUS} bureaus back {:.2} s after everything restarted at once", took.as_secs_f64());

        calm(&mut world).await.unwrap();
        let lost_and_doubled = judge::judge(&mut world).await;
        let faults = world.model.lock().unwrap().faults().to_vec();
        assert!(lost_and_doubled == (0, 0) && faults.is_empty(), "{lost_and_doubled:?} {faults:?}");
    });
}
