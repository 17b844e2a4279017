//! Envelopes sealed ahead of the clock, by the product's own sealing, and encoded as they go on the wire.

use bytes::{Bytes, BytesMut};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use valise_proto::bundle::Epoch;
use valise_proto::frame::encode;
use valise_proto::header::Recipient;
use valise_proto::kinds::{Addressing, Class, Precedence};
use valise_proto::limits::{EPOCH_MS, MESSAGE_LIFE_MS};
use valise_proto::names::{Mailbox, MessageId};
use valise_proto::transfer;
use valise_seal::content::{Message, TypeName};
use valise_seal::keys::EpochSecret;
use valise_seal::seal::{Draft, new_message_id, seal};

use crate::federation::{Device, now_ms};

/// Bytes of each text.
pub(crate) const TEXT_BYTES: usize = 1024;

/// One sealed message to one mailbox.
#[derive(Debug)]
pub(crate) struct Envelope {
    /// Its id.
    pub(crate) id: MessageId,
    /// All its frames, one after another.
    pub(crate) frames: Bytes,
}

/// Where envelopes go.
#[derive(Debug)]
pub(crate) struct Addressee {
    mailbox: Mailbox,
    epoch: Epoch,
}

impl Addressee {
    /// A mailbox with an epoch of its own. Nobody here opens what is sealed to it: that is `figures seal`.
    pub(crate) fn new(mailbox: &Mailbox) -> Self {
        let secret = EpochSecret::generate(1, now_ms(), now_ms() + EPOCH_MS, &mut UnwrapErr(SysRng));
        Self { mailbox: mailbox.clone(), epoch: secret.public().clone() }
    }
}

/// Seals for each author as many as asked, to the addressees in turn; on as many threads as there are cores.
pub(crate) fn sealed(
    authors: &[Device],
    to: &[Addressee],
    each: usize,
    roster_no: u64,
) -> Vec<Vec<Envelope>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shares = authors.chunks(authors.len().div_ceil(cores));
    std::thread::scope(|scope| {
        let seal_share = |share: &[Device]| -> Vec<Vec<Envelope>> {
            let of = |author| (0..each).map(move |at| sealed_one(author, &to[at % to.len()], at, roster_no));
            share.iter().map(|author| of(author).collect()).collect()
        };
        let threads: Vec<_> = shares.map(|share| scope.spawn(move || seal_share(share))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("sealing does not panic")).collect()
    })
}

fn sealed_one(author: &Device, to: &Addressee, number: usize, roster_no: u64) -> Envelope {
    let mut rng = UnwrapErr(SysRng);
    let now_ms = now_ms();
    let recipient = Recipient {
        mailbox: to.mailbox.clone(),
        addressing: Addressing::Action,
        pair_seq: number as u64 + 1,
    };
    let draft = Draft {
        message_id: new_message_id(&mut rng),
        message: Message::new(TypeName::text(), "Figures", Bytes::from(vec![b'x'; TEXT_BYTES]))
            .expect("a short text is within bounds"),
        sender: author.mailbox.clone(),
        device: author.id.device.clone(),
        recipients: vec![recipient],
        class: Class::Message,
        precedence: Precedence::Routine,
        created_ms: now_ms,
        expires_ms: now_ms + MESSAGE_LIFE_MS,
        roster_no,
    };
    let sealed = seal(&draft, &author.key, &mut rng).expect("the draft is within bounds");
    let wrap = sealed.wrap_for(&to.mailbox, &to.epoch, &mut rng).expect("the key is usable");
    let number = number as u64;
    let mut frames = BytesMut::new();
    for frame in transfer::opening(number, sealed.header(), None, [wrap]) {
        frames.extend_from_slice(&encode(frame));
    }
    for (part, segments) in (0..).zip(sealed.parts()) {
        for (index, segment) in (0..).zip(segments) {
            frames.extend_from_slice(&encode(transfer::segment(number, part, index, segment.clone())));
        }
    }
    frames.extend_from_slice(&encode(transfer::end(number)));
    Envelope { id: draft.message_id, frames: frames.freeze() }
}
