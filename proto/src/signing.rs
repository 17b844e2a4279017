//! Signatures: Ed25519 (RFC 8032), strict, each under a label of its own. The only place that signs or verifies.
//!
//! A signature is always over `label || bytes as received`; nothing is re-encoded before it is checked ([P-12]).

use std::fmt;

use ed25519_dalek::pkcs8::DecodePrivateKey;
use ed25519_dalek::{Signer, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::limits::{HASH_BYTES, SIGNATURE_BYTES};

/// What a signature is for. One key never signs the same bytes with two meanings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// A mailbox's prekey bundle.
    Bundle,
    /// An envelope's header.
    Header,
    /// The root of a tree of receipts.
    Receipts,
    /// The roster.
    Roster,
}

impl Label {
    /// The bytes put before what is signed.
    pub const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Bundle => b"valise/1 bundle\0",
            Self::Header => b"valise/1 header\0",
            Self::Receipts => b"valise/1 receipts\0",
            Self::Roster => b"valise/1 roster\0",
        }
    }
}

/// A 32-byte SHA-256 value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; HASH_BYTES]);

impl Hash {
    /// SHA-256 over the parts, one after another.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// The first half, where 16 bytes name a thing.
    pub fn half(&self) -> [u8; 16] {
        let mut half = [0; 16];
        half.copy_from_slice(&self.0[..16]);
        half
    }

    /// The first eight bytes in hexadecimal: what a log may carry of an id.
    pub fn brief(&self) -> String {
        self.0[..8].iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl TryFrom<&[u8]> for Hash {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        Ok(Self(bytes.try_into()?))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.brief())
    }
}

/// Names a signing key: SHA-256 of its SubjectPublicKeyInfo (RFC 5280, 4.1.2.7).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; HASH_BYTES]);

impl KeyId {
    /// Of a SubjectPublicKeyInfo in DER.
    pub fn of_spki(spki: &[u8]) -> Self {
        Self(Hash::of(&[spki]).0)
    }
}

impl TryFrom<&[u8]> for KeyId {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        Ok(Self(bytes.try_into()?))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Hash(self.0).brief())
    }
}

/// A signature did not hold, or the key is one that must never be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The signature is not the key's over these bytes.
    #[error("the signature does not hold")]
    Bad,
    /// Not an Ed25519 key, or one of small order that verifies anything.
    #[error("the key is not a usable Ed25519 key")]
    Key,
}

/// DER before the 32 key bytes of an Ed25519 SubjectPublicKeyInfo (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A public key that is known to be usable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyKey(VerifyingKey);

impl VerifyKey {
    /// From the 32 bytes of RFC 8032; a key of small order is refused.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, SignatureError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| SignatureError::Key)?;
        if key.is_weak() { Err(SignatureError::Key) } else { Ok(Self(key)) }
    }

    /// From a SubjectPublicKeyInfo in DER, Ed25519 only.
    pub fn from_spki(spki: &[u8]) -> Result<Self, SignatureError> {
        let key = spki.strip_prefix(&SPKI_PREFIX).ok_or(SignatureError::Key)?;
        Self::from_bytes(key.try_into().map_err(|_| SignatureError::Key)?)
    }

    /// The 32 bytes of the key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Its SubjectPublicKeyInfo in DER.
    pub fn spki(&self) -> Vec<u8> {
        [&SPKI_PREFIX[..], self.0.as_bytes()].concat()
    }

    /// The key's name.
    pub fn id(&self) -> KeyId {
        KeyId::of_spki(&self.spki())
    }

    /// Strict verification over `label || bytes`.
    pub fn verify(&self, label: Label, bytes: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| SignatureError::Bad)?;
        let message = [label.as_bytes(), bytes].concat();
        self.0.verify_strict(&message, &signature).map_err(|_| SignatureError::Bad)
    }
}

impl fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyKey({:?})", self.id())
    }
}

/// A private signing key; wiped when dropped, silent in `Debug`.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// From the 32-byte seed of RFC 8032.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// From PKCS#8 in DER (RFC 8410), version 1 or 2.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, SignatureError> {
        ed25519_dalek::SigningKey::from_pkcs8_der(der).map(Self).map_err(|_| SignatureError::Key)
    }

    /// The public half.
    pub fn verify_key(&self) -> VerifyKey {
        VerifyKey(self.0.verifying_key())
    }

    /// Signs `label || bytes`.
    pub fn sign(&self, label: Label, bytes: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(&[label.as_bytes(), bytes].concat()).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.verify_key().id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_under_its_own_label_only() {
        let key = SigningKey::from_seed(&[7; 32]);
        let signature = key.sign(Label::Header, b"to br");
        let public = key.verify_key();
        public.verify(Label::Header, b"to br", &signature).unwrap();
        for label in [Label::Bundle, Label::Receipts, Label::Roster] {
            assert_eq!(public.verify(label, b"to br", &signature), Err(SignatureError::Bad));
        }
        assert_eq!(public.verify(Label::Header, b"to bs", &signature), Err(SignatureError::Bad));
        assert_eq!(public.verify(Label::Header, b"to br", &signature[..63]), Err(SignatureError::Bad));
    }

    #[test]
    fn a_key_of_small_order_is_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(VerifyKey::from_bytes(&identity), Err(SignatureError::Key));
        assert_eq!(VerifyKey::from_bytes(&[0; 32]), Err(SignatureError::Key));
    }

    #[test]
    fn the_key_id_is_over_the_public_key_info() {
        let key = SigningKey::from_seed(&[9; 32]).verify_key();
        assert_eq!(VerifyKey::from_spki(&key.spki()).unwrap(), key);
        assert_eq!(key.id(), KeyId::of_spki(&key.spki()));
        assert_eq!(VerifyKey::from_spki(&key.spki()[1..]), Err(SignatureError::Key));
    }

    #[test]
    fn a_private_key_is_silent() {
        let shown = format!("{:?}", SigningKey::from_seed(&[7; 32]));
        assert!(shown.starts_with("SigningKey(") && shown.len() == 28, "{shown}");
        assert!(!shown.contains("0707"), "{shown}");
    }
}
