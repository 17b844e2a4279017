//! The generated protobuf types, and the one way to read a signed object: decode, encode again, compare ([P-10]).
//!
//! Beyond the rooms of this crate only frames are seen raw; everything else goes through the checked types.

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::doc_markdown,
    clippy::doc_lazy_continuation,
    reason = "generated from wire/valise.proto, whose comments carry the meaning"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/valise.v1.rs"));
}

pub use generated::*;

/// Decodes bytes that were signed, and refuses any but the one encoding of their meaning: no unknown fields, no
/// doubled fields, no long varints. A court must find one meaning in one string of bytes.
pub(crate) fn canonical<M: prost::Message + Default>(bytes: &[u8]) -> Option<M> {
    let message = M::decode(bytes).ok()?;
    (message.encode_to_vec() == bytes).then_some(message)
}

/// A field of fixed length, or the name of the field that has another.
pub(crate) fn fixed<const N: usize>(bytes: &[u8], field: &'static str) -> Result<[u8; N], BadField> {
    bytes.try_into().map_err(|_| BadField(field))
}

/// A field whose value breaks its bound or rule in the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field `{0}` breaks its rule")]
pub struct BadField(pub &'static str);

/// Why a signed object could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A value breaks its rule.
    #[error(transparent)]
    Field(#[from] BadField),
    /// Not protobuf, too many entries, or not the canonical encoding.
    #[error("not the one encoding of a message of this version")]
    Malformed,
    /// The signature does not hold.
    #[error("the signature does not hold")]
    Signature,
    /// Larger than its bound.
    #[error("larger than its bound")]
    TooLarge,
}

impl From<crate::signing::SignatureError> for ReadError {
    fn from(_: crate::signing::SignatureError) -> Self {
        Self::Signature
    }
}

/// Bytes this message takes when encoded.
pub fn encoded_len(message: &impl prost::Message) -> usize {
    message.encoded_len()
}

/// Encodes a message that was built here.
pub fn encode(message: &impl prost::Message) -> bytes::Bytes {
    message.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn only_one_encoding_is_read() {
        let away = GoAway { retry_after_ms: 1 };
        let bytes = away.encode_to_vec();
        assert_eq!(canonical::<GoAway>(&bytes), Some(away));
        let doubled = [&bytes[..], &bytes].concat();
        assert_eq!(canonical::<GoAway>(&doubled), None);
        let long = [0x08, 0x81, 0x00];
        assert_eq!(canonical::<GoAway>(&long), None);
        let unknown = [&bytes[..], &[0x78, 1]].concat();
        assert_eq!(canonical::<GoAway>(&unknown), None);
        let default = [0x08, 0x00];
        assert_eq!(canonical::<GoAway>(&default), None);
    }
}
