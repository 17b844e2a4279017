//! The bytes of a record that only readers want: header, proof, wraps, segments, receipts, certificates.
//!
//! Says how they rest; finds nothing.

use bytes::Bytes;
use prost::Message;
use valise_proto::header::SignedHeader;
use valise_proto::limits::SIGNATURE_BYTES;

/// Of an envelope.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EnvelopePayload {
    /// Signature and header, as received.
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) header: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) proof: Bytes,
    /// Wraps that lie here.
    #[prost(message, repeated, tag = "3")]
    pub(super) wraps: Vec<WrapHere>,
    /// The only segment.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(super) only: Option<Bytes>,
}

/// A wrap beside its envelope.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WrapHere {
    /// The place of its entry.
    #[prost(uint32, tag = "1")]
    pub(super) entry: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) wrap: Bytes,
}

/// Of late wraps, or of receipts: in the order of their fact.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Several {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(super) items: Vec<Bytes>,
}

/// A header as it rests.
pub(super) fn header_bytes(header: &SignedHeader) -> Vec<u8> {
    [&header.signature()[..], header.bytes()].concat()
}

/// A header from how it rests.
pub(super) fn read_header(mut bytes: Bytes) -> Option<SignedHeader> {
    if bytes.len() < SIGNATURE_BYTES {
        return None;
    }
    let signature = bytes.split_to(SIGNATURE_BYTES);
    SignedHeader::received(bytes, &signature).ok()
}

/// Several, as they rest.
pub(super) fn several(items: Vec<Bytes>) -> Vec<u8> {
    Several { items }.encode_to_vec()
}

/// What goes with a fact.
#[derive(Clone, Copy)]
pub(super) enum Payload<'a> {
    Bytes(&'a [u8]),
    Envelope(&'a EnvelopePayload),
}

impl Payload<'_> {
    /// Appends it.
    pub(super) fn write(self, into: &mut Vec<u8>) {
        match self {
            Self::Bytes(bytes) => into.extend_from_slice(bytes),
            Self::Envelope(payload) => payload.encode(into).expect("invariant: a vector grows"),
        }
    }
}
