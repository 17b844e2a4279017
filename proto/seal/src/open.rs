//! Opening: the checks in their one order, and nothing released before the last of them. `Opened` is built here only.
//!
//! The author's papers are judged by the certificates before; what is said to the outside is one of three words.

use bytes::Bytes;
use valise_proto::header::{Header, SignedHeader};
use valise_proto::kinds::Reason;
use valise_proto::limits as l;
use valise_proto::names::{DeviceId, Mailbox, MessageId};
use valise_proto::signing::{Hash, KeyId, VerifyKey};
use valise_proto::wire::{KeyWrap, ReadError};

use crate::content::{ContentError, Message};
use crate::keyring::Keyring;
use crate::limits::CONTENT_CT_MAX;
use crate::schedule::{Cek, Context, Schedule};
use crate::stream::{SegmentOpener, StreamFault};
use crate::wrap::open_wrap;

/// What came: header, the wraps that were with it, and a way to its segments by part and index.
pub struct Arrival<'a> {
    /// Header and signature, exactly as received.
    pub header: &'a SignedHeader,
    /// Wraps, for us and perhaps for others.
    pub wraps: &'a [KeyWrap],
    /// Segment by part and index in the part; `None` when there is none.
    pub segments: &'a dyn Fn(usize, usize) -> Option<Bytes>,
}

/// An author whose certificates hold: chain, role, and revocation at the relay's time of acceptance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The certified key.
    pub key: VerifyKey,
    /// The device it is certified for.
    pub device: DeviceId,
}

/// Who opens, with what, and when.
pub struct Desk<'a> {
    /// Our mailboxes.
    pub mailboxes: &'a [Mailbox],
    /// Our epochs.
    pub keyring: &'a Keyring,
    /// Unix milliseconds: the later of our clock and the newest time that a relay signed.
    pub now_ms: u64,
    /// Whether this key's message with this id is known already; kept until it expires and 48 hours more.
    pub seen: &'a dyn Fn(&KeyId, &MessageId) -> bool,
}

/// An envelope that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    header: Header,
    header_hash: Hash,
    signer: Signer,
    mailboxes: Vec<Mailbox>,
    clock_suspect: bool,
    message: Message,
}

impl Opened {
    /// What the author signed.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Hash of the header as received: what a receipt names.
    pub fn header_hash(&self) -> &Hash {
        &self.header_hash
    }

    /// Whose signature holds.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Those of our mailboxes that it is addressed to and that a wrap came for.
    pub fn mailboxes(&self) -> &[Mailbox] {
        &self.mailboxes
    }

    /// Whether it says to be from the future; shown, never a reason to refuse ([S-30]).
    pub fn clock_suspect(&self) -> bool {
        self.clock_suspect
    }

    /// What was written.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// What was written, to keep.
    pub fn into_message(self) -> Message {
        self.message
    }
}

/// How an authentic envelope ended. Expiry and replay are no faults of anyone ([S-29]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Open.
    Opened(Box<Opened>),
    /// Past its time; not unwrapped.
    Expired,
    /// Known already; not unwrapped.
    Replayed,
}

/// Why an envelope was not opened, in full: for our log and dead-letter desk, never for the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More wraps than an envelope can have addressees.
    #[error("it came with more wraps than an envelope has addressees")]
    TooManyWraps,
    /// The signature is not the certified key's over the received header.
    #[error("the author's signature does not hold")]
    Signature,
    /// The header breaks the treaty.
    #[error("the header breaks its rule: {0}")]
    Header(ReadError),
    /// The content is larger than its bound.
    #[error("the content is larger than its bound")]
    ContentTooLarge,
    /// The header names another key or device than the certificate.
    #[error("the header names another author than the certificate")]
    Author,
    /// None of our mailboxes is an addressee.
    #[error("it is not addressed to us")]
    NotAddressed,
    /// It is addressed to us, but no wrap for us came with it.
    #[error("no key wrap for us came with it; its author is asked to wrap again")]
    NoWrap,
    /// Its wraps name epochs whose seeds are gone.
    #[error("it is sealed to an epoch that is gone; its author is asked to wrap again")]
    Retired,
    /// A wrap for us does not open.
    #[error("the key wrap does not open")]
    Wrap,
    /// The wrapped key is not the one that the author committed to.
    #[error("the wrapped key is not the one its author committed to")]
    Commitment,
    /// A part does not open.
    #[error("part {part}: {fault}")]
    Part {
        /// Which.
        part: usize,
        /// Why.
        fault: StreamFault,
    },
    /// The opened content breaks its form.
    #[error("the opened content: {0}")]
    Content(ContentError),
}

impl Fault {
    /// The one of three words that the outside may hear ([S-28]).
    pub fn public(&self) -> Reason {
        match self {
            Self::NotAddressed => Reason::NotForUs,
            Self::Retired => Reason::KeyRetired,
            _ => Reason::Unopenable,
        }
    }
}

/// Opens an envelope. The order of checks is fixed ([S-21]): sizes, signature, encoding, author, addressee, expiry
/// and replay, wrap, commitment, segments, roots, content.
pub fn open(arrival: &Arrival<'_>, signer: &Signer, desk: &Desk<'_>) -> Result<Outcome, Fault> {
    if arrival.wraps.len() > l::RECIPIENTS_MAX {
        return Err(Fault::TooManyWraps);
    }
    let header = authentic_header(arrival.header, signer)?;
    let addressed: Vec<&Mailbox> =
        desk.mailboxes.iter().filter(|mailbox| header.recipient(mailbox).is_some()).collect();
    if addressed.is_empty() {
        return Err(Fault::NotAddressed); // [S-23]
    }
    if desk.now_ms > header.expires_ms {
        return Ok(Outcome::Expired);
    }
    if (desk.seen)(&header.sender_key_id, &header.message_id) {
        return Ok(Outcome::Replayed);
    }
    let header_hash = arrival.header.hash();
    let cek = unwrap(arrival.wraps, &addressed, desk.keyring, &header_hash)?;
    let schedule = Schedule::new(Context::of(&header), &cek);
    if !schedule.commits_to(&header.cek_commit) {
        return Err(Fault::Commitment); // [S-26]: before anything is decrypted
    }
    let message = content(arrival, &header, &schedule)?;
    let with_wrap = |mailbox: &&&Mailbox| arrival.wraps.iter().any(|wrap| wrap.mailbox == mailbox.as_str());
    let mailboxes = addressed.iter().filter(with_wrap).map(|mailbox| (*mailbox).clone()).collect();
    Ok(Outcome::Opened(Box::new(Opened {
        clock_suspect: header.created_ms > desk.now_ms.saturating_add(l::CLOCK_SUSPECT_MS),
        header,
        header_hash,
        signer: signer.clone(),
        mailboxes,
        message,
    })))
}

/// The signature over the received bytes first ([S-20]), then what they say, then whether the signer may say it.
fn authentic_header(received: &SignedHeader, signer: &Signer) -> Result<Header, Fault> {
    received.verify(&signer.key).map_err(|_| Fault::Signature)?;
    let header = received.read().map_err(Fault::Header)?; // [S-1]: another suite ends here
    if header.parts[0].ct_len > CONTENT_CT_MAX {
        return Err(Fault::ContentTooLarge);
    }
    if header.sender_key_id != signer.key.id() || header.author() != signer.device {
        return Err(Fault::Author); // [S-22]
    }
    Ok(header)
}

/// The content key out of any wrap that is ours. Whether a key is retired is read from the public prekey id alone
/// ([S-24]); of several wraps, one that opens is enough.
fn unwrap(
    wraps: &[KeyWrap],
    addressed: &[&Mailbox],
    keyring: &Keyring,
    header_hash: &Hash,
) -> Result<Cek, Fault> {
    let mut fault = Fault::NoWrap;
    for wrap in wraps {
        let Some(mailbox) = addressed.iter().find(|mailbox| wrap.mailbox == mailbox.as_str()) else {
            continue;
        };
        let epoch = wrap.prekey_id[..].try_into().ok().and_then(|id| keyring.find(mailbox, id));
        match epoch.map(|epoch| open_wrap(wrap, mailbox, epoch, header_hash)) {
            Some(Ok(cek)) => return Ok(cek),
            Some(Err(_)) => fault = Fault::Wrap,
            None if fault == Fault::NoWrap => fault = Fault::Retired,
            None => {}
        }
    }
    Err(fault)
}

/// Opens every part; the message exists only when all roots are proven ([S-27]).
fn content(arrival: &Arrival<'_>, header: &Header, schedule: &Schedule) -> Result<Message, Fault> {
    let mut parts = Vec::with_capacity(header.parts.len());
    for (part, stated) in header.parts.iter().enumerate() {
        let because = |fault| Fault::Part { part, fault };
        let no = u32::try_from(part).expect("invariant: a header has at most 64 parts");
        let count = usize::try_from(stated.segments()).expect("invariant: a part has at most 18 MiB");
        let mut opener = SegmentOpener::new(schedule, no, stated);
        for index in 0..count {
            let segment = (arrival.segments)(part, index).ok_or_else(|| because(StreamFault::Length))?;
            opener.push(&segment).map_err(because)?;
        }
        parts.push(Bytes::from(opener.finish().map_err(because)?));
    }
    Message::from_parts(parts).map_err(Fault::Content)
}

#[cfg(test)]
mod tests;
