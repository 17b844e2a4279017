//! Our own epochs: made at the first start, published at the first Welcome, renewed weekly. None is deleted here.
//!
//! An epoch rests in the store before its bundle leaves the daemon.

use std::time::Duration;

use valise_proto::bundle::SignedBundle;
use valise_proto::names::Mailbox;
use valise_seal::epochs::{EpochMaker, renewal_due};
use valise_seal::keys::EpochSecret;

use crate::office::{Office, OfficeError, locked};

/// How often it is asked whether a new epoch is due. By wall clock: a laptop may sleep through a timer.
pub const LOOK_EVERY: Duration = Duration::from_secs(600);

/// Loads the epochs held, and makes what is missing or due. True when a mailbox has a batch to publish.
pub async fn prepare(office: &Office) -> Result<bool, OfficeError> {
    for held in office.store(|boxes| boxes.epochs()).await? {
        match EpochSecret::from_bytes(&held.secret) {
            Ok(secret) => locked(&office.keyring).add(held.mailbox, secret),
            Err(error) => {
                tracing::error!(event = "epoch-unreadable", mailbox = %held.mailbox, no = held.no, %error);
            }
        }
    }
    renew(office).await
}

/// Makes a batch for each of our mailboxes where one is due. True when there is something to publish.
pub async fn renew(office: &Office) -> Result<bool, OfficeError> {
    let mut made = false;
    for mailbox in office.mailboxes.clone() {
        made |= renew_one(office, &mailbox).await?;
    }
    Ok(made)
}

/// The relay holds a batch of ours that we do not know: our store was lost or is older. The chain goes on from the
/// relay's copy, with an epoch that we can open. True when there is something to publish.
pub async fn adopt(office: &Office, mailbox: &Mailbox, held: &SignedBundle) -> Result<bool, OfficeError> {
    let asked = mailbox.clone();
    let own = office.store(move |boxes| boxes.own_bundle(&asked)).await?;
    let newest = held.claim().map_or(0, |bundle| bundle.batch_no);
    // The same number is no proof: a new store counts from 1 as the lost one did.
    if own.is_some_and(|own| own.batch_no > newest || own.signed.digest() == held.digest()) {
        return Ok(false);
    }
    tracing::warn!(event = "epoch-adopted", %mailbox, batch_no = newest);
    make(office, mailbox, Some(held)).await
}

async fn renew_one(office: &Office, mailbox: &Mailbox) -> Result<bool, OfficeError> {
    let now_ms = office.book.now_ms();
    let asked = mailbox.clone();
    let previous = office.store(move |boxes| boxes.own_bundle(&asked)).await?;
    if let Some(own) = &previous
        && own.signed.claim().is_ok_and(|bundle| !renewal_due(&bundle, now_ms))
        && own.signed.signer().0 == &office.leaf.leaf[..]
    {
        return Ok(!own.published);
    }
    make(office, mailbox, previous.as_ref().map(|own| &own.signed)).await
}

/// Makes an epoch and its batch; both rest before the bundle leaves.
async fn make(
    office: &Office,
    mailbox: &Mailbox,
    previous: Option<&SignedBundle>,
) -> Result<bool, OfficeError> {
    let now_ms = office.book.now_ms();
    let batch = {
        let maker = EpochMaker {
            mailbox,
            device: &office.device.device,
            kem: &office.kem,
            key: &office.signing,
            leaf: office.leaf.leaf.clone(),
            issuer: office.leaf.issuer.clone(),
        };
        let keyring = locked(&office.keyring);
        maker.next(previous, &keyring, now_ms, &mut office.dice())
    };
    let batch = match batch {
        Ok(batch) => batch,
        Err(error) => {
            tracing::error!(event = "epoch-not-made", %mailbox, %error);
            return Ok(false);
        }
    };
    let (no, batch_no) = (batch.secret.public().no, batch.bundle.batch_no);
    let (prekey, bytes, signed) = (*batch.secret.prekey_id(), batch.secret.to_bytes(), batch.signed);
    let of = mailbox.clone();
    office.write(move |boxes| boxes.add_epoch(&of, no, &prekey, &bytes[..], batch_no, &signed)).await?;
    locked(&office.keyring).add(mailbox.clone(), batch.secret);
    tracing::info!(event = "epoch-made", %mailbox, no, batch_no);
    Ok(true)
}
