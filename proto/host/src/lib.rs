//! What relay and client both need of a machine: chance, time, files, rest, the ledger, threads, links, logs.
//!
//! Stands on `valise-proto` alone. Never opens an envelope, never decides who may write to whom.

pub mod clock;
pub mod config;
pub mod entropy;
pub mod executor;
pub mod keyfile;
pub mod ledger;
pub mod rest;

#[cfg(test)]
mod scratch;
