//! Figures of sealing: a 2 KiB text to one mailbox and to 187, opening it, and the bare stream of a large file. One
//! thread; keys are parsed before the clock starts, wraps and chance are inside it.

use bytes::Bytes;
use getrandom::SysRng;
use rand_core::UnwrapErr;
use valise_proto::bundle::Epoch;
use valise_proto::header::Recipient;
use valise_proto::kinds::{Addressing, Class, Precedence};
use valise_proto::limits::{EPOCH_MS, MESSAGE_LIFE_MS};
use valise_proto::names::{DeviceId, Mailbox};
use valise_proto::signing::SigningKey;
use valise_proto::wire::KeyWrap;
use valise_seal::content::{Message, TypeName};
use valise_seal::keyring::Keyring;
use valise_seal::keys::EpochSecret;
use valise_seal::open::{Arrival, Desk, Outcome, Signer, open};
use valise_seal::schedule::{Cek, Context, Schedule};
use valise_seal::seal::{Draft, Sealed, new_message_id, seal};
use valise_seal::stream::{SegmentOpener, SegmentSealer};

use crate::page::Section;
use crate::table::{self, measure, millis};

/// Mailboxes of the federation's bureaus.
const BUREAUS: usize = 187;
/// Bytes of the text.
const TEXT: usize = 2048;
/// Bytes of the large file: the most that one message carries.
const FILE: usize = 16 * 1024 * 1024;
/// Any time will do: keys are made for it.
const NOW_MS: u64 = 1_790_000_000_000;

/// An author, the mailboxes it may write to, and the keys of the first.
struct Scene {
    author: SigningKey,
    addressees: Vec<(Mailbox, Epoch)>,
    keyring: Keyring,
}

impl Scene {
    fn new() -> Self {
        let mut keyring = Keyring::default();
        let addressees = (0..BUREAUS)
            .map(|at| {
                let mailbox: Mailbox = format!("b{at}").parse().expect("a letter and digits are a name");
                let secret = EpochSecret::generate(1, NOW_MS, NOW_MS + EPOCH_MS, &mut UnwrapErr(SysRng));
                let epoch = secret.public().clone();
                keyring.add(mailbox.clone(), secret);
                (mailbox, epoch)
            })
            .collect();
        Self { author: SigningKey::from_seed(&[1; 32]), addressees, keyring }
    }

    /// Seals the text to the first `count` mailboxes, signature and wraps included.
    fn send(&self, count: usize) -> (Sealed, Vec<KeyWrap>) {
        let mut rng = UnwrapErr(SysRng);
        let to = &self.addressees[..count];
        let recipient = |mailbox: &Mailbox| Recipient {
            mailbox: mailbox.clone(),
            addressing: Addressing::Info,
            pair_seq: 1,
        };
        let draft = Draft {
            message_id: new_message_id(&mut rng),
            message: Message::new(TypeName::text(), "Figures", Bytes::from(vec![b'x'; TEXT]))
                .expect("a short text is within bounds"),
            sender: "fr".parse().expect("a name"),
            device: "gw1".parse().expect("a name"),
            recipients: to.iter().map(|(mailbox, _)| recipient(mailbox)).collect(),
            class: Class::Message,
            precedence: Precedence::Routine,
            created_ms: NOW_MS,
            expires_ms: NOW_MS + MESSAGE_LIFE_MS,
            roster_no: 1,
        };
        let sealed = seal(&draft, &self.author, &mut rng).expect("the draft is within bounds");
        let wraps = to
            .iter()
            .map(|(mailbox, epoch)| sealed.wrap_for(mailbox, epoch, &mut rng).expect("the key is usable"))
            .collect();
        (sealed, wraps)
    }

    /// Opens as the first mailbox, from the signature to the text; its own wrap came alone, as the relay delivers it.
    fn open(&self, sealed: &Sealed, wraps: &[KeyWrap]) {
        let signer = Signer {
            key: self.author.verify_key(),
            device: DeviceId { party: "fr".parse().expect("a name"), device: "gw1".parse().expect("a name") },
        };
        let arrival = Arrival {
            header: sealed.header(),
            wraps: &wraps[..1],
            segments: &|part, index| sealed.parts().get(part)?.get(index).cloned(),
        };
        let mailboxes = std::slice::from_ref(&self.addressees[0].0);
        let desk = Desk { mailboxes, keyring: &self.keyring, now_ms: NOW_MS, seen: &|_, _| false };
        let outcome = open(&arrival, &signer, &desk).expect("it was sealed to this mailbox");
        assert!(matches!(outcome, Outcome::Opened(_)));
    }
}

/// What the section says above its table.
const ABOUT: &str = "
One thread, no network, no disk. To seal is to make header, signature, content and all wraps; to open is to check all of it, from
the signature to the text, with the one wrap that the relay delivers. The stream figures include root and padding.
";

/// The most that one notice to all bureaus may take, and what it should.
const LIMIT_MS: f64 = 150.0;
const GOAL_MS: f64 = 60.0;

/// Measures everything; about five seconds.
pub(crate) fn figures() -> Section {
    let scene = Scene::new();
    let (one, all) = (scene.send(1), scene.send(BUREAUS));
    let schedule = Schedule::new(Context::of(one.0.fields()), &Cek::random(&mut UnwrapErr(SysRng)));
    let file = vec![0x5a; FILE];
    let stream = || {
        let mut segments = Vec::new();
        let mut sealer = SegmentSealer::new(&schedule, 1);
        sealer.write(&file, &mut |segment| segments.push(segment));
        let part = sealer.finish(&mut |segment| segments.push(segment));
        (segments, part)
    };
    let (segments, part) = stream();
    let to_all = measure("seal 2 KiB to 187 mailboxes", 3, || scene.send(BUREAUS));
    let took = millis(to_all.median());
    let rows = [
        measure("seal 2 KiB to 1 mailbox", 200, || scene.send(1)),
        to_all,
        measure("open 2 KiB of 1", 200, || scene.open(&one.0, &one.1)),
        measure("open 2 KiB of 187", 200, || scene.open(&all.0, &all.1)),
        measure("seal a stream of 16 MiB, root and padding included", 1, stream).of_bytes(FILE),
        measure("open it, root and padding included", 1, || {
            let mut opener = SegmentOpener::new(&schedule, 1, &part);
            segments.iter().for_each(|segment| opener.push(segment).expect("it was just sealed"));
            opener.finish().expect("it was just sealed")
        })
        .of_bytes(FILE),
    ];
    let kept = if took <= LIMIT_MS { "kept" } else { "MISSED" };
    let figures = format!(
        "{}\nOne notice to 187 mailboxes: {took:.0} ms; the limit of {LIMIT_MS:.0} ms is {kept}, the goal is {GOAL_MS:.0} ms. On a link \
         of 1 Mbit/s its wraps alone take 1.8 s.\n",
        table::timed(&rows)
    );
    Section { name: "seal", command: "cargo figures seal".to_owned(), about: ABOUT, figures }
}
