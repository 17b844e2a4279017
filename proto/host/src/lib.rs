//! What relay and client both need of a machine. Stands on `valise-proto` alone; never opens an envelope, never
//! decides who may write to whom.
//!
//! Rooms: [`machine`] what is handed in: [`clock`] time, [`entropy`] chance, sockets · [`keyfile`] secret files ·
//! [`rest`] sealing at rest · [`files`] the file calls of a store · [`ledger`] the store that notices loss · [`executor`] who runs a store · [`config`]
//! TOML and its advice · [`logs`] JSON lines and the panic hook · [`transport`] how a connection behaves ·
//! [`endpoint`] and [`cid`] what a restarted relay still knows · [`framing`] frames over a stream, [`speech`] those
//! that wait · [`socket`] and [`doorway`] a local socket and who calls · [`exit`] how a program ends, [`plain`] what
//! a terminal may be shown · [`planted`] faults for the lab alone.

#![warn(missing_docs)]

pub mod cid;
pub mod clock;
pub mod config;
pub mod doorway;
pub mod endpoint;
pub mod entropy;
pub mod executor;
pub mod exit;
pub mod files;
pub mod framing;
pub mod keyfile;
pub mod ledger;
pub mod logs;
pub mod machine;
pub mod plain;
pub mod planted;
pub mod rest;
pub mod socket;
pub mod speech;
pub mod transport;

#[cfg(test)]
mod loopback;
#[cfg(test)]
mod scratch;
