//! What the checks of `valise-certs` make of papers, sound and forged. They live here because only the mint forges.

mod devices;
mod handshakes;
mod openssl;
mod rosters;
mod signers;
mod world;
