//! End-to-end sealing, suite 1: the only code that can seal or open an envelope. Never linked into the relay.
//!
//! No clock, no chance, no files: all are handed in. `SEALING.md` numbers the rules that the code cites as `[S-n]`.
//! Rooms: [`keys`], [`keyring`], [`epochs`] who can open · [`content`] what is written · [`seal`](mod@seal) and
//! [`open`](mod@open) the two ways · [`wrap`], [`schedule`], [`stream`], [`padding`] what they are made of ·
//! [`limits`] the numbers.
//!
//! The bureau `fr` writes to `br`:
//!
//! ```
//! use valise_proto::header::Recipient;
//! use valise_proto::kinds::{Addressing, Class, Precedence};
//! use valise_proto::names::{DeviceId, Mailbox};
//! use valise_proto::signing::SigningKey;
//! use valise_seal::content::{Message, TypeName};
//! use valise_seal::epochs::EpochMaker;
//! use valise_seal::keyring::Keyring;
//! use valise_seal::keys::DeviceKemSecret;
//! use valise_seal::open::{Arrival, Desk, Outcome, Signer, open};
//! use valise_seal::seal::{Draft, new_message_id, seal};
//! # use std::convert::Infallible;
//! # struct Chance(u64); // stands for the operating system's generator
//! # impl rand_core::TryRng for Chance {
//! #     type Error = Infallible;
//! #     fn try_next_u32(&mut self) -> Result<u32, Infallible> { Ok(0) }
//! #     fn try_next_u64(&mut self) -> Result<u64, Infallible> { Ok(0) }
//! #     fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
//! #         for byte in out { self.0 = self.0.wrapping_mul(6364136223846793005) + 99; *byte = (self.0 >> 33) as u8; }
//! #         Ok(())
//! #     }
//! # }
//! # impl rand_core::TryCryptoRng for Chance {}
//! # let mut rng = Chance(1);
//! # let now_ms = 1_790_000_000_000;
//! let (fr, br): (Mailbox, Mailbox) = ("fr".parse()?, "br".parse()?);
//! let fr_key = SigningKey::from_seed(&[1; 32]); // from its key file
//!
//! // br, at its first start: an epoch, stored before its bundle is published.
//! let maker = EpochMaker {
//!     mailbox: &br,
//!     device: &"gw1".parse()?,
//!     kem: &DeviceKemSecret::from_seed(&[2; 32]),
//!     key: &SigningKey::from_seed(&[3; 32]),
//!     leaf: Default::default(), // its certificates
//!     issuer: Default::default(),
//! };
//! let mut keyring = Keyring::default();
//! let batch = maker.next(None, &keyring, now_ms, &mut rng)?;
//! keyring.add(br.clone(), batch.secret);
//!
//! // fr: header, signature and content now; the wrap as soon as the bundle of br is known.
//! let draft = Draft {
//!     message_id: new_message_id(&mut rng),
//!     message: Message::new(TypeName::text(), "Stolen passport", "See annex.".into())?,
//!     sender: fr.clone(),
//!     device: "gw1".parse()?,
//!     recipients: vec![Recipient { mailbox: br.clone(), addressing: Addressing::Action, pair_seq: 1 }],
//!     class: Class::Message,
//!     precedence: Precedence::Routine,
//!     created_ms: now_ms,
//!     expires_ms: now_ms + valise_proto::limits::MESSAGE_LIFE_MS,
//!     roster_no: 1,
//! };
//! let sealed = seal(&draft, &fr_key, &mut rng)?;
//! let wrap = sealed.wrap_for(&br, batch.bundle.usable(now_ms).epoch, &mut rng)?;
//!
//! // br: the certificates have told whose key signed.
//! let signer = Signer {
//!     key: fr_key.verify_key(),
//!     device: DeviceId { party: fr.party(), device: "gw1".parse()? },
//! };
//! let arrival = Arrival {
//!     header: sealed.header(),
//!     wraps: &[wrap],
//!     segments: &|part, index| sealed.parts().get(part)?.get(index).cloned(),
//! };
//! let desk = Desk { mailboxes: &[br], keyring: &keyring, now_ms, seen: &|_, _| false };
//! let Outcome::Opened(opened) = open(&arrival, &signer, &desk)? else { panic!("neither expired nor replayed") };
//! assert_eq!(opened.message(), &draft.message);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(missing_docs)]

pub mod content;
pub mod epochs;
pub mod keyring;
pub mod keys;
mod labels;
pub mod limits;
pub mod open;
pub mod padding;
pub mod schedule;
pub mod seal;
pub mod stream;
pub mod wrap;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod vectors;
