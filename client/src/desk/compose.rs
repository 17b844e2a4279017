//! From what an operator typed to a sealed message in the outbox: addressees, agreements, keys, seal, commit.
//!
//! Nothing is kept of a message that is refused here, and its sentence says what to do.

use std::collections::BTreeMap;
use std::sync::Arc;

use valise_proto::agreements::{Group, Request};
use valise_proto::header::Recipient;
use valise_proto::kinds::{Addressing, Class, Precedence};
use valise_proto::limits as l;
use valise_proto::names::{Mailbox, MessageId};
use valise_proto::roster::Roster;
use valise_proto::wire;
use valise_seal::content::{Attachment, ContentError, Message, TypeName};
use valise_seal::seal::{Draft, SealError, new_message_id, seal};
use zeroize::Zeroizing;

use super::store_error;
use crate::boxes::{BoxesError, FileNote, NewMessage, QueueFault, Summary};
use crate::contract::Compose;
use crate::exit::{DeskError, ExitCode};
use crate::office::{Office, OfficeError};

/// Takes a message in; its id once it is synced here.
pub(super) async fn send(office: &Office, compose: Compose) -> Result<MessageId, DeskError> {
    compose.check()?;
    if let Some(key) = compose.idempotency.clone() {
        let known = office.store(move |boxes| boxes.request(&key)).await.map_err(store_error)?;
        if let Some(id) = known {
            return Ok(id);
        }
    }
    let trust = office.book.trust();
    let roster = trust.roster();
    let recipients = addressees(office, roster, &compose)?;
    let precedence = compose.precedence.unwrap_or(Precedence::Routine);
    permitted(office, roster, &recipients, precedence, &compose)?;
    let message = message(&compose).map_err(|error| {
        DeskError::invalid("message-not-valid", error.to_string(), "correct the message and send it again")
    })?;
    let summary = summary(&message);
    let now_ms = office.book.own_ms();
    let draft = Draft {
        message_id: new_message_id(&mut office.dice()),
        message,
        sender: office.mailboxes[0].clone(),
        device: office.device.device.clone(),
        recipients: Vec::new(),
        class: Class::Message,
        precedence,
        created_ms: now_ms,
        expires_ms: now_ms + l::MESSAGE_LIFE_MS,
        roster_no: roster.number,
    };
    queue(office, draft, recipients, summary, compose.idempotency).await
}

/// Seals with the numbers that the store gives, wraps for every key known, and commits all at once.
async fn queue(
    office: &Office,
    draft: Draft,
    recipients: Vec<(Mailbox, Addressing)>,
    summary: Summary,
    request: Option<String>,
) -> Result<MessageId, DeskError> {
    let now_ms = draft.created_ms;
    let bundles = bundles(office, &recipients).await?;
    // Sealing runs on the store's thread, inside the transaction that counts the message.
    let shared = Arc::clone(&office.signing);
    let mut dice = office.dice();
    let made = office.boxes.call(move |boxes| {
        let named = recipients.clone();
        boxes.queue(&named, request.as_deref(), move |numbers| {
            let numbered = recipients.into_iter().zip(numbers);
            let to = |((mailbox, addressing), seq): ((Mailbox, Addressing), &u64)| Recipient {
                mailbox,
                addressing,
                pair_seq: *seq,
            };
            let draft = Draft { recipients: numbered.map(to).collect(), ..draft };
            let sealed = seal(&draft, &shared, &mut dice)?;
            let mut wraps = Vec::new();
            for (mailbox, bundle) in &bundles {
                let usable = bundle.usable(now_ms);
                if usable.late {
                    tracing::warn!(event = "late-key", %mailbox, epoch = usable.epoch.no);
                }
                match sealed.wrap_for(mailbox, usable.epoch, &mut dice) {
                    Ok(wrap) => wraps.push((mailbox.clone(), wrap)),
                    // Without a usable key the recipient waits for a newer batch, like one without any.
                    Err(error) => tracing::warn!(event = "epoch-key-unusable", %mailbox, %error),
                }
            }
            Ok::<_, SealError>(NewMessage {
                header: sealed.header().clone(),
                facts: sealed.fields().clone(),
                cek: Zeroizing::new(*sealed.cek().as_bytes()),
                bytes_uploaded: uploaded(&sealed, &wraps),
                parts: sealed.parts().to_vec(),
                wraps,
                summary,
                now_ms,
            })
        })
    });
    match made.await.map_err(|_| store_error(OfficeError::Gone))? {
        Ok(id) => Ok(id.into_inner()),
        Err(QueueFault::Make(error)) => {
            Err(DeskError::invalid("message-not-valid", error.to_string(), "check recipients and try again"))
        }
        Err(QueueFault::Boxes(error)) => Err(failed(office, error)),
    }
}

fn failed(office: &Office, error: BoxesError) -> DeskError {
    if error.is_final() {
        office.failed.send_replace(Some(error.to_string()));
    }
    store_error(error.into())
}

/// Header, signature, wraps and ciphertext: what travels up.
fn uploaded(sealed: &valise_seal::seal::Sealed, wraps: &[(Mailbox, wire::KeyWrap)]) -> u64 {
    let segments = sealed.parts().iter().flatten().map(|segment| segment.len() as u64).sum::<u64>();
    let wraps = wraps.iter().map(|(_, wrap)| wire::encoded_len(wrap) as u64).sum::<u64>();
    sealed.header().bytes().len() as u64 + l::SIGNATURE_BYTES as u64 + wraps + segments
}

async fn bundles(
    office: &Office,
    recipients: &[(Mailbox, Addressing)],
) -> Result<BTreeMap<Mailbox, valise_proto::bundle::Bundle>, DeskError> {
    let mailboxes: Vec<Mailbox> = recipients.iter().map(|(mailbox, _)| mailbox.clone()).collect();
    let found = office.store(move |boxes| {
        let one = |mailbox: &Mailbox| {
            boxes.bundle(mailbox).map(|found| found.map(|held| (mailbox.clone(), held.1)))
        };
        mailboxes.iter().map(one).collect::<Result<Vec<_>, _>>()
    });
    let found = found.await.map_err(store_error)?;
    // Judged again at each use: a signer may have been revoked since the bundle was kept.
    let judged =
        found.into_iter().flatten().filter_map(|(mailbox, bundle)| match office.book.bundle(&bundle) {
            Ok(read) => Some((mailbox, read)),
            Err(error) => {
                tracing::warn!(event = "bundle-refused", %mailbox, %error);
                None
            }
        });
    Ok(judged.collect())
}

/// Mailboxes by name, groups expanded by the roster; to act wins over to know; never ourselves through a group.
fn addressees(
    office: &Office,
    roster: &Roster,
    compose: &Compose,
) -> Result<Vec<(Mailbox, Addressing)>, DeskError> {
    let mut found: BTreeMap<Mailbox, Addressing> = BTreeMap::new();
    for (texts, addressing) in [(&compose.info, Addressing::Info), (&compose.to, Addressing::Action)] {
        for text in texts {
            for mailbox in expand(office, roster, text)? {
                found.insert(mailbox, addressing);
            }
        }
    }
    if found.len() > l::RECIPIENTS_MAX {
        let message =
            format!("{} recipients are more than the {} of one message", found.len(), l::RECIPIENTS_MAX);
        return Err(DeskError::invalid("too-many-recipients", message, "send it as several messages"));
    }
    Ok(found.into_iter().collect())
}

fn expand(office: &Office, roster: &Roster, text: &str) -> Result<Vec<Mailbox>, DeskError> {
    let unknown = |message: String| {
        DeskError::invalid("unknown-recipient", message, "check the name; the roster lists all parties")
    };
    if text.starts_with('@') {
        let group: Group = text.parse().map_err(|_| unknown(format!("`{text}` is not a group")))?;
        let own = &office.device.party;
        let members: Vec<Mailbox> =
            group.members(roster).filter(|name| *name != own).map(Mailbox::from).collect();
        return if members.is_empty() {
            Err(unknown(format!("the group {text} has no other member")))
        } else {
            Ok(members)
        };
    }
    let mailbox = Mailbox::new(text).map_err(|error| unknown(error.to_string()))?;
    if roster.parties.contains_key(&mailbox.party()) {
        Ok(vec![mailbox])
    } else {
        Err(unknown(format!("there is no party `{}` in this federation", mailbox.party())))
    }
}

/// The sender's own look at the agreements, type included: the relay enforces the rest.
fn permitted(
    office: &Office,
    roster: &Roster,
    recipients: &[(Mailbox, Addressing)],
    precedence: Precedence,
    compose: &Compose,
) -> Result<(), DeskError> {
    let plain = compose.attachments.iter().map(|file| file.bytes.len()).sum::<usize>() + compose.body.len();
    for (mailbox, _) in recipients {
        let to = mailbox.party();
        let request = Request {
            from: &office.device.party,
            to: &to,
            class: Class::Message,
            message_type: Some("text"),
            precedence,
            bytes: plain as u64,
            now_ms: office.book.now_ms(),
        };
        if roster.permits(&request).is_none() {
            let message = format!(
                "no agreement lets {} send a {precedence} text to {mailbox}; nothing was sent",
                office.device.party
            );
            let help = "ask your administrator for the agreement, or leave this recipient out";
            return Err(DeskError::new(ExitCode::NotAllowed, "not-permitted", message, help));
        }
    }
    Ok(())
}

fn message(compose: &Compose) -> Result<Message, ContentError> {
    let subject = compose.subject.as_deref().unwrap_or_default();
    let mut message = Message::new(TypeName::text(), subject, compose.body.clone())?;
    for file in &compose.attachments {
        message = message.attach(Attachment::new(&file.name, &file.media_type, file.bytes.clone())?)?;
    }
    Ok(message)
}

fn summary(message: &Message) -> Summary {
    let note = |file: &Attachment| FileNote {
        name: file.name().to_owned(),
        media_type: file.media_type().to_owned(),
        bytes: file.data().len() as u64,
        sha256: file.sha256().0,
    };
    Summary {
        subject: message.subject().to_owned(),
        type_name: message.kind().as_str().to_owned(),
        body_bytes: message.body().len() as u64,
        attachments: message.attachments().iter().map(note).collect(),
    }
}
