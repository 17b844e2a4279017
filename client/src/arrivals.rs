//! What arrives: an envelope is judged, opened, kept, and stated; one that cannot be opened is buried and stated.
//!
//! Message, dedupe mark and statement share one commit; only then is anything said to the relay. What is wrong in
//! detail stays in our own log and dead-letter desk; the wire hears one of three words.

use valise_proto::header::{Header, SignedHeader};
use valise_proto::kinds::{Reason, ReceiptKind};
use valise_proto::limits::CLOCK_SUSPECT_MS;
use valise_proto::names::{Mailbox, MessageId};
use valise_proto::receipt::{Receipt, SignedReceipt};
use valise_proto::signing::KeyId;
use valise_proto::transfer::Transfer;
use valise_proto::wire;
use valise_seal::open::{Arrival, Desk, Opened, Outcome, Signer, open};

use crate::boxes::{Content, Incoming, Kept, NewDeadLetter, NewFile, Seen};
use crate::office::{About, Office, OfficeError, locked};

/// The detail of a second message under one id.
const REUSED: &str = "the author used the message id before for another message";

/// An envelope and the papers that came for it.
pub struct Delivery {
    /// The envelope.
    pub transfer: Transfer,
    /// The relay's statement certificate, from its Welcome.
    pub relay_leaf: wire::SigningLeaf,
}

/// What the mailbox must hear of an envelope that was not kept.
struct Burial {
    reason: Reason,
    detail: String,
}

/// Judges and keeps one envelope. Durable when it returns; the relay's number of it. None: it cannot be judged yet,
/// and comes again in another session.
pub async fn take(office: &Office, delivery: Delivery) -> Result<Option<u64>, OfficeError> {
    let Delivery { transfer, relay_leaf } = delivery;
    let Some(relayed) = transfer.relayed.clone() else { return Ok(None) }; // the session refuses these
    if !office.book.has_roster(transfer.facts.roster_no).await {
        // Its author may be a party we do not know yet: no word on it before we can know.
        tracing::warn!(event = "roster-behind", wanted = transfer.facts.roster_no);
        return Ok(None);
    }
    let kept = office.leaf_of(relayed.signer()).await?;
    let proof = match proof(office, &relayed, kept.as_ref().unwrap_or(&relay_leaf), &transfer.header) {
        Ok(proof) => proof,
        Err((sequence, burial)) => {
            let about = about(&transfer, sequence, recipient(office, &transfer));
            bury(office, &transfer.header, &about, burial).await?;
            office.bells.statements.notify_one();
            return Ok(Some(sequence));
        }
    };
    office.book.heard_time(proof.time_ms); // kept on disk with the message
    let about = about(&transfer, proof.sequence, recipient(office, &transfer));
    match judge(office, &transfer, &proof).await? {
        Ok(Verdict::Keep(opened, leaf)) => keep(office, transfer, relayed, &about, *opened, leaf).await?,
        Ok(Verdict::Again) => again(office, &transfer.facts, &about).await?,
        Ok(Verdict::Expired) => {
            // The relay ends it by its own clock, and says so; nothing is claimed here.
            tracing::info!(event = "arrived-expired", sequence = proof.sequence);
        }
        Err(burial) => bury(office, &transfer.header, &about, burial).await?,
    }
    office.bells.statements.notify_one();
    office.changed();
    Ok(Some(proof.sequence))
}

/// The relay's proof of acceptance, for exactly this header.
fn proof(
    office: &Office,
    relayed: &SignedReceipt,
    leaf: &wire::SigningLeaf,
    header: &SignedHeader,
) -> Result<Receipt, (u64, Burial)> {
    let sequence = relayed.claim().map_or(0, |claim| claim.sequence);
    let bad = |detail: String| (sequence, Burial { reason: Reason::Unopenable, detail });
    let receipt =
        office.book.relay_statement(relayed, leaf).map_err(|error| bad(format!("relayed: {error}")))?;
    if receipt.kind != ReceiptKind::Relayed || receipt.header_hash != header.hash() {
        return Err(bad("the proof of acceptance is for another header".to_owned()));
    }
    Ok(receipt)
}

enum Verdict {
    Keep(Box<Opened>, wire::SigningLeaf),
    Again,
    Expired,
}

/// The author's papers at the time of acceptance, then every check of the seal, in its order.
async fn judge(
    office: &Office,
    transfer: &Transfer,
    proof: &Receipt,
) -> Result<Result<Verdict, Burial>, OfficeError> {
    let unopenable = |detail: String| Ok(Err(Burial { reason: Reason::Unopenable, detail }));
    let Some(key) = transfer.header.claimed_key() else { return unopenable("header: no key".to_owned()) };
    let Some(leaf) = office.leaf_of(key).await? else {
        return unopenable("the author's certificate did not come".to_owned());
    };
    let signer = match office.book.signer(&leaf, proof.time_ms) {
        Ok(signer) => signer,
        Err(error) => return unopenable(format!("author: {error}")),
    };
    let Some(device) = signer.device().cloned() else {
        return unopenable("author: a relay's certificate".to_owned());
    };
    let signer = Signer { key: *signer.key(), device };
    let (hash, id) = (transfer.header.hash(), transfer.facts.message_id);
    let seen = office.store(move |boxes| boxes.seen(&key, &id, &hash)).await?;
    if matches!(seen, Seen::Reused) {
        return unopenable(REUSED.to_owned());
    }
    let known = matches!(seen, Seen::Kept { .. });
    Ok(match unseal(office, transfer, &signer, known) {
        Ok(Outcome::Opened(opened)) => {
            office.keep_leaf(key, &leaf).await?;
            Ok(Verdict::Keep(opened, leaf))
        }
        Ok(Outcome::Replayed) => Ok(Verdict::Again),
        Ok(Outcome::Expired) => Ok(Verdict::Expired),
        Err(fault) => Err(Burial { reason: fault.public(), detail: fault.to_string() }),
    })
}

fn unseal(
    office: &Office,
    transfer: &Transfer,
    signer: &Signer,
    known: bool,
) -> Result<Outcome, valise_seal::open::Fault> {
    let wraps: Vec<wire::KeyWrap> = transfer.wraps.iter().map(|(_, wrap)| wrap.clone()).collect();
    let segment = |part: usize, index: usize| transfer.parts.get(part)?.get(index).cloned();
    let arrival = Arrival { header: &transfer.header, wraps: &wraps, segments: &segment };
    let keyring = locked(&office.keyring);
    let desk = Desk {
        mailboxes: &office.mailboxes,
        keyring: &keyring,
        now_ms: office.book.now_ms(),
        seen: &|_: &KeyId, _: &MessageId| known,
    };
    open(&arrival, signer, &desk)
}

/// The mailbox of ours that the envelope came for: the wrap says; without one, the header; else our first.
fn recipient(office: &Office, transfer: &Transfer) -> Mailbox {
    let wrapped = transfer.wraps.iter().map(|(mailbox, _)| mailbox).find(|m| office.mailboxes.contains(m));
    let named = || office.mailboxes.iter().find(|mailbox| transfer.facts.recipient(mailbox).is_some());
    wrapped.or_else(named).unwrap_or(&office.mailboxes[0]).clone()
}

fn about(transfer: &Transfer, sequence: u64, mailbox: Mailbox) -> About {
    About { message_id: transfer.facts.message_id, header_hash: transfer.header.hash(), sequence, mailbox }
}

async fn keep(
    office: &Office,
    transfer: Transfer,
    relayed: SignedReceipt,
    about: &About,
    opened: Opened,
    leaf: wire::SigningLeaf,
) -> Result<(), OfficeError> {
    let delivered = office.state(about, ReceiptKind::Delivered, None);
    let now_ms = office.book.own_ms();
    let ahead = opened.header().created_ms > now_ms.saturating_add(CLOCK_SUSPECT_MS);
    let incoming = Incoming {
        sequence: about.sequence,
        header: transfer.header,
        facts: opened.header().clone(),
        relayed,
        mailbox: about.mailbox.clone(),
        clock_suspect: opened.clock_suspect() || ahead,
        content: content(opened),
        leaf,
        delivered,
        now_ms,
    };
    let header = incoming.header.clone();
    if office.write(move |boxes| boxes.keep(incoming)).await? == Kept::Reused {
        // Two envelopes under one id raced past the first look: the one that lost is no message.
        let detail = REUSED.to_owned();
        return bury(office, &header, about, Burial { reason: Reason::Unopenable, detail }).await;
    }
    let id = valise_host::logs::brief(about.message_id.as_bytes());
    tracing::info!(event = "message-delivered", id, sequence = about.sequence);
    Ok(())
}

fn content(opened: Opened) -> Content {
    let message = opened.into_message();
    let file = |file: &valise_seal::content::Attachment| NewFile {
        name: file.name().to_owned(),
        media_type: file.media_type().to_owned(),
        sha256: file.sha256().0,
        data: file.data().clone(),
    };
    Content {
        type_name: message.kind().as_str().to_owned(),
        subject: message.subject().to_owned(),
        body: message.body().clone(),
        lang: message.lang().to_owned(),
        in_reply_to: message.in_reply_to().map(|id| id.to_string()).unwrap_or_default(),
        files: message.attachments().iter().map(file).collect(),
    }
}

/// A replay of a kept message: nothing is shown twice; what was stated is stated again, for this mailbox too.
async fn again(office: &Office, facts: &Header, about: &About) -> Result<(), OfficeError> {
    let delivered = office.state(about, ReceiptKind::Delivered, None);
    let (key, id) = (facts.sender_key_id, facts.message_id);
    office.write(move |boxes| boxes.state_again(&key, &id, &delivered)).await?;
    tracing::info!(event = "message-known", sequence = about.sequence);
    Ok(())
}

async fn bury(
    office: &Office,
    header: &SignedHeader,
    about: &About,
    burial: Burial,
) -> Result<(), OfficeError> {
    let kind = if burial.reason == Reason::NotForUs { ReceiptKind::Refused } else { ReceiptKind::Unopenable };
    let statement = office.state(about, kind, Some(burial.reason));
    tracing::warn!(
        event = "message-unopenable",
        sequence = about.sequence,
        reason = burial.reason.as_str(),
        detail = burial.detail
    );
    let letter = NewDeadLetter {
        sequence: about.sequence,
        header: header.clone(),
        detail: burial.detail,
        statement,
        now_ms: office.book.own_ms(),
    };
    office.write(move |boxes| boxes.dead_letter(letter)).await?;
    Ok(())
}
