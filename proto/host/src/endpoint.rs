//! What a QUIC endpoint keeps over restarts: keys for resets, address tokens and connection ids, all from one file.
//!
//! A restarted relay answers the first packet of a lost session with a reset, so that devices come back at once.
//! Never decides who may connect: the TLS configuration is handed in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use quinn::crypto::{AeadKey, CryptoError, HandshakeTokenKey, HmacKey};
use quinn::{EndpointConfig, ServerConfig};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::cid::CidGenerator;
use crate::entropy::Entropy;
use crate::rest::RestKey;
use crate::transport::relay_transport;

#[cfg(test)]
mod tests;

/// Least time between two resets. Ids are authenticated, so noise draws none, and 203 devices reset in a fifth of a
/// second after a restart.
const RESET_INTERVAL: Duration = Duration::from_millis(1);
/// Connections that may wait for the relay to look at them: the whole federation coming back at once.
const INCOMING_MAX: usize = 256;
/// Bytes of early data held for all of these together (the library's default is 100 MiB).
const INCOMING_BYTES: u64 = 4 * 1024 * 1024;

/// Keys of an endpoint, derived for one purpose each. Cheap to clone; wiped with the last clone.
#[derive(Clone)]
pub struct EndpointKeys {
    reset: Arc<Zeroizing<[u8; 32]>>,
    token: Arc<Zeroizing<[u8; 32]>>,
    cid: Arc<Zeroizing<[u8; 32]>>,
}

impl EndpointKeys {
    /// The relay's: the same after every restart under the same key file.
    pub fn derived(key: &RestKey) -> Self {
        Self {
            reset: Arc::new(key.derive("stateless reset")),
            token: Arc::new(key.derive("address token")),
            cid: Arc::new(key.derive("connection id")),
        }
    }

    /// A device's: it has no sessions to remember.
    pub fn drawn(entropy: &dyn Entropy) -> Self {
        let draw = || {
            let mut key = Zeroizing::new([0; 32]);
            entropy.fill(key.as_mut());
            Arc::new(key)
        };
        Self { reset: draw(), token: draw(), cid: draw() }
    }
}

impl fmt::Debug for EndpointKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointKeys(..)")
    }
}

/// The endpoint of a relay or a device. All its chance comes from the source given.
pub fn endpoint_config(keys: &EndpointKeys, entropy: Arc<dyn Entropy>) -> EndpointConfig {
    let mut seed = [0; 32];
    entropy.fill(&mut seed);
    let cid = keys.cid.clone();
    let mut config = EndpointConfig::new(Arc::new(ResetKey(keys.reset.clone())));
    config
        .cid_generator(move || Box::new(CidGenerator::new(cid.clone(), entropy.clone())))
        .min_reset_interval(RESET_INTERVAL)
        .rng_seed(Some(seed));
    config
}

/// How a relay accepts: the TLS side is given, tokens outlive a restart. Built anew each time the papers change.
pub fn server_config(tls: Arc<dyn quinn::crypto::ServerConfig>, keys: &EndpointKeys) -> ServerConfig {
    let mut config = ServerConfig::new(tls, Arc::new(TokenKey(keys.token.clone())));
    config
        .transport_config(Arc::new(relay_transport()))
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size_total(INCOMING_BYTES)
        .migration(true);
    config
}

/// Signs connection ids into reset tokens (RFC 9000, 10.3.2).
struct ResetKey(Arc<Zeroizing<[u8; 32]>>);

impl ResetKey {
    fn mac(&self, data: &[u8]) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0[..]);
        mac.expect("invariant: HMAC takes a key of any length").chain_update(data)
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(&self.mac(data).finalize().into_bytes());
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        self.mac(data).verify_slice(signature).map_err(|_| CryptoError)
    }
}

/// Seals address tokens (RFC 9000, 8.1), each under a key of its own.
struct TokenKey(Arc<Zeroizing<[u8; 32]>>);

impl HandshakeTokenKey for TokenKey {
    fn aead_from_hkdf(&self, random_bytes: &[u8]) -> Box<dyn AeadKey> {
        let hkdf =
            Hkdf::<Sha256>::from_prk(&self.0[..]).expect("invariant: 32 bytes are a key for HKDF-SHA256");
        let mut key = Zeroizing::new([0; 32]);
        hkdf.expand(random_bytes, key.as_mut()).expect("invariant: 32 bytes are within HKDF's output");
        Box::new(OneTimeKey(ChaCha20Poly1305::new(&Key::from(*key))))
    }
}

/// Seals one token. The key is never used twice, so the nonce is zero.
struct OneTimeKey(ChaCha20Poly1305);

impl AeadKey for OneTimeKey {
    fn seal(&self, data: &mut Vec<u8>, additional_data: &[u8]) -> Result<(), CryptoError> {
        let payload = Payload { msg: data, aad: additional_data };
        *data = self.0.encrypt(&Nonce::default(), payload).map_err(|_| CryptoError)?;
        Ok(())
    }

    fn open<'a>(&self, data: &'a mut [u8], additional_data: &[u8]) -> Result<&'a mut [u8], CryptoError> {
        let payload = Payload { msg: data, aad: additional_data };
        let plain = self.0.decrypt(&Nonce::default(), payload).map_err(|_| CryptoError)?;
        let out = &mut data[..plain.len()];
        out.copy_from_slice(&plain);
        Ok(out)
    }
}
