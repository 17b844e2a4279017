//! Papers: who makes them. A root, CAs, leaves, revocation lists, rosters, and a whole lab; `valisectl` is its face.
//!
//! Rooms: [`keys`] Ed25519 keys as OpenSSL reads them · [`mint`] and [`papers`] certificates · [`crl`] revocation
//! lists · [`roster`] agreements and signing · [`parties`] the federation's list · [`lab`] and [`layout`] `init` ·
//! [`cli`] arguments, output and exit codes · [`relay`] asks one that runs · [`inspect`] shows what a file is ·
//! [`told`] for people and for scripts. Checks nothing: that is `valise-certs`, and it does not trust this crate.

#![warn(missing_docs)]

pub mod cli;
pub mod crl;
pub mod fault;
pub mod inspect;
pub mod keys;
pub mod lab;
pub mod layout;
pub mod mint;
mod moment;
pub mod papers;
pub mod parties;
pub mod relay;
pub mod roster;
pub mod told;

#[cfg(test)]
mod matrix_tests;
