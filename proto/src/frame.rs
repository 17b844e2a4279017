//! Length-prefixed frames: u32 big-endian, then a `Frame`. Bounded before anything is allocated ([P-2]).
//!
//! Takes bytes as they come, gives frames; never reads a socket.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use crate::limits::FRAME_MAX;
use crate::scan;
use crate::wire;

/// The peer broke the framing; the stream is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length of zero.
    #[error("a frame of length 0")]
    Empty,
    /// A length above the bound.
    #[error("a frame above {FRAME_MAX} bytes")]
    TooLarge,
    /// Not a `Frame`, or without a kind that is known here ([P-9]).
    #[error("a frame that is no message of this version")]
    Malformed,
    /// More entries in a list than the schema allows.
    #[error("a list with more entries than the schema allows")]
    TooMany,
    /// The stream ended within a frame.
    #[error("a frame cut short")]
    Truncated,
}

impl FrameError {
    /// Stable code for logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Empty => "FRAME_EMPTY",
            Self::TooLarge => "FRAME_TOO_LARGE",
            Self::Malformed => "FRAME_MALFORMED",
            Self::TooMany => "LIST_TOO_LONG",
            Self::Truncated => "FRAME_TRUNCATED",
        }
    }
}

/// Collects bytes of one stream and yields its frames.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: BytesMut,
}

impl FrameReader {
    /// A reader at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds received bytes. The caller drains frames after each call, so at most one frame and one read are held.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if it is there.
    pub fn next_frame(&mut self) -> Result<Option<wire::frame::Kind>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let len = usize::try_from(u32::from_be_bytes(*prefix)).map_err(|_| FrameError::TooLarge)?;
        check_len(len)?;
        if self.buffer.len() < 4 + len {
            return Ok(None);
        }
        self.buffer.advance(4);
        decode(self.buffer.split_to(len).freeze()).map(Some)
    }

    /// Called when the stream has ended: an unfinished frame is the peer's fault.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.buffer.is_empty() { Ok(()) } else { Err(FrameError::Truncated) }
    }
}

/// Whether a frame of this length may be read at all.
pub fn check_len(len: usize) -> Result<(), FrameError> {
    match len {
        0 => Err(FrameError::Empty),
        1..=FRAME_MAX => Ok(()),
        _ => Err(FrameError::TooLarge),
    }
}

/// Decodes the bytes of one frame, without its length.
pub fn decode(bytes: Bytes) -> Result<wire::frame::Kind, FrameError> {
    scan::frame(&bytes).map_err(|fault| match fault {
        scan::ScanError::Malformed => FrameError::Malformed,
        scan::ScanError::TooMany => FrameError::TooMany,
    })?;
    let frame = wire::Frame::decode(bytes).map_err(|_| FrameError::Malformed)?;
    frame.kind.ok_or(FrameError::Malformed)
}

/// Encodes a frame with its length. Frames made here are within bounds by construction; that is asserted.
pub fn encode(kind: wire::frame::Kind) -> Bytes {
    encode_all([kind])
}

/// Encodes frames that follow one another.
pub fn encode_all(kinds: impl IntoIterator<Item = wire::frame::Kind>) -> Bytes {
    let mut out = BytesMut::new();
    for kind in kinds {
        let frame = wire::Frame { kind: Some(kind) };
        let len = frame.encoded_len();
        assert!(len <= FRAME_MAX, "own frame of {len} bytes is above the bound");
        out.reserve(4 + len);
        out.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
        frame.encode(&mut out).unwrap_or_else(|_| unreachable!("BytesMut grows"));
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wire::frame::Kind;

    fn go_away(ms: u32) -> Kind {
        Kind::GoAway(wire::GoAway { retry_after_ms: ms })
    }

    #[test]
    fn a_length_out_of_bounds_is_refused_before_the_bytes_come() {
        for (len, fault) in [
            (0_u32, FrameError::Empty),
            (u32::try_from(FRAME_MAX).unwrap() + 1, FrameError::TooLarge),
            (u32::MAX, FrameError::TooLarge),
        ] {
            let mut reader = FrameReader::new();
            reader.extend(&len.to_be_bytes());
            assert_eq!(reader.next_frame().unwrap_err(), fault);
        }
    }

    #[test]
    fn a_stream_that_ends_within_a_frame_is_told() {
        let bytes = encode(go_away(5));
        let mut reader = FrameReader::new();
        reader.extend(&bytes[..bytes.len() - 1]);
        assert_eq!(reader.next_frame().unwrap(), None);
        assert_eq!(reader.finish(), Err(FrameError::Truncated));
    }

    #[test]
    fn frames_encoded_together_are_frames_one_after_another() {
        let one_by_one = [encode(go_away(1)), encode(go_away(2))].concat();
        assert_eq!(encode_all([go_away(1), go_away(2)]), one_by_one);
    }

    #[test]
    fn a_frame_without_a_kind_is_malformed() {
        let mut reader = FrameReader::new();
        reader.extend(&[0, 0, 0, 3, 0xfa, 0x3f, 0x00]); // an unknown field of length 0
        assert_eq!(reader.next_frame(), Err(FrameError::Malformed));
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(values in proptest::collection::vec(any::<u32>(), 1..8), cut in 1_usize..9) {
            let bytes: Vec<u8> = values.iter().flat_map(|ms| encode(go_away(*ms)).to_vec()).collect();
            let mut reader = FrameReader::new();
            let mut seen = Vec::new();
            for piece in bytes.chunks(cut) {
                reader.extend(piece);
                while let Some(Kind::GoAway(found)) = reader.next_frame().unwrap() {
                    seen.push(found.retry_after_ms);
                }
            }
            reader.finish().unwrap();
            prop_assert_eq!(seen, values);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let mut reader = FrameReader::new();
            reader.extend(&bytes);
            while let Ok(Some(_)) = reader.next_frame() {}
        }
    }
}
