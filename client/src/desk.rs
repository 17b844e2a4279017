//! The desk: what the local API asks for, decided with roster, keys and boxes. Answers once it is durable.
//!
//! Never speaks to the relay: it rings a bell, and the link does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use valise_proto::kinds::ReceiptKind;
use valise_proto::names::{Mailbox, MessageId};

use crate::answer::{
    AckAnswer, FileLine, InboxLine, InboxStatus, LinkStatus, Moment, OutboxStatus, Outcome, Recipient,
    RelayStatus, SendAnswer, ShowAnswer, Signature, State, StatusAnswer, TrackLine, WaitAnswer,
};
use crate::boxes::{self, Acknowledger};
use crate::contract::{Compose, Desk};
use crate::exit::{DeskError, ExitCode};
use crate::office::{About, Office, OfficeError};

mod compose;

/// The desk of a running daemon.
pub struct RealDesk {
    office: Arc<Office>,
    relay_address: String,
}

impl RealDesk {
    /// Over the daemon's shared middle.
    pub fn new(office: Arc<Office>, relay_address: String) -> Self {
        Self { office, relay_address }
    }

    async fn sent(&self, id: MessageId) -> Result<SendAnswer, DeskError> {
        let sent = self.office.store(move |boxes| boxes.sent_message(&id)).await.map_err(store_error)?;
        let sent = sent.ok_or_else(|| DeskError::no_such_message(id))?;
        let recipients = sent.recipients.iter().map(recipient).collect();
        Ok(SendAnswer::new(id, recipients, sent.bytes))
    }

    async fn received(&self, id: MessageId) -> Result<boxes::InboxMessage, DeskError> {
        let found = self.office.store(move |boxes| boxes.message(&id)).await.map_err(store_error)?;
        found.ok_or_else(|| DeskError::no_such_message(id))
    }
}

/// A failure of the store, as the desk tells it.
pub(crate) fn store_error(error: OfficeError) -> DeskError {
    let exit = match &error {
        OfficeError::Boxes(error) => ExitCode::from_number(error.exit()).unwrap_or(ExitCode::Internal),
        OfficeError::Gone => ExitCode::Store,
    };
    let (code, help) = match exit {
        ExitCode::TryLater => ("store-full", "make room on the disk of the store; nothing was stored"),
        ExitCode::Store => ("store-failed", "look at the daemon's log; nothing stored is lost"),
        _ => ("internal", "look at the daemon's log for the event that belongs to it, and report it"),
    };
    DeskError::new(exit, code, error.to_string(), help)
}

fn state(state: boxes::State) -> State {
    match state {
        boxes::State::Expired => State::Expired,
        boxes::State::Refused => State::Refused,
        boxes::State::Unopenable => State::Unopenable,
        boxes::State::Queued => State::Queued,
        boxes::State::Relayed => State::Relayed,
        boxes::State::Delivered => State::Delivered,
        boxes::State::Opened => State::Opened,
        boxes::State::Acknowledged => State::Acknowledged,
    }
}

fn recipient(tracked: &boxes::Tracked) -> Recipient {
    Recipient { to: tracked.to.to_string(), state: state(tracked.state), reason: tracked.reason.clone() }
}

fn line(line: &boxes::InboxLine) -> InboxLine {
    InboxLine {
        id: line.id.to_string(),
        from: line.from.to_string(),
        to: line.to.to_string(),
        subject: line.subject.clone(),
        class: line.class.to_string(),
        kind: line.type_name.clone(),
        precedence: line.precedence.to_string(),
        created: Moment::from_unix_ms(line.created_ms),
        delivered: Moment::from_unix_ms(line.delivered_ms),
        state: state(line.state),
        attachments: u32::try_from(line.attachments).unwrap_or(u32::MAX),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Desk for RealDesk {
    async fn send(&self, message: Compose) -> Result<SendAnswer, DeskError> {
        let id = compose::send(&self.office, message).await?;
        self.office.changed();
        self.office.bells.outbox.notify_one();
        self.office.bells.wanted.notify_one();
        self.sent(id).await
    }

    async fn wait(&self, id: MessageId, target: State, timeout: Duration) -> Result<WaitAnswer, DeskError> {
        let deadline = Instant::now() + timeout;
        let mut changes = self.office.bells.changed.subscribe();
        loop {
            changes.borrow_and_update();
            let answer = self.sent(id).await?;
            if let Some(outcome) = answer.outcome(target) {
                return Ok(WaitAnswer { outcome, answer });
            }
            if !matches!(timeout_at(deadline, changes.changed()).await, Ok(Ok(()))) {
                return Ok(WaitAnswer { outcome: Outcome::TimedOut, answer });
            }
        }
    }

    async fn inbox(&self, limit: Option<usize>) -> Result<Vec<InboxLine>, DeskError> {
        let lines = self.office.store(move |boxes| boxes.inbox(limit)).await.map_err(store_error)?;
        Ok(lines.iter().map(line).collect())
    }

    async fn show(&self, id: MessageId) -> Result<ShowAnswer, DeskError> {
        let found = self.received(id).await?;
        let state = |about: &About| self.office.state(about, ReceiptKind::Opened, None);
        let opened: Vec<_> = about(&found).iter().map(state).collect();
        let now_ms = self.office.book.own_ms();
        let mark = self.office.write(move |boxes| boxes.mark_opened(&id, &opened, now_ms)).await;
        mark.map_err(store_error)?;
        self.office.bells.statements.notify_one();
        self.office.changed();
        let found = self.received(id).await?;
        let body = self.body(id).await?;
        let file = |file: &boxes::FileNote| FileLine {
            name: file.name.clone(),
            bytes: file.bytes,
            media_type: file.media_type.clone(),
            sha256: hex(&file.sha256),
        };
        Ok(ShowAnswer {
            line: line(&found.line),
            body: String::from_utf8_lossy(&body).into_owned(),
            files: found.files.iter().map(file).collect(),
            signature: Signature {
                party: found.facts.sender.party().to_string(),
                device: found.facts.sender_device.to_string(),
                key: found.facts.sender_key_id.to_string(),
                // Only what passed every check lies in the inbox.
                valid: true,
            },
        })
    }

    async fn body(&self, id: MessageId) -> Result<Bytes, DeskError> {
        let body = self.office.store(move |boxes| boxes.body(&id)).await.map_err(store_error)?;
        body.map(Bytes::from).ok_or_else(|| DeskError::no_such_message(id))
    }

    async fn file(&self, id: MessageId, number: usize) -> Result<Bytes, DeskError> {
        let file =
            self.office.store(move |boxes| boxes.attachment(&id, number)).await.map_err(store_error)?;
        match file {
            Some(bytes) => Ok(bytes.into()),
            None => {
                self.received(id).await?;
                Err(DeskError::no_such_file(id, number))
            }
        }
    }

    async fn ack(&self, id: MessageId, uid: u32) -> Result<AckAnswer, DeskError> {
        let found = self.received(id).await?;
        let mut operator_ref = [0; 16];
        self.office.entropy.fill(&mut operator_ref);
        let state = |about: &About| self.office.acknowledge(about, operator_ref);
        let statements: Vec<_> = about(&found).iter().map(state).collect();
        let by = Acknowledger { operator_ref, uid };
        let now_ms = self.office.book.own_ms();
        let mark =
            self.office.write(move |boxes| boxes.mark_acknowledged(&id, &statements, by, now_ms)).await;
        mark.map_err(store_error)?;
        self.office.bells.statements.notify_one();
        self.office.changed();
        Ok(AckAnswer::new(id))
    }

    async fn track(&self, id: MessageId) -> Result<Vec<TrackLine>, DeskError> {
        let tracked = self.office.store(move |boxes| boxes.track(&id)).await.map_err(store_error)?;
        let tracked = tracked.ok_or_else(|| DeskError::no_such_message(id))?;
        let line = |one: &boxes::Tracked| TrackLine {
            id: id.to_string(),
            to: one.to.to_string(),
            state: state(one.state),
            time: Moment::from_unix_ms(one.time_ms),
            by: one.by.clone(),
            reason: one.reason.clone(),
        };
        Ok(tracked.iter().map(line).collect())
    }

    async fn status(&self) -> Result<StatusAnswer, DeskError> {
        let counts = self.office.store(|boxes| boxes.counts()).await.map_err(store_error)?;
        let link = self.office.link.borrow().clone();
        Ok(StatusAnswer {
            party: self.office.device.party.to_string(),
            device: self.office.device.device.to_string(),
            link: LinkStatus {
                state: link.state.to_owned(),
                path: link.path.map(ToOwned::to_owned),
                rtt_ms: link.rtt_ms,
            },
            outbox: OutboxStatus {
                queued: counts.outbox.queued,
                relayed: counts.outbox.relayed,
                delivered: counts.outbox.delivered,
                ended: counts.outbox.ended,
                waiting_for_key: counts.outbox.waiting_for_key,
            },
            inbox: InboxStatus {
                delivered: counts.inbox.delivered,
                opened: counts.inbox.opened,
                acknowledged: counts.inbox.acknowledged,
                unopenable: counts.inbox.dead_letters,
            },
            relay: RelayStatus {
                id: self.office.book.relay().to_string(),
                address: self.relay_address.clone(),
                roster_no: self.office.book.trust().roster().number,
            },
        })
    }
}

/// What we speak about: the message, once for each of our mailboxes that stated `delivered`, the first one first.
fn about(message: &boxes::InboxMessage) -> Vec<About> {
    let about = |mailbox: Mailbox, sequence| About {
        message_id: message.line.id,
        header_hash: message.header.hash(),
        sequence,
        mailbox,
    };
    let mut all = vec![about(message.line.to.clone(), message.sequence)];
    for stated in message.statements.iter().filter_map(|statement| statement.claim().ok()) {
        let (ReceiptKind::Delivered, Some(mailbox)) = (stated.kind, stated.mailbox) else { continue };
        if all.iter().all(|one| one.mailbox != mailbox || one.sequence != stated.sequence) {
            all.push(about(mailbox, stated.sequence));
        }
    }
    all
}
