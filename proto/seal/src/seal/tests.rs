//! Stories of sealing: whatever is sealed opens to the same, for every addressee; what would be refused is not sealed.

use std::sync::LazyLock;

use proptest::prelude::*;
use valise_proto::limits::MESSAGE_LIFE_MAX_MS;
use valise_proto::wire::BadField;

use super::*;
use crate::content::{Attachment, TypeName};
use crate::open::{Arrival, Fault};
use crate::testing::{Chance, Envelope, NOW, Party, addressee, text};

static CAST: LazyLock<Vec<Party>> =
    LazyLock::new(|| ["fr", "br", "minustah", "un-police", "jp"].map(Party::new).into());

fn fr() -> &'static Party {
    &CAST[0]
}

#[test]
fn a_draft_that_would_be_refused_is_not_sealed() {
    let good = fr().draft(&[&CAST[1], &CAST[2]], text(b"x"));
    let refused = |field, change: fn(&mut Draft)| {
        let mut draft = good.clone();
        change(&mut draft);
        let fault = seal(&draft, &fr().key, &mut Chance::new("draft")).unwrap_err();
        assert_eq!(fault, SealError::Header(BadField(field).into()));
    };
    refused("recipients", |draft| draft.recipients.clear());
    refused("recipients", |draft| draft.recipients.push(addressee("br")));
    refused("recipients.pair_seq", |draft| draft.recipients[0].pair_seq = 0);
    refused("expires_ms", |draft| draft.expires_ms = draft.created_ms);
    refused("expires_ms", |draft| draft.expires_ms = NOW + MESSAGE_LIFE_MAX_MS + 1);
}

#[test]
fn a_wrap_can_follow_long_after() {
    let br = &CAST[1];
    let mut envelope = fr().send(&[br], text(b"x"));
    // What the outbox keeps: content key and header. A new run wraps from these alone.
    let stored = (*envelope.sealed.cek().as_bytes(), envelope.sealed.header().hash());
    let again =
        seal_wrap(&Cek::from_bytes(&stored.0), &br.mailbox, &br.epoch, &stored.1, &mut Chance::new("later"));
    assert_ne!(envelope.wraps, [again.clone().unwrap()]);
    envelope.wraps = vec![again.unwrap()];
    assert_eq!(br.open(&envelope, fr()).unwrap().message(), &text(b"x"));
}

#[test]
fn every_message_has_a_key_of_its_own() {
    let mut chance = Chance::new("keys");
    let draft = fr().draft(&[&CAST[1]], text(b"x"));
    let [a, b] = [0, 1].map(|_| seal(&draft, &fr().key, &mut chance).unwrap());
    assert_ne!(a.cek().as_bytes(), b.cek().as_bytes());
    assert_ne!(a.parts(), b.parts());
    assert_ne!(new_message_id(&mut chance), new_message_id(&mut chance));
}

#[test]
fn short_texts_look_alike() {
    let sizes = [&b""[..], b"yes", &[b'x'; 180]].map(|body| {
        let message = Message::new(TypeName::text(), "", Bytes::from_static(body)).unwrap();
        fr().send(&[&CAST[1]], message).sealed.fields().ct_len()
    });
    assert_eq!(sizes, [272; 3]);
}

fn any_message() -> impl Strategy<Value = Message> {
    let bytes = |max| proptest::collection::vec(any::<u8>(), 0..max);
    let file = ("[a-z./]{1,30}", bytes(140_000));
    ("\\PC{0,100}", bytes(70_000), proptest::collection::vec(file, 0..3)).prop_map(
        |(subject, body, files)| {
            let message = Message::new(TypeName::text(), &subject, body.into()).unwrap();
            files.into_iter().fold(message, |message, (name, data)| {
                message.attach(Attachment::new(&name, "", data.into()).unwrap()).unwrap()
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_sealed_opens_to_the_same_for_every_addressee_and_for_no_other(
        message in any_message(),
        to in proptest::sample::subsequence(vec![1_usize, 2, 3, 4], 1..=4),
    ) {
        let addressees: Vec<&Party> = to.iter().map(|at| &CAST[*at]).collect();
        let envelope = fr().send(&addressees, message.clone());
        for (at, party) in CAST.iter().enumerate() {
            match party.open(&envelope, fr()) {
                Ok(opened) => {
                    prop_assert!(to.contains(&at));
                    prop_assert_eq!(opened.message(), &message);
                    prop_assert_eq!(opened.mailboxes(), std::slice::from_ref(&party.mailbox));
                    prop_assert_eq!(opened.header(), envelope.sealed.fields());
                    prop_assert_eq!(opened.header_hash(), &envelope.sealed.header().hash());
                }
                Err(fault) => {
                    prop_assert!(!to.contains(&at));
                    prop_assert_eq!(fault, Fault::NotAddressed);
                }
            }
        }
    }

    #[test]
    fn segments_of_any_kind_are_refused_not_trusted(
        junk in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 0..3),
    ) {
        let Envelope { sealed, wraps } = fr().send(&[&CAST[1]], text(b"x"));
        let arrival = Arrival {
            header: sealed.header(),
            wraps: &wraps,
            segments: &|_, index| junk.get(index).cloned().map(Bytes::from),
        };
        let fault = CAST[1].open_arrival(&arrival, fr()).unwrap_err();
        let refused = matches!(fault, Fault::Part { part: 0, .. });
        prop_assert!(refused);
    }
}
