//! What an administrator's tool and a running relay say to each other: their schema and the bounded reading of it.
//!
//! No part of the protocol of devices ([`crate::wire`]): other numbers, another reader, another door. Takes bytes,
//! gives messages; never reads a socket.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use crate::scan;

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::doc_markdown,
    reason = "generated from wire/admin.proto, whose comments carry the meaning"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/valise.admin.v1.rs"));
}

pub use generated::*;

/// Most bytes of one message: the longest is a connection with all its mailboxes, about 1.5 KiB.
pub const ADMIN_MESSAGE_MAX: usize = 16 * 1024;
/// Bytes of the length before each message.
pub const LENGTH_BYTES: usize = 4;

/// The other side broke the framing, or speaks another language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no message of this version")]
pub struct NotUnderstood;

/// The length that these bytes announce, if a message of that length may be read at all.
pub fn announced(prefix: [u8; LENGTH_BYTES]) -> Result<usize, NotUnderstood> {
    let len = usize::try_from(u32::from_be_bytes(prefix)).map_err(|_| NotUnderstood)?;
    if (1..=ADMIN_MESSAGE_MAX).contains(&len) { Ok(len) } else { Err(NotUnderstood) }
}

/// Reads a question, without its length.
pub fn question(bytes: &[u8]) -> Result<question::Verb, NotUnderstood> {
    scan::plain(bytes).map_err(|_| NotUnderstood)?;
    Question::decode(bytes).ok().and_then(|question| question.verb).ok_or(NotUnderstood)
}

/// Reads an answer, without its length.
pub fn answer(bytes: &[u8]) -> Result<answer::Kind, NotUnderstood> {
    scan::admin_answer(bytes).map_err(|_| NotUnderstood)?;
    Answer::decode(bytes).ok().and_then(|answer| answer.kind).ok_or(NotUnderstood)
}

/// A question with its length.
pub fn ask(verb: question::Verb) -> Bytes {
    framed(&Question { verb: Some(verb) })
}

/// An answer with its length.
pub fn say(kind: answer::Kind) -> Bytes {
    framed(&Answer { kind: Some(kind) })
}

fn framed(message: &impl Message) -> Bytes {
    let len = message.encoded_len();
    assert!(len <= ADMIN_MESSAGE_MAX, "own message of {len} bytes is above the bound");
    let mut out = BytesMut::with_capacity(LENGTH_BYTES + len);
    out.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    message.encode(&mut out).unwrap_or_else(|_| unreachable!("BytesMut grows"));
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;
    use crate::limits as l;
    use crate::wire;
    use proptest::prelude::*;

    fn connection(mailboxes: usize) -> answer::Kind {
        answer::Kind::Connection(Connection {
            session: u64::MAX,
            party: "p".repeat(l::PARTY_NAME_MAX),
            device: "d".repeat(l::DEVICE_NAME_MAX),
            mailboxes: vec![MailboxName { name: "m".repeat(l::MAILBOX_MAX) }; mailboxes],
            since_ms: u64::MAX,
            address: "[2001:db8:1111:2222:3333:4444:5555:6666%4294967295]:65535".into(),
            rtt_us: u64::MAX,
            delivering: u32::MAX,
            submitting: u32::MAX,
        })
    }

    #[test]
    fn the_largest_connection_fits_and_reads_back_and_one_mailbox_more_does_not() {
        let bytes = say(connection(l::MAILBOXES_PER_DEVICE));
        let len = announced(*bytes.first_chunk().unwrap()).unwrap();
        assert_eq!(len, bytes.len() - LENGTH_BYTES);
        assert_eq!(answer(&bytes[LENGTH_BYTES..]), Ok(connection(l::MAILBOXES_PER_DEVICE)));
        let bytes = say(connection(l::MAILBOXES_PER_DEVICE + 1));
        assert_eq!(answer(&bytes[LENGTH_BYTES..]), Err(NotUnderstood));
    }

    #[test]
    fn a_length_out_of_bounds_is_refused_before_anything_is_set_aside() {
        let max = u32::try_from(ADMIN_MESSAGE_MAX).unwrap();
        assert_eq!(announced(max.to_be_bytes()), Ok(ADMIN_MESSAGE_MAX));
        for len in [0, max + 1, u32::MAX] {
            assert_eq!(announced(len.to_be_bytes()), Err(NotUnderstood), "{len}");
        }
    }

    #[test]
    fn no_question_is_a_frame_of_a_device_and_no_frame_is_a_question() {
        use question::Verb;
        for verb in [
            Verb::Status(AskStatus {}),
            Verb::Connections(AskConnections {}),
            Verb::Drain(AskDrain { wait: true }),
        ] {
            let bytes = ask(verb);
            assert_eq!(frame::decode(bytes.slice(LENGTH_BYTES..)), Err(frame::FrameError::Malformed));
        }
        let away = frame::encode(wire::frame::Kind::GoAway(wire::GoAway { retry_after_ms: 1 }));
        assert_eq!(question(&away[4..]), Err(NotUnderstood));
        assert_eq!(answer(&away[4..]), Err(NotUnderstood));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(bytes: Vec<u8>) {
            question(&bytes).ok();
            answer(&bytes).ok();
        }
    }
}
