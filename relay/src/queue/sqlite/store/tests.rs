//! Stories about the store itself: what shares a commit, and what a full disk, a rotten row or a failure stops.

use valise_proto::kinds::ReceiptKind;

use super::super::schema::place;
use super::super::tests::{Scratch, rest_key};
use super::super::{keep, place, read, settle};
use super::*;
use crate::queue::conformance::cast::{EXPIRES, HubStamp, Message, fr, hub_key, mailbox, message, stamp};
use crate::queue::{Noted, Placed};
use valise_host::entropy::OsEntropy;

struct Bench {
    store: Store,
    stamp: Arc<HubStamp>,
    failure: watch::Receiver<Option<String>>,
    _dir: Scratch,
}

type Waiting<T> = oneshot::Receiver<Answer<T>>;

fn bench() -> Bench {
    let (dir, stamp) = (Scratch::new(), stamp());
    let (failing, failure) = watch::channel(None);
    let sealer = Sealer::new(&rest_key(1), Arc::new(OsEntropy));
    let store = Store::open(&dir.store(), sealer, stamp.clone(), failing).unwrap();
    Bench { store, stamp, failure, _dir: dir }
}

fn ask<T>(op: impl FnOnce(oneshot::Sender<Answer<T>>) -> Op) -> (Op, Waiting<T>) {
    let (reply, waiting) = oneshot::channel();
    (op(reply), waiting)
}

fn enqueue(message: &Message) -> (Op, Waiting<Placed>) {
    let submission = message.submission();
    ask(|reply| Op::write(300, move |group| place::enqueue(group, &submission), reply))
}

fn deliver(message: &Message, sequence: u64) -> (Op, Waiting<Noted>) {
    let receipt = message.stated(sequence, "br", ReceiptKind::Delivered);
    ask(|reply| Op::write(0, move |group| settle::note(group, sequence, &mailbox("br"), &receipt), reply))
}

fn expire(max: usize) -> (Op, Waiting<crate::queue::Ended>) {
    ask(|reply| Op::write(0, move |group| settle::expire(group, EXPIRES, max), reply))
}

fn segment(sequence: u64) -> (Op, Waiting<Option<bytes::Bytes>>) {
    let place = place(sequence, 0, 0).unwrap();
    ask(|reply| {
        let look = move |conn: &Connection, vault: &Vault| {
            let sealed = read::segment(conn, place)?;
            sealed.map(|sealed| vault.open(&place.to_be_bytes(), &sealed)).transpose()
        };
        Op::read(look, reply)
    })
}

fn answered<T>(mut waiting: Waiting<T>) -> Answer<T> {
    waiting.try_recv().expect("an applied batch has answered every operation")
}

impl Bench {
    /// Places messages 1 to `count`, each in a group of its own.
    fn place(&mut self, count: u8) {
        for id in 1..=count {
            let (op, waiting) = enqueue(&message(id));
            self.store.apply(vec![op]);
            answered(waiting).unwrap();
        }
    }

    /// Runs a statement behind the store's back.
    fn meddle(&mut self, sql: &str) {
        self.store.ledger.commit(|tx| Ok(tx.execute_batch(sql)?)).unwrap();
    }
}

#[test]
fn all_that_waits_shares_one_commit_and_one_signature() {
    let mut bench = bench();
    bench.place(1);
    let (commits, signatures) = (bench.store.ledger.commit_no(), bench.stamp.signatures());
    let (settle, settled) = deliver(&message(1), 1);
    let (placing, placed): (Vec<_>, Vec<_>) = (2..=40).map(|id| enqueue(&message(id))).unzip();
    let (late, ended) = expire(7);
    let leaf = crate::queue::conformance::cast::fr_leaf();
    let signer = message(1).submission().facts.sender_key_id;
    let (keep, kept) = ask(|reply| Op::write(0, move |group| keep::keep_leaf(group, &signer, &leaf), reply));
    let (retry, same) = enqueue(&message(2));
    bench.store.apply([settle].into_iter().chain(placing).chain([retry, late, keep]).collect());

    assert_eq!(bench.store.ledger.commit_no(), commits + 1);
    assert_eq!(bench.stamp.signatures(), signatures + 1);
    assert_eq!(answered(settled).unwrap(), Noted::Kept { author: fr() });
    assert_eq!(answered(ended).unwrap().authors, [fr()]);
    answered(kept).unwrap();
    let Placed::Stored { sequence: 2, relayed, fresh: false, .. } = answered(same).unwrap() else { panic!() };
    assert_eq!(relayed.verify(&hub_key()).unwrap().sequence, 2, "a proof is found before it is signed");
    for (waiting, number) in placed.into_iter().zip(2..) {
        let Placed::Stored { sequence, relayed, fresh: true, .. } = answered(waiting).unwrap() else {
            panic!()
        };
        assert_eq!((sequence, relayed.verify(&hub_key()).unwrap().sequence), (number, number));
    }
    assert_eq!(bench.store.depth, Depth { entries: 32, receipts: 8, sequence: 40 });
}

#[test]
fn a_full_disk_fails_its_group_alone_and_gives_no_number_away() {
    let mut bench = bench();
    bench.place(2);
    let room = |pages: i64| move |conn: &Connection| Ok(conn.pragma_update(None, "max_page_count", pages)?);
    bench.store.ledger.read(room(1)).unwrap(); // as many as there are
    let mut large = message(3);
    large.parts = vec![crate::queue::conformance::cast::segments(4, 17)];
    let (op, waiting) = enqueue(&large);
    let (settle, settled) = deliver(&message(1), 1);
    bench.store.apply(vec![settle, op]);
    assert_eq!(answered(waiting).unwrap_err(), QueueError::Full);
    assert_eq!(answered(settled).unwrap_err(), QueueError::Full, "it was in the same group");
    assert_eq!(bench.store.depth, Depth { entries: 2, receipts: 0, sequence: 2 });
    let (op, waiting) = segment(1);
    bench.store.apply(vec![op]);
    assert!(answered(waiting).unwrap().is_some(), "reading goes on");

    bench.store.ledger.read(room(1 << 20)).unwrap();
    let (op, waiting) = enqueue(&large);
    bench.store.apply(vec![op]);
    assert!(matches!(answered(waiting).unwrap(), Placed::Stored { sequence: 3, fresh: true, .. }));
    assert!(bench.failure.borrow().is_none());
}

#[test]
fn a_rotten_row_fails_only_who_asks_for_it() {
    let mut bench = bench();
    bench.place(3);
    bench.meddle(
        "UPDATE accepted SET author = zeroblob(100) WHERE sequence = 2;
         UPDATE segments SET sealed = zeroblob(100) WHERE place >> 16 = 3;",
    );
    let (rotten, unsettled) = deliver(&message(2), 2);
    let (sound, settled) = deliver(&message(1), 1);
    let (fresh, placed) = enqueue(&message(4));
    let (look, seen) = segment(3);
    bench.store.apply(vec![sound, rotten, fresh, look]);
    assert!(matches!(answered(unsettled), Err(QueueError::Damaged(_))));
    assert_eq!(answered(settled).unwrap(), Noted::Kept { author: fr() });
    assert!(matches!(answered(placed).unwrap(), Placed::Stored { sequence: 4, .. }));
    assert!(matches!(answered(seen), Err(QueueError::Damaged(what)) if what.contains("segments")));

    let (end, ended) = expire(1);
    bench.store.apply(vec![end]);
    assert_eq!(answered(ended).unwrap().authors, [fr()], "the rotten entry does not hold up the others");
    let (end, ended) = expire(9);
    bench.store.apply(vec![end]);
    answered(ended).unwrap();
    let (end, ended) = expire(9);
    bench.store.apply(vec![end]);
    assert!(matches!(answered(ended), Err(QueueError::Damaged(_))), "in the end it is reported");
    assert!(bench.failure.borrow().is_none());
}

#[test]
fn a_row_in_anothers_place_is_noticed() {
    let mut bench = bench();
    bench.place(2);
    bench.meddle("UPDATE segments SET sealed = (SELECT sealed FROM segments WHERE place >> 16 = 2)");
    let (look, seen) = segment(1);
    bench.store.apply(vec![look]);
    assert!(matches!(answered(seen), Err(QueueError::Damaged(_))));
}

#[test]
fn after_a_failure_nothing_is_answered_but_that() {
    let mut bench = bench();
    bench.place(1);
    bench.meddle("DROP TABLE stated");
    let (settle, settled) = deliver(&message(1), 1);
    let (fresh, placed) = enqueue(&message(2));
    bench.store.apply(vec![fresh, settle]);
    assert!(matches!(answered(settled), Err(QueueError::Failed(_))));
    assert!(matches!(answered(placed), Err(QueueError::Failed(_))), "its group was rolled back");
    assert!(bench.failure.has_changed().unwrap() && bench.failure.borrow().is_some());

    let (fresh, placed) = enqueue(&message(3));
    let (look, seen) = segment(1);
    let (depth, held) = ask(Op::depth);
    bench.store.apply(vec![fresh, look, depth]);
    assert!(matches!(answered(placed), Err(QueueError::Failed(_))));
    assert!(matches!(answered(seen), Err(QueueError::Failed(_))));
    assert!(matches!(answered(held), Err(QueueError::Failed(_))));
}
