//! What a thief, a second process, a wrong key and a bad disk find: nothing to read, and nothing started anew.

use super::*;

/// Texts that stand in names, headers, contents and keys of the stories.
const CANARIES: [&[u8]; 13] = [
    b"Stolen vehicle",
    b"plate.jpg",
    b"Wanted person",
    b"minutes.pdf",
    b"minustah",
    b"relay/hub-1",
    b"does not fit its commitment",
    b"br/analysts",
    b"case-4711",
    b"the epoch secret",
    &[1; 16],
    &[7; 64],
    &[0x4c; 32],
];

#[test]
fn nothing_can_be_read_from_the_disk() {
    let dir = Scratch::new("boxes-canary");
    let mut boxes = dir.open();
    let to = to(&["minustah", "us"]);
    let queued = boxes.queue(&to, Some("case-4711"), |seqs| {
        let mut new = letter(1, &to, seqs, &["us"], Precedence::Flash);
        new.cek = Zeroizing::new([0x4c; 32]);
        Ok::<_, Infallible>(new)
    });
    queued.unwrap().into_inner();
    let hash = boxes.submission(&id(1)).unwrap().unwrap().header.hash();
    relayed(&mut boxes, 1, hash, None);
    let came = incoming("br", 1, 7);
    boxes.keep(came.clone()).unwrap().into_inner();
    let letter = NewDeadLetter {
        sequence: 8,
        statement: stated(ReceiptKind::Unopenable, &came.header, 1, 8),
        header: came.header.clone(),
        detail: "the content key does not fit its commitment".to_owned(),
        now_ms: NOW,
    };
    boxes.dead_letter(letter).unwrap().into_inner();
    let bundle = held::bundle("br/analysts", 1);
    boxes
        .add_epoch(&mailbox("br/analysts"), 1, &[2; 16], b"the epoch secret", 1, &bundle)
        .unwrap()
        .into_inner();
    boxes.keep_bundle(&mailbox("br/analysts"), 1, &bundle).unwrap().into_inner();
    let search = |state: &str| {
        let mut searched = 0;
        for file in files_of(&dir.store()) {
            let bytes = std::fs::read(&file).unwrap();
            searched += bytes.len();
            for canary in CANARIES {
                let found = bytes.windows(canary.len()).any(|window| window == canary);
                assert!(!found, "{state}: {} holds {}", file.display(), canary.escape_ascii());
            }
        }
        assert!(searched > 300_000, "{state}: {searched}");
    };
    search("while it runs");
    drop(boxes);
    search("once it ended");
    let quiet = [format!("{came:?}"), format!("{:?}", dir.open().inbox(None).unwrap()[0])];
    assert_eq!(quiet, ["Incoming(..)", "InboxLine(..)"]);
}

#[test]
fn a_locked_or_damaged_store_is_left_as_it_is() {
    let dir = Scratch::new("boxes-locked");
    let mut boxes = dir.open();
    queue(&mut boxes, 1, &["br"], &["br"]);
    let second = Boxes::open(&dir.store(), &sealer(1)).unwrap_err();
    assert!(matches!(second, BoxesError::Store(StoreError::InUse { .. })) && second.exit() == 9, "{second}");
    drop(boxes);
    let snapshot =
        || files_of(&dir.store()).iter().map(|file| std::fs::read(file).unwrap()).collect::<Vec<_>>();
    let before = snapshot();
    let fault = Boxes::open(&dir.store(), &sealer(2)).unwrap_err();
    assert!(matches!(fault, BoxesError::Store(StoreError::WrongKey { .. })) && fault.exit() == 9, "{fault}");
    assert!(snapshot() == before, "not a byte was touched");
    std::fs::write(dir.store(), b"").unwrap();
    let fault = Boxes::open(&dir.store(), &sealer(1)).unwrap_err();
    assert!(matches!(fault, BoxesError::Store(StoreError::Damaged { .. })) && fault.exit() == 9, "{fault}");
}

#[test]
fn a_row_moved_or_removed_by_a_stranger_is_noticed() {
    let dir = Scratch::new("boxes-moved");
    let mut boxes = dir.open();
    boxes.keep(incoming("br", 1, 7)).unwrap().into_inner();
    boxes.keep(incoming("us", 2, 8)).unwrap().into_inner();
    let run = |boxes: &mut Boxes, sql: &'static str| {
        boxes.commit(|tx, _| Ok(tx.execute_batch(sql)?)).unwrap().into_inner();
    };
    run(&mut boxes, "DELETE FROM chunk WHERE message = 1 AND part = 0 AND idx = 2");
    let fault = boxes.body(&id(1)).unwrap_err();
    assert!(matches!(fault, BoxesError::Store(StoreError::Damaged { .. })), "{fault}");
    run(&mut boxes, "UPDATE inbox SET line = (SELECT line FROM inbox WHERE id = 1) WHERE id = 2");
    let fault = boxes.inbox(None).unwrap_err();
    assert!(matches!(fault, BoxesError::Store(StoreError::Row(_))) && fault.exit() == 9, "{fault}");
    assert!(!fault.is_final() && !fault.is_retryable());
}
