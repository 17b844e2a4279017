//! Stories of those who would forge, swap, replay or confuse: each is refused at its check, and hears one word.

use std::sync::LazyLock;

use valise_proto::header::Part;
use valise_proto::signing::Label;

use super::*;
use crate::content::TypeName;
use crate::keys::EpochSecret;
use crate::testing::{Chance, Envelope, NOW, Party, device, file, header_of, text};
use crate::wrap::seal_wrap;

static FR: LazyLock<Party> = LazyLock::new(|| Party::new("fr"));
static BR: LazyLock<Party> = LazyLock::new(|| Party::new("br"));
static MINUSTAH: LazyLock<Party> = LazyLock::new(|| Party::new("minustah"));

/// The story's envelope with some of it replaced.
struct Forged {
    header: SignedHeader,
    wraps: Vec<KeyWrap>,
    parts: Vec<Vec<Bytes>>,
}

impl From<Envelope> for Forged {
    fn from(envelope: Envelope) -> Self {
        let header = envelope.sealed.header().clone();
        Self { header, parts: envelope.sealed.parts().to_vec(), wraps: envelope.wraps }
    }
}

impl Forged {
    fn reach(&self, party: &Party) -> Result<Opened, Fault> {
        let segments = |part: usize, index: usize| self.parts.get(part)?.get(index).cloned();
        party.open_arrival(&Arrival { header: &self.header, wraps: &self.wraps, segments: &segments }, &FR)
    }

    /// Changes the header and signs it again, as only the author can.
    fn resigned(mut self, change: impl FnOnce(&mut Header)) -> Self {
        let mut header = self.header.read().unwrap();
        change(&mut header);
        self.header = header.sign(&FR.key);
        self
    }
}

fn to_br() -> Forged {
    FR.send(&[&BR], text(b"The passport is found.")).into()
}

fn to_both() -> Forged {
    FR.send(&[&BR, &MINUSTAH], text(b"The passport is found.")).into()
}

fn flipped(bytes: &[u8], bit: usize) -> Bytes {
    let mut out = bytes.to_vec();
    out[bit / 8] ^= 1 << (bit % 8);
    out.into()
}

/// A field of an envelope as it is handed out: what it is, its bytes, how others are put there, and the fault they are.
type Field = (&'static str, Bytes, fn(&mut Forged, Bytes), Fault);

fn fields(good: &Forged) -> [Field; 7] {
    let segment = |part| Fault::Part { part, fault: StreamFault::Segment };
    let wrap = &good.wraps[0];
    let signature = Bytes::copy_from_slice(good.header.signature());
    [
        ("header", good.header.bytes().clone(), put_header, Fault::Signature),
        ("signature", signature, put_signature, Fault::Signature),
        (
            "prekey id",
            wrap.prekey_id.clone(),
            |forged, bytes| forged.wraps[0].prekey_id = bytes,
            Fault::Retired,
        ),
        ("KEM ciphertext", wrap.enc.clone(), |forged, bytes| forged.wraps[0].enc = bytes, Fault::Wrap),
        ("wrapped key", wrap.ct.clone(), |forged, bytes| forged.wraps[0].ct = bytes, Fault::Wrap),
        ("body", good.parts[0][0].clone(), |forged, bytes| forged.parts[0][0] = bytes, segment(0)),
        ("file", good.parts[1][0].clone(), |forged, bytes| forged.parts[1][0] = bytes, segment(1)),
    ]
}

fn put_header(forged: &mut Forged, bytes: Bytes) {
    let signature = *forged.header.signature();
    forged.header = SignedHeader::received(bytes, &signature).unwrap();
}

fn put_signature(forged: &mut Forged, signature: Bytes) {
    forged.header = SignedHeader::received(forged.header.bytes().clone(), &signature).unwrap();
}

#[test]
fn whatever_bit_is_flipped_the_outside_hears_the_same_word() {
    let mut forged = Forged::from(FR.send(&[&BR], text(b"x").attach(file("a", vec![1; 9])).unwrap()));
    let mut bits = 0;
    for (name, good, put, fault) in fields(&forged) {
        // Only the public prekey id may tell more; also who is no addressee any more hears nothing else.
        let word = if name == "prekey id" { Reason::KeyRetired } else { Reason::Unopenable };
        for bit in 0..good.len() * 8 {
            put(&mut forged, flipped(&good, bit));
            let found = forged.reach(&BR).unwrap_err();
            assert_eq!((found, found.public()), (fault, word), "bit {bit} of the {name}");
            bits += 1;
        }
        put(&mut forged, good);
    }
    forged.reach(&BR).unwrap(); // whole again
    assert!(bits > 15_000, "{bits} bits are no envelope");
}

#[test]
fn a_wrap_for_another_mailbox_is_none_for_us() {
    let mut forged = to_br();
    forged.wraps[0].mailbox = "bs".into();
    let fault = forged.reach(&BR).unwrap_err();
    assert_eq!((fault, fault.public()), (Fault::NoWrap, Reason::Unopenable));
}

#[test]
fn wraps_do_not_pass_between_messages_or_recipients() {
    let mut forged = to_br();
    let other: Forged = FR.send(&[&BR], text(b"Another.")).into();
    forged.wraps = other.wraps;
    assert_eq!(forged.reach(&BR), Err(Fault::Wrap), "another message's wrap");

    let mut forged = to_both();
    forged.wraps.swap(0, 1);
    forged.reach(&BR).unwrap(); // order means nothing
    let (br, minustah) = (forged.wraps[1].clone(), forged.wraps[0].clone());
    let relabelled = |wrap: &KeyWrap, as_if: &KeyWrap| KeyWrap {
        mailbox: as_if.mailbox.clone(),
        prekey_id: as_if.prekey_id.clone(),
        ..wrap.clone()
    };
    forged.wraps = vec![relabelled(&br, &minustah), relabelled(&minustah, &br)];
    assert_eq!(forged.reach(&BR), Err(Fault::Wrap));
    assert_eq!(forged.reach(&MINUSTAH), Err(Fault::Wrap));
}

#[test]
fn who_is_not_listed_hears_not_for_us_even_with_a_wrap() {
    let mut forged = to_br();
    let sealed = FR.send(&[&BR], text(b"The passport is found.")).sealed;
    let wrap = sealed.wrap_for(&MINUSTAH.mailbox, &MINUSTAH.epoch, &mut Chance::new("insider")).unwrap();
    forged.wraps.push(wrap);
    let fault = forged.reach(&MINUSTAH).unwrap_err();
    assert_eq!((fault, fault.public()), (Fault::NotAddressed, Reason::NotForUs));
    forged.reach(&BR).unwrap();
}

#[test]
fn a_retired_epoch_is_told_from_its_public_id() {
    let gone = EpochSecret::generate(9, NOW, NOW + 1, &mut Chance::new("gone"));
    let envelope = FR.send(&[&BR], text(b"x"));
    let mut chance = Chance::new("late");
    let wrap = envelope.sealed.wrap_for(&BR.mailbox, gone.public(), &mut chance).unwrap();
    let mut forged: Forged = envelope.into();
    let good = std::mem::replace(&mut forged.wraps, vec![wrap.clone()]);
    let fault = forged.reach(&BR).unwrap_err();
    assert_eq!((fault, fault.public()), (Fault::Retired, Reason::KeyRetired));
    // Wrapped again, it opens; the old wrap beside it does no harm.
    forged.wraps.extend(good);
    forged.reach(&BR).unwrap();
    forged.wraps = vec![];
    assert_eq!(forged.reach(&BR), Err(Fault::NoWrap));
}

#[test]
fn two_keys_for_one_ciphertext_end_at_the_commitment() {
    // A malicious author wraps one key for br and another for minustah, so that each would read another text.
    let mut forged = to_both();
    let mut chance = Chance::new("salamander");
    let second = Cek::random(&mut chance);
    forged.wraps[1] =
        seal_wrap(&second, &MINUSTAH.mailbox, &MINUSTAH.epoch, &forged.header.hash(), &mut chance).unwrap();
    forged.reach(&BR).unwrap();
    let fault = forged.reach(&MINUSTAH).unwrap_err();
    assert_eq!((fault, fault.public()), (Fault::Commitment, Reason::Unopenable));
}

#[test]
fn an_insider_who_seals_another_text_under_the_same_key_ends_at_the_root() {
    // br knows the content key; with the relay's help it replaces the body on the way to minustah.
    let envelope = FR.send(&[&BR, &MINUSTAH], text(b"Do not arrest."));
    let cek = Cek::from_bytes(envelope.sealed.cek().as_bytes());
    let schedule = Schedule::new(Context::of(envelope.sealed.fields()), &cek);
    let mut forged: Forged = envelope.into();
    let mut segments = Vec::new();
    let mut sealer = crate::stream::SegmentSealer::new(&schedule, 0);
    sealer.write(&text(b"Arrest him now.").to_parts()[0], &mut |segment| segments.push(segment));
    sealer.finish(&mut |segment| segments.push(segment));
    assert_eq!(segments[0].len(), forged.parts[0][0].len());
    forged.parts[0] = segments;
    let refused = Fault::Part { part: 0, fault: StreamFault::Root };
    assert_eq!(forged.reach(&MINUSTAH), Err(refused));
}

#[test]
fn missing_swapped_and_foreign_parts_are_refused() {
    let message =
        || text(b"x").attach(file("a", vec![1; 70_000])).unwrap().attach(file("b", vec![2; 70_000]));
    let good = || Forged::from(FR.send(&[&BR], message().unwrap()));
    let refused = |forged: &Forged, part, fault| {
        assert_eq!(forged.reach(&BR), Err(Fault::Part { part, fault }));
    };
    let mut forged = good();
    forged.parts.swap(1, 2);
    refused(&forged, 1, StreamFault::Segment);
    let mut forged = good();
    forged.parts[2].pop();
    refused(&forged, 2, StreamFault::Length);
    let mut forged = good();
    forged.parts[1].swap(0, 1);
    refused(&forged, 1, StreamFault::Length);
    let mut forged = good();
    forged.parts.pop();
    refused(&forged, 2, StreamFault::Length);
    good().reach(&BR).unwrap();
}

#[test]
fn an_author_cannot_state_other_parts_than_the_content_names() {
    let dropped = Forged::from(FR.send(&[&BR], text(b"x").attach(file("a", vec![1])).unwrap()));
    let dropped = resealed_wrap(dropped.resigned(|header| header.parts.truncate(1)));
    assert_eq!(dropped.reach(&BR), Err(Fault::Content(ContentError::Parts)));
    let root = Hash([0; 32]);
    let large = to_br().resigned(|header| {
        header.parts[0] = Part { ct_len: CONTENT_CT_MAX + l::SEGMENT_CT_BYTES as u64, ct_root: root };
    });
    assert_eq!(large.reach(&BR), Err(Fault::ContentTooLarge));
}

/// Wraps again after the header changed, with the key of the story (its chance repeats itself).
fn resealed_wrap(mut forged: Forged) -> Forged {
    let cek = Cek::random(&mut Chance::new("a message"));
    let hash = forged.header.hash();
    forged.wraps = vec![seal_wrap(&cek, &BR.mailbox, &BR.epoch, &hash, &mut Chance::new("again")).unwrap()];
    forged
}

#[test]
fn a_lowered_suite_is_refused() {
    for suite in [0, 2] {
        let forged = resealed_wrap(to_br().resigned(|header| header.suite = suite));
        let fault = forged.reach(&BR).unwrap_err();
        assert!(matches!(fault, Fault::Header(_)), "{fault:?}");
        assert_eq!(fault.public(), Reason::Unopenable);
    }
}

#[test]
fn a_signature_of_small_order_proves_nothing() {
    // R = identity, S = 0: with a lax check, and a key of small order, this signs everything.
    let mut signature = [0; 64];
    signature[0] = 1;
    let mut forged = to_br();
    forged.header = SignedHeader::received(forged.header.bytes().clone(), &signature).unwrap();
    assert_eq!(forged.reach(&BR), Err(Fault::Signature));
    let mut identity = [0; 32];
    identity[0] = 1;
    assert!(VerifyKey::from_bytes(&identity).is_err(), "such a key is no signer's");
}

#[test]
fn a_second_encoding_of_a_signed_header_is_refused() {
    let good = to_br();
    let padded = [good.header.bytes(), &[0xfa, 0x01, 0x00][..]].concat(); // an unknown field
    let signature = FR.key.sign(Label::Header, &padded);
    let header = SignedHeader::received(padded.into(), &signature).unwrap();
    let forged = Forged { header, ..good };
    assert_eq!(forged.reach(&BR), Err(Fault::Header(ReadError::Malformed)));
}

#[test]
fn only_the_device_that_the_header_names_may_have_signed_it() {
    // Each signature holds and each key is certified, but not for what the header says.
    let author = |change: fn(&mut Header)| resealed_wrap(to_br().resigned(change)).reach(&BR);
    assert_eq!(author(|header| header.sender = "jp".parse().unwrap()), Err(Fault::Author));
    assert_eq!(author(|header| header.sender_device = "gw2".parse().unwrap()), Err(Fault::Author));
    assert_eq!(author(|header| header.sender_key_id.0[0] ^= 1), Err(Fault::Author));
    // A desk of the same party may be the sender; then the key schedule, bound to the sender, is another one.
    let desk = resealed_wrap(to_br().resigned(|header| header.sender = "fr/fugitives".parse().unwrap()));
    assert_eq!(desk.reach(&BR), Err(Fault::Commitment));
}

#[test]
fn expiry_and_replay_are_outcomes_and_cost_no_unwrapping() {
    let envelope = FR.send(&[&BR], text(b"x"));
    let outcome = |now_ms, known: bool, wraps: &[KeyWrap]| {
        let segments = |part: usize, index: usize| envelope.segment(part, index);
        let arrival = Arrival { header: envelope.sealed.header(), wraps, segments: &segments };
        let mailboxes = std::slice::from_ref(&BR.mailbox);
        let seen = |key: &KeyId, id: &MessageId| {
            assert_eq!((*key, *id), (FR.key.verify_key().id(), envelope.sealed.fields().message_id));
            known
        };
        open(&arrival, &FR.signer(), &Desk { mailboxes, keyring: &BR.keyring, now_ms, seen: &seen })
    };
    let expires_ms = envelope.sealed.fields().expires_ms;
    assert_eq!(outcome(expires_ms + 1, false, &[]), Ok(Outcome::Expired));
    assert_eq!(outcome(NOW, true, &[]), Ok(Outcome::Replayed));
    assert!(matches!(outcome(expires_ms, false, &envelope.wraps), Ok(Outcome::Opened(_))));
    let Ok(Outcome::Opened(early)) = outcome(NOW - l::CLOCK_SUSPECT_MS - 1, false, &envelope.wraps) else {
        panic!("a clock that differs refuses nothing");
    };
    assert!(early.clock_suspect());
}

#[test]
fn a_device_of_two_mailboxes_opens_for_those_whose_wraps_came() {
    let mut keyring = Keyring::default();
    let desk_box: Mailbox = "br/fugitives".parse().unwrap();
    let secret = EpochSecret::generate(1, NOW, NOW + l::EPOCH_MS, &mut Chance::new("desk"));
    let epoch = secret.public().clone();
    keyring.add(desk_box.clone(), secret);
    let mut draft = FR.draft(&[&BR], text(b"x"));
    draft.recipients.push(crate::testing::addressee("br/fugitives"));
    let mut chance = Chance::new("two");
    let sealed = crate::seal::seal(&draft, &FR.key, &mut chance).unwrap();
    let opened_with = |wraps: &[KeyWrap]| {
        let segments = |part: usize, index: usize| sealed.parts().get(part)?.get(index).cloned();
        let arrival = Arrival { header: sealed.header(), wraps, segments: &segments };
        let mailboxes = &[BR.mailbox.clone(), desk_box.clone()];
        match open(
            &arrival,
            &FR.signer(),
            &Desk { mailboxes, keyring: &keyring, now_ms: NOW, seen: &|_, _| false },
        )? {
            Outcome::Opened(opened) => Ok(opened.mailboxes().to_vec()),
            other => panic!("{other:?}"),
        }
    };
    let desk_wrap = sealed.wrap_for(&desk_box, &epoch, &mut chance).unwrap();
    let br_wrap = sealed.wrap_for(&BR.mailbox, &BR.epoch, &mut chance).unwrap();
    assert_eq!(opened_with(std::slice::from_ref(&desk_wrap)), Ok(vec![desk_box.clone()]));
    assert_eq!(opened_with(&[br_wrap.clone(), desk_wrap]), Ok(vec![BR.mailbox.clone(), desk_box.clone()]));
    assert_eq!(opened_with(&[br_wrap]), Err(Fault::Retired));
}

#[test]
fn the_outside_hears_three_words() {
    let part = Fault::Part { part: 0, fault: StreamFault::Root };
    let header = Fault::Header(ReadError::Malformed);
    let content = Fault::Content(ContentError::Malformed);
    let all_else = [
        Fault::TooManyWraps,
        Fault::Signature,
        header,
        Fault::Author,
        Fault::NoWrap,
        Fault::Wrap,
        Fault::Commitment,
    ];
    for fault in all_else.into_iter().chain([part, content, Fault::ContentTooLarge]) {
        assert_eq!(fault.public(), Reason::Unopenable, "{fault}");
    }
    let crowd = Forged { wraps: vec![to_br().wraps[0].clone(); l::RECIPIENTS_MAX + 1], ..to_br() };
    assert_eq!(crowd.reach(&BR), Err(Fault::TooManyWraps));
}

#[test]
fn nothing_that_is_shown_holds_plaintext() {
    let message = Message::new(TypeName::text(), "CANARY", Bytes::from_static(b"CANARY")).unwrap();
    let opened = BR.open(&FR.send(&[&BR], message), &FR).unwrap();
    assert!(!format!("{opened:?}").contains("CANARY"));
    assert_eq!(device(&FR.mailbox), header_of("fr").author());
}
