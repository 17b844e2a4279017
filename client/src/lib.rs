//! The desk: rooms of the daemon and of its command line.

pub mod answer;
pub mod api;
pub mod cli;
pub mod contract;
pub mod exit;
