//! One part as segments: STREAM over ChaCha20-Poly1305, 64 KiB each, in the layout of age; the root over the
//! ciphertext grows beside it. One segment is held at a time.
//!
//! A key is used for one part only, so the nonce starts at zero; a sealer is made by `SegmentSealer::new` alone.

use aead_stream::{DecryptorBE32, EncryptorBE32, NewStream, StreamBE32, StreamPrimitive};
use bytes::Bytes;
use chacha20poly1305::ChaCha20Poly1305;
use valise_proto::header::Part;
use valise_proto::limits::{SEGMENT_BYTES, SEGMENT_CT_BYTES, TAG_BYTES};
use valise_proto::merkle::RootBuilder;

use crate::padding::{self, MARK};
use crate::schedule::{Context, Schedule};

/// Why a part could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamFault {
    /// A segment is missing, doubled, or of another length than the header says.
    #[error("its segments are not those of its length")]
    Length,
    /// A segment is not what its key sealed at that place.
    #[error("a segment does not open")]
    Segment,
    /// The ciphertext is not what the author signed.
    #[error("its ciphertext is not what the author signed")]
    Root,
    /// The padding is wrong.
    #[error(transparent)]
    Padding(#[from] padding::BadPadding),
}

fn stream(schedule: &Schedule, part: u32) -> StreamBE32<ChaCha20Poly1305> {
    let key = schedule.part_key(part);
    StreamBE32::new((&*key).into(), &[0; 7].into()) // [S-5]: nonce = seven zeros, segment, last
}

/// Seals one part as its plaintext comes.
pub struct SegmentSealer {
    stream: EncryptorBE32<ChaCha20Poly1305>,
    context: Context,
    root: RootBuilder,
    plain_len: u64,
    ct_len: u64,
    buffer: Vec<u8>,
}

impl SegmentSealer {
    /// For the part with this index. A second sealer for the same part of the same schedule must see the same bytes.
    pub fn new(schedule: &Schedule, part: u32) -> Self {
        Self {
            stream: stream(schedule, part).encryptor(),
            context: *schedule.context(),
            root: RootBuilder::new(),
            plain_len: 0,
            ct_len: 0,
            buffer: Vec::new(),
        }
    }

    /// Takes more plaintext; hands every segment that is complete to `sink`.
    pub fn write(&mut self, mut data: &[u8], sink: &mut dyn FnMut(Bytes)) {
        self.plain_len += data.len() as u64;
        while !data.is_empty() {
            // A full segment waits for one byte more: the last one is sealed as the last ([S-6]).
            if self.buffer.len() == SEGMENT_BYTES {
                let mut segment = std::mem::replace(&mut self.buffer, Vec::with_capacity(SEGMENT_CT_BYTES));
                self.stream
                    .encrypt_next_in_place(self.context.as_bytes(), &mut segment)
                    .expect("invariant: a message has fewer than 2^32 segments");
                self.emit(segment, sink);
            }
            let room = SEGMENT_BYTES - self.buffer.len();
            let (now, later) = data.split_at(room.min(data.len()));
            self.buffer.extend_from_slice(now);
            data = later;
        }
    }

    /// Pads, seals the last segment, and says what the header is to state of the part.
    pub fn finish(mut self, sink: &mut dyn FnMut(Bytes)) -> Part {
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut left = padding::padded_len(self.plain_len) - self.plain_len - 1;
        self.write(&[MARK], sink);
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(ZEROS.len()).min(ZEROS.len());
            self.write(&ZEROS[..now], sink);
            left -= now as u64;
        }
        let Self { stream, context, mut root, ct_len, mut buffer, .. } = self;
        stream
            .encrypt_last_in_place(context.as_bytes(), &mut buffer)
            .expect("invariant: a message has fewer than 2^32 segments");
        let last = Bytes::from(buffer.into_boxed_slice());
        root.push(&last);
        let ct_len = ct_len + last.len() as u64;
        sink(last);
        Part { ct_len, ct_root: root.root() }
    }

    fn emit(&mut self, segment: Vec<u8>, sink: &mut dyn FnMut(Bytes)) {
        self.root.push(&segment);
        self.ct_len += segment.len() as u64;
        sink(segment.into());
    }
}

/// Opens one part, segment by segment. What it has opened stays inside until the root is proven ([S-27]).
pub struct SegmentOpener {
    stream: Option<DecryptorBE32<ChaCha20Poly1305>>,
    context: Context,
    root: RootBuilder,
    stated: Part,
    left: u64,
    plain: Vec<u8>,
}

impl SegmentOpener {
    /// For the part with this index, as the signed header states it.
    pub fn new(schedule: &Schedule, part: u32, stated: &Part) -> Self {
        Self {
            stream: Some(stream(schedule, part).decryptor()),
            context: *schedule.context(),
            root: RootBuilder::new(),
            left: stated.ct_len,
            stated: stated.clone(),
            plain: Vec::new(),
        }
    }

    /// Opens the next segment.
    pub fn push(&mut self, segment: &[u8]) -> Result<(), StreamFault> {
        let expected = self.left.min(SEGMENT_CT_BYTES as u64);
        if segment.len() as u64 != expected || segment.len() < TAG_BYTES {
            return Err(StreamFault::Length);
        }
        self.left -= expected;
        let mut buffer = segment.to_vec();
        let context = self.context.as_bytes();
        let opened = match (&mut self.stream, self.left) {
            (None, _) => return Err(StreamFault::Length),
            (Some(stream), 1..) => stream.decrypt_next_in_place(context, &mut buffer),
            (last, 0) => match last.take() {
                Some(stream) => stream.decrypt_last_in_place(context, &mut buffer),
                None => return Err(StreamFault::Length),
            },
        };
        opened.map_err(|_| StreamFault::Segment)?;
        self.root.push(segment);
        self.plain.extend_from_slice(&buffer);
        Ok(())
    }

    /// Releases the plaintext, once every segment was there and their root is the author's ([S-8]).
    pub fn finish(self) -> Result<Vec<u8>, StreamFault> {
        if self.left != 0 {
            return Err(StreamFault::Length);
        }
        // AEAD alone proves no author: every recipient knows the content key.
        if self.root.root() != self.stated.ct_root {
            return Err(StreamFault::Root);
        }
        let mut plain = self.plain;
        padding::strip(&mut plain)?;
        Ok(plain)
    }
}

#[cfg(test)]
mod tests;
