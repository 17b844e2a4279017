//! `valise send`: gather, check, hand in once, and wait when asked. Everything that can be refused here is refused
//! before the daemon hears of it.

use std::io::Read;

use super::args::Order;
use super::call::Daemon;
use super::upload::{Room, pack};
use super::voice::Voice;
use super::{Ended, wait};
use crate::answer::{SendAnswer, SendRequest};
use crate::contract::Compose;
use crate::exit::{DeskError, ExitCode};

/// Sends one message.
pub(super) async fn send(
    order: Order,
    daemon: &Daemon,
    stdin: &mut dyn Read,
    typed: bool,
    voice: &mut Voice<'_>,
) -> Ended {
    let message = gather(&order, stdin, typed, voice)?;
    let request = SendRequest {
        to: order.to,
        info: order.info,
        precedence: order.precedence.map(|word| word.as_str().to_owned()),
        subject: order.subject,
        ..SendRequest::default()
    };
    let form = pack(request, &message.body, &message.attachments);
    drop(message);
    let answer: SendAnswer = daemon.post("/v1/messages", &form.media_type, form.bytes).await?;
    match order.wait {
        None => {
            voice.answer(&answer, wait::words);
            Ok(ExitCode::Done)
        }
        Some(target) => wait::wait(answer, target, order.timeout, daemon, voice).await,
    }
}

/// Reads attachments first, so that nobody types a message in vain.
fn gather(
    order: &Order,
    stdin: &mut dyn Read,
    typed: bool,
    voice: &mut Voice<'_>,
) -> Result<Compose, DeskError> {
    let mut room = Room::new();
    let attachments: Vec<_> = order.attach.iter().map(|path| room.attach(path)).collect::<Result<_, _>>()?;
    if typed {
        voice.remark("type the message, end with Ctrl-D");
    }
    let message = Compose {
        to: order.to.clone(),
        info: order.info.clone(),
        precedence: order.precedence,
        subject: order.subject.clone(),
        body: room.body(stdin)?,
        attachments,
        idempotency: None,
    };
    message.check()?;
    Ok(message)
}
