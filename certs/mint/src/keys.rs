//! Private keys: Ed25519, held as PKCS#8 version 1 (RFC 5958, without the public part), which OpenSSL 3.0 reads.
//!
//! Wiped when dropped, silent in `Debug`.

use std::fmt;

use ed25519_dalek::Signer;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use rcgen::PublicKeyData;
use valise_host::entropy::Entropy;
use valise_proto::signing::{KeyId, SigningKey};
use zeroize::Zeroizing;

/// Room for the PEM of 48 bytes: one line of base64 between two lines of dashes.
const PEM_CAPACITY: usize = 160;
/// RFC 4648, section 4.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// An Ed25519 private key that can sign certificates.
#[derive(Clone)]
pub struct PrivateKey {
    key: ed25519_dalek::SigningKey,
    public: [u8; 32],
}

impl PrivateKey {
    /// From 32 random bytes.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        entropy.fill(seed.as_mut());
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        Self { public: key.verifying_key().to_bytes(), key }
    }

    /// From PKCS#8 in DER; `None` when it is not an Ed25519 key.
    pub fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let key = ed25519_dalek::SigningKey::from_pkcs8_der(der).ok()?;
        Some(Self { public: key.verifying_key().to_bytes(), key })
    }

    /// PKCS#8 in DER.
    pub fn pkcs8(&self) -> Zeroizing<Vec<u8>> {
        let bare = KeypairBytes { secret_key: self.key.to_bytes(), public_key: None };
        let der = bare.to_pkcs8_der().expect("invariant: 32 bytes always have a PKCS#8 form");
        Zeroizing::new(der.as_bytes().to_vec())
    }

    /// The same as PEM (RFC 7468).
    pub fn pem(&self) -> Zeroizing<String> {
        let der = self.pkcs8();
        let mut text = Zeroizing::new(String::with_capacity(PEM_CAPACITY)); // never grows, so no copy is left behind
        text.push_str("-----BEGIN PRIVATE KEY-----\n");
        push_base64(&mut text, &der);
        text.push_str("\n-----END PRIVATE KEY-----\n");
        text
    }

    /// For signing headers, receipts, bundles and rosters.
    pub fn signing_key(&self) -> SigningKey {
        SigningKey::from_seed(self.key.as_bytes())
    }

    /// Its name.
    pub fn key_id(&self) -> KeyId {
        self.signing_key().verify_key().id()
    }
}

/// Base64 of a whole number of three-byte groups; a PKCS#8 Ed25519 key has 16 of them, so there is no padding.
fn push_base64(text: &mut String, bytes: &[u8]) {
    assert!(bytes.len().is_multiple_of(3), "invariant: 48 bytes of PKCS#8");
    for group in bytes.chunks_exact(3) {
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for shift in [18, 12, 6, 0] {
            text.push(char::from(BASE64[(bits >> shift & 63) as usize]));
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({:?})", self.key_id())
    }
}

impl PublicKeyData for PrivateKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.key.sign(message).to_bytes().to_vec())
    }
}
