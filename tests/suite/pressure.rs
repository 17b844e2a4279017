//! Too much waits: the relay holds back what is beyond its bounds, senders keep it, and all of it arrives once there is
//! room. Time is the run's own.

use valise_client::contract::Desk;
use valise_lab::sim::federation::Federation;
use valise_lab::sim::judge;
use valise_lab::sim::link::Hop;
use valise_lab::sim::ops::RELAY;
use valise_lab::sim::run::{calm, on_paused_clock};
use valise_lab::sim::world::World;
use valise_proto::kinds::Precedence::{self, Flash, Immediate, Routine};
use valise_relay::queue::Queue;

const PARTIES: [&str; 3] = ["fr", "br", "minustah"];
/// For everything to be up and linked, and again for what was asked to be done.
const WARM_MS: u64 = 2_500;
/// A satellite's greeting, and what waits for it.
const FAR_MS: u64 = 30_000;

/// A relay and three parties that are up, and know one another's keys.
async fn acquainted(world: &mut World) {
    world.start_all().await.unwrap();
    world.pass(WARM_MS).await.unwrap();
    for (from, to) in [("fr", "br"), ("fr", "minustah"), ("br", "minustah")] {
        ask(world, from, &[to], Routine);
    }
    world.pass(FAR_MS).await.unwrap();
}

/// An operator sends a message; its number.
fn ask(world: &mut World, from: &'static str, to: &[&'static str], precedence: Precedence) -> u64 {
    ask_for(world, from, to, precedence, 300)
}

/// The same, of so many bytes.
fn ask_for(
    world: &mut World,
    from: &'static str,
    to: &[&'static str],
    precedence: Precedence,
    bytes: usize,
) -> u64 {
    let number = world.model.lock().unwrap().ask(from, to, bytes);
    let send = world.operator(from).send(number, precedence);
    world.beside(send);
    number
}

/// How far a message came at one recipient, as its author sees it: `relayed`, or `queued mailbox-full`.
async fn standing(world: &mut World, number: u64, to: &str) -> String {
    let asked = world.model.lock().unwrap().asked(number).clone();
    let lines = world.party(asked.from).desk().unwrap().track(asked.id.unwrap()).await.unwrap();
    let line = lines.into_iter().find(|line| line.to == to).unwrap();
    let reason = line.reason.map(|reason| format!(" {reason}")).unwrap_or_default();
    format!("{}{reason}", line.state.as_str())
}

/// How many of these stand so.
async fn count(world: &mut World, numbers: &[u64], to: &str, state: &str) -> usize {
    let mut count = 0;
    for number in numbers {
        count += usize::from(standing(world, *number, to).await == state);
    }
    count
}

/// Faults stop, everything comes; nothing is lost and nothing twice.
async fn all_arrives_once(world: &mut World) {
    calm(world).await.unwrap();
    let lost_and_doubled = judge::judge(world).await;
    let faults = world.model.lock().unwrap().faults().to_vec();
    let story = world.story.lines();
    assert!(lost_and_doubled == (0, 0) && faults.is_empty(), "{lost_and_doubled:?} {faults:?} {story:#?}");
}

#[test]
fn a_full_mailbox_is_waited_out_and_stops_nobody_else() {
    let federation = Federation::new(&PARTIES).unwrap();
    on_paused_clock(async {
        let mut world = World::new(&federation, &PARTIES, 4).unwrap();
        world.relay.limits().mailbox_messages = 10;
        acquainted(&mut world).await;
        world.stop("minustah").await.unwrap();

        let many: Vec<u64> = (0..12).map(|_| ask(&mut world, "fr", &["minustah"], Routine)).collect();
        world.pass(WARM_MS).await.unwrap();
        assert_eq!(count(&mut world, &many, "minustah", "relayed").await, 9, "a tenth is for the urgent");
        assert_eq!(count(&mut world, &many, "minustah", "queued mailbox-full").await, 3);
        let (other, flash) =
            (ask(&mut world, "br", &["minustah"], Routine), ask(&mut world, "fr", &["minustah"], Flash));
        let circular = ask(&mut world, "fr", &["br", "minustah"], Routine);
        world.pass(WARM_MS).await.unwrap();
        assert_eq!(standing(&mut world, other, "minustah").await, "queued mailbox-full");
        assert_eq!(standing(&mut world, flash, "minustah").await, "relayed");
        assert_eq!(standing(&mut world, circular, "br").await, "delivered", "it does not wait for the other");
        assert_eq!(standing(&mut world, circular, "minustah").await, "relayed");

        // Who waits survives its own death and the relay's, and asks again without getting anything past the bound.
        for node in ["fr", RELAY] {
            world.kill(node).await.unwrap();
            world.start(node).await.unwrap();
        }
        world.pass(150_000).await.unwrap();
        assert_eq!(count(&mut world, &many, "minustah", "relayed").await, 9);
        assert_eq!(count(&mut world, &many, "minustah", "queued mailbox-full").await, 3);

        world.start("minustah").await.unwrap();
        world.pass(60_000 + FAR_MS).await.unwrap();
        assert_eq!(
            count(&mut world, &many, "minustah", "delivered").await,
            12,
            "a minute later at the latest"
        );
        all_arrives_once(&mut world).await;
    });
}

#[test]
fn a_sender_over_its_quota_is_told_to_slow_down_and_others_go_on() {
    let parties = ["fr", "br", "de", "minustah"];
    let federation = Federation::new(&parties).unwrap();
    on_paused_clock(async {
        let mut world = World::new(&federation, &parties, 5).unwrap();
        world.relay.limits().sender_messages = 4;
        acquainted(&mut world).await;
        world.stop("minustah").await.unwrap();
        let many: Vec<u64> = (0..6).map(|_| ask(&mut world, "fr", &["minustah"], Routine)).collect();
        world.pass(WARM_MS).await.unwrap();
        assert_eq!(count(&mut world, &many, "minustah", "relayed").await, 4);
        assert_eq!(count(&mut world, &many, "minustah", "queued slow-down").await, 2);
        let (own, other) =
            (ask(&mut world, "fr", &["br"], Routine), ask(&mut world, "br", &["minustah"], Routine));
        world.pass(WARM_MS).await.unwrap();
        assert_eq!(standing(&mut world, own, "br").await, "queued slow-down", "all of fr's mail is its own");
        assert_eq!(standing(&mut world, other, "minustah").await, "relayed", "br has sent less");

        world.start("minustah").await.unwrap();
        world.pass(30_000 + FAR_MS).await.unwrap();
        assert_eq!(standing(&mut world, own, "br").await, "delivered", "half a minute later at the latest");
        all_arrives_once(&mut world).await;
    });
}

#[test]
fn a_disk_that_fills_lets_in_what_is_urgent_and_statements_always() {
    let federation = Federation::new(&PARTIES).unwrap();
    on_paused_clock(async {
        let mut world = World::new(&federation, &PARTIES, 6).unwrap();
        acquainted(&mut world).await;
        world.stop("minustah").await.unwrap();
        let held = ask(&mut world, "fr", &["minustah"], Routine);
        world.pass(WARM_MS).await.unwrap();

        let mut waiting = Vec::new();
        for (mib, taken, refused, word) in [
            (4_000, Some(Immediate), Routine, "queued slow-down"),
            (2_000, Some(Flash), Immediate, "queued slow-down"),
            (1_000, None, Flash, "queued store-full"),
        ] {
            world.relay.disk().leave(mib);
            world.pass(1_100).await.unwrap(); // it looks every second
            let refused = ask(&mut world, "fr", &["br"], refused);
            let taken = taken.map(|precedence| ask(&mut world, "fr", &["br"], precedence));
            world.pass(WARM_MS).await.unwrap();
            assert_eq!(standing(&mut world, refused, "br").await, word, "{mib} MiB free");
            if let Some(taken) = taken {
                assert_eq!(standing(&mut world, taken, "br").await, "delivered", "{mib} MiB free");
            }
            waiting.push(refused);
        }
        // At its fullest, a relay that starts anew says so before it lets anybody in, and hands out what it holds.
        world.kill(RELAY).await.unwrap();
        world.start(RELAY).await.unwrap();
        world.start("minustah").await.unwrap();
        world.pass(FAR_MS).await.unwrap();
        assert_eq!(standing(&mut world, held, "minustah").await, "delivered", "statements pass");
        assert_eq!(count(&mut world, &waiting, "br", "delivered").await, 0);

        world.relay.disk().leave(1_200);
        world.pass(60_000).await.unwrap();
        assert_eq!(count(&mut world, &waiting, "br", "queued store-full").await, 3, "not enough to go on");
        world.relay.disk().leave(1_300);
        world.pass(35_000).await.unwrap();
        assert_eq!(count(&mut world, &waiting, "br", "queued slow-down").await, 2, "for the flash it is");
        world.relay.disk().leave(90_000);
        world.pass(35_000).await.unwrap();
        assert_eq!(
            count(&mut world, &waiting, "br", "delivered").await,
            3,
            "half a minute later at the latest"
        );
        all_arrives_once(&mut world).await;
    });
}

/// Immediate mail, a quarter more than the link of the mission carries: 1.28 Mbit/s over 1 Mbit/s.
const PRESS_BYTES: usize = 40_000;
const PRESS_EVERY_MS: u64 = 250;
/// Routine mail is overdue after 30 s of it; then what is under way runs out, and a large file shares the link.
const ROUTINE_LIMIT_MS: u64 = 60_000;
const LARGE_LIMIT_MS: u64 = 120_000;
/// A flash waits for what the link has taken up.
const FLASH_LIMIT_MS: u64 = 5_000;

#[test]
fn endless_immediate_mail_starves_nobody_and_a_flash_passes_it() {
    let federation = Federation::new(&PARTIES).unwrap();
    on_paused_clock(async {
        let mut world = World::new(&federation, &PARTIES, 7).unwrap();
        acquainted(&mut world).await;
        let mission = world.party("minustah").at();
        world.net.link(mission, |link| link.set(vec![Hop::Rate(1_000_000), Hop::Delay(300)]));
        // One that is under way when the pressure begins, and those that come while it lasts.
        let begun = ask_for(&mut world, "br", &["minustah"], Routine, 400_000);
        world.pass(800).await.unwrap();
        let mut due = vec![(begun, 0, LARGE_LIMIT_MS)];
        let mut arrived = Vec::new();
        let mut at = 0;
        while at < 20_000 + LARGE_LIMIT_MS + FLASH_LIMIT_MS {
            ask_for(&mut world, "fr", &["minustah"], Immediate, PRESS_BYTES);
            match at {
                20_000 => {
                    due.push((ask(&mut world, "br", &["minustah"], Routine), at, ROUTINE_LIMIT_MS));
                    let large = ask_for(&mut world, "br", &["minustah"], Routine, 200_000);
                    due.push((large, at, LARGE_LIMIT_MS));
                }
                40_000 | 90_000 => {
                    due.push((ask(&mut world, "br", &["minustah"], Flash), at, FLASH_LIMIT_MS))
                }
                _ => {}
            }
            world.pass(PRESS_EVERY_MS).await.unwrap();
            at += PRESS_EVERY_MS;
            let mut open = Vec::new();
            for (number, since, limit) in due {
                if at % 1_000 == 0 && standing(&mut world, number, "minustah").await == "delivered" {
                    arrived.push((number, at - since));
                    continue;
                }
                assert!(at - since <= limit, "message {number} waits since {} ms", at - since);
                open.push((number, since, limit));
            }
            due = open;
        }
        let depth = world.relay.hub().unwrap().queue().depth().await.unwrap();
        println!("delivered under pressure after, ms: {arrived:?}; {} entries still wait", depth.entries);
        assert!(due.is_empty() && depth.entries > 50, "the pressure lasted: {due:?}, {depth:?}");
        all_arrives_once(&mut world).await;
    });
}
