//! What comes back for what we sent: acceptances, refusals, receipts, bundles. Judged, then kept.
//!
//! A receipt that does not hold is logged and answered as taken ([P-44]): it would only come again.

use valise_certs::leaf::Leaf;
use valise_proto::bundle::SignedBundle;
use valise_proto::kinds::{Reason, ReceiptKind};
use valise_proto::names::{Mailbox, MessageId};
use valise_proto::receipt::{Receipt, SignedReceipt, Speaker};
use valise_proto::refusal::Refusal;
use valise_proto::session::ReceiptId;
use valise_proto::wire;
use valise_seal::schedule::Cek;
use valise_seal::wrap::seal_wrap;

use crate::book::Disbelief;
use crate::boxes::{Noted, Waiting};
use crate::epochs;
use crate::office::{Office, OfficeError};

/// Pause after a refusal whose statement does not hold, milliseconds: neither given up nor tried in a circle.
const DOUBT_MS: u64 = 10_000;
/// Most messages given their missing wrap in one go.
const WRAPS_AT_ONCE: usize = 64;

/// A message is durable at the relay, if the proof holds for it.
pub async fn accepted(
    office: &Office,
    id: MessageId,
    relayed: SignedReceipt,
    relay_leaf: &wire::SigningLeaf,
) -> Result<(), OfficeError> {
    let kept = office.leaf_of(relayed.signer()).await?;
    let judged = office.book.relay_statement(&relayed, kept.as_ref().unwrap_or(relay_leaf));
    let receipt = match judged {
        Ok(receipt) if receipt.kind == ReceiptKind::Relayed && receipt.message_id == id => receipt,
        Ok(_) => return doubt(office, id, "relayed", "for another message").await,
        Err(error) => return doubt(office, id, "relayed", &error.to_string()).await,
    };
    office.book.heard_time(receipt.time_ms);
    if office.write(move |boxes| boxes.relayed(&id, &relayed, &receipt)).await? == Noted::Unmatched {
        return doubt(office, id, "relayed", "for another header").await;
    }
    // Wraps that became known meanwhile follow now; and the next of those that were more than fit a frame.
    office.bells.late_wraps.notify_one();
    office.changed();
    Ok(())
}

/// Nobody who may say so spoke: the message stays, and is tried again after a while, not in a circle.
async fn doubt(office: &Office, id: MessageId, kind: &str, why: &str) -> Result<(), OfficeError> {
    tracing::warn!(event = "receipt-refused", kind, why);
    let until_ms = office.book.own_ms() + DOUBT_MS;
    office.write(move |boxes| boxes.postpone(&id, until_ms, None)).await
}

/// A submission was not taken: tried again later, or ended by the relay's signed word.
pub async fn refused(
    office: &Office,
    id: MessageId,
    code: u32,
    retry_after_ms: u32,
    statement: Option<SignedReceipt>,
    relay_leaf: &wire::SigningLeaf,
) -> Result<(), OfficeError> {
    if retry_after_ms > 0 {
        let until_ms = office.book.own_ms() + u64::from(retry_after_ms);
        let why = Refusal::from_code(code);
        office.write(move |boxes| boxes.postpone(&id, until_ms, why)).await?;
        office.changed();
        return Ok(());
    }
    tracing::warn!(event = "submission-refused", id = valise_host::logs::brief(id.as_bytes()), code);
    if code == Refusal::NoSuchMessage.code() {
        // The relay does not hold what these wraps are for: all of it goes again.
        office.write(move |boxes| boxes.resubmit(&id)).await?;
        office.bells.outbox.notify_one();
        return Ok(());
    }
    let judged = statement.as_ref().map(|receipt| office.book.relay_statement(receipt, relay_leaf));
    let reason = match judged {
        Some(Ok(receipt)) => receipt.reason.unwrap_or(Reason::Malformed),
        Some(Err(error)) => return doubt(office, id, "refused", &error.to_string()).await,
        None => Reason::Malformed,
    };
    let now_ms = office.book.own_ms();
    office.write(move |boxes| boxes.refuse(&id, reason, statement.as_ref(), now_ms)).await?;
    office.changed();
    Ok(())
}

/// Receipts for what we sent. Gives the ids of those that need not come again.
pub async fn note(
    office: &Office,
    receipts: Vec<SignedReceipt>,
    relay_leaf: &wire::SigningLeaf,
) -> Result<Vec<ReceiptId>, OfficeError> {
    let mut taken = Vec::with_capacity(receipts.len());
    for signed in receipts {
        let id = signed.id();
        match judged(office, &signed, relay_leaf).await? {
            Ok(receipt) => {
                let kind = receipt.kind;
                let noted = office.write(move |boxes| boxes.statement_in(&signed, &receipt)).await?;
                if noted == Noted::Unmatched {
                    tracing::warn!(event = "receipt-unmatched", %kind);
                    if kind.is_bad_end() {
                        continue; // it may name a number that our acceptance has not told us yet: it comes again
                    }
                }
            }
            Err(error) => {
                tracing::warn!(event = "receipt-refused", kind = "receipt", why = %error);
                if matches!(error, Disbelief::Papers(_) | Disbelief::NoPapers) {
                    continue; // its signer's certificate, a newer roster or list may follow: it comes again
                }
            }
        }
        taken.push(id);
    }
    office.changed();
    Ok(taken)
}

async fn judged(
    office: &Office,
    signed: &SignedReceipt,
    relay_leaf: &wire::SigningLeaf,
) -> Result<Result<Receipt, Disbelief>, OfficeError> {
    let claim = match signed.claim() {
        Ok(claim) => claim,
        Err(error) => return Ok(Err(error.into())),
    };
    let kept = office.leaf_of(signed.signer()).await?;
    Ok(match (claim.by, kept) {
        (Speaker::Relay(_), kept) => office.book.relay_statement(signed, kept.as_ref().unwrap_or(relay_leaf)),
        (Speaker::Mailbox(_), Some(leaf)) => {
            let judged = office.book.device_statement(signed, &leaf);
            if judged.is_ok() {
                office.keep_leaf(signed.signer(), &leaf).await?;
            }
            judged
        }
        (Speaker::Mailbox(_), None) => Err(Disbelief::NoPapers),
    })
}

/// A signing certificate that what follows names. It is judged with that, at the time of its acceptance: one that has
/// run out since is as good as on that day.
pub fn leaf(office: &Office, leaf: wire::SigningLeaf) {
    match Leaf::read(&leaf.leaf) {
        Ok(read) => office.note_leaf(read.key_id(), leaf),
        Err(fault) => tracing::warn!(event = "certificate-refused", why = %fault),
    }
}

/// A bundle: kept when it holds and is newer; then every message that waited for it gets its wrap.
pub async fn bundle(office: &Office, bundle: SignedBundle) -> Result<(), OfficeError> {
    let read = match office.book.bundle(&bundle) {
        Ok(read) => read,
        Err(error) => {
            tracing::warn!(event = "bundle-refused", why = %error);
            return Ok(());
        }
    };
    let (of, batch_no) = (read.mailbox.clone(), read.batch_no);
    if office.mailboxes.contains(&of) {
        if epochs::adopt(office, &of, &bundle).await? {
            office.bells.publish.notify_one();
        }
        return Ok(());
    }
    office.write(move |boxes| boxes.keep_bundle(&of, batch_no, &bundle)).await?;
    wrap_waiting(office, &read.mailbox, &read).await
}

/// Wraps what waited for a mailbox's key.
async fn wrap_waiting(
    office: &Office,
    mailbox: &Mailbox,
    bundle: &valise_proto::bundle::Bundle,
) -> Result<(), OfficeError> {
    loop {
        let of = mailbox.clone();
        let waiting = office.store(move |boxes| boxes.messages_waiting_for(&of, WRAPS_AT_ONCE)).await?;
        if waiting.is_empty() {
            break;
        }
        for message in waiting {
            let Some((id, wrap)) = wrap(office, mailbox, bundle, &message) else { return Ok(()) };
            let of = mailbox.clone();
            office.write(move |boxes| boxes.add_wraps(&id, vec![(of, wrap)])).await?;
        }
    }
    office.bells.outbox.notify_one();
    office.bells.late_wraps.notify_one();
    Ok(())
}

fn wrap(
    office: &Office,
    mailbox: &Mailbox,
    bundle: &valise_proto::bundle::Bundle,
    message: &Waiting,
) -> Option<(MessageId, wire::KeyWrap)> {
    let usable = bundle.usable(office.book.now_ms());
    if usable.late {
        tracing::warn!(event = "late-key", %mailbox, epoch = usable.epoch.no);
    }
    let cek = Cek::from_bytes(&message.cek);
    match seal_wrap(&cek, mailbox, usable.epoch, &message.header_hash, &mut office.dice()) {
        Ok(wrap) => Some((message.id, wrap)),
        Err(error) => {
            tracing::warn!(event = "epoch-key-unusable", %mailbox, %error);
            None
        }
    }
}
