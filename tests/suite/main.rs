//! The suite, room by room. One binary, linked once.
//!
//! - [`tidy`]: the house rules: floors, files, papers, versions.
//! - [`journey`]: a message climbs every rung, by the commands an operator types.
//! - [`blind_relay`]: what the relay holds tells it nothing.
//! - [`flipped_byte`]: what the relay alters is found, and the sender told.
//! - [`impostor`]: strangers are refused at the door.

mod blind_relay;
mod flipped_byte;
mod impostor;
mod journey;
mod storm;
mod tidy;
