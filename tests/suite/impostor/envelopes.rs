//! A relay whose operator is hostile, on the simulated network: what it alters, replays or hands to another is found by
//! the recipient, never shown, and told.

use valise_client::answer::State;
use valise_lab::sim::federation::Federation;
use valise_lab::sim::hostile::{Copied, Hostile, lose};
use valise_lab::sim::ops::RELAY;
use valise_lab::sim::run::on_paused_clock;
use valise_lab::tamper::Field;
use valise_proto::kinds::{Reason, ReceiptKind};
use valise_proto::limits::DAY_MS;
use valise_relay::config::StoreKind;

/// One run for each field: fr writes to br, the relay alters it on its way.
#[test]
fn what_the_relay_alters_is_never_shown_and_its_author_hears_one_word() {
    let federation = Federation::new(&["fr", "br"]).unwrap().keeping_in(StoreKind::Sqlite);
    let mut lengths = Vec::new();
    for field in Field::ALL {
        let reason = if field == Field::WrapPrekey { Reason::KeyRetired } else { Reason::Unopenable };
        lengths.push(on_paused_clock(altered(&federation, field, reason)));
    }
    // Nothing but the word tells the ways apart: the statements are alike to the byte count.
    let told = |one: &&(Reason, usize)| one.0 == Reason::KeyRetired;
    let retired = lengths.iter().filter(told).count();
    let rest: Vec<_> = lengths.iter().filter(|one| !told(one)).collect();
    assert_eq!((retired, rest.len()), (1, Field::ALL.len() - 1));
    assert!(rest.iter().all(|one| *one == rest[0]), "{rest:?}");
}

/// The one word, and how long the statement is that carries it.
async fn altered(federation: &Federation, field: Field, reason: Reason) -> (Reason, usize) {
    let mut run = Hostile::start(federation, &["fr", "br"], 35).await.unwrap();
    let id = run.waits("fr", "br").await.unwrap();
    run.hold().await.unwrap().flip(field).unwrap();
    run.world.start(RELAY).await.unwrap();
    run.world.start("br").await.unwrap();
    let what = format!("the author hears of the altered {field:?}");
    run.until(&what, async |run| Ok(run.tracked("fr", id).await?.state.is_bad_end())).await.unwrap();

    let line = run.tracked("fr", id).await.unwrap();
    let told = (line.state, line.by.as_str(), line.reason.as_deref());
    assert_eq!(told, (State::Unopenable, "br", Some(reason.as_str())), "{field:?}");
    assert_eq!(run.logged("message-unopenable", reason.as_str()), 1, "{field:?}");
    assert_eq!(run.logged("message-delivered", ""), 0, "{field:?}");
    assert_eq!(run.copies("br", id).await.unwrap(), 0, "{field:?}");
    assert_eq!(run.entries().await.unwrap(), Some(0), "{field:?}: it is handed out again and again");
    let receipts = run.receipts("fr", id).await.unwrap();
    let ends: Vec<_> = receipts
        .iter()
        .filter(|receipt| receipt.claim().is_ok_and(|claim| claim.kind == ReceiptKind::Unopenable))
        .collect();
    assert_eq!(ends.len(), 1, "{field:?}");
    (reason, ends[0].to_bytes().len())
}

#[test]
fn a_replay_is_shown_once_and_stated_again() {
    let federation = Federation::new(&["fr", "br"]).unwrap().keeping_in(StoreKind::Sqlite);
    on_paused_clock(replays(&federation));
}

async fn replays(federation: &Federation) {
    let mut run = Hostile::start(federation, &["fr", "br"], 36).await.unwrap();
    let id = run.waits("fr", "br").await.unwrap();
    let desk_before = Copied::of(&run.world.party("br").store()).unwrap();
    run.world.stop(RELAY).await.unwrap();
    let waiting = Copied::of(&run.world.relay.store()).unwrap();
    run.world.start(RELAY).await.unwrap();
    run.world.start("br").await.unwrap();
    run.until("it is delivered", async |run| Ok(run.tracked("fr", id).await?.state == State::Delivered))
        .await
        .unwrap();

    // At once, and a day later: the desk knows it, shows nothing, and states again what it stated.
    for replay in 1..=2 {
        run.put_back(&waiting).await.unwrap();
        run.until("the replay is settled", async |run| {
            Ok(run.logged("message-known", "") == replay && run.entries().await? == Some(0))
        })
        .await
        .unwrap();
        assert_eq!(run.copies("br", id).await.unwrap(), 1);
        for node in ["br", "fr"] {
            run.world.stop(node).await.unwrap();
        }
        run.world.pass(DAY_MS).await.unwrap();
        for node in ["br", "fr"] {
            run.world.start(node).await.unwrap();
        }
    }
    assert_eq!((run.logged("message-delivered", ""), run.logged("message-unopenable", "")), (1, 0));
    assert_eq!(run.tracked("fr", id).await.unwrap().state, State::Delivered);

    // br restores a backup from before the message: there the replay brings it back, once.
    run.world.stop("br").await.unwrap();
    desk_before.put_back().unwrap();
    run.put_back(&waiting).await.unwrap();
    run.world.start("br").await.unwrap();
    run.until("the restored desk has it", async |run| Ok(run.entries().await? == Some(0))).await.unwrap();
    assert_eq!(run.copies("br", id).await.unwrap(), 1);

    // br loses its store, and with it the secrets of its epochs: nothing opens the replay any more.
    run.world.stop("br").await.unwrap();
    lose(&run.world.party("br").store()).unwrap();
    run.put_back(&waiting).await.unwrap();
    run.world.start("br").await.unwrap();
    run.until("the new desk has judged it", async |run| Ok(run.entries().await? == Some(0))).await.unwrap();
    assert_eq!(run.logged("message-unopenable", Reason::KeyRetired.as_str()), 1);
    assert_eq!(run.copies("br", id).await.unwrap(), 0);
    // What br once proved to its author is not undone by what it can prove no more.
    run.world.pass(5_000).await.unwrap();
    assert_eq!(run.tracked("fr", id).await.unwrap().state, State::Delivered);
}

#[test]
fn what_is_handed_to_another_is_not_for_it() {
    let federation = Federation::new(&["fr", "br", "de"]).unwrap().keeping_in(StoreKind::Sqlite);
    on_paused_clock(misdelivered(&federation));
}

async fn misdelivered(federation: &Federation) {
    let mut run = Hostile::start(federation, &["fr", "br", "de"], 37).await.unwrap();
    let id = run.waits("fr", "br").await.unwrap();
    run.world.stop("de").await.unwrap();
    run.world.stop(RELAY).await.unwrap();
    let honest = Copied::of(&run.world.relay.store()).unwrap();
    let (br, de) = ("br".parse().unwrap(), "de".parse().unwrap());
    run.hold().await.unwrap().hand_to(&br, &de).unwrap();
    for node in [RELAY, "br", "de"] {
        run.world.start(node).await.unwrap();
    }
    run.until("de has judged it", async |run| Ok(run.entries().await? == Some(0))).await.unwrap();
    assert_eq!(run.logged("message-unopenable", Reason::NotForUs.as_str()), 1);
    assert_eq!((run.copies("de", id).await.unwrap(), run.copies("br", id).await.unwrap()), (0, 0));
    // Its author hears it, and believes a stranger nothing about br.
    run.until("fr hears of it", async |run| Ok(run.logged("receipt-unmatched", "refused") > 0))
        .await
        .unwrap();
    assert_eq!(run.tracked("fr", id).await.unwrap().state, State::Relayed);

    // The relay mends its ways: br gets what was for it.
    run.put_back(&honest).await.unwrap();
    run.until("br has it", async |run| Ok(run.tracked("fr", id).await?.state == State::Delivered))
        .await
        .unwrap();
    assert_eq!((run.copies("de", id).await.unwrap(), run.copies("br", id).await.unwrap()), (0, 1));
}
