//! Sends one message of the outbox on a stream of its own, segment by segment from the store.

use quinn::Connection;
use valise_host::framing::{FrameSender, transfer_priority};
use valise_proto::names::MessageId;
use valise_proto::signing::Hash;
use valise_proto::transfer;

use crate::office::{Office, OfficeError};

/// Stream reset: the message ended meanwhile.
const GIVEN_UP: u32 = 0;

/// Whether all of it was handed to the transport. The transport's losses are the session's to notice.
pub(super) async fn upload(
    office: &Office,
    connection: &Connection,
    id: MessageId,
) -> Result<bool, OfficeError> {
    let Some(submission) = office.store(move |boxes| boxes.submission(&id)).await? else { return Ok(false) };
    let Ok(stream) = connection.open_uni().await else { return Ok(false) };
    let mut stream = FrameSender::new(stream, transfer_priority(submission.facts.precedence));
    let number = transfer_number(&id);
    let wraps = submission.wraps.into_iter().map(|(_, wrap)| wrap);
    for kind in transfer::opening(number, &submission.header, None, wraps) {
        if stream.send(kind).await.is_err() {
            return Ok(false);
        }
    }
    for (part, count) in (0_u32..).zip(submission.segments) {
        for index in 0..count {
            let Some(data) = office.store(move |boxes| boxes.out_segment(&id, part, index)).await? else {
                stream.reset(GIVEN_UP);
                return Ok(false);
            };
            if stream.send(transfer::segment(number, part, index, data)).await.is_err() {
                return Ok(false);
            }
        }
    }
    let sent = stream.send(transfer::end(number)).await.is_ok() && stream.finish().is_ok();
    Ok(sent)
}

/// A number for the transfer: from the id, so that a message has one at a time.
fn transfer_number(id: &MessageId) -> u64 {
    let hash = Hash::of(&[id.as_bytes()]).0;
    u64::from_be_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
}
